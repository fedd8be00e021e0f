"""Sequence logos: letters whose heights say how much is known about each base, drawn with matplotlib.

Colours are told apart with any colour vision (Okabe and Ito 2008).
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASES = "ACGT"
BASE_COLORS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00"}
# Of the axis; lower letters would not be seen.
LEAST_HEIGHT = 0.004


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of that many inches, on which everything is placed by hand.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'dnafm[plots]'") from error
    return Figure(figsize=(width, height))


def information_heights(log_probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return p * (2 + sum of p log2 p), the letters' heights of Schneider and Stephens 1990, (bases, 4) in bits.

    Args:
        log_probabilities: (bases, 4) natural logarithms, of A, C, G and T.
    """
    log_p = np.asarray(log_probabilities, dtype=np.float64)
    p = np.exp(log_p)
    return p * (2 + (p * log_p).sum(axis=1, keepdims=True) / np.log(2))


def effect_heights(sequence: str, effects: ArrayLike) -> NDArray[np.float64]:
    """Return minus the mean effect of the three substitutions, at the base that is there and 0 elsewhere.

    A tall letter is one whose loss lowers the output most. (bases, 4), in the unit of the effects.

    Args:
        sequence: bases.
        effects: (bases, 4), of substitutions by A, C, G and T; NaN where the base is none of them.
    """
    changes = np.asarray(effects, dtype=np.float64)
    heights = np.zeros(changes.shape)
    for row, base in enumerate(sequence):
        if base in BASES:
            heights[row, BASES.index(base)] = -changes[row].sum() / 3
    return heights


def draw_logo(
    axes: "Axes", heights: NDArray[np.float64], *, start: float, vertical: bool = False, span: float | None = None
) -> None:
    """Draw the letters of each base, the tallest on top; negative ones hang from the axis.

    Args:
        axes: what is drawn on; limits are left as they are.
        heights: (bases, 4), of A, C, G and T.
        start: coordinate of the left edge of the first base; each base is 1 wide.
        vertical: whether letters are turned by 90 degrees, so that bases run down and heights to the left.
        span: length of the axis of heights, below a small part of which a letter is left out.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    least = LEAST_HEIGHT * (span or float(np.abs(heights).max(initial=0)))
    pieces: dict[str, list[NDArray]] = {base: [] for base in BASES}
    for place, column in enumerate(heights):
        for letter, bottom, height in _stacked(column, least):
            pieces[BASES[letter]].append(_placed(BASES[letter], start + place, bottom, height))
    for base, placed in pieces.items():
        if not placed:
            continue
        # One path for all letters of a base: a thousand patches would take seconds.
        vertices = np.concatenate(placed)
        codes = np.tile(_letter(base)[1], len(placed))
        points = np.stack([-vertices[:, 1], vertices[:, 0]], axis=1) if vertical else vertices
        axes.add_patch(PathPatch(Path(points, codes), facecolor=BASE_COLORS[base], linewidth=0))


def draw_reference(axes: "Axes", sequence: str) -> None:
    """Write the bases of a sequence into a map of four rows, A at the top and each 1 high, whose y axis runs down."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    known = [(place, base) for place, base in enumerate(sequence) if base in BASES]
    if not known:
        return
    # Letters stand up on an axis that runs down.
    vertices = [_letter(base)[0] * [0.5, -0.56] + [place + 0.25, BASES.index(base) + 0.78] for place, base in known]
    codes = np.concatenate([_letter(base)[1] for _, base in known])
    axes.add_patch(PathPatch(Path(np.concatenate(vertices), codes), facecolor="0.3", linewidth=0))


def _stacked(column: NDArray[np.float64], least: float) -> list[tuple[int, float, float]]:
    """Return letter, foot and height of each letter of a base, from the axis outwards."""
    placed, top, bottom = [], 0.0, 0.0
    for letter in np.argsort(np.abs(column)):
        height = float(column[letter])
        if abs(height) <= least:
            continue
        placed.append((int(letter), top if height > 0 else bottom, height))
        top, bottom = top + max(height, 0), bottom + min(height, 0)
    return placed


def _placed(base: str, left: float, foot: float, height: float) -> NDArray[np.float64]:
    vertices, _ = _letter(base)
    # A hanging letter keeps its head up.
    foot, height = (foot, height) if height > 0 else (foot + height, -height)
    return vertices * [0.94, height] + [left + 0.03, foot]


@cache
def _letter(base: str) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return vertices and codes of a letter that fills the unit square."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    path = TextPath((0, 0), base, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    vertices, codes = np.asarray(path.vertices, dtype=np.float64), np.asarray(path.codes)
    # The end of a contour repeats no point, and has coordinates that mean nothing.
    drawn = vertices[codes != path.CLOSEPOLY]
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    return np.clip((vertices - low) / (high - low), 0, 1), codes
