"""The options of `dnafm generate`."""

import argparse
from pathlib import Path
from typing import Any

from dnafm.cli.model_options import add_backbone, add_batch, add_contig_aliases, add_dtype, add_strand, check_batch
from dnafm.cli.output_files import check_extension, check_new_file


def add_generation_options(parser: argparse.ArgumentParser) -> None:
    """Add all options, in groups."""
    _add_templates(parser.add_argument_group("what is designed"))
    _add_sampling(parser.add_argument_group("how"))
    towards = parser.add_argument_group("towards what")
    _add_guide(towards)
    _add_condition(towards)
    _add_constraints(parser.add_argument_group("within what"))
    _add_output(parser.add_argument_group("what is written"))
    _add_model(parser.add_argument_group("with which model"))


def _add_templates(group: Any) -> None:
    group.add_argument(
        "template",
        nargs="?",
        metavar="TEMPLATE",
        help="a sequence, or a FASTA file of them, in which ? or [MASK] is a place to fill",
    )
    group.add_argument("-n", "--n", type=int, default=1, metavar="N", help="sequences of each template (default: 1)")
    group.add_argument("--length", type=int, metavar="BP", help="fill so many bases, without a template")
    group.add_argument("--fasta", metavar="FILE", help="genome of regions that are designed again, plain or bgzip")
    group.add_argument("--region", nargs="+", metavar="REGION", help="of the genome: chr1:1-100, or a contig")
    group.add_argument("--regions", metavar="BED", help="regions of the genome, read along its + strand")
    group.add_argument(
        "--flank",
        type=int,
        metavar="BP",
        help="bases of the genome on either side that the model sees (default: 256, or as many as it reads)",
    )
    add_contig_aliases(group)
    group.add_argument("--unique", action="store_true", help="no sequence of a template twice")


def _add_sampling(group: Any) -> None:
    group.add_argument(
        "--rounds", type=int, default=16, metavar="N", help="passes in which places are filled (default: %(default)s)"
    )
    group.add_argument(
        "--order",
        choices=("random", "confidence", "entropy"),
        default="random",
        help="which places are filled first: those of the most probable bases (which tends to repeats where much is "
        "to be filled), random ones, or those of the surest predictions "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--temperature", type=float, default=1.0, help="below 1 surer, at 0 the most probable base (default: 1)"
    )
    group.add_argument(
        "--top_p",
        type=float,
        default=1.0,
        metavar="P",
        help="draw from the bases that make up this share (default: 1)",
    )
    group.add_argument(
        "--refinement_rounds",
        type=int,
        default=0,
        metavar="N",
        help="rounds in which some places are masked and drawn again (default: 0)",
    )
    group.add_argument(
        "--refinement_share",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="of the places, in each round of refinement (default: %(default)s)",
    )
    group.add_argument("--seed", type=int, default=0, help="of all random numbers (default: 0)")
    group.add_argument(
        "--max_tries", type=int, default=10, metavar="N", help="tries of each sequence (default: %(default)s)"
    )


def _add_guide(group: Any) -> None:
    group.add_argument("--guide", metavar="CHECKPOINT", help="fine-tuned model whose output is to be high")
    group.add_argument("--target", metavar="NAME", help="class or number of the guide; needed where it has several")
    group.add_argument(
        "--strength",
        type=float,
        default=1.0,
        help="what the guide's value is multiplied by; below 0 it is made low (default: 1)",
    )
    group.add_argument(
        "--candidates", type=int, default=4, metavar="N", help="that are weighed in each round (default: %(default)s)"
    )


def _add_condition(group: Any) -> None:
    group.add_argument(
        "--condition",
        nargs="+",
        metavar="VALUE",
        help="class, or number or numbers in the units of its data, that a conditional backbone designs for; such a "
        "one is made by dnafm fit --model Diffusion --model.condition class or value",
    )
    group.add_argument(
        "--guidance_scale",
        type=float,
        default=0.0,
        metavar="W",
        help="go further than the condition: logits are (1 + W) x conditional - W x unconditional (default: 0)",
    )


def _add_constraints(group: Any) -> None:
    group.add_argument(
        "--gc", nargs=2, type=float, metavar=("MIN", "MAX"), help="lowest and highest share of G and C, 0 to 1"
    )
    group.add_argument("--forbid", nargs="+", default=[], metavar="MOTIF", help="motifs to avoid, in letters of IUPAC")
    group.add_argument("--require", nargs="+", default=[], metavar="MOTIF", help="motifs of which each must be there")
    group.add_argument("--both_strands", action="store_true", help="motifs also count on the other strand")
    group.add_argument("--max_homopolymer", type=int, metavar="BP", help="longest run of one base")
    group.add_argument(
        "--max_identity",
        type=float,
        metavar="SHARE",
        help="highest share of equal bases, 0 to 1, with any sequence of --identity_to, without gaps",
    )
    group.add_argument("--identity_to", metavar="FASTA", help="sequences to which the identity is reported")


def _add_output(group: Any) -> None:
    group.add_argument("-o", "--output", metavar="FILE", help="FASTA with scores in the header; .gz is bgzip")
    group.add_argument(
        "--table", metavar="FILE", help="a row for each sequence, those that failed, too: .parquet, .tsv, .csv, .jsonl"
    )
    group.add_argument("--plot", metavar="FILE", help="the guide's value over the rounds: .png, .svg")
    group.add_argument(
        "--no_likelihood",
        action="store_true",
        help="leave out the log-likelihoods, which take a pass of the model for each place",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace existing files, and parts of a run with other options"
    )


def _add_model(group: Any) -> None:
    add_backbone(group)
    add_strand(group, default="forward", read="which strand the model and the guide read")
    add_batch(group)
    add_dtype(group)


def check_generation_options(args: argparse.Namespace) -> None:
    """Check what can be checked before weights are loaded.

    Raises:
        ValueError: options contradict each other, an extension is unknown, or a number is out of its range.
        OSError: a file exists, or its folder does not.
    """
    from dnafm.data.prediction_tables import EXTENSIONS
    from dnafm.reports.figure_files import figure_extension

    sources = {"TEMPLATE": args.template, "--length": args.length, "--fasta": args.fasta}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise ValueError(f"What is designed is said by one of {', '.join(sources)}; there is {found}.")
    if (args.region is not None) + (args.regions is not None) != (args.fasta is not None):
        raise ValueError(
            "--fasta is the genome of regions: name these by --region or by --regions, and not without it."
        )
    if args.output is None and args.table is None:
        raise ValueError("There is nothing to write. Name a FASTA file by --output, or a table by --table.")
    if args.guide is None and (args.plot is not None or args.target is not None):
        raise ValueError("--plot and --target are about a guide. Name a fine-tuned model by --guide.")
    if args.condition is None and args.guidance_scale != 0:
        raise ValueError("--guidance_scale is about a condition. Name one by --condition.")
    check_batch(args.batch)
    if args.table is not None:
        check_extension(Path(args.table), EXTENSIONS, option="--table")
    if args.plot is not None:
        figure_extension(args.plot)
    for path in (Path(each) for each in (args.output, args.table, args.plot) if each is not None):
        check_new_file(path, overwrite=args.overwrite)
