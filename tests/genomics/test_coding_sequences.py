import random

import pytest

from dnafm.genomics import CodingSequence, Interval, ReferenceGenome, consequence_of, translate

# From position 0: ATG GCC in one exon, TGG TAA in the next, and the same on the other strand behind them.
FORWARD = "CC" + "ATGGC" + "GTAAGT" + "CTGGTAA" + "AA"
REVERSE = "TT" + "TTACCAG" + "ACTTAC" + "GCCAT" + "GG"


@pytest.fixture
def genome(write):
    with ReferenceGenome(write(f">f\n{FORWARD}\n>r\n{REVERSE}\n", "g.fa")) as genome:
        yield genome


@pytest.fixture
def both():
    forward = CodingSequence((Interval("f", 2, 7), Interval("f", 13, 20)))
    reverse = CodingSequence((Interval("r", 15, 20, "-"), Interval("r", 2, 9, "-")))
    return forward, reverse


def test_codons_are_spliced_along_the_strand(genome, both):
    """By hand: M A W and a stop from either strand, and the second codon has the intron in it."""
    forward, reverse = both
    assert forward.bases(genome) == reverse.bases(genome) == "ATGGCCTGGTAA"
    assert forward.protein(genome) == reverse.protein(genome) == "MAW*"
    assert forward.codon_positions_bp(1) == (5, 6, 13)
    assert reverse.codon_positions_bp(1) == (16, 15, 8)
    with pytest.raises(ValueError, match="no codon 4"):
        forward.codon_positions_bp(4)


def test_positions_and_codons_are_each_others_inverse(genome, both):
    """Each base of a codon finds its codon and its place, and all other bases none."""
    for sequence in both:
        inside = {p: (codon, i) for codon in range(4) for i, p in enumerate(sequence.codon_positions_bp(codon))}
        assert {p: place for p in range(25) if (place := sequence.codon_at(p))} == inside


def test_the_phase_leaves_out_bases_of_a_codon_that_is_not_there():
    """By hand: phase 2, then one whole codon, and two bases that make none."""
    sequence = CodingSequence((Interval("f", 0, 7, "-"),), 2)
    assert sequence.positions_bp.tolist() == [4, 3, 2]
    assert sequence.codon_at(1) is None


def test_consequences_are_those_of_the_changed_protein(genome, both):
    """Every substitution against translating the edited genome anew."""
    for sequence, name, text in zip(both, ("f", "r"), (FORWARD, REVERSE), strict=True):
        before = sequence.protein(genome)
        for position_bp in range(len(text)):
            for base in set("ACGT") - {text[position_bp]}:
                edited = text[:position_bp] + base + text[position_bp + 1 :]
                spliced = edited[2:7] + edited[13:20] if name == "f" else edited[2:9] + edited[15:20]
                if name == "r":
                    spliced = spliced[::-1].translate(str.maketrans("ACGT", "TGCA"))
                place = sequence.codon_at(position_bp)
                expected = place and consequence_of(before[place[0]], translate(spliced)[place[0]])
                assert sequence.consequence(genome, position_bp, alternative_base=base) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("A", "A", "synonymous"),
        ("A", "C", "missense"),
        ("A", "*", "stop_gained"),
        ("*", "A", "stop_lost"),
        ("*", "*", "stop_retained"),
        ("A", "X", None),
    ],
)
def test_consequences_have_the_names_of_the_field(before, after, expected):
    """By hand."""
    assert consequence_of(before, after) == expected


def test_the_standard_code():
    """By hand, as in textbooks: the starts and stops, the sizes of the families, lower case, U and N."""
    assert translate("ATGTAATAGTGAUGGaaan") == "M***WK"
    assert translate("ATGANA") == "MX"
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    random.Random(0).shuffle(codons)
    protein = translate("".join(codons))
    sizes = {residue: protein.count(residue) for residue in set(protein)}
    assert sizes == {
        **dict.fromkeys("LSR", 6),
        **dict.fromkeys("VPTAG", 4),
        **dict.fromkeys("I*", 3),
        **dict.fromkeys("FYHQNKDEC", 2),
        **dict.fromkeys("MW", 1),
    }
