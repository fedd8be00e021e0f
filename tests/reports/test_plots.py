import math
import sys
from itertools import pairwise

import numpy as np
import pytest

from dnafm.reports import figures, plots
from dnafm.training.metrics import curves_per_class

pytest.importorskip("matplotlib")

LOG_HISTORY = [
    {"loss": 1.0, "learning_rate": 1e-3, "epoch": 0.5, "step": 10},
    {"eval_loss": 0.8, "eval_mcc": 0.5, "epoch": 0.5, "step": 10},
    {"loss": 0.6, "learning_rate": 5e-4, "epoch": 1.0, "step": 20},
    {"eval_loss": 0.7, "eval_mcc": 0.6, "epoch": 1.0, "step": 20},
    {"train_runtime": 3.0, "train_loss": 0.8, "epoch": 1.0, "step": 20},
]


def some_curves(n_classes):
    """Curves of 40 examples a class."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(n_classes), 40)
    scores = np.exp(generator.normal(size=(len(labels), n_classes)) + 2 * np.eye(n_classes)[labels])
    names = [f"class {class_id}" for class_id in range(n_classes)]
    return curves_per_class(labels, scores / scores.sum(axis=1, keepdims=True), label_names=names)


def png_size(path):
    """Width and height in pixels, from the header."""
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


def test_each_plot_writes_one_png(tmp_path):
    """A few hundred pixels a side, no half-written file beside it, and pyplot is not loaded."""
    had_pyplot = "matplotlib.pyplot" in sys.modules
    values = np.random.default_rng(0).normal(size=5000)
    plots.plot_confusion_matrix([[5, 1], [2, 7]], ["no", "yes"], tmp_path / "confusion.png")
    plots.plot_roc_pr(some_curves(3), tmp_path / "roc.png")
    plots.plot_predicted_against_true(values, values, tmp_path / "density.png", target_name="load", pearson=1.0)
    plots.plot_predicted_against_true([1, 2], [2, 2], tmp_path / "points.png", target_name="load", pearson=0.0)
    plots.plot_training_curve(LOG_HISTORY, tmp_path / "training.png", metric="mcc")
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["confusion.png", "density.png", "points.png", "roc.png", "training.png"]
    assert all(300 < side < 3000 for name in written for side in png_size(tmp_path / name))
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot


def test_cells_hold_counts_and_shares_of_the_label():
    """8 of 10 and 2 of 10; a label without examples has shares of 0."""
    axes = figures.confusion_matrix_figure([[8, 2], [0, 0]], ["donor", "acceptor"]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["8\n80%", "2\n20%", "0\n0%", "0\n0%"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["donor", "acceptor"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "label")


@pytest.mark.parametrize("n_classes", [2, 12, 60])
def test_names_of_classes_do_not_overlap(n_classes, tmp_path):
    """Drawn boxes of the names of neighbours on the upright axis, and of the cells' texts, are disjoint."""
    names = [f"class number {class_id} with a rather long name" for class_id in range(n_classes)]
    figure = figures.confusion_matrix_figure(np.full((n_classes, n_classes), 1234), names)
    figure.savefig(tmp_path / "confusion.png")
    axes = figure.axes[0]
    boxes = [tick.get_window_extent() for tick in axes.get_yticklabels()]
    assert all(not a.overlaps(b) for a, b in pairwise(boxes))
    cells = [text.get_window_extent() for text in axes.texts[:n_classes]]
    assert all(not a.overlaps(b) for a, b in pairwise(cells))
    if len(names) > 2:
        assert all(tick.get_rotation() == 45 for tick in axes.get_xticklabels())


def test_dollar_signs_and_underscores_of_names_are_shown_as_they_are(tmp_path):
    """A pair of dollar signs would start a formula, a leading underscore would hide a curve from the legend."""
    curves = dict(zip(["_exon", r"a $\x$ b", "ok"], some_curves(3).values(), strict=True))
    figure = figures.roc_pr_figure(curves)
    figure.savefig(tmp_path / "roc.png")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(texts) == 3
    assert texts[0].endswith("_exon")
    assert texts[1].endswith(r"a \$\x\$ b")


def test_legend_names_both_areas():
    """The numbers are those of the curves."""
    curves = some_curves(3)
    texts = [text.get_text() for text in figures.roc_pr_figure(curves).legends[0].get_texts()]
    for text, (name, each) in zip(texts, curves.items(), strict=True):
        assert text.split() == ["AUROC", f"{each.auroc:.3f}", "AUPRC", f"{each.auprc:.3f}", *name.split()]


def test_of_many_classes_the_worst_are_shown():
    """20 of 25, by AUROC, and the legend says so."""
    curves = some_curves(25)
    figure = figures.roc_pr_figure(curves)
    shown = [text.get_text().split("   ")[-1] for text in figure.legends[0].get_texts()]
    assert shown == sorted(curves, key=lambda name: curves[name].auroc)[:20]
    assert figure.legends[0].get_title().get_text() == "the 20 of 25 classes with the lowest AUROC"


def test_thinned_curve_stays_within_a_step():
    """Of 200,000 points a few thousand are left, and each one that is not is within 1/1000 of one that is."""
    x = np.linspace(0, 1, 200_000)
    kept_x, kept_y = figures._thinned(x, np.sqrt(x))
    assert len(kept_x) < 3000
    assert (kept_x[0], kept_x[-1]) == (0, 1)
    before = np.searchsorted(kept_x, x, side="right") - 1
    assert np.abs(x - kept_x[before]).max() <= 1e-3
    assert np.abs(np.sqrt(x) - kept_y[before]).max() <= 1e-3


def test_points_become_a_density_where_they_are_many():
    """Title and axes tell the same; unknown targets are not counted."""
    generator = np.random.default_rng(0)
    targets, predictions = generator.normal(size=(2, 3001))
    targets[0] = np.nan
    build = figures.predicted_against_true_figure
    many = build(targets, predictions, target_name="load (TPM)", pearson=0.5, spearman=0.25)
    few = build(targets[:10], predictions[:10], target_name="load (TPM)", pearson=math.nan)
    assert many.axes[0].get_title() == "Pearson r = 0.500, Spearman r = 0.250, n = 3,000"
    assert few.axes[0].get_title() == "n = 9"
    assert many.axes[0].get_xlabel() == few.axes[0].get_xlabel() == "true load (TPM)"
    assert [axes.get_ylabel() for axes in many.axes] == ["predicted load (TPM)", "number of points"]
    assert many.axes[0].collections[0].get_array().sum() == 3000
    assert len(few.axes[0].collections[0].get_offsets()) == 9


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_equal_points_have_room_around_them(value):
    """One value in all makes no empty axis."""
    figure = figures.predicted_against_true_figure([value] * 2, [value] * 2, target_name="load", pearson=math.nan)
    low, high = figure.axes[0].get_xlim()
    assert low < value < high


def test_training_curve_shows_what_was_logged():
    """Both losses above, the metric below, against the step; the last entry is a summary."""
    losses, metric = figures.training_curve_figure(LOG_HISTORY, metric="eval_mcc", best_step=20).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in losses.lines}
    assert lines["training"] == [[10, 1.0], [20, 0.6]]
    assert lines["validation"] == [[10, 0.8], [20, 0.7]]
    assert "best, step 20" in lines
    assert metric.lines[0].get_xydata().tolist() == [[10, 0.5], [20, 0.6]]
    assert (metric.get_xlabel(), metric.get_ylabel()) == ("optimizer step", "mcc")
    assert len(figures.training_curve_figure(LOG_HISTORY).axes) == 1


def test_a_single_evaluation_is_a_point():
    """A line of one point could not be seen."""
    (axes,) = figures.training_curve_figure([{"eval_loss": 0.4, "step": 5}]).axes
    assert axes.lines[0].get_marker() == "o"
    (axes,) = figures.training_curve_figure([{"loss": 0.4, "step": 5}]).axes
    assert axes.lines[0].get_marker() == "o"


def test_what_cannot_be_plotted_is_refused():
    """The error names the value and the rule."""
    with pytest.raises(ValueError, match=r"No loss has been logged.*logging_steps"):
        figures.training_curve_figure([{"train_loss": 0.4, "step": 5}])
    with pytest.raises(ValueError, match="no curves"):
        figures.roc_pr_figure({})
    with pytest.raises(ValueError, match=r"shape \(2, 2\), and there are 3 label names"):
        figures.confusion_matrix_figure([[1, 0], [0, 1]], ["a", "b", "c"])
    with pytest.raises(ValueError, match="No target of 'load' is known"):
        figures.predicted_against_true_figure([np.nan], [1.0], target_name="load", pearson=math.nan)
    with pytest.raises(ValueError, match=r"\(2,\).*\(1,\)"):
        figures.predicted_against_true_figure([1.0, 2.0], [1.0], target_name="load", pearson=math.nan)


def test_missing_matplotlib_names_the_extra(monkeypatch, tmp_path):
    """And no file is left."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'dnafm\[plots\]'"):
        plots.plot_confusion_matrix([[1]], ["a"], tmp_path / "confusion.png")
    assert list(tmp_path.iterdir()) == []
