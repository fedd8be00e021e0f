"""Batches of a fixed number of sequences, of similar length."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

# Batches that are drawn at random and sorted by length together: few enough to leave their order to chance.
_BATCHES_SORTED_TOGETHER = 50


class GroupedBatchSampler(Sampler[list[int]]):
    """Rows of a rank's batches, each row once in an epoch over all ranks.

    Rows are shuffled, sorted by length within stretches of 50 batches, and the batches shuffled again. Batches of a
    step are consecutive, one for each rank: two ranks see what one rank with twice the batch size sees. Every rank has
    as many batches as the others. Where the rows do not come out even, the last step is smaller; and where that would
    leave a rank without a row and batches have one row, it is joined to the step before, whose batches have up to two.

    Args:
        lengths: of the rows.
        batch_size: rows of a batch.
        seed: of the order, together with the epoch.
        n_ranks: number of ranks.
        rank: this one, from 0.

    Raises:
        ValueError: there are fewer rows than ranks.
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int = 0, n_ranks: int = 1, rank: int = 0):
        if len(lengths) < n_ranks:
            raise ValueError(f"There are {len(lengths)} rows and {n_ranks} ranks; each rank needs at least one row.")
        self._lengths = np.asarray(lengths)
        self._batch_size, self._seed, self._n_ranks, self._rank = batch_size, seed, n_ranks, rank
        self._rows_of_step = batch_size * n_ranks
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        n_steps, n_left = divmod(len(self._lengths), self._rows_of_step)
        return n_steps + (n_left > 0 and not self._joins(n_left))

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps():
            yield np.array_split(step, self._n_ranks)[self._rank].tolist()

    def _steps(self) -> list[np.ndarray]:
        """Return the rows of each step, all ranks together."""
        generator = np.random.default_rng([self._seed, self._epoch])
        order = generator.permutation(len(self._lengths))
        stretch = self._rows_of_step * _BATCHES_SORTED_TOGETHER
        steps: list[np.ndarray] = []
        for start in range(0, len(order), stretch):
            rows = order[start : start + stretch]
            rows = rows[np.argsort(-self._lengths[rows], kind="stable")]
            # Of the last stretch, the shortest rows make the smaller step.
            steps += np.split(rows, range(self._rows_of_step, len(rows), self._rows_of_step))
        if len(steps) > 1 and len(steps[-1]) < self._n_ranks:
            both = np.concatenate(steps[-2:])
            places = [] if self._joins(len(steps[-1])) else [len(both) - self._n_ranks]
            steps[-2:] = np.split(both, places)
        return [steps[place] for place in generator.permutation(len(steps))]

    def _joins(self, n_left: int) -> bool:
        """Whether a last step of so many rows is joined to the one before, from which it can take none."""
        return n_left < self._n_ranks and self._batch_size == 1
