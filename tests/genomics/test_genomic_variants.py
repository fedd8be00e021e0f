import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.genomics import (
    ReferenceGenome,
    Variant,
    VariantKind,
    check_reference,
    parse_variant_text,
    read_variant_list,
    read_variant_table,
    reference_matches,
    trim_alleles,
    variant_kind,
)

ALLELES = st.text("ACGT", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("reference_allele", "alternative_allele", "expected"),
    [
        ("A", "G", "SNV"),
        ("CAT", "CGT", "SNV"),
        ("AC", "GT", "MNV"),
        ("A", "AT", "insertion"),
        ("TA", "A", "deletion"),
        ("ACAC", "AC", "deletion"),
        ("AG", "CTT", "deletion-insertion"),
        ("A", "*", "*"),
        ("A", "<DEL>", "symbolic"),
        ("A", "A]chr2:9]", "symbolic"),
        ("A", ".", "missing"),
        ("A", "a", "reference"),
    ],
)
def test_kinds_do_not_count_shared_bases(reference_allele, alternative_allele, expected):
    """By hand; each kind has an example."""
    assert str(variant_kind(reference_allele, alternative_allele)) == expected


@given(ALLELES, ALLELES, st.text("ACGT", min_size=9, max_size=9), st.integers(0, 9))
def test_trimmed_alleles_make_the_same_sequence(reference_allele, alternative_allele, context, start_bp):
    """What is left differs at both ends, and replacing it gives what replacing the whole does."""
    sequence = context[:start_bp] + reference_allele + context[start_bp:]
    trimmed = trim_alleles(start_bp, reference_allele, alternative_allele)
    end_bp = trimmed.start_bp + len(trimmed.reference_allele)
    assert sequence[trimmed.start_bp : end_bp] == trimmed.reference_allele
    edited = sequence[: trimmed.start_bp] + trimmed.alternative_allele + sequence[end_bp:]
    assert edited == context[:start_bp] + alternative_allele + context[start_bp:]
    if trimmed.reference_allele and trimmed.alternative_allele:
        assert trimmed.reference_allele[0] != trimmed.alternative_allele[0]
        assert trimmed.reference_allele[-1] != trimmed.alternative_allele[-1]


@given(st.sampled_from(["chr1", "HLA*01:01"]), st.integers(1, 10**9), ALLELES, ALLELES)
def test_text_gives_back_the_variant(contig, position, reference_allele, alternative_allele):
    """Text counts from 1, and a contig may have colons."""
    text = f"{contig}:{position}:{reference_allele}:{alternative_allele}"
    variant = parse_variant_text(text)
    assert variant == Variant(contig, position - 1, reference_allele, (alternative_allele,))
    assert variant.to_text() == text


def test_lower_case_and_several_alternatives():
    """By hand: bases are upper-cased, symbols are not."""
    variant = parse_variant_text(" c:5:ac:<Del>,a,*,. ")
    assert (variant.reference_allele, variant.alternative_alleles) == ("AC", ("<Del>", "A", "*", "."))
    assert variant.kinds == (
        VariantKind.SYMBOLIC,
        VariantKind.DELETION,
        VariantKind.SPANNING_DELETION,
        VariantKind.MISSING,
    )
    assert (variant.start_bp, variant.end_bp, variant.interval.to_region()) == (4, 6, "c:5-6")
    assert parse_variant_text("c:5:A:.").alternative_alleles == ()
    assert parse_variant_text("c:5:A:.").to_text() == "c:5:A:."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c:5:A", "is no variant"),
        ("c:x:A:G", "position 'x'"),
        ("c:-5:A:G", "position '-5'"),
        ("c:5:AX:G", "REF 'AX'"),
        ("c:5::G", "REF ''"),
        ("c:5:A:E", "ALT 'E'"),
        (":5:A:G", "contig is empty"),
        ("c:5:.:G", "REF '.'"),
    ],
)
def test_text_that_is_no_variant_is_refused(text, message):
    """The message has the text and the field."""
    with pytest.raises(ValueError, match=message):
        parse_variant_text(text)


def test_reference_alleles_are_checked_against_the_genome(write):
    """Case does not matter; a mismatch names what is there, and the remedy."""
    with ReferenceGenome(write(">c\nacgtAC\n", "g.fa")) as genome:
        assert reference_matches(parse_variant_text("c:2:cG:A"), genome)
        wrong = Variant("c", 1, "CA", ("A",), place="in.vcf:7")
        assert not reference_matches(wrong, genome)
        with pytest.raises(
            ValueError, match=r"^in\.vcf:7: REF 'CA' is not the genome's 'CG' at c:2\. Are the VCF and"
        ):
            check_reference(wrong, genome)
        with pytest.raises(ValueError, match=r"^REF 'CA' at c:6 passes an end of c, which has 6"):
            check_reference(Variant("c", 5, "CA", ("C",)), genome)
        with pytest.raises(ValueError, match=r"^REF 'N' at c:0 passes an end of c, which has 6"):
            check_reference(Variant("c", -1, "N", ("A",)), genome)
        with pytest.raises(ValueError, match="no contig 'd'"):
            check_reference(parse_variant_text("d:6:C:T"), genome)


def test_tables_are_read_by_the_names_of_their_columns(write):
    """In any order and case, tabs or commas, quoted, compressed; the place is file and line."""
    expected = [Variant("1", 4, "A", ("C", "G"), "rs1"), Variant("2", 6, "AT", ("A",))]
    tsv = write("#CHROM\tid\tPOS\tx\tREF\tALT\n\n1\trs1\t5\t?\ta\tC,G\n2\t.\t7\t?\tAT\tA\n", "v.tsv")
    csv = write('pos,ref,alt,chrom,id\n5,A,"C,G",1,rs1\n7,AT,A,2,\n', "v.csv")
    packed = write(gzip.compress(csv.read_bytes()), "v.csv.gz")
    assert (
        list(read_variant_table(tsv)) == list(read_variant_table(csv)) == list(read_variant_table(packed)) == expected
    )
    assert [variant.place for variant in read_variant_table(tsv)] == [f"{tsv}:3", f"{tsv}:4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chrom,pos,ref\n", r":1: no column alt"),
        ("chrom,chr,pos,ref,alt\n", r":1: the columns chrom, chr all name"),
        ("chrom,pos,ref,alt\n1,5,A\n", r":2: 3 columns, and at least 4"),
        ("chrom,pos,ref,alt\n1,x,A,G\n", r":2: the position"),
        ('chrom,pos,ref,alt\n1,5,"A,G\n', r":2: this is no row"),
        ("\n", "no line that names its columns"),
    ],
)
def test_wrong_tables_are_named_by_file_and_line(write, text, message):
    """One way each."""
    with pytest.raises(ValueError, match=message):
        list(read_variant_table(write(text, "v.csv")))


def test_lists_have_a_variant_a_line(write):
    """Comments and blank lines are skipped; a wrong line is named."""
    path = write("# mine\nchr1:5:A:G\n\nchr2:7:AC:A\nchr3\n", "v.txt")
    variants = read_variant_list(path)
    assert [next(variants).to_text(), next(variants).to_text()] == ["chr1:5:A:G", "chr2:7:AC:A"]
    with pytest.raises(ValueError, match=r"v\.txt:5: 'chr3' is no variant"):
        next(variants)
