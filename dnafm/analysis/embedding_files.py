"""Files of embeddings by extension: tables, safetensors, arrays of numpy, and AnnData."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import numpy as np

from dnafm.analysis.embedding_anndata import check_anndata, write_anndata
from dnafm.analysis.embedding_shards import ShardSize, index_path, shard_paths, write_shards
from dnafm.analysis.embedding_tables import EmbeddingLayout, pa
from dnafm.data.prediction_tables import EXTENSIONS as TABLES
from dnafm.data.prediction_tables import PredictionWriter
from dnafm.genomics.files import check_free, new_file

SHARDS, ARRAY, ANNDATA = ".safetensors", ".npy", ".h5ad"
EXTENSIONS = (*TABLES, SHARDS, ARRAY, ANNDATA)
# Those that can hold a vector for each base.
_PER_BASE = (".parquet", SHARDS)


def check_output(path: str | os.PathLike, *, per_base: bool, overwrite: bool = False) -> None:
    """Check what the path alone tells.

    Args:
        path: to be written.
        per_base: whether there is a vector for each base.
        overwrite: whether existing files may be replaced.

    Raises:
        ValueError: the extension is none of `EXTENSIONS`, or that of a file that has one vector for a sequence.
        OSError: a file exists, or the folder does not.
    """
    path = Path(path)
    if not path.name.endswith(EXTENSIONS):
        raise ValueError(f"{path}: the extension says the format, and must be one of {', '.join(EXTENSIONS)}.")
    if per_base and not path.name.endswith(_PER_BASE):
        raise ValueError(
            f"{path}: vectors of bases go into {' or '.join(_PER_BASE)}. Write such a file, or pool by mean, cls or "
            "max."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist. Make it, or write to another one.")
    for target in _existing_targets(path) or [path]:
        check_free(target, overwrite=overwrite)


def check_layout(path: str | os.PathLike, layout: EmbeddingLayout, *, overwrite: bool = False) -> None:
    """Check that a file can be made, and that its format can hold a table.

    Raises:
        ValueError: it cannot hold a column.
        OSError: the folder cannot be written to.
        ImportError: a library for the format is missing.
    """
    path = Path(path)
    if path.name.endswith(ANNDATA):
        check_anndata(path, layout.ids_schema)
        trial: AbstractContextManager = new_file(path, overwrite=overwrite)
    elif path.name.endswith(TABLES):
        trial = PredictionWriter(path, schema=layout.schema, overwrite=overwrite)
    else:
        trial = PredictionWriter(ids_path(path), schema=layout.ids_schema, overwrite=overwrite)
    with suppress(_NotNow), trial:
        raise _NotNow


def write_embeddings(
    path: str | os.PathLike,
    tables: Iterable[pa.Table],
    layout: EmbeddingLayout,
    *,
    n_rows: int,
    max_shard_size: ShardSize = "5GB",
    overwrite: bool = False,
) -> list[Path]:
    """Write a file, and what belongs to it.

    `.safetensors` and `.npy` hold no text: ids, coordinates and other columns are in `FILE.ids.tsv` beside them, a row
    for each sequence. Of `.h5ad` all is in memory, twice, and of a shard of `.safetensors` all of it; of other files
    one of the tables.

    Args:
        path: checked by `check_output` and `check_layout`.
        tables: of the layout, in order; none is empty.
        layout: of them.
        n_rows: of all of them.
        max_shard_size: of a `.safetensors` file, as transformers writes it, or in bytes.
        overwrite: replace existing files.

    Returns:
        The files with vectors, and behind them the others.

    Raises:
        ValueError: the rows do not fit the format.
        OSError: a file exists, or the disk is full.
    """
    path, old = Path(path), _existing_targets(Path(path))
    with _disk_full_told(path):
        if path.name.endswith(TABLES):
            with PredictionWriter(path, schema=layout.schema, overwrite=overwrite) as writer:
                for index, table in enumerate(tables):
                    writer.write_chunk(index, table)
            return [path]
        if path.name.endswith(ANNDATA):
            write_anndata(path, tables, layout, n_rows=n_rows, overwrite=overwrite)
            return [path]
        with PredictionWriter(ids_path(path), schema=layout.ids_schema, overwrite=overwrite) as ids:
            if path.name.endswith(ARRAY):
                written = _write_array(path, _with_ids_written(tables, layout, ids), layout, n_rows, overwrite)
            else:
                chunks = _with_ids_written(tables, layout, ids)
                written = write_shards(path, chunks, layout, n_rows=n_rows, max_shard_size=max_shard_size)
    written = [*written, ids_path(path)]
    for stale in set(old) - set(written):
        stale.unlink()
    return written


def ids_path(path: Path) -> Path:
    """Return the table of ids beside a file that holds none."""
    return path.with_name(f"{path.name}.ids.tsv")


class _NotNow(Exception):  # noqa: N818  # it is none
    """A file that was opened to see whether it can be is not to be written."""


def _existing_targets(path: Path) -> list[Path]:
    """Return all files that an earlier run may have written in the place of this one."""
    if path.name.endswith(SHARDS):
        targets = [path, *shard_paths(path), index_path(path), ids_path(path)]
    else:
        targets = [path, ids_path(path)] if path.name.endswith(ARRAY) else [path]
    return [target for target in targets if target.exists()]


def _with_ids_written(
    tables: Iterable[pa.Table], layout: EmbeddingLayout, ids: PredictionWriter
) -> Iterator[pa.Table]:
    for index, table in enumerate(tables):
        ids.write_chunk(index, layout.ids(table))
        yield table


def _write_array(
    path: Path, tables: Iterable[pa.Table], layout: EmbeddingLayout, n_rows: int, overwrite: bool
) -> list[Path]:
    shape = (n_rows, *layout.item_shape)
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(layout.dtype)), "fortran_order": False, "shape": shape}
    # Not through `open_memmap`: where the disk is full, that ends the process.
    with new_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for table in tables:
            stream.write(layout.pooled(table).tobytes())
    return [path]


@contextmanager
def _disk_full_told(path: Path) -> Iterator[None]:
    """Name the file where libraries say what the system said."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileExistsError) or error.filename is not None:
            raise
        reason = error.strerror or error
        raise OSError(
            f"{path} cannot be written to the end ({reason}). Is the disk full? What was computed is kept: make room, "
            "and run again."
        ) from error
