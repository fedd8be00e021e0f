"""Constraints while a sequence is being made: what a place may become, and where required motifs go."""

import numpy as np

from dnafm.analysis.sequence_constraints import SequenceConstraints
from dnafm.analysis.sequence_motifs import (
    ANY_BASE,
    STRONG,
    WEAK,
    Bits,
    completing_bases,
    known_bits,
    motif_starts,
    strands_of_motif,
)

# Placements of required motifs that are tried before they are given up.
_MOST_PLACEMENTS = 2000


def allowed_bases(constraints: SequenceConstraints, known: Bits, place: int) -> int:
    """Return the set of bases that violate nothing at a place that is not known, beside those that are.

    That is exact where all others are known. Before, a base may leave too few for a later place.
    """
    allowed = ANY_BASE
    if constraints.gc is not None:
        low, high = constraints.gc_counts(len(known))
        if np.count_nonzero(known & STRONG) >= high:
            allowed &= WEAK
        if np.count_nonzero(known & WEAK) >= len(known) - low:
            allowed &= STRONG
    if constraints.max_homopolymer is not None:
        allowed &= ~_lengthening_bases(known, place, constraints.max_homopolymer)
    for motif in constraints.forbidden_motifs:
        allowed &= ~completing_bases(known, place, motif)
    return allowed


def place_required(constraints: SequenceConstraints, sets: Bits, generator: np.random.Generator) -> Bits | None:
    """Put each required motif that is not there yet at a random place where it fits.

    Args:
        constraints: whose motifs they are; their places violate none of the others.
        sets: (bases,) what each base may be; one for those that are fixed.
        generator: of the places, and of the strands where both count.

    Returns:
        (bases,) what each base may be with the motifs in it, or None where no places for all of them were found.
    """
    budget = [_MOST_PLACEMENTS]
    # The longest ones have the fewest places.
    motifs = sorted(dict.fromkeys(constraints.require), key=len, reverse=True)
    return _placed(
        constraints, sets, [strands_of_motif(each, constraints.both_strands) for each in motifs], generator, budget
    )


def _placed(
    constraints: SequenceConstraints,
    sets: Bits,
    motifs: list[tuple[Bits, ...]],
    generator: np.random.Generator,
    budget: list[int],
) -> Bits | None:
    if not motifs:
        return sets
    if any(len(motif_starts(known_bits(sets), motif)) for motif in motifs[0]):
        return _placed(constraints, sets, motifs[1:], generator, budget)
    options = [(motif, start) for motif in motifs[0] for start in motif_starts(sets, motif).tolist()]
    for number in generator.permutation(len(options)):
        if not budget[0]:
            return None
        budget[0] -= 1
        motif, start = options[number]
        narrowed = sets.copy()
        narrowed[start : start + len(motif)] &= motif
        if next(constraints.failures(known_bits(narrowed)), None) is None:
            found = _placed(constraints, narrowed, motifs[1:], generator, budget)
            if found is not None:
                return found
    return None


def _lengthening_bases(known: Bits, place: int, longest: int) -> int:
    """Return the set of bases that would make a run longer than allowed."""
    bases = 0
    runs: dict[int, int] = {}
    for step in (-1, 1):
        neighbour = place + step
        base = int(known[neighbour]) if 0 <= neighbour < len(known) else 0
        while base and 0 <= neighbour < len(known) and known[neighbour] == base:
            runs[base] = runs.get(base, 0) + 1
            neighbour += step
    for base, length in runs.items():
        if length + 1 > longest:
            bases |= base
    return bases
