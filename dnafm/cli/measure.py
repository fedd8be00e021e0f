"""What `dnafm validate` and `dnafm test` have in common: measure a fitted model on a split."""

from typing import Any

from jsonargparse import Namespace

from dnafm.cli.console import distributed_run
from dnafm.cli.task_parser import TaskParser, build_task_parser, settings_of
from dnafm.training.progress import quiet_transformers

DESCRIPTION = """\
Measure a fitted model on the {split} split, with confidence intervals by the bootstrap over sequences, and write the
table, and where matplotlib is there the plots, beside it.

  dnafm {command} --config runs/mine/config.yaml
  dnafm {command} --model SequenceClassification --data.path table.csv --checkpoint some/checkpoint"""


def build_measure_parser(prog: str, command: str, split: str) -> TaskParser:
    """Return the parser of `dnafm validate` or `dnafm test`."""
    parser = build_task_parser(prog, DESCRIPTION.format(command=command, split=split))
    parser.add_argument(
        "--checkpoint",
        type=str | None,
        default=None,
        help="Folder or Hub id of a fitted model. By default that of --trainer.output_dir.",
    )
    parser.add_argument(
        "--resamples", type=int, default=1000, help="Resamples of the bootstrap; 0 for no confidence intervals."
    )
    parser.add_argument(
        "--plots", type=bool | None, default=None, help="Draw plots. By default where matplotlib is installed."
    )
    return parser


def measure(args: Namespace, split: str) -> None:
    """Measure the split, print the table and write it."""
    from dnafm.cli.task_reports import print_first_rank, print_notes
    from dnafm.tasks.fitted import load_fitted, load_fitted_data
    from dnafm.tasks.runs import evaluate_split

    settings = settings_of(args)
    with distributed_run(), quiet_transformers(keep_warnings=True):
        task, arguments = load_fitted(settings, args.checkpoint)
        data = load_fitted_data(settings, task)
        print_notes(data)
        evaluation = evaluate_split(task, data, split, settings, bf16=arguments.bf16)
        if evaluation.outputs:
            print_first_rank(_report(task, evaluation, settings.output_dir / split, args))


def _report(task: Any, evaluation: Any, folder: Any, args: Namespace) -> str:
    from dnafm.cli.task_reports import bootstrap, save_plots, wants_plots
    from dnafm.reports.metric_tables import format_metrics, write_metrics_table
    from dnafm.tasks.runs import METRICS_NAME, write_json

    split = folder.name
    intervals = {split: bootstrap(task, evaluation, args.resamples)} if args.resamples else None
    columns = {split: evaluation.metrics}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / METRICS_NAME, {"metrics": evaluation.metrics, "intervals": (intervals or {}).get(split, {})})
    write_metrics_table(folder / "metrics.tsv", columns, intervals=intervals)
    plots = save_plots(task, evaluation, folder) if wants_plots(args.plots) else []
    written = ", ".join(path.name for path in [folder / METRICS_NAME, folder / "metrics.tsv", *plots])
    n_rows = len(evaluation.outputs)
    return f"{format_metrics(columns, intervals=intervals)}\n\n{n_rows:,} rows. Written to {folder}: {written}."
