"""The course of a generation as a figure: the value of the guide after each round, over all sequences."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dnafm.reports.figure_files import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dnafm.analysis.generation_results import GeneratedSequence

# Okabe and Ito 2008: told apart with any colour vision, and by their dashes.
UNMASKING, REFINEMENT = "#0072B2", "#D55E00"
GREY = "0.4"


def plot_guide_values(
    results: Sequence["GeneratedSequence"],
    path: str | os.PathLike,
    *,
    guide_name: str = "guide value",
    reference: float | None = None,
) -> None:
    """Write the median of the guide's values after each round, with a band from the 10th to the 90th percentile.

    Args:
        results: of a generation with a guide; those that failed are left out.
        path: .png or .svg.
        guide_name: what is shown, and its unit.
        reference: a value to compare with, such as the mean without guidance, as a line.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: no sequence has values of a guide, or the extension is another one.
    """
    write_figure(path, guide_values_figure(results, guide_name=guide_name, reference=reference))


def guide_values_figure(
    results: Sequence["GeneratedSequence"], *, guide_name: str = "guide value", reference: float | None = None
) -> "Figure":
    """Build the figure of `plot_guide_values`, without pyplot or a display."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'dnafm[plots]'") from error
    shown = [result for result in results if result.guide_value is not None]
    unmasking = _columns([result.unmasking_values for result in shown])
    refinement = _columns([result.refinement_values for result in shown])
    if not unmasking and not refinement:
        raise ValueError("No sequence has values of a guide, so there is nothing to plot.")
    figure = Figure(figsize=(6.0, 3.8), layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, unmasking, first=1, color=UNMASKING, line_style="-", label="unmasking")
    _draw(axes, refinement, first=len(unmasking) + 1, color=REFINEMENT, line_style="--", label="refinement")
    if unmasking and refinement:
        axes.axvline(len(unmasking) + 0.5, color="0.8", linewidth=1)
    if reference is not None:
        axes.axhline(reference, color=GREY, linewidth=1, linestyle=":", label="without guidance")
    axes.set(xlabel="round (one pass or sweep of the model)", ylabel=guide_name.replace("$", r"\$"))
    axes.set_title(f"median and 10th to 90th percentile of {len(shown):,} sequences", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, len(unmasking) + len(refinement) + 0.5)
    axes.grid(color="0.92", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="best")
    return figure


def _columns(rows: Sequence[Sequence[float]]) -> list[np.ndarray]:
    """Return the values of each round; templates with few places have fewer rounds."""
    n_rounds = max(map(len, rows), default=0)
    return [np.array([row[i] for row in rows if i < len(row)]) for i in range(n_rounds)]


def _draw(axes: "Axes", columns: Sequence[np.ndarray], *, first: int, color: str, line_style: str, label: str) -> None:
    if not columns:
        return
    rounds = np.arange(first, first + len(columns))
    low, median, high = np.array([np.quantile(values, (0.1, 0.5, 0.9)) for values in columns]).T
    axes.fill_between(rounds, low, high, color=color, alpha=0.2, linewidth=0)
    marker = "o" if len(columns) <= 40 else ""
    axes.plot(rounds, median, color=color, linestyle=line_style, marker=marker, markersize=3.5, label=label)
