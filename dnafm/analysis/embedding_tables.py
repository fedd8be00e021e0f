"""Embeddings as rows of a table: ids, coordinates, other columns of the input, and vectors in fixed-size lists."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

try:
    import pyarrow as pa
except ImportError as error:
    raise ImportError("Tables of embeddings need pyarrow: pip install 'dnafm[train]'") from error

from dnafm.analysis.named_sequences import NamedSequence

OutputDtype = Literal["float32", "float16"]
VECTOR_COLUMN = "embedding"
_COORDINATES = {"contig": pa.string(), "start_bp": pa.int64(), "end_bp": pa.int64(), "strand": pa.string()}


@dataclass(frozen=True)
class EmbeddingLayout:
    """What a table of embeddings holds.

    The columns are `id`; `contig`, `start_bp`, `end_bp` (from 0, half-open) and `strand`, where sequences have
    intervals; `n_bases`; those of the input; and the vectors: `embedding`, or for several layers one column for each,
    `embedding_12`, `embedding_24`.

    Attributes:
        width: numbers of a vector.
        layers: whose outputs there are, counted from the input of the first one, 0.
        per_base: whether there is a vector for each base instead of one for each sequence.
        dtype: of the vectors.
        has_intervals: whether sequences have intervals.
        other_columns: names and types of the input's, None where it has none.
        description: of model and options, as JSON holds it.

    Raises:
        ValueError: a column of the input has the name of another one here.
    """

    width: int
    layers: tuple[int, ...]
    per_base: bool
    dtype: OutputDtype
    has_intervals: bool
    other_columns: pa.Schema | None
    description: Mapping[str, Any]

    def __post_init__(self) -> None:
        own = {*self._places, *self.vector_columns}
        if clash := [column.name for column in self._others if column.name in own]:
            raise ValueError(
                f"The input has a column {clash[0]!r}, and so has what is written. Give it another name in the file"
                f"{', or name it as id_column' if clash[0] == 'id' else ''}."
            )

    @property
    def vector_columns(self) -> tuple[str, ...]:
        """Columns of vectors, in the order of the layers."""
        if len(self.layers) == 1:
            return (VECTOR_COLUMN,)
        return tuple(f"{VECTOR_COLUMN}_{layer}" for layer in self.layers)

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of the vectors of a sequence, or of a base: (hidden,), or (layers, hidden)."""
        return (self.width,) if len(self.layers) == 1 else (len(self.layers), self.width)

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the whole table."""
        vector = pa.list_(pa.float16() if self.dtype == "float16" else pa.float32(), self.width)
        kind = pa.list_(vector) if self.per_base else vector
        columns = [*self.ids_schema, *(pa.field(name, kind) for name in self.vector_columns)]
        return pa.schema(columns, {"dnafm": json.dumps(self.description)})

    @cached_property
    def ids_schema(self) -> pa.Schema:
        """Of the table without vectors."""
        return pa.schema([*(pa.field(*column) for column in self._places.items()), *self._others])

    def table(self, rows: Sequence[NamedSequence], vectors: Sequence[np.ndarray]) -> pa.Table:
        """Return rows as a table.

        Args:
            rows: of the input.
            vectors: of each, (layers, hidden) or (layers, bases, hidden) float32.

        Raises:
            ValueError: a number is too large for float16.
        """
        values: dict[str, Any] = {"id": [row.id for row in rows], "n_bases": [len(row.sequence) for row in rows]}
        if self.has_intervals:
            values |= {name: [getattr(row.interval, name) for row in rows] for name in _COORDINATES}
        values |= {column.name: [row.others[column.name] for row in rows] for column in self._others}
        columns = [pa.array(values[column.name], column.type) for column in self.ids_schema]
        kept = [self._in_dtype(row, own) for row, own in zip(rows, vectors, strict=True)]
        columns += [self._vector_column([own[number] for own in kept]) for number in range(len(self.layers))]
        return pa.table(columns, schema=self.schema)

    def ids(self, table: pa.Table) -> pa.Table:
        """Return a table without its vectors."""
        return table.select(self.ids_schema.names)

    def pooled(self, table: pa.Table) -> np.ndarray:
        """Return the vectors of a pooled table, (rows, hidden) or (rows, layers, hidden)."""
        of_layers = [_flat(table[name]).reshape(len(table), self.width) for name in self.vector_columns]
        return of_layers[0] if len(of_layers) == 1 else np.stack(of_layers, axis=1)

    def of_bases(self, table: pa.Table) -> list[np.ndarray]:
        """Return the vectors of each row's bases, (bases, hidden) or (layers, bases, hidden)."""
        of_layers = []
        for name in self.vector_columns:
            lists = table[name].combine_chunks()
            flat = _flat(lists.flatten()).reshape(-1, self.width)
            of_layers.append(np.split(flat, np.cumsum(lists.value_lengths().to_numpy())[:-1]))
        if len(of_layers) == 1:
            return of_layers[0]
        return [np.stack(own) for own in zip(*of_layers, strict=True)]

    @property
    def _places(self) -> dict[str, pa.DataType]:
        return {"id": pa.string(), **(_COORDINATES if self.has_intervals else {}), "n_bases": pa.int64()}

    @cached_property
    def _others(self) -> list[pa.Field]:
        # A column without any value is text elsewhere, too.
        columns = self.other_columns or ()
        return [column.with_type(pa.string()) if pa.types.is_null(column.type) else column for column in columns]

    def _in_dtype(self, row: NamedSequence, vectors: np.ndarray) -> np.ndarray:
        if self.dtype == "float32":
            return vectors
        if np.abs(vectors).max() > np.finfo(np.float16).max:
            raise ValueError(
                f"{row.place}: the vector has {np.abs(vectors).max():g}, and float16 ends at 65504. Write float32."
            )
        return vectors.astype(np.float16)

    def _vector_column(self, of_rows: list[np.ndarray]) -> pa.Array:
        flat = np.concatenate(of_rows) if self.per_base else np.stack(of_rows)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), self.width)
        if not self.per_base:
            return vectors
        ends = np.cumsum([0, *map(len, of_rows)])
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), vectors)


def _flat(vectors: pa.Array | pa.ChunkedArray) -> np.ndarray:
    array = vectors.combine_chunks() if isinstance(vectors, pa.ChunkedArray) else vectors
    return array.flatten().to_numpy(zero_copy_only=False)
