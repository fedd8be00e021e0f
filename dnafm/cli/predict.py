"""`dnafm predict`: a table of predictions for the rows of a file, in their order."""

from pathlib import Path

from jsonargparse import Namespace

from dnafm.cli.console import distributed_run
from dnafm.cli.task_parser import TaskParser, build_task_parser, settings_of
from dnafm.training.progress import quiet_transformers

DESCRIPTION = """\
Predict for the rows of a file, in their order, and write a table: ids, the columns of the input, predictions and
probabilities. The file is read as it goes, so it may be larger than the memory.

  dnafm predict --config runs/mine/config.yaml --data.path new.csv --output predictions.tsv
  dnafm predict --model Embed --model.backbone dnafm_tiny --model.pooling mean --data.path reads.fa.gz \\
      --output embeddings.parquet
  torchrun --nproc_per_node 8 --module dnafm predict --config runs/mine/config.yaml --output predictions.parquet

Labels are not needed, and are kept as they are where there are any."""


def build_parser(prog: str) -> TaskParser:
    """Return the parser of the command's options."""
    parser = build_task_parser(prog, DESCRIPTION)
    parser.add_argument(
        "--output",
        "-o",
        type=str,
        required=True,
        help="Table to write: .parquet, .tsv, .csv or .jsonl; text with .gz, too.",
    )
    parser.add_argument(
        "--checkpoint",
        type=str | None,
        default=None,
        help="Folder or Hub id of a fitted model. By default that of --trainer.output_dir.",
    )
    parser.add_argument(
        "--split", type=str | None, default=None, help="Split whose rows are read. By default all rows of the file."
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace an existing table.")
    return parser


def run(args: Namespace) -> None:
    """Predict as the arguments say."""
    from dnafm.cli.output_files import check_extension, check_new_file
    from dnafm.cli.task_reports import print_first_rank
    from dnafm.data.prediction_tables import EXTENSIONS
    from dnafm.tasks.fitted import build_untrained, load_fitted, predict_to_file

    output, settings = Path(args.output), settings_of(args)
    check_new_file(output, overwrite=args.overwrite)
    check_extension(output, EXTENSIONS)
    with distributed_run(), quiet_transformers(keep_warnings=True):
        if settings.task in ("Embed", "MaskedLM") and args.checkpoint is None:
            task, arguments = build_untrained(settings)
        else:
            task, arguments = load_fitted(settings, args.checkpoint)
        n_rows = predict_to_file(
            task, settings, output, split=args.split, bf16=arguments.bf16, overwrite=args.overwrite
        )
        print_first_rank(f"{n_rows:,} rows written to {output}.")
