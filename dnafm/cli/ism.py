"""`dnafm ism`: in-silico mutagenesis, what every substitution of a sequence changes."""

import argparse
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnafm.analysis.base_predictions import BasePredictor
    from dnafm.analysis.chunked_runs import ChunkedRun
    from dnafm.analysis.region_runs import RegionWork
    from dnafm.analysis.regions import Region
    from dnafm.analysis.track_runs import TrackRun

DESCRIPTION = """\
Score all substitutions of a sequence, of FASTA records, or of regions of a genome: a row for each base, with the
effect of A, C, G and T in its place, 0 for the base that is there.

  dnafm ism chr1:1001-1200 --fasta ref.fa -o ism.parquet --plot ism.html
  dnafm ism regions.bed --fasta ref.fa -o ism.npz --scores unmasked
  dnafm ism ACGTTGCAACGTTGCA --model runs/promoters --target promoter -o ism.tsv
  dnafm ism genome.fa --entropy_track entropy.bw --log_probability_track log_probability.bw
  torchrun --nproc_per_node 8 --module dnafm ism chr1 --fasta ref.fa --entropy_track chr1.bw --backbone dnafm

The effect is log p(alternative) - log p(reference) in nats, over A, C, G and T, of a model that sees all but that
base. With --model it is the change of an output of a fine-tuned model: a logit, or a number in the unit of its data.

Windows are centred on the base, or shifted at the ends of a contig; a contig that is no longer than a window is read
as a whole. Unmasked, a window serves the bases in its middle half. Regions are read along the + strand of the genome,
whatever the strand in BED.

Tracks are made by passes of their own, over regions or whole contigs: a window is read --stride times, and each pass
hides every 8th base of its middle half. That is an estimate of what hiding each base alone says, for which 1,024 bases
take 16 passes in place of 1,024.

A run that was interrupted goes on when it is started again with the same options; until the end its results are in
OUTPUT.parts, those of tracks beside the first of them. Under torchrun, processes share the regions, long ones in
parts."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm ism`."""
    from dnafm.cli.region_options import add_region_options
    from dnafm.cli.track_options import add_track_options

    parser = subparsers.add_parser(
        "ism", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_region_options(parser)
    parser.add_argument(
        "--scores",
        choices=("masked", "unmasked"),
        default="masked",
        help="hide each base in a pass of its own, or read all bases of a window in one pass, which is fast "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--window",
        type=int,
        metavar="BP",
        help="bases that the model reads at once (default: 1024, or as many as it reads; with --model, the region)",
    )
    parser.add_argument(
        "--model",
        metavar="CHECKPOINT",
        help="fine-tuned SequenceClassification or SequenceRegression, in place of the backbone",
    )
    parser.add_argument("--target", metavar="NAME", help="class or target of --model; needed where it has several")
    add_track_options(parser)


def run(args: argparse.Namespace) -> None:
    """Mutate as the arguments say."""
    from dnafm.cli.console import distributed_run
    from dnafm.cli.region_options import check_region_options, finish_regions
    from dnafm.cli.track_options import check_track_options, track_paths, write_finished
    from dnafm.training.progress import quiet_transformers

    check_region_options(args, tracks=list(track_paths(args).values()))
    check_track_options(args)
    _check_model(args)
    with distributed_run(), quiet_transformers(keep_warnings=True):
        predictor = None if args.model is not None else _predictor(args)
        work, regions = _by_head(args) if predictor is None else _by_backbone(args, predictor)
        # All is finished before anything is written: files of an interrupted run would be in the way of the next.
        tracks = _finished_tracks(args, predictor) if predictor is not None and track_paths(args) else None
        run = finish_regions(args, work, regions, doing="mutating") if args.output or args.plot else None
        if run is not None:
            _write(args, work, run)
        if tracks is not None:
            write_finished(tracks)
        if run is not None:
            run.remove()


def _check_model(args: argparse.Namespace) -> None:
    if args.model is None and args.target is not None:
        raise ValueError(f"--target {args.target} is an output of a fine-tuned model. Name it by --model.")
    for option in ("entropy_track", "log_probability_track"):
        if args.model is not None and getattr(args, option) is not None:
            raise ValueError(f"--{option}: {args.model} predicts no bases. Leave --model out for this.")


def _write(args: argparse.Namespace, work: "RegionWork", run: "ChunkedRun") -> None:
    from dnafm.cli.region_options import write_regions
    from dnafm.reports.region_figures import plot_mutagenesis
    from dnafm.reports.region_tables import mutagenesis_arrays, mutagenesis_columns

    if run.is_main_process:
        write_regions(
            args,
            work.results(run),
            plot=plot_mutagenesis,
            columns_of=mutagenesis_columns,
            arrays_of=mutagenesis_arrays,
        )


def _predictor(args: argparse.Namespace) -> "BasePredictor":
    from dnafm.analysis.chunked_runs import process_state
    from dnafm.cli.scored_models import load_predictor

    return load_predictor(args, process_state().device)


def _finished_tracks(args: argparse.Namespace, predictor: "BasePredictor") -> "TrackRun":
    from dnafm.cli.region_options import genome_intervals
    from dnafm.cli.scored_models import model_identity
    from dnafm.cli.track_options import finish_tracks

    with genome_intervals(args) as (genome, intervals):
        return finish_tracks(
            args,
            predictor,
            genome,
            intervals,
            model=model_identity(backbone=args.backbone, model=args.model, dtype=args.dtype),
            masked=args.scores == "masked",
            window_bp=args.window,
        )


def _by_backbone(args: argparse.Namespace, predictor: "BasePredictor") -> "tuple[RegionWork, Iterable[Region]]":
    from dnafm.analysis.mutagenesis import Mutagenesis, mutate
    from dnafm.analysis.region_runs import CHUNK_BP, UNMASKED_CHUNK_BP, RegionWork
    from dnafm.analysis.regions import checked_window_bp
    from dnafm.cli.region_options import checked_regions, regions_of

    masked = args.scores == "masked"
    window_bp = checked_window_bp(args.window, predictor.tokenizer)
    # Unmasked, regions are cut where their tiles of half a window are.
    tile_bp = 1 if masked else max(1, window_bp // 2)
    chunk_bp = CHUNK_BP if masked else UNMASKED_CHUNK_BP
    work = RegionWork(
        partial(mutate, predictor, masked=masked, window_bp=window_bp),
        Mutagenesis,
        chunk_bp=chunk_bp,
        split_bp=max(1, chunk_bp // tile_bp) * tile_bp,
        margin_bp=window_bp,
    )
    return work, checked_regions(args, regions_of(args, window_bp=window_bp))


def _by_head(args: argparse.Namespace) -> "tuple[RegionWork, Iterable[Region]]":
    from dnafm.analysis.chunked_runs import process_state
    from dnafm.analysis.mutagenesis import Mutagenesis, mutate_scored
    from dnafm.analysis.region_runs import CHUNK_BP, RegionWork
    from dnafm.analysis.regions import checked_window_bp, longest_window_bp
    from dnafm.cli.region_options import checked_regions, regions_of
    from dnafm.cli.scored_models import load_output

    # Without a window, it is the regions that must fit.
    checked = argparse.Namespace(**{**vars(args), "window": 1 if args.window is None else args.window})
    output, predictor = load_output(checked, process_state().device)
    if args.window is not None:
        checked_window_bp(args.window, predictor.tokenizer)
    target = _target_of(args, output.names)
    regions: Iterable[Region] = checked_regions(args, regions_of(args, window_bp=args.window or 0))
    if args.window is None:
        regions = _fitting(regions, longest_window_bp(predictor.tokenizer))
    mutated = partial(
        mutate_scored,
        lambda sequences: output.read(sequences)[:, output.names.index(target)],
        effect_name=f"change of {target} ({output.unit})",
        window_bp=args.window,
        max_tokens=args.batch,
    )
    split_bp = None if args.window is None else CHUNK_BP
    return RegionWork(mutated, Mutagenesis, CHUNK_BP, split_bp, args.window or 0), regions


def _target_of(args: argparse.Namespace, names: tuple[str, ...]) -> str:
    if args.target is None and len(names) == 1:
        return names[0]
    if args.target not in names:
        given = "is missing" if args.target is None else f"is {args.target!r}"
        raise ValueError(f"--target {given}; {args.model} has the outputs {', '.join(names)}. Name one of them.")
    return args.target


def _fitting(regions: "Iterable[Region]", longest: int) -> "Iterator[Any]":
    for region in regions:
        if region.n_bases > longest:
            raise ValueError(
                f"{region.id} has {region.n_bases} bases; the model reads {longest}. Set --window, and each base is "
                "read in a window of its own."
            )
        yield region
