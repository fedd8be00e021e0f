import tempfile
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnafm.genomics import Interval, coloured, read_bed, write_bed

NAMES = st.text(st.characters(exclude_characters="\t\r\n", exclude_categories=["Cs"]), min_size=1, max_size=6)


@st.composite
def rows(draw):
    start_bp = draw(st.integers(0, 10**9))
    name = draw(st.none() | NAMES.filter(lambda text: text != "."))
    score = draw(st.none() | st.integers(0, 1000).map(float) | st.floats(allow_nan=False, allow_infinity=False))
    contig = draw(st.sampled_from(["chr1", "2", "HLA*01:01"]))
    return Interval(contig, start_bp, start_bp + draw(st.integers(1, 99)), draw(st.sampled_from("+-.")), name, score)


@settings(max_examples=50)
@given(st.lists(st.tuples(rows(), NAMES), max_size=6), st.sampled_from(["b.bed", "b.bed.gz"]), st.booleans())
def test_what_is_written_is_read(pairs, name, has_extra):
    """Names, scores, strands and further columns come back, plain and by bgzip."""
    intervals = [
        Interval(row.contig, row.start_bp, row.end_bp, row.strand, row.name, row.score, (extra,) if has_extra else ())
        for row, extra in pairs
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        assert write_bed(path, intervals, track="name=all") == len(intervals)
        assert [record.interval for record in read_bed(path)] == intervals


def test_a_row_has_its_line(write):
    """By hand: three to six columns, tabs or spaces, with comments between; what is missing is none."""
    path = write("track name=x\n#c\nchr1\t0\t5\n\nbrowser position\nchr1 7 9 a 3 -\r\nchr2\t1\t2\tb\t.\n", "b.bed")
    records = list(read_bed(path))
    assert [record.place for record in records] == [f"{path}:3", f"{path}:6", f"{path}:7"]
    assert [record.interval for record in records] == [
        Interval("chr1", 0, 5, "."),
        Interval("chr1", 7, 9, "-", "a", 3.0),
        Interval("chr2", 1, 2, ".", "b"),
    ]


def test_blocks_and_thick_parts_are_intervals(write):
    """By hand: a gene from 10 to 40 with exons 10-20 and 35-40 that codes from 12 to 37."""
    path = write("c\t10\t40\tg\t0\t-\t12\t37\t0\t2\t10,5,\t0,25,\nc\t10\t40\tg\t0\t-\t10\t10\t0\t2\t10\t0\n", "b.bed")
    gene, broken = read_bed(path)
    assert [(block.start_bp, block.end_bp, block.strand) for block in gene.blocks()] == [(10, 20, "-"), (35, 40, "-")]
    assert gene.thick() == Interval("c", 12, 37, "-", "g", 0.0)
    assert broken.thick() is None
    with pytest.raises(ValueError, match=r"b\.bed:2: blockCount is 2, with 1 sizes and 1 starts"):
        broken.blocks()


def test_a_colour_makes_bed9(tmp_path):
    """By hand; the row is what genome browsers read."""
    interval = Interval("c", 1, 5, "+", "x", 7.0)
    write_bed(tmp_path / "b.bed", [Interval("c", 1, 5, "+", "x", 7.0, coloured(interval, (255, 0, 9)))])
    assert (tmp_path / "b.bed").read_text() == "c\t1\t5\tx\t7\t+\t1\t5\t255,0,9\n"


def test_a_region_has_the_same_rows_with_an_index_and_without(tmp_path):
    """The index of tabix changes the speed alone; an unknown contig has no rows."""
    intervals = [Interval("c", start, start + 30, "+", str(start)) for start in range(0, 5000, 7)]
    write_bed(tmp_path / "b.bed.gz", intervals)
    regions = [Interval("c", 100, 101), Interval("c", 0, 5), Interval("c", 4990, 9999), Interval("d", 0, 5)]
    without = [[row.interval for row in read_bed(tmp_path / "b.bed.gz", region=region)] for region in regions]
    assert without[0] == [interval for interval in intervals if interval.overlaps(regions[0])]
    pysam.tabix_index(str(tmp_path / "b.bed.gz"), preset="bed")
    assert [[row.interval for row in read_bed(tmp_path / "b.bed.gz", region=region)] for region in regions] == without


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c\t5", "2 columns, and at least 3"),
        ("c\t5\t5", "start_bp 5 must be below end_bp 5"),
        ("c\t6\t5", "start_bp 6 must be below end_bp 5"),
        ("c\t-1\t5", "start '-1' and end '5' are no positions"),
        ("c\t1\t5\tn\tx", "the score 'x' is no number"),
        ("c\t1\t5\tn\tnan", "the score 'nan' is no number"),
        ("c\t1\t5\tn\t0\t*", "strand is"),
        ("c\t1\t99", "c:2-99 ends behind c, which has 50 bases"),
        ("d\t1\t9", "There is no contig 'd'"),
        ("c\t1\t\xff", "no text in UTF-8"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(write, row, message):
    """The second row is wrong in one way each."""
    path = write(f"c\t1\t2\n{row}\n".encode("latin-1"), "b.bed")
    with pytest.raises(ValueError, match=rf"b\.bed:2: .*{message}"):
        list(read_bed(path, contig_lengths={"c": 50}))


def test_rows_that_would_not_be_read_back_are_not_written(tmp_path):
    """A tab in a name, unequal columns and a contig like a comment; no file is left."""
    for intervals, message in (
        ([Interval("c", 1, 2, name="a\tb")], "a tab or a line end"),
        ([Interval("c", 1, 2), Interval("c", 1, 2, extra=("x",))], "same columns"),
        ([Interval("#c", 1, 2)], "read as a comment"),
    ):
        with pytest.raises(ValueError, match=message):
            write_bed(tmp_path / "b.bed", intervals)
    assert not list(tmp_path.iterdir())


def test_files_are_replaced_only_on_request(tmp_path):
    """An existing file, a folder, and a folder that is not there."""
    path = tmp_path / "b.bed"
    write_bed(path, [Interval("c", 1, 2)])
    with pytest.raises(FileExistsError, match="exists"):
        write_bed(path, [])
    assert write_bed(path, [], overwrite=True) == 0
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write_bed(tmp_path, [])
    with pytest.raises(OSError, match="no file can be made in this folder"):
        write_bed(tmp_path / "none" / "b.bed", [])


def test_a_cut_file_is_refused(tmp_path):
    """Without its last block, or in the middle of one, and empty."""
    path = tmp_path / "b.bed.gz"
    write_bed(path, [Interval("c", start, start + 1) for start in range(5000)])
    data = path.read_bytes()
    for kept, message in ((len(data) - 28, "that ends every bgzip file"), (len(data) // 2, "bgzip"), (0, "empty")):
        path.write_bytes(data[:kept])
        with pytest.raises(ValueError, match=message):
            list(read_bed(path))
