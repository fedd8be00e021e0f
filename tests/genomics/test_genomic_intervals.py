import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.genomics import Interval, merge_intervals, parse_region

LENGTH_BP = 60


@st.composite
def intervals(draw):
    start_bp = draw(st.integers(0, LENGTH_BP - 1))
    contig = draw(st.sampled_from(["chr1", "HLA:01", "2"]))
    return Interval(contig, start_bp, draw(st.integers(start_bp + 1, LENGTH_BP)), draw(st.sampled_from("+-.")))


def bases(interval):
    return {(interval.contig, position) for position in range(interval.start_bp, interval.end_bp)}


@given(intervals(), intervals())
def test_intervals_relate_as_their_sets_of_bases_do(one, other):
    """Overlap, containment and intersection are those of the sets of positions."""
    common = bases(one) & bases(other)
    assert one.overlaps(other) == bool(common)
    assert one.contains(other) == (bases(other) <= bases(one))
    intersection = one.intersection(other)
    assert (set() if intersection is None else bases(intersection)) == common
    assert len(one) == len(bases(one))


@given(intervals(), st.integers(-70, 70), st.integers(-70, 70))
def test_shifts_and_expansions_are_cut_at_the_ends_of_the_contig(interval, left_bp, right_bp):
    """What is left are the positions from 0 to the length; where there are none, an error says so."""
    for expected, call in (
        (
            (interval.start_bp - left_bp, interval.end_bp + right_bp),
            lambda: interval.expanded(left_bp, right_bp, contig_length_bp=LENGTH_BP),
        ),
        (
            (interval.start_bp + left_bp, interval.end_bp + left_bp),
            lambda: interval.shifted(left_bp, contig_length_bp=LENGTH_BP),
        ),
    ):
        kept = set(range(*expected)) & set(range(LENGTH_BP))
        if kept:
            found = call()
            assert {position for _, position in bases(found)} == kept
            assert found.strand == interval.strand
        else:
            with pytest.raises(ValueError, match="is left"):
                call()


@given(intervals(), st.integers(1, LENGTH_BP))
def test_a_window_has_its_size_and_lies_in_the_contig(interval, size_bp):
    """It is centred to within a base, except where an end of the contig is in the way."""
    window = interval.centred_window(size_bp, contig_length_bp=LENGTH_BP)
    assert len(window) == size_bp
    assert window.start_bp >= 0
    assert window.end_bp <= LENGTH_BP
    is_at_an_end = window.start_bp == 0 or window.end_bp == LENGTH_BP
    assert is_at_an_end or abs(window.start_bp + window.end_bp - interval.start_bp - interval.end_bp) <= 1


def test_the_middle_of_a_window_is_the_base():
    """By hand: 4 bases around base 10 are 8 to 12, and 3 are 9 to 12; at the start, 0 to 4."""
    base = Interval("c", 10, 11)
    assert base.centred_window(4).to_region() == "c:9-12"
    assert base.centred_window(3).to_region() == "c:10-12"
    assert Interval("c", 1, 2).centred_window(4).start_bp == 0
    with pytest.raises(ValueError, match=r"larger than c, which has 5"):
        base.centred_window(6, contig_length_bp=5)


@given(intervals())
def test_region_text_gives_back_the_interval(interval):
    """Text counts from 1; a contig may itself have a colon."""
    found = parse_region(interval.to_region())
    assert (found.contig, found.start_bp, found.end_bp) == (interval.contig, interval.start_bp, interval.end_bp)
    assert pickle.loads(pickle.dumps(interval)) == interval


def test_regions_are_read_as_samtools_writes_them():
    """By hand, with commas, and with a contig alone where its length is known."""
    assert parse_region("chr1:1,001-2,000") == Interval("chr1", 1000, 2000)
    assert parse_region("chr1", contig_lengths={"chr1": 7}) == Interval("chr1", 0, 7)
    with pytest.raises(ValueError, match=r"chr1:2-8 ends behind chr1, which has 7 bases"):
        parse_region("chr1:2-8", contig_lengths={"chr1": 7})
    with pytest.raises(ValueError, match="There is no contig 'chr2'"):
        parse_region("chr2:2-8", contig_lengths={"chr1": 7})


@pytest.mark.parametrize(
    "text", ["", "chr1", "chr1:5", "chr1:0-5", "chr1:9-5", "chr1:-", "chr1:a-b", ":1-5", f"c:1-{'9' * 5000}"]
)
def test_text_that_is_no_region_is_refused(text):
    """The message is one line, for texts of any length."""
    with pytest.raises(ValueError, match="region"):
        parse_region(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("c", -1, 2), "counted from 0"),
        (("c", 2, 2), "must be below end_bp"),
        (("c", 3, 2), "must be below end_bp"),
        (("c", 1, 2, "x"), "strand is 'x'"),
        (("", 1, 2), "name of a contig"),
    ],
)
def test_wrong_intervals_are_refused(arguments, message):
    """Each rule has its message."""
    with pytest.raises(ValueError, match=message):
        Interval(*arguments)


@given(st.lists(intervals(), max_size=8))
def test_merged_intervals_have_the_same_bases_apart(many):
    """They are sorted, disjoint, do not touch, and cover what the intervals cover."""
    merged = merge_intervals(many)
    assert set().union(*map(bases, merged)) == set().union(*map(bases, many))
    for left, right in pairwise(merged):
        assert left.contig < right.contig or (left.contig == right.contig and left.end_bp < right.start_bp)
