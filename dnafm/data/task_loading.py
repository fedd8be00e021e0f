"""The steps from the options of the data to the splits of a task."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from dnafm.data.duplicates import duplicate_notes
from dnafm.data.label_readers import label_columns, label_reader
from dnafm.data.label_summary import summary_of_labels
from dnafm.data.labelled_fasta import labelled_fasta
from dnafm.data.labels import TargetScaler, class_names
from dnafm.data.prepared_rows import RowPreparation
from dnafm.data.sequence_labels import (
    ClassReader,
    LabelReader,
    SingleLabels,
)
from dnafm.data.source_tables import SourceTable, batch_rows
from dnafm.data.splits import RowKeys, SplitRows, choose_splits, given_splits
from dnafm.data.table_options import SequenceClassificationTable, TableOptions
from dnafm.data.tables import progress_on_terminals, read_tables
from dnafm.data.task_data import TaskData


@dataclass(frozen=True, kw_only=True)
class DividedTables:
    """The input, checked and divided.

    Attributes:
        tables: the splits of the input that are used.
        n_bases: of the sequences of each, (rows,) int64.
        splits: which rows are those of each split.
        id_column: of the names of rows, None where they are numbered.
        reader: of the labels, None where there are none.
        notes: counted facts.
    """

    tables: dict[str, SourceTable]
    n_bases: dict[str, np.ndarray]
    splits: dict[str, SplitRows]
    id_column: str | None
    reader: LabelReader | None
    notes: tuple[str, ...]

    def preparation(self, options: TableOptions, max_bases: int | None) -> RowPreparation:
        """Return how rows are prepared with their labels."""
        return RowPreparation(
            sequence_column=options.sequence_column,
            id_column=self.id_column,
            max_bases=max_bases,
            too_long=options.too_long,
            reader=self.reader,
        )


def load(
    options: TableOptions,
    *,
    max_bases: int | None,
    need_labels: bool,
    label_names: tuple[str, ...] | None,
    target_scaler: TargetScaler | None,
) -> TaskData:
    """Load the data of a task; see `dnafm.data.load_task_data`."""
    with progress_on_terminals():
        divided = divide(options, max_bases=max_bases, need_labels=need_labels, label_names=label_names)
        splits, cut_notes = _prepared_splits(options, divided, max_bases)
        summary = summary_of_labels(options, divided.reader, splits, target_scaler)
        notes = (*divided.notes, *cut_notes, *summary.notes, *duplicate_notes(splits))
    return replace(summary, splits=splits, notes=notes)


def divide(
    options: TableOptions, *, max_bases: int | None, need_labels: bool, label_names: tuple[str, ...] | None
) -> DividedTables:
    """Read and check the input, and choose the rows of each split."""
    found, notes = _source_tables(options, need_labels=need_labels)
    lengths = {name: len(table) for name, table in found.items()}
    tables = {name: found[name] for name in given_splits(options, lengths).values()}
    id_column = _checked_columns(options, tables)
    reader = label_reader(options, tables, label_names) if need_labels else None
    _check_tiling(options, reader)
    if isinstance(reader, SingleLabels) and isinstance(options, SequenceClassificationTable) and options.classes:
        tables, filter_notes = _filtered(tables, reader, [str(name) for name in options.classes])
        notes += filter_notes
    ids = {name: table.ids(id_column) for name, table in tables.items()}
    limit = max_bases if options.too_long == "error" else None
    n_bases = {
        name: table.sequence_lengths(options.sequence_column, max_bases=limit) for name, table in tables.items()
    }
    if isinstance(reader, ClassReader) and reader.label_names is None:
        reader = _with_names(options, reader, tables, n_bases)
    keys = partial(_train_keys, options, tables, ids, n_bases, reader)
    splits, split_notes = choose_splits(options, lengths | {name: len(table) for name, table in tables.items()}, keys)
    return DividedTables(
        tables=tables,
        n_bases=n_bases,
        splits=splits,
        id_column=id_column,
        reader=reader,
        notes=(*notes, *split_notes),
    )


def _source_tables(options: TableOptions, *, need_labels: bool) -> tuple[dict[str, SourceTable], list[str]]:
    if options.labels is None:
        return read_tables(options), []
    table, notes = labelled_fasta(options, need_labels=need_labels)
    return {options.train_split: table}, notes


def _checked_columns(options: TableOptions, tables: Mapping[str, SourceTable]) -> str | None:
    """Check the columns but those of labels, and return that of the ids."""
    for table in tables.values():
        table.check_column(options.sequence_column, "sequence_column")
        if options.split_column is not None:
            table.check_column(options.split_column, "split_column")
    if options.labels is not None:
        return "id"
    if options.id_column is None:
        return "id" if all("id" in table.rows.column_names for table in tables.values()) else None
    for table in tables.values():
        table.check_column(options.id_column, "id_column")
    return options.id_column


def _check_tiling(options: TableOptions, reader: LabelReader | None) -> None:
    if options.too_long == "tile" and reader is not None and (reader.is_of_pairs or not reader.is_of_bases):
        raise ValueError(
            "data.too_long is tile, which goes with labels of bases and with no labels: those of a whole sequence or "
            "of pairs of bases are not those of its pieces. Choose center, left or right."
        )


def _filtered(
    tables: Mapping[str, SourceTable], reader: SingleLabels, classes: list[str]
) -> tuple[dict[str, SourceTable], list[str]]:
    """Keep the rows of some classes."""
    kept: dict[str, SourceTable] = {}
    present: set[str] = set()
    for name, table in tables.items():
        masks = []
        for batch in table.batches(reader.columns):
            masks.append(reader.is_kept(batch, classes))
            present |= reader.found_names(batch, masks[-1])
        kept[name] = table.select(np.flatnonzero(np.concatenate(masks)))
    if unknown := [name for name in classes if name not in present]:
        raise ValueError(
            f"data.classes has {unknown[0]!r}; the classes in column {reader.column!r} are "
            f"{', '.join(sorted(present)[:30])}."
        )
    n_dropped = sum(map(len, tables.values())) - sum(map(len, kept.values()))
    return kept, [f"{n_dropped} rows dropped whose class is none of data.classes"]


def _with_names(
    options: TableOptions,
    reader: ClassReader,
    tables: Mapping[str, SourceTable],
    n_bases: Mapping[str, np.ndarray],
) -> ClassReader:
    """Look through all labels for the names of classes."""
    column = reader.columns[0]
    is_filtered = isinstance(options, SequenceClassificationTable) and bool(options.classes)
    # Classes of intervals may be nowhere in the sequences, the background where all is covered.
    is_painted = label_columns(options)[1] == "labels"
    if column in reader.class_names and not is_filtered and not is_painted:
        return replace(reader, label_names=reader.class_names[column])
    found: set[str] = set()
    for name, table in tables.items():
        for batch in table.batches(reader.columns, batch_rows(n_bases[name], of_pairs=reader.is_of_pairs)):
            found |= reader.found_names(batch, n_bases[name][batch.start : batch.start + len(batch.table)])
    where = f"{options.path}, column {column!r}"
    return replace(reader, label_names=class_names(found, where=where, integers_are_names=is_filtered))


def _train_keys(
    options: TableOptions,
    tables: Mapping[str, SourceTable],
    ids: Mapping[str, list[str]],
    n_bases: Mapping[str, np.ndarray],
    reader: LabelReader | None,
) -> RowKeys:
    name = options.train_split
    table, strata, groups = tables[name], None, None
    if isinstance(reader, SingleLabels):
        labels = [reader.read(batch, n_bases[name]).to_numpy() for batch in table.batches(reader.columns)]
        strata = np.concatenate(labels)
    if options.split_column is not None:
        groups = [str(value) for value in table.rows[options.split_column]]
    return RowKeys(ids[name], strata, groups, table.place.row)


def _prepared_splits(
    options: TableOptions, divided: DividedTables, max_bases: int | None
) -> tuple[dict[str, Any], list[str]]:
    preparation, notes = divided.preparation(options, max_bases), []
    prepared = {name: preparation.prepare(table, divided.n_bases[name]) for name, table in divided.tables.items()}
    n_cut = sum(rows.n_cut for rows in prepared.values())
    if n_cut:
        fate = "cut into pieces" if options.too_long == "tile" else f"cut to their {options.too_long} part"
        notes.append(f"{n_cut} sequences longer than {max_bases} bases: {fate}")
    splits = {split: prepared[rows.source].select(rows.indices) for split, rows in divided.splits.items()}
    if divided.reader is None:
        # Tasks without labels would take a column of this name for theirs.
        splits = {
            split: rows.remove_columns("labels") if "labels" in rows.column_names else rows
            for split, rows in splits.items()
        }
    return splits, notes
