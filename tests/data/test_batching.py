from itertools import chain, count, islice
from types import SimpleNamespace

import numpy as np
import pytest
from accelerate import skip_first_batches
from accelerate.data_loader import prepare_data_loader
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from dnafm.data.batching import (
    BalancedBatchSampler,
    EvaluationBatch,
    LookAheadBatch,
    evaluation_batches,
    look_ahead_batches,
    restore_order,
    rows_of_rank,
)

LENGTHS = st.lists(st.integers(1, 100), min_size=1, max_size=80)
BUDGETS = st.integers(100, 400)


def batches_of_ranks(lengths, n_ranks, *, epoch=0, **options):
    """Return the batches of each rank in an epoch."""
    samplers = [BalancedBatchSampler(lengths, n_ranks=n_ranks, rank=rank, **options) for rank in range(n_ranks)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    return [list(sampler) for sampler in samplers]


def bucket_of(length):
    """Buckets end at 1, 2, ... 40 and from there on at 42, 44, ..., each a twentieth after the one before."""
    end = 1
    while end < length:
        end += max(1, end // 20)
    return end


def dealt_one_by_one(lengths, n_batches):
    """Return the loads of batches: rows as long as the longest of their bucket go to the least load in turn."""
    longest = {}
    for length in lengths:
        longest[bucket_of(length)] = max(length, longest.get(bucket_of(length), 0))
    loads = [0] * n_batches
    for length in sorted((longest[bucket_of(length)] for length in lengths), reverse=True):
        loads[loads.index(min(loads))] += length
    return loads


def n_batches_by_trial(lengths, max_tokens, n_ranks):
    n_batches = 1
    while max(dealt_one_by_one(lengths, n_batches)) > max_tokens:
        n_batches += 1
    return -(-n_batches // n_ranks) * n_ranks


def test_rows_are_dealt_to_the_batch_with_the_least_tokens():
    """By hand: 5 to the first batch, 4 to the second, the 3s to the second and the first, 1 to the second.

    One batch would have 16 tokens, more than 8; two have 8 each.
    """
    sampler = BalancedBatchSampler([3, 1, 5, 3, 4], max_tokens=8)
    assert len(sampler) == 2
    batches = [sorted(batch) for batch in sampler]
    assert sorted(batches) in ([[0, 2], [1, 3, 4]], [[0, 1, 4], [2, 3]])


@given(LENGTHS, BUDGETS, st.integers(1, 4), st.integers(0, 2**40), st.integers(0, 5))
def test_each_row_is_in_one_batch_of_one_rank(lengths, max_tokens, n_ranks, seed, epoch):
    """In every epoch, and no batch is empty or over the budget; the number is that found by dealing row by row."""
    expected = n_batches_by_trial(lengths, max_tokens, n_ranks)
    if expected > len(lengths):
        with pytest.raises(ValueError, match=f"do not go into {expected} batches"):
            BalancedBatchSampler(lengths, max_tokens=max_tokens, n_ranks=n_ranks)
        return
    ranks = batches_of_ranks(lengths, n_ranks, max_tokens=max_tokens, seed=seed, epoch=epoch)
    assert [len(batches) for batches in ranks] == [expected // n_ranks] * n_ranks
    batches = list(chain.from_iterable(ranks))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(0 < sum(lengths[row] for row in batch) <= max_tokens for batch in batches)
    assert {type(row) for batch in batches for row in batch} == {int}


@given(LENGTHS, BUDGETS, st.integers(0, 5))
def test_loads_are_those_of_dealing_row_by_row(lengths, max_tokens, epoch):
    """In every epoch the batches, with rows as long as the longest of their bucket, have the same loads."""
    sampler = BalancedBatchSampler(lengths, max_tokens=max_tokens)
    sampler.set_epoch(epoch)
    longest = {bucket_of(a): max(b for b in lengths if bucket_of(b) == bucket_of(a)) for a in lengths}
    loads = [sum(longest[bucket_of(lengths[row])] for row in batch) for batch in sampler]
    assert sorted(loads) == sorted(dealt_one_by_one(lengths, len(sampler)))


def test_real_loads_differ_by_a_bucket_and_a_row_at_most():
    """Of 20,000 lengths below 1,000: dealing ends within the shortest row, and a row counts 5 % too much at most."""
    lengths = np.random.default_rng(0).integers(3, 1000, 20_000)
    loads = [lengths[batch].sum() for batch in BalancedBatchSampler(lengths, max_tokens=8000)]
    assert max(loads) <= 8000
    assert min(loads) >= (max(loads) - 3) / 1.05
    assert len(loads) <= 1.05 * lengths.sum() / 8000 + 1


def test_epochs_differ_in_composition_and_order_and_recur():
    """An epoch depends on seed and number alone: iterating again, or another sampler, gives the same batches."""
    lengths = np.random.default_rng(1).integers(5, 60, 500)
    sampler = BalancedBatchSampler(lengths, max_tokens=200, seed=7)
    epochs = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        assert list(sampler) == list(sampler)
        epochs.append(list(sampler))
        np.random.seed(epoch)
    assert epochs[0] == epochs[2] == batches_of_ranks(lengths.tolist(), 1, max_tokens=200, seed=7)[0]
    assert len(epochs[0]) == len(epochs[1]) == len(sampler)
    compositions = [{frozenset(batch) for batch in batches} for batches in epochs]
    assert len(compositions[0] & compositions[1]) < 5
    assert batches_of_ranks(lengths, 1, max_tokens=200, seed=8)[0] != epochs[0]


def test_rows_of_one_length_meet_each_other_equally_often():
    """Of eight equal rows in batches of two, rows 0 and 1 meet in 1 of 7 epochs; four standard deviations of 2,000."""
    sampler = BalancedBatchSampler([10] * 8, max_tokens=20)
    met = 0
    for epoch in range(2000):
        sampler.set_epoch(epoch)
        met += any({0, 1} == set(batch) for batch in sampler)
    assert abs(met - 2000 / 7) < 4 * np.sqrt(2000 * 1 / 7 * 6 / 7)


def test_ranks_share_the_order_of_one():
    """Rank r has the batches r, r + 3, ... of the order that one rank has, where the number is the same."""
    lengths = [10] * 18
    (alone,) = batches_of_ranks(lengths, 1, max_tokens=20, epoch=4)
    assert batches_of_ranks(lengths, 3, max_tokens=20, epoch=4) == [alone[rank::3] for rank in range(3)]


def test_number_of_batches_is_raised_for_the_ranks():
    """By hand: seven rows of ten in batches of two are four, which three ranks raise to six: no row comes twice."""
    ranks = batches_of_ranks([10] * 7, 3, max_tokens=20)
    assert sorted(len(batch) for batches in ranks for batch in batches) == [1, 1, 1, 1, 1, 2]


def test_a_resumed_epoch_goes_on_where_it_stopped():
    """A loader that skips batches as Trainer does it yields the rest of the epoch, and then the whole next one."""
    sampler = BalancedBatchSampler(range(1, 40), max_tokens=50)
    expected = []
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        expected.append(list(sampler))
    loader = prepare_data_loader(DataLoader(range(39), batch_sampler=sampler, collate_fn=list), put_on_device=False)
    resumed = skip_first_batches(loader, 3)
    assert len(resumed) == len(sampler) - 3
    resumed.set_epoch(1)
    resumed.batch_sampler.batch_sampler.set_epoch(1)
    assert list(resumed) == expected[0][3:]
    loader.set_epoch(2)
    assert list(loader) == expected[1]


@pytest.mark.parametrize("make", [BalancedBatchSampler, evaluation_batches])
@pytest.mark.parametrize(("lengths", "problem"), [([5, 9, 8], "Row 1, .* has 9 tokens"), ([5, 0], "Row 1, .* has 0")])
def test_row_that_fits_no_batch_is_named(make, lengths, problem):
    """The error names row, length, limit and remedy."""
    with pytest.raises(ValueError, match=f"{problem}.*max_tokens=8.*Raise max_tokens, or cut"):
        make(lengths, max_tokens=8)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"n_ranks": 3}, r"2 rows do not go into 3 batches.*Use fewer ranks or raise max_tokens"),
        ({"n_ranks": 2, "rank": 2}, r"The rank is 2 of n_ranks=2"),
        ({"n_ranks": 0}, r"The rank is 0 of n_ranks=0"),
        ({"seed": -1}, r"The seed is -1"),
    ],
)
def test_bad_numbers_are_refused(options, problem):
    """The error names value and rule, also for fewer rows than ranks and for an epoch below 0."""
    with pytest.raises(ValueError, match=problem):
        BalancedBatchSampler([5, 6], max_tokens=8, **options)
    with pytest.raises(ValueError, match="The epoch is -1"):
        BalancedBatchSampler([5, 6], max_tokens=8).set_epoch(-1)
    with pytest.raises(ValueError, match="0 rows do not go into 1 batches"):
        BalancedBatchSampler([], max_tokens=8)


def test_evaluation_batches_by_hand():
    """Longest first: 6 | 5 3 | 2 1; the second rank has one batch less and repeats the last one for nothing."""
    ranks = [evaluation_batches([3, 6, 1, 5, 2], max_tokens=8, n_ranks=2, rank=rank) for rank in range(2)]
    assert ranks == [
        [EvaluationBatch([1], [1]), EvaluationBatch([4, 2], [4, 2])],
        [EvaluationBatch([3, 0], [3, 0]), EvaluationBatch([4, 2], [])],
    ]
    assert evaluation_batches([], max_tokens=8, n_ranks=2, rank=1) == []


@given(st.lists(st.integers(1, 100), max_size=60), BUDGETS, st.integers(1, 5))
def test_evaluation_keeps_each_row_once_in_equally_many_batches(lengths, max_tokens, n_ranks):
    """Every rank has the same number of batches, within the budget, and only its last one can be a repeat."""
    ranks = [evaluation_batches(lengths, max_tokens=max_tokens, n_ranks=n_ranks, rank=i) for i in range(n_ranks)]
    assert len({len(batches) for batches in ranks}) == 1
    batches = list(chain.from_iterable(ranks))
    assert sorted(row for batch in batches for row in batch.kept) == list(range(len(lengths)))
    assert all(0 < sum(lengths[row] for row in batch.rows) <= max_tokens for batch in batches)
    assert all(batch.kept == batch.rows for rank in ranks for batch in rank[:-1])
    assert all(batch.kept in (batch.rows, []) for batch in batches)


def test_look_ahead_batches_by_hand():
    """Buffers of three: aa, a, aaa become aaa | aa a by a budget of four tokens, then a, aaaa become aaaa | a."""
    batches = look_ahead_batches(["aa", "a", "aaa", "a", "aaaa"], length_of=len, max_tokens=4, n_look_ahead=3)
    assert list(batches) == [
        LookAheadBatch([2], ["aaa"]),
        LookAheadBatch([0, 1], ["aa", "a"]),
        LookAheadBatch([4], ["aaaa"]),
        LookAheadBatch([3], ["a"]),
    ]
    one_by_one = look_ahead_batches(["a", "a"], length_of=len, max_tokens=4, max_rows=1)
    assert [batch.positions for batch in one_by_one] == [[0], [1]]


@given(
    st.lists(st.text("A", min_size=1, max_size=9), max_size=40),
    st.integers(9, 30),
    st.none() | st.integers(1, 5),
    st.integers(1, 12),
    st.integers(1, 3),
)
def test_results_come_in_the_order_of_the_stream(rows, max_tokens, max_rows, n_look_ahead, n_ranks):
    """Each rank's rows, batched within the limits and put in order, make up the stream buffer by buffer."""
    options = {"length_of": len, "max_tokens": max_tokens, "max_rows": max_rows, "n_look_ahead": n_look_ahead}
    ranks = []
    for rank in range(n_ranks):
        own = rows_of_rank(rows, n_look_ahead=n_look_ahead, n_ranks=n_ranks, rank=rank)
        batches = list(look_ahead_batches(own, **options))
        assert all(sum(map(len, batch.rows)) <= max_tokens for batch in batches)
        assert all(len(batch.rows) <= (max_rows or len(rows)) for batch in batches)
        ranks.append(restore_order((batch.positions, batch.rows) for batch in batches))
    restored = []
    for buffer in range(-(-len(rows) // n_look_ahead)):
        restored += islice(ranks[buffer % n_ranks], n_look_ahead)
    assert restored == rows
    assert [list(rank) for rank in ranks] == [[]] * n_ranks


def test_memory_is_bounded_by_the_buffer():
    """Of an endless stream no more than a buffer is read before its results are all out."""
    read = 0

    def stream():
        nonlocal read
        for i in count():
            read += 1
            yield SimpleNamespace(tokens=1 + i % 7, name=i)

    batches = look_ahead_batches(stream(), length_of=lambda row: row.tokens, max_tokens=14, n_look_ahead=10)
    results = restore_order((batch.positions, [row.name for row in batch.rows]) for batch in batches)
    for i, result in enumerate(islice(results, 100)):
        assert result == i
        assert read == 10 * (i // 10 + 1)


def test_long_row_of_a_stream_is_named_by_its_position():
    """Positions are those in the whole stream, not in the buffer, and rows before the buffer are done."""
    batches = look_ahead_batches(["a", "aa", "aaaaa"], length_of=len, max_tokens=4, n_look_ahead=2)
    assert next(batches).positions == [1, 0]
    with pytest.raises(ValueError, match=r"Row 2, counted from 0, has 5 tokens.*max_tokens=4"):
        next(batches)


@pytest.mark.parametrize("name", ["max_rows", "n_look_ahead"])
def test_limits_below_one_are_refused_before_a_row_is_read(name):
    """At the call, not at the first batch."""
    with pytest.raises(ValueError, match=f"{name} is 0; it must be at least 1"):
        look_ahead_batches(iter(["a"]), length_of=len, max_tokens=4, **{name: 0})


def test_buffers_of_ranks_are_checked_at_the_call():
    """A buffer of no rows and a rank that does not exist are errors."""
    with pytest.raises(ValueError, match="n_look_ahead is 0"):
        rows_of_rank([], n_look_ahead=0, n_ranks=1, rank=0)
    with pytest.raises(ValueError, match="The rank is 1 of n_ranks=1"):
        rows_of_rank([], n_look_ahead=1, n_ranks=1, rank=1)


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ([([0], "a"), ([0], "b")], "two results for position 0"),
        ([([1, 1], "ab")], "two results for position 1"),
        ([([0, 2], "ac"), ([3], "d")], "no result for position 1, and one for position 2"),
        ([([0, 1], "a")], "zip"),
    ],
)
def test_lost_and_repeated_results_are_errors(pairs, problem):
    """Nothing is left out or written twice in silence."""
    with pytest.raises(ValueError, match=problem):
        list(restore_order(pairs))
