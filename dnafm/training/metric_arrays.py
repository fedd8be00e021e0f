"""What the metrics ask of their arrays, and the mean that they take over classes, labels and outputs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Largest deviation from 1 of a row of probabilities; sums of half-precision ones stay well within it.
SUM_TOLERANCE = 0.01


def as_columns(values: ArrayLike, name: str, column_names: Sequence[str]) -> NDArray:
    """Return (n, n_columns) values, n ≥ 1; (n,) values become one column.

    Raises:
        ValueError: the shape does not fit the names, or two names are equal.
    """
    if len(set(column_names)) != len(column_names):
        raise ValueError(f"The names {list(column_names)} are not unique, so their metrics could not be told apart.")
    columns = np.asarray(values)
    if columns.ndim == 1 and len(column_names) == 1:
        columns = columns[:, None]
    if columns.ndim != 2 or columns.shape[1] != len(column_names) or not columns.shape[0]:
        raise ValueError(
            f"{name} has shape {np.shape(values)}; (n, {len(column_names)}) with n of at least 1 is due, one column "
            "for each name."
        )
    return columns


def as_probabilities(values: ArrayLike, column_names: Sequence[str], *, n_rows: int) -> NDArray:
    """Return (n_rows, n_columns) probabilities.

    Raises:
        ValueError: as of `as_columns`; or a value is NaN or not in [0, 1], or there is another number of rows.
    """
    probabilities = as_columns(values, "probabilities", column_names)
    check_n_rows(len(probabilities), "probabilities", n_rows)
    # The extremes are NaN where any value is.
    if not (probabilities.min() >= 0 and probabilities.max() <= 1):
        row = int(np.argmax(~((probabilities >= 0) & (probabilities <= 1)).all(axis=1)))
        raise ValueError(
            f"probabilities holds {probabilities[row].tolist()} in row {row}; numbers from 0 to 1 are due, the "
            "softmax or sigmoid of the logits."
        )
    return probabilities


def check_rows_sum_to_one(probabilities: NDArray) -> None:
    """Raise a ValueError where the probabilities of the classes of an example do not add up to 1."""
    sums = probabilities.sum(axis=1, dtype=np.float64)
    deviations = np.abs(sums - 1)
    if deviations.max() > SUM_TOLERANCE:
        row = int(deviations.argmax())
        raise ValueError(
            f"The probabilities in row {row} add up to {sums[row]:.4g}; those of classes of which one is right add up "
            "to 1. Are there several labels at once (multilabel_report)?"
        )


def check_n_rows(n_found: int, name: str, n_labels: int) -> None:
    """Raise a ValueError where there is not one row for each label."""
    if n_found != n_labels:
        raise ValueError(f"There are {n_labels} labels and {n_found} rows of {name}; one each is due.")


def mean_of_defined(values: ArrayLike) -> float:
    """Return the mean of the values that are not NaN, or NaN where there is none."""
    array = np.asarray(values, dtype=np.float64)
    defined = array[~np.isnan(array)]
    return float(defined.mean()) if defined.size else float("nan")
