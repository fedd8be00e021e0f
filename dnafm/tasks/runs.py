"""Runs of the command line: fitting, cross-validation, measuring a split and predicting for a file."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import distributed
from transformers import TrainerCallback, TrainingArguments

from dnafm.data.labels import TargetScaler
from dnafm.data.prediction_tables import PredictionWriter, merge_parts
from dnafm.data.table_options import TableOptions
from dnafm.data.task_data import TaskData, iterate_rows, load_task_data
from dnafm.tasks import TASKS
from dnafm.tasks.base import TASK_FILE, Task
from dnafm.tasks.building import build_config, build_tokenizer
from dnafm.tasks.configuration import as_nested, write_config
from dnafm.tasks.evaluating import Evaluation, evaluate_rows, rank_and_ranks
from dnafm.tasks.fitting import FitResult, fit, training_arguments
from dnafm.tasks.options import ModelOptions
from dnafm.tasks.predicting import predict_chunks
from dnafm.training.checkpointing import checkpoint_to_resume

CONFIG_NAME = "config.yaml"
METRICS_NAME = "metrics.json"
# Options of a fitted model that are about reading with it, and not about what it is.
_OF_READING = (
    "attn_implementation",
    "rope_implementation",
    "max_length",
    "reverse_complement",
    "dtype",
    "quantization",
    "multilabel",
)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a run can be told.

    Attributes:
        task: name of the task, a key of `dnafm.tasks.TASKS`.
        model: options of its model.
        data: options of its data.
        trainer: fields of `transformers.TrainingArguments` that differ from the defaults of `training_arguments`.
        early_stopping_patience: evaluations without a better one after which training stops.
    """

    task: str
    model: ModelOptions
    data: TableOptions
    trainer: Mapping[str, Any] = field(default_factory=dict)
    early_stopping_patience: int | None = None

    @property
    def task_type(self) -> type[Task]:
        """Class of the task."""
        return TASKS[self.task]

    @property
    def output_dir(self) -> Path:
        """Folder of the run."""
        return Path(self.trainer.get("output_dir") or "runs/dnafm")

    def nested(self) -> dict[str, Any]:
        """Return the settings as a YAML file has them."""
        return {
            "model": {"name": self.task, **as_nested(self.model)},
            "data": {"name": self.task, **as_nested(self.data)},
            "trainer": {**self.trainer, "output_dir": str(self.output_dir)},
            "early_stopping_patience": self.early_stopping_patience,
        }

    def of_fold(self, fold: int) -> "RunSettings":
        """Return the settings of one fold, in a subfolder of the output folder."""
        output_dir = str(self.output_dir / f"fold-{fold}")
        return replace(self, data=replace(self.data, fold=fold), trainer={**self.trainer, "output_dir": output_dir})


@dataclass(frozen=True)
class Run:
    """A task with its data and the arguments of its training."""

    settings: RunSettings
    task: Task
    data: TaskData
    arguments: TrainingArguments


def prepare(settings: RunSettings) -> Run:
    """Read the data, build the task, and check all that can be wrong before training starts."""
    if settings.task == "Embed":
        raise ValueError("Embed has nothing to train. Use dnafm predict.")
    # First of all, before anything is read or written.
    request = settings.trainer.get("resume_from_checkpoint")
    checkpoint_to_resume(settings.output_dir, "auto" if request else None, option_prefix="--trainer.")
    data = load_task_data(
        settings.data, max_bases=max_bases(settings.model), need_labels=settings.task_type.needs_labels
    )
    task = settings.task_type.from_options(settings.model, data=data)
    arguments = training_arguments(task, data, settings.trainer)
    return Run(settings, task.to(arguments.device), data, arguments)


def run_fit(run: Run, *, callbacks: Sequence[TrainerCallback] = ()) -> FitResult:
    """Fit, and leave the settings and the metrics beside the checkpoint."""
    settings, max_tokens = run.settings, run.settings.data.max_tokens_per_batch
    if rank_and_ranks()[0] == 0:
        settings.output_dir.mkdir(parents=True, exist_ok=True)
    result = fit(
        run.task,
        run.data,
        run.arguments,
        max_tokens=max_tokens,
        patience=settings.early_stopping_patience,
        callbacks=callbacks,
    )
    if rank_and_ranks()[0] == 0:
        write_config(settings.output_dir / CONFIG_NAME, settings.nested())
        history = {"log_history": result.log_history, "best_step": result.best_step, "seconds": result.seconds}
        write_json(settings.output_dir / METRICS_NAME, {"validation": result.metrics, **history})
    return result


def cross_validate(
    settings: RunSettings,
    *,
    announce: Callable[[Run], None] | None = None,
    callbacks: Callable[[], Sequence[TrainerCallback]] = tuple,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Fit and test on one fold after the other, each in a subfolder; yield number and test metrics of each.

    A fold that is done is not done again, so an interrupted cross-validation goes on with
    `trainer.resume_from_checkpoint`.
    """
    assert settings.data.folds is not None
    for fold in range(settings.data.folds):
        of_fold = settings.of_fold(fold)
        path = of_fold.output_dir / "test" / METRICS_NAME
        if path.is_file() and resume_request_of(settings):
            yield fold, json.loads(path.read_text())["metrics"]
            continue
        run = prepare(of_fold)
        if announce is not None:
            announce(run)
        run_fit(run, callbacks=callbacks())
        evaluation = evaluate_split(run.task, run.data, "test", run.settings, bf16=run.arguments.bf16)
        if rank_and_ranks()[0] == 0:
            write_json(path, {"metrics": evaluation.metrics})
        yield fold, evaluation.metrics


def load_fitted(settings: RunSettings, checkpoint: str | None) -> tuple[Task, TrainingArguments]:
    """Load the model that was fitted with these settings, or another checkpoint.

    Args:
        settings: whose output folder is looked into.
        checkpoint: folder or Hub id instead.

    Raises:
        ValueError: there is no fitted model.
    """
    if checkpoint is None and not (settings.output_dir / TASK_FILE).is_file():
        raise ValueError(
            f"{settings.output_dir} holds no fitted model. Run dnafm fit with the same options, name its folder with "
            "--trainer.output_dir, or give a --checkpoint."
        )
    options = {name: getattr(settings.model, name) for name in _OF_READING if hasattr(settings.model, name)}
    return _on_device(settings.task_type.from_pretrained(checkpoint or settings.output_dir, **options), settings)


def build_untrained(settings: RunSettings) -> tuple[Task, TrainingArguments]:
    """Build a task that predicts without having been fitted."""
    return _on_device(settings.task_type.from_options(settings.model), settings)


def _on_device(task: Task, settings: RunSettings) -> tuple[Task, TrainingArguments]:
    arguments = training_arguments(task, TaskData(splits={}), settings.trainer)
    return task.to(arguments.device), arguments


def load_fitted_data(settings: RunSettings, task: Task) -> TaskData:
    """Read the data of a fitted model, with its classes and the scale of its targets."""
    scaler = getattr(task.config, "target_scaler", None)
    return load_task_data(
        settings.data,
        max_bases=task.max_bases,
        need_labels=task.needs_labels,
        label_names=tuple(getattr(task, "label_names", ())) or None,
        target_scaler=TargetScaler(tuple(scaler["mean"]), tuple(scaler["std"])) if scaler else None,
    )


def evaluate_split(task: Task, data: TaskData, split: str, settings: RunSettings, *, bf16: bool) -> Evaluation:
    """Measure a split, classes and outputs told apart.

    Raises:
        ValueError: the data have no such split.
    """
    if split not in data.splits:
        raise ValueError(
            f"{settings.data.path} has no {split} split; it has {', '.join(sorted(data.splits)) or 'none'}."
        )
    max_tokens = settings.data.max_tokens_per_batch
    return evaluate_rows(task, data.splits[split], max_tokens=max_tokens, bf16=bf16, details=True, description=split)


def predict_to_file(
    task: Task, settings: RunSettings, output: Path, *, split: str | None, bf16: bool, overwrite: bool
) -> int:
    """Predict for the rows of a file or split, in their order, and write a table; return its number of rows.

    Under several ranks each writes a part, and the first rank merges them.

    Args:
        task: fitted, or an `Embed`.
        settings: whose data are read.
        output: .parquet, .tsv, .csv or .jsonl.
        split: whose rows; None for all.
        bf16: whether to compute in bfloat16.
        overwrite: whether an existing file may be replaced.
    """
    rank, n_ranks = rank_and_ranks()
    rows = iterate_rows(settings.data, split, max_bases=task.max_bases)
    chunks = predict_chunks(
        task, rows, max_tokens=settings.data.max_tokens_per_batch, bf16=bf16, n_ranks=n_ranks, rank=rank
    )
    n_rows = 0
    with PredictionWriter(output, rank=rank, n_ranks=n_ranks, overwrite=overwrite) as writer:
        for chunk in chunks:
            writer.write_chunk(chunk.index, chunk.columns)
            n_rows += len(next(iter(chunk.columns.values())))
    if n_ranks > 1:
        counts: list[Any] = [None] * n_ranks
        distributed.all_gather_object(counts, n_rows)
        if rank == 0:
            merge_parts(output, n_ranks, overwrite=overwrite)
        distributed.barrier()
        n_rows = sum(counts)
    return n_rows


def max_bases(options: ModelOptions) -> int:
    """Return the bases of the longest input under these options."""
    tokenizer = build_tokenizer(options, build_config(options, {}))
    return tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file, its folder included; NaN becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_finite(document), indent=2) + "\n")


def resume_request_of(settings: RunSettings) -> bool:
    """Return whether the run is to go on from what is there."""
    return settings.trainer.get("resume_from_checkpoint") not in (None, False, "false", "False")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
