"""The formats of tables of predictions: Parquet, delimited text, lines of JSON, and the parts of ranks."""

import gzip
import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

_DELIMITERS = {".tsv": "\t", ".csv": ","}
# Between the values of a list, and between the lists of a list of lists.
LIST_SEPARATORS = (",", ";")
# Rows that are spelled out at once: lists of a value for each base are large as Python objects.
_ROWS_AT_ONCE = 256


def sink_of(extension: str) -> "Callable[[BinaryIO, pa.Schema], Sink]":
    """Return what makes the sink of an extension."""
    return _ParquetSink if extension == ".parquet" else partial(_TextSink, extension)


class Sink(Protocol):
    """What chunks are written to; closing it twice does no more than once."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Write a chunk."""

    def close(self) -> None:
        """Write what is left."""


class _ParquetSink:
    def __init__(self, stream: BinaryIO, schema: pa.Schema):
        self._writer = pq.ParquetWriter(stream, schema)
        self.close = self._writer.close

    def write(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._writer.write_batch(batch, row_group_size=batch.num_rows)


class PartSink:
    """An Arrow stream with the schema of the table, empty where it is not known, and then one for each chunk."""

    def __init__(self, stream: BinaryIO, schema: pa.Schema):
        self._stream = stream
        pa.ipc.new_stream(stream, schema).close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Write a chunk as a stream of its own."""
        with pa.ipc.new_stream(self._stream, batch.schema) as writer:
            writer.write_batch(batch)

    def close(self) -> None:
        """Do nothing: each stream has been closed."""


class Part:
    """What a `PartSink` wrote."""

    def __init__(self, source: pa.NativeFile):
        self._source = source
        schema = self.next().schema
        self.schema = schema if schema.names else None

    def has_next(self) -> bool:
        """Return whether there is another chunk."""
        return self._source.tell() < self._source.size()

    def next(self) -> pa.Table:
        """Read the next chunk."""
        return pa.ipc.open_stream(self._source).read_all()


class _TextSink:
    def __init__(self, extension: str, stream: BinaryIO, schema: pa.Schema):
        # Neither name nor time in the file, which would make equal tables differ.
        self._gzip = gzip.GzipFile("", "wb", 6, stream, mtime=0) if extension.endswith(".gz") else None
        self._write = (self._gzip or stream).write
        self._delimiter = _DELIMITERS.get(extension.removesuffix(".gz"))
        if self._delimiter and schema.names:
            self._write(_delimited(schema.names, self._delimiter).encode())

    def write(self, batch: pa.RecordBatch) -> None:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            rows = _with_shortest_floats(batch.slice(start, _ROWS_AT_ONCE)).to_pylist()
            self._write("".join(map(self._line, rows)).encode())

    def close(self) -> None:
        if self._gzip is not None:
            self._gzip.close()

    def _line(self, row: dict[str, Any]) -> str:
        if self._delimiter:
            return _delimited(map(_cell, row.values()), self._delimiter)
        # Times and decimals as text.
        return json.dumps(row, ensure_ascii=False, default=str) + "\n"


def _with_shortest_floats(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return floats of less than 64 bits as the float64 that is spelled like them: 0.1, not 0.10000000149011612."""
    columns = []
    for column in batch.columns:
        text = column.cast(_with_narrow_floats_as(pa.string(), column.type))
        columns.append(text.cast(_with_narrow_floats_as(pa.float64(), column.type)))
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _with_narrow_floats_as(replacement: pa.DataType, column_type: pa.DataType) -> pa.DataType:
    if is_list(column_type):
        return pa.list_(_with_narrow_floats_as(replacement, column_type.value_type))
    is_narrow = pa.types.is_float32(column_type) or pa.types.is_float16(column_type)
    return replacement if is_narrow else column_type


def _delimited(cells: Iterable[str], delimiter: str) -> str:
    return delimiter.join(_quoted(cell, delimiter) for cell in cells) + "\n"


def _quoted(cell: str, delimiter: str) -> str:
    # The csv module of Python < 3.13 leaves a bare carriage return, at which other readers end the row.
    is_special = delimiter in cell or re.search('["\r\n]', cell)
    return '"' + cell.replace('"', '""') + '"' if is_special else cell


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return _joined(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _joined(values: list) -> str:
    cells = list(map(_cell, values))
    types = set(map(type, values))
    if str in types and re.search("[,;]", "".join(cells)):
        raise ValueError(f"The list {values} has texts with the separators of lists. Write .jsonl or .parquet.")
    return LIST_SEPARATORS[list in types].join(cells)


def is_list(column_type: pa.DataType) -> bool:
    """Return whether the values of a column are lists."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(column_type) for is_kind in kinds)
