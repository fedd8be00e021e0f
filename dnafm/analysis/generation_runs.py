"""Generation that is kept as it is done: in chunks, on one rank or many, and going on after an interruption."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from accelerate import PartialState  # type: ignore[import-untyped]

from dnafm.analysis.chunked_runs import ChunkedRun
from dnafm.analysis.generation import fitting_templates
from dnafm.analysis.generation_results import GeneratedSequence, generated_sequences, generation_table
from dnafm.analysis.generation_samples import Designed, Designer, Sample, designed
from dnafm.analysis.generation_templates import Template
from dnafm.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa


class GenerationRun:
    """Samples of templates, kept in the folder `OUTPUT.parts` batch by batch.

    `finish` makes those that are missing, `results` gives all, and `remove` removes what was kept. They are the same,
    whether the work was interrupted or not, from one rank or many: down to the last bit where the models of all
    processes round alike. All ranks call `finish` and `remove`.

    With `unique` a batch depends on those before it. Several ranks make theirs as if there were none, and then the
    first one makes those anew that took a sequence of an earlier batch. The others are what they had to be: each try
    that they turned down would have been turned down in any case, and each one that they took is new.

    Args:
        designer: makes the samples.
        templates: with ids of their own.
        output: beside which batches are kept.
        settings: what tells the model, its condition and the guide from others, as JSON holds it.
        overwrite: replace batches that were made with other options.
        state: ranks that share the work, by default those of `process_state`.

    Raises:
        ValueError: as by `dnafm.analysis.generation.generate`.
    """

    def __init__(
        self,
        designer: Designer,
        templates: Iterable[Template],
        *,
        output: str | os.PathLike,
        settings: Mapping[str, Any],
        overwrite: bool = False,
        state: PartialState | None = None,
    ):
        self._designer = designer
        self._templates = fitting_templates(designer, templates)
        own = {**settings, **_settings(designer, self._templates)}
        self._run = ChunkedRun(output, own, overwrite=overwrite, state=state)
        self._earlier: set[Designed] = set()

    @property
    def is_main_process(self) -> bool:
        """Whether this is the first rank, the one that writes."""
        return self._run.is_main_process

    def finish(self) -> int:
        """Make what is missing, and return how many batches an earlier run had finished, on the first rank.

        The designer tells the passes of the model, also those that an earlier run or another rank makes.

        Raises:
            ValueError: the folder has batches of other options.
            OSError: a batch cannot be written.
        """
        self._earlier.clear()
        self._run.finish(
            _Batches(self._designer, self._templates),
            self._made,
            on_passed=lambda batch: self._designer.on_progress(self._designer.n_passes(batch)),
            revise=self._revised if self._designer.unique else None,
        )
        return self._run.n_resumed

    def results(self) -> Iterator[list[GeneratedSequence]]:
        """Yield the samples of each batch: those of the first template, then those of the next ones."""
        return map(generated_sequences, self._run.tables())

    def remove(self) -> None:
        """Remove what was kept, when all is written."""
        self._run.remove()

    def _made(self, batch: Sequence[Sample]) -> "pa.Table":
        return generation_table(self._designer.results(batch, self._earlier), with_rounds=True)

    def _revised(self, batch: Sequence[Sample], kept: "pa.Table") -> "pa.Table | None":
        """Make a batch anew if one of its sequences is that of an earlier batch."""
        found, revised = designed(generated_sequences(kept)), None
        if not found.isdisjoint(self._earlier):
            revised = self._made(batch)
            found = designed(generated_sequences(revised))
        self._earlier |= found
        return revised


class _Batches:
    """The batches of a designer, as often as they are iterated."""

    def __init__(self, designer: Designer, templates: Sequence[Template]):
        self._designer, self._templates = designer, templates

    def __iter__(self) -> Iterator[list[Sample]]:
        return self._designer.batches(self._templates)


def _settings(designer: Designer, templates: Sequence[Template]) -> dict[str, Any]:
    """Return what samples depend on beside the models, down to the last bit."""
    guidance, constraints = designer.guidance, asdict(designer.constraints)
    constraints["identity_to"] = _digest(constraints["identity_to"])
    return {
        "templates": _digest(text for each in templates for text in (each.id, each.before, each.bases, each.after)),
        "n": designer.n_samples,
        "sampling": asdict(designer.sampling),
        "constraints": constraints,
        "strength": None if guidance is None else guidance.strength,
        "candidates": None if guidance is None else guidance.candidates,
        "unique": designer.unique,
        "max_tries": designer.max_tries,
        "likelihood": designer.has_likelihood,
        "strand": designer.predictor.strand,
        "batch": designer.predictor.max_tokens,
        "bf16": designer.predictor.bf16,
        "dnafm": __version__,
    }


def _digest(texts: Iterable[str]) -> str:
    """Return what tells texts from others, whatever their number is."""
    digest = sha256()
    for text in texts:
        digest.update(f"{len(text)} {text} ".encode())
    return f"SHA-256 {digest.hexdigest()[:16]}"
