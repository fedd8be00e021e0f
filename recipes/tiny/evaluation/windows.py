"""Labelled windows of a genome: splice sites and their decoys, coding, intergenic and upstream sequence.

A window is read 5' to 3' on its strand. Windows that reach over the end of a sequence or hold an N are left out, and a
window that two gene models share counts once.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnafm.data import encode_fasta
from dnafm.data.fasta import SOFT_MASK_BIT
from dnafm.tokenization_dnafm import VOCABULARY
from evaluation.annotations import GeneModel, Interval

FLANK_BP = 40
WINDOW_BP = 200
DECOYS_PER_SITE = 2

# The dinucleotide of a site as it reads on the + strand, by (kind, is_reverse), and where the exon-intron boundary
# lies from its start.
_MOTIFS = {
    ("donor", False): ("GT", 0),
    ("donor", True): ("AC", 2),
    ("acceptor", False): ("AG", 2),
    ("acceptor", True): ("CT", 0),
}
_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")

Genome = dict[str, str]


@dataclass(frozen=True)
class Window:
    """A labelled stretch of one strand; several intervals, ascending on the + strand, are joined."""

    chromosome: str
    intervals: tuple[Interval, ...]
    is_reverse: bool
    label: int

    @property
    def name(self) -> str:
        """`chromosome:first-last(strand)`, 1-based and inclusive as in GFF."""
        parts = ",".join(f"{start_bp + 1}-{end_bp}" for start_bp, end_bp in self.intervals)
        return f"{self.chromosome}:{parts}({'-' if self.is_reverse else '+'})"


def reverse_complement(sequence: str) -> str:
    """Return the other strand, 5' to 3'; letters are A, C, G, T and N."""
    return sequence.translate(_COMPLEMENT)[::-1]


def read_genome(path: Path) -> Genome:
    """Read a FASTA file as upper-case strings by name; see `dnafm.data.encode_fasta` for what is an error."""
    codes = bytearray()
    records = encode_fasta(path, codes.extend)
    letters = bytearray(256)
    for base in "ACGTN":
        code = VOCABULARY.index(base)
        letters[code] = letters[code | SOFT_MASK_BIT] = ord(base)
    text = codes.translate(letters).decode("ascii")
    return {record.name: text[record.offset : record.offset + record.length_bp] for record in records}


def window_sequence(window: Window, genome: Genome) -> str | None:
    """Return a window's bases, or `None` where it leaves its sequence or holds an N."""
    chromosome = genome[window.chromosome]
    if window.intervals[0][0] < 0 or window.intervals[-1][1] > len(chromosome):
        return None
    sequence = "".join(chromosome[start_bp:end_bp] for start_bp, end_bp in window.intervals)
    if "N" in sequence:
        return None
    return reverse_complement(sequence) if window.is_reverse else sequence


def splice_site_windows(models: Sequence[GeneModel], genome: Genome, *, kind: str, seed: int = 0) -> list[Window]:
    """Annotated sites (label 1) with GT or AG, and decoys (label 0), `FLANK_BP` on both sides of the boundary.

    A decoy is a GT or AG of a gene model that has introns, on its strand, that is no site of any model. For each site
    of the model, `DECOYS_PER_SITE` are drawn, or as many as there are.

    Args:
        models: All gene models of the genome.
        genome: Its sequences.
        kind: `"donor"` or `"acceptor"`.
        seed: Of the decoys.
    """
    sites = {(model.chromosome, model.is_reverse, boundary) for model in models for boundary in _sites(model, kind)}
    generator = np.random.default_rng(seed)
    windows: dict[Window, None] = {}
    for model in models:
        motifs = list(_motif_boundaries(model, genome[model.chromosome], kind))
        in_motif = set(motifs)
        decoys = [b for b in motifs if (model.chromosome, model.is_reverse, b) not in sites]
        n_decoys = min(DECOYS_PER_SITE * len(model.introns), len(decoys))
        drawn = generator.choice(decoys, n_decoys, replace=False) if n_decoys else ()
        for label, boundaries in ((1, [b for b in _sites(model, kind) if b in in_motif]), (0, drawn)):
            windows.update(dict.fromkeys(_around(model, int(boundary), label) for boundary in boundaries))
    return list(windows)


def coding_windows(models: Sequence[GeneModel]) -> list[Window]:
    """Spliced coding sequence of each model (label 1) cut from its 5' end in windows of `WINDOW_BP`."""
    windows: dict[Window, None] = {}
    for model in models:
        length = sum(end_bp - start_bp for start_bp, end_bp in model.coding)
        for start in range(0, length - WINDOW_BP + 1, WINDOW_BP):
            end = start + WINDOW_BP
            first, last = (length - end, length - start) if model.is_reverse else (start, end)
            window = Window(model.chromosome, _joined(model.coding, first, last), model.is_reverse, 1)
            windows[window] = None
    return list(windows)


def upstream_windows(models: Sequence[GeneModel]) -> list[Window]:
    """The `WINDOW_BP` before each annotated start codon (label 1), where they touch no gene model on either strand.

    A model whose 5' untranslated region is annotated has none: its upstream sequence is its own exon.
    """
    covered = _merged_spans(models)
    windows = {
        _upstream_window(model): None
        for model in models
        if model.start_codon and not _touches(_upstream_window(model).intervals[0], covered[model.chromosome])
    }
    return list(windows)


def intergenic_windows(
    models: Sequence[GeneModel], genome: Genome, *, keep_off: Iterable[Window] = (), seed: int = 0
) -> list[Window]:
    """What lies between all gene models (label 0), cut in windows of `WINDOW_BP`, each on a strand drawn at random.

    Args:
        models: All gene models of the genome; from the first exon to the last they are genic, introns included.
        genome: Its sequences.
        keep_off: Windows to keep clear of as well.
        seed: Of the strands.
    """
    covered = _merged_spans(models, also=keep_off)
    generator = np.random.default_rng(seed)
    windows = []
    for chromosome, sequence in genome.items():
        for gap_start, gap_end in _gaps(covered[chromosome], len(sequence)):
            for start_bp in range(gap_start, gap_end - WINDOW_BP + 1, WINDOW_BP):
                is_reverse = bool(generator.integers(2))
                windows.append(Window(chromosome, ((start_bp, start_bp + WINDOW_BP),), is_reverse, 0))
    return windows


def start_windows(models: Sequence[GeneModel]) -> list[Window]:
    """The `WINDOW_BP` before every annotated start codon, whatever they touch."""
    return [_upstream_window(model) for model in models if model.start_codon]


def _sites(model: GeneModel, kind: str) -> list[int]:
    """Boundaries between exon and intron, as the number of + strand bases before them."""
    takes_start = (kind == "donor") != model.is_reverse
    return [intron[0] if takes_start else intron[1] for intron in model.introns]


def _motif_boundaries(model: GeneModel, chromosome: str, kind: str) -> Iterator[int]:
    motif, shift = _MOTIFS[kind, model.is_reverse]
    start_bp, end_bp = model.span
    return (start_bp + found.start() + shift for found in re.finditer(motif, chromosome[start_bp:end_bp]))


def _around(model: GeneModel, boundary: int, label: int) -> Window:
    return Window(model.chromosome, ((boundary - FLANK_BP, boundary + FLANK_BP),), model.is_reverse, label)


def _joined(intervals: Sequence[Interval], first: int, last: int) -> tuple[Interval, ...]:
    """Cut the bases first to last (half-open) out of intervals that are joined."""
    parts, offset = [], 0
    for start_bp, end_bp in intervals:
        length = end_bp - start_bp
        start, end = max(first - offset, 0), min(last - offset, length)
        if start < end:
            parts.append((start_bp + start, start_bp + end))
        offset += length
    return tuple(parts)


def _upstream_window(model: GeneModel) -> Window:
    assert model.start_codon is not None
    start_bp, end_bp = model.start_codon
    interval = (end_bp, end_bp + WINDOW_BP) if model.is_reverse else (start_bp - WINDOW_BP, start_bp)
    return Window(model.chromosome, (interval,), model.is_reverse, 1)


def _merged_spans(models: Iterable[GeneModel], *, also: Iterable[Window] = ()) -> dict[str, list[Interval]]:
    """Ascending, disjoint intervals of each chromosome that the models and windows cover; empty for others."""
    spans = defaultdict(list)
    for model in models:
        spans[model.chromosome].append(model.span)
    for window in also:
        spans[window.chromosome].extend(window.intervals)
    merged: dict[str, list[Interval]] = defaultdict(list)
    for chromosome, intervals in spans.items():
        for start_bp, end_bp in sorted(intervals):
            if merged[chromosome] and start_bp <= merged[chromosome][-1][1]:
                start_bp, known_end_bp = merged[chromosome].pop()
                end_bp = max(end_bp, known_end_bp)
            merged[chromosome].append((start_bp, end_bp))
    return merged


def _touches(interval: Interval, merged: Sequence[Interval]) -> bool:
    ends = np.array([end_bp for _, end_bp in merged])
    candidate = int(np.searchsorted(ends, interval[0], side="right"))
    return candidate < len(merged) and merged[candidate][0] < interval[1]


def _gaps(merged: Sequence[Interval], length: int) -> Iterator[Interval]:
    starts = [0, *(end_bp for _, end_bp in merged)]
    ends = [*(start_bp for start_bp, _ in merged), length]
    return zip(starts, ends, strict=True)
