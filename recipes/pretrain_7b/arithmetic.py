"""What pretraining DNA FM 7B takes: memory of a GPU, operations of a step, days.

    python recipes/pretrain_7b/arithmetic.py --gpus 256 --utilisation 0.4
    python recipes/pretrain_7b/arithmetic.py --check      # that README.md has these numbers

Everything is computed from `DNAFMConfig()` by `dnafm.training.accounting`; nothing is measured.
"""

import argparse
import sys
from pathlib import Path

from dnafm import DNAFMConfig
from dnafm.training.accounting import PEAK_FLOPS, TrainingMemory, n_parameters, training_flops, training_memory

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- arithmetic.py -->\n", "<!-- end -->\n"
N_TRAINING_BASES = 10.6e9
GIB = 2**30
SECONDS_OF_A_DAY = 86_400


def memory_rows(config: DNAFMConfig, arguments: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Return a row for each part of the memory of one GPU: name, without and with checkpointing."""
    n_tokens = arguments.windows * config.max_position_embeddings
    without, with_checkpointing = (
        training_memory(config, n_devices=arguments.gpus, n_tokens=n_tokens, gradient_checkpointing=checkpointing)
        for checkpointing in (False, True)
    )
    parts = ("weights", "gradients", "optimizer", "activations", "total")
    return [(part, _gib(without, part), _gib(with_checkpointing, part)) for part in parts]


def _gib(memory: TrainingMemory, part: str) -> str:
    return f"{getattr(memory, part) / GIB:.1f} GiB"


def schedule_rows(config: DNAFMConfig, arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the rows about batch, operations and time."""
    context = config.max_position_embeddings
    windows_of_a_pass = arguments.gpus * arguments.windows
    if arguments.global_batch % windows_of_a_pass:
        raise SystemExit(f"{arguments.global_batch} windows are no multiple of {windows_of_a_pass}, those of a pass.")
    flops = training_flops(config, [context]) * arguments.global_batch
    seconds = flops / (arguments.gpus * PEAK_FLOPS[arguments.gpu] * arguments.utilisation)
    n_tokens = arguments.global_batch * context
    return [
        ("parameters", f"{n_parameters(config):,}"),
        ("windows of a step", f"{arguments.global_batch:,} of {context:,} tokens: {n_tokens:,} tokens"),
        ("forward passes of a GPU in a step", f"{arguments.global_batch // windows_of_a_pass}"),
        ("operations of a step", f"{flops:.3g}"),
        ("seconds of a step", f"{seconds:.2f}"),
        ("tokens a second, all GPUs", f"{n_tokens / seconds:,.0f}"),
        ("tokens of the training", f"{arguments.steps * n_tokens:.3g}"),
        ("passes through 10.6 billion bases", f"{arguments.steps * n_tokens / N_TRAINING_BASES:.1f}"),
        ("days", f"{arguments.steps * seconds / SECONDS_OF_A_DAY:.1f}"),
    ]


def report(arguments: argparse.Namespace) -> str:
    """Return the tables as Markdown."""
    config = DNAFMConfig()
    lines = [
        f"{arguments.gpus} x {arguments.gpu}, {arguments.windows} windows on each, "
        f"{arguments.utilisation:.0%} of the peak, {arguments.steps:,} steps:",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in schedule_rows(config, arguments)),
        "",
        "| memory of a GPU | without checkpointing | with |",
        "|---|---|---|",
        *(f"| {name} | {without} | {with_} |" for name, without, with_ in memory_rows(config, arguments)),
    ]
    return "\n".join(lines) + "\n"


def check(arguments: argparse.Namespace) -> None:
    """Exit with an error unless README.md holds the report."""
    found = README.read_text().split(BEGIN)[1].split(END)[0]
    if found.strip() != report(arguments).strip():
        sys.exit(f"{README} has other numbers than these:\n\n{report(arguments)}")
    print(f"{README} is right.")


def main() -> None:
    """Print the report, or check that README.md has it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=256, help="default: %(default)s")
    parser.add_argument("--gpu", choices=PEAK_FLOPS, default="H100", help="default: %(default)s")
    parser.add_argument("--utilisation", type=float, default=0.4, help="share of the peak; default: %(default)s")
    parser.add_argument("--windows", type=int, default=4, help="of a forward pass on a GPU; default: %(default)s")
    parser.add_argument("--global_batch", type=int, default=1024, help="windows of a step; default: %(default)s")
    parser.add_argument("--steps", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="compare with README.md")
    arguments = parser.parse_args()
    if arguments.check:
        check(arguments)
    else:
        print(report(arguments), end="")


if __name__ == "__main__":
    main()
