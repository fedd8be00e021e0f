"""What a design is to be like: anything that gives sequences a number, such as a fine-tuned model."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from dnafm.analysis.variant_readings import ModelOutput
from dnafm.data.batching import look_ahead_batches, restore_order

Link = Literal["class", "label", "number"]
LINKS = ("class", "label", "number")
# Sequences that are read ahead and sorted by length.
_LOOK_AHEAD = 1024


class Guide(Protocol):
    """Gives sequences a number: the higher, the better.

    One that reads sequences up to a length may have an attribute `max_bases`, which is checked before work begins.
    """

    def scores(self, sequences: list[str]) -> np.ndarray:
        """Return (sequences,) finite numbers of sequences of A, C, G and T, each by itself."""
        ...


@dataclass(frozen=True)
class Guidance:
    """A guide and how it is used.

    Attributes:
        guide: what gives sequences a number.
        strength: what the number is multiplied by; below 0 it is made small, at 0 it is only reported.
        candidates: continuations of each sequence that are weighed in each round of unmasking.

    Raises:
        ValueError: the strength is not finite, or there is no candidate.
    """

    guide: Guide
    strength: float = 1.0
    candidates: int = 4

    def __post_init__(self) -> None:
        if not np.isfinite(self.strength):
            raise ValueError(f"The strength is {self.strength}; it must be a finite number.")
        if self.candidates < 1:
            raise ValueError(f"There are {self.candidates} candidates; it must be at least 1.")

    def scores(self, sequences: list[str]) -> np.ndarray:
        """Return (sequences,) float64 numbers of the guide.

        Raises:
            ValueError: the guide gives another number of them, or one that is not finite.
        """
        values = np.asarray(self.guide.scores(sequences), np.float64)
        if values.shape != (len(sequences),) or not np.isfinite(values).all():
            raise ValueError(
                f"The guide gave {values.shape} numbers for {len(sequences)} sequences, or one that is not finite; "
                "one finite number each is due."
            )
        return values


@dataclass(frozen=True)
class OutputGuide:
    """An output of a fine-tuned model.

    Attributes:
        output: of the model.
        target: the name of the output.
        link: what the outputs are: logits of classes, of which one is right, give log p(target) in nats; logits of
            labels, each by itself, too; a number is what it is.
        max_bases: of the longest sequence that the model reads.

    Raises:
        ValueError: there is no such target or link.
    """

    output: ModelOutput
    target: str
    link: Link
    max_bases: int

    def __post_init__(self) -> None:
        if self.target not in self.output.names:
            raise ValueError(f"The target is {self.target!r}; the guide has {', '.join(self.output.names)}.")
        if self.link not in LINKS:
            raise ValueError(f"The link is {self.link!r}; it must be one of {', '.join(LINKS)}.")

    def scores(self, sequences: list[str]) -> np.ndarray:
        """Return (sequences,) float64 log-probabilities of the target in nats, or its numbers."""

        def n_tokens(sequence: str) -> int:
            return min(len(sequence), self.output.max_tokens)

        batches = look_ahead_batches(
            sequences, length_of=n_tokens, max_tokens=self.output.max_tokens, n_look_ahead=_LOOK_AHEAD
        )
        rows = restore_order((batch.positions, self.output.read(batch.rows)) for batch in batches)
        return self._linked(np.stack(list(rows)).astype(np.float64))

    def _linked(self, outputs: np.ndarray) -> np.ndarray:
        own = outputs[:, self.output.names.index(self.target)]
        if self.link == "class":
            return own - np.logaddexp.reduce(outputs, axis=1)
        if self.link == "label":
            return -np.logaddexp(0, -own)
        return own
