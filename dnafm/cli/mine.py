"""`dnafm mine`: the places of genomes that resemble sequences, or that a fine-tuned model looks for."""

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from dnafm.cli.mining_options import DESCRIPTION, add_actions
from dnafm.cli.output_files import check_extension, check_new_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accelerate import PartialState  # type: ignore[import-untyped]

    from dnafm.analysis.mining import Index
    from dnafm.analysis.mining_classify import WindowScorer
    from dnafm.analysis.mining_files import MiningReport
    from dnafm.analysis.mining_queries import Query
    from dnafm.analysis.mining_windows import GenomeSurvey, WindowCut

# Options of a store that stay what they were when it was made, as `Index.create` calls them.
_STORED = {
    "window": "window_bp",
    "step": "step_bp",
    "strand": "strand",
    "layer": "layer",
    "pooling": "pooling",
    "vector_dtype": "vector_dtype",
}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm mine`."""
    from dnafm.cli.main import DEBUG_HELP

    parser = subparsers.add_parser(
        "mine", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for action in add_actions(parser).values():
        action.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=DEBUG_HELP)


def run(args: argparse.Namespace) -> None:
    """Do what the arguments say."""
    from dnafm.analysis.chunked_runs import process_state
    from dnafm.analysis.mining_lancedb import import_lancedb
    from dnafm.cli.console import distributed_run
    from dnafm.training.progress import quiet_transformers

    if getattr(args, "batch", 1) < 1:
        raise ValueError(f"--batch is {args.batch}; it must be at least 1 token.")
    if args.action != "classify":
        import_lancedb()
    actions = {"index": _index, "query": _query, "classify": _classify, "info": _info}
    with distributed_run(), quiet_transformers(keep_warnings=True):
        actions[args.action](args, process_state())


def _index(args: argparse.Namespace, state: "PartialState") -> None:
    index = _opened_or_made(args, state)
    before, known = len(index), {genome.name for genome in index.genomes if genome.is_complete}
    n_resumed = index.add(args.genomes, names=args.genome_name, ivf=args.index, overwrite=args.overwrite, state=state)
    if not state.is_main_process:
        return
    if n_resumed:
        print(f"Went on from {n_resumed:,} finished chunks of an earlier run.")
    for genome in index.genomes:
        if genome.is_complete and genome.name not in known:
            print(
                f"{genome.name}: {genome.n_windows:,} windows, {genome.n_skipped:,} places of unknown bases skipped."
            )
    search = "with an IVF index" if index.has_ivf else "searched exactly"
    print(f"{len(index) - before:,} windows added to {args.output}, which has {len(index):,}, {search}.")


def _opened_or_made(args: argparse.Namespace, state: "PartialState") -> "Index":
    import os

    from dnafm.analysis.mining import Index
    from dnafm.analysis.mining_store import store_exists

    for path in args.genomes:
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{path}: there is no such file. A genome is a FASTA file.")
    given = {own: getattr(args, name) for name, own in _STORED.items() if getattr(args, name) is not None}
    exists = store_exists(args.output)
    # No rank makes it before all have looked.
    state.wait_for_everyone()
    if not exists:
        return Index.create(
            args.output, args.backbone or "dnafm_tiny", dtype=args.dtype, max_tokens=args.batch, state=state, **given
        )
    index = Index.open(args.output, args.backbone, dtype=args.dtype, max_tokens=args.batch)
    index.check_settings(**given)
    return index


def _query(args: argparse.Namespace, state: "PartialState") -> None:
    from tqdm import tqdm

    from dnafm.analysis.mining import Index
    from dnafm.analysis.mining_files import query_to_file
    from dnafm.analysis.mining_queries import QueryOptions

    _check_output(args)
    options = QueryOptions(
        args.k, args.strand, args.min_score, args.merge, tuple(args.genome), tuple(args.contig), args.exact
    )
    index = Index.open(args.store, args.backbone, dtype=args.dtype, max_tokens=args.batch)
    with ExitStack() as stack:
        queries, identity, n_queries = _read_queries(args, index, stack)
        settings = {**identity, **index.identity, "batch": args.batch}
        search = index.search(options)
        is_silent = None if state.is_main_process else True
        with tqdm(desc="searching", total=n_queries, unit=" queries", disable=is_silent, leave=False) as bar:
            report = query_to_file(
                search,
                queries,
                output=args.output,
                settings=settings,
                overwrite=args.overwrite,
                state=state,
                on_progress=bar.update,
            )
    if state.is_main_process:
        _print_report(report, args, index.settings.window_bp)


def _read_queries(
    args: argparse.Namespace, index: "Index", stack: ExitStack
) -> "tuple[Iterable[Query], dict[str, Any], int]":
    """Return the queries, what tells whether they are still the same, and how many there are."""
    from dnafm.analysis.embedding_inputs import check_input
    from dnafm.analysis.embedding_sources import BedSource, FastaSource
    from dnafm.analysis.mining_sources import QuerySource, named_queries
    from dnafm.genomics import ReferenceGenome

    if (args.sequence is None) == (args.fasta is None and args.bed is None):
        raise ValueError("Name the queries: by --fasta, by --bed with the genome as --fasta, or by --sequence.")
    if args.bed is not None and args.fasta is None:
        raise ValueError("--bed needs the genome of its intervals: name it by --fasta.")
    if args.sequence is not None:
        if args.exclude_self:
            raise ValueError("--exclude_self needs the places of queries, which --sequence does not tell. Use --bed.")
        return list(named_queries(args.sequence, None)), {"queries": args.sequence}, len(args.sequence)
    if args.bed is None:
        checked = check_input(FastaSource(args.fasta), duplicate_ids=args.duplicate_ids or "error")
    else:
        genome = stack.enter_context(ReferenceGenome(args.fasta, contig_aliases=args.contig_aliases))
        checked = check_input(BedSource(args.bed, genome), duplicate_ids=args.duplicate_ids or "number")
    own_genome = index.name_of(args.fasta) if args.exclude_self else None
    identity = {**checked.identity, "own_genome": own_genome}
    return QuerySource(checked, own_genome), identity, checked.n_sequences


def _classify(args: argparse.Namespace, state: "PartialState") -> None:
    from tqdm import tqdm

    from dnafm.analysis.mining_classify import WindowScorer, check_options, load_task
    from dnafm.analysis.mining_files import classify_to_file
    from dnafm.cli.scored_models import model_identity

    _check_output(args)
    scorer = WindowScorer(load_task(args.model, dtype=args.dtype or "float32"), args.target, args.batch)
    genomes, cut = _genomes_and_cut(args, scorer, state)
    n_windows = sum(survey.n_windows for _, survey in genomes)
    check_options(
        scorer, k=args.k, n_places=n_windows // len(cut.strands), min_score=args.min_score, merge_bp=args.merge
    )
    identity = model_identity(model=args.model, dtype=args.dtype)
    is_silent = None if state.is_main_process else True
    with tqdm(desc="scoring", total=n_windows, unit=" windows", disable=is_silent, leave=False) as bar:
        report = classify_to_file(
            scorer,
            genomes,
            cut,
            k=args.k,
            output=args.output,
            settings=identity,
            min_score=args.min_score,
            merge_bp=args.merge,
            overwrite=args.overwrite,
            state=state,
            on_progress=bar.update,
        )
    if state.is_main_process:
        _print_report(report, args, cut.window_bp)


def _genomes_and_cut(
    args: argparse.Namespace, scorer: "WindowScorer", state: "PartialState"
) -> "tuple[list[tuple[str, GenomeSurvey]], WindowCut]":
    import os

    from dnafm.analysis.mining_lancedb import is_remote
    from dnafm.analysis.mining_sources import stored_surveys, surveys_of_files
    from dnafm.analysis.mining_store import open_store
    from dnafm.analysis.mining_windows import WindowCut

    (first, *others) = args.input
    if not is_remote(first) and not os.path.isdir(first):
        if args.fasta or args.genome:
            raise ValueError("--fasta and --genome are about the genomes of a store. Name files as the input alone.")
        window_bp = min(1024, scorer.task.max_bases) if args.window is None else args.window
        step_bp = max(1, window_bp // 2) if args.step is None else args.step
        cut = WindowCut(window_bp, step_bp, args.strand or "forward")
        scorer.check_window(window_bp)
        return surveys_of_files(args.input, cut, state=state), cut
    if others:
        raise ValueError(f"{first} is a store, and {others[0]} would be another input. Name one store, or files.")
    if given := [name for name in ("window", "step", "strand") if getattr(args, name) is not None]:
        raise ValueError(f"--{given[0]} is that of the store. Leave it out, or name FASTA files as the input.")
    store = open_store(first)
    scorer.check_window(store.settings.window_bp)
    return stored_surveys(store, args.fasta, genomes=args.genome, state=state), store.settings.cut


def _check_output(args: argparse.Namespace) -> None:
    from pathlib import Path

    from dnafm.analysis.mining_hits import EXTENSIONS

    check_extension(Path(args.output), EXTENSIONS)
    check_new_file(Path(args.output), overwrite=args.overwrite)


def _info(args: argparse.Namespace, state: "PartialState") -> None:
    from dnafm.analysis.mining import Index

    if not state.is_main_process:
        return
    index = Index.open(args.store)
    own, genomes = index.settings, index.genomes
    print(f"{args.store}: {len(index):,} windows, {len(genomes):,} genomes")
    print(f"  backbone  {own.backbone} (weights {own.weights}), {own.dtype}")
    print(f"  windows   {own.window_bp:,} bases every {own.step_bp:,}, strand {own.strand}")
    print(f"  vectors   layer {own.layer}, {own.pooling}: {own.width:,} numbers in {own.vector_dtype}")
    print(f"  search    {'through an IVF index' if index.has_ivf else 'exact'}")
    print(f"  made by   dnafm {own.dnafm}")
    for genome in genomes:
        n_bases, n_contigs = sum(genome.contig_lengths.values()), len(genome.contig_lengths)
        state_of = "complete" if genome.is_complete else "in progress: goes on when it is indexed again"
        print(f"{genome.name}: {state_of}")
        print(f"  file      {genome.path} (SHA-256 of names and bases {genome.checksum[:16]})")
        print(f"  contigs   {n_contigs:,} with {n_bases:,} bases")
        print(f"  windows   {genome.n_windows:,}; {genome.n_skipped:,} places of unknown bases skipped")


def _print_report(report: "MiningReport", args: argparse.Namespace, window_bp: int) -> None:
    from dnafm.analysis.mining_sources import short_note

    if report.n_resumed:
        print(f"Went on from {report.n_resumed:,} finished chunks of an earlier run.")
    if report.n_short:
        print(short_note(report.n_short, window_bp))
    what = f"{report.n_queries:,} queries" if report.n_queries else f"{report.n_windows:,} windows"
    print(f"{what}: {report.n_hits:,} hits in {args.output}.")
    if len(report.genomes) > 1 and args.output.endswith((".bed", ".bed.gz")):
        names = ", ".join(sorted(report.genomes)[:5])
        print(
            f"They are in {len(report.genomes)} genomes ({names}), which BED does not tell apart; --genome names one."
        )
