"""Bases per second of a pretraining step, and of what feeds it: windows and collator alone, in one process.

Prints which share of the machine's measured matrix-multiplication rate the step's model FLOPs come to.
"""

import os
import tempfile
from argparse import ArgumentParser, Namespace
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
import transformers
from transformers.utils import logging

from dnafm.training.pretraining import PretrainingPlan, build_trainer, prepare
from dnafm.training.pretraining_settings import PretrainingSettings
from dnafm.training.pretraining_trainer import PretrainingTrainer


def parse_arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny", help="preset or config.json (default: %(default)s)")
    parser.add_argument("--context", type=int, default=258, help="tokens of an input (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="windows of a step (default: %(default)s)")
    parser.add_argument("--optimizer", default="adamw", help="adamw or muon (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="auto, bf16 or fp32 (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="steps of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median is reported (default: %(default)s)")
    parser.add_argument("--bases", type=int, default=20_000_000, help="bases of the FASTA (default: %(default)s)")
    return parser.parse_args()


def write_fasta(path: Path, n_bases: int) -> None:
    letters = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(0).integers(4, size=n_bases)]
    path.write_bytes(b">random\n" + letters.tobytes() + b"\n")


def plan_of(arguments: Namespace, folder: Path) -> PretrainingPlan:
    return prepare(
        PretrainingSettings(
            train_files=[str(folder / "genome.fa")],
            output_dir=str(folder / "run"),
            cache_dir=str(folder / "cache"),
            model=arguments.model,
            learning_rate=1e-3,
            context_length=arguments.context,
            batch_size=arguments.batch,
            optimizer=arguments.optimizer,
            precision=arguments.precision,
            max_steps=arguments.steps * (arguments.rounds + 1),
            logging_steps=arguments.steps,
            save_every_steps=10**9,
            report_to="none",
        )
    )


def pipeline_rate(trainer: PretrainingTrainer, plan: PretrainingPlan, arguments: Namespace) -> float:
    """Return the bases per second of windows and collator, median of the rounds."""
    batches = iter(trainer.get_train_dataloader())
    seconds = []
    for _ in range(arguments.rounds):
        start = perf_counter()
        for _ in islice(batches, arguments.steps):
            pass
        seconds.append(perf_counter() - start)
    return arguments.steps * arguments.batch * plan.training.window_bp / median(seconds)


def step_rates(trainer: PretrainingTrainer) -> tuple[float, float]:
    """Return tokens per second and utilisation of training, medians over the rounds after the first."""
    trainer.train()
    rounds = [entry for entry in trainer.state.log_history if "loss" in entry][1:]
    return (
        median(entry["tokens_per_second"] for entry in rounds),
        median(entry["model_flops_utilisation"] for entry in rounds),
    )


def main() -> None:
    arguments = parse_arguments()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_fasta(folder / "genome.fa", arguments.bases)
        plan = plan_of(arguments, folder)
        device = plan.arguments.device
        print(
            f"{os.cpu_count()} CPUs, {torch.get_num_threads()} threads, {device}; torch {torch.__version__}, "
            f"transformers {transformers.__version__}"
        )
        print(
            f"{plan.model.num_parameters():,} parameters, {arguments.batch} windows of {plan.training.window_bp} "
            f"bases, {'bf16' if plan.arguments.bf16 else 'fp32'}, {arguments.optimizer}"
        )
        pipeline = pipeline_rate(build_trainer(plan), plan, arguments)
        tokens, utilisation = step_rates(build_trainer(plan))
        step = tokens * plan.training.window_bp / plan.context_length
        print(
            f"step               {step:12,.0f} bases/s, {utilisation:.1%} of the measured matrix multiplication rate"
        )
        print(f"pipeline alone     {pipeline:12,.0f} bases/s, {pipeline / step:,.0f} times the step")


if __name__ == "__main__":
    main()
