"""Which rows are in which split."""

from collections import Counter
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.data.splice_junctions import load_splice_junctions
from dnafm.data.splits import RowKeys, choose_splits, fold_numbers, is_held_out
from dnafm.data.table_options import SequenceClassificationTable, UnlabelledTable
from dnafm.data.task_data import iterate_rows, load_task_data

STRATA = st.lists(st.integers(0, 3), min_size=2, max_size=60)


def keys(n_rows=30, groups=None, strata=None):
    return lambda: RowKeys([str(row) for row in range(n_rows)], strata, groups, lambda row: f"row {row}")


def sizes(splits):
    return {split: len(rows.indices) for split, rows in splits.items()}


def test_splits_of_the_bundled_table_are_those_of_its_own_loader(write_table):
    """Without write access to the package, and by another code path: the same rows in the same splits."""
    path = str(resources.files("dnafm") / "assets" / "splice_junctions" / "splice_junctions.tsv.gz")
    options = SequenceClassificationTable(path=path)
    data, expected = load_task_data(options, max_bases=100), load_splice_junctions()
    assert set(data.splits) == {"train", "validation", "test"}
    for split, rows in expected.items():
        assert tuple(data.splits[split]["id"]) == rows.ids
        found = [data.label_names[label] for label in data.splits[split]["labels"]]
        assert found == [expected.label_names[label] for label in rows.labels]
    assert tuple(row["id"] for row in iterate_rows(options, "test")) == expected.test.ids


@given(STRATA, st.floats(0, 1))
def test_held_out_part_has_the_share_of_every_stratum(strata, fraction):
    """The count of each is rounded."""
    strata = np.array(strata)
    chosen = is_held_out([str(row) for row in range(len(strata))], fraction, seed=42, strata=strata)
    for stratum, count in Counter(strata.tolist()).items():
        assert chosen[strata == stratum].sum() == round(fraction * count)


@given(STRATA, st.integers(2, 7))
def test_folds_are_of_one_size_and_of_one_mixture(strata, folds):
    """Sizes of folds, and of each class in them, differ by one at most."""
    strata = np.array(strata)
    numbers = fold_numbers([str(row) for row in range(len(strata))], folds, seed=42, strata=strata)
    for mask in (np.ones(len(strata), bool), *(strata == stratum for stratum in np.unique(strata))):
        counts = np.bincount(numbers[mask], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_parts_depend_on_ids_and_seed_not_on_the_order():
    """A shuffled table gives the same rows, another seed others."""
    ids = [f"read{row}" for row in range(100)]
    order = np.random.default_rng(0).permutation(100)
    shuffled = [ids[row] for row in order]
    for part in (
        lambda names, seed: is_held_out(names, 0.3, seed=seed),
        lambda names, seed: fold_numbers(names, 4, seed=seed),
    ):
        np.testing.assert_array_equal(part(shuffled, 42), part(ids, 42)[order])
        assert (part(ids, 43) != part(ids, 42)).any()


def test_every_row_is_tested_in_one_fold():
    """The test splits of all folds partition the rows; validation and training share none with them."""
    tested = []
    for fold in range(4):
        options = UnlabelledTable(path="reads.csv", folds=4, fold=fold)
        splits, _ = choose_splits(options, {"train": 30}, keys())
        assert sorted(np.concatenate([rows.indices for rows in splits.values()])) == list(range(30))
        tested += splits["test"].indices.tolist()
        assert sizes(splits)["validation"] == round(0.1 * (30 - sizes(splits)["test"]))
    assert sorted(tested) == list(range(30))


def test_given_splits_are_kept_and_missing_ones_taken_from_train():
    """By hand: 20 % of 100 are 20; 10 % of the 80 left are 8."""
    options = UnlabelledTable(path="reads.csv")
    everything, _ = choose_splits(options, {"train": 100}, keys(100))
    assert sizes(everything) == {"train": 72, "validation": 8, "test": 20}
    without_test, _ = choose_splits(options, {"train": 100, "validation": 5}, keys(100))
    assert sizes(without_test) == {"train": 80, "validation": 5, "test": 20}
    without_train, _ = choose_splits(options, {"test": 7}, keys(100))
    assert sizes(without_train) == {"test": 7}
    without_divided, _ = choose_splits(options, {"train": 9, "validation": 5, "test": 7}, pytest.fail)
    assert sizes(without_divided) == {"train": 9, "validation": 5, "test": 7}


def test_whole_file_can_be_the_test_split():
    """With a test fraction of 1 nothing is left to train on."""
    splits, _ = choose_splits(UnlabelledTable(path="reads.csv", test_fraction=1), {"train": 30}, keys())
    assert sizes(splits) == {"test": 30}


def test_groups_of_a_column_are_whole_splits():
    """Chromosomes 8 (a number) and X are held out; the rest is trained on, and other splits are noted."""
    groups = ["1", "8", "X"] * 10
    options = UnlabelledTable(path="reads.csv", split_column="chr", test_groups=[8], validation_groups=["X"])
    splits, notes = choose_splits(options, {"train": 30, "test": 3}, keys(groups=groups))
    assert {split: {groups[row] for row in rows.indices} for split, rows in splits.items()} == {
        "train": {"1"},
        "validation": {"X"},
        "test": {"8"},
    }
    assert notes == ["test: not used, because train is divided as asked"]


def test_column_can_name_the_splits():
    """train, val and test are understood; a missing split is made."""
    groups = ["train"] * 20 + ["Val"] * 4 + ["test"] * 6
    options = UnlabelledTable(path="reads.csv", split_column="split")
    splits, _ = choose_splits(options, {"train": 30}, keys(groups=groups))
    assert sizes(splits) == {"train": 20, "validation": 4, "test": 6}
    splits, _ = choose_splits(options, {"train": 24}, keys(24, groups=groups[:24]))
    assert sizes(splits) == {"train": 16, "validation": 4, "test": 4}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"test_split": "holdout"}, "data.test_split is 'holdout', and reads.csv has the splits train, test"),
        ({"validation_split": "test"}, "Two of the splits of reads.csv are the same"),
        (
            {"split_column": "chr", "test_groups": ["Y"]},
            "data.test_groups has 'Y'; column 'chr' of reads.csv has 1, 2",
        ),
        ({"split_column": "chr"}, "row 0: '1' in column 'chr' is none of train, validation and test"),
        ({"folds": 3, "fold": "all"}, "data.fold is 'all'"),
        ({"folds": 31, "fold": 0}, "data.folds is 31, and reads.csv has 30 rows"),
    ],
)
def test_impossible_splits_are_refused(given, message):
    """The message names the option, and what there is."""
    with pytest.raises(ValueError, match=message):
        choose_splits(
            UnlabelledTable(path="reads.csv", **given), {"train": 30, "test": 3}, keys(groups=["1", "2"] * 15)
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"test_fraction": 1.5}, "data.test_fraction is 1.5"),
        ({"folds": 1, "fold": 0}, "data.folds is 1"),
        ({"folds": 5, "fold": 5}, "data.fold is 5; it must be 0 to 4, or all"),
        ({"folds": 5}, "data.fold is None"),
        ({"fold": 0}, "data.folds is not given"),
        ({"folds": 5, "fold": 0, "split_column": "chr"}, "choose one of the two"),
        ({"test_groups": ["8"]}, "are values of data.split_column"),
        ({"split_column": "chr", "test_groups": [8], "validation_groups": ["8"]}, "are both"),
        ({"max_tokens_per_batch": 2}, "data.max_tokens_per_batch is 2"),
    ],
)
def test_options_that_exclude_each_other_are_refused(given, message):
    """Before anything is read."""
    with pytest.raises(ValueError, match=message):
        UnlabelledTable(path="reads.csv", **given)
