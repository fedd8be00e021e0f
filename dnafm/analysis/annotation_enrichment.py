"""How clusters of windows go together with the features of an annotation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class MutualInformation:
    """What the cluster of a window tells about its class in an annotation.

    Attributes:
        nats: mutual information.
        adjusted: the same, 0 on average for clusters at random and 1 for equal partitions (Vinh et al. 2010, JMLR 11;
            the mean of the two entropies is the scale); NaN where all windows have one cluster or one class, which
            tells nothing.
    """

    nats: float
    adjusted: float


def enrichment_table(
    labels: NDArray[np.int64],
    has_feature: NDArray[np.bool_],
    *,
    cluster_names: Sequence[str],
    feature_names: Sequence[str],
) -> pa.Table:
    """Return how often the windows of each cluster have each feature, against all windows.

    The p-value is that of Fisher's exact test for more than expected, the upper tail of the hypergeometric
    distribution; adjusted, by Benjamini and Hochberg (1995), it bounds the false discovery rate over the whole table.
    The unit is the window. Neighbouring windows are not independent, a gene being longer than one, so that p-values
    are too small; they rank, and are no measure of certainty.

    Args:
        labels: (windows,) number of the cluster; windows of negative ones are left out.
        has_feature: (windows, features).
        cluster_names: by number.
        feature_names: by column.

    Returns:
        `cluster`, `feature`, `n_both`, `n_cluster`, `n_feature`, `n_windows`, `fold` (share of the cluster's windows
        with the feature over that of all windows), `odds_ratio`, `p_value` and `adjusted_p_value`; a row for each
        cluster and feature. Without a window that has the feature, the fold is NaN.
    """
    from scipy import stats  # type: ignore[import-untyped]

    counted = labels >= 0
    labels, has_feature = labels[counted], has_feature[counted]
    n_clusters, n_features, n_windows = len(cluster_names), len(feature_names), len(labels)
    both = np.stack([has_feature[labels == cluster].sum(axis=0) for cluster in range(n_clusters)]).ravel()
    in_cluster = np.repeat(np.bincount(labels, minlength=n_clusters), n_features)
    with_feature = np.tile(has_feature.sum(axis=0), n_clusters)
    p_values = np.minimum(stats.hypergeom.sf(both - 1, n_windows, with_feature, in_cluster), 1.0)
    others = (in_cluster - both, with_feature - both, n_windows - in_cluster - with_feature + both)
    with np.errstate(divide="ignore", invalid="ignore"):
        fold = (both / in_cluster) / (with_feature / n_windows)
        odds_ratio = (both * others[2]) / (others[0] * others[1])
    return pa.table(
        {
            "cluster": np.repeat(list(cluster_names), n_features).tolist(),
            "feature": list(feature_names) * n_clusters,
            "n_both": both,
            "n_cluster": in_cluster,
            "n_feature": with_feature,
            "n_windows": [n_windows] * len(both),
            "fold": fold,
            "odds_ratio": odds_ratio,
            "p_value": p_values,
            "adjusted_p_value": stats.false_discovery_control(p_values, method="bh"),
        }
    )


def mutual_information(labels: NDArray[np.int64], classes: NDArray[np.int64]) -> MutualInformation:
    """Return what clusters tell about classes, by scikit-learn.

    Args:
        labels: (windows,) number of the cluster; windows of negative ones are left out.
        classes: (windows,) of the annotation.

    Raises:
        ImportError: scikit-learn is missing.
    """
    try:
        from sklearn import metrics
    except ImportError as error:
        raise ImportError("Mutual information needs scikit-learn: pip install 'dnafm[train]'") from error
    counted = labels >= 0
    labels, classes = labels[counted], classes[counted]
    if len(np.unique(labels)) < 2 or len(np.unique(classes)) < 2:
        return MutualInformation(0.0, math.nan)
    # A hair below 0 where there is none.
    nats = max(0.0, float(metrics.mutual_info_score(classes, labels)))
    return MutualInformation(nats, float(metrics.adjusted_mutual_info_score(classes, labels)))


def majority_of(labels: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the most frequent label of each of consecutive groups; of equally frequent ones the smallest.

    Args:
        labels: (units,).
        lengths: (groups,) units of each, at least 1.
    """
    starts = np.append(0, np.cumsum(lengths)[:-1])
    found = np.unique(labels)
    counts = np.stack([np.add.reduceat((labels == label).astype(np.int64), starts) for label in found])
    return found[counts.argmax(axis=0)]
