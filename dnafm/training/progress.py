"""What training shows while it runs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback
from transformers.utils import logging


class ProgressBar(TrainerCallback):
    """One bar with the latest loss, on the first rank; silent where stderr is no terminal."""

    def on_train_begin(self, args, state, control, **kwargs):
        """Open the bar, at the step that training resumes from."""
        self._bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="training",
            unit="step",
            disable=None if state.is_world_process_zero else True,
            leave=False,
        )

    def on_step_end(self, args, state, control, **kwargs):
        """Move the bar."""
        self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Show the loss."""
        if logs and "loss" in logs:
            self._bar.set_postfix(loss=f"{float(logs['loss']):.3f}")

    def on_train_end(self, args, state, control, **kwargs):
        """Close the bar."""
        self._bar.close()


class LogLines(TrainerCallback):
    """Lines of text about the log's entries, above the bar, on the first rank.

    Args:
        describe: turns the step, the number of steps and an entry into a line, or into None for no line.
    """

    def __init__(self, describe: Callable[[int, int, Mapping[str, Any]], str | None]):
        self._describe = describe

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Print the line of this entry."""
        line = self._describe(state.global_step, state.max_steps, logs or {})
        if line and state.is_world_process_zero:
            tqdm.write(line)


@contextmanager
def quiet_transformers(*, keep_warnings: bool) -> Iterator[None]:
    """Silence the progress bars of transformers, and its warnings unless they are kept."""
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
