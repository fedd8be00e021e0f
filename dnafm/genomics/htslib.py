"""The optional libraries of this room, imported where they are used, and htslib kept from printing by itself."""

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


def import_optional(name: str) -> Any:
    """Return a module of the extra `genomics`.

    Raises:
        ImportError: names the extra.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"This needs {name}: pip install 'dnafm[genomics]'") from error


@contextmanager
def quiet_htslib() -> Iterator[Any]:
    """Give pysam while htslib prints nothing; what it would print goes into our own errors."""
    pysam = import_optional("pysam")
    verbosity = pysam.set_verbosity(0)
    try:
        yield pysam
    finally:
        pysam.set_verbosity(verbosity)


def quietly(items: Iterable[Any]) -> Iterator[Any]:
    """Yield what htslib reads, while it is quiet; between the items it is as talkative as before."""
    iterator, end = iter(items), object()
    while True:
        with quiet_htslib():
            item = next(iterator, end)
        if item is end:
            return
        yield item
