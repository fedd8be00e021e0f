"""Effects of variants, as a masked language model sees them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np

from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.score_formulas import (
    BASE_SCORES,
    EMBEDDING_SCORES,
    check_scores,
    describe_score,
    embedding_distance,
    entropy_bits,
    jensen_shannon_bits,
    log_likelihood,
    snv_log_likelihood_ratio,
)
from dnafm.analysis.variant_readings import ModelOutput, PairReader, PairReadings
from dnafm.analysis.variant_windows import AllelePair, SkipReason, allele_pair
from dnafm.genomics import ReferenceGenome, Variant, check_reference, reference_matches

MismatchRule = Literal["error", "skip", "warn"]
MISMATCH_RULES = ("error", "skip", "warn")
DEFAULT_SCORES = ("masked_llr", "entropy")
# Variants that are read ahead: what they share is computed once.
CHUNK_VARIANTS = 256


@dataclass(frozen=True)
class ScoredAllele:
    """Scores of an alternative allele.

    Attributes:
        scores: by column, empty where it was skipped.
        skipped: why.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    skipped: SkipReason | None = None


@dataclass(frozen=True)
class ScoredVariant:
    """A variant with the scores of its alternative alleles.

    Attributes:
        variant: as it was read.
        alleles: one for each alternative allele; one that is skipped where there is none.
        has_mismatch: whether the reference allele is not what the genome has there.
    """

    variant: Variant
    alleles: tuple[ScoredAllele, ...]
    has_mismatch: bool = False


class VariantScorer:
    """Scores variants by what a model predicts in windows around them.

    The formulas and signs are those of `dnafm.analysis.score_formulas`. With both strands, likelihoods and predictions
    are those that `BasePredictor` averages, so that a log-likelihood ratio of an SNV is the mean of the two strands',
    and embedding distances are the mean of the two strands' distances.

    Args:
        predictor: the model and how it is read.
        reference: the genome that the variants differ from.
        scores: names of `SCORES`.
        layers: of the embeddings, as `WindowReader` counts them.
        window_bp: bases of a window.
        flank_bp: bases on both sides of a change that is no SNV whose likelihoods count.
        ref_mismatch: what to do where a reference allele is not what the genome has: raise an error, skip the variant,
            or score its own alleles in the genome's surroundings and mark it.
        output: of a fine-tuned model, whose change is scored, too; it may be all that is, with no names in `scores`.

    Raises:
        ValueError: a score or layer is unknown, the window is longer than the model reads, or a number is out of its
            range.
    """

    def __init__(
        self,
        predictor: BasePredictor,
        reference: ReferenceGenome,
        *,
        scores: Sequence[str] = DEFAULT_SCORES,
        layers: Sequence[int] = (-1,),
        window_bp: int = 1024,
        flank_bp: int = 5,
        ref_mismatch: MismatchRule = "error",
        output: ModelOutput | None = None,
    ):
        if scores or output is None:
            check_scores(scores)
        _check_window(predictor, window_bp, flank_bp)
        if ref_mismatch not in MISMATCH_RULES:
            raise ValueError(f"ref_mismatch is {ref_mismatch!r}; it must be one of {', '.join(MISMATCH_RULES)}.")
        self.predictor, self.reference, self.scores = predictor, reference, tuple(scores)
        self.window_bp, self.flank_bp, self.ref_mismatch = window_bp, flank_bp, ref_mismatch
        self.output = output
        self._reader = PairReader(predictor, scores, layers=layers, flank_bp=flank_bp, output=output)
        self.layers = self._reader.window_reader.layers

    @property
    def columns(self) -> dict[str, str]:
        """The columns of scores and what they are: `masked_llr`; `l2_layer6` for a distance at layer 6."""
        columns = {}
        for name in self.scores:
            if name in BASE_SCORES:
                columns[name] = describe_score(name)
            else:
                columns |= {f"{name}_layer{layer}": describe_score(name, layer) for layer in self.layers}
        return columns | (self.output.columns if self.output else {})

    def score(self, variants: Iterable[Variant]) -> Iterator[ScoredVariant]:
        """Yield variants with their scores, in their order; the stream may be endless."""
        iterator = iter(variants)
        while chunk := list(islice(iterator, CHUNK_VARIANTS)):
            yield from self.score_chunk(chunk)

    def score_chunk(self, variants: Sequence[Variant]) -> list[ScoredVariant]:
        """Score some variants together: nothing that several of them need is computed twice.

        Raises:
            ValueError: a reference allele is not what the genome has, or the contig is unknown, and that is an error.
        """
        checked = [self._skipped(variant) for variant in variants]
        plans = [
            self._pairs(variant) if reason is None else [reason] * max(1, len(variant.alternative_alleles))
            for variant, (reason, _) in zip(variants, checked, strict=True)
        ]
        pairs = [pair for plan in plans for pair in plan if isinstance(pair, AllelePair)]
        readings = self._reader.read(pairs)
        return [
            ScoredVariant(variant, tuple(self._scored(each, readings) for each in plan), has_mismatch)
            for variant, plan, (_, has_mismatch) in zip(variants, plans, checked, strict=True)
        ]

    def _skipped(self, variant: Variant) -> tuple[SkipReason | None, bool]:
        """Return why all of a variant is skipped, and whether its reference allele is not the genome's."""
        if variant.start_bp < 0:
            # The telomere, which VCF calls 0: there is no base to compare.
            return SkipReason.OUTSIDE_CONTIG, False
        if self.ref_mismatch == "error":
            _check_place(variant, self.reference)
            return None, False
        if variant.contig not in self.reference:
            return SkipReason.UNKNOWN_CONTIG, False
        length_bp = self.reference.contig_lengths[self.reference.resolve(variant.contig)]
        if variant.end_bp > length_bp:
            return SkipReason.OUTSIDE_CONTIG, True
        if reference_matches(variant, self.reference):
            return None, False
        return (SkipReason.REFERENCE_MISMATCH if self.ref_mismatch == "skip" else None), True

    def _pairs(self, variant: Variant) -> list[AllelePair | SkipReason]:
        if not variant.alternative_alleles:
            return [SkipReason.NO_ALTERNATIVE]
        return [
            allele_pair(variant, index, reference=self.reference, window_bp=self.window_bp, flank_bp=self.flank_bp)
            for index in range(len(variant.alternative_alleles))
        ]

    def _scored(self, pair: AllelePair | SkipReason, readings: PairReadings) -> ScoredAllele:
        if isinstance(pair, SkipReason):
            return ScoredAllele(skipped=pair)
        scores: dict[str, float] = {}
        for name in self.scores:
            if name in EMBEDDING_SCORES:
                scores |= self._distances(name, pair, readings)
            else:
                scores[name] = self._base_score(name, pair, readings)
        return ScoredAllele(scores | self._changes(pair, readings))

    def _base_score(self, name: str, pair: AllelePair, readings: PairReadings) -> float:
        reference, alternative = pair.reference.bases, pair.alternative.bases
        if name == "masked_llr":
            return self._ratio(pair, readings.masked_rows)
        if name == "unmasked_llr":
            return self._ratio(pair, readings.unmasked_rows)
        if name == "entropy":
            return float(entropy_bits(readings.masked_rows(reference, pair.scored(self.flank_bp)[0])).mean())
        if name == "jsd":
            of_reference, of_alternative = pair.aligned()
            predicted = readings.unmasked_rows(reference, of_reference)
            return float(jensen_shannon_bits(predicted, readings.unmasked_rows(alternative, of_alternative)).mean())
        raise ValueError(f"{name!r} has no formula.")

    def _ratio(self, pair: AllelePair, rows: Callable[[str, Iterable[int]], np.ndarray]) -> float:
        reference, alternative = pair.reference.bases, pair.alternative.bases
        first, second = pair.scored(self.flank_bp)
        if pair.is_snv:
            offset = pair.reference.offset
            return snv_log_likelihood_ratio(rows(reference, first)[0], reference[offset], alternative[offset])
        of_alternative = log_likelihood(rows(alternative, second), alternative[second.start : second.stop])
        return of_alternative - log_likelihood(rows(reference, first), reference[first.start : first.stop])

    def _distances(self, name: str, pair: AllelePair, readings: PairReadings) -> dict[str, float]:
        vectors = (readings.windows[each.bases].embeddings for each in (pair.reference, pair.alternative))
        of_layers = embedding_distance(name, *vectors).mean(axis=0)
        return {f"{name}_layer{layer}": float(value) for layer, value in zip(self.layers, of_layers, strict=True)}

    def _changes(self, pair: AllelePair, readings: PairReadings) -> dict[str, float]:
        if self.output is None:
            return {}
        change = readings.outputs[pair.alternative.bases] - readings.outputs[pair.reference.bases]
        return dict(zip(self.output.columns, map(float, change), strict=True))


def _check_window(predictor: BasePredictor, window_bp: int, flank_bp: int) -> None:
    n_most = predictor.tokenizer.model_max_length - predictor.tokenizer.num_special_tokens_to_add()
    if not 1 <= window_bp <= n_most:
        raise ValueError(f"The window is {window_bp} bases; the model reads 1 to {n_most}.")
    if flank_bp < 0:
        raise ValueError(f"The flank is {flank_bp} bases; it must be at least 0.")


def _check_place(variant: Variant, reference: ReferenceGenome) -> None:
    try:
        reference.resolve(variant.contig)
    except ValueError as error:
        raise ValueError(f"{variant.place}: {error}" if variant.place else str(error)) from error
    try:
        check_reference(variant, reference)
    except ValueError as error:
        raise ValueError(f"{error} With ref_mismatch 'skip' or 'warn' it is no error.") from error
