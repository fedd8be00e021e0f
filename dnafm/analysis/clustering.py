"""Clusters of vectors along a genome: standardised, reduced, clustered, numbered by size and smoothed."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

ClusterMethod = Literal["kmeans", "hdbscan"]
METHODS = ("kmeans", "hdbscan")
# Instead of a cluster's number: what HDBSCAN leaves out, and what has too few known bases.
NOISE, UNKNOWN = -1, -2
# Vectors from which clusters are learnt.
SAMPLES = {"kmeans": 100_000, "hdbscan": 20_000}
N_COMPONENTS = 16
_BATCH = 4096


@dataclass(frozen=True)
class Clustering:
    """How vectors become clusters.

    Vectors are standardised, each number by mean and deviation, reduced to their principal components, and clustered
    by mini-batch k-means (Sculley 2010, doi:10.1145/1772690.1772862) or HDBSCAN (Campello et al. 2013,
    doi:10.1007/978-3-642-37456-2_14), all by scikit-learn. All is learnt from a random sample; other vectors then get
    the nearest centre of k-means, or the cluster of the nearest vector of the sample, be it that of noise.

    Attributes:
        method: `"kmeans"` or `"hdbscan"`.
        n_clusters: of k-means.
        min_cluster_size: of HDBSCAN: vectors of the sample that make a cluster.
        n_components: principal components; by default 16, or as many as there are.
        sample: most vectors to learn from; by default 100,000, for HDBSCAN 20,000.
        smooth: units of the majority filter of `majority_filtered`; 1 for none.
        seed: of the sample and of k-means.

    Raises:
        ValueError: a number is out of its range, or there is no such method.
    """

    method: ClusterMethod = "kmeans"
    n_clusters: int = 8
    min_cluster_size: int = 50
    n_components: int | None = None
    sample: int | None = None
    smooth: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; it must be one of {', '.join(METHODS)}.")
        for name, least in (("n_clusters", 1), ("min_cluster_size", 2), ("n_components", 1), ("sample", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}.")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be at least 0.")
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise ValueError(f"smooth is {self.smooth}; it must be an odd number: a unit and as many on either side.")

    def drawn(self, n_vectors: int) -> NDArray[np.int64]:
        """Return the sorted places of the vectors to learn from."""
        most = self.sample or SAMPLES[self.method]
        if n_vectors <= most:
            return np.arange(n_vectors)
        return np.sort(np.random.default_rng(self.seed).choice(n_vectors, most, replace=False))

    def check_fits(self, n_vectors: int, width: int) -> None:
        """Check that so many vectors of so many numbers can be clustered.

        Raises:
            ValueError: there are fewer vectors, or fewer numbers in them, than clusters or components.
        """
        drawn = min(n_vectors, self.sample or SAMPLES[self.method])
        most = min(drawn, width)
        if self.n_components is not None and self.n_components > most:
            raise ValueError(
                f"n_components is {self.n_components}; {drawn:,} vectors of {width} numbers have at most {most} "
                "components."
            )
        name = "n_clusters" if self.method == "kmeans" else "min_cluster_size"
        if drawn < (needed := getattr(self, name)):
            raise ValueError(f"{name} is {needed}, and clusters are learnt from {drawn:,} units. Choose fewer.")

    def fit(self, vectors: NDArray) -> "FittedClusters":
        """Learn clusters from vectors, (vectors, width).

        Raises:
            ValueError: see `check_fits`.
            ImportError: scikit-learn is missing.
        """
        self.check_fits(*vectors.shape)
        decomposition, preprocessing = _sklearn("decomposition"), _sklearn("preprocessing")
        n_components = self.n_components or min(N_COMPONENTS, *vectors.shape)
        scaler = preprocessing.StandardScaler()
        reduction = decomposition.PCA(n_components, random_state=self.seed)
        places = reduction.fit_transform(scaler.fit_transform(vectors))
        return FittedClusters(scaler, reduction, self._assigner(places))

    def _assigner(self, places: NDArray) -> Any:
        """Return what has `predict`, by scikit-learn."""
        if self.method == "kmeans":
            model = _sklearn("cluster").MiniBatchKMeans(
                self.n_clusters, batch_size=_BATCH, n_init=10, random_state=self.seed
            )
            return model.fit(places)
        labels = _sklearn("cluster").HDBSCAN(min_cluster_size=self.min_cluster_size, copy=True).fit_predict(places)
        return _sklearn("neighbors").KNeighborsClassifier(1).fit(places, labels)


@dataclass(frozen=True)
class FittedClusters:
    """Learnt clusters; the parts are scikit-learn's."""

    scaler: Any
    reduction: Any
    assigner: Any

    def places(self, vectors: NDArray) -> NDArray:
        """Return (vectors, components)."""
        return self.reduction.transform(self.scaler.transform(vectors))

    def labels(self, places: NDArray) -> NDArray[np.int64]:
        """Return (vectors,) clusters as they were found, in any order, or `NOISE`."""
        return self.assigner.predict(places).astype(np.int64)


def numbered_by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return labels whose numbers are those of clusters from the largest, 0, on; of equal ones the first comes first.

    Negative ones stay. Numbers without a unit are closed up.
    """
    found, first, counts = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    numbers = np.empty(len(found), np.int64)
    numbers[order] = np.arange(len(found))
    numbered = labels.copy()
    numbered[labels >= 0] = numbers[np.searchsorted(found, labels[labels >= 0])]
    return numbered


def majority_filtered(labels: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Return the most frequent label of the `width` neighbours around each unit of a contig, itself included.

    Where several are as frequent, a unit keeps its own if it is one of them, else it gets the smallest. At the ends
    there are fewer neighbours. Unknown units stay, and have no vote; noise has one, and comes last.

    Args:
        labels: (units,) of one contig, in its order.
        width: odd.
    """
    if width == 1 or len(labels) == 0:
        return labels
    half = width // 2
    places = np.arange(len(labels))
    starts, ends = np.maximum(places - half, 0), np.minimum(places + half + 1, len(labels))
    most, own = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
    winner = labels.copy()
    for label in [*np.unique(labels[labels >= 0]).tolist(), NOISE]:
        is_label = labels == label
        sums = np.append(0, np.cumsum(is_label))
        votes = sums[ends] - sums[starts]
        own[is_label] = votes[is_label]
        winner[votes > most] = label
        most = np.maximum(most, votes)
    return np.where((labels == UNKNOWN) | (own == most), labels, winner)


def _sklearn(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"sklearn.{name}")
    except ImportError as error:
        raise ImportError("Clusters need scikit-learn: pip install 'dnafm[train]'") from error
