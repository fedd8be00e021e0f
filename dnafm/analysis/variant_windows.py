"""Windows of a reference and an alternative allele, of equal length, and why an allele has none."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from dnafm.genomics import ReferenceGenome, Variant, VariantKind
from dnafm.genomics.sequences import BASES

_BASES = frozenset(BASES)


class SkipReason(str, Enum):
    """Why an allele has no scores."""

    NO_ALTERNATIVE = "no_alternative_allele"
    SPANNING_DELETION = "spanning_deletion"
    SYMBOLIC = "symbolic_allele"
    SAME_AS_REFERENCE = "same_as_reference"
    AMBIGUOUS_BASES = "ambiguous_bases"
    LONGER_THAN_WINDOW = "longer_than_window"
    SHORT_CONTIG = "contig_shorter_than_window"
    UNKNOWN_CONTIG = "unknown_contig"
    OUTSIDE_CONTIG = "outside_contig"
    REFERENCE_MISMATCH = "reference_mismatch"

    def __str__(self) -> str:
        return self.value


_NOT_SCORED = {
    VariantKind.MISSING: SkipReason.NO_ALTERNATIVE,
    VariantKind.SPANNING_DELETION: SkipReason.SPANNING_DELETION,
    VariantKind.SYMBOLIC: SkipReason.SYMBOLIC,
    VariantKind.REFERENCE: SkipReason.SAME_AS_REFERENCE,
}


@dataclass(frozen=True)
class AlleleWindow:
    """Bases around one allele.

    Attributes:
        bases: upper case.
        offset: of the first changed base, or of what follows a deletion.
        n_changed: changed bases, without those that both alleles begin or end with.
    """

    bases: str
    offset: int
    n_changed: int


@dataclass(frozen=True)
class AllelePair:
    """Windows of equal length around the reference and the alternative allele."""

    reference: AlleleWindow
    alternative: AlleleWindow

    @property
    def is_snv(self) -> bool:
        """Whether one base is exchanged."""
        return self.reference.n_changed == self.alternative.n_changed == 1

    def scored(self, flank_bp: int) -> tuple[range, range]:
        """Return the positions in both windows over which likelihoods are summed, as many in one as in the other.

        That is the base of an SNV. Otherwise it is `flank_bp` bases before the change, as many bases as the longer
        allele has, and `flank_bp` more, shifted where the window ends. The shorter allele's stretch has more of the
        genome in it, so that alleles are not scored lower for being longer.
        """
        n_changed = max(self.reference.n_changed, self.alternative.n_changed)
        flank_bp = 0 if self.is_snv else flank_bp
        n_scored = n_changed + 2 * flank_bp
        firsts = (
            min(max(0, window.offset - flank_bp), len(window.bases) - n_scored)
            for window in (self.reference, self.alternative)
        )
        first, other_first = firsts
        return range(first, first + n_scored), range(other_first, other_first + n_scored)

    def aligned(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions in both windows that are the same base of the genome, or one in place of the other.

        Inserted and deleted bases have no partner, nor have changed ones of different number.
        """
        reference, alternative = self.reference, self.alternative
        n_before = min(reference.offset, alternative.offset)
        n_changed = reference.n_changed if reference.n_changed == alternative.n_changed else 0
        n_behind = min(len(each.bases) - each.offset - each.n_changed for each in (reference, alternative))
        return (
            _positions(reference, n_before, n_changed, n_behind),
            _positions(alternative, n_before, n_changed, n_behind),
        )


def allele_pair(
    variant: Variant, index: int, *, reference: ReferenceGenome, window_bp: int, flank_bp: int
) -> AllelePair | SkipReason:
    """Return the windows of an alternative allele and of the reference allele, or why there are none.

    Each window is cut from the contig with that allele in place. The changed bases are in the middle, those of an
    even window at its base `window_bp // 2`; near the ends of the contig the window is shifted. The two windows begin
    at the same base of the genome, unless the end of the contig pushes them apart.

    Args:
        variant: within a contig of the reference.
        index: of the alternative allele.
        reference: whose bases are around the variant; the reference allele is that of the variant.
        window_bp: length of the windows.
        flank_bp: bases on both sides of a change that is no SNV whose likelihoods are scored.
    """
    reason = _NOT_SCORED.get(variant.kinds[index])
    if reason is not None:
        return reason
    trimmed = variant.trimmed(index)
    alleles = (trimmed.reference_allele, trimmed.alternative_allele)
    longest = max(map(len, alleles))
    is_snv = len(alleles[0]) == len(alleles[1]) == 1
    if longest + (0 if is_snv else 2 * flank_bp) > window_bp:
        return SkipReason.LONGER_THAN_WINDOW
    contig = reference.resolve(variant.contig)
    length_bp, n_reference = reference.contig_lengths[contig], len(alleles[0])
    if length_bp - n_reference + min(map(len, alleles)) < window_bp:
        return SkipReason.SHORT_CONTIG
    start_bp, end_bp = trimmed.start_bp, trimmed.start_bp + n_reference
    first_bp, last_bp = max(0, start_bp - window_bp), min(length_bp, end_bp + window_bp)
    piece = reference.fetch_bases(contig, first_bp, last_bp)
    before, behind = piece[: start_bp - first_bp], piece[end_bp - first_bp :]
    # Of an even window the middle is the base at half its length.
    n_before = (window_bp - longest + 1) // 2
    pair = AllelePair(*(_window(before, allele, behind, window_bp, n_before) for allele in alleles))
    windows = zip((pair.reference, pair.alternative), pair.scored(flank_bp), strict=True)
    if not all(_BASES.issuperset(window.bases[scored.start : scored.stop]) for window, scored in windows):
        return SkipReason.AMBIGUOUS_BASES
    return pair


def _window(before: str, allele: str, behind: str, window_bp: int, n_before: int) -> AlleleWindow:
    """Cut a window from the contig with an allele in place, shifted where there are too few bases on one side."""
    n_lacking = max(0, window_bp - n_before - len(allele) - len(behind))
    offset = min(len(before), n_before + n_lacking)
    bases = (before[len(before) - offset :] + allele + behind)[:window_bp]
    return AlleleWindow(bases, offset, len(allele))


def _positions(window: AlleleWindow, n_before: int, n_changed: int, n_behind: int) -> np.ndarray:
    behind = window.offset + window.n_changed
    return np.r_[window.offset - n_before : window.offset + n_changed, behind : behind + n_behind]
