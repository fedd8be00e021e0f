"""Embeddings as safetensors: one file, or several with an index, as transformers names them."""

import glob
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file
from transformers.utils.hub import convert_file_size_to_int

from dnafm.analysis.embedding_tables import VECTOR_COLUMN, EmbeddingLayout, pa

ShardSize = str | int
# The key of the header under which safetensors keeps text.
_RESERVED = "__metadata__"


def checked_size(max_shard_size: ShardSize) -> int:
    """Return a size in bytes.

    Raises:
        ValueError: it is none.
    """
    try:
        n_bytes = convert_file_size_to_int(max_shard_size)
    except ValueError:
        n_bytes = 0
    if n_bytes < 1:
        raise ValueError(f"max_shard_size is {max_shard_size!r}; it must be a size such as 5GB, 200MB or 1GiB.")
    return n_bytes


def index_path(path: Path) -> Path:
    """Return the index of several shards, which tells the file of each tensor."""
    return path.with_name(f"{path.name}.index.json")


def shard_paths(path: Path) -> list[Path]:
    """Return the shards that there are."""
    pattern = f"{glob.escape(path.stem)}-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9]{path.suffix}"
    return sorted(path.parent.glob(pattern))


def write_shards(
    path: Path, tables: Iterable[pa.Table], layout: EmbeddingLayout, *, n_rows: int, max_shard_size: ShardSize
) -> list[Path]:
    """Write tensors, and return the files, the index last; in memory is one shard.

    Pooled vectors are the tensor `embedding`, (rows, hidden) or (rows, layers, hidden); in several shards
    `embedding.00001` and so on are its consecutive rows. Vectors of bases are one tensor for each sequence, under its
    id: (bases, hidden) or (layers, bases, hidden).

    Args:
        path: of the file where it is one; `NAME-00001-of-00003.safetensors` and so on where they are several.
        tables: of the layout.
        layout: of them.
        n_rows: of all of them.
        max_shard_size: of a file; a larger tensor of one sequence has one of its own.
    """
    limit = checked_size(max_shard_size)
    shards = _of_bases(tables, layout, limit) if layout.per_base else _pooled(tables, layout, limit, n_rows)
    metadata = {"dnafm": json.dumps(layout.description)}
    with ExitStack() as stack:
        temporary: list[Path] = []
        weight_map: dict[str, int] = {}
        n_bytes = 0
        for shard in shards:
            temporary.append(path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp"))
            stack.callback(temporary[-1].unlink, missing_ok=True)
            _save(shard, temporary[-1], metadata)
            weight_map |= dict.fromkeys(shard, len(temporary) - 1)
            n_bytes += sum(tensor.nbytes for tensor in shard.values())
        names = _names(path, len(temporary))
        written = list(names)
        if len(names) > 1:
            files = {tensor: names[number].name for tensor, number in weight_map.items()}
            temporary.append(path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp"))
            stack.callback(temporary[-1].unlink, missing_ok=True)
            index = {"metadata": {"total_size": n_bytes}, "weight_map": files}
            temporary[-1].write_text(json.dumps(index, indent=2) + "\n")
            written.append(index_path(path))
        for made, target in zip(temporary, written, strict=True):
            os.replace(made, target)
    return written


def _names(path: Path, n_shards: int) -> list[Path]:
    if n_shards == 1:
        return [path]
    return [
        path.with_name(f"{path.stem}-{number:05}-of-{n_shards:05}{path.suffix}") for number in range(1, n_shards + 1)
    ]


def _pooled(
    tables: Iterable[pa.Table], layout: EmbeddingLayout, limit: int, n_rows: int
) -> Iterator[dict[str, np.ndarray]]:
    bytes_of_row = int(np.prod(layout.item_shape)) * np.dtype(layout.dtype).itemsize
    rows_of_shard = max(1, limit // bytes_of_row)
    is_one = n_rows <= rows_of_shard
    parts: list[np.ndarray] = []
    n_shards = n_waiting = 0
    for vectors in map(layout.pooled, tables):
        parts.append(vectors)
        n_waiting += len(vectors)
        while n_waiting >= rows_of_shard and not is_one:
            joined = np.concatenate(parts)
            n_shards += 1
            yield {f"{VECTOR_COLUMN}.{n_shards:05}": joined[:rows_of_shard]}
            parts, n_waiting = [joined[rows_of_shard:]], n_waiting - rows_of_shard
    if n_waiting:
        yield {VECTOR_COLUMN if is_one else f"{VECTOR_COLUMN}.{n_shards + 1:05}": np.concatenate(parts)}


def _of_bases(tables: Iterable[pa.Table], layout: EmbeddingLayout, limit: int) -> Iterator[dict[str, np.ndarray]]:
    shard: dict[str, np.ndarray] = {}
    n_bytes = 0
    for table in tables:
        for name, vectors in zip(table["id"].to_pylist(), layout.of_bases(table), strict=True):
            if name == _RESERVED:
                raise ValueError(f"The id {name!r} cannot be the name of a tensor. Write .parquet, or rename it.")
            if shard and n_bytes + vectors.nbytes > limit:
                yield shard
                shard, n_bytes = {}, 0
            # A copy: a view would keep all of its table.
            shard[name] = vectors.copy()
            n_bytes += vectors.nbytes
    yield shard


def _save(shard: Mapping[str, np.ndarray], path: Path, metadata: dict[str, str]) -> None:
    try:
        save_file(dict(shard), path, metadata=metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
