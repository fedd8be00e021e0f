"""Confidence intervals of metrics by the bootstrap (Efron 1979)."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

Rows = NDArray[np.int64]


def bootstrap_intervals(
    report_function: Callable[..., Mapping[str, float]],
    arrays: Sequence[ArrayLike],
    *,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Compute percentile intervals of every metric of a report.

    Sequences are drawn with replacement, as many as there are, and the report is made of each draw. What varies is the
    test set alone, not the training. (Efron 1979, Ann. Statist. 7:1-26; percentile method: Efron and Tibshirani 1993,
    chapter 13.)

    The time is that of `n_resamples` reports; with a bar on a terminal where it takes longer than two seconds.

    Args:
        report_function: Called with the rows drawn of each array; `functools.partial` binds what else it needs.
        arrays: Labels, probabilities or whatever the report is made of; the same n rows in each.
        groups: (n,) ids. The rows of an id are drawn together: for per-base metrics the sequence of each base, since
            the bases of one sequence are not independent. By default each row is its own group.
        n_resamples: Number of draws.
        confidence: Share of the draws within an interval, in (0, 1).
        seed: Of the draws.

    Returns:
        (low, high) by metric, from the draws in which it is defined; a metric that is NaN in all is left out. Empty
        where there is one group only, of which all draws are the same.

    Raises:
        ValueError: the arrays differ in length or are empty, or an option is out of its range.
    """
    values = [np.asarray(array) for array in arrays]
    _check(values, n_resamples, confidence)
    rows_drawn = _draws(len(values[0]), groups, n_resamples, np.random.default_rng(seed))
    progress = tqdm(rows_drawn, "bootstrap", n_resamples, unit="draw", disable=None, leave=False, delay=2)
    reports = [report_function(*(array[rows] for array in values)) for rows in progress]
    metrics = reports[0] if reports else {}
    by_metric = {metric: np.array([report[metric] for report in reports]) for metric in metrics}
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    intervals = {}
    for metric, drawn in by_metric.items():
        defined = drawn[~np.isnan(drawn)]
        if defined.size:
            low, high = np.quantile(defined, tails)
            intervals[metric] = (float(low), float(high))
    return intervals


def _draws(n_rows: int, groups: ArrayLike | None, n_resamples: int, generator: np.random.Generator) -> Iterator[Rows]:
    """Yield the rows of each draw: none at all where there is one group."""
    ids = np.arange(n_rows) if groups is None else np.asarray(groups)
    if ids.shape != (n_rows,):
        raise ValueError(f"groups has shape {ids.shape}; ({n_rows},) is due, the group of each row.")
    _, group_of_row, sizes = np.unique(ids, return_inverse=True, return_counts=True)
    rows_by_group = np.argsort(group_of_row, kind="stable")
    starts = np.cumsum(sizes) - sizes
    for _ in range(n_resamples if len(sizes) > 1 else 0):
        drawn = generator.integers(len(sizes), size=len(sizes))
        yield rows_by_group[_ranges(starts[drawn], sizes[drawn])]


def _ranges(starts: Rows, sizes: Rows) -> Rows:
    """Join the ranges start, start + 1, …, start + size - 1."""
    ends = np.cumsum(sizes)
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1])


def _check(values: Sequence[NDArray], n_resamples: int, confidence: float) -> None:
    lengths = {len(array) for array in values}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"The arrays have {sorted(lengths)} rows; the same number, at least 1, is due.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}; at least 1 is due, and about 1000 for 95 % intervals.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; a share between 0 and 1 is due, such as 0.95.")
