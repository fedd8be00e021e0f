"""Labelled data of a task: from a file, a folder or the Hub to splits with ids, sequences and labels."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dnafm.data.labels import TargetScaler
from dnafm.data.table_options import TableOptions

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """The data of a task.

    Attributes:
        splits: those of train, validation and test that there are. Columns: `id` (text), `sequence` (upper case),
            `labels` where the task has any, and the other ones of the input. Labels are

            - a class: an int, 0 to n - 1; several at once: a list of n floats, 0 or 1, -100 where unknown;
            - numbers: a list of floats, in the units of the data;
            - for bases: a list of ints, -100 where not counted, or of lists of floats, NaN where not counted;
            - for pairs of bases: a list of lists of ints, -100 where not counted.
        label_names: of the classes by their ids.
        class_weights: of the classes, from the train split, where they are asked for.
        target_names: of the numbers.
        target_scaler: their mean and deviation on the train split, where they are to be standardised; labels are not.
        notes: counted facts that a user should know.
    """

    splits: "dict[str, Dataset]" = field(default_factory=dict)
    label_names: tuple[str, ...] | None = None
    class_weights: tuple[float, ...] | None = None
    target_names: tuple[str, ...] | None = None
    target_scaler: TargetScaler | None = None
    notes: tuple[str, ...] = ()


def load_task_data(
    options: TableOptions,
    *,
    max_bases: int | None,
    need_labels: bool = True,
    label_names: tuple[str, ...] | None = None,
    target_scaler: TargetScaler | None = None,
) -> TaskData:
    """Read, check, label and split the data of a task.

    Args:
        options: that of the task's class.
        max_bases: of the longest sequence that the model reads; None for no limit.
        need_labels: whether there must be labels; they are left out otherwise.
        label_names: of the classes of a fitted model, by their ids.
        target_scaler: of a fitted model.

    Raises:
        ValueError: anything is wrong with the data: the message names file and row, or the column.
        FileNotFoundError: the path does not exist, or the Hub has no such data set.
        ImportError: `datasets` is not installed.
    """
    _check_extra()
    from dnafm.data.task_loading import load

    return load(
        options, max_bases=max_bases, need_labels=need_labels, label_names=label_names, target_scaler=target_scaler
    )


def iterate_rows(
    options: TableOptions, split: str | None = None, *, max_bases: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield rows for prediction, in the order of the input, in memory that does not grow with it.

    Args:
        options: of the data. A FASTA file is read without `options.labels`.
        split: of train, validation, test, or another one of the input; by default all rows of all splits. A split
            that is made, not given, is read as `load_task_data` does.
        max_bases: of the longest sequence that the model reads; None for no limit.

    Yields:
        `id`, `sequence` (upper case), and the other columns of the input, those of labels among them.

    Raises:
        ValueError: a column is missing, or a sequence is empty, no DNA or too long, when it comes to it.
        FileNotFoundError: the path does not exist, or the Hub has no such data set.
        ImportError: `datasets` is not installed.
    """
    _check_extra()
    from dnafm.data.row_streams import stream

    return stream(options, split, max_bases=max_bases)


def _check_extra() -> None:
    try:
        import datasets  # noqa: F401
    except ImportError as error:
        raise ImportError("Tables of sequences are read by datasets: pip install 'dnafm[train]'") from error
