"""Batches of a fixed number of sequences: each row once, ranks in step, lengths together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.data.grouped_batches import GroupedBatchSampler


@given(
    st.lists(st.integers(1, 90), min_size=4, max_size=120),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_every_row_comes_once_and_ranks_keep_in_step(lengths, batch_size, n_ranks, epoch):
    """Over all ranks; each has `len(sampler)` batches of at least one row and at most the batch size.

    Batches of one row may have a second one where rows are left that do not make a step.
    """
    seen = []
    for rank in range(n_ranks):
        sampler = GroupedBatchSampler(lengths, batch_size=batch_size, seed=3, n_ranks=n_ranks, rank=rank)
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert all(1 <= len(batch) <= max(batch_size, 2 if n_ranks > 1 else 1) for batch in batches)
        seen += [row for batch in batches for row in batch]
    assert sorted(seen) == list(range(len(lengths)))


@given(st.lists(st.integers(1, 90), min_size=2, max_size=60), st.integers(1, 6))
def test_two_ranks_see_the_steps_of_one(lengths, batch_size):
    """What two ranks see in a step is what one rank with twice the batch size sees."""
    one = list(GroupedBatchSampler(lengths, batch_size=2 * batch_size, seed=1))
    two = [GroupedBatchSampler(lengths, batch_size=batch_size, seed=1, n_ranks=2, rank=rank) for rank in (0, 1)]
    steps = [first + second for first, second in zip(*map(list, two), strict=True)]
    if len(lengths) % (2 * batch_size) != 1:  # one row alone cannot be shared, and is joined by another
        assert steps == one


def test_epochs_differ_and_come_back():
    """The order is that of seed and epoch alone."""
    lengths = [10] * 40
    sampler = GroupedBatchSampler(lengths, batch_size=4, seed=5)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[0] == orders[2] != orders[1]
    other = GroupedBatchSampler(lengths, batch_size=4, seed=6)
    assert list(other) != orders[0]


def test_lengths_of_a_batch_are_alike():
    """Of 4,000 rows of 1 to 1,000 tokens in batches of 8, the mean spread within a batch is a few percent of that."""
    lengths = np.random.default_rng(0).integers(1, 1001, 4000)
    batches = list(GroupedBatchSampler(lengths, batch_size=8))
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 50


def test_rows_that_make_no_step_join_the_one_before():
    """Seven rows for three ranks, one at a time: two steps, the last of them with four rows."""
    samplers = [GroupedBatchSampler([5] * 7, batch_size=1, n_ranks=3, rank=rank) for rank in range(3)]
    assert [len(sampler) for sampler in samplers] == [2, 2, 2]
    sizes = [[len(batch) for batch in sampler] for sampler in samplers]
    assert sorted(map(sum, zip(*sizes, strict=True))) == [3, 4]


def test_fewer_rows_than_ranks_are_refused():
    """There would be a rank with nothing to do."""
    with pytest.raises(ValueError, match="There are 2 rows and 3 ranks"):
        GroupedBatchSampler([5, 5], batch_size=1, n_ranks=3)
