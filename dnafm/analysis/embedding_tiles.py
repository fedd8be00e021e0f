"""Windows of sequences that are longer than what a model reads at once."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """A window of a sequence, and the bases that are taken from it: 0-based, half-open.

    Attributes:
        start_bp: first base of the window.
        end_bp: the base after its last one.
        kept_start_bp: first base that is taken from it.
        kept_end_bp: the base after the last one that is.
    """

    start_bp: int
    end_bp: int
    kept_start_bp: int
    kept_end_bp: int


def tiles(n_bases: int, *, window_bp: int, overlap_bp: int) -> Iterator[Tile]:
    """Yield windows over a sequence, in its order; each of its bases is taken from one of them.

    A sequence that fits is one window. Else all windows have `window_bp` bases: each begins `window_bp - overlap_bp`
    bases after the one before, but for the last one, which ends with the sequence. A base is taken from the window in
    which it lies deepest, that is, farthest from the nearer end; of two equally deep ones, from the first.

    Args:
        n_bases: of the sequence, at least 1.
        window_bp: most bases of a window, at least 1.
        overlap_bp: bases that neighbours share, 0 to `window_bp - 1`; the last two can share more.
    """
    last_start_bp = max(0, n_bases - window_bp)
    kept_start_bp = 0
    for start_bp in range(0, last_start_bp, window_bp - overlap_bp):
        end_bp = start_bp + window_bp
        next_start_bp = min(end_bp - overlap_bp, last_start_bp)
        # Neighbours are equally deep at the middle of what they share.
        kept_end_bp = (next_start_bp + end_bp + 1) // 2
        yield Tile(start_bp, end_bp, kept_start_bp, kept_end_bp)
        kept_start_bp = kept_end_bp
    yield Tile(last_start_bp, n_bases, kept_start_bp, n_bases)
