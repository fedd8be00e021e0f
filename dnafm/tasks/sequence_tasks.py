"""Tasks with labels for whole sequences: classes, several labels at once, numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dnafm import DNAFMConfig, DNAFMForSequenceClassification
from dnafm.data.table_options import SequenceClassificationTable, SequenceRegressionTable
from dnafm.data.task_data import TaskData
from dnafm.tasks.base import FlatArrays, Task
from dnafm.tasks.labels import (
    class_ids,
    label_name_fields,
    n_outputs_field,
    n_targets_field,
    output_names,
    output_rows,
    softmax,
)
from dnafm.tasks.options import ModelOptions, SequenceClassificationOptions, SequenceRegressionOptions
from dnafm.tasks.target_scaling import scaled, scaler_fields, unscaled
from dnafm.training.metrics import classification_report
from dnafm.training.multilabel_metrics import multilabel_report
from dnafm.training.regression_metrics import regression_report


class SequenceClassification(Task):
    """Classes of sequences.

    `collate` takes labels that are class ids or names, (batch,), or with `model.multilabel` a list of zeros and ones
    for each sequence, -100 where nothing is known. The model returns logits, (batch, n_classes).
    """

    options_type = SequenceClassificationOptions
    table_type = SequenceClassificationTable
    model_class = DNAFMForSequenceClassification
    options: SequenceClassificationOptions

    @property
    def metric_kind(self) -> str:  # type: ignore[override]  # it depends on the options
        """Which metrics there are."""
        return "multilabel" if self.options.multilabel else "classification"

    @property
    def selection_metric(self) -> str:  # type: ignore[override]
        """The metric that selects the best checkpoint."""
        return "macro_f1" if self.options.multilabel else "mcc"

    @classmethod
    def head_fields(cls, options: ModelOptions, config: DNAFMConfig, data: TaskData | None) -> dict[str, Any]:
        """Return number and names of the classes, the kind of problem and the pooling."""
        assert isinstance(options, SequenceClassificationOptions)
        names = data.label_names if data else None
        fields = n_outputs_field(options.n_classes, config, len(names) if names else None, option="model.n_classes")
        kind = "multi_label" if options.multilabel else "single_label"
        fields |= {"problem_type": f"{kind}_classification"} | (label_name_fields(names) if names else {})
        return fields | ({"classifier_pooling": options.pooling} if options.pooling else {})

    @property
    def label_names(self) -> list[str]:
        """Names of the classes, by their ids."""
        return output_names(self.config)

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
        return classification_report(labels, scores, label_names=self.label_names, per_class=details)

    def prediction_columns(self, outputs: Sequence[np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return `prediction`, a name (or a list of names), and `probability_<name>` of each class."""
        names, probabilities = self.label_names, self.probabilities(outputs)
        if self.options.multilabel:
            predictions: list = [[names[i] for i in np.flatnonzero(row > 0.5)] for row in probabilities]
        else:
            predictions = [names[i] for i in probabilities.argmax(axis=1)]
        columns = zip(names, probabilities.astype(np.float32).T, strict=True)
        return {"prediction": predictions, **{f"probability_{name}": column for name, column in columns}}


class SequenceRegression(Task):
    """Numbers for sequences.

    `collate` takes labels (batch,) or (batch, n_outputs), in the units of the data. The model returns
    (batch, n_outputs), in the same units: where the targets were standardised in training, that is undone.
    """

    options_type = SequenceRegressionOptions
    table_type = SequenceRegressionTable
    model_class = DNAFMForSequenceClassification
    metric_kind = "regression"
    selection_metric = "spearman"
    options: SequenceRegressionOptions

    @classmethod
    def head_fields(cls, options: ModelOptions, config: DNAFMConfig, data: TaskData | None) -> dict[str, Any]:
        """Return number and names of the outputs, their mean and deviation, the kind of problem and the pooling."""
        assert isinstance(options, SequenceRegressionOptions)
        names = data.target_names if data else None
        fields = n_targets_field(options.n_outputs, config, len(names) if names else None)
        fields |= {"problem_type": "regression"} | (label_name_fields(names) if names else {})
        fields |= scaler_fields(data.target_scaler) if data else {}
        return fields | ({"classifier_pooling": options.pooling} if options.pooling else {})

    @property
    def target_names(self) -> list[str]:
        """Names of the outputs."""
        return output_names(self.config)

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the predicted numbers in the units of the data."""
        return unscaled(super().outputs(inputs), self.config)

    def collate_labels(self, labels: list[Any], sequences: list[str], width: int) -> Tensor:
        """Return (batch, n_outputs) float32, standardised as the loss wants them."""
        return scaled(torch.tensor(output_rows(labels, self.config)), self.config)

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean squared error of standardised outputs."""
        return super().loss(scaled(outputs, self.config), labels)

    def flat_arrays(self, outputs: Sequence[np.ndarray], labels: Sequence[Any]) -> FlatArrays:
        """Return targets and predictions, (sequences, n_outputs) in the units of the data."""
        targets = np.asarray(labels, dtype=np.float64).reshape(len(labels), -1)
        return FlatArrays(targets, np.stack(outputs), np.arange(len(targets)))

    def report(self, labels: np.ndarray, scores: np.ndarray, *, details: bool) -> dict[str, float]:
        """Return the metrics of `regression_report`."""
        return regression_report(labels, scores, target_names=self.target_names, per_output=details)

    def prediction_columns(self, outputs: Sequence[np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return `prediction`, or `prediction_<name>` of each output where there are several."""
        values, names = np.stack(outputs), self.target_names
        if len(names) == 1:
            return {"prediction": values[:, 0]}
        return {f"prediction_{name}": column for name, column in zip(names, values.T, strict=True)}
