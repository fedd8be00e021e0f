"""What transformers may print while a command speaks for itself."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers(*, keep_warnings: bool) -> Iterator[None]:
    """Silence the progress bars of transformers, and its warnings unless they are kept."""
    from transformers.utils import logging

    verbosity, had_progress_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    if not keep_warnings:
        logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_progress_bars:
            logging.enable_progress_bar()
