"""How fast training goes: tokens per second, and the share of the device's arithmetic that the model uses."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import torch
from torch import Tensor


class ThroughputMeter:
    """Time, tokens and model FLOPs of one rank's training steps since the last reading.

    Args:
        flops_of: the floating-point operations of a forward and backward pass over sequences of these lengths; without
            it the utilisation is not told.
        peak_flops: floating-point operations per second that the device can do.
    """

    def __init__(self, flops_of: Callable[[Sequence[int]], float] | None = None, peak_flops: float = float("inf")):
        self._flops_of, self._peak_flops = flops_of, peak_flops
        self._lengths: list[Tensor] = []
        self._seconds = self._data_seconds = 0.0
        self._step_start: float | None = None

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Time the fetching of a step's batches, with which the step begins."""
        self._step_start = perf_counter()
        yield
        self._data_seconds += perf_counter() - self._step_start

    def count(self, attention_mask: Tensor) -> None:
        """Add the sequences of a batch; they are looked at only when the meter is read, so no device is waited for."""
        self._lengths.append(attention_mask.sum(dim=1))

    def end_step(self) -> None:
        """End the step that fetching data began; what follows until the next one is not timed."""
        if self._step_start is not None:
            self._seconds += perf_counter() - self._step_start
            self._step_start = None

    def read(self) -> dict[str, float]:
        """Return the rates since the last reading, and start anew.

        Returns:
            `tokens_per_second`, padding excluded; `data_wait_share` and `model_flops_utilisation`, in [0, 1]. All are
            0 where there was no step.
        """
        lengths = torch.cat(self._lengths).tolist() if self._lengths else []
        seconds = self._seconds or float("inf")
        rates = {
            "tokens_per_second": sum(lengths) / seconds,
            "data_wait_share": self._data_seconds / seconds,
        }
        if self._flops_of is not None:
            rates["model_flops_utilisation"] = self._flops_of(lengths) / seconds / self._peak_flops
        self._lengths, self._seconds, self._data_seconds = [], 0.0, 0.0
        return rates
