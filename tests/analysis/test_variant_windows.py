"""Windows of both alleles, by the slow way: write the whole contig with each allele in it, and cut."""

import pytest

pytest.importorskip("pysam")

from hypothesis import given
from hypothesis import strategies as st

from dnafm.analysis.variant_windows import AllelePair, AlleleWindow, SkipReason, allele_pair
from dnafm.genomics import ReferenceGenome, Variant, VariantKind

CONTIG = "ACGTTGCAAGGCTTATACCGGATCAATGCCGTTAAGCACTGATCG"  # 45 bases
bases = st.text("ACGT", min_size=1, max_size=6)


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">chr\n{CONTIG}\n>short\nACGTACGT\n>gap\n{'ACGTN' * 8}\n")
    return ReferenceGenome(path)


def pair_of(genome, start_bp, reference, alternative, contig="chr", window_bp=12, flank_bp=2):
    variant = Variant(contig, start_bp, reference, (alternative,))
    return allele_pair(variant, 0, reference=genome, window_bp=window_bp, flank_bp=flank_bp)


@given(start_bp=st.integers(0, 44), n_reference=st.integers(1, 6), alternative=bases, window_bp=st.integers(11, 30))
def test_windows_are_cut_from_the_contig_with_each_allele_in_it(genome, start_bp, n_reference, alternative, window_bp):
    """Equal lengths, the change in the middle or shifted at an end, whatever the kind of variant."""
    reference = CONTIG[start_bp : start_bp + n_reference]
    variant = Variant("chr", start_bp, reference, (alternative,))
    pair = allele_pair(variant, 0, reference=genome, window_bp=window_bp, flank_bp=2)
    if variant.kinds[0] is VariantKind.REFERENCE:
        assert pair is SkipReason.SAME_AS_REFERENCE
        return
    assert isinstance(pair, AllelePair)
    changed = variant.trimmed()
    end_bp = changed.start_bp + len(changed.reference_allele)
    longest = max(len(changed.reference_allele), len(changed.alternative_allele))
    for window, allele in (
        (pair.reference, changed.reference_allele),
        (pair.alternative, changed.alternative_allele),
    ):
        haplotype = CONTIG[: changed.start_bp] + allele + CONTIG[end_bp:]
        wanted_bp = changed.start_bp - (window_bp - longest + 1) // 2
        first_bp = max(0, min(wanted_bp, len(haplotype) - window_bp))
        assert window.bases == haplotype[first_bp : first_bp + window_bp]
        assert (window.offset, window.n_changed) == (changed.start_bp - first_bp, len(allele))


@given(start_bp=st.integers(0, 44), n_reference=st.integers(1, 6), alternative=bases, flank_bp=st.integers(0, 3))
def test_aligned_bases_are_equal_but_for_exchanged_ones(genome, start_bp, n_reference, alternative, flank_bp):
    """What both windows have of the genome is the same letters; scored stretches are as long in both windows."""
    pair = pair_of(genome, start_bp, CONTIG[start_bp : start_bp + n_reference], alternative, flank_bp=flank_bp)
    if isinstance(pair, SkipReason):
        return
    aligned = pair.aligned()
    both = (pair.reference.bases, pair.alternative.bases)
    letters = [[text[i] for i in own] for text, own in zip(both, aligned, strict=True)]
    n_different = sum(one != other for one, other in zip(*letters, strict=True))
    is_exchange = pair.reference.n_changed == pair.alternative.n_changed
    assert n_different <= (pair.reference.n_changed if is_exchange else 0)
    first, second = pair.scored(flank_bp)
    assert len(first) == len(second)
    for window, scored in ((pair.reference, first), (pair.alternative, second)):
        assert set(range(window.offset, window.offset + window.n_changed)) <= set(scored) <= set(range(12))


def test_snv_in_the_middle(genome):
    """A window of 12 has 6 bases before the variant and 5 behind it, and that base alone is scored."""
    pair = pair_of(genome, 20, CONTIG[20], "T")
    assert pair == AllelePair(
        AlleleWindow(CONTIG[14:26], 6, 1), AlleleWindow(CONTIG[14:20] + "T" + CONTIG[21:26], 6, 1)
    )
    assert pair.is_snv
    assert pair.scored(5) == (range(6, 7), range(6, 7))
    assert [positions.tolist() for positions in pair.aligned()] == [list(range(12))] * 2


def test_insertion_by_hand(genome):
    """Three bases behind base 20: the middle of both windows, 2 bases before, 3 + 2 from there on."""
    pair = pair_of(genome, 20, "G", "GTTT")
    assert CONTIG[20:22] == "GA"
    assert pair.reference == AlleleWindow(CONTIG[16:28], 5, 0)
    assert pair.alternative == AlleleWindow(CONTIG[16:21] + "TTT" + CONTIG[21:25], 5, 3)
    assert pair.scored(2) == (range(3, 10), range(3, 10))
    # The last 3 bases of the reference window are beyond the other one.
    assert [positions.tolist() for positions in pair.aligned()] == [
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
        [0, 1, 2, 3, 4, 8, 9, 10, 11],
    ]


def test_deletion_at_the_end_of_the_contig_shifts_the_windows_apart(genome):
    """The alternative window has to begin earlier, because nothing is behind the change."""
    pair = pair_of(genome, 41, CONTIG[41:45], CONTIG[41])
    assert pair.reference == AlleleWindow(CONTIG[33:45], 9, 3)
    assert pair.alternative == AlleleWindow(CONTIG[30:42], 12, 0)
    # 3 + 2 x 2 bases, the last ones of both windows.
    assert pair.scored(2) == (range(5, 12), range(5, 12))


@pytest.mark.parametrize(
    ("start_bp", "alleles", "reason"),
    [
        (5, ("G", "*"), SkipReason.SPANNING_DELETION),
        (5, ("G", "<DEL>"), SkipReason.SYMBOLIC),
        (5, ("G", "G[chr:7["), SkipReason.SYMBOLIC),
        (5, ("G", "."), SkipReason.NO_ALTERNATIVE),
        (5, ("G", "N"), SkipReason.AMBIGUOUS_BASES),
        (5, ("G", "R"), SkipReason.AMBIGUOUS_BASES),
        (5, ("G", "G" + "ACGT" * 3), SkipReason.LONGER_THAN_WINDOW),
    ],
)
def test_allele_without_windows_says_why(genome, start_bp, alleles, reason):
    """Each kind has a reason of its own."""
    assert pair_of(genome, start_bp, *alleles) is reason


def test_contig_shorter_than_the_window_is_a_reason(genome):
    """8 bases hold a window of 8, but not after one of them is deleted."""
    assert pair_of(genome, 2, "G", "T", contig="short", window_bp=9) is SkipReason.SHORT_CONTIG
    assert pair_of(genome, 2, "GT", "G", contig="short", window_bp=8) is SkipReason.SHORT_CONTIG
    assert isinstance(pair_of(genome, 2, "G", "T", contig="short", window_bp=8), AllelePair)


def test_unknown_bases_matter_where_they_are_scored(genome):
    """An N in the window is read; one in the stretch that is scored is a reason."""
    assert isinstance(pair_of(genome, 20, "A", "T", contig="gap"), AllelePair)
    assert isinstance(pair_of(genome, 20, "A", "AG", contig="gap", flank_bp=1), AllelePair)
    assert pair_of(genome, 20, "A", "AG", contig="gap", flank_bp=2) is SkipReason.AMBIGUOUS_BASES
