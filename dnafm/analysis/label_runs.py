"""Classes of the bases of a genome, from its FASTA file to intervals: in chunks, on one rank or many, resumable."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from accelerate import PartialState  # type: ignore[import-untyped]

from dnafm.analysis.annotation_colours import colour_of, track_line
from dnafm.analysis.annotation_windows import annotated_lengths
from dnafm.analysis.annotation_work import ContigRun
from dnafm.analysis.base_annotation import StitchedReader, kept_table, part_chunks, whole_contigs
from dnafm.analysis.base_decoding import decode, path_intervals
from dnafm.analysis.base_transitions import Transitions
from dnafm.analysis.chunked_runs import ChunkedRun
from dnafm.analysis.identities import file_identity
from dnafm.genomics import GffRecord, Interval, ReferenceGenome, coloured, write_bed, write_gff3
from dnafm.version import __version__

EXTENSIONS = (".bed", ".bed.gz", ".gff3", ".gff3.gz")
LabelStrand = Literal["both", "forward", "reverse"]
# In BED and GFF3.
_SIGNS = {"both": ".", "forward": "+", "reverse": "-"}


@dataclass(frozen=True, eq=False)
class LabelAnnotation:
    """Intervals of classes, which tile the contigs, and what there is of each class.

    Attributes:
        intervals: `contig`, `start_bp`, `end_bp`, `strand`, `class`, and `score`, the mean probability of the class.
        classes: `class`, `colour`, `n_intervals`, `n_bases`, `share`, and `mean_score` over its bases.
    """

    intervals: pa.Table
    classes: pa.Table


class LabelRun(ContigRun):
    """Probabilities of the classes of all bases, kept in chunks, and the intervals that are made of them.

    `finish` computes the probabilities and keeps them in the folder `OUTPUT.parts`, with four bytes for each class of
    each base; `intervals` decodes them, contig by contig, and `remove` removes them. All ranks call `finish` and
    `remove`.

    Args:
        reader: the model and its windows.
        genome: whose contigs are annotated.
        strand: which one the reader's classifier reads: both, or a single one whose classes are those of this strand.
        output: beside which chunks are kept.
        model: what tells the model from others, as JSON holds it.
        overwrite: replace chunks that were made with other options.
        state: ranks that share the work, by default those of `process_state`.

    Raises:
        ValueError: no contig has a base.
    """

    def __init__(
        self,
        reader: StitchedReader,
        genome: ReferenceGenome,
        *,
        strand: LabelStrand,
        output: str | os.PathLike,
        model: Mapping[str, Any],
        overwrite: bool = False,
        state: PartialState | None = None,
    ):
        self._reader, self._genome, self._strand = reader, genome, strand
        settings = {
            "genome": file_identity(genome.path),
            "window": reader.window_bp,
            "overlap": reader.overlap_bp,
            "strand": strand,
            "batch": reader.classifier.max_tokens,
            "classes": list(self.names),
            "model": dict(model),
            "dnafm": __version__,
        }
        lengths = annotated_lengths(genome)
        run = ChunkedRun(output, settings, overwrite=overwrite, state=state)
        super().__init__(run, lengths)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self._reader.classifier.names

    def finish(self, *, on_progress: Callable[[int], object] = lambda n_bases: None) -> int:
        """Compute what is missing, and return how many chunks an earlier run had finished, on the first rank.

        Args:
            on_progress: is told how many bases more are done, on every rank those of all.

        Raises:
            ValueError: the folder has chunks of other options.
            OSError: a chunk cannot be written.
        """

        def kept(chunk: list[Interval]) -> pa.Table:
            rows = []
            for part in chunk:
                rows.append(self._reader.read(self._genome, part))
                on_progress(len(part))
            return kept_table(chunk, rows)

        self._run.finish(part_chunks(self._lengths), kept, on_passed=lambda chunk: on_progress(sum(map(len, chunk))))
        return self._run.n_resumed

    def intervals(self, *, transitions: Transitions | None = None, min_bp: int = 1) -> Iterator[Interval]:
        """Yield the intervals of all contigs; see `decode` and `path_intervals`. One contig is in memory at a time.

        Args:
            transitions: of the classes in the order of `names`, counted along the strand that is read.
            min_bp: of an interval.

        Raises:
            ValueError: `min_bp` is out of its range.
        """
        if transitions is not None and self._strand == "reverse":
            transitions = transitions.reversed()
        for contig, probabilities in whole_contigs(self._run.tables(), len(self.names)):
            path = decode(probabilities, transitions=transitions, min_bp=min_bp)
            yield from path_intervals(contig, path, probabilities, names=self.names, strand=_SIGNS[self._strand])


class ClassCounts:
    """What there is of each class, counted while intervals pass by."""

    def __init__(self, names: Sequence[str]):
        self._names = list(names)
        self._counts = np.zeros((len(self._names), 2), np.int64)
        self._sums = np.zeros(len(self._names))

    def passing(self, intervals: Iterator[Interval]) -> Iterator[Interval]:
        """Yield the intervals, and count them."""
        for interval in intervals:
            place = self._names.index(str(interval.name))
            self._counts[place] += (1, len(interval))
            self._sums[place] += len(interval) * (interval.score or 0.0)
            yield interval

    def table(self) -> pa.Table:
        """Return the column `classes` of `LabelAnnotation`; the mean score of a class without a base is NaN."""
        n_intervals, n_bases = self._counts.T
        with np.errstate(invalid="ignore"):
            mean = self._sums / n_bases
        return pa.table(
            {
                "class": self._names,
                "colour": [",".join(map(str, colour_of(place))) for place in range(len(self._names))],
                "n_intervals": n_intervals,
                "n_bases": n_bases,
                "share": n_bases / n_bases.sum(),
                "mean_score": mean,
            }
        )


def interval_table(intervals: Iterator[Interval]) -> pa.Table:
    """Return `LabelAnnotation.intervals`."""
    rows = [(each.contig, each.start_bp, each.end_bp, each.strand, each.name, each.score) for each in intervals]
    names = ("contig", "start_bp", "end_bp", "strand", "class", "score")
    types = (pa.string(), pa.int64(), pa.int64(), pa.string(), pa.string(), pa.float64())
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    return pa.table(arrays, names=list(names))


def write_labels(
    path: str | os.PathLike,
    intervals: Iterator[Interval],
    *,
    names: Sequence[str],
    omitted: Sequence[str] = (),
    overwrite: bool = False,
) -> int:
    """Write intervals as BED9 or GFF3 by the extension, and return how many.

    The score is the mean probability of the class: in BED of 1,000, in GFF3 of 1. In BED each class has its colour,
    and in GFF3 it is the type of the feature.

    Args:
        path: one of `EXTENSIONS`.
        intervals: of classes.
        names: of all classes.
        omitted: classes that are left out; the rest no longer tiles the contigs.
        overwrite: replace an existing file.

    Raises:
        OSError: the file exists or cannot be written.
    """
    kept = (each for each in intervals if each.name not in omitted)
    if os.fspath(path).endswith((".gff3", ".gff3.gz")):
        return write_gff3(path, map(_record, kept), overwrite=overwrite)
    rows = (_bed9(each, colour_of(list(names).index(str(each.name)))) for each in kept)
    return write_bed(path, rows, track=track_line(path, "dnafm"), overwrite=overwrite)


def _record(interval: Interval) -> GffRecord:
    scored = Interval(
        interval.contig, interval.start_bp, interval.end_bp, interval.strand, score=round(interval.score or 0.0, 3)
    )
    return GffRecord(scored, str(interval.name), "dnafm")


def _bed9(interval: Interval, colour: tuple[int, int, int]) -> Interval:
    score = float(round(1000 * (interval.score or 0.0)))
    columns = coloured(interval, colour)
    return Interval(
        interval.contig, interval.start_bp, interval.end_bp, interval.strand, interval.name, score, columns
    )
