"""Folders of safetensors shards that are whole or not there, written without holding all of a model."""

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.serialization import split_state_dict_into_shards_factory
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME

from dnafm.checkpoints.weight_files import LazyTensor

_SIZE = r"[1-9]\d*([KMGT]B)?"
_FILENAME_PATTERN = "model{suffix}.safetensors"


def write_shards(
    folder: Path,
    tensors: Mapping[str, LazyTensor],
    *,
    dtype: torch.dtype | None,
    max_shard_size: str | int,
    on_progress: Callable[[int], object] = lambda n_bytes: None,
) -> list[Path]:
    """Write tensors as transformers does: one file, or several with an index; in memory is one shard at a time.

    Args:
        folder: to write to.
        tensors: in the order in which they are read and written.
        dtype: to convert to; None keeps that of each tensor.
        max_shard_size: of a file, as `"5GB"` or in bytes.
        on_progress: called with the bytes of each tensor that was read.

    Returns:
        The files with tensors.

    Raises:
        ValueError: `max_shard_size` is no size.
        OSError: the disk is full, or the folder cannot be written to.
    """
    if not re.fullmatch(_SIZE, str(max_shard_size)):
        raise ValueError(f"max_shard_size is {max_shard_size!r}; a size such as 500MB or 5GB is due.")
    sizes = {name: tensor.n_values * (dtype or tensor.dtype).itemsize for name, tensor in tensors.items()}
    split = split_state_dict_into_shards_factory(
        sizes, get_storage_size=int, filename_pattern=_FILENAME_PATTERN, max_shard_size=max_shard_size
    )
    for filename, names in split.filename_to_tensors.items():
        shard: dict[str, Tensor] = {}
        for name in names:
            # A copy: a view would carry all that it is a view of, and two names may share a tensor.
            shard[name] = tensors[name].read().to(dtype or tensors[name].dtype, copy=True).contiguous()
            on_progress(sizes[name])
        _save(shard, folder / filename)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (folder / SAFE_WEIGHTS_INDEX_NAME).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    return [folder / filename for filename in split.filename_to_tensors]


def _save(shard: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(shard, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written to the end ({error}). Is the disk full?") from error


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Check that a folder can be made, or replaced where `overwrite` is set.

    Raises:
        OSError: there is something that must not be replaced.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file. Name a folder for the checkpoint.")
    if not any(path.iterdir()):
        return
    if not overwrite:
        raise FileExistsError(f"{path} exists. Write to another folder, or replace it by --overwrite.")
    if not (path / CONFIG_NAME).is_file():
        raise FileExistsError(f"{path} is no checkpoint, for it has no {CONFIG_NAME}; it is not replaced.")


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside a path, which gets its name when the block ends and goes when it fails.

    Raises:
        OSError: the path is taken, or nothing can be made beside it.
    """
    check_destination(path, overwrite=overwrite)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        raise OSError(f"{path}: no folder can be made there: {error.strerror}.") from error
    try:
        yield temporary
        _put_in_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.replace(temporary, path)
        return
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
    os.replace(path, old)
    os.replace(temporary, path)
    shutil.rmtree(old)
