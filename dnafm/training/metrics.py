"""Metrics from arrays, in numpy alone: those of classes are made here, the others are named here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnafm.training.bootstrap import bootstrap_intervals
from dnafm.training.metric_arrays import as_probabilities, check_rows_sum_to_one, mean_of_defined
from dnafm.training.metric_names import METRICS_BY_KIND, check_metric_name, is_greater_better
from dnafm.training.multilabel_metrics import curves_per_label, multilabel_report
from dnafm.training.ranking_metrics import (
    RankingCurves,
    curves_per_class,
    precision_recall_curve,
    ranking_areas,
    ranking_curves,
    roc_curve,
)
from dnafm.training.regression_metrics import regression_report

__all__ = [
    # reports
    "classification_report",
    "multilabel_report",
    "regression_report",
    "bootstrap_intervals",
    # of class ids
    "accuracy",
    "balanced_accuracy",
    "classification_metrics",
    "compute_metrics",
    "confusion_matrix",
    "f1_per_class",
    "matthews_correlation",
    # of scores
    "RankingCurves",
    "curves_per_class",
    "curves_per_label",
    "precision_recall_curve",
    "ranking_areas",
    "ranking_curves",
    "roc_curve",
    # names
    "METRICS_BY_KIND",
    "check_metric_name",
    "is_greater_better",
]


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, *, n_classes: int) -> NDArray[np.int64]:
    """Count (label, prediction) pairs.

    Args:
        labels: (n,) class ids, n ≥ 1.
        predictions: (n,) class ids.
        n_classes: Number of classes, whether or not all of them occur.

    Returns:
        (n_classes, n_classes); row = label, column = prediction.

    Raises:
        ValueError: the two differ in shape, are empty, or hold something that is not a class id.
    """
    label_ids = _class_ids(labels, "labels", n_classes)
    predicted_ids = _class_ids(predictions, "predictions", n_classes)
    if label_ids.shape != predicted_ids.shape:
        raise ValueError(f"There are {label_ids.size} labels and {predicted_ids.size} predictions; one each is due.")
    counts = np.bincount(label_ids * n_classes + predicted_ids, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def accuracy(confusion: NDArray[np.int64]) -> float:
    """Return the share of correct predictions, in [0, 1]."""
    return float(np.trace(confusion) / confusion.sum())


def balanced_accuracy(confusion: NDArray[np.int64]) -> float:
    """Return the mean over the classes that occur of the share of their examples predicted right, in [0, 1]."""
    n_labelled = confusion.sum(axis=1)
    occurs = n_labelled > 0
    return float((np.diagonal(confusion)[occurs] / n_labelled[occurs]).mean())


def matthews_correlation(confusion: NDArray[np.int64]) -> float:
    """Return the multi-class correlation R_K of Gorodkin (2004), in [-1, 1]; for two classes, Matthews' own.

    It is 0 where only one class is predicted or only one occurs.
    """
    # Python's integers are exact and cannot overflow; counts to the fourth power would.
    n_total, n_correct = int(confusion.sum()), int(np.trace(confusion))
    n_labelled = [int(n) for n in confusion.sum(axis=1)]
    n_predicted = [int(n) for n in confusion.sum(axis=0)]
    covariance = n_correct * n_total - sum(t * p for t, p in zip(n_labelled, n_predicted, strict=True))
    label_variance = n_total**2 - sum(t * t for t in n_labelled)
    prediction_variance = n_total**2 - sum(p * p for p in n_predicted)
    if not label_variance or not prediction_variance:
        return 0.0
    return covariance / (label_variance * prediction_variance) ** 0.5


def f1_per_class(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the F1 of each class, (n_classes,) in [0, 1]; 0 for a class that neither occurs nor is predicted."""
    n_either = confusion.sum(axis=0) + confusion.sum(axis=1)
    return 2 * np.diagonal(confusion) / np.maximum(n_either, 1)


def classification_metrics(
    labels: ArrayLike, predictions: ArrayLike, *, label_names: Sequence[str]
) -> dict[str, float]:
    """Compute the metrics of predicted classes, where there are no probabilities.

    Args:
        labels: (n,) class ids.
        predictions: (n,) class ids.
        label_names: Names in the order of the class ids.

    Returns:
        `accuracy`, `mcc`, `macro_f1` (the plain mean over all named classes) and `f1_<name>` of each class.
    """
    confusion = confusion_matrix(labels, predictions, n_classes=len(label_names))
    class_f1 = f1_per_class(confusion)
    return {
        "accuracy": accuracy(confusion),
        "mcc": matthews_correlation(confusion),
        "macro_f1": float(class_f1.mean()),
        **{f"f1_{name}": float(f1) for name, f1 in zip(label_names, class_f1, strict=True)},
    }


def classification_report(
    labels: ArrayLike, probabilities: ArrayLike, *, label_names: Sequence[str], per_class: bool = False
) -> dict[str, float]:
    """Compute the metrics of classes of which one is right.

    Args:
        labels: (n,) class ids; for per-base classes those of the bases that count.
        probabilities: (n, n_classes), which add up to 1; the highest is the prediction.
        label_names: Names in the order of the class ids.
        per_class: Whether to add `f1_<name>`, `auroc_<name>` and `auprc_<name>`, of a class against the others.

    Returns:
        `accuracy`, `balanced_accuracy`, `mcc`, `macro_f1` (the plain mean over all named classes), `auroc` and `auprc`
        (average precision). Of two classes these two are of the second one; of more, the plain means over the classes
        that some examples are of and some are not, and NaN where there is none.

    Raises:
        ValueError: shapes do not fit, a label is no class id, or rows are no probabilities.
    """
    label_ids = _class_ids(labels, "labels", len(label_names))
    scores = as_probabilities(probabilities, label_names, n_rows=len(label_ids))
    check_rows_sum_to_one(scores)
    confusion = confusion_matrix(label_ids, scores.argmax(axis=1), n_classes=len(label_names))
    areas = np.array([ranking_areas(label_ids == i, scores[:, i]) for i in range(len(label_names))])
    class_f1 = f1_per_class(confusion)
    positive = slice(1, None) if len(label_names) == 2 else slice(None)
    report = {
        "accuracy": accuracy(confusion),
        "balanced_accuracy": balanced_accuracy(confusion),
        "mcc": matthews_correlation(confusion),
        "macro_f1": float(class_f1.mean()),
        "auroc": mean_of_defined(areas[positive, 0]),
        "auprc": mean_of_defined(areas[positive, 1]),
    }
    if per_class:
        for metric, values in (("f1", class_f1), ("auroc", areas[:, 0]), ("auprc", areas[:, 1])):
            report |= {f"{metric}_{name}": float(value) for name, value in zip(label_names, values, strict=True)}
    return report


def compute_metrics(evaluation: Any, *, label_names: Sequence[str] | None = None) -> dict[str, float]:
    """Compute the metrics of logits, as `compute_metrics` of `transformers.Trainer`.

    Bind the names with `functools.partial(compute_metrics, label_names=...)`; without them they are the class ids.

    Args:
        evaluation: A `transformers.EvalPrediction`, or any (logits, labels): (n, n_classes) and (n,).
            Where the model has further outputs, the logits are the first of them.
        label_names: Names in the order of the class ids.
    """
    logits, labels = evaluation
    if isinstance(logits, tuple):
        logits = logits[0]
    names = label_names or [str(class_id) for class_id in range(logits.shape[-1])]
    return classification_metrics(labels, np.argmax(logits, axis=-1), label_names=names)


def _class_ids(values: ArrayLike, name: str, n_classes: int) -> NDArray[np.int64]:
    ids = np.asarray(values)
    if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"{name} has shape {ids.shape} and dtype {ids.dtype}; one integer class id per example is due."
        )
    if ids.min() < 0 or ids.max() >= n_classes:
        raise ValueError(f"{name} holds class ids {ids.min()} to {ids.max()}; they must lie in 0 to {n_classes - 1}.")
    return ids.astype(np.int64)
