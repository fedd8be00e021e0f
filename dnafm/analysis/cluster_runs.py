"""Clusters of a genome from its FASTA file: in chunks, on one rank or many, and going on after an interruption."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from accelerate import PartialState  # type: ignore[import-untyped]
from numpy.typing import NDArray

from dnafm.analysis.annotation_colours import colour_of
from dnafm.analysis.annotation_enrichment import (
    MutualInformation,
    enrichment_table,
    majority_of,
    mutual_information,
)
from dnafm.analysis.annotation_features import Features
from dnafm.analysis.annotation_windows import (
    AnnotationCut,
    WindowPiece,
    annotated_lengths,
    unit_vectors,
    vectors_of,
    window_chunks,
)
from dnafm.analysis.annotation_work import ContigRun
from dnafm.analysis.chunked_runs import ChunkedRun
from dnafm.analysis.cluster_composition import Composition
from dnafm.analysis.cluster_results import ClusterAnnotation, VectorMap, cluster_intervals, cluster_name
from dnafm.analysis.clustering import (
    NOISE,
    UNKNOWN,
    Clustering,
    FittedClusters,
    majority_filtered,
    numbered_by_size,
)
from dnafm.analysis.embedder import Embedder
from dnafm.analysis.identities import file_identity
from dnafm.genomics import ReferenceGenome
from dnafm.version import __version__

# Points of the map of vectors.
MAP_POINTS = 5000


class ClusterRun(ContigRun):
    """Vectors of the units of a genome, kept in chunks, and the clusters that are made of them.

    `finish` computes the vectors and keeps them in the folder `OUTPUT.parts`, with four bytes for each number;
    `annotation` learns clusters from them, and `remove` removes them. All ranks call `finish` and `remove`.

    Args:
        embedder: of one layer, which reads windows as the cut has them; for bases with `pooling="none"`.
        genome: whose contigs are annotated.
        cut: what the units are.
        output: beside which chunks are kept.
        model: what tells the model from others, as JSON holds it.
        overwrite: replace chunks that were made with other options.
        state: ranks that share the work, by default those of `process_state`.

    Raises:
        ValueError: no contig has a base, or a window is longer than what the model reads.
    """

    def __init__(
        self,
        embedder: Embedder,
        genome: ReferenceGenome,
        cut: AnnotationCut,
        *,
        output: str | os.PathLike,
        model: Mapping[str, Any],
        overwrite: bool = False,
        state: PartialState | None = None,
    ):
        self._embedder, self._genome, self._cut = embedder, genome, cut
        lengths = annotated_lengths(genome)
        run = ChunkedRun(output, {**self._settings(), "model": dict(model)}, overwrite=overwrite, state=state)
        super().__init__(run, lengths)

    @property
    def n_units(self) -> int:
        """Units of all contigs, unknown ones included."""
        return sum(map(self._cut.n_units, self._lengths.values()))

    def finish(self, *, on_progress: Callable[[int], object] = lambda n_bases: None) -> int:
        """Compute what is missing, and return how many chunks an earlier run had finished, on the first rank.

        Args:
            on_progress: is told how many bases more are done, on every rank those of all.

        Raises:
            ValueError: the folder has chunks of other options.
            OSError: a chunk cannot be written.
        """

        def passed(chunk: list[WindowPiece]) -> None:
            on_progress(sum(piece.n_bases for piece in chunk))

        def kept(chunk: list[WindowPiece]) -> pa.Table:
            table = unit_vectors(self._embedder, self._genome, chunk, per_base=self._cut.per_base)
            passed(chunk)
            return table

        self._run.finish(window_chunks(self._genome, self._cut), kept, on_passed=passed)
        return self._run.n_resumed

    def annotation(self, clustering: Clustering, *, features: Features | None = None) -> ClusterAnnotation:
        """Learn clusters, and compare them with an annotation; on the first rank.

        Raises:
            ValueError: there are fewer units than clusters.
            ImportError: scikit-learn is missing.
        """
        drawn, fitted = self._fitted(clustering)
        flat, places = self._assigned(fitted, drawn)
        flat = numbered_by_size(flat)
        n_clusters = int(flat.max(initial=-1)) + 1
        names = tuple(cluster_name(label) for label in range(n_clusters))
        found = np.split(flat, np.cumsum([len(edges) - 1 for edges in self._edges.values()])[:-1])
        labels = {
            contig: majority_filtered(own, clustering.smooth) for contig, own in zip(self._edges, found, strict=True)
        }
        enrichment = information = None
        if features is not None:
            enrichment, information = self._compared(labels, names, features)
        explained = [*fitted.reduction.explained_variance_ratio_.tolist(), 0.0][:2]
        points = self._map_points(drawn, clustering.seed)
        return ClusterAnnotation(
            names,
            self._edges,
            labels,
            self._table(labels, n_clusters),
            features,
            enrichment,
            information,
            VectorMap(
                places[points],
                np.concatenate(list(labels.values()))[drawn[points]],
                None if features is None else self._unit_classes(features)[drawn[points]],
                (explained[0], explained[1]),
            ),
        )

    def vectors(self) -> Iterator[NDArray[np.float32]]:
        """Yield what was computed, chunk by chunk: (units, hidden), 0 where a unit is unknown; on the first rank."""
        return map(vectors_of, self._run.tables())

    @cached_property
    def _edges(self) -> dict[str, NDArray[np.int64]]:
        return {contig: self._cut.edges(n_bases) for contig, n_bases in self._lengths.items()}

    def _fitted(self, clustering: Clustering) -> tuple[NDArray[np.int64], FittedClusters]:
        """Return which units clusters were learnt from, and the clusters."""
        known = np.flatnonzero(np.concatenate([table["is_known"].to_numpy() for table in self._run.tables()]))
        if not len(known):
            raise ValueError(f"{self._genome.path}: too few bases are known, so there is nothing to annotate.")
        drawn = known[clustering.drawn(len(known))]
        rows, n_before = [], 0
        for table in self._run.tables():
            own = drawn[np.searchsorted(drawn, n_before) : np.searchsorted(drawn, n_before + len(table))]
            rows.append(vectors_of(table)[own - n_before])
            n_before += len(table)
        return drawn, clustering.fit(np.concatenate(rows))

    def _assigned(self, fitted: FittedClusters, drawn: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray]:
        """Return (units,) labels, and the first two coordinates of the drawn units, (drawn, 2)."""
        labels, corners = [], []
        for table in self._run.tables():
            places = fitted.places(vectors_of(table))
            labels.append(np.where(table["is_known"].to_numpy(), fitted.labels(places), UNKNOWN))
            corners.append(np.pad(places[:, :2], ((0, 0), (0, 2 - min(2, places.shape[1])))))
        return np.concatenate(labels), np.concatenate(corners)[drawn]

    def _compared(
        self, labels: Mapping[str, NDArray[np.int64]], names: Sequence[str], features: Features
    ) -> tuple[pa.Table, MutualInformation]:
        """Compare clusters with features over windows, also where the units are bases."""
        of_windows, has, classes = [], [], []
        for contig, own in labels.items():
            edges = self._cut.window_edges(self._lengths[contig])
            of_windows.append(majority_of(own, np.diff(edges)) if self._cut.per_base else own)
            has.append(features.has(contig, edges))
            classes.append(features.classes(contig, edges))
        flat = np.concatenate(of_windows)
        table = enrichment_table(flat, np.concatenate(has), cluster_names=names, feature_names=features.names)
        return table, mutual_information(flat, np.concatenate(classes))

    def _unit_classes(self, features: Features) -> NDArray[np.int64]:
        return np.concatenate([features.classes(contig, edges) for contig, edges in self._edges.items()])

    def _map_points(self, drawn: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        if len(drawn) <= MAP_POINTS:
            return np.arange(len(drawn))
        return np.sort(np.random.default_rng(seed).choice(len(drawn), MAP_POINTS, replace=False))

    def _table(self, labels: Mapping[str, NDArray[np.int64]], n_clusters: int) -> pa.Table:
        composition = Composition()
        for contig, own in labels.items():
            composition.add(self._genome, contig, cluster_intervals(contig, self._edges[contig], own))
        flat = np.concatenate(list(labels.values()))
        rows = [*range(n_clusters), *(label for label in (NOISE, UNKNOWN) if (flat == label).any())]
        return pa.table(
            {
                "cluster": [cluster_name(label) for label in rows],
                "colour": [",".join(map(str, colour_of(label))) for label in rows],
                "n_units": [int((flat == label).sum()) for label in rows],
                **composition.columns(cluster_name(label) for label in rows),
            }
        )

    def _settings(self) -> dict[str, Any]:
        """Return what a vector depends on, beside the model."""
        return {
            "genome": file_identity(self._genome.path),
            "window": self._cut.window_bp,
            "step": self._cut.step_bp,
            "per_base": self._cut.per_base,
            "pooling": self._embedder.pooling,
            "layers": list(self._embedder.layers),
            "strand": self._embedder.strand,
            "batch": self._embedder.max_tokens,
            "bf16": self._embedder.bf16,
            "dnafm": __version__,
        }
