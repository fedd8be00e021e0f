"""`dnafm.generate`: from a model and what is to be designed to sequences, in one call."""

from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor, Strand
from dnafm.analysis.conditional_predictions import ConditionalPredictor
from dnafm.analysis.embedding_models import model_and_tokenizer
from dnafm.analysis.generation import generate as generated
from dnafm.analysis.generation import n_passes
from dnafm.analysis.generation_guides import Guidance
from dnafm.analysis.generation_results import GeneratedSequence
from dnafm.analysis.generation_sampling import Sampling
from dnafm.analysis.generation_templates import Template, free_template, parse_template
from dnafm.analysis.sequence_constraints import SequenceConstraints


def generate(
    model: Any,
    templates: int | str | Template | Sequence[str | Template],
    *,
    tokenizer: DNAFMTokenizer | None = None,
    n_samples: int = 1,
    strand: Strand = "forward",
    condition: Any = None,
    guidance_scale: float = 0.0,
    guidance: Guidance | None = None,
    constraints: SequenceConstraints | None = None,
    unique: bool = False,
    max_tries: int = 10,
    has_likelihood: bool = True,
    max_tokens: int = 16_384,
    dtype: str | None = None,
    **sampling: Any,
) -> list[GeneratedSequence]:
    """Design sequences by masked diffusion; see `dnafm.analysis.generation.generate`.

    Args:
        model: a loaded masked language model, or its name, path or Hub id.
        templates: a number of bases, all of which are to be filled; or one or several sequences in which `?` or
            `[MASK]` is to be filled, and all else is fixed.
        tokenizer: of a loaded model, by default that of its checkpoint.
        n_samples: of each template.
        strand: which one the model reads, or both.
        condition: of a conditional model: a class, or a number or several.
        guidance_scale: how far to go beyond the condition, see `ConditionalPredictor`.
        guidance: a guide, and how it is used.
        constraints: what holds for each sequence.
        unique: whether the samples of a template are to be different.
        max_tries: most tries of each sample.
        has_likelihood: whether to compute log-likelihoods.
        max_tokens: most tokens of a batch.
        dtype: of the weights of a model by name.
        **sampling: fields of `Sampling`: `rounds`, `order`, `temperature`, `top_p`, `refinement_rounds`, `seed` ...

    Returns:
        The samples of the first template, then those of the next ones. One without a sequence has the reason.

    Raises:
        ValueError: a template, a condition, a constraint or a number is wrong; before any work.
        OSError: there is no such checkpoint.

    Example:

        >>> dnafm.generate("dnafm_tiny", "ACGT????ACGT", seed=1)[0].sequence[:4]
        'ACGT'
    """
    predictor = _predictor(
        model, tokenizer, condition, guidance_scale, strand=strand, max_tokens=max_tokens, dtype=dtype
    )
    asked, how = _templates(templates), Sampling(**sampling)
    options: dict[str, Any] = {"n_samples": n_samples, "sampling": how, "has_likelihood": has_likelihood}
    total = n_passes(asked, is_guided=guidance is not None, **options)
    with tqdm(desc="generate", unit=" passes", total=total, disable=None, leave=False, delay=2) as bar:
        results = generated(
            predictor,
            asked,
            guidance=guidance,
            constraints=constraints,
            unique=unique,
            max_tries=max_tries,
            on_progress=bar.update,
            **options,
        )
        return list(results)


def _templates(templates: int | str | Template | Sequence[str | Template]) -> list[Template]:
    if isinstance(templates, int):
        return [free_template(templates)]
    if isinstance(templates, (str, Template)):
        return [parse_template(templates) if isinstance(templates, str) else templates]
    return [
        parse_template(each, id=f"design{number}") if isinstance(each, str) else each
        for number, each in enumerate(templates, start=1)
    ]


def _predictor(
    model: Any,
    tokenizer: DNAFMTokenizer | None,
    condition: Any,
    guidance_scale: float,
    *,
    dtype: str | None,
    **options: Any,
) -> BasePredictor:
    loaded, tokenizer = model_and_tokenizer(model, tokenizer, dtype=dtype, model_class=DNAFMForMaskedLM)
    if not isinstance(loaded, DNAFMForMaskedLM):
        raise ValueError(f"The model is a {type(loaded).__name__}; bases are predicted by a DNAFMForMaskedLM.")
    if condition is None and guidance_scale == 0 and not loaded.config.is_conditional:
        return BasePredictor(loaded.eval(), tokenizer, **options)
    return ConditionalPredictor(
        loaded.eval(), tokenizer, **options, condition=condition, guidance_scale=guidance_scale
    )
