"""What readers of foreign checkpoints return: tensors under dnafm's names, each accounted for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from dnafm.checkpoints.weight_files import LazyTensor
from dnafm.configuration_dnafm import DNAFMConfig

_SHOWN_KEYS = 8
_DIMENSIONS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
    "num_labels",
)


@dataclass(frozen=True, kw_only=True)
class ForeignCheckpoint:
    """A checkpoint as dnafm sees it, whatever wrote it.

    Attributes:
        kind: what wrote it, in words.
        path: where it is.
        config: of the model.
        model_class: of the model.
        tensors: those of `model_class(config).state_dict()`, without the decoder's weight where it is tied.
    """

    kind: str
    path: Path
    config: DNAFMConfig
    model_class: type[PreTrainedModel]
    tensors: dict[str, LazyTensor]

    def __post_init__(self):
        check_tensors(self)

    def n_bytes(self, dtype: torch.dtype | None = None) -> int:
        """Return the size of all tensors, in their own dtypes or in another."""
        return sum(tensor.n_values * (dtype or tensor.dtype).itemsize for tensor in self.tensors.values())


def expected_shapes(model_class: type[PreTrainedModel], config: DNAFMConfig) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of what is stored of a model."""
    with torch.device("meta"):
        model = model_class(config)
    tied = getattr(model, "_tied_weights_keys", None) or {}
    kept = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    return {name: s for name, s in kept.items() if not (config.tie_word_embeddings and name in tied)}


def check_tensors(checkpoint: ForeignCheckpoint) -> None:
    """Check that the tensors are those of the model, no more and no less.

    Raises:
        ValueError: tensors are missing, left over, or of other shapes than the config says; the message names them.
    """
    expected = expected_shapes(checkpoint.model_class, checkpoint.config)
    name = checkpoint.model_class.__name__
    if missing := sorted(expected.keys() - checkpoint.tensors.keys()):
        raise ValueError(f"{checkpoint.path} lacks weights of {name}: {shown(missing)}.")
    if extra := sorted(checkpoint.tensors.keys() - expected.keys()):
        places = [checkpoint.tensors[key].place for key in extra]
        raise ValueError(f"{name}, as its config says, has no place for {shown(places)}.")
    for key, shape in expected.items():
        found = checkpoint.tensors[key]
        if found.shape != shape:
            raise ValueError(
                f"{found.place} has the shape {found.shape}, and the config says {shape} ({_dimensions(checkpoint)})."
            )
        if not found.dtype.is_floating_point:
            raise ValueError(f"{found.place} is of {found.dtype}; weights are floating-point numbers.")


def take_equal(tensors: dict[str, LazyTensor], key: str, original: LazyTensor | None) -> None:
    """Drop a tensor that is stored a second time, if it is there, and check that both are equal.

    Raises:
        ValueError: they differ.
    """
    second = tensors.pop(key, None)
    if second is not None and original is not None and not second.has_same_values(original):
        raise ValueError(
            f"{second.place} and {original.place} differ, and the model has one tensor for both. Where the decoder "
            "has weights of its own, the config must have tie_word_embeddings false."
        )


def shown(keys: Iterable[str]) -> str:
    """Return names for an error, and how many more there are."""
    keys = list(keys)
    more = f", and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
    return ", ".join(keys[:_SHOWN_KEYS]) + more


def without_prefix(tensors: Mapping[str, LazyTensor], prefix: str) -> dict[str, LazyTensor]:
    """Return the tensors below a prefix under the rest of their names."""
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _dimensions(checkpoint: ForeignCheckpoint) -> str:
    return ", ".join(f"{name} {getattr(checkpoint.config, name)}" for name in _DIMENSIONS)
