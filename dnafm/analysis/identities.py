"""What tells the files and models of one run from those of another, as JSON holds it."""

import os
from pathlib import Path
from typing import Any

from dnafm.checkpoints import backbone_location


def file_identity(path: str | os.PathLike) -> dict[str, Any]:
    """Return the whole path, size in bytes and time of change (ns) of a file."""
    status = os.stat(path)
    return {"path": os.path.abspath(path), "size": status.st_size, "changed_ns": status.st_mtime_ns}


def weight_files(*names: str | os.PathLike) -> list[dict[str, Any]]:
    """Return the files of weights of models, by name, path or Hub id, where these are folders."""
    folders = [Path(backbone_location(os.fspath(name))) for name in names]
    files = sorted(path for folder in folders for path in folder.glob("*") if path.suffix in (".safetensors", ".bin"))
    return [file_identity(path) for path in files]
