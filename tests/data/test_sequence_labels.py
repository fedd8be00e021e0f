"""Labels of whole sequences, their names, weights and scale."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.data.labels import balanced_weights, class_names, fit_scaler
from dnafm.data.table_options import SequenceClassificationTable, SequenceRegressionTable
from dnafm.data.task_data import load_task_data

WHOLE = {"test_fraction": 0, "validation_fraction": 0}


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def load(write_table, labels, table=SequenceClassificationTable, name="reads.csv", **options):
    """Load rows of the sequence AC with these labels, all of them to train on."""
    rows = [{"sequence": "AC", **(label if isinstance(label, dict) else {"label": label})} for label in labels]
    if name.endswith("csv"):
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        text = "\n".join(lines) + "\n"
    else:
        text = jsonl(rows)
    return load_task_data(table(path=write_table(name, text), **WHOLE, **options), max_bases=10)


@pytest.mark.parametrize(
    ("labels", "names", "ids"),
    [
        (["b", "a", "NA", "b"], ("NA", "a", "b"), [2, 1, 0, 2]),
        (["1", "0", "1"], ("0", "1"), [1, 0, 1]),
        ([str(number) for number in range(11)], tuple(map(str, range(11))), list(range(11))),
        (["01", "02"], ("01", "02"), [0, 1]),
    ],
)
def test_names_are_sorted_and_integers_are_ids(write_table, labels, names, ids):
    """`10` is class 10, not the one after `1`; `NA` and `01` are names."""
    data = load(write_table, labels)
    assert (data.label_names, data.splits["train"]["labels"][:]) == (names, ids)


@pytest.mark.parametrize("labels", [[1, 0, 1], [True, False, True], [1.0, 0.0, 1.0]])
def test_numbers_and_truth_values_are_classes(write_table, labels):
    """Integers, whole floats and bools of json have the ids of their order."""
    data = load(write_table, labels, name="reads.jsonl")
    assert data.splits["train"]["labels"][:] == [1, 0, 1]


def test_class_labels_of_datasets_keep_their_order(write_table, tmp_path):
    """Names of a `ClassLabel` are not sorted anew."""
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"sequence": Value("string"), "label": ClassLabel(names=["donor", "acceptor"])})
    Dataset.from_dict({"sequence": ["AC", "AG"], "label": [0, 1]}, features).save_to_disk(tmp_path / "saved")
    data = load_task_data(SequenceClassificationTable(path=str(tmp_path / "saved"), **WHOLE), max_bases=10)
    assert data.label_names == ("donor", "acceptor")
    assert data.splits["train"]["labels"][:] == [0, 1]


def test_names_of_a_fitted_model_are_used(write_table):
    """The ids are the model's, though the file has fewer classes."""
    path = write_table("reads.csv", "sequence,label\nAC,b\nAG,c\n")
    options = SequenceClassificationTable(path=path, test_fraction=1)
    data = load_task_data(options, max_bases=10, label_names=("c", "a", "b"))
    assert data.splits["test"]["labels"][:] == [2, 0]
    assert data.label_names == ("c", "a", "b")
    assert data.notes == ("test: no label of class a",)


def test_filter_keeps_rows_of_some_classes(write_table):
    """Integers become names, so that 0 and 2 are two classes; rows keep their numbers."""
    data = load(write_table, [0, 1, 2, 1, 0], classes=[0, 2])
    assert data.label_names == ("0", "2")
    assert data.splits["train"]["labels"][:] == [0, 1, 0]
    assert data.splits["train"]["id"][:] == ["1", "3", "5"]
    assert data.notes == ("2 rows dropped whose class is none of data.classes",)


def test_balanced_weights_are_inverse_frequencies(write_table):
    """By hand: n / (k n_c) of 3 and 1 of 4 rows are 4 / 6 and 4 / 2; every class weighs as much in the sum."""
    data = load(write_table, ["a", "a", "a", "b"], class_weights="balanced")
    assert data.class_weights == pytest.approx((4 / 6, 2.0))


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=9))
def test_balanced_weights_keep_the_sum_over_rows(counts):
    """The weights of all rows sum to their number, and those of each class to the same."""
    totals = np.array(balanced_weights(np.array(counts))) * counts
    np.testing.assert_allclose(totals, sum(counts) / len(counts))


def test_several_labels_from_columns(write_table):
    """A column for each label; an empty cell is unknown."""
    rows = [{"x": "1", "y": "0"}, {"x": "", "y": "1"}, {"x": "0", "y": "1"}]
    data = load(write_table, rows, label_columns=["y", "x"])
    assert data.label_names == ("y", "x")
    assert data.splits["train"]["labels"][:] == [[0, 1], [1, -100], [1, 0]]


def test_several_labels_from_lists_and_separated_names(write_table):
    """Two spellings of the same labels; an empty list is none of them."""
    expected = [[1, 1], [0, 1], [0, 0]]
    listed = load(write_table, [["b", "a"], ["b"], []], name="reads.jsonl")
    separated = load(write_table, ["b;a", "b", ""], label_separator=";")
    for data in (listed, separated):
        assert data.label_names == ("a", "b")
        assert data.splits["train"]["labels"][:] == expected


def test_targets_stay_in_the_units_of_the_data(write_table):
    """The scaler is fitted, by hand mean 2 and deviation 1, and is not applied."""
    data = load(write_table, ["1", "3", "1e0", "3.0"], SequenceRegressionTable)
    assert data.splits["train"]["labels"][:] == [[1.0], [3.0], [1.0], [3.0]]
    assert (data.target_scaler.mean, data.target_scaler.std) == ((2.0,), (1.0,))
    assert data.target_names == ("label",)
    assert load(write_table, ["1", "3"], SequenceRegressionTable, standardize=False).target_scaler is None


def test_several_targets_from_columns_and_lists(write_table):
    """Columns name their targets; those of a list have numbers."""
    columns = [{"x": "1", "y": "2"}, {"x": "3", "y": "5"}]
    data = load(write_table, columns, SequenceRegressionTable, label_columns=["x", "y"])
    listed = load(write_table, [[1, 2], [3, 5]], SequenceRegressionTable, name="reads.jsonl")
    assert data.target_names == ("x", "y")
    assert listed.target_names == ("label_0", "label_1")
    assert data.splits["train"]["labels"][:] == listed.splits["train"]["labels"][:] == [[1, 2], [3, 5]]


def test_scale_is_that_of_the_train_split_alone(write_table):
    """The mean of the rows that are trained on, computed anew; that of a fitted model is used instead."""
    text = "sequence,label\n" + "".join(f"AC,{number**2}\n" for number in range(40))
    options = SequenceRegressionTable(path=write_table("reads.csv", text))
    data = load_task_data(options, max_bases=10)
    targets = np.array(data.splits["train"]["labels"])
    assert data.target_scaler.mean == pytest.approx(targets.mean(axis=0))
    assert data.target_scaler.std == pytest.approx(targets.std(axis=0))
    again = load_task_data(options, max_bases=10, target_scaler=data.target_scaler)
    assert again.target_scaler is data.target_scaler


@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5), min_size=1, max_size=5))
def test_scaler_of_batches_is_that_of_the_whole(batches):
    """Merged moments are numpy's of all numbers, far from 0 and with NaN left out."""
    batches = [np.array([*batch, math.nan]) + 1e6 for batch in batches]
    whole = np.concatenate(batches)
    if np.nanstd(whole) < 1e-3:
        return
    scaler = fit_scaler([batch[:, None] for batch in batches], ["y"])
    np.testing.assert_allclose(scaler.mean, np.nanmean(whole))
    np.testing.assert_allclose(scaler.std, np.nanstd(whole), rtol=1e-6)


@pytest.mark.parametrize(
    ("found", "message"),
    [({"1", "2"}, "the labels are the integers 1, 2, and must be 0 to n - 1"), (set(), "there is no label at all")],
)
def test_names_that_are_none_are_refused(found, message):
    """Integers from 1 and no label at all name the file and the column."""
    with pytest.raises(ValueError, match=f"reads.csv: {message}"):
        class_names(found, where="reads.csv")
