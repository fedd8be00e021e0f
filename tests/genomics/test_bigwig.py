import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dnafm.genomics import Interval, TrackSegment, bigwig_contig_lengths, read_bigwig, write_bigwig

LENGTHS = {"chr1": 400, "chr2": 90, "empty": 5}
VALUES = arrays.arrays(np.float32, st.integers(0, 40), elements=st.sampled_from([np.nan, 0.0, -1.5, 0.1, 3e38, 1e-40]))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 30), VALUES), min_size=1, max_size=4))
def test_values_come_back_to_the_bit(pieces):
    """Segments with gaps, runs of equal values and NaN, against an array that was filled by hand."""
    expected, start_bp = np.full(400, np.nan, np.float32), 1
    # Contigs without a value are not in the file.
    segments, expected[0] = [TrackSegment("chr1", 0, np.ones(1, np.float32))], 1
    for gap_bp, values in pieces:
        start_bp += gap_bp
        segments.append(TrackSegment("chr1", start_bp, values))
        expected[start_bp : start_bp + len(values)] = values
        start_bp += len(values)
    segments.append(TrackSegment("chr2", 89, np.ones(1, np.float32)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.bw"
        assert write_bigwig(path, iter(segments), contig_lengths=LENGTHS) == np.isfinite(expected).sum() + 1
        np.testing.assert_array_equal(read_bigwig(path, Interval("chr1", 0, 400)), expected)
        np.testing.assert_array_equal(read_bigwig(path, Interval("chr1", 7, 50, "-")), expected[7:50])
        assert read_bigwig(path, Interval("chr2", 88, 90))[1] == 1
        assert bigwig_contig_lengths(path).items() >= {"chr1": 400, "chr2": 90}.items()


def segment(contig, start_bp, *values):
    return TrackSegment(contig, start_bp, np.array(values, np.float32))


def failing():
    yield segment("chr1", 0, 1)
    raise ZeroDivisionError("from the caller")


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([segment("chr1", 399, 1, 2)], "chr1:400-401 ends behind chr1, which has 400"),
        ([segment("chr9", 0, 1)], "There is no contig 'chr9'"),
        ([segment("chr1", 5, 1), segment("chr1", 5, 1)], "Values of chr1 from 5 on come behind those up to 6"),
        ([segment("chr1", 5, 1), segment("chr2", 5, 1), segment("chr1", 9, 1)], "come again behind those of chr2"),
        ([segment("chr1", 0, 1), segment("chr1", 5, np.inf)], "is infinite"),
        ([segment("chr1", 0, np.nan)], "there is no value"),
        ([], "there is no value"),
    ],
)
def test_wrong_segments_are_refused_and_leave_no_file(tmp_path, capfd, segments, message):
    """The library would only print them, and leave what it has."""
    with pytest.raises(ValueError, match=message):
        write_bigwig(tmp_path / "t.bw", segments, contig_lengths=LENGTHS)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err == ""


def test_an_error_of_the_caller_comes_through(tmp_path):
    """It is raised as it was, though the library swallows it."""
    with pytest.raises(ZeroDivisionError, match="from the caller"):
        write_bigwig(tmp_path / "t.bw", failing(), contig_lengths=LENGTHS)
    assert not list(tmp_path.iterdir())


def test_files_that_are_none_are_refused(write, tmp_path):
    """On reading by content, on writing by extension; a range beyond the contig is named."""
    with pytest.raises(ValueError, match="this is no bigWig file"):
        read_bigwig(write("chr1 0 5 1\n", "t.bw"), Interval("chr1", 0, 5))
    with pytest.raises(ValueError, match="the extension must be one of"):
        write_bigwig(tmp_path / "t.wig", [], contig_lengths=LENGTHS)
    with pytest.raises(FileExistsError, match="exists"):
        write_bigwig(tmp_path / "t.bw", [segment("chr1", 0, 1)], contig_lengths=LENGTHS)
    write_bigwig(tmp_path / "t.bw", [segment("chr1", 0, 1)], contig_lengths=LENGTHS, overwrite=True)
    with pytest.raises(ValueError, match="ends behind chr1, which has 400"):
        read_bigwig(tmp_path / "t.bw", Interval("chr1", 0, 401))
