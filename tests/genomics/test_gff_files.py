import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnafm.genomics import GffRecord, Interval, read_gff, write_gff3

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5).filter(
    lambda text: text.strip() == text
)


@st.composite
def records(draw):
    start_bp = draw(st.integers(0, 10**9))
    score = draw(st.none() | st.floats(allow_nan=False, allow_infinity=False))
    interval = Interval(
        draw(TEXT), start_bp, start_bp + draw(st.integers(1, 99)), draw(st.sampled_from("+-.")), score=score
    )
    attributes = draw(st.dictionaries(TEXT, st.lists(TEXT, min_size=1, max_size=3).map(tuple), max_size=3))
    return GffRecord(interval, draw(TEXT), draw(TEXT), draw(st.sampled_from([None, 0, 1, 2])), attributes)


@settings(max_examples=50)
@given(st.lists(records(), max_size=4), st.sampled_from(["g.gff3", "g.gff3.gz"]))
def test_what_is_written_is_read(many, name):
    """Any text in any column comes back through the encoding of GFF3, control characters and separators too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        assert write_gff3(path, many) == len(many)
        found = list(read_gff(path))
    assert [GffRecord(r.interval, r.feature, r.source, r.phase, r.attributes) for r in found] == many


@pytest.mark.parametrize(
    ("contig", "written"), [("HLA-A*01:01|x", "HLA-A*01:01|x"), ("a,b;c=d/é", "a%2Cb%3Bc%3Dd%2F%C3%A9")]
)
def test_names_of_contigs_are_written_as_the_format_wants_them(tmp_path, contig, written):
    """All but letters, digits and `.:^*$@!+_?-|` is encoded."""
    write_gff3(tmp_path / "g.gff3", [GffRecord(Interval(contig, 0, 1), "CDS", "s", None, {})])
    assert (tmp_path / "g.gff3").read_text().splitlines()[-1].split("\t")[0] == written


def test_a_row_of_gff3_is_decoded(write):
    """By hand: 1-based with the end becomes half-open, %XX is decoded behind the separators, values are several."""
    row = "chr%201\tsrc\tCDS\t3\t5\t1e-3\t?\t2\tID=a%3Bb;Parent=t1,t2%2C;Note= x y ;\n"
    path = write(f"##gff-version 3\n#c\n\n{row}###\n##FASTA\n>c\nAC\n", "g.gff3")
    (record,) = read_gff(path)
    assert record == GffRecord(
        Interval("chr 1", 2, 5, ".", score=1e-3),
        "CDS",
        "src",
        2,
        {"ID": ("a;b",), "Parent": ("t1", "t2,"), "Note": (" x y",)},
        f"{path}:4",
    )
    assert record.first("Parent") == "t1"
    assert record.first("none") is None


def test_a_row_of_gtf_is_decoded(write):
    """By hand: a semicolon in quotes, a key twice, a value without quotes, and no semicolon at the end."""
    attributes = 'gene_id "g;1"; tag "a"; tag "b"; level 2; empty ""'
    (record,) = read_gff(write(f"1\ts\texon\t1\t1\t.\t+\t.\t{attributes}\n", "g.gtf"))
    assert record.attributes == {"gene_id": ("g;1",), "tag": ("a", "b"), "level": ("2",), "empty": ("",)}
    assert record.interval == Interval("1", 0, 1)


@pytest.mark.parametrize(("attributes", "expected"), [("ID=x", "x"), ('ID "x=y";', "x=y"), ("ID x", "x")])
def test_a_file_named_gff_is_known_by_its_first_row(write, attributes, expected):
    """GFF3 has key=value, GTF and GFF2 have not."""
    (record,) = read_gff(write(f"c\ts\tf\t1\t2\t.\t+\t.\t{attributes}\n", "g.gff"))
    assert record.first("ID") == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c\ts\tf\t1\t2\t.\t+\t.", "8 columns between tabs, and 9"),
        ("c\ts\tf\t5\t4\t.\t+\t.\tID=x", "from 5 to 4 there is no base"),
        ("c\ts\tf\t0\t4\t.\t+\t.\tID=x", "from 0 to 4 there is no base"),
        ("c\ts\tf\tx\t4\t.\t+\t.\tID=x", "are no positions"),
        ("c\ts\tf\t1\t4\tx\t+\t.\tID=x", "the score 'x' is no number"),
        ("c\ts\tf\t1\t4\t.\tx\t.\tID=x", "strand is 'x'"),
        ("c\ts\tf\t1\t4\t.\t+\t3\tID=x", "the phase '3' must be"),
        ("c\ts\tf\t1\t4\t.\t+\t.\tID", "not of the form key=value"),
        ("c\ts\tf\t1\t99\t.\t+\t.\tID=x", "ends behind c, which has 50"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(write, row, message):
    """The second row is wrong in one way each."""
    path = write(f"c\ts\tf\t1\t2\t.\t+\t.\tID=a\n{row}\n", "g.gff3")
    with pytest.raises(ValueError, match=rf"g\.gff3:2: .*{message}"):
        list(read_gff(path, contig_lengths={"c": 50}))
