"""What the commands of tasks print and draw."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dnafm.data.task_data import TaskData
from dnafm.tasks.base import Task
from dnafm.tasks.dry_run import plan_of
from dnafm.tasks.evaluating import Evaluation, rank_and_ranks
from dnafm.tasks.fitting import FitResult
from dnafm.tasks.runs import Run
from dnafm.training.bootstrap import bootstrap_intervals
from dnafm.training.metrics import confusion_matrix
from dnafm.training.regression_metrics import regression_report

# Metrics of an evaluation that a line of the log shows.
_SHOWN = 3


def print_first_rank(text: str) -> None:
    """Print on the first rank, above a progress bar."""
    if rank_and_ranks()[0] == 0:
        tqdm.write(text)


def print_notes(data: TaskData) -> None:
    """Print what is to be known about the data."""
    for note in data.notes:
        print_first_rank(f"  note       {note}")


def print_plan(run: Run) -> None:
    """Print what will be trained on what."""
    plan = plan_of(run)
    adapted = f", LoRA in {plan.n_adapted_modules} modules" if plan.n_adapted_modules else ""
    print_first_rank(
        f"  model      {run.settings.task} on {run.settings.model.backbone}: {plan.n_parameters:,} parameters, "
        f"{plan.n_trained:,} of them trained{adapted}; {'bf16' if run.arguments.bf16 else run.task.options.dtype} on "
        f"{plan.n_ranks} x {run.arguments.device.type}"
    )
    sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in run.data.splits.items())
    print_first_rank(
        f"  data       {sizes}; {plan.n_tokens:,} tokens in an epoch, the longest row has {plan.longest:,}"
    )
    if run.data.label_names:
        print_first_rank(f"  classes    {', '.join(run.data.label_names)}")
    print_notes(run.data)
    steps = "1 step" if plan.n_steps == 1 else f"{plan.n_steps:,} steps"
    print_first_rank(
        f"  schedule   {steps} of about {plan.rows_per_step:,.0f} rows, learning rate "
        f"{run.arguments.learning_rate:g}; best by {run.arguments.metric_for_best_model or 'the last step'}"
    )


def describe_entry(metric: str | None) -> Callable[[int, int, Mapping[str, Any]], str | None]:
    """Return what turns an entry of the log into a line: losses, and the first metrics of evaluations."""

    def describe(step: int, n_steps: int, entry: Mapping[str, Any]) -> str | None:
        place = f"step {step:>{len(str(n_steps))}}/{n_steps}"
        if "loss" in entry:
            return (
                f"{place}  loss {float(entry['loss']):.4f}  learning rate {float(entry['learning_rate']):.2e}  "
                f"{entry['tokens_per_second']:,.0f} tokens/s"
            )
        names = [name for name in entry if name.startswith("eval_")]
        if not names:
            return None
        chosen = [name for name in names if name.removeprefix("eval_") in (metric, "loss")]
        shown = list(dict.fromkeys([*chosen, *names]))[: _SHOWN + len(chosen)]
        return f"{place}  " + "  ".join(f"{name.removeprefix('eval_')} {entry[name]:.4f}" for name in shown)

    return describe


def bootstrap(task: Task, evaluation: Evaluation, n_resamples: int) -> dict[str, tuple[float, float]]:
    """Return 95 % confidence intervals of the metrics, from resampled sequences."""
    flat = task.flat_arrays(evaluation.outputs, evaluation.labels)

    def report(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
        return task.report(labels, scores, details=True)

    return bootstrap_intervals(report, (flat.labels, flat.scores), groups=flat.groups, n_resamples=n_resamples)


def wants_plots(asked: bool | None) -> bool:
    """Return whether to draw plots: as asked, or where matplotlib is installed."""
    return find_spec("matplotlib") is not None if asked is None else asked


def save_plots(task: Any, evaluation: Evaluation, folder: Path) -> list[Path]:
    """Draw the plots of a split that suit the task, a `Task`, and return their files."""
    flat = task.flat_arrays(evaluation.outputs, evaluation.labels)
    if task.metric_kind == "classification":
        return _save_classification_plots(flat.labels, flat.scores, task.label_names, folder)
    if task.metric_kind == "multilabel":
        return _save_multilabel_plots(flat.labels, flat.scores, task.label_names, folder)
    if task.metric_kind == "regression":
        return _save_regression_plots(flat.labels, flat.scores, task.target_names, folder)
    return []


def save_training_curve(run: Run, result: FitResult) -> None:
    """Draw loss and metric against the step, where matplotlib is installed."""
    has_loss = any("loss" in entry or "eval_loss" in entry for entry in result.log_history)
    if rank_and_ranks()[0] or not wants_plots(None) or not has_loss:
        return
    from dnafm.reports.plots import plot_training_curve

    metric = run.arguments.metric_for_best_model
    plot_training_curve(
        result.log_history, result.output_dir / "training.png", metric=metric, best_step=result.best_step
    )


def _save_classification_plots(
    labels: np.ndarray, probabilities: np.ndarray, names: list[str], folder: Path
) -> list[Path]:
    from dnafm.reports.plots import plot_confusion_matrix, plot_roc_pr
    from dnafm.training.ranking_metrics import curves_per_class

    paths = [folder / "confusion_matrix.png"]
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), n_classes=len(names))
    plot_confusion_matrix(confusion, names, paths[0])
    curves = curves_per_class(labels, probabilities, label_names=names)
    if curves:
        paths.append(folder / "roc_pr.png")
        plot_roc_pr(curves, paths[-1])
    return paths


def _save_multilabel_plots(
    labels: np.ndarray, probabilities: np.ndarray, names: list[str], folder: Path
) -> list[Path]:
    from dnafm.reports.plots import plot_roc_pr
    from dnafm.training.multilabel_metrics import curves_per_label

    curves = curves_per_label(labels, probabilities, label_names=names)
    if not curves:
        return []
    plot_roc_pr(curves, folder / "roc_pr.png")
    return [folder / "roc_pr.png"]


def _save_regression_plots(targets: np.ndarray, values: np.ndarray, names: list[str], folder: Path) -> list[Path]:
    from dnafm.reports.plots import plot_predicted_against_true

    paths = []
    for index, name in enumerate(names):
        is_known = ~np.isnan(targets[:, index])
        labels, predictions = targets[is_known, index], values[is_known, index]
        report = regression_report(labels, predictions, target_names=[name])
        paths.append(folder / f"predicted_{index}.png")
        plot_predicted_against_true(
            labels,
            predictions,
            paths[-1],
            target_name=name,
            pearson=report["pearson"],
            spearman=report["spearman"],
        )
    return paths
