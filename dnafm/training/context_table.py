"""The baseline of masked-base prediction: a table of what stands between the bases on either side.

The chance of a base given its n neighbours on each side is interpolated with that given n - 1 of them, and so on down
to the composition (Jelinek and Mercer, 1980, with the counts of Witten and Bell's kind of weight):
p_n(base) = (count_n(base) + weight * p_(n-1)(base)) / (count_n + weight).
"""

from collections.abc import Iterable, Iterator

import numpy as np

from dnafm.data import GenomeWindows
from dnafm.tokenization_dnafm import VOCABULARY

_N_BASES = 4
_UNKNOWN = 4
_CHUNK_BP = 1 << 22
_INDEX_OF_ID = np.full(len(VOCABULARY), _UNKNOWN, np.int64)
_INDEX_OF_ID[[VOCABULARY.index(base) for base in "ACGT"]] = range(_N_BASES)


class ContextTable:
    """Predicts a base from the `flank` bases before and after it, all of them known.

    Args:
        flank: bases on each side, 0 to 6; the table has 4 to the power 2 x flank + 1 entries.
        weight: of the shorter context, in observations.

    Raises:
        ValueError: the flank or the weight is out of its range.
    """

    def __init__(self, flank: int = 5, *, weight: float = 8.0):
        if not 0 <= flank <= 6:
            raise ValueError(f"flank is {flank}; it must lie in 0 to 6.")
        if not weight > 0:
            raise ValueError(f"weight is {weight}; it must be greater than 0, or contexts never seen have no chances.")
        self.flank, self.weight = flank, weight
        self._counts = [np.zeros((4 ** (2 * n), _N_BASES)) for n in range(flank + 1)]

    def fit(self, sequences: Iterable[np.ndarray]) -> "ContextTable":
        """Count the bases of sequences of token ids, (bases,); unknown ones end a context."""
        for sequence in sequences:
            # Each length of context has borders of its own, or bases beside them would be counted twice.
            for n, counts in enumerate(self._counts):
                for bases in _chunks(sequence, n):
                    contexts, centres = _contexts(bases, n)
                    # Not bincount, which goes through the whole table for every window.
                    np.add.at(counts.reshape(-1), contexts * _N_BASES + centres, 1.0)
        return self

    def evaluate(self, sequences: Iterable[np.ndarray]) -> dict[str, float]:
        """Return `nats_per_base` and `accuracy` over the bases whose whole context is known.

        Raises:
            ValueError: there is no such base.
        """
        probabilities = self.probabilities()
        nats, n_right, n_bases = 0.0, 0, 0
        for sequence in sequences:
            for bases in _chunks(sequence, self.flank):
                contexts, centres = _contexts(bases, self.flank)
                nats -= float(np.log(probabilities[contexts, centres]).sum())
                n_right += int((probabilities[contexts].argmax(axis=1) == centres).sum())
                n_bases += len(centres)
        if not n_bases:
            raise ValueError(f"No base has {self.flank} known ones on each side. Give longer sequences.")
        return {"nats_per_base": nats / n_bases, "accuracy": n_right / n_bases}

    def probabilities(self) -> np.ndarray:
        """Return the chance of A, C, G and T in each context, (contexts, 4); the first base is the first digit."""
        chances = np.full((1, _N_BASES), 1 / _N_BASES)
        for n, counts in enumerate(self._counts):
            shorter = chances if n == 0 else _widened(chances)
            chances = (counts + self.weight * shorter) / (counts.sum(axis=1, keepdims=True) + self.weight)
        return chances


def window_sequences(windows: GenomeWindows) -> Iterator[np.ndarray]:
    """Return the token ids of each window, without special tokens."""
    for i in range(len(windows)):
        item = windows[i]["input_ids"]
        yield item[1 : len(item) - (windows.suffix is not None)]


def _widened(chances: np.ndarray) -> np.ndarray:
    """Repeat the chances of each context for all contexts with one more base on each side."""
    return np.broadcast_to(chances[None, :, None], (_N_BASES, len(chances), _N_BASES, _N_BASES)).reshape(-1, _N_BASES)


def _chunks(sequence: np.ndarray, flank: int) -> Iterator[np.ndarray]:
    """Return a sequence as base indices, in pieces that overlap by what a context needs."""
    for start in range(0, len(sequence) - 2 * flank, _CHUNK_BP):
        yield _INDEX_OF_ID[sequence[start : start + _CHUNK_BP + 2 * flank]]


def _contexts(bases: np.ndarray, flank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the contexts, and the bases in them."""
    n = max(0, len(bases) - 2 * flank)
    is_known = np.ones(n, bool)
    contexts = np.zeros(n, np.int64)
    for offset in range(2 * flank + 1):
        there = bases[offset : offset + n]
        is_known &= there != _UNKNOWN
        if offset != flank:
            contexts = contexts * _N_BASES + there
    return contexts[is_known], bases[flank : flank + n][is_known]
