"""Checkpoints of Megatron-LM: ranks of tensor and pipeline parallelism, with the names of Megatron-core."""

import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dnafm.checkpoints.foreign import ForeignCheckpoint, shown, take_equal
from dnafm.checkpoints.megatron_arguments import config_from_arguments
from dnafm.checkpoints.released import DECODER_BIAS, DECODER_WEIGHT, EMBEDDINGS, drop_tied
from dnafm.checkpoints.safe_pickles import load_pickle
from dnafm.checkpoints.weight_files import LazyTensor, in_memory
from dnafm.configuration_dnafm import DNAFMConfig
from dnafm.modeling_dnafm import DNAFMForMaskedLM

RANK_FILE = "model_optim_rng.pt"
LATEST_FILE = "latest_checkpointed_iteration.txt"
_RANK_FOLDER = re.compile(r"mp_rank_(\d{2,})(?:_(\d{3,}))?$")
_LAYER = re.compile(r"^encoder\.layers\.(\d+)\.(.+)$")
# Axis along which tensor-parallel ranks share a tensor; None: each has all of it.
_ROWS, _COLUMNS = 0, 1
_MODEL_NAMES: dict[str, tuple[str, int | None]] = {
    "embedding.word_embeddings.weight": (EMBEDDINGS, _ROWS),
    "encoder.final_layernorm.weight": ("model.norm.weight", None),
    "encoder.final_layernorm.bias": ("model.norm.bias", None),
    "lm_head.dense.weight": ("lm_head.dense.weight", None),
    "lm_head.dense.bias": ("lm_head.dense.bias", None),
    "lm_head.layernorm.weight": ("lm_head.norm.weight", None),
    "lm_head.layernorm.bias": ("lm_head.norm.bias", None),
    "output_layer.bias": (DECODER_BIAS, _ROWS),
    "output_layer.weight": (DECODER_WEIGHT, _ROWS),
}
_LAYER_NAMES: dict[str, tuple[str, int | None]] = {
    "self_attention.linear_qkv.layer_norm_weight": ("input_layernorm.weight", None),
    "self_attention.linear_qkv.layer_norm_bias": ("input_layernorm.bias", None),
    "self_attention.linear_proj.weight": ("self_attn.o_proj.weight", _COLUMNS),
    "self_attention.linear_proj.bias": ("self_attn.o_proj.bias", None),
    "mlp.linear_fc1.layer_norm_weight": ("post_attention_layernorm.weight", None),
    "mlp.linear_fc1.layer_norm_bias": ("post_attention_layernorm.bias", None),
    "mlp.linear_fc2.weight": ("mlp.down_proj.weight", _COLUMNS),
    "mlp.linear_fc2.bias": ("mlp.down_proj.bias", None),
}
# Several projections packed into one tensor, which each rank packs for itself.
_PACKED_NAMES = {
    "self_attention.linear_qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "mlp.linear_fc1": ("mlp.gate_proj", "mlp.up_proj"),
}


@dataclass(frozen=True)
class _Rank:
    """What one file holds."""

    path: Path
    arguments: Namespace
    version: float
    tensors: dict[str, Tensor]


def is_megatron_folder(folder: Path) -> bool:
    """Whether a folder is that of a run or of one of its iterations."""
    return (folder / LATEST_FILE).is_file() or any(_RANK_FOLDER.match(path.name) for path in folder.glob("mp_rank_*"))


def read_megatron(folder: Path) -> ForeignCheckpoint:
    """Read the ranks of a checkpoint, or of the latest one of a run, as a masked language model.

    Raises:
        OSError: the file of a rank is missing.
        ValueError: the ranks disagree, are not DNA FM, or are damaged or not safe; the message names file and key.
    """
    folder = _iteration_folder(folder)
    stages = _read_stages(folder)
    first = stages[0][0]
    config = config_from_arguments(first.arguments, first.path)
    tensors: dict[str, LazyTensor] = {}
    n_layers = 0
    for stage in stages:
        n_before = n_layers
        for key in _keys_of(stage):
            layer = _LAYER.match(key)
            if layer:
                n_layers = max(n_layers, n_before + int(layer[1]) + 1)
            found = _translated(key, stage, config, n_before)
            if EMBEDDINGS in found and EMBEDDINGS in tensors:  # the last stage may have a copy for the decoder
                take_equal(found, EMBEDDINGS, tensors[EMBEDDINGS])
            tensors |= found
    return ForeignCheckpoint(
        kind="Megatron-LM checkpoint",
        path=folder,
        config=config,
        model_class=DNAFMForMaskedLM,
        tensors=drop_tied(tensors, config),
    )


def _iteration_folder(folder: Path) -> Path:
    latest = folder / LATEST_FILE
    if not latest.is_file():
        return folder
    text = latest.read_text().strip()
    name = f"iter_{int(text):07d}" if text.isdigit() else text
    if not name or Path(name).name != name:
        raise ValueError(f"{latest}: {text!r} is neither the number of an iteration nor 'release'.")
    if not (folder / name).is_dir():
        raise FileNotFoundError(f"{folder / name} is missing; {latest} says that it is the latest.")
    return folder / name


def _read_stages(folder: Path) -> list[list[_Rank]]:
    """Return the ranks, pipeline stage by pipeline stage, each in the order of tensor parallelism."""
    names = sorted(path.name for path in folder.glob("mp_rank_*") if _RANK_FOLDER.match(path.name))
    if not names:
        raise FileNotFoundError(
            f"{folder}: there is no folder mp_rank_XX or mp_rank_XX_YYY. Of Megatron-LM's formats, only 'torch' can "
            "be read; write the checkpoint with --ckpt-format torch."
        )
    first = _read_rank(folder / names[0] / RANK_FILE)
    n_tensor, n_pipeline = _parallel_sizes(first.arguments, names)
    stages = []
    for stage in range(n_pipeline):
        expected = [f"mp_rank_{i:02d}" + (f"_{stage:03d}" if n_pipeline > 1 else "") for i in range(n_tensor)]
        stages.append([_read_rank(folder / name / RANK_FILE) for name in expected])
        names = [name for name in names if name not in expected]
    if names:
        raise ValueError(
            f"{folder / names[0]}: {first.path} says that there are {n_tensor} tensor-parallel and {n_pipeline} "
            "pipeline-parallel ranks, to which this one does not belong."
        )
    return stages


def _parallel_sizes(arguments: Namespace, names: Sequence[str]) -> tuple[int, int]:
    found = [match for name in names if (match := _RANK_FOLDER.match(name))]
    n_tensor = getattr(arguments, "tensor_model_parallel_size", 1 + max(int(match[1]) for match in found))
    n_pipeline = getattr(arguments, "pipeline_model_parallel_size", 1 + max(int(match[2] or 0) for match in found))
    return n_tensor, n_pipeline


def _read_rank(path: Path) -> _Rank:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: all tensor- and pipeline-parallel ranks are needed.")
    content = load_pickle(path)
    if not isinstance(content, Mapping) or not isinstance(content.get("args"), Namespace):
        raise ValueError(f"{path}: no checkpoint of Megatron-LM, which has args, an argparse.Namespace.")
    if "model" not in content:
        raise ValueError(f"{path} has no model, but {shown(map(str, content))}. Virtual pipelines cannot be read.")
    version = float(content.get("checkpoint_version", 0))
    return _Rank(path, content["args"], version, _flat_tensors(content["model"], path))


def _flat_tensors(nested: Mapping[str, Any], path: Path, prefix: str = "") -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, value in nested.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            tensors |= _flat_tensors(value, path, f"{key}.")
        elif isinstance(value, Tensor):
            tensors[key] = value
        # Transformer Engine's state of FP8, empty in other dtypes.
        elif not (value is None and key.endswith("_extra_state")):
            raise ValueError(f"{path}: {key} is a {type(value).__name__}, and no tensor.")
    return tensors


def _keys_of(stage: Sequence[_Rank]) -> list[str]:
    first = stage[0]
    for rank in stage[1:]:
        if different := sorted(first.tensors.keys() ^ rank.tensors.keys()):
            raise ValueError(f"{rank.path} and {first.path} have different tensors: {shown(different)}.")
        if rank.version != first.version:
            raise ValueError(f"{rank.path} and {first.path} have different checkpoint versions.")
    return list(first.tensors)


def _translated(key: str, stage: Sequence[_Rank], config: DNAFMConfig, n_before: int) -> dict[str, LazyTensor]:
    """Return the tensors that are stored under a key, by dnafm's names."""
    layer = _LAYER.match(key)
    if layer is None and key in _MODEL_NAMES:
        name, axis = _MODEL_NAMES[key]
        joined = _joined(key, stage, axis)
        return {name: _without_padding(joined, config) if axis == _ROWS else joined}
    if layer is not None:
        prefix, within = f"model.layers.{n_before + int(layer[1])}.", layer[2]
        if within in _LAYER_NAMES:
            name, axis = _LAYER_NAMES[within]
            return {prefix + name: _joined(key, stage, axis)}
        module, _, kind = within.rpartition(".")
        if module in _PACKED_NAMES and kind in ("weight", "bias"):
            names = [f"{prefix}{name}.{kind}" for name in _PACKED_NAMES[module]]
            is_attention = module == "self_attention.linear_qkv"
            return {name: _unpacked(key, stage, config, i, is_attention) for i, name in enumerate(names)}
    raise ValueError(f"{stage[0].path}: {key} has no place in DNA FM.")


def _joined(key: str, stage: Sequence[_Rank], axis: int | None) -> LazyTensor:
    parts = [in_memory(rank.tensors[key], f"{rank.path}: {key}") for rank in stage]
    if axis is None:
        for part in parts[1:]:
            take_equal({key: part}, key, parts[0])
        return parts[0]
    return _concatenated(parts, axis)


def _concatenated(parts: Sequence[LazyTensor], axis: int) -> LazyTensor:
    first = parts[0]
    if any(part.shape != first.shape or axis >= len(part.shape) for part in parts):
        shapes = ", ".join(str(part.shape) for part in parts)
        raise ValueError(f"{first.place}: the shapes of its ranks, {shapes}, do not fit together.")
    shape = list(first.shape)
    shape[axis] *= len(parts)
    return LazyTensor(
        shape=tuple(shape),
        dtype=first.dtype,
        place=first.place,
        read=lambda: torch.cat([part.read() for part in parts], axis) if len(parts) > 1 else first.read(),
    )


def _without_padding(tensor: LazyTensor, config: DNAFMConfig) -> LazyTensor:
    """Cut the rows by which Megatron-LM fills the vocabulary up to a multiple of some number."""
    if tensor.shape[0] <= config.vocab_size:
        return tensor
    return tensor.then(lambda rows: rows[: config.vocab_size])


def _unpacked(key: str, stage: Sequence[_Rank], config: DNAFMConfig, index: int, is_attention: bool) -> LazyTensor:
    """Take one projection out of the tensor that holds several, of each rank, and join them."""
    n_heads, remainder = divmod(config.num_attention_heads, len(stage))
    if remainder:
        raise ValueError(f"{stage[0].path}: {config.num_attention_heads} heads are no multiple of {len(stage)} ranks.")
    rows = 3 * n_heads * config.head_dim if is_attention else 2 * config.intermediate_size // len(stage)
    parts = []
    for rank in stage:
        packed = in_memory(rank.tensors[key], f"{rank.path}: {key}")
        if not packed.shape or packed.shape[0] != rows:
            raise ValueError(
                f"{packed.place} has the shape {packed.shape}; its args say {rows} rows (hidden_size "
                f"{config.hidden_size}, num_attention_heads {config.num_attention_heads}, ffn_hidden_size "
                f"{config.intermediate_size}, {len(stage)} tensor-parallel ranks)."
            )
        if is_attention:
            parts.append(packed.then(partial(_heads_of, index=index, n_heads=n_heads, version=rank.version)))
        else:
            parts.append(packed.then(lambda rows: rows.chunk(2)[index]))
    return _concatenated(parts, _ROWS)


def _heads_of(packed: Tensor, *, index: int, n_heads: int, version: float) -> Tensor:
    """Take query, key or value out of one rank's heads; see `fix_query_key_value_ordering` in Megatron-LM.

    Rows are (3, heads, channels) in version 0, (heads, channels, 3) in version 1 and (heads, 3, channels) since 2.
    """
    if version >= 2:
        chosen = packed.unflatten(0, (n_heads, 3, -1))[:, index]
    elif version >= 1:
        chosen = packed.unflatten(0, (n_heads, -1, 3))[:, :, index]
    else:
        chosen = packed.unflatten(0, (3, n_heads, -1))[index]
    return chosen.flatten(0, 1)
