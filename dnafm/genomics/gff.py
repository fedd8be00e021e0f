"""Rows of GFF3 and GTF files.

Specifications: https://github.com/The-Sequence-Ontology/Specifications/blob/master/gff3.md and
https://mblab.wustl.edu/GTF22.html. Coordinates become 0-based and half-open here.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote

from dnafm.genomics.files import located_lines, written_file
from dnafm.genomics.intervals import Interval, check_within, parse_position

Dialect = Literal["gff3", "gtf"]
Attributes = Mapping[str, tuple[str, ...]]
_N_COLUMNS = 9
_GTF_ATTRIBUTE = re.compile(r'\s*([^\s;"]+)\s+(?:"([^"]*)"|([^\s;"]+))\s*(?:;|$)')
_COMPRESSED = re.compile(r"\.(gz|bgz)$")
# What GFF3 reserves, besides control characters.
_RESERVED_IN_ATTRIBUTES = ";=&,%"
# Beside letters and digits; the format wants all else in the first column encoded.
_PLAIN_IN_CONTIGS = ".:^*$@!+_?-|"


@dataclass(frozen=True, slots=True)
class GffRecord:
    """A row: a feature, or a part of one.

    Attributes:
        interval: its bases; strand `.` where it has none or it is unknown. `score` is that of the row.
        feature: type, such as `gene`, `exon` or `CDS`.
        source: who says so.
        phase: bases of a CDS row to leave out at its 5' end to reach the next codon, 0 to 2; None without.
        attributes: values by key, decoded, in their order.
        place: file and line, for messages.
    """

    interval: Interval
    feature: str
    source: str = "."
    phase: int | None = None
    attributes: Attributes = field(default_factory=dict)
    place: str = ""

    def first(self, key: str) -> str | None:
        """Return the first value of an attribute, or None without one."""
        return next(iter(self.attributes.get(key, ())), None)


def dialect_of(path: str | os.PathLike) -> Dialect:
    """Return how attributes are written: by the extension `.gff3` or `.gtf`, else by the first row.

    Files named `.gff` are of either kind.
    """
    name = _COMPRESSED.sub("", os.fspath(path).lower())
    if name.endswith(".gff3"):
        return "gff3"
    if name.endswith(".gtf"):
        return "gtf"
    for _, line in _rows(path, None):
        key_and_value = line.split("\t")[-1].split('"', 1)[0]
        return "gff3" if "=" in key_and_value else "gtf"
    return "gff3"


def read_gff(
    path: str | os.PathLike,
    *,
    dialect: Dialect | None = None,
    region: Interval | None = None,
    contig_lengths: Mapping[str, int] | None = None,
) -> Iterator[GffRecord]:
    """Yield the rows of a GFF3 or GTF file, plain or compressed with gzip or bgzip, in their order.

    Args:
        path: the file; what follows `##FASTA` is not read.
        dialect: by default as `dialect_of` says.
        region: only rows that overlap it, through the index of tabix where there is one.
        contig_lengths: of the genome, which rows must lie in.

    Raises:
        ValueError: names file and line, where a row is none, is empty, or ends behind its contig.
    """
    dialect = dialect_of(path) if dialect is None else dialect
    for place, line in _rows(path, region):
        try:
            record = _parse(line, place, dialect)
            if region is not None and not record.interval.overlaps(region):
                continue
            if contig_lengths is not None:
                check_within(record.interval, contig_lengths)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        yield record


def write_gff3(path: str | os.PathLike, records: Iterable[GffRecord], *, overwrite: bool = False) -> int:
    """Write rows as GFF3, and return how many; the file appears when it is whole, and `.gz` is bgzip.

    Raises:
        OSError: see `new_file`.
    """
    n_written = 0
    with written_file(path, overwrite=overwrite) as stream:
        stream.write(b"##gff-version 3\n")
        for record in records:
            stream.write((_line(record) + "\n").encode())
            n_written += 1
    return n_written


def _rows(path: str | os.PathLike, region: Interval | None) -> Iterator[tuple[str, str]]:
    for place, line in located_lines(path, region):
        if line.startswith(("##FASTA", ">")):
            return
        if line.strip() and not line.startswith("#"):
            yield place, line


def _parse(line: str, place: str, dialect: Dialect) -> GffRecord:
    fields = line.split("\t")
    if len(fields) != _N_COLUMNS:
        raise ValueError(f"{len(fields)} columns between tabs, and {_N_COLUMNS} are due.")
    start, end = map(parse_position, fields[3:5])
    if start is None or end is None:
        raise ValueError(f"start {fields[3]!r} and end {fields[4]!r} are no positions.")
    if not 1 <= start <= end:
        raise ValueError(f"from {start} to {end} there is no base: GFF counts from 1 and includes the end.")
    contig, source, feature = map(unquote, fields[:3]) if dialect == "gff3" else fields[:3]
    strand = "." if fields[6] == "?" else fields[6]
    interval = Interval(contig, start - 1, end, strand, score=_score(fields[5]))
    parse = _gff3_attributes if dialect == "gff3" else _gtf_attributes
    return GffRecord(interval, feature, source, _phase(fields[7]), parse(fields[8]), place)


def _score(text: str) -> float | None:
    if text == ".":
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"the score {text!r} is no number; '.' stands for none.") from None


def _phase(text: str) -> int | None:
    if text == ".":
        return None
    if text not in ("0", "1", "2"):
        raise ValueError(f"the phase {text!r} must be 0, 1, 2, or '.' for none.")
    return int(text)


def _gff3_attributes(text: str) -> Attributes:
    attributes: dict[str, tuple[str, ...]] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        key, separator, values = part.partition("=")
        if part == ".":
            continue
        if not separator or not key:
            raise ValueError(f"the attribute {part!r} is not of the form key=value. Is this GTF?")
        key = unquote(key)
        attributes[key] = attributes.get(key, ()) + tuple(map(unquote, values.split(",")))
    return attributes


def _gtf_attributes(text: str) -> Attributes:
    attributes: dict[str, tuple[str, ...]] = {}
    offset = 0
    while text[offset:].strip() not in ("", "."):
        match = _GTF_ATTRIBUTE.match(text, offset)
        if match is None:
            raise ValueError(f'the attributes {text[offset:]!r} are not of the form key "value"; Is this GFF3?')
        key, quoted, bare = match.groups()
        attributes[key] = (*attributes.get(key, ()), bare if quoted is None else quoted)
        offset = match.end()
    return attributes


def _line(record: GffRecord) -> str:
    interval = record.interval
    attributes = ";".join(
        f"{_encoded(key)}={','.join(map(_encoded, values))}" for key, values in record.attributes.items()
    )
    columns = (
        quote(interval.contig, safe=_PLAIN_IN_CONTIGS),
        _encoded_column(record.source),
        _encoded_column(record.feature),
        str(interval.start_bp + 1),
        str(interval.end_bp),
        "." if interval.score is None else repr(interval.score).removesuffix(".0"),
        interval.strand,
        "." if record.phase is None else str(record.phase),
        attributes or ".",
    )
    return "\t".join(columns)


def _encoded(text: str) -> str:
    return "".join(quote(c) if c in _RESERVED_IN_ATTRIBUTES or not c.isprintable() else c for c in text)


def _encoded_column(text: str) -> str:
    return "".join(quote(c, safe="") if c in " %>#" or not c.isprintable() else c for c in text)
