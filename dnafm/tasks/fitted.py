"""What is done with a fitted model on the command line: loading it and its data, and predicting for a file."""

from pathlib import Path
from typing import Any

from torch import distributed
from transformers import TrainingArguments

from dnafm.data.prediction_tables import PredictionWriter, merge_parts
from dnafm.data.table_options import UnlabelledTable
from dnafm.data.task_data import TaskData, iterate_rows, load_task_data
from dnafm.tasks.base import Task
from dnafm.tasks.evaluating import rank_and_ranks
from dnafm.tasks.fitting import training_arguments
from dnafm.tasks.predicting import predict_chunks
from dnafm.tasks.runs import RunSettings
from dnafm.tasks.saving import TASK_FILE

# Options of a fitted model that are about reading with it, and not about what it is.
_OF_READING = (
    "attn_implementation",
    "rope_implementation",
    "max_length",
    "reverse_complement",
    "dtype",
    "quantization",
)


def load_fitted(settings: RunSettings, checkpoint: str | None) -> tuple[Task, TrainingArguments]:
    """Load the model that was fitted with these settings, or another checkpoint.

    Args:
        settings: whose output folder is looked into, and whose options of reading count.
        checkpoint: folder or Hub id instead, whose own options of reading count where the settings have defaults.

    Raises:
        ValueError: there is no fitted model.
        OSError: there is no such checkpoint.
    """
    options = {name: getattr(settings.model, name) for name in _OF_READING}
    if checkpoint is None:
        if not (settings.output_dir / TASK_FILE).is_file():
            raise ValueError(
                f"{settings.output_dir} holds no fitted model. Run dnafm fit with the same options, name its folder "
                "with --trainer.output_dir, or give a --checkpoint."
            )
        return _on_device(settings.task_type.from_pretrained(settings.output_dir, **options), settings)
    defaults = settings.task_type.options_type()
    options = {name: value for name, value in options.items() if value != getattr(defaults, name)}
    return _on_device(settings.task_type.from_pretrained(checkpoint, **options), settings)


def build_untrained(settings: RunSettings) -> tuple[Task, TrainingArguments]:
    """Build a task that predicts without having been fitted."""
    return _on_device(settings.task_type.from_options(settings.model), settings)


def _on_device(task: Task, settings: RunSettings) -> tuple[Task, TrainingArguments]:
    arguments = training_arguments(task, TaskData(splits={}), settings.trainer)
    return task.to(arguments.device), arguments


def load_fitted_data(settings: RunSettings, task: Task) -> TaskData:
    """Read the data of a fitted model, with its classes and the scale of its targets."""
    table = task.labelled_table(task.options, settings.data)
    return load_task_data(
        table,
        max_bases=task.max_bases,
        need_labels=not isinstance(table, UnlabelledTable),
        label_names=tuple(getattr(task, "label_names", ())) or None,
        target_scaler=task.target_scaler,
    )


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
    rows = iterate_rows(task.labelled_table(task.options, settings.data), split, max_bases=task.max_bases)
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
