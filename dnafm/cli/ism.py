"""`dnafm ism`: in-silico mutagenesis, what every substitution of a sequence changes."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnafm.analysis.mutagenesis import Mutagenesis
    from dnafm.analysis.regions import Region

DESCRIPTION = """\
Score all substitutions of a sequence, of FASTA records, or of regions of a genome: a row for each base, with the
effect of A, C, G and T in its place, 0 for the base that is there.

  dnafm ism chr1:1001-1200 --fasta ref.fa -o ism.parquet --plot ism.html
  dnafm ism regions.bed --fasta ref.fa -o ism.npz --scores unmasked
  dnafm ism ACGTTGCAACGTTGCA --model runs/promoters --target promoter -o ism.tsv

The effect is log p(alternative) - log p(reference) in nats, over A, C, G and T, of a model that sees all but that
base. With --model it is the change of an output of a fine-tuned model: a logit, or a number in the unit of its data.

Windows are centred on the base, or shifted at the ends of a contig; a contig that is no longer than a window is read
as a whole. Unmasked, a window serves the bases in its middle half. Regions are read along the + strand of the genome,
whatever the strand in BED."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm ism`."""
    from dnafm.cli.region_options import add_region_options

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


def run(args: argparse.Namespace) -> None:
    """Mutate as the arguments say."""
    from tqdm import tqdm

    from dnafm.cli.region_options import check_region_options, write_regions
    from dnafm.reports.region_figures import plot_mutagenesis
    from dnafm.reports.region_tables import mutagenesis_arrays, mutagenesis_columns
    from dnafm.training.progress import quiet_transformers

    check_region_options(args)
    if args.model is None and args.target is not None:
        raise ValueError(f"--target {args.target} is an output of a fine-tuned model. Name it by --model.")
    mutated = _mutated_by_backbone if args.model is None else _mutated_by_head
    # Silent where stderr is no terminal.
    with (
        quiet_transformers(keep_warnings=True),
        tqdm(desc="mutating", unit=" bases", disable=None, leave=False) as bar,
    ):
        write_regions(
            args,
            mutated(args, bar.update),
            plot=plot_mutagenesis,
            columns_of=mutagenesis_columns,
            arrays_of=mutagenesis_arrays,
        )


def _mutated_by_backbone(args: argparse.Namespace, on_progress: Callable[[int], object]) -> "Iterator[Mutagenesis]":
    from dnafm.analysis.mutagenesis import mutate
    from dnafm.analysis.regions import checked_window_bp
    from dnafm.analysis.variant_runs import process_state
    from dnafm.cli.region_options import checked_regions, regions_of
    from dnafm.cli.scored_models import load_predictor

    predictor = load_predictor(args, process_state().device)
    window_bp = checked_window_bp(args.window, predictor.tokenizer)
    return mutate(
        predictor,
        checked_regions(args, regions_of(args, window_bp=window_bp)),
        masked=args.scores == "masked",
        window_bp=window_bp,
        on_progress=on_progress,
    )


def _mutated_by_head(args: argparse.Namespace, on_progress: Callable[[int], object]) -> "Iterator[Mutagenesis]":
    from dnafm.analysis.mutagenesis import mutate_scored
    from dnafm.analysis.regions import checked_window_bp, longest_window_bp
    from dnafm.analysis.variant_runs import process_state
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
    return mutate_scored(
        lambda sequences: output.read(sequences)[:, output.names.index(target)],
        regions,
        effect_name=f"change of {target} ({output.unit})",
        window_bp=args.window,
        max_tokens=args.batch,
        on_progress=on_progress,
    )


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
