"""A FASTA file with the labels that lie beside it, in a table or as intervals."""

from dataclasses import replace

import numpy as np

from dnafm.data.intervals import INTERVAL_EXTENSIONS, IntervalLabels
from dnafm.data.source_tables import Place, SourceTable
from dnafm.data.table_options import TableOptions, TokenClassificationTable, TokenRegressionTable
from dnafm.data.tables import extension_of, is_fasta, read_tables


def labelled_fasta(options: TableOptions, *, need_labels: bool) -> tuple[SourceTable, list[str]]:
    """Read `options.path`, a FASTA file, with `options.labels`.

    Args:
        options: of the data.
        need_labels: without, intervals are left out.

    Returns:
        Records with `id`, `sequence` and the columns of the table, or `labels` of their intervals; and notes.

    Raises:
        ValueError: the path is no FASTA file, a record has no labels, or intervals are for another task.
    """
    assert options.labels is not None
    if not is_fasta(options.path):
        raise ValueError(
            f"data.labels is {options.labels}, which goes with a FASTA file, and data.path is {options.path}."
        )
    if extension_of(options.labels) not in INTERVAL_EXTENSIONS:
        return _joined(options)
    if not need_labels:
        return _records(options), []
    if isinstance(options, TokenClassificationTable):
        classes = None if options.interval_classes is None else tuple(options.interval_classes)
        intervals = IntervalLabels(path=options.labels, classes=classes, background=options.background)
        return intervals.class_table(options.path)
    if isinstance(options, TokenRegressionTable):
        return IntervalLabels(path=options.labels).value_table(options.path, options.background)
    raise ValueError(
        f"{options.labels} labels bases, which TokenClassification and TokenRegression take. Give a table of labels "
        "with a column of the records' names."
    )


def _records(options: TableOptions) -> SourceTable:
    tables = read_tables(replace(options, labels=None, rename_columns={}))
    return tables[options.train_split]


def _joined(options: TableOptions) -> tuple[SourceTable, list[str]]:
    import datasets

    assert options.labels is not None
    records = _records(options)
    tables = read_tables(replace(options, path=options.labels, labels=None))
    labels = tables[options.train_split]
    id_column = options.id_column or "id"
    labels.check_column(id_column, "id_column")
    row_of_id = {name: row for row, name in enumerate(labels.ids(id_column))}
    names = records.ids("id")
    if missing := [name for name in names if name not in row_of_id]:
        raise ValueError(
            f"{options.path}: the record {missing[0]!r} has no row in {options.labels}, whose column {id_column!r} "
            f"must have it; it is one of {len(missing)}."
        )
    beside = labels.rows.select(np.array([row_of_id[name] for name in names]))
    beside = beside.remove_columns([name for name in beside.column_names if name in (id_column, "id", "sequence")])
    joined = datasets.concatenate_datasets([records.rows, beside], axis=1)
    n_unused = len(labels) - len(names)
    notes = [f"{options.labels}: {n_unused} rows whose id {options.path} has not"] if n_unused else []
    return SourceTable(joined, Place(f"{options.path} with {options.labels}"), labels.class_names), notes
