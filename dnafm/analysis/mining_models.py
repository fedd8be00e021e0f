"""The models whose vectors are mined: told apart by their weights, and read as a store says."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from dnafm import DNAFMTokenizer
from dnafm.analysis.embedder import Embedder
from dnafm.analysis.embedding_models import encoder_of, model_and_tokenizer
from dnafm.analysis.embedding_readings import Pooling
from dnafm.analysis.mining_store import StoreSettings, VectorDtype
from dnafm.analysis.mining_windows import WindowCut
from dnafm.analysis.window_readings import layer_numbers
from dnafm.version import __version__

# Numbers of each parameter that take part in the fingerprint.
_SAMPLED = 256


def fingerprint(model: nn.Module) -> str:
    """Return what tells an encoder's weights from others, wherever and in whichever dtype they were loaded.

    It is the SHA-256 of names, shapes, and numbers from all over each parameter as bfloat16; 16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(encoder_of(model).named_parameters()):
        flat = parameter.detach().reshape(-1)
        sample = flat[:: max(1, len(flat) // _SAMPLED)].cpu().to(torch.bfloat16).view(torch.int16)
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()[:16]


class MiningModel:
    """A model that is loaded when it is needed.

    Args:
        model: by name, path or Hub id, or loaded.
        tokenizer: of a loaded model.
        dtype: of the weights of a model by name.
        max_tokens: most tokens of a batch.

    Raises:
        ValueError: a batch has no token.
    """

    def __init__(self, model: Any, tokenizer: DNAFMTokenizer | None, dtype: str | torch.dtype | None, max_tokens: int):
        if max_tokens < 1:
            raise ValueError(f"max_tokens is {max_tokens}; a batch must have at least 1.")
        self._given, self._tokenizer, self._dtype, self._max_tokens = model, tokenizer, dtype, max_tokens

    @cached_property
    def _loaded(self) -> tuple[nn.Module, DNAFMTokenizer]:
        return model_and_tokenizer(self._given, self._tokenizer, dtype=self._dtype)

    def settings(self, cut: WindowCut, layer: int, pooling: str, vector_dtype: VectorDtype) -> StoreSettings:
        """Return the settings of a store that this model makes.

        Raises:
            ValueError: there is no such layer or dtype.
            OSError: there is no such checkpoint.
        """
        model, _ = self._loaded
        encoder = encoder_of(model)
        (number,) = layer_numbers((layer,), encoder.config.num_hidden_layers)
        return StoreSettings(
            backbone=self._name(model),
            weights=fingerprint(model),
            dtype=str(encoder.dtype).removeprefix("torch."),
            width=encoder.config.hidden_size,
            window_bp=cut.window_bp,
            step_bp=cut.step_bp,
            strand=cut.strand,
            layer=number,
            pooling=pooling,
            vector_dtype=vector_dtype,
            dnafm=__version__,
        )

    def embedder(self, settings: StoreSettings) -> Embedder:
        """Return what embeds the windows of a store, each of which is read at once.

        Raises:
            ValueError: there is no such pooling, none for a whole window, or the model reads no such windows.
        """
        if settings.pooling == "none":
            raise ValueError("pooling is 'none'; a window has one vector, by mean, cls or max.")
        model, tokenizer = self._loaded
        return Embedder(
            model,
            tokenizer,
            pooling=cast(Pooling, settings.pooling),
            layers=(settings.layer,),
            window_bp=settings.window_bp,
            max_tokens=self._max_tokens,
        )

    def _name(self, model: nn.Module) -> str:
        if not isinstance(self._given, (str, Path)):
            return _name_of(model)
        # A folder is found again from wherever the store is opened.
        return os.path.abspath(self._given) if os.path.isdir(self._given) else str(self._given)


def _name_of(model: nn.Module) -> str:
    """Return by which name a loaded model is told to users, and found again."""
    encoder = encoder_of(model)
    return encoder.config.name_or_path or f"{type(model).__name__} of width {encoder.config.hidden_size}"
