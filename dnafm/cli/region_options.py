"""What `dnafm ism` and `dnafm depmap` have in common: options, the regions of the input, and what is written."""

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnafm.cli.model_options import add_backbone, add_batch, add_contig_aliases, add_dtype, add_strand, check_batch

if TYPE_CHECKING:
    from dnafm.analysis.chunked_runs import ChunkedRun
    from dnafm.analysis.region_runs import RegionWork
    from dnafm.analysis.regions import Region
    from dnafm.genomics import Interval, ReferenceGenome

MOST_FIGURES = 50


def add_region_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is read, with which model, and what is written."""
    parser.add_argument(
        "input",
        help="a sequence, or a FASTA file, plain or bgzip, of which each record is read; with --fasta a BED file, "
        "a region such as chr1:1001-1200 (from 1), or the name of a contig",
    )
    parser.add_argument("--fasta", metavar="FILE", help="genome of the regions, plain or bgzip")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="to write: .parquet, .npz, .tsv, .csv, .jsonl; text with .gz, too"
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="figure to write: .png, .svg, or .html, which zooms; of several regions, up to "
        f"{MOST_FIGURES}, each has its own: FILE.NUMBER.NAME.png",
    )
    add_backbone(parser)
    add_strand(parser, default="both")
    add_contig_aliases(parser)
    add_batch(parser)
    add_dtype(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace existing files, and parts of a run with other options"
    )


def check_region_options(args: argparse.Namespace, *, tracks: Sequence[str] | None = None) -> None:
    """Check what can be checked before weights are loaded.

    Args:
        args: of the command.
        tracks: other files that are written, which have checks of their own; None where the command writes none.

    Raises:
        ValueError: nothing is to be written, an extension is unknown, or a number is out of its range.
        OSError: a file exists, or its folder does not.
    """
    from dnafm.cli.output_files import check_extension, check_new_file
    from dnafm.data.prediction_tables import EXTENSIONS
    from dnafm.reports.figure_files import figure_extension
    from dnafm.reports.region_figures import EXTENSIONS as FIGURES
    from dnafm.reports.region_tables import ARRAYS

    if args.output is None and args.plot is None and not tracks:
        others = "" if tracks is None else " Tracks are named by --entropy_track and --log_probability_track."
        raise ValueError(f"There is nothing to write. Name a table by --output, or a figure by --plot.{others}")
    check_batch(args.batch)
    if args.output is not None:
        check_extension(Path(args.output), (ARRAYS, *EXTENSIONS))
    if args.plot is not None:
        figure_extension(args.plot, FIGURES)
    for path in (Path(each) for each in (args.output, args.plot) if each is not None):
        check_new_file(path, overwrite=args.overwrite)


def regions_of(args: argparse.Namespace, *, window_bp: int) -> "Iterator[Region]":
    """Yield the regions of the input, with the bases that windows need.

    Raises:
        ValueError: the input is neither a file nor a sequence, or holds no region.
    """
    from dnafm.analysis.regions import interval_regions, record_regions, sequence_region
    from dnafm.genomics import ReferenceGenome, is_dna

    if args.fasta is not None:
        with ReferenceGenome(args.fasta, contig_aliases=args.contig_aliases) as genome:
            yield from interval_regions(genome, _intervals(args.input, genome), window_bp=window_bp)
    elif os.path.exists(args.input):
        with ReferenceGenome(args.input) as genome:
            yield from record_regions(genome)
    elif args.input and is_dna(args.input):
        yield sequence_region(args.input)
    else:
        raise ValueError(
            f"{args.input!r} is neither a file nor a sequence of DNA. With --fasta it may be a region: chr1:1-100."
        )


@contextmanager
def genome_intervals(args: argparse.Namespace) -> "Iterator[tuple[ReferenceGenome, list[Interval] | None]]":
    """Give the genome of the input, and the intervals of it; None for all contigs, where the input is a FASTA file.

    Raises:
        ValueError: the input is a sequence, or holds no interval.
    """
    from dnafm.genomics import ReferenceGenome

    if args.fasta is not None:
        with ReferenceGenome(args.fasta, contig_aliases=args.contig_aliases) as genome:
            yield genome, list(_intervals(args.input, genome))
    elif os.path.exists(args.input):
        with ReferenceGenome(args.input) as genome:
            yield genome, None
    else:
        raise ValueError(
            f"A track lies along a genome, and {args.input!r} is none. Name a FASTA file, or by --fasta the genome of "
            "a region."
        )


def finish_regions(
    args: argparse.Namespace, work: "RegionWork", regions: "Iterable[Region]", *, doing: str
) -> "ChunkedRun":
    """Compute the results of regions, and return the run that has them for `write_regions`; ranks share the work.

    Args:
        args: of the command.
        work: what is computed.
        regions: the same on all ranks.
        doing: what the progress bar says.
    """
    from tqdm import tqdm

    from dnafm.reports.region_tables import with_own_names

    run = _region_run(args, work)
    # Silent where stderr is no terminal.
    is_silent = None if run.is_main_process else True
    with tqdm(desc=doing, unit=" bases", disable=is_silent, leave=False) as bar:
        work.finish(run, with_own_names(regions, args.output), on_progress=bar.update)
    if run.n_resumed:
        print(f"Went on from {run.n_resumed:,} finished chunks of an earlier run.")
    return run


def write_regions(
    args: argparse.Namespace,
    results: Iterable[Any],
    *,
    plot: Callable[[Any, str | os.PathLike], None],
    columns_of: Callable[[Any], Any],
    arrays_of: Callable[[Any], Any],
) -> None:
    """Write results as the arguments say, and print what is where."""
    from dnafm.reports.region_figures import numbered_path
    from dnafm.reports.region_tables import write_results

    shown: list[Any] = []
    kept = _kept(results, shown) if args.plot is not None else results
    if args.output is not None:
        n_bases = write_results(
            args.output, kept, columns_of=columns_of, arrays_of=arrays_of, overwrite=args.overwrite
        )
        print(f"{n_bases:,} bases written to {args.output}.")
    elif args.plot is not None:
        shown = list(results)
    for number, result in enumerate(shown, start=1):
        path = Path(args.plot) if len(shown) == 1 else numbered_path(args.plot, number, result.region.id)
        plot(result, path)
        print(f"{result.region.id} is shown in {path}.")


def checked_regions(args: argparse.Namespace, regions: "Iterator[Region]") -> "Iterable[Region]":
    """Return the regions; where figures are asked for, all of them are read and checked.

    Raises:
        ValueError: there are too many figures, or too many bases in one.
    """
    from dnafm.reports.mutagenesis_figures import check_size

    if args.plot is None:
        return regions
    few = list(islice(regions, MOST_FIGURES + 1))
    if len(few) > MOST_FIGURES:
        raise ValueError(
            f"{args.input} has more than {MOST_FIGURES} regions, and --plot makes a figure of each. Leave it out, or "
            "choose some regions."
        )
    for region in few:
        check_size(region)
    return few


def _kept(results: Iterable[Any], shown: list[Any]) -> Iterator[Any]:
    for result in results:
        shown.append(result)
        yield result


def _region_run(args: argparse.Namespace, work: "RegionWork") -> "ChunkedRun":
    """Return the run that keeps finished chunks of the regions beside what is written."""
    from dnafm.analysis.chunked_runs import ChunkedRun
    from dnafm.analysis.identities import file_identity
    from dnafm.cli.scored_models import model_identity
    from dnafm.version import __version__

    settings = {
        "command": args.command,
        "input": file_identity(args.input) if os.path.exists(args.input) else args.input,
        "genome": None if args.fasta is None else file_identity(args.fasta),
        **{name: getattr(args, name, None) for name in ("contig_aliases", "scores", "target", "window", "strand")},
        "batch": args.batch,
        "model": model_identity(backbone=args.backbone, model=getattr(args, "model", None), dtype=args.dtype),
        "chunk_bp": [work.chunk_bp, work.split_bp],
        "dnafm": __version__,
    }
    return ChunkedRun(args.output or args.plot, settings, overwrite=args.overwrite)


def _intervals(text: str, genome: "ReferenceGenome") -> "Iterator[Interval]":
    from dnafm.genomics import Interval, parse_region, read_bed
    from dnafm.genomics.intervals import check_within

    if not os.path.exists(text):
        if text in genome:
            yield Interval(genome.resolve(text), 0, genome.contig_lengths[genome.resolve(text)])
            return
        interval = parse_region(text)
        check_within(interval, {interval.contig: genome.contig_lengths[genome.resolve(interval.contig)]})
        yield interval
        return
    n_read = 0
    for record in read_bed(text):
        interval, n_read = record.interval, n_read + 1
        try:
            check_within(interval, {interval.contig: genome.contig_lengths[genome.resolve(interval.contig)]})
        except ValueError as error:
            raise ValueError(f"{record.place}: {error}") from error
        yield interval
    if not n_read:
        raise ValueError(f"{text}: there is no interval in the file.")
