"""What tasks share by the kind of their outputs: classes that exclude each other, and numbers."""

from abc import ABC
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from dnafm import DNAFMConfig
from dnafm.data.task_data import TaskData
from dnafm.tasks.base import Task
from dnafm.tasks.labels import label_name_fields, n_outputs_field, n_targets_field, output_names
from dnafm.tasks.options import ModelOptions
from dnafm.tasks.target_scaling import scaled, scaler_fields, unscaled
from dnafm.training.metrics import classification_report
from dnafm.training.regression_metrics import regression_report


class ClassTask(Task, ABC):
    """A task whose outputs are logits of classes; its options have `n_classes`."""

    metric_kind = "classification"
    selection_metric = "mcc"

    @classmethod
    def head_fields(cls, options: ModelOptions, config: DNAFMConfig, data: TaskData | None) -> dict[str, Any]:
        """Return number and names of the classes, the kind of problem, and what a head for sequences is."""
        names = data.label_names if data else None
        n_classes = getattr(options, "n_classes", None)
        fields = n_outputs_field(n_classes, config, len(names) if names else None, option="model.n_classes")
        fields |= {"problem_type": "single_label_classification"} | (label_name_fields(names) if names else {})
        return fields | sequence_head_fields(options)

    @property
    def label_names(self) -> list[str]:
        """Names of the classes, by their ids."""
        return output_names(self.config)

    def report(self, labels: np.ndarray, scores: np.ndarray, *, details: bool) -> dict[str, float]:
        """Return the metrics of `classification_report`."""
        return classification_report(labels, scores, label_names=self.label_names, per_class=details)


class NumberTask(Task, ABC):
    """A task whose outputs are numbers in the units of the data; its options have `n_outputs`."""

    metric_kind = "regression"
    selection_metric = "spearman"

    @classmethod
    def head_fields(cls, options: ModelOptions, config: DNAFMConfig, data: TaskData | None) -> dict[str, Any]:
        """Return number and names of the outputs, their mean and deviation, the kind of problem, and the head."""
        names = data.target_names if data else None
        fields = n_targets_field(getattr(options, "n_outputs", None), config, len(names) if names else None)
        fields |= {"problem_type": "regression"} | (label_name_fields(names) if names else {})
        return fields | (scaler_fields(data.target_scaler) if data else {}) | sequence_head_fields(options)

    @property
    def target_names(self) -> list[str]:
        """Names of the outputs."""
        return output_names(self.config)

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the predicted numbers in the units of the data."""
        return unscaled(super().outputs(inputs), self.config)

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean squared error of standardised outputs."""
        return super().loss(scaled(outputs, self.config), labels)

    def report(self, labels: np.ndarray, scores: np.ndarray, *, details: bool) -> dict[str, float]:
        """Return the metrics of `regression_report`."""
        return regression_report(labels, scores, target_names=self.target_names, per_output=details)


def sequence_head_fields(options: ModelOptions) -> dict[str, Any]:
    """Return the config's pooling and width of a head for sequences, where the options set them."""
    fields = {
        "classifier_pooling": getattr(options, "pooling", None),
        "classifier_hidden_size": getattr(options, "classifier_hidden_size", None),
    }
    return {name: value for name, value in fields.items() if value is not None}
