"""Numbers of each base along a genome: how uncertain a masked language model is of it, and how likely it finds it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.masked_places import MaskedWindow, masked_log_probabilities
from dnafm.analysis.regions import checked_window_bp
from dnafm.analysis.score_formulas import entropy_bits
from dnafm.analysis.track_windows import STRIDE, TrackPiece, TrackRead, track_chunks, track_reads
from dnafm.data.batching import look_ahead_batches
from dnafm.genomics import Interval, ReferenceGenome

# Passes that are read ahead and sorted by length.
_LOOK_AHEAD = 1024


@dataclass(frozen=True, eq=False)
class TrackPart:
    """Numbers of neighbouring bases, NaN where the base is none of A, C, G and T.

    Attributes:
        contig: name, as in the genome.
        start_bp: of the first, from 0.
        entropy_bits: (bases,) float32 entropy of the predicted base, 0 to 2 bits.
        log_probability: (bases,) float32 natural logarithm of the probability of the base that is there.
    """

    contig: str
    start_bp: int
    entropy_bits: np.ndarray
    log_probability: np.ndarray


def track_bases(
    predictor: BasePredictor,
    genome: ReferenceGenome,
    intervals: Iterable[Interval] | None = None,
    *,
    masked: bool = True,
    stride: int = STRIDE,
    window_bp: int | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Iterator[TrackPart]:
    """Yield the entropy of each base, and the log-probability of the one that is there, along a genome.

    Contigs are tiled with windows that overlap by half and are shifted at the ends; each base is read where it lies
    deepest, so with a quarter of the window on either side at least, but for the ends of the contig. Masked, a window
    is read `stride` times, and each pass hides every `stride`-th base of those that it is asked about: each base is
    hidden once, with 1 / (2 `stride`) of the window. That is an estimate of the masked marginals of `mutate`, which
    hides each base alone, at `stride` passes for half a window in place of one for each base. Unmasked, a window is
    read once.

    Windows and masks are counted from the start of the contig, so that a number does not depend on what else is asked
    about. Memory is that of about `CHUNK_BP` bases.

    Args:
        predictor: the model, and the strand that it reads.
        genome: of the intervals.
        intervals: in any order and on any strand; overlapping ones are merged. By default all contigs.
        masked: whether bases are hidden.
        stride: of hidden bases, at least 2.
        window_bp: bases of a window; by default 1,024, or as many as the model reads.
        on_progress: called with the number of bases that were done since the last time.

    Returns:
        Parts along the + strand, contigs in the order of the genome; none overlap. A base that is none of A, C, G and
        T, such as N, has neither number, and is not read where it has no other base beside it.

    Raises:
        ValueError: an interval is not in the genome, or the window or stride is out of its range.
    """
    size_bp = checked_window_bp(window_bp, predictor.tokenizer)
    for pieces in track_chunks(genome, intervals, window_bp=size_bp):
        yield from read_tracks(predictor, pieces, masked=masked, stride=stride, on_progress=on_progress)


def read_tracks(
    predictor: BasePredictor,
    pieces: Sequence[TrackPiece],
    *,
    masked: bool = True,
    stride: int = STRIDE,
    on_progress: Callable[[int], object] | None = None,
) -> list[TrackPart]:
    """Return the numbers of the bases that pieces ask about, in their order; see `track_bases`."""
    n_special = predictor.tokenizer.num_special_tokens_to_add()
    numbers = [np.full((2, len(piece.bases)), np.nan, np.float32) for piece in pieces]
    reads = (
        (index, read)
        for index, piece in enumerate(pieces)
        for read in track_reads(piece, masked=masked, stride=stride)
    )
    n_left = sum(piece.n_bases for piece in pieces)
    for batch in look_ahead_batches(
        reads,
        length_of=lambda row: min(len(row[1].bases) + n_special, predictor.max_tokens),
        max_tokens=predictor.max_tokens,
        n_look_ahead=_LOOK_AHEAD,
    ):
        log_probabilities = _log_probabilities(predictor, [read for _, read in batch.rows])
        for (index, read), rows in zip(batch.rows, log_probabilities, strict=True):
            places = read.asked - pieces[index].start_bp
            numbers[index][0, places] = entropy_bits(rows)
            numbers[index][1, places] = rows[np.arange(len(rows)), pieces[index].reference[places]]
            n_left -= len(places)
            if on_progress is not None:
                on_progress(len(places))
    if on_progress is not None:
        # Bases without a number.
        on_progress(n_left)
    return [part for piece, own in zip(pieces, numbers, strict=True) for part in _parts(piece, own)]


def _log_probabilities(predictor: BasePredictor, reads: Sequence[TrackRead]) -> list[NDArray[np.float64]]:
    """Return (asked, 4) of each read."""
    windows = []
    for read, ids in zip(reads, predictor.tokenizer([read.bases for read in reads])["input_ids"], strict=True):
        # Token i + 1 is base i.
        input_ids = np.array(ids, np.int64)
        input_ids[read.masked - read.start_bp + 1] = predictor.tokenizer.mask_token_id
        windows.append(MaskedWindow(input_ids, read.asked - read.start_bp + 1))
    return masked_log_probabilities(predictor, windows)


def _parts(piece: TrackPiece, numbers: np.ndarray) -> Iterator[TrackPart]:
    for start_bp, end_bp in zip(piece.starts_bp.tolist(), piece.ends_bp.tolist(), strict=True):
        entropy, log_probability = numbers[:, start_bp - piece.start_bp : end_bp - piece.start_bp]
        yield TrackPart(piece.contig, start_bp, entropy, log_probability)
