"""Motifs in the letters of IUPAC, in sequences of which some bases are not known yet.

A set of bases is a number: A 1, C 2, G 4, T 8, and their sums. Known bases are such sets of one, 0 where nothing is
known.
"""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dnafm.genomics import is_dna, reverse_complement
from dnafm.genomics.sequences import BASES

Bits = NDArray[np.uint8]
ANY_BASE = 15
STRONG, WEAK = 6, 9
_SETS = {
    "A": 1, "C": 2, "G": 4, "T": 8, "R": 5, "Y": 10, "S": STRONG, "W": WEAK,
    "K": 12, "M": 3, "B": 14, "D": 13, "H": 11, "V": 7, "N": ANY_BASE,
}  # fmt: skip
_LETTERS = bytes(ord({bits: letter for letter, bits in _SETS.items()}.get(bits, "?")) for bits in range(16))
_TO_BITS = bytes(_SETS.get(chr(code), 0) for code in range(256))


def motif_bits(motif: str) -> Bits:
    """Return (bases,) the bases that each letter stands for.

    Raises:
        ValueError: there is no letter, or one is none of IUPAC's.
    """
    letters = motif.upper().replace("U", "T")
    if not letters or not is_dna(letters):
        raise ValueError(f"The motif {motif!r} must be letters of IUPAC: {', '.join(_SETS)}, and at least one.")
    return sequence_bits(letters)


@lru_cache(maxsize=1024)
def strands_of_motif(motif: str, both_strands: bool) -> tuple[Bits, ...]:
    """Return the motif, and with both strands its reverse complement, where that is another one."""
    texts = [motif.upper(), reverse_complement(motif.upper())] if both_strands else [motif.upper()]
    return tuple(motif_bits(text) for text in dict.fromkeys(text.replace("U", "T") for text in texts))


def sequence_bits(sequence: str) -> Bits:
    """Return (bases,) sets of a sequence in upper case, 0 for what is no letter of IUPAC."""
    return np.frombuffer(sequence.encode("ascii").translate(_TO_BITS), np.uint8).copy()


def bits_text(bits: Bits) -> str:
    """Return a sequence of sets as text, with `?` where nothing is known."""
    return bits.astype(np.uint8).tobytes().translate(_LETTERS.ljust(256, b"?")).decode("ascii")


def known_bits(sets: Bits) -> Bits:
    """Return the sets of one base, and 0 for the others."""
    return np.where((sets & (sets - 1)) == 0, sets, 0).astype(np.uint8)


def motif_starts(bits: Bits, motif: Bits) -> NDArray[np.intp]:
    """Return where each base has one in common with the motif: for known bases where the motif is for certain."""
    if len(motif) > len(bits):
        return np.zeros(0, np.intp)
    return np.flatnonzero(((sliding_window_view(bits, len(motif)) & motif) != 0).all(axis=1))


def completing_bases(known: Bits, place: int, motif: Bits) -> int:
    """Return the set of bases that would complete the motif at a place, all others being as they are known."""
    n_bases = len(motif)
    starts = np.arange(max(0, place - n_bases + 1), min(place, len(known) - n_bases) + 1)
    if not len(starts):
        return 0
    matches = (sliding_window_view(known, n_bases)[starts[0] : starts[-1] + 1] & motif) != 0
    offsets = place - starts
    matches[np.arange(len(starts)), offsets] = True
    return int(np.bitwise_or.reduce(motif[offsets[matches.all(axis=1)]], initial=0))


def longest_run(known: Bits) -> tuple[int, int]:
    """Return the length of the longest run of one known base, and where it begins; 0 and 0 without any."""
    longest, start, first = 0, 0, 0
    for place in range(len(known)):
        if place and known[place] != known[place - 1]:
            first = place
        if known[place] and place + 1 - first > longest:
            longest, start = place + 1 - first, first
    return longest, start


def bases_of(bits: int) -> str:
    """Return the letters of a set."""
    return "".join(base for i, base in enumerate(BASES) if bits >> i & 1)
