import math

import numpy as np
import pytest

from dnafm.training.metrics import METRICS_BY_KIND, balanced_accuracy, classification_report, confusion_matrix

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def random_predictions(n_classes, *, n=300, seed=0):
    """Labels, and probabilities that favour them somewhat."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(n_classes, size=n)
    scores = np.exp(generator.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[labels])
    return labels, scores / scores.sum(axis=1, keepdims=True)


def test_report_of_four_examples_computed_by_hand():
    """Three of four are right; recalls 1/2 and 1; of the pairs of the second class, 3 of 4 are in order."""
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.2, 0.8]])
    report = classification_report([0, 0, 1, 1], probabilities, label_names=["no", "yes"])
    assert report == pytest.approx(
        {
            "accuracy": 3 / 4,
            "balanced_accuracy": 3 / 4,
            "mcc": (2 - 0) / (1 * 3 * 2 * 2) ** 0.5,
            "macro_f1": (2 / 3 + 4 / 5) / 2,
            "auroc": 3 / 4,
            "auprc": (1 + 2 / 3) / 2,
        }
    )


@pytest.mark.parametrize("n_classes", [3, 7])
def test_multi_class_report_agrees_with_scikit_learn(n_classes):
    """Areas are macro means of each class against the others."""
    labels, probabilities = random_predictions(n_classes)
    names = [f"class {class_id}" for class_id in range(n_classes)]
    report = classification_report(labels, probabilities, label_names=names, per_class=True)

    one_hot, predictions = np.eye(n_classes)[labels], probabilities.argmax(axis=1)
    class_auroc = sklearn_metrics.roc_auc_score(labels, probabilities, multi_class="ovr", average=None)
    class_auprc = sklearn_metrics.average_precision_score(one_hot, probabilities, average=None)
    assert report["balanced_accuracy"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(labels, predictions))
    assert report["auroc"] == pytest.approx(class_auroc.mean())
    assert report["auprc"] == pytest.approx(class_auprc.mean())
    assert [report[f"auroc_{name}"] for name in names] == pytest.approx(class_auroc)
    assert [report[f"auprc_{name}"] for name in names] == pytest.approx(class_auprc)
    assert [report[f"f1_{name}"] for name in names] == pytest.approx(
        sklearn_metrics.f1_score(labels, predictions, average=None)
    )


def test_report_has_the_named_metrics_and_those_of_classes_when_asked():
    """The loss is the trainer's; the other names of METRICS_BY_KIND are the keys, in order."""
    labels, probabilities = random_predictions(3)
    names = ["donor", "acceptor", "neither"]
    common = [name for name in METRICS_BY_KIND["classification"] if name != "loss"]
    of_classes = [f"{metric}_{name}" for metric in ("f1", "auroc", "auprc") for name in names]
    assert list(classification_report(labels, probabilities, label_names=names)) == common
    assert list(classification_report(labels, probabilities, label_names=names, per_class=True)) == common + of_classes


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur():
    """Recalls 1/2 and 1; the third class is predicted once, but has no examples."""
    confusion = confusion_matrix([0, 0, 1], [0, 2, 1], n_classes=3)
    assert balanced_accuracy(confusion) == 3 / 4


def test_areas_are_means_over_the_classes_that_occur():
    """Class c has no examples: its areas are NaN, and those of a and b, all in order, count."""
    probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.5, 0.1, 0.4]])
    report = classification_report([0, 1, 0], probabilities, label_names=["a", "b", "c"], per_class=True)
    assert report["auroc"] == report["auprc"] == 1
    assert math.isnan(report["auroc_c"])
    assert report["f1_c"] == 0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_class_alone_has_accuracy_and_no_areas(n_classes):
    """What needs two classes is NaN, without an error or a warning."""
    _, probabilities = random_predictions(n_classes, n=20)
    names = [str(class_id) for class_id in range(n_classes)]
    report = classification_report([1] * 20, probabilities, label_names=names, per_class=True)
    assert report["accuracy"] == report["balanced_accuracy"] == (probabilities.argmax(axis=1) == 1).mean()
    assert math.isnan(report["auroc"])
    assert math.isnan(report["auprc"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rounding_of_probabilities_is_allowed(dtype):
    """A softmax in half precision does not add up to 1 exactly."""
    labels, probabilities = random_predictions(50)
    names = [str(class_id) for class_id in range(50)]
    report = classification_report(labels, probabilities.astype(dtype), label_names=names)
    assert report["auroc"] == pytest.approx(
        classification_report(labels, probabilities, label_names=names)["auroc"], abs=1e-3
    )


@pytest.mark.parametrize(
    ("labels", "probabilities", "names", "message"),
    [
        ([0, 1], [[0.5, 0.5]], "ab", "2 labels and 1 rows of probabilities"),
        ([0], [[0.2, 0.3, 0.5]], "ab", r"shape \(1, 3\); \(n, 2\)"),
        ([0, 1], [[0.5, 0.5], [3.0, -2.0]], "ab", r"holds \[3.0, -2.0\] in row 1; .* softmax"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "ab", r"holds \[nan, 0.5\] in row 1"),
        ([0, 1], [[0.5, 0.5], [0.9, 0.8]], "ab", "row 1 add up to 1.7"),
        ([0, -100], [[0.5, 0.5], [0.5, 0.5]], "ab", "labels holds class ids -100 to 0"),
        ([0], [[0.5, 0.5]], "aa", "not unique"),
        ([], np.zeros((0, 2)), "ab", r"labels has shape \(0,\)"),
    ],
)
def test_what_are_no_labels_and_probabilities_is_refused(labels, probabilities, names, message):
    """Logits above all, whose ranking across examples is another one."""
    with pytest.raises(ValueError, match=message):
        classification_report(labels, probabilities, label_names=list(names))
