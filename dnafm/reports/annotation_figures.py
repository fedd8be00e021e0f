"""Clusters of a genome as a figure: tracks of a region with the annotation above, and the map of vectors."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dnafm.reports.figure_files import write_figure
from dnafm.reports.mutagenesis_figures import coordinate_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dnafm.analysis.cluster_results import ClusterAnnotation
    from dnafm.genomics import Interval

DPI = 100
WIDTH = 9.0
# More types have no lane of their own, nor a colour in the map.
MOST_LANES = 8
_LANE, _MAP, _LEGEND_LINE = 0.24, 3.1, 0.2
_NO_FEATURE = "0.7"
# Of types of features, apart from those of clusters: Tol's "muted", https://personal.sron.nl/~pault.
FEATURE_COLORS = ("#332288", "#CC6677", "#117733", "#DDCC77", "#88CCEE", "#882255", "#44AA99", "#AA4499")


def plot_clusters(annotation: "ClusterAnnotation", path: str | os.PathLike, *, region: "Interval") -> None:
    """Write the figure of `cluster_figure`.

    Args:
        annotation: of a genome.
        path: .png or .svg.
        region: whose tracks are shown.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the extension is another one, or the region is not in the genome.
    """
    write_figure(path, cluster_figure(annotation, region=region), dpi=DPI)


def cluster_figure(annotation: "ClusterAnnotation", *, region: "Interval") -> "Figure":
    """Build the figure: lanes of features over the clusters of a region, and below them the map of vectors.

    The map has some units along the first two principal components, coloured by cluster and, with an annotation, by
    the class of the annotation. Of more than eight types of features, those with the most intervals in the region are
    shown.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the region is not in the genome.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'dnafm[plots]'") from error
    check_region(annotation, region)
    lanes = _lanes(annotation, region)
    top = _LANE * (len(lanes) + 1) + 0.75
    n_lines = max(len(annotation.clusters), len(lanes) + 1)
    bottom = _MAP + _LEGEND_LINE * (-(-n_lines // 2)) + 0.3
    figure = Figure(figsize=(WIDTH, top + bottom), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[top, bottom])
    _draw_tracks(parts[0].add_subplot(), annotation, region, lanes)
    _draw_maps(parts[1], annotation, lanes)
    return figure


def check_region(annotation: "ClusterAnnotation", region: "Interval") -> None:
    """Raise a ValueError where a region is not in what was annotated."""
    from dnafm.genomics.intervals import check_within

    check_within(region, {contig: int(edges[-1]) for contig, edges in annotation.edges.items()})


def _lanes(annotation: "ClusterAnnotation", region: "Interval") -> list[str]:
    """Return the types with a lane of their own, those that count first in front."""
    if annotation.features is None:
        return []
    counts = {name: len(_in_region(annotation, name, region)) for name in annotation.features.names}
    chosen = sorted(counts, key=lambda name: -counts[name])[:MOST_LANES]
    return [name for name in annotation.features.names if name in chosen]


def _in_region(annotation: "ClusterAnnotation", name: str, region: "Interval") -> list["Interval"]:
    assert annotation.features is not None
    rows = annotation.features.intervals.get((name, region.contig), ())
    return [each for each in rows if each.overlaps(region)]


def _draw_tracks(axes: "Axes", annotation: "ClusterAnnotation", region: "Interval", lanes: Sequence[str]) -> None:
    names = [*lanes, "cluster"]
    for row, name in enumerate(lanes):
        for each in _in_region(annotation, name, region):
            _draw_feature(axes, each, row, FEATURE_COLORS[row])
    row = len(lanes)
    for each in annotation.intervals(region.contig):
        if each.overlaps(region):
            axes.broken_barh([(each.start_bp, len(each))], (row - 0.4, 0.8), color=_rgb(each.extra[2]), linewidth=0)
    # Features that pass the ends of the region are cut.
    axes.set(xlim=(region.start_bp, region.end_bp), ylim=(row + 0.6, -0.6))
    axes.set_yticks(range(len(names)), [_shown(name) for name in names], fontsize=8)
    ticks = coordinate_ticks_of(region)
    # Browsers count from 1.
    axes.set_xticks([tick - 1 for tick in ticks], [f"{tick:,}" for tick in ticks], fontsize=8)
    place = f"{_shown(region.contig)}:{region.start_bp + 1:,}-{region.end_bp:,}"
    axes.set_title(
        f"{place}   features of the + strand above those of the -" if lanes else place, fontsize=9, loc="left"
    )
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_feature(axes: "Axes", feature: "Interval", row: int, color: str) -> None:
    """Draw a feature above the middle of its lane on the + strand, below it on the -, or over all of it."""
    low, height = {"+": (row - 0.4, 0.38), "-": (row + 0.02, 0.38)}.get(feature.strand, (row - 0.4, 0.8))
    axes.broken_barh([(feature.start_bp, len(feature))], (low, height), color=color, linewidth=0)


def _draw_maps(figure: Any, annotation: "ClusterAnnotation", lanes: Sequence[str]) -> None:
    places = annotation.map.places
    panels = figure.subplots(1, 2 if annotation.map.classes is not None else 1, squeeze=False)[0]
    rows = annotation.clusters.to_pylist()
    colors = {row["cluster"]: _rgb(row["colour"]) for row in rows}
    found = [_name_of(annotation, label) for label in annotation.map.labels.tolist()]
    legend = {f"{row['cluster']}, {row['share']:.0%}": colors[row["cluster"]] for row in rows}
    _scatter(panels[0], places, [colors[name] for name in found], legend, "by cluster")
    if annotation.map.classes is not None:
        assert annotation.features is not None
        of_class = dict(zip(lanes, FEATURE_COLORS, strict=False))
        names = annotation.features.class_names
        drawn = [of_class.get(names[place], _NO_FEATURE) for place in annotation.map.classes.tolist()]
        shown: dict[str, Any] = {_shown(name): color for name, color in of_class.items()}
        _scatter(panels[1], places, drawn, shown | {"none or another": _NO_FEATURE}, "by what most bases are in")
    for axes, share in ((axes, annotation.map.explained) for axes in panels):
        axes.set_xlabel(f"component 1 ({share[0]:.0%} of the variance)", fontsize=8)
        axes.set_ylabel(f"component 2 ({share[1]:.0%})", fontsize=8)


def _scatter(axes: "Axes", places: np.ndarray, colors: Sequence[Any], legend: dict[str, Any], title: str) -> None:
    from matplotlib.lines import Line2D

    # In random order, or the last class would hide the others.
    order = np.random.default_rng(0).permutation(len(places))
    size = 14 if len(places) < 500 else 5
    x, y = places[order].T
    chosen = [colors[place] for place in order]
    axes.scatter(x, y, s=size, c=chosen, linewidths=0, rasterized=True)
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    handles = [Line2D([], [], color=color, marker="o", linestyle="", markersize=5) for color in legend.values()]
    axes.legend(
        handles,
        list(legend),
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        ncols=2,
        frameon=False,
        fontsize=8,
        handletextpad=0.2,
    )


def coordinate_ticks_of(region: "Interval") -> list[int]:
    """Return round coordinates, counted from 1, for the ticks of a region of any length."""
    n_bases = len(region)
    if n_bases <= 2000:
        return coordinate_ticks(region.start_bp + 1, n_bases, inches=WIDTH - 2)
    # As many as have room.
    step = 10 ** int(np.log10(n_bases / 6))
    step = next(step * factor for factor in (1, 2, 5, 10) if n_bases / (step * factor) <= 6)
    return list(range(-(-(region.start_bp + 1) // step) * step, region.end_bp + 1, step))


def _name_of(annotation: "ClusterAnnotation", label: int) -> str:
    return annotation.names[label] if label >= 0 else {-1: "noise", -2: "unknown"}[label]


def _rgb(text: str) -> tuple[float, ...]:
    return tuple(int(part) / 255 for part in text.split(","))


def _shown(name: str) -> str:
    shown = name if len(name) <= 30 else name[:29] + "…"
    return shown.replace("$", r"\$")
