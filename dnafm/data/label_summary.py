"""What the labels of prepared splits come to: names, counts, weights and scale."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dnafm.data.label_values import is_list
from dnafm.data.labels import TargetScaler, absent_class_note, balanced_weights, fit_scaler
from dnafm.data.sequence_labels import ClassReader, LabelColumns, LabelReader, ListedLabels, SequenceTargets
from dnafm.data.table_options import TableOptions
from dnafm.data.task_data import TaskData
from dnafm.data.token_labels import BaseTargets


def summary_of_labels(
    options: TableOptions, reader: LabelReader | None, splits: Mapping[str, Any], scaler: TargetScaler | None
) -> TaskData:
    """Return all but the splits: names of classes and targets, weights and scale, and notes on absent classes."""
    if reader is None:
        return TaskData()
    if isinstance(reader, SequenceTargets | BaseTargets):
        return _target_summary(options, reader, splits, scaler)
    names = reader.label_names if isinstance(reader, ClassReader) else reader.columns
    assert names is not None
    is_multilabel = isinstance(reader, LabelColumns | ListedLabels)
    counts = {split: _class_counts(rows, len(names), is_multilabel=is_multilabel) for split, rows in splits.items()}
    notes = [absent_class_note(split, count, names) for split, count in counts.items()]
    is_balanced = getattr(options, "class_weights", "none") == "balanced" and "train" in counts
    return TaskData(
        label_names=tuple(names),
        class_weights=balanced_weights(counts["train"]) if is_balanced else None,
        notes=tuple(note for note in notes if note is not None),
    )


def _target_summary(
    options: TableOptions,
    reader: SequenceTargets | BaseTargets,
    splits: Mapping[str, Any],
    scaler: TargetScaler | None,
) -> TaskData:
    names = reader.target_names
    if scaler is not None and len(scaler.mean) != len(names):
        raise ValueError(
            f"{options.path} has {len(names)} targets, {', '.join(names)}, and the model predicts {len(scaler.mean)}."
        )
    if scaler is None and getattr(options, "standardize", False) and "train" in splits:
        batches = _flat_labels(splits["train"], width=len(names))
        scaler = fit_scaler((batch.astype(np.float64) for batch in batches), names)
    return TaskData(target_names=names, target_scaler=scaler)


def _class_counts(rows: Any, n_classes: int, *, is_multilabel: bool) -> np.ndarray:
    """Count the labels of each class, (n_classes,) int64."""
    counts = np.zeros(n_classes, np.int64)
    for labels in _flat_labels(rows, width=n_classes if is_multilabel else None):
        if is_multilabel:
            counts += (labels == 1).sum(axis=0)
        else:
            counts += np.bincount(labels[labels >= 0], minlength=n_classes)
    return counts


def _flat_labels(rows: Any, *, width: int | None = None) -> Iterator[np.ndarray]:
    """Yield all labels of prepared rows, whatever they are of, (labels,) or (labels, width)."""
    for table in rows.select_columns(["labels"]).with_format("arrow").iter(1000):
        labels = table["labels"].combine_chunks()
        while is_list(labels):
            labels = labels.flatten()
        values = labels.to_numpy(zero_copy_only=False)
        yield values if width is None else values.reshape(-1, width)
