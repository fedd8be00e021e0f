"""Directed generation of sequences by masked diffusion: from masks to bases in rounds, towards what a guide likes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dnafm.analysis.base_predictions import BasePredictor, MaskedRequest
from dnafm.analysis.constrained_bases import place_required
from dnafm.analysis.generation_drafts import Draft
from dnafm.analysis.generation_guides import Guidance
from dnafm.analysis.generation_results import GeneratedSequence
from dnafm.analysis.generation_rounds import Progress, refine, unmask
from dnafm.analysis.generation_sampling import Sampling
from dnafm.analysis.generation_templates import PLACE, Template, check_templates
from dnafm.analysis.regions import longest_window_bp
from dnafm.analysis.sequence_constraints import FailureReason, SequenceConstraints
from dnafm.analysis.sequence_motifs import ANY_BASE, sequence_bits
from dnafm.genomics import gc_content


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
    on_progress: Progress | None = None,
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
    for name, number in (("n_samples", n_samples), ("max_tries", max_tries)):
        if number < 1:
            raise ValueError(f"{name} is {number}; it must be at least 1.")
    checked = check_templates(templates, longest_bp=longest_window_bp(predictor.tokenizer))
    sampling, constraints = sampling or Sampling(), constraints or SequenceConstraints()
    for template in checked:
        check_constraints(template, constraints)
        if guidance is not None:
            _check_guide(template, guidance)
    run = _Run(predictor, sampling, guidance, constraints, unique, max_tries, has_likelihood, on_progress or _ignore)
    return run.results(checked, n_samples)


def n_passes(
    templates: Iterable[Template],
    *,
    n_samples: int = 1,
    sampling: Sampling | None = None,
    is_guided: bool = False,
    has_likelihood: bool = True,
) -> int:
    """Return how many passes `generate` makes, each of one sequence, where no sample needs a second try."""
    sampling = sampling or Sampling()
    total = 0
    for template in templates:
        n_places = template.bases.count(PLACE)
        of_round = sampling.n_refined(n_places) if is_guided else 1
        n_refined = sampling.refinement_rounds * of_round
        total += n_samples * (sampling.n_rounds(n_places) + n_refined + has_likelihood * n_places)
    return total


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


@dataclass
class _Sample:
    """A sample that is still tried."""

    template: Template
    number: int
    key: tuple[int, int]
    tries: int = 0
    draft: Draft | None = None
    failed: FailureReason | None = None


@dataclass(frozen=True)
class _Run:
    predictor: BasePredictor
    sampling: Sampling
    guidance: Guidance | None
    constraints: SequenceConstraints
    unique: bool
    max_tries: int
    has_likelihood: bool
    on_progress: Progress

    def results(self, templates: Sequence[Template], n_samples: int) -> Iterator[GeneratedSequence]:
        earlier: dict[str, set[str]] = {}
        for batch in self._batches(templates, n_samples):
            done = self._settled(batch, earlier)
            yield from self._described(done)

    def _batches(self, templates: Sequence[Template], n_samples: int) -> Iterator[list[_Sample]]:
        """Yield consecutive samples, as many as fit into the tokens of a batch."""
        batch: list[_Sample] = []
        n_tokens = 0
        for index, template in enumerate(templates):
            of_sample = template.n_window + self.predictor.tokenizer.num_special_tokens_to_add()
            for number in range(n_samples):
                if batch and n_tokens + of_sample > self.predictor.max_tokens:
                    yield batch
                    batch, n_tokens = [], 0
                batch.append(_Sample(template, number, (index, number)))
                n_tokens += of_sample
        yield batch

    def _settled(self, batch: list[_Sample], earlier: dict[str, set[str]]) -> list[_Sample]:
        """Try samples until each has a sequence or has failed.

        A sample is compared with those before it alone, and waits for them, so that the size of the batch does not
        matter.
        """
        pending = list(batch)
        while pending:
            self._try([sample for sample in pending if sample.draft is None])
            waiting: list[_Sample] = []
            for sample in pending:
                assert sample.draft is not None
                sequence, seen = sample.draft.sequence, earlier.setdefault(sample.template.id, set())
                sample.failed = self.constraints.violation(sequence)
                if sample.failed is None and self.unique:
                    if sequence in seen:
                        sample.failed = FailureReason.DUPLICATE
                    elif waiting:
                        waiting.append(sample)
                        continue
                    seen.add(sequence)
                if sample.failed is not None and sample.tries < self.max_tries:
                    sample.draft = None
                    waiting.append(sample)
            pending = waiting
        return batch

    def _try(self, samples: Sequence[_Sample]) -> None:
        drafts = []
        for sample in samples:
            key = (*sample.key, sample.tries)
            sample.draft = Draft(sample.template, self.predictor.tokenizer, self.sampling, self.constraints, key)
            sample.tries += 1
            drafts.append(sample.draft)
        if not drafts:
            return
        unmask(self.predictor, drafts, self.guidance, self.on_progress)
        if self.guidance is not None:
            self._value_unplaced(self.guidance, [draft for draft in drafts if draft.guide_value is None])
        for _ in range(self.sampling.refinement_rounds):
            refine(self.predictor, drafts, self.guidance, self.on_progress)

    def _value_unplaced(self, guidance: Guidance, drafts: list[Draft]) -> None:
        """Ask the guide about drafts that required motifs have filled, so that no round was made."""
        if not drafts:
            return
        for draft, value in zip(drafts, guidance.scores([draft.sequence for draft in drafts]), strict=True):
            draft.guide_value = float(value)

    def _described(self, samples: Sequence[_Sample]) -> Iterator[GeneratedSequence]:
        requests = [
            MaskedRequest(sample.template.window(sample.draft.sequence), _designed(sample.template))
            for sample in samples
            if sample.failed is None and sample.draft is not None and self.has_likelihood
        ]
        likelihoods = self.predictor.masked(requests)
        for sample in samples:
            assert sample.draft is not None
            result = GeneratedSequence(
                f"{sample.template.id}_{sample.number + 1}",
                sample.template.id,
                None,
                n_designed=sample.template.bases.count(PLACE),
                failed=sample.failed,
            )
            if sample.failed is None:
                result = self._scored(result, sample.draft)
                if self.has_likelihood:
                    places = np.array(_designed(sample.template)) - len(sample.template.before)
                    mean = _mean_log_probability(next(likelihoods), sample.draft.sequence, places)
                    result = replace(result, log_likelihood=mean)
                    self.on_progress(len(places))
            yield result

    def _scored(self, result: GeneratedSequence, draft: Draft) -> GeneratedSequence:
        others = self.constraints.known_sequences
        return replace(
            result,
            sequence=draft.sequence,
            guide_value=draft.guide_value,
            gc=gc_content(draft.sequence),
            identity=None if others is None else others.highest_identity(draft.sequence),
            acceptance_rate=draft.n_accepted / draft.n_proposed if draft.n_proposed else None,
            unmasking_values=tuple(draft.guide_values[: draft.n_rounds]),
            refinement_values=tuple(draft.guide_values[draft.n_rounds :]),
        )


def _designed(template: Template) -> list[int]:
    """Return the places of a template in its window."""
    return [i + len(template.before) for i, base in enumerate(template.bases) if base == PLACE]


def _mean_log_probability(log_probabilities: np.ndarray, sequence: str, places: np.ndarray) -> float:
    """Return the mean over (places, 4) natural logarithms of the bases that are there."""
    bases = ["ACGT".index(sequence[place]) for place in places]
    return float(log_probabilities[np.arange(len(places)), bases].astype(np.float64).mean())


def _check_guide(template: Template, guidance: Guidance) -> None:
    longest = getattr(guidance.guide, "max_bases", None)
    if longest is not None and len(template.bases) > longest:
        raise ValueError(
            f"{template.id} has {len(template.bases)} bases; the guide reads {longest}. Use a guide with a longer "
            "context, or shorter templates."
        )


def _ignore(_: int) -> None:
    """Tell nobody."""
