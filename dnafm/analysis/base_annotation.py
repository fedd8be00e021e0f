"""Probabilities of classes for each base along contigs, from a fine-tuned classifier of bases read in windows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dnafm.data.prediction_tables import prediction_table
from dnafm.genomics import Interval, ReferenceGenome

# Bases of a chunk, and of contigs that are one together.
CHUNK_BP = 100_000


@dataclass(frozen=True)
class BaseClassifier:
    """A model that gives each base of a window the probabilities of classes.

    Attributes:
        names: of the classes.
        read: returns (bases, classes) float32 of each of some windows, along the + strand.
        longest_bp: most bases of a window.
        max_tokens: most tokens that it is given at once, but for a longer window.
    """

    names: tuple[str, ...]
    read: Callable[[Sequence[str]], list[NDArray[np.float32]]]
    longest_bp: int
    max_tokens: int = 16_384


@dataclass(frozen=True)
class StitchedReader:
    """Reads contigs in overlapping windows and joins what the model says, weighted by how deep a base lies.

    A base that is the i-th of a window of n has the weight min(i, n + 1 - i): that of a triangle, 1 at the ends. Its
    probabilities are the weighted mean of those from all windows that have it. A window begins every `window_bp -
    overlap_bp` bases, and the last one ends with the contig, so that the numbers of a base do not depend on what else
    is read.

    Attributes:
        classifier: the model.
        window_bp: bases of a window; by default as many as the model reads.
        overlap_bp: bases that neighbours share; by default half of the window.

    Raises:
        ValueError: the window is longer than what the model reads, or the overlap as long as the window.
    """

    classifier: BaseClassifier
    window_bp: int | None = None
    overlap_bp: int | None = None

    def __post_init__(self) -> None:
        longest_bp = self.classifier.longest_bp
        window_bp = longest_bp if self.window_bp is None else self.window_bp
        if not 1 <= window_bp <= longest_bp:
            raise ValueError(f"window_bp is {window_bp}; the model reads 1 to {longest_bp} bases.")
        overlap_bp = window_bp // 2 if self.overlap_bp is None else self.overlap_bp
        if not 0 <= overlap_bp < window_bp:
            raise ValueError(
                f"overlap_bp is {overlap_bp}; it must be at least 0 and less than a window, here of {window_bp} bases."
            )
        object.__setattr__(self, "window_bp", window_bp)
        object.__setattr__(self, "overlap_bp", overlap_bp)

    def read(self, genome: ReferenceGenome, part: Interval) -> NDArray[np.float32]:
        """Return (bases, classes) of a part of a contig, along the + strand; rows sum to 1."""
        n_bases = genome.contig_lengths[part.contig]
        spans = [span for span in self._spans(n_bases) if span[0] < part.end_bp and part.start_bp < span[1]]
        first_bp = spans[0][0]
        bases = genome.fetch_bases(part.contig, first_bp, spans[-1][1]).replace("U", "T")
        sums = np.zeros((spans[-1][1] - first_bp, len(self.classifier.names)))
        weights = np.zeros(len(sums))
        for (start_bp, end_bp), own in zip(spans, self._windows(bases, first_bp, spans), strict=True):
            weight = triangle(end_bp - start_bp)
            place = slice(start_bp - first_bp, end_bp - first_bp)
            sums[place] += weight[:, None] * own
            weights[place] += weight
        inside = slice(part.start_bp - first_bp, part.end_bp - first_bp)
        return (sums[inside] / weights[inside, None]).astype(np.float32)

    def _spans(self, n_bases: int) -> Iterator[tuple[int, int]]:
        assert self.window_bp is not None
        assert self.overlap_bp is not None
        last_start_bp = max(0, n_bases - self.window_bp)
        for start_bp in range(0, last_start_bp, self.window_bp - self.overlap_bp):
            yield start_bp, start_bp + self.window_bp
        yield last_start_bp, n_bases

    def _windows(self, bases: str, first_bp: int, spans: Sequence[tuple[int, int]]) -> Iterator[NDArray[np.float32]]:
        # All have as many bases, and two tokens beside them.
        size = max(1, self.classifier.max_tokens // (spans[0][1] - spans[0][0] + 2))
        windows = (bases[start_bp - first_bp : end_bp - first_bp] for start_bp, end_bp in spans)
        while batch := list(islice(windows, size)):
            yield from self.classifier.read(batch)


def triangle(n_bases: int) -> NDArray[np.float64]:
    """Return the weights of the bases of a window: 1, 2, ... to the middle and back to 1."""
    places = np.arange(1, n_bases + 1)
    return np.minimum(places, places[::-1]).astype(np.float64)


def part_chunks(lengths: dict[str, int]) -> Iterator[list[Interval]]:
    """Yield parts of contigs that are read independently of all others, in the order of the genome."""
    chunk: list[Interval] = []
    n_bases = 0
    for contig, length_bp in lengths.items():
        for start_bp in range(0, length_bp, CHUNK_BP):
            chunk.append(Interval(contig, start_bp, min(start_bp + CHUNK_BP, length_bp), "."))
            n_bases += len(chunk[-1])
            if n_bases >= CHUNK_BP:
                yield chunk
                chunk, n_bases = [], 0
    if chunk:
        yield chunk


def kept_table(parts: Sequence[Interval], probabilities: Sequence[NDArray[np.float32]]) -> pa.Table:
    """Return a row for each part: contig, start_bp, and its probabilities, flat."""
    return prediction_table(
        {
            "contig": [part.contig for part in parts],
            "start_bp": [part.start_bp for part in parts],
            "probabilities": [np.ravel(rows) for rows in probabilities],
        }
    )


def whole_contigs(tables: Iterator[pa.Table], n_classes: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each contig, and (bases, classes) of it, from what `kept_table` returned."""
    contig = ""
    parts: list[NDArray[np.float32]] = []
    for table in tables:
        for name, values in zip(table["contig"].to_pylist(), table["probabilities"], strict=True):
            if parts and name != contig:
                yield contig, np.concatenate(parts)
                parts = []
            contig = name
            parts.append(values.values.to_numpy().reshape(-1, n_classes))
    if parts:
        yield contig, np.concatenate(parts)
