"""What a masked language model says about several masked bases of a window at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dnafm.analysis.base_predictions import BasePredictor


@dataclass(frozen=True)
class MaskedWindow:
    """A window as the model reads it.

    Attributes:
        input_ids: (tokens,) int64, special tokens included, those of some bases masked.
        tokens: (places,) of the bases that are asked about, counted in `input_ids`.
    """

    input_ids: NDArray[np.int64]
    tokens: NDArray[np.intp]


def masked_log_probabilities(predictor: BasePredictor, windows: Sequence[MaskedWindow]) -> list[NDArray[np.float64]]:
    """Return (places, 4) natural logarithms of each window, over A, C, G and T, as `BasePredictor` averages strands.

    All windows are one batch, and the head is computed at the places alone.
    """
    input_ids = _padded(windows, predictor.tokenizer.pad_token_id)
    attention_mask = pad_sequence([torch.ones(len(each.input_ids), dtype=torch.int64) for each in windows], True)
    counts = [len(window.tokens) for window in windows]
    rows = torch.repeat_interleave(torch.arange(len(windows)), torch.tensor(counts))
    columns = torch.from_numpy(np.concatenate([window.tokens for window in windows]))
    scores = predictor.log_probabilities(input_ids, attention_mask, (rows, columns), dtype=torch.float64)
    return np.split(scores.numpy(), np.cumsum(counts)[:-1])


def _padded(windows: Sequence[MaskedWindow], pad_token_id: Any) -> Tensor:
    rows = [torch.from_numpy(window.input_ids) for window in windows]
    return pad_sequence(rows, batch_first=True, padding_value=pad_token_id)
