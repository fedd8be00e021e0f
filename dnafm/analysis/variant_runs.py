"""Scoring variants from a source to a file: in chunks, on one rank or many, and going on after an interruption."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from accelerate import PartialState  # type: ignore[import-untyped]

from dnafm.analysis.chunked_runs import ChunkedRun
from dnafm.analysis.identities import file_identity
from dnafm.analysis.variant_scores import CHUNK_VARIANTS, VariantScorer
from dnafm.analysis.variant_sources import VariantSource
from dnafm.analysis.variant_tables import HAS_MISMATCH, count_alleles, open_score_writer, score_rows
from dnafm.genomics import Variant
from dnafm.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class ScoreReport:
    """What became of the variants, on the first rank.

    Attributes:
        n_variants: records that were read.
        n_resumed: chunks that an earlier run had finished.
        alleles: counts by the reason for which they were skipped, None for those with scores. A record without an
            alternative allele counts as one.
        n_mismatches: alleles with scores whose reference allele is not the genome's.
    """

    n_variants: int = 0
    n_resumed: int = 0
    alleles: Counter = field(default_factory=Counter)
    n_mismatches: int = 0


def score_to_file(
    scorer: VariantScorer,
    source: VariantSource,
    *,
    output: str | os.PathLike,
    model: Mapping[str, Any],
    command: str = "",
    index: Literal["tbi", "csi"] | None = None,
    overwrite: bool = False,
    state: PartialState | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> ScoreReport:
    """Score variants and write a file, in their order.

    Finished chunks are kept in the folder `OUTPUT.parts`, from which a later call with the same options goes on; the
    file is made of them at the end, and is the same bytes whether the work was interrupted or not, from one rank or
    many.

    Args:
        scorer: what is scored, and how.
        source: of the variants.
        output: one of `OUTPUT_EXTENSIONS`.
        model: what tells the model from others, as JSON holds it.
        command: what is run, for the header of VCF.
        index: of tabix, to be made for `.vcf.gz` or `.bcf`.
        overwrite: replace an existing file, and chunks that were made with other options.
        state: ranks that share the work, by default those of `process_state`.
        on_progress: is told how many variants more are done, on every rank those of all.

    Raises:
        ValueError: the input is wrong, has changed, or the folder has chunks of other options.
        OSError: the file exists or cannot be made.
    """
    run = ChunkedRun(output, {**_settings(scorer, source), "model": dict(model)}, overwrite=overwrite, state=state)
    report = ScoreReport()

    def passed(variants: list[Variant]) -> None:
        report.n_variants += len(variants)
        if on_progress is not None:
            on_progress(len(variants))

    def scored(variants: list[Variant]) -> "pa.Table":
        rows = score_rows(scorer.score_chunk(variants), scorer.columns)
        passed(variants)
        return rows

    writer = (
        open_score_writer(
            output,
            source,
            scorer.columns,
            command=command,
            contig_lengths=scorer.reference.contig_lengths,
            index=index,
            overwrite=overwrite,
        )
        if run.is_main_process
        else nullcontext()
    )
    with writer as open_writer:
        run.finish(_chunks(source), scored, on_passed=passed)
        if open_writer is not None:
            open_writer.write_all(count_alleles(run.tables(), report.alleles))
    report.n_resumed = run.n_resumed
    report.n_mismatches = report.alleles.pop(HAS_MISMATCH, 0)
    run.remove()
    return report


def _chunks(source: VariantSource) -> Iterator[list[Variant]]:
    iterator = iter(source)
    while chunk := list(islice(iterator, CHUNK_VARIANTS)):
        yield chunk


def _settings(scorer: VariantScorer, source: VariantSource) -> dict[str, Any]:
    """Return what the scores of a chunk depend on, down to the last bit."""
    return {
        **source.identity(),
        "genome": file_identity(scorer.reference.path),
        "contig_aliases": scorer.reference.contig_aliases,
        "columns": list(scorer.columns),
        "window": scorer.window_bp,
        "flank": scorer.flank_bp,
        "strand": scorer.predictor.strand,
        "ref_mismatch": scorer.ref_mismatch,
        "batch": scorer.predictor.max_tokens,
        "bf16": scorer.predictor.bf16,
        "chunk_variants": CHUNK_VARIANTS,
        "dnafm": __version__,
    }
