"""Columns of labels, however they are written, as names with ids and as numbers."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnafm.data.labels import parsed_number
from dnafm.data.source_tables import Batch

IGNORED_LABEL = -100


@dataclass(frozen=True)
class NamedValues:
    """Values that are one of few names.

    Attributes:
        names: the different ones, in any order.
        codes: (values,) int64, place of each value in `names`, -1 where it is missing.
    """

    names: tuple[str, ...]
    codes: np.ndarray

    def ids(self, label_names: Sequence[str], *, missing: int = IGNORED_LABEL) -> np.ndarray:
        """Return the place of each value in `label_names`, (values,) int64; -2 for a name that is not there."""
        place = {name: index for index, name in enumerate(label_names)}
        table = np.array([place.get(name, -2) for name in self.names] + [missing], np.int64)
        return table[self.codes]

    @property
    def present(self) -> set[str]:
        """The names that occur."""
        codes = np.unique(self.codes)
        return {self.names[code] for code in codes[codes >= 0]}


def is_list(column: pa.Array) -> bool:
    """Return whether the cells of a column are lists."""
    kind = column.type
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_text(column: pa.Array) -> bool:
    """Return whether the cells of a column are text."""
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def holds_lists(column: pa.Array) -> bool:
    """Return whether the cells of a column are lists, or text whose first cell spells one in JSON."""
    first = column[0].as_py() if is_text(column) and len(column) else None
    return is_list(column) or (first or "").startswith("[")


def listed(batch: Batch, name: str) -> pa.ListArray:
    """Return a column of lists, which in a csv file are spelled in JSON: `[0, 1, null]`.

    Raises:
        ValueError: a cell is missing or no list, or lists have other things than the same kind of value.
    """
    column = batch.column(name)
    if is_text(column):
        column = _parsed_json(batch, name, column)
    if not is_list(column):
        raise ValueError(f"{batch.place}: column {name!r} holds {column.type}, where lists are due.")
    batch.check(column.is_null().to_numpy(zero_copy_only=False), lambda _: f"the list in column {name!r} is missing.")
    return column.cast(pa.list_(column.type.value_type))


def _parsed_json(batch: Batch, name: str, column: pa.Array) -> pa.Array:
    texts = column.to_pylist()
    rows = [_list_of(text) for text in texts]
    batch.check(
        [row is None for row in rows],
        lambda row: f"{_cut(texts[row])!r} in column {name!r} is no list such as [0, 1, 1].",
    )
    try:
        return pa.array(rows)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        start, end = batch.start + 1, batch.start + len(rows)
        raise ValueError(
            f"{batch.place}, rows {start} to {end}: lists in column {name!r} mix kinds of values: {error}."
        ) from error


def _list_of(text: str | None) -> list[Any] | None:
    """Return the list that a text spells in JSON, None if it spells none."""
    try:
        value = json.loads(text or "null")
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, list) else None


def named_values(
    values: pa.Array, batch: Batch, column: str, *, class_names: Sequence[str] | None, rows: np.ndarray | None = None
) -> NamedValues:
    """Read names, or integers, which become text; missing are null, NaN, -100 and the empty text.

    Args:
        values: text, integers, whole floats or bools.
        batch: where they are from.
        column: likewise.
        class_names: what integers are ids of; -1 is a missing one.
        rows: row of each value in the batch; by default they are one a row.

    Raises:
        ValueError: a float is no integer, an id is none of a class, or the column holds something else.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return NamedValues((), np.full(len(values), -1))
    if pa.types.is_floating(kind):
        values = _whole(values, batch, column, rows)
    if class_names is not None and pa.types.is_integer(values.type):
        return _of_ids(values, batch, column, class_names, rows)
    if not (pa.types.is_integer(values.type) or pa.types.is_boolean(kind) or is_text(values) or _is_coded(kind)):
        raise ValueError(f"{batch.place}: column {column!r} holds {kind}; classes are names or integers.")
    encoded = values.cast(pa.string()).dictionary_encode()
    names = tuple(encoded.dictionary.to_pylist())
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    absent = [names.index(name) for name in ("", str(IGNORED_LABEL)) if name in names]
    return NamedValues(names, np.where(np.isin(codes, absent), -1, codes))


def _is_coded(kind: pa.DataType) -> bool:
    return pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type)


def _whole(values: pa.Array, batch: Batch, column: str, rows: np.ndarray | None) -> pa.Array:
    numbers = pc.fill_null(values.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    is_known = ~np.isnan(numbers)
    is_odd = is_known & (numbers != np.trunc(numbers) if len(numbers) else is_known)
    batch.check(
        is_odd | np.isinf(numbers), lambda at: f"{numbers[at]} in column {column!r} is no class: no integer.", rows
    )
    return pa.array(np.where(is_known, numbers, 0).astype(np.int64), mask=~is_known)


def _of_ids(
    values: pa.Array, batch: Batch, column: str, class_names: Sequence[str], rows: np.ndarray | None
) -> NamedValues:
    ids = pc.fill_null(values.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    ids = np.where(ids == IGNORED_LABEL, -1, ids)
    batch.check(
        (ids < -1) | (ids >= len(class_names)),
        lambda at: f"{ids[at]} in column {column!r} is none of its {len(class_names)} classes.",
        rows,
    )
    return NamedValues(tuple(class_names), ids)


def characters(batch: Batch, column: str) -> tuple[NamedValues, np.ndarray]:
    """Read texts of one character for each base.

    Returns:
        All characters one after the other, and their number in each row, (rows,) int64.

    Raises:
        ValueError: a text is missing, or has characters that are not of Latin-1.
    """
    texts = batch.column(column).to_pylist()
    batch.check([text is None for text in texts], lambda _: f"the labels in column {column!r} are missing.")
    is_foreign = [max(text, default="") > "\xff" for text in texts]
    batch.check(
        is_foreign, lambda row: f"{max(texts[row])!r} in column {column!r} is no label: letters and digits are."
    )
    codes = np.frombuffer("".join(texts).encode("latin-1"), np.uint8)
    present = np.flatnonzero(np.bincount(codes, minlength=256))
    table = np.full(256, -1)
    table[present] = np.arange(len(present))
    return NamedValues(tuple(map(chr, present)), table[codes]), np.array([len(text) for text in texts], np.int64)


def numbers(values: pa.Array, batch: Batch, column: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Return (values,) float64, NaN where one is missing.

    Args:
        values: numbers, or text that spells them, in which only an empty one or `nan` is missing.
        batch: where they are from.
        column: likewise.
        rows: row of each value in the batch; by default they are one a row.

    Raises:
        ValueError: a text is no number, or the column holds something else.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if is_text(values):
        texts = [text or "" for text in values.to_pylist()]
        found = np.array([parsed_number(text) for text in texts], np.float64)
        is_word = [math.isnan(parsed_number(text)) and text.strip().lower() not in ("", "nan") for text in texts]
        batch.check(is_word, lambda at: f"{_cut(texts[at])!r} in column {column!r} is no number.", rows)
        return found
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ValueError(f"{batch.place}: column {column!r} holds {kind}; targets are numbers.")
    values = values.cast(pa.int8()) if pa.types.is_boolean(kind) else values
    return pc.fill_null(values.cast(pa.float64(), safe=False), np.nan).to_numpy(zero_copy_only=False)


def row_of_values(lists: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the length of each list, and the row of each of their values, both int64."""
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths, np.repeat(np.arange(len(lists)), lengths)


def check_lengths(batch: Batch, column: str, lengths: np.ndarray, n_bases: np.ndarray) -> None:
    """Raise a ValueError that names the first row whose labels are not one for each base."""
    batch.check(
        lengths != n_bases,
        lambda row: (
            f"{lengths[row]} labels in column {column!r} for a sequence of {n_bases[row]} bases; one for each "
            "base is due."
        ),
    )


def _cut(text: Any) -> str:
    text = "" if text is None else str(text)
    return text if len(text) <= 40 else text[:37] + "..."
