"""Labels of whole sequences: a class, several labels at once, or numbers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from dnafm.data.label_values import (
    IGNORED_LABEL,
    NamedValues,
    holds_lists,
    is_list,
    listed,
    named_values,
    numbers,
    row_of_values,
)
from dnafm.data.source_tables import Batch


class LabelReader(Protocol):
    """How the labels of a task are read from the columns of a table.

    Attributes:
        columns: those that it reads.
        is_of_bases: whether labels are cut with the sequence.
        is_of_pairs: whether they are those of pairs of bases.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it reads."""

    is_of_bases: bool
    is_of_pairs: bool

    def read(self, batch: Batch, n_bases: np.ndarray) -> pa.Array:
        """Return the labels of a batch, one a row.

        Args:
            batch: with the columns.
            n_bases: of the sequences, (rows,).

        Raises:
            ValueError: names row and column of a label that is missing, unknown or of a wrong length.
        """


@dataclass(frozen=True)
class ClassReader(ABC):
    """A reader of names of classes.

    Attributes:
        label_names: of the classes by their ids; None while they are still looked for.
        class_names: of columns that hold ids already.
    """

    label_names: tuple[str, ...] | None = None
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_of_bases = False
    is_of_pairs = False

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Columns that it reads."""

    @abstractmethod
    def found_names(self, batch: Batch, n_bases: np.ndarray) -> set[str]:
        """Return the names that occur in a batch, having checked all but which they are."""

    @abstractmethod
    def read(self, batch: Batch, n_bases: np.ndarray) -> pa.Array:
        """Return the labels of a batch as ids; see `LabelReader.read`."""

    def checked_ids(
        self, values: NamedValues, batch: Batch, rows: np.ndarray | None = None, *, missing: int = IGNORED_LABEL
    ) -> np.ndarray:
        """Return the ids of named values, int64.

        Raises:
            ValueError: a name is none of the classes.
        """
        assert self.label_names is not None
        ids, known = values.ids(self.label_names, missing=missing), self.label_names
        batch.check(
            ids == -2,
            lambda at: (
                f"the label {values.names[values.codes[at]]!r} in column {self.columns[0]!r} is none of the "
                f"{len(known)} classes: {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}."
            ),
            rows,
        )
        return ids


@dataclass(frozen=True, kw_only=True)
class SingleLabels(ClassReader):
    """One class for each sequence: int64 ids."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of the class."""
        return (self.column,)

    def found_names(self, batch: Batch, n_bases: np.ndarray) -> set[str]:
        """Return the names in the column; none may be missing."""
        return self._values(batch).present

    def read(self, batch: Batch, n_bases: np.ndarray) -> pa.Array:
        """Return (rows,) int64."""
        return pa.array(self.checked_ids(self._values(batch), batch))

    def is_kept(self, batch: Batch, classes: Sequence[str]) -> np.ndarray:
        """Return whether each row is of one of these classes, (rows,) bool."""
        return self._values(batch).ids(classes) >= 0

    def _values(self, batch: Batch) -> NamedValues:
        names = self.class_names.get(self.column)
        values = named_values(batch.column(self.column), batch, self.column, class_names=names)
        batch.check(values.codes < 0, lambda _: f"the label in column {self.column!r} is missing.")
        return values


@dataclass(frozen=True, kw_only=True)
class ListedLabels(ClassReader):
    """Several labels at once, as a list of names or as names with something between them: floats 0 and 1."""

    column: str
    separator: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of the lists."""
        return (self.column,)

    def found_names(self, batch: Batch, n_bases: np.ndarray) -> set[str]:
        """Return the names in the lists."""
        return self._values(batch)[0].present

    def read(self, batch: Batch, n_bases: np.ndarray) -> pa.Array:
        """Return a list of a float for each class."""
        values, rows = self._values(batch)
        ids = self.checked_ids(values, batch, rows)
        assert self.label_names is not None
        labels = np.zeros((len(batch.table), len(self.label_names)))
        np.add.at(labels, (rows, ids), 1)
        batch.check(
            labels.max(axis=1, initial=0) > 1,
            lambda row: (
                f"a class is named twice in column {self.column!r}. A list holds names or ids of classes; for "
                "a 0 or 1 of each class, name columns with --data.label_columns."
            ),
        )
        return list_array(labels)

    def _values(self, batch: Batch) -> tuple[NamedValues, np.ndarray]:
        lists = self._lists(batch)
        _, rows = row_of_values(lists)
        names = self.class_names.get(self.column)
        values = named_values(lists.flatten(), batch, self.column, class_names=names, rows=rows)
        batch.check(values.codes < 0, lambda _: f"a label in column {self.column!r} is missing.", rows)
        return values, rows

    def _lists(self, batch: Batch) -> pa.ListArray:
        column = batch.column(self.column)
        if self.separator is None or is_list(column):
            return listed(batch, self.column)
        texts = [text or "" for text in column.cast(pa.string()).to_pylist()]
        parts = [[part.strip() for part in text.split(self.separator)] if text.strip() else [] for text in texts]
        return pa.array(parts, pa.list_(pa.string()))


@dataclass(frozen=True, kw_only=True)
class LabelColumns:
    """Several labels at once, a column of 0 and 1 for each: floats 0 and 1, -100 where it is not known."""

    columns: tuple[str, ...]
    is_of_bases = False
    is_of_pairs = False

    def read(self, batch: Batch, n_bases: np.ndarray) -> pa.Array:
        """Return a list of a float for each column."""
        found = [self._column(batch, name) for name in self.columns]
        return list_array(np.stack(found, axis=1))

    def _column(self, batch: Batch, name: str) -> np.ndarray:
        values = numbers(batch.column(name), batch, name)
        values = np.where(np.isnan(values), IGNORED_LABEL, values)
        batch.check(
            ~np.isin(values, (0, 1, IGNORED_LABEL)),
            lambda row: f"{values[row]:g} in column {name!r}; a label is 0 or 1, and an empty cell is unknown.",
        )
        return values


@dataclass(frozen=True, kw_only=True)
class SequenceTargets:
    """Numbers for each sequence, from several columns or from one of numbers or lists: lists of floats."""

    columns: tuple[str, ...]
    n_targets: int = 1
    has_lists: bool = False
    is_of_bases = False
    is_of_pairs = False

    def as_in(self, batch: Batch) -> "SequenceTargets":
        """Return the reader for columns as those of this batch, whose first row has as many targets as all."""
        if len(self.columns) > 1 or not holds_lists(batch.column(self.columns[0])):
            return replace(self, n_targets=len(self.columns))
        n_targets = len(listed(batch, self.columns[0])[0])
        batch.check([n_targets == 0], lambda _: f"the list in column {self.columns[0]!r} is empty.")
        return replace(self, n_targets=n_targets, has_lists=True)

    @property
    def target_names(self) -> tuple[str, ...]:
        """The columns; for lists, the name of theirs with a number from 0."""
        if not self.has_lists or self.n_targets == 1:
            return self.columns
        return tuple(f"{self.columns[0]}_{target}" for target in range(self.n_targets))

    def read(self, batch: Batch, n_bases: np.ndarray) -> pa.Array:
        """Return a list of a float for each target."""
        targets = self._targets(batch)
        named = self.columns[0] if len(self.columns) == 1 else None
        batch.check(
            ~np.isfinite(targets).all(axis=1),
            lambda row: _not_finite(targets[row], named, self.columns),
        )
        return list_array(targets)

    def _targets(self, batch: Batch) -> np.ndarray:
        if not self.has_lists:
            return np.stack([numbers(batch.column(name), batch, name) for name in self.columns], axis=1)
        name = self.columns[0]
        lists = listed(batch, name)
        lengths, rows = row_of_values(lists)
        batch.check(
            lengths != self.n_targets,
            lambda row: f"{lengths[row]} targets in column {name!r}, and the first row has {self.n_targets}.",
        )
        return numbers(lists.flatten(), batch, name, rows).reshape(len(lists), -1)


def _not_finite(targets: np.ndarray, column: str | None, columns: Sequence[str]) -> str:
    at = int(np.flatnonzero(~np.isfinite(targets))[0])
    fault = "missing" if np.isnan(targets[at]) else "infinite"
    return f"the target in column {column or columns[at]!r} is {fault}. Remove the row, or write a number."


def list_array(values: np.ndarray) -> pa.ListArray:
    """Return (rows, n) values as an Arrow list a row."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1)))
