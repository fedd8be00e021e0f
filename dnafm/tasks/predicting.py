"""Predictions for a stream of rows, in its order, with memory that does not grow."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dnafm.data.batching import LookAheadBatch, look_ahead_batches, rows_of_rank
from dnafm.tasks.evaluating import INFERENCE_TOKENS, inference_context

if TYPE_CHECKING:
    from dnafm.tasks.base import Task

# Rows that are read ahead, sorted by length, and written together.
CHUNK_ROWS = 4096


@dataclass(frozen=True)
class PredictedChunk:
    """Some consecutive rows of a stream with what was predicted for them.

    Attributes:
        index: number of the chunk in the stream, over all ranks.
        columns: those of the input, then those of `Task.prediction_columns`; one value for each row.
    """

    index: int
    columns: dict[str, Any]


def predict_chunks(
    task: "Task",
    rows: Iterable[Mapping[str, Any]],
    *,
    max_tokens: int | None = None,
    bf16: bool = False,
    chunk_rows: int = CHUNK_ROWS,
    n_ranks: int = 1,
    rank: int = 0,
) -> Iterator[PredictedChunk]:
    """Predict for the chunks of a rank: number `rank`, and every `n_ranks`-th after it.

    What is predicted for a row does not depend on the number of ranks.

    Args:
        task: on its device.
        rows: with `sequence`, and any other columns; the stream may be endless.
        max_tokens: most tokens of a batch.
        bf16: whether to compute in bfloat16.
        chunk_rows: rows of a chunk.
        n_ranks: processes that share the rows.
        rank: this one, from 0.

    Raises:
        ValueError: a row is empty or longer than the model reads, or a column has the name of a predicted one.
    """
    was_training = task.model.training
    task.eval()
    own = rows_of_rank(rows, n_look_ahead=chunk_rows, n_ranks=n_ranks, rank=rank)
    try:
        for number, chunk in enumerate(_chunks(own, chunk_rows)):
            index = rank + number * n_ranks
            task.check_lengths([row["sequence"] for row in chunk], first_row=index * chunk_rows)
            outputs = _chunk_outputs(task, chunk, max_tokens=max_tokens, bf16=bf16)
            predictions = task.prediction_columns(outputs, chunk)
            yield PredictedChunk(index, _input_columns(chunk, predictions) | predictions)
    finally:
        task.train(was_training)


def _chunks(rows: Iterator[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    chunk: list[Mapping[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _chunk_outputs(
    task: "Task", chunk: list[Mapping[str, Any]], *, max_tokens: int | None, bf16: bool
) -> list[np.ndarray]:
    def n_tokens(row: Mapping[str, Any]) -> int:
        return len(row["sequence"]) + task.n_special_tokens

    budget = max(max_tokens or INFERENCE_TOKENS, max(map(n_tokens, chunk)))
    outputs: dict[int, np.ndarray] = {}
    for batch in look_ahead_batches(chunk, length_of=n_tokens, max_tokens=budget, n_look_ahead=len(chunk)):
        outputs |= _batch_outputs(task, batch, bf16=bf16)
    return [outputs[position] for position in range(len(chunk))]


def _batch_outputs(task: "Task", batch: LookAheadBatch, *, bf16: bool) -> dict[int, np.ndarray]:
    inputs = task.collate({"sequences": [row["sequence"] for row in batch.rows]})
    with torch.inference_mode(), inference_context(task.device, bf16=bf16):
        outputs = task(inputs)
    return dict(zip(batch.positions, task.row_outputs(outputs, inputs), strict=True))


def _input_columns(chunk: list[Mapping[str, Any]], predictions: Mapping[str, Any]) -> dict[str, list]:
    """Return the columns of the input.

    Raises:
        ValueError: one has the name of a predicted column.
    """
    if clash := sorted(chunk[0].keys() & predictions.keys()):
        raise ValueError(
            f"The input has the column {clash[0]!r}, which is the name of a predicted one. Rename it with "
            "data.rename_columns."
        )
    return {name: [row[name] for row in chunk] for name in chunk[0]}
