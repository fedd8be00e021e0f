"""Figures of matplotlib as files: PNG or SVG by the extension, the same bytes in each run, whole or not at all."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnafm.reports.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXTENSIONS = (".png", ".svg")
DPI = 150


def figure_extension(path: str | os.PathLike, extensions: Sequence[str] = EXTENSIONS) -> str:
    """Return the extension of a figure, or raise a ValueError where it is none of `extensions`."""
    extension = Path(path).suffix
    if extension not in extensions:
        raise ValueError(f"{os.fspath(path)}: the extension of a figure must be one of {', '.join(extensions)}.")
    return extension


def write_figure(path: str | os.PathLike, figure: "Figure", *, dpi: int = DPI) -> None:
    """Write a figure; the letters of an SVG are text, and a PNG has some dots per inch.

    Raises:
        ValueError: the extension is none of `EXTENSIONS`.
    """
    from matplotlib import rc_context

    extension = figure_extension(path)[1:]
    metadata = {"Date": None} if extension == "svg" else {}
    # The salt makes the ids of an SVG.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "dnafm"}):
        write_atomically(path, lambda stream: figure.savefig(stream, format=extension, dpi=dpi, metadata=metadata))
