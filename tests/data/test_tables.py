"""What each format becomes, and that it is read as it is written."""

import json
import os

import pytest

from dnafm.data.table_options import UnlabelledTable
from dnafm.data.task_data import iterate_rows, load_task_data

ROWS = [{"id": "NA", "sequence": "NA", "note": "007"}, {"id": "b", "sequence": "acgu", "note": ""}]
EXPECTED = [{"id": "NA", "sequence": "NA", "note": "007"}, {"id": "b", "sequence": "ACGU", "note": ""}]
HEADER = ["id", "sequence", "note"]
WHOLE = {"test_fraction": 0, "validation_fraction": 0}


def delimited(separator):
    lines = [HEADER, *([row[name] for name in HEADER] for row in ROWS)]
    return "".join(separator.join(line) + "\n" for line in lines)


def write_arrow(kind, path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(ROWS)
    if kind == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)


TEXTS = {
    ".csv": delimited(","),
    ".tsv": delimited("\t"),
    ".tsv.gz": delimited("\t"),
    ".jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    ".json": json.dumps(ROWS),
}


@pytest.mark.parametrize("extension", [*TEXTS, ".parquet", ".arrow"])
def test_every_format_gives_the_same_rows_whole_and_streamed(write_table, extension):
    """`NA` is a sequence and a name, `007` keeps its zeros, an empty cell is an empty text, letters become upper."""
    path = write_table(f"reads{extension}", TEXTS.get(extension, ""))
    if extension not in TEXTS:
        write_arrow(extension, path)
    options = UnlabelledTable(path=path, **WHOLE)
    assert load_task_data(options, max_bases=10).splits["train"].to_list() == EXPECTED
    assert list(iterate_rows(options)) == EXPECTED


def test_fasta_gives_ids_and_bases(write_table):
    """By hand: wrapped lines are joined, U is T and R is N."""
    options = UnlabelledTable(path=write_table("reads.fa", ">x first\nACG\nUR\n>y\nac\n"), **WHOLE)
    expected = [{"id": "x", "sequence": "ACGTN"}, {"id": "y", "sequence": "AC"}]
    assert load_task_data(options, max_bases=10).splits["train"].to_list() == expected
    assert list(iterate_rows(options)) == expected


@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_files_of_a_folder_are_its_splits(write_table, extension):
    """Train and test are told apart by the names of the files; validation is made of train."""
    for split, n_rows in (("train", 10), ("test", 3)):
        rows = [f"{'AC' * (row + 1)}" for row in range(n_rows)]
        lines = ["sequence", *rows] if extension == "csv" else [json.dumps({"sequence": row}) for row in rows]
        path = write_table(f"folder/{split}.{extension}", "\n".join(lines) + "\n")
    options = UnlabelledTable(path=os.path.dirname(path))
    splits = load_task_data(options, max_bases=100).splits
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 9, "validation": 1, "test": 3}
    assert len(list(iterate_rows(options))) == 13
    assert [row["sequence"] for row in iterate_rows(options, "test")] == splits["test"]["sequence"][:]


def test_folder_of_fasta_files_is_read(write_table):
    """Their names tell the splits, as those of tables do."""
    write_table("folder/train.fa", ">a\nAC\n>b\nAG\n")
    path = write_table("folder/test.fasta", ">a\nACGT\n")
    options = UnlabelledTable(path=os.path.dirname(path), validation_fraction=0)
    splits = load_task_data(options, max_bases=10).splits
    assert splits["train"]["id"][:] == ["a", "b"]
    assert splits["test"].to_list() == [{"id": "a", "sequence": "ACGT"}]


def test_data_saved_by_datasets_are_read(write_table, tmp_path):
    """A folder of `save_to_disk` is one, too."""
    from datasets import Dataset, DatasetDict

    split = Dataset.from_dict({"sequence": ["AC", "AG"]})
    DatasetDict({"train": split, "test": split}).save_to_disk(tmp_path / "saved")
    options = UnlabelledTable(path=str(tmp_path / "saved"), validation_fraction=0)
    assert load_task_data(options, max_bases=10).splits["test"]["sequence"][:] == ["AC", "AG"]
    assert len(list(iterate_rows(options))) == 4


@pytest.mark.parametrize("name", ["reads.csv", "reads.csv.gz", "reads.fa"])
def test_changed_file_is_read_anew(write_table, name):
    """The caches hold no stale rows: not of a table, a compressed one or a FASTA file."""
    head = ">a\n" if name == "reads.fa" else "sequence\n"
    for time, sequence in enumerate(("AAAA", "CCCC")):
        path = write_table(name, f"{head}{sequence}\n")
        os.utime(path, (time, time))
        options = UnlabelledTable(path=path, **WHOLE)
        assert load_task_data(options, max_bases=10).splits["train"]["sequence"][:] == [sequence]
        assert [row["sequence"] for row in iterate_rows(options)] == [sequence]


def test_columns_can_be_renamed(write_table):
    """All other options mean the new names."""
    path = write_table("reads.csv", "name,seq,id\nr1,AC,1\n")
    renamed = {"seq": "sequence", "id": "number"}
    options = UnlabelledTable(path=path, rename_columns=renamed, id_column="name", **WHOLE)
    expected = [{"id": "r1", "sequence": "AC", "number": "1"}]
    assert load_task_data(options, max_bases=10).splits["train"].to_list() == expected
    assert list(iterate_rows(options)) == expected


def test_rows_without_ids_are_numbered(write_table):
    """From 1, as rows of the file are in errors; ids of a split that is held out are those of the file."""
    options = UnlabelledTable(path=write_table("reads.csv", "sequence\n" + "AC\n" * 10))
    assert [row["id"] for row in iterate_rows(options)] == [str(number) for number in range(1, 11)]
    splits = load_task_data(options, max_bases=10).splits
    assert sorted((name for rows in splits.values() for name in rows["id"]), key=int) == list(map(str, range(1, 11)))


def test_rows_are_mapped_into_memory(write_table):
    """The prepared splits are files, not lists."""
    options = UnlabelledTable(path=write_table("reads.csv", "sequence\n" + "ACGT\n" * 50))
    assert all(rows.cache_files for rows in load_task_data(options, max_bases=10).splits.values())


def test_stream_reads_no_further_than_asked(write_table):
    """The first row of a file whose last one is broken can be had: nothing reads all of it first."""
    lines = [json.dumps({"sequence": "ACGT" * 1000}) for _ in range(20_000)]
    path = write_table("reads.jsonl", "\n".join([*lines, '{"sequence":']))
    assert len(next(iterate_rows(UnlabelledTable(path=path)))["sequence"]) == 4000


def test_made_split_is_streamed_as_it_is_loaded(write_table):
    """Prediction for the test split of a file sees the rows that `dnafm test` measures, with their columns."""
    path = write_table("reads.csv", "sequence,length\n" + "".join(f"{'AC' * n},{n}\n" for n in range(1, 31)))
    options = UnlabelledTable(path=path)
    for split, rows in load_task_data(options, max_bases=100).splits.items():
        assert list(iterate_rows(options, split, max_bases=100)) == rows.to_list()
