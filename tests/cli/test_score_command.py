"""`dnafm score` on the variants between two strains of S. aureus, and on small files."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from forked_processes import ForkedProcess, run_on_two_ranks

pytest.importorskip("pysam")
pytest.importorskip("pyarrow")

import numpy as np
import pysam
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dnafm.analysis import variant_runs
from dnafm.analysis.finished_chunks import FinishedChunks
from dnafm.analysis.variant_scores import VariantScorer
from dnafm.genomics import reverse_complement
from dnafm.tasks import TASKS

FIXTURES = Path(__file__).parents[1] / "genomics" / "fixtures"
VCF, FASTA = FIXTURES / "rn4220.vcf.gz", FIXTURES / "nctc8325.fa.gz"
# Small windows of one strand run in seconds.
FAST = ["--window", 24, "--strand", "forward", "--flank", 1]
SIZE_OPTIONS = {"SequenceClassification": "model.n_classes", "SequenceRegression": "model.n_outputs"}
HEADER = (
    '##fileformat=VCFv4.2\n##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">\n##contig=<ID=chr,length=60>\n'
)
CONTIG = "ACGTTGCAAGGCTTATACCGGATCAATGCCGTTAAGCACTGATCGTTACGGATCCATTGCA"


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """The 109 records with scores, and what was printed."""
    output = tmp_path_factory.mktemp("scored") / "scored.vcf.gz"
    process = ForkedProcess("score", "--vcf", VCF, "--fasta", FASTA, "-o", output, "--index", "tbi", *FAST)
    printed, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    return output, printed


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A genome of one contig, a table, a VCF with INFO and all kinds of alleles, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("genome.fa").write_text(f">chr\n{CONTIG}\n")
    Path("table.tsv").write_text(
        "ID\tCHROM\tPOS\tREF\tALT\n"
        + "".join(f"v{i}\tchr\t{i}\t{CONTIG[i - 1]}\t{'A' if CONTIG[i - 1] != 'A' else 'C'}\n" for i in range(1, 61))
    )
    records = [
        ("chr", 10, "rs1", CONTIG[9], "A,T", 50, "PASS", "AF=0.5,0.25"),
        ("chr", 10, "rs2", CONTIG[9], "*,<DEL>", ".", ".", "."),
        ("chr", 11, ".", CONTIG[10], ".", ".", ".", "."),
        ("chr", 12, ".", CONTIG[11].lower(), CONTIG[11] + "TT", ".", ".", "AF=0.1"),
    ]
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]
    lines = ["\t".join(map(str, record)) for record in [columns, *records]]
    Path("small.vcf").write_text(HEADER + "\n".join(lines) + "\n")
    return tmp_path


def read_rows(path):
    header, *lines = Path(path).read_text().splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


def test_all_records_of_a_strain_are_accounted_for(scored):
    """109 records in their order with all columns as they were; each has a score, or a reason that is counted."""
    output, printed = scored
    with pysam.VariantFile(VCF) as file, pysam.VariantFile(output) as new:
        pairs = list(zip(file, new, strict=True))
    assert len(pairs) == 109
    reasons = Counter()
    for before, after in pairs:
        assert str(after).split("\t")[:7] == str(before).split("\t")[:7]
        assert set(after.info) - set(before.info) in (
            {"DNAFM_MASKED_LLR", "DNAFM_ENTROPY"},
            {"DNAFM_SKIPPED"},
        )
        reasons.update(after.info.get("DNAFM_SKIPPED", ()))
        if len(before.ref) == len(before.alts[0]) == 1:
            assert 0 <= after.info["DNAFM_ENTROPY"][0] <= 2
    longer = sum(max(len(before.ref), len(before.alts[0])) > 24 for before, _ in pairs)
    assert 0 < reasons["longer_than_window"] <= longer
    n_scored = 109 - reasons.total()
    assert n_scored >= 77  # all SNVs
    assert f"109 variants, 109 alleles: {n_scored} with scores in {output}.\n" in printed
    assert f"skipped {reasons['longer_than_window']}: longer_than_window" in printed


def test_header_tells_formula_version_and_command(scored):
    """And the index finds records."""
    output, _ = scored
    with pysam.VariantFile(output) as file:
        lines = str(file.header).splitlines()
        assert len(list(file.fetch("NC_007795", 22180, 22181))) == 1
    assert any(line.startswith("##dnafm_version=") for line in lines)
    (command,) = [line for line in lines if line.startswith("##dnafm_command=")]
    assert f"dnafm score --vcf {VCF}" in command
    assert "--window 24" in command
    definition = '##INFO=<ID=DNAFM_MASKED_LLR,Number=A,Type=Float,Description="Log-likelihood ratio of'
    assert any(line.startswith(definition) for line in lines)


def test_alleles_of_all_kinds_keep_their_info(small, dnafm):
    """Scores and reasons stand in the order of the alleles, and what was there stays."""
    code, printed, _ = dnafm("score", "--vcf", "small.vcf", "--fasta", "genome.fa", "-o", "out.vcf", *FAST)
    assert code == 0
    with pysam.VariantFile("out.vcf") as file:
        first, second, third, fourth = file
    assert first.info["AF"] == (0.5, 0.25)
    assert len(first.info["DNAFM_MASKED_LLR"]) == 2
    assert (first.qual, first.filter.keys(), first.id) == (50, ["PASS"], "rs1")
    assert second.info["DNAFM_SKIPPED"] == ("spanning_deletion", "symbolic_allele")
    assert third.info["DNAFM_SKIPPED"] == ("no_alternative_allele",)
    assert "DNAFM_SKIPPED" not in fourth.info
    assert "4 variants, 6 alleles: 3 with scores" in printed


@pytest.mark.parametrize("extension", ["tsv", "vcf", "bcf", "parquet"])
def test_formats_have_the_same_scores(small, dnafm, extension):
    """Of a table, in each format."""
    options = ["--variants", "table.tsv", "--fasta", "genome.fa", *FAST]
    for name in ("all.jsonl", f"out.{extension}"):
        assert dnafm("score", *options, "-o", name)[0] == 0
    expected = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    assert [row["id"] for row in expected] == [f"v{i}" for i in range(1, 61)]
    if extension == "tsv":
        found = [float(row["masked_llr"]) for row in read_rows("out.tsv")]
    elif extension == "parquet":
        import pyarrow.parquet

        found = pyarrow.parquet.read_table("out.parquet")["masked_llr"].to_pylist()
    else:
        with pysam.VariantFile(f"out.{extension}") as file:
            found = [record.info["DNAFM_MASKED_LLR"][0] for record in file]
    assert found == pytest.approx([row["masked_llr"] for row in expected], rel=1e-5)
    assert not list(small.glob("*.parts")) + list(small.glob("*.tmp*"))


def test_variants_may_be_texts_or_a_list(small, dnafm):
    """Of both the scores are those of the table."""
    texts = ["chr:5:T:A", "chr:9:A:C"]
    Path("list.txt").write_text("# comment\n" + "\n".join(texts) + "\n")
    rows = []
    for number, variants in enumerate(([*texts], ["list.txt"], ["table.tsv"])):
        name = f"{number}.tsv"
        assert dnafm("score", "--variants", *variants, "--fasta", "genome.fa", "-o", name, *FAST)[0] == 0
        rows.append({row["pos"]: float(row["masked_llr"]) for row in read_rows(name) if row["pos"] in ("5", "9")})
    assert list(rows[0]) == ["5", "9"]
    assert rows[0] == rows[1] == pytest.approx(rows[2], abs=1e-5)


def test_regions_choose_variants(small, dnafm):
    """By text or BED, of a table or, through its index, of a VCF."""
    Path("some.bed").write_text("chr\t4\t6\nchr\t9\t11\n")
    table = ["--variants", "table.tsv", "--fasta", "genome.fa", *FAST]
    assert dnafm("score", *table, "-o", "bed.tsv", "--regions", "some.bed")[0] == 0
    assert [row["pos"] for row in read_rows("bed.tsv")] == ["5", "6", "10", "11"]
    assert dnafm("score", *table, "-o", "text.tsv", "--region", "chr:59-60")[0] == 0
    assert [row["pos"] for row in read_rows("text.tsv")] == ["59", "60"]
    pysam.tabix_index("small.vcf", preset="vcf", force=True, keep_original=True)
    words = ["--vcf", "small.vcf.gz", "--fasta", "genome.fa", "-o", "one.vcf", "--region", "chr:11-11", *FAST]
    assert dnafm("score", *words)[0] == 0
    with pysam.VariantFile("one.vcf") as file:
        assert [record.pos for record in file] == [11]


@pytest.mark.parametrize("extension", ["vcf.gz", "parquet", "tsv.gz"])
def test_interrupted_run_goes_on(small, dnafm, monkeypatch, extension):
    """No finished chunk is computed again, and the file is that of a run without interruption, byte for byte."""
    monkeypatch.setattr(variant_runs, "CHUNK_VARIANTS", 8)
    output = f"out.{extension}"
    words = ["score", "--variants", "table.tsv", "--fasta", "genome.fa", "-o", output, *FAST]
    assert dnafm(*words)[0] == 0
    whole = Path(output).read_bytes()
    Path(output).unlink()
    score_chunk, calls = VariantScorer.score_chunk, []

    def counted(self, variants):
        calls.append(len(variants))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return score_chunk(self, variants)

    monkeypatch.setattr(VariantScorer, "score_chunk", counted)
    assert dnafm(*words)[0] == 130
    assert not Path(output).exists()
    code, printed, _ = dnafm(*words)
    assert code == 0
    assert "Went on from 3 finished chunks" in printed
    assert calls == [8] * 8 + [4]
    assert Path(output).read_bytes() == whole


def test_chunks_of_other_options_are_never_used(small, dnafm, monkeypatch):
    """The error tells what differs; --overwrite begins anew."""
    monkeypatch.setattr(variant_runs, "CHUNK_VARIANTS", 8)
    words = ["score", "--variants", "table.tsv", "--fasta", "genome.fa", "-o", "out.tsv", *FAST]
    with monkeypatch.context() as patch:
        patch.setattr(FinishedChunks, "remove", lambda self: None)
        assert dnafm(*words)[0] == 0
    before = Path("out.tsv").read_text()
    Path("out.tsv").unlink()
    code, _, errors = dnafm(*words, "--window", 20)
    assert code == 1
    assert "window 24, not 20" in errors
    assert dnafm(*words, "--window", 20, "--overwrite")[0] == 0
    assert Path("out.tsv").read_text() != before


class Rank:
    """One of two ranks in this process; before its second barrier the first one runs the other."""

    def __init__(self, number, other=None):
        self.process_index, self.num_processes, self.is_main_process = number, 2, number == 0
        self.other, self.n_waits = other, 0

    def wait_for_everyone(self):
        self.n_waits += 1
        if self.n_waits == 2 and self.other is not None:
            self.other()


@pytest.mark.parametrize("extension", ["vcf", "parquet", "tsv"])
def test_ranks_share_the_chunks(small, dnafm, monkeypatch, extension):
    """Each scores every second chunk, and the file is that of one rank."""
    monkeypatch.setattr(variant_runs, "CHUNK_VARIANTS", 8)
    words = ["score", "--variants", "table.tsv", "--fasta", "genome.fa", "-o", f"out.{extension}", *FAST]
    assert dnafm(*words)[0] == 0
    expected = Path(f"out.{extension}").read_bytes()
    score_to_file, score_chunk, ranks = variant_runs.score_to_file, VariantScorer.score_chunk, []

    def on_two_ranks(*arguments, state, **options):
        def other():
            ranks.append(1)
            score_to_file(*arguments, state=Rank(1), **options)

        ranks.append(0)
        return score_to_file(*arguments, state=Rank(0, other), **options)

    def counted(self, variants):
        chunks[ranks[-1]].append(variants[0].id)
        return score_chunk(self, variants)

    chunks = {0: [], 1: []}
    monkeypatch.setattr(variant_runs, "score_to_file", on_two_ranks)
    monkeypatch.setattr(VariantScorer, "score_chunk", counted)
    assert dnafm(*words, "--overwrite")[0] == 0
    assert chunks == {0: ["v1", "v17", "v33", "v49"], 1: ["v9", "v25", "v41", "v57"]}
    # The header of the VCF does not tell --overwrite.
    assert Path(f"out.{extension}").read_bytes() == expected


@pytest.mark.slow
def test_processes_share_the_chunks(small, dnafm):
    """The same in processes, with 600 variants in three chunks."""
    header, *lines = Path("table.tsv").read_text().splitlines()
    Path("long.tsv").write_text("\n".join([header, *lines * 10]) + "\n")
    words = [*map(str, ["score", "--variants", "long.tsv", "--fasta", "genome.fa", *FAST])]
    printed = run_on_two_ranks(*words, "-o", "two.tsv")
    assert printed.count("600 variants, 600 alleles: 600 with scores") == 1
    assert dnafm(*words, "-o", "one.tsv")[0] == 0
    assert Path("two.tsv").read_bytes() == Path("one.tsv").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--variants", "chr:5:G:A"], "REF 'G' is not the genome's 'T' at chr:5"),
        (["--variants", "chr2:5:G:A"], "has no contig 'chr2'"),
        (["--variants", "absent.tsv"], "'absent.tsv' is no variant. .* There is no file of that name either."),
        (["--vcf", "table.tsv"], "table.tsv: this is no VCF or BCF file"),
        (["--vcf", "absent.vcf"], "absent.vcf: No such file or directory"),
        (["--vcf", "small.vcf", "--region", "chr:1-5"], "small.vcf has no index"),
        (["--variants", "table.tsv", "--region", "chr:5-1"], "holds no base"),
        (["--variants", "table.tsv", "--window", "1025"], "window is 1025 bases; the model reads 1 to 1024"),
        (["--variants", "table.tsv", "--backbone", "absent"], "The backbone 'absent' is neither"),
        (["--variants", "table.tsv", "-o", "out.xlsx"], "the extension says the format"),
        (["--variants", "table.tsv", "-o", "table.tsv"], "table.tsv exists"),
        (["--variants", "table.tsv", "-o", "absent/out.tsv"], "The folder absent does not exist"),
        (["--variants", "table.tsv", "--batch", "0"], "--batch is 0"),
        (["--variants", "table.tsv", "--index", "tbi"], "only .vcf.gz and .bcf have an index"),
    ],
)
def test_wrong_input_is_one_line(small, dnafm, words, message):
    """With exit code 1, and no file."""
    before = sorted(small.iterdir())
    code, printed, errors = dnafm("score", "--fasta", "genome.fa", "-o", "out.tsv", *words)
    assert (code, printed) == (1, "")
    assert errors.count("\n") == 1
    assert re.search(message, errors)
    assert not Path("out.tsv").exists()
    assert not [path for path in set(small.iterdir()) - set(before) if path.suffix not in (".fai", ".parts")]


@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
@pytest.mark.parametrize("task_name", ["SequenceClassification", "SequenceRegression"])
def test_change_of_a_fine_tuned_output_is_that_of_plain_forwards(small, dnafm, task_name, strand):
    """Output of the alternative window minus that of the reference window, for each output, without a backbone."""
    options = {"model.backbone": "dnafm_tiny", SIZE_OPTIONS[task_name]: 2}
    TASKS[task_name].from_config(options).save_pretrained("tuned")
    words = ["--variants", "chr:31:G:T", "chr:31:G:GAA", "--fasta", "genome.fa", "--model", "tuned", "-o", "out.jsonl"]
    assert dnafm("score", *words, "--window", 20, "--strand", strand)[0] == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    model = AutoModelForSequenceClassification.from_pretrained("tuned").eval()
    tokenizer = AutoTokenizer.from_pretrained("tuned")

    def outputs(window):
        both = {"forward": [window], "reverse": [reverse_complement(window)]}
        windows = both.get(strand, [*both["forward"], *both["reverse"]])
        with torch.no_grad():
            return np.mean(
                [model(**tokenizer(each, return_tensors="pt")).logits[0].numpy() for each in windows], axis=0
            )

    # Base 30 at the middle of 20 bases; of the inserted bases, the first at base 9 or 10 of the window.
    pairs = [
        (CONTIG[20:40], CONTIG[20:30] + "T" + CONTIG[31:40]),
        (CONTIG[22:42], CONTIG[22:31] + "AA" + CONTIG[31:40]),
    ]
    for row, (reference, alternative) in zip(rows, pairs, strict=True):
        names = [name for name in row if name.startswith("change_")]
        assert list(row) == ["chrom", "pos", "id", "ref", "alt", *names, "skipped", "has_reference_mismatch"]
        expected = outputs(alternative) - outputs(reference)
        assert [row[name] for name in names] == pytest.approx(expected, abs=1e-5)


def test_info_of_the_input_that_clashes_is_found_at_once(small, dnafm):
    """Before anything is scored."""
    text = Path("small.vcf").read_text().replace("ID=AF,", "ID=DNAFM_ENTROPY,")
    Path("clash.vcf").write_text(text.replace("AF=", "DNAFM_ENTROPY="))
    code, _, errors = dnafm("score", "--vcf", "clash.vcf", "--fasta", "genome.fa", "-o", "out.vcf", *FAST)
    assert code == 1
    assert "defines INFO DNAFM_ENTROPY in another way" in errors
    assert not Path("out.vcf.parts").exists()


def test_mismatches_are_skipped_or_marked(small, dnafm):
    """Skipped ones have the reason, and those that are only warned of a flag."""
    options = ["--variants", "chr:5:G:A", "--fasta", "genome.fa", *FAST]
    code, printed, _ = dnafm("score", *options, "-o", "skip.tsv", "--ref_mismatch", "skip")
    assert code == 0
    assert "skipped 1: reference_mismatch" in printed
    (row,) = read_rows("skip.tsv")
    assert (row["masked_llr"], row["skipped"]) == ("", "reference_mismatch")
    code, printed, _ = dnafm("score", *options, "-o", "warn.tsv", "--ref_mismatch", "warn")
    assert "1 of those with scores have a REF that is not what the genome has" in printed
    (row,) = read_rows("warn.tsv")
    assert row["masked_llr"] != ""
    assert row["has_reference_mismatch"] == "true"


def test_bgzip_and_plain_input_are_the_same(small, dnafm):
    """Of the VCF."""
    pysam.tabix_compress("small.vcf", "small.vcf.gz")
    for name in ("small.vcf", "small.vcf.gz"):
        assert dnafm("score", "--vcf", name, "--fasta", "genome.fa", "-o", f"{name}.out.vcf.gz", *FAST)[0] == 0
    plain, compressed = (
        [line for line in gzip.decompress(path.read_bytes()).splitlines() if b"command" not in line]
        for path in (Path("small.vcf.out.vcf.gz"), Path("small.vcf.gz.out.vcf.gz"))
    )
    assert plain == compressed
