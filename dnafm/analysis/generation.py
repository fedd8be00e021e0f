"""Directed generation of sequences by masked diffusion: from masks to bases in rounds, towards what a guide likes."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.constrained_bases import place_required
from dnafm.analysis.generation_guides import Guidance
from dnafm.analysis.generation_results import GeneratedSequence
from dnafm.analysis.generation_rounds import Progress
from dnafm.analysis.generation_samples import Designed, Designer, designed, passes_of_sample
from dnafm.analysis.generation_sampling import Sampling
from dnafm.analysis.generation_templates import Template, check_templates
from dnafm.analysis.regions import longest_window_bp
from dnafm.analysis.sequence_constraints import SequenceConstraints
from dnafm.analysis.sequence_motifs import ANY_BASE, sequence_bits


def generate(
    predictor: BasePredictor,
    templates: Iterable[Template],
    *,
    n_samples: int = 1,
    sampling: Sampling | None = None,
    guidance: Guidance | None = None,
    constraints: SequenceConstraints | None = None,
    unique: bool = False,
    max_tries: int = 10,
    has_likelihood: bool = True,
    on_progress: Progress = lambda n_passes: None,
) -> Iterator[GeneratedSequence]:
    """Design sequences: fill the places of templates, and keep all else.

    Each sample starts from masks at the places and is unmasked in rounds, drawing from what the model predicts of A,
    C, G and T, then refined. A sample that violates a constraint, or with `unique` is equal to an earlier one of its
    template, is tried again from masks, and at last is a result without a sequence. Samples have random numbers of
    their own, of the seed, their numbers and the try, so equal seeds give equal sequences whatever the size of the
    batch, but for predictions that are equal within the rounding of the device.

    Args:
        predictor: the model, the strand that it reads, and the tokens of a batch.
        templates: with ids of their own.
        n_samples: of each template.
        sampling: how bases are drawn; by default that of `Sampling()`.
        guidance: a guide, which reads the sequences without what is around them.
        constraints: what holds for each sequence.
        unique: whether the samples of a template are to be different.
        max_tries: most tries of each sample.
        has_likelihood: whether to compute log-likelihoods: one more pass of the model for each place.
        on_progress: called with the number of passes that were done since the last time, each of one sequence.

    Returns:
        The samples of the first template, then those of the next ones, as they are done.

    Raises:
        ValueError: before any work: a template does not fit the model or the guide, or cannot fulfil the constraints,
            or a number is out of its range.
    """
    designer = Designer(
        predictor,
        n_samples=n_samples,
        sampling=sampling or Sampling(),
        guidance=guidance,
        constraints=constraints or SequenceConstraints(),
        unique=unique,
        max_tries=max_tries,
        has_likelihood=has_likelihood,
        on_progress=on_progress,
    )
    return _results(designer, fitting_templates(designer, templates))


def n_passes(
    templates: Iterable[Template],
    *,
    n_samples: int = 1,
    sampling: Sampling | None = None,
    is_guided: bool = False,
    has_likelihood: bool = True,
) -> int:
    """Return how many passes `generate` makes, each of one sequence, where no sample needs a second try."""
    options = {"is_guided": is_guided, "has_likelihood": has_likelihood}
    of_samples = (passes_of_sample(template, sampling or Sampling(), **options) for template in templates)
    return n_samples * sum(of_samples)


def fitting_templates(designer: Designer, templates: Iterable[Template]) -> list[Template]:
    """Return templates as a list.

    Raises:
        ValueError: one does not fit the model or the guide, cannot fulfil the constraints, or has the id of another.
    """
    checked = check_templates(templates, longest_bp=longest_window_bp(designer.predictor.tokenizer))
    for template in checked:
        check_constraints(template, designer.constraints)
        if designer.guidance is not None:
            _check_guide(template, designer.guidance)
    return checked


def check_constraints(template: Template, constraints: SequenceConstraints) -> None:
    """Check that the fixed bases of a template do not contradict constraints.

    Raises:
        ValueError: they do, or the required motifs have no place.
    """
    known = sequence_bits(template.bases)
    for _, text in constraints.failures(known):
        raise ValueError(f"{template.id} cannot fulfil the constraints: {text}.")
    for motif in constraints.require:
        if len(motif) > len(known):
            raise ValueError(f"{template.id} has {len(known)} bases; the required motif {motif} is longer.")
    free = np.where(known == 0, ANY_BASE, known).astype(np.uint8)
    if place_required(constraints, free, np.random.default_rng(0)) is None:
        raise ValueError(
            f"{template.id} has no places for the required motifs {', '.join(constraints.require)} beside its fixed "
            "bases and the other constraints."
        )


def _results(designer: Designer, templates: Sequence[Template]) -> Iterator[GeneratedSequence]:
    earlier: set[Designed] = set()
    for batch in designer.batches(templates):
        results = designer.results(batch, earlier)
        if designer.unique:
            earlier |= designed(results)
        yield from results


def _check_guide(template: Template, guidance: Guidance) -> None:
    longest = getattr(guidance.guide, "max_bases", None)
    if longest is not None and len(template.bases) > longest:
        raise ValueError(
            f"{template.id} has {len(template.bases)} bases; the guide reads {longest}. Use a guide with a longer "
            "context, or shorter templates."
        )
