"""A nucleotide dependency map as a figure: the matrix with the sequence logo above it and beside it."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dnafm.reports.logos import draw_logo, information_heights, new_figure
from dnafm.reports.mutagenesis_figures import check_size, coordinate_ticks, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dnafm.analysis.dependency import DependencyMap

# Perceptually uniform, and light where nothing depends on anything.
COLOR_MAP = "magma_r"
# Neighbours depend on each other most; beyond this quantile all have the colour of the end.
QUANTILE = 0.998

_BASE_WIDTH, _NARROWEST, _WIDEST = 0.1, 4.5, 12.0
_LOGO, _GAP, _LEFT, _RIGHT, _TOP, _BOTTOM = 0.6, 0.06, 0.85, 1.0, 0.5, 0.6


def dependency_figure(result: "DependencyMap") -> "Figure":
    """Build the figure: rows are mutated bases, columns those whose prediction changes; coordinates are from 1.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there are more than 2,000 bases.
    """
    n_bases = result.region.n_bases
    check_size(result.region)
    side = min(max(_NARROWEST, n_bases * _BASE_WIDTH), _WIDEST)
    width, height = _LEFT + _LOGO + _GAP + side + _RIGHT, _BOTTOM + side + _GAP + _LOGO + _TOP
    figure = new_figure(width, height)

    def add_axes(left: float, bottom: float, wide: float, high: float) -> "Axes":
        return figure.add_axes((left / width, bottom / height, wide / width, high / height))

    left = _LEFT + _LOGO + _GAP
    heights = information_heights(result.log_probabilities)
    _draw_logo(add_axes(left, _BOTTOM + side + _GAP, side, _LOGO), heights, vertical=False)
    beside = add_axes(_LEFT, _BOTTOM, _LOGO, side)
    _draw_logo(beside, heights, vertical=True)
    limit = color_limit(result.dependencies)
    image = _draw_map(add_axes(left, _BOTTOM, side, side), beside, result, limit, side)
    bar = add_axes(left + side + 0.2, _BOTTOM + side - min(2.0, side), 0.14, min(2.0, side))
    _draw_color_bar(bar, image, is_cut=bool((result.dependencies > limit).any()))
    place = (_LEFT / width, (height - 0.25) / height)
    figure.text(*place, title_of(result.region), fontsize=10, va="center", fontweight="bold", parse_math=False)
    return figure


def color_limit(dependencies: NDArray) -> float:
    """Return the dependency that has the colour of the end, the 99.8th percentile of those off the diagonal."""
    off_diagonal = dependencies[~np.eye(len(dependencies), dtype=bool)]
    known = off_diagonal[np.isfinite(off_diagonal)]
    return float(np.quantile(known, QUANTILE)) or 1.0 if len(known) else 1.0


def _draw_logo(axes: "Axes", heights: NDArray[np.float64], *, vertical: bool) -> None:
    high = max(float(heights.sum(axis=1).max()), 0.1)
    draw_logo(axes, heights, start=0, span=high, vertical=vertical)
    if vertical:
        axes.set(xlim=(-high, 0), ylim=(len(heights), 0), xticks=[])
    else:
        axes.set(xlim=(0, len(heights)), ylim=(0, high), xticks=[])
        axes.set_yticks([0, high], ["0", f"{high:.1f}"], fontsize=7)
        axes.set_ylabel("bits", fontsize=8)
        axes.tick_params(length=2)
    axes.spines[:].set_visible(False)


def _draw_map(axes: "Axes", beside: "Axes", result: "DependencyMap", limit: float, side: float) -> Any:
    n_bases = result.region.n_bases
    axes.set_facecolor("0.85")
    image = axes.imshow(
        result.dependencies,
        cmap=COLOR_MAP,
        vmin=0,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
        extent=(0, n_bases, n_bases, 0),
    )
    first = result.region.start_bp + 1
    ticks = coordinate_ticks(first, n_bases, inches=side)
    places, names = [tick - first + 0.5 for tick in ticks], [f"{tick:,}" for tick in ticks]
    axes.set_xticks(places, names, fontsize=7)
    axes.set_yticks([])
    beside.set_yticks(places, names, fontsize=7)
    for each in (axes, beside):
        each.tick_params(length=2)
    axes.set_xlabel("base whose prediction changes (position from 1)", fontsize=8)
    beside.set_ylabel("base that is mutated (position from 1)", fontsize=8)
    axes.spines[:].set_linewidth(0.5)
    return image


def _draw_color_bar(axes: "Axes", image: Any, *, is_cut: bool) -> None:
    bar = axes.figure.colorbar(image, cax=axes, extend="max" if is_cut else "neither")
    bar.set_label("dependency (|log2 odds ratio|)", fontsize=7)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_linewidth(0.5)
