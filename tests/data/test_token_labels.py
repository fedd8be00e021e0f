"""Labels of bases and of pairs of bases, and how they are cut with their sequence."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.data.table_options import (
    PairwiseTokenClassificationTable,
    SequenceClassificationTable,
    TokenClassificationTable,
    TokenRegressionTable,
    UnlabelledTable,
)
from dnafm.data.task_data import iterate_rows, load_task_data
from dnafm.data.token_labels import take_bases, take_squares

WHOLE = {"test_fraction": 0, "validation_fraction": 0}


def load(write_table, rows, table=TokenClassificationTable, max_bases=100, **options):
    path = write_table("reads.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return load_task_data(table(path=path, **WHOLE, **options), max_bases=max_bases)


@pytest.mark.parametrize("labels", ["EIEE", ["E", "I", "E", "E"]])
def test_characters_and_names_of_bases(write_table, labels):
    """A string of one character for each base and a list of names are the same labels."""
    data = load(write_table, [{"sequence": "ACGT", "labels": labels}])
    assert data.label_names == ("E", "I")
    assert data.splits["train"]["labels"][:] == [[0, 1, 0, 0]]


@pytest.mark.parametrize(
    ("labels", "options"),
    [("0.10", {"ignored_label": "."}), ([0, None, 1, 0], {}), ([0, -100, 1, 0], {}), (["0", None, "1", "0"], {})],
)
def test_bases_can_be_left_uncounted(write_table, labels, options):
    """An ignored character, null and -100 all become -100."""
    data = load(write_table, [{"sequence": "ACGT", "labels": labels}], **options)
    assert data.label_names == ("0", "1")
    assert data.splits["train"]["labels"][:] == [[0, -100, 1, 0]]


def test_lists_in_csv_are_json(write_table):
    """A cell that begins with a bracket spells a list."""
    path = write_table("reads.csv", 'sequence,labels\nACG,"[1, null, 0]"\nA,[1]\n')
    data = load_task_data(TokenClassificationTable(path=path, **WHOLE), max_bases=10)
    assert data.splits["train"]["labels"][:] == [[1, -100, 0], [1]]


def test_weights_count_bases(write_table):
    """By hand: 3 of 4 counted bases are a, so that it weighs 4 / (2 * 3)."""
    rows = [{"sequence": "ACGTT", "labels": "aab.a"}]
    data = load(write_table, rows, ignored_label=".", class_weights="balanced")
    assert data.class_weights == pytest.approx((4 / 6, 2.0))


def test_tracks_of_bases_from_columns_and_lists(write_table):
    """Null is NaN; the deviation counts numbers alone: by hand 1 and 3 have mean 2 and deviation 1."""
    columns = load(
        write_table,
        [{"sequence": "ACG", "x": [1, None, 3], "y": [0, 2, 4]}],
        TokenRegressionTable,
        label_columns=["x", "y"],
    )
    listed = load(write_table, [{"sequence": "ACG", "labels": [[1, 0], [None, 2], [3, 4]]}], TokenRegressionTable)
    for data in (columns, listed):
        np.testing.assert_array_equal(data.splits["train"]["labels"][0], [[1, 0], [math.nan, 2], [3, 4]])
        assert (data.target_scaler.mean[0], data.target_scaler.std[0]) == (2.0, 1.0)
    assert columns.target_names == ("x", "y")
    assert listed.target_names == ("labels_0", "labels_1")


def test_one_track_needs_no_inner_lists(write_table):
    """A number for each base becomes a list of one."""
    data = load(write_table, [{"sequence": "ACG", "labels": [1, 2.5, 3]}], TokenRegressionTable)
    assert data.splits["train"]["labels"][:] == [[[1.0], [2.5], [3.0]]]
    assert data.target_names == ("labels",)


def test_pairs_of_bases(write_table):
    """A square for each sequence, cut along both sides."""
    rows = [
        {"sequence": "AC", "labels": [[0, 1], [1, -100]]},
        {"sequence": "ACG", "labels": [[0, 1, 1], [1, 0, 1], [1, 0, 0]]},
    ]
    data = load(write_table, rows, PairwiseTokenClassificationTable, max_bases=2, too_long="right")
    assert data.label_names == ("0", "1")
    assert data.splits["train"]["labels"][:] == [[[0, 1], [1, -100]], [[0, 1], [0, 0]]]


@pytest.mark.parametrize(
    ("too_long", "pieces"),
    [
        ("left", {"a": "01234"}),
        ("right", {"a": "78901"}),
        ("center", {"a": "34567"}),
        ("tile", {"a:0-5": "01234", "a:5-10": "56789", "a:10-12": "01"}),
    ],
)
def test_labels_are_cut_with_their_bases(write_table, too_long, pieces):
    """Digits number the 12 bases of one row; the other two fit. The stream cuts in the same way."""
    sequence = "ACGTACGTACGT"
    whole = {"b": "01234", "c": "56789"}
    rows = [{"id": "a", "sequence": sequence, "labels": "012345678901"}]
    rows += [{"id": name, "sequence": "CATCA", "labels": labels} for name, labels in whole.items()]
    data = load(write_table, rows, max_bases=5, too_long=too_long)
    found = {row["id"]: row for row in data.splits["train"]}
    assert {name: "".join(map(str, row["labels"])) for name, row in found.items()} == {**pieces, **whole}
    for name in pieces:
        start = int(name.split(":")[1].split("-")[0]) if ":" in name else int(pieces[name][0])
        assert found[name]["sequence"] == sequence[start : start + len(pieces[name])]
    assert "1 sequences longer than 5 bases" in data.notes[0]
    streamed = iterate_rows(UnlabelledTable(path=write_path(write_table, rows), too_long=too_long), max_bases=5)
    assert [(row["id"], row["sequence"]) for row in streamed] == [
        (row["id"], row["sequence"]) for row in data.splits["train"]
    ]


def write_path(write_table, rows):
    return write_table("reads.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def test_pieces_stay_in_the_split_of_their_sequence(write_table):
    """All tiles of a row are trained on, or none."""
    rows = [{"id": f"r{row}", "sequence": "ACGT" * 6, "labels": "01" * 12} for row in range(20)]
    options = TokenClassificationTable(path=write_path(write_table, rows), too_long="tile")
    splits = load_task_data(options, max_bases=10).splits
    parents = {split: [name.split(":")[0] for name in rows["id"]] for split, rows in splits.items()}
    assert {split: len(set(names)) for split, names in parents.items()} == {"train": 14, "validation": 2, "test": 4}
    assert all(names.count(name) == 3 for names in parents.values() for name in names)


@pytest.mark.parametrize("table", [SequenceClassificationTable, PairwiseTokenClassificationTable])
def test_labels_that_tiles_would_lose_are_not_tiled(write_table, table):
    """The label of a whole sequence is not that of its pieces."""
    labels = [[0, 1], [1, 0]] if table is PairwiseTokenClassificationTable else 0
    with pytest.raises(ValueError, match=r"data.too_long is tile, which goes with labels of bases"):
        load(write_table, [{"sequence": "AC", "label": labels, "labels": labels}], table, too_long="tile")


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=5), st.data())
def test_cut_lists_are_slices(lists, data):
    """Arrow's cuts are Python's slices, in any order and with repeats."""
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    bounds = [sorted(data.draw(st.tuples(*[st.integers(0, len(lists[row]))] * 2))) for row in rows]
    starts, ends = np.array(bounds, np.int64).reshape(-1, 2).T
    cut = take_bases(pa.array(lists, pa.list_(pa.int64())), np.array(rows, np.int64), starts, ends)
    assert cut.to_pylist() == [lists[row][start:end] for row, (start, end) in zip(rows, bounds, strict=True)]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.data())
def test_cut_squares_are_slices_of_matrices(sizes, data):
    """Both axes are cut, as numpy does it."""
    squares = [np.arange(size * size).reshape(size, size) + 100 * row for row, size in enumerate(sizes)]
    bounds = [sorted(data.draw(st.tuples(*[st.integers(0, size)] * 2))) for size in sizes]
    starts, ends = np.array(bounds, np.int64).T
    labels = pa.array([square.tolist() for square in squares], pa.list_(pa.list_(pa.int64())))
    cut = take_squares(labels, np.arange(len(sizes)), starts, ends)
    assert cut.to_pylist() == [
        square[start:end, start:end].tolist() for square, (start, end) in zip(squares, bounds, strict=True)
    ]
