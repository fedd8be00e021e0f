"""The windows of genomes that are mined: where genomes are cut, and which windows hold too few known bases."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dnafm.analysis.embedding_sources import FastaSource, NamedSequence
from dnafm.analysis.identities import file_identity
from dnafm.genomics import reverse_complement
from dnafm.genomics.sequences import BASES

MinedStrand = Literal["forward", "both"]
MINED_STRANDS = ("forward", "both")
# A window with a larger share of unknown bases is skipped.
MAX_UNKNOWN = 0.5


@dataclass(frozen=True, slots=True)
class GenomeWindow:
    """A window of a genome.

    Attributes:
        contig: its name.
        start_bp: of the first base, from 0.
        end_bp: behind the last base.
        strand: `+` or `-`.
        bases: read along the strand.
    """

    contig: str
    start_bp: int
    end_bp: int
    strand: str
    bases: str


@dataclass(frozen=True)
class WindowCut:
    """How sequences are cut into windows.

    A window starts every `step_bp` bases, and the last one is shifted so that it ends with its contig. A contig that
    is shorter than a window is one window. More than half of the bases of a window are known.

    Attributes:
        window_bp: bases of a window.
        step_bp: bases from one start to the next.
        strand: `"both"` for a window on each strand, `+` first.

    Raises:
        ValueError: a number is out of its range, or the strand is neither.
    """

    window_bp: int
    step_bp: int
    strand: MinedStrand = "forward"

    def __post_init__(self) -> None:
        if self.window_bp < 1:
            raise ValueError(f"window_bp is {self.window_bp}; a window has at least 1 base.")
        if not 1 <= self.step_bp <= self.window_bp:
            raise ValueError(
                f"step_bp is {self.step_bp}; it must be 1 to {self.window_bp}, the bases of a window, or some would "
                "be in none."
            )
        if self.strand not in MINED_STRANDS:
            raise ValueError(f"strand is {self.strand!r}; it must be one of {', '.join(MINED_STRANDS)}.")

    @property
    def strands(self) -> str:
        """The strands of which there is a window at each place."""
        return "+-" if self.strand == "both" else "+"

    def spans(self, n_bases: int) -> Iterator[tuple[int, int]]:
        """Yield start and end of the windows of a sequence, in its order."""
        last_start_bp = max(0, n_bases - self.window_bp)
        for start_bp in range(0, last_start_bp, self.step_bp):
            yield start_bp, start_bp + self.window_bp
        yield last_start_bp, n_bases

    def windows(self, record: NamedSequence) -> Iterator[GenomeWindow]:
        """Yield the windows of a contig."""
        for start_bp, bases in self.known_places(record.sequence.upper()):
            for strand in self.strands:
                along = bases if strand == "+" else reverse_complement(bases)
                yield GenomeWindow(record.id, start_bp, start_bp + len(bases), strand, along)

    def known_places(self, sequence: str) -> Iterator[tuple[int, str]]:
        """Yield start and bases of each window of a sequence in upper case, but for those of unknown bases."""
        for start_bp, end_bp in self.spans(len(sequence)):
            bases = sequence[start_bp:end_bp]
            if is_known(bases):
                yield start_bp, bases

    def n_places(self, n_bases: int) -> int:
        """Return how many windows a sequence has, those with unknown bases included, each strand counted once."""
        return 1 + -(-max(0, n_bases - self.window_bp) // self.step_bp)


def is_known(bases: str) -> bool:
    """Return whether at most half of the bases are unknown; they are in upper case."""
    n_known = sum(map(bases.count, BASES)) + bases.count("U")
    return n_known >= (1 - MAX_UNKNOWN) * len(bases)


@dataclass(frozen=True)
class GenomeSurvey:
    """A genome that was read once, and what is in it.

    Attributes:
        path: of the FASTA file, plain or compressed with gzip or bgzip.
        checksum: of the names and bases of its contigs, whatever their case and the compression of the file.
        contig_lengths: bases by name, in the order of the file.
        n_windows: of all contigs, on each strand that is cut.
        n_skipped: places that have no window, because more than half of their bases are unknown.
        identity: of the file.
    """

    path: str
    checksum: str
    contig_lengths: Mapping[str, int]
    n_windows: int
    n_skipped: int
    identity: Mapping[str, Any]

    def windows(self, cut: WindowCut) -> Iterator[GenomeWindow]:
        """Yield the windows; one contig is in memory at a time.

        Raises:
            ValueError: the file has changed.
        """
        self._check_unchanged()
        for record in FastaSource(self.path):
            yield from cut.windows(record)
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        if file_identity(self.path) != self.identity:
            raise ValueError(f"{self.path} has changed since it was read. Run again when it is whole.")


def survey_genome(
    path: str | os.PathLike, cut: WindowCut, *, on_progress: Callable[[int], object] = lambda n_bases: None
) -> GenomeSurvey:
    """Read a genome, check it, and count its windows.

    Args:
        path: a FASTA file, plain or compressed with gzip or bgzip.
        cut: how it is cut.
        on_progress: is told how many bases more are read.

    Raises:
        ValueError: it is no FASTA of DNA, a contig has the name of another one, or no window has known bases.
        OSError: there is no such file.
    """
    name, digest = os.fspath(path), hashlib.sha256()
    identity = file_identity(name)
    contig_lengths: dict[str, int] = {}
    n_known = n_places = 0
    for record in FastaSource(name):
        if record.id in contig_lengths:
            raise ValueError(f"{record.place}: a second contig {record.id!r}. Names of contigs must be unique.")
        contig_lengths[record.id] = len(record.sequence)
        sequence = record.sequence.upper()
        digest.update(f">{record.id}\n{sequence}\n".encode())
        n_known += sum(1 for _ in cut.known_places(sequence))
        n_places += cut.n_places(len(sequence))
        on_progress(len(record.sequence))
    if not n_known:
        raise ValueError(f"{name}: more than half of the bases of each window are unknown, so there is none to mine.")
    n_windows = n_known * len(cut.strands)
    return GenomeSurvey(name, digest.hexdigest(), contig_lengths, n_windows, n_places - n_known, identity)
