"""Scores of variants: formulas, signs, and the texts that explain them in files.

Probabilities are over A, C, G and T, given as natural logarithms. Scored bases are the base of an SNV; of other
variants, the changed bases and a flank on both sides, as many bases in both windows: `AllelePair.scored`.
"""

from collections.abc import Sequence

import numpy as np

from dnafm.genomics.sequences import BASES

# Name: formula and sign.
BASE_SCORES = {
    "masked_llr": (
        "Log-likelihood ratio of the alternative and the reference allele, in nats; below 0 the model expects the "
        "reference allele. SNV: log p(alternative) - log p(reference) with the base masked. Other variants: sum of "
        "log p over the scored bases of the alternative window, each masked alone, minus that of the reference "
        "window; scored are the changed bases and the flank on both sides, as many bases in both windows"
    ),
    "unmasked_llr": (
        "As masked_llr, with nothing masked. SNV: both probabilities at that base of the reference window. Other "
        "variants: each window's own bases"
    ),
    "entropy": (
        "Entropy in bits of the masked distribution at the scored bases of the reference window, their mean; 0 where "
        "the model is certain, 2 where all bases are equally likely"
    ),
    "jsd": (
        "Jensen-Shannon divergence in bits between what the model predicts for the reference and the alternative "
        "window with nothing masked, mean over the bases that both windows have; 0 where they agree, at most 1"
    ),
}
EMBEDDING_SCORES = {
    "l1": "sum of absolute differences; 0 where they are equal",
    "l2": "Euclidean distance; 0 where they are equal",
    "cosine": "1 - cosine; 0 where they point the same way, at most 2",
}
SCORES = (*BASE_SCORES, *EMBEDDING_SCORES)
# Those for which the model sees whole windows, and those for which it sees the alternative window of an SNV, too.
NEEDS_MASKED = frozenset({"masked_llr", "entropy"})
NEEDS_WINDOWS = frozenset(SCORES) - NEEDS_MASKED
NEEDS_ALTERNATIVE = NEEDS_WINDOWS - {"unmasked_llr"}


def describe_score(name: str, layer: int | None = None) -> str:
    """Return the formula and sign of a score, for the header of a file or a help text."""
    if name in BASE_SCORES:
        return BASE_SCORES[name]
    place = "chosen layers" if layer is None else f"layer {layer}"
    return (
        f"Distance between the mean embeddings, over bases, of the reference and the alternative window at {place} "
        f"(0: the input of the first): {EMBEDDING_SCORES[name]}"
    )


def log_likelihood(log_probabilities: np.ndarray, bases: str) -> float:
    """Return the sum of the log-probabilities of bases, in nats.

    Args:
        log_probabilities: (bases, 4).
        bases: A, C, G and T.
    """
    columns = [BASES.index(base) for base in bases]
    return float(log_probabilities[np.arange(len(bases)), columns].sum(dtype=np.float64))


def snv_log_likelihood_ratio(log_probabilities: np.ndarray, reference: str, alternative: str) -> float:
    """Return log p(alternative) - log p(reference) of (4,) log-probabilities, in nats."""
    return float(log_probabilities[BASES.index(alternative)]) - float(log_probabilities[BASES.index(reference)])


def entropy_bits(log_probabilities: np.ndarray) -> np.ndarray:
    """Return -sum p log2 p, 0 to 2 bits, of (..., 4) natural log-probabilities."""
    exact = log_probabilities.astype(np.float64)
    return -_plogq(np.exp(exact), exact).sum(axis=-1) / np.log(2)


def jensen_shannon_bits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the divergence, 0 to 1 bit, of two (..., 4) arrays of natural log-probabilities.

    The entropy of the mean of two distributions minus the mean of their entropies; Lin 1991, "Divergence measures
    based on the Shannon entropy".
    """
    mean = np.logaddexp(first.astype(np.float64), second.astype(np.float64)) - np.log(2)
    divergence = entropy_bits(mean) - (entropy_bits(first) + entropy_bits(second)) / 2
    # Rounding leaves -1e-17 for equal ones.
    return np.maximum(divergence, 0.0)


def embedding_distance(name: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return l1, l2 or cosine between vectors.

    Args:
        name: one of `EMBEDDING_SCORES`.
        first: (..., hidden).
        second: as the first.

    Returns:
        (...), float64.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    if name == "l1":
        return np.abs(first - second).sum(axis=-1)
    if name == "l2":
        return np.linalg.norm(first - second, axis=-1)
    if name == "cosine":
        lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
        return np.maximum(1 - (first * second).sum(axis=-1) / lengths, 0.0)
    raise ValueError(f"{name!r} is no distance; it must be one of {', '.join(EMBEDDING_SCORES)}.")


def check_scores(names: Sequence[str]) -> None:
    """Raise a ValueError where a name is no score, or comes twice, or there is none."""
    if unknown := [name for name in names if name not in SCORES]:
        raise ValueError(f"{unknown[0]!r} is no score; the scores are {', '.join(SCORES)}.")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"The scores are {list(names)}; name at least one, and each once.")


def _plogq(probabilities: np.ndarray, logarithms: np.ndarray) -> np.ndarray:
    # 0 log 0 is 0.
    return probabilities * np.where(probabilities > 0, logarithms, 0.0)
