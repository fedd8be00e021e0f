"""In-silico mutagenesis and dependency maps of regions in chunks, in which long regions are cut and joined again."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa

from dnafm.analysis.chunked_runs import ChunkedRun
from dnafm.analysis.dependency import DependencyMap
from dnafm.analysis.mutagenesis import Mutagenesis, Progress
from dnafm.analysis.regions import Region
from dnafm.data.prediction_tables import prediction_table

# Bases of a chunk where each is a pass or more, and where a pass serves many.
CHUNK_BP = 1024
UNMASKED_CHUNK_BP = 100_000

Result = TypeVar("Result", Mutagenesis, DependencyMap)


@dataclass(frozen=True)
class RegionWork(Generic[Result]):
    """What is computed about regions, and in which chunks.

    Attributes:
        compute: yields the results of regions, in their order; `on_progress` is told how many bases more are done.
        result_type: of the results.
        chunk_bp: bases of a chunk, about.
        split_bp: bases of the parts into which longer regions are cut; None to leave them whole.
        margin_bp: bases that a part needs on either side.
    """

    compute: Callable[..., Iterator[Result]]
    result_type: type[Result]
    chunk_bp: int
    split_bp: int | None = None
    margin_bp: int = 0

    def finish(self, run: ChunkedRun, regions: Iterable[Region], *, on_progress: Progress | None = None) -> None:
        """Compute the results of regions in chunks."""

        def kept(chunk: list[tuple[Region, int]]) -> pa.Table:
            results = self.compute([part for part, _ in chunk], on_progress=on_progress)
            return _table(list(results), [n_bases for _, n_bases in chunk])

        def passed(chunk: list[tuple[Region, int]]) -> None:
            if on_progress is not None:
                on_progress(sum(part.n_bases for part, _ in chunk))

        run.finish(self._chunks(regions), kept, on_passed=passed)

    def results(self, run: ChunkedRun) -> Iterator[Result]:
        """Yield the results, one after the other, with regions that do not know the bases around them."""
        parts: list[Result] = []
        n_bases = 0
        for table in run.tables():
            for row in range(len(table)):
                parts.append(_result(self.result_type, table, row))
                n_bases += parts[-1].region.n_bases
                if n_bases == table["whole_bp"][row].as_py():
                    yield _joined(parts)
                    parts, n_bases = [], 0

    def _chunks(self, regions: Iterable[Region]) -> Iterator[list[tuple[Region, int]]]:
        """Yield parts of regions, each with the bases of the whole."""
        chunk: list[tuple[Region, int]] = []
        n_bases = 0
        for region in regions:
            for part in _parts(region, self.split_bp or region.n_bases, self.margin_bp):
                chunk.append((part, region.n_bases))
                n_bases += part.n_bases
                if n_bases >= self.chunk_bp:
                    yield chunk
                    chunk, n_bases = [], 0
        if chunk:
            yield chunk


def _parts(region: Region, split_bp: int, margin_bp: int) -> Iterator[Region]:
    if region.n_bases <= split_bp:
        yield region
        return
    for first in range(0, region.n_bases, split_bp):
        n_bases = min(split_bp, region.n_bases - first)
        place = region.offset + first
        start = max(0, place - margin_bp)
        context = region.context[start : place + n_bases + margin_bp]
        yield replace(region, start_bp=region.start_bp + first, n_bases=n_bases, context=context, offset=place - start)


def _array_names(result_type: type[Result]) -> list[str]:
    return [field.name for field in fields(result_type) if field.name not in ("region", "effect_name")]


def _table(results: list[Result], whole_bp: list[int]) -> pa.Table:
    """Return a row for each result, in which arrays are flat."""
    regions = [result.region for result in results]
    columns: dict[str, Any] = {
        "id": [region.id for region in regions],
        "contig": [region.contig for region in regions],
        "start_bp": [region.start_bp for region in regions],
        "sequence": [region.sequence for region in regions],
        "effect_name": [getattr(result, "effect_name", None) for result in results],
        "whole_bp": whole_bp,
    }
    for name in _array_names(type(results[0])):
        arrays = [getattr(result, name) for result in results]
        columns[name] = [None if array is None else np.ravel(array) for array in arrays]
    return prediction_table(columns)


def _result(result_type: type[Result], table: pa.Table, row: int) -> Result:
    row_of = {name: table[name][row] for name in table.column_names}
    sequence = row_of["sequence"].as_py()
    region = Region(
        row_of["id"].as_py(), row_of["contig"].as_py(), row_of["start_bp"].as_py(), len(sequence), sequence
    )
    values: dict[str, Any] = {}
    for name in _array_names(result_type):
        kept = row_of[name]
        values[name] = kept.values.to_numpy().reshape(len(sequence), -1) if kept.is_valid else None
    if (effect_name := row_of["effect_name"].as_py()) is not None:
        values["effect_name"] = effect_name
    return result_type(region, **values)


def _joined(parts: list[Result]) -> Result:
    """Return the parts of a region as one result; only those with a row for each base are cut."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    sequence = "".join(part.region.sequence for part in parts)
    joined: dict[str, Any] = {"region": replace(first.region, n_bases=len(sequence), context=sequence)}
    for name in _array_names(type(first)):
        arrays = [getattr(part, name) for part in parts]
        joined[name] = None if arrays[0] is None else np.concatenate(arrays)
    return replace(first, **joined)
