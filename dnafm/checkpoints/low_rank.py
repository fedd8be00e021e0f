"""Low-rank adapters that peft left in a checkpoint of the reference code, merged into the weights."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from dnafm.checkpoints.foreign import ForeignCheckpoint, shown
from dnafm.checkpoints.released import from_released_names
from dnafm.checkpoints.weight_files import LazyTensor
from dnafm.modeling_dnafm import DNAFMModel

_FACTOR = re.compile(r"^(.+)\.lora_([AB])(?:\.default)?\.weight$")


def merge_low_rank(
    encoder: Mapping[str, LazyTensor], base: ForeignCheckpoint | None, alpha: Any, path: Path
) -> dict[str, LazyTensor]:
    """Return the weights of an encoder with its adapters in them, W + alpha / r * B A (Hu et al. 2021).

    Args:
        encoder: tensors by the reference code's names, some of them factors.
        base: has the weights that the encoder lacks.
        alpha: that the adapters were trained with.
        path: of the checkpoint, for errors.

    Raises:
        ValueError: weights or alpha are missing, or factors that fit nothing; the message names them.
    """
    factors: dict[str, dict[str, LazyTensor]] = {"A": {}, "B": {}}
    own = {}
    for key, tensor in encoder.items():
        match = _FACTOR.match(key)
        if match:
            factors[match[2]][f"{match[1]}.weight"] = tensor
        else:
            own[key.replace(".base_layer.", ".")] = tensor
    weights = {**_encoder_of(base), **from_released_names(own)}
    if single := sorted(factors["A"].keys() ^ factors["B"].keys()):
        raise ValueError(f"{path} has one of the two factors of a low-rank adapter of {shown(single)}.")
    up = from_released_names(factors["B"])
    for key, down in from_released_names(factors["A"]).items():
        if key not in weights:
            raise ValueError(
                f"{path} adapts {key} and does not hold it: only adapters were saved. Say by --base what they adapt."
            )
        if not isinstance(alpha, int | float):
            raise ValueError(f"{path} has low-rank adapters, and its hyper_parameters do not tell their lora_alpha.")
        weights[key] = _merged(weights[key], down, up[key], alpha)
    return weights


def _encoder_of(base: ForeignCheckpoint | None) -> dict[str, LazyTensor]:
    if base is None:
        return {}
    prefix = "model." if base.model_class is DNAFMModel else ""
    return {prefix + key: tensor for key, tensor in base.tensors.items() if (prefix + key).startswith("model.")}


def _merged(weight: LazyTensor, down: LazyTensor, up: LazyTensor, alpha: float) -> LazyTensor:
    if down.shape[1:] != weight.shape[1:] or up.shape[:1] != weight.shape[:1] or up.shape[1:] != down.shape[:1]:
        raise ValueError(
            f"{down.place} and {up.place} have the shapes {down.shape} and {up.shape}, which make no change of "
            f"{weight.place}, {weight.shape}."
        )

    def read() -> Tensor:
        original = weight.read()
        change = up.read().float() @ down.read().float() * (alpha / down.shape[0])
        return (original.float() + change).to(original.dtype)

    return replace(weight, read=read)
