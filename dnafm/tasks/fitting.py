"""Training a task on `transformers.Trainer`: arguments, the trainer, and what is left in the output folder."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Sampler
from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments, set_seed

from dnafm.data.batching import BalancedBatchSampler
from dnafm.data.grouped_batches import GroupedBatchSampler
from dnafm.data.task_data import TaskData
from dnafm.environment import is_bf16_fast
from dnafm.tasks.evaluating import ROW_COLUMNS, evaluate_rows, token_lengths
from dnafm.tasks.labels import output_names
from dnafm.training.checkpointing import checkpoint_to_resume, write_errors_as_os_errors
from dnafm.training.fine_tuning import FineTuningTrainer, NumberedRows, class_weighted_loss, regression_loss
from dnafm.training.metric_names import METRICS_BY_KIND, check_metric_name, is_greater_better
from dnafm.training.throughput import ThroughputMeter

if TYPE_CHECKING:
    from dnafm.tasks.base import Task

# Largest number of parameters, and the peak of the schedule at which all of them are trained.
FULL_LEARNING_RATES = ((10_000_000, 1e-3), (1_000_000_000, 1e-4), (None, 2e-5))
LORA_LEARNING_RATE = 5e-4
HEAD_LEARNING_RATE = 1e-3

# What differs from the defaults of TrainingArguments: the recipe in use for DNA FM.
TRAINING_DEFAULTS: dict[str, Any] = {
    "output_dir": "runs/dnafm",
    "num_train_epochs": 4.0,
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 32,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.1,
    "weight_decay": 0.1,
    "max_grad_norm": 1.0,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 1,
    "load_best_model_at_end": True,
    "logging_steps": 20,
    "report_to": "none",
    "seed": 42,
}
# What tasks rely on; setting them otherwise is refused.
_FIXED: dict[str, Any] = {
    "remove_unused_columns": False,
    "average_tokens_across_devices": True,
    "disable_tqdm": True,
    "restore_callback_states_from_checkpoint": True,
}


@dataclass(frozen=True)
class FitResult:
    """What a training came to.

    Attributes:
        metrics: of the validation split under the weights that were kept; empty without such a split.
        log_history: of the trainer.
        best_step: whose weights were kept; the last one where none is selected.
        seconds: of the training.
        output_dir: where the checkpoint is.
    """

    metrics: dict[str, float]
    log_history: list[dict[str, Any]]
    best_step: int
    seconds: float
    output_dir: Path


def training_arguments(task: "Task", data: TaskData, given: Mapping[str, Any]) -> TrainingArguments:
    """Return the arguments of the trainer: those given, and for the others the defaults that suit the task.

    Args:
        task: tells what is trained, on which the learning rate depends, and the metric that selects the checkpoint.
        data: without a validation split there is no evaluation, and the last weights are kept.
        given: fields of TrainingArguments; None for the default.

    Raises:
        ValueError: an unknown field, a metric that the task has not or that the validation split does not define, or
            a field that tasks rely on.
    """
    asked = {name: value for name, value in given.items() if value is not None}
    if clash := [name for name in _FIXED if asked.get(name, _FIXED[name]) != _FIXED[name]]:
        raise ValueError(f"trainer.{clash[0]} must be {_FIXED[clash[0]]} for tasks.")
    fields = {**TRAINING_DEFAULTS, "learning_rate": default_learning_rate(task), **asked, **_FIXED}
    fields.setdefault("use_cpu", not torch.accelerator.is_available())
    fields.setdefault("dataloader_pin_memory", torch.cuda.is_available())
    # The task moves to the trainer's device later.
    device = TrainingArguments(output_dir=fields["output_dir"], use_cpu=fields["use_cpu"]).device
    fields.setdefault("bf16", is_bf16_fast(device) and task.options.dtype == "float32")
    metric = fields.get("metric_for_best_model") or task.selection_metric
    names = output_names(task.config) if task.needs_labels else []
    check_metric_name(metric, task.metric_kind, names=names)
    fields |= {"metric_for_best_model": metric, "greater_is_better": is_greater_better(metric)}
    if "validation" in data.splits:
        check_selection_metric(task, data, metric)
    else:
        fields |= {"eval_strategy": "no", "load_best_model_at_end": False, "metric_for_best_model": None}
    try:
        return TrainingArguments(**fields)
    except (TypeError, ValueError) as error:
        # Of a choice that does not exist transformers names the value alone.
        named = [f".{name}" for name, value in asked.items() if str(error).startswith(f"{value} is not a valid")]
        raise ValueError(f"trainer{''.join(named[:1])}: {error}") from error


def check_selection_metric(task: "Task", data: TaskData, metric: str) -> None:
    """Check that a metric is a number on the validation split, for NaN is never the best.

    Which metrics are defined depends on the labels, so that any outputs will do.

    Raises:
        ValueError: it is not, such as the AUROC of labels that are all of one class.
    """
    if not task.needs_labels:
        return
    rows = data.splits["validation"]
    any_output = np.zeros(len(output_names(task.config)))
    shapes = [(len(text),) * task.n_base_axes + any_output.shape for text in rows["sequence"]]
    outputs = [np.broadcast_to(any_output, shape) for shape in shapes]
    name = metric.removeprefix("eval_")
    found = task.metrics(outputs, list(rows["labels"]), details=_is_detail(task, name))
    if np.isnan(found.get(name, 0.0)):
        raise ValueError(
            f"trainer.metric_for_best_model: {metric!r} is not defined on the validation split: the labels that it is "
            f"made from are all the same, or none. Choose another metric, such as 'loss', or another validation split."
        )


def default_learning_rate(task: "Task") -> float:
    """Return the peak of the schedule that suits what is trained: adapters, the head, or weights of this number."""
    if task.options.lora.r:
        return LORA_LEARNING_RATE
    if task.options.frozen:
        return HEAD_LEARNING_RATE
    n_parameters = task.model.num_parameters()
    return next(rate for limit, rate in FULL_LEARNING_RATES if limit is None or n_parameters <= limit)


def fit(
    task: "Task",
    data: TaskData,
    arguments: TrainingArguments,
    *,
    max_tokens: int | None = None,
    patience: int | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> FitResult:
    """Train a task in place, keep the weights of the best evaluation, and save them to the output folder.

    Under `torchrun` or `accelerate launch` every rank calls this, and sees its own rows.

    Args:
        task: built for these data.
        data: with a `train` split, and a `validation` split to select by.
        arguments: from `training_arguments`; `resume_from_checkpoint` is `"true"`, or the path of a checkpoint.
        max_tokens: most tokens of a batch, in place of `per_device_train_batch_size`.
        patience: evaluations without a better one after which training stops.
        callbacks: of the trainer.

    Raises:
        ValueError: the data have no training split, or a row is longer than the model reads or than `max_tokens`.
        FileExistsError: the output folder is not empty, and the run is not to be resumed.
    """
    output_dir = Path(str(arguments.output_dir))
    resume_from = checkpoint_to_resume(output_dir, resume_request(arguments), option_prefix="--trainer.")
    set_seed(arguments.seed)
    trainer = build_trainer(task, data, arguments, max_tokens=max_tokens, patience=patience, callbacks=callbacks)
    result = trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    # Take the model's own forward back: Trainer's would go on computing in bfloat16.
    trainer.accelerator.unwrap_model(task.model, keep_fp32_wrapper=False)
    task.eval()
    metrics = _validation_metrics(task, data, arguments, max_tokens) if "validation" in data.splits else {}
    weights = trainer.whole_weights()
    if trainer.args.should_save:
        with write_errors_as_os_errors(output_dir):
            task.save_pretrained(output_dir, state_dict=weights)
    trainer.accelerator.wait_for_everyone()
    best = trainer.state.best_global_step if arguments.load_best_model_at_end else None
    seconds = result.metrics["train_runtime"]
    return FitResult(metrics, trainer.state.log_history, best or trainer.state.global_step, seconds, output_dir)


def build_trainer(
    task: "Task",
    data: TaskData,
    arguments: TrainingArguments,
    *,
    max_tokens: int | None = None,
    patience: int | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> FineTuningTrainer:
    """Return the trainer of a task."""
    if "train" not in data.splits:
        raise ValueError(f"The data have the splits {sorted(data.splits)}; 'train' is needed.")
    keep, arguments = arguments.save_total_limit or 10**9, copy.copy(arguments)
    # The trainer removes old checkpoints itself; transformers would remove the last one, too, where another is best.
    arguments.save_total_limit = None
    rows = data.splits["train"]
    task.check_lengths(rows["sequence"])
    loss = class_weighted_loss(data.class_weights) if data.class_weights else None
    if task.config.problem_type == "regression":
        loss = regression_loss(task.config)
    early_stopping = [EarlyStoppingCallback(patience)] if patience and "validation" in data.splits else []
    return FineTuningTrainer(
        model=task.model,
        args=arguments,
        train_dataset=NumberedRows(rows, ROW_COLUMNS),
        eval_dataset=data.splits.get("validation"),
        processing_class=task.tokenizer,
        batch_sampler=_batch_sampler(task, rows, arguments, max_tokens),
        collate=partial(task.training_batch, seed=arguments.seed),
        evaluate_task=partial(_validation_metrics, task, data, arguments, max_tokens),
        compute_loss_func=loss,
        meter=ThroughputMeter(),
        keep_checkpoints=keep,
        callbacks=[*callbacks, *early_stopping],
    )


def resume_request(arguments: TrainingArguments) -> str | None:
    """Return `"auto"` for `resume_from_checkpoint` true, None for false, or a path."""
    asked = arguments.resume_from_checkpoint
    if asked in (None, False, "false", "False"):
        return None
    return "auto" if asked in (True, "true", "True", "auto") else str(asked)


def n_trained_parameters(model: nn.Module) -> int:
    """Return the parameters that training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def _batch_sampler(
    task: "Task", rows: Any, arguments: TrainingArguments, max_tokens: int | None
) -> Sampler[list[int]]:
    lengths = token_lengths(task, rows["sequence"])
    ranks = {"n_ranks": max(1, arguments.world_size), "rank": arguments.process_index}
    if max_tokens is not None:
        return BalancedBatchSampler(lengths, max_tokens=max_tokens, seed=arguments.seed, **ranks)
    return GroupedBatchSampler(lengths, batch_size=arguments.train_batch_size, seed=arguments.seed, **ranks)


def _validation_metrics(
    task: "Task", data: TaskData, arguments: TrainingArguments, max_tokens: int | None
) -> dict[str, float]:
    details = _is_detail(task, str(arguments.metric_for_best_model).removeprefix("eval_"))
    rows = data.splits["validation"]
    return evaluate_rows(task, rows, max_tokens=max_tokens, bf16=arguments.bf16, details=details).metrics


def _is_detail(task: "Task", metric: str) -> bool:
    """Return whether a metric is one of a single class or output."""
    return metric not in METRICS_BY_KIND[task.metric_kind]
