"""Figures of regions as files: PNG, SVG or HTML by the extension, one for each region."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dnafm.reports.dependency_figures import dependency_figure
from dnafm.reports.figure_files import figure_extension, write_figure
from dnafm.reports.files import write_atomically
from dnafm.reports.html_figures import dependency_page, mutagenesis_page
from dnafm.reports.mutagenesis_figures import mutagenesis_figure

if TYPE_CHECKING:
    from dnafm.analysis.dependency import DependencyMap
    from dnafm.analysis.mutagenesis import Mutagenesis

EXTENSIONS = (".png", ".svg", ".html")


def plot_mutagenesis(result: "Mutagenesis", path: str | os.PathLike) -> None:
    """Write the logo over the heat map of all substitutions.

    Raises:
        ImportError: matplotlib is not installed, and the figure is no HTML.
        ValueError: the extension is none of `EXTENSIONS`, or there are more than 2,000 bases.
    """
    if figure_extension(path, EXTENSIONS) == ".html":
        _write_text(path, mutagenesis_page(result))
    else:
        write_figure(path, mutagenesis_figure(result))


def plot_dependency(result: "DependencyMap", path: str | os.PathLike) -> None:
    """Write the dependency map with the logo above it and beside it.

    Raises:
        ImportError: matplotlib is not installed, and the figure is no HTML.
        ValueError: the extension is none of `EXTENSIONS`, or there are more than 2,000 bases.
    """
    if figure_extension(path, EXTENSIONS) == ".html":
        _write_text(path, dependency_page(result))
    else:
        write_figure(path, dependency_figure(result))


def numbered_path(path: str | os.PathLike, number: int, name: str) -> Path:
    """Return the path of one of several figures: `out.png` becomes `out.1.NAME.png`, without odd characters."""
    path = Path(path)
    plain = re.sub(r"[^\w.+-]+", "_", name)[:60]
    return path.with_name(f"{path.stem}.{number}.{plain}{path.suffix}")


def _write_text(path: str | os.PathLike, page: str) -> None:
    write_atomically(path, lambda stream: stream.write(page.encode()))
