"""Sequences that are in two splits, on the same strand or on the other one."""

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

from dnafm.genomics.sequences import reverse_complement


def duplicate_notes(splits: Mapping[str, Any]) -> list[str]:
    """Count the sequences of a split that an earlier one has; U is T.

    Args:
        splits: `datasets.Dataset` by name, with `sequence` in upper case; train first, test last.

    Returns:
        A note for each pair of splits that share some.
    """
    digests = {split: _digests(rows, lambda text: text.replace("U", "T")) for split, rows in splits.items()}
    notes: list[str] = []
    for position, later in enumerate(splits):
        for earlier in list(splits)[:position]:
            notes += _shared_note(earlier, later, digests, splits[earlier])
    return notes


def _shared_note(earlier: str, later: str, digests: Mapping[str, np.ndarray], earlier_rows: Any) -> list[str]:
    is_same = np.isin(digests[later], digests[earlier])
    is_other_strand = ~is_same & np.isin(digests[later], _digests(earlier_rows, reverse_complement))
    n_same, n_other_strand = int(is_same.sum()), int(is_other_strand.sum())
    if not n_same + n_other_strand:
        return []
    return [
        f"{later}: {n_same} of {len(is_same)} sequences are also in {earlier}, and {n_other_strand} more are there as "
        "their reverse complement"
    ]


def _digests(rows: Any, form: Callable[[str], str]) -> np.ndarray:
    """Return a hash of each sequence, (rows,) uint64; two of a billion rows clash with a chance of 3 %."""
    parts = [b"".join(_digest(form(text)) for text in texts) for texts in _sequences(rows)]
    return np.frombuffer(b"".join(parts), np.uint64)


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()


def _sequences(rows: Any) -> Iterator[list[str]]:
    for table in rows.select_columns(["sequence"]).with_format("arrow").iter(1000):
        yield table["sequence"].to_pylist()
