"""Debian's bcftools and tabix read what `dnafm score` writes: the variants of S. aureus RN4220, and odd alleles."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("pysam")
pytest.importorskip("pyarrow")

import pysam

from dnafm.cli import main as cli

FIXTURES = Path(__file__).parents[1] / "genomics" / "fixtures"
VCF, FASTA = FIXTURES / "rn4220.vcf.gz", FIXTURES / "nctc8325.fa.gz"
CONTIG, LENGTH_BP, N_RECORDS = "NC_007795", 2_821_361, 109
# Small windows of one strand run in seconds.
FAST = ["--window", "24", "--strand", "forward", "--flank", "1"]
KEYS = ("DNAFM_MASKED_LLR", "DNAFM_ENTROPY")
ODD = """##fileformat=VCFv4.2
##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">
##INFO=<ID=END,Number=1,Type=Integer,Description="End">
##ALT=<ID=DEL,Description="Deletion">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##contig=<ID=chr,length=60>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone
chr\t10\trs1\tG\tA,GTT,T\t50\tPASS\tAF=0.5,0.25,0.1\tGT\t1/3
chr\t10\t.\tG\t<DEL>\t.\t.\tEND=14\tGT\t0/1
chr\t12\t.\tC\t.\t.\t.\t.\tGT\t0/0
chr\t13\t.\tT\t*,G\t.\t.\tAF=0.1,0.2\tGT\t1/2
"""
BASES = "ACGTTGCAAGGCTTATACCGGATCAATGCCGTTAAGCACTGATCGTTACGGATCCATTGCA"


def tool_output(*words):
    """What a tool prints; it ends well and has nothing to complain about."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not on the PATH; Debian has it: apt-get install bcftools tabix")
    result = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=60)
    complaints = [line for line in result.stderr.splitlines() if not line.startswith("Lines   total/")]
    assert (result.returncode, complaints) == (0, [])
    return result.stdout


def score(*words):
    assert cli.main(["score", *map(str, words), *FAST]) == 0


def numbers_by_record(path):
    """The scores of each record, one for each allele, as htslib reads them by way of Python."""
    with pysam.VariantFile(str(path)) as file:
        return [[record.info.get(key, (None,)) for key in KEYS] for record in file]


@pytest.fixture(scope="module", params=["vcf.gz", "bcf", "vcf"])
def scored(request, tmp_path_factory):
    """The scored variants, with an index where the format has one."""
    output = tmp_path_factory.mktemp("tools") / f"scored.{request.param}"
    index = [] if request.param == "vcf" else ["--index", "csi"]
    score("--vcf", VCF, "--fasta", FASTA, "-o", output, *index)
    return output


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder with the odd alleles, scored, and their genome."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd.vcf").write_text(ODD)
    (folder / "genome.fa").write_text(f">chr\n{BASES}\n")
    words = ["--vcf", folder / "odd.vcf", "--fasta", folder / "genome.fa", "-o"]
    score(*words, folder / "scored.vcf")
    score(*words, folder / "scored.tsv")
    return folder


def test_view_reads_all_records(scored):
    """With `bcftools view`, which has nothing to warn of."""
    lines = tool_output("bcftools", "view", "--no-header", scored).splitlines()
    assert len(lines) == N_RECORDS


def test_query_gives_the_scores(scored):
    """The text of each score is the number that is in the file; a dot is where the allele was skipped."""
    query = "\t".join(f"%INFO/{key}" for key in KEYS) + "\n"
    lines = tool_output("bcftools", "query", "--format", query, scored).splitlines()
    for line, expected in zip(lines, numbers_by_record(scored), strict=True):
        for text, (number,) in zip(line.split("\t"), expected, strict=True):
            assert text == "." if number is None else float(text) == pytest.approx(number, rel=1e-5)
    assert sum(line != ".\t." for line in lines) >= 77  # all SNVs


def test_reference_alleles_agree_with_the_genome(scored):
    """`bcftools norm --check-ref e` stops at the first one that does not."""
    words = ["bcftools", "norm", "--check-ref", "e", "--fasta-ref", FASTA, "--no-version", scored]
    lines = tool_output(*words).splitlines()
    assert sum(not line.startswith("#") for line in lines) == N_RECORDS


def test_index_counts_the_records(scored):
    """One contig with its length and all 109 records."""
    if scored.suffix == ".vcf":
        assert not list(scored.parent.glob("*.csi"))
        return
    assert tool_output("bcftools", "index", "--stats", scored) == f"{CONTIG}\t{LENGTH_BP}\t{N_RECORDS}\n"


@pytest.mark.parametrize("index", ["tbi", "csi"])
def test_a_region_by_tabix_is_what_a_filter_finds(tmp_path, index):
    """Records of a megabase: those whose REF overlaps it, in their order, and no others."""
    output = tmp_path / "scored.vcf.gz"
    score("--vcf", VCF, "--fasta", FASTA, "-o", output, "--index", index)
    lines = tool_output("bcftools", "view", "--no-header", output).splitlines()
    rows = [line.split("\t") for line in lines]
    first, last = 1_000_001, 2_000_000
    expected = [
        line
        for line, (_, position, _, reference, *_) in zip(lines, rows, strict=True)
        if int(position) <= last and int(position) + len(reference) > first
    ]
    assert 0 < len(expected) < N_RECORDS
    assert tool_output("tabix", output, f"{CONTIG}:{first}-{last}").splitlines() == expected


def test_odd_alleles_are_valid(odd):
    """Symbolic, spanning, missing and several alleles with genotypes, and what was there stays."""
    query = "%POS %ALT %INFO/AF %INFO/END %INFO/DNAFM_SKIPPED[ %GT]\n"
    assert tool_output("bcftools", "query", "--format", query, odd / "scored.vcf").splitlines() == [
        "10 A,GTT,T 0.5,0.25,0.1 . . 1/3",
        "10 <DEL> . 14 symbolic_allele 0/1",
        "12 . . . no_alternative_allele 0/0",
        "13 *,G 0.1,0.2 . spanning_deletion,. 1/2",
    ]


def test_split_alleles_keep_their_own_scores(odd):
    """`bcftools norm --multiallelics -` gives each allele the score that the table has for it."""
    words = ["norm", "--multiallelics", "-", "--no-version", odd / "scored.vcf"]
    lines = [line.split("\t") for line in tool_output("bcftools", *words).splitlines() if line[0] != "#"]
    found = {}
    for _, position, _, _, alternative, _, _, info, *_ in lines:
        fields = dict(field.split("=") for field in info.split(";") if "=" in field)
        found[position, alternative] = fields.get("DNAFM_MASKED_LLR", ".")
    header, *rows = [line.split("\t") for line in (odd / "scored.tsv").read_text().splitlines()]
    expected = {}
    for row in (dict(zip(header, row, strict=True)) for row in rows):
        expected[row["pos"], row["alt"] or "."] = row["masked_llr"] or "."
    assert list(found) == list(expected)
    for allele, text in expected.items():
        # Text of VCF has six digits.
        assert found[allele] == text or float(found[allele]) == pytest.approx(float(text), rel=1e-5)
