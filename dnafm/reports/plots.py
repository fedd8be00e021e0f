"""Plots of results as PNG files: confusion, ranking, predicted against true, and the course of a training.

`dnafm.reports.figures` builds them; here they are written, whole or not at all.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from dnafm.reports.figures import (
    confusion_matrix_figure,
    predicted_against_true_figure,
    roc_pr_figure,
    training_curve_figure,
)
from dnafm.reports.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dnafm.training.ranking_metrics import RankingCurves

DPI = 150


def plot_confusion_matrix(confusion: ArrayLike, label_names: Sequence[str], path: str | os.PathLike) -> None:
    """Write the counts of `dnafm.training.metrics.confusion_matrix`, coloured by the share of each label's examples.

    Args:
        confusion: (n_classes, n_classes); row = label, column = prediction.
        label_names: Names in the order of the class ids.
        path: Of the PNG file.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the names do not fit the matrix.
    """
    _save(confusion_matrix_figure(confusion, label_names), path)


def plot_roc_pr(curves: Mapping[str, "RankingCurves"], path: str | os.PathLike) -> None:
    """Write ROC and precision-recall curves side by side, with what guessing gives as a thin grey line.

    Of more than 20 classes, the 20 with the lowest AUROC are shown.

    Args:
        curves: By class or label, from `curves_per_class` or `curves_per_label` of `dnafm.training.metrics`.
        path: Of the PNG file.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there are no curves.
    """
    _save(roc_pr_figure(curves), path)


def plot_predicted_against_true(
    labels: ArrayLike,
    predictions: ArrayLike,
    path: str | os.PathLike,
    *,
    target_name: str,
    pearson: float,
    spearman: float | None = None,
) -> None:
    """Write predictions against targets, with the line on which they are equal; many points become a density.

    Args:
        labels: (n,) targets, in their own unit; NaN ones are left out.
        predictions: (n,) in the same unit.
        path: Of the PNG file.
        target_name: What is predicted, and its unit.
        pearson: Their correlation, for the title; NaN is not shown.
        spearman: Their rank correlation, likewise.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the two differ in shape, or no target is known.
    """
    figure = predicted_against_true_figure(
        labels, predictions, target_name=target_name, pearson=pearson, spearman=spearman
    )
    _save(figure, path)


def plot_training_curve(
    log_history: Sequence[Mapping[str, Any]],
    path: str | os.PathLike,
    *,
    metric: str | None = None,
    best_step: int | None = None,
) -> None:
    """Write training and validation loss against the optimizer step, and a metric below them.

    Args:
        log_history: `trainer.state.log_history` of `transformers.Trainer`.
        path: Of the PNG file.
        metric: The metric that selects the model, with or without `eval_`; by default the losses are alone.
        best_step: Step of the chosen checkpoint, marked by a line.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: neither loss has been logged.
    """
    _save(training_curve_figure(log_history, metric=metric, best_step=best_step), path)


def _save(figure: "Figure", path: str | os.PathLike) -> None:
    write_atomically(path, lambda stream: figure.savefig(stream, format="png", dpi=DPI, bbox_inches="tight"))
    figure.clear()
