"""Classification metrics from labels and predictions, in numpy alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
    """Compute every metric of this module.

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
