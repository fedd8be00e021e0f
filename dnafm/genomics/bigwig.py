"""Numbers along a genome as bigWig files, which genome browsers open."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from dnafm.genomics.files import new_file
from dnafm.genomics.htslib import import_optional
from dnafm.genomics.intervals import Interval, check_within

EXTENSIONS = (".bw", ".bigWig", ".bigwig")


@dataclass(frozen=True, eq=False)
class TrackSegment:
    """Numbers of neighbouring bases.

    Attributes:
        contig: name.
        start_bp: of the first, from 0.
        values: (length,) float32; NaN where a base has none.
    """

    contig: str
    start_bp: int
    values: np.ndarray


def write_bigwig(
    path: str | os.PathLike,
    segments: Iterable[TrackSegment],
    *,
    contig_lengths: Mapping[str, int],
    overwrite: bool = False,
) -> int:
    """Write numbers of bases, and return of how many; NaN is left out.

    Args:
        path: of the file, which appears when it is whole.
        segments: one after the other along each contig, contigs in any order, each once; they may have gaps.
        contig_lengths: of all contigs of the genome; the file names those that have values.
        overwrite: replace an existing file.

    Raises:
        ValueError: a segment passes the end of its contig, or comes before one that was written, a value is infinite,
            there is no value at all, or the extension is none of `EXTENSIONS`.
        OSError: the file cannot be written.
        ImportError: pybigtools is missing.
    """
    pybigtools = import_optional("pybigtools")
    if not os.fspath(path).endswith(EXTENSIONS):
        raise ValueError(f"{os.fspath(path)}: the extension must be one of {', '.join(EXTENSIONS)}.")
    source = _Source(segments, contig_lengths)
    with new_file(path, overwrite=overwrite) as temporary:
        first = next(source.runs, None)
        source.raise_error()
        if first is None:
            raise ValueError(f"{os.fspath(path)}: there is no value, and a bigWig file cannot be without any.")
        with _without_panic(path):
            pybigtools.open(str(temporary), "w").write(dict(contig_lengths), chain([first], source.runs))
        source.raise_error()
        _check_written(temporary, source.n_bases)
    return source.n_bases


def read_bigwig(path: str | os.PathLike, interval: Interval) -> np.ndarray:
    """Return the numbers of the bases of an interval along the + strand: (length,) float32, NaN where there is none.

    Raises:
        ValueError: the file is no bigWig file, or the interval is beyond its contigs.
        OSError: there is no such file.
    """
    with _Opened(path) as track:
        check_within(interval, track.chroms())
        try:
            with _without_panic(path):
                values = track.values(interval.contig, interval.start_bp, interval.end_bp, fillna=None)
        except import_optional("pybigtools").BBIReadError as error:
            raise ValueError(f"{os.fspath(path)}: {interval.to_region()} cannot be read ({error}).") from error
    return np.asarray(values, np.float32)


def bigwig_contig_lengths(path: str | os.PathLike) -> dict[str, int]:
    """Return the lengths of the contigs of a bigWig file by name.

    Raises:
        ValueError: the file is no bigWig file.
        OSError: there is no such file.
    """
    with _Opened(path) as track:
        return dict(track.chroms())


@contextmanager
def _without_panic(path: str | os.PathLike) -> Iterator[None]:
    """Raise an OSError where the library panics, as on a full disk; its error is no Exception, nor importable."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise OSError(
            f"{os.fspath(path)}: reading or writing stopped ({error}). Is the disk full, or the file damaged?"
        ) from error


class _Source:
    """Runs of equal values, checked; the library prints an error of what it iterates over, and goes on without."""

    def __init__(self, segments: Iterable[TrackSegment], contig_lengths: Mapping[str, int]):
        self.n_bases = 0
        self._segments = segments
        self._contig_lengths = contig_lengths
        self._ends_bp: dict[str, int] = {}
        self._contig: str | None = None
        self._error: BaseException | None = None
        self.runs = self._guarded()

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _guarded(self) -> Iterator[tuple[str, int, int, float]]:
        try:
            for segment in self._segments:
                self._check(segment)
                yield from self._runs_of(segment)
        except GeneratorExit:
            raise
        except BaseException as error:
            # Also an interrupt: `raise_error` raises it again, where the library would only print it.
            self._error = error

    def _check(self, segment: TrackSegment) -> None:
        end_bp = segment.start_bp + len(segment.values)
        check_within(
            Interval(segment.contig, segment.start_bp, max(end_bp, segment.start_bp + 1)), self._contig_lengths
        )
        if segment.contig != self._contig and segment.contig in self._ends_bp:
            raise ValueError(
                f"Values of {segment.contig} come again behind those of {self._contig}. Sort the segments."
            )
        if segment.start_bp < self._ends_bp.get(segment.contig, 0):
            raise ValueError(
                f"Values of {segment.contig} from {segment.start_bp} on come behind those up to "
                f"{self._ends_bp[segment.contig]}. Sort the segments, and let none overlap."
            )
        if np.isinf(segment.values).any():
            raise ValueError(
                f"A value of {segment.contig} from {segment.start_bp} on is infinite. Leave it out as NaN."
            )
        self._contig, self._ends_bp[segment.contig] = segment.contig, end_bp

    def _runs_of(self, segment: TrackSegment) -> Iterator[tuple[str, int, int, float]]:
        values = np.asarray(segment.values, np.float32)
        edges = np.flatnonzero(np.diff(values) != 0) + 1
        starts = np.concatenate(([0], edges)) if len(values) else edges
        ends = np.append(edges, len(values))
        for start, end, value in zip(starts.tolist(), ends.tolist(), values[starts].tolist(), strict=False):
            if not math.isnan(value):
                self.n_bases += end - start
                yield segment.contig, segment.start_bp + start, segment.start_bp + end, value


def _check_written(path: os.PathLike, n_bases: int) -> None:
    """Raise an OSError where the library, which only prints its errors, has not written all."""
    try:
        with _Opened(path) as track:
            n_written = track.info()["summary"]["basesCovered"]
    except ValueError as error:
        raise OSError(f"{os.fspath(path)} could not be written. Is the disk full?") from error
    if n_written != n_bases:
        raise OSError(f"{os.fspath(path)} has {n_written} values of {n_bases}. Is the disk full?")


class _Opened:
    def __init__(self, path: str | os.PathLike):
        self._path = os.fspath(path)

    def __enter__(self) -> Any:
        pybigtools = import_optional("pybigtools")
        with open(self._path, "rb") as stream:
            # The library prints when it is given another file.
            is_bigwig = stream.read(4) in (b"\x26\xfc\x8f\x88", b"\x88\x8f\xfc\x26")
        try:
            if not is_bigwig:
                raise ValueError("it begins otherwise")
            self._track = pybigtools.open(self._path)
        except (ValueError, pybigtools.BBIReadError) as error:
            raise ValueError(f"{self._path}: this is no bigWig file, or it was cut ({error}).") from error
        return self._track

    def __exit__(self, *_: object) -> None:
        self._track.close()
