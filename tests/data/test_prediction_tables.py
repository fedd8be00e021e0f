import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnafm.data import prediction_tables
from dnafm.data.prediction_tables import EXTENSIONS, PredictionWriter, merge_parts, part_path

# Writes one chunk as a rank or alone, says so and hangs, as a process that is about to be killed. It runs the module
# alone, without the time that importing torch takes.
HANG = """
import runpy, sys, time
Writer = runpy.run_path(sys.argv[1])["PredictionWriter"]
with Writer(sys.argv[2], n_ranks=int(sys.argv[3])) as writer:
    writer.write_chunk(0, {"id": ["a"] * 1000, "score": [0.5] * 1000})
    print("writing", flush=True)
    time.sleep(60)
"""
PER_BASE = [np.array([0.1, 1e-7, -3], np.float32), np.array([1 / 3], np.float32), np.empty(0, np.float32)]
CHUNKS = [
    {
        "id": ["one", 'two "quoted"\t,', "line\nbreak\rhere"],
        "gc": [0.1, None, 1e300],
        "is_known": [True, False, None],
        "prediction": np.array([2, -1, 2**40]),
        "probability": np.array([1 / 3, np.nan, np.inf], np.float32),
        "per_base": PER_BASE,
        "per_base_and_class": [np.outer(values, np.float32([1, 2])) for values in PER_BASE],
        "note": [None, None, None],
    },
    {
        "note": ["é", "", None],
        "id": ["four", "five", "six"],
        "gc": [1, 2, 3],
        "is_known": [True, True, True],
        "prediction": [1, 2, 3],
        "probability": np.array([0.1, 0.2, 0.3], np.float32),
        "per_base": np.ones((3, 2), np.float32),
        "per_base_and_class": np.ones((3, 2, 2), np.float32),
    },
]


def chunk_of(number):
    """Return a small chunk that differs from others in size and values."""
    chunk = {name: values[: 1 + number % 3] for name, values in CHUNKS[number % 2].items()}
    return {**chunk, "id": [f"{name}{number}" for name in chunk["id"]]}


def write(path, chunks, *, n_ranks=1, overwrite=False, **options):
    """Write chunks as that many ranks do, one after the other, and merge their parts."""
    for rank in range(n_ranks):
        with PredictionWriter(path, n_ranks=n_ranks, rank=rank, overwrite=overwrite, **options) as writer:
            for chunk_index in range(rank, len(chunks), n_ranks):
                writer.write_chunk(chunk_index, chunks[chunk_index])
    merge_parts(path, n_ranks, overwrite=overwrite)
    return path


def fail_after_a_chunk(path, n_ranks):
    with PredictionWriter(path, overwrite=True, n_ranks=n_ranks) as writer:
        writer.write_chunk(0, CHUNKS[0])
        raise RuntimeError("out of memory")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=EXTENSIONS)
def path(request, tmp_path):
    """The path of a table in each of the formats."""
    return tmp_path / f"predictions{request.param}"


@pytest.mark.parametrize("n_chunks", [0, 1, 2, 3, 8])
def test_three_ranks_write_what_one_writes(path, n_chunks):
    """Byte for byte, also where ranks have no chunk or not equally many, and no part is left."""
    chunks = [chunk_of(number) for number in range(n_chunks)]
    alone = write(path, chunks).read_bytes()
    path.unlink()
    assert write(path, chunks, n_ranks=3).read_bytes() == alone
    assert names_in(path.parent) == [path.name]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.text(), st.none() | st.floats(width=32)), max_size=4), max_size=6),
    st.integers(2, 4),
)
def test_any_number_of_ranks_writes_what_one_writes(tmp_path_factory, rows_of_chunks, n_ranks):
    """Byte for byte, with empty chunks, null and any text and number."""
    schema = pa.schema([("id", pa.string()), ("score", pa.float32())])
    chunks = [dict(zip(schema.names, zip(*rows, strict=True), strict=True)) for rows in rows_of_chunks if rows]
    chunks.insert(len(chunks) // 2, {"id": [], "score": []})
    folder = tmp_path_factory.mktemp("tables")
    for extension in (".parquet", ".tsv.gz", ".jsonl"):
        one = write(folder / f"one{extension}", chunks, schema=schema)
        many = write(folder / f"many{extension}", chunks, n_ranks=n_ranks, schema=schema)
        assert one.read_bytes() == many.read_bytes()


def test_file_does_not_show_how_a_chunk_was_made(path):
    """A slice of a table in several pieces, with metadata and categories, is written as the plain columns are."""
    plain = pa.table({"id": ["b", "c", "d"], "score": pa.array([[2.0], [], [3.0]])})
    pieces = pa.concat_tables([pa.table({"id": ["a", "b"], "score": [[1.0], [2.0]]}), plain.slice(1)])
    coded = pieces.set_column(0, "id", pieces["id"].dictionary_encode()).replace_schema_metadata({"pandas": "index"})
    expected = write(path, [plain, plain]).read_bytes()
    written = write(path, [coded.slice(1), plain.to_batches()[0]], overwrite=True)
    assert written.read_bytes() == expected


def test_tsv_by_hand(tmp_path):
    """Nulls are empty fields, lists are joined, floats are short, and what would break a row is quoted."""
    text = write(tmp_path / "table.tsv", CHUNKS).read_bytes().decode()
    assert text == (
        "id\tgc\tis_known\tprediction\tprobability\tper_base\tper_base_and_class\tnote\n"
        "one\t0.1\ttrue\t2\t0.33333334\t0.1,1e-07,-3.0\t0.1,0.2;1e-07,2e-07;-3.0,-6.0\t\n"
        '"two ""quoted""\t,"\t\tfalse\t-1\tnan\t0.33333334\t0.33333334,0.6666667\t\n'
        '"line\nbreak\rhere"\t1e+300\t\t1099511627776\tinf\t\t\t\n'
        "four\t1.0\ttrue\t1\t0.1\t1.0,1.0\t1.0,1.0;1.0,1.0\té\n"
        "five\t2.0\ttrue\t2\t0.2\t1.0,1.0\t1.0,1.0;1.0,1.0\t\n"
        "six\t3.0\ttrue\t3\t0.3\t1.0,1.0\t1.0,1.0;1.0,1.0\t\n"
    )
    assert gzip.decompress(write(tmp_path / "table.tsv.gz", CHUNKS).read_bytes()).decode() == text


@pytest.mark.parametrize(("extension", "delimiter"), [(".tsv", "\t"), (".csv", ","), (".csv.gz", ",")])
def test_pandas_reads_delimited_text_back(tmp_path, extension, delimiter):
    """Ids with delimiters, quotes and line breaks, and float32 to the last bit."""
    path = write(tmp_path / f"table{extension}", CHUNKS)
    table = pd.read_csv(path, sep=delimiter)
    assert table["id"].tolist() == CHUNKS[0]["id"] + CHUNKS[1]["id"]
    assert table["prediction"].tolist() == [2, -1, 2**40, 1, 2, 3]
    expected = np.concatenate([chunk["probability"] for chunk in CHUNKS])
    np.testing.assert_array_equal(table["probability"].to_numpy(np.float32), expected)
    np.testing.assert_array_equal(np.array(table["per_base"][0].split(","), np.float32), PER_BASE[0])


def test_json_reads_lines_back(tmp_path):
    """Lists stay lists, null is null, and float32 comes back to the last bit."""
    rows = [json.loads(line) for line in write(tmp_path / "t.jsonl", CHUNKS).read_text("utf-8").split("\n")[:-1]]
    assert [row["id"] for row in rows] == CHUNKS[0]["id"] + CHUNKS[1]["id"]
    assert [row["gc"] for row in rows] == [0.1, None, 1e300, 1, 2, 3]
    assert [row["note"] for row in rows] == [None, None, None, "é", "", None]
    assert rows[0]["per_base"] == [0.1, 1e-07, -3.0]
    assert rows[0]["per_base_and_class"] == [[0.1, 0.2], [1e-07, 2e-07], [-3.0, -6.0]]
    expected = np.concatenate([chunk["probability"] for chunk in CHUNKS])
    np.testing.assert_array_equal(np.float32([row["probability"] for row in rows]), expected)


def test_parquet_has_a_row_group_for_each_chunk_and_exact_values(tmp_path):
    """Types are those of the first chunk, null as text; values are those that were given."""
    table = pq.read_table(write(tmp_path / "table.parquet", CHUNKS))
    assert [pq.read_metadata(tmp_path / "table.parquet").row_group(i).num_rows for i in range(2)] == [3, 3]
    assert table.schema.field("per_base_and_class").type.value_type.value_type == pa.float32()
    assert [table.schema.field(name).type for name in ("gc", "note")] == [pa.float64(), pa.string()]
    assert table["id"].to_pylist() == CHUNKS[0]["id"] + CHUNKS[1]["id"]
    for name in ("per_base", "per_base_and_class"):
        for value, expected in zip(table[name].to_pylist()[:3], CHUNKS[0][name], strict=True):
            np.testing.assert_array_equal(np.float32(value).reshape(expected.shape), expected)


@given(st.floats(width=32, allow_nan=False), st.floats(allow_nan=False))
def test_text_gives_numbers_back(tmp_path_factory, single, double):
    """Each in its own precision, with no more digits than numpy prints."""
    path = tmp_path_factory.mktemp("tables") / "t.tsv"
    write(path, [{"single": np.float32([single]), "double": np.float64([double])}])
    written = path.read_text().split("\n")[1].split("\t")
    assert np.float32(written[0]) == np.float32(single)
    assert float(written[1]) == double
    assert float(written[0]) == float(str(np.float32(single)))


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_empty_input_has_the_columns_that_are_known(path, n_ranks):
    """A header and no row: with a schema its names, without one nothing."""
    schema = pa.schema([("id", pa.string()), ("score", pa.float32())])
    write(path, [], n_ranks=n_ranks, schema=schema)
    if path.suffix == ".parquet":
        assert pq.read_table(path).schema == schema
        assert pq.read_table(path).num_rows == 0
    else:
        read = gzip.decompress if path.suffix == ".gz" else bytes
        headers = {".tsv": b"id\tscore\n", ".csv": b"id,score\n", ".jsonl": b""}
        assert read(path.read_bytes()) == headers[path.suffixes[0]]
    write(path, [], n_ranks=n_ranks, overwrite=True)
    assert path.suffix != ".parquet" or pq.read_table(path).schema.names == []


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("is_overwritten", [False, True])
def test_failed_writer_leaves_no_file(path, n_ranks, is_overwritten):
    """After an exception neither table nor part nor temporary file is there, and the old table is as it was."""
    if is_overwritten:
        path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="out of memory"):
        fail_after_a_chunk(path, n_ranks)
    assert names_in(path.parent) == [path.name] * is_overwritten
    assert not is_overwritten or path.read_bytes() == b"old"


@pytest.mark.parametrize("extension", [".parquet", ".tsv", ".jsonl.gz"])
@pytest.mark.parametrize("n_ranks", [1, 2])
def test_killed_writer_leaves_no_table(tmp_path, extension, n_ranks):
    """After SIGKILL only a file that ends in .tmp is there, and the next run writes the table."""
    path = tmp_path / f"table{extension}"
    command = [sys.executable, "-c", HANG, prediction_tables.__file__, path, str(n_ranks)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert [Path(name).suffix for name in names_in(tmp_path)] == [".tmp"]
    if n_ranks > 1:
        with pytest.raises(FileNotFoundError, match=r"part-0 is missing: its rank did not close its writer"):
            merge_parts(path, n_ranks)
    assert write(path, CHUNKS, n_ranks=n_ranks).exists()


def test_disk_that_fails_at_the_end_leaves_no_table(path, monkeypatch):
    """Nothing has the table's name before it is on the disk."""

    def fail(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write(path, CHUNKS)
    assert names_in(path.parent) == []


def test_existing_table_is_an_error_unless_it_may_be_replaced(path):
    """Before a chunk is written, and under every rank."""
    path.write_bytes(b"old")
    for n_ranks in (1, 3):
        with pytest.raises(FileExistsError, match=r"predictions.* exists\. .*set overwrite"):
            PredictionWriter(path, n_ranks=n_ranks)
    assert path.read_bytes() == b"old"
    assert write(path, CHUNKS, overwrite=True).read_bytes() != b"old"
    assert names_in(path.parent) == [path.name]


def test_table_that_came_meanwhile_is_not_replaced(tmp_path):
    """A table that was not there when the ranks started is an error when they are merged; the parts stay."""
    path = tmp_path / "t.tsv"
    for rank in range(2):
        PredictionWriter(path, n_ranks=2, rank=rank).close()
    path.write_bytes(b"of another run")
    with pytest.raises(FileExistsError, match=r"t\.tsv exists"):
        merge_parts(path, 2)
    assert path.read_bytes() == b"of another run"
    assert names_in(tmp_path) == ["t.tsv", "t.tsv.part-0", "t.tsv.part-1"]


@pytest.mark.parametrize("name", ["table.txt", "table", "table.parquet.gz", "table.TSV"])
def test_unknown_extension_is_refused(tmp_path, name):
    """The error names the file and the extensions that there are; nothing is made."""
    with pytest.raises(ValueError, match=rf"{name}: the extension .* one of \.parquet, \.tsv, .*\.jsonl\.gz"):
        PredictionWriter(tmp_path / name)
    assert names_in(tmp_path) == []


def test_folder_that_cannot_be_written_to_is_refused(tmp_path):
    """A missing folder, a file in its place, and a folder in place of the table; the error names it."""
    (tmp_path / "file").touch()
    (tmp_path / "folder.tsv").mkdir()
    for folder in ("missing", "file"):
        with pytest.raises(OSError, match=rf"{folder}: no file can be made in this folder: N"):
            PredictionWriter(tmp_path / folder / "table.tsv")
    with pytest.raises(IsADirectoryError, match=r"folder\.tsv is a folder"):
        PredictionWriter(tmp_path / "folder.tsv", overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission_is_refused(tmp_path):
    """The error names folder and cause."""
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="no file can be made in this folder: Permission denied"):
        PredictionWriter(tmp_path / "table.tsv")


@pytest.mark.parametrize(
    ("chunk", "problem"),
    [
        ({"id": ["b"]}, r"chunk 1: the columns are \['id'\]; those of the table are \['id', 'n'\]"),
        ({"id": ["b"], "n": [0.5]}, r"chunk 1, column 'n': .*int64 .*first chunk says so.*Give one that holds all"),
        ({"id": ["b"], "n": ["x"]}, r"chunk 1, column 'n': .*'x'"),
        ({"id": ["b"], "n": [[1]]}, r"chunk 1, column 'n': "),
    ],
)
def test_chunk_of_another_schema_is_refused(path, chunk, problem):
    """The error names file, chunk, column and remedy; no table is left. Ranks find it when they are merged."""
    chunks = [{"id": ["a"], "n": [1]}, chunk]
    with pytest.raises(ValueError, match=problem):
        write(path, chunks)
    assert names_in(path.parent) == []
    with pytest.raises(ValueError, match=problem):
        write(path, chunks, n_ranks=2)
    assert not path.exists()


def test_schema_holds_chunks_that_the_first_would_not(path):
    """With a schema a whole number is a float from the first chunk on, under one rank and two."""
    schema = pa.schema([("id", pa.string()), ("n", pa.float64())], {"model": "tiny"})
    chunks = [{"id": ["a"], "n": [1]}, {"id": ["b"], "n": [0.5]}, {"id": ["c"], "n": [None]}]
    alone = write(path, chunks, schema=schema).read_bytes()
    assert write(path, chunks, schema=schema, n_ranks=2, overwrite=True).read_bytes() == alone
    if path.suffix == ".parquet":
        assert pq.read_table(path).to_pydict() == {"id": ["a", "b", "c"], "n": [1.0, 0.5, None]}
        assert pq.read_schema(path).metadata[b"model"] == b"tiny"


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize(
    ("extension", "values", "problem"),
    [
        (".tsv", pa.array([{"a": 1}]), r"a \.tsv file cannot hold struct.*'x' is\. Write \.jsonl"),
        (".csv.gz", pa.array([[[[1]]]]), r"a \.csv\.gz file cannot hold list.*Write \.jsonl"),
        (".jsonl", pa.array([b"a"]), r"text cannot hold binary, as 'x' is\. Write \.parquet"),
    ],
)
def test_column_that_the_format_cannot_hold_is_refused(tmp_path, n_ranks, extension, values, problem):
    """With a schema at once, else at the first chunk, and in every rank; other formats hold it."""
    schema = pa.schema([("x", values.type)])
    with pytest.raises(ValueError, match=problem):
        PredictionWriter(tmp_path / f"t{extension}", schema=schema, n_ranks=n_ranks)
    with (
        pytest.raises(ValueError, match=problem),
        PredictionWriter(tmp_path / f"t{extension}", n_ranks=n_ranks) as writer,
    ):
        writer.write_chunk(0, {"x": values})
    assert names_in(tmp_path) == []
    assert pq.read_table(write(tmp_path / "t.parquet", [{"x": values}]))["x"].to_pylist() == values.to_pylist()


def test_text_with_separators_in_a_list_is_refused(tmp_path):
    """Names in a list are joined as long as they can be told apart again."""
    assert write(tmp_path / "t.tsv", [{"x": [["a", "b"], []]}]).read_text() == "x\na,b\n\n"
    with pytest.raises(ValueError, match=r"\['a,b'\] has texts with the separators"):
        write(tmp_path / "u.tsv", [{"x": [["a,b"]]}])


def test_times_and_objects_are_written_as_text(tmp_path):
    """A date in jsonl is its ISO form, alone and in an object; in tsv likewise."""
    day = pa.array([19000], pa.int32()).cast(pa.date32())
    nested = pa.StructArray.from_arrays([day], ["day"])
    text = write(tmp_path / "t.jsonl", [{"day": day, "object": nested}]).read_text()
    assert text == '{"day": "2022-01-08", "object": {"day": "2022-01-08"}}\n'
    assert write(tmp_path / "t.tsv", [{"day": day}]).read_text() == "day\n2022-01-08\n"


def test_chunks_of_a_rank_come_in_order(tmp_path):
    """Rank 1 of 2 writes 1, 3, ...: a chunk that is skipped or comes twice is an error."""
    with PredictionWriter(tmp_path / "t.tsv", n_ranks=2, rank=1) as writer:
        writer.write_chunk(1, CHUNKS[0])
        for chunk_index in (0, 1, 2, 5):
            with pytest.raises(ValueError, match=f"chunk {chunk_index} came where 3 is next"):
                writer.write_chunk(chunk_index, CHUNKS[1])
    with pytest.raises(ValueError, match="The rank is 2 of n_ranks=2"):
        PredictionWriter(tmp_path / "t.tsv", n_ranks=2, rank=2)


def test_parts_that_lack_a_chunk_are_not_merged(tmp_path):
    """Rank 0 has chunks 0, 2 and 4, so rank 1 must have two; the parts stay."""
    path = tmp_path / "t.tsv"
    for rank, chunk_indices in enumerate([(0, 2, 4), (1,)]):
        with PredictionWriter(path, n_ranks=2, rank=rank) as writer:
            for chunk_index in chunk_indices:
                writer.write_chunk(chunk_index, CHUNKS[0])
    with pytest.raises(ValueError, match=r"t\.tsv\.part-0 goes on where the others lack chunk 3"):
        merge_parts(path, 2)
    assert names_in(tmp_path) == ["t.tsv.part-0", "t.tsv.part-1"]


def test_part_of_an_earlier_run_is_not_taken_for_this_one(tmp_path):
    """A rank that starts removes its old part, so that a rank that fails is noticed."""
    path = tmp_path / "t.tsv"
    part_path(path, 0).write_bytes(b"of another run")
    PredictionWriter(path, n_ranks=2)._cleanup.close()
    assert names_in(tmp_path) == []
