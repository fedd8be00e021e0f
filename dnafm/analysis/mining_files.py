"""Genome mining to files: in chunks, on one rank or many, and going on after an interruption."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from accelerate import PartialState  # type: ignore[import-untyped]

from dnafm.analysis.chunked_runs import ChunkedRun
from dnafm.analysis.embedding_tables import pa
from dnafm.analysis.mining_classify import CHUNK_WINDOWS, WindowScorer, best_windows, score_table, window_chunks
from dnafm.analysis.mining_hits import write_hits
from dnafm.analysis.mining_queries import Query, StoreQueries
from dnafm.analysis.mining_windows import GenomeSurvey, WindowCut
from dnafm.version import __version__

CHUNK_QUERIES = 64


@dataclass
class MiningReport:
    """What was found, on the first rank.

    Attributes:
        n_queries: that were read; 0 where a model ranked windows.
        n_short: of them, shorter than the windows of the store.
        n_windows: that a model ranked; 0 for queries.
        n_hits: that were written.
        genomes: names of those with hits.
        n_resumed: chunks that an earlier run had finished.
    """

    n_queries: int = 0
    n_short: int = 0
    n_windows: int = 0
    n_hits: int = 0
    genomes: set[str] = field(default_factory=set)
    n_resumed: int = 0

    def counted(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield tables of hits, and count what is in them."""
        for table in tables:
            self.n_hits += len(table)
            self.genomes |= set(table["genome"].to_pylist())
            yield table


def query_to_file(
    search: StoreQueries,
    queries: Iterable[Query],
    *,
    output: str | os.PathLike,
    settings: Mapping[str, Any],
    overwrite: bool = False,
    state: PartialState | None = None,
    on_progress: Callable[[int], object] = lambda n_queries: None,
) -> MiningReport:
    """Write the hits of queries, in their order; finished chunks are kept in `OUTPUT.parts` until the file is whole.

    Args:
        search: what answers.
        queries: the same on all ranks.
        output: with an extension of `dnafm.analysis.mining_hits.EXTENSIONS`.
        settings: what hits depend on beside the options of the search, as JSON holds it.
        overwrite: replace an existing file, and chunks that were made with other options.
        state: ranks that share the work.
        on_progress: is told how many queries more are done, on every rank those of all.

    Raises:
        ValueError: a query is unknown bases, or the folder has chunks of other options.
        OSError: the file exists or cannot be written.
    """
    report = MiningReport()
    own = {**settings, "options": asdict(search.options), "chunk": CHUNK_QUERIES, "dnafm": __version__}
    run = ChunkedRun(output, own, overwrite=overwrite, state=state)

    def kept(chunk: Sequence[Query]) -> pa.Table:
        hits = search.answer(chunk)
        on_progress(len(chunk))
        return hits

    def chunks() -> Iterator[list[Query]]:
        iterator = iter(queries)
        while chunk := list(islice(iterator, CHUNK_QUERIES)):
            report.n_queries += len(chunk)
            report.n_short += sum(map(search.is_short, chunk))
            yield chunk

    run.finish(chunks(), kept, on_passed=lambda chunk: on_progress(len(chunk)))
    report.n_resumed = run.n_resumed
    if run.is_main_process:
        write_hits(output, report.counted(run.tables()), overwrite=overwrite)
    run.remove()
    return report


def classify_to_file(
    scorer: WindowScorer,
    genomes: Sequence[tuple[str, GenomeSurvey]],
    cut: WindowCut,
    *,
    k: int,
    output: str | os.PathLike,
    settings: Mapping[str, Any],
    min_score: float | None = None,
    merge_bp: int | None = None,
    overwrite: bool = False,
    state: PartialState | None = None,
    on_progress: Callable[[int], object] = lambda n_windows: None,
) -> MiningReport:
    """Write the windows of genomes that a model ranks the highest; chunks are kept as by `query_to_file`.

    In BED a probability of 1 has the score 1,000, and of other numbers the highest one has.

    Args:
        scorer: the model and its target.
        genomes: names and surveys.
        cut: how they are cut.
        k: how many hits, checked by `dnafm.analysis.mining_classify.check_options`.
        output: with an extension of `dnafm.analysis.mining_hits.EXTENSIONS`.
        settings: what tells the model from others, as JSON holds it.
        min_score: lowest score of a hit.
        merge_bp: see `dnafm.analysis.mining_hits.first_hits`.
        overwrite: replace an existing file, and chunks that were made with other options.
        state: ranks that share the work.
        on_progress: is told how many windows more are done, on every rank those of all.

    Raises:
        ValueError: a genome has changed, or the folder has chunks of other options.
        OSError: the file exists or cannot be written.
    """
    report = MiningReport(n_windows=sum(survey.n_windows for _, survey in genomes))
    own = {
        **settings,
        "target": scorer.target_name,
        "batch": scorer.max_tokens,
        "genomes": [[name, survey.checksum] for name, survey in genomes],
        "cut": asdict(cut),
        "chunk": CHUNK_WINDOWS,
        "dnafm": __version__,
    }
    run = ChunkedRun(output, own, overwrite=overwrite, state=state)

    def kept(chunk: tuple[str, list]) -> pa.Table:
        scored = score_table(scorer, chunk)
        on_progress(len(chunk[1]))
        return scored

    run.finish(window_chunks(genomes, cut), kept, on_passed=lambda chunk: on_progress(len(chunk[1])))
    report.n_resumed = run.n_resumed
    if run.is_main_process:
        hits = best_windows(run.tables(), scorer, k=k, min_score=min_score, merge_bp=merge_bp)
        scores = hits[scorer.score_column].to_pylist()
        highest = 1.0 if scorer.is_probability else max([0.0, *scores]) or 1.0
        write_hits(
            output, report.counted([hits]), score_column=scorer.score_column, highest=highest, overwrite=overwrite
        )
    run.remove()
    return report
