"""`dnafm score`: what a model thinks of variants, from VCF and FASTA to VCF or a table."""

import argparse
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnafm.cli.model_options import add_backbone, add_batch, add_contig_aliases, add_dtype, add_strand, check_batch

if TYPE_CHECKING:
    from dnafm.analysis.variant_runs import ScoreReport
    from dnafm.analysis.variant_scores import VariantScorer
    from dnafm.genomics import Interval, ReferenceGenome

DESCRIPTION = """\
Score variants: does the model expect the reference or the alternative allele? For SNVs, MNVs, insertions and
deletions, in the order of the input.

  dnafm score --vcf in.vcf.gz --fasta ref.fa -o scored.vcf.gz
  dnafm score --variants chr1:12345:A:G chr2:67:CT:C --fasta ref.fa -o scores.tsv --scores masked_llr jsd l2
  torchrun --nproc_per_node 8 --module dnafm score --vcf in.vcf.gz --fasta ref.fa -o scored.vcf.gz --backbone dnafm

VCF and BCF keep all that the input had and get INFO such as DNAFM_MASKED_LLR. Tables have a row for each alternative
allele. An allele without scores has the reason in its place: symbolic_allele, ambiguous_bases, ... A run that was
interrupted goes on when it is started again with the same options; until the end its results are in OUTPUT.parts.

scores:
"""
# Not options of what is computed, which the header of a VCF tells.
_UNTOLD = ("command", "debug", "overwrite")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm score`."""
    from dnafm.analysis.score_formulas import SCORES, describe_score

    formulas = "\n".join(
        textwrap.fill(f"  {name:12} {describe_score(name)}.", width=119, subsequent_indent=" " * 15) for name in SCORES
    )
    parser = subparsers.add_parser(
        "score", description=DESCRIPTION + formulas, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_files(parser)
    add_backbone(parser)
    parser.add_argument(
        "--model",
        metavar="CHECKPOINT",
        help="fine-tuned SequenceClassification or SequenceRegression: the change of each of its outputs, logits or "
        "numbers, from the reference to the alternative window, as change_NAME",
    )
    parser.add_argument(
        "--scores",
        nargs="+",
        choices=SCORES,
        metavar="SCORE",
        help="what is computed, of those above (default: masked_llr entropy; with --model, the change alone)",
    )
    parser.add_argument(
        "--layers",
        nargs="+",
        type=int,
        default=[-1],
        metavar="N",
        help="of l1, l2 and cosine: 0 is the input of the first layer, -1 the output of the last (default: -1)",
    )
    parser.add_argument(
        "--window", type=int, default=1024, metavar="BP", help="bases around a variant (default: %(default)s)"
    )
    parser.add_argument(
        "--flank",
        type=int,
        default=5,
        metavar="BP",
        help="bases on both sides of a change that is no SNV whose likelihoods count (default: %(default)s)",
    )
    add_strand(parser, default="both")
    _add_rules(parser)


def _add_files(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--vcf", metavar="FILE", help="VCF or BCF file, plain or compressed with bgzip")
    source.add_argument(
        "--variants",
        nargs="+",
        metavar="VARIANT",
        help="a table with columns chrom, pos (from 1), ref, alt (.tsv or .csv), a file with a variant such as "
        "chr1:12345:A:G in each line, or such variants themselves",
    )
    parser.add_argument("--fasta", required=True, metavar="FILE", help="genome, plain or compressed with bgzip")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="to write: .vcf.gz, .vcf, .bcf, .parquet, .tsv, .csv, .jsonl",
    )
    regions = parser.add_mutually_exclusive_group()
    regions.add_argument("--region", nargs="+", metavar="REGION", help="only variants in chr1:1-1000, or in a contig")
    regions.add_argument("--regions", metavar="BED", help="only variants in the intervals of a BED file")


def _add_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ref_mismatch",
        choices=("error", "skip", "warn"),
        default="error",
        help="where REF is not what the genome has: stop, skip the variant, or score its own alleles and mark it "
        "(default: %(default)s)",
    )
    add_contig_aliases(parser)
    parser.add_argument("--index", choices=("tbi", "csi"), help="make the index of a .vcf.gz or .bcf output")
    add_batch(parser)
    add_dtype(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the output, and parts of a run with other options"
    )


def run(args: argparse.Namespace) -> None:
    """Score as the arguments say."""
    from dnafm.analysis.chunked_runs import process_state
    from dnafm.analysis.variant_sources import VariantSource
    from dnafm.analysis.variant_tables import OUTPUT_EXTENSIONS
    from dnafm.cli.console import distributed_run
    from dnafm.cli.output_files import check_extension, check_new_file
    from dnafm.genomics import ReferenceGenome
    from dnafm.training.progress import quiet_transformers

    check_new_file(Path(args.output), overwrite=args.overwrite)
    check_extension(Path(args.output), OUTPUT_EXTENSIONS)
    with (
        distributed_run(),
        quiet_transformers(keep_warnings=True),
        ReferenceGenome(args.fasta, contig_aliases=args.contig_aliases) as reference,
        VariantSource(vcf=args.vcf, variants=tuple(args.variants or ()), regions=_regions(args, reference)) as source,
    ):
        state = process_state()
        scorer = _scorer(args, reference, state.device)
        report = _score(args, scorer, source, state)
        if state.is_main_process:
            _print_report(report, args.output)


def _score(args: argparse.Namespace, scorer: Any, source: Any, state: Any) -> "ScoreReport":
    from tqdm import tqdm

    from dnafm.analysis.variant_runs import score_to_file
    from dnafm.cli.scored_models import model_identity

    # Silent where stderr is no terminal.
    is_silent = None if state.is_main_process else True
    with tqdm(desc="scoring", unit=" variants", disable=is_silent, leave=False) as bar:
        return score_to_file(
            scorer,
            source,
            output=args.output,
            model=model_identity(backbone=args.backbone, model=args.model, dtype=args.dtype),
            command=_command(args),
            index=args.index,
            overwrite=args.overwrite,
            state=state,
            on_progress=bar.update,
        )


def _scorer(args: argparse.Namespace, reference: "ReferenceGenome", device: Any) -> "VariantScorer":
    from dnafm.analysis.variant_scores import DEFAULT_SCORES, VariantScorer
    from dnafm.cli.scored_models import load_output, load_predictor

    check_batch(args.batch)
    output = predictor = None
    if args.model is not None:
        output, predictor = load_output(args, device)
    scores = args.scores or (() if output else DEFAULT_SCORES)
    if scores or predictor is None:
        predictor = load_predictor(args, device)
    return VariantScorer(
        predictor,
        reference,
        scores=scores,
        layers=args.layers,
        window_bp=args.window,
        flank_bp=args.flank,
        ref_mismatch=args.ref_mismatch,
        output=output,
    )


def _regions(args: argparse.Namespace, reference: "ReferenceGenome") -> "tuple[Interval, ...] | None":
    from dnafm.genomics import parse_region, read_bed

    if args.regions is not None:
        regions = tuple(record.interval for record in read_bed(args.regions))
        if not regions:
            raise ValueError(f"{args.regions}: there is no interval in the file.")
        return regions
    if args.region is None:
        return None
    lengths = reference.contig_lengths
    return tuple(parse_region(text, contig_lengths=lengths if text in lengths else None) for text in args.region)


def _command(args: argparse.Namespace) -> str:
    words = ["dnafm", "score"]
    for name, value in vars(args).items():
        if name in _UNTOLD or value in (None, False):
            continue
        values = value if isinstance(value, list) else [] if value is True else [value]
        words += [f"--{name}", *map(str, values)]
    return shlex.join(words)


def _print_report(report: "ScoreReport", output: str) -> None:
    if report.n_resumed:
        print(f"Went on from {report.n_resumed:,} finished chunks of an earlier run.")
    n_scored = report.alleles[None]
    print(f"{report.n_variants:,} variants, {report.alleles.total():,} alleles: {n_scored:,} with scores in {output}.")
    skipped = {reason: n for reason, n in report.alleles.most_common() if reason is not None}
    for reason, n_alleles in skipped.items():
        print(f"  skipped {n_alleles:,}: {reason}")
    if report.n_mismatches:
        print(f"  {report.n_mismatches:,} of those with scores have a REF that is not what the genome has")
