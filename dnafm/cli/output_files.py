"""Files that commands are to write, checked before weights are loaded for nothing."""

from collections.abc import Sequence
from pathlib import Path


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Check that a file can be made, as far as its folder and its name tell.

    Raises:
        OSError: the file exists and is not to be replaced, it is a folder, or there is no folder for it.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Name the file to write.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Write to another file, or replace it by --overwrite.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist. Make it, or write to another one.")


def check_extension(path: Path, extensions: Sequence[str], *, option: str = "--output") -> None:
    """Check that the extension of a file is one of some.

    Raises:
        ValueError: it is not.
    """
    if not path.name.endswith(tuple(extensions)):
        raise ValueError(f"{option} {path}: the extension says the format; it is one of {', '.join(extensions)}.")
