"""`dnafm score` killed with SIGKILL, which no program can catch, and started again."""

import random
from pathlib import Path

import pytest

pytest.importorskip("pysam")
pytest.importorskip("pyarrow")

import torch
from forked_processes import kill_when

from dnafm import DNAFMConfig, DNAFMForMaskedLM, DNAFMTokenizer

# Six chunks of 256.
N_VARIANTS = 1500
WORDS = ["--vcf", "in.vcf", "--fasta", "genome.fa", "-o", "out.vcf.gz", "--backbone", "model", "--window", "62"]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two folders with a model, a genome and a VCF under the same names; the first one is the working directory."""
    torch.manual_seed(0)
    config = DNAFMConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64
    )
    generator = random.Random(0)
    bases = "".join(generator.choices("ACGT", k=N_VARIANTS + 100))
    records = "".join(
        f"chr\t{i + 1}\t.\t{bases[i]}\t{'ACGT'.replace(bases[i], '')[0]}\t.\t.\t.\n" for i in range(N_VARIANTS)
    )
    header = (
        f"##fileformat=VCFv4.3\n##contig=<ID=chr,length={len(bases)}>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    )
    model = DNAFMForMaskedLM(config)
    pair = (tmp_path / "interrupted", tmp_path / "whole")
    for folder in pair:
        folder.mkdir()
        model.save_pretrained(folder / "model")
        DNAFMTokenizer(model_max_length=64).save_pretrained(folder / "model")
        (folder / "genome.fa").write_text(f">chr\n{bases}\n")
        (folder / "in.vcf").write_text(header + records)
    monkeypatch.chdir(pair[0])
    return pair


def finished_chunks() -> list[Path]:
    return list(Path("out.vcf.gz.parts").glob("*.arrow"))


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(folders, dnafm, monkeypatch):
    """The file is that of a run without interruption; finished chunks are kept, and nothing else is left behind."""
    before = {path.name for path in folders[0].iterdir()}
    kill_when(finished_chunks, "score", *WORDS)
    n_finished = len(finished_chunks())
    assert 0 < n_finished < 6
    assert not Path("out.vcf.gz").exists()
    code, printed, errors = dnafm("score", *WORDS)
    assert (code, errors) == (0, "")
    assert f"Went on from {n_finished} finished chunks of an earlier run." in printed
    found = Path("out.vcf.gz").read_bytes()
    assert {path.name for path in Path().iterdir()} == before | {"out.vcf.gz", "genome.fa.fai"}
    monkeypatch.chdir(folders[1])
    code, printed, _ = dnafm("score", *WORDS)
    assert code == 0
    assert "Went on" not in printed
    assert Path("out.vcf.gz").read_bytes() == found
