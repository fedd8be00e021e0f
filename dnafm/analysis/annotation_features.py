"""Features of an annotation, such as CDS and tRNA, and which windows of a genome have them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dnafm.genomics import Interval, ReferenceGenome, merge_intervals, read_bed, read_gff

BED = (".bed", ".bed.gz", ".bed.bgz")
GFF = tuple(f".{name}{packed}" for name in ("gff", "gff3", "gtf") for packed in ("", ".gz", ".bgz"))
# Of bases and windows without a feature.
NONE = "none"

Edges = NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """Intervals of a genome by the type of feature, and the order in which types count where they overlap.

    Attributes:
        names: of the types, those that count first in front.
        intervals: by type and contig, sorted by start.
    """

    names: tuple[str, ...]
    intervals: Mapping[tuple[str, str], Sequence[Interval]]

    def has(self, contig: str, edges: Edges) -> NDArray[np.bool_]:
        """Return which windows have which feature: (windows, types).

        A window has a feature where it covers at least half of the window's bases, or where at least half of one such
        feature lies in the window.

        Args:
            contig: name.
            edges: (windows + 1,) where the windows begin, and their end.
        """
        columns = [_has(self.intervals.get((name, contig), ()), edges) for name in self.names]
        return np.stack(columns, axis=1)

    def classes(self, contig: str, edges: Edges) -> NDArray[np.int64]:
        """Return the class of each window, (windows,): the place of a type in `names`, or behind them for none.

        It is the one that most bases of the window have, of which each has the first type that covers it; of equally
        many, the first.
        """
        left = np.diff(edges)
        taken: list[Interval] = []
        counts = []
        for name in self.names:
            taken = merge_intervals([*taken, *self.intervals.get((name, contig), ())])
            covered = np.diff(_covered(taken, edges))
            counts.append(covered - (np.diff(edges) - left))
            left = np.diff(edges) - covered
        return np.argmax(np.stack([*counts, left], axis=1), axis=1)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, `none` for the last."""
        return (*self.names, NONE)


def read_features(path: str | os.PathLike, genome: ReferenceGenome, *, names: Sequence[str] | None = None) -> Features:
    """Read the features of a BED file, by the names of its rows, or of a GFF3 or GTF file, by their types.

    Args:
        path: plain or compressed with gzip or bgzip.
        genome: in which all rows must lie.
        names: types to use, those that count first where they overlap in front. By default all, those with the fewest
            bases first, so that a tRNA comes before the gene and the region in which it is.

    Raises:
        ValueError: names file and line, where a row is none or not in the genome; the extension is another one, a type
            is not in the file, or there is no feature.
        OSError: there is no such file.
    """
    by_type: dict[tuple[str, str], list[Interval]] = {}
    for name, interval, place in feature_rows(path):
        if names is None or name in names:
            own = _within(interval, place, genome)
            by_type.setdefault((name, own.contig), []).append(own)
    found = sorted({name for name, _ in by_type})
    if missing := sorted(set(names or ()) - set(found)):
        raise ValueError(f"{os.fspath(path)} has no feature {missing[0]!r}.{_known(path)}")
    if not found:
        raise ValueError(f"{os.fspath(path)} has no feature, so there is nothing to compare with.")
    n_bases = dict.fromkeys(found, 0)
    for (name, _), intervals in by_type.items():
        intervals.sort(key=lambda each: (each.start_bp, each.end_bp))
        n_bases[name] += sum(map(len, merge_intervals(intervals)))
    ordered = tuple(dict.fromkeys(names)) if names else tuple(sorted(found, key=lambda name: (n_bases[name], name)))
    return Features(ordered, by_type)


def is_annotation(path: str | os.PathLike) -> bool:
    """Return whether the extension is one of BED, GFF3 or GTF."""
    return os.fspath(path).lower().endswith((*BED, *GFF))


def feature_rows(path: str | os.PathLike) -> Iterator[tuple[str, Interval, str]]:
    """Yield type, interval and place, `file:line`, of each row of a BED, GFF3 or GTF file.

    Raises:
        ValueError: names file and line, where a row is none or has no type; or the extension is another one.
    """
    name = os.fspath(path).lower()
    if name.endswith(BED):
        for row in read_bed(path):
            if row.interval.name is None:
                raise ValueError(f"{row.place}: the row has no name, which is its type of feature. It is column 4.")
            yield row.interval.name, row.interval, row.place
    elif name.endswith(GFF):
        for record in read_gff(path):
            yield record.feature, record.interval, record.place
    else:
        raise ValueError(
            f"{os.fspath(path)}: the extension of an annotation must be .bed, .gff, .gff3 or .gtf, or that with .gz."
        )


def _within(interval: Interval, place: str, genome: ReferenceGenome) -> Interval:
    try:
        contig = genome.resolve(interval.contig)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    length_bp = genome.contig_lengths[contig]
    if interval.end_bp > length_bp:
        raise ValueError(
            f"{place}: {interval.to_region()} ends behind {contig}, which has {length_bp} bases in {genome.path}. Are "
            "both of the same assembly?"
        )
    return Interval(contig, interval.start_bp, interval.end_bp, interval.strand, interval.name)


def _known(path: str | os.PathLike) -> str:
    found = sorted({name for name, _, _ in feature_rows(path)})
    return f" It has {', '.join(found[:20])}{', ...' if len(found) > 20 else ''}." if found else " It has none."


def _has(intervals: Sequence[Interval], edges: Edges) -> NDArray[np.bool_]:
    has = 2 * np.diff(_covered(merge_intervals(intervals), edges)) >= np.diff(edges)
    if not intervals:
        return np.zeros(len(edges) - 1, np.bool_)
    starts, ends = np.array([(each.start_bp, each.end_bp) for each in intervals]).T
    # The window in which the middle of a feature lies is the only one that can have more than half of it.
    window = np.clip(np.searchsorted(edges, (starts + ends - 1) // 2, "right") - 1, 0, len(edges) - 2)
    for own in (window, np.minimum(window + 1, len(edges) - 2)):
        shared = np.minimum(ends, edges[own + 1]) - np.maximum(starts, edges[own])
        has[own[2 * shared >= ends - starts]] = True
    return has


def _covered(merged: Sequence[Interval], edges: Edges) -> NDArray[np.int64]:
    """Return how many bases before each edge disjoint, sorted intervals cover."""
    if not merged:
        return np.zeros(len(edges), np.int64)
    starts, ends = np.array([(each.start_bp, each.end_bp) for each in merged], np.int64).T
    before = np.append(0, np.cumsum(ends - starts))
    last = np.searchsorted(starts, edges, "right") - 1
    inside = np.minimum(edges, ends[last]) - starts[last]
    return np.where(last < 0, 0, before[np.maximum(last, 0)] + np.maximum(inside, 0))
