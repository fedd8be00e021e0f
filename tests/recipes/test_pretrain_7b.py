"""The recipe of DNA FM 7B: every file is what the program that reads it takes."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from forked_processes import ForkedProcess

from dnafm import DNAFMConfig
from dnafm.cli.pretrain import build_parser
from dnafm.modeling_dnafm import DNAFMLayer
from dnafm.training.accounting import training_memory
from dnafm.training.pretraining_settings import PretrainingSettings

RECIPE = Path(__file__).parents[2] / "recipes" / "pretrain_7b"


def arithmetic(*options: str) -> tuple[int, str]:
    """Run the script, and return its exit code and its errors."""
    process = ForkedProcess(*options, program=[RECIPE / "arithmetic.py"])
    _, errors = process.communicate()
    return process.returncode, errors


def test_page_has_the_numbers_of_the_script():
    """And with another machine the script says that they differ."""
    assert arithmetic("--check")[0] == 0
    code, errors = arithmetic("--check", "--gpus", "128")
    assert code == 1
    assert "has other numbers" in errors


def test_batch_that_cannot_be_divided_is_refused():
    """1,024 windows are no multiple of 3 x 4."""
    assert "no multiple of 12" in arithmetic("--gpus", "3")[1]


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


def test_job_starts_what_the_programs_take(job, tmp_path):
    """On each node accelerate's and our parsers read the command, and the corpus joins the settings."""
    (tmp_path / "corpus.yaml").write_text('train_files: [a.fa, b.fa]\nheld_out: ["a.fa::chr1"]\n')
    process = job("corpus.yaml", "runs/7b", srun='SLURM_NODEID=3 exec "${@:2}"')
    assert process.wait(timeout=20) == 0, process.stderr.read()
    launch = launch_command_parser().parse_args((tmp_path / "launched").read_text().splitlines()[1:])
    assert (launch.num_machines, launch.num_processes, launch.machine_rank) == (32, 256, 3)
    assert (launch.main_process_ip, launch.module, launch.training_script) == ("node001", True, "dnafm")
    command, *options = launch.training_script_args
    assert command == "pretrain"
    options = [str(tmp_path / option) if option == "corpus.yaml" else option for option in options]
    settings = build_parser("dnafm pretrain").parse_args(options)
    assert (settings.model, settings.global_batch_size, settings.output_dir) == ("dnafm", 1024, "runs/7b")
    assert (settings.train_files, settings.held_out) == (["a.fa", "b.fa"], ["a.fa::chr1"])
    assert settings.resume_from_checkpoint == "auto"


def test_job_is_requeued_when_its_time_is_up(job, tmp_path):
    """Slurm's signal ends the waiting for the training, and the job is requeued under its number."""
    process = job("corpus.yaml", "runs/7b", srun="echo started; exec sleep 60")
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=20) != 0
    assert (tmp_path / "requeued").read_text() == "4711\n"


def test_failure_of_the_training_is_that_of_the_job(job):
    """Nothing is requeued, and the status is the training's."""
    assert job("corpus.yaml", "runs/7b", srun="exit 7").wait(timeout=20) == 7


@pytest.fixture
def job(tmp_path):
    """Starts the job script with stand-ins for the programs of a cluster, which note what they are told."""
    processes = []

    def start(*arguments: str, srun: str) -> subprocess.Popen:
        programs = {
            "srun": srun,
            "scontrol": f'[ $1 = requeue ] && echo "$2" > {tmp_path}/requeued || printf "node%03d\\n" {{1..32}}',
            "accelerate": f"printf '%s\\n' \"$@\" > {tmp_path}/launched",
        }
        for name, body in programs.items():
            (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
            (tmp_path / name).chmod(0o755)
        slurm = {"SLURM_JOB_ID": "4711", "SLURM_NNODES": "32", "SLURM_JOB_NODELIST": "node[001-032]"}
        path = f"{tmp_path}:{os.environ['PATH']}"
        process = subprocess.Popen(
            ["bash", RECIPE / "pretrain.sbatch", *arguments],
            env={**os.environ, **slurm, "DNAFM_RECIPE": str(RECIPE), "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        # What the job has started outlives it, in its group.
        subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], stderr=subprocess.DEVNULL)
        process.communicate()
