"""Tasks with labels for whole sequences: classes, several labels at once, numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dnafm import DNAFMConfig, DNAFMForSequenceClassification
from dnafm.data.table_options import SequenceClassificationTable, SequenceRegressionTable
from dnafm.data.task_data import TaskData
from dnafm.tasks.base import FlatArrays
from dnafm.tasks.labels import (
    class_ids,
    output_rows,
    softmax,
)
from dnafm.tasks.options import ModelOptions, SequenceClassificationOptions, SequenceRegressionOptions
from dnafm.tasks.output_kinds import ClassTask, NumberTask
from dnafm.tasks.target_scaling import scaled
from dnafm.training.multilabel_metrics import multilabel_report


class SequenceClassification(ClassTask):
    """Classes of sequences.

    `collate` takes labels that are class ids or names, (batch,), or with `model.multilabel` a list of zeros and ones
    for each sequence, -100 where nothing is known. The model returns logits, (batch, n_classes).
    """

    options_type = SequenceClassificationOptions
    table_type = SequenceClassificationTable
    model_class = DNAFMForSequenceClassification
    options: SequenceClassificationOptions

    @classmethod
    def head_fields(cls, options: ModelOptions, config: DNAFMConfig, data: TaskData | None) -> dict[str, Any]:
        """Return number and names of the classes, the kind of problem and the pooling."""
        fields = super().head_fields(options, config, data)
        is_multilabel = isinstance(options, SequenceClassificationOptions) and options.multilabel
        return fields | ({"problem_type": "multi_label_classification"} if is_multilabel else {})

    @property
    def metric_kind(self) -> str:  # type: ignore[override]  # it depends on the options
        """Which metrics there are."""
        return "multilabel" if self.options.multilabel else "classification"

    @property
    def selection_metric(self) -> str:  # type: ignore[override]
        """The metric that selects the best checkpoint."""
        return "macro_f1" if self.options.multilabel else "mcc"

    def collate_labels(self, labels: list[Any], sequences: list[str], width: int) -> Tensor:
        """Return (batch,) int64 class ids, or (batch, n_classes) float32."""
        if self.options.multilabel:
            return torch.tensor(output_rows(labels, self.config))
        return torch.tensor(class_ids(labels, self.config))

    def probabilities(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return (sequences, n_classes) float64 probabilities; with several labels at once, of each by itself."""
        logits = np.stack(outputs)
        return 1 / (1 + np.exp(-logits.astype(np.float64))) if self.options.multilabel else softmax(logits)

    def flat_arrays(self, outputs: Sequence[np.ndarray], labels: Sequence[Any]) -> FlatArrays:
        """Return class ids, (sequences,), or (sequences, n_classes) of zeros and ones, and the probabilities."""
        found = np.asarray(labels) if self.options.multilabel else np.asarray(class_ids(labels, self.config))
        return FlatArrays(found, self.probabilities(outputs), np.arange(len(found)))

    def report(self, labels: np.ndarray, scores: np.ndarray, *, details: bool) -> dict[str, float]:
        """Return the metrics of `classification_report` or `multilabel_report`."""
        if self.options.multilabel:
            return multilabel_report(labels, scores, label_names=self.label_names, per_label=details)
        return super().report(labels, scores, details=details)

    def prediction_columns(self, outputs: Sequence[np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return `prediction`, a name (or a list of names), and `probability_<name>` of each class."""
        names, probabilities = self.label_names, self.probabilities(outputs)
        if self.options.multilabel:
            predictions: list = [[names[i] for i in np.flatnonzero(row > 0.5)] for row in probabilities]
        else:
            predictions = [names[i] for i in probabilities.argmax(axis=1)]
        columns = zip(names, probabilities.astype(np.float32).T, strict=True)
        return {"prediction": predictions, **{f"probability_{name}": column for name, column in columns}}


class SequenceRegression(NumberTask):
    """Numbers for sequences.

    `collate` takes labels (batch,) or (batch, n_outputs), in the units of the data. The model returns
    (batch, n_outputs), in the same units: where the targets were standardised in training, that is undone.
    """

    options_type = SequenceRegressionOptions
    table_type = SequenceRegressionTable
    model_class = DNAFMForSequenceClassification
    options: SequenceRegressionOptions

    def collate_labels(self, labels: list[Any], sequences: list[str], width: int) -> Tensor:
        """Return (batch, n_outputs) float32, standardised as the loss wants them."""
        return scaled(torch.tensor(output_rows(labels, self.config)), self.config)

    def flat_arrays(self, outputs: Sequence[np.ndarray], labels: Sequence[Any]) -> FlatArrays:
        """Return targets and predictions, (sequences, n_outputs) in the units of the data."""
        targets = np.asarray(labels, dtype=np.float64).reshape(len(labels), -1)
        return FlatArrays(targets, np.stack(outputs), np.arange(len(targets)))

    def prediction_columns(self, outputs: Sequence[np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return `prediction`, or `prediction_<name>` of each output where there are several."""
        values, names = np.stack(outputs), self.target_names
        if len(names) == 1:
            return {"prediction": values[:, 0]}
        return {f"prediction_{name}": column for name, column in zip(names, values.T, strict=True)}
