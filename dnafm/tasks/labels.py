"""Labels of tasks: their number and names in the config, and as tensors beside the tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dnafm.configuration_dnafm import DNAFMConfig


def n_outputs_field(asked: int | None, config: DNAFMConfig, found: int | None, *, option: str) -> dict[str, Any]:
    """Return the config's number of labels, from the options, the data or the checkpoint, in this order.

    The names of a checkpoint's classes are kept where their number is.

    Raises:
        ValueError: the options and the data disagree, or the number is less than 1.
    """
    if asked is not None and asked < 1:
        raise ValueError(f"{option} is {asked}; it must be at least 1.")
    if asked is not None and found is not None and asked != found:
        raise ValueError(f"{option} is {asked}, and the data have {found}. Leave the option out to take the data's.")
    number = asked or found or config.num_labels
    return {} if number == config.num_labels else {"num_labels": number, "id2label": None, "label2id": None}


def label_name_fields(names: Sequence[str]) -> dict[str, Any]:
    """Return the config's fields of the names of classes or outputs."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def class_ids(labels: Sequence[Any], config: DNAFMConfig) -> list[int]:
    """Return the ids of labels that are names, and of ids themselves.

    Raises:
        ValueError: a name is not one of the checkpoint's.
    """
    label2id = config.label2id or {}
    if unknown := [label for label in labels if isinstance(label, str) and label not in label2id]:
        raise ValueError(f"The label {unknown[0]!r} is none of the classes: {', '.join(map(str, label2id))}.")
    return [label2id[label] if isinstance(label, str) else int(label) for label in labels]


def padded_labels(labels: Sequence[Any], width: int, *, fill: float, dtype: torch.dtype) -> Tensor:
    """Put the labels of bases beside their tokens, base i at token i + 1.

    Args:
        labels: of each sequence, (bases, ...).
        width: tokens of the longest sequence.
        fill: what special tokens and padding get.
        dtype: of the result.

    Returns:
        (batch, width, ...).
    """
    rows = [np.asarray(label) for label in labels]
    padded = torch.full((len(rows), width, *rows[0].shape[1:]), fill, dtype=dtype)
    for i, row in enumerate(rows):
        padded[i, 1 : 1 + len(row)] = torch.as_tensor(row, dtype=dtype)
    return padded


def check_base_labels(labels: Sequence[Any], sequences: Sequence[str]) -> None:
    """Check that there is one label for each base.

    Raises:
        ValueError: there is not.
    """
    for row, (label, sequence) in enumerate(zip(labels, sequences, strict=True)):
        if len(label) != len(sequence):
            raise ValueError(f"Sequence {row} has {len(sequence)} bases and {len(label)} labels; one each is due.")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis, float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
