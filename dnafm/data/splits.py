"""Which rows are trained on, validated on and tested on.

A part that is held out at random is chosen as that of the bundled splice junctions is: rows are ranked by a hash of
the seed and their id, so it depends neither on their order nor on the version of a random number generator.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dnafm.data.table_options import TableOptions

SPLITS = ("train", "validation", "test")
# Between the values of a column that holds the names of splits, and those names.
_SPLIT_OF_VALUE = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation"}
_SPLIT_OF_VALUE |= {"dev": "validation", "test": "test"}


@dataclass(frozen=True)
class SplitRows:
    """Rows of a split of the input that make up a split: their indices in order, (rows,) int64."""

    source: str
    indices: np.ndarray


@dataclass(frozen=True)
class RowKeys:
    """What the rows of the train split of the input are told apart by.

    Attributes:
        ids: of each row, unique.
        strata: class of each row, (rows,) int64; None where they have none.
        groups: value of the split column in each row, as text; None where there is no such column.
        row: how an error names a row.
    """

    ids: Sequence[str]
    strata: np.ndarray | None
    groups: Sequence[str] | None
    row: Callable[[int], str]


def choose_splits(
    options: TableOptions, lengths: Mapping[str, int], train_keys: Callable[[], RowKeys]
) -> tuple[dict[str, SplitRows], list[str]]:
    """Choose the rows of each split.

    Args:
        options: how.
        lengths: rows of each split of the input.
        train_keys: called where the input's train split is divided.

    Returns:
        Those of train, validation and test that have rows, and notes on splits that are not used.

    Raises:
        ValueError: a split or a group that is asked for is missing, or the value of the split column is no split.
    """
    given = given_splits(options, lengths)
    if not _is_divided(options):
        return _completed(options, given, lengths, train_keys), []
    keys = train_keys()
    parts = _fold_parts(options, keys) if options.folds is not None else _group_parts(options, keys)
    unused = sorted(lengths.keys() - {given["train"]})
    notes = [f"{name}: not used, because {given['train']} is divided as asked" for name in unused]
    return _with_rows(given["train"], _with_missing(options, parts, keys)), notes


def given_splits(options: TableOptions, lengths: Mapping[str, int]) -> dict[str, str]:
    """Return the name in the input of each split that the input has, of the train split alone where it is divided.

    Raises:
        ValueError: one that is asked for is missing, or two are the same.
    """
    names = {"train": options.train_split, "validation": options.validation_split, "test": options.test_split}
    for split, name in names.items():
        # The defaults may be missing.
        if name not in (None, split) and name not in lengths:
            raise ValueError(
                f"data.{split}_split is {name!r}, and {options.path} has the splits {', '.join(lengths)}."
            )
    found = {split: name or split for split, name in names.items() if (name or split) in lengths}
    if len(set(found.values())) < len(found):
        raise ValueError(
            f"Two of the splits of {options.path} are the same: {found}. To test on all rows of a file, set "
            "--data.test_fraction 1."
        )
    if _is_divided(options):
        found = {split: name for split, name in found.items() if split == "train"}
    if not found:
        raise ValueError(
            f"{options.path} has the splits {', '.join(lengths)}, and none is {options.train_split!r}. Name them with "
            "--data.train_split, --data.validation_split and --data.test_split."
        )
    return found


def is_held_out(ids: Sequence[str], fraction: float, *, seed: int, strata: np.ndarray | None = None) -> np.ndarray:
    """Hold out a fraction of the rows of each stratum, the count rounded.

    Args:
        ids: of the rows, unique.
        fraction: share in [0, 1].
        seed: any integer.
        strata: (rows,) ints; None for one stratum.

    Returns:
        (rows,) bool.
    """
    chosen = np.zeros(len(ids), bool)
    for rows in _ranked_strata(ids, seed, strata):
        chosen[rows[: round(fraction * len(rows))]] = True
    return chosen


def fold_numbers(ids: Sequence[str], folds: int, *, seed: int, strata: np.ndarray | None = None) -> np.ndarray:
    """Deal the rows of each stratum to folds in turn; sizes of folds, and of their strata, differ by one at most.

    Args:
        ids: of the rows, unique.
        folds: how many.
        seed: any integer.
        strata: (rows,) ints; None for one stratum.

    Returns:
        Fold of each row, (rows,) int64 in [0, folds).
    """
    dealt = np.concatenate([np.zeros(0, np.int64), *_ranked_strata(ids, seed, strata)])
    numbers = np.empty(len(ids), np.int64)
    numbers[dealt] = np.arange(len(dealt)) % folds
    return numbers


def _ranked_strata(ids: Sequence[str], seed: int, strata: np.ndarray | None) -> list[np.ndarray]:
    """Return the rows of each stratum in the order of their hashes."""
    hashes = [hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in ids]
    ranked = np.array(sorted(range(len(ids)), key=hashes.__getitem__), np.int64)
    if strata is None:
        return [ranked]
    of_ranked = strata[ranked]
    return [ranked[of_ranked == stratum] for stratum in np.unique(strata)]


def _is_divided(options: TableOptions) -> bool:
    """Return whether all splits are made of the input's train split."""
    return options.folds is not None or options.split_column is not None


def _completed(
    options: TableOptions, given: Mapping[str, str], lengths: Mapping[str, int], train_keys: Callable[[], RowKeys]
) -> dict[str, SplitRows]:
    whole = {split: SplitRows(name, np.arange(lengths[name])) for split, name in given.items()}
    if "train" not in given or len(given) == len(SPLITS):
        return whole
    parts = {split: np.zeros(0, np.int64) for split in given} | {"train": np.arange(lengths[given["train"]])}
    made = _with_rows(given["train"], _with_missing(options, parts, train_keys()))
    return {split: rows for split in SPLITS if (rows := {**whole, "train": None, **made}.get(split)) is not None}


def _with_missing(options: TableOptions, parts: Mapping[str, np.ndarray], keys: RowKeys) -> dict[str, np.ndarray]:
    """Take the splits that are missing from the rows that are trained on, test first."""
    parts = dict(parts)
    for split, fraction in (("test", options.test_fraction), ("validation", options.validation_fraction)):
        if split in parts:
            continue
        rows = parts["train"]
        strata = None if keys.strata is None else keys.strata[rows]
        chosen = is_held_out([keys.ids[row] for row in rows], fraction, seed=options.split_seed, strata=strata)
        parts[split], parts["train"] = rows[chosen], rows[~chosen]
    return parts


def _with_rows(source: str, parts: Mapping[str, np.ndarray]) -> dict[str, SplitRows]:
    return {split: SplitRows(source, parts[split]) for split in SPLITS if len(parts[split])}


def _fold_parts(options: TableOptions, keys: RowKeys) -> dict[str, np.ndarray]:
    if options.folds is None or not isinstance(options.fold, int):
        raise ValueError(f"data.fold is {options.fold!r}: data are those of one fold. Give its number.")
    if options.folds > len(keys.ids):
        raise ValueError(f"data.folds is {options.folds}, and {options.path} has {len(keys.ids)} rows to divide.")
    numbers = fold_numbers(keys.ids, options.folds, seed=options.split_seed, strata=keys.strata)
    return {"test": np.flatnonzero(numbers == options.fold), "train": np.flatnonzero(numbers != options.fold)}


def _group_parts(options: TableOptions, keys: RowKeys) -> dict[str, np.ndarray]:
    assert keys.groups is not None
    groups = np.array(keys.groups, dtype=object)
    asked = {"validation": options.validation_groups, "test": options.test_groups}
    if not any(asked.values()):
        return _named_parts(options, groups, keys.row)
    present = sorted(set(keys.groups))
    parts, is_left = {}, np.ones(len(groups), bool)
    for split, names in ((split, [str(name) for name in names]) for split, names in asked.items() if names):
        if unknown := [name for name in names if name not in present]:
            raise ValueError(
                f"data.{split}_groups has {unknown[0]!r}; column {options.split_column!r} of {options.path} has "
                f"{', '.join(present[:30])}{', ...' if len(present) > 30 else ''}."
            )
        is_member = np.isin(groups, names)
        parts[split] = np.flatnonzero(is_member)
        is_left &= ~is_member
    return {**parts, "train": np.flatnonzero(is_left)}


def _named_parts(options: TableOptions, groups: np.ndarray, row: Callable[[int], str]) -> dict[str, np.ndarray]:
    """Take the values of the split column for the names of splits."""
    splits = np.array([_SPLIT_OF_VALUE.get(group.lower(), "") for group in groups], dtype=object)
    if len(unknown := np.flatnonzero(splits == "")):
        first = int(unknown[0])
        raise ValueError(
            f"{row(first)}: {groups[first]!r} in column {options.split_column!r} is none of train, validation and "
            "test. Name the values of a split with --data.test_groups and --data.validation_groups."
        )
    found = {split: np.flatnonzero(splits == split) for split in SPLITS}
    return {split: rows for split, rows in found.items() if len(rows) or split == "train"}
