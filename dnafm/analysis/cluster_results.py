"""Clusters of a genome: what is known of them, and their intervals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dnafm.analysis.annotation_colours import colour_of
from dnafm.analysis.annotation_enrichment import MutualInformation
from dnafm.analysis.annotation_features import Features
from dnafm.analysis.clustering import NOISE, UNKNOWN
from dnafm.genomics import Interval, coloured


@dataclass(frozen=True, eq=False)
class VectorMap:
    """Some units, drawn at random, along the first two principal components.

    Attributes:
        places: (points, 2).
        labels: (points,) number of the cluster after smoothing.
        classes: (points,) place in `Features.class_names`, or None without an annotation.
        explained: shares of the variance that the two components have.
    """

    places: NDArray[np.float64]
    labels: NDArray[np.int64]
    classes: NDArray[np.int64] | None
    explained: tuple[float, float]


@dataclass(frozen=True, eq=False)
class ClusterAnnotation:
    """Clusters of a genome.

    Attributes:
        names: of the clusters, the largest first: `cluster_1`, ...
        edges: by contig, (units + 1,): where each unit begins, and the end of the contig.
        labels: by contig, (units,) place in `names` after smoothing, -1 for noise and -2 for unknown bases.
        clusters: a row for each cluster, and for noise and unknown where there are any: `cluster`, `colour`, `n_units`
            and the columns of `Composition.columns`.
        features: of the annotation that they were compared with, or None.
        enrichment: see `enrichment_table`, or None.
        information: see `mutual_information`, or None.
        map: of vectors.
    """

    names: tuple[str, ...]
    edges: Mapping[str, NDArray[np.int64]]
    labels: Mapping[str, NDArray[np.int64]]
    clusters: pa.Table
    features: Features | None
    enrichment: pa.Table | None
    information: MutualInformation | None
    map: VectorMap

    def intervals(self, *contigs: str) -> Iterator[Interval]:
        """Yield runs of units of one cluster with the columns of BED9; they tile the contigs, by default all."""
        for contig in contigs or self.edges:
            yield from cluster_intervals(contig, self.edges[contig], self.labels[contig])


def cluster_intervals(contig: str, edges: NDArray[np.int64], labels: NDArray[np.int64]) -> Iterator[Interval]:
    """Yield runs of equal labels with name, score 0 and colour; they tile what the edges enclose."""
    firsts = np.append(0, np.flatnonzero(np.diff(labels)) + 1)
    starts, ends = edges[firsts].tolist(), [*edges[firsts[1:]].tolist(), int(edges[-1])]
    for label, start_bp, end_bp in zip(labels[firsts].tolist(), starts, ends, strict=True):
        bare = Interval(contig, start_bp, end_bp, ".", cluster_name(label), 0.0)
        yield Interval(contig, start_bp, end_bp, ".", bare.name, 0.0, coloured(bare, colour_of(label)))


def cluster_name(label: int) -> str:
    """Return `cluster_1` for 0 and so on, `noise` or `unknown`."""
    return {NOISE: "noise", UNKNOWN: "unknown"}.get(label, f"cluster_{label + 1}")
