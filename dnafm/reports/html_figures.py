"""Figures as one HTML file each, which zooms, shows values under the pointer, and needs no network.

The file holds the data, and the scripts of dnafm/assets/figures; its content security policy forbids it to load
anything else.
"""

import base64
import html
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dnafm.reports import dependency_figures, mutagenesis_figures
from dnafm.reports.logos import information_heights

if TYPE_CHECKING:
    from dnafm.analysis.dependency import DependencyMap
    from dnafm.analysis.mutagenesis import Mutagenesis
    from dnafm.analysis.regions import Region

_MUTAGENESIS = "Sequence logo, and the effect of each substitution; letters in the map are the bases that are there."
_DEPENDENCY = "Row: the base that is mutated. Column: the base whose prediction changes."


def mutagenesis_page(result: "Mutagenesis") -> str:
    """Return the page of a logo over the heat map of all substitutions.

    Raises:
        ValueError: there are more than 2,000 bases.
    """
    mutagenesis_figures.check_size(result.region)
    heights, unit = mutagenesis_figures.logo_heights(result)
    log_probabilities, entropy = result.log_probabilities, result.entropy_bits
    data = {
        **_of_region(result.region),
        "effects": _packed(result.effects),
        "effect_name": result.effect_name,
        "limit": mutagenesis_figures.color_limit(result.effects),
        "heights": _packed(heights),
        "height_limits": mutagenesis_figures.logo_limits(heights, is_bits=log_probabilities is not None),
        "unit": unit,
        "log_probabilities": None if log_probabilities is None else _packed(log_probabilities),
        "entropy_bits": None if entropy is None else [round(float(value), 5) for value in entropy],
    }
    return _page(result.region, data, "mutagenesis.js", _MUTAGENESIS)


def dependency_page(result: "DependencyMap") -> str:
    """Return the page of a dependency map with the logo above it and beside it.

    Raises:
        ValueError: there are more than 2,000 bases.
    """
    mutagenesis_figures.check_size(result.region)
    heights = information_heights(result.log_probabilities)
    data = {
        **_of_region(result.region),
        "dependencies": _packed(result.dependencies),
        "limit": dependency_figures.color_limit(result.dependencies),
        "heights": _packed(heights),
        "height_limits": (0.0, max(float(heights.sum(axis=1).max()), 0.1)),
    }
    return _page(result.region, data, "dependency.js", _DEPENDENCY)


def _of_region(region: "Region") -> dict[str, Any]:
    return {"contig": region.contig, "first": region.start_bp + 1, "sequence": region.sequence}


def _packed(values: NDArray) -> str:
    """Return little-endian float32 numbers in base64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def _page(region: "Region", data: dict[str, Any], script: str, explanation: str) -> str:
    folder = resources.files("dnafm") / "assets" / "figures"
    parts = {
        "title": html.escape(mutagenesis_figures.title_of(region)),
        "explanation": html.escape(explanation),
        # No text of the data may end the script element that it is in.
        "data": json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
        "script": "".join((folder / name).read_text(encoding="utf-8") for name in ("common.js", script)),
    }
    page = (folder / "page.html").read_text(encoding="utf-8")
    # In one pass: a name may look like a placeholder.
    pieces = page.split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:]))
