"""Clusters of a planted genome, units that tile it, numbers by size, and the majority filter."""

import math
import random

import numpy as np
import pytest

pytest.importorskip("pysam")
pytest.importorskip("sklearn")
from hypothesis import given, settings
from hypothesis import strategies as st

import dnafm
from dnafm import DNAFMTokenizer
from dnafm.analysis.annotation_colours import COLOURS, colour_of
from dnafm.analysis.annotation_windows import AnnotationCut, unit_vectors, vectors_of, window_chunks
from dnafm.analysis.cluster_results import cluster_intervals
from dnafm.analysis.clustering import majority_filtered, numbered_by_size
from dnafm.analysis.embedder import Embedder
from dnafm.genomics import ReferenceGenome

BLOCK_BP, N_BLOCKS, WINDOW_BP = 480, 8, 48


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A genome whose blocks are rich in GC and in AT by turns, with 300 N, and a GFF of those rich in AT."""
    folder = tmp_path_factory.mktemp("planted")
    generator = random.Random(0)
    weights = {True: (1, 9, 9, 1), False: (9, 1, 1, 9)}
    blocks = ["".join(generator.choices("ACGT", weights[i % 2 == 0], k=BLOCK_BP)) for i in range(N_BLOCKS)]
    contigs = {"one": "".join(blocks), "two": blocks[0] + "N" * 300, "three": blocks[1][:7]}
    (folder / "genome.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    rows = [f"one\t.\tAT\t{i * BLOCK_BP + 1}\t{(i + 1) * BLOCK_BP}\t.\t+\t.\t.\n" for i in range(1, N_BLOCKS, 2)]
    (folder / "at.gff3").write_text("##gff-version 3\n" + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def model(tiny_config):
    """An encoder with fresh weights: bases have vectors of their own, so that composition shows."""
    import torch

    torch.manual_seed(0)
    return dnafm.DNAFMModel(tiny_config()).eval()


def annotated(folder, model, **options):
    options = {"window_bp": WINDOW_BP, "n_clusters": 2, "model": model, "tokenizer": DNAFMTokenizer(), **options}
    return dnafm.annotate("cluster", folder / "genome.fa", **options)


@pytest.mark.parametrize("options", [{}, {"method": "hdbscan", "min_cluster_size": 8}], ids=["kmeans", "hdbscan"])
def test_clusters_are_the_planted_compositions(planted, model, options):
    """Each block has one cluster; GC, share and enrichment say which, and all that can be known is known."""
    found = annotated(planted, model, features=planted / "at.gff3", **options)
    assert found.names == ("cluster_1", "cluster_2")
    labels = found.labels["one"].reshape(N_BLOCKS, -1)
    assert (labels == [[0], [1]] * (N_BLOCKS // 2)).all()
    rows = {row["cluster"]: row for row in found.clusters.to_pylist()}
    assert rows["cluster_1"]["gc"] > 0.8 > 0.2 > rows["cluster_2"]["gc"]
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    folds = {row["cluster"]: row["fold"] for row in found.enrichment.to_pylist()}
    assert folds["cluster_1"] == 0
    assert folds["cluster_2"] > 2
    assert found.information.adjusted > 0.8


def test_bases_are_clustered_by_their_own_vectors(planted, model):
    """Clusters of bases are letters; GC and AT have others. N is unknown, and windows are compared with the GFF."""
    found = annotated(planted, model, unit="base", n_clusters=4, smooth=31, features=planted / "at.gff3")
    majority = [np.bincount(block).argmax() for block in found.labels["one"].reshape(N_BLOCKS, -1)]
    assert set(majority[::2]).isdisjoint(majority[1::2])
    assert (found.labels["two"][BLOCK_BP:] == -2).all()
    # Windows of 48 that begin every 24 bases: 159, 19 before the N, and 1.
    assert found.enrichment["n_windows"][0].as_py() == 159 + 19 + 1


@pytest.mark.parametrize("unit", ["window", "base"])
def test_intervals_tile_the_contigs(planted, model, unit, tmp_path):
    """No gap and no overlap, from the first base to the last, in the file too; unknown bases are among them."""
    from dnafm.genomics import read_bed

    found = annotated(planted, model, unit=unit, output=tmp_path / "out.bed")
    ends = {"one": 0, "two": 0, "three": 0}
    written = [row.interval for row in read_bed(tmp_path / "out.bed")]
    assert written == list(found.intervals())
    for interval in written:
        assert interval.start_bp == ends[interval.contig]
        ends[interval.contig] = interval.end_bp
    assert ends == {"one": BLOCK_BP * N_BLOCKS, "two": BLOCK_BP + 300, "three": 7}
    assert {interval.name for interval in written} == {"cluster_1", "cluster_2", "unknown"}
    assert all(interval.extra[2] == "0,114,178" for interval in written if interval.name == "cluster_1")


def test_equal_seeds_give_equal_annotations(planted, model):
    """With a sample smaller than the genome, too."""
    first, second = (annotated(planted, model, sample=40, seed=3) for _ in range(2))
    assert first.labels["one"].tolist() == second.labels["one"].tolist()
    assert first.map.places.tolist() == second.map.places.tolist()


@given(st.integers(1, 400), st.integers(1, 64), st.data())
@settings(deadline=None)
def test_units_tile_any_contig(n_bases, window_bp, data):
    """Windows of any step own each base once, and a base is in the window that owns it."""
    cut = AnnotationCut(window_bp, data.draw(st.integers(1, window_bp)))
    edges = cut.edges(n_bases)
    tiles = list(cut.tiles(n_bases))
    assert edges[0] == 0
    assert edges[-1] == n_bases
    assert (np.diff(edges) > 0).all()
    for tile, start_bp, end_bp in zip(tiles, edges[:-1], edges[1:], strict=True):
        assert tile.start_bp <= start_bp < end_bp <= tile.end_bp


@given(st.lists(st.integers(-2, 3), min_size=1, max_size=40))
@settings(deadline=None)
def test_runs_of_labels_tile_their_units(labels):
    """Whatever the labels and the widths of the units."""
    edges = np.cumsum([0, *(1 + label % 3 for label in range(len(labels)))])
    found = list(cluster_intervals("c", edges, np.array(labels)))
    assert [0, *(each.end_bp for each in found)] == [*(each.start_bp for each in found), int(edges[-1])]


@given(st.lists(st.integers(-2, 3), min_size=1, max_size=30), st.sampled_from([1, 3, 5]))
@settings(deadline=None)
def test_majority_filter_counts_neighbours(labels, width):
    """As a count by hand has it: own label of equal ones, else the smallest; unknown has no vote, noise comes last."""
    found = majority_filtered(np.array(labels), width)
    for place, own in enumerate(labels):
        near = [each for each in labels[max(0, place - width // 2) : place + width // 2 + 1] if each != -2]
        most = max((near.count(each) for each in near), default=0)
        winners = {each for each in near if near.count(each) == most}
        best = sorted(winners, key=lambda each: math.inf if each < 0 else each)
        assert found[place] == (own if own == -2 or own in best else best[0])


def test_clusters_are_numbered_by_size():
    """The largest is 0; of equal ones the first to come; noise and unknown stay, and unused numbers are closed up."""
    assert numbered_by_size(np.array([7, 2, 2, -1, 5, 5, 7, 2, -2])).tolist() == [1, 0, 0, -1, 2, 2, 1, 0, -2]


def test_colours_belong_to_numbers():
    """The first seven are those of Okabe and Ito, and 21 differ."""
    assert [colour_of(number) for number in range(7)] == list(COLOURS)
    assert len({colour_of(number) for number in range(-2, 21)}) == 23


def test_vectors_are_those_of_the_windows_alone(planted, model):
    """What is kept of a window is what the embedder says about it; one of N is not read."""
    embedder = Embedder(model, DNAFMTokenizer(), window_bp=WINDOW_BP)
    with ReferenceGenome(planted / "genome.fa") as genome:
        (chunk,) = window_chunks(genome, AnnotationCut(WINDOW_BP, WINDOW_BP))
        table = unit_vectors(embedder, genome, chunk)
        bases = genome.fetch_bases("one", 5 * WINDOW_BP, 6 * WINDOW_BP)
    assert vectors_of(table)[5] == pytest.approx(next(iter(embedder.embed([bases])))[0], abs=1e-5)
    assert table["is_known"].to_pylist() == [True] * 90 + [False] * 7 + [True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 0}, "n_clusters is 0; it must be at least 1"),
        ({"n_clusters": 999}, r"n_clusters is 999, and clusters are learnt from \d+ units"),
        ({"n_components": 99}, "n_components is 99; .* at most 32 components"),
        ({"smooth": 4}, "smooth is 4; it must be an odd number"),
        ({"method": "dbscan"}, "method is 'dbscan'; it must be one of kmeans, hdbscan"),
        ({"window_bp": 1000, "step_bp": 5}, "window_bp is 1000; the model reads 1 to 62 bases"),
        ({"step_bp": 49}, "step_bp is 49; it must be 1 to 48"),
        ({"unit": "codon"}, "unit is 'codon'; it must be window or base"),
        ({"pooling": "none"}, "pooling is 'none'; a window has one vector"),
    ],
)
def test_options_out_of_their_range_are_refused(planted, model, options, message):
    """The message names value and rule."""
    with pytest.raises(ValueError, match=message):
        annotated(planted, model, **options)


def test_no_such_way_is_refused(planted):
    """The message lists the ways."""
    with pytest.raises(ValueError, match="how is 'guess'; it must be one of cluster, label, conservation"):
        dnafm.annotate("guess", planted / "genome.fa")


def test_an_annotation_without_contrast_says_so(planted, model, tmp_path):
    """A GFF of which all windows have the one feature: no information, and no p-value below 1."""
    lengths = {"one": BLOCK_BP * N_BLOCKS, "two": BLOCK_BP + 300, "three": 7}
    rows = [f"{contig}\t.\tregion\t1\t{end}\t.\t.\t.\t.\n" for contig, end in lengths.items()]
    (tmp_path / "all.gff3").write_text("".join(rows))
    found = annotated(planted, model, features=tmp_path / "all.gff3")
    assert found.information.nats == 0
    assert math.isnan(found.information.adjusted)
    assert set(found.enrichment["p_value"].to_pylist()) == {1.0}
