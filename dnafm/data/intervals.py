"""Labels of bases as intervals over a FASTA file: BED, bedGraph and GFF3.

Coordinates become 0-based and half-open. All count along the + strand, whatever the strand of the feature.
"""

import gzip
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np

from dnafm.data.fasta_tables import fasta_rows
from dnafm.data.genome_cache import EncodedGenome, open_genome
from dnafm.data.label_values import IGNORED_LABEL
from dnafm.data.labels import parsed_number
from dnafm.data.source_tables import Place, SourceTable
from dnafm.data.tables import extension_of

_BED, _BEDGRAPH, _GFF = (".bed",), (".bedgraph", ".bdg", ".bg"), (".gff", ".gff3")
INTERVAL_EXTENSIONS = (*_BED, *_BEDGRAPH, *_GFF)
LABELS = "labels"


@dataclass(frozen=True)
class Interval:
    """A line of an interval file: 0-based, half-open; `name` is its class, and `value` its number or NaN."""

    line: int
    sequence: str
    start_bp: int
    end_bp: int
    name: str
    value: float


def read_intervals(path: str) -> Iterator[Interval]:
    """Yield the intervals of a BED, bedGraph or GFF3 file, which may be compressed with gzip.

    Raises:
        ValueError: names file and line, where a field is missing or coordinates are none.
    """
    extension = extension_of(path)
    open_text: Callable = partial(gzip.open, mode="rt") if path.endswith((".gz", ".bgz")) else open
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.startswith("##FASTA"):
                return
            if line.strip() and not line.startswith(("#", "track ", "browser ")):
                yield _interval(line, extension, path, number)


def _interval(line: str, extension: str, path: str, number: int) -> Interval:
    fields = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
    names = {"start": 1, "end": 2, "name": 3, "value": 4}
    if extension in _GFF:
        names = {"start": 3, "end": 4, "name": 2, "value": 5}
    elif extension in _BEDGRAPH:
        names = {"start": 1, "end": 2, "name": 3, "value": 3}
    n_fields = 9 if extension in _GFF else 4
    if len(fields) < n_fields:
        _fail(path, number, f"{len(fields)} fields, and at least {n_fields} are due.")
    start, end = fields[names["start"]], fields[names["end"]]
    if not (start.isdecimal() and end.isdecimal()):
        _fail(path, number, f"start {start!r} and end {end!r} are no positions.")
    # GFF counts from 1 and includes the end.
    start_bp, end_bp = int(start) - (extension in _GFF), int(end)
    if not 0 <= start_bp < end_bp:
        _fail(path, number, f"the interval from {start} to {end} holds no base.")
    value = parsed_number(fields[names["value"]]) if len(fields) > names["value"] else math.nan
    return Interval(number, fields[0], start_bp, end_bp, fields[names["name"]], value)


@dataclass(frozen=True, kw_only=True)
class IntervalLabels:
    """How intervals become labels.

    Attributes:
        path: of the intervals.
        classes: those that are used, the first one where they overlap; None for all, which then must not overlap.
        background: class of bases that none covers; None leaves them uncounted.
    """

    path: str
    classes: tuple[str, ...] | None = None
    background: str | None = None

    def class_table(self, fasta_path: str) -> tuple[SourceTable, list[str]]:
        """Return records with a list of class ids, int16, in `labels`, and notes.

        Raises:
            ValueError: names file and line of an interval that is wrong or overlaps another one.
        """
        genome, intervals, notes = self._matched(fasta_path)
        if self.classes is not None:
            names = self.classes
            intervals = [interval for interval in intervals if interval.name in names]
            # Later ones are painted over.
            intervals.sort(key=lambda interval: -names.index(interval.name))
        if not intervals:
            raise ValueError(f"{self.path} has no interval of {', '.join(self.classes or ())}.")
        present = {interval.name for interval in intervals} | ({self.background} - {None})
        found = tuple(sorted(name for name in present if name is not None))
        empty = IGNORED_LABEL if self.background is None else found.index(self.background)
        painted = _Painting(self, [found.index(interval.name) for interval in intervals], empty, "int16")
        rows = painted.dataset(genome, intervals)
        return SourceTable(rows, Place(fasta_path), {LABELS: found}), notes

    def value_table(self, fasta_path: str, background: float | None) -> tuple[SourceTable, list[str]]:
        """Return records with a list of numbers, float32, in `labels`, and notes; see `class_table`."""
        genome, intervals, notes = self._matched(fasta_path)
        for interval in intervals:
            if not math.isfinite(interval.value):
                _fail(self.path, interval.line, "no number to predict. BED and GFF3 have it in the score.")
        empty = math.nan if background is None else background
        painted = _Painting(self, [interval.value for interval in intervals], empty, "float32")
        return SourceTable(painted.dataset(genome, intervals), Place(fasta_path)), notes

    def _matched(self, fasta_path: str) -> tuple[EncodedGenome, list[Interval], list[str]]:
        genome = open_genome(fasta_path)
        lengths = {record.name: record.length_bp for record in genome.sequences}
        intervals, n_foreign = [], 0
        for interval in read_intervals(self.path):
            if interval.sequence not in lengths:
                n_foreign += 1
                continue
            if interval.end_bp > (length := lengths[interval.sequence]):
                _fail(
                    self.path, interval.line, f"ends at {interval.end_bp}, and {interval.sequence} has {length} bases."
                )
            intervals.append(interval)
        if not intervals:
            raise ValueError(
                f"{self.path} has no interval on a sequence of {fasta_path}, such as {genome.sequences[0].name!r}. Do "
                "both name them alike?"
            )
        notes = [f"{self.path}: {n_foreign} intervals on sequences that {fasta_path} has not"] if n_foreign else []
        return genome, intervals, notes


@dataclass(frozen=True)
class _Painting:
    labels: IntervalLabels
    values: Sequence[float]
    empty: float
    dtype: str

    def dataset(self, genome: EncodedGenome, intervals: Sequence[Interval]) -> Any:
        import datasets

        of_record: dict[str, list[tuple[Interval, float]]] = {}
        for interval, value in zip(intervals, self.values, strict=True):
            of_record.setdefault(interval.sequence, []).append((interval, value))
        if self.labels.classes is None:
            for each in of_record.values():
                _check_disjoint(self.labels.path, each)
        features = datasets.Features(
            {
                "id": datasets.Value("string"),
                "sequence": datasets.Value("large_string"),
                LABELS: datasets.Sequence(datasets.Value(self.dtype)),
            }
        )
        return datasets.Dataset.from_generator(
            self.rows, gen_kwargs={"genome": genome, "of_record": of_record}, features=features, writer_batch_size=1
        )

    def rows(
        self, genome: EncodedGenome, of_record: Mapping[str, Sequence[tuple[Interval, float]]]
    ) -> Iterator[dict[str, Any]]:
        for row in fasta_rows(genome):
            yield {**row, LABELS: self._painted(len(row["sequence"]), of_record.get(row["id"], ()))}

    def _painted(self, n_bases: int, intervals: Sequence[tuple[Interval, float]]) -> np.ndarray:
        labels = np.full(n_bases, self.empty, self.dtype)
        for interval, value in intervals:
            labels[interval.start_bp : interval.end_bp] = value
        return labels


def _check_disjoint(path: str, intervals: Sequence[tuple[Interval, float]]) -> None:
    """Raise a ValueError where intervals overlap and differ."""
    ordered = sorted(intervals, key=lambda each: each[0].start_bp)
    furthest: tuple[Interval, float] | None = None
    for interval, value in ordered:
        if furthest is not None and interval.start_bp < furthest[0].end_bp and value != furthest[1]:
            _fail(
                path,
                interval.line,
                f"overlaps line {furthest[0].line}, of another label. Merge them; of classes, name those to use with "
                "--data.interval_classes, the first one where they overlap.",
            )
        if furthest is None or interval.end_bp > furthest[0].end_bp:
            furthest = (interval, value)


def _fail(path: str, line: int, message: str) -> NoReturn:
    raise ValueError(f"{path}:{line}: {message}")
