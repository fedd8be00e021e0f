from functools import partial

import numpy as np
import pytest

from dnafm.training.metrics import bootstrap_intervals, classification_report, regression_report


def mean_report(values):
    return {"mean": float(np.mean(values))}


def test_interval_of_a_mean_is_that_of_the_normal_approximation():
    """400 numbers: mean ± 1.96 standard errors, to the error of 4,000 draws."""
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_intervals(mean_report, [values], n_resamples=4000)["mean"]
    standard_error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.1 * standard_error)
    assert high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.1 * standard_error)


def test_intervals_are_percentiles_of_all_draws():
    """Of two values, a draw of two has mean 0, 1/2 or 1 in 1/4, 1/2 and 1/4: a quarter is below one half."""
    assert bootstrap_intervals(mean_report, [[0, 1]], confidence=0.4)["mean"] == (0.5, 0.5)
    assert bootstrap_intervals(mean_report, [[0, 1]], confidence=0.6)["mean"] == (0.0, 1.0)


def test_groups_are_drawn_whole():
    """Bases of 20 sequences that are all alike within theirs: no more than 20 independent values.

    Each draw has whole sequences, of unequal lengths, and the interval is that of their number.
    """
    groups = np.repeat(np.arange(20), np.arange(1, 21))
    values = np.random.default_rng(0).normal(size=20)[groups]

    def whole_groups(drawn_values, drawn_groups):
        _, counts = np.unique(drawn_groups, return_counts=True)
        lengths = np.unique(drawn_groups) + 1
        assert (counts % lengths == 0).all()
        assert (counts // lengths).sum() == 20
        return mean_report(drawn_values)

    shuffled = np.random.default_rng(1).permutation(len(groups))
    low, high = bootstrap_intervals(
        whole_groups, [values[shuffled], groups[shuffled]], groups=groups[shuffled], n_resamples=300
    )["mean"]
    low_of_bases, high_of_bases = bootstrap_intervals(mean_report, [values], n_resamples=300)["mean"]
    assert high - low > 2 * (high_of_bases - low_of_bases)


def test_rows_of_all_arrays_are_drawn_together():
    """Predictions that equal their targets do so in every draw."""
    values = np.arange(10.0)
    report = partial(regression_report, target_names=["load"])
    intervals = bootstrap_intervals(report, [values, values], n_resamples=50)
    assert intervals["rmse"] == (0.0, 0.0)
    assert intervals["pearson"] == pytest.approx((1, 1))


def test_draws_without_a_value_do_not_count():
    """One of ten examples is positive: draws without it have no AUROC. Without any, there is no interval."""
    probabilities = np.linspace(0, 1, 10)
    probabilities = np.stack([1 - probabilities, probabilities], axis=1)
    report = partial(classification_report, label_names=["no", "yes"])
    one_positive = bootstrap_intervals(report, [np.arange(10) // 9, probabilities], n_resamples=100)
    assert one_positive["auroc"] == (1.0, 1.0)
    none_positive = bootstrap_intervals(report, [np.zeros(10, dtype=int), probabilities], n_resamples=100)
    assert "auroc" not in none_positive
    assert "accuracy" in none_positive


def test_the_seed_decides():
    """The same one gives the same intervals, another one others."""
    values = np.random.default_rng(0).normal(size=30)
    same, again, other = (bootstrap_intervals(mean_report, [values], n_resamples=50, seed=seed) for seed in (1, 1, 2))
    assert same == again != other


def test_one_group_has_no_intervals():
    """All draws of it would be equal, which is not certainty."""
    assert bootstrap_intervals(mean_report, [[1.0, 2.0]], groups=["seq1", "seq1"]) == {}


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ([[1, 2], [1]], {}, r"\[1, 2\] rows; the same number"),
        ([[]], {}, r"\[0\] rows"),
        ([], {}, r"\[\] rows"),
        ([[1, 2]], {"groups": [1]}, r"groups has shape \(1,\); \(2,\) is due"),
        ([[1, 2]], {"n_resamples": 0}, "n_resamples is 0"),
        ([[1, 2]], {"confidence": 95}, "confidence is 95"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arrays, options, message):
    """The error names the value and the rule."""
    with pytest.raises(ValueError, match=message):
        bootstrap_intervals(mean_report, arrays, **options)
