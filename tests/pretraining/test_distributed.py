"""Two CPU ranks train as one."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from accelerate.utils import merge_fsdp_weights
from forked_processes import run_on_two_ranks
from safetensors.torch import load_file

from dnafm import DNAFMForMaskedLM
from dnafm.training.checkpointing import complete_checkpoints
from dnafm.training.pretraining import pretrain

# torchrun names a port that nobody waits on in the meantime.
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
TORCHRUN = [*LAUNCHER, "--module", "dnafm"]


@pytest.fixture
def curve(log_history):
    """Return all losses and evaluations of a run."""

    def read(folder: Path) -> list[float]:
        names = ("loss", "grad_norm", "eval_nats_per_base")
        return [entry[name] for entry in log_history(folder, 6) for name in names if name in entry]

    return read


def words_of(config: Path) -> list[str]:
    return ["pretrain", "--config", str(config)]


@pytest.fixture
def one_rank(tiny_settings, tiny_fields, tmp_path):
    """The folder of the same run on one rank: twice the batch, and the same weights at the start."""
    pretrain(tiny_settings(output_dir=str(tmp_path / "one"), batch_size=8, config_overrides=tiny_fields))
    return tmp_path / "one"


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_ranks_follow_the_curve_of_one(yaml_of, tiny_settings, tiny_fields, curve, tmp_path, optimizer):
    """With the same global batch, losses, evaluations and weights agree to rounding."""
    shared = {"config_overrides": tiny_fields, "optimizer": optimizer}
    pretrain(tiny_settings(output_dir=str(tmp_path / "one"), batch_size=8, **shared))
    run_on_two_ranks(*words_of(yaml_of(**shared)))
    assert curve(tmp_path / "run") == pytest.approx(curve(tmp_path / "one"), abs=5e-4)
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "one"))
    for name, tensor in ours.items():
        # Muon orthogonalises in bfloat16.
        torch.testing.assert_close(tensor, theirs[name], atol=5e-4, rtol=1e-3)


@pytest.mark.slow
def test_ranks_see_disjoint_windows(yaml_of):
    """Between them, two ranks see each window of a pass once."""
    script = Path(__file__).parent / "print_windows.py"
    output = run_on_two_ranks(yaml_of(held_out=[], max_steps=20), program=[script])
    seen = [json.loads(line) for line in re.findall(r"\[\[.*?\]\]", output)]
    first, second = ({tuple(key) for key in keys} for keys in seen)
    assert len(first) == len(second) == 20 * 4
    assert not first & second


@pytest.mark.slow
def test_killed_rank_ends_the_run_and_resuming_repeats_nothing(yaml_of, log_history, tmp_path):
    """After kill -9 of one rank, the command fails, and the same one goes on from the last whole checkpoint."""
    config, run = yaml_of(max_steps=30), tmp_path / "run"
    run_on_two_ranks(*words_of(config), "--output_dir", str(tmp_path / "whole"))
    launch = [*TORCHRUN, *words_of(config)]
    launcher = subprocess.Popen(launch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not complete_checkpoints(run) and launcher.poll() is None:
        time.sleep(0.01)
    psutil.Process(launcher.pid).children()[-1].kill()
    assert launcher.wait() != 0
    run_on_two_ranks(*words_of(config), "--resume_from_checkpoint", "auto")
    assert log_history(run, 30) == log_history(tmp_path / "whole", 30)


FSDP2 = {
    "fsdp": True,
    "fsdp_config": {
        "fsdp_version": 2,
        "reshard_after_forward": True,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": ["DNAFMLayer"],
        "state_dict_type": "SHARDED_STATE_DICT",
    },
}


@pytest.mark.slow
def test_sharded_run_is_that_of_one_rank(one_rank, yaml_of, tiny_fields, curve, log_history, tmp_path):
    """FSDP2 follows the same curve, its sharded checkpoints resume, and what it saves loads on one rank."""
    config, run = yaml_of(config_overrides=tiny_fields, trainer=FSDP2), tmp_path / "run"
    words, program = words_of(config), [Path(__file__).parent / "sharded_on_cpus.py"]
    run_on_two_ranks(*words, program=program)
    assert (run / "checkpoint-4" / "pytorch_model_fsdp_0").is_dir()
    assert curve(run) == pytest.approx(curve(one_rank), abs=5e-4)
    compare(run, one_rank)

    merge_fsdp_weights(run / "checkpoint-6" / "pytorch_model_fsdp_0", tmp_path / "merged")
    DNAFMForMaskedLM.from_pretrained(one_rank).config.save_pretrained(tmp_path / "merged")
    compare(tmp_path / "merged", one_rank)

    uninterrupted = log_history(run, 6)
    shutil.rmtree(run / "checkpoint-6")
    run_on_two_ranks(*words, "--resume_from_checkpoint", "auto", program=program)
    assert log_history(run, 6) == uninterrupted


def compare(folder: Path, other: Path) -> None:
    """Check that two folders hold the same weights but for rounding."""
    ours, theirs = (DNAFMForMaskedLM.from_pretrained(path).state_dict() for path in (folder, other))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.slow
def test_sharding_that_would_not_happen_is_an_error(yaml_of):
    """On CPUs accelerate would train on without it."""
    result = subprocess.run([*TORCHRUN, *words_of(yaml_of(trainer=FSDP2))], capture_output=True, text=True)
    assert result.returncode != 0
    assert "dnafm: error: FSDP was asked for, and accelerate does not shard on 2 x cpu" in result.stderr
