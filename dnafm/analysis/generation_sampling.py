"""How bases are drawn from what a model predicts: temperature, top-p, the order of places, the rounds."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dnafm.analysis.sequence_motifs import Bits

Order = Literal["confidence", "random", "entropy"]
ORDERS = ("confidence", "random", "entropy")
Floats = NDArray[np.float64]
_ONE_BIT = np.array([1, 2, 4, 8], np.uint8)


@dataclass(frozen=True)
class Sampling:
    """How a sequence is made from masks.

    Attributes:
        rounds: passes of the model in which the places are unmasked, at most one for each place.
        order: of the places. `random` is a random one. `entropy` takes those first whose predictions are surest.
            `confidence` takes those first whose drawn bases are most probable, and draws for the others once more.
            That favours frequent bases and, where much is masked, ends in repeats of one base: it is for few places
            or low temperatures. To both, noise is added that falls to 0 with the rounds.
        temperature: log-probabilities are divided by it; at 0 the most probable base is taken.
        top_p: of the bases in the order of their probability, as many are drawn from as are needed for that share.
        refinement_rounds: rounds in which some places are masked once more and drawn again.
        refinement_share: of the places, in each such round.
        seed: of all random numbers, at least 0.

    Raises:
        ValueError: a number is out of its range, or there is no such order.
    """

    rounds: int = 16
    order: Order = "random"
    temperature: float = 1.0
    top_p: float = 1.0
    refinement_rounds: int = 0
    refinement_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"order is {self.order!r}; it must be one of {', '.join(ORDERS)}.")
        for name, least in (("rounds", 1), ("refinement_rounds", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it must be a number of at least 0.")
        for name in ("top_p", "refinement_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0 and at most 1.")

    def n_rounds(self, n_places: int) -> int:
        """Return the rounds in which so many places are unmasked."""
        return min(self.rounds, n_places)

    def n_refined(self, n_places: int) -> int:
        """Return how many of the places are drawn again in a round of refinement."""
        return math.ceil(self.refinement_share * n_places)

    def probabilities(self, log_probabilities: NDArray, sets: Bits | int) -> Floats:
        """Return what is drawn from, (places, 4): of the bases of each set, after temperature and then top-p.

        Args:
            log_probabilities: (places, 4) natural logarithms.
            sets: (places,) bases that may be drawn, as numbers of `sequence_motifs`.
        """
        is_in = (np.asarray(sets, np.uint8)[..., None] & _ONE_BIT) != 0
        scores = np.where(is_in, log_probabilities, -np.inf)
        if self.temperature == 0:
            return np.eye(4)[scores.argmax(axis=-1)]
        # Near 0, what is less probable overflows to -inf.
        with np.errstate(over="ignore"):
            scores = (scores - scores.max(axis=-1, keepdims=True)) / self.temperature
        weights = np.exp(scores)
        weights /= weights.sum(axis=-1, keepdims=True)
        return weights if self.top_p == 1 else _nucleus(weights, self.top_p)

    def ranked_places(
        self, log_probabilities: NDArray, drawn: NDArray[np.intp], *, progress: float, generator: np.random.Generator
    ) -> NDArray[np.intp]:
        """Return the places in the order in which they are to be unmasked.

        The noise is Gumbel's, times the temperature, times 1 - progress, as in Chang et al. 2022, "MaskGIT: masked
        generative image transformer". Without it, places that are predicted alike would come from left to right.

        Args:
            log_probabilities: (places, 4).
            drawn: (places,) bases.
            progress: share of the rounds that are done with this one, 0 to 1.
            generator: of the order, or of the noise.
        """
        if self.order == "random":
            return generator.permutation(len(drawn))
        if self.order == "confidence":
            sureness = np.take_along_axis(log_probabilities, drawn[:, None], axis=1)[:, 0]
        else:
            # A base of probability 0 adds nothing.
            sureness = (np.exp(log_probabilities) * np.maximum(log_probabilities, -1e4)).sum(axis=1)
        noise = generator.gumbel(size=len(drawn)) * self.temperature * (1 - progress)
        return np.argsort(-(sureness + noise), kind="stable")


def draw_bases(probabilities: Floats, uniforms: Floats) -> NDArray[np.intp]:
    """Return (places,) bases drawn from (places, 4) probabilities by (places,) numbers in [0, 1)."""
    sums = np.cumsum(probabilities, axis=-1)
    return (sums <= uniforms[..., None] * sums[..., -1:]).sum(axis=-1)


def round_sizes(n_places: int, n_rounds: int) -> list[int]:
    """Return how many places each round unmasks; they differ by one at most."""
    return [n_places * (i + 1) // n_rounds - n_places * i // n_rounds for i in range(n_rounds)]


def _nucleus(probabilities: Floats, top_p: float) -> Floats:
    """Keep the most probable bases whose sum first reaches the share, and normalise them."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=-1)
    # What comes before a base must fall short of the share; sums are off by a few units in the last place.
    is_kept = ranked.cumsum(axis=-1) - ranked < top_p - 1e-12
    kept = np.zeros_like(probabilities)
    np.put_along_axis(kept, order, np.where(is_kept, ranked, 0.0), axis=-1)
    return kept / kept.sum(axis=-1, keepdims=True)
