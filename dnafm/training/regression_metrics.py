"""Metrics of predicted numbers: correlations, R² and errors."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnafm.training.metric_arrays import as_columns, check_n_rows, mean_of_defined

FloatArray = NDArray[np.float64]


def pearson_correlation(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Return Pearson's correlation of (n,) targets and (n,) predictions, in [-1, 1].

    NaN where the targets are constant or fewer than two, for then the data tell nothing; 0 where only the predictions
    are constant, for they tell nothing of the targets. So a model that predicts one number can be compared with
    others.
    """
    targets, values = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if _is_constant(targets):
        return float("nan")
    if _is_constant(values):
        return 0.0
    return float(np.clip(_unit_deviations(targets) @ _unit_deviations(values), -1, 1))


def spearman_correlation(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Return Spearman's correlation: Pearson's of the ranks, defined where that is."""
    return pearson_correlation(average_ranks(labels), average_ranks(predictions))


def average_ranks(values: ArrayLike) -> FloatArray:
    """Rank (n,) numbers from 1 to n; equal ones share the mean of their ranks."""
    _, group, sizes = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2)[group]


def r_squared(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Return 1 - Σ (target - prediction)² / Σ (target - mean target)², at most 1.

    It is 0 for the mean of the targets and negative for what is worse; NaN where the targets are constant or fewer
    than two.
    """
    targets, values = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if _is_constant(targets):
        return float("nan")
    return float(1 - np.square(targets - values).sum() / np.square(targets - targets.mean()).sum())


def mean_absolute_error(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Return the mean of |target - prediction|, in the unit of the targets; NaN where there are none."""
    return mean_of_defined(np.abs(np.asarray(labels, dtype=np.float64) - np.asarray(predictions)))


def root_mean_squared_error(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Return the root of the mean of (target - prediction)², in the unit of the targets; NaN where there are none."""
    return float(np.sqrt(mean_of_defined(np.square(np.asarray(labels, dtype=np.float64) - np.asarray(predictions)))))


REGRESSION_METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "pearson": pearson_correlation,
    "spearman": spearman_correlation,
    "r2": r_squared,
    "mae": mean_absolute_error,
    "rmse": root_mean_squared_error,
}


def regression_report(
    labels: ArrayLike, predictions: ArrayLike, *, target_names: Sequence[str], per_output: bool = False
) -> dict[str, float]:
    """Compute the metrics of each output from the examples whose target is known.

    Args:
        labels: (n, n_outputs), or (n,) for one output; NaN = unknown.
        predictions: Of the same shape, in the same units.
        target_names: Names in the order of the columns.
        per_output: Whether to add `<metric>_<name>` for each metric and output.

    Returns:
        `pearson`, `spearman`, `r2`, `mae` and `rmse`, plain means over the outputs for which they are defined. The
        errors are in the units of the targets, so their means make sense where the outputs share one.

    Raises:
        ValueError: shapes do not fit, a target is infinite, or a prediction is not finite.
    """
    targets = as_columns(labels, "labels", target_names).astype(np.float64)
    values = as_columns(predictions, "predictions", target_names).astype(np.float64)
    check_n_rows(len(values), "predictions", len(targets))
    _check_finite(values, "predictions", target_names)
    _check_finite(np.nan_to_num(targets, nan=0.0, posinf=np.inf, neginf=-np.inf), "labels", target_names)
    by_metric = {
        metric: [function(*_known(targets[:, i], values[:, i])) for i in range(len(target_names))]
        for metric, function in REGRESSION_METRICS.items()
    }
    report = {metric: mean_of_defined(by_output) for metric, by_output in by_metric.items()}
    if per_output:
        for metric, by_output in by_metric.items():
            report |= {f"{metric}_{name}": value for name, value in zip(target_names, by_output, strict=True)}
    return report


def _known(targets: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    is_known = ~np.isnan(targets)
    return targets[is_known], values[is_known]


def _is_constant(values: FloatArray) -> bool:
    return values.size < 2 or bool((values == values[0]).all())


def _unit_deviations(values: FloatArray) -> FloatArray:
    deviations = values - values.mean()
    # Squares of numbers about 1 neither overflow nor vanish.
    deviations /= np.abs(deviations).max()
    return deviations / np.linalg.norm(deviations)


def _check_finite(columns: FloatArray, name: str, target_names: Sequence[str]) -> None:
    if not np.isfinite(columns).all():
        row, column = np.argwhere(~np.isfinite(columns))[0]
        raise ValueError(
            f"{name} holds {columns[row, column]} in row {row} for {target_names[column]!r}; finite numbers are due."
        )
