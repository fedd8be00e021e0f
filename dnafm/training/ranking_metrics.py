"""How well scores rank: ROC and precision-recall curves and the areas under them, in O(n log n), exact with ties."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnafm.training.metric_arrays import as_probabilities

FloatArray = NDArray[np.float64]


class RocCurve(NamedTuple):
    """Points of an ROC curve, one for each distinct score, from (0, 0) to (1, 1); all (t,) float64."""

    false_positive_rate: FloatArray
    true_positive_rate: FloatArray
    thresholds: FloatArray


class PrecisionRecallCurve(NamedTuple):
    """Points of a precision-recall curve, one for each distinct score, from recall 0 to 1; all (t,) float64."""

    precision: FloatArray
    recall: FloatArray
    thresholds: FloatArray


@dataclass(frozen=True)
class RankingCurves:
    """Both curves of one class or label, the areas under them, and the share of positives: the AUPRC of guessing."""

    roc: RocCurve
    precision_recall: PrecisionRecallCurve
    auroc: float
    auprc: float
    share_positive: float


def ranking_areas(is_positive: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Compute the areas under the ROC and the precision-recall curve.

    The first is the chance that a positive scores above a negative, where a tie counts one half (Hanley and McNeil
    1982); the second is average precision, Σ (R_t - R_(t-1)) P_t over the distinct scores, without interpolation.

    Args:
        is_positive: (n,) booleans, or 0 and 1.
        scores: (n,) numbers, higher for what is more likely positive.

    Returns:
        AUROC and AUPRC, in [0, 1]; both NaN where there are no positives or no negatives.

    Raises:
        ValueError: the two differ in shape, a score is NaN, or a label is neither 0 nor 1.
    """
    n_true, n_false, _ = _counts_at_thresholds(is_positive, scores)
    if not n_true.size or not n_true[-1] or not n_false[-1]:
        return float("nan"), float("nan")
    new_true, new_false = np.diff(n_true, prepend=0), np.diff(n_false, prepend=0)
    # Twice the area, in whole numbers: exact.
    auroc = int((new_false * (2 * n_true - new_true)).sum()) / (2 * int(n_true[-1]) * int(n_false[-1]))
    auprc = float((new_true * (n_true / (n_true + n_false))).sum() / n_true[-1])
    # The last bit of a sum of many terms can lie beyond 1.
    return auroc, min(auprc, 1.0)


def roc_curve(is_positive: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Return the true and false positive rates of "score ≥ threshold", by falling threshold, the first infinite.

    Arguments and errors are those of `ranking_areas`; there must be a positive and a negative.
    """
    n_true, n_false, thresholds = _defined_counts(is_positive, scores)
    true_positive_rate = np.append(0.0, n_true / n_true[-1])
    return RocCurve(np.append(0.0, n_false / n_false[-1]), true_positive_rate, np.append(np.inf, thresholds))


def precision_recall_curve(is_positive: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Return precision and recall of "score ≥ threshold", by falling threshold; the first is infinite, precision 1.

    Arguments and errors are those of `ranking_areas`; there must be a positive and a negative.
    """
    n_true, n_false, thresholds = _defined_counts(is_positive, scores)
    precision = np.append(1.0, n_true / (n_true + n_false))
    return PrecisionRecallCurve(precision, np.append(0.0, n_true / n_true[-1]), np.append(np.inf, thresholds))


def ranking_curves(is_positive: ArrayLike, scores: ArrayLike) -> RankingCurves:
    """Compute both curves and their areas; arguments and errors are those of `roc_curve`."""
    auroc, auprc = ranking_areas(is_positive, scores)
    return RankingCurves(
        roc_curve(is_positive, scores),
        precision_recall_curve(is_positive, scores),
        auroc,
        auprc,
        float(np.mean(np.asarray(is_positive, dtype=bool))),
    )


def curves_per_class(
    labels: ArrayLike, probabilities: ArrayLike, *, label_names: Sequence[str]
) -> dict[str, RankingCurves]:
    """Compute the curves of each class against the others; of two classes, of the second alone.

    Args:
        labels: (n,) class ids.
        probabilities: (n, n_classes).
        label_names: Names in the order of the class ids.

    Returns:
        Curves by name, without the classes that no example or every example is of.
    """
    label_ids = np.asarray(labels)
    scores = as_probabilities(probabilities, label_names, n_rows=len(label_ids))
    class_ids = [1] if len(label_names) == 2 else range(len(label_names))
    is_of_class = {class_id: label_ids == class_id for class_id in class_ids}
    return {
        label_names[class_id]: ranking_curves(is_positive, scores[:, class_id])
        for class_id, is_positive in is_of_class.items()
        if is_positive.any() and not is_positive.all()
    }


def _defined_counts(
    is_positive: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    n_true, n_false, thresholds = _counts_at_thresholds(is_positive, scores)
    if not n_true.size or not n_true[-1] or not n_false[-1]:
        found = (int(n_true[-1]), int(n_false[-1])) if n_true.size else (0, 0)
        raise ValueError(f"There are {found[0]} positives and {found[1]} negatives; a curve needs both.")
    return n_true, n_false, thresholds


def _counts_at_thresholds(
    is_positive: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Count positives and negatives that score at least each distinct score, which fall."""
    positive, values = _as_booleans(is_positive), np.asarray(scores)
    if positive.ndim != 1 or positive.shape != values.shape:
        raise ValueError(f"is_positive has shape {positive.shape} and scores {values.shape}; both must be (n,).")
    order = np.argsort(values)[::-1]
    falling = values[order]
    # NaN is sorted last, which is first in falling order.
    if falling.size and np.isnan(falling[0]):
        raise ValueError(f"scores holds NaN in row {int(np.isnan(values).argmax())}; NaN cannot be ranked.")
    is_last = np.ones(falling.size, dtype=bool)
    is_last[:-1] = falling[1:] != falling[:-1]
    last = np.flatnonzero(is_last)
    n_true = np.cumsum(positive[order], dtype=np.int64)[last]
    return n_true, last + 1 - n_true, falling[last].astype(np.float64)


def _as_booleans(is_positive: ArrayLike) -> NDArray[np.bool_]:
    values = np.asarray(is_positive)
    if values.dtype == bool:
        return values
    if not np.isin(values, (0, 1)).all():
        raise ValueError(f"is_positive holds {sorted(set(values.ravel().tolist()))[:5]}; 0 and 1 alone are due.")
    return values.astype(bool)
