"""Names of classes, their weights, and the scale of regression targets; needs numpy alone."""

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")


@dataclass(frozen=True)
class TargetScaler:
    """Mean and standard deviation of each regression target on the train split, in the units of the data."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def fit_scaler(batches: Iterable[np.ndarray], target_names: Sequence[str]) -> TargetScaler:
    """Compute mean and deviation (of the population) of each target, NaN not counted.

    Batches are merged by the formula of Chan, Golub & LeVeque (1979), which does not cancel where the mean is large.

    Args:
        batches: (rows, targets) float64.
        target_names: for errors.

    Raises:
        ValueError: a target has no number, or the same in all rows.
    """
    n, mean, squares = (np.zeros(len(target_names)) for _ in range(3))
    for batch in batches:
        is_known = ~np.isnan(batch)
        n_new = is_known.sum(axis=0)
        mean_new = np.where(is_known, batch, 0).sum(axis=0) / np.maximum(n_new, 1)
        squares_new = (np.where(is_known, batch - mean_new, 0) ** 2).sum(axis=0)
        shift, total = mean_new - mean, np.maximum(n + n_new, 1)
        mean = mean + shift * n_new / total
        squares = squares + squares_new + shift**2 * n * n_new / total
        n = n + n_new
    std = np.sqrt(squares / np.maximum(n, 1))
    for name, count, deviation in zip(target_names, n, std, strict=True):
        if count == 0 or deviation == 0:
            fault = "has no number" if count == 0 else "is the same everywhere"
            raise ValueError(
                f"The target {name!r} {fault} in the train split, so that it cannot be standardised. Leave it out, or "
                "set --data.standardize false."
            )
    return TargetScaler(tuple(mean.tolist()), tuple(std.tolist()))


def class_names(found: Collection[str], *, where: str, integers_are_names: bool = False) -> tuple[str, ...]:
    """Return the names of the classes by their ids: sorted, or integers as they are.

    Args:
        found: all names; integers are spelled as text.
        where: file and column, for errors.
        integers_are_names: number integers in their order, whatever they are.

    Raises:
        ValueError: there is no label, or integers are not 0 to n - 1.
    """
    if not found:
        raise ValueError(f"{where}: there is no label at all.")
    if not all(_INTEGER.fullmatch(name) for name in found):
        return tuple(sorted(found))
    numbers = sorted(map(int, found))
    if not integers_are_names and numbers != list(range(len(numbers))):
        raise ValueError(
            f"{where}: the labels are the integers {_shortened(numbers)}, and must be 0 to n - 1 without a gap, here "
            f"0 to {len(numbers) - 1}. Number the classes anew, or write names in place of integers."
        )
    return tuple(map(str, numbers))


def balanced_weights(counts: np.ndarray) -> tuple[float, ...]:
    """Return n / (k * n_c) for each of k classes with n_c of n labels (King & Zeng, 2001); no count may be 0."""
    return tuple((counts.sum() / (len(counts) * counts)).tolist())


def absent_class_note(split: str, counts: np.ndarray, label_names: Sequence[str]) -> str | None:
    """Return a note on the classes that a split has no label of, None if there are none.

    Raises:
        ValueError: it is the train split.
    """
    absent = [name for name, count in zip(label_names, counts, strict=True) if count == 0]
    if not absent:
        return None
    if split == "train":
        raise ValueError(
            f"The train split has no label of class {_shortened(absent)}, so that the model could not learn it. "
            "Divide the data otherwise, or leave the class out."
        )
    return f"{split}: no label of class {_shortened(absent)}"


def parsed_number(text: str) -> float:
    """Return the number that a text spells, NaN if none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _shortened(values: Sequence[object], n: int = 10) -> str:
    return ", ".join(map(str, values[:n])) + (", ..." if len(values) > n else "")
