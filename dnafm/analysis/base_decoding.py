"""From probabilities of bases to intervals: the most probable path of classes, and runs of a minimum length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnafm.analysis.base_transitions import Transitions
from dnafm.genomics import Interval

# Smallest probability; the logarithm of 0 would forbid a path.
LEAST = 1e-6

Path = NDArray[np.int64]
Scores = NDArray[np.float64]


def decode(probabilities: NDArray[np.float32], *, transitions: Transitions | None = None, min_bp: int = 1) -> Path:
    """Return the class of each base of a contig, (bases,).

    Without transitions it is the most probable one. With them it is that of the path with the highest sum of the
    log-probabilities of its classes and of its transitions, by Viterbi's algorithm: a linear chain whose costs of a
    change are those of the labels. The probabilities are not divided by the shares of the classes, as a hidden Markov
    model would have it (Bourlard and Morgan 1990): what a network says about neighbouring bases is far from
    independent, and a class that is a little above its share all along would take whole contigs. Then runs that are
    shorter than `min_bp` go to their neighbours.

    Args:
        probabilities: (bases, classes).
        transitions: between neighbouring bases, of the same classes.
        min_bp: of a run, at least 1.

    Raises:
        ValueError: `min_bp` is out of its range.
    """
    if min_bp < 1:
        raise ValueError(f"min_bp is {min_bp}; a run has at least 1 base.")
    if transitions is None:
        path = probabilities.argmax(axis=1)
    else:
        emissions = np.log(np.maximum(probabilities, LEAST))
        path = viterbi(emissions, transitions.log_probabilities, transitions.log_shares)
    return with_min_length(path, probabilities, min_bp)


def viterbi(emissions: NDArray, log_transitions: NDArray, log_start: NDArray) -> Path:
    """Return the path whose sum of scores is highest (Viterbi 1967, doi:10.1109/TIT.1967.1054010).

    The path is cut into about as many blocks as each has steps, and all blocks are computed at once: first the best
    score from each state before a block to each one at its end, then the states between blocks, then the paths in
    them. So n bases take about 4 times the square root of n operations on arrays in place of n.

    Args:
        emissions: (steps, states) log-likelihoods.
        log_transitions: (states, states), from row to column.
        log_start: (states,) of the first step.

    Returns:
        (steps,).
    """
    if len(emissions) == 0:
        return np.zeros(0, np.int64)
    first = log_start + emissions[0]
    blocks = _Blocks.cut(emissions[1:].astype(np.float64), log_transitions)
    paths, ends = blocks.paths(blocks.entry_scores(first))
    state = int((ends[-1] if len(ends) else first).argmax())
    of_blocks: list[Path] = []
    for block in reversed(range(len(ends))):
        of_blocks.append(np.append(paths[1:, block, state], state))
        state = int(paths[0, block, state])
    steps = np.concatenate([np.array([state]), *reversed(of_blocks)])
    return steps[: len(emissions)].astype(np.int64)


def with_min_length(path: Path, probabilities: NDArray, min_bp: int) -> Path:
    """Return a path without runs shorter than `min_bp`, unless it is one.

    The shortest runs go first, and of neighbours the first one: all bases of a run get the class of that neighbour
    which has the higher mean probability in it, of equal ones the one before.

    Args:
        path: (bases,) classes.
        probabilities: (bases, classes).
        min_bp: of a run.
    """
    path = path.copy()
    sums = np.vstack([np.zeros(probabilities.shape[1]), np.cumsum(probabilities, axis=0, dtype=np.float64)])
    while min_bp > 1:
        starts, ends = run_bounds(path)
        lengths = ends - starts
        shortest = int(lengths.min())
        if shortest >= min_bp or len(starts) == 1:
            break
        for run in _not_neighbours(np.flatnonzero(lengths == shortest)):
            sides = [side for side in (run - 1, run + 1) if 0 <= side < len(starts)]
            inside = sums[ends[run]] - sums[starts[run]]
            best = max(sides, key=lambda side: (inside[path[starts[side]]], -side))
            path[starts[run] : ends[run]] = path[starts[best]]
    return path


def run_bounds(path: Path) -> tuple[Path, Path]:
    """Return starts and ends of the runs of equal classes."""
    edges = np.flatnonzero(np.diff(path)) + 1
    return np.append(0, edges), np.append(edges, len(path))


def path_intervals(
    contig: str, path: Path, probabilities: NDArray, *, names: Sequence[str], strand: str = "."
) -> Iterator[Interval]:
    """Yield the runs of a contig, which tile it: the name is the class, the score the mean of its probability."""
    starts, ends = run_bounds(path)
    own = np.take_along_axis(probabilities, path[:, None], axis=1)[:, 0]
    means = np.add.reduceat(own, starts, dtype=np.float64) / (ends - starts)
    for start_bp, end_bp, mean in zip(starts.tolist(), ends.tolist(), means.tolist(), strict=True):
        yield Interval(contig, start_bp, end_bp, strand, names[path[start_bp]], min(mean, 1.0))


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Steps of a path, cut into blocks.

    Attributes:
        emissions: (steps of a block, blocks, states).
        log_transitions: (states, states).
        n_last: steps of the last block that are not there to fill it up.
    """

    emissions: Scores
    log_transitions: Scores
    n_last: int

    @classmethod
    def cut(cls, emissions: Scores, log_transitions: NDArray) -> "_Blocks":
        n_steps, n_states = emissions.shape
        n_blocks = round(n_steps**0.5)
        length = -(-n_steps // max(n_blocks, 1))
        filled = np.zeros((n_blocks * length, n_states))
        filled[:n_steps] = emissions
        of_blocks = filled.reshape(n_blocks, length, n_states).swapaxes(0, 1)
        return cls(of_blocks, log_transitions, length - (n_blocks * length - n_steps))

    def ways(self, step: int) -> Scores:
        """Return (blocks, states, states) log-transitions into a step; one that fills up changes no state."""
        n_blocks, n_states = self.emissions.shape[1:]
        ways = np.broadcast_to(self.log_transitions, (n_blocks, n_states, n_states))
        if step < self.n_last:
            return ways
        return np.concatenate([ways[:-1], np.where(np.eye(n_states, dtype=bool), 0.0, -np.inf)[None]])

    def entry_scores(self, first: Scores) -> Scores:
        """Return (blocks, states): the best score of each state before each block."""
        n_blocks, n_states = self.emissions.shape[1:]
        # best[b, i, j]: from state i before block b to state j.
        best = np.where(np.eye(n_states, dtype=bool), 0.0, -np.inf)[None].repeat(n_blocks, axis=0)
        for step, emissions in enumerate(self.emissions):
            best = (best[:, :, :, None] + self.ways(step)[:, None]).max(axis=2) + emissions[:, None]
        entries = np.empty((n_blocks, n_states))
        for block in range(n_blocks):
            entries[block] = first
            first = (first[:, None] + best[block]).max(axis=0)
        return entries

    def paths(self, entries: Scores) -> tuple[NDArray, Scores]:
        """Return the best ways through the blocks to each state at their ends, and the scores of these.

        The ways are (steps, blocks, states): the state before each step.
        """
        n_blocks, n_states = self.emissions.shape[1:]
        pointers = np.empty(self.emissions.shape, np.min_scalar_type(n_states))
        scores = entries
        for step, emissions in enumerate(self.emissions):
            ways = scores[:, :, None] + self.ways(step)
            pointers[step] = ways.argmax(axis=1)
            scores = ways.max(axis=1) + emissions
        paths = np.empty_like(pointers)
        states = np.broadcast_to(np.arange(n_states), (n_blocks, n_states))
        for step in reversed(range(len(pointers))):
            states = np.take_along_axis(pointers[step], states, axis=1).astype(np.intp)
            paths[step] = states
        return paths, scores


def _not_neighbours(runs: Path) -> list[int]:
    """Leave out the runs that follow one that is kept."""
    kept: list[int] = []
    for run in runs.tolist():
        if not kept or run > kept[-1] + 1:
            kept.append(run)
    return kept
