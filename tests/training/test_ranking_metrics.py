import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.training.metrics import (
    curves_per_class,
    precision_recall_curve,
    ranking_areas,
    ranking_curves,
    roc_curve,
)

sklearn_metrics = pytest.importorskip("sklearn.metrics")

# A score of five values makes ties likely.
RANKED = st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=30)


def test_areas_of_four_scores_computed_by_hand():
    """Scores 0.8+ 0.6- 0.4+ 0.2-: 3 of 4 pairs in order; precision 1 at the first positive and 2/3 at the second."""
    auroc, auprc = ranking_areas([1, 0, 1, 0], [0.8, 0.6, 0.4, 0.2])
    assert auroc == 3 / 4
    assert auprc == pytest.approx((1 + 2 / 3) / 2)


@given(RANKED)
def test_auroc_is_the_share_of_pairs_in_order_and_half_of_those_tied(ranked):
    """Counted pair by pair, which is the definition."""
    positives = [score for is_positive, score in ranked if is_positive]
    negatives = [score for is_positive, score in ranked if not is_positive]
    auroc, auprc = ranking_areas(*map(np.array, zip(*ranked, strict=True)))
    if not positives or not negatives:
        assert math.isnan(auroc)
        assert math.isnan(auprc)
    else:
        in_order = sum((p > n) + (p == n) / 2 for p in positives for n in negatives)
        assert auroc == pytest.approx(in_order / (len(positives) * len(negatives)))


@pytest.mark.parametrize("n_scores", [3, 50, 10**6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_curves_and_areas_agree_with_scikit_learn(dtype, n_scores):
    """500 examples whose scores are tied often, sometimes or hardly ever."""
    generator = np.random.default_rng(n_scores)
    is_positive = generator.random(500) < 0.2
    scores = (generator.integers(n_scores, size=500) / n_scores + is_positive / 3).astype(dtype)
    curves = ranking_curves(is_positive, scores)

    assert curves.auroc == pytest.approx(sklearn_metrics.roc_auc_score(is_positive, scores))
    assert curves.auprc == pytest.approx(sklearn_metrics.average_precision_score(is_positive, scores))
    assert curves.share_positive == is_positive.mean()
    expected_roc = sklearn_metrics.roc_curve(is_positive, scores, drop_intermediate=False)
    for found, expected in zip(curves.roc, expected_roc, strict=True):
        np.testing.assert_allclose(found, expected)
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(is_positive, scores)
    np.testing.assert_allclose(curves.precision_recall.precision, precision[::-1])
    np.testing.assert_allclose(curves.precision_recall.recall, recall[::-1])
    np.testing.assert_allclose(curves.precision_recall.thresholds[1:], thresholds[::-1])


def test_equal_scores_are_worth_a_guess():
    """One half under the ROC curve, the share of positives under the other."""
    assert ranking_areas([1, 0, 0, 0], [0.3] * 4) == (0.5, 0.25)


def test_curves_of_classes_that_do_not_occur_are_left_out():
    """Class c has no example. Of two classes, the second one alone has curves."""
    probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])
    curves = curves_per_class([0, 1], probabilities, label_names=["a", "b", "c"])
    assert {name: each.auroc for name, each in curves.items()} == {"a": 1, "b": 1}
    assert list(curves_per_class([0, 1], [[0.9, 0.1], [0.8, 0.2]], label_names=["no", "yes"])) == ["yes"]


@pytest.mark.parametrize("curve", [roc_curve, precision_recall_curve, ranking_curves])
@pytest.mark.parametrize(
    ("is_positive", "scores", "message"),
    [
        ([1, 1], [0.1, 0.2], "2 positives and 0 negatives; a curve needs both"),
        ([], [], "0 positives and 0 negatives"),
        ([1, 0], [0.1, np.nan], "NaN in row 1"),
        ([1, -100], [0.1, 0.2], r"holds \[-100, 1\]; 0 and 1 alone are due"),
        ([1, 0], [0.1], r"shape \(2,\) and scores \(1,\)"),
    ],
)
def test_what_cannot_be_ranked_is_refused(curve, is_positive, scores, message):
    """The error names the value and the rule."""
    with pytest.raises(ValueError, match=message):
        curve(is_positive, scores)
