"""`dnafm convert`: released, Megatron-LM and fine-tuned checkpoints into dnafm's layout, or back."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnafm.checkpoints.convert import Conversion
    from dnafm.checkpoints.foreign import ForeignCheckpoint

DESCRIPTION = """\
Convert a checkpoint to safetensors in dnafm's layout, with tokenizer and model card.

  dnafm convert genbio-ai/AIDO.DNA-7B -o dnafm-7b --dtype bfloat16
  dnafm convert runs/pretraining -o my-model --verify
  dnafm convert last.ckpt -o my-classifier --base genbio-ai/AIDO.DNA-300M
  dnafm convert my-model -o for-reference-code --to released

SOURCE is one of
  a released checkpoint     folder or Hub id with model_type "rnabert", .bin or .safetensors
  a dnafm checkpoint        folder or Hub id, to change its dtype, shards or layout
  Megatron-LM               folder of a run, or of one iteration: mp_rank_XX[_YYY]/model_optim_rng.pt (format torch,
                            Megatron-core names, any tensor and pipeline parallelism)
  the reference code's      .ckpt of Lightning; low-rank adapters are merged
  fine-tunes

Every tensor of the source has a place in the result, or nothing is written. Pickles are read without running what is
in them. In memory is one shard at a time; with --verify, the source and then the result.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm convert`."""
    parser = subparsers.add_parser(
        "convert", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="SOURCE", help="folder, .ckpt file or Hub id")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="to make")
    parser.add_argument(
        "--to",
        choices=("dnafm", "released"),
        default="dnafm",
        help="layout to write; released: what the reference code loads (default: %(default)s)",
    )
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="of the tensors (default: that of the source)"
    )
    parser.add_argument(
        "--max_shard_size", default="5GB", metavar="SIZE", help="of a file, as 500MB or 5GB (default: %(default)s)"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compare the outputs of source and result on random sequences, and keep nothing where they differ",
    )
    parser.add_argument(
        "--pooling",
        choices=("cls", "mean", "max"),
        help="what a head for sequences was trained on; released checkpoints do not record it",
    )
    parser.add_argument(
        "--base",
        metavar="CHECKPOINT",
        help="what a .ckpt was trained from, where it does not hold all of it: adapters alone, a frozen backbone",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that is there")


def run(args: argparse.Namespace) -> None:
    """Convert as the arguments say."""
    from pathlib import Path

    from tqdm import tqdm

    from dnafm.checkpoints.convert import DTYPES, read_checkpoint, write_checkpoint
    from dnafm.checkpoints.shard_writer import check_destination
    from dnafm.training.progress import quiet_transformers

    check_destination(Path(args.output), overwrite=args.overwrite)
    dtype = DTYPES[args.dtype] if args.dtype else None
    with quiet_transformers(keep_warnings=True):
        checkpoint = read_checkpoint(args.source, pooling=args.pooling, base=args.base)
        with tqdm(desc="converting", total=checkpoint.n_bytes(dtype), unit="B", unit_scale=True, disable=None) as bar:
            conversion = write_checkpoint(
                checkpoint,
                args.output,
                layout=args.to,
                dtype=dtype,
                max_shard_size=args.max_shard_size,
                verify=args.verify,
                overwrite=args.overwrite,
                origin=args.source if "/" in args.source and not Path(args.source).exists() else None,
                on_progress=bar.update,
            )
    _print_report(checkpoint, conversion)


def _print_report(checkpoint: "ForeignCheckpoint", conversion: "Conversion") -> None:
    files = f"{conversion.n_files} file" + ("s" if conversion.n_files > 1 else "")
    print(f"{checkpoint.kind} {checkpoint.path}: {checkpoint.model_class.__name__}")
    print(f"{conversion.n_parameters:,} parameters in {files} in {conversion.folder}")
    if conversion.comparison is not None:
        found = conversion.comparison
        print(
            f"verified: outputs differ by at most {found.max_difference:.3g} (limit {found.limit:.3g}; "
            f"outputs up to {found.max_output:.3g})"
        )
