"""Tensors in files, known by name and shape before they are read."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME

from dnafm.checkpoints.safe_pickles import load_pickle
from dnafm.released_dnafm import safetensors_shards

# Tied to others: some indexes name them, and safetensors files need not have them.
_TIED_KEYS = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "lm_head.decoder.weight")


@dataclass(frozen=True, kw_only=True)
class LazyTensor:
    """A tensor that is read when it is needed, and not kept.

    Attributes:
        shape: of the tensor.
        dtype: of the tensor.
        place: file and key, for errors.
        read: reads it.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    place: str
    read: Callable[[], Tensor]

    @property
    def n_values(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    def then(self, change: Callable[[Tensor], Tensor]) -> "LazyTensor":
        """Return the tensor after a change of its values or shape, which is tried out on the meta device."""
        shape = tuple(change(torch.empty(self.shape, dtype=self.dtype, device="meta")).shape)
        return replace(self, shape=shape, read=lambda: change(self.read()))

    def has_same_values(self, other: "LazyTensor") -> bool:
        """Whether both are equal; reads both."""
        return self.shape == other.shape and torch.equal(self.read(), other.read())


def in_memory(tensor: Tensor, place: str) -> LazyTensor:
    """Wrap a tensor that is there already, or mapped from a file."""
    return LazyTensor(shape=tuple(tensor.shape), dtype=tensor.dtype, place=place, read=lambda: tensor)


def read_weight_files(folder: Path) -> dict[str, LazyTensor]:
    """Find the weights of a folder as transformers does: safetensors before pickles, a single file before shards.

    An index that names pickles stands for safetensors shards where only those are there.

    Raises:
        OSError: there are no weights, or a shard is missing.
        ValueError: index and shards disagree, or a file is damaged or not safe; the message names file and key.
    """
    for single, index in ((SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME), (WEIGHTS_NAME, WEIGHTS_INDEX_NAME)):
        if (folder / single).is_file():
            return _tensors_in(folder / single)
        if (folder / index).is_file():
            return _sharded_tensors(folder / index)
    raise FileNotFoundError(
        f"{folder}: there are no weights; {SAFE_WEIGHTS_NAME}, {WEIGHTS_NAME}, or an index of shards such as "
        f"{SAFE_WEIGHTS_INDEX_NAME} is due."
    )


def _sharded_tensors(index: Path) -> dict[str, LazyTensor]:
    folder, weight_map = index.parent, _weight_map(index)
    standing_in = safetensors_shards(weight_map.values(), lambda name: (folder / name).is_file())
    named = {key: standing_in.get(shard, shard) for key, shard in weight_map.items()}
    tensors: dict[str, LazyTensor] = {}
    for shard in sorted(set(named.values())):
        if not (folder / shard).is_file():
            key = next(key for key, name in named.items() if name == shard)
            raise FileNotFoundError(
                f"{folder / shard} is missing; {index.name} says that {key} is in it. Was the download complete?"
            )
        tensors |= _tensors_in(folder / shard)
    _check_index(index, named, tensors)
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{index}: this is no index of shards, which is JSON with a weight_map.") from error
    outside = [name for name in weight_map.values() if Path(name).name != name]
    if outside:
        raise ValueError(f"{index} names the shard {outside[0]!r}, which is not a file of its own folder.")
    return weight_map


def _check_index(index: Path, named: Mapping[str, str], tensors: Mapping[str, LazyTensor]) -> None:
    for key, shard in named.items():
        if key not in tensors and key not in _TIED_KEYS:
            raise ValueError(f"{index.parent / shard} lacks {key}, which {index.name} says is in it.")
        if key in tensors and tensors[key].place != _place(index.parent / shard, key):
            raise ValueError(
                f"{index.name} says that {key} is in {shard}, and it is in {tensors[key].place}. Were the shards "
                "renamed, or mixed up with those of another checkpoint?"
            )
    if strays := sorted(tensors.keys() - named.keys()):
        raise ValueError(f"{tensors[strays[0]].place} is not in {index.name}: the shards are not those of this index.")


def _tensors_in(path: Path) -> dict[str, LazyTensor]:
    return dict(_safetensors(path) if path.suffix == ".safetensors" else _pickled(path))


def _safetensors(path: Path) -> Iterator[tuple[str, LazyTensor]]:
    try:
        with safe_open(path, framework="pt") as stored:
            for key in stored.keys():  # noqa: SIM118  # it is no dictionary
                shape = tuple(stored.get_slice(key).get_shape())
                dtype = stored.get_slice(key)[:0].dtype if shape else stored.get_tensor(key).dtype
                yield key, LazyTensor(shape=shape, dtype=dtype, place=_place(path, key), read=_reader(path, key))
    except SafetensorError as error:
        raise ValueError(f"{path}: no safetensors file, or one that was cut ({error}). Fetch it again.") from error


def _reader(path: Path, key: str) -> Callable[[], Tensor]:
    def read() -> Tensor:
        with safe_open(path, framework="pt") as stored:
            return stored.get_tensor(key)

    return read


def _pickled(path: Path) -> Iterator[tuple[str, LazyTensor]]:
    state_dict = _open_pickle(path)
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"{path}: the pickle holds a {type(state_dict).__name__}, and no tensors by name.")
    for key, tensor in state_dict.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{_place(path, key)} is a {type(tensor).__name__}, and no tensor.")
        yield (
            key,
            LazyTensor(
                shape=tuple(tensor.shape), dtype=tensor.dtype, place=_place(path, key), read=_pickle_reader(path, key)
            ),
        )


def _pickle_reader(path: Path, key: str) -> Callable[[], Tensor]:
    return lambda: _open_pickle(path)[key]


@lru_cache(maxsize=1)
def _open_pickle(path: Path) -> Any:
    # Shards are read one after the other, and one that is left behind leaves memory.
    return load_pickle(path)


def _place(path: Path, key: str) -> str:
    return f"{path}: {key}"
