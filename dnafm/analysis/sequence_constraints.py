"""What a designed sequence must be like: composition, motifs, homopolymers, and how far it is from given ones."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from dnafm.analysis.sequence_identity import KnownSequences
from dnafm.analysis.sequence_motifs import (
    STRONG,
    WEAK,
    Bits,
    bits_text,
    known_bits,
    longest_run,
    motif_starts,
    sequence_bits,
    strands_of_motif,
)

# Added where shares become counts: 0.3 of 10 bases are 3.
_EPSILON = 1e-9


class FailureReason(str, Enum):
    """Why a sequence was not made."""

    GC = "gc"
    FORBIDDEN_MOTIF = "forbidden_motif"
    REQUIRED_MOTIF = "required_motif"
    HOMOPOLYMER = "homopolymer"
    IDENTITY = "identity"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class SequenceConstraints:
    """What holds for each sequence as it is written, its fixed bases included and its surroundings not.

    Attributes:
        gc: lowest and highest share of G and C, 0 to 1.
        forbid: motifs in letters of IUPAC that must not be in it.
        require: motifs of which each must be in it.
        both_strands: whether motifs also count on the other strand.
        max_homopolymer: longest run of one base.
        max_identity: highest identity to any of `identity_to`, 0 to 1, as `KnownSequences` defines it.
        identity_to: sequences; without `max_identity` the identity is reported alone.

    Raises:
        ValueError: a number is out of its range, a motif is none, or the constraints contradict each other.
    """

    gc: tuple[float, float] | None = None
    forbid: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    both_strands: bool = False
    max_homopolymer: int | None = None
    max_identity: float | None = None
    identity_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_numbers()
        for motif in self.require:
            self._check_required(motif)
        single = {int(motif[0]) for motif in self.forbidden_motifs if len(motif) == 1}
        if all(any(base & bits for bits in single) for base in (1, 2, 4, 8)):
            raise ValueError(f"The forbidden motifs {', '.join(self.forbid)} leave no base.")

    @property
    def restricts_bases(self) -> bool:
        """Whether some bases are not allowed beside others."""
        return bool(self.forbid) or self.gc is not None or self.max_homopolymer is not None

    @cached_property
    def forbidden_motifs(self) -> tuple[Bits, ...]:
        """The forbidden motifs, of both strands where these count."""
        return tuple(bits for motif in self.forbid for bits in strands_of_motif(motif, self.both_strands))

    @cached_property
    def known_sequences(self) -> KnownSequences | None:
        """What identity is measured to."""
        return KnownSequences(self.identity_to) if self.identity_to else None

    def gc_counts(self, n_bases: int) -> tuple[int, int]:
        """Return the lowest and the highest number of G and C of a sequence."""
        low, high = self.gc or (0.0, 1.0)
        return math.ceil(low * n_bases - _EPSILON), math.floor(high * n_bases + _EPSILON)

    def failures(self, known: Bits) -> Iterator[tuple[FailureReason, str]]:
        """Yield why known bases cannot become a sequence, whatever the others are, and a text about each reason.

        Args:
            known: (bases,) sets of one base, 0 for a base that is not known.
        """
        low, high = self.gc_counts(len(known))
        n_strong, n_weak = ((known & bits != 0).sum() for bits in (STRONG, WEAK))
        if low > high or n_strong > high or len(known) - n_weak < low:
            yield (
                FailureReason.GC,
                (
                    f"the range of GC allows {low} to {high} G and C among {len(known)} bases, and {n_strong} to "
                    f"{len(known) - n_weak} are possible"
                ),
            )
        for motif in self.forbidden_motifs:
            if len(starts := motif_starts(known, motif)):
                yield FailureReason.FORBIDDEN_MOTIF, f"the forbidden motif {bits_text(motif)} is at base {starts[0]}"
        if self.max_homopolymer is not None:
            length, start = longest_run(known)
            if length > self.max_homopolymer:
                yield (
                    FailureReason.HOMOPOLYMER,
                    (
                        f"a run of {length} {bits_text(known[start : start + 1])} is at base {start}, and "
                        f"max_homopolymer is {self.max_homopolymer}"
                    ),
                )
        if self.max_identity is not None and self.known_sequences is not None:
            identity = self.known_sequences.highest_identity(bits_text(known))
            if identity > self.max_identity:
                yield (
                    FailureReason.IDENTITY,
                    (f"its identity to a given sequence is {identity:.3g}, and max_identity is {self.max_identity}"),
                )

    def violation(self, sequence: str) -> FailureReason | None:
        """Return the first constraint that a sequence violates, None where all hold."""
        bits = sequence_bits(sequence)
        for motif in self.require:
            if not any(len(motif_starts(bits, each)) for each in strands_of_motif(motif, self.both_strands)):
                return FailureReason.REQUIRED_MOTIF
        return next((reason for reason, _ in self.failures(bits)), None)

    def _check_numbers(self) -> None:
        if self.gc is not None and not 0 <= self.gc[0] <= self.gc[1] <= 1:
            raise ValueError(
                f"The range of GC is {self.gc[0]} to {self.gc[1]}; it must be 0 <= lowest <= highest <= 1."
            )
        if self.max_homopolymer is not None and self.max_homopolymer < 1:
            raise ValueError(f"max_homopolymer is {self.max_homopolymer}; it must be at least 1.")
        if self.max_identity is None:
            return
        if not 0 <= self.max_identity <= 1:
            raise ValueError(f"max_identity is {self.max_identity}; it must lie in 0 to 1.")
        if not self.identity_to:
            raise ValueError("max_identity needs sequences to compare with. Give them as identity_to.")

    def _check_required(self, text: str) -> None:
        for motif in strands_of_motif(text, self.both_strands):
            for forbidden in self.forbidden_motifs:
                # In each spelling of the motif, where all bases that it allows are among the forbidden ones.
                offsets = range(len(motif) - len(forbidden) + 1)
                if any(((motif[i : i + len(forbidden)] & ~forbidden) == 0).all() for i in offsets):
                    raise ValueError(
                        f"The required motif {text} holds the forbidden motif {bits_text(forbidden)}. Give up one."
                    )
            length, _ = longest_run(known_bits(motif))
            if self.max_homopolymer is not None and length > self.max_homopolymer:
                raise ValueError(
                    f"The required motif {text} has a run of {length} equal bases, and max_homopolymer is "
                    f"{self.max_homopolymer}."
                )
