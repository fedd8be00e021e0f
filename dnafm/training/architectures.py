"""Architectures to pretrain, by name, file or checkpoint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from transformers import PreTrainedModel

from dnafm import DNAFMConfig, DNAFMForMaskedLM

_OVERRIDABLE = frozenset(each.name for each in dataclass_fields(DNAFMConfig))
# What the weights of a checkpoint were made for.
_FIXED_BY_WEIGHTS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "normalization_type",
    "linear_bias",
    "tie_word_embeddings",
)


@dataclass(frozen=True)
class Preset:
    """An architecture by name.

    Attributes:
        learning_rate: peak of the schedule that suits it.
        fields: those of `DNAFMConfig` that differ from DNA FM 7B.
    """

    learning_rate: float
    fields: Mapping[str, Any] = field(default_factory=dict)


def _preset(learning_rate: float, hidden: int, intermediate: int, layers: int, heads: int) -> Preset:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return Preset(learning_rate, dict(zip(names, (hidden, intermediate, layers, heads), strict=True)))


# The first two are the released sizes; their learning rates are our choice, and smaller models bear larger ones.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "dnafm": Preset(2e-4),
        "300m": _preset(4e-4, 1024, 2688, 24, 16),
        "30m": _preset(1e-3, 512, 1408, 10, 8),
        "tiny": _preset(2e-3, 192, 512, 6, 3),
    }
)


def build_model(name: str, *, overrides: Mapping[str, Any] | None = None, **load_options: Any) -> DNAFMForMaskedLM:
    """Build a model with fresh weights, or load one.

    Args:
        name: a key of `PRESETS`, the path of a `config.json` for fresh weights, or the folder of a checkpoint, whose
            weights are then what training starts from.
        overrides: fields of `DNAFMConfig` to set; fields that shape the weights of a checkpoint cannot be changed.
        **load_options: `attn_implementation`, `dtype` and the like, as in `from_pretrained`; the dtype is float32 by
            default, also of what was saved in another.

    Raises:
        ValueError: the name is none of these, the overrides do not fit, or the checkpoint is of another architecture.
    """
    fields = dict(overrides or {})
    if unknown := sorted(fields.keys() - _OVERRIDABLE):
        raise ValueError(f"DNAFMConfig has no field {', '.join(map(repr, unknown))}.")
    load_options = {"dtype": torch.float32, **load_options}
    if name in PRESETS:
        return DNAFMForMaskedLM._from_config(DNAFMConfig(**{**PRESETS[name].fields, **fields}), **load_options)
    path = Path(name)
    if path.is_file():
        return DNAFMForMaskedLM._from_config(_config_of_file(path, fields), **load_options)
    if (path / "config.json").is_file():
        check_fits(DNAFMConfig.from_pretrained(name), fields)
        return DNAFMForMaskedLM.from_pretrained(name, **{**fields, **load_options})
    raise ValueError(
        f"There is no architecture {name!r}: it is neither a preset ({', '.join(PRESETS)}), nor a config.json, nor "
        "the folder of a checkpoint."
    )


def enable_gradient_checkpointing(model: PreTrainedModel) -> None:
    """Make a model compute the activations of its layers anew in the backward pass."""
    # Newer versions of transformers warn of the older name.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()


def check_fits(saved: DNAFMConfig, overrides: Mapping[str, Any]) -> None:
    """Check that overrides leave the fields of a saved config alone that its weights were made for.

    Raises:
        ValueError: one does not.
    """
    for name in _FIXED_BY_WEIGHTS:
        value = getattr(saved, name)
        if overrides.get(name, value) != value:
            raise ValueError(
                f"{name} is {overrides[name]}, and the checkpoint's weights are those of {name} {value}. Give its "
                "config.json instead of its folder for fresh weights."
            )


def _config_of_file(path: Path, overrides: Mapping[str, Any]) -> DNAFMConfig:
    try:
        fields = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}. A config.json of a DNA FM model is due.") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path} holds a {type(fields).__name__}; an object with fields of DNAFMConfig is due.")
    return DNAFMConfig.from_dict({**fields, **overrides})
