"""Running a task over rows: metrics of a split, with the rows shared by all ranks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, distributed
from tqdm import tqdm

from dnafm.data.batching import evaluation_batches
from dnafm.modeling_dnafm import IGNORED_LABEL
from dnafm.training.fine_tuning import NumberedRows

if TYPE_CHECKING:
    from dnafm.tasks.base import Task

# Tokens of a batch where nothing is trained and no budget is given.
INFERENCE_TOKENS = 8192
ROW_COLUMNS = ("sequence", "labels")


@dataclass(frozen=True)
class Evaluation:
    """What came out for a split, on the first rank; on the others there are the metrics alone.

    Attributes:
        metrics: by name.
        outputs: of each row, as `Task.row_outputs` returns them.
        labels: of each row.
    """

    metrics: dict[str, float]
    outputs: list[np.ndarray] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)


@dataclass
class _Results:
    """Outputs by row, and sums of the loss."""

    outputs: dict[int, np.ndarray] = field(default_factory=dict)
    loss_sum: float = 0.0
    n_labels: int = 0


def evaluate_rows(
    task: "Task",
    rows: Any,
    *,
    max_tokens: int | None = None,
    bf16: bool = False,
    details: bool = False,
    description: str = "evaluating",
) -> Evaluation:
    """Measure a task on rows with labels, in evaluation mode and without gradients.

    Under several ranks each runs its share of the batches; the result does not depend on their number.

    Args:
        task: on its device.
        rows: a `datasets.Dataset` with `sequence` and `labels`.
        max_tokens: most tokens of a batch; at least the longest row.
        bf16: whether to compute in bfloat16.
        details: whether the metrics tell classes and outputs apart, too.
        description: of the progress bar.

    Raises:
        ValueError: a row is empty or longer than the model reads, or labels do not fit it.
    """
    task.check_lengths(rows["sequence"])
    was_training = task.model.training
    task.eval()
    try:
        own = _run(task, rows, max_tokens=max_tokens, bf16=bf16, description=description)
    finally:
        task.train(was_training)
    parts = gather_to_first_rank(own)
    evaluation = _measured(task, rows, parts, details=details) if parts else Evaluation({})
    return broadcast_metrics(evaluation)


def token_lengths(task: "Task", sequences: Sequence[str]) -> list[int]:
    """Return the tokens of each sequence, special tokens included."""
    return [len(sequence) + task.n_special_tokens for sequence in sequences]


def rank_and_ranks() -> tuple[int, int]:
    """Return this process's rank and their number, 0 and 1 where there is one process."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gather_to_first_rank(value: Any) -> list[Any]:
    """Return the values of all ranks on the first one, and an empty list on the others."""
    rank, n_ranks = rank_and_ranks()
    if n_ranks == 1:
        return [value]
    gathered: list[Any] | None = [None] * n_ranks if rank == 0 else None
    distributed.gather_object(value, gathered)
    return gathered or []


def broadcast_metrics(evaluation: Evaluation) -> Evaluation:
    """Give the metrics of the first rank to all."""
    rank, n_ranks = rank_and_ranks()
    if n_ranks == 1:
        return evaluation
    shared = [evaluation.metrics]
    distributed.broadcast_object_list(shared, src=0)
    return evaluation if rank == 0 else Evaluation(shared[0])


def inference_context(device: torch.device, *, bf16: bool) -> Any:
    """Return a context for computing in bfloat16, or as the weights are."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def _run(task: "Task", rows: Any, *, max_tokens: int | None, bf16: bool, description: str) -> _Results:
    lengths = token_lengths(task, rows["sequence"])
    rank, n_ranks = rank_and_ranks()
    budget = max(max_tokens or INFERENCE_TOKENS, max(lengths))
    batches = evaluation_batches(lengths, max_tokens=budget, n_ranks=n_ranks, rank=rank)
    numbered = NumberedRows(rows, ROW_COLUMNS)
    results = _Results()
    for batch in tqdm(batches, desc=description, unit="batch", leave=False, disable=None if rank == 0 else True):
        samples = [numbered[row] for row in batch.rows]
        inputs = task.evaluation_batch(samples)
        with torch.inference_mode(), inference_context(task.device, bf16=bf16):
            outputs = task(inputs)
        if batch.kept:
            _add(results, task, outputs, inputs, batch.rows)
    return results


def _add(results: _Results, task: "Task", outputs: Tensor, inputs: dict[str, Tensor], rows: Sequence[int]) -> None:
    if "labels" in inputs:
        labels = inputs["labels"].to(outputs.device)
        n_labels = int(_is_counted(labels, task.config.problem_type).sum())
        results.loss_sum += float(task.loss(outputs, labels)) * n_labels
        results.n_labels += n_labels
    results.outputs.update(zip(rows, task.row_outputs(outputs, inputs), strict=True))


def _is_counted(labels: Tensor, problem_type: str | None) -> Tensor:
    # -100 is a number like any other where numbers are predicted.
    return ~labels.isnan() if problem_type == "regression" else labels != IGNORED_LABEL


def _measured(task: "Task", rows: Any, parts: Sequence[_Results], *, details: bool) -> Evaluation:
    by_row = {row: outputs for part in parts for row, outputs in part.outputs.items()}
    outputs = [by_row[row] for row in range(len(by_row))]
    labels = list(rows["labels"]) if task.needs_labels else []
    metrics = task.metrics(outputs, labels, details=details)
    n_labels = sum(part.n_labels for part in parts)
    if n_labels:
        metrics["loss"] = sum(part.loss_sum for part in parts) / n_labels
    return Evaluation(metrics, outputs, labels)
