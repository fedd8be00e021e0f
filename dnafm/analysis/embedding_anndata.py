"""Embeddings as AnnData, which single-cell and other tools read (https://anndata.readthedocs.io)."""

import io
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from dnafm.analysis.embedding_tables import EmbeddingLayout, pa
from dnafm.genomics.files import new_file

_TEXT = (pa.types.is_string, pa.types.is_large_string)
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
# Of types that have no missing value in numpy.
_NULLABLE = {pa.types.is_integer: "Int64", pa.types.is_boolean: "boolean"}


def check_anndata(path: Path, schema: pa.Schema) -> None:
    """Check that AnnData can be written, and can hold columns.

    Raises:
        ValueError: it cannot.
        ImportError: anndata is missing.
    """
    _libraries()
    for column in schema:
        if not any(is_kind(column.type) for is_kind in (*_TEXT, *_NUMBERS)):
            raise ValueError(
                f"{path}: the observations of AnnData cannot hold {column.type}, as {column.name!r} is. Write "
                ".parquet, or leave the column out."
            )


def write_anndata(
    path: Path, tables: Iterable[pa.Table], layout: EmbeddingLayout, *, n_rows: int, overwrite: bool = False
) -> None:
    """Write the vectors of all sequences, which are in memory twice: rows x layers x hidden x 4 bytes.

    `X` has the vectors of the first layer, `obsm["layer_24"]` those of each further one, `obs` ids (the index),
    coordinates and other columns, and `uns["dnafm"]` the model and its options.
    """
    vectors = np.empty((n_rows, len(layout.layers), layout.width), layout.dtype)
    ids, first = [], 0
    for table in tables:
        vectors[first : first + len(table)] = layout.pooled(table).reshape(len(table), *vectors.shape[1:])
        ids.append(layout.ids(table))
        first += len(table)
    further = {f"layer_{layer}": vectors[:, number] for number, layer in enumerate(layout.layers) if number}
    described = {name: value for name, value in layout.description.items() if value is not None}
    anndata, h5py = _libraries()
    annotated = anndata.AnnData(
        vectors[:, 0],
        obs=_observations(pa.concat_tables(ids)),
        var=_named([str(number) for number in range(layout.width)]),
        obsm=further,
        uns={"dnafm": described},
    )
    # Not into the file: where the disk is full, HDF5 ends the process.
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        anndata.io.write_elem(file, "/", annotated)
    with new_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(image.getbuffer())


def _observations(ids: pa.Table) -> Any:
    import pandas as pd

    rows = _named(ids["id"].to_pylist())
    for name in ids.column_names[1:]:
        values = _column(ids[name])
        rows[name] = pd.Series(values, rows.index, dtype=values.dtype)
    return rows


def _named(names: list[str]) -> Any:
    """Return rows of these names, as objects: AnnData 0.12 cannot write the type that text has in pandas 3."""
    import pandas as pd

    return pd.DataFrame(index=pd.Index(names, dtype=object))


def _column(values: pa.ChunkedArray) -> Any:
    import pandas as pd

    if any(is_kind(values.type) for is_kind in _TEXT):
        return _text(values)
    for is_kind, dtype in _NULLABLE.items():
        if values.null_count and is_kind(values.type):
            return pd.array(values.to_pylist(), dtype)
    return values.to_numpy()


def _text(values: pa.ChunkedArray) -> Any:
    import pandas as pd

    if not values.null_count:
        return np.array(values.to_pylist(), object)
    encoded = values.combine_chunks().dictionary_encode()
    categories = pd.Index(encoded.dictionary.to_pylist(), dtype=object)
    return pd.Categorical.from_codes(encoded.indices.fill_null(-1).to_numpy(), categories)


def _libraries() -> tuple[Any, Any]:
    try:
        return import_module("anndata"), import_module("h5py")
    except ImportError as error:
        raise ImportError("Files of AnnData need anndata: pip install 'dnafm[anndata]'") from error
