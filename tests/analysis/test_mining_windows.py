"""Windows of genomes: they cover every base, and are what the file holds."""

import gzip
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from hypothesis import given
from hypothesis import strategies as st

from dnafm.analysis.embedding_sources import NamedSequence
from dnafm.analysis.mining_windows import WindowCut, survey_genome
from dnafm.genomics import reverse_complement


def windows_of(cut, sequence):
    return list(cut.windows(NamedSequence("c", sequence, "file:1")))


def test_the_last_window_ends_with_the_contig():
    """10 bases in windows of 4 every 3: at 0, 3 and 6; 11 bases end one further on."""
    cut = WindowCut(4, 3)
    assert list(cut.spans(10)) == [(0, 4), (3, 7), (6, 10)]
    assert list(cut.spans(11)) == [(0, 4), (3, 7), (6, 10), (7, 11)]


def test_a_contig_shorter_than_a_window_is_one_window():
    """Nothing is left out, and nothing is added to it."""
    assert [window.bases for window in windows_of(WindowCut(8, 4), "acgtn")] == ["ACGTN"]


@given(n_bases=st.integers(1, 300), window_bp=st.integers(1, 50), data=st.data())
def test_every_base_is_in_a_window_of_full_length(n_bases, window_bp, data):
    """Neighbours leave no gap, all have as many bases as a window or the contig, and there are as many as counted."""
    cut = WindowCut(window_bp, data.draw(st.integers(1, window_bp)))
    spans = list(cut.spans(n_bases))
    assert spans[0][0] == 0
    assert spans[-1][1] == n_bases
    assert all(first < second <= end for (first, end), (second, _) in pairwise(spans))
    assert {end - start for start, end in spans} == {min(n_bases, window_bp)}
    assert len(spans) == cut.n_places(n_bases)


def test_windows_of_both_strands_stand_beside_each_other():
    """Places are those of the forward strand; the bases of the other one are its reverse complement."""
    found = windows_of(WindowCut(4, 4, "both"), "AACGTTTG")
    assert [(each.start_bp, each.end_bp, each.strand, each.bases) for each in found] == [
        (0, 4, "+", "AACG"),
        (0, 4, "-", reverse_complement("AACG")),
        (4, 8, "+", "TTTG"),
        (4, 8, "-", reverse_complement("TTTG")),
    ]


def test_a_window_of_mostly_unknown_bases_is_skipped():
    """Two of four known bases are enough, one is not."""
    assert [window.start_bp for window in windows_of(WindowCut(4, 4), "ACNNANNNNRYSACGU")] == [0, 12]


def test_a_survey_counts_what_is_mined(tmp_path):
    """Contigs, windows of both strands, and places without one."""
    path = tmp_path / "genome.fa"
    path.write_text(">one\nACGTAC\nGT\n>two text\nNNNNACGT\n>three\nAC\n")
    cut = WindowCut(4, 4, "both")
    survey = survey_genome(path, cut)
    assert dict(survey.contig_lengths) == {"one": 8, "two": 8, "three": 2}
    assert (survey.n_windows, survey.n_skipped) == (8, 1)
    assert len(list(survey.windows(cut))) == 8


def test_a_checksum_is_that_of_names_and_bases(tmp_path):
    """Neither line lengths nor case nor compression change it; a base or a name does."""

    def checksum(text, name="genome.fa", write=lambda path, text: path.write_text(text)):
        write(tmp_path / name, text)
        return survey_genome(tmp_path / name, WindowCut(4, 4)).checksum

    def write_gzip(path: Path, text: str) -> None:
        path.write_bytes(gzip.compress(text.encode()))

    own = checksum(">c some text\nACGTACGT\n")
    assert checksum(">c\nacgta\ncgt\n") == own
    assert checksum(">c\nACGTACGT\n", "genome.fa.gz", write_gzip) == own
    assert checksum(">c\nACGTACGA\n") != own
    assert checksum(">d\nACGTACGT\n") != own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">c\nACGT\n>c\nACGT\n", r"genome\.fa:3: a second contig 'c'"),
        (">c\nMKVLAAGE\n", r"genome\.fa:2: 'L'.* Is this a protein FASTA\?"),
        (">c\nNNNNNNN\n", "more than half of the bases of each window are unknown"),
        ("", "the file is empty"),
    ],
)
def test_a_file_that_is_no_genome_is_refused(tmp_path, text, message):
    """The message names the file, and the line where there is one."""
    path = tmp_path / "genome.fa"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        survey_genome(path, WindowCut(4, 4))


def test_a_genome_that_changes_while_it_is_mined_is_told(tmp_path):
    """Windows of two versions of a file would not be those of a genome."""
    path = tmp_path / "genome.fa"
    path.write_text(">c\nACGTACGT\n")
    survey = survey_genome(path, WindowCut(4, 4))
    path.write_text(">c\nACGTACGTACGT\n")
    with pytest.raises(ValueError, match="has changed since it was read"):
        list(survey.windows(WindowCut(4, 4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 1), "window_bp is 0"), ((4, 0), "step_bp is 0"), ((4, 5), "step_bp is 5"), ((4, 2, "-"), "strand is '-'")],
)
def test_a_cut_that_would_leave_out_bases_is_refused(arguments, message):
    """The message names the number and its range."""
    with pytest.raises(ValueError, match=message):
        WindowCut(*arguments)
