"""A sequence in the making: its known bases, what the others may become, and its own random numbers."""

import numpy as np
from numpy.typing import NDArray

from dnafm.analysis.base_predictions import BASE_IDS
from dnafm.analysis.constrained_bases import allowed_bases, place_required
from dnafm.analysis.generation_sampling import Sampling, draw_bases
from dnafm.analysis.generation_templates import Template
from dnafm.analysis.masked_places import MaskedWindow
from dnafm.analysis.sequence_constraints import SequenceConstraints
from dnafm.analysis.sequence_motifs import ANY_BASE, Bits, bits_text, known_bits, sequence_bits
from dnafm.tokenization_dnafm import DNAFMTokenizer


class Draft:
    """One try at a sample of a template.

    What it becomes depends on its random numbers and on the model alone, not on the drafts beside it.

    Args:
        template: what is fixed.
        tokenizer: of the model.
        sampling: how bases are drawn.
        constraints: which of them are allowed.
        key: numbers that are its own; its generator is that of the seed and these.

    Attributes:
        known: (bases,) sets of one base, 0 for a masked one.
        places: (places,) that the model fills: those of the template without the letters of required motifs.
        guide_values: of the guide after each round.
        guide_value: that of the sequence as it is, if there is a guide.
        n_proposed: changes of a base that were proposed in refinement with a guide.
        n_accepted: how many of them were accepted.
    """

    def __init__(
        self,
        template: Template,
        tokenizer: DNAFMTokenizer,
        sampling: Sampling,
        constraints: SequenceConstraints,
        key: tuple[int, ...],
    ):
        self.template, self.sampling, self.constraints = template, sampling, constraints
        self.generator = np.random.default_rng(np.random.SeedSequence(sampling.seed, spawn_key=key))
        known = sequence_bits(template.bases)
        free = np.where(known == 0, ANY_BASE, known).astype(np.uint8)
        placed = place_required(constraints, free, self.generator)
        self.sets: Bits = free if placed is None else placed
        self.known: Bits = known_bits(self.sets)
        self.places: NDArray[np.intp] = np.flatnonzero(self.known == 0)
        self._token_ids, self._first = _framed(template, tokenizer)
        # By the set of a known base.
        self._ids_of_sets = np.full(16, tokenizer.mask_token_id, np.int64)
        self._ids_of_sets[[1, 2, 4, 8]] = BASE_IDS
        self.guide_values: list[float] = []
        self.guide_value: float | None = None
        self.n_proposed = self.n_accepted = 0

    @property
    def masked(self) -> NDArray[np.intp]:
        """Places that are masked."""
        return np.flatnonzero(self.known == 0)

    @property
    def n_rounds(self) -> int:
        """Rounds in which its places are unmasked."""
        return self.sampling.n_rounds(len(self.places))

    @property
    def n_refined(self) -> int:
        """Places that are drawn again in a round of refinement."""
        return self.sampling.n_refined(len(self.places))

    @property
    def sequence(self) -> str:
        """The bases, with `?` where one is masked."""
        return bits_text(self.known)

    def window(self) -> MaskedWindow:
        """Return what the model is asked about: the masked places."""
        input_ids = self._token_ids.copy()
        input_ids[self._first : self._first + len(self.known)] = self._ids_of_sets[self.known]
        return MaskedWindow(input_ids, self.masked + self._first)

    def hide(self, places: NDArray[np.intp]) -> None:
        """Mask some places."""
        self.known[places] = 0

    def drawn(self, log_probabilities: NDArray, masked: NDArray[np.intp]) -> NDArray[np.intp]:
        """Draw a base for each masked place, whatever the others become; (places,) 0 to 3."""
        probabilities = self.sampling.probabilities(log_probabilities, self.sets[masked])
        return draw_bases(probabilities, self.generator.random(len(masked)))

    def filled(
        self,
        log_probabilities: NDArray,
        masked: NDArray[np.intp],
        drawn: NDArray[np.intp],
        chosen: NDArray[np.intp],
    ) -> Bits:
        """Return the known bases with some places filled, one after another, as the constraints allow it.

        A base that is not allowed is drawn again among those that are. Where none is, the constraint is violated,
        which is found at the end.

        Args:
            log_probabilities: (masked, 4).
            masked: (masked,) places.
            drawn: (masked,) bases.
            chosen: indices of those places that are filled.
        """
        known = self.known.copy()
        if not self.constraints.restricts_bases:
            known[masked[chosen]] = 1 << drawn[chosen]
            return known
        uniforms = self.generator.random(len(masked))
        for index in chosen.tolist():
            place, base = int(masked[index]), int(drawn[index])
            possible = int(self.sets[place])
            allowed = allowed_bases(self.constraints, known, place) & possible
            if allowed and allowed != possible:
                probabilities = self.sampling.probabilities(log_probabilities[index], allowed)
                base = int(draw_bases(probabilities, uniforms[index]))
            known[place] = 1 << base
        return known


def _framed(template: Template, tokenizer: DNAFMTokenizer) -> tuple[NDArray[np.int64], int]:
    """Return the ids of a template's window, and the index of its first base among them."""
    window = template.window("N" * len(template.bases))
    # Token i + 1 is base i.
    return tokenizer(window, return_tensors="np")["input_ids"][0], len(template.before) + 1
