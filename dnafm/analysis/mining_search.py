"""Nearest vectors of a store: by an exact scan, or through an IVF index where the store is large."""

from collections.abc import Sequence
from math import isqrt
from typing import Literal

import numpy as np

from dnafm.analysis.embedding_tables import pa
from dnafm.analysis.mining_lancedb import import_lancedb, quoted, told_as_os_errors
from dnafm.analysis.mining_store import COORDINATES, VECTOR, MiningStore

IndexKind = Literal["auto", "none", "ivf"]
INDEX_KINDS = ("auto", "none", "ivf")
# From so many rows on, `auto` makes an index.
INDEX_ROWS = 100_000


def update_index(store: MiningStore, kind: IndexKind = "auto") -> None:
    """Make the IVF index of a store, or let the one that is there have the rows that it has not.

    Args:
        store: to be searched later.
        kind: `"ivf"` makes an index anew, of about sqrt(rows) parts; `"auto"` makes one from 100,000 rows on, and
            brings an existing one up to date; `"none"` removes it.

    Raises:
        ValueError: there is no such kind, or there are no rows.
    """
    if kind not in INDEX_KINDS:
        raise ValueError(f"The index is {kind!r}; it must be one of {', '.join(INDEX_KINDS)}.")
    names, n_rows = index_names(store), store.count_rows()
    with told_as_os_errors(store.path):
        if kind == "none":
            for name in names:
                store.windows.drop_index(name)
        elif kind == "auto" and names:
            store.windows.optimize()
        elif kind == "ivf" or n_rows >= INDEX_ROWS:
            _make(store, n_rows)


def index_names(store: MiningStore) -> list[str]:
    """Return the names of the indices of vectors: one or none."""
    return [index.name for index in store.windows.list_indices() if index.columns == [VECTOR]]


def nearest(
    store: MiningStore,
    vectors: Sequence[np.ndarray],
    *,
    n_rows: int,
    where: str | None = None,
    exact: bool = False,
) -> list[pa.Table]:
    """Return the nearest rows of each vector, the nearest first.

    Args:
        store: that is searched.
        vectors: (hidden,) float32 each.
        n_rows: for each vector.
        where: a filter of LanceDB, applied before the search.
        exact: scan all rows even where there is an index.

    Returns:
        For each vector genome, contig, start_bp, end_bp, strand, and cosine (float32, -1 to 1).
    """
    with told_as_os_errors(store.path):
        search = store.windows.search([vector.astype(np.float32) for vector in vectors], vector_column_name=VECTOR)
        search = search.distance_type("cosine").select([*COORDINATES, "_distance"]).limit(n_rows)
        if where is not None:
            search = search.where(where, prefilter=True)
        if exact:
            search = search.bypass_vector_index()
        else:
            # 0: more parts are searched where these have too few rows, as behind a filter.
            search = search.maximum_nprobes(0).minimum_nprobes(_n_probes(store.count_rows()))
        found = search.to_arrow()
    if len(vectors) == 1:
        return [_with_cosine(found)]
    numbers = found["query_index"].to_numpy()
    return [_with_cosine(found.filter(pa.array(numbers == index))) for index in range(len(vectors))]


def filter_of(*, genomes: Sequence[str] = (), contigs: Sequence[str] = ()) -> str | None:
    """Return the filter of rows of some genomes and some contigs; None for all."""
    wanted = {"genome": genomes, "contig": contigs}
    parts = [f"{column} IN ({', '.join(map(quoted, names))})" for column, names in wanted.items() if names]
    return " AND ".join(parts) or None


def _make(store: MiningStore, n_rows: int) -> None:
    if not n_rows:
        raise ValueError(f"{store.path} is empty; an index is made of vectors.")
    # Flat: distances are those of the vectors themselves, whatever part they are in.
    flat = import_lancedb().index.IvfFlat(distance_type="cosine", num_partitions=_n_parts(n_rows))
    store.windows.create_index(VECTOR, config=flat, replace=True)


def _n_parts(n_rows: int) -> int:
    return max(1, isqrt(n_rows))


def _n_probes(n_rows: int) -> int:
    """How many parts are searched first: a tenth of them, but at least 20."""
    return max(20, _n_parts(n_rows) // 10)


def _with_cosine(found: pa.Table) -> pa.Table:
    # Rounding can take it past its limits.
    cosine = pa.array(np.clip(1 - found["_distance"].to_numpy(), -1, 1).astype(np.float32))
    return found.select(list(COORDINATES)).append_column("cosine", cosine)
