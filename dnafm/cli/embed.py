"""`dnafm embed`: vectors of sequences or of their bases, from FASTA, BED or a table to a file."""

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from dnafm.cli.model_options import add_backbone, add_batch, add_contig_aliases, add_dtype, add_strand

if TYPE_CHECKING:
    from pathlib import Path

    from accelerate import PartialState  # type: ignore[import-untyped]

    from dnafm.analysis.embedding_inputs import CheckedInput
    from dnafm.analysis.embedding_runs import EmbeddingRun
    from dnafm.analysis.embedding_tables import EmbeddingLayout
    from dnafm.analysis.named_sequences import SequenceSource
    from dnafm.analysis.track_runs import TrackRun

DESCRIPTION = """\
Embed sequences: a vector for each, or for each of its bases, in the order of the input.

  dnafm embed genes.fa.gz -o genes.parquet
  dnafm embed peaks.bed --fasta ref.fa -o peaks.safetensors --strand both
  dnafm embed table.csv --sequence_column seq -o table.h5ad --layer 3 6
  dnafm embed contigs.fa -o contigs.npy --entropy_track entropy.bw
  torchrun --nproc_per_node 8 --module dnafm embed genes.fa -o genes.npy --backbone dnafm --dtype bfloat16

Intervals of a BED file are read along their own strand. Longer sequences than the model reads are read in overlapping
windows. The whole input is read once and checked before anything is computed. A run that was interrupted goes on when
it is started again with the same options; until the end its results are in OUTPUT.parts.

outputs:
  .parquet            id, contig, start_bp, end_bp (from 0), strand, n_bases, columns of the table but its sequence,
                      and `embedding`: a list for each sequence, or of lists for its bases; of several layers
                      `embedding_3`, `embedding_6`
  .tsv .csv .jsonl    the same without vectors of bases; text with .gz, too
  .safetensors        `embedding`, sequences x hidden or sequences x layers x hidden; of bases a tensor for each id.
                      Where that is more than --max_shard_size, `embedding.00001` and so on in several files
  .npy                the same array in one file
  .h5ad               AnnData: X has the first layer, obsm["layer_6"] a further one; all is in memory at the end, twice
What .safetensors and .npy cannot hold is beside them in OUTPUT.ids.tsv.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm embed`."""
    from dnafm.cli.track_options import add_track_options

    parser = subparsers.add_parser(
        "embed", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_files(parser)
    _add_model(parser)
    _add_rules(parser)
    add_track_options(parser)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        help="a FASTA file, plain, gzip or bgzip; with --fasta a BED file; or a table: .csv, .tsv, .parquet, .json, "
        ".jsonl, .arrow",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="to write: one of the outputs above")
    parser.add_argument("--fasta", metavar="FILE", help="genome of the intervals, plain or bgzip")
    add_contig_aliases(parser)
    parser.add_argument("--sequence_column", metavar="NAME", help="of a table (default: sequence)")
    parser.add_argument(
        "--id_column", metavar="NAME", help="of a table (default: id, if there is one, else rows are numbered from 1)"
    )
    parser.add_argument(
        "--duplicate_ids",
        choices=("error", "number"),
        default="error",
        help="what becomes of an id that an earlier sequence has; number: NAME_2, NAME_3 (default: %(default)s)",
    )
    parser.add_argument(
        "--output_dtype",
        choices=("float32", "float16"),
        default="float32",
        help="of the vectors in the file (default: %(default)s)",
    )
    parser.add_argument(
        "--max_shard_size",
        default="5GB",
        metavar="SIZE",
        help="of a .safetensors file, all of which is in memory (default: %(default)s)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the output, and parts of a run with other options"
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    add_backbone(parser)
    add_dtype(parser)
    add_batch(parser)


def _add_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pooling",
        choices=("mean", "cls", "max", "none"),
        default="mean",
        help="mean or maximum of the bases' vectors, that of [CLS], or none: one for each base (default: %(default)s)",
    )
    parser.add_argument(
        "--layer",
        nargs="+",
        type=int,
        default=[-1],
        metavar="N",
        help="one or several: 0 is the input of the first layer, -1 the output of the last (default: -1)",
    )
    add_strand(parser, default="forward", read="which one the model reads of each sequence")
    parser.add_argument(
        "--special_tokens", action="store_true", help="count [CLS] and the suffix, too; not with windows"
    )
    parser.add_argument(
        "--window", type=int, metavar="BP", help="most bases that are read at once (default: what the model reads)"
    )
    parser.add_argument(
        "--overlap", type=int, metavar="BP", help="bases that windows share (default: a quarter of the window)"
    )


def run(args: argparse.Namespace) -> None:
    """Embed as the arguments say."""
    from dnafm.analysis.chunked_runs import process_state
    from dnafm.analysis.embedding_files import check_layout, check_output
    from dnafm.analysis.embedding_shards import checked_size
    from dnafm.cli.console import distributed_run
    from dnafm.cli.track_options import check_track_options, track_paths, write_finished
    from dnafm.training.progress import quiet_transformers

    check_output(args.output, per_base=args.pooling == "none", overwrite=args.overwrite)
    check_track_options(args)
    checked_size(args.max_shard_size)
    with ExitStack() as stack:
        stack.enter_context(distributed_run())
        stack.enter_context(quiet_transformers(keep_warnings=True))
        state = process_state()
        source = _source(args, stack)
        if track_paths(args) and not source.has_intervals:
            raise ValueError(f"A track lies along a genome, and {args.input} is a table. Name a FASTA or BED file.")
        checked = _checked(args, source, state)
        layout = _layout(args, checked)
        check_layout(args.output, layout, overwrite=args.overwrite)
        run = _run(args, checked, layout, state)
        n_resumed = _finished(run, checked, state)
        # All is finished before anything is written: files of an interrupted run would be in the way of the next.
        tracks = _finished_tracks(args, state) if track_paths(args) else None
        written = run.write(max_shard_size=args.max_shard_size)
        if run.is_main_process:
            _print_report(checked, n_resumed, written)
        if tracks is not None:
            write_finished(tracks)


def _source(args: argparse.Namespace, stack: ExitStack) -> "SequenceSource":
    from dnafm.analysis.embedding_sources import open_source
    from dnafm.genomics import ReferenceGenome

    genome = None
    if args.fasta is not None:
        genome = stack.enter_context(ReferenceGenome(args.fasta, contig_aliases=args.contig_aliases))
    elif args.contig_aliases:
        raise ValueError("--contig_aliases is about the genome of a BED file. Name it by --fasta.")
    return open_source(args.input, genome=genome, sequence_column=args.sequence_column, id_column=args.id_column)


def _checked(args: argparse.Namespace, source: "SequenceSource", state: "PartialState") -> "CheckedInput":
    from tqdm import tqdm

    from dnafm.analysis.embedding_inputs import check_input

    with tqdm(desc="reading", unit="b", unit_scale=True, disable=_is_silent(state), leave=False, delay=2) as bar:
        return check_input(source, duplicate_ids=args.duplicate_ids, on_progress=bar.update)


def _layout(args: argparse.Namespace, checked: "CheckedInput") -> "EmbeddingLayout":
    from dnafm.analysis.embedding_tables import EmbeddingLayout
    from dnafm.analysis.window_readings import layer_numbers
    from dnafm.checkpoints.loading import load_config
    from dnafm.version import __version__

    config = load_config(args.backbone)
    layers = layer_numbers(args.layer, config.num_hidden_layers)
    told = ("backbone", "dtype", "pooling", "strand", "special_tokens", "window", "overlap")
    return EmbeddingLayout(
        config.hidden_size,
        layers,
        per_base=args.pooling == "none",
        dtype=args.output_dtype,
        has_intervals=checked.source.has_intervals,
        other_columns=checked.source.other_columns(),
        description={**{name: getattr(args, name) for name in told}, "layers": list(layers), "dnafm": __version__},
    )


def _run(
    args: argparse.Namespace, checked: "CheckedInput", layout: "EmbeddingLayout", state: "PartialState"
) -> "EmbeddingRun":
    from dnafm import DNAFMModel
    from dnafm.analysis.embedder import Embedder
    from dnafm.analysis.embedding_runs import EmbeddingRun
    from dnafm.checkpoints.loading import load_backbone
    from dnafm.cli.scored_models import model_identity

    loaded, tokenizer = load_backbone(DNAFMModel, args.backbone, dtype=args.dtype)
    model: Any = loaded
    embedder = Embedder(
        model.to(state.device),
        tokenizer,
        pooling=args.pooling,
        layers=layout.layers,
        strand=args.strand,
        special_tokens=args.special_tokens,
        window_bp=args.window,
        overlap_bp=args.overlap,
        max_tokens=args.batch,
    )
    identity = model_identity(backbone=args.backbone, dtype=args.dtype)
    return EmbeddingRun(
        embedder, checked, layout, output=args.output, model=identity, overwrite=args.overwrite, state=state
    )


def _finished(run: "EmbeddingRun", checked: "CheckedInput", state: "PartialState") -> int:
    from tqdm import tqdm

    n_done = 0
    bases: dict[str, Any] = {"total": checked.n_bases, "unit": "b", "unit_scale": True}
    with tqdm(desc="embedding", disable=_is_silent(state), leave=False, **bases) as bar:

        def advance(n_sequences: int, n_bases: int) -> None:
            nonlocal n_done
            n_done += n_sequences
            bar.set_postfix_str(f"{n_done:,} of {checked.n_sequences:,} sequences", refresh=False)
            bar.update(n_bases)

        return run.finish(on_progress=advance)


def _finished_tracks(args: argparse.Namespace, state: "PartialState") -> "TrackRun":
    from dnafm.cli.region_options import genome_intervals
    from dnafm.cli.scored_models import load_predictor, model_identity
    from dnafm.cli.track_options import finish_tracks

    predictor = load_predictor(args, state.device)
    identity = model_identity(backbone=args.backbone, dtype=args.dtype)
    with genome_intervals(args) as (genome, intervals):
        return finish_tracks(args, predictor, genome, intervals, model=identity, window_bp=args.window)


def _is_silent(state: "PartialState") -> bool | None:
    # None: where stderr is no terminal.
    return None if state.is_main_process else True


def _print_report(checked: "CheckedInput", n_resumed: int, written: "list[Path]") -> None:
    if n_resumed:
        print(f"Went on from {n_resumed:,} finished chunks of an earlier run.")
    if n_new := sum(map(len, checked.new_ids.values())):
        print(f"{n_new:,} sequences with the id of an earlier one have a new id, such as NAME_2.")
    first, *others = written
    print(f"{checked.n_sequences:,} sequences, {checked.n_bases:,} bases: vectors in {first}.")
    if others:
        print(f"Beside it: {', '.join(path.name for path in others)}.")
