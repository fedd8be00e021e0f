import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.genomics import gc_content, is_dna, reverse_complement

# The bases that each code stands for, from which its complement follows.
CODES = (
    "A",
    "C",
    "G",
    "T",
    "AG=R",
    "CT=Y",
    "CG=S",
    "AT=W",
    "GT=K",
    "AC=M",
    "CGT=B",
    "AGT=D",
    "ACT=H",
    "ACG=V",
    "ACGT=N",
)
MEANINGS = {code[-1]: code.split("=")[0] for code in CODES}
PAIRS = {"A": "T", "C": "G", "G": "C", "T": "A"}
LETTERS = "".join(MEANINGS) + "".join(MEANINGS).lower()


def complement(letter):
    """Return the code of the bases that pair with those of a code."""
    meaning = "".join(sorted(PAIRS[base] for base in MEANINGS[letter.upper()]))
    found = next(code for code, bases in MEANINGS.items() if bases == meaning)
    return found.lower() if letter.islower() else found


@given(st.text(LETTERS))
def test_a_code_is_complemented_as_its_bases_are(sequence):
    """Letter by letter from the meanings of IUPAC; bytes and text agree, and case stays."""
    expected = "".join(complement(letter) for letter in reversed(sequence))
    assert reverse_complement(sequence) == expected
    assert reverse_complement(sequence.encode()) == expected.encode()


@given(st.text(LETTERS + "-."))
def test_two_reversals_give_back_the_sequence(sequence):
    """Gaps stay too. U is left out: it becomes A, and A becomes T."""
    assert reverse_complement(reverse_complement(sequence)) == sequence


def test_uracil_pairs_with_adenine():
    """By hand."""
    assert reverse_complement("UuC") == "GaA"


@pytest.mark.parametrize(("sequence", "character", "offset"), [("ACGE", "E", 3), ("A C", " ", 1), ("AÄ", "Ä", 1)])
def test_other_letters_are_refused_with_their_place(sequence, character, offset):
    """A protein is not reversed in silence."""
    with pytest.raises(ValueError, match=f"'{character}' at offset {offset} is no nucleotide"):
        reverse_complement(sequence)


def test_gc_content_counts_known_bases():
    """By hand: of G, C, S, A, T, U, W, lower case too; R and N say nothing."""
    assert gc_content("GgCATN") == 3 / 5
    assert gc_content(b"SWRU") == 1 / 3
    assert math.isnan(gc_content("NNN"))


def test_dna_is_told_from_other_text():
    """With and without ambiguity codes; U is RNA."""
    assert is_dna("ACGTacgt", ambiguous=False)
    assert is_dna("ACGTRYNn")
    assert not is_dna("ACGTN", ambiguous=False)
    assert not any(map(is_dna, ("ACGU", "MKLV", "A-C", "AÄ")))
