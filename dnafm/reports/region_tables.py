"""Results of regions as tables and arrays: a row for each base, in the order of the input."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dnafm.genomics.files import check_free
from dnafm.reports.files import write_atomically

if TYPE_CHECKING:
    from dnafm.analysis.dependency import DependencyMap
    from dnafm.analysis.mutagenesis import Mutagenesis
    from dnafm.analysis.regions import Region

BASES = "ACGT"
ARRAYS = ".npz"
# Rows of small regions that are written together.
CHUNK_ROWS = 16_384
Result = TypeVar("Result", "Mutagenesis", "DependencyMap")


def mutagenesis_columns(result: "Mutagenesis") -> dict[str, Any]:
    """Return columns by name: id, contig, start_bp (from 0), reference_base, effect_A to effect_T.

    From a masked language model there are log_probability_A to log_probability_T and entropy_bits, too. An effect
    that does not exist is NaN.
    """
    columns = _places(result.region) | _of_bases("effect", result.effects)
    if result.log_probabilities is None:
        return columns
    return columns | _of_bases("log_probability", result.log_probabilities) | {"entropy_bits": result.entropy_bits}


def dependency_columns(result: "DependencyMap") -> dict[str, Any]:
    """Return columns by name: id, contig, start_bp (from 0), reference_base, and dependencies, a list for each base.

    Row i has the dependencies of all bases of the region on base i.
    """
    return _places(result.region) | {"dependencies": result.dependencies}


def mutagenesis_arrays(result: "Mutagenesis") -> dict[str, np.ndarray]:
    """Return arrays by name: `ID/effects` (bases, 4), `ID/sequence`, `ID/contig` and `ID/start_bp` (from 0).

    From a masked language model there are `ID/log_probabilities` (bases, 4) and `ID/entropy_bits` (bases,), too.
    """
    arrays = {"effects": result.effects}
    if result.log_probabilities is not None:
        arrays |= {"log_probabilities": result.log_probabilities, "entropy_bits": np.asarray(result.entropy_bits)}
    return _named(result.region, arrays)


def dependency_arrays(result: "DependencyMap") -> dict[str, np.ndarray]:
    """Return arrays by name: `ID/dependencies` (bases, bases), `ID/log_probabilities` (bases, 4).

    Beside them are `ID/sequence`, `ID/contig` and `ID/start_bp` (from 0).
    """
    return _named(result.region, {"dependencies": result.dependencies, "log_probabilities": result.log_probabilities})


def write_results(
    path: str | os.PathLike,
    results: Iterable[Result],
    *,
    columns_of: Callable[[Result], Mapping[str, Any]],
    arrays_of: Callable[[Result], Mapping[str, np.ndarray]],
    overwrite: bool = False,
) -> int:
    """Write results, and return of how many bases.

    Args:
        path: `.npz` for arrays, all of which are in memory until the end; else a table of `PredictionWriter`.
        results: of regions.
        columns_of: returns the columns of a result.
        arrays_of: returns the arrays of a result.
        overwrite: replace an existing file.

    Raises:
        ValueError: the extension is none of those, or two regions have the same id and the file holds arrays.
        OSError: the file exists, or cannot be written.
    """
    if os.fspath(path).endswith(ARRAYS):
        return _write_arrays(Path(path), results, arrays_of, overwrite=overwrite)
    import pyarrow as pa

    from dnafm.data.prediction_tables import PredictionWriter, prediction_table

    n_bases = 0
    with PredictionWriter(path, overwrite=overwrite) as writer:
        tables = (prediction_table(columns_of(result)) for result in results)
        for index, chunk in enumerate(_chunks(tables)):
            writer.write_chunk(index, pa.concat_tables(chunk))
            n_bases += sum(len(table) for table in chunk)
    return n_bases


def with_own_names(regions: "Iterable[Region]", path: str | os.PathLike | None) -> "Iterator[Region]":
    """Yield regions, and raise a ValueError where a second one has a name by which an array of the file is found."""
    names = set()
    for region in regions:
        if path is not None and os.fspath(path).endswith(ARRAYS):
            if region.id in names:
                raise _two_of_a_name(path, region)
            names.add(region.id)
        yield region


def _chunks(tables: Iterator[Any]) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for table in tables:
        chunk.append(table)
        if sum(map(len, chunk)) >= CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _write_arrays(
    path: Path,
    results: Iterable[Result],
    arrays_of: Callable[[Result], Mapping[str, np.ndarray]],
    *,
    overwrite: bool,
) -> int:
    check_free(path, overwrite=overwrite)
    arrays: dict[str, np.ndarray] = {}
    n_bases = 0
    for result in results:
        own = arrays_of(result)
        if own.keys() & arrays.keys():
            raise _two_of_a_name(path, result.region)
        arrays.update(own)
        n_bases += result.region.n_bases
    write_atomically(path, lambda stream: np.savez_compressed(stream, allow_pickle=False, **arrays))
    return n_bases


def _two_of_a_name(path: str | os.PathLike, region: "Region") -> ValueError:
    return ValueError(
        f"{os.fspath(path)}: two regions are called {region.id!r}, by which arrays are found. Give them other names, "
        "or write a table such as .parquet."
    )


def _places(region: "Region") -> dict[str, Any]:
    return {
        "id": [region.id] * region.n_bases,
        "contig": [region.contig] * region.n_bases,
        "start_bp": np.arange(region.start_bp, region.start_bp + region.n_bases),
        "reference_base": list(region.sequence),
    }


def _of_bases(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}_{base}": np.ascontiguousarray(column) for base, column in zip(BASES, values.T, strict=True)}


def _named(region: "Region", arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    places = {
        "sequence": np.array(region.sequence),
        "contig": np.array(region.contig),
        "start_bp": np.array(region.start_bp),
    }
    return {f"{region.id}/{name}": array for name, array in (arrays | places).items()}
