"""`dnafm annotate` on two ranks."""

import random

import pytest

pytest.importorskip("pysam")
pytest.importorskip("sklearn")

import torch
from forked_processes import run_on_two_ranks

from dnafm import DNAFMForMaskedLM, DNAFMForTokenClassification, DNAFMTokenizer


@pytest.mark.slow
def test_ranks_share_the_chunks_and_write_the_files_of_one(tmp_path, monkeypatch, tiny_model, dnafm):
    """Intervals and tables of two ways, byte by byte; what is printed is printed once, and nothing is left."""
    monkeypatch.chdir(tmp_path)
    # Its classifier finds both classes about as often.
    torch.manual_seed(1)
    labels = {"num_labels": 2, "id2label": {0: "exon", 1: "intron"}, "problem_type": "single_label_classification"}
    tiny_model(DNAFMForMaskedLM).save_pretrained("backbone")
    tiny_model(DNAFMForTokenClassification, **labels).save_pretrained("classifier")
    for folder in ("backbone", "classifier"):
        DNAFMTokenizer(model_max_length=64).save_pretrained(folder)
    bases = "".join(random.Random(0).choices("ACGT", k=130_000))
    (tmp_path / "genome.fa").write_text(f">one\n{bases[:120_000]}\n>two\n{bases[120_000:]}\n")
    label = ["label", "genome.fa", "--model", "classifier", "--min", "3", "--overlap", "0"]
    cluster = ["cluster", "genome.fa", "--backbone", "backbone", "--window", "60", "--clusters", "3"]
    for words in (label, cluster):
        files = {ranks: ["-o", f"{ranks}.bed", "--table", f"{ranks}.tsv"] for ranks in ("shared", "alone")}
        printed = run_on_two_ranks("annotate", *words, *files["shared"], "--overwrite")
        assert printed.count("are in shared.bed.") == 1
        assert dnafm("annotate", *words, *files["alone"], "--overwrite")[0] == 0
        for extension in ("bed", "tsv"):
            shared, alone = (tmp_path / f"{ranks}.{extension}" for ranks in ("shared", "alone"))
            assert shared.read_bytes() == alone.read_bytes()
        assert len((tmp_path / "alone.bed").read_text().splitlines()) > 100
        assert not list(tmp_path.glob("*.parts"))
