"""The reader of labels that the options of a task and the columns of its table call for."""

from collections.abc import Mapping
from dataclasses import replace

from dnafm.data.intervals import INTERVAL_EXTENSIONS, LABELS
from dnafm.data.label_values import holds_lists
from dnafm.data.sequence_labels import (
    ClassReader,
    LabelColumns,
    LabelReader,
    ListedLabels,
    SequenceTargets,
    SingleLabels,
)
from dnafm.data.source_tables import Batch, SourceTable
from dnafm.data.table_options import (
    PairwiseTokenClassificationTable,
    SequenceClassificationTable,
    SequenceRegressionTable,
    TableOptions,
    TokenClassificationTable,
    TokenRegressionTable,
    UnlabelledTable,
)
from dnafm.data.tables import extension_of
from dnafm.data.token_labels import BaseClasses, BaseTargets, PairClasses


def label_reader(
    options: TableOptions, tables: Mapping[str, SourceTable], label_names: tuple[str, ...] | None
) -> LabelReader | None:
    """Return the reader, None for data without labels.

    Args:
        options: of the data.
        tables: all of which must have its columns.
        label_names: of the classes of a fitted model.

    Raises:
        ValueError: a column is missing, or is not what the options say.
    """
    if isinstance(options, UnlabelledTable):
        return None
    columns, option = label_columns(options)
    for table in tables.values():
        for column in columns:
            table.check_column(column, option)
    first = next(iter(tables.values()))
    reader = _reader(options, columns, next(first.batches(columns, 1)))
    if isinstance(reader, ClassReader):
        return replace(reader, label_names=label_names, class_names=first.class_names)
    if isinstance(reader, LabelColumns) and label_names not in (None, columns):
        raise ValueError(
            f"data.label_columns is {list(columns)}, and the model has the labels {list(label_names or ())}. Name the "
            "columns of these labels, in this order."
        )
    return reader


def label_columns(options: TableOptions) -> tuple[tuple[str, ...], str]:
    """Return the columns of the labels, and the option that names them."""
    if options.labels is not None and extension_of(options.labels) in INTERVAL_EXTENSIONS:
        return (LABELS,), "labels"
    if named := getattr(options, "label_columns", None):
        return tuple(named), "label_columns"
    column = getattr(options, "label_column", None)
    if column is None:
        raise ValueError(f"{type(options).__name__} has no labels.")
    return (column,), "label_column"


def _reader(options: TableOptions, columns: tuple[str, ...], first: Batch) -> LabelReader:
    if isinstance(options, SequenceClassificationTable):
        return _class_reader(options, columns, first)
    if isinstance(options, SequenceRegressionTable):
        return SequenceTargets(columns=columns).as_in(first)
    if isinstance(options, TokenClassificationTable):
        return BaseClasses(column=columns[0], ignored_label=options.ignored_label)
    if isinstance(options, TokenRegressionTable):
        return BaseTargets(columns=columns).as_in(first)
    if isinstance(options, PairwiseTokenClassificationTable):
        return PairClasses(column=columns[0], ignored_label=options.ignored_label)
    raise ValueError(f"{type(options).__name__} says nothing about labels.")


def _class_reader(options: SequenceClassificationTable, columns: tuple[str, ...], first: Batch) -> LabelReader:
    if options.label_columns:
        return LabelColumns(columns=columns)
    if options.label_separator is None and not holds_lists(first.column(columns[0])):
        return SingleLabels(column=columns[0])
    for option, default in (("class_weights", "none"), ("classes", None)):
        if getattr(options, option) != default:
            raise ValueError(
                f"data.{option} is of classes that exclude each other, and column {columns[0]!r} of {options.path} "
                "has several labels at once."
            )
    return ListedLabels(column=columns[0], separator=options.label_separator)
