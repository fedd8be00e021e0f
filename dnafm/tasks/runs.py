"""Runs of the command line: their settings, fitting, cross-validation and measuring a split."""

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import TrainerCallback, TrainingArguments, set_seed

from dnafm.checkpoints.backbones import backbone_location
from dnafm.data.table_options import TableOptions, UnlabelledTable
from dnafm.data.task_data import TaskData, load_task_data
from dnafm.tasks import TASKS
from dnafm.tasks.base import Task
from dnafm.tasks.building import build_config, build_tokenizer
from dnafm.tasks.configuration import as_nested, write_config
from dnafm.tasks.evaluating import Evaluation, evaluate_rows, rank_and_ranks
from dnafm.tasks.fitting import TRAINING_DEFAULTS, FitResult, fit, n_trained_parameters, training_arguments
from dnafm.tasks.options import ModelOptions
from dnafm.training.checkpointing import checkpoint_to_resume
from dnafm.version import __version__

CONFIG_NAME = "config.yaml"
METRICS_NAME = "metrics.json"
# An order to one call, and no property of the run.
_OF_CALL = ("resume_from_checkpoint",)
# What is told of the training, whether it was given or is a default that suits the task.
_TOLD_ARGUMENTS = (
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "optim",
    "bf16",
    "seed",
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
            "trainer": {**_without(self.trainer, _OF_CALL), "output_dir": str(self.output_dir)},
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
    check_output_dir(settings)
    table = settings.task_type.labelled_table(settings.model, settings.data)
    need_labels = not isinstance(table, UnlabelledTable)
    data = load_task_data(table, max_bases=max_bases(settings.model), need_labels=need_labels)
    # What is fresh in the model is drawn here.
    set_seed(settings.trainer.get("seed", TRAINING_DEFAULTS["seed"]))
    task = settings.task_type.from_options(settings.model, data=data)
    arguments = training_arguments(task, data, settings.trainer)
    return Run(settings, task.to(arguments.device), data, arguments)


def run_fit(run: Run, *, callbacks: Sequence[TrainerCallback] = ()) -> FitResult:
    """Fit, and leave the settings and the metrics beside the checkpoint; the settings from the first step on."""
    settings, training = run.settings, _training_record(run)
    result = fit(
        run.task,
        run.data,
        run.arguments,
        max_tokens=settings.data.max_tokens_per_batch,
        patience=settings.early_stopping_patience,
        callbacks=[_ConfigWriter(settings), *callbacks],
    )
    if rank_and_ranks()[0] == 0:
        history = {"log_history": result.log_history, "best_step": result.best_step, "seconds": result.seconds}
        document = {"validation": result.metrics, "training": training, **history}
        write_json(settings.output_dir / METRICS_NAME, document)
    return result


def _training_record(run: Run) -> dict[str, Any]:
    """Return what a reader of the metrics asks about the training."""
    arguments = {name: getattr(run.arguments, name) for name in _TOLD_ARGUMENTS}
    return {
        "versions": {"dnafm": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
        # By name alone nobody could tell a Hub id from a folder that is no longer there.
        "base_is_on_hub": not Path(backbone_location(run.settings.model.backbone)).exists(),
        "data_are_on_hub": not Path(run.settings.data.path).exists(),
        "rows": {split: len(rows) for split, rows in run.data.splits.items()},
        "parameters": sum(weight.numel() for weight in run.task.model.parameters()),
        "trained_parameters": n_trained_parameters(run.task.model),
        "ranks": max(1, run.arguments.world_size),
        "arguments": arguments,
    }


class _ConfigWriter(TrainerCallback):
    """Writes the settings when training starts, so that an interrupted run has them, too."""

    def __init__(self, settings: RunSettings):
        self._settings = settings

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            write_config(self._settings.output_dir / CONFIG_NAME, self._settings.nested())


def cross_validate(
    settings: RunSettings,
    *,
    announce: Callable[[Run], None] | None = None,
    callbacks: Callable[[Run], Sequence[TrainerCallback]] = lambda run: (),
) -> Iterator[tuple[int, dict[str, float]]]:
    """Fit and test on one fold after the other, each in a subfolder; yield number and test metrics of each.

    A fold that is done is not done again, so an interrupted cross-validation goes on with
    `trainer.resume_from_checkpoint`.
    """
    assert settings.data.folds is not None
    check_output_dir(settings)
    for fold in range(settings.data.folds):
        of_fold = settings.of_fold(fold)
        path = of_fold.output_dir / "test" / METRICS_NAME
        if path.is_file() and resume_request_of(settings):
            found = json.loads(path.read_text())["metrics"]
            yield fold, {name: math.nan if value is None else value for name, value in found.items()}
            continue
        run = prepare(of_fold)
        if announce is not None:
            announce(run)
        run_fit(run, callbacks=callbacks(run))
        evaluation = evaluate_split(run.task, run.data, "test", run.settings, bf16=run.arguments.bf16)
        if rank_and_ranks()[0] == 0:
            write_json(path, {"metrics": evaluation.metrics})
        yield fold, evaluation.metrics


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


def max_bases(options: ModelOptions) -> int:
    """Return the bases of the longest input under these options."""
    tokenizer = build_tokenizer(options, build_config(options, {}))
    return tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file, its folder included, whole or not at all; NaN becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(_finite(document), indent=2) + "\n")
    os.replace(temporary, path)


def resume_request_of(settings: RunSettings) -> bool:
    """Return whether the run is to go on from what is there."""
    return settings.trainer.get("resume_from_checkpoint") not in (None, False, "false", "False")


def check_output_dir(settings: RunSettings) -> None:
    """Check that the output folder is empty, or that the run is to be resumed.

    Raises:
        FileExistsError: neither.
    """
    request = "auto" if resume_request_of(settings) else None
    checkpoint_to_resume(settings.output_dir, request, option_prefix="--trainer.")


def _without(mapping: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in names}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
