"""Clusters against an annotation: features of windows, enrichment, mutual information, composition."""

import math

import numpy as np
import pytest

pytest.importorskip("pysam")
pytest.importorskip("sklearn")
from scipy import stats

from dnafm.analysis.annotation_enrichment import enrichment_table, majority_of, mutual_information
from dnafm.analysis.annotation_features import read_features
from dnafm.analysis.cluster_composition import Composition, periodicity_3
from dnafm.genomics import Interval, ReferenceGenome

EDGES = np.array([0, 10, 20, 30, 40])


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "genome.fa").write_text(f">c\n{'ACGT' * 10}\n>d\n{'A' * 8}\n")
    with ReferenceGenome(tmp_path / "genome.fa") as opened:
        yield opened


def bed(tmp_path, *rows):
    (tmp_path / "features.bed").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return tmp_path / "features.bed"


def test_p_values_are_those_of_fisher_and_of_benjamini_and_hochberg():
    """A table of 12 windows: each row as scipy's exact test has it, and adjusted p-values by hand."""
    labels = np.array([0] * 5 + [1] * 5 + [-1, -2])
    has = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1], bool)[:, None]
    rows = enrichment_table(labels, has, cluster_names=("a", "b"), feature_names=("CDS",)).to_pylist()
    assert [(row["n_both"], row["n_cluster"], row["n_feature"], row["n_windows"]) for row in rows] == [
        (4, 5, 5, 10),
        (1, 5, 5, 10),
    ]
    for row, table in zip(rows, ([[4, 1], [1, 4]], [[1, 4], [4, 1]]), strict=True):
        expected = stats.fisher_exact(table, alternative="greater")
        assert row["p_value"] == pytest.approx(expected.pvalue)
        assert row["odds_ratio"] == pytest.approx(expected.statistic)
    # By hand: (C(5,4) C(5,1) + 1) / C(10,5) = 26 / 252; of two p-values the smaller is doubled.
    assert rows[0]["p_value"] == pytest.approx(26 / 252)
    assert rows[0]["adjusted_p_value"] == pytest.approx(52 / 252)
    assert rows[1]["adjusted_p_value"] == pytest.approx(251 / 252)
    assert [row["fold"] for row in rows] == pytest.approx([1.6, 0.4])


def test_adjusted_p_values_over_a_table_are_those_of_the_procedure():
    """p_(i) x m / i, from the largest down, over clusters and features together."""
    generator = np.random.default_rng(0)
    labels, has = generator.integers(0, 3, 200), generator.random((200, 4)) < 0.3
    names = {"cluster_names": ("a", "b", "c"), "feature_names": ("w", "x", "y", "z")}
    table = enrichment_table(labels, has, **names)
    p_values, adjusted = np.array(table["p_value"]), np.array(table["adjusted_p_value"])
    order = np.argsort(p_values)
    scaled = p_values[order] * 12 / np.arange(1, 13)
    assert adjusted[order] == pytest.approx(np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1))


def test_mutual_information_of_equal_partitions_is_their_entropy():
    """Two equal classes tell each other log 2; adjusted, 1. Windows without a cluster do not count."""
    found = mutual_information(np.array([0, 0, 1, 1, -2]), np.array([1, 1, 0, 0, 1]))
    assert (found.nats, found.adjusted) == pytest.approx((math.log(2), 1))


@pytest.mark.parametrize(("labels", "classes"), [([0, 1, 0, 1], [0] * 4), ([0] * 4, [0, 1, 0, 1]), ([0] * 4, [0] * 4)])
def test_an_annotation_that_is_the_same_everywhere_tells_nothing(labels, classes):
    """The information is 0, and the adjusted one is not defined, whatever convention a library has for it."""
    found = mutual_information(np.array(labels), np.array(classes))
    assert found.nats == 0
    assert math.isnan(found.adjusted)


def test_windows_have_features_that_cover_half_of_them_or_lie_half_in_them(tmp_path, genome):
    """By hand: half a window, parts that are half together, a small feature, one that two windows share equally."""
    path = bed(tmp_path, *[("c", 0, 5, "half"), ("c", 10, 13, "parts"), ("c", 17, 19, "parts")])
    features = read_features(path, genome)
    assert features.names == ("half", "parts")
    assert features.has("c", EDGES).T.tolist() == [[True, False, False, False], [False, True, False, False]]
    path = bed(tmp_path, ("c", 21, 23, "small"), ("c", 8, 12, "shared"), ("c", 26, 31, "uneven"))
    found = dict(zip(read_features(path, genome).names, read_features(path, genome).has("c", EDGES).T, strict=True))
    assert np.flatnonzero(found["small"]).tolist() == [2]
    assert np.flatnonzero(found["shared"]).tolist() == [0, 1]
    assert np.flatnonzero(found["uneven"]).tolist() == [2]
    assert not read_features(path, genome).has("d", np.array([0, 8])).any()


def test_class_of_a_window_is_the_type_that_most_of_its_bases_have(tmp_path, genome):
    """Where types overlap the smaller one counts, or the first one named; bases without are a class of their own."""
    path = bed(tmp_path, ("c", 0, 40, "region"), ("c", 0, 16, "gene"), ("c", 20, 24, "tRNA"))
    features = read_features(path, genome)
    assert features.class_names == ("tRNA", "gene", "region", "none")
    assert features.classes("c", EDGES).tolist() == [1, 1, 2, 2]
    assert features.classes("c", np.array([0, 10, 20, 25, 40])).tolist() == [1, 1, 0, 2]
    few = read_features(path, genome, names=["gene", "tRNA"])
    assert few.classes("c", EDGES).tolist() == [0, 0, 2, 2]
    assert features.classes("d", np.array([0, 8])).tolist() == [3]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("chr9", 0, 5, "x"), r"features\.bed:1: .*genome\.fa has no contig 'chr9'"),
        (("c", 30, 50, "x"), r"features\.bed:1: c:31-50 ends behind c, which has 40 bases in .*genome\.fa"),
        (("c", 0, 5), r"features\.bed:1: the row has no name"),
    ],
)
def test_an_annotation_of_another_genome_is_refused(tmp_path, genome, row, message):
    """The message names both files, and the line."""
    with pytest.raises(ValueError, match=message):
        read_features(bed(tmp_path, row), genome)


def test_unknown_types_and_files_without_features_are_refused(tmp_path, genome):
    """The message says which types there are."""
    path = bed(tmp_path, ("c", 0, 5, "gene"))
    with pytest.raises(ValueError, match=r"has no feature 'exon'\. It has gene\."):
        read_features(path, genome, names=["gene", "exon"])
    (tmp_path / "empty.gff3").write_text("##gff-version 3\n")
    with pytest.raises(ValueError, match=r"empty\.gff3 has no feature, so there is nothing to compare with"):
        read_features(tmp_path / "empty.gff3", genome)


def test_period_3_stands_out_from_shuffled_bases():
    """Every third base is G: all power but that of the rest is at period 3; shuffled, the ratio is 1 on average."""
    generator = np.random.default_rng(0)
    letters = generator.choice(np.frombuffer(b"ACT", np.uint8), (200, 150))
    letters[:, ::3] = ord("G")
    assert periodicity_3(letters).mean() > 20
    shuffled = generator.permuted(letters, axis=1)
    assert periodicity_3(shuffled).mean() == pytest.approx(1, abs=0.15)


def test_periodicity_is_that_of_the_fourier_transform():
    """The closed form gives what the transforms of the four indicator sequences give."""
    letters = np.random.default_rng(1).choice(np.frombuffer(b"ACGTN", np.uint8), (5, 30))
    power = sum(np.abs(np.fft.fft(letters == base, axis=1)) ** 2 for base in b"ACGT")
    assert periodicity_3(letters) == pytest.approx(power[:, 10] / power[:, 1:].mean(axis=1))
    assert np.isnan(periodicity_3(np.full((1, 30), ord("A"), np.uint8)))


def test_composition_counts_the_intervals_of_each_cluster(genome):
    """40 bases of ACGT and 8 of A: shares and GC by hand; nothing is long enough for a period."""
    composition = Composition()
    composition.add(genome, "c", [Interval("c", 0, 10, ".", "x"), Interval("c", 10, 40, ".", "y")])
    composition.add(genome, "d", [Interval("d", 0, 8, ".", "x")])
    found = composition.columns(["x", "y"])
    assert found["n_intervals"] == [2, 1]
    assert found["n_bases"] == [18, 30]
    assert found["share"] == pytest.approx([18 / 48, 30 / 48])
    assert found["gc"] == pytest.approx([5 / 18, 15 / 30])
    assert all(map(math.isnan, found["periodicity_3"]))


def test_majority_of_groups_takes_the_smallest_of_equally_frequent():
    """By hand over groups of 3, 2 and 1."""
    assert majority_of(np.array([2, 2, 0, 1, 0, -2]), np.array([3, 2, 1])).tolist() == [2, 0, -2]
