from functools import partial

import numpy as np
import pytest

from dnafm.training.metrics import (
    classification_metrics,
    compute_metrics,
    confusion_matrix,
    f1_per_class,
    matthews_correlation,
)

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def test_metrics_of_six_predictions_computed_by_hand():
    """Labels 001122, predictions 001222: 5/6 right; F1 1, 2/3 and 4/5; R_K = (5·6 - 12)/√((36 - 12)(36 - 14))."""
    metrics = classification_metrics([0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 2, 2], label_names=["a", "b", "c"])
    assert metrics == pytest.approx(
        {
            "accuracy": 5 / 6,
            "mcc": 18 / (24 * 22) ** 0.5,
            "f1_a": 1,
            "f1_b": 2 / 3,
            "f1_c": 4 / 5,
            "macro_f1": (1 + 2 / 3 + 4 / 5) / 3,
        }
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_metrics_agree_with_scikit_learn(n_classes, seed):
    """Random labels, predictions that are right about half of the time."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(n_classes, size=200)
    predictions = np.where(generator.random(200) < 0.5, labels, generator.integers(n_classes, size=200))
    names = [str(class_id) for class_id in range(n_classes)]
    metrics = classification_metrics(labels, predictions, label_names=names)

    class_f1 = sklearn_metrics.f1_score(labels, predictions, average=None)
    assert metrics["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(labels, predictions))
    assert metrics["mcc"] == pytest.approx(sklearn_metrics.matthews_corrcoef(labels, predictions))
    assert metrics["macro_f1"] == pytest.approx(class_f1.mean())
    assert [metrics[f"f1_{name}"] for name in names] == pytest.approx(class_f1)


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [
        pytest.param([0, 1, 2, 2], [0, 1, 1, 1], id="class never predicted"),
        pytest.param([0, 1, 0, 1], [0, 1, 2, 2], id="class never labelled"),
        pytest.param([0, 1, 0, 1], [0, 1, 1, 1], id="class absent from both"),
        pytest.param([0, 1, 2, 2], [2, 2, 2, 2], id="one class predicted"),
        pytest.param([1, 1, 1, 1], [0, 1, 2, 1], id="one class labelled"),
        pytest.param([1, 1, 1, 1], [1, 1, 1, 1], id="one class, all right"),
        pytest.param([0, 1, 2, 0], [1, 2, 0, 2], id="nothing right"),
    ],
)
def test_edge_cases_agree_with_scikit_learn(labels, predictions):
    """Where a ratio would be 0/0, the metric is 0, as in scikit-learn with zero_division=0."""
    confusion = confusion_matrix(labels, predictions, n_classes=3)
    expected_f1 = sklearn_metrics.f1_score(labels, predictions, labels=[0, 1, 2], average=None, zero_division=0)
    assert f1_per_class(confusion) == pytest.approx(expected_f1)
    if len(set(labels)) > 1 or len(set(predictions)) > 1:
        assert matthews_correlation(confusion) == pytest.approx(
            sklearn_metrics.matthews_corrcoef(labels, predictions), abs=1e-12
        )
    else:
        assert matthews_correlation(confusion) == 0


def test_large_counts_do_not_overflow():
    """10⁹ predictions of each kind: the products of the formula exceed 64 bits."""
    n = 10**9
    assert matthews_correlation(np.array([[3 * n, n], [n, 3 * n]])) == pytest.approx(0.5)


def test_compute_metrics_takes_the_logits_of_a_trainer():
    """The arg max of each row is the prediction; further outputs of the model are passed over."""
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 5.0]])
    labels = np.array([0, 1])
    named = partial(compute_metrics, label_names=["donor", "acceptor", "neither"])
    assert compute_metrics((logits, labels))["accuracy"] == 0.5
    assert named(((logits, "hidden states"), labels))["f1_donor"] == 1


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], "2 labels and 1 predictions"),
        ([], [], r"shape \(0,\)"),
        ([0, 3], [0, 1], "labels holds class ids 0 to 3; they must lie in 0 to 2"),
        ([0, 1], [0, -100], "predictions holds class ids -100 to 0"),
        ([0, 1], [[0.1, 0.9], [0.5, 0.5]], "predictions has shape"),
        ([0.0, 1.0], [0, 1], "dtype float64"),
    ],
)
def test_what_is_no_class_id_is_refused(labels, predictions, message):
    """The error names the argument and the rule."""
    with pytest.raises(ValueError, match=message):
        confusion_matrix(labels, predictions, n_classes=3)
