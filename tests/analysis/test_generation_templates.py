import gzip

import pytest

from dnafm.analysis.generation_templates import (
    Template,
    check_templates,
    free_template,
    parse_template,
    read_records,
    read_templates,
    region_template,
)
from dnafm.analysis.regions import Region


def test_text_becomes_places_and_fixed_bases():
    """Both spellings of a place, either case, RNA."""
    assert parse_template("ac[MASK]gU?[mask]T").bases == "AC?GT??T"
    assert free_template(3).bases == "???"


def test_file_of_templates_is_read(tmp_path):
    """Records over several lines, plain and compressed; the id is the first word."""
    text = ">one first\nACG?\n[MASK]TT\n\n>two\n????\n"
    (tmp_path / "a.fa").write_text(text)
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.fa", "a.fa.gz"):
        assert read_templates(tmp_path / name) == [Template("one", "ACG??TT"), Template("two", "????")]


@pytest.mark.parametrize(
    ("flank_bp", "before", "after"), [(None, "AC", "TT"), (1, "C", "T"), (0, "", ""), (50, "AACCAAC", "TTG")]
)
def test_region_is_seen_within_its_contig(flank_bp, before, after):
    """The flank ends with the contig; by default it is what the model can read beside the region."""
    region = Region("r", "contig", 7, 4, "AACCAAC" + "GGGG" + "TTG", 7)
    # Of 8 bases that the model reads 4 are left, 2 on either side.
    template = region_template(region, longest_bp=8, flank_bp=flank_bp)
    assert (template.bases, template.before, template.after) == ("????", before, after)
    assert template.window("CCCC") == template.before + "CCCC" + template.after


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ACGT", "design: there is no place to fill"),
        ("", "there is no place to fill"),
        ("ACN?", "design: 'N' at offset 2 is neither A, C, G, T, nor a place to fill"),
        ("AC-?", "'-' at offset 2"),
        ("AC?[MSK]", r"'\[' at offset 3"),
    ],
)
def test_text_that_is_no_template_is_refused(text, message):
    """The message names the template, the character and its place."""
    with pytest.raises(ValueError, match=message):
        parse_template(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ACGT\n", "t.fa:1: a FASTA file begins with a header"),
        (">\nACGT\n", "t.fa:1: the header has no name"),
        (">a\n>b\nAC\n", "t.fa:1: a has no bases"),
        (">a\nAC\n>b\n", "t.fa:3: b has no bases"),
        ("\n", "t.fa: there is no record"),
        ("", "the file is empty"),
    ],
)
def test_file_that_is_no_fasta_is_refused(tmp_path, text, message):
    """The message names file and line."""
    (tmp_path / "t.fa").write_text(text)
    with pytest.raises(ValueError, match=message):
        list(read_records(tmp_path / "t.fa"))


def test_wrong_numbers_are_refused():
    """Lengths and flanks."""
    with pytest.raises(ValueError, match="The length is 0"):
        free_template(0)
    with pytest.raises(ValueError, match="The flank is -1"):
        region_template(Region("r", "c", 0, 2, "ACGT"), longest_bp=8, flank_bp=-1)
    with pytest.raises(ValueError, match="a: what is around it must be letters of DNA"):
        Template("a", "??", before="A-C")
    assert check_templates([free_template(8)], longest_bp=8) == [free_template(8)]
