"""Metrics of examples that have several labels at once, some of which may be unknown."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnafm.training.metric_arrays import as_columns, as_probabilities, mean_of_defined
from dnafm.training.ranking_metrics import RankingCurves, ranking_areas, ranking_curves

UNKNOWN = -100
# Of the probability; a logit of 0.
THRESHOLD = 0.5


def multilabel_report(
    labels: ArrayLike, probabilities: ArrayLike, *, label_names: Sequence[str], per_label: bool = False
) -> dict[str, float]:
    """Compute the metrics of independent labels, each from the examples where it is known.

    Args:
        labels: (n, n_labels) of 1 (has it), 0 (has it not) and -100 (unknown).
        probabilities: (n, n_labels) in [0, 1]; a label is predicted where it is above 0.5.
        label_names: Names in the order of the columns.
        per_label: Whether to add `f1_<name>`, `auroc_<name>` and `auprc_<name>`.

    Returns:
        `subset_accuracy`, the share of the examples all of whose known labels are predicted right, of those with any
        known; `macro_f1`, `auroc` and `auprc`, plain means over the labels for which they are defined. F1 is 0 for a
        label that is known, but neither occurs nor is predicted, and NaN for one that is never known; the areas are
        NaN unless both values of a label occur.

    Raises:
        ValueError: shapes do not fit, a label is none of 1, 0 and -100, or a probability is not in [0, 1].
    """
    targets = _as_targets(labels, label_names)
    scores = as_probabilities(probabilities, label_names, n_rows=len(targets))
    label_f1 = _f1_per_label(targets, scores > THRESHOLD)
    areas = np.array([_areas(targets[:, column], scores[:, column]) for column in range(len(label_names))])
    report = {
        "subset_accuracy": _subset_accuracy(targets, scores > THRESHOLD),
        "macro_f1": mean_of_defined(label_f1),
        "auroc": mean_of_defined(areas[:, 0]),
        "auprc": mean_of_defined(areas[:, 1]),
    }
    if per_label:
        for metric, values in (("f1", label_f1), ("auroc", areas[:, 0]), ("auprc", areas[:, 1])):
            report |= {f"{metric}_{name}": float(value) for name, value in zip(label_names, values, strict=True)}
    return report


def curves_per_label(
    labels: ArrayLike, probabilities: ArrayLike, *, label_names: Sequence[str]
) -> dict[str, RankingCurves]:
    """Compute the curves of each label from the examples where it is known, where both its values occur.

    Arguments and errors are those of `multilabel_report`.
    """
    targets = _as_targets(labels, label_names)
    scores = as_probabilities(probabilities, label_names, n_rows=len(targets))
    curves = {}
    for column, name in enumerate(label_names):
        is_known = targets[:, column] != UNKNOWN
        is_positive = targets[is_known, column] == 1
        if is_positive.any() and not is_positive.all():
            curves[name] = ranking_curves(is_positive, scores[is_known, column])
    return curves


def _as_targets(labels: ArrayLike, label_names: Sequence[str]) -> NDArray:
    targets = as_columns(labels, "labels", label_names)
    is_valid = (targets == 0) | (targets == 1) | (targets == UNKNOWN)
    if not is_valid.all():
        row, column = np.argwhere(~is_valid)[0]
        raise ValueError(
            f"labels holds {targets[row, column]} in row {row} for {label_names[column]!r}; 1, 0 and {UNKNOWN} "
            "(unknown) are due."
        )
    return targets


def _areas(targets: NDArray, scores: NDArray) -> tuple[float, float]:
    is_known = targets != UNKNOWN
    return ranking_areas(targets[is_known] == 1, scores[is_known])


def _f1_per_label(targets: NDArray, predictions: NDArray[np.bool_]) -> NDArray[np.float64]:
    is_known, is_positive = targets != UNKNOWN, targets == 1
    n_both = (is_positive & predictions).sum(axis=0)
    n_either = is_positive.sum(axis=0) + (is_known & predictions).sum(axis=0)
    return np.where(is_known.any(axis=0), 2 * n_both / np.maximum(n_either, 1), np.nan)


def _subset_accuracy(targets: NDArray, predictions: NDArray[np.bool_]) -> float:
    is_known = targets != UNKNOWN
    is_right = (~is_known | ((targets == 1) == predictions)).all(axis=1)
    return mean_of_defined(np.where(is_known.any(axis=1), is_right, np.nan))
