"""The bundled labelled data set: UCI primate splice junctions.

3,001 windows of 60 nt; the junction, where there is one, lies between the 30th base and the 31st.
Where they come from, and their licence: `assets/splice_junctions/README.md` in the package.
"""

import csv
import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

# The order is that of the class ids; `donor` is UCI's EI, `acceptor` IE, `neither` N.
LABEL_NAMES = ("donor", "acceptor", "neither")
TEST_FRACTION = 0.2
VALIDATION_FRACTION = 0.1


@dataclass(frozen=True)
class LabelledSequences:
    """Sequences with one class id each, all three tuples of the same length."""

    ids: tuple[str, ...]
    sequences: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.sequences)

    def to_dict(self) -> dict[str, list]:
        """Return the columns `id`, `sequence` and `label`, as `datasets.Dataset.from_dict` wants them."""
        return {"id": list(self.ids), "sequence": list(self.sequences), "label": list(self.labels)}

    def take(self, rows: Sequence[int]) -> "LabelledSequences":
        """Return the rows of these indices, in their order."""
        return LabelledSequences(
            ids=tuple(self.ids[row] for row in rows),
            sequences=tuple(self.sequences[row] for row in rows),
            labels=tuple(self.labels[row] for row in rows),
        )


@dataclass(frozen=True)
class SpliceJunctions:
    """The three splits, which share no sequence, and the names of the class ids."""

    train: LabelledSequences
    validation: LabelledSequences
    test: LabelledSequences
    label_names: tuple[str, ...] = LABEL_NAMES

    def items(self) -> Iterator[tuple[str, LabelledSequences]]:
        """Yield (name, split): train, validation, test."""
        yield from (("train", self.train), ("validation", self.validation), ("test", self.test))


def read_splice_junctions() -> LabelledSequences:
    """Read the whole bundled table, 3,001 distinct sequences, in the order of the file."""
    table = resources.files("dnafm") / "assets" / "splice_junctions" / "splice_junctions.tsv.gz"
    text = gzip.decompress(table.read_bytes()).decode("ascii")
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    return LabelledSequences(
        ids=tuple(row["id"] for row in rows),
        sequences=tuple(row["sequence"] for row in rows),
        labels=tuple(LABEL_NAMES.index(row["label"]) for row in rows),
    )


def load_splice_junctions(seed: int = 42) -> SpliceJunctions:
    """Split the bundled data 72 : 8 : 20, each class in the same proportion.

    `datasets` is not needed; where it is there, each split becomes one of its tables with
    `datasets.Dataset.from_dict(load_splice_junctions().train.to_dict())`.

    Args:
        seed: Another seed gives another split. Published numbers are those of 42.

    Returns:
        2,161 training, 240 validation and 600 test sequences of 60 nt.
    """
    table = read_splice_junctions()
    rest, test = stratified_split(table, TEST_FRACTION, seed=seed)
    train, validation = stratified_split(rest, VALIDATION_FRACTION, seed=seed)
    return SpliceJunctions(train, validation, test)


def stratified_split(
    table: LabelledSequences, fraction: float, *, seed: int
) -> tuple[LabelledSequences, LabelledSequences]:
    """Hold out a fraction of each class.

    Rows are ranked by a hash of their id and the seed, so the split depends neither on their order
    nor on the version of a random number generator.

    Args:
        table: Any labelled sequences.
        fraction: Share of each class to hold out, in [0, 1]; the count is rounded.
        seed: Any integer.

    Returns:
        (kept, held out), both in the order of `table`.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"The fraction to hold out is {fraction}; it must lie in [0, 1].")
    rows_of_class: dict[int, list[int]] = {}
    for row, label in enumerate(table.labels):
        rows_of_class.setdefault(label, []).append(row)
    held_out: set[int] = set()
    for rows in rows_of_class.values():
        ranked = sorted(rows, key=lambda row: _hash(f"{seed}:{table.ids[row]}"))
        held_out.update(ranked[: round(fraction * len(ranked))])
    kept = [row for row in range(len(table)) if row not in held_out]
    return table.take(kept), table.take(sorted(held_out))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
