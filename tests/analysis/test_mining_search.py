"""Search in a store: exact against all pairs in numpy, and through an IVF index against exact, without a model."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("lancedb")

from dnafm.analysis.mining_runs import window_table
from dnafm.analysis.mining_search import filter_of, index_names, nearest, update_index
from dnafm.analysis.mining_store import (
    MiningStore,
    StoredGenome,
    StoreSettings,
    create_store,
    open_store,
    store_exists,
)
from dnafm.analysis.mining_windows import GenomeWindow

WIDTH = 16
SETTINGS = StoreSettings("model", "0123", "float32", WIDTH, 10, 5, "forward", 2, "mean", "float32", "0")


def genome(name: str, n_windows: int) -> StoredGenome:
    return StoredGenome(name, f"/{name}.fa", f"sum of {name}", {"c": 10 * n_windows}, n_windows, 0, is_complete=False)


def add(store: MiningStore, name: str, vectors: np.ndarray, settings: StoreSettings = SETTINGS) -> None:
    windows = [GenomeWindow("c", 10 * row, 10 * row + 10, "+", "A" * 10) for row in range(len(vectors))]
    store.begin(genome(name, len(vectors)))
    store.commit(genome(name, len(vectors)), [window_table(settings, name, windows, vectors)])


def clustered(n_rows: int, seed: int) -> np.ndarray:
    """Vectors around 50 centres that all runs share."""
    centres = 2 * np.random.default_rng(0).normal(size=(50, WIDTH))
    generator = np.random.default_rng(seed)
    rows = centres[generator.integers(0, 50, n_rows)] + generator.normal(size=(n_rows, WIDTH))
    return rows.astype(np.float32)


def rows_of(table):
    return [start // 10 for start in table["start_bp"].to_pylist()]


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (one, other)]
    return unit[0] @ unit[1].T


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A store of 20,000 rows, and their vectors."""
    store = create_store(tmp_path_factory.mktemp("large") / "store", SETTINGS)
    vectors = clustered(20_000, seed=1)
    add(store, "g", vectors)
    return store, vectors


def test_exact_search_is_that_of_all_pairs(large):
    """The ten nearest of 20,000 rows and their cosines are those of numpy."""
    store, vectors = large
    queries = clustered(8, seed=2)
    expected = cosines(queries, vectors)
    for query, table in zip(expected, nearest(store, list(queries), n_rows=10, exact=True), strict=True):
        best = np.argsort(-query)[:10]
        assert rows_of(table) == best.tolist()
        np.testing.assert_allclose(table["cosine"].to_numpy(), query[best], atol=1e-5)


def test_an_ivf_index_finds_what_exact_search_does(large):
    """Of the ten nearest at least 95 % on average, with the same cosines."""
    store, _ = large
    queries = list(clustered(40, seed=3))
    exact = nearest(store, queries, n_rows=10, exact=True)
    update_index(store, "auto")
    assert index_names(store) == []  # as small as that, none is made by itself
    update_index(store, "ivf")
    assert len(index_names(store)) == 1
    found = nearest(store, queries, n_rows=10)
    recall = np.mean(
        [len(set(rows_of(one)) & set(rows_of(other))) / 10 for one, other in zip(exact, found, strict=True)]
    )
    assert recall >= 0.95
    np.testing.assert_allclose(found[0]["cosine"].to_numpy()[0], exact[0]["cosine"].to_numpy()[0], atol=1e-5)
    update_index(store, "none")
    assert index_names(store) == []


def test_an_index_gives_as_many_rows_as_there_are(large, tmp_path):
    """More than the parts that are searched first have, and those of a filter, wherever they are."""
    _, vectors = large
    store = create_store(tmp_path / "store", SETTINGS)
    add(store, "g", vectors[:6000])
    add(store, "h", -vectors[:3])
    update_index(store, "ivf")
    queries = list(vectors[:2])
    for n_rows, where in ((4000, None), (3, filter_of(genomes=["h"]))):
        exact = nearest(store, queries, n_rows=n_rows, where=where, exact=True)
        found = nearest(store, queries, n_rows=n_rows, where=where)
        assert [len(table) for table in found] == [len(table) for table in exact] == [n_rows, n_rows]


def test_rows_that_are_added_behind_an_index_are_found(tmp_path):
    """Before and after the index takes them up."""
    store = create_store(tmp_path / "store", SETTINGS)
    add(store, "g", clustered(500, seed=1))
    update_index(store, "ivf")
    later = clustered(20, seed=4)
    add(store, "h", later)
    for _ in range(2):
        found = nearest(store, list(later), n_rows=1)
        assert [(table["genome"][0].as_py(), *rows_of(table)) for table in found] == [("h", row) for row in range(20)]
        update_index(store, "auto")


def test_filters_come_before_the_search(tmp_path):
    """The nearest rows of a genome are found even where all of another one are nearer; names may have quotes."""
    store = create_store(tmp_path / "store", SETTINGS)
    vectors = clustered(50, seed=5)
    add(store, "near", vectors)
    add(store, "Bob's", -vectors)
    assert filter_of() is None
    (table,) = nearest(store, [vectors[3]], n_rows=50, where=filter_of(genomes=["Bob's"]))
    assert set(table["genome"].to_pylist()) == {"Bob's"}
    assert len(table) == 50
    assert rows_of(table)[-1] == 3
    assert nearest(store, [vectors[3]], n_rows=5, where=filter_of(contigs=["d"]))[0].num_rows == 0


def test_half_precision_halves_the_vectors(tmp_path):
    """Cosines are those of float32 within the rounding of float16."""
    settings = StoreSettings(*[*list(vars(SETTINGS).values())[:-2], "float16", "0"])
    store = create_store(tmp_path / "store", settings)
    vectors = clustered(100, seed=6)
    add(store, "g", vectors, settings)
    (table,) = nearest(store, [vectors[7]], n_rows=3)
    assert rows_of(table)[0] == 7
    expected = np.sort(cosines(vectors[7:8], vectors)[0])[::-1][:3]
    np.testing.assert_allclose(table["cosine"].to_numpy(), expected, atol=2e-3)


def test_a_store_is_what_it_was_when_it_is_opened_again(tmp_path):
    """Settings, genomes and rows."""
    add(create_store(tmp_path / "store", SETTINGS), "g", clustered(5, seed=7))
    again = open_store(tmp_path / "store")
    assert again.settings == SETTINGS
    (stored,) = again.genomes()
    assert (stored.name, stored.contig_lengths, stored.is_complete) == ("g", {"c": 50}, True)
    assert again.count_rows() == 5
    np.testing.assert_allclose(np.linalg.norm(np.stack(again.windows.to_arrow()["vector"].to_pylist()), axis=1), 1)


def test_a_genome_is_added_once(tmp_path):
    """A run that was killed after its rows were added, and before that was noted, adds none again."""
    store = create_store(tmp_path / "store", SETTINGS)
    vectors = clustered(5, seed=8)
    add(store, "g", vectors)
    store.commit(genome("g", 5), [window_table(SETTINGS, "g", [GenomeWindow("c", 0, 10, "+", "A")], vectors[:1])])
    assert store.count_rows() == 5


def test_settings_that_differ_are_named_with_both_values():
    """Another backbone by its name and weights; a version, a dtype or a path of the same weights are no matter."""

    def other(**changes):
        return StoreSettings(**{**vars(SETTINGS), **changes})

    SETTINGS.check_same(other(backbone="elsewhere", dtype="bfloat16", dnafm="9"), "store")
    with pytest.raises(ValueError, match=r"the backbone 'model' \(weights 0123\).*'large' \(weights 9\)"):
        SETTINGS.check_same(other(backbone="large", weights="9"), "store")
    with pytest.raises(ValueError, match="store was made with window_bp 10, not 20"):
        SETTINGS.check_same(other(window_bp=20), "store")


def test_what_is_no_store_is_refused(tmp_path):
    """Nothing, a file, a folder of something else; a new store goes into none of them."""
    with pytest.raises(FileNotFoundError, match="no such store"):
        open_store(tmp_path / "none")
    assert not store_exists(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    assert not store_exists(tmp_path / "folder")
    (tmp_path / "folder" / "notes.txt").touch()
    for path in (tmp_path / "folder", tmp_path / "folder" / "notes.txt"):
        assert store_exists(path)
        with pytest.raises(ValueError, match="is no store of genomes"):
            open_store(path)
    with pytest.raises(FileExistsError, match="has something in it"):
        create_store(tmp_path / "folder", SETTINGS)


def test_another_database_is_no_store(tmp_path):
    """LanceDB's tables of other programs may have the same names."""
    import lancedb
    import pyarrow as pa

    database = lancedb.connect(tmp_path / "other")
    for name in ("windows", "genomes"):
        database.create_table(name, schema=pa.schema({"a": pa.int64()}))
    with pytest.raises(ValueError, match="is no store of genomes"):
        open_store(tmp_path / "other")


def test_a_missing_lancedb_is_named_with_its_extra(tmp_path, monkeypatch):
    """It is needed where a store is made or opened."""
    monkeypatch.setitem(sys.modules, "lancedb", None)
    for action in (lambda: create_store(tmp_path / "s", SETTINGS), lambda: open_store(tmp_path)):
        with pytest.raises(ImportError, match=r"pip install 'dnafm\[mining\]'"):
            action()
    assert not Path(tmp_path / "s").exists()


def test_an_index_of_nothing_is_refused(tmp_path):
    """And so is a kind that does not exist."""
    store = create_store(tmp_path / "store", SETTINGS)
    with pytest.raises(ValueError, match="is empty"):
        update_index(store, "ivf")
    with pytest.raises(ValueError, match="The index is 'hnsw'"):
        update_index(store, "hnsw")
