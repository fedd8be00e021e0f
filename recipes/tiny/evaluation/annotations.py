"""Gene models of a JGI GFF file and labelled loci of a GenBank file, in 0-based half-open coordinates."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Interval = tuple[int, int]

_NAME = re.compile(r'(?:^|;)\s*name "([^"]+)"')
_LOCUS_NAME = re.compile(r"(?P<chromosome>.+)_(?P<first>\d+)-(?P<last>\d+)")
_LOCATION = re.compile(r"(\d+)\.\.(\d+)")
_FEATURE_INDENT, _QUALIFIER_INDENT = 5, 21


@dataclass(frozen=True)
class GeneModel:
    """One gene model on one strand; intervals are ascending on the + strand, whatever the gene's strand is.

    Attributes:
        name: As in the file.
        chromosome: Name of the sequence.
        is_reverse: Whether the gene is on the - strand.
        exons: (start_bp, end_bp) of each exon.
        coding: (start_bp, end_bp) of the coding part of each exon.
        start_codon: (start_bp, end_bp), or `None` where the model has none.
    """

    name: str
    chromosome: str
    is_reverse: bool
    exons: tuple[Interval, ...]
    coding: tuple[Interval, ...]
    start_codon: Interval | None

    @property
    def span(self) -> Interval:
        """(start_bp, end_bp) from the first exon to the last."""
        return self.exons[0][0], self.exons[-1][1]

    @property
    def introns(self) -> tuple[Interval, ...]:
        """(start_bp, end_bp) between consecutive exons."""
        return tuple((left[1], right[0]) for left, right in zip(self.exons, self.exons[1:], strict=False))


@dataclass(frozen=True)
class Locus:
    """A stretch of a chromosome with one gene, read on its + strand.

    Attributes:
        name: As in the file, `chromosome_first-last`.
        chromosome: Name of the chromosome.
        start_bp: 0-based place of the first base on the chromosome.
        sequence: Upper case.
        is_reverse: Whether the gene is on the - strand.
        coding: (start_bp, end_bp) within the locus, ascending.
    """

    name: str
    chromosome: str
    start_bp: int
    sequence: str
    is_reverse: bool
    coding: tuple[Interval, ...]

    @property
    def end_bp(self) -> int:
        """End of the locus on the chromosome."""
        return self.start_bp + len(self.sequence)

    def overlaps(self, other: "Locus") -> bool:
        """Tell whether two loci share a base of a chromosome."""
        return self.chromosome == other.chromosome and self.start_bp < other.end_bp and other.start_bp < self.end_bp


@dataclass
class _Features:
    exon: list[Interval] = field(default_factory=list)
    CDS: list[Interval] = field(default_factory=list)
    start_codon: list[Interval] = field(default_factory=list)
    stop_codon: list[Interval] = field(default_factory=list)


def read_gene_models(path: Path) -> list[GeneModel]:
    """Read the gene models of a GFF 2 file as JGI writes them: rows of one model share `name "..."`.

    Args:
        path: Plain or gzip.

    Returns:
        The models that have an exon, in the order of the file.

    Raises:
        ValueError: names file and line, where a row is not one of nine columns, has no name, an unknown feature, no
            strand or an interval that is none.
    """
    features_of_model: dict[tuple[str, str, str], _Features] = {}
    for line, row in _gff_rows(path):
        chromosome, feature, strand, interval, name = _parsed_row(row, f"{path}:{line}")
        model = features_of_model.setdefault((name, chromosome, strand), _Features())
        getattr(model, feature).append(interval)
    return [
        GeneModel(
            name=name,
            chromosome=chromosome,
            is_reverse=strand == "-",
            exons=tuple(sorted(features.exon)),
            coding=tuple(sorted(features.CDS)),
            start_codon=min(features.start_codon, default=None),
        )
        for (name, chromosome, strand), features in features_of_model.items()
        if features.exon
    ]


def read_loci(path: Path) -> list[Locus]:
    """Read single-gene loci from a GenBank file as augustus writes them.

    Raises:
        ValueError: names file and record, where a LOCUS is not named `chromosome_first-last`, a record has not exactly
            one CDS, or its bases are not as many as the name says.
    """
    records = path.read_text().split("\n//")
    return [_locus(record.strip().splitlines(), path) for record in records if record.strip()]


def _gff_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith("#"):
                yield number, line.rstrip("\n").split("\t")


def _parsed_row(row: list[str], place: str) -> tuple[str, str, str, Interval, str]:
    if len(row) != 9:
        raise ValueError(f"{place}: {len(row)} columns; GFF has 9, separated by tabs. Is the file cut?")
    chromosome, _, feature, first, last, _, strand, _, attributes = row
    if feature not in _Features.__dataclass_fields__:
        raise ValueError(f"{place}: the feature {feature!r} is none of {', '.join(_Features.__dataclass_fields__)}.")
    if strand not in ("+", "-"):
        raise ValueError(f"{place}: the strand is {strand!r}; a gene model lies on + or -.")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise ValueError(f"{place}: {first} to {last} is no interval; GFF counts from 1, both ends included.")
    name = _NAME.search(attributes)
    if name is None:
        raise ValueError(f'{place}: no name "..." in {attributes!r}, by which JGI groups the rows of a gene model.')
    return chromosome, feature, strand, (int(first) - 1, int(last)), name[1]


def _locus(lines: list[str], path: Path) -> Locus:
    name = lines[0].split()[1]
    named = _LOCUS_NAME.fullmatch(name)
    if not lines[0].startswith("LOCUS") or named is None:
        raise ValueError(f"{path}: {lines[0]!r} is no LOCUS line with a name like chr2R_23932-26830.")
    start_bp, end_bp = int(named["first"]) - 1, int(named["last"])
    origin = next((i for i, line in enumerate(lines) if line.startswith("ORIGIN")), len(lines))
    sequence = "".join("".join(line.split()[1:]) for line in lines[origin + 1 :]).upper()
    locations = _coding_locations(lines[:origin])
    if len(locations) != 1 or len(sequence) != end_bp - start_bp:
        raise ValueError(
            f"{path}: {name} has {len(locations)} CDS and {len(sequence)} bases; 1 and {end_bp - start_bp} are due. "
            "Is the file cut?"
        )
    coding = tuple(sorted((int(first) - 1, int(last)) for first, last in _LOCATION.findall(locations[0])))
    return Locus(name, named["chromosome"], start_bp, sequence, "complement" in locations[0], coding)


def _coding_locations(lines: list[str]) -> list[str]:
    """Locations of the CDS features; one may go on over several lines, even within a number."""
    locations: list[str] = []
    is_open = False
    for line in lines:
        key, text = line[_FEATURE_INDENT:_QUALIFIER_INDENT].strip(), line[_QUALIFIER_INDENT:].strip()
        if key == "CDS" and line.startswith(" "):
            locations.append(text)
        elif is_open and not key and not text.startswith("/"):
            locations[-1] += text
        is_open = (key == "CDS" or (is_open and not key)) and not text.startswith("/")
    return locations
