"""The console entry point: find the subcommand, run it, turn errors into one line."""

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from dnafm.version import __version__

# Name: (module, what the overview says about it). A module has `run(args)` and either `add_parser(subparsers)` or,
# where its options are also those of a YAML file, `build_parser(prog)`. Only that of the called command is imported.
COMMANDS = {
    "quickstart": ("dnafm.cli.quickstart", "fine-tune on bundled primate splice junctions, in about a minute"),
    "fit": ("dnafm.cli.fit", "fine-tune a task on labelled sequences, cross-validation included"),
    "validate": ("dnafm.cli.validate", "measure a fitted model on its validation split"),
    "test": ("dnafm.cli.test", "measure a fitted model on its test split"),
    "predict": ("dnafm.cli.predict", "a table of predictions, or of embeddings, for the rows of a file"),
    "embed": ("dnafm.cli.embed", "vectors of sequences or bases, from FASTA, BED or a table to parquet, npy, h5ad"),
    "score": ("dnafm.cli.score", "effects of variants, from VCF and FASTA to scores in VCF or a table"),
    "ism": ("dnafm.cli.ism", "what every substitution of a sequence changes: in-silico mutagenesis, with a figure"),
    "depmap": ("dnafm.cli.depmap", "which base depends on which other base: nucleotide dependency maps"),
    "generate": ("dnafm.cli.generate", "design sequences: fill masked places, towards a guide and within constraints"),
    "mine": ("dnafm.cli.mine", "the places of genomes that resemble sequences, or that a fine-tuned model looks for"),
    "annotate": ("dnafm.cli.annotate", "elements of genomes: clusters, classes of bases, tracks of conservation"),
    "pretrain": ("dnafm.cli.pretrain", "masked language modelling on FASTA files, on one CPU or on a cluster"),
    "convert": ("dnafm.cli.convert", "released, Megatron-LM and fine-tuned checkpoints into dnafm's layout, or back"),
    "push": ("dnafm.cli.push", "publish a checkpoint on the Hugging Face Hub, with its model card"),
    "completion": ("dnafm.cli.completion", "a script that completes commands and options in bash or zsh"),
    "doctor": ("dnafm.cli.doctor", "show what this machine offers and which kernels would run"),
}
# What a user can put right; anything else is a bug of ours and keeps its traceback.
USER_ERRORS = (ValueError, ImportError, OSError)
DEBUG_HELP = "show the traceback of an error"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `dnafm` with these arguments, by default the process's, and return its exit code.

    0: done. 1: an error that the user can put right, told in one line on stderr. 130: interrupted. 141: who reads the
    output, such as `head`, has enough. Wrong usage leaves through argparse with code 2.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        return _run_and_flush(argv)
    except BrokenPipeError:
        # What is still buffered goes nowhere, or Python would complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except USER_ERRORS as error:
        if "--debug" in argv:
            raise
        print(f"dnafm: error: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dnafm: interrupted", file=sys.stderr)
        return 130


def _run_and_flush(argv: Sequence[str]) -> int:
    try:
        return _run(argv)
    finally:
        sys.stdout.flush()


def _run(argv: Sequence[str]) -> int:
    command = _requested_command(argv)
    parser = _build_parser(command)
    if command is None:
        parser.parse_args(argv)
        parser.print_help(sys.stderr)
        return 2
    module = importlib.import_module(COMMANDS[command][0])
    args = _parse_with_config(module, command, argv) if hasattr(module, "build_parser") else parser.parse_args(argv)
    return module.run(args) or 0


def _requested_command(argv: Sequence[str]) -> str | None:
    # The options before a command take no values, so the first other word is the command.
    return next((word for word in argv if not word.startswith("-")), None)


def _build_parser(requested: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dnafm",
        usage="%(prog)s [--debug] COMMAND ...",
        description="DNA FM: a genome foundation model, from FASTA or VCF to an answer.",
        epilog=f"{_overview()}\n\n`dnafm COMMAND --help` tells more about a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dnafm {__version__}")
    parser.add_argument("--debug", action="store_true", help=DEBUG_HELP)
    if requested is not None and requested not in COMMANDS:
        parser.error(_unknown_command(requested))
    subparsers = parser.add_subparsers(dest="command", help=argparse.SUPPRESS, prog="dnafm")
    module = importlib.import_module(COMMANDS[requested][0]) if requested is not None else None
    if requested is not None and module is not None and hasattr(module, "add_parser"):
        module.add_parser(subparsers)
        # SUPPRESS: a default here would overwrite a --debug that came before the command.
        subparsers.choices[requested].add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=DEBUG_HELP
        )
    return parser


def _parse_with_config(module: ModuleType, command: str, argv: Sequence[str]) -> Any:
    """Parse the words after the command with the module's own parser, which reads YAML files, too."""
    place = argv.index(command)
    parser = module.build_parser(f"dnafm {command}")
    parser.add_argument("--debug", action="store_true", help=DEBUG_HELP)
    return parser.parse_args(argv[place + 1 :])


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return " ".join(str(error).split()) or type(error).__name__


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["commands:", *lines])


def _unknown_command(requested: str) -> str:
    nearest = difflib.get_close_matches(requested, COMMANDS, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"the commands are {', '.join(COMMANDS)}."
    return f"unknown command {requested!r}; {hint}"


if __name__ == "__main__":
    sys.exit(main())
