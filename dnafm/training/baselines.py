"""What a model has to beat: logistic regression on one-hot bases or on k-mer counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnafm.data import LabelledSequences
from dnafm.training.metrics import classification_metrics

Features = NDArray[np.float32]

BASES = "ACGT"
# Inverse strengths of the L2 penalty that are tried; scikit-learn's default is 1.
INVERSE_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)


def one_hot_features(sequences: Sequence[str]) -> Features:
    """Encode each base as four indicators.

    Args:
        sequences: Upper-case sequences of one length. What is not A, C, G or T is four zeros.

    Returns:
        (n, 4 * length); position by position, A, C, G, T.
    """
    lengths = {len(sequence) for sequence in sequences}
    if len(lengths) != 1:
        raise ValueError(f"One-hot features need sequences of one length; these have {sorted(lengths)} nt.")
    characters = np.array([list(sequence) for sequence in sequences])
    indicators = characters[:, :, None] == np.array(list(BASES))
    return indicators.reshape(len(sequences), -1).astype(np.float32)


def kmer_features(sequences: Sequence[str], *, k: int = 4) -> Features:
    """Count the k-mers of each sequence; a k-mer with another letter than A, C, G, T is not counted.

    Returns:
        (n, 4**k), columns in alphabetical order of the k-mers.
    """
    if k < 1:
        raise ValueError(f"k is {k}; a k-mer has at least one base.")
    counts = np.zeros((len(sequences), len(BASES) ** k), dtype=np.float32)
    for row, sequence in enumerate(sequences):
        digits = [BASES.find(base) for base in sequence]
        for start in range(len(digits) - k + 1):
            kmer = digits[start : start + k]
            if min(kmer) >= 0:
                counts[row, sum(digit * len(BASES) ** (k - 1 - i) for i, digit in enumerate(kmer))] += 1
    return counts


@dataclass(frozen=True)
class LogisticRegressionBaseline:
    """A fitted classifier; `inverse_penalty` is the strength that the validation split chose."""

    classifier: Any
    featurize: Callable[[Sequence[str]], Features]
    inverse_penalty: float

    def predict(self, sequences: Sequence[str]) -> NDArray[np.int64]:
        """Return the most probable class id of each sequence, (n,)."""
        return self.classifier.predict(self.featurize(sequences))

    def evaluate(self, table: LabelledSequences, *, label_names: Sequence[str]) -> dict[str, float]:
        """Return the metrics of `classification_metrics` on labelled sequences."""
        return classification_metrics(table.labels, self.predict(table.sequences), label_names=label_names)


def fit_logistic_regression(
    train: LabelledSequences,
    validation: LabelledSequences,
    *,
    featurize: Callable[[Sequence[str]], Features] = one_hot_features,
) -> LogisticRegressionBaseline:
    """Fit on the training split, with the L2 penalty that is most accurate on the validation split.

    Args:
        train: What the weights are fitted on.
        validation: What chooses among `INVERSE_PENALTIES`; of equals, the strongest penalty wins.
        featurize: `one_hot_features`, `kmer_features` or any other function of the sequences.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    train_features, validation_features = featurize(train.sequences), featurize(validation.sequences)
    best_score, best = -1.0, None
    for inverse_penalty in INVERSE_PENALTIES:
        classifier = _logistic_regression(inverse_penalty).fit(train_features, train.labels)
        score = classifier.score(validation_features, validation.labels)
        if score > best_score:
            best_score, best = score, LogisticRegressionBaseline(classifier, featurize, inverse_penalty)
    assert best is not None
    return best


def _logistic_regression(inverse_penalty: float) -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError("The baseline needs scikit-learn: pip install 'dnafm[train]'") from error
    return LogisticRegression(C=inverse_penalty, max_iter=2000)
