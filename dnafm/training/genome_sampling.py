"""The order in which pretraining visits the windows of several genomes."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from dnafm.data import GenomeWindows

_BLOCK = 1 << 16
_DRAWS, _SHUFFLES = 0, 1


class GenomeSampler(Sampler[tuple[int, int]]):
    """A random order of windows in which each genome's share grows with a power of its size.

    It yields the keys (pass, window) of a `GenomeWindows`, `n_samples` of them. A pass goes through all windows of a
    genome in a random order before the next one starts, so that none is seen twice before all have been seen once.
    With `size_power=1` the windows of all genomes are shuffled together. With less, small genomes are seen more often:
    the share of a genome of n windows is proportional to n to that power, and 0 gives each genome the same.

    The order depends on the arguments alone, and is the same on every rank.

    Args:
        windows: what to sample from.
        n_samples: length of the order.
        size_power: in [0, 1].
        seed: of the order, at least 0.

    Raises:
        ValueError: the power lies outside of [0, 1].
    """

    def __init__(self, windows: GenomeWindows, n_samples: int, *, size_power: float = 1.0, seed: int = 0):
        if not 0 <= size_power <= 1:
            raise ValueError(f"size_power is {size_power}; it must lie in [0, 1].")
        sizes = windows.n_windows_of_genomes if size_power < 1 else np.array([len(windows)])
        self._first_window = np.append(0, np.cumsum(sizes))[:-1][sizes > 0]
        self._sizes = sizes[sizes > 0]
        self._n_samples, self._size_power, self._seed = n_samples, size_power, seed

    def __len__(self) -> int:
        return self._n_samples

    def __iter__(self) -> Iterator[tuple[int, int]]:
        streams = [self._stream(genome) for genome in range(len(self._sizes))]
        for start in range(0, self._n_samples, _BLOCK):
            n = min(_BLOCK, self._n_samples - start)
            genomes = self._draw_genomes(start, n)
            keys = np.empty((n, 2), np.int64)
            for genome, stream in enumerate(streams):
                is_its_turn = genomes == genome
                keys[is_its_turn] = stream.take(int(is_its_turn.sum()))
            yield from map(tuple, keys.tolist())

    def _draw_genomes(self, start: int, n: int) -> np.ndarray:
        shares = self._sizes.astype(float) ** self._size_power
        # Always a whole block, so that the genomes do not depend on where the order ends.
        drawn = np.random.default_rng([self._seed, _DRAWS, start]).choice(
            len(shares), size=_BLOCK, p=shares / shares.sum()
        )
        return drawn[:n]

    def _stream(self, genome: int) -> "_Stream":
        return _Stream(int(self._first_window[genome]), int(self._sizes[genome]), [self._seed, _SHUFFLES, genome])


class _Stream:
    """The passes through one genome, one after the other."""

    def __init__(self, first_window: int, n_windows: int, entropy: list[int]):
        self._first_window, self._n_windows, self._entropy = first_window, n_windows, entropy
        self._pass, self._done = 0, 0
        self._order = self._shuffled()

    def take(self, n: int) -> np.ndarray:
        """Return the next (pass, window) keys, (n, 2) int64."""
        parts = [np.empty((0, 2), np.int64)]
        while n:
            windows = self._order[self._done : self._done + n]
            parts.append(np.stack([np.full_like(windows, self._pass), windows], axis=1))
            n -= len(windows)
            self._done += len(windows)
            if self._done == self._n_windows:
                self._pass, self._done = self._pass + 1, 0
                self._order = self._shuffled()
        return np.concatenate(parts)

    def _shuffled(self) -> np.ndarray:
        return self._first_window + np.random.default_rng([*self._entropy, self._pass]).permutation(self._n_windows)
