"""The models of annotation by name: classifiers of bases, and predictors of masked ones."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dnafm.analysis.base_annotation import BaseClassifier
from dnafm.analysis.base_predictions import check_reading
from dnafm.analysis.identities import weight_files
from dnafm.checkpoints.loading import load_config
from dnafm.genomics import reverse_complement

_CLASSIFIER = "DNAFMForTokenClassification"


def load_base_classifier(
    model: str | os.PathLike, *, strand: str, dtype: str, max_tokens: int, device: torch.device
) -> BaseClassifier:
    """Load a fine-tuned `TokenClassification`.

    Args:
        model: folder or Hub id.
        strand: `"both"` for the mean of the logits of both, place by place; or the one that it reads.
        dtype: of the weights.
        max_tokens: most tokens of a batch.
        device: to load it onto.

    Raises:
        ValueError: the model is another one, or an option is out of its range.
        OSError: there is no such checkpoint.
    """
    # The tasks are built on this room, and know how a fine-tuned model is read.
    from dnafm.tasks import TokenClassification
    from dnafm.tasks.labels import softmax

    check_reading(strand, max_tokens)
    _check_head(os.fspath(model))
    average: Any = "average" if strand == "both" else "none"
    task = TokenClassification.from_pretrained(os.fspath(model), dtype=dtype, reverse_complement=average)
    task.to(device).eval()

    def read(windows: Sequence[str]) -> list[np.ndarray]:
        sequences = list(map(reverse_complement, windows)) if strand == "reverse" else list(windows)
        inputs = task.collate({"sequences": sequences})
        with torch.inference_mode():
            rows = task.row_outputs(task(inputs), inputs)
        step = -1 if strand == "reverse" else 1
        return [softmax(row).astype(np.float32)[::step] for row in rows]

    return BaseClassifier(tuple(task.label_names), read, task.max_bases, max_tokens)


def model_files(model: str | os.PathLike) -> list[dict[str, Any]]:
    """Return what tells a model from others, as JSON holds it: its name, and files where it is a folder."""
    return [{"name": os.fspath(model)}, *weight_files(model)]


def _check_head(model: str) -> None:
    config = load_config(model)
    found = ", ".join(config.architectures or ()) or "no head"
    if _CLASSIFIER not in found:
        raise ValueError(
            f"{model} is a checkpoint of {found}; annotation takes a fine-tuned TokenClassification. Train one by "
            "dnafm fit --model TokenClassification."
        )
    if config.problem_type == "regression":
        raise ValueError(f"{model} predicts numbers for bases; annotation takes a TokenClassification.")
