"""Models that embed: the encoder inside of what a user has, with the tokenizer of its checkpoint."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from dnafm import DNAFMConfig, DNAFMModel, DNAFMTokenizer
from dnafm.checkpoints.loading import load_backbone, load_tokenizer

DTYPES = ("auto", "float32", "bfloat16", "float16")


def encoder_of(model: nn.Module) -> DNAFMModel:
    """Return the encoder of a model with a head, of a task, or inside of adapters or another wrapper.

    Raises:
        ValueError: it has none.
    """
    encoder = next((module for module in model.modules() if isinstance(module, DNAFMModel)), None)
    if encoder is None:
        raise ValueError(f"The model is a {type(model).__name__}, in which there is no encoder of DNA FM.")
    return encoder


def model_and_tokenizer(
    model: Any,
    tokenizer: DNAFMTokenizer | None = None,
    *,
    dtype: str | torch.dtype | None = None,
    model_class: type[PreTrainedModel] = DNAFMModel,
) -> tuple[nn.Module, DNAFMTokenizer]:
    """Return a loaded model, and the tokenizer of its checkpoint unless one is given.

    Args:
        model: loaded; or a name, path or Hub id, which is loaded onto the accelerator where there is one.
        tokenizer: to be used.
        dtype: of the weights of a model by name, `"float32"` by default.
        model_class: of a model by name.

    Raises:
        ValueError: there is no such dtype, one is asked of a loaded model, or nothing tells its tokenizer.
        OSError: there is no such checkpoint.
    """
    if isinstance(model, (str, Path)):
        return _loaded(model_class, str(model), tokenizer, str(dtype or "float32").removeprefix("torch."))
    if dtype is not None:
        raise ValueError(f"dtype is {dtype}, and the model is loaded in one already. Load it in that dtype.")
    return model, tokenizer or getattr(model, "tokenizer", None) or _tokenizer_of(encoder_of(model).config)


def _loaded(
    model_class: type[PreTrainedModel], name: str, tokenizer: DNAFMTokenizer | None, dtype: str
) -> tuple[nn.Module, DNAFMTokenizer]:
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}.")
    model, own_tokenizer = load_backbone(model_class, name, dtype=dtype)
    on_device: Any = model
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    return on_device.to(device), tokenizer or own_tokenizer


def _tokenizer_of(config: DNAFMConfig) -> DNAFMTokenizer:
    """Return the tokenizer of the checkpoint that a config was loaded from."""
    if not config.name_or_path:
        raise ValueError("The model was not loaded from a checkpoint that has a tokenizer: pass tokenizer.")
    return load_tokenizer(config.name_or_path, model_max_length=config.max_position_embeddings)
