"""Genes, their transcripts, and the exons and coding parts of these."""

from dataclasses import dataclass, field

from dnafm.genomics.gff import Attributes
from dnafm.genomics.intervals import Interval


@dataclass(frozen=True)
class Transcript:
    """A transcript.

    Attributes:
        id: its ID or transcript_id.
        gene_id: of its gene.
        feature: type, such as `mRNA`; `transcript` where no row says so.
        interval: from its first base to its last.
        exons: sorted by start, disjoint; the coding parts where the file has no exons.
        coding: sorted by start, with the stop codon.
        phases: of the coding parts in the same order: bases at their 5' end that belong to the codon before; None
            where the file does not say.
        attributes: of its row.
    """

    id: str
    gene_id: str
    feature: str
    interval: Interval
    exons: tuple[Interval, ...]
    coding: tuple[Interval, ...] = ()
    phases: tuple[int | None, ...] = ()
    attributes: Attributes = field(default_factory=dict)

    @property
    def introns(self) -> tuple[Interval, ...]:
        """What lies between the exons, sorted by start."""
        return tuple(
            self._part(left.end_bp, right.start_bp) for left, right in zip(self.exons, self.exons[1:], strict=False)
        )

    @property
    def five_prime_utr(self) -> tuple[Interval, ...]:
        """Exons before the start codon, sorted by start; empty without a coding part."""
        return self._untranslated(before=self.interval.strand != "-")

    @property
    def three_prime_utr(self) -> tuple[Interval, ...]:
        """Exons behind the stop codon, sorted by start; empty without a coding part."""
        return self._untranslated(before=self.interval.strand == "-")

    def _untranslated(self, *, before: bool) -> tuple[Interval, ...]:
        if not self.coding:
            return ()
        first_bp, last_bp = self.coding[0].start_bp, max(part.end_bp for part in self.coding)
        edges = [
            (exon.start_bp, min(exon.end_bp, first_bp)) if before else (max(exon.start_bp, last_bp), exon.end_bp)
            for exon in self.exons
        ]
        return tuple(self._part(start_bp, end_bp) for start_bp, end_bp in edges if start_bp < end_bp)

    def _part(self, start_bp: int, end_bp: int) -> Interval:
        return Interval(self.interval.contig, start_bp, end_bp, self.interval.strand, self.id)


@dataclass(frozen=True)
class Gene:
    """A gene.

    Attributes:
        id: its ID or gene_id.
        interval: that of its row, or from the first base of its transcripts to their last; its name is the gene's, or
            its id.
        transcripts: in the order of the file.
        attributes: of its row.
    """

    id: str
    interval: Interval
    transcripts: tuple[Transcript, ...]
    attributes: Attributes = field(default_factory=dict)
