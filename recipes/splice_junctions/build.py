"""Rebuild the bundled splice-junction table from mlbench's DNA.rda.

The file comes with the R package mlbench, which Debian ships as r-cran-mlbench:

    apt-get download r-cran-mlbench && dpkg -x r-cran-mlbench_*.deb mlbench
    pip install rdata
    python recipes/splice_junctions/build.py mlbench/usr/lib/R/site-library/mlbench/data/DNA.rda

The same input gives the same bytes. What the steps do is told in dnafm/assets/splice_junctions/README.md.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np

DEFAULT_OUTPUT = Path(__file__).parents[2] / "dnafm" / "assets" / "splice_junctions" / "splice_junctions.tsv.gz"
LABEL_OF_CLASS = {"ei": "donor", "ie": "acceptor", "n": "neither"}
# Indicators of A, C and G for each of 60 positions; T has none.
LENGTH_NT, N_INDICATORS = 60, 3
BASES = np.array(list("ACGT"))

Row = tuple[str, str, str]


def read_rda(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read the indicators, (rows, 180) of 0 and 1, and the class of each row."""
    try:
        import rdata
    except ImportError as error:
        raise ImportError("Reading an .rda file needs rdata: pip install rdata") from error

    table = rdata.conversion.convert(rdata.parser.parse_file(path), default_encoding="ascii")["DNA"]
    return table.drop(columns="Class").to_numpy().astype(int), table["Class"].tolist()


def decode(indicators: np.ndarray) -> list[str]:
    """Turn rows of 0/1 indicators into sequences of A, C, G, T."""
    triples = indicators.reshape(len(indicators), LENGTH_NT, N_INDICATORS)
    if triples.sum(axis=-1).max() > 1:
        raise ValueError("A position has more than one base: this is not mlbench's DNA.rda.")
    base_index = np.where(triples.any(axis=-1), triples.argmax(axis=-1), N_INDICATORS)
    return ["".join(row) for row in BASES[base_index]]


def deduplicate(sequences: list[str], classes: list[str]) -> list[Row]:
    """Keep each sequence once, at its first row, as (id, sequence, label).

    Where the rows disagree, an annotated junction wins over `neither`; donor against acceptor is an error.
    """
    rows: dict[str, Row] = {}
    for number, (sequence, class_name) in enumerate(zip(sequences, classes, strict=True), start=1):
        label = LABEL_OF_CLASS[class_name]
        identifier, _, known_label = rows.get(sequence, (f"mlbench_{number:04d}", sequence, label))
        junctions = {label, known_label} - {"neither"}
        if len(junctions) > 1:
            raise ValueError(f"Row {number} and {identifier}: {sequence} is both donor and acceptor.")
        rows[sequence] = (identifier, sequence, junctions.pop() if junctions else "neither")
    return list(rows.values())


def write_tsv(path: Path, rows: list[Row]) -> None:
    """Write id, sequence, label; no time stamp or file name enters the gzip header."""
    lines = ["\t".join(row) for row in [("id", "sequence", "label"), *rows]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode("ascii"), compresslevel=9, mtime=0))


def main() -> None:
    """Read the .rda file named on the command line and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rda", type=Path, help="mlbench's DNA.rda")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="default: the bundled file")
    args = parser.parse_args()

    indicators, classes = read_rda(args.rda)
    rows = deduplicate(decode(indicators), classes)
    write_tsv(args.output, rows)
    print(f"{args.output}: {len(rows):,} unique sequences of {len(classes):,} rows")


if __name__ == "__main__":
    main()
