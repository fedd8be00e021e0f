"""In-silico mutagenesis: what every single substitution of a sequence changes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from dnafm.analysis.base_predictions import BasePredictor, MaskedRequest
from dnafm.analysis.regions import Region, Window, checked_window_bp, tiled_windows, windows_of_bases
from dnafm.analysis.score_formulas import entropy_bits
from dnafm.data.batching import look_ahead_batches, restore_order
from dnafm.genomics.sequences import BASES

_LOOK_AHEAD = 1024
LOG_LIKELIHOOD_RATIO = "log-likelihood ratio (nats)"

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Mutagenesis:
    """What the substitutions of a region change.

    Attributes:
        region: what was asked about.
        effects: (bases, 4) float32, of a substitution by A, C, G and T; 0 for the base that is there, NaN where that
            is none of the four, such as N.
        effect_name: what they are, and their unit.
        log_probabilities: (bases, 4) float32 natural logarithms, of A, C, G and T; None where the effects are those
            of another output.
    """

    region: Region
    effects: np.ndarray
    effect_name: str = LOG_LIKELIHOOD_RATIO
    log_probabilities: np.ndarray | None = None

    @property
    def entropy_bits(self) -> np.ndarray | None:
        """(bases,) float32 entropy of the predicted bases, 0 to 2 bits; None without log-probabilities."""
        if self.log_probabilities is None:
            return None
        return entropy_bits(self.log_probabilities).astype(np.float32)


def mutate(
    predictor: BasePredictor,
    regions: Iterable[Region],
    *,
    masked: bool = True,
    window_bp: int | None = None,
    on_progress: Progress | None = None,
) -> Iterator[Mutagenesis]:
    """Yield the log-likelihood ratios of all substitutions of each region: log p(alternative) - log p(reference).

    Masked, each base is hidden alone and read in a window centred on it, one forward pass for each base and strand:
    the masked marginals of Meier et al. 2021, "Language models enable zero-shot prediction of the effects of
    mutations on protein function". Unmasked, the model sees all bases, and one pass serves all bases of a window;
    long regions are cut into tiles of half a window, with a quarter on either side. At the ends of the contig windows
    are shifted, and a contig that is no longer than a window is read as a whole.

    Args:
        predictor: the model, and the strand that it reads.
        regions: in any number.
        masked: whether bases are hidden.
        window_bp: bases of a window; by default 1,024, or as many as the model reads.
        on_progress: called with the number of bases that were done since the last time.

    Raises:
        ValueError: the window holds no base or more than the model reads.
    """
    size_bp = checked_window_bp(window_bp, predictor.tokenizer)
    windows_of = windows_of_bases if masked else tiled_windows
    waiting: deque[Region] = deque()

    def windows() -> Iterator[Window]:
        for region in regions:
            waiting.append(region)
            yield from windows_of(region, window_bp=size_bp)

    parts: list[np.ndarray] = []
    n_done = 0
    for part in _log_probabilities(predictor, windows(), masked=masked):
        parts.append(part)
        n_done += len(part)
        if on_progress is not None:
            on_progress(len(part))
        if n_done == waiting[0].n_bases:
            yield _from_log_probabilities(waiting.popleft(), np.concatenate(parts))
            parts, n_done = [], 0


def mutate_scored(
    score: Callable[[list[str]], np.ndarray],
    regions: Iterable[Region],
    *,
    effect_name: str,
    window_bp: int | None = None,
    max_tokens: int = 16_384,
    on_progress: Progress | None = None,
) -> Iterator[Mutagenesis]:
    """Yield the change of a score by all substitutions of each region: score(mutated) - score(reference).

    Each different sequence is scored once: three for each base, and one for the reference.

    Args:
        score: of sequences, (sequences,): the output of a fine-tuned model, for instance.
        regions: in any number.
        effect_name: what is changed, and its unit.
        window_bp: bases of the window around each base that is scored, one more sequence for each base; by default
            regions are scored as a whole, without the bases around them.
        max_tokens: most bases that are scored at once; a longer sequence is scored alone.
        on_progress: called with the number of bases that were done since the last time.
    """
    waiting: deque[Region] = deque()

    def windows_of(region: Region) -> Iterator[Window]:
        if window_bp is None:
            return windows_of_bases(region.alone(), window_bp=region.n_bases)
        return windows_of_bases(region, window_bp=window_bp)

    def sequences() -> Iterator[str]:
        for region in regions:
            waiting.append(region)
            for window in windows_of(region):
                yield window.bases
                yield from (_substituted(window.bases, place, base) for place, base in _substitutions(window))

    scores = _in_order(score, sequences(), max_tokens)
    for first in scores:
        region = waiting.popleft()
        effects = _changes(windows_of(region), chain([first], scores), on_progress)
        yield Mutagenesis(region, effects, effect_name)


def reference_indices(sequence: str) -> np.ndarray:
    """Return (bases,) places of bases in `BASES`, -1 for what is none of them."""
    return np.array([BASES.find(base) for base in sequence])


def _log_probabilities(predictor: BasePredictor, windows: Iterator[Window], *, masked: bool) -> Iterator[np.ndarray]:
    """Yield (positions, 4) of each window."""
    if masked:
        yield from predictor.masked(MaskedRequest(window.bases, window.positions) for window in windows)
        return
    positions: deque[range] = deque()

    def whole() -> Iterator[str]:
        for window in windows:
            positions.append(window.positions)
            yield window.bases

    for rows in predictor.unmasked(whole()):
        own = positions.popleft()
        yield rows[own.start : own.stop]


def _from_log_probabilities(region: Region, log_probabilities: np.ndarray) -> Mutagenesis:
    indices = reference_indices(region.sequence)
    of_reference = np.take_along_axis(log_probabilities, np.maximum(indices, 0)[:, None], axis=1)
    effects = log_probabilities - of_reference
    effects[indices < 0] = np.nan
    return Mutagenesis(region, effects, log_probabilities=log_probabilities)


def _substitutions(window: Window) -> Iterator[tuple[int, str]]:
    for place in window.positions:
        if (reference := window.bases[place]) in BASES:
            yield from ((place, base) for base in BASES if base != reference)


def _substituted(bases: str, place: int, base: str) -> str:
    return bases[:place] + base + bases[place + 1 :]


def _in_order(
    score: Callable[[list[str]], np.ndarray], sequences: Iterator[str], max_tokens: int
) -> Iterator[np.floating]:
    def length_of(sequence: str) -> int:
        return min(len(sequence), max_tokens)

    batches = look_ahead_batches(sequences, length_of=length_of, max_tokens=max_tokens, n_look_ahead=_LOOK_AHEAD)
    return restore_order((batch.positions, score(batch.rows)) for batch in batches)


def _changes(windows: Iterator[Window], scores: Iterator[np.floating], on_progress: Progress | None) -> np.ndarray:
    """Return (bases, 4) from the scores of each window: that of the reference, and those of its substitutions."""
    parts = []
    for window in windows:
        reference = next(scores)
        effects = np.full((len(window.positions), len(BASES)), np.nan, np.float32)
        for row, place in enumerate(window.positions):
            if window.bases[place] in BASES:
                effects[row, BASES.index(window.bases[place])] = 0
        for place, base in _substitutions(window):
            effects[place - window.positions.start, BASES.index(base)] = next(scores) - reference
        parts.append(effects)
        if on_progress is not None:
            on_progress(len(effects))
    return np.concatenate(parts)
