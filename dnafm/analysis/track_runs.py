"""Tracks from a genome to bigWig files: in chunks, on one rank or many, and going on after an interruption."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
from accelerate import PartialState  # type: ignore[import-untyped]

from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.base_tracks import read_tracks
from dnafm.analysis.chunked_runs import ChunkedRun
from dnafm.analysis.identities import file_identity
from dnafm.analysis.mutagenesis import Progress
from dnafm.analysis.regions import checked_window_bp
from dnafm.analysis.track_windows import CHUNK_BP, STRIDE, TrackPiece, asked_ranges, check_stride, track_chunks
from dnafm.data.prediction_tables import prediction_table
from dnafm.genomics import Interval, ReferenceGenome, TrackSegment, write_bigwig
from dnafm.version import __version__

# Numbers of `TrackPart` that a file may hold.
TRACKS = ("entropy_bits", "log_probability")


class TrackRun:
    """The numbers of `track_bases`, to be written to bigWig files.

    `finish` computes, and keeps finished chunks in the folder `FILE.parts` of the first file; `write` makes the files
    of them, which are the same bytes whether the work was interrupted or not, from one rank or many. All ranks call
    both.

    Args:
        predictor: the model, and the strand that it reads.
        genome: of the intervals.
        intervals: in any order and on any strand; overlapping ones are merged. By default all contigs.
        paths: of files by what they hold, one or several of `TRACKS`.
        model: what tells the model from others, as JSON holds it.
        masked: whether bases are hidden.
        stride: of hidden bases.
        window_bp: bases of a window; by default 1,024, or as many as the model reads.
        overwrite: replace existing files, and chunks that were made with other options.
        state: ranks that share the work, by default those of `process_state`.

    Raises:
        ValueError: there is no file, an interval is not in the genome, or the window or stride is out of its range.
    """

    def __init__(
        self,
        predictor: BasePredictor,
        genome: ReferenceGenome,
        intervals: Iterable[Interval] | None = None,
        *,
        paths: Mapping[str, str | os.PathLike],
        model: Mapping[str, Any],
        masked: bool = True,
        stride: int = STRIDE,
        window_bp: int | None = None,
        overwrite: bool = False,
        state: PartialState | None = None,
    ):
        if not paths or set(paths) - set(TRACKS):
            raise ValueError(f"paths has {', '.join(paths) or 'nothing'}; it must name files by {', '.join(TRACKS)}.")
        check_stride(stride)
        self._predictor, self._genome = predictor, genome
        self._intervals = None if intervals is None else list(intervals)
        self._paths, self._overwrite = dict(paths), overwrite
        self._masked, self._stride = masked, stride
        self._window_bp = checked_window_bp(window_bp, predictor.tokenizer)
        ranges = asked_ranges(genome, self._intervals)
        self.n_bases = sum(int((ends_bp - starts_bp).sum()) for starts_bp, ends_bp in ranges.values())
        settings = {**self._settings(), "intervals": _digest(ranges), "model": dict(model)}
        self._run = ChunkedRun(next(iter(paths.values())), settings, overwrite=overwrite, state=state)

    @property
    def is_main_process(self) -> bool:
        """Whether this is the first rank."""
        return self._run.state.is_main_process

    def finish(self, *, on_progress: Progress | None = None) -> int:
        """Compute what is missing, and return how many chunks an earlier run had finished, on the first rank.

        Args:
            on_progress: is told how many bases more are done, on every rank those of all.

        Raises:
            ValueError: the folder has chunks of other options.
            OSError: a chunk cannot be written.
        """

        def kept(pieces: list[TrackPiece]) -> pa.Table:
            parts = read_tracks(
                self._predictor, pieces, masked=self._masked, stride=self._stride, on_progress=on_progress
            )
            names = ("contig", "start_bp", *TRACKS)
            return prediction_table({name: [getattr(part, name) for part in parts] for name in names})

        def passed(pieces: list[TrackPiece]) -> None:
            if on_progress is not None:
                on_progress(sum(piece.n_bases for piece in pieces))

        chunks = track_chunks(self._genome, self._intervals, window_bp=self._window_bp, chunk_bp=CHUNK_BP)
        self._run.finish(chunks, kept, on_passed=passed)
        return self._run.n_resumed

    def write(self) -> dict[str, int]:
        """Write the files, and return of how many bases by path, on the first rank.

        Raises:
            ValueError: no base is one of A, C, G and T.
            OSError: a file exists or cannot be written.
        """
        n_bases: dict[str, int] = {}
        if self.is_main_process:
            for name, path in self._paths.items():
                n_bases[os.fspath(path)] = write_bigwig(
                    path,
                    self._segments(name),
                    contig_lengths=self._genome.contig_lengths,
                    overwrite=self._overwrite,
                )
        self._run.remove()
        return n_bases

    def _segments(self, name: str) -> Iterator[TrackSegment]:
        for table in self._run.tables():
            places = zip(table["contig"].to_pylist(), table["start_bp"].to_pylist(), table[name], strict=True)
            for contig, start_bp, values in places:
                yield TrackSegment(contig, start_bp, values.values.to_numpy())

    def _settings(self) -> dict[str, Any]:
        """Return what the numbers of a chunk depend on, down to the last bit, beside model and intervals."""
        return {
            "genome": file_identity(self._genome.path),
            "masked": self._masked,
            "stride": self._stride if self._masked else None,
            "window": self._window_bp,
            "strand": self._predictor.strand,
            "batch": self._predictor.max_tokens,
            "bf16": self._predictor.bf16,
            "chunk_bp": CHUNK_BP,
            "dnafm": __version__,
        }


def _digest(ranges: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for contig, (starts_bp, ends_bp) in ranges.items():
        digest.update(f"{contig}\n{starts_bp.tolist()}\n{ends_bp.tolist()}\n".encode())
    return digest.hexdigest()
