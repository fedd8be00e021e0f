"""Batches of a fixed number of sequences, of similar length."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

# Batches that are drawn at random and sorted by length together: few enough to leave their order to chance.
_BATCHES_SORTED_TOGETHER = 50


class GroupedBatchSampler(Sampler[list[int]]):
    """Rows of a rank's batches, each row once in an epoch over all ranks.

    Rows are shuffled, sorted by length within stretches of 50 batches, and the batches shuffled again. Batches of a
    step are consecutive, one for each rank: two ranks see what one rank with twice the batch size sees. The last step
    is smaller where the rows do not come out even; every rank has as many batches as the others.

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
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._lengths) // (self._batch_size * self._n_ranks))

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps():
            yield np.array_split(step, self._n_ranks)[self._rank].tolist()

    def _steps(self) -> list[np.ndarray]:
        """Return the rows of each step, all ranks together."""
        generator = np.random.default_rng([self._seed, self._epoch])
        order = generator.permutation(len(self._lengths))
        stretch = self._batch_size * self._n_ranks * _BATCHES_SORTED_TOGETHER
        steps: list[np.ndarray] = []
        for start in range(0, len(order), stretch):
            rows = order[start : start + stretch]
            rows = rows[np.argsort(-self._lengths[rows], kind="stable")]
            # Of the last stretch, the shortest rows make the smaller step.
            size = self._batch_size * self._n_ranks
            steps += [rows[first : first + size] for first in range(0, len(rows), size)]
        if len(steps) > 1 and len(steps[-1]) < self._n_ranks:
            # Too few for all ranks: take some from the step before.
            both = np.concatenate([steps[-2], steps[-1]])
            steps[-2:] = np.split(both, [len(both) - self._n_ranks])
        return [steps[place] for place in generator.permutation(len(steps))]
