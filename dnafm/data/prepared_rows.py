"""Rows as tasks take them: id, sequence in upper case and no longer than the model reads, labels, other columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnafm.data.sequence_labels import LabelReader
from dnafm.data.source_tables import Batch, Place, SourceTable, batch_rows
from dnafm.data.table_options import TooLong
from dnafm.data.token_labels import take_bases, take_squares


@dataclass(frozen=True)
class PreparedRows:
    """A prepared split of the input.

    Attributes:
        rows: `datasets.Dataset`, mapped into memory.
        source_rows: row of the input that each is from, (rows,) int64, ascending.
        n_cut: rows of the input that were too long.
    """

    rows: Any
    source_rows: np.ndarray
    n_cut: int

    def select(self, indices: np.ndarray) -> Any:
        """Return what is made of some rows of the input, given by ascending indices."""
        chosen = np.flatnonzero(np.isin(self.source_rows, indices))
        return self.rows if len(chosen) == len(self.source_rows) else self.rows.select(chosen)


@dataclass(frozen=True, kw_only=True)
class RowPreparation:
    """How rows are prepared.

    Attributes:
        sequence_column: of the sequences.
        id_column: of the names of rows; None to number them.
        max_bases: of the longest sequence; None for no limit.
        too_long: what becomes of longer ones.
        reader: of the labels; None for none.
    """

    sequence_column: str
    id_column: str | None
    max_bases: int | None
    too_long: TooLong
    reader: LabelReader | None = None

    def prepare(self, table: SourceTable, n_bases: np.ndarray) -> PreparedRows:
        """Prepare a table whose sequences have been checked.

        Args:
            table: with the columns.
            n_bases: of its sequences, (rows,) int64.

        Raises:
            ValueError: a label is wrong, or another column has the name of a prepared one.
        """
        n_pieces = np.array([len(self.pieces(int(length))) for length in n_bases], np.int64)
        n_cut = 0 if self.max_bases is None else int((n_bases > self.max_bases).sum())
        rows = table.rows.with_format("arrow").map(
            _Preparation(self, table.place, n_bases),
            batched=True,
            batch_size=batch_rows(n_bases, of_pairs=self.reader is not None and self.reader.is_of_pairs),
            with_indices=True,
            features=self._features(table),
            remove_columns=table.rows.column_names,
            # What is cached there may have been made by another version of this code.
            load_from_cache_file=False,
            desc=f"preparing {table.place}",
        )
        return PreparedRows(rows.with_format(None), np.repeat(np.arange(len(n_bases)), n_pieces), n_cut)

    def pieces(self, n_bases: int) -> list[tuple[int, int]]:
        """Return start and end of each piece that a sequence of so many bases becomes."""
        limit = self.max_bases
        if limit is None or n_bases <= limit:
            return [(0, n_bases)]
        if self.too_long == "center":
            start = (n_bases - limit) // 2
            return [(start, start + limit)]
        if self.too_long == "left":
            return [(0, limit)]
        if self.too_long == "right":
            return [(n_bases - limit, n_bases)]
        if self.too_long == "tile":
            return [(start, min(start + limit, n_bases)) for start in range(0, n_bases, limit)]
        raise ValueError(f"A sequence of {n_bases} bases is longer than {limit}.")

    def names(self, name: str, pieces: list[tuple[int, int]]) -> list[str]:
        """Return the ids of the pieces of a sequence."""
        return [f"{name}:{start}-{end}" for start, end in pieces] if len(pieces) > 1 else [name]

    def other_columns(self, columns: Sequence[str], place: Place) -> list[str]:
        """Return the columns that are handed on.

        Raises:
            ValueError: one has the name of a prepared column.
        """
        used = {self.sequence_column, self.id_column, *(self.reader.columns if self.reader else ())}
        prepared = {"id", "sequence"} | ({"labels"} if self.reader else set())
        others = [name for name in columns if name not in used]
        if clash := sorted(prepared.intersection(others)):
            raise ValueError(
                f"{place}: column {clash[0]!r} is not the one that options name for it. Give it another name, "
                f"as with --data.rename_columns.{clash[0]} old_{clash[0]}."
            )
        return others

    def _features(self, table: SourceTable) -> Any:
        import datasets

        given = table.rows.features
        features = {"id": datasets.Value("string"), "sequence": given[self.sequence_column]}
        if self.reader is not None:
            first = next(table.batches([self.sequence_column, *self.reader.columns], 1))
            n_bases = pc.utf8_length(first.column(self.sequence_column)).to_numpy()
            labels = self.reader.read(first, n_bases.astype(np.int64))
            features |= datasets.Features.from_arrow_schema(pa.schema({"labels": labels.type}))
        return datasets.Features(
            features | {name: given[name] for name in self.other_columns(table.rows.column_names, table.place)}
        )


@dataclass(frozen=True)
class _Preparation:
    """What `datasets` maps over the batches of a table."""

    options: RowPreparation
    place: Place
    n_bases: np.ndarray

    def __call__(self, table: pa.Table, indices: list[int]) -> pa.Table:
        options = self.options
        batch = Batch(table, self.place, indices[0])
        n_bases = self.n_bases[indices[0] : indices[0] + len(table)]
        columns = {"id": self._ids(batch), "sequence": pc.ascii_upper(batch.column(options.sequence_column))}
        if options.reader is not None:
            columns["labels"] = options.reader.read(batch, n_bases)
        others = options.other_columns(table.column_names, self.place)
        columns |= {name: batch.column(name) for name in others}
        if options.max_bases is None or n_bases.max(initial=0) <= options.max_bases:
            return pa.table(columns)
        return self._cut(columns, n_bases)

    def _ids(self, batch: Batch) -> pa.Array:
        if self.options.id_column is not None:
            return batch.column(self.options.id_column).cast(pa.string())
        numbers = np.arange(batch.start, batch.start + len(batch.table))
        numbers = numbers + 1 if self.place.numbers is None else self.place.numbers[numbers]
        return pa.array(numbers).cast(pa.string())

    def _cut(self, columns: dict[str, pa.Array], n_bases: np.ndarray) -> pa.Table:
        pieces = [self.options.pieces(int(length)) for length in n_bases]
        rows = np.repeat(np.arange(len(pieces)), [len(each) for each in pieces])
        starts, ends = np.array([bounds for each in pieces for bounds in each], np.int64).T
        reader, chosen = self.options.reader, pa.array(rows)
        taken = {name: column.take(chosen) for name, column in columns.items()}
        named = zip(columns["id"].to_pylist(), pieces, strict=True)
        taken["id"] = pa.array([name for row in named for name in self.options.names(*row)])
        sequences = zip(taken["sequence"].to_pylist(), starts, ends, strict=True)
        cut = [sequence[start:end] for sequence, start, end in sequences]
        taken["sequence"] = pa.array(cut, columns["sequence"].type)
        if reader is not None and reader.is_of_bases:
            take = take_squares if reader.is_of_pairs else take_bases
            taken["labels"] = take(columns["labels"], rows, starts, ends)
        return pa.table(taken).select(list(columns))
