import pytest
import torch

from dnafm.training import throughput
from dnafm.training.throughput import ThroughputMeter


@pytest.fixture
def clock(monkeypatch):
    """A clock that one sets: `clock.time` is what the meter reads."""

    class Clock:
        time = 1000.0

        def __call__(self):
            return self.time

    clock = Clock()
    monkeypatch.setattr(throughput, "perf_counter", clock)
    return clock


@pytest.fixture
def meter(clock):
    """A meter of a model that costs length squared, on a device of 100 operations a second."""
    return ThroughputMeter(lambda lengths: float(sum(length**2 for length in lengths)), 100.0)


def mask(*lengths):
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


def step(meter, clock, *batches, fetching, computing):
    with meter.waiting_for_data():
        clock.time += fetching
    for lengths in batches:
        meter.count(mask(*lengths))
        clock.time += computing / len(batches)
    meter.end_step()


def test_rates_of_a_step_computed_by_hand(meter, clock):
    """4 + 2 tokens and 16 + 4 operations in 1 + 3 seconds, one of which went by waiting."""
    step(meter, clock, (4, 2), fetching=1, computing=3)
    assert meter.read() == {
        "tokens_per_second": 6 / 4,
        "model_flops_utilisation": 20 / 4 / 100,
        "data_wait_share": 1 / 4,
    }


def test_steps_and_accumulated_batches_add_up(meter, clock):
    """By hand: 3 + 5 + 2 tokens, 9 + 25 + 4 operations, 2 + 8 seconds, 1 + 2 of them waiting."""
    step(meter, clock, (3,), fetching=1, computing=1)
    step(meter, clock, (5,), (2,), fetching=2, computing=6)
    assert meter.read() == pytest.approx(
        {"tokens_per_second": 1.0, "model_flops_utilisation": 38 / 10 / 100, "data_wait_share": 0.3}
    )


def test_time_between_steps_does_not_count(meter, clock):
    """Evaluations and checkpoints last what they last."""
    step(meter, clock, (4,), fetching=0, computing=2)
    clock.time += 500
    step(meter, clock, (4,), fetching=0, computing=2)
    clock.time += 500
    assert meter.read()["tokens_per_second"] == 2


def test_reading_starts_anew(meter, clock):
    """The second reading knows only the steps after the first."""
    step(meter, clock, (10, 10), fetching=3, computing=1)
    meter.read()
    step(meter, clock, (6,), fetching=0, computing=2)
    assert meter.read() == {"tokens_per_second": 3, "model_flops_utilisation": 36 / 2 / 100, "data_wait_share": 0}


def test_without_a_step_all_is_zero(meter, clock):
    """Before the first one, after a reading, and where the data ended before a step began."""
    zeros = {"tokens_per_second": 0, "model_flops_utilisation": 0, "data_wait_share": 0}
    assert meter.read() == zeros
    meter.end_step()
    assert meter.read() == zeros
    with meter.waiting_for_data():
        clock.time += 5
    assert meter.read() == zeros


def test_ending_a_step_twice_counts_it_once(meter, clock):
    """What follows the first end is not timed."""
    step(meter, clock, (4,), fetching=0, computing=2)
    clock.time += 7
    meter.end_step()
    assert meter.read()["tokens_per_second"] == 2
