"""Genes put together from the rows of GFF3 and GTF files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from dnafm.genomics.gene_models import Gene, Transcript
from dnafm.genomics.gff import Attributes, Dialect, GffRecord, dialect_of, read_gff
from dnafm.genomics.intervals import Interval, merge_intervals

_EXONS, _CODING, _STOP = ("exon",), ("CDS",), ("stop_codon",)


def read_gene_models(
    path: str | os.PathLike,
    *,
    dialect: Dialect | None = None,
    transcript_key: str = "transcript_id",
    gene_key: str = "gene_id",
) -> list[Gene]:
    """Return the genes of a GFF3 or GTF file that have exons or coding parts, in its order.

    In GFF3, `Parent` ties parts to transcripts, and these to genes. A transcript without a gene is its own, as are
    coding parts without a parent, and a coding part right under a gene is a transcript. In GTF the stop codon, which
    is no part of a CDS there, is added to the coding parts.

    Args:
        path: the file; see `read_gff`.
        dialect: by default as `dialect_of` says.
        transcript_key: attribute of GTF that ties rows to a transcript; `name` in files of the JGI.
        gene_key: attribute of GTF that ties rows to a gene; a row without it is of a gene named like its transcript.

    Raises:
        ValueError: names file and line, where a row is none, has no transcript or a parent that is not in the file,
            or is on another contig or strand than the rest of its transcript (trans-splicing is not modelled).
    """
    dialect = dialect_of(path) if dialect is None else dialect
    drafts = _Gff3Drafts() if dialect == "gff3" else _GtfDrafts(transcript_key=transcript_key, gene_key=gene_key)
    for record in read_gff(path, dialect=dialect):
        drafts.add(record)
    return drafts.genes()


@dataclass
class _Draft:
    """A transcript of which not all rows have been read."""

    id: str
    gene_id: str
    row: GffRecord | None = None
    first: Interval | None = None
    exons: list[Interval] = field(default_factory=list)
    coding: list[tuple[Interval, int | None]] = field(default_factory=list)
    stops: list[Interval] = field(default_factory=list)

    def add_part(self, record: GffRecord) -> None:
        new = record.interval
        self.first = self.first or new
        if (self.first.contig, self.first.strand) != (new.contig, new.strand):
            _fail(
                record.place,
                f"{new} is of {self.id!r}, which is on {self.first.contig} ({self.first.strand}). Remove it: "
                "trans-splicing is not modelled.",
            )
        if record.feature in _EXONS:
            self.exons.append(new)
        elif record.feature in _STOP:
            self.stops.append(new)
        else:
            self.coding.append((new, record.phase))

    def transcript(self) -> Transcript:
        coding = sorted(self._coding_with_stop(), key=lambda part: part[0].start_bp)
        intervals = [interval for interval, _ in coding]
        strand = (self.exons or intervals)[0].strand
        exons = [_on_strand(part, strand) for part in merge_intervals(self.exons or intervals)]
        whole = Interval(exons[0].contig, exons[0].start_bp, exons[-1].end_bp, strand, self.id)
        feature, attributes = ("transcript", {}) if self.row is None else (self.row.feature, self.row.attributes)
        phases = tuple(phase for _, phase in coding)
        return Transcript(self.id, self.gene_id, feature, whole, tuple(exons), tuple(intervals), phases, attributes)

    def _coding_with_stop(self) -> list[tuple[Interval, int | None]]:
        """Return the coding parts, lengthened by what the stop codon adds to them."""
        parts = list(self.coding)
        if not parts:
            return parts
        strand = parts[0][0].strand
        for stop in sorted(self.stops, key=lambda part: part.start_bp, reverse=strand == "-"):
            if any(part.contains(stop) for part, _ in parts):
                continue
            for index, (part, phase) in enumerate(parts):
                if part.start_bp <= stop.end_bp and stop.start_bp <= part.end_bp:
                    start_bp, end_bp = min(part.start_bp, stop.start_bp), max(part.end_bp, stop.end_bp)
                    parts[index] = (Interval(part.contig, start_bp, end_bp, strand, score=part.score), phase)
                    break
            else:
                # A stop codon may begin in one exon and end in the next.
                parts.append((stop, None))
        return parts


@dataclass
class _Drafts:
    transcripts: dict[str, _Draft] = field(default_factory=dict)
    gene_rows: dict[str, GffRecord] = field(default_factory=dict)

    def _built(self) -> list[Gene]:
        by_gene: dict[str, list[Transcript]] = {}
        for draft in self.transcripts.values():
            if draft.exons or draft.coding:
                by_gene.setdefault(draft.gene_id, []).append(draft.transcript())
        return [_gene(gene_id, transcripts, self.gene_rows.get(gene_id)) for gene_id, transcripts in by_gene.items()]


@dataclass
class _GtfDrafts(_Drafts):
    transcript_key: str = "transcript_id"
    gene_key: str = "gene_id"

    def add(self, record: GffRecord) -> None:
        gene_id = record.first(self.gene_key)
        if record.feature == "gene" and gene_id is not None:
            self.gene_rows[gene_id] = record
        elif record.feature in (*_EXONS, *_CODING, *_STOP, "transcript"):
            self._add_to_transcript(record, gene_id)

    def _add_to_transcript(self, record: GffRecord, gene_id: str | None) -> None:
        transcript_id = record.first(self.transcript_key)
        if not transcript_id:
            _fail(
                record.place,
                f"the row has no {self.transcript_key!r}; name the attribute that ties it to a transcript.",
            )
        draft = self.transcripts.setdefault(transcript_id, _Draft(transcript_id, gene_id or transcript_id))
        if record.feature == "transcript":
            draft.row = record
        else:
            draft.add_part(record)

    def genes(self) -> list[Gene]:
        return self._built()


@dataclass
class _Gff3Drafts(_Drafts):
    rows: dict[str, GffRecord] = field(default_factory=dict)
    parts: list[GffRecord] = field(default_factory=list)

    def add(self, record: GffRecord) -> None:
        identifier = record.first("ID")
        if record.feature in (*_EXONS, *_CODING):
            # Most rows of a file are parts, and all their attributes take gigabytes.
            ties = {key: record.attributes[key] for key in ("ID", "Parent") if key in record.attributes}
            self.parts.append(replace(record, attributes=ties))
        elif identifier is not None:
            self.rows.setdefault(identifier, record)

    def genes(self) -> list[Gene]:
        for record in self.parts:
            # A part of no feature is one by itself, as a CDS without a gene is.
            for parent in record.attributes.get("Parent", ()) or (None,):
                self._draft(record, parent).add_part(record)
        for draft in self.transcripts.values():
            if draft.gene_id in self.rows:
                self.gene_rows[draft.gene_id] = self.rows[draft.gene_id]
        return self._built()

    def _draft(self, record: GffRecord, parent: str | None) -> _Draft:
        own_id = record.first("ID")
        if parent is not None and parent not in self.rows:
            _fail(record.place, f"the parent {parent!r} is no ID in the file. Is the file whole?")
        if parent is None or (self._is_gene(parent) and own_id is not None and record.feature in _CODING):
            transcript_id, gene_id, row = own_id or record.place, parent or own_id or record.place, record
        else:
            row = self.rows[parent]
            transcript_id, gene_id = parent, row.first("Parent") or parent
        return self.transcripts.setdefault(transcript_id, _Draft(transcript_id, gene_id, row))

    def _is_gene(self, identifier: str) -> bool:
        return "gene" in self.rows[identifier].feature.lower() and self.rows[identifier].first("Parent") is None


def _gene(gene_id: str, transcripts: Sequence[Transcript], row: GffRecord | None) -> Gene:
    attributes: Attributes = {} if row is None else row.attributes
    names = (attributes.get(key, ("",))[0] for key in ("Name", "gene_name", "gene"))
    whole = transcripts[0].interval if row is None else row.interval
    spans = [whole] if row is not None else [transcript.interval for transcript in transcripts]
    start_bp, end_bp = min(span.start_bp for span in spans), max(span.end_bp for span in spans)
    interval = Interval(whole.contig, start_bp, end_bp, whole.strand, next(filter(None, names), gene_id))
    return Gene(gene_id, interval, tuple(transcripts), attributes)


def _on_strand(interval: Interval, strand: str) -> Interval:
    return Interval(interval.contig, interval.start_bp, interval.end_bp, strand)


def _fail(place: str, message: str) -> NoReturn:
    raise ValueError(f"{place}: {message}")
