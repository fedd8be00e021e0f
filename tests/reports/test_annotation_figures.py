"""The figure of clusters: which lanes, colours and ticks there are, and that it is the same in each run."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

import pyarrow as pa

from dnafm.analysis.annotation_features import Features
from dnafm.analysis.cluster_results import ClusterAnnotation, VectorMap
from dnafm.genomics import Interval
from dnafm.reports.annotation_figures import cluster_figure, coordinate_ticks_of, plot_clusters

REGION = Interval("c", 0, 400)
EDGES = np.arange(0, 1001, 100)


def annotation(features=None):
    """Ten windows of 100 bases, in two clusters by turns, the last one unknown."""
    labels = np.array([0, 1] * 4 + [0, -2])
    rows = {"cluster": ["cluster_1", "cluster_2", "unknown"], "colour": ["0,114,178", "230,159,0", "225,225,225"]}
    places = np.random.default_rng(0).normal(size=(10, 2))
    classes = None if features is None else np.full(10, len(features.names))
    return ClusterAnnotation(
        ("cluster_1", "cluster_2"),
        {"c": EDGES},
        {"c": labels},
        pa.table(rows | {"share": [0.5, 0.4, 0.1]}),
        features,
        None,
        None,
        VectorMap(places, labels, classes, (0.5, 0.25)),
    )


def features(n_types):
    """As many types of features; type k has k + 1 of them in the region."""
    names = tuple(f"type{k}" for k in range(n_types))
    rows = {(name, "c"): [Interval("c", i, i + 5, "+-."[k % 3]) for i in range(k + 1)] for k, name in enumerate(names)}
    return Features(names, rows)


def panels(figure):
    figure.draw_without_rendering()
    return [axes for part in figure.subfigs for axes in part.axes]


def test_without_an_annotation_there_are_clusters_alone():
    """One lane and one map; the legend has the share of each cluster."""
    tracks, by_cluster = panels(cluster_figure(annotation(), region=REGION))
    assert [label.get_text() for label in tracks.get_yticklabels()] == ["cluster"]
    assert [text.get_text() for text in by_cluster.get_legend().get_texts()] == [
        "cluster_1, 50%",
        "cluster_2, 40%",
        "unknown, 10%",
    ]
    assert by_cluster.get_xlabel() == "component 1 (50% of the variance)"


def test_types_with_most_features_in_the_region_have_lanes():
    """Eight of ten, in the order in which they count; a second map is coloured by type."""
    tracks, _, by_class = panels(cluster_figure(annotation(features(10)), region=REGION))
    names = [f"type{k}" for k in range(2, 10)]
    assert [label.get_text() for label in tracks.get_yticklabels()] == [*names, "cluster"]
    assert [text.get_text() for text in by_class.get_legend().get_texts()] == [*names, "none or another"]


def test_windows_are_drawn_where_they_are():
    """The four windows of the region, from base 0 to 400, in the colours of their clusters."""
    tracks, _ = panels(cluster_figure(annotation(), region=REGION))
    boxes = [path.get_paths()[0].get_extents() for path in tracks.collections]
    assert [(box.x0, box.x1) for box in boxes] == [(0, 100), (100, 200), (200, 300), (300, 400)]
    colors = [tuple(np.round(path.get_facecolor()[0][:3] * 255).astype(int)) for path in tracks.collections]
    assert colors == [(0, 114, 178), (230, 159, 0)] * 2


@pytest.mark.parametrize(
    ("start_bp", "end_bp", "ticks"),
    [
        (0, 15_000, [5_000, 10_000, 15_000]),
        (60_000, 120_000, [60_001 + 9_999 + 10_000 * i for i in range(6)]),
        (0, 3_000_000, [500_000 * i for i in range(1, 7)]),
        (10, 13, [11, 12, 13]),
    ],
)
def test_ticks_are_round_and_count_from_1(start_bp, end_bp, ticks):
    """A region of any length has at most about six."""
    assert coordinate_ticks_of(Interval("c", start_bp, end_bp)) == ticks


def test_files_are_the_same_in_each_run(tmp_path):
    """Byte by byte, and a region that is not there is refused."""
    for name in ("a.svg", "b.svg"):
        plot_clusters(annotation(features(2)), tmp_path / name, region=REGION)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    with pytest.raises(ValueError, match="c:1-2000 ends behind c, which has 1000 bases"):
        plot_clusters(annotation(), tmp_path / "c.svg", region=Interval("c", 0, 2000))
    with pytest.raises(ValueError, match=r"c\.pdf: the extension of a figure must be one of"):
        plot_clusters(annotation(), tmp_path / "c.pdf", region=REGION)
