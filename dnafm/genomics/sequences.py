"""Strands and composition of sequences of nucleotides, in the letters of IUPAC."""

import math
from typing import TypeVar

import numpy as np

Sequence = TypeVar("Sequence", str, bytes)

BASES = "ACGT"
AMBIGUITY_CODES = "RYSWKMBDHVN"
_GAPS = "-."
_COMPLEMENTS = dict(zip("ACGTURYSWKMBDHVN-.", "TGCAAYRSWMKVHDBN-.", strict=True))


def _both_cases(letters: str) -> bytes:
    return (letters + letters.lower()).encode()


_INVALID = b"\0"
_LETTERS = _both_cases("".join(_COMPLEMENTS))


def _complement_table() -> bytes:
    table = bytearray(_INVALID * 256)
    for letter, complement in zip(_LETTERS, _both_cases("".join(_COMPLEMENTS.values())), strict=True):
        table[letter] = complement
    return bytes(table)


_COMPLEMENT_TABLE = _complement_table()
_NUCLEOTIDES = _both_cases(BASES + "U" + AMBIGUITY_CODES)
_DNA = {True: _both_cases(BASES + AMBIGUITY_CODES), False: _both_cases(BASES)}


def reverse_complement(sequence: Sequence) -> Sequence:
    """Return the other strand, read in its own direction.

    Ambiguity codes are complemented as IUPAC defines them, U becomes A, the gaps `-` and `.` stay, and so does case.

    Raises:
        ValueError: names the first character that is no nucleotide, and its place.
    """
    letters = _encoded(sequence)
    complement = letters.translate(_COMPLEMENT_TABLE)
    if _INVALID in complement:
        raise ValueError(_not_a_nucleotide(letters, _LETTERS))
    # Several times as fast as a slice of bytes.
    reverse = np.frombuffer(complement, np.uint8)[::-1].tobytes()
    return reverse if isinstance(sequence, bytes) else reverse.decode("ascii")


def gc_content(sequence: str | bytes) -> float:
    """Return the share of G and C among the bases that are known to be one or the other, NaN where there are none.

    Case does not matter. S counts as G or C, W as A or T, U as T; all other ambiguity codes and gaps are left out.
    """
    letters = _encoded(sequence).upper()
    n_strong = sum(map(letters.count, (b"G", b"C", b"S")))
    n_weak = sum(map(letters.count, (b"A", b"T", b"U", b"W")))
    return n_strong / (n_strong + n_weak) if n_strong + n_weak else math.nan


def is_dna(sequence: str | bytes, *, ambiguous: bool = True) -> bool:
    """Return whether all characters are A, C, G or T in either case, or ambiguity codes of IUPAC where allowed."""
    if isinstance(sequence, str) and not sequence.isascii():
        return False
    return not _encoded(sequence).translate(None, _DNA[ambiguous])


def check_nucleotides(sequence: str) -> None:
    """Raise a ValueError that names the first character that is no letter of DNA or RNA."""
    letters = _encoded(sequence)
    if letters.translate(None, _NUCLEOTIDES):
        raise ValueError(_not_a_nucleotide(letters, _NUCLEOTIDES))


def _encoded(sequence: str | bytes) -> bytes:
    if isinstance(sequence, bytes):
        return sequence
    if not sequence.isascii():
        offset, character = next((i, c) for i, c in enumerate(sequence) if not c.isascii())
        raise ValueError(_message(character, offset))
    return sequence.encode("ascii")


def _not_a_nucleotide(letters: bytes, allowed: bytes) -> str:
    offset, code = next((i, c) for i, c in enumerate(letters) if c not in allowed)
    return _message(chr(code), offset)


def _message(character: str, offset: int) -> str:
    return f"{character!r} at offset {offset} is no nucleotide: A, C, G, T, U, N and the IUPAC ambiguity codes are."
