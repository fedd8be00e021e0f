import hashlib
import multiprocessing
import os
import pickle
import re

import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnafm.genomics import Interval, ReferenceGenome, reverse_complement

CHROMOSOME = "ACGTacgtNNRYACGTAACCGGTTA"
FASTA = f">chr1 first\n{CHROMOSOME[:10]}\n{CHROMOSOME[10:20]}\n{CHROMOSOME[20:]}\n>MT\nGATTACA\n"


@pytest.fixture
def genome(write):
    with ReferenceGenome(write(FASTA, "g.fa")) as genome:
        yield genome


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-40, 60), st.integers(1, 90), st.booleans())
def test_bases_are_slices_of_the_sequence_between_n(genome, start_bp, length_bp, is_reverse):
    """With padding, any range is a slice of the sequence with N on both sides; the - strand is its complement."""
    padded = "N" * 50 + CHROMOSOME.upper() + "N" * 150
    expected = padded[start_bp + 50 : start_bp + 50 + length_bp]
    found = genome.fetch_bases("chr1", start_bp, start_bp + length_bp, is_reverse=is_reverse, pad=True)
    assert found == (reverse_complement(expected) if is_reverse else expected)


def test_an_interval_is_read_along_its_strand(genome):
    """By hand; case is kept on request, and a strand that is unknown is read as +."""
    assert genome.fetch(Interval("chr1", 2, 6)) == "GTAC"
    assert genome.fetch(Interval("chr1", 2, 6, "."), keep_case=True) == "GTac"
    assert genome.fetch(Interval("chr1", 2, 6, "-"), keep_case=True) == "gtAC"
    assert genome.contig_lengths == {"chr1": 25, "MT": 7}


def test_the_ends_are_passed_only_on_request(genome):
    """Without padding, the message has the length of the contig."""
    with pytest.raises(ValueError, match=r"Bases 20 to 26 pass an end of chr1, which has 25"):
        genome.fetch(Interval("chr1", 20, 26))
    assert genome.fetch(Interval("chr1", 24, 26), pad=True) == "AN"


def test_aliases_are_matched_only_when_asked(write):
    """1 and chr1, M and MT, in both directions; without being asked, the message offers the alias."""
    path = write(FASTA, "g.fa")
    with ReferenceGenome(path) as exact, ReferenceGenome(path, contig_aliases=True) as lenient:
        assert "1" not in exact
        assert [lenient.resolve(name) for name in ("1", "chr1", "M", "chrM", "chrMT")] == ["chr1", "chr1", *["MT"] * 3]
        with pytest.raises(ValueError, match=r"no contig '1'. It has 'chr1': set contig_aliases"):
            exact.fetch(Interval("1", 0, 1))
        with pytest.raises(ValueError, match=r"no contig 'chr7'. The nearest are 'chr1'"):
            lenient.fetch(Interval("chr7", 0, 1))


def test_checksums_are_md5_of_upper_case(genome, genome_path):
    """As in SAM: the same for a plain file and one of bgzip, from an independent reading."""
    assert genome.checksum("chr1") == hashlib.md5(CHROMOSOME.upper().encode()).hexdigest()
    assert genome.checksum("chr1") == genome.checksum("chr1")
    with pysam.FastxFile(str(genome_path)) as records:
        expected = hashlib.md5(next(iter(records)).sequence.upper().encode()).hexdigest()
    with ReferenceGenome(genome_path) as real:
        assert real.contig_lengths == {"NC_007795": 2_821_361}
        assert real.checksum("NC_007795") == expected


def test_bgzip_gives_the_same_bases_as_plain_text(write, tmp_path):
    """Both indices are made beside the file, and nothing else is left."""
    with pysam.BGZFile(str(tmp_path / "g.fa.gz"), "wb") as stream:
        stream.write(FASTA.encode())
    with ReferenceGenome(tmp_path / "g.fa.gz") as genome:
        assert genome.fetch(Interval("chr1", 0, 25), keep_case=True) == CHROMOSOME
    assert sorted(os.listdir(tmp_path)) == ["g.fa.gz", "g.fa.gz.fai", "g.fa.gz.gzi"]


def fetch_and_send(genome, connection):
    connection.send([genome.fetch(Interval("chr1", start, start + 5)) for start in range(20)])
    connection.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_pickled_and_forked_genomes_read_the_same(genome):
    """A child that was forked with the file open reads it right while the parent does."""
    assert pickle.loads(pickle.dumps(genome)).fetch(Interval("MT", 0, 7)) == "GATTACA"
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=fetch_and_send, args=(genome, theirs))
    child.start()
    expected = [CHROMOSOME[start : start + 5].upper() for start in range(20)]
    assert [genome.fetch(Interval("chr1", start, start + 5)) for start in range(20)] == expected
    assert ours.recv() == expected
    child.join()
    assert child.exitcode == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("ACGT\n", "no FASTA that can be indexed"),
        (">a\nACGT\nACGTACGT\n", "no FASTA that can be indexed"),
        (">a\nAC\n>a\nGG\n", ":3: the name 'a' is that of line 1"),
        (">a\n>b\nAC\n", ":1: 'a' has no bases"),
    ],
)
def test_what_cannot_be_indexed_is_refused(write, text, message):
    """Also what samtools leaves out without a word. No index stays behind."""
    path = write(text, "g.fa")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}.*{message}"):
        ReferenceGenome(path)
    assert os.listdir(path.parent) == ["g.fa"]


def test_a_protein_is_refused(write):
    """The message names the contig and the character."""
    with (
        ReferenceGenome(write(">p\nACDEF\n", "g.fa")) as genome,
        pytest.raises(ValueError, match=r"in p.*'E'.*protein"),
    ):
        genome.fetch(Interval("p", 0, 5))


def test_an_index_of_another_file_is_refused(write):
    """A file that was replaced has another end than its index says."""
    path = write(FASTA, "g.fa")
    ReferenceGenome(path).close()
    for text in (FASTA + "ACGT\n", FASTA[:-4], FASTA + ">new\nAC\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="is not the index of"):
            ReferenceGenome(path)
    path.write_text(FASTA + "\n")
    ReferenceGenome(path).close()


def test_a_folder_without_permission_names_the_command(write, monkeypatch):
    """Where no index can be written, the message says how to make it."""
    path = write(FASTA, "g.fa")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OSError, match=f"samtools faidx {re.escape(str(path))}"):
        ReferenceGenome(path)
