"""A fit that was killed goes on, and ends as if it had not been."""

import pytest
import torch
from forked_processes import kill_when

pytest.importorskip("jsonargparse")

from dnafm.training.checkpointing import complete_checkpoints

# Of an entry of the log, what the clock has no part in.
LOGGED = ("step", "loss", "grad_norm", "learning_rate", "eval_loss", "eval_mcc")


@pytest.fixture
def options(tiny_options):
    """Of a fit of twelve epochs in `runs/cut`."""
    short = ["--trainer.num_train_epochs", "12", "--trainer.logging_steps", "1"]
    return [*tiny_options, *short, "--data.path", "table.tsv", "--trainer.output_dir", "runs/cut"]


@pytest.fixture
def outcome(read_metrics):
    """Read what a fit came to: its metrics, its log without times, and its weights."""

    def read(folder):
        document = read_metrics(folder / "metrics.json")
        log = [{name: entry[name] for name in LOGGED if name in entry} for entry in document["log_history"]]
        return document["validation"], log, (folder / "model.safetensors").read_bytes()

    return read


@pytest.fixture
def one_thread(monkeypatch):
    """Compute on one thread: sums that threads share do not always round alike."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_killed_fit_goes_on(workplace, dnafm, options, outcome):
    """After kill -9 in the middle, the same command with the order to resume gives the same metrics and weights."""
    run = workplace / "runs" / "cut"
    assert dnafm("fit", *options, "--trainer.output_dir", "runs/whole")[0] == 0
    kill_when(lambda: complete_checkpoints(run), "fit", *options)
    assert not (run / "metrics.json").exists()
    # The settings were written when training began.
    code, _, errors = dnafm("fit", "--config", run / "config.yaml", "--trainer.resume_from_checkpoint", "true")
    assert (code, errors) == (0, "")
    resumed, whole = outcome(run), outcome(workplace / "runs" / "whole")
    assert resumed[:2] == whole[:2]
    assert resumed[2] == whole[2], "the weights differ"


def test_finished_fit_may_be_started_again(workplace, dnafm, options, outcome):
    """With the order to resume it ends where it was, without a step, and the order is not kept in its settings."""
    short = ["--trainer.num_train_epochs", "2"]
    assert dnafm("fit", *options, *short)[0] == 0
    before = outcome(workplace / "runs" / "cut")
    code, output, errors = dnafm("fit", *options, *short, "--trainer.resume_from_checkpoint", "true")
    assert (code, errors) == (0, "")
    assert "\nstep " not in output
    assert outcome(workplace / "runs" / "cut") == before
    assert "resume_from_checkpoint" not in (workplace / "runs" / "cut" / "config.yaml").read_text()


def test_checkpoint_that_is_not_there_is_one_line(workplace, dnafm, options):
    """The message names it and those that are."""
    (workplace / "runs" / "cut").mkdir(parents=True)
    code, _, errors = dnafm("fit", *options, "--trainer.resume_from_checkpoint", "runs/cut/checkpoint-7")
    assert code == 1
    assert errors.endswith("runs/cut/checkpoint-7 does not exist. Whole ones in runs/cut: none.\n")
