"""Nucleotide dependency maps: which base's prediction depends on which other base."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.mutagenesis import Progress, reference_indices
from dnafm.analysis.regions import Region, checked_window_bp, longest_window_bp
from dnafm.genomics.sequences import BASES

# Added to probabilities, so that odds are finite.
PSEUDOPROBABILITY = 1e-4


@dataclass(frozen=True)
class DependencyMap:
    """How much the prediction of each base depends on each other one.

    Attributes:
        region: what was asked about.
        dependencies: (bases, bases) float32, at least 0; row = base that is mutated, column = base whose prediction
            changes. 0 on the diagonal; the row of a base that is none of A, C, G and T is NaN.
        log_probabilities: (bases, 4) float32 natural logarithms, of A, C, G and T in the reference, unmasked.
    """

    region: Region
    dependencies: np.ndarray
    log_probabilities: np.ndarray


def dependency_maps(
    predictor: BasePredictor,
    regions: Iterable[Region],
    *,
    window_bp: int | None = None,
    on_progress: Progress | None = None,
) -> Iterator[DependencyMap]:
    """Yield the dependency map of each region.

    Row i, column j is the largest |log2(odds of c at j with i mutated / odds of c at j in the reference)| over the
    three substitutions at i and the four bases c. Probabilities are those of unmasked passes over A, C, G and T, plus
    1e-4 and normalised again. That is 3 passes for each base and one more, for each strand, in batches. Source: Tomaz
    da Silva et al. 2025, "Nucleotide dependency analysis of genomic language models detects functional elements".

    Args:
        predictor: the model, and the strand that it reads.
        regions: each no longer than the model reads. It sees the bases around a region as far as the window goes.
        window_bp: bases of the window, centred on the region and shifted at the ends of the contig; by default 1,024,
            or as many as the model reads. A longer region is a window by itself.
        on_progress: called with the number of bases that were mutated since the last time.

    Raises:
        ValueError: a region is longer than the model reads, or the window does not fit it.
    """
    size_bp = checked_window_bp(window_bp, predictor.tokenizer)
    longest = longest_window_bp(predictor.tokenizer)
    for region in regions:
        if region.n_bases > longest:
            raise ValueError(
                f"{region.id} has {region.n_bases} bases; the model reads {longest}. Ask about parts of it, as in a "
                "BED file."
            )
        yield _dependency_map(predictor, region, max(size_bp, region.n_bases), on_progress)


def _dependency_map(
    predictor: BasePredictor, region: Region, window_bp: int, on_progress: Progress | None
) -> DependencyMap:
    first, last = region.offset, region.offset + region.n_bases
    start = region.window_start(first, last - 1, window_bp=window_bp)
    window = region.context[start : start + window_bp]
    own = slice(first - start, last - start)
    passes = (rows[own] for rows in predictor.unmasked(_mutated(window, own)))
    log_probabilities = next(passes)
    reference = log2_odds(log_probabilities)
    dependencies = np.full((region.n_bases, region.n_bases), np.nan, np.float32)
    for row in np.flatnonzero(reference_indices(region.sequence) >= 0):
        changes = [np.abs(log2_odds(next(passes)) - reference).max(axis=1) for _ in range(len(BASES) - 1)]
        dependencies[row] = np.max(changes, axis=0)
        dependencies[row, row] = 0
        if on_progress is not None:
            on_progress(1)
    return DependencyMap(region, dependencies, log_probabilities)


def log2_odds(log_probabilities: np.ndarray) -> np.ndarray:
    """Return log2(p / (1 - p)) float64 of (bases, 4) natural logarithms, after 1e-4 is added to each probability."""
    probabilities = np.exp(log_probabilities.astype(np.float64)) + PSEUDOPROBABILITY
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return np.log2(probabilities) - np.log2(1 - probabilities)


def _mutated(window: str, own: slice) -> Iterator[str]:
    """Yield the reference, and the three substitutions of each base that is one of the four."""
    yield window
    for place in range(own.start, own.stop):
        if window[place] in BASES:
            yield from (window[:place] + base + window[place + 1 :] for base in BASES if base != window[place])
