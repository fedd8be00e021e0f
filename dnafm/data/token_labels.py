"""Labels of bases: a class or numbers for each of them, or a class for each pair."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from dnafm.data.label_values import (
    NamedValues,
    characters,
    check_lengths,
    holds_lists,
    is_list,
    listed,
    named_values,
    numbers,
    row_of_values,
)
from dnafm.data.sequence_labels import ClassReader
from dnafm.data.source_tables import Batch


@dataclass(frozen=True, kw_only=True)
class _BaseClassReader(ClassReader):
    column: str
    ignored_label: str | None = None
    is_of_bases = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of the labels."""
        return (self.column,)

    def _counted(self, values: NamedValues) -> NamedValues:
        """Return the values with those of the ignored name as missing."""
        if self.ignored_label not in values.names:
            return values
        ignored = values.names.index(self.ignored_label)
        return NamedValues(values.names, np.where(values.codes == ignored, -1, values.codes))


@dataclass(frozen=True, kw_only=True)
class BaseClasses(_BaseClassReader):
    """A class for each base, from texts of one character for each or from lists: lists of int16 ids, or -100."""

    def found_names(self, batch: Batch, n_bases: np.ndarray) -> set[str]:
        """Return the names in the column, having checked that there is one for each base."""
        return self._values(batch, n_bases)[0].present

    def read(self, batch: Batch, n_bases: np.ndarray) -> pa.Array:
        """Return a list of int16 ids for each row."""
        values, rows = self._values(batch, n_bases)
        ids = self.checked_ids(values, batch, rows).astype(np.int16)
        return _lists(pa.array(ids), n_bases)

    def _values(self, batch: Batch, n_bases: np.ndarray) -> tuple[NamedValues, np.ndarray]:
        column = batch.column(self.column)
        if is_list(column) or holds_lists(column):
            lists = listed(batch, self.column)
            lengths, rows = row_of_values(lists)
            names = self.class_names.get(self.column)
            values = named_values(lists.flatten(), batch, self.column, class_names=names, rows=rows)
        else:
            values, lengths = characters(batch, self.column)
            rows = np.repeat(np.arange(len(lengths)), lengths)
        check_lengths(batch, self.column, lengths, n_bases)
        return self._counted(values), rows


@dataclass(frozen=True, kw_only=True)
class PairClasses(_BaseClassReader):
    """A class for each pair of bases, from lists of lists: lists of lists of int16 ids, or -100."""

    is_of_pairs = True

    def found_names(self, batch: Batch, n_bases: np.ndarray) -> set[str]:
        """Return the names in the column, having checked that labels are squares as long as the sequence."""
        return self._values(batch, n_bases)[0].present

    def read(self, batch: Batch, n_bases: np.ndarray) -> pa.Array:
        """Return a square of int16 ids for each row."""
        values, rows = self._values(batch, n_bases)
        ids = self.checked_ids(values, batch, rows).astype(np.int16)
        return _lists(_lists(pa.array(ids), np.repeat(n_bases, n_bases)), n_bases)

    def _values(self, batch: Batch, n_bases: np.ndarray) -> tuple[NamedValues, np.ndarray]:
        squares = listed(batch, self.column)
        lengths, rows = row_of_values(squares)
        check_lengths(batch, self.column, lengths, n_bases)
        lines = _nested(squares, batch, self.column, rows)
        widths, line_of_value = row_of_values(lines)
        batch.check(
            widths != n_bases[rows],
            lambda at: (
                f"a line of {widths[at]} labels in column {self.column!r} for a sequence of "
                f"{n_bases[rows[at]]} bases; labels of pairs are a square."
            ),
            rows,
        )
        names = self.class_names.get(self.column)
        rows = rows[line_of_value]
        values = named_values(lines.flatten(), batch, self.column, class_names=names, rows=rows)
        return self._counted(values), rows


@dataclass(frozen=True, kw_only=True)
class BaseTargets:
    """Numbers for each base, from columns of lists or one of lists of lists: lists of lists of float32, or NaN."""

    columns: tuple[str, ...]
    n_targets: int = 1
    has_lists: bool = False
    is_of_bases = True
    is_of_pairs = False

    def as_in(self, batch: Batch) -> "BaseTargets":
        """Return the reader for columns as those of this batch, whose first base has as many tracks as all."""
        values = listed(batch, self.columns[0]).flatten()
        if not is_list(values) or len(values) == 0 or len(self.columns) > 1:
            return replace(self, n_targets=len(self.columns))
        n_targets = len(values[0]) if values[0].is_valid else 0
        batch.check([n_targets == 0], lambda _: f"the first base in column {self.columns[0]!r} has no list of tracks.")
        return replace(self, n_targets=n_targets, has_lists=True)

    @property
    def target_names(self) -> tuple[str, ...]:
        """The columns; for lists of several tracks, the name of theirs with a number from 0."""
        if not self.has_lists or self.n_targets == 1:
            return self.columns
        return tuple(f"{self.columns[0]}_{target}" for target in range(self.n_targets))

    def read(self, batch: Batch, n_bases: np.ndarray) -> pa.Array:
        """Return a list of lists of float32, (bases, n_targets), for each row."""
        targets = np.stack([self._numbers(batch, name, n_bases) for name in self.columns], axis=-1)
        flat = pa.array(targets.reshape(-1).astype(np.float32))
        return _lists(_lists(flat, np.full(n_bases.sum(), self.n_targets)), n_bases)

    def _numbers(self, batch: Batch, column: str, n_bases: np.ndarray) -> np.ndarray:
        """Return (bases,) float64 of a track, or (bases * n_targets,) of lists of them."""
        lists = listed(batch, column)
        lengths, rows = row_of_values(lists)
        check_lengths(batch, column, lengths, n_bases)
        values = lists.flatten()
        if self.has_lists:
            tracks = _nested(lists, batch, column, rows)
            widths, base_of_value = row_of_values(tracks)
            batch.check(
                widths != self.n_targets,
                lambda at: f"{widths[at]} tracks in column {column!r}, and the first base has {self.n_targets}.",
                rows,
            )
            values, rows = tracks.flatten(), rows[base_of_value]
        found = numbers(values, batch, column, rows)
        batch.check(np.isinf(found), lambda _: f"a target in column {column!r} is infinite.", rows)
        return found


def take_bases(labels: pa.ListArray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.ListArray:
    """Cut lists of a value for each base.

    Args:
        labels: lists.
        rows: which list each result is of.
        starts: first value of each result, (results,) int64.
        ends: the one after its last.
    """
    firsts = labels.offsets.to_numpy()[rows] + starts
    lengths = ends - starts
    bounds = np.append(0, np.cumsum(lengths))
    indices = np.arange(bounds[-1]) + np.repeat(firsts - bounds[:-1], lengths)
    return _lists(labels.values.take(pa.array(indices)), lengths)


def take_squares(labels: pa.ListArray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.ListArray:
    """Cut lists of lists of a value for each pair of bases, along both; see `take_bases`."""
    lines = take_bases(labels, rows, starts, ends)
    lengths = ends - starts
    firsts, lasts = np.repeat(starts, lengths), np.repeat(ends, lengths)
    return _lists(take_bases(lines.values, np.arange(len(firsts)), firsts, lasts), lengths)


def _nested(lists: pa.ListArray, batch: Batch, column: str, rows: np.ndarray) -> pa.ListArray:
    inner = lists.flatten()
    if not is_list(inner):
        raise ValueError(f"{batch.place}: column {column!r} holds {lists.type}, where lists of lists are due.")
    batch.check(
        inner.is_null().to_numpy(zero_copy_only=False), lambda _: f"a list in column {column!r} is missing.", rows
    )
    return inner.cast(pa.list_(inner.type.value_type))


def _lists(values: pa.Array, lengths: np.ndarray) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(lengths)).astype(np.int32)), values)
