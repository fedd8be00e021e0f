"""Samples of templates, batch by batch: tried until they are sequences or have failed, and scored."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import numpy as np

from dnafm.analysis.base_predictions import BasePredictor, MaskedRequest
from dnafm.analysis.generation_drafts import Draft
from dnafm.analysis.generation_guides import Guidance
from dnafm.analysis.generation_results import GeneratedSequence
from dnafm.analysis.generation_rounds import Progress, refine, unmask
from dnafm.analysis.generation_sampling import Sampling
from dnafm.analysis.generation_templates import PLACE, Template
from dnafm.analysis.sequence_constraints import FailureReason, SequenceConstraints
from dnafm.genomics import gc_content

# Of a sequence: the id of its template, and its bases.
Designed = tuple[str, str]


@dataclass(frozen=True)
class Sample:
    """A sequence that is asked for.

    Attributes:
        template: what it is made of.
        number: of the sample among those of its template, from 0.
        key: numbers that are its own, for its random numbers.
    """

    template: Template
    number: int
    key: tuple[int, int]


@dataclass(frozen=True)
class Designer:
    """Makes samples of templates.

    A sample depends on its random numbers and on the model alone, and with `unique` on the earlier samples of its
    template. See `dnafm.analysis.generation.generate` for the attributes.

    Raises:
        ValueError: there is no sample, or no try.
    """

    predictor: BasePredictor
    n_samples: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    guidance: Guidance | None = None
    constraints: SequenceConstraints = field(default_factory=SequenceConstraints)
    unique: bool = False
    max_tries: int = 10
    has_likelihood: bool = True
    on_progress: Progress = lambda n_passes: None

    def __post_init__(self) -> None:
        for name in ("n_samples", "max_tries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1.")

    def batches(self, templates: Iterable[Template]) -> Iterator[list[Sample]]:
        """Yield consecutive samples, as many as fit into the tokens of a batch."""
        batch: list[Sample] = []
        n_tokens = 0
        for index, template in enumerate(templates):
            of_sample = template.n_window + self.predictor.tokenizer.num_special_tokens_to_add()
            for number in range(self.n_samples):
                if batch and n_tokens + of_sample > self.predictor.max_tokens:
                    yield batch
                    batch, n_tokens = [], 0
                batch.append(Sample(template, number, (index, number)))
                n_tokens += of_sample
        yield batch

    def n_passes(self, batch: Iterable[Sample]) -> int:
        """Return how many passes of the model a batch needs, each of one sequence, without a second try."""
        options = {"is_guided": self.guidance is not None, "has_likelihood": self.has_likelihood}
        return sum(passes_of_sample(sample.template, self.sampling, **options) for sample in batch)

    def results(self, batch: Sequence[Sample], earlier: AbstractSet[Designed]) -> list[GeneratedSequence]:
        """Return the sequences of a batch, or why there is none.

        Args:
            batch: one of `batches`.
            earlier: `designed` of the batches before it; looked at with `unique` alone.
        """
        return list(self._described(self._settled(batch, earlier)))

    def _settled(self, batch: Sequence[Sample], earlier: AbstractSet[Designed]) -> list["_Trial"]:
        """Try samples until each has a sequence or has failed.

        A sample is compared with those before it alone, and waits for them, so that the size of the batch does not
        matter.
        """
        trials = [_Trial(sample) for sample in batch]
        own: set[Designed] = set()
        pending = trials
        while pending:
            self._try([trial for trial in pending if trial.draft is None])
            waiting: list[_Trial] = []
            for trial in pending:
                assert trial.draft is not None
                found = (trial.sample.template.id, trial.draft.sequence)
                trial.failed = self.constraints.violation(trial.draft.sequence)
                if trial.failed is None and self.unique:
                    if found in earlier or found in own:
                        trial.failed = FailureReason.DUPLICATE
                    elif waiting:
                        waiting.append(trial)
                        continue
                    own.add(found)
                if trial.failed is not None and trial.tries < self.max_tries:
                    trial.draft = None
                    waiting.append(trial)
            pending = waiting
        return trials

    def _try(self, trials: Sequence["_Trial"]) -> None:
        drafts = []
        for trial in trials:
            key, template = (*trial.sample.key, trial.tries), trial.sample.template
            trial.draft = Draft(template, self.predictor.tokenizer, self.sampling, self.constraints, key)
            trial.tries += 1
            drafts.append(trial.draft)
        if not drafts:
            return
        unmask(self.predictor, drafts, self.guidance, self.on_progress)
        if self.guidance is not None:
            _value_unplaced(self.guidance, [draft for draft in drafts if draft.guide_value is None])
        for _ in range(self.sampling.refinement_rounds):
            refine(self.predictor, drafts, self.guidance, self.on_progress)

    def _described(self, trials: Sequence["_Trial"]) -> Iterator[GeneratedSequence]:
        requests = [
            MaskedRequest(trial.sample.template.window(trial.draft.sequence), _places(trial.sample.template))
            for trial in trials
            if trial.failed is None and trial.draft is not None and self.has_likelihood
        ]
        likelihoods = self.predictor.masked(requests)
        for trial in trials:
            assert trial.draft is not None
            template = trial.sample.template
            result = GeneratedSequence(
                f"{template.id}_{trial.sample.number + 1}",
                template.id,
                None,
                n_designed=template.bases.count(PLACE),
                failed=trial.failed,
            )
            if trial.failed is None:
                result = self._scored(result, trial.draft)
                if self.has_likelihood:
                    places = np.array(_places(template)) - len(template.before)
                    mean = _mean_log_probability(next(likelihoods), trial.draft.sequence, places)
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


def designed(results: Iterable[GeneratedSequence]) -> set[Designed]:
    """Return what later samples of the same templates are not to be equal to."""
    return {(result.template, result.sequence) for result in results if result.sequence is not None}


def passes_of_sample(template: Template, sampling: Sampling, *, is_guided: bool, has_likelihood: bool) -> int:
    """Return how many passes of the model a sample needs, without a second try."""
    n_places = template.bases.count(PLACE)
    of_round = sampling.n_refined(n_places) if is_guided else 1
    return sampling.n_rounds(n_places) + sampling.refinement_rounds * of_round + has_likelihood * n_places


@dataclass
class _Trial:
    """A sample that is still tried."""

    sample: Sample
    tries: int = 0
    draft: Draft | None = None
    failed: FailureReason | None = None


def _value_unplaced(guidance: Guidance, drafts: list[Draft]) -> None:
    """Ask the guide about drafts that required motifs have filled, so that no round was made."""
    if not drafts:
        return
    for draft, value in zip(drafts, guidance.scores([draft.sequence for draft in drafts]), strict=True):
        draft.guide_value = float(value)


def _places(template: Template) -> list[int]:
    """Return the places of a template in its window."""
    return [i + len(template.before) for i, base in enumerate(template.bases) if base == PLACE]


def _mean_log_probability(log_probabilities: np.ndarray, sequence: str, places: np.ndarray) -> float:
    """Return the mean over (places, 4) natural logarithms of the bases that are there."""
    bases = ["ACGT".index(sequence[place]) for place in places]
    return float(log_probabilities[np.arange(len(places)), bases].astype(np.float64).mean())
