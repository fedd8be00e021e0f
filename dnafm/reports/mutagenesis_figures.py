"""In-silico mutagenesis as a figure: a sequence logo over a heat map of all substitutions, in rows of up to 100 bases.

Matplotlib objects: no pyplot, no global state, no display. Sizes are in inches, so that letters are as large in a long
figure as in a short one.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dnafm.reports.logos import BASES, draw_logo, draw_reference, effect_heights, information_heights, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dnafm.analysis.mutagenesis import Mutagenesis
    from dnafm.analysis.regions import Region

MOST_BASES = 2000
BASES_PER_ROW = 100
# Colour-blind-safe (Brewer): blue above 0, red below.
COLOR_MAP = "RdBu"
# Effects beyond this quantile have the colour of the end.
QUANTILE = 0.995

_BASE_WIDTH, _NARROWEST = 0.125, 5.0
_LOGO_HEIGHT, _MAP_HEIGHT, _GAP, _AXIS_HEIGHT = 0.75, 0.6, 0.05, 0.4
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.75, 1.0, 0.7, 0.1


@dataclass(frozen=True)
class _Layout:
    """Where rows are, in inches."""

    n_bases: int
    bases_per_row: int

    @property
    def n_rows(self) -> int:
        return math.ceil(self.n_bases / self.bases_per_row)

    @property
    def row_width(self) -> float:
        return max(_NARROWEST, self.bases_per_row * _BASE_WIDTH)

    @property
    def width(self) -> float:
        return _LEFT + self.row_width + _RIGHT

    @property
    def height(self) -> float:
        return _TOP + self.n_rows * (_LOGO_HEIGHT + _GAP + _MAP_HEIGHT + _AXIS_HEIGHT) + _BOTTOM

    def add_axes(self, figure: "Figure", row: int, *, is_logo: bool) -> "Axes":
        top = self.height - _TOP - row * (_LOGO_HEIGHT + _GAP + _MAP_HEIGHT + _AXIS_HEIGHT)
        bottom = top - _LOGO_HEIGHT if is_logo else top - _LOGO_HEIGHT - _GAP - _MAP_HEIGHT
        height = _LOGO_HEIGHT if is_logo else _MAP_HEIGHT
        # The last row may be shorter, with bases as wide as those above.
        n_bases = min(self.bases_per_row, self.n_bases - row * self.bases_per_row)
        width = self.row_width * n_bases / self.bases_per_row
        place = (_LEFT / self.width, bottom / self.height, width / self.width, height / self.height)
        return figure.add_axes(place)


def mutagenesis_figure(result: "Mutagenesis") -> "Figure":
    """Build the figure: logo, heat map with the bases that are there, coordinates from 1, and a scale bar.

    The logo is the information content of the predicted bases in bits; where the effects are those of another output,
    it is minus the mean effect of the three substitutions, at the base that is there.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there are more than 2,000 bases.
    """
    check_size(result.region)
    layout = _Layout(result.region.n_bases, bases_per_row(result.region.n_bases))
    figure = new_figure(layout.width, layout.height)
    heights, unit = logo_heights(result)
    limit = color_limit(result.effects)
    limits = logo_limits(heights, is_bits=result.log_probabilities is not None)
    for row in range(layout.n_rows):
        part = slice(row * layout.bases_per_row, (row + 1) * layout.bases_per_row)
        logo = layout.add_axes(figure, row, is_logo=True)
        _draw_logo(logo, heights[part], limits, unit)
        image = _draw_map(layout.add_axes(figure, row, is_logo=False), result, part, limit)
    _draw_head(figure, layout, result)
    _draw_color_bar(figure, layout, image, result.effect_name, is_cut=bool((np.abs(result.effects) > limit).any()))
    return figure


def check_size(region: "Region") -> None:
    """Raise a ValueError where a region has more bases than a figure shows."""
    if region.n_bases > MOST_BASES:
        raise ValueError(
            f"{region.id} has {region.n_bases:,} bases, and a figure shows at most {MOST_BASES:,}. Show parts of it, "
            "as in a BED file."
        )


def bases_per_row(n_bases: int) -> int:
    """Return how many bases a row has: all of them up to 100, else a multiple of 10 that fills the last row best."""
    if n_bases <= BASES_PER_ROW:
        return n_bases
    return min(range(BASES_PER_ROW, BASES_PER_ROW // 2, -10), key=lambda width: (-n_bases % width) / width)


def logo_heights(result: "Mutagenesis") -> tuple[NDArray[np.float64], str]:
    """Return the heights of the letters, (bases, 4), and their unit."""
    if result.log_probabilities is not None:
        return information_heights(result.log_probabilities), "bits"
    return effect_heights(result.region.sequence, result.effects), "importance"


def color_limit(effects: NDArray) -> float:
    """Return the effect that has the colour of the end: the 99.5th percentile of the sizes, so that few are cut."""
    sizes = np.abs(effects[np.isfinite(effects) & (effects != 0)])
    return float(np.quantile(sizes, QUANTILE)) if len(sizes) else 1.0


def coordinate_ticks(first: int, n_bases: int, *, inches: float) -> list[int]:
    """Return round coordinates for ticks, as many as have room on an axis of that length, or the first one alone."""
    # A label and the space behind it.
    most = max(1, int(inches / (0.07 * len(f"{first + n_bases:,}") + 0.35)))
    step = next(step for step in (1, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if n_bases / step <= most)
    return list(range(-(-first // step) * step, first + n_bases, step)) or [first]


def title_of(region: "Region") -> str:
    """Return name and place of a region."""
    name = region.id if len(region.id) <= 60 else region.id[:59] + "…"
    place = f"{region.contig}:{region.start_bp + 1:,}-{region.start_bp + region.n_bases:,}"
    is_same = name in (region.contig, place.replace(",", ""))
    return place if is_same else f"{name}   {place}"


def logo_limits(heights: NDArray[np.float64], *, is_bits: bool) -> tuple[float, float]:
    """Return the ends of the axis of the letters' heights."""
    low = float(np.minimum(heights, 0).sum(axis=1).min())
    high = float(np.maximum(heights, 0).sum(axis=1).max())
    if is_bits:
        # Of 2 bits, unless all letters would be low.
        return 0.0, 2.0 if high > 1 else max(math.ceil(high * 10) / 10, 0.1)
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _draw_logo(axes: "Axes", heights: NDArray[np.float64], limits: tuple[float, float], unit: str) -> None:
    draw_logo(axes, heights, start=0, span=limits[1] - limits[0])
    axes.set(xlim=(0, len(heights)), ylim=limits)
    axes.set_ylabel(unit, fontsize=8)
    axes.yaxis.set_major_locator(_few_ticks())
    axes.tick_params(labelsize=7, length=2)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    if limits[0] < 0:
        axes.axhline(0, color="0.4", linewidth=0.5)


def _draw_map(axes: "Axes", result: "Mutagenesis", part: slice, limit: float) -> Any:
    effects, sequence = result.effects[part], result.region.sequence[part]
    extent = (0, len(effects), 4, 0)
    axes.set_facecolor("0.85")
    image = axes.imshow(
        effects.T, cmap=COLOR_MAP, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest", extent=extent
    )
    draw_reference(axes, sequence)
    axes.set_yticks(np.arange(4) + 0.5, list(BASES), fontsize=7)
    axes.tick_params(axis="y", length=0)
    # Browsers count from 1.
    first = result.region.start_bp + part.start + 1
    inches = max(_NARROWEST, len(effects) * _BASE_WIDTH)
    ticks = coordinate_ticks(first, len(effects), inches=inches)
    axes.set_xticks([tick - first + 0.5 for tick in ticks], [f"{tick:,}" for tick in ticks], fontsize=7)
    axes.tick_params(axis="x", length=2)
    axes.spines[:].set_linewidth(0.5)
    return image


def _draw_head(figure: "Figure", layout: _Layout, result: "Mutagenesis") -> None:
    x, y = _LEFT / layout.width, (layout.height - 0.3) / layout.height
    figure.text(x, y, title_of(result.region), fontsize=10, va="center", fontweight="bold", parse_math=False)
    _draw_scale_bar(figure, layout)
    bottom = 0.12 / layout.height
    text = "position in the contig, from 1; letters in the map are the bases that are there"
    figure.text(x, bottom, text, fontsize=8, va="center", color="0.3")


def _draw_scale_bar(figure: "Figure", layout: _Layout) -> None:
    from matplotlib.lines import Line2D

    n_bases = 10 if layout.bases_per_row >= 30 else max(1, layout.bases_per_row // 4)
    length = n_bases * layout.row_width / layout.bases_per_row
    right, y = _LEFT + layout.row_width, layout.height - 0.48
    ends = [(right - length) / layout.width, right / layout.width]
    bar = Line2D(ends, [y / layout.height] * 2, color="black", linewidth=2, solid_capstyle="butt")
    figure.add_artist(bar)
    label = f"{n_bases} bp"
    figure.text(sum(ends) / 2, (y + 0.12) / layout.height, label, fontsize=8, ha="center", va="center")


def _draw_color_bar(figure: "Figure", layout: _Layout, image: Any, name: str, *, is_cut: bool) -> None:
    height = min(1.4, layout.height - _TOP - _BOTTOM)
    bottom = layout.height - _TOP - height
    left = _LEFT + layout.row_width + 0.2
    place = (left / layout.width, bottom / layout.height, 0.12 / layout.width, height / layout.height)
    bar = figure.colorbar(image, cax=figure.add_axes(place), extend="both" if is_cut else "neither")
    bar.set_label(name, fontsize=7)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_linewidth(0.5)


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=2, min_n_ticks=2)
