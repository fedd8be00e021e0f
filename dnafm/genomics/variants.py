"""Variants: small differences from a reference genome, 0-based and in upper case."""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from dnafm.genomics.intervals import Interval, parse_position
from dnafm.genomics.reference import ReferenceGenome
from dnafm.genomics.sequences import is_dna

_BREAKEND = re.compile(r"[^\[\]]*[\[\]][^\[\]]+[\[\]][^\[\]]*|\.[A-Za-z]+|[A-Za-z]+\.")
_SYMBOLIC = re.compile(r"<[^<>\s]+>")
_MISSING = (".", "")


class VariantKind(str, Enum):
    """What an alternative allele is, once the bases that it shares with the reference allele are left out."""

    SNV = "SNV"
    MNV = "MNV"
    INSERTION = "insertion"
    DELETION = "deletion"
    DELINS = "deletion-insertion"
    SPANNING_DELETION = "*"
    SYMBOLIC = "symbolic"
    MISSING = "missing"
    REFERENCE = "reference"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class TrimmedAlleles:
    """What differs between two alleles: either may be empty, and for equal ones both are."""

    start_bp: int
    reference_allele: str
    alternative_allele: str


@dataclass(frozen=True)
class Variant:
    """A record of a VCF file, or a row of a table.

    Attributes:
        contig: name of the chromosome.
        start_bp: of the first base of the reference allele, from 0; -1 for the telomere, which VCF calls 0.
        reference_allele: upper case.
        alternative_alleles: upper case where they are bases; empty where there is none.
        id: name, such as that of dbSNP.
        place: file and line, or file and record, for messages.
        number: of the record among those read, from 1; 0 where it was not read from a file.
        record: of pysam, by which `VcfWriter` keeps all that the input had.
    """

    contig: str
    start_bp: int
    reference_allele: str
    alternative_alleles: tuple[str, ...]
    id: str | None = None
    place: str = field(default="", compare=False)
    number: int = field(default=0, compare=False)
    record: Any = field(default=None, compare=False, repr=False)

    @property
    def end_bp(self) -> int:
        """Behind the last base of the reference allele."""
        return self.start_bp + len(self.reference_allele)

    @property
    def interval(self) -> Interval:
        """The bases of the reference allele."""
        return Interval(self.contig, self.start_bp, self.end_bp, name=self.id)

    @property
    def kinds(self) -> tuple[VariantKind, ...]:
        """The kind of each alternative allele."""
        return tuple(variant_kind(self.reference_allele, allele) for allele in self.alternative_alleles)

    def trimmed(self, index: int = 0) -> TrimmedAlleles:
        """Return what differs between the reference allele and an alternative one, which must be bases.

        What both end with is left out first, and then what both begin with.
        """
        return trim_alleles(self.start_bp, self.reference_allele, self.alternative_alleles[index])

    def to_text(self, index: int = 0) -> str:
        """Return `contig:position:reference:alternative`, counted from 1."""
        alternative = self.alternative_alleles[index] if self.alternative_alleles else "."
        return f"{self.contig}:{self.start_bp + 1}:{self.reference_allele}:{alternative}"


def make_variant(
    contig: str, position: str | int, reference_allele: str, alternative_alleles: tuple[str, ...], **more: Any
) -> Variant:
    """Return a variant of the fields of a VCF, checked, with bases in upper case.

    Args:
        contig: name of the chromosome.
        position: of the first base, from 1.
        reference_allele: bases.
        alternative_alleles: bases, `*`, symbolic alleles or break ends; those that are `.` are missing.
        **more: further attributes of the variant.

    Raises:
        ValueError: names the field that is wrong.
    """
    number = position if isinstance(position, int) else parse_position(position)
    if number is None or number < 0:
        raise ValueError(f"the position {position!r} is no number; VCF counts from 1.")
    if not contig:
        raise ValueError("the name of the contig is empty.")
    if not reference_allele or not is_dna(reference_allele):
        raise ValueError(f"REF {reference_allele!r} must be bases: A, C, G, T, N or codes of IUPAC.")
    alleles = tuple(map(_checked_allele, alternative_alleles))
    if all(allele in _MISSING for allele in alleles):
        alleles = ()
    return Variant(contig, number - 1, reference_allele.upper(), alleles, **more)


def variant_kind(reference_allele: str, alternative_allele: str) -> VariantKind:
    """Return what an alternative allele is; `REFERENCE` where it is the reference allele."""
    if alternative_allele in _MISSING:
        return VariantKind.MISSING
    if alternative_allele == "*":
        return VariantKind.SPANNING_DELETION
    if not is_dna(alternative_allele):
        return VariantKind.SYMBOLIC
    trimmed = trim_alleles(0, reference_allele.upper(), alternative_allele.upper())
    n_reference, n_alternative = len(trimmed.reference_allele), len(trimmed.alternative_allele)
    if n_reference == n_alternative:
        return (VariantKind.REFERENCE, VariantKind.SNV, VariantKind.MNV)[min(n_reference, 2)]
    if not n_reference:
        return VariantKind.INSERTION
    return VariantKind.DELINS if n_alternative else VariantKind.DELETION


def trim_alleles(start_bp: int, reference_allele: str, alternative_allele: str) -> TrimmedAlleles:
    """Leave out what two alleles end with in common, and then what they begin with."""
    n_shared = _n_shared(reference_allele[::-1], alternative_allele[::-1])
    reference_allele = reference_allele[: len(reference_allele) - n_shared]
    alternative_allele = alternative_allele[: len(alternative_allele) - n_shared]
    n_shared = _n_shared(reference_allele, alternative_allele)
    return TrimmedAlleles(start_bp + n_shared, reference_allele[n_shared:], alternative_allele[n_shared:])


def reference_matches(variant: Variant, reference: ReferenceGenome) -> bool:
    """Return whether the reference allele is what the genome has there, whatever the case."""
    return _mismatch(variant, reference) is None


def check_reference(variant: Variant, reference: ReferenceGenome) -> None:
    """Raise a ValueError where the reference allele is not what the genome has there, whatever the case."""
    message = _mismatch(variant, reference)
    if message is not None:
        raise ValueError(f"{variant.place}: {message}" if variant.place else message)


def parse_variant_text(text: str) -> Variant:
    """Read `contig:position:reference:alternative`, counted from 1, such as `chr1:12345:A:G`.

    Alternatives may be several, with commas between them. `-` and `/` are no separators.

    Raises:
        ValueError: names the text and what is wrong with it.
    """
    fields = text.strip().rsplit(":", 3)
    if len(fields) != 4:
        raise ValueError(
            f"{text!r} is no variant. Write it as contig:position:REF:ALT, counted from 1: chr1:12345:A:G."
        )
    contig, position, reference_allele, alternatives = fields
    try:
        return make_variant(contig, position, reference_allele, tuple(alternatives.split(",")), place=repr(text))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error


def _checked_allele(allele: str) -> str:
    if allele in _MISSING or allele == "*" or _SYMBOLIC.fullmatch(allele) or _BREAKEND.fullmatch(allele):
        return allele or "."
    if is_dna(allele):
        return allele.upper()
    raise ValueError(f"ALT {allele!r} must be bases, '*', a symbol such as '<DEL>', a break end, or '.' for none.")


def _mismatch(variant: Variant, reference: ReferenceGenome) -> str | None:
    name = reference.resolve(variant.contig)
    length_bp = reference.contig_lengths[name]
    place = f"{variant.contig}:{variant.start_bp + 1}"
    if not 0 <= variant.start_bp < variant.end_bp <= length_bp:
        return (
            f"REF {variant.reference_allele!r} at {place} passes an end of {name}, which has {length_bp} bases. Are "
            "the VCF and the FASTA of the same assembly?"
        )
    found = reference.fetch_bases(name, variant.start_bp, variant.end_bp)
    if found == variant.reference_allele:
        return None
    return (
        f"REF {variant.reference_allele!r} is not the genome's {found!r} at {place}. Are the VCF and the FASTA of the "
        "same assembly?"
    )


def _n_shared(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    n_shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        n_shared += 1
    return n_shared
