"""LanceDB as genome mining uses it: where it is found, how it is asked, and how it tells what went wrong."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast


def is_remote(path: str) -> bool:
    """Return whether a path is that of an object store."""
    return "://" in path


def import_lancedb() -> Any:
    """Return lancedb.

    Raises:
        ImportError: it is missing; names the extra.
    """
    try:
        import lancedb
        import lancedb.index
    except ImportError as error:
        raise ImportError("Genome mining needs lancedb: pip install 'dnafm[mining]'") from error
    return lancedb


def connected(path: str, storage_options: Mapping[str, str] | None = None) -> Any:
    """Return the database at a place; see `import_lancedb` for what it raises."""
    options = cast("dict[str, str] | None", storage_options and dict(storage_options))
    return import_lancedb().connect(path, storage_options=options)


def quoted(text: str) -> str:
    """Return a text as filters of LanceDB write it."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def told_as_os_errors(path: str) -> Iterator[None]:
    """Name the store where LanceDB cannot read or write, which it tells by RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(f"{path} cannot be read or written ({error}).") from error
