"""A split of the input as it was read: its rows, where they are in the file, and the checks of names and sequences."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dnafm.tokenization_dnafm import LETTERS

NOT_DNA = "[^" + "".join(LETTERS) + "".join(LETTERS).lower() + "]"
# Bases, or pairs of bases, that are handled at once, and rows.
_BATCH_BASES = 1 << 24
_BATCH_ROWS = 1000


@dataclass(frozen=True)
class Place:
    """Where rows are: the file, folder or Hub id, the split where it has several, and their numbers from 1."""

    path: str
    split: str = ""
    numbers: np.ndarray | None = None

    def __str__(self) -> str:
        return f"{self.path}, {self.split} split" if self.split else self.path

    def row(self, index: int) -> str:
        """Return how an error names the row of this index."""
        return f"{self}, row {self.number(index)}"

    def number(self, index: int) -> int:
        """Return the number in the file of the row of this index."""
        return index + 1 if self.numbers is None else int(self.numbers[index])


@dataclass(frozen=True)
class Batch:
    """Some consecutive rows as an Arrow table; `start` is the index of the first one in the split."""

    table: pa.Table
    place: Place
    start: int

    def column(self, name: str) -> pa.Array:
        """Return a column in one piece."""
        return self.table[name].combine_chunks()

    def check(self, is_bad: Any, message: Callable[[int], str], rows: np.ndarray | None = None) -> None:
        """Raise a ValueError that names the row of the first bad value, if there is one.

        Args:
            is_bad: of each value, bool.
            message: what is said of the value of this index.
            rows: row of each value in the batch; by default they are one a row.
        """
        bad = np.flatnonzero(is_bad)
        if len(bad):
            first = int(bad[0])
            row = first if rows is None else int(rows[first])
            raise ValueError(f"{self.place.row(self.start + row)}: {message(first)}")


@dataclass(frozen=True)
class SourceTable:
    """One split of the input.

    Attributes:
        rows: `datasets.Dataset` with the columns of the input, renamed as asked.
        place: for errors.
        class_names: of columns that hold ids of named classes, as `datasets.ClassLabel` does.
    """

    rows: Any
    place: Place
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, columns: Sequence[str], batch_rows: int = _BATCH_ROWS) -> Iterator[Batch]:
        """Yield all rows in order, with these columns."""
        start = 0
        for table in self.rows.select_columns(list(columns)).with_format("arrow").iter(batch_rows):
            yield Batch(table, self.place, start)
            start += len(table)

    def select(self, indices: np.ndarray) -> "SourceTable":
        """Return some of the rows, which keep their numbers."""
        numbers = indices + 1 if self.place.numbers is None else self.place.numbers[indices]
        place = Place(self.place.path, self.place.split, numbers)
        return SourceTable(self.rows.select(indices), place, self.class_names)

    def check_column(self, name: str, option: str) -> None:
        """Raise a ValueError if there is no such column, naming those that there are and the nearest one."""
        if name not in self.rows.column_names:
            raise ValueError(missing_column(self.place, self.rows.column_names, name, option))

    def ids(self, column: str | None) -> list[str]:
        """Return the names of the rows, or their numbers as text where no column has them.

        Raises:
            ValueError: a name is missing, or that of an earlier row.
        """
        if column is None:
            numbers = range(1, len(self) + 1) if self.place.numbers is None else self.place.numbers
            return [str(number) for number in numbers]
        found: list[str] = []
        for batch in self.batches([column]):
            names = batch.column(column).cast(pa.string())
            batch.check(_is_blank(names), lambda _: f"the id in column {column!r} is missing.")
            found += names.to_pylist()
        repeated = np.flatnonzero(pd.Index(found, dtype=object).duplicated())
        if len(repeated):
            second = int(repeated[0])
            first = self.place.number(found.index(found[second]))
            raise ValueError(
                f"{self.place.row(second)}: the id {found[second]!r} is that of row {first}. Ids must be unique in a "
                "split: name another column with --data.id_column."
            )
        return found

    def sequence_lengths(self, column: str, *, max_bases: int | None) -> np.ndarray:
        """Return the bases of each sequence, (rows,) int64, having checked all of them.

        Args:
            column: of the sequences.
            max_bases: longer ones are an error; None for no limit.

        Raises:
            ValueError: a sequence is missing, empty, no DNA or too long.
        """
        lengths = [_checked_lengths(batch, column, max_bases) for batch in self.batches([column])]
        return np.concatenate([np.zeros(0, np.int64), *lengths])


def batch_rows(n_bases: np.ndarray, *, of_pairs: bool) -> int:
    """Return how many rows fit a batch, at least one, given the bases of each of them."""
    longest = max(1, int(n_bases.max(initial=1))) ** (2 if of_pairs else 1)
    return max(1, min(_BATCH_ROWS, _BATCH_BASES // longest))


def missing_column(place: Place, names: Sequence[str], missing: str, option: str) -> str:
    """Return what is said of a column that is missing: those that there are, and the nearest one."""
    near = difflib.get_close_matches(missing, names, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return (
        f"{place} has no column {missing!r}; its columns are {', '.join(names)}. {guess}Name it with --data.{option}, "
        "or rename one with --data.rename_columns."
    )


def _is_blank(texts: pa.Array) -> np.ndarray:
    return pc.fill_null(pc.equal(pc.utf8_length(texts), 0), True).to_numpy(zero_copy_only=False)


def _checked_lengths(batch: Batch, column: str, max_bases: int | None) -> np.ndarray:
    sequences = batch.column(column)
    if not (pa.types.is_string(sequences.type) or pa.types.is_large_string(sequences.type)):
        raise ValueError(f"{batch.place}: column {column!r} holds {sequences.type}; sequences are text.")
    batch.check(_is_blank(sequences), lambda _: f"the sequence in column {column!r} is empty.")
    is_foreign = pc.match_substring_regex(sequences, NOT_DNA).to_numpy(zero_copy_only=False)
    batch.check(is_foreign, lambda row: not_dna(sequences[row].as_py()))
    lengths = pc.utf8_length(sequences).to_numpy(zero_copy_only=False).astype(np.int64)
    if max_bases is not None:
        batch.check(lengths > max_bases, lambda row: too_long_message(int(lengths[row]), max_bases))
    return lengths


def not_dna(sequence: str) -> str:
    """Return what is said of a sequence with a character that is no nucleotide: the first one."""
    letters = set(LETTERS) | set("".join(LETTERS).lower())
    at, character = next((at, letter) for at, letter in enumerate(sequence) if letter not in letters)
    return (
        f"{character!r}, number {at + 1} of the sequence, is no nucleotide: A, C, G, T, U, N and the IUPAC codes "
        "R, Y, S, W, K, M, B, D, H, V in either case are."
    )


def too_long_message(n_bases: int, max_bases: int) -> str:
    """Return what is said of a sequence that the model cannot read."""
    return (
        f"the sequence has {n_bases} bases, and the model reads {max_bases}. Cut it with --data.too_long center, left "
        "or right, or into pieces with --data.too_long tile."
    )
