"""The rounds in which drafts are unmasked and refined, all of a batch side by side."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.generation_drafts import Draft
from dnafm.analysis.generation_guides import Guidance
from dnafm.analysis.generation_sampling import round_sizes
from dnafm.analysis.masked_places import masked_log_probabilities
from dnafm.analysis.sequence_motifs import Bits, bits_text

Progress = Callable[[int], object]


def unmask(
    predictor: BasePredictor, drafts: Sequence[Draft], guidance: Guidance | None, on_progress: Progress
) -> None:
    """Fill all masked places, in rounds of which each is one pass of the model for each draft.

    With a guide, each round makes some candidates of a draft: their places are filled, and the masked ones, for the
    guide alone, as they are drawn from the same predictions, alike in all candidates. One is taken with a probability
    in proportion to exp(strength * guide), as in Li et al. 2024, "Derivative-free guidance in continuous and discrete
    diffusion models with soft value-based decoding".
    """
    sizes = [round_sizes(len(draft.places), draft.n_rounds) for draft in drafts]
    for number in range(max(map(len, sizes), default=0)):
        own = [(draft, of_draft) for draft, of_draft in zip(drafts, sizes, strict=True) if number < len(of_draft)]
        predictions = masked_log_probabilities(predictor, [draft.window() for draft, _ in own])
        choices = []
        for (draft, of_draft), log_p in zip(own, predictions, strict=True):
            progress = (number + 1) / len(of_draft)
            choices.append(_candidates(draft, log_p, of_draft[number], progress, guidance))
        _choose([draft for draft, _ in own], choices, guidance)
        on_progress(len(own))


def refine(
    predictor: BasePredictor, drafts: Sequence[Draft], guidance: Guidance | None, on_progress: Progress
) -> None:
    """Do one round of refinement, in which a share of the places of each draft is drawn again.

    Without a guide, random places are masked together and drawn from one pass of the model: a step of Gibbs sampling
    in which they are taken as independent of each other. With a guide, they are drawn one after another by
    `metropolis_step`.
    """
    if guidance is not None:
        for number in range(max(draft.n_refined for draft in drafts)):
            metropolis_step(predictor, [draft for draft in drafts if number < draft.n_refined], guidance, on_progress)
        for draft in drafts:
            if draft.guide_value is not None:
                draft.guide_values.append(draft.guide_value)
        return
    own = [draft for draft in drafts if len(draft.places)]
    for draft in own:
        draft.hide(draft.generator.choice(draft.places, draft.n_refined, replace=False))
    for draft, log_p in zip(own, _predictions(predictor, own), strict=True):
        masked = draft.masked
        order = draft.generator.permutation(len(masked))
        draft.known = draft.filled(log_p, masked, draft.drawn(log_p, masked), order)
    on_progress(len(own))


def metropolis_step(
    predictor: BasePredictor, drafts: Sequence[Draft], guidance: Guidance, on_progress: Progress
) -> None:
    """Propose another base at one random place of each draft, and accept it or not (Metropolis and Hastings).

    The target is pi(x) ~ p(x) * exp(strength * g(x)), with the guide g, over the sequences that the constraints allow.
    The proposal is q(x -> x') = p(x'_i | all other bases), the model's own conditional at a place i that is drawn
    uniformly, after temperature and top-p, and over the bases that the constraints allow beside the others. As x and
    x' differ at i alone, p(x') / p(x) = p(x'_i | others) / p(x_i | others) = q(x -> x') / q(x' -> x), and all that
    is left of

        min(1, pi(x') q(x' -> x) / (pi(x) q(x -> x')))  is  min(1, exp(strength * (g(x') - g(x)))).

    So p is the distribution whose conditionals are the model's. A masked language model need not have one; then pi is
    what the chain does. Proposals of the base that is there are no proposals: they are not counted.
    """
    places = [int(draft.generator.choice(draft.places)) for draft in drafts]
    before = [draft.known.copy() for draft in drafts]
    for draft, place in zip(drafts, places, strict=True):
        draft.hide(np.array([place]))
    changed: list[tuple[Draft, Bits, float]] = []
    for draft, known, log_p in zip(drafts, before, _predictions(predictor, drafts), strict=True):
        masked = draft.masked
        draft.known = draft.filled(log_p, masked, draft.drawn(log_p, masked), np.array([0]))
        threshold = draft.generator.random()
        if (draft.known != known).any():
            changed.append((draft, known, threshold))
    values = guidance.scores([draft.sequence for draft, *_ in changed]) if changed else np.zeros(0)
    for (draft, known, threshold), value in zip(changed, values.tolist(), strict=True):
        assert draft.guide_value is not None
        draft.n_proposed += 1
        # log(0) is what is accepted in any case.
        if threshold == 0 or np.log(threshold) < guidance.strength * (value - draft.guide_value):
            draft.guide_value = value
            draft.n_accepted += 1
        else:
            draft.known = known
    on_progress(len(drafts))


def _predictions(predictor: BasePredictor, drafts: Sequence[Draft]) -> list[NDArray[np.float64]]:
    return masked_log_probabilities(predictor, [draft.window() for draft in drafts]) if drafts else []


def _candidates(
    draft: Draft, log_p: NDArray, n_places: int, progress: float, guidance: Guidance | None
) -> list[tuple[Bits, Bits]]:
    """Return known bases after a round, and how they would go on, of each candidate."""
    masked = draft.masked
    completion = draft.known.copy()
    if guidance is not None:
        completion[masked] = 1 << draft.drawn(log_p, masked)
    candidates = []
    for _ in range(1 if guidance is None else guidance.candidates):
        drawn = draft.drawn(log_p, masked)
        order = draft.sampling.ranked_places(log_p, drawn, progress=progress, generator=draft.generator)
        known = draft.filled(log_p, masked, drawn, order[:n_places])
        candidates.append((known, np.where(known == 0, completion, known).astype(np.uint8)))
    return candidates


def _choose(
    drafts: Sequence[Draft], choices: Sequence[Sequence[tuple[Bits, Bits]]], guidance: Guidance | None
) -> None:
    if guidance is None:
        for draft, candidates in zip(drafts, choices, strict=True):
            draft.known = candidates[0][0]
        return
    texts = [bits_text(whole) for candidates in choices for _, whole in candidates]
    values = guidance.scores(texts).reshape(len(drafts), guidance.candidates)
    for draft, candidates, own in zip(drafts, choices, values, strict=True):
        weights = np.exp(guidance.strength * own - (guidance.strength * own).max())
        taken = draft.generator.choice(len(own), p=weights / weights.sum())
        draft.known = candidates[taken][0]
        draft.guide_value = float(own[taken])
        draft.guide_values.append(draft.guide_value)
