"""Batches by the number of their tokens.

The model computes no padding, so a batch costs what its rows have of tokens. Training shuffles rows among batches of
nearly equal cost; evaluation and inference take rows in the order of their length.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

Row = TypeVar("Row")
Integers = NDArray[np.int64]

# Lengths of one bucket differ by at most one part in so many.
_PARTS = 20


class BalancedBatchSampler(Sampler[list[int]]):
    """Random batches of row indices for training, all of nearly the same number of tokens.

    In every epoch each row is in one batch of one rank, a batch has at most `max_tokens` tokens, and every rank has
    the same number of batches, `len(sampler)`. The batches of a step, one of each rank, take about the same time.

    Rows are put into buckets of lengths within 5 %, and count as the longest of their bucket. The slots of all buckets
    are dealt to batches once, the longest first, each to the batch with the least tokens (Graham 1969, "Bounds on
    multiprocessing timing anomalies": longest processing time first). Their number is the least that keeps to
    `max_tokens`, raised to the next multiple of `n_ranks`. An epoch exchanges the rows of each bucket at random and
    shuffles the batches.

    Give it to a DataLoader as `batch_sampler`. It yields the batches of one rank: an accelerator must not shard them
    once more. The batches depend on the arguments and the epoch alone.

    Args:
        lengths: (rows,) tokens of each row, special tokens included.
        max_tokens: most tokens of a batch.
        seed: of the order, at least 0.
        n_ranks: processes that share the rows.
        rank: the one whose batches are yielded, 0 to `n_ranks - 1`.

    Raises:
        ValueError: a number is out of its range, a row has no or too many tokens, or there are too few rows for every
            rank to have one in each step.
    """

    def __init__(
        self, lengths: Sequence[int] | NDArray, *, max_tokens: int, seed: int = 0, n_ranks: int = 1, rank: int = 0
    ):
        tokens = _checked_lengths(lengths, max_tokens)
        _check_ranks(n_ranks, rank)
        if seed < 0:
            raise ValueError(f"The seed is {seed}; it must be at least 0.")
        self._seed, self._n_ranks, self._rank, self._epoch = seed, n_ranks, rank, 0
        self._rows, sizes, counts = _buckets(tokens)
        self._n_batches = _number_of_batches(sizes, counts, max_tokens, n_ranks)
        batches, _ = _deal(sizes, counts, self._n_batches)
        self._bucket_ends = np.cumsum(counts)[:-1]
        self._slots = np.argsort(batches, kind="stable")
        self._first_slot = np.append(0, np.cumsum(np.bincount(batches, minlength=self._n_batches)))

    def __len__(self) -> int:
        return self._n_batches // self._n_ranks

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self._seed, self._epoch])
        shuffled = self._rows.copy()
        for bucket in np.split(shuffled, self._bucket_ends):
            generator.shuffle(bucket)
        rows = shuffled[self._slots]
        for batch in generator.permutation(self._n_batches)[self._rank :: self._n_ranks]:
            yield rows[self._first_slot[batch] : self._first_slot[batch + 1]].tolist()

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of an epoch, at least 0."""
        if epoch < 0:
            raise ValueError(f"The epoch is {epoch}; it must be at least 0.")
        self._epoch = epoch


@dataclass(frozen=True)
class EvaluationBatch:
    """Row indices of a batch, and those whose results count: all of them, or none of a batch that is a repeat."""

    rows: list[int]
    kept: list[int]


def evaluation_batches(
    lengths: Sequence[int] | NDArray, *, max_tokens: int, n_ranks: int = 1, rank: int = 0
) -> list[EvaluationBatch]:
    """Return the batches of a rank, the longest rows first.

    Every rank has the same number of batches, because a model that is sharded over the ranks computes on all of them
    at once. Where batches do not go round, the ranks without one repeat the last batch and keep none of its rows. Over
    all ranks each row is kept once.

    Args:
        lengths: (rows,) tokens of each row, special tokens included.
        max_tokens: most tokens of a batch.
        n_ranks: processes that share the rows.
        rank: the one whose batches are returned, 0 to `n_ranks - 1`.

    Raises:
        ValueError: a row has no or too many tokens, or there is no such rank.
    """
    tokens = _checked_lengths(lengths, max_tokens)
    _check_ranks(n_ranks, rank)
    order = np.argsort(-tokens, kind="stable")
    batches = [order[part].tolist() for part in _cut(tokens[order].tolist(), max_tokens)]
    own = [EvaluationBatch(batch, batch) for batch in batches[rank::n_ranks]]
    if len(own) < -(-len(batches) // n_ranks):
        own.append(EvaluationBatch(batches[-1], []))
    return own


@dataclass(frozen=True)
class LookAheadBatch(Generic[Row]):
    """Rows of a stream, and their positions in it, counted from 0."""

    positions: list[int]
    rows: list[Row]


def look_ahead_batches(
    rows: Iterable[Row],
    *,
    length_of: Callable[[Row], int],
    max_tokens: int,
    max_rows: int | None = None,
    n_look_ahead: int = 4096,
) -> Iterator[LookAheadBatch[Row]]:
    """Batch a stream for inference: read some rows ahead, and batch them by length, the longest first.

    No more than `n_look_ahead` rows are in memory, and all of them are yielded before the next ones are read.
    `restore_order` brings the results into the order of the stream.

    Args:
        rows: the stream; it may be endless.
        length_of: returns a row's number of tokens, special tokens included.
        max_tokens: most tokens of a batch.
        max_rows: most rows of a batch; None for no limit.
        n_look_ahead: rows that are read ahead.

    Raises:
        ValueError: a limit is less than 1, or a row has no or too many tokens.
    """
    for name, limit in (("max_rows", max_rows), ("n_look_ahead", n_look_ahead)):
        if limit is not None and limit < 1:
            raise ValueError(f"{name} is {limit}; it must be at least 1.")
    return _look_ahead(iter(rows), length_of, max_tokens, max_rows, n_look_ahead)


def rows_of_rank(rows: Iterable[Row], *, n_look_ahead: int, n_ranks: int, rank: int) -> Iterator[Row]:
    """Yield the rows of every `n_ranks`-th buffer of `n_look_ahead` rows, beginning with buffer number `rank`.

    With `look_ahead_batches` of the same `n_look_ahead`, the k-th buffer of what is yielded is number
    `rank + k * n_ranks` of the stream. Ranks can have different numbers of rows and of batches.

    Raises:
        ValueError: there is no such rank, or `n_look_ahead` is less than 1.
    """
    _check_ranks(n_ranks, rank)
    if n_look_ahead < 1:
        raise ValueError(f"n_look_ahead is {n_look_ahead}; it must be at least 1.")
    return (row for i, row in enumerate(rows) if i // n_look_ahead % n_ranks == rank)


def restore_order(batches_of_results: Iterable[tuple[Sequence[int], Iterable[Any]]]) -> Iterator[Any]:
    """Yield results in the order of their positions, each as soon as those before it are there.

    Args:
        batches_of_results: pairs of positions and results, one for each position. The positions of all pairs are 0, 1,
            and so on, in any order.

    Raises:
        ValueError: a batch has more or fewer results than positions, or a position came twice or never.
    """
    waiting: dict[int, Any] = {}
    following = 0
    for positions, results in batches_of_results:
        for position, result in zip(positions, results, strict=True):
            if position < following or position in waiting:
                raise ValueError(f"There are two results for position {position}; each position has one.")
            waiting[position] = result
        while following in waiting:
            yield waiting.pop(following)
            following += 1
    if waiting:
        raise ValueError(f"There is no result for position {following}, and one for position {min(waiting)}.")


def _look_ahead(
    rows: Iterator[Row], length_of: Callable[[Row], int], max_tokens: int, max_rows: int | None, n_look_ahead: int
) -> Iterator[LookAheadBatch[Row]]:
    first = 0
    while buffer := list(islice(rows, n_look_ahead)):
        tokens = _checked_lengths([length_of(row) for row in buffer], max_tokens, first)
        order = np.argsort(-tokens, kind="stable")
        for part in _cut(tokens[order].tolist(), max_tokens, max_rows):
            own = order[part].tolist()
            yield LookAheadBatch([first + i for i in own], [buffer[i] for i in own])
        first += len(buffer)


def _cut(lengths: list[int], max_tokens: int, max_rows: int | None = None) -> Iterator[slice]:
    """Yield consecutive parts that are as long as the limits allow."""
    start, tokens = 0, 0
    for row, length in enumerate(lengths):
        if row > start and (tokens + length > max_tokens or row - start == max_rows):
            yield slice(start, row)
            start, tokens = row, 0
        tokens += length
    if lengths:
        yield slice(start, len(lengths))


def _checked_lengths(lengths: Sequence[int] | NDArray, max_tokens: int, first_row: int = 0) -> Integers:
    tokens = np.asarray(lengths, np.int64)
    wrong = np.flatnonzero((tokens < 1) | (tokens > max_tokens))
    if len(wrong):
        row, length = first_row + int(wrong[0]), int(tokens[wrong[0]])
        raise ValueError(
            f"Row {row}, counted from 0, has {length} tokens; a row must have 1 to max_tokens={max_tokens}, the most "
            "of a batch. Raise max_tokens, or cut or leave out such sequences."
        )
    return tokens


def _check_ranks(n_ranks: int, rank: int) -> None:
    if not 0 <= rank < n_ranks:
        raise ValueError(f"The rank is {rank} of n_ranks={n_ranks}; it must lie in 0 to n_ranks - 1.")


def _buckets(tokens: Integers) -> tuple[Integers, Integers, Integers]:
    """Return the rows by bucket, the longest bucket first, and its greatest length and number of rows for each."""
    edges = [1]
    # Integers, so that no rank's processor rounds otherwise than another's.
    while edges[-1] < tokens.max(initial=1):
        edges.append(edges[-1] + max(1, edges[-1] // _PARTS))
    bucket = np.searchsorted(edges, tokens)
    rows = np.argsort(-bucket, kind="stable")
    counts = np.bincount(bucket)[::-1]
    counts = counts[counts > 0]
    firsts = np.cumsum(counts) - counts
    sizes = np.maximum.reduceat(tokens[rows], firsts) if len(rows) else tokens
    return rows, sizes, counts


def _number_of_batches(sizes: Integers, counts: Integers, max_tokens: int, n_ranks: int) -> int:
    """Return the least multiple of the ranks that is enough for batches of `max_tokens`.

    One batch more never makes the greatest load larger. Compare loads from the greatest down: none is larger than
    without the additional batch, and that stays so with each row that is dealt. Hence bisection.
    """

    def is_enough(n_batches: int) -> bool:
        return _deal(sizes, counts, n_batches)[1].max() <= max_tokens

    n_rows = int(counts.sum())
    # Not below the rows' tokens over those of a batch; with a row in each batch there are enough.
    numbers = range(-(-int(sizes @ counts) // max_tokens), n_rows + 1)
    reach = 1
    while n_rows and not is_enough(numbers[min(reach, len(numbers)) - 1]):
        reach *= 2
    least = numbers[bisect_left(numbers, True, reach // 2, min(reach, len(numbers)) - 1, key=is_enough)]
    n_batches = max(1, -(-least // n_ranks)) * n_ranks
    if n_batches > n_rows:
        raise ValueError(
            f"{n_rows} rows do not go into {n_batches} batches, the number for n_ranks={n_ranks} and "
            f"max_tokens={max_tokens}: every rank needs a row in each step. Use fewer ranks or raise max_tokens."
        )
    return n_batches


def _deal(sizes: Integers, counts: Integers, n_batches: int) -> tuple[Integers, Integers]:
    """Return the batch of each slot, bucket by bucket, and the tokens of each batch."""
    loads, batches = np.zeros(n_batches, np.int64), []
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        n_slots = _to_least_loaded(loads, size, count)
        batches.append(np.repeat(np.arange(n_batches), n_slots))
        loads += size * n_slots
    return np.concatenate(batches), loads


def _to_least_loaded(loads: Integers, size: int, count: int) -> Integers:
    """Return how many slots of one size each batch gets, (batches,).

    That is as if they went one by one to the batch with the least tokens, the first of equals: a batch gets one for
    each load up to a level at which it would take another.
    """

    def n_slots(level: int) -> Integers:
        return np.maximum((level - loads) // size + 1, 0)

    levels = range(int(loads.min()), int(loads.max()) + size * -(-count // len(loads)) + 1)
    level = levels[bisect_left(levels, count, key=lambda level: int(n_slots(level).sum()))]
    slots = n_slots(level)
    at_level = np.flatnonzero((slots > 0) & ((level - loads) % size == 0))
    slots[at_level[len(at_level) - (int(slots.sum()) - count) :]] -= 1
    return slots
