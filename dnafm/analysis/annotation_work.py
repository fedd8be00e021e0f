"""How annotations are computed: where chunks are kept, and how far the work is."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from accelerate import PartialState  # type: ignore[import-untyped]
from tqdm import tqdm

from dnafm.analysis.chunked_runs import ChunkedRun, process_state


class ContigRun:
    """Work on whole contigs that is kept in chunks: what the ways of annotation have in common.

    Args:
        run: of the chunks.
        lengths: bases by contig.
    """

    def __init__(self, run: ChunkedRun, lengths: dict[str, int]):
        self._run, self._lengths = run, lengths

    @property
    def is_main_process(self) -> bool:
        """Whether this is the first rank, the one that writes."""
        return self._run.is_main_process

    @property
    def n_bases(self) -> int:
        """Bases of all contigs."""
        return sum(self._lengths.values())

    def remove(self) -> None:
        """Remove what was kept, when all is written; all ranks call it."""
        self._run.remove()


@contextmanager
def workplace(
    output: str | os.PathLike | None, *, overwrite: bool
) -> Iterator[tuple[PartialState, str | os.PathLike]]:
    """Give the ranks, and the path beside which chunks are kept: that of the output, or a temporary one.

    Raises:
        ValueError: there is no output, and several ranks, which would not find each other's chunks.
        OSError: the output exists, or its folder does not.
    """
    state = process_state()
    if output is not None:
        path = Path(output)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists. Write to another file, or set overwrite to replace it.")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"The folder {path.parent} does not exist. Make it, or write to another one.")
        yield state, output
        return
    if state.num_processes > 1:
        raise ValueError("output is None, and several ranks must share a folder. Name a file by output.")
    with TemporaryDirectory(prefix="dnafm-annotate-") as folder:
        yield state, os.path.join(folder, "annotation")


def finish(run: Any, doing: str, report: Callable[[str], object] | None) -> None:
    """Compute what is missing of a run, with a progress bar, and report what an earlier one had finished."""
    # Silent where stderr is no terminal.
    is_silent = None if run.is_main_process else True
    with tqdm(desc=doing, total=run.n_bases, unit="b", unit_scale=True, disable=is_silent, leave=False) as bar:
        n_resumed = run.finish(on_progress=bar.update)
    if n_resumed and run.is_main_process and report is not None:
        report(f"Went on from {n_resumed:,} finished chunks of an earlier run.")
