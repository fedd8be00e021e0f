"""Labels of tasks: their number and names in the config, and as tensors beside the tokens."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from dnafm.configuration_dnafm import DNAFMConfig
from dnafm.modeling_dnafm import IGNORED_LABEL


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


def n_targets_field(asked: int | None, config: DNAFMConfig, found: int | None) -> dict[str, Any]:
    """Return the config's number of labels for regression, as `n_outputs_field` does.

    Classes of a checkpoint are no targets, so that on one of another kind there is one target, without their names.
    """
    if config.problem_type == "regression":
        return n_outputs_field(asked, config, found, option="model.n_outputs")
    fields = n_outputs_field(asked, config, found or asked or 1, option="model.n_outputs")
    return {"num_labels": config.num_labels, "id2label": None, "label2id": None, **fields}


def output_names(config: DNAFMConfig) -> list[str]:
    """Return the names of the classes or targets by their ids."""
    names = cast(dict[int, str], config.id2label)
    return [names[index] for index in range(len(names))]


def label_name_fields(names: Sequence[str]) -> dict[str, Any]:
    """Return the config's fields of the names of classes or outputs."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def class_ids(labels: Sequence[Any], config: DNAFMConfig) -> list[int]:
    """Return the ids of labels that are names, and of ids themselves.

    Raises:
        ValueError: one is neither a name of the checkpoint's, nor an id, nor -100 for none.
    """
    names = output_names(config)
    label2id = {name: class_id for class_id, name in enumerate(names)}
    ids = np.asarray([label2id.get(label, -1) if isinstance(label, str) else label for label in labels], np.float64)
    is_known = np.isin(ids, [*range(len(names)), IGNORED_LABEL])
    if not is_known.all():
        raise ValueError(
            f"The label {labels[int(is_known.argmin())]!r} is none of the classes {', '.join(names)}, nor "
            f"an id of them, 0 to {len(names) - 1}."
        )
    return ids.astype(np.int64).tolist()


def output_rows(labels: Sequence[Any], config: DNAFMConfig, *, where: str = "Sequence") -> np.ndarray:
    """Return labels of one number for each output, (rows, outputs) float32; with one output, numbers will do.

    Args:
        labels: of each row.
        config: of the model.
        where: what the rows are, for errors.

    Raises:
        ValueError: a row has more or fewer numbers.
    """
    sizes = [np.size(label) for label in labels]
    if wrong := [row for row, size in enumerate(sizes) if size != config.num_labels]:
        raise ValueError(
            f"{where} {wrong[0]} has {sizes[wrong[0]]} labels, and the model {config.num_labels} outputs; one each is "
            "due."
        )
    return np.asarray(labels, dtype=np.float32).reshape(len(labels), -1)


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


def check_squares(labels: Sequence[Any]) -> None:
    """Check that labels of pairs have as many columns as rows.

    Raises:
        ValueError: they have not.
    """
    for row, label in enumerate(labels):
        if any(len(line) != len(label) for line in label):
            raise ValueError(
                f"The labels of sequence {row} are no square; one for each of its {len(label)} x {len(label)} pairs "
                "of bases is due."
            )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis, float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
