"""Tables of embeddings, and files made of them, give back what was put in; sequences have ids of their own."""

import json
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow")
pytest.importorskip("pysam")

import pyarrow as pa
import pysam
from safetensors import safe_open
from safetensors.numpy import load_file

from dnafm.analysis.embedding_files import check_layout, check_output, write_embeddings
from dnafm.analysis.embedding_inputs import check_input
from dnafm.analysis.embedding_shards import checked_size
from dnafm.analysis.embedding_sources import FastaSource
from dnafm.analysis.embedding_tables import EmbeddingLayout
from dnafm.analysis.named_sequences import NamedSequence
from dnafm.genomics import Interval

WIDTH = 3


@pytest.fixture
def layout():
    """Factory of layouts of three numbers a vector."""
    return build_layout


def build_layout(layers=(2,), *, per_base=False, dtype="float32", others=None):
    described = {"backbone": "some"}
    return EmbeddingLayout(WIDTH, layers, per_base, dtype, True, others, described)


def rows_and_vectors(n_rows, n_layers=1, *, per_base=False):
    """Return rows of 1, 2, ... bases, and as many different numbers as they need."""
    lengths = [1 + row % 5 for row in range(n_rows)]
    rows = [
        NamedSequence(f"s{row}", "A" * length, f"x:{row}", Interval("c", row, row + length))
        for row, length in enumerate(lengths)
    ]
    shapes = [(n_layers, length, WIDTH) if per_base else (n_layers, WIDTH) for length in lengths]
    return rows, [np.random.default_rng(row).random(shape, np.float32) for row, shape in enumerate(shapes)]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layers", [(2,), (0, 2)])
def test_table_gives_back_its_vectors(layout, layers, dtype):
    """Of sequences and of bases, whose numbers differ, also from some of its rows."""
    pooled, of_bases = layout(layers, dtype=dtype), layout(layers, per_base=True, dtype=dtype)
    rows, vectors = rows_and_vectors(7, len(layers))
    expected = np.stack(vectors).astype(dtype)
    table = pooled.table(rows, vectors)
    for part in (slice(0, 7), slice(2, 5)):
        found = pooled.pooled(table.slice(part.start, part.stop - part.start))
        np.testing.assert_array_equal(found, expected[part] if len(layers) > 1 else expected[part, 0])
    assert pooled.ids(table)["start_bp"].to_pylist() == list(range(7))
    rows, vectors = rows_and_vectors(7, len(layers), per_base=True)
    found = of_bases.of_bases(of_bases.table(rows, vectors).slice(1, 5))
    for own, due in zip(found, vectors[1:6], strict=True):
        np.testing.assert_array_equal(own, (due if len(layers) > 1 else due[0]).astype(dtype))


def test_number_that_half_precision_cannot_hold_is_an_error(layout):
    """And not infinite; the place is named."""
    rows, vectors = rows_and_vectors(2)
    vectors[1][0, 1] = -70_000
    with pytest.raises(ValueError, match=r"x:1: the vector has 70000, and float16 ends at 65504\. Write float32\."):
        layout(dtype="float16").table(rows, vectors)


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    limit=st.integers(1, 200),
    per_base=st.booleans(),
)
def test_shards_hold_all_and_keep_to_their_size(tmp_path_factory, sizes, limit, per_base):
    """However rows come in tables; only a vector or sequence alone may be larger. No file of before stays."""
    path, layout = tmp_path_factory.mktemp("shards") / "x.safetensors", build_layout(per_base=per_base)
    rows, vectors = rows_and_vectors(sum(sizes), per_base=per_base)
    path.touch()
    ends = np.cumsum([0, *sizes])
    tables = [layout.table(rows[a:b], vectors[a:b]) for a, b in pairwise(ends)]
    written = write_embeddings(path, tables, layout, n_rows=len(rows), max_shard_size=limit, overwrite=True)
    assert set(path.parent.iterdir()) == set(written)
    shards = [load_file(file) for file in written if file.suffix == ".safetensors"]
    for shard in shards:
        assert sum(tensor.nbytes for tensor in shard.values()) <= limit or sum(map(len, shard.values())) <= 5
    tensors = {name: tensor for shard in shards for name, tensor in shard.items()}
    if per_base:
        found = np.concatenate([tensors[row.id] for row in rows])
        np.testing.assert_array_equal(found, np.concatenate([own[0] for own in vectors]))
    else:
        found = np.concatenate([tensors[name] for name in sorted(tensors)])
        np.testing.assert_array_equal(found, np.concatenate(vectors))
    if len(shards) > 1:
        index = json.loads(Path(f"{path}.index.json").read_text())
        assert index["weight_map"].keys() == tensors.keys()
        assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in tensors.values())
    with safe_open(next(file for file in written if file.suffix == ".safetensors"), "np") as file:
        assert json.loads(file.metadata()["dnafm"]) == {"backbone": "some"}


def test_array_is_written_piece_by_piece(tmp_path, layout):
    """Of 8 MB no more than a table and its copies are in memory."""
    wide = EmbeddingLayout(1000, (2,), False, "float32", True, None, {})
    rows, _ = rows_and_vectors(20)

    def tables():
        for number in range(100):
            yield wide.table(rows, [np.full((1, 1000), number, np.float32)] * 20)

    tracemalloc.start()
    write_embeddings(tmp_path / "x.npy", tables(), wide, n_rows=2000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    found = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert found.shape == (2000, 1000)
    np.testing.assert_array_equal(found[::20, 0], np.arange(100))


def test_what_cannot_be_written_is_told_before(tmp_path, layout):
    """And the trial leaves no file."""
    nested = pa.schema({"x": pa.struct({"y": pa.int64()})})
    with pytest.raises(ValueError, match=r"x\.tsv: a \.tsv file cannot hold struct<y: int64>, as 'x' is"):
        check_layout(tmp_path / "x.tsv", layout(others=nested))
    with pytest.raises(ValueError, match=r"x\.npy: vectors of bases go into \.parquet or \.safetensors"):
        check_output(tmp_path / "x.npy", per_base=True)
    with pytest.raises(ValueError, match="The input has a column 'contig', and so has what is written"):
        layout(others=pa.schema({"contig": pa.string()}))
    for name in ("x.parquet", "x.npy", "x.safetensors", "x.jsonl"):
        check_layout(tmp_path / name, layout())
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="no file can be made in this folder"):
        check_layout(Path("/proc/self/x.parquet"), layout())


@pytest.mark.parametrize("size", ["much", "0GB", "-1KB", 0])
def test_size_that_is_none_is_an_error(size):
    """As the number of bytes of 2 GiB is not."""
    assert checked_size("2GiB") == 1 << 31
    with pytest.raises(ValueError, match="it must be a size such as 5GB"):
        checked_size(size)


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["a", "b", "a_2", "a_3", "a_2_2"]), min_size=1, max_size=12))
def test_new_ids_are_unique_and_none_of_the_input(tmp_path_factory, names):
    """The first of each name keeps it, and so do their order and number."""
    path = tmp_path_factory.mktemp("names") / "x.fa"
    path.write_text("".join(f">{name}\nA\n" for name in names))
    checked = check_input(FastaSource(str(path)), duplicate_ids="number")
    new = [row.id for row in checked]
    assert len(set(new)) == len(names) == checked.n_sequences
    seen = Counter()
    for name, given_name in zip(names, new, strict=True):
        if seen[name]:
            assert given_name not in names
            assert given_name.startswith(f"{name}_")
        else:
            assert given_name == name
        seen[name] += 1


def test_records_are_those_of_samtools(tmp_path):
    """Wrapped anyhow, with other line ends, blank lines and words behind the name."""
    path = tmp_path / "x.fa"
    text = ">one of a kind\nACGT\nacgt\nNN\n\n>two\t2\nGATTACA\n"
    path.write_text(text)
    records = [(row.id, row.sequence, row.place) for row in FastaSource(str(path))]
    with pysam.FastxFile(str(path)) as file:
        assert [(name, sequence) for name, sequence, _ in records] == [(row.name, row.sequence) for row in file]
    assert [place for _, _, place in records] == [f"{path}:1", f"{path}:6"]
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert [(row.id, row.sequence, row.place) for row in FastaSource(str(path))] == records


def test_input_that_changes_while_it_is_read_is_an_error(tmp_path):
    """Before the first sequence, or behind the last."""
    path = tmp_path / "x.fa"
    path.write_text(">a\nACGT\n")
    checked = check_input(FastaSource(str(path)))
    rows = iter(checked)
    assert next(rows).id == "a"
    path.write_text(">a\nACGTA\n")
    with pytest.raises(ValueError, match="has changed since it was checked"):
        next(rows)
    with pytest.raises(ValueError, match="has changed since it was checked"):
        next(iter(checked))
