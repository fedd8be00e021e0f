"""What training shows while it runs."""

from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback


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
