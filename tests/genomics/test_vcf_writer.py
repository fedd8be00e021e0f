import random
import shutil
import subprocess

import pysam
import pytest

from dnafm.genomics import InfoField, Interval, VcfReader, VcfWriter, index_variants, parse_variant_text
from dnafm.version import __version__

SCORE = InfoField("SCORE", "A", "Float", 'log-likelihood "ratio"')
VCF = """##fileformat=VCFv4.2
##source=test
##INFO=<ID=AF,Number=A,Type=Float,Description="frequency">
##FILTER=<ID=low,Description="low">
##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">
##contig=<ID=c,length=99>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone\ttwo
c\t5\trs1\ta\tG,T\t10\tPASS\tAF=0.5,0.25\tGT\t0/1\t1|2
c\t9\t.\tA\t<DEL>\t.\tlow\tAF=0.125;MINE=7;FLAG\tGT\t./.\t0/0
d\t2\t.\tG\t.\t.\tq10\t.\tGT\t0/0\t0/0
"""


@pytest.fixture
def source(write):
    with VcfReader(write(VCF, "in.vcf")) as source:
        yield source


def scored(source, path, **options):
    """Write variant number n with the score n / 8 for each alternative allele."""
    with VcfWriter(path, source, info=[SCORE], **options) as writer:
        for variant in source:
            writer.write(variant, {"SCORE": [variant.number / 8] * len(variant.alternative_alleles) or None})
    return path


@pytest.mark.parametrize("name", ["out.vcf", "out.vcf.gz"])
def test_all_that_the_input_had_is_kept(source, tmp_path, name):
    """Header, samples, INFO that is not defined and filters stay as they are; the score comes behind them."""
    path = scored(source, tmp_path / name, command="dnafm score\n--vcf in.vcf")
    with pysam.BGZFile(str(path)) if name.endswith("gz") else path.open("rb") as stream:
        lines = stream.read().decode().splitlines()
    header, columns, rows = lines[:-4], lines[-4], lines[-3:]
    *expected_header, expected_columns = VCF.splitlines()[:7]
    assert set(expected_header) <= set(header)
    assert columns == expected_columns
    assert header[-3:] == [
        SCORE.to_line(),
        f"##dnafm_version={__version__}",
        "##dnafm_command=dnafm score --vcf in.vcf",
    ]
    first, second, third = VCF.splitlines()[7:]
    assert rows == [
        first.replace("0.25", "0.25;SCORE=0.125,0.125"),
        second.replace("FLAG", "FLAG;SCORE=0.25"),
        third,
    ]


def test_a_second_run_replaces_the_first_ones_scores(source, tmp_path):
    """The definition is there once, and the values are the new ones."""
    first = scored(source, tmp_path / "first.vcf")
    with VcfReader(first) as again, VcfWriter(tmp_path / "second.vcf", again, info=[SCORE]) as writer:
        for variant in again:
            writer.write(variant, {"SCORE": [9.0] * len(variant.alternative_alleles)})
    text = (tmp_path / "second.vcf").read_text()
    assert text.count("ID=SCORE") == 1
    assert text.count("SCORE=9") == 2
    other = InfoField("SCORE", "1", "Float", "something else")
    with VcfReader(first) as again, pytest.raises(ValueError, match="defines INFO SCORE in another way"):
        VcfWriter(tmp_path / "third.vcf", again, info=[other])


@pytest.mark.parametrize(("name", "index"), [("out.vcf.gz", "tbi"), ("out.vcf.gz", "csi"), ("out.bcf", "csi")])
def test_indexed_output_is_read_by_region(vcf_path, tmp_path, name, index):
    """All records of S. aureus with their scores, the same from each format, and only those files are left."""
    with VcfReader(vcf_path) as source:
        path = scored(source, tmp_path / name, index=index, contig_lengths={"NC_007795": 2_821_361})
        with VcfReader(path) as result:
            assert list(result) == list(source)
            assert [v.record.info["SCORE"] for v in result] == [(i / 8,) for i in range(1, 110)]
    with VcfReader(path, regions=[Interval("NC_007795", 22_180, 47_652)]) as some:
        assert [variant.start_bp for variant in some] == [22_180, 33_960, 47_651]
        assert "##contig=<ID=NC_007795,length=2821361>" in some.header_text
    assert sorted(each.name for each in tmp_path.iterdir()) == [name, f"{name}.{index}"]


@pytest.mark.skipif(not (shutil.which("bcftools") and shutil.which("tabix")), reason="bcftools and tabix are missing")
def test_bcftools_and_tabix_accept_the_output(vcf_path, tmp_path):
    """The programs count the same records, without a warning."""
    with VcfReader(vcf_path) as source:
        path = scored(source, tmp_path / "out.vcf.gz", index="tbi", contig_lengths={"NC_007795": 2_821_361})
    view = subprocess.run(["bcftools", "view", "-H", path], capture_output=True, text=True, check=True)
    lookup = subprocess.run(["tabix", path, "NC_007795"], capture_output=True, text=True, check=True)
    assert view.stdout.count("\n") == lookup.stdout.count("\n") == 109
    assert view.stderr == lookup.stderr == ""


def test_bcftools_of_pysam_accepts_the_output(vcf_path, tmp_path):
    """The same code as the program: it finds as many SNVs as the reader."""
    with VcfReader(vcf_path) as source:
        path = scored(source, tmp_path / "out.vcf.gz", index="tbi", contig_lengths={"NC_007795": 2_821_361})
    found = pysam.bcftools.query("-f", "%POS %INFO/SCORE\n", "-i", 'TYPE="snp"', str(path))
    assert found.splitlines()[0] == "22181 0.125"
    assert len(found.splitlines()) == 77


def test_variants_of_tables_get_a_header_of_their_own(tmp_path):
    """Contigs of the genome, no columns that the table had not; text is encoded as VCF asks."""
    note = InfoField("NOTE", "1", "String", "text")
    hit = InfoField("HIT", "0", "Flag", "yes")
    with VcfWriter(tmp_path / "out.vcf", info=[note, hit, SCORE], contig_lengths={"c": 9}) as writer:
        writer.write(
            parse_variant_text("c:5:a:G,<DEL>"), {"NOTE": "a;b=c, d", "HIT": True, "SCORE": [None, float("nan")]}
        )
        writer.write(parse_variant_text("c:6:A:."), {"HIT": False, "SCORE": None})
    *header, first, second = (tmp_path / "out.vcf").read_text().splitlines()
    assert "##contig=<ID=c,length=9>" in header
    assert first == "c\t5\t.\tA\tG,<DEL>\t.\t.\tNOTE=a%3Bb%3Dc%2C%20d;HIT;SCORE=.,."
    assert second == "c\t6\t.\tA\t.\t.\t.\t."
    with VcfReader(tmp_path / "out.vcf") as reader:
        assert len(list(reader)) == 2


def test_random_variants_come_back(tmp_path):
    """A round trip of 300 seeded records through bgzip and BCF, with float32 scores to six digits."""
    rng = random.Random(1)
    alleles = ["".join(rng.choices("ACGT", k=rng.randint(1, 4))) for _ in range(600)]
    texts = [f"c:{5 * i + 1}:{alleles[2 * i]}:{alleles[2 * i + 1]}" for i in range(300)]
    variants, scores = list(map(parse_variant_text, texts)), [rng.gauss(0, 1) for _ in texts]
    for name in ("out.vcf.gz", "out.bcf"):
        with VcfWriter(tmp_path / name, info=[SCORE], contig_lengths={"c": 9999}) as writer:
            for variant, score in zip(variants, scores, strict=True):
                writer.write(variant, {"SCORE": score})
        with VcfReader(tmp_path / name) as reader:
            found = list(reader)
        assert found == variants
        assert [v.record.info["SCORE"][0] for v in found] == pytest.approx(scores, rel=1e-5)


def test_a_failed_block_leaves_no_file(source, tmp_path):
    """Neither the file nor a temporary one; wrong values are named with their variant."""
    before = set(tmp_path.iterdir())
    for info, message in (
        ({"SCORE": [1.0]}, "c:5:A:G: INFO SCORE has 1 values, and 2"),
        ({"NEW": 1}, "INFO NEW is not"),
    ):
        with (
            pytest.raises(ValueError, match=message),
            VcfWriter(tmp_path / "out.vcf.gz", source, info=[SCORE]) as writer,
        ):
            writer.write(next(iter(source)), info)
    assert set(tmp_path.iterdir()) == before


def test_what_bcf_cannot_hold_is_refused(source, tmp_path):
    """It needs each contig in its header."""
    before = set(tmp_path.iterdir())
    with pytest.raises(ValueError, match="BCF cannot hold these records"):
        scored(source, tmp_path / "out.bcf")
    assert set(tmp_path.iterdir()) == before


def test_unsorted_output_stays_without_an_index(tmp_path):
    """The error says so, and the file is whole."""
    path = tmp_path / "out.vcf.gz"
    writer = VcfWriter(path, contig_lengths={"c": 99}, index="tbi")
    for text in ("c:9:A:G", "c:5:A:G"):
        writer.write(parse_variant_text(text))
    with pytest.raises(ValueError, match=r"no index can be made\. The file itself is whole"):
        writer.close()
    with VcfReader(path, allow_unsorted=True) as reader:
        assert len(list(reader)) == 2
    with pytest.raises(ValueError, match="no index can be made"):
        index_variants(path)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("out.txt", {}, "the extension says"),
        ("out.vcf", {"index": "tbi"}, "no index"),
        ("out.bcf", {"index": "tbi"}, "is csi"),
    ],
)
def test_formats_that_are_none_are_refused(tmp_path, name, options, message):
    """Before anything is written."""
    with pytest.raises(ValueError, match=message):
        VcfWriter(tmp_path / name, **options)
    assert not list(tmp_path.iterdir())
