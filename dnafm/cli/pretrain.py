"""`dnafm pretrain`: masked language modelling on genomes, from FASTA files to a checkpoint."""

from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

try:
    from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace
except ImportError as error:
    raise ImportError("dnafm pretrain needs jsonargparse: pip install 'dnafm[train]'") from error

from dnafm.training.pretraining_settings import PretrainingSettings
from dnafm.training.progress import quiet_transformers

if TYPE_CHECKING:
    from dnafm.training.pretraining import PretrainingPlan

DESCRIPTION = """\
Pretrain DNA FM by masked language modelling on FASTA files, and evaluate it on held-out regions.

  dnafm pretrain --train_files genomes/*.fa.gz --held_out chr4 chr8 --max_tokens 50000000 --output_dir runs/tiny
  dnafm pretrain --config run.yaml --resume_from_checkpoint auto
  torchrun --nproc_per_node 8 --module dnafm pretrain --config run.yaml

An interrupted run goes on bit for bit with --resume_from_checkpoint auto."""
LISTS = {
    "train_files": (
        "+",
        "FASTA files, plain or compressed with gzip, bgzip or xz, or patterns of them; a species is named after its "
        "file, up to the first point",
    ),
    "held_out": (
        "*",
        'regions kept out of training, which the model is evaluated on: "name", "name:start-end" (1-based, '
        'inclusive), after "file.fa::" where several files have that name, or "file.fa::" for a whole file',
    ),
}


class _HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


def build_parser(prog: str) -> ArgumentParser:
    """Return the parser of the command's options."""
    parser = ArgumentParser(
        prog=prog,
        usage="%(prog)s [options]",
        description=DESCRIPTION,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of the options below; the last one wins")
    for name, (n_values, text) in LISTS.items():
        is_required = n_values == "+"
        parser.add_argument(f"--{name}", nargs=n_values, type=str, required=is_required, default=[], help=text)
    parser.add_class_arguments(PretrainingSettings, as_group=False, skip=set(LISTS))
    return parser


def run(args: Namespace) -> None:
    """Pretrain as the arguments say."""
    from torch import distributed

    from dnafm.training.pretraining import REPORT_NAME, pretrain
    from dnafm.training.progress import LogLines, ProgressBar

    settings = PretrainingSettings(**{field.name: args[field.name] for field in fields(PretrainingSettings)})
    with quiet_transformers(keep_warnings=True):
        pretrain(settings, announce=_print_plan, callbacks=[ProgressBar(), LogLines(_describe)])
    if distributed.is_initialized():
        is_first_rank = distributed.get_rank() == 0
        distributed.destroy_process_group()
        if not is_first_rank:
            return
    print(f"Saved in {settings.output_dir}; what it took and what came out is in its {REPORT_NAME}.")


def _print_plan(plan: "PretrainingPlan") -> None:
    arguments = plan.arguments
    if arguments.process_index:
        return
    config, training = plan.model.config, plan.training
    devices = f"{max(1, arguments.world_size)} x {arguments.device.type}"
    print(
        f"  model      {config.num_hidden_layers} layers of {config.hidden_size}, {plan.model.num_parameters():,} "
        f"parameters, {'bf16' if arguments.bf16 else 'fp32'} on {devices}"
    )
    n_files = len(training.genomes)
    print(f"  training   {len(training):,} windows of up to {training.window_bp:,} bases of {n_files} files")
    for species, windows in plan.evaluation.items():
        print(f"  held out   {species}: evaluated on {len(windows):,} windows")
    n_windows = arguments.max_steps * plan.windows_per_step
    print(
        f"  schedule   {arguments.max_steps:,} steps of {plan.windows_per_step:,} windows, "
        f"{n_windows / len(training):.2f} times the training data; learning rate {arguments.learning_rate:g}, "
        f"{plan.settings.lr_scheduler_type}"
    )
    if plan.resume_from:
        print(f"  resuming   from {plan.resume_from}")


def _describe(step: int, n_steps: int, entry: Mapping[str, Any]) -> str | None:
    """Return a line about an entry of the log, if it is one of those that matter on a terminal."""
    place = f"step {step:>{len(str(n_steps))}}/{n_steps}"
    if "loss" in entry:
        return (
            f"{place}  loss {float(entry['loss']):.4f}  learning rate {float(entry['learning_rate']):.2e}  "
            f"{entry['tokens_per_second']:,.0f} tokens/s  utilisation {entry['model_flops_utilisation']:.1%}"
        )
    suffix = "_nats_per_base"
    species = [name.removeprefix("eval_").removesuffix(suffix) for name in entry if name.endswith(suffix)]
    if species and species != ["eval"] and "eval_nats_per_base" not in entry:
        nats, accuracy = entry[f"eval_{species[0]}{suffix}"], entry[f"eval_{species[0]}_accuracy"]
        return f"{place}  {species[0]}: {nats:.4f} nats/base, accuracy {accuracy:.4f}"
    return None
