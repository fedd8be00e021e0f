"""The figures of `dnafm.reports.plots`, as matplotlib objects: no pyplot, no global state, no display.

Colours are told apart with any colour vision (Okabe and Ito 2008; one hue; cividis).
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from dnafm.training.ranking_metrics import RankingCurves

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", ":")
GREY = "0.6"
LONGEST_NAME = 28
# Of a tick label.
INCHES_PER_LETTER = 0.08
# With more classes than this, the cells have no numbers, and not all names and curves are shown.
MOST_NUMBERED_CLASSES, MOST_NAMES, MOST_CURVES = 14, 50, 20
# More points than this are shown as a density.
MOST_POINTS = 2000
# Steps along an axis that a curve is drawn with; finer than the pixels.
CURVE_RESOLUTION = 1000


def confusion_matrix_figure(confusion: ArrayLike, label_names: Sequence[str]) -> "Figure":
    """Build the figure of `plot_confusion_matrix`."""
    counts = np.asarray(confusion)
    n_classes = len(label_names)
    if counts.shape != (n_classes, n_classes):
        raise ValueError(f"The confusion matrix has shape {counts.shape}, and there are {n_classes} label names.")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    is_numbered = n_classes <= MOST_NUMBERED_CLASSES
    side = min(max(3.2, n_classes * (0.62 if is_numbered else 0.24)), 14)
    names = [_short(name) for name in label_names]
    margin = INCHES_PER_LETTER * max(map(len, names))
    figure = _figure(side + margin + 1.4, side + margin + 0.5)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the label's examples", shrink=0.8, aspect=25)
    _name_ticks(axes, names, inches=side)
    axes.set(xlabel="prediction", ylabel="label")
    if is_numbered:
        _number_cells(axes, counts, shares)
    return figure


def roc_pr_figure(curves: Mapping[str, "RankingCurves"]) -> "Figure":
    """Build the figure of `plot_roc_pr`."""
    if not curves:
        raise ValueError("There are no curves: no class has examples of it and others, so nothing can be ranked.")
    shown = sorted(curves, key=lambda name: curves[name].auroc)[:MOST_CURVES] if _are_many(curves) else list(curves)
    n_columns = 2 if len(shown) > 3 else 1
    n_lines = math.ceil(len(shown) / n_columns)
    figure = _figure(9, 4.4 + 0.22 * n_lines)
    roc, precision_recall = figure.subplots(1, 2)
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    handles = [_draw_curves(roc, precision_recall, curves[name], i) for i, name in enumerate(shown)]
    if len(shown) == 1:
        precision_recall.axhline(curves[shown[0]].share_positive, color=GREY, linewidth=0.8)
    roc.set(xlabel="false positive rate", ylabel="true positive rate")
    precision_recall.set(xlabel="recall", ylabel="precision")
    for axes in (roc, precision_recall):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    title = f"the {len(shown)} of {len(curves)} classes with the lowest AUROC" if _are_many(curves) else None
    texts = [f"AUROC {curves[name].auroc:.3f}   AUPRC {curves[name].auprc:.3f}   {_short(name)}" for name in shown]
    figure.legend(
        handles,
        texts,
        loc="outside lower center",
        ncols=n_columns,
        frameon=False,
        fontsize=9,
        title=title,
        borderpad=1,
    )
    return figure


def predicted_against_true_figure(
    labels: ArrayLike, predictions: ArrayLike, *, target_name: str, pearson: float, spearman: float | None = None
) -> "Figure":
    """Build the figure of `plot_predicted_against_true`."""
    targets, values = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if targets.ndim != 1 or targets.shape != values.shape:
        raise ValueError(
            f"There are targets of shape {targets.shape} and predictions of {values.shape}; both are (n,)."
        )
    is_known = ~np.isnan(targets)
    if not is_known.any():
        raise ValueError(f"No target of {target_name!r} is known, so there is nothing to plot.")
    targets, values = targets[is_known], values[is_known]
    figure = _figure(5.4, 4.8)
    axes = figure.add_subplot()
    low, high = _limits(targets, values)
    if targets.size > MOST_POINTS:
        extent = (low, high, low, high)
        look: dict[str, Any] = {"gridsize": 60, "bins": "log", "mincnt": 1, "vmin": 1, "cmap": "cividis"}
        density = axes.hexbin(targets, values, extent=extent, **look)
        figure.colorbar(density, ax=axes, label="number of points", aspect=25)
    else:
        axes.scatter(targets, values, s=16 if targets.size > 100 else 30, color=COLORS[0], alpha=0.6, linewidths=0)
    axes.plot([low, high], [low, high], color=COLORS[1], linewidth=1)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set(xlabel=f"true {_short(target_name)}", ylabel=f"predicted {_short(target_name)}")
    axes.set_title(_correlation_title(pearson, spearman, targets.size), fontsize=10)
    return figure


def training_curve_figure(
    log_history: Sequence[Mapping[str, Any]], *, metric: str | None = None, best_step: int | None = None
) -> "Figure":
    """Build the figure of `plot_training_curve`."""
    training, validation = _series(log_history, "loss"), _series(log_history, "eval_loss")
    if not training[0] and not validation[0]:
        raise ValueError("No loss has been logged, so there is no curve. Log more often: --trainer.logging_steps.")
    name = (metric or "loss").removeprefix("eval_")
    selected = _series(log_history, f"eval_{name}") if name != "loss" else ([], [])
    figure = _figure(6.4, 5.6 if selected[0] else 3.6)
    panels = figure.subplots(2 if selected[0] else 1, 1, sharex=True, squeeze=False)[:, 0]
    if training[0]:
        panels[0].plot(*training, color=COLORS[0], label="training", **_marker(training[0], ""))
    if validation[0]:
        panels[0].plot(*validation, color=COLORS[1], label="validation", **_marker(validation[0], "o"))
    panels[0].set_ylabel("loss")
    if selected[0]:
        panels[1].plot(*selected, color=COLORS[1], label="validation", **_marker(selected[0], "o"))
        panels[1].set_ylabel(_short(name))
    for axes in panels:
        if best_step is not None:
            axes.axvline(best_step, color=GREY, linewidth=1, linestyle="--", label=f"best, step {best_step:,}")
        axes.grid(color="0.9", linewidth=0.6)
    panels[0].legend(frameon=False, fontsize=9)
    panels[-1].set_xlabel("optimizer step")
    # Few steps would get ticks between them.
    panels[-1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return figure


def _figure(width: float, height: float) -> "Figure":
    """Return an empty figure, in inches, that leaves room for its labels."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'dnafm[plots]'") from error
    return Figure(figsize=(width, height), layout="compressed")


def _short(name: str) -> str:
    """Cut a name to what fits, and keep its dollar signs from starting a formula."""
    shown = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    return shown.replace("$", r"\$")


def _name_ticks(axes: "Axes", names: Sequence[str], *, inches: float) -> None:
    """Name the cells of a matrix of that side; names that would touch each other are turned."""
    every = math.ceil(len(names) / MOST_NAMES)
    ticks = range(0, len(names), every)
    shown = [names[i] for i in ticks]
    is_long = INCHES_PER_LETTER * (max(map(len, shown)) + 1) > inches / len(shown)
    turn: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if is_long else {}
    axes.set_xticks(ticks, shown, fontsize=9, **turn)
    axes.set_yticks(ticks, shown, fontsize=9)


def _number_cells(axes: "Axes", counts: NDArray, shares: NDArray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        # Blues is dark above its middle.
        color = "white" if shares[row, column] > 0.55 else "black"
        text = f"{count:,}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, color=color, ha="center", va="center", fontsize=8)


def _are_many(curves: Mapping[str, "RankingCurves"]) -> bool:
    return len(curves) > MOST_CURVES


def _draw_curves(roc: "Axes", precision_recall: "Axes", curves: "RankingCurves", i: int) -> "Line2D":
    """Draw the i-th pair of curves, in a style of its own, and return the line for the legend."""
    style: dict[str, Any] = {
        "color": COLORS[i % len(COLORS)],
        "linestyle": LINE_STYLES[i // len(COLORS) % len(LINE_STYLES)],
        "linewidth": 1.4,
    }
    (line,) = roc.plot(*_thinned(curves.roc.false_positive_rate, curves.roc.true_positive_rate), **style)
    points = _thinned(curves.precision_recall.recall, curves.precision_recall.precision)
    # Average precision is the area under these steps.
    precision_recall.plot(*points, drawstyle="steps-pre", **style)
    return line


def _thinned(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """Leave out the points that would be drawn over the one before."""
    cells = np.round(np.stack([x, y]) * CURVE_RESOLUTION)
    is_kept = np.append(True, (cells[:, 1:] != cells[:, :-1]).any(axis=0))
    is_kept[-1] = True
    return x[is_kept], y[is_kept]


def _limits(*values: NDArray) -> tuple[float, float]:
    low, high = min(float(each.min()) for each in values), max(float(each.max()) for each in values)
    margin = 0.04 * (high - low) or max(abs(low), 1.0) / 2
    return low - margin, high + margin


def _correlation_title(pearson: float, spearman: float | None, n_points: int) -> str:
    named = (("Pearson r", pearson), ("Spearman r", spearman))
    parts = [f"{name} = {value:.3f}" for name, value in named if value is not None and not math.isnan(value)]
    return ", ".join([*parts, f"n = {n_points:,}"])


def _series(log_history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    entries = [entry for entry in log_history if key in entry]
    return [entry["step"] for entry in entries], [entry[key] for entry in entries]


def _marker(steps: Sequence[int], marker: str) -> dict[str, Any]:
    """Mark few points, and one alone in any case, for it has no line."""
    return {"marker": marker or ("o" if len(steps) == 1 else ""), "markersize": 4, "linewidth": 1.4}
