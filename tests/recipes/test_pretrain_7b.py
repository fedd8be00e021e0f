"""The recipe of DNA FM 7B: every file is what the program that reads it takes."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

from dnafm import DNAFMConfig
from dnafm.modeling_dnafm import DNAFMLayer
from dnafm.training.accounting import training_memory
from dnafm.training.pretraining_settings import PretrainingSettings

RECIPE = Path(__file__).parents[2] / "recipes" / "pretrain_7b"


def arithmetic(*options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(RECIPE / "arithmetic.py"), *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_page_has_the_numbers_of_the_script():
    """And with another machine the script says that they differ."""
    assert arithmetic("--check").returncode == 0
    differs = arithmetic("--check", "--gpus", "128")
    assert differs.returncode == 1
    assert "has other numbers" in differs.stderr


def test_batch_that_cannot_be_divided_is_refused():
    """1,024 windows are no multiple of 3 x 4."""
    assert "no multiple of 12" in arithmetic("--gpus", "3").stderr


def test_four_windows_fit_with_checkpointing_only():
    """What the page says of a GPU of 80 GB."""
    without, with_checkpointing = (
        training_memory(DNAFMConfig(), n_devices=256, n_tokens=16_000, gradient_checkpointing=checkpointing).total
        for checkpointing in (False, True)
    )
    assert with_checkpointing < 20e9 < 80e9 < without


def test_settings_are_those_of_the_command():
    """The global batch is 1,024 windows of the whole context on 256 GPUs, in one pass."""
    fields = yaml.safe_load((RECIPE / "pretrain.yaml").read_text())
    settings = PretrainingSettings(train_files=["genome.fa"], output_dir="run", **fields)
    assert settings.accumulation_steps(256) == 1
    assert settings.context_length == DNAFMConfig().max_position_embeddings
    assert (settings.adam_beta1, settings.adam_beta2, settings.lr_scheduler_type) == (0.9, 0.95, "cosine")


def test_accelerate_reads_its_configuration(monkeypatch):
    """The plugin that it makes shards layer by layer, and leaves checkpointing to the settings."""
    arguments = launch_command_parser().parse_args(["--config_file", str(RECIPE / "fsdp2.yaml"), "script.py"])
    arguments, _, _ = _validate_launch_command(arguments)
    assert (arguments.num_processes, arguments.mixed_precision) == (256, "bf16")
    for name, value in prepare_multi_gpu_env(arguments).items():
        monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.transformer_cls_names_to_wrap == [DNAFMLayer.__name__]
    assert not plugin.activation_checkpointing


def test_job_script_is_valid_shell():
    """Bash parses it."""
    assert subprocess.run(["bash", "-n", RECIPE / "pretrain.sbatch"]).returncode == 0


@pytest.mark.parametrize("name", ["pretrain.yaml", "fsdp2.yaml"])
def test_job_script_names_the_files_that_are_there(name):
    """A file that is renamed is renamed there, too."""
    assert f"$recipe/{name}" in (RECIPE / "pretrain.sbatch").read_text()
    assert (RECIPE / name).is_file()
