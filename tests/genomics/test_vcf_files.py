import gzip
from collections import Counter

import pysam
import pytest

from dnafm.genomics import Interval, ReferenceGenome, VcfReader, check_reference, reference_matches

HEADER = """##fileformat=VCFv4.2
##INFO=<ID=AF,Number=A,Type=Float,Description="x">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


def rows(*lines):
    return HEADER + "".join("\t".join(line.split()) + "\n" for line in lines)


def texts(variants):
    return [variant.to_text() for variant in variants]


def test_all_records_of_s_aureus_are_read_and_match_its_genome(vcf_path, genome_path):
    """77 SNVs and 32 others, as counted when the file was chosen; each REF is the genome's."""
    with VcfReader(vcf_path) as reader, ReferenceGenome(genome_path) as genome:
        variants = list(reader)
        kinds = Counter(str(kind) for variant in variants for kind in variant.kinds)
        assert len(variants) == kinds.total() == 109
        assert kinds["SNV"] == 77
        assert all(reference_matches(variant, genome) for variant in variants)
        assert variants[0].to_text() == "NC_007795:22181:C:A"
        assert variants[0].place == f"{vcf_path}:8"
        # A second pass gives the same.
        assert list(reader) == variants


def test_regions_are_those_of_a_filter(vcf_path):
    """Through the index, overlapping regions and records that span two of them come once."""
    regions = [Interval("NC_007795", start, start + 9000) for start in range(550_000, 1_500_000, 4000)]
    regions += [Interval("NC_007795", 2_000_000 + 90 * i, 2_000_000 + 90 * i + 80) for i in range(2_000)]
    with VcfReader(vcf_path) as all_of_it, VcfReader(vcf_path, regions=regions) as some:
        bases = {position for region in regions for position in range(region.start_bp, region.end_bp)}
        expected = [v for v in all_of_it if not bases.isdisjoint(range(v.start_bp, v.end_bp))]
        assert 0 < len(expected) < 109
        assert list(some) == expected
        assert next(iter(some)).place == f"{vcf_path}, record 1"


def test_positions_alleles_and_lines_are_those_of_the_file(write):
    """By hand: 1-based becomes 0-based, lower case upper case, and no ALT is none."""
    path = write(rows("c 1 rs7 ac A,<DEL>,* . . AF=0.5,.,.", "c 9 . N . 3 PASS ."), "v.vcf")
    with VcfReader(path) as reader:
        first, second = reader
        assert (first.start_bp, first.reference_allele, first.alternative_alleles) == (0, "AC", ("A", "<DEL>", "*"))
        assert (first.id, first.number, first.place) == ("rs7", 1, f"{path}:4")
        assert (second.id, second.alternative_alleles, second.kinds) == (None, (), ())
        assert reader.info_ids == ("AF",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c x . A G . . .", "the record cannot be read"),
        ("c 5 . A", "the record cannot be read"),
        ("c 5 . A1 G . . .", "REF 'A1' must be bases"),
        ("c 5 . . G . . .", r"REF '\.' must be bases"),
        ("c 5 . A QE . . .", "ALT 'QE' must be bases"),
        ("c 3 . A G . . .", r"c:3 comes behind c:4\. Sort the file"),
        ("d 9 . A G . . .\nc 9 . A G . . .", "c:9 comes behind d:9"),
    ],
)
def test_a_wrong_record_is_named_by_file_and_line(write, capfd, row, message):
    """One way each; htslib itself prints nothing."""
    path = write(rows("c 4 . A G . . .", *row.split("\n")), "v.vcf")
    number = 5 + row.count("\n")
    with VcfReader(path) as reader, pytest.raises(ValueError, match=rf"v\.vcf:{number}: .*{message}"):
        list(reader)
    assert capfd.readouterr().err == ""


def test_unsorted_files_are_read_on_request(write):
    """In the order of the file."""
    with VcfReader(write(rows("c 4 . A G . . .", "c 3 . A G . . ."), "v.vcf"), allow_unsorted=True) as reader:
        assert texts(reader) == ["c:4:A:G", "c:3:A:G"]


def compressed(text, path):
    with pysam.BGZFile(str(path), "wb") as stream:
        stream.write(text.encode())
    return path


def test_damaged_and_wrong_files_are_refused_with_a_remedy(write, tmp_path):
    """Empty, no VCF, plain gzip, cut bgzip, a damaged block, and uncompressed BCF."""
    for data, name, message in (
        (b"", "v.vcf", "the file is empty"),
        (b">c\nACGT\n", "v.vcf", "no VCF or BCF"),
        (b"##fileformat=VCFv4.2\nc\t1\n", "v.vcf", "no VCF or BCF"),
        (b"BCF\x02\x02", "v.bcf", "BCF without compression"),
        (pysam.__name__.encode(), "v.vcf.gz", "no VCF or BCF"),
    ):
        with pytest.raises(ValueError, match=message):
            VcfReader(write(data, name))
    path = compressed(rows(*[f"c {i} . A G . . ." for i in range(1, 40_000)]), tmp_path / "v.vcf.gz")
    data = bytearray(path.read_bytes())
    with pytest.raises(ValueError, match="that ends every bgzip file"):
        VcfReader(write(data[:-28], "cut.vcf.gz"))
    data[len(data) // 2] ^= 0xFF
    with VcfReader(write(data, "damaged.vcf.gz")) as reader, pytest.raises(ValueError, match="record cannot be read"):
        list(reader)


def test_plain_gzip_is_refused_and_bgzip_named(tmp_path):
    """No place can be looked up in it."""
    path = tmp_path / "v.vcf.gz"
    path.write_bytes(gzip.compress(rows().encode()))
    with pytest.raises(ValueError, match=r"gunzip .* && bgzip"):
        VcfReader(path)


def test_regions_need_an_index_and_a_contig_that_is_known(write, vcf_path):
    """The messages have the command, and the nearest contig."""
    with pytest.raises(ValueError, match=r"has no index.*tabix -p vcf"):
        VcfReader(write(rows("c 4 . A G . . ."), "v.vcf"), regions=[Interval("c", 0, 9)])
    with pytest.raises(ValueError, match=r"knows no contig 'NC_7795'.*'NC_007795'"):
        VcfReader(vcf_path, regions=[Interval("NC_7795", 0, 9)])


def test_another_assembly_is_named(vcf_path, write):
    """A genome that lacks the contig, and one whose bases are others."""
    with VcfReader(vcf_path) as reader:
        first = next(iter(reader))
    other = write(f">NC_007795\n{'T' * 30_000}\n", "g.fa")
    expected = r"vcf\.gz:8: REF 'C' is not the genome's 'T' at NC_007795:22181"
    with ReferenceGenome(other) as genome, pytest.raises(ValueError, match=expected):
        check_reference(first, genome)
