"""Embedding the sequences of a file: in chunks, on one rank or many, and going on after an interruption."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState  # type: ignore[import-untyped]

from dnafm.analysis.chunked_runs import ChunkedRun
from dnafm.analysis.embedder import Embedder
from dnafm.analysis.embedding_files import write_embeddings
from dnafm.analysis.embedding_inputs import CheckedInput
from dnafm.analysis.embedding_shards import ShardSize
from dnafm.analysis.embedding_tables import EmbeddingLayout, pa
from dnafm.analysis.named_sequences import NamedSequence
from dnafm.analysis.regions import longest_window_bp
from dnafm.version import __version__

# A chunk ends with the sequence that brings it to one of these: sequences, bases, bytes of vectors.
CHUNK_SEQUENCES = 1024
CHUNK_BP = 1 << 20
CHUNK_BYTES = 1 << 28

Progress = Callable[[int, int], object]


class EmbeddingRun:
    """The embeddings of a file, to be written to another one.

    `finish` computes, and keeps finished chunks in the folder `OUTPUT.parts`, from which a later run with the same
    options goes on; `write` makes the file of them, which is the same bytes whether the work was interrupted or not,
    from one rank or many. All ranks call both. Until the end, the disk holds all vectors twice.

    Args:
        embedder: the model, and how it is read.
        checked: the sequences.
        layout: of the rows.
        output: checked by `check_output` and `check_layout`.
        model: what tells the model from others, as JSON holds it.
        overwrite: replace existing files, and chunks that were made with other options.
        state: ranks that share the work, by default those of `process_state`.

    Raises:
        ValueError: special tokens are asked for, and a sequence is longer than a window.
    """

    def __init__(
        self,
        embedder: Embedder,
        checked: CheckedInput,
        layout: EmbeddingLayout,
        *,
        output: str | os.PathLike,
        model: Mapping[str, Any],
        overwrite: bool = False,
        state: PartialState | None = None,
    ):
        _check_special_tokens(embedder, checked)
        self._embedder, self._checked, self._layout = embedder, checked, layout
        self._output, self._overwrite = output, overwrite
        self._run = ChunkedRun(output, {**self._settings(), "model": dict(model)}, overwrite=overwrite, state=state)

    @property
    def is_main_process(self) -> bool:
        """Whether this is the first rank."""
        return self._run.is_main_process

    def finish(self, *, on_progress: Progress = lambda n_sequences, n_bases: None) -> int:
        """Compute what is missing, and return how many chunks an earlier run had finished, on the first rank.

        Args:
            on_progress: is told how many sequences and bases more are done, on every rank those of all.

        Raises:
            ValueError: the input has changed, the folder has chunks of other options, or a number is too large for
                float16.
            OSError: a chunk cannot be written.
        """

        def kept(rows: list[NamedSequence]) -> pa.Table:
            vectors = []
            for row, own in zip(rows, self._embedder.embed(row.sequence for row in rows), strict=True):
                vectors.append(own)
                on_progress(1, len(row.sequence))
            return self._layout.table(rows, vectors)

        def passed(rows: list[NamedSequence]) -> None:
            on_progress(len(rows), sum(len(row.sequence) for row in rows))

        self._run.finish(_chunks(self._checked, self._bytes_of_base()), kept, on_passed=passed)
        return self._run.n_resumed

    def write(self, *, max_shard_size: ShardSize = "5GB") -> list[Path]:
        """Write the file on the first rank, and return what `write_embeddings` does.

        Raises:
            ValueError: the rows do not fit the format.
            OSError: a file exists, or the disk is full; what was computed is kept.
        """
        written: list[Path] = []
        if self.is_main_process:
            written = write_embeddings(
                self._output,
                self._run.tables(),
                self._layout,
                n_rows=self._checked.n_sequences,
                max_shard_size=max_shard_size,
                overwrite=self._overwrite,
            )
        self._run.remove()
        return written

    def _bytes_of_base(self) -> int:
        embedder = self._embedder
        return 4 * len(embedder.layers) * embedder.width if embedder.pooling == "none" else 0

    def _settings(self) -> dict[str, Any]:
        """Return what the rows of a chunk depend on, down to the last bit, beside the model."""
        embedder = self._embedder
        return {
            **self._checked.identity,
            **{name: getattr(embedder, name) for name in ("pooling", "strand", "special_tokens", "bf16")},
            "layers": list(self._layout.layers),
            "window": embedder.window_bp,
            "overlap": embedder.overlap_bp,
            "batch": embedder.max_tokens,
            "output_dtype": self._layout.dtype,
            "chunk": [CHUNK_SEQUENCES, CHUNK_BP, CHUNK_BYTES],
            "dnafm": __version__,
        }


def _chunks(rows: Iterable[NamedSequence], bytes_of_base: int) -> Iterator[list[NamedSequence]]:
    chunk: list[NamedSequence] = []
    n_bases = 0
    for row in rows:
        chunk.append(row)
        n_bases += len(row.sequence)
        if len(chunk) == CHUNK_SEQUENCES or n_bases >= CHUNK_BP or n_bases * bytes_of_base >= CHUNK_BYTES:
            yield chunk
            chunk, n_bases = [], 0
    if chunk:
        yield chunk


def _check_special_tokens(embedder: Embedder, checked: CheckedInput) -> None:
    """Name the place of what the embedder, which sees sequences of a chunk, can only count."""
    window_bp = embedder.window_bp or longest_window_bp(embedder.tokenizer)
    if embedder.special_tokens and embedder.pooling != "cls" and checked.longest_bp > window_bp:
        raise ValueError(
            f"{checked.longest_place}: the sequence has {checked.longest_bp} bases and is read in windows of "
            f"{window_bp}, each with special tokens of its own. Leave special_tokens out, or cut the sequence."
        )
