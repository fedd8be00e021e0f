"""`dnafm quickstart`: fine-tune, compare with a baseline, save, load again, predict."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnafm.training.baselines import LogisticRegressionBaseline
    from dnafm.training.quickstart import Prediction, QuickstartJob

DESCRIPTION = """\
Fine-tune DNA FM to tell donor splice sites, acceptor splice sites and neither apart, on 3,001 windows of
primate DNA that come with the package. Takes about a minute on two CPU cores and needs no network.
"""
METRIC_COLUMNS = {
    "accuracy": "accuracy",
    "mcc": "MCC",
    "f1_donor": "F1 donor",
    "f1_acceptor": "F1 acceptor",
    "f1_neither": "F1 neither",
}
JUNCTION_NT = 30


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the options of `dnafm quickstart`."""
    parser = subparsers.add_parser("quickstart", description=DESCRIPTION)
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=Path("runs/quickstart"),
        help="folder for the model; one that is not empty must be from an earlier quickstart (default: %(default)s)",
    )
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        default="dnafm_tiny",
        help="pretrained model to start from: a name, a folder or a Hub id (default: %(default)s, which is bundled)",
    )
    parser.add_argument(
        "--from_scratch", action="store_const", const=None, dest="backbone", help="start from a small fresh model"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=_positive(float), metavar="N", help="passes over the training split")
    length.add_argument("--max_steps", type=_positive(int), metavar="N", help="optimizer steps, instead of epochs")
    parser.add_argument("--learning_rate", type=_positive(float), metavar="RATE", help="peak of the cosine schedule")
    parser.add_argument("--batch_size", type=_positive(int), metavar="N", help="sequences per step")
    parser.add_argument("--seed", type=int, default=42, help="same seed, same result (default: %(default)s)")
    parser.add_argument(
        "--overwrite", action="store_true", help="allow a folder with other files; those of the same name are replaced"
    )


def run(args: argparse.Namespace) -> None:
    """Run the steps of `dnafm.training.quickstart` and print what comes out of each."""
    from dnafm.training import quickstart
    from dnafm.training.baselines import fit_logistic_regression
    from dnafm.training.progress import quiet_transformers

    fields = quickstart.QuickstartSettings.__dataclass_fields__
    settings = quickstart.QuickstartSettings(**{name: getattr(args, name) for name in fields})
    with quiet_transformers(keep_warnings=False):
        job = quickstart.prepare(settings)
        _print_job(job)
        baseline = fit_logistic_regression(job.splits.train, job.splits.validation)
        seconds = quickstart.train(job)
        report = {
            "model": quickstart.evaluate(job),
            "logistic_regression": baseline.evaluate(job.splits.test, label_names=job.splits.label_names),
        }
        _print_metrics(job, baseline, report, seconds)
        quickstart.save(job, report=report)
        reloaded = quickstart.reload(job)
        _print_predictions(reloaded, quickstart.predict(reloaded))
    _print_next_steps(settings.output_dir)


def _print_job(job: "QuickstartJob") -> None:
    config, kernels = job.model.config, job.model.kernel_report()
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in job.splits.items())
    origin = f"from {job.settings.backbone}" if job.settings.backbone else "fresh, not pretrained"
    length = f"{job.settings.max_steps} steps" if job.settings.max_steps else f"{job.recipe.epochs:g} epochs"
    print("Is there a splice site in the middle of these 60 bases: a donor, an acceptor or neither?\n")
    print(f"  data       UCI primate splice junctions: {sizes} sequences")
    print(
        f"  model      {type(job.model).__name__}, {origin}: {config.num_hidden_layers} layers of "
        f"{config.hidden_size}, {job.model.num_parameters():,} parameters"
    )
    print(
        f"  kernels    attention {kernels.attention.name}, rotary embedding {kernels.rope.name}, "
        f"{str(kernels.dtype).removeprefix('torch.')} on {kernels.device}"
    )
    print(
        f"  training   {length}, batches of {job.recipe.batch_size}, "
        f"learning rate {job.recipe.learning_rate:g}, seed {job.settings.seed}\n",
        flush=True,
    )


def _print_metrics(
    job: "QuickstartJob", baseline: "LogisticRegressionBaseline", report: dict[str, dict[str, float]], seconds: float
) -> None:
    n_sequences = len(job.splits.test)
    print(f"Trained for {seconds:.0f} s. On the {n_sequences} test sequences, which neither model has seen:\n")
    print(" " * 24 + "".join(f"{title:>13}" for title in METRIC_COLUMNS.values()))
    for title, metrics in (("DNA FM", report["model"]), ("logistic regression *", report["logistic_regression"])):
        print(f"  {title:22}" + "".join(f"{metrics[name]:13.3f}" for name in METRIC_COLUMNS))
    print(f"\n  * on one-hot bases, same training split; C = {baseline.inverse_penalty:g} from the validation split\n")


def _print_predictions(job: "QuickstartJob", predictions: "list[Prediction]") -> None:
    names = job.splits.label_names
    print(f"Saved in {job.settings.output_dir} and loaded again: the logits of the test split are equal bit for bit.")
    print("The loaded model says of one test sequence of each class, | where the junction would be:\n")
    for prediction in predictions:
        sequence = f"{prediction.sequence[:JUNCTION_NT]}|{prediction.sequence[JUNCTION_NT:]}"
        probabilities = "  ".join(f"{n} {p:.3f}" for n, p in zip(names, prediction.probabilities, strict=True))
        print(f"  {sequence}\n    is {prediction.label_name}, predicted {prediction.predicted_name}: {probabilities}")


def _print_next_steps(output_dir: Path) -> None:
    print(f"""
Next:
  use it          import dnafm; from transformers import pipeline
                  pipeline("text-classification", model="{output_dir}")(["ACGT..."])
  your own data   start from examples/01_finetune_splice_sites.py, the same job in forty lines
  not pretrained  dnafm quickstart --from_scratch --output_dir runs/from_scratch
  this machine    dnafm doctor""")


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not greater than 0")
        return value

    parse.__name__ = kind.__name__  # Argparse names it where the text is no number.
    return parse
