"""Where sequences that are embedded come from: records of a FASTA file, intervals of a genome, or rows of a table."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dnafm.analysis.identities import file_identity
from dnafm.analysis.named_sequences import NamedSequence, SequenceSource
from dnafm.analysis.sequence_tables import SEQUENCE_COLUMN, TableSource
from dnafm.data.tables import extension_of, is_fasta
from dnafm.genomics import Interval, ReferenceGenome, read_bed
from dnafm.genomics.files import numbered_lines
from dnafm.genomics.intervals import check_within
from dnafm.genomics.sequences import check_nucleotides


@dataclass(frozen=True)
class FastaSource:
    """The records of a FASTA file, plain or compressed with gzip or bgzip: one is in memory at a time.

    The id and the contig of a record are the first word of its header.
    """

    path: str

    @property
    def has_intervals(self) -> bool:
        """Whether every sequence has an interval: all of its contig, on the + strand."""
        return True

    def other_columns(self) -> None:
        """Return None: there are none."""

    def identity(self) -> dict[str, Any]:
        """Return the file's."""
        return {"input": file_identity(self.path)}

    def __iter__(self) -> Iterator[NamedSequence]:
        name, place, lines = None, "", list[str]()
        for number, line in numbered_lines(self.path):
            if line.startswith(">"):
                if name is not None:
                    yield _record(name, place, lines)
                name, place, lines = _header_name(line, f"{self.path}:{number}"), f"{self.path}:{number}", []
            elif bases := "".join(line.split()):
                if name is None:
                    raise ValueError(f"{self.path}:{number}: bases before the first header. FASTA starts with '>'.")
                lines.append(_checked_line(bases, f"{self.path}:{number}"))
        if name is None:
            raise ValueError(f"{self.path}: the file holds no sequence. A FASTA file starts with '>'.")
        yield _record(name, place, lines)


@dataclass(frozen=True)
class BedSource:
    """The intervals of a BED file, each read along its own strand: `-` is the reverse complement.

    The id is the fourth column, or the region in the text of browsers where there is none.
    """

    path: str
    genome: ReferenceGenome

    @property
    def has_intervals(self) -> bool:
        """Whether every sequence has an interval."""
        return True

    def other_columns(self) -> None:
        """Return None: there are none."""

    def identity(self) -> dict[str, Any]:
        """Return those of the BED file and of the genome."""
        return {
            "input": file_identity(self.path),
            "genome": file_identity(self.genome.path),
            "contig_aliases": self.genome.contig_aliases,
        }

    def __iter__(self) -> Iterator[NamedSequence]:
        for record in read_bed(self.path):
            interval = record.interval
            try:
                contig = self.genome.resolve(interval.contig)
                check_within(interval, {interval.contig: self.genome.contig_lengths[contig]})
                sequence = self.genome.fetch(interval)
            except ValueError as error:
                raise ValueError(f"{record.place}: {error}") from error
            place = Interval(contig, interval.start_bp, interval.end_bp, interval.strand)
            yield NamedSequence(interval.name or place.to_region(), sequence, record.place, place)


def open_source(
    path: str | os.PathLike,
    *,
    genome: ReferenceGenome | None = None,
    sequence_column: str | None = None,
    id_column: str | None = None,
) -> SequenceSource:
    """Return the sequences of a file, by its extension.

    Args:
        path: a FASTA file; with a genome a BED file; or a table.
        genome: of the intervals of a BED file.
        sequence_column: of a table, by default `sequence`.
        id_column: of a table, by default `id`, if there is one.

    Raises:
        ValueError: the extension is unknown, a BED file has no genome, or columns are named and it is no table.
        FileNotFoundError: there is no such file.
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise FileNotFoundError(f"{name}: there is no such file. The input is a FASTA file, a BED file or a table.")
    is_table = genome is None and not is_fasta(name)
    if not is_table and (sequence_column is not None or id_column is not None):
        raise ValueError(f"sequence_column and id_column are those of a table, and {name} is none.")
    if genome is not None:
        return BedSource(name, genome)
    if is_fasta(name):
        return FastaSource(name)
    if extension_of(name) == ".bed":
        raise ValueError(f"{name}: the bases of a BED file are in a genome. Name it by fasta.")
    return TableSource(name, sequence_column or SEQUENCE_COLUMN, id_column)


def _header_name(line: str, place: str) -> str:
    words = line[1:].split(maxsplit=1)
    if not words:
        raise ValueError(f"{place}: the header has no name. Write one behind the '>'.")
    return words[0]


def _checked_line(bases: str, place: str) -> str:
    try:
        check_nucleotides(bases)
    except ValueError as error:
        raise ValueError(f"{place}: {error} Is this a protein FASTA?") from error
    return bases


def _record(name: str, place: str, lines: list[str]) -> NamedSequence:
    sequence = "".join(lines)
    if not sequence:
        raise ValueError(f"{place}: the sequence {name!r} has no bases. Remove it, or add them.")
    return NamedSequence(name, sequence, place, Interval(name, 0, len(sequence)))
