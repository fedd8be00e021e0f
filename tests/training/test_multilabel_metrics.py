import math

import numpy as np
import pytest

from dnafm.training.metrics import METRICS_BY_KIND, curves_per_label, multilabel_report

sklearn_metrics = pytest.importorskip("sklearn.metrics")

NAMES = ["H3K4me3", "H3K27ac", "CTCF"]


def random_predictions(*, share_unknown=0.0):
    """Labels of 200 examples and probabilities that lean towards them."""
    generator = np.random.default_rng(0)
    labels = (generator.random((200, 3)) < 0.3).astype(float)
    probabilities = 1 / (1 + np.exp(-generator.normal(size=(200, 3)) - 2 * labels + 1))
    labels[generator.random((200, 3)) < share_unknown] = -100
    return labels, probabilities


def test_report_of_two_examples_computed_by_hand():
    """F1 of the first label 2/3 and of the second 1; the first example alone is right in both."""
    report = multilabel_report([[1, 0], [0, 1]], [[0.9, 0.2], [0.6, 0.7]], label_names=["a", "b"])
    assert report == pytest.approx({"subset_accuracy": 1 / 2, "macro_f1": (2 / 3 + 1) / 2, "auroc": 1, "auprc": 1})


def test_known_labels_agree_with_scikit_learn():
    """Macro means and subset accuracy of complete labels."""
    labels, probabilities = random_predictions()
    report = multilabel_report(labels, probabilities, label_names=NAMES)
    assert report == pytest.approx(
        {
            "subset_accuracy": sklearn_metrics.accuracy_score(labels, probabilities > 0.5),
            "macro_f1": sklearn_metrics.f1_score(labels, probabilities > 0.5, average="macro"),
            "auroc": sklearn_metrics.roc_auc_score(labels, probabilities, average="macro"),
            "auprc": sklearn_metrics.average_precision_score(labels, probabilities, average="macro"),
        }
    )


def test_unknown_labels_do_not_count():
    """The metrics of a label are those of the examples where it is known, by scikit-learn."""
    labels, probabilities = random_predictions(share_unknown=0.4)
    report = multilabel_report(labels, probabilities, label_names=NAMES, per_label=True)
    for name, targets, scores in zip(NAMES, labels.T, probabilities.T, strict=True):
        is_known = targets != -100
        known, known_scores = targets[is_known], scores[is_known]
        assert report[f"f1_{name}"] == pytest.approx(sklearn_metrics.f1_score(known, known_scores > 0.5))
        assert report[f"auroc_{name}"] == pytest.approx(sklearn_metrics.roc_auc_score(known, known_scores))
        assert report[f"auprc_{name}"] == pytest.approx(sklearn_metrics.average_precision_score(known, known_scores))
        curves = curves_per_label(labels, probabilities, label_names=NAMES)[name]
        assert curves.auroc == report[f"auroc_{name}"]


def test_subset_accuracy_is_over_the_examples_with_a_known_label():
    """Right in its one known label; wrong in one of two; nothing known: 1 of 2."""
    labels = [[1, -100], [1, 1], [-100, -100]]
    report = multilabel_report(labels, [[0.9, 0.9], [0.9, 0.1], [0.9, 0.9]], label_names=["a", "b"])
    assert report["subset_accuracy"] == 1 / 2


def test_labels_that_are_never_known_or_never_vary_are_undefined():
    """Label b is unknown throughout and c never present: b has no metrics, c no areas, and a alone counts."""
    labels = [[1, -100, 0], [0, -100, 0]]
    report = multilabel_report(labels, [[0.9, 0.9, 0.1], [0.1, 0.9, 0.2]], label_names=["a", "b", "c"], per_label=True)
    assert all(math.isnan(report[key]) for key in ("f1_b", "auroc_b", "auprc_b", "auroc_c", "auprc_c"))
    assert report["auroc"] == report["auprc"] == 1
    assert report["macro_f1"] == pytest.approx((1 + 0) / 2)
    assert list(curves_per_label(labels, [[0.9, 0.9, 0.1], [0.1, 0.9, 0.2]], label_names=["a", "b", "c"])) == ["a"]


def test_nothing_known_is_nan_throughout():
    """No label of any example: no error and no warning."""
    report = multilabel_report([[-100, -100]], [[0.4, 0.6]], label_names=["a", "b"])
    assert list(report) == [name for name in METRICS_BY_KIND["multilabel"] if name != "loss"]
    assert all(map(math.isnan, report.values()))


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([[0, 2]], [[0.5, 0.5]], "labels holds 2 in row 0 for 'b'; 1, 0 and -100"),
        ([[0, np.nan]], [[0.5, 0.5]], "labels holds nan in row 0 for 'b'"),
        ([[0, 1]], [[0.5, 1.5]], r"holds \[0.5, 1.5\] in row 0"),
        ([0, 1], [[0.5, 0.5]], r"labels has shape \(2,\); \(n, 2\)"),
    ],
)
def test_what_are_no_multilabel_targets_is_refused(labels, probabilities, message):
    """The error names the row and the label."""
    with pytest.raises(ValueError, match=message):
        multilabel_report(labels, probabilities, label_names=["a", "b"])
