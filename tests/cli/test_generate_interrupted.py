"""`dnafm generate` that is interrupted, killed, or shared by ranks makes the same files in the end."""

from pathlib import Path

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("matplotlib")

from forked_processes import kill_when, run_on_two_ranks

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification, DNAFMTokenizer
from dnafm.analysis.generation_samples import Designer

WORDS = ["generate", "templates.fa", "-n", "20", "--backbone", "backbone", "--batch", "80"]
GUIDED = ["--guide", "guide", "--refinement_rounds", "2", "--rounds", "3"]
# Of few places, so that many samples are equal to one of another chunk.
UNIQUE = ["--unique", "--max_tries", "3", "--temperature", "0.5"]
OUTPUTS = ("fa", "tsv", "svg")


def outputs(name):
    return ["-o", f"{name}.fa", "--table", f"{name}.tsv", "--plot", f"{name}.svg"]


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_model):
    """A working directory with a backbone, a guide, and two templates whose samples make eight chunks."""
    monkeypatch.chdir(tmp_path)
    tiny_model(DNAFMForMaskedLM).save_pretrained("backbone")
    tiny_model(DNAFMForSequenceClassification, num_labels=1, problem_type="regression").save_pretrained("guide")
    for folder in ("backbone", "guide"):
        DNAFMTokenizer(model_max_length=64).save_pretrained(folder)
    (tmp_path / "templates.fa").write_text(">a\nACGTTG??ACCTG\n>b\nACG???GGTTACA\n")
    return tmp_path


@pytest.fixture
def made(monkeypatch):
    """Keys of the samples that batches began with, of which the third one is interrupted."""
    results, keys = Designer.results, []

    def counted(self, batch, earlier):
        keys.append(batch[0].key)
        if len(keys) == 3:
            raise KeyboardInterrupt
        return results(self, batch, earlier)

    monkeypatch.setattr(Designer, "results", counted)
    return keys


@pytest.mark.parametrize("more", [GUIDED, [*GUIDED, *UNIQUE]])
def test_interrupted_run_goes_on(place, dnafm, made, more):
    """No finished chunk is computed again, and the files are those of a run without interruption, byte for byte."""
    before = {path.name for path in place.iterdir()}
    assert dnafm(*WORDS, *more, *outputs("out"))[0] == 130
    assert {path.name for path in place.iterdir()} == before | {"out.fa.parts"}
    code, printed, errors = dnafm(*WORDS, *more, *outputs("out"))
    assert (code, errors) == (0, "")
    assert printed.startswith("Went on from 2 finished chunks of an earlier run.\n")
    # The third one was begun twice.
    assert len(made) == 9
    assert len(set(made)) == 8
    assert dnafm(*WORDS, *more, *outputs("whole"))[0] == 0
    for extension in OUTPUTS:
        assert Path(f"out.{extension}").read_bytes() == Path(f"whole.{extension}").read_bytes()
    assert not list(place.glob("*.parts"))


def test_chunks_of_other_options_are_never_used(place, dnafm, made):
    """The error tells what differs; --overwrite begins anew."""
    assert dnafm(*WORDS, "--table", "out.tsv")[0] == 130
    for more, difference in (
        (["--dtype", "bfloat16"], 'dtype "float32", not "bfloat16"'),
        (["--guide", "guide"], 'guide null, not "guide"'),
        (["--seed", "1"], "sampling {"),
    ):
        code, _, errors = dnafm(*WORDS, *more, "--table", "out.tsv")
        assert code == 1
        assert "out.tsv.parts holds 2 finished chunks of a run with" in errors
        assert difference in errors
    assert dnafm(*WORDS, "--seed", "1", "--table", "out.tsv", "--overwrite")[0] == 0
    assert dnafm(*WORDS, "--seed", "1", "--table", "new.tsv")[0] == 0
    assert Path("out.tsv").read_bytes() == Path("new.tsv").read_bytes()


@pytest.mark.slow
def test_killed_run_and_ranks_make_the_same_files(place, dnafm):
    """After SIGKILL in the middle, and on two ranks; both with samples that have to differ."""
    words = [*WORDS, *UNIQUE]
    assert dnafm(*words, *outputs("whole")[:4])[0] == 0
    kill_when(lambda: list(place.glob("out.fa.parts/*.arrow")), *words, *outputs("out")[:4])
    n_finished = len(list(place.glob("out.fa.parts/*.arrow")))
    assert 0 < n_finished < 8
    # What one rank began, two end.
    printed = run_on_two_ranks(*words, *outputs("out")[:4])
    assert printed.count(f"Went on from {n_finished} finished chunks") == printed.count("sequences written") == 1
    printed = run_on_two_ranks(*words, *outputs("shared")[:4])
    assert printed.count("sequences written to shared.fa and shared.tsv") == 1
    for extension in ("fa", "tsv"):
        whole = Path(f"whole.{extension}").read_bytes()
        assert Path(f"out.{extension}").read_bytes() == whole
        assert Path(f"shared.{extension}").read_bytes() == whole
    assert not list(place.glob("*.parts")) + list(place.glob("*.tmp*"))
