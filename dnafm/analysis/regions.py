"""What a model is asked about base by base: bases, where they are, and the bases around them that it may see."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from dnafm.genomics import Interval, ReferenceGenome
from dnafm.tokenization_dnafm import DNAFMTokenizer

# Of a window, where the context of the model allows it.
WINDOW_BP = 1024


@dataclass(frozen=True)
class Region:
    """Neighbouring bases on the + strand.

    Attributes:
        id: name.
        contig: name of the sequence that they are from.
        start_bp: of the first one in the contig, from 0.
        n_bases: how many there are.
        context: the bases with those around them, as many as a window needs or the contig has.
        offset: of the first one in the context.
    """

    id: str
    contig: str
    start_bp: int
    n_bases: int
    context: str
    offset: int = 0

    @property
    def sequence(self) -> str:
        """The bases themselves."""
        return self.context[self.offset : self.offset + self.n_bases]

    def alone(self) -> "Region":
        """Return them without the bases around them."""
        return replace(self, context=self.sequence, offset=0)

    def window_start(self, first: int, last: int, *, window_bp: int) -> int:
        """Return where the window around bases `first` to `last` of the context begins, itself in the context.

        It is centred as `Interval.centred_window` does it, and shifted at the ends of the context rather than cut.
        """
        start = (first + last + 1 - window_bp) // 2
        return max(0, min(start, len(self.context) - window_bp))


@dataclass(frozen=True)
class Window:
    """What the model reads at once, and the places in it that are asked about."""

    bases: str
    positions: range


def windows_of_bases(region: Region, *, window_bp: int) -> Iterator[Window]:
    """Yield a window centred on each base, or the whole context once where it fits into a window."""
    if len(region.context) <= window_bp:
        yield Window(region.context, range(region.offset, region.offset + region.n_bases))
        return
    for place in range(region.offset, region.offset + region.n_bases):
        start = region.window_start(place, place, window_bp=window_bp)
        yield Window(region.context[start : start + window_bp], range(place - start, place - start + 1))


def tiled_windows(region: Region, *, window_bp: int) -> Iterator[Window]:
    """Yield windows centred on tiles of half their length, or the whole context once where it fits into a window.

    So a base has a quarter of the window on either side of it at least, but for the ends of the contig.
    """
    if len(region.context) <= window_bp:
        yield Window(region.context, range(region.offset, region.offset + region.n_bases))
        return
    end = region.offset + region.n_bases
    tile_bp = max(1, window_bp // 2)
    for first in range(region.offset, end, tile_bp):
        last = min(first + tile_bp, end) - 1
        start = region.window_start(first, last, window_bp=window_bp)
        yield Window(region.context[start : start + window_bp], range(first - start, last + 1 - start))


def checked_window_bp(window_bp: int | None, tokenizer: DNAFMTokenizer) -> int:
    """Return the bases of a window: by default 1,024, or as many as the model reads.

    Raises:
        ValueError: the window holds no base or more than the model reads.
    """
    longest = longest_window_bp(tokenizer)
    if window_bp is None:
        return min(WINDOW_BP, longest)
    if not 1 <= window_bp <= longest:
        raise ValueError(f"window_bp is {window_bp}; the model reads 1 to {longest} bases.")
    return window_bp


def longest_window_bp(tokenizer: DNAFMTokenizer) -> int:
    """Return how many bases the model reads at once."""
    return tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()


def sequence_region(sequence: str, *, id: str = "sequence") -> Region:
    """Return a sequence as a region of its own."""
    return Region(id, id, 0, len(sequence), _dna(sequence))


def record_regions(genome: ReferenceGenome) -> Iterator[Region]:
    """Yield each record of a FASTA file as a whole."""
    for name, n_bases in genome.contig_lengths.items():
        yield Region(name, name, 0, n_bases, _dna(genome.fetch_bases(name, 0, n_bases)))


def interval_regions(genome: ReferenceGenome, intervals: Iterable[Interval], *, window_bp: int) -> Iterator[Region]:
    """Yield intervals of a genome along its + strand, whatever their own, with the bases that windows need.

    The id is the interval's name, or its region in the text of browsers.

    Raises:
        ValueError: an interval is not in the genome.
    """
    for interval in intervals:
        contig = genome.resolve(interval.contig)
        start_bp = max(0, interval.start_bp - window_bp)
        end_bp = min(genome.contig_lengths[contig], interval.end_bp + window_bp)
        # Where the interval itself passes the end, fetching fails and says so.
        context = _dna(genome.fetch_bases(contig, start_bp, max(end_bp, interval.end_bp)))
        name = interval.name or interval.to_region()
        yield Region(name, contig, interval.start_bp, len(interval), context, interval.start_bp - start_bp)


def _dna(bases: str) -> str:
    return bases.upper().replace("U", "T")
