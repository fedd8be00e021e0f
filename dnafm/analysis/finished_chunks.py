"""Finished chunks of long work, kept beside its output until that is whole, so that the work can go on later."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

try:
    import pyarrow as pa
except ImportError as error:
    raise ImportError("Finished chunks are kept by pyarrow: pip install 'dnafm[train]'") from error

_SETTINGS = "settings.json"


class FinishedChunks:
    """A folder `OUTPUT.parts` with a file for each finished chunk and the settings that they were made with.

    A chunk appears when it is whole, whichever rank made it, so that a killed run loses the chunks in work alone.

    Args:
        output: the file that is made of the chunks.
        settings: what the chunks depend on, as JSON holds it. Chunks of other settings are never used.
    """

    def __init__(self, output: str | os.PathLike, settings: Mapping[str, Any]):
        self.folder = Path(f"{os.fspath(output)}.parts")
        self._settings = json.dumps(settings, indent=1, sort_keys=True)

    def prepare(self, *, overwrite: bool = False) -> int:
        """Make the folder, and return how many finished chunks an earlier run left in it.

        To be called by one rank, before any reads or writes.

        Args:
            overwrite: remove chunks that were made with other settings.

        Raises:
            ValueError: there are chunks that were made with other settings.
        """
        path, n_finished = self.folder / _SETTINGS, len(list(self.folder.glob("*.arrow")))
        if path.exists() and path.read_text() == self._settings:
            return n_finished
        if n_finished and not overwrite:
            raise ValueError(
                f"{self.folder} holds {n_finished} finished chunks of a run with {self._difference(path)}. Run with "
                "the same options to go on, or remove the folder, or set overwrite to begin anew."
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        _write_whole(path, self._settings.encode())
        return 0

    def has(self, index: int) -> bool:
        """Return whether a chunk is finished."""
        return self._path(index).exists()

    def write(self, index: int, rows: pa.Table) -> None:
        """Keep a finished chunk.

        Raises:
            OSError: the disk is full; the chunks before it stay.
        """
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
        _write_whole(self._path(index), sink.getvalue())

    def read(self, n_chunks: int) -> Iterator[pa.Table]:
        """Yield the chunks in their order.

        Raises:
            FileNotFoundError: one is missing.
        """
        for index in range(n_chunks):
            with pa.OSFile(str(self._path(index))) as source:
                yield pa.ipc.open_file(source).read_all()

    def remove(self) -> None:
        """Remove the folder, when the output is whole."""
        shutil.rmtree(self.folder)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:08}.arrow"

    def _difference(self, path: Path) -> str:
        if not path.exists():
            return "unknown settings"
        earlier, own = json.loads(path.read_text()), json.loads(self._settings)
        names = sorted(name for name in {*earlier, *own} if earlier.get(name) != own.get(name))
        return ", ".join(f"{name} {json.dumps(earlier.get(name))}, not {json.dumps(own.get(name))}" for name in names)


def _write_whole(path: Path, data: Any) -> None:
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(
            f"{path} cannot be written to the end ({error.strerror}). Is the disk full? Finished chunks are kept: "
            "make room, and run again."
        ) from error
