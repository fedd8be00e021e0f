import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnafm.analysis.constrained_bases import allowed_bases, place_required
from dnafm.analysis.sequence_constraints import FailureReason, SequenceConstraints
from dnafm.analysis.sequence_identity import KnownSequences
from dnafm.analysis.sequence_motifs import bases_of, bits_text, sequence_bits
from dnafm.genomics import gc_content, reverse_complement

CODES = {
    "A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip
MOTIFS = st.text("ACGTRYSWN", min_size=1, max_size=5)


def has_motif(sequence, motif, *, both_strands=False):
    """By a regular expression: the slow way."""
    pattern = "".join(f"[{CODES[letter]}]" for letter in motif)
    return bool(re.search(pattern, sequence)) or (both_strands and has_motif(reverse_complement(sequence), motif))


def violations(sequence, constraints):
    """All reasons by plain Python."""
    reasons = set()
    if constraints.gc and not constraints.gc[0] - 1e-9 <= gc_content(sequence) <= constraints.gc[1] + 1e-9:
        reasons.add("gc")
    for motif in constraints.forbid:
        if has_motif(sequence, motif, both_strands=constraints.both_strands):
            reasons.add("forbidden_motif")
    for motif in constraints.require:
        if not has_motif(sequence, motif, both_strands=constraints.both_strands):
            reasons.add("required_motif")
    longest = max(len(list(run)) for _, run in itertools.groupby(sequence))
    if constraints.max_homopolymer and longest > constraints.max_homopolymer:
        reasons.add("homopolymer")
    return reasons


@st.composite
def some_constraints(draw, required=True):
    """Constraints that do not contradict themselves."""
    low, high = sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    options = {
        "gc": draw(st.sampled_from([None, (low, high)])),
        "forbid": tuple(draw(st.lists(MOTIFS, max_size=2))),
        "require": tuple(draw(st.lists(MOTIFS, max_size=2))) if required else (),
        "both_strands": draw(st.booleans()),
        "max_homopolymer": draw(st.sampled_from([None, 1, 2, 3])),
    }
    try:
        return SequenceConstraints(**options)
    except ValueError:
        return SequenceConstraints()


@given(sequence=st.text("ACGT", min_size=1, max_size=12), constraints=some_constraints())
@settings(max_examples=200, deadline=None)
def test_violation_is_found_where_there_is_one(sequence, constraints):
    """And is one of those that plain Python finds."""
    found, expected = constraints.violation(sequence), violations(sequence, constraints)
    assert (found is None) == (not expected)
    assert found is None or found.value in expected


def is_violated_at(sequence, place, constraints):
    """Whether GC is out of its range, or a forbidden motif or too long a run has that place, by plain Python."""
    for motif in constraints.forbid:
        starts = range(max(0, place - len(motif) + 1), place + 1)
        parts = (sequence[start : start + len(motif)] for start in starts)
        if any(has_motif(part, motif, both_strands=constraints.both_strands) for part in parts):
            return True
    base = sequence[place]
    left = len(sequence[:place]) - len(sequence[:place].rstrip(base))
    right = len(sequence[place:]) - len(sequence[place:].lstrip(base))
    is_long = constraints.max_homopolymer is not None and left + right > constraints.max_homopolymer
    return is_long or bool(violations(sequence, SequenceConstraints(gc=constraints.gc)))


@given(data=st.data(), constraints=some_constraints(required=False))
@settings(max_examples=300, deadline=None)
def test_allowed_bases_are_those_that_violate_nothing_at_a_place(data, constraints):
    """Beside known bases, by trying all four; where none keeps to the range of GC, none need be allowed."""
    sequence = data.draw(st.text("ACGT", min_size=1, max_size=10))
    place = data.draw(st.integers(0, len(sequence) - 1))
    known = sequence_bits(sequence)
    known[place] = 0
    tried = {base: sequence[:place] + base + sequence[place + 1 :] for base in "ACGT"}
    possible = {base for base, whole in tried.items() if not is_violated_at(whole, place, constraints)}
    gc_alone = SequenceConstraints(gc=constraints.gc)
    if any(not violations(whole, gc_alone) for whole in tried.values()):
        assert set(bases_of(allowed_bases(constraints, known, place))) == possible
    else:
        assert not possible


@given(constraints=some_constraints(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_required_motifs_are_placed_beside_fixed_bases(constraints, data):
    """Each motif is there for certain or can still be drawn, fixed bases stay, and no fixed letter violates others."""
    template = data.draw(st.text("ACGT????", min_size=1, max_size=14))
    fixed = sequence_bits(template)
    sets = np.where(fixed == 0, 15, fixed).astype(np.uint8)
    if any(constraints.failures(fixed)):
        return
    placed = place_required(constraints, sets, np.random.default_rng(data.draw(st.integers(0, 99))))
    if placed is None:
        return
    assert (placed & ~sets == 0).all()
    assert (placed > 0).all()
    for choose in (min, max):
        # Whichever base is drawn of each set, the motifs are there.
        sequence = "".join(choose(bases_of(bits)) for bits in placed)
        assert not violations(
            sequence, SequenceConstraints(require=constraints.require, both_strands=constraints.both_strands)
        )


def test_required_motifs_find_their_only_places():
    """Two motifs that leave one arrangement; none where they do not fit; on the other strand where that counts."""
    generator = np.random.default_rng(0)

    def placed(template, **options):
        fixed = sequence_bits(template)
        sets = np.where(fixed == 0, 15, fixed).astype(np.uint8)
        found = place_required(SequenceConstraints(**options), sets, generator)
        return None if found is None else bits_text(found)

    assert placed("A????????T", require=("GATTAC", "CC")) in ("ACCGATTACT", "AGATTACCCT")
    assert placed("A??TT", require=("GATTA",)) is None
    assert placed("AAA????", require=("RCCN",)) in ("AAACCNN", "AAARCCN")
    assert placed("?CTTT", require=("AAAG",)) is None
    assert placed("?CTTT", require=("AAAG",), both_strands=True) == "NCTTT"
    assert placed("C???C", require=("CCA",), max_homopolymer=2) == "CCANC"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("ACGT", "ACGT", 1.0),
        ("ACGT", "ACGA", 0.75),
        ("ACGT", "TTACGTT", 1.0),
        ("TTACGTT", "CGA", 2 / 3),
        ("AC?T", "ACGT", 0.75),
        ("NNAA", "NNAA", 0.5),
    ],
)
def test_identity_is_of_the_best_ungapped_place(first, second, expected):
    """By hand; bases that are not known are equal to nothing."""
    assert KnownSequences([second]).highest_identity(first) == pytest.approx(expected)
    assert KnownSequences(["T" * 40, second]).highest_identity(first) >= expected


def test_sequence_too_like_a_given_one_fails():
    """At the limit it passes."""
    constraints = SequenceConstraints(max_identity=0.75, identity_to=("ACGT",))
    assert constraints.violation("ACGT") is FailureReason.IDENTITY
    assert constraints.violation("ACGA") is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gc": (0.6, 0.4)}, "The range of GC is 0.6 to 0.4"),
        ({"gc": (-0.1, 0.4)}, "it must be 0 <= lowest <= highest <= 1"),
        ({"gc": (40, 60)}, "The range of GC is 40 to 60"),
        ({"forbid": ("GAXTC",)}, "The motif 'GAXTC' must be letters of IUPAC"),
        ({"require": ("",)}, "The motif '' must be letters of IUPAC"),
        ({"forbid": ("S", "W")}, "leave no base"),
        ({"forbid": ("AATT",), "require": ("GAATTC",)}, "GAATTC holds the forbidden motif AATT"),
        ({"forbid": ("RAN",), "require": ("GAATTC",)}, "GAATTC holds the forbidden motif RAN"),
        ({"forbid": ("AAC",), "require": ("CGTT",), "both_strands": True}, "CGTT holds the forbidden motif GTT"),
        ({"max_homopolymer": 0}, "max_homopolymer is 0; it must be at least 1"),
        ({"max_homopolymer": 3, "require": ("CAAAAC",)}, "CAAAAC has a run of 4 equal bases"),
        ({"max_identity": 0.8}, "max_identity needs sequences to compare with"),
        ({"max_identity": 1.2, "identity_to": ("ACGT",)}, "max_identity is 1.2; it must lie in 0 to 1"),
    ],
)
def test_contradiction_is_refused(options, message):
    """Before there is a template."""
    with pytest.raises(ValueError, match=message):
        SequenceConstraints(**options)


def test_motif_that_can_avoid_the_forbidden_one_is_allowed():
    """CANNTG has spellings without CATATG, and what is forbidden on one strand may be required on the other."""
    SequenceConstraints(require=("CANNTG",), forbid=("CATATG",))
    SequenceConstraints(require=("CGTT",), forbid=("AACG",))
