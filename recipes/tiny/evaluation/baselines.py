"""Metrics of a task, and logistic regression on bases, k-mers or the context of a base."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnafm.training.baselines import BASES, fit_logistic_regression, kmer_features, one_hot_features
from dnafm.training.metrics import classification_metrics
from evaluation.examples import Examples, Splits
from evaluation.tasks import Task

Array = NDArray[np.float32]
# From sequences to one (length, features) array each.
BaseFeatures = Callable[[Sequence[str]], Iterator[Array]]

# Bases that a classifier of bases is fitted and chosen on, drawn evenly from all windows.
N_FIT_BASES, N_VALIDATION_BASES = 10_000, 5_000
ONE_HOT_RADIUS_BP, KMER_RADIUS_BP, K, N_PHASES = 20, 60, 3, 3

_FEATURIZERS = {"one-hot": one_hot_features, "4-mer": kmer_features}


def measure(labels: NDArray[np.int64], scores: NDArray, label_names: Sequence[str]) -> dict[str, float]:
    """Compute the metrics of `classification_metrics` and, of two classes, `auroc`.

    Args:
        labels: (n,) class ids.
        scores: (n, classes) logits or decision values; the highest is the prediction.
        label_names: In the order of the class ids.
    """
    from sklearn.metrics import roc_auc_score

    metrics = classification_metrics(labels, scores.argmax(axis=-1), label_names=label_names)
    if len(label_names) == 2:
        metrics["auroc"] = float(roc_auc_score(labels, scores[:, 1] - scores[:, 0]))
    return metrics


def run_baseline(task: Task, examples: Splits, *, seed: int) -> dict[str, float]:
    """Fit the task's baseline, with the penalty that validation chooses, and measure it on the test split."""
    if task.is_per_base:
        scores = fit_per_base(examples, context_features, seed=seed)
    else:
        scores = fit_per_sequence(examples, _FEATURIZERS[task.baseline])
    return measure(examples.test.flat_labels(), scores, task.label_names)


def fit_per_sequence(examples: Splits, featurize: Callable[[Sequence[str]], Array]) -> NDArray:
    """Fit on one row of features per sequence and return the scores of the test split, (n, classes)."""
    fitted = fit_logistic_regression(examples.train, examples.validation, featurize=featurize)
    return _scores(fitted.classifier, featurize(examples.test.sequences))


def fit_per_base(examples: Splits, base_features: BaseFeatures, *, seed: int) -> NDArray:
    """Fit on drawn bases of the training split and return the scores of all test bases, (bases, classes)."""
    train = _drawn_bases(examples.train, base_features, n_bases=N_FIT_BASES, seed=seed)
    validation = _drawn_bases(examples.validation, base_features, n_bases=N_VALIDATION_BASES, seed=0)
    fitted = fit_logistic_regression(train, validation, featurize=np.asarray)
    return np.concatenate([_scores(fitted.classifier, rows) for rows in base_features(examples.test.sequences)])


def context_features(sequences: Sequence[str]) -> Iterator[Array]:
    """Describe each base by what is around it.

    The bases within `ONE_HOT_RADIUS_BP` as indicators, and the 3-mers within `KMER_RADIUS_BP`, counted apart by their
    distance from the base modulo three, so that a reading frame shows. Beyond the ends of a sequence all is zero.

    Yields:
        (length, 41 * 4 + 3 * 64) for each sequence.
    """
    for sequence in sequences:
        padded = "N" * ONE_HOT_RADIUS_BP + sequence + "N" * ONE_HOT_RADIUS_BP
        indicators = one_hot_features([padded]).reshape(len(padded), len(BASES))
        windows = np.lib.stride_tricks.sliding_window_view(indicators, 2 * ONE_HOT_RADIUS_BP + 1, axis=0)
        one_hot = windows.transpose(0, 2, 1).reshape(len(sequence), -1)
        yield np.concatenate([one_hot, _phased_kmer_counts(sequence)], axis=1)


def _phased_kmer_counts(sequence: str) -> Array:
    n_kmers = len(BASES) ** K
    padded = "N" * KMER_RADIUS_BP + sequence + "N" * (KMER_RADIUS_BP + K - 1)
    digits = np.array([BASES.find(base) for base in padded])
    starts = np.lib.stride_tricks.sliding_window_view(digits, K)
    kmers = np.where((starts >= 0).all(axis=1), starts @ len(BASES) ** np.arange(K)[::-1], n_kmers)
    around = np.lib.stride_tricks.sliding_window_view(kmers, 2 * KMER_RADIUS_BP + 1)
    phase = (np.arange(2 * KMER_RADIUS_BP + 1) - KMER_RADIUS_BP) % N_PHASES
    # One more column in each phase takes the k-mers with another letter, and is dropped.
    width = N_PHASES * (n_kmers + 1)
    cells = around + phase * (n_kmers + 1) + np.arange(len(sequence))[:, None] * width
    counts = np.bincount(cells.ravel(), minlength=len(sequence) * width).reshape(len(sequence), N_PHASES, n_kmers + 1)
    return counts[:, :, :n_kmers].reshape(len(sequence), -1).astype(np.float32)


def _drawn_bases(examples: Examples, base_features: BaseFeatures, *, n_bases: int, seed: int) -> Examples:
    """Draw about n bases, each as likely as any other, as examples whose sequences are their features already."""
    generator = np.random.default_rng(seed)
    share = n_bases / sum(map(len, examples.sequences))
    features, labels = [], []
    for rows, base_labels in zip(base_features(examples.sequences), examples.labels, strict=True):
        is_drawn = generator.random(len(base_labels)) < share
        features.append(rows[is_drawn])
        labels.append(base_labels[is_drawn])
    return Examples((), np.concatenate(features), np.concatenate(labels))


def _scores(classifier: Any, features: Array) -> NDArray:
    decisions = classifier.decision_function(features)
    return np.stack([-decisions, decisions], axis=1) if decisions.ndim == 1 else decisions
