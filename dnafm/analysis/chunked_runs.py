"""Work in chunks that are kept as they are finished: on one rank or many, and going on after an interruption."""

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate import PartialState  # type: ignore[import-untyped]

from dnafm.analysis.finished_chunks import FinishedChunks

if TYPE_CHECKING:
    import pyarrow as pa

Chunk = TypeVar("Chunk")


def process_state() -> PartialState:
    """Return this process among those of `torchrun` or `accelerate launch`, with its device."""
    # Of ranks on a CPU accelerate sees one, unless it is told.
    return PartialState(cpu=not torch.accelerator.is_available())


class ChunkedRun:
    """Ranks that share the chunks of some work, and keep them in the folder `OUTPUT.parts` until they are written.

    A later run with the same settings goes on from what is there. What is made of the chunks is the same bytes whether
    the work was interrupted or not, from one rank or many, where a chunk does not depend on the others.

    Args:
        output: the file beside which chunks are kept.
        settings: what chunks depend on, as JSON holds it.
        overwrite: begin anew where there are chunks of other settings.
        state: ranks that share the work, by default those of `process_state`.
    """

    def __init__(
        self,
        output: str | os.PathLike,
        settings: Mapping[str, Any],
        *,
        overwrite: bool = False,
        state: PartialState | None = None,
    ):
        self.state = state or process_state()
        self.n_resumed = 0
        self._n_chunks = 0
        self._overwrite = overwrite
        self._kept = FinishedChunks(output, settings)
        if self.is_main_process and self._kept.folder.exists():
            _remove_unfinished(Path(output))

    def finish(
        self,
        chunks: Iterable[Chunk],
        compute: "Callable[[Chunk], pa.Table]",
        *,
        on_passed: Callable[[Chunk], object] | None = None,
        revise: "Callable[[Chunk, pa.Table], pa.Table | None] | None" = None,
    ) -> None:
        """Compute the chunks that are missing, each on one rank; all ranks come back when all chunks are there.

        Args:
            chunks: the same on all ranks, and each time that they are iterated.
            compute: returns what is kept of a chunk.
            on_passed: is told of the chunks that this rank leaves out.
            revise: for chunks that depend on those before them. Is given all in their order, on the first rank, with
                what is kept of each, and returns what is to be kept in its place, if that is something else. Of one
                rank, it knows a chunk before the next one is computed.

        Raises:
            ValueError: the folder has chunks of other settings.
            OSError: a chunk cannot be written.
        """
        if self.is_main_process:
            self.n_resumed = self._kept.prepare(overwrite=self._overwrite)
        self.state.wait_for_everyone()
        self._n_chunks = 0
        is_alone = self.state.num_processes == 1
        # A chunk is read when it is there.
        kept = self._kept.read(sys.maxsize)
        try:
            for index, chunk in enumerate(chunks):
                if index % self.state.num_processes == self.state.process_index and not self._kept.has(index):
                    self._kept.write(index, compute(chunk))
                elif on_passed is not None:
                    on_passed(chunk)
                self._n_chunks += 1
                if revise is not None and is_alone:
                    self._keep_revised(index, revise(chunk, next(kept)))
        finally:
            # Input that is wrong from the start leaves nothing behind.
            if self.is_main_process and not any(self._kept.folder.glob("*.arrow")):
                self._kept.remove()
        self.state.wait_for_everyone()
        if revise is not None and not is_alone:
            if self.is_main_process:
                for index, (chunk, table) in enumerate(zip(chunks, self.tables(), strict=True)):
                    self._keep_revised(index, revise(chunk, table))
            self.state.wait_for_everyone()

    @property
    def is_main_process(self) -> bool:
        """Whether this is the first rank, the one that writes."""
        return self.state.is_main_process

    def tables(self) -> "Iterator[pa.Table]":
        """Yield what was kept, in the order of the chunks."""
        return self._kept.read(self._n_chunks)

    def remove(self) -> None:
        """Remove the folder, when all is written; called by all ranks, which come back together."""
        if self.is_main_process:
            self._kept.remove()
        self.state.wait_for_everyone()

    def _keep_revised(self, index: int, revised: "pa.Table | None") -> None:
        if revised is not None:
            self._kept.write(index, revised)


def _remove_unfinished(output: Path) -> None:
    """Remove the temporary files that a killed run left beside its output; its finished chunks are elsewhere."""
    for temporary in output.parent.glob(f"{glob.escape(output.name)}.{'[0-9a-f]' * 32}.tmp*"):
        temporary.unlink(missing_ok=True)
