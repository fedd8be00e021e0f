"""`dnafm completion`: a script that completes commands and options in a shell."""

import argparse
import importlib
from typing import Any

try:
    from shtab import FILE, complete
except ImportError as error:
    raise ImportError("dnafm completion needs shtab: pip install 'dnafm[train]'") from error

from dnafm.cli.main import COMMANDS, DEBUG_HELP
from dnafm.cli.task_parser import TaskParser
from dnafm.tasks import TASKS

SHELLS = ("bash", "zsh")
DESCRIPTION = """\
Print a script that completes commands, options and their choices. Options are those of all tasks.

  bash:  dnafm completion bash > ~/.local/share/bash-completion/completions/dnafm
  zsh:   dnafm completion zsh > ~/.zfunc/_dnafm    (a folder of $fpath)"""
# Options whose values are files or folders.
_FILES = {
    "--config",
    "--output",
    "--output_dir",
    "--data.path",
    "--data.labels",
    "--checkpoint",
    "--vcf",
    "--variants",
    "--fasta",
    "--regions",
    "--trainer.output_dir",
}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "completion", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that is to read the script")


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    # A script, not a program that the shell asks: that would import torch at every press of the key.
    print(complete(build_full_parser(), args.shell))


def build_full_parser() -> argparse.ArgumentParser:
    """Return a parser of all commands with all options of all tasks, to be read, not to parse with."""
    parser = argparse.ArgumentParser(prog="dnafm")
    parser.add_argument("--version", action="store_true", help="show the version")
    parser.add_argument("--debug", action="store_true", help=DEBUG_HELP)
    subparsers = parser.add_subparsers(dest="command")
    of_tasks = _actions_of_tasks()
    for name, (module_name, summary) in COMMANDS.items():
        # shtab completes the commands that have a help text alone.
        command = subparsers.add_parser(name, help=summary)
        own = _parser_of(name, importlib.import_module(module_name))
        for action in [*own._actions, *(of_tasks if isinstance(own, TaskParser) else [])]:
            _add(command, action)
    return parser


def _parser_of(name: str, module: Any) -> argparse.ArgumentParser:
    if hasattr(module, "build_parser"):
        return module.build_parser(f"dnafm {name}")
    subparsers = argparse.ArgumentParser().add_subparsers()
    module.add_parser(subparsers)
    return subparsers.choices[name]


def _actions_of_tasks() -> list[argparse.Action]:
    """Return the options that commands about tasks have, those of each task."""
    actions = []
    for task in TASKS:
        parser = TaskParser(prog="dnafm")
        parser.add_task_options(task, task)
        actions += parser._actions
    return actions


def _add(command: argparse.ArgumentParser, action: argparse.Action) -> None:
    """Add an option or a positional as a plain one, unless it is there or hidden."""
    names = [name for name in action.option_strings if name not in command._option_string_actions]
    if action.help == argparse.SUPPRESS or (action.option_strings and not names):
        return
    # The first sentence is what fits beside a name.
    summary = str(action.help or "").split(". ")[0].replace("%", "%%")
    if action.nargs == 0:
        command.add_argument(*names, action="store_true", help=summary)
        return
    values: dict[str, Any] = {"choices": _choices(action), "nargs": action.nargs, "help": summary}
    added = command.add_argument(*(names or [action.dest]), **values)
    if _FILES & set(names):
        added.complete = FILE  # type: ignore[attr-defined]
    for section in ("model", "data"):
        if f"--{section}.name" in names:
            command.add_argument(f"--{section}", **values)


def _choices(action: argparse.Action) -> list[str] | None:
    """Return the values of an option, which may be in a metavar such as {true,false}."""
    if action.choices:
        return list(map(str, action.choices))
    metavar = str(action.metavar or "")
    return metavar[1:-1].split(",") if metavar.startswith("{") else None
