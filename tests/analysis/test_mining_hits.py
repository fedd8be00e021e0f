"""Hits: what joins another one, in which order they are, and what files hold."""

import pytest

pytest.importorskip("pyarrow")

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from dnafm.analysis.mining_hits import Place, best_of_places, first_hits, hit_table, write_hits


def place(start_bp, score, end_bp=None, *, genome="g", contig="c", strand="+"):
    return Place(genome, contig, start_bp, end_bp or start_bp + 10, strand, score)


def spans(hits):
    return [(hit.start_bp, hit.end_bp, hit.score) for hit in hits]


RANKED = [place(100, 0.9), place(300, 0.8), place(110, 0.7), place(500, 0.6), place(120, 0.5)]


def test_without_merging_the_first_places_are_the_hits():
    """In their order, and no more is needed to know them."""
    assert first_hits(RANKED, 2) == (RANKED[:2], True)
    assert first_hits(RANKED, 9) == (RANKED, False)


def test_neighbours_are_one_hit_with_the_best_score():
    """Places that touch at 110 and at 120 join the first hit; the place at 500 would begin the third one."""
    assert spans(first_hits(RANKED, 2, merge_bp=0)[0]) == [(100, 120, 0.9), (300, 310, 0.8)]
    assert spans(first_hits(RANKED, 3, merge_bp=0)[0]) == [(100, 130, 0.9), (300, 310, 0.8), (500, 510, 0.6)]
    assert first_hits(RANKED, 2, merge_bp=0)[1]
    assert not first_hits(RANKED, 3, merge_bp=0)[1]


def test_a_place_between_two_hits_joins_them():
    """The joined hit has the rank of the better one."""
    ranked = [place(50, 0.9), place(0, 0.8), place(25, 0.7)]
    assert spans(first_hits(ranked, 5, merge_bp=15)[0]) == [(0, 60, 0.9)]
    assert len(first_hits(ranked, 5, merge_bp=14)[0]) == 3


@pytest.mark.parametrize("other", [{"genome": "h"}, {"contig": "d"}])
def test_places_of_other_contigs_stay_apart(other):
    """The same numbers are another place there."""
    assert len(first_hits([place(0, 0.9), place(5, 0.8, **other)], 5, merge_bp=100)[0]) == 2


def test_a_place_counts_once_with_its_best_score():
    """Equal scores are in the order of their coordinates."""
    rows = [place(7, 0.5), place(0, 0.1), place(0, 0.9, strand="-"), place(3, 0.5)]
    assert best_of_places(rows) == [rows[2], rows[3], rows[0]]


@given(
    starts=st.lists(st.integers(0, 200), max_size=30, unique=True),
    merge_bp=st.integers(0, 30),
    k=st.integers(1, 5),
    n_more=st.integers(0, 20),
)
def test_more_of_the_ranking_changes_nothing_where_hits_are_final(starts, merge_bp, k, n_more):
    """The hits of a part of the ranking that are said to be final are those of the whole."""
    ranked = [place(start, 1 - 0.01 * rank) for rank, start in enumerate(starts)]
    hits, is_final = first_hits(ranked[:n_more], k, merge_bp=merge_bp)
    if is_final:
        assert hits == first_hits(ranked, k, merge_bp=merge_bp)[0]
    assert all(not one.is_within(merge_bp, other) for one in hits for other in hits if one is not other)


HITS = [place(5, 0.87654), place(90, -0.25, strand="-")]


def test_bed_has_a_thousandth_of_the_score_and_the_query(tmp_path):
    """Scores of BED are integers from 0 to 1,000."""
    path = tmp_path / "hits.bed"
    write_hits(path, [hit_table("q1", HITS), hit_table("q2", HITS[:1])])
    assert path.read_text() == "c\t5\t15\tq1\t877\t+\nc\t90\t100\tq1\t0\t-\nc\t5\t15\tq2\t877\t+\n"


def test_tables_have_all_columns(tmp_path):
    """Text and Parquet hold the same."""
    rows = hit_table("q1", HITS, score_column="value")
    write_hits(tmp_path / "hits.tsv", [rows], score_column="value")
    write_hits(tmp_path / "hits.parquet", [rows], score_column="value")
    assert (tmp_path / "hits.tsv").read_text() == (
        "query_id\trank\tgenome\tcontig\tstart_bp\tend_bp\tstrand\tvalue\n"
        "q1\t1\tg\tc\t5\t15\t+\t0.87654\nq1\t2\tg\tc\t90\t100\t-\t-0.25\n"
    )
    assert pq.read_table(tmp_path / "hits.parquet").equals(rows)


def test_a_file_without_hits_says_its_columns(tmp_path):
    """No query need have one."""
    write_hits(tmp_path / "hits.tsv", [])
    assert (tmp_path / "hits.tsv").read_text().startswith("query_id\trank\t")
    assert len(hit_table("q", [])) == 0
    assert isinstance(hit_table("q", []), pa.Table)
