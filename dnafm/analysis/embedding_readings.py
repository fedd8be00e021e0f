"""What a model says about windows of sequences: vectors of their bases, or pooled ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dnafm import DNAFMModel, DNAFMTokenizer
from dnafm.analysis.embedding_states import PackedInput, read_layers
from dnafm.analysis.embedding_tiles import Tile

Pooling = Literal["mean", "cls", "max", "none"]
POOLINGS = ("mean", "cls", "max", "none")


@dataclass(frozen=True)
class TiledWindow:
    """What the model reads at once, and where it lies in its sequence."""

    bases: str
    tile: Tile


@dataclass(frozen=True)
class TiledWindowReader:
    """Reads batches of windows; the attributes are those of `dnafm.analysis.embeddings.Embedder`, layers from 0."""

    encoder: DNAFMModel
    tokenizer: DNAFMTokenizer
    pooling: Pooling
    layers: tuple[int, ...]
    special_tokens: bool
    bf16: bool

    def read(self, windows: Sequence[TiledWindow]) -> list[np.ndarray]:
        """Return of each window what the vectors of its sequence are made of, float32.

        Returns:
            Without pooling (layers, bases, hidden) of the bases that are taken from the window. Else (layers, hidden):
            their sum for `"mean"`, their maximum for `"max"`, and the vector of `[CLS]` for `"cls"`.
        """
        packed = PackedInput.of([window.bases for window in windows], self.tokenizer)
        firsts = packed.boundaries[:-1].tolist()
        spans = [self._span(window, first) for window, first in zip(windows, firsts, strict=True)]
        read = partial(read_layers, self.encoder, packed, self.layers, bf16=self.bf16)
        if self.pooling != "none":
            of_layers = read(reduce=partial(_pooled, spans=spans, how=self.pooling))
            return list(torch.stack(of_layers, dim=1).cpu().numpy())
        states = [tokens.cpu().float().numpy() for tokens in read(reduce=lambda tokens: tokens)]
        return [np.stack([tokens[span] for tokens in states]) for span in spans]

    def _span(self, window: TiledWindow, first: int) -> slice:
        """Which tokens of a batch are asked for, where the window's first one is number `first`."""
        tile = window.tile
        if self.pooling == "cls":
            return slice(first, first + 1)
        if self.special_tokens:
            return slice(first, first + len(window.bases) + self.tokenizer.num_special_tokens_to_add())
        start = first + 1 + tile.kept_start_bp - tile.start_bp
        return slice(start, start + tile.kept_end_bp - tile.kept_start_bp)


def _pooled(tokens: Tensor, *, spans: Sequence[slice], how: Pooling) -> Tensor:
    """(windows, hidden) float32."""
    if how == "max":
        return torch.stack([tokens[span].amax(dim=0) for span in spans]).float()
    # float16 would overflow.
    return torch.stack([tokens[span].sum(dim=0, dtype=torch.float32) for span in spans])
