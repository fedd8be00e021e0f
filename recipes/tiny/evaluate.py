"""Ask what a checkpoint knows: it, its architecture from scratch and simple baselines on six tasks.

    python recipes/tiny/evaluate.py --checkpoint dnafm/assets/tiny --genomes genomes/ --packages packages/ --output out

Prints the table and writes it to OUTPUT/table.md and OUTPUT/table.json. Each cell is written to OUTPUT/cells as soon
as it is finished and is not computed again, so a run that was stopped goes on where it was. A cell belongs to the
checkpoint's weights, the examples and the recipe: where one of them differs, it is computed anew.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import torch
import transformers
from evaluation.baselines import run_baseline
from evaluation.cells import MODELS, Cell, cells_of, checkpoint_digests
from evaluation.examples import Splits
from evaluation.models import Backbone, run_fine_tuning, run_probe
from evaluation.table import Row, as_json, format_markdown
from evaluation.tasks import TASKS, Sources, Task, check_counts, open_sources
from tqdm import tqdm


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the pretrained model and tokenizer")
    parser.add_argument("--genomes", type=Path, required=True, help="folder that genomes.py writes")
    parser.add_argument("--packages", type=Path, required=True, help="folder with the .deb files of the annotations")
    parser.add_argument("--output", type=Path, required=True, help="folder of the table and its cells")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK", help=", ".join(TASKS))
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS), help="what to compute; finished cells show anyway"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="factor of all numbers of examples; 1 takes two idle cores 30 to 40 minutes",
    )
    parser.add_argument("--epochs", type=int, help="passes over the training examples; default: each task's own")
    options = parser.parse_args(arguments)
    if options.scale <= 0 or min(options.seeds) < 0 or (options.epochs is not None and options.epochs < 1):
        parser.error("--scale must be above 0, --seeds at least 0 and --epochs at least 1")
    return options


def build_tasks(sources: Sources, options: argparse.Namespace) -> list[Task]:
    """Read the examples of the chosen tasks, print what was found, and set their efforts."""
    tasks = []
    for name in options.only:
        task = TASKS[name](sources)
        check_counts(task)
        tasks.append(task.with_effort(task.effort.scaled(options.scale, epochs=options.epochs)))
        print(f"{name}: " + ", ".join(f"{count:,} {what}" for what, count in task.counts().items()), flush=True)
    return tasks


def compute(task: Task, cell: Cell, checkpoint: Path) -> dict[str, float]:
    """Return the metrics of a cell."""
    examples = task.drawn(cell.seed)
    if cell.model == "baseline":
        if cell.method == "all examples":
            examples = Splits(task.splits.train, examples.validation, examples.test)
        return run_baseline(task, examples, seed=cell.seed)
    run = {"probe": run_probe, "fine-tuning": run_fine_tuning}[cell.method]
    return run(task, examples, Backbone(checkpoint, is_pretrained=cell.model == "pretrained"), seed=cell.seed)


def complete(tasks: Sequence[Task], options: argparse.Namespace, digests: dict[str, str]) -> None:
    """Compute and write every chosen cell that is not there yet."""
    folder = options.output / "cells"
    chosen = [
        (task, cell)
        for task in tasks
        for model in options.models
        for cell in cells_of(task, model, digests, seeds=options.seeds)
    ]
    due = [(task, cell) for task, cell in chosen if cell.read(folder) is None]
    print(f"{len(chosen) - len(due)} of {len(chosen)} cells are there already", flush=True)
    for task, cell in tqdm(due, "cells", unit="cell", disable=None):
        start = perf_counter()
        metrics = compute(task, cell, options.checkpoint)
        seconds = perf_counter() - start
        cell.write(folder, metrics, seconds=seconds)
        shown = ", ".join(f"{name} {metrics[name]:.3f}" for name in task.metrics)
        tqdm.write(f"{cell.task}, {cell.model}, {cell.method}, seed {cell.seed}: {shown} ({seconds:.0f} s)")


def collect(tasks: Sequence[Task], options: argparse.Namespace, digests: dict[str, str]) -> dict[tuple[str, str], Row]:
    """Read the finished cells as values over seeds, by (task, metric) and column."""
    values: dict[tuple[str, str], Row] = defaultdict(lambda: defaultdict(list))
    for task in tasks:
        for model in MODELS:
            for cell in cells_of(task, model, digests, seeds=options.seeds):
                content = cell.read(options.output / "cells")
                for metric in task.metrics if content else ():
                    values[task.name, metric][cell.model, cell.method].append(content["metrics"][metric])
    return values


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute what is missing, print the table and write it."""
    options = parse_arguments(arguments)
    # Each load would tell that the head is new; that is what fine-tuning is about.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    digests = checkpoint_digests(options.checkpoint)
    with open_sources(options.genomes, options.packages) as sources:
        tasks = build_tasks(sources, options)
    complete(tasks, options, digests)
    values = collect(tasks, options, digests)
    report = format_markdown(tasks, values, title="What the checkpoint knows")
    provenance = {"checkpoint": digests["pretrained"], "seeds": options.seeds, "torch": torch.__version__}
    content = as_json(tasks, values, **provenance, transformers=transformers.__version__)
    (options.output / "table.md").write_text(report)
    (options.output / "table.json").write_text(json.dumps(content, indent=2) + "\n")
    print(f"\n{report}")


if __name__ == "__main__":
    main()
