"""What clusters of a genome are made of: their share of it, their GC content and their 3-periodicity."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dnafm.genomics import Interval, ReferenceGenome

# Of the pieces in which the period is looked for: 50 codons.
PIECE_BP = 150
_BASES = np.frombuffer(b"ACGT", np.uint8)


class Composition:
    """Counts over the intervals of each cluster, to which contigs are added one by one."""

    def __init__(self) -> None:
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._n_bases: dict[str, int] = {}
        self._n_intervals: dict[str, int] = {}
        self._periodicities: dict[str, list[NDArray[np.float64]]] = {}

    def add(self, genome: ReferenceGenome, contig: str, intervals: Iterable[Interval]) -> None:
        """Count the intervals of a contig, all bases of which are in memory; they go by their names."""
        n_bases = genome.contig_lengths[contig]
        letters = np.frombuffer(genome.fetch_bases(contig, 0, n_bases).replace("U", "T").encode(), np.uint8)
        for interval in intervals:
            name, own = str(interval.name), letters[interval.start_bp : interval.end_bp]
            counts = np.bincount(own, minlength=256)[_BASES]
            self._counts[name] = self._counts.get(name, np.zeros(4, np.int64)) + counts
            self._n_bases[name] = self._n_bases.get(name, 0) + len(own)
            self._n_intervals[name] = self._n_intervals.get(name, 0) + 1
            pieces = own[: len(own) // PIECE_BP * PIECE_BP].reshape(-1, PIECE_BP)
            self._periodicities.setdefault(name, []).append(periodicity_3(pieces))

    def columns(self, names: Iterable[str]) -> dict[str, list]:
        """Return columns with a value for each cluster.

        `n_intervals`; `n_bases`; `share` of all bases; `gc`, of those that are one of A, C, G and T; and
        `periodicity_3`, the mean over pieces of 150 bases of the intervals. The last two are NaN without any.
        """
        chosen, total = list(names), sum(self._n_bases.values())
        counts = [self._counts.get(name, np.zeros(4, np.int64)) for name in chosen]
        pieces = [np.concatenate([*self._periodicities.get(name, []), np.empty(0)]) for name in chosen]
        return {
            "n_intervals": [self._n_intervals.get(name, 0) for name in chosen],
            "n_bases": [self._n_bases.get(name, 0) for name in chosen],
            "share": [self._n_bases.get(name, 0) / total for name in chosen],
            "gc": [float(own[1:3].sum() / own.sum()) if own.sum() else float("nan") for own in counts],
            "periodicity_3": [_mean(values) for values in pieces],
        }


def periodicity_3(pieces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the power at period 3 over the mean power at all periods, which is 1 for bases at random.

    The power at a frequency is the sum over A, C, G and T of the squared discrete Fourier transform of the sequence
    that is 1 where the base is there and 0 elsewhere (Tiwari et al. 1997, doi:10.1093/bioinformatics/13.3.263); it
    peaks at period 3 in coding sequence, the more so the longer the piece. The mean is over all frequencies but 0, by
    Parseval's theorem.

    Args:
        pieces: (pieces, length), letters as bytes; the length is a multiple of 3.

    Returns:
        (pieces,); NaN where there is no power, as in a run of one base.
    """
    n_pieces, length = pieces.shape
    is_base = pieces[:, :, None] == _BASES
    # Bases by the place in the codon: (pieces, 3, 4).
    first, second, third = np.moveaxis(is_base.reshape(n_pieces, length // 3, 3, 4).sum(axis=1), 1, 0)
    power = first**2 + second**2 + third**2 - first * second - second * third - third * first
    n_each = first + second + third
    mean = (length * n_each - n_each**2).sum(axis=1) / (length - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(mean > 0, power.sum(axis=1) / mean, np.nan)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
