"""`dnafm mine` in processes of its own: killed, and on two ranks."""

import random
from pathlib import Path

import pytest

pytest.importorskip("pysam")
pytest.importorskip("pyarrow")
pytest.importorskip("lancedb")

import lancedb
from forked_processes import kill_when, run_on_two_ranks

from dnafm import DNAFMForSequenceClassification, DNAFMTokenizer

pytestmark = pytest.mark.slow


def random_dna(n_bases: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=n_bases))


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_model):
    """A working directory with a model and a classifier that read 62 bases, and a genome."""
    monkeypatch.chdir(tmp_path)
    names = {0: "no", 1: "maybe", 2: "yes"}
    tiny_model().save_pretrained("model")
    tiny_model(DNAFMForSequenceClassification, id2label=names).save_pretrained("tuned")
    for folder in ("model", "tuned"):
        DNAFMTokenizer(model_max_length=64).save_pretrained(folder)
    Path("second.fa").write_text(f">chr1\n{random_dna(600, 1)}\n")
    return tmp_path


def rows(folder="store"):
    return lancedb.connect(folder).open_table("windows").to_arrow()


def test_a_killed_run_goes_on_to_the_same_rows(place, dnafm):
    """SIGKILL amid the chunks of the first of two genomes: no window is missing, and none is there twice."""
    Path("large.fa").write_text(f">c\n{random_dna(60_000, 2)}\n")
    words = ["mine", "index", "large.fa", "second.fa", "--backbone", "model", "--window", 60, "--step", 10]
    kill_when(lambda: list(Path().glob("store/*.parts/*.arrow")), *words, "-o", "store")
    n_finished = len(list(Path().glob("store/*.parts/*.arrow")))
    assert 0 < n_finished < 6
    assert len(rows()) == 0
    assert "large: in progress" in dnafm("mine", "info", "store")[1]
    code, printed, errors = dnafm(*words, "-o", "store")
    assert (code, errors) == (0, "")
    assert f"Went on from {n_finished} finished chunks of an earlier run." in printed
    assert dnafm(*words, "-o", "whole")[0] == 0
    assert rows().equals(rows("whole"))
    assert len(rows()) == 5995 + 55
    assert sorted(path.name for path in Path("store").iterdir()) == ["genomes.lance", "windows.lance"]


def test_ranks_share_the_work(place, dnafm):
    """Rows and hits are those of one rank, in the same order, and are told once."""
    Path("large.fa").write_text(f">c\n{random_dna(25_000, 2)}\n")
    index = ["mine", "index", "large.fa", "second.fa", "--backbone", "model", "--window", 60, "--step", 10]
    assert run_on_two_ranks(*index, "-o", "shared").count("windows added to shared, which has 2,550") == 1
    assert dnafm(*index, "-o", "alone")[0] == 0
    assert rows("shared").equals(rows("alone"))
    Path("genes.fa").write_text("".join(f">q{i}\n{random_dna(60 + i, i)}\n" for i in range(150)))
    query = ["mine", "query", "alone", "--fasta", "genes.fa", "-k", 3, "--merge", 0]
    classify = ["mine", "classify", "alone", "--model", "tuned", "--target", "yes", "-k", 20]
    for words, told in ((query, "150 queries: 450 hits"), (classify, "2,550 windows: 20 hits")):
        assert run_on_two_ranks(*words, "-o", "shared.tsv").count(told) == 1
        assert dnafm(*words, "-o", "alone.tsv")[0] == 0
        assert Path("shared.tsv").read_bytes() == Path("alone.tsv").read_bytes()
        assert sorted(path.name for path in place.glob("*.tsv*")) == ["alone.tsv", "shared.tsv"]
        for name in ("shared.tsv", "alone.tsv"):
            Path(name).unlink()
