"""`dnafm validate`: measure a fitted model on the validation split."""

from jsonargparse import Namespace

from dnafm.cli.measure import build_measure_parser, measure
from dnafm.cli.task_parser import TaskParser


def build_parser(prog: str) -> TaskParser:
    """Return the parser of the command's options."""
    return build_measure_parser(prog, "validate", "validation")


def run(args: Namespace) -> None:
    """Measure the split."""
    measure(args, "validation")
