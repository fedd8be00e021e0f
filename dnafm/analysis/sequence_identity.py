"""How alike a sequence is to others, without gaps."""

from collections.abc import Iterable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# Comparisons of bases that are in memory at once.
_AT_ONCE = 1 << 24


class KnownSequences:
    """Sequences that others are compared with.

    The identity of two sequences is the highest share of equal bases over all places of the shorter one in the
    longer one, without gaps, on the strand that is given; of two that are equally long it is the share of equal
    bases. N and other ambiguity codes are equal to nothing.

    Args:
        sequences: in upper case.

    Raises:
        ValueError: there is none, or one is empty.
    """

    def __init__(self, sequences: Iterable[str]):
        by_length: dict[int, list[str]] = {}
        for number, sequence in enumerate(dict.fromkeys(sequences), start=1):
            if not sequence:
                raise ValueError(f"Sequence {number} to compare with is empty; it must have at least one base.")
            by_length.setdefault(len(sequence), []).append(sequence)
        if not by_length:
            raise ValueError("There is no sequence to compare with; give at least one.")
        self._arrays = [np.stack([_codes(each) for each in same]) for same in by_length.values()]

    def highest_identity(self, sequence: str) -> float:
        """Return the identity to the nearest one, 0 to 1; bases that are not known (`?`) are equal to nothing."""
        own = _codes(sequence)
        own = np.where(np.isin(own, _codes("ACGT")), own, 0)
        return max(_highest(own, others) for others in self._arrays)


def _highest(own: np.ndarray, others: np.ndarray) -> float:
    n_shorter = min(len(own), others.shape[1])
    if len(own) == others.shape[1]:
        return float((others == own).mean(axis=1).max())
    highest = 0
    for other in others:
        shorter, longer = (own, other) if len(own) < len(other) else (other, own)
        windows = sliding_window_view(longer, n_shorter)
        step = max(1, _AT_ONCE // n_shorter)
        for start in range(0, len(windows), step):
            highest = max(highest, int((windows[start : start + step] == shorter).sum(axis=1).max()))
    return highest / n_shorter


def _codes(sequence: str) -> np.ndarray:
    return np.frombuffer(sequence.encode("ascii"), np.uint8)
