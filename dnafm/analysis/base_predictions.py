"""What a masked language model says about bases: probabilities over A, C, G and T, of one strand or both."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.checkpoints.loading import load_backbone
from dnafm.data.batching import look_ahead_batches, restore_order
from dnafm.data.strands import complement_vocabulary, flip_tokens, other_strand, strand_permutation
from dnafm.genomics.sequences import BASES
from dnafm.tokenization_dnafm import VOCABULARY

Strand = Literal["forward", "reverse", "both"]
STRANDS = ("forward", "reverse", "both")
BASE_IDS = [VOCABULARY.index(base) for base in BASES]
# Sequences that are read ahead and sorted by length.
_LOOK_AHEAD = 1024


@dataclass(frozen=True)
class MaskedRequest:
    """Positions of a window to be masked one at a time.

    Attributes:
        window: bases.
        positions: indices of bases in it, from 0.
    """

    window: str
    positions: Sequence[int]


@dataclass(frozen=True)
class BasePredictor:
    """A masked language model that is asked about bases.

    Log-probabilities are natural logarithms, normalised over A, C, G and T. With `strand="both"` those of the two
    strands are averaged and normalised again, so log-likelihood ratios are the mean of both strands'.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: of the checkpoint.
        strand: which one the model reads; results are always those of the forward strand's bases.
        max_tokens: most tokens of a batch; a longer window is a batch alone.
        bf16: compute in bfloat16.

    Raises:
        ValueError: there is no such strand.
    """

    model: DNAFMForMaskedLM
    tokenizer: DNAFMTokenizer
    strand: Strand = "both"
    max_tokens: int = 16_384
    bf16: bool = False

    def __post_init__(self) -> None:
        if self.strand not in STRANDS:
            raise ValueError(f"strand is {self.strand!r}; it must be one of {', '.join(STRANDS)}.")

    def unmasked(self, windows: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield (bases, 4) float32 log-probabilities of each window, all of whose bases the model sees."""
        return self._in_order((window, None) for window in windows)

    def masked(self, requests: Iterable[MaskedRequest]) -> Iterator[np.ndarray]:
        """Yield (positions, 4) float32 log-probabilities of each request, each position masked alone.

        One forward pass for each position and strand, batched over all of them.
        """
        counts: list[int] = []

        def single_positions() -> Iterator[tuple[str, int | None]]:
            for request in requests:
                _check_positions(request)
                counts.append(len(request.positions))
                yield from ((request.window, position) for position in request.positions)

        rows = self._in_order(single_positions())
        pending: list[np.ndarray] = []
        n_done = 0
        for row in rows:
            pending.append(row)
            while n_done < len(counts) and len(pending) >= counts[n_done]:
                yield _stacked(pending[: counts[n_done]])
                del pending[: counts[n_done]]
                n_done += 1
        # Requests without a position, after the last row.
        yield from (_stacked([]) for _ in counts[n_done:])

    def _in_order(self, rows: Iterable[tuple[str, int | None]]) -> Iterator[np.ndarray]:
        def n_tokens(row: tuple[str, int | None]) -> int:
            return min(self._n_tokens(row[0]), self.max_tokens)

        batches = look_ahead_batches(rows, length_of=n_tokens, max_tokens=self.max_tokens, n_look_ahead=_LOOK_AHEAD)
        return restore_order((batch.positions, self._log_probabilities(batch.rows)) for batch in batches)

    def _n_tokens(self, window: str) -> int:
        n_tokens = len(window) + self.tokenizer.num_special_tokens_to_add()
        longest = self.tokenizer.model_max_length
        if not window or n_tokens > longest:
            n_most = longest + len(window) - n_tokens
            raise ValueError(f"A window has {len(window)} bases; the model reads 1 to {n_most}.")
        return n_tokens

    def _log_probabilities(self, rows: Sequence[tuple[str, int | None]]) -> list[np.ndarray]:
        inputs = self.tokenizer(
            [window for window, _ in rows], padding=True, padding_side="right", return_tensors="pt"
        )
        input_ids = inputs["input_ids"]
        # Token i + 1 is base i.
        masked = torch.tensor([0 if position is None else position + 1 for _, position in rows])
        wants_one = masked > 0
        places = torch.where(wants_one, masked, 0)
        mask_id = self.tokenizer.mask_token_id
        input_ids[wants_one.nonzero()[:, 0], places[wants_one]] = mask_id
        at = (torch.arange(len(rows)), places) if wants_one.all() else None
        scores = self.log_probabilities(input_ids, inputs["attention_mask"], at)
        if wants_one.all():
            return list(scores.numpy())
        n_bases = [len(window) for window, _ in rows]
        return [row[1 : 1 + n] for row, n in zip(scores.numpy(), n_bases, strict=True)]

    def log_probabilities(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        at: tuple[Tensor, Tensor] | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Return natural logarithms over A, C, G and T of the strands that are read, on the CPU.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length).
            at: rows and columns, (places,) each, of the tokens that are asked about; by default all.
            dtype: in which they are normalised.

        Returns:
            (batch, length, 4), or (places, 4).
        """
        read = []
        if self.strand != "reverse":
            read.append(self.logits(input_ids, attention_mask, at))
        if self.strand != "forward":
            flipped = None if at is None else (at[0], strand_permutation(input_ids)[at])
            logits = self.logits(other_strand(input_ids), attention_mask, flipped)
            read.append(complement_vocabulary(flip_tokens(logits, input_ids) if at is None else logits))
        of_strands = [logits[..., BASE_IDS].to(dtype).log_softmax(dim=-1) for logits in read]
        return torch.stack(of_strands).mean(dim=0).log_softmax(dim=-1)

    def logits(self, input_ids: Tensor, attention_mask: Tensor, at: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return logits of one strand, on the CPU.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length).
            at: rows and columns, (places,) each, of the tokens that are asked about; by default all.

        Returns:
            (batch, length, vocabulary), or (places, vocabulary).
        """
        device = self.model.device
        context: Any = torch.autocast(device.type, torch.bfloat16, enabled=self.bf16)
        places = None if at is None else (at[0].to(device), at[1].to(device))
        with torch.inference_mode(), context:
            return self.read(input_ids.to(device), attention_mask.to(device), places).cpu()

    def read(self, input_ids: Tensor, attention_mask: Tensor, at: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return what `logits` does, all on the device of the model."""
        return self.head_at(self.model.model(input_ids, attention_mask).last_hidden_state, at)

    def head_at(self, states: Tensor, at: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return logits of (batch, length, hidden) states; the head is computed where it is wanted alone."""
        return self.model.lm_head(states if at is None else states[at])


def load_base_predictor(
    name: str | os.PathLike, *, strand: Any, dtype: str, max_tokens: int, device: torch.device
) -> BasePredictor:
    """Load a pretrained model with its head for masked bases.

    Args:
        name: of a backbone, folder or Hub id.
        strand: which one the model reads.
        dtype: of the weights; `"auto"` for that of the checkpoint.
        max_tokens: most tokens of a batch.
        device: to load it onto.

    Raises:
        ValueError: the model has no such head, or an option is out of its range.
        OSError: there is no such checkpoint.
    """
    check_reading(strand, max_tokens)
    loaded, tokenizer = load_backbone(DNAFMForMaskedLM, os.fspath(name), dtype=dtype)
    model: Any = loaded
    return BasePredictor(model.to(device), tokenizer, strand=strand, max_tokens=max_tokens)


def check_reading(strand: str, max_tokens: int) -> None:
    """Raise a ValueError where there is no such strand, or a batch has no token."""
    if strand not in STRANDS:
        raise ValueError(f"strand is {strand!r}; it must be one of {', '.join(STRANDS)}.")
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; a batch must have at least 1.")


def _check_positions(request: MaskedRequest) -> None:
    for position in request.positions:
        if not 0 <= position < len(request.window):
            raise ValueError(f"Position {position} is none of a window of {len(request.window)} bases.")


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(rows) if rows else np.zeros((0, len(BASES)), np.float32)
