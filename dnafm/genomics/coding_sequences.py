"""Codons: the coding parts of a transcript put together along its strand, and what a substitution does to them."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np

from dnafm.genomics.gene_models import Transcript
from dnafm.genomics.intervals import Interval
from dnafm.genomics.reference import ReferenceGenome
from dnafm.genomics.sequences import reverse_complement

Consequence = Literal["synonymous", "missense", "stop_gained", "stop_lost", "stop_retained"]
STOP = "*"
# Table 1 of the NCBI, whose bases are in the order TCAG. Table 11, of bacteria, differs in its starts alone.
_AMINO_ACIDS = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
STANDARD_CODE = dict(zip(map("".join, product("TCAG", repeat=3)), _AMINO_ACIDS, strict=True))


def translate(bases: str) -> str:
    """Return the protein of a coding sequence by the standard code, one letter a codon.

    A stop is `*`, and a codon with an ambiguous base is X. Bases behind the last whole codon are left out; U is T.
    """
    bases = bases.upper().replace("U", "T")
    return "".join(STANDARD_CODE.get(bases[start : start + 3], "X") for start in range(0, len(bases) - 2, 3))


@dataclass(frozen=True)
class CodingSequence:
    """The codons of a transcript.

    Attributes:
        parts: coding parts in the order of translation, which on the - strand goes from high to low coordinates.
        phase: bases of the first part that belong to a codon that is not there, 0 to 2.
    """

    parts: tuple[Interval, ...]
    phase: int = 0

    @classmethod
    def of_transcript(cls, transcript: Transcript) -> "CodingSequence":
        """Put together the coding parts of a transcript; a missing phase of the first is 0.

        Raises:
            ValueError: it has none, or its strand is unknown.
        """
        if not transcript.coding:
            raise ValueError(f"The transcript {transcript.id!r} has no coding part.")
        if transcript.interval.strand == ".":
            raise ValueError(f"The transcript {transcript.id!r} codes, and its strand is unknown.")
        order = -1 if transcript.interval.is_reverse else 1
        return cls(transcript.coding[::order], transcript.phases[::order][0] or 0)

    @cached_property
    def positions_bp(self) -> np.ndarray:
        """Genome positions of the bases of whole codons in the order of translation: (3 * n_codons,) int64."""
        steps = [np.arange(part.start_bp, part.end_bp)[:: -1 if part.is_reverse else 1] for part in self.parts]
        positions_bp = np.concatenate(steps).astype(np.int64)[self.phase :]
        return positions_bp[: len(positions_bp) // 3 * 3]

    @property
    def n_codons(self) -> int:
        """Number of whole codons, with the stop."""
        return len(self.positions_bp) // 3

    def codon_positions_bp(self, codon: int) -> tuple[int, int, int]:
        """Return the genome positions of the bases of a codon, counted from 0, in the order of translation."""
        if not 0 <= codon < self.n_codons:
            raise ValueError(f"There is no codon {codon}: they are counted from 0, and there are {self.n_codons}.")
        first, second, third = self.positions_bp[3 * codon : 3 * codon + 3].tolist()
        return first, second, third

    def codon_at(self, position_bp: int) -> tuple[int, int] | None:
        """Return the codon of a genome position and the place in it, both from 0; None outside of whole codons."""
        (found,) = np.nonzero(self.positions_bp == position_bp)
        return divmod(int(found[0]), 3) if len(found) else None

    def bases(self, reference: ReferenceGenome) -> str:
        """Return the bases of the whole codons, upper case, in the order of translation."""
        spliced = "".join(reference.fetch(part) for part in self.parts)
        return spliced[self.phase : self.phase + 3 * self.n_codons]

    def protein(self, reference: ReferenceGenome) -> str:
        """Return the amino acids by the standard code; see `translate`."""
        return translate(self.bases(reference))

    def consequence(
        self, reference: ReferenceGenome, position_bp: int, *, alternative_base: str
    ) -> Consequence | None:
        """Return what a substitution does to the protein, by the standard code.

        Args:
            reference: the genome.
            position_bp: of the base, from 0.
            alternative_base: on the + strand, as in VCF.

        Returns:
            None outside of whole codons, and where a base of the codon is ambiguous.
        """
        place = self.codon_at(position_bp)
        if place is None:
            return None
        codon, offset = place
        is_reverse, contig = self.parts[0].is_reverse, self.parts[0].contig
        bases = [
            reference.fetch_bases(contig, base_bp, base_bp + 1, is_reverse=is_reverse)
            for base_bp in self.codon_positions_bp(codon)
        ]
        changed = bases.copy()
        changed[offset] = (reverse_complement(alternative_base) if is_reverse else alternative_base).upper()
        return consequence_of(translate("".join(bases)), translate("".join(changed)))


def consequence_of(reference_residue: str, alternative_residue: str) -> Consequence | None:
    """Return what replacing an amino acid, or the stop `*`, by another is called; None where one is X."""
    if "X" in (reference_residue, alternative_residue):
        return None
    if reference_residue == alternative_residue:
        return "stop_retained" if reference_residue == STOP else "synonymous"
    if STOP in (reference_residue, alternative_residue):
        return "stop_gained" if alternative_residue == STOP else "stop_lost"
    return "missense"
