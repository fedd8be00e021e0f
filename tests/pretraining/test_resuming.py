"""A run that was cut short goes on as if it had not been."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from forked_processes import kill_when, run_forked
from safetensors.torch import load_file
from transformers import TrainerCallback

from dnafm.training.checkpointing import MARK, complete_checkpoints
from dnafm.training.pretraining import pretrain


class _StopAt(TrainerCallback):
    def __init__(self, step):
        self._step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self._step:
            raise KeyboardInterrupt


def weights(folder: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / "model.safetensors").items()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"global_batch_size": 8, "workers": 1},
        {"objective": "diffusion"},
        {"size_power": 0.5, "soft_mask_weight": 0.5, "optimizer": "muon"},
    ],
    ids=["plain", "accumulation", "diffusion", "muon"],
)
def test_resumed_run_is_the_uninterrupted_one(tiny_settings, log_history, tmp_path, options):
    """Losses, evaluations, gradients' norms and weights are equal bit for bit, dropout and masks included."""
    whole, cut = str(tmp_path / "whole"), str(tmp_path / "cut")
    pretrain(tiny_settings(output_dir=whole, **options))
    with pytest.raises(KeyboardInterrupt):
        pretrain(tiny_settings(output_dir=cut, **options), callbacks=[_StopAt(5)])
    pretrain(tiny_settings(output_dir=cut, resume_from_checkpoint="auto", **options))
    assert log_history(Path(cut), 6) == log_history(Path(whole), 6)
    assert weights(Path(cut)) == weights(Path(whole))


def test_half_written_checkpoint_is_not_resumed_from(tiny_settings, tmp_path):
    """Without its mark the last checkpoint is passed over, and written anew when its step comes."""
    run = tmp_path / "run"
    pretrain(tiny_settings())
    (run / "checkpoint-6" / MARK).unlink()
    (run / "checkpoint-6" / "optimizer.pt").write_bytes(b"")
    expected = weights(run)
    pretrain(tiny_settings(resume_from_checkpoint="auto"))
    assert weights(run) == expected
    assert [folder.name for folder in complete_checkpoints(run)] == ["checkpoint-4", "checkpoint-6"]


def test_run_in_a_used_folder_has_to_be_asked_for(tiny_settings):
    """A second run in the folder of a first one is an error that names both ways out."""
    pretrain(tiny_settings(max_steps=1, held_out=[]))
    with pytest.raises(FileExistsError, match="--resume_from_checkpoint auto, or choose another --output_dir"):
        pretrain(tiny_settings(max_steps=1, held_out=[]))


@pytest.mark.slow
def test_killed_command_goes_on(yaml_of, log_history, tmp_path):
    """After kill -9 the same command with `--resume_from_checkpoint auto` ends with the same weights."""
    config = yaml_of(max_steps=40)
    words = ["pretrain", "--config", config]
    run_forked(*words, "--output_dir", tmp_path / "whole")
    run = tmp_path / "run"
    kill_when(lambda: complete_checkpoints(run), *words)
    run_forked(*words, "--resume_from_checkpoint", "auto")
    assert weights(run) == weights(tmp_path / "whole")
    assert log_history(run, 40) == log_history(tmp_path / "whole", 40)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [40_000, 120_000], ids=["weights", "optimizer"])
def test_full_disk_leaves_no_checkpoint_that_is_trusted(yaml_of, tmp_path, limit):
    """Where files cannot be written whole, the command says so in one line, and nothing is resumed from."""

    def no_space():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    config = yaml_of(train_files=[_short_fasta(tmp_path)], held_out=[])
    command = [sys.executable, "-m", "dnafm", "pretrain", "--config", str(config)]
    result = subprocess.run(command, preexec_fn=no_space, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(
        f"dnafm: error: Writing {tmp_path / 'run' / 'checkpoint-2'} failed"
    )
    assert complete_checkpoints(tmp_path / "run") == []


def _short_fasta(folder: Path) -> str:
    path = folder / "short.fa"
    path.write_text(">short\n" + "ACGTTGCA" * 200 + "\n")
    return str(path)
