"""Which class follows which along a genome, counted in labels."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dnafm.analysis.annotation_features import feature_rows
from dnafm.genomics import Interval

PSEUDO_COUNT = 1.0
# The class of bases without a label, unless it has another name.
BACKGROUND = "background"


@dataclass(frozen=True, eq=False)
class Transitions:
    """Counts of pairs of neighbouring bases.

    Attributes:
        names: of the classes.
        counts: (classes, classes) int64: of bases of the row's class before one of the column's.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def log_probabilities(self) -> NDArray[np.float64]:
        """(classes, classes) log-probabilities from row to column; 1 is added to each count, so that none is 0."""
        counts = self.counts + PSEUDO_COUNT
        return np.log(counts / counts.sum(axis=1, keepdims=True))

    @property
    def log_shares(self) -> NDArray[np.float64]:
        """(classes,) logarithms of the shares of bases; 1 is added to each count."""
        counts = self.counts.sum(axis=1) + PSEUDO_COUNT
        return np.log(counts / counts.sum())

    def reversed(self) -> "Transitions":
        """Return those of the same labels read from the end to the start."""
        return Transitions(self.names, self.counts.T)

    def ordered(self, names: Sequence[str], *, source: str) -> "Transitions":
        """Return them in the order of other names.

        Raises:
            ValueError: the names are others.
        """
        if sorted(names) != sorted(self.names):
            raise ValueError(
                f"{source} has transitions of the classes {', '.join(self.names)}; those of the model are "
                f"{', '.join(names)}."
            )
        order = [self.names.index(name) for name in names]
        return Transitions(tuple(names), self.counts[np.ix_(order, order)])

    def save(self, path: str | os.PathLike) -> None:
        """Write them as JSON, which `read_transitions` reads."""
        text = json.dumps({"classes": list(self.names), "counts": self.counts.tolist()}, indent=1)
        Path(path).write_text(text + "\n")


def read_transitions(path: str | os.PathLike, names: Sequence[str], *, background: str | None = None) -> Transitions:
    """Count transitions in labels, or read counts that were saved.

    Labels are those that a classifier of bases is trained on: intervals in BED, by their names, or GFF3, by their
    types; others than classes are left out. All count along the + strand, whatever their own, from the first interval
    of a contig to its last. A base that none covers is of the background class, or counts for nothing without one.

    Args:
        path: .bed, .gff, .gff3 or .gtf, or that with .gz; or .json for counts.
        names: of the classes, in the order of the result.
        background: class of bases that no interval covers; by default `background` where there is such a class, as
            it is when labels are trained on.

    Raises:
        ValueError: there is no such background; or, with file and line, two classes overlap, no interval is of a
            class, or counts are of others.
        OSError: there is no such file.
    """
    name, known = os.fspath(path), list(names)
    if background is not None and background not in known:
        raise ValueError(f"background is {background!r}; the classes of the model are {', '.join(known)}.")
    if name.endswith(".json"):
        return _saved(name).ordered(names, source=name)
    of_contig: dict[str, list[tuple[Interval, int, str]]] = {}
    for found, interval, place in feature_rows(name):
        if found in known:
            of_contig.setdefault(interval.contig, []).append((interval, known.index(found), place))
    if not of_contig:
        raise ValueError(f"{name} has no interval of the model's classes {', '.join(names)}.")
    empty = known.index(background or BACKGROUND) if (background or BACKGROUND) in known else -1
    counts = np.zeros((len(known), len(known)), np.int64)
    for rows in of_contig.values():
        _count(counts, rows, empty)
    return Transitions(tuple(names), counts)


def path_counts(path: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Return (classes, classes) of neighbours in a path of classes; negative ones count for nothing."""
    pairs = path[:-1] * n_classes + path[1:]
    counted = (path[:-1] >= 0) & (path[1:] >= 0)
    return np.bincount(pairs[counted], minlength=n_classes**2).reshape(n_classes, n_classes)


def _count(counts: NDArray[np.int64], rows: list[tuple[Interval, int, str]], empty: int) -> None:
    rows.sort(key=lambda row: (row[0].start_bp, row[0].end_bp))
    first_bp, last_bp = rows[0][0].start_bp, max(row[0].end_bp for row in rows)
    path = np.full(last_bp - first_bp, -2, np.int64)
    for interval, label, place in rows:
        own = path[interval.start_bp - first_bp : interval.end_bp - first_bp]
        if ((own != -2) & (own != label)).any():
            raise ValueError(
                f"{place}: {interval.to_region()} overlaps an interval of another class. Labels of bases exclude each "
                "other: write one class for each base."
            )
        own[:] = label
    path[path == -2] = empty
    counts += path_counts(path, len(counts))


def _saved(path: str) -> Transitions:
    try:
        content = json.loads(Path(path).read_text())
        names, counts = tuple(map(str, content["classes"])), np.array(content["counts"], np.int64)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: these are no counts of transitions ({error}). Transitions.save writes them."
        ) from error
    if counts.shape != (len(names), len(names)) or (counts < 0).any():
        raise ValueError(f"{path}: counts have the shape {counts.shape}; {len(names)} classes have a square of them.")
    return Transitions(names, counts)
