"""`dnafm fit`: fine-tune a task on labelled sequences, with cross-validation if asked for."""

import shlex
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from jsonargparse import Namespace
from transformers import TrainerCallback

from dnafm.cli.console import distributed_run
from dnafm.cli.task_parser import TaskParser, build_task_parser, settings_of
from dnafm.training.progress import quiet_transformers

DESCRIPTION = """\
Fine-tune DNA FM on labelled sequences, keep the best checkpoint by the validation split, and write it as an ordinary
checkpoint of transformers, with the configuration and the metrics beside it.

  dnafm fit --model SequenceClassification --model.backbone dnafm_tiny \\
      --data SequenceClassification --data.path table.csv --trainer.output_dir runs/mine
  dnafm fit --config runs/mine/config.yaml --model.lora.r 16 --trainer.output_dir runs/lora
  dnafm fit --config run.yaml --data.folds 5 --data.fold all
  torchrun --nproc_per_node 8 --module dnafm fit --config run.yaml

dnafm test and dnafm predict take the same options. An interrupted run goes on with
--trainer.resume_from_checkpoint true."""
_SHOWN_METRICS = 3


def build_parser(prog: str) -> TaskParser:
    """Return the parser of the command's options."""
    parser = build_task_parser(prog, DESCRIPTION)
    parser.add_argument(
        "--dry_run", action="store_true", help="Load everything, run one batch, print the plan and stop."
    )
    return parser


def run(args: Namespace) -> None:
    """Fine-tune as the arguments say."""
    from dnafm.cli.task_reports import print_plan
    from dnafm.tasks.dry_run import rehearse
    from dnafm.tasks.runs import prepare, run_fit

    settings = settings_of(args)
    with distributed_run(), quiet_transformers(keep_warnings=True):
        if settings.data.folds is not None and settings.data.fold == "all":
            _cross_validate(settings, dry_run=args.dry_run)
            return
        fit_run = prepare(settings)
        print_plan(fit_run)
        if args.dry_run:
            rehearse(fit_run)
            return
        result = run_fit(fit_run, callbacks=_callbacks(fit_run))
        _print_result(fit_run, result)


def _cross_validate(settings: Any, *, dry_run: bool) -> None:
    from dnafm.cli.task_reports import print_first_rank, print_plan
    from dnafm.reports.metric_tables import fold_columns, format_folds, write_metrics_table
    from dnafm.tasks.dry_run import rehearse
    from dnafm.tasks.evaluating import rank_and_ranks
    from dnafm.tasks.runs import cross_validate, prepare

    def announce(fit_run: Any) -> None:
        print_first_rank(f"Fold {fit_run.settings.data.fold}")
        print_plan(fit_run)

    if dry_run:
        fit_run = prepare(settings.of_fold(0))
        print_plan(fit_run)
        rehearse(fit_run)
        return
    folds: dict[str, Mapping[str, float]] = {}
    for fold, metrics in cross_validate(settings, announce=announce, callbacks=_callbacks):
        folds[f"fold {fold}"] = metrics
        first = ", ".join(f"{name} {value:.4f}" for name, value in islice(metrics.items(), _SHOWN_METRICS))
        print_first_rank(f"Fold {fold} on its test split: {first}\n")
    if rank_and_ranks()[0] == 0:
        write_metrics_table(settings.output_dir / "folds.tsv", fold_columns(folds))
    print_first_rank(f"{format_folds(folds)}\n\nSaved in {settings.output_dir}, a folder for each fold.")


def _callbacks(fit_run: Any) -> Sequence[TrainerCallback]:
    from dnafm.cli.task_reports import describe_entry
    from dnafm.training.progress import LogLines, ProgressBar

    return [ProgressBar(), LogLines(describe_entry(fit_run.arguments.metric_for_best_model))]


def _print_result(fit_run: Any, result: Any) -> None:
    from dnafm.cli.task_reports import print_first_rank, save_training_curve
    from dnafm.reports.metric_tables import format_metrics
    from dnafm.tasks.runs import CONFIG_NAME

    save_training_curve(fit_run, result)
    print_first_rank(f"Trained for {result.seconds:.0f} s; kept the weights of step {result.best_step}.")
    if result.metrics:
        print_first_rank(f"\n{format_metrics({'validation': result.metrics})}")
    config = shlex.quote(str(result.output_dir / CONFIG_NAME))
    command = f"test --config {config}" if "test" in fit_run.data.splits else f"predict --config {config} --output ..."
    print_first_rank(f"\nSaved in {result.output_dir}. Next: dnafm {command}")
