"""The windows of tracks: in which pieces a genome is read, and which bases are hidden in which pass over a window."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from dnafm.analysis.embedding_tiles import Tile, tiles
from dnafm.analysis.mutagenesis import reference_indices
from dnafm.genomics import Interval, ReferenceGenome, merge_intervals
from dnafm.genomics.intervals import check_within

# Passes over a window, each of which hides every eighth base of its middle half.
STRIDE = 8
# Bases that are read independently of all others.
CHUNK_BP = 100_000

Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrackPiece:
    """Neighbouring windows of a contig, and which bases in them are asked about; all places are those in the contig.

    Attributes:
        contig: name, as in the genome.
        start_bp: of the first of `bases`.
        bases: upper case, those of all windows.
        tiles: the windows, and the bases that each is to say something about.
        starts_bp: (ranges,) first bases of the ranges that are asked about, sorted and disjoint.
        ends_bp: (ranges,) the bases behind them.
    """

    contig: str
    start_bp: int
    bases: str
    tiles: Sequence[Tile]
    starts_bp: Places
    ends_bp: Places

    @property
    def n_bases(self) -> int:
        """How many are asked about."""
        return int((self.ends_bp - self.starts_bp).sum())

    @cached_property
    def reference(self) -> NDArray[np.int64]:
        """(bases,) places of all bases in A, C, G and T, -1 for others."""
        return reference_indices(self.bases)

    def is_asked(self, places: Places) -> NDArray[np.bool_]:
        """Return whether each place is in one of the ranges."""
        return np.searchsorted(self.starts_bp, places, "right") > np.searchsorted(self.ends_bp, places, "right")


@dataclass(frozen=True, eq=False)
class TrackRead:
    """One pass over a window; all places are those in the contig.

    Attributes:
        start_bp: of the window.
        bases: of the window, as the genome has them.
        masked: (masked,) places that are hidden.
        asked: (asked,) places whose prediction is taken.
    """

    start_bp: int
    bases: str
    masked: Places
    asked: Places


def track_chunks(
    genome: ReferenceGenome, intervals: Iterable[Interval] | None, *, window_bp: int, chunk_bp: int = CHUNK_BP
) -> Iterator[list[TrackPiece]]:
    """Yield what is read independently of all else: pieces whose windows are about those of `chunk_bp` bases.

    Raises:
        ValueError: an interval is not in the genome.
    """
    most_windows = max(1, chunk_bp // window_bp * 2)
    chunk: list[TrackPiece] = []
    n_windows = 0
    for contig, (starts_bp, ends_bp) in asked_ranges(genome, intervals).items():
        for piece in _pieces(genome, contig, starts_bp, ends_bp, window_bp=window_bp, most_windows=most_windows):
            if n_windows + len(piece.tiles) > most_windows:
                yield chunk
                chunk, n_windows = [], 0
            chunk.append(piece)
            n_windows += len(piece.tiles)
    if chunk:
        yield chunk


def asked_ranges(
    genome: ReferenceGenome, intervals: Iterable[Interval] | None
) -> Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return sorted, disjoint starts and ends (bp) by contig, in the order of the genome; by default all of it.

    Raises:
        ValueError: an interval is not in the genome.
    """
    lengths = genome.contig_lengths
    if intervals is None:
        return {contig: (np.array([0]), np.array([n_bases])) for contig, n_bases in lengths.items() if n_bases}
    ranges: dict[str, list[tuple[int, int]]] = {}
    named = (Interval(genome.resolve(each.contig), each.start_bp, each.end_bp) for each in intervals)
    for merged in merge_intervals(named):
        check_within(merged, lengths)
        ranges.setdefault(merged.contig, []).append((merged.start_bp, merged.end_bp))
    found = {contig: np.array(ranges[contig], np.int64).T for contig in lengths if contig in ranges}
    return {contig: (starts_bp, ends_bp) for contig, (starts_bp, ends_bp) in found.items()}


def track_reads(piece: TrackPiece, *, masked: bool = True, stride: int = STRIDE) -> Iterator[TrackRead]:
    """Yield the passes over the windows of a piece; see `track_bases`.

    Raises:
        ValueError: the stride is less than 2.
    """
    check_stride(stride)
    for tile in piece.tiles:
        places = np.arange(tile.kept_start_bp, tile.kept_end_bp)
        places = places[piece.reference[places - piece.start_bp] >= 0]
        bases = piece.bases[tile.start_bp - piece.start_bp : tile.end_bp - piece.start_bp]
        for hidden in (places[places % stride == k] for k in range(stride)) if masked else [places]:
            asked = hidden[piece.is_asked(hidden)]
            if len(asked):
                yield TrackRead(tile.start_bp, bases, hidden if masked else hidden[:0], asked)


def check_stride(stride: int) -> None:
    """Raise a ValueError where a pass would hide neighbouring bases."""
    if stride < 2:
        raise ValueError(f"stride is {stride}; it must be at least 2, or a pass would hide all bases side by side.")


def _pieces(
    genome: ReferenceGenome, contig: str, starts_bp: Places, ends_bp: Places, *, window_bp: int, most_windows: int
) -> Iterator[TrackPiece]:
    windows = tiles(genome.contig_lengths[contig], window_bp=window_bp, overlap_bp=window_bp // 2)
    while some := list(islice(windows, most_windows)):
        first_bp, last_bp = some[0].kept_start_bp, some[-1].kept_end_bp
        inside = slice(np.searchsorted(ends_bp, first_bp, "right"), np.searchsorted(starts_bp, last_bp, "left"))
        starts, ends = (np.clip(edges[inside], first_bp, last_bp) for edges in (starts_bp, ends_bp))
        own = [
            tile
            for tile in some
            if np.searchsorted(starts, tile.kept_end_bp, "left") > np.searchsorted(ends, tile.kept_start_bp, "right")
        ]
        if own:
            bases = genome.fetch_bases(contig, own[0].start_bp, own[-1].end_bp).replace("U", "T")
            yield TrackPiece(contig, own[0].start_bp, bases, own, starts, ends)
