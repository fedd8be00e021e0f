"""Files that are whole or not there."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: str | os.PathLike, fill: Callable[[BinaryIO], object]) -> None:
    """Fill a file of another name, and give it its own when it is whole; folders above it are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            fill(stream)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
