# Copyright 2026 The dnafm developers.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Conditions of whole sequences, a class or some numbers, which a masked language model predicts under.

Shape letters: N sequences, B rows of a batch, L tokens of the longest. B is N, but where sequences are packed.
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.masking_utils import find_packed_sequence_indices
from transformers.utils.import_utils import is_tracing

from .configuration_dnafm import DNAFMConfig
from .kernels_dnafm import sequence_ids_from_boundaries

NUMBERS_WIDTH = 128  # most hidden channels between numbers and the residual stream


class _ZeroEmbedding(nn.Embedding):
    """An embedding that is zero while it is fresh."""


class _ZeroLinear(nn.Linear):
    """A linear layer that is zero while it is fresh."""


class DNAFMConditioning(nn.Module):
    """A vector for each sequence, which is added to the embeddings of all its tokens.

    Fresh, it is zero, so that training starts from the unconditional model. That of a sequence without a condition is
    always zero: as in classifier-free guidance (Ho and Salimans, 2022, https://arxiv.org/abs/2207.12598), such a
    sequence is predicted by the unconditional model.
    """

    def __init__(self, config: DNAFMConfig):
        super().__init__()
        self.config = config
        if config.condition_classes is not None:
            self.class_embedding = _ZeroEmbedding(len(config.condition_classes), config.hidden_size)
        else:
            assert config.condition_size is not None
            width = min(config.hidden_size, NUMBERS_WIDTH)
            self.dense = nn.Linear(config.condition_size, width)
            self.out_proj = _ZeroLinear(width, config.hidden_size)

    def forward(self, condition: Tensor, condition_mask: Tensor | None = None) -> Tensor:
        """Embed conditions.

        Args:
            condition: (N,) ids of classes, or (N, numbers) in the units of the data; with one number (N,) as well.
            condition_mask: (N,), zero for sequences without a condition, whose own is not looked at.

        Returns:
            (N, hidden), in the dtype of the weights.

        Raises:
            ValueError: conditions of another shape, an unknown class, or a number that is missing or infinite.
        """
        device = next(self.parameters()).device
        condition = condition.to(device)
        is_given = _mask_of(condition, condition_mask).to(device)
        if self.config.condition_classes is not None:
            vectors = self.class_embedding(self._class_ids(condition, is_given))
        else:
            vectors = self.out_proj(F.silu(self.dense(self._standardised(condition, is_given))))
        return vectors.masked_fill(~is_given[:, None], 0)

    def _class_ids(self, condition: Tensor, is_given: Tensor) -> Tensor:
        names = self.config.condition_classes or []
        if condition.dim() != 1 or condition.is_floating_point():
            raise ValueError(
                f"condition of shape {tuple(condition.shape)} and dtype {condition.dtype} must be integer ids of the "
                f"classes {', '.join(names)}, (sequences,)."
            )
        ids = condition.masked_fill(~is_given, 0)
        if not is_tracing(ids) and bool(((ids < 0) | (ids >= len(names))).any()):
            raise ValueError(
                f"condition holds the classes {ids.unique().tolist()}; ids run from 0 to {len(names) - 1}, those of "
                f"{', '.join(names)}."
            )
        return ids

    def _standardised(self, condition: Tensor, is_given: Tensor) -> Tensor:
        size = self.config.condition_size
        if condition.dim() == 1 and size == 1:
            condition = condition[:, None]
        if condition.dim() != 2 or condition.shape[1] != size:
            raise ValueError(f"condition of shape {tuple(condition.shape)} must be (sequences, {size}) numbers.")
        weight = self.dense.weight
        # In bfloat16 a deviation of 1 would be lost beside a mean of 1000.
        values = condition.float().masked_fill(~is_given[:, None], 0)
        if not is_tracing(values) and not bool(values.isfinite().all()):
            raise ValueError("condition has a number that is missing or infinite. Write a number, or mask it.")
        mean = torch.tensor(self.config.condition_mean or 0.0, device=weight.device)
        std = torch.tensor(self.config.condition_std or 1.0, device=weight.device)
        return ((values - mean) / std).to(weight.dtype)


def encode_conditions(conditions: Sequence[Any], config: DNAFMConfig) -> Tensor:
    """Turn conditions into what a model takes as such.

    Args:
        conditions: of each sequence: the name or the id of a class, a number, or a list of numbers.
        config: of the model.

    Returns:
        (N,) int64 ids, or (N, numbers) float32.

    Raises:
        ValueError: the model is unconditional, or one is an unknown class, has more or fewer numbers than the model
            takes, or is missing or infinite; the message names the sequence.
    """
    check_condition(config, conditions)
    where = "The condition" + (" of sequence {}" if len(conditions) > 1 else "")
    named = [(each, where.format(row)) for row, each in enumerate(conditions)]
    if config.condition_classes is not None:
        return torch.tensor([_class_id(each, config.condition_classes, name) for each, name in named])
    return torch.tensor([_numbers(each, config.condition_size, name) for each, name in named], dtype=torch.float32)


def zero_conditioning_output(module: nn.Module) -> None:
    """Fill the last layer of a `DNAFMConditioning` with zeros; other modules and loaded weights stay."""
    # Transformers asks for modules that have weights of their own alone.
    if isinstance(module, _ZeroEmbedding | _ZeroLinear):
        for weight in module.parameters():
            init.zeros_(weight)


def check_condition(config: DNAFMConfig, condition: Any) -> None:
    """Raise a ValueError where a model takes no conditions, or there is none."""
    if not config.is_conditional:
        raise ValueError(
            "There is a condition, and the model is unconditional: its config has neither condition_classes nor "
            "condition_size. Leave the condition out, or train the model with one."
        )
    if condition is None:
        kind = "a number" if config.condition_size == 1 else f"{config.condition_size} numbers"
        if config.condition_classes is not None:
            kind = f"the class ({', '.join(config.condition_classes)})"
        raise ValueError(f"The model is conditional, and the condition is missing: {kind} of each sequence.")


def vectors_of_tokens(
    vectors: Tensor,
    batch_shape: Sequence[int],
    *,
    attention_mask: Tensor | None = None,
    position_ids: Tensor | None = None,
    cu_seq_lens_q: Tensor | None = None,
    **kwargs: Any,
) -> Tensor:
    """Give each token the vector of its sequence.

    Args:
        vectors: (N, hidden), of the sequences in the order of rows, then of their places in the row.
        batch_shape: (B, L).
        attention_mask: As that of `DNAFMModel`, like the other inputs, which tell packed sequences apart.
        position_ids: (B, L) or (1, L).
        cu_seq_lens_q: (N + 1,).
        **kwargs: Not used; what else the model takes.

    Returns:
        (B, 1 or L, hidden).

    Raises:
        ValueError: there is not one vector for each sequence.
    """
    numbers = None
    if cu_seq_lens_q is not None:
        numbers = sequence_ids_from_boundaries(cu_seq_lens_q, batch_shape[1])
    elif attention_mask is None and position_ids is not None:
        numbers = find_packed_sequence_indices(position_ids.expand(*batch_shape))
    if numbers is None:
        _check_count(vectors, batch_shape[0])
        return vectors[:, None]
    n_of_rows = numbers[:, -1:] + 1
    if not is_tracing(numbers):
        _check_count(vectors, int(n_of_rows.sum()))
    return vectors[numbers + n_of_rows.cumsum(0) - n_of_rows]


def _check_count(vectors: Tensor, n_sequences: int) -> None:
    if len(vectors) != n_sequences:
        raise ValueError(f"There are {n_sequences} sequences and {len(vectors)} conditions; one each is due.")


def _mask_of(condition: Tensor, condition_mask: Tensor | None) -> Tensor:
    if condition_mask is None:
        return torch.ones(condition.shape[0], dtype=torch.bool, device=condition.device)
    if condition_mask.shape != condition.shape[:1]:
        raise ValueError(
            f"condition_mask of shape {tuple(condition_mask.shape)} must be (sequences,), here "
            f"({condition.shape[0]},)."
        )
    return condition_mask != 0


def _class_id(condition: Any, names: Sequence[str], where: str) -> int:
    if isinstance(condition, str) and condition in names:
        return list(names).index(condition)
    class_id = int(condition) if isinstance(condition, Integral) else -1
    if not 0 <= class_id < len(names):
        raise ValueError(
            f"{where} is {condition!r}; it must be one of the classes {', '.join(names)}, or "
            f"an id of them, 0 to {len(names) - 1}."
        )
    return class_id


def _numbers(condition: Any, size: int | None, where: str) -> list[float]:
    try:
        values = np.atleast_1d(np.asarray(condition, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{where} is {condition!r}; it must be numbers.") from None
    if values.shape != (size,):
        raise ValueError(f"{where} is {condition!r}; the model takes {size} numbers.")
    if not np.isfinite(values).all():
        raise ValueError(f"{where} is {condition!r}; a number is missing or infinite.")
    return values.tolist()


__all__ = ["DNAFMConditioning", "encode_conditions"]
