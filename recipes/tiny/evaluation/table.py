"""The table: mean and standard deviation over seeds, what it was made of, and where pretraining does not help."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import mean, stdev
from typing import Any

from evaluation.cells import COLUMNS
from evaluation.tasks import Task

Column = tuple[str, str]
# Values over seeds, by column.
Row = dict[Column, list[float]]

METRIC_NAMES = {"auroc": "AUROC", "mcc": "MCC", "accuracy": "accuracy"}
# What each pretrained column is held against.
RIVALS: dict[Column, tuple[Column, ...]] = {
    ("pretrained", "probe"): (("scratch", "probe"), ("baseline", "same examples")),
    ("pretrained", "fine-tuning"): (("scratch", "fine-tuning"), ("baseline", "same examples")),
}
NOTE = """\
Mean ± standard deviation over seeds, which draw the training examples, the order of the batches, the heads and the
weights from scratch; validation and test examples are the same for all. From scratch is the checkpoint's architecture
with fresh weights and the same examples, steps and learning rate; it has not been trained to convergence.

- Probe: logistic regression on the frozen last hidden state, averaged over the bases; for splice sites and junctions
  with the states of the two bases beside the boundary in front of it; for Drosophila the state of each base. From
  scratch it reads untrained weights.
- Fine-tuning: all weights, AdamW, weight decay 0.1, cosine with 10 % warm-up, bf16; the epoch with the lowest
  validation loss counts. The head sees the [CLS] token for splice sites and junctions, the mean over the tokens for
  other sequences.
- Baselines: logistic regression on one-hot bases (splice sites and junctions), 4-mer counts (coding, upstream), or,
  per base, the one-hot bases within 20 and the 3-mers within 60 counted by phase. On the same examples, and on all;
  per base both draw 10,000 bases, from the same windows and from all. Penalties are chosen on the validation split.
- Z. tritici: test on chr_4, chr_8 and chr_12, validation on chr_9, training on the rest. The gene models are mostly
  predictions, so the labels are those of another program more often than of an experiment. Decoys are GT or AG in
  gene models with introns, on their strand, that are no site of any model. Coding windows are cut from the spliced
  coding sequence; upstream windows touch no gene model; intergenic lies between all models, on a random strand.
- Drosophila: 5' to 3' of the gene; intron is what lies between parts of the CDS, and untranslated regions count as
  intergenic. Test loci are those of genes.gb.test in the part of chr2R that was kept out of pretraining; validation is
  the last tenth of the training loci by place.
- UCI: the split of dnafm.data.load_splice_junctions. Its primate genes may resemble human sequence of the pretraining.
"""


def table_rows(tasks: Sequence[Task], values: dict[tuple[str, str], Row]) -> list[tuple[str, str, Row]]:
    """Return (task, metric, values by column) in the order of the tasks and of their metrics."""
    return [(task.title, metric, values[task.name, metric]) for task in tasks for metric in task.metrics]


def format_value(values: Sequence[float]) -> str:
    """Format mean ± sd (n - 1) to three decimals; one value alone has no sd, and none is a dash."""
    if not values:
        return "-"
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def losses(rows: Sequence[tuple[str, str, Row]]) -> list[str]:
    """Say in which rows a pretrained column is not above a rival by more than the larger of the two sds."""
    lines = []
    for title, metric, row in rows:
        for column, rivals in RIVALS.items():
            for rival in rivals:
                if row.get(column) and row.get(rival) and not _is_above(row[column], row[rival]):
                    lines.append(
                        f"{title}, {metric_name(metric)}: pretrained {column[1]} {format_value(row[column])}, "
                        f"{' '.join(rival)} {format_value(row[rival])}"
                    )
    return lines


def metric_name(metric: str) -> str:
    """Return a metric's name as it is printed."""
    return METRIC_NAMES.get(metric, metric.replace("f1_", "F1 "))


def format_markdown(tasks: Sequence[Task], values: dict[tuple[str, str], Row], *, title: str) -> str:
    """Return the whole report."""
    rows = table_rows(tasks, values)
    header = ["task", "metric", *(f"{model}, {method}" for model, method in COLUMNS)]
    lines = [header, ["---"] * 2 + ["---:"] * len(COLUMNS)]
    lines += [
        [title, metric_name(metric), *(format_value(row.get(column, [])) for column in COLUMNS)]
        for title, metric, row in rows
    ]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    lost = "\n".join(f"- {line}" for line in losses(rows)) or "- nowhere among the finished cells"
    counts = "\n".join(f"- {_task_summary(task)}" for task in tasks)
    return (
        f"# {title}\n\n{table}\n\n"
        f"Where pretraining is not better by more than the larger standard deviation:\n\n{lost}\n\n"
        f"{NOTE}\nExamples:\n\n{counts}\n"
    )


def as_json(tasks: Sequence[Task], values: dict[tuple[str, str], Row], **provenance: Any) -> dict[str, Any]:
    """Return the table as data: values by seed, efforts, counts and whatever else tells where they are from."""
    rows = [
        {"task": task.name, "metric": metric, **{" ".join(column): list(row) for column, row in cells.items()}}
        for task in tasks
        for metric, cells in ((metric, values[task.name, metric]) for metric in task.metrics)
    ]
    summaries = {task.name: {"effort": asdict(task.effort), "counts": task.counts()} for task in tasks}
    return {**provenance, "rows": rows, "losses": losses(table_rows(tasks, values)), "tasks": summaries}


def _is_above(values: Sequence[float], others: Sequence[float]) -> bool:
    spread = max((stdev(each) for each in (values, others) if len(each) > 1), default=0.0)
    return mean(values) - mean(others) > spread


def _task_summary(task: Task) -> str:
    effort = task.effort
    used = [
        f"{min(limit, len(part)):,} of {len(part):,} {name}"
        for name, limit, part in (
            ("training", effort.n_train, task.splits.train),
            ("validation", effort.n_validation, task.splits.validation),
            ("test", effort.n_test, task.splits.test),
        )
    ]
    found = [f"{count:,} {name}" for name, count in task.splits.counts.items()]
    recipe = f"{effort.epochs} epochs of batches of {effort.batch_size}, learning rate {effort.learning_rate:g}"
    return f"{task.title}: {'; '.join(found)}. Used {', '.join(used)}; {recipe}."
