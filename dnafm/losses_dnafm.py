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
"""Losses of the heads, and the checks of their labels.

Shape letters: B sequences in a batch, L tokens of the longest.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.utils.import_utils import is_tracing

from .configuration_dnafm import DNAFMConfig

IGNORED_LABEL = -100


def masked_lm_loss(logits: Tensor, labels: Tensor, *, num_items_in_batch: Tensor | int | None = None, **kwargs):
    """Mean cross-entropy in nats over the labelled tokens.

    Args:
        logits: (B, L, vocabulary).
        labels: (B, L), -100 where there is nothing to predict.
        num_items_in_batch: What the sum is divided by; by default the number of labels.
        **kwargs: Not used; what other losses want to know.

    Returns:
        A scalar in float32; zero without a single label.

    Raises:
        ValueError: labels of another shape, or outside the vocabulary.
    """
    _check_label_shape(labels, logits.shape[:-1])
    return _cross_entropy(logits, labels, num_items_in_batch)


def supervised_loss(
    logits: Tensor, labels: Tensor, *, config: DNAFMConfig, num_items_in_batch: Tensor | int | None = None, **kwargs
) -> Tensor:
    """Loss of classification and regression heads, by `config.problem_type`.

    Args:
        logits: (..., labels).
        labels: (...) class ids with -100 ignored; (..., labels) zeros and ones with -100 ignored; or numbers shaped
            (..., labels), or (...) where there is one output, with NaN ignored.
        config: Its problem type is read and never written.
        num_items_in_batch: What the sum is divided by; by default the number of labels that count.
        **kwargs: Not used; what other losses want to know.

    Returns:
        Mean cross-entropy, binary cross-entropy or squared error, a scalar in float32; zero without a single label.

    Raises:
        ValueError: labels of another shape or range.
    """
    problem_type = config.problem_type or _problem_type_of(labels, logits)
    if problem_type == "single_label_classification":
        _check_label_shape(labels, logits.shape[:-1])
        return _cross_entropy(logits, labels, num_items_in_batch)
    labels = labels.to(logits.device, torch.float32)
    if logits.shape[-1] == 1 and labels.shape == logits.shape[:-1]:
        labels = labels[..., None]
    _check_label_shape(labels, logits.shape)
    is_counted = labels != IGNORED_LABEL
    is_missing = labels.isnan()
    if problem_type == "multi_label_classification":
        is_missing = is_missing | ~is_counted
        _check_labels(labels.masked_fill(is_missing, 0), lowest=0, highest=1)
    labels = labels.masked_fill(is_missing, 0)
    function = F.mse_loss if problem_type == "regression" else F.binary_cross_entropy_with_logits
    losses = function(logits.float(), labels, reduction="none").masked_fill(is_missing, 0)
    return _mean_loss(losses.sum(), (~is_missing).sum(), num_items_in_batch, counted=is_counted.sum())


def _problem_type_of(labels: Tensor, logits: Tensor) -> str:
    if logits.shape[-1] == 1:
        return "regression"
    is_class_id = not labels.is_floating_point() and labels.dim() < logits.dim()
    return "single_label_classification" if is_class_id else "multi_label_classification"


def _cross_entropy(logits: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None) -> Tensor:
    if labels.is_floating_point():
        raise ValueError(f"labels of dtype {labels.dtype} must be integers: they are the ids of classes or tokens.")
    labels = labels.to(logits.device).long().flatten()
    counts = labels != IGNORED_LABEL
    _check_labels(labels.masked_fill(~counts, 0), lowest=0, highest=logits.shape[-1] - 1)
    total = F.cross_entropy(logits.float().flatten(0, -2), labels, ignore_index=IGNORED_LABEL, reduction="sum")
    return _mean_loss(total, counts.sum(), num_items_in_batch, counted=counts.sum())


def _mean_loss(total: Tensor, count: Tensor, num_items_in_batch: Tensor | int | None, *, counted: Tensor) -> Tensor:
    """Divide by the labels that count.

    Trainer's `num_items_in_batch` takes every label but -100 for one that counts, the NaN of regression included;
    `counted` is that number for the labels at hand, and corrects it.
    """
    if num_items_in_batch is None:
        return total / count.clamp(min=1)
    items = torch.as_tensor(num_items_in_batch, device=total.device)
    return total / (items * count.clamp(min=1) / counted.clamp(min=1))


def _check_label_shape(labels: Tensor, expected: torch.Size) -> None:
    if labels.shape != expected:
        raise ValueError(f"labels of shape {tuple(labels.shape)} must have the shape {tuple(expected)}.")


def _check_labels(labels: Tensor, *, lowest: int, highest: int) -> None:
    if is_tracing(labels) or not labels.numel():
        return
    smallest, largest = (float(bound) for bound in torch.aminmax(labels))
    if smallest < lowest or largest > highest:
        raise ValueError(f"labels run from {smallest:g} to {largest:g}, and must lie in [{lowest}, {highest}].")
