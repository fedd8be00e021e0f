"""Embeddings of sequences or of their bases, from any layer, for sequences of any length and number."""

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dnafm import DNAFMTokenizer
from dnafm.analysis.base_predictions import Strand
from dnafm.analysis.embedder import Embedder
from dnafm.analysis.embedding_models import model_and_tokenizer
from dnafm.analysis.embedding_readings import Pooling

__all__ = ["Embedder", "Pooling", "embed", "iter_embeddings"]


def embed(
    model: Any,
    sequences: Iterable[str],
    *,
    tokenizer: DNAFMTokenizer | None = None,
    pooling: Pooling = "mean",
    layers: int | Sequence[int] = -1,
    strand: Strand = "forward",
    special_tokens: bool = False,
    window_bp: int | None = None,
    overlap_bp: int | None = None,
    max_tokens: int = 16_384,
    bf16: bool = False,
    dtype: str | torch.dtype | None = None,
) -> np.ndarray | list[np.ndarray]:
    """Return the vectors of sequences, or of their bases.

    Args:
        model: as `Embedder` takes it; or by name, `"dnafm_tiny"`, a path or a Hub id, which is loaded onto the
            accelerator where there is one.
        sequences: DNA in either case, with ambiguity codes; U is T.
        tokenizer: of a loaded model, by default that of the checkpoint which it was loaded from.
        pooling: `"mean"`, `"max"` or `"cls"`, or `"none"` for a vector for each base; see `Embedder`.
        layers: one or several: 0 for the input of the first, -1 for the output of the last after the final norm.
        strand: `"forward"`, `"reverse"`, or `"both"` for the mean of the two.
        special_tokens: whether `[CLS]` and the suffix count, too.
        window_bp: most bases that are read at once; longer sequences are read in windows.
        overlap_bp: bases that neighbouring windows share.
        max_tokens: most tokens of a batch.
        bf16: compute in bfloat16.
        dtype: of the weights of a model by name, `"float32"` by default, `"auto"` for that of the checkpoint.

    Returns:
        (sequences, hidden) float32, or (sequences, layers, hidden) for several layers; without pooling a list of
        (bases, hidden) or (layers, bases, hidden).

    Raises:
        ValueError: as `Embedder` and `Embedder.embed` say; nothing tells the tokenizer of a loaded model, or a dtype
            is asked of it; or there is no such dtype.
        OSError: there is no such checkpoint.

    Example:

        >>> dnafm.embed("dnafm_tiny", ["ACGT", "GATTACA"]).shape
        (2, 192)
    """
    embedder = _embedder(
        model,
        tokenizer,
        layers,
        dtype,
        pooling=pooling,
        strand=strand,
        special_tokens=special_tokens,
        window_bp=window_bp,
        overlap_bp=overlap_bp,
        max_tokens=max_tokens,
        bf16=bf16,
    )
    n_sequences = len(sequences) if isinstance(sequences, Sized) else None
    vectors = _of_layers(embedder.embed(sequences), layers)
    found = list(tqdm(vectors, "embed", n_sequences, unit="sequence", disable=None, leave=False, delay=2))
    if pooling == "none":
        return found
    axes = () if isinstance(layers, int) else (len(layers),)
    return np.stack(found) if found else np.zeros((0, *axes, embedder.width), np.float32)


def iter_embeddings(
    model: Any,
    sequences: Iterable[str],
    *,
    tokenizer: DNAFMTokenizer | None = None,
    layers: int | Sequence[int] = -1,
    dtype: str | torch.dtype | None = None,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Yield the vectors of each sequence, or of its bases, in their order; the stream may be endless.

    Args:
        model: as in `embed`, like all arguments.
        sequences: of which about a thousand are read ahead, and batched by length.
        tokenizer: of a loaded model.
        layers: one or several.
        dtype: of the weights of a model by name.
        **options: those of `Embedder`.

    Returns:
        (hidden,) float32 of each sequence, or (layers, hidden) for several layers; without pooling (bases, hidden) or
        (layers, bases, hidden).

    Raises:
        ValueError: see `embed`.
        OSError: there is no such checkpoint.
    """
    return _of_layers(_embedder(model, tokenizer, layers, dtype, **options).embed(sequences), layers)


def _embedder(
    model: Any,
    tokenizer: DNAFMTokenizer | None,
    layers: int | Sequence[int],
    dtype: str | torch.dtype | None,
    **options: Any,
) -> Embedder:
    model, tokenizer = model_and_tokenizer(model, tokenizer, dtype=dtype)
    return Embedder(model, tokenizer, layers=(layers,) if isinstance(layers, int) else tuple(layers), **options)


def _of_layers(vectors: Iterable[np.ndarray], layers: int | Sequence[int]) -> Iterator[np.ndarray]:
    """Drop the axis of layers where one was asked for by its number."""
    return (rows[0] for rows in vectors) if isinstance(layers, int) else iter(vectors)
