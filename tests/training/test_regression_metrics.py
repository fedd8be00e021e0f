import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.training.metrics import METRICS_BY_KIND, regression_report
from dnafm.training.regression_metrics import average_ranks, pearson_correlation, r_squared, spearman_correlation

sklearn_metrics = pytest.importorskip("sklearn.metrics")
stats = pytest.importorskip("scipy.stats")


def test_report_of_four_predictions_computed_by_hand():
    """Targets 1 2 3 4, predictions 1 2 4 3: errors 0 0 1 1; both correlations are 4/5; R² = 1 - 2/5."""
    report = regression_report([1, 2, 3, 4], [1, 2, 4, 3], target_names=["load"])
    assert report == pytest.approx({"pearson": 0.8, "spearman": 0.8, "r2": 0.6, "mae": 0.5, "rmse": 0.5**0.5})
    assert list(report) == [name for name in METRICS_BY_KIND["regression"] if name != "loss"]


@pytest.mark.parametrize("n_levels", [5, 10**6])
def test_outputs_agree_with_scipy_and_scikit_learn(n_levels):
    """Three outputs with a fifth of the targets unknown, tied often or hardly ever."""
    generator = np.random.default_rng(0)
    targets = generator.integers(n_levels, size=(200, 3)) / n_levels * 100
    predictions = np.round(targets + generator.normal(scale=30, size=targets.shape))
    targets[generator.random(targets.shape) < 0.2] = np.nan
    names = ["a", "b", "c"]
    report = regression_report(targets, predictions, target_names=names, per_output=True)

    for name, column, values in zip(names, targets.T, predictions.T, strict=True):
        known, known_values = column[~np.isnan(column)], values[~np.isnan(column)]
        expected = {
            "pearson": stats.pearsonr(known, known_values).statistic,
            "spearman": stats.spearmanr(known, known_values).statistic,
            "r2": sklearn_metrics.r2_score(known, known_values),
            "mae": sklearn_metrics.mean_absolute_error(known, known_values),
            "rmse": sklearn_metrics.root_mean_squared_error(known, known_values),
        }
        assert {metric: report[f"{metric}_{name}"] for metric in expected} == pytest.approx(expected)
    for metric in expected:
        assert report[metric] == pytest.approx(np.mean([report[f"{metric}_{name}"] for name in names]))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_ranks_agree_with_scipy(values):
    """Equal values share the mean of their ranks."""
    assert average_ranks(values).tolist() == stats.rankdata(values).tolist()


def test_constant_predictions_correlate_with_nothing():
    """0, so that a model that predicts one number loses against any other; R² of the mean is 0."""
    report = regression_report([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], target_names=["load"])
    assert report["pearson"] == report["spearman"] == report["r2"] == 0


@pytest.mark.parametrize("targets", [[0.1, 0.1, 0.1], [0.1, np.nan, np.nan]])
def test_constant_targets_leave_correlations_undefined(targets):
    """0.1 has no exact mean, so that constancy must not be judged by rounded deviations. Errors are defined."""
    report = regression_report(targets, [0.1, 0.2, 0.3], target_names=["load"])
    assert all(math.isnan(report[metric]) for metric in ("pearson", "spearman", "r2"))
    assert report["mae"] == pytest.approx(0.1 if not np.isnan(targets[1]) else 0)


def test_an_output_without_known_targets_does_not_count():
    """The means are those of the other output; where no output has any, they are NaN."""
    targets = np.array([[1.0, np.nan], [2.0, np.nan]])
    report = regression_report(targets, [[1.0, 5.0], [3.0, 5.0]], target_names=["a", "b"], per_output=True)
    assert report["mae"] == report["mae_a"] == 0.5
    assert math.isnan(report["mae_b"])
    nothing = regression_report(targets[:, 1], [5.0, 5.0], target_names=["b"])
    assert all(map(math.isnan, nothing.values()))


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("correlation", [pearson_correlation, spearman_correlation])
def test_correlation_does_not_depend_on_the_unit(correlation, scale):
    """Squares of such numbers vanish or overflow."""
    targets = np.array([1.0, 2.0, 4.0])
    assert correlation(targets * scale, targets) == pytest.approx(1)
    assert correlation(targets, -targets * scale) == pytest.approx(-1)


def test_predictions_far_off_have_a_negative_r_squared():
    """Targets 0 and 2 predicted the other way round: 1 - 8/2."""
    assert r_squared([0.0, 2.0], [2.0, 0.0]) == -3


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([1.0, 2.0], [1.0, np.nan], "predictions holds nan in row 1 for 'load'"),
        ([1.0, np.inf], [1.0, 2.0], "labels holds inf in row 1 for 'load'"),
        ([1.0, 2.0], [1.0], "2 labels and 1 rows of predictions"),
        ([[1.0, 2.0]], [[1.0, 2.0]], r"labels has shape \(1, 2\); \(n, 1\)"),
    ],
)
def test_what_is_no_number_is_refused(labels, predictions, message):
    """The error names the row and the output."""
    with pytest.raises(ValueError, match=message):
        regression_report(labels, predictions, target_names=["load"])
