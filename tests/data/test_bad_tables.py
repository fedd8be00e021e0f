"""What is wrong with a table is said in one line that names the row or the column."""

import json
import subprocess
import sys

import pytest

from dnafm.data.table_options import (
    PairwiseTokenClassificationTable,
    SequenceClassificationTable,
    SequenceRegressionTable,
    TokenClassificationTable,
    TokenRegressionTable,
    UnlabelledTable,
)
from dnafm.data.task_data import iterate_rows, load_task_data

GOOD = ["AC,0", "AG,1"] * 10


def csv(*rows, header="sequence,label"):
    return "\n".join([header, *GOOD[:2], *rows]) + "\n"


def fails(path, message, table=UnlabelledTable, error=ValueError, given=(), **options):
    with pytest.raises(error, match=message) as caught:
        load_task_data(table(path=path, **options), **{"max_bases": 10, **dict(given)})
    assert "\n" not in str(caught.value)


SEQUENCES = [
    ("ACXT,0", r"row 3: 'X', number 3 of the sequence, is no nucleotide"),
    ("AC T,0", r"row 3: ' ', number 3 of the sequence"),
    (",0", r"row 3: the sequence in column 'sequence' is empty"),
    ("ACGTACGTACG,0", r"row 3: the sequence has 11 bases, and the model reads 10.*--data.too_long center"),
]


@pytest.mark.parametrize(("row", "message"), SEQUENCES)
def test_wrong_sequence_is_named_by_its_row(write_table, row, message):
    """Loading and streaming say the same."""
    path = write_table("reads.csv", csv(row))
    fails(path, f"reads.csv, {message}")
    with pytest.raises(ValueError, match=f"reads.csv, {message}"):
        list(iterate_rows(UnlabelledTable(path=path), max_bases=10))


def test_split_and_row_are_named_in_a_folder(write_table):
    """Row 2 of the test split is not that of the train split."""
    write_table("folder/train.csv", csv())
    path = write_table("folder/test.csv", "sequence,label\nAC,0\nA?,1\n").removesuffix("/test.csv")
    fails(path, r"folder, test split, row 2: '\?'", SequenceClassificationTable)


def test_every_iupac_letter_is_accepted(write_table):
    """In both cases."""
    letters = "ACGTUNRYSWKMBDHV"
    path = write_table("reads.csv", f"sequence\n{letters}\n{letters.lower()}\n")
    options = UnlabelledTable(path=path, test_fraction=0, validation_fraction=0)
    assert load_task_data(options, max_bases=20).splits["train"]["sequence"][:] == [letters, letters]


@pytest.mark.parametrize(
    ("table", "option", "message"),
    [
        (UnlabelledTable, "sequence_column", "Did you mean 'sequence'"),
        (UnlabelledTable, "id_column", "Did you mean 'sequence'"),
        (UnlabelledTable, "split_column", "Did you mean 'sequence'"),
        (SequenceClassificationTable, "label_column", "Did you mean 'sequence'"),
    ],
)
def test_missing_column_lists_those_there(write_table, table, option, message):
    """And guesses, and names the option."""
    expected = f"has no column 'sequenc'; its columns are sequence, label. {message}.*--data.{option}"
    fails(write_table("reads.csv", csv()), expected, table, **{option: "sequenc"})


def test_default_columns_of_labels_must_be_there(write_table):
    """The one of classes is label, that of bases labels."""
    path = write_table("reads.csv", csv())
    fails(path, "has no column 'labels'.*Did you mean 'label'", TokenClassificationTable)
    fails(path, "has no column 'y'", SequenceRegressionTable, label_columns=["label", "y"])
    fails(path, "has no column 'old'", rename_columns={"old": "new"})


CLASSES = SequenceClassificationTable
SEVERAL = {"label_columns": ["label"]}


@pytest.mark.parametrize(
    ("row", "table", "options", "message"),
    [
        ("AT,", CLASSES, {}, "row 3: the label in column 'label' is missing"),
        ("AT,3", CLASSES, {}, "column 'label': the labels are the integers 0, 1, 3, and must be 0 to n - 1"),
        ("AT,2", CLASSES, SEVERAL, "row 3: 2 in column 'label'; a label is 0 or 1"),
        ("AT,x", CLASSES, SEVERAL, "row 3: 'x' in column 'label' is no number"),
        ("AT,0;0", CLASSES, {"label_separator": ";"}, "row 3: a class is named twice"),
        ("AT,0;", CLASSES, {"label_separator": ";"}, "row 3: a label in column 'label' is missing"),
        ("AT,1", CLASSES, {"classes": ["x"]}, "data.classes has 'x'; the classes in column 'label' are 0, 1"),
        ("AT,", SequenceRegressionTable, {}, "row 3: the target in column 'label' is missing"),
        ("AT,nan", SequenceRegressionTable, {}, "row 3: the target in column 'label' is missing"),
        ("AT,NA", SequenceRegressionTable, {}, "row 3: 'NA' in column 'label' is no number"),
        ("AT,inf", SequenceRegressionTable, {}, "row 3: the target in column 'label' is infinite"),
    ],
)
def test_wrong_label_is_named(write_table, row, table, options, message):
    """Of classes, of several labels, and of numbers."""
    fails(write_table("reads.csv", csv(row)), f"reads.csv, {message}|{message}", table, test_fraction=0, **options)


@pytest.mark.parametrize(
    ("table", "labels", "message"),
    [
        (TokenClassificationTable, "01", "row 2: 2 labels in column 'labels' for a sequence of 3 bases"),
        (TokenClassificationTable, [0, 1, 1, 1], "row 2: 4 labels in column 'labels' for a sequence of 3 bases"),
        (TokenClassificationTable, [0, 0.5, 1], "row 2: 0.5 in column 'labels' is no class"),
        (TokenClassificationTable, None, "row 2: the (labels|list) in column 'labels'"),
        (TokenRegressionTable, [0.0, 1.0], "row 2: 2 labels in column 'labels' for a sequence of 3 bases"),
        (TokenRegressionTable, [[1, 2], [1, 2], [1]], "row 2: 1 tracks in column 'labels', and the first base has 2"),
        (PairwiseTokenClassificationTable, [[0, 1, 1]] * 2, "row 2: 2 labels in column 'labels' for a sequence of 3"),
        (PairwiseTokenClassificationTable, [[0, 1, 1], [0], [0, 1, 1]], "row 2: a line of 1 labels"),
    ],
)
def test_wrong_labels_of_bases_are_named(write_table, table, labels, message):
    """They must be as many as the bases."""
    first = {
        "str": "01",
        "list": [0, 1],
        "NoneType": [0, 1],
    }[type(labels).__name__]
    if isinstance(labels, list) and isinstance(labels[0], list):
        first = [[1, 2], [1, 2]] if table is TokenRegressionTable else [[0, 1], [1, 0]]
    rows = [{"sequence": "AC", "labels": first}, {"sequence": "ACG", "labels": labels}]
    fails(write_table("reads.jsonl", "".join(json.dumps(row) + "\n" for row in rows)), message, table, test_fraction=0)


def test_list_of_targets_of_another_length_is_named(write_table):
    """All rows have the targets of the first one."""
    rows = [{"sequence": "AC", "label": [1, 2]}, {"sequence": "AG", "label": [1]}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    fails(write_table("reads.jsonl", text), "row 2: 1 targets in column 'label'", SequenceRegressionTable)


def test_label_that_the_model_does_not_know_is_named(write_table):
    """The classes of a fitted model are those of the test, and the row is that of the file."""
    path = write_table("reads.csv", "sequence,label\nAC,a\nAG,c\n")
    given = {"label_names": ("a", "b")}
    fails(
        path, "reads.csv, row 2: the label 'c' in column 'label' is none of the 2 classes: a, b", CLASSES, given=given
    )
    path = write_table("reads2.csv", "sequence,labels\nAC,ab\nAG,ac\n")
    fails(path, "row 2: the label 'c' in column 'labels'", TokenClassificationTable, given=given)
    path = write_table("reads3.csv", "sequence,y,x\nAC,1,0\n")
    fails(path, "the model has the labels", CLASSES, given=given, label_columns=["y", "x"])


def test_class_must_be_in_the_train_split(write_table):
    """Without it the model could not learn it; a test split may lack it, and says so."""
    train, few = csv("AT,2"), "sequence,label\nAC,0\nAG,1\n"
    write_table("folder/train.csv", train)
    folder = write_table("folder/test.csv", few).removesuffix("/test.csv")
    data = load_task_data(CLASSES(path=folder, validation_fraction=0), max_bases=10)
    assert "test: no label of class 2" in data.notes
    write_table("other/train.csv", few)
    other = write_table("other/test.csv", train).removesuffix("/test.csv")
    fails(other, "The train split has no label of class 2", CLASSES)


def test_constant_target_cannot_be_standardised(write_table):
    """A deviation of 0 divides nothing."""
    fails(write_table("reads.csv", "sequence,label\nAC,1\nAG,1\n"), "is the same everywhere", SequenceRegressionTable)


def test_duplicate_and_missing_ids_are_named(write_table):
    """Both rows are."""
    fails(write_table("a.csv", "id,sequence\nx,AC\ny,AG\nx,AT\n"), "a.csv, row 3: the id 'x' is that of row 1")
    fails(write_table("b.csv", "id,sequence\nx,AC\n,AG\n"), "b.csv, row 2: the id in column 'id' is missing")


def test_column_with_a_reserved_name_must_be_renamed(write_table):
    """Else it would be overwritten."""
    path = write_table("reads.csv", "id,name,sequence\n1,x,AC\n")
    message = "column 'id' is not the one that options name for it"
    fails(path, message, id_column="name")
    with pytest.raises(ValueError, match=message):
        list(iterate_rows(UnlabelledTable(path=path, id_column="name")))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.csv", "", "empty.csv is empty"),
        ("header.csv", "sequence,label\n", "header.csv has a header and no rows"),
        ("empty.jsonl", "", "empty.jsonl is empty"),
        ("blank.jsonl", "\n", "blank.jsonl cannot be read: it holds no rows"),
        ("empty.fa", "", "empty.fa:1: the file holds no sequence"),
        ("wrong.fa", ">a\nAC!\n", "^[^ ]*wrong.fa:2: '!' is no nucleotide"),
        ("broken.json", '[{"sequence":', "broken.json cannot be read: "),
        ("broken.parquet", "no parquet at all", "broken.parquet cannot be read: Parquet magic bytes not found"),
        (
            "ragged.csv",
            "sequence,label\nAC,0\nAC,0,1\n",
            "ragged.csv cannot be read: .*Expected 2 fields in line 3, saw 3",
        ),
        ("shifted.csv", "sequence,label\nx,AC,0\n", "Expected 2 fields in line 2, saw 3"),
        ("twice.csv", "sequence,sequence\nAC,AG\n", "several columns of the name 'sequence'"),
        ("latin.csv", b"sequence\n\xff\n", "latin.csv is no text in UTF-8"),
        ("reads.xlsx", "", "the extension tells the format, and must be one of .csv"),
    ],
)
def test_file_that_is_no_table_is_named(write_table, name, text, message):
    """Empty, broken, or of a format that is not read."""
    fails(write_table(name, text), message)


def test_tables_of_a_folder_have_the_same_columns(write_table):
    """The error names one that only one has."""
    write_table("folder/train.csv", "sequence,label\nAC,1\n")
    path = write_table("folder/test.csv", "sequence,labl\nAC,1\n").removesuffix("/test.csv")
    fails(path, "differ in the columns labl, label|differ in the columns label, labl")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing/reads.csv", "missing/reads.csv does not exist"),
        ("missing.fa.gz", "missing.fa.gz does not exist"),
        ("owner/data-that-is-not-there", "is no file or folder here, and the Hugging Face Hub did not give"),
    ],
)
def test_path_that_does_not_exist_is_one_line(write_table, monkeypatch, path, message):
    """Whether it looks like a file or like a Hub id while offline."""
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    fails(path, message, error=FileNotFoundError)
    with pytest.raises(FileNotFoundError, match=message):
        next(iterate_rows(UnlabelledTable(path=path)))


def test_duplicates_between_splits_are_counted(write_table):
    """By hand: AACC is in both, in either case, and CCGU is the other strand of ACGG."""
    write_table("folder/train.csv", "sequence\nAACC\nACGG\nTTTA\n")
    path = write_table("folder/test.csv", "sequence\naacc\nCCGU\nCCCC\n").removesuffix("/test.csv")
    data = load_task_data(UnlabelledTable(path=path, validation_fraction=0), max_bases=10)
    assert data.notes == (
        "test: 1 of 3 sequences are also in train, and 1 more are there as their reverse complement",
    )


def test_tables_are_named_without_their_libraries():
    """`TaskData` is importable where neither datasets nor pyarrow is, and reading a table names the extra."""
    script = (
        "import sys; sys.modules.update(datasets=None, pyarrow=None, pandas=None)\n"
        "from dnafm.data.table_options import UnlabelledTable\n"
        "from dnafm.data.task_data import load_task_data\n"
        "try: load_task_data(UnlabelledTable(path='x.csv'), max_bases=1)\n"
        "except ImportError as error: print(error)"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "pip install 'dnafm[train]'" in output
