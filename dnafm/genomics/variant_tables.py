"""Variants as tables and as lists of text."""

import csv
import os
from collections.abc import Iterator

from dnafm.genomics.files import numbered_lines
from dnafm.genomics.variants import Variant, make_variant, parse_variant_text

_COLUMNS = {
    "contig": ("chrom", "#chrom", "chromosome", "contig", "chr"),
    "position": ("pos", "position", "pos_1based"),
    "reference": ("ref", "reference", "reference_allele"),
    "alternative": ("alt", "alternative", "alternative_allele"),
}
_ID = ("id", "rsid", "name", "variant_id")


def read_variant_table(path: str | os.PathLike) -> Iterator[Variant]:
    """Yield the rows of a table with the columns chrom, pos, ref and alt, and id where there is one.

    The first line names the columns, in any order and case, between others. Positions are counted from 1, and several
    alternative alleles are separated by commas.

    Args:
        path: of a file with commas between its columns, `.csv`, or tabs, any other; plain, gzip or bgzip.

    Raises:
        ValueError: names file and line, where a column is missing or a row is no variant.
    """
    name = os.fspath(path)
    delimiter = "," if name.removesuffix(".gz").endswith(".csv") else "\t"
    header: dict[str, int] | None = None
    for number, line in numbered_lines(path):
        if not line.strip() or line.startswith("##"):
            continue
        fields = _fields(line, delimiter, f"{name}:{number}")
        if header is None:
            header = _header(fields, f"{name}:{number}")
            continue
        yield _row(fields, header, f"{name}:{number}", number)
    if header is None:
        raise ValueError(f"{name}: the table has no line that names its columns.")


def read_variant_list(path: str | os.PathLike) -> Iterator[Variant]:
    """Yield variants that are written one a line, such as `chr1:12345:A:G`; lines with `#` are comments.

    Raises:
        ValueError: names file and line of one that is none.
    """
    for number, line in numbered_lines(path):
        if line.strip() and not line.startswith("#"):
            try:
                yield parse_variant_text(line)
            except ValueError as error:
                raise ValueError(f"{os.fspath(path)}:{number}: {error}") from error


def _fields(line: str, delimiter: str, place: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, strict=True))]
    except csv.Error as error:
        raise ValueError(f"{place}: this is no row of a table ({error}).") from error


def _header(fields: list[str], place: str) -> dict[str, int]:
    names = [field.lower() for field in fields]
    found = {}
    for column, synonyms in (*_COLUMNS.items(), ("id", _ID)):
        indices = [index for index, name in enumerate(names) if name in synonyms]
        if len(indices) > 1:
            raise ValueError(f"{place}: the columns {', '.join(fields[i] for i in indices)} all name the {column}.")
        if indices:
            found[column] = indices[0]
    missing = [synonyms[0] for column, synonyms in _COLUMNS.items() if column not in found]
    if missing:
        raise ValueError(
            f"{place}: no column {', '.join(missing)} among {', '.join(map(repr, fields[:9]))}. The first line names "
            "the columns: chrom, pos, ref, alt."
        )
    return found


def _row(fields: list[str], header: dict[str, int], place: str, number: int) -> Variant:
    if len(fields) <= max(header.values()):
        raise ValueError(f"{place}: {len(fields)} columns, and at least {max(header.values()) + 1} are due.")
    contig, position, reference, alternative = (fields[header[column]] for column in _COLUMNS)
    identifier = fields[header["id"]] if "id" in header else ""
    try:
        return make_variant(
            contig,
            position,
            reference,
            tuple(alternative.split(",")),
            id=None if identifier in ("", ".") else identifier,
            place=place,
            number=number,
        )
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
