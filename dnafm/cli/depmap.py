"""`dnafm depmap`: nucleotide dependency maps, which base's prediction depends on which other base."""

import argparse
from functools import partial

DESCRIPTION = """\
Map the dependencies between the bases of a sequence, of FASTA records, or of regions of a genome.

  dnafm depmap chr1:1001-1200 --fasta ref.fa -o map.npz --plot map.html
  dnafm depmap hairpins.fa -o maps.parquet --plot maps.png

Row i, column j: the largest |log2 odds ratio| of any base at j, over the three substitutions at i; 0 on the diagonal.
All bases are seen: 3 passes for each base and one more, for each strand, in batches. Stems of RNA show as lines
across the diagonal, and motifs as blocks on it. A region may be as long as the model reads; around shorter ones it
sees the genome. Regions are read along the + strand, whatever the strand in BED.

A run that was interrupted goes on when it is started again with the same options; until the end its results are in
OUTPUT.parts. Under torchrun, processes share the regions."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm depmap`."""
    from dnafm.cli.region_options import add_region_options

    parser = subparsers.add_parser(
        "depmap", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_region_options(parser)
    parser.add_argument(
        "--window",
        type=int,
        metavar="BP",
        help="bases around the middle of a region that the model sees; a longer region is seen alone (default: 1024, "
        "or as many as it reads)",
    )


def run(args: argparse.Namespace) -> None:
    """Map as the arguments say."""
    from dnafm.analysis.chunked_runs import process_state
    from dnafm.analysis.dependency import DependencyMap, dependency_maps
    from dnafm.analysis.region_runs import CHUNK_BP, RegionWork
    from dnafm.analysis.regions import checked_window_bp
    from dnafm.cli.console import distributed_run
    from dnafm.cli.region_options import (
        check_region_options,
        checked_regions,
        finish_regions,
        regions_of,
        write_regions,
    )
    from dnafm.cli.scored_models import load_predictor
    from dnafm.reports.region_figures import plot_dependency
    from dnafm.reports.region_tables import dependency_arrays, dependency_columns
    from dnafm.training.progress import quiet_transformers

    check_region_options(args)
    with distributed_run(), quiet_transformers(keep_warnings=True):
        predictor = load_predictor(args, process_state().device)
        window_bp = checked_window_bp(args.window, predictor.tokenizer)
        work = RegionWork(partial(dependency_maps, predictor, window_bp=window_bp), DependencyMap, CHUNK_BP)
        run = finish_regions(args, work, checked_regions(args, regions_of(args, window_bp=window_bp)), doing="mapping")
        if run.is_main_process:
            write_regions(
                args,
                work.results(run),
                plot=plot_dependency,
                columns_of=dependency_columns,
                arrays_of=dependency_arrays,
            )
        run.remove()
