"""Tables of predictions, written chunk by chunk and the same from one rank as from many.

One rank writes the table itself. Of several, each writes every n-th chunk into a part, and `merge_parts` takes the
chunks of all parts in turn. Both ways go through the same writer, so that the files are equal byte for byte. A file
has a temporary name until it is whole.
"""

import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

try:
    import pyarrow as pa
except ImportError as error:
    raise ImportError("Tables of predictions need pyarrow: pip install 'dnafm[train]'") from error

from dnafm.data.prediction_formats import LIST_SEPARATORS, Part, PartSink, Sink, is_list, sink_of
from dnafm.genomics.files import check_free

Columns = Mapping[str, Any]

EXTENSIONS = (".parquet", ".tsv", ".tsv.gz", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")


class PredictionWriter:
    """Writes a table in chunks, in the format of the file's extension.

    `.parquet` has a row group for each chunk. `.tsv` and `.csv` have a header, an empty field for null, `true` and
    `false`; a list is joined by commas, and a list of lists by semicolons. `.jsonl` has an object for each row, with
    NaN and Infinity as Python's json writes them. Text may be compressed: `.tsv.gz`, `.csv.gz`, `.jsonl.gz`. Floats
    are written with the fewest digits that give back the same number in their own precision.

    The schema is that of the first chunk, null as text and categories as their values; later chunks are cast to it
    where that loses nothing. Use it in a `with` statement: the file is there after the block, and is not where the
    block fails. A killed process leaves a file that ends in `.tmp`.

    Args:
        path: of the table.
        schema: of all chunks; without one, an empty input gives a table without columns.
        overwrite: replace an existing file, when the new one is whole.
        n_ranks: processes that write; with more than one, each makes the part that `merge_parts` reads.
        rank: of this process.

    Raises:
        ValueError: the extension is none of `EXTENSIONS`, the format cannot hold a column of the schema, or there is
            no such rank.
        FileExistsError: the file exists.
        OSError: the folder does not exist or cannot be written to.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        schema: pa.Schema | None = None,
        overwrite: bool = False,
        n_ranks: int = 1,
        rank: int = 0,
    ):
        if not 0 <= rank < n_ranks:
            raise ValueError(f"The rank is {rank} of n_ranks={n_ranks}; it must lie in 0 to n_ranks - 1.")
        self.path = Path(path)
        self._extension = _extension_of(self.path)
        self._n_ranks, self._next_chunk = n_ranks, rank
        self._target = self.path if n_ranks == 1 else part_path(self.path, rank)
        self._schema = None if schema is None else self._checked(schema)
        check_free(self.path, overwrite=overwrite)
        self._temporary = self._target.with_name(f"{self._target.name}.{uuid.uuid4().hex}.tmp")
        self._stream = _open_new(self._temporary)
        self._sink: Sink | None = None
        # What is done at the end in any case, the last one first.
        self._cleanup = ExitStack()
        self._cleanup.callback(self._temporary.unlink, missing_ok=True)
        self._cleanup.callback(self._stream.close)
        if n_ranks > 1:
            # That of an earlier run must not be taken for this one's.
            self._target.unlink(missing_ok=True)

    def __enter__(self) -> "PredictionWriter":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if error_type is None:
            self.close()
        else:
            self._cleanup.close()

    def write_chunk(self, chunk_index: int, rows: pa.Table | pa.RecordBatch | Columns) -> None:
        """Write the next chunk of this rank.

        Args:
            chunk_index: number of the chunk in the input, from 0; those of a rank are `rank`, `rank + n_ranks`, ...
            rows: a table, or columns by name: sequences of values, or arrays whose first axis is that of the rows; a
                sequence of arrays may be ragged in the first axis of these.

        Raises:
            ValueError: it is not this rank's next chunk, its columns are not those of the schema, or a value fits
                neither schema nor format.
        """
        if chunk_index != self._next_chunk:
            raise ValueError(f"{self.path}: chunk {chunk_index} came where {self._next_chunk} is next of this rank.")
        table = rows if isinstance(rows, (pa.Table, pa.RecordBatch)) else prediction_table(rows)
        # Metadata of a chunk, such as the index that pandas had, is not that of the whole.
        schema = self._checked(table.schema.remove_metadata()) if self._schema is None else self._schema
        if self._n_ranks == 1:
            # In a part each chunk keeps its own: the first of all ranks decides.
            self._schema = schema
        self._open_sink().write(_cast(table, schema, f"{self.path}, chunk {chunk_index}"))
        self._next_chunk += self._n_ranks

    def close(self) -> None:
        """Finish the file and give it its name."""
        with self._cleanup:
            self._open_sink().close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            os.replace(self._temporary, self._target)

    def _checked(self, schema: pa.Schema) -> pa.Schema:
        fields = [field.with_type(_stored_type(field.type)) for field in schema]
        for field in fields:
            _check_type(field, self._extension, self.path)
        return pa.schema(fields, schema.metadata)

    def _open_sink(self) -> "Sink":
        """Return what chunks are written to; it is opened late, because the schema is part of what it writes."""
        if self._sink is None:
            schema = pa.schema([]) if self._schema is None else self._schema
            make_sink = PartSink if self._n_ranks > 1 else sink_of(self._extension)
            self._sink = make_sink(self._stream, schema)
            self._cleanup.callback(self._sink.close)
        return self._sink


def prediction_table(columns: Columns) -> pa.Table:
    """Return columns as an Arrow table.

    Args:
        columns: sequences of values, or arrays whose first axis is that of the rows; a sequence of arrays may be
            ragged in the first axis of these.
    """
    return pa.table({name: _column(values) for name, values in columns.items()})


def part_path(target: str | os.PathLike, rank: int) -> Path:
    """Return the path of the part that a rank writes for a table, which only `merge_parts` can read."""
    return Path(f"{os.fspath(target)}.part-{rank}")


def merge_parts(target: str | os.PathLike, n_ranks: int, *, overwrite: bool = False) -> None:
    """Make a table of the parts of all ranks, and remove these; nothing is to do for one rank.

    To be called by one rank, when the writers of all are closed, with the `overwrite` that they had. Where it fails,
    the parts stay.

    Raises:
        FileExistsError: the table exists, and `overwrite` is not set.
        FileNotFoundError: a part is missing.
        ValueError: a chunk is missing, or does not fit the schema, which is found only here where none was given.
    """
    if n_ranks == 1:
        return
    paths = [part_path(target, rank) for rank in range(n_ranks)]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: its rank did not close its writer. Predict again.")
    with ExitStack() as stack:
        parts = [Part(stack.enter_context(pa.memory_map(str(path)))) for path in paths]
        writer = stack.enter_context(PredictionWriter(target, schema=parts[0].schema, overwrite=overwrite))
        chunk_index = 0
        while (part := parts[chunk_index % n_ranks]).has_next():
            writer.write_chunk(chunk_index, part.next())
            chunk_index += 1
        for path, part in zip(paths, parts, strict=True):
            if part.has_next():
                raise ValueError(f"{path} goes on where the others lack chunk {chunk_index}. Predict again.")
    for path in paths:
        path.unlink()


def _extension_of(path: Path) -> str:
    for extension in EXTENSIONS:
        if path.name.endswith(extension):
            return extension
    raise ValueError(f"{path}: the extension says the format, and must be one of {', '.join(EXTENSIONS)}.")


def _open_new(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except OSError as error:
        raise OSError(f"{path.parent}: no file can be made in this folder: {error.strerror}.") from error


def _column(values: Any) -> pa.Array:
    """Return arrays of more than one axis as lists, without a Python object for each value."""
    if isinstance(values, np.ndarray):
        return _lists(values)
    if len(values) and all(isinstance(value, np.ndarray) for value in values):
        return _list_array([len(value) for value in values], np.concatenate(values))
    return pa.array(values)


def _lists(array: np.ndarray) -> pa.Array:
    if array.ndim == 1:
        return pa.array(array)
    n_rows, width = array.shape[:2]
    return _list_array([width] * n_rows, array.reshape(n_rows * width, *array.shape[2:]))


def _list_array(lengths: Sequence[int], array: np.ndarray) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *lengths]), pa.int32()), _lists(array))


def _cast(table: pa.Table | pa.RecordBatch, schema: pa.Schema, place: str) -> pa.RecordBatch:
    """Return a chunk as one piece of memory, so that files do not show how it was made."""
    if sorted(table.schema.names) != sorted(schema.names):
        raise ValueError(f"{place}: the columns are {table.schema.names}; those of the table are {schema.names}.")
    arrays = []
    for field in schema:
        try:
            array = table.column(field.name).cast(field.type)
        except pa.ArrowException as error:
            raise ValueError(
                f"{place}, column {field.name!r}: {error}. The table has {field.type} there; the first chunk says so, "
                "unless a schema is given. Give one that holds all chunks."
            ) from error
        arrays.append(array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _stored_type(column_type: pa.DataType) -> pa.DataType:
    if pa.types.is_null(column_type):
        return pa.string()
    return column_type.value_type if pa.types.is_dictionary(column_type) else column_type


def _check_type(field: pa.Field, extension: str, path: Path) -> None:
    if extension == ".parquet":
        return
    innermost, depth = field.type, 0
    while is_list(innermost):
        innermost, depth = innermost.value_type, depth + 1
    is_table = not extension.startswith(".jsonl")
    if is_table and (pa.types.is_nested(innermost) or depth > len(LIST_SEPARATORS)):
        raise ValueError(f"{path}: a {extension} file cannot hold {field.type}, as {field.name!r} is. Write .jsonl.")
    if pa.types.is_binary(innermost) or pa.types.is_large_binary(innermost):
        raise ValueError(f"{path}: text cannot hold {field.type}, as {field.name!r} is. Write .parquet.")
