"""Rebuild a genome from the rows it has in a multiple alignment (MAF).

The alignment must be projected on that genome, so that its rows lie on the `+` strand. What no block covers
is unknown.
"""

from collections.abc import Iterable

import numpy as np

_N, _GAP = ord("N"), ord("-")


def rebuild(lines: Iterable[bytes], genome: str) -> dict[str, np.ndarray]:
    """Write the rows of a genome where they belong.

    Args:
        lines: of a MAF file, whose sources are named `genome.sequence`.
        genome: the part of the name before the dot.

    Returns:
        For each sequence its letters, (source size,) uint8, upper case; N where there is no row. Sorted, chr_2 before
        chr_10.

    Raises:
        ValueError: a row is on the `-` strand, does not have the bases or lie in the source that it declares, or
            contradicts an earlier one; or there is no row.
    """
    prefix = f"{genome}.".encode("ascii")
    sequences: dict[str, np.ndarray] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.split(maxsplit=6)
        if len(fields) == 7 and fields[0] == b"s" and fields[1].startswith(prefix):
            name = fields[1].removeprefix(prefix).decode("ascii")
            _write_row(sequences, name, fields[2:], f"line {number} ({genome}.{name})")
    if not sequences:
        raise ValueError(f"No row of {genome!r} is in the alignment. The name is what stands before the first dot.")
    return dict(sorted(sequences.items(), key=lambda item: (len(item[0]), item[0])))


def _write_row(sequences: dict[str, np.ndarray], name: str, fields: list[bytes], where: str) -> None:
    start_bp, n_bases, source_size = int(fields[0]), int(fields[1]), int(fields[3])
    if fields[2] != b"+":
        raise ValueError(
            f"{where}: the strand is {fields[2].decode()!r}; a genome that the MAF is projected on has '+'."
        )
    aligned = np.frombuffer(fields[4].strip().upper(), np.uint8)
    bases = aligned[aligned != _GAP]
    if len(bases) != n_bases:
        raise ValueError(f"{where}: the row has {len(bases)} bases and declares {n_bases}. Is the file cut?")
    if name not in sequences:
        sequences[name] = np.full(source_size, _N, np.uint8)
    letters = sequences[name]
    if len(letters) != source_size or start_bp + n_bases > source_size:
        raise ValueError(
            f"{where}: bases {start_bp} to {start_bp + n_bases} of a source of {source_size}, where earlier rows have "
            f"one of {len(letters)}. Are two assemblies mixed?"
        )
    written = letters[start_bp : start_bp + n_bases]
    if ((written != bases) & (written != _N) & (bases != _N)).any():
        raise ValueError(f"{where}: the row contradicts an earlier one at {start_bp}. Is the source a paralogue?")
    np.copyto(written, bases, where=bases != _N)
