"""Which training checkpoints are whole.

A checkpoint is a folder of many files, which a kill or a full disk can cut short. The last one written is the mark of
a whole checkpoint; without it, nothing is resumed from the folder.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

MARK = "complete"
# In the messages of torch.save.
_TORCH_WRITERS = ("PytorchStreamWriter", "inline_container")
_FOLDER = re.compile(r"checkpoint-(\d+)")


@contextmanager
def write_errors_as_os_errors(folder: Path) -> Iterator[None]:
    """Turn what safetensors and torch raise where a file cannot be written into an OSError that names the folder."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, SafetensorError) or any(part in str(error) for part in _TORCH_WRITERS):
            raise OSError(f"Writing {folder} failed: {error}. Is the disk full?") from error
        raise


def mark_complete(folder: Path) -> None:
    """Declare a checkpoint whole, after its files have reached the disk."""
    for path in folder.rglob("*"):
        _flush(path)
    (folder / MARK).touch()
    _flush(folder / MARK)
    _flush(folder)


def unmark(folder: Path) -> None:
    """Withdraw the mark of a checkpoint, if it has one, before it is written again."""
    (folder / MARK).unlink(missing_ok=True)


def complete_checkpoints(output_dir: Path) -> list[Path]:
    """Return the whole checkpoints of a run, by their step."""
    return [folder for folder in _checkpoints(output_dir) if (folder / MARK).is_file()]


def remove_old_checkpoints(output_dir: Path, *, keep: int, best: Path | None = None) -> None:
    """Remove all but the last `keep` whole checkpoints, at least one, and the incomplete ones before them.

    Args:
        output_dir: folder of the run.
        keep: how many stay.
        best: a checkpoint that stays, too.
    """
    kept = complete_checkpoints(output_dir)[-max(keep, 1) :]
    for folder in _checkpoints(output_dir):
        is_best = best is not None and folder.name == best.name
        if kept and _step(folder) < _step(kept[0]) and not is_best:
            unmark(folder)
            shutil.rmtree(folder)


def checkpoint_to_resume(output_dir: Path, requested: str | None, *, option_prefix: str = "--") -> Path | None:
    """Return the checkpoint that a run goes on from; None to start at the beginning.

    Args:
        output_dir: folder of the run.
        requested: `"auto"` for the last whole one in the folder, if there is any; the path of one; or None.
        option_prefix: what the options' names begin with in messages.

    Raises:
        ValueError: the requested one does not exist or is not whole.
        FileExistsError: nothing was requested, and the folder has something in it already.
    """
    if requested is None:
        _check_is_empty(output_dir, option_prefix)
        return None
    if requested == "auto":
        whole = complete_checkpoints(output_dir)
        return whole[-1] if whole else None
    folder = Path(requested)
    if not (folder / MARK).is_file():
        problem = f"has no file {MARK!r}, so writing it was cut short" if folder.is_dir() else "does not exist"
        found = ", ".join(map(str, complete_checkpoints(output_dir))) or "none"
        raise ValueError(f"The checkpoint {requested} {problem}. Whole ones in {output_dir}: {found}.")
    return folder


def _check_is_empty(output_dir: Path, option_prefix: str) -> None:
    if output_dir.is_dir() and any(output_dir.iterdir()):
        raise FileExistsError(
            f"{output_dir} is not empty. Go on with the run in it by {option_prefix}resume_from_checkpoint auto, or "
            f"choose another {option_prefix}output_dir."
        )


def _checkpoints(output_dir: Path) -> list[Path]:
    if not output_dir.is_dir():
        return []
    folders = [path for path in output_dir.iterdir() if _FOLDER.fullmatch(path.name) and path.is_dir()]
    return sorted(folders, key=_step)


def _step(folder: Path) -> int:
    match = _FOLDER.fullmatch(folder.name)
    assert match is not None
    return int(match[1])


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
