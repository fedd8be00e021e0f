"""The options of fit, validate, test and predict: a task by name, its options by dotted keys, files of both."""

import difflib
import inspect
import json
import re
import sys
import textwrap
from argparse import SUPPRESS, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from itertools import pairwise
from typing import Any, NoReturn

try:
    from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace
except ImportError as error:
    raise ImportError("The commands of tasks need jsonargparse: pip install 'dnafm[train]'") from error

from transformers import TrainingArguments

from dnafm.cli.option_errors import readable_error, suggestion, unknown_key
from dnafm.tasks import TASKS
from dnafm.tasks.configuration import options_from, read_config
from dnafm.tasks.fitting import TRAINING_DEFAULTS
from dnafm.tasks.runs import RunSettings

DEFAULT_TASK = "SequenceClassification"
# Their defaults depend on what is trained, or on the machine, or their values mean more here.
_CHOSEN_LATER = {
    "learning_rate": (
        float,
        "Peak of the schedule. By default 5e-4 for LoRA, 1e-3 for a head alone, and for all "
        "weights 1e-3, 1e-4 or 2e-5, by their number.",
    ),
    "bf16": (bool, "Compute in bfloat16, with weights in float32. By default where the device is fast at it."),
    "use_cpu": (bool, "Use the CPU. By default where there is nothing else."),
    "fsdp": (bool | str, "Shard weights, gradients and optimizer states over the GPUs, as fsdp_config says."),
    "dataloader_pin_memory": (bool, "Pin the memory of batches. By default where there is a GPU."),
    "resume_from_checkpoint": (
        str | bool,
        "true to go on with the run in the output folder, from its last whole checkpoint if there is one; or the "
        "folder of a checkpoint.",
    ),
}
_SECTIONS = ("model", "data")
# jsonargparse takes a file for each of them; here there is --config for that.
_GROUPS = ("model", "model.lora", "data", "trainer")
# What makes up the settings of a run, which all commands about tasks have; the rest is about one call.
_SETTINGS = ("model", "data", "trainer", "early_stopping_patience")
# The widest line of the help that is not wrapped by its formatter.
_HELP_WIDTH = 119


class _HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


class TaskParser(ArgumentParser):
    """A parser whose options are those of the task that the arguments name.

    `--model NAME` and `--data NAME` stand for `--model.name NAME` and `--data.name NAME`; a `--config` file may have
    them as `name`, as `class_path`, or in place of the section. Options count more than files, wherever they stand.
    """

    def parse_args(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Namespace:  # type: ignore[override]
        """Parse, after the options of the named task have been added."""
        paths, words = _config_paths(_with_dotted_names(list(sys.argv[1:] if args is None else args)))
        configs = [read_config(path) for path in paths]
        task = _named("model", words, configs) or DEFAULT_TASK
        self.add_task_options(task, _named("data", words, configs) or task)
        for path, config in zip(paths, configs, strict=True):
            self._check_keys(path, config)
        read = [f"--config={json.dumps(config)}" for config in configs]
        return super().parse_args([*read, *words], *rest, **options)

    def add_task_options(self, task: str, data: str) -> None:
        """Add the options of a task and of its data.

        Raises:
            ValueError: there is no such task, or the data are those of another one.
        """
        task_type = _task_type(task, "model")
        table_type = _task_type(data, "data").table_type
        if table_type is not task_type.table_type:
            raise ValueError(f"--data {data} is not what --model {task} is trained on; take --data {task}.")
        self.add_argument("--model.name", default=task, choices=list(TASKS), help="Task; --model NAME is the same.")
        self.add_class_arguments(task_type.options_type, "model")
        self.add_argument("--data.name", default=data, choices=list(TASKS), help="Kind of data; that of the task.")
        self.add_class_arguments(table_type, "data")
        self.add_class_arguments(TrainingArguments, "trainer", skip=set(_CHOSEN_LATER))
        for name, (value_type, text) in _CHOSEN_LATER.items():
            self.add_argument(f"--trainer.{name}", type=value_type | None, default=None, help=text)
        self.set_defaults({f"trainer.{name}": value for name, value in TRAINING_DEFAULTS.items()})
        for name in _GROUPS:
            self._option_string_actions.pop(f"--{name}").help = SUPPRESS
        for name, text in _texts_of_training_arguments().items():
            if (action := self._option_string_actions.get(f"--trainer.{name}")) and not action.help:
                action.help = text

    def dump(self, cfg: Namespace, *rest: Any, **options: Any) -> str:  # type: ignore[override]
        """Return the settings as YAML, which is what `--print_config` prints."""
        settings = cfg.clone()
        for name in [key for key in vars(cfg) if key not in _SETTINGS]:
            settings.pop(name)
        return super().dump(settings, *rest, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Exit with one line, which suggests the nearest option where one is unknown."""
        self.exit(2, f"dnafm: error: {readable_error(message, self._option_string_actions)}\n")

    def _check_keys(self, path: str, config: Mapping[str, Any]) -> None:
        known = self._option_string_actions
        key = unknown_key(config, known, _GROUPS)
        if key is not None:
            names = [option.removeprefix("--") for option in known]
            self.error(f"{path}: {key} is no option; {suggestion(key, names)}")


def build_task_parser(prog: str, description: str) -> TaskParser:
    """Return the parser of a command about a task; the caller adds the command's own options."""
    tasks = (
        f"The tasks (NAME) are {', '.join(TASKS)}. The options below are those of --model {DEFAULT_TASK}, or of the "
        "task that is named before --help."
    )
    parser = TaskParser(
        prog=prog,
        usage="%(prog)s --model NAME [--model.OPTION ...] [--data.OPTION ...] [--trainer.OPTION ...] [options]",
        description=f"{description}\n\n{textwrap.fill(tasks, _HELP_WIDTH)}",
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of the options below; the last one wins")
    parser.add_argument(
        "--early_stopping_patience",
        type=int | None,
        default=None,
        help="Stop the training after so many evaluations without a better one.",
    )
    return parser


def settings_of(args: Namespace) -> RunSettings:
    """Return the settings of the run that the arguments describe."""
    nested = args.as_dict()
    model, data = dict(nested["model"]), dict(nested["data"])
    task = model.pop("name")
    data.pop("name")
    return RunSettings(
        task=task,
        model=options_from(TASKS[task].options_type, model, prefix="model"),
        data=options_from(TASKS[task].table_type, data, prefix="data"),
        trainer=_set_by_user(nested["trainer"]),
        early_stopping_patience=nested.get("early_stopping_patience"),
    )


def _set_by_user(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of TrainingArguments that are neither its defaults nor ours."""
    defaults: dict[str, Any] = {}
    for field in fields(TrainingArguments):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        defaults[field.name] = getattr(default, "value", default)
    defaults |= TRAINING_DEFAULTS | dict.fromkeys(_CHOSEN_LATER)
    return {
        name: getattr(value, "value", value)
        for name, value in trainer.items()
        if getattr(value, "value", value) != defaults.get(name)
    }


def _texts_of_training_arguments() -> dict[str, str]:
    """Return the first sentence about each field, from a docstring in a style that jsonargparse does not read."""
    entries = re.findall(r"^    (\w+) ?\(.*\):\n((?: {8}.*\n)+)", inspect.getdoc(TrainingArguments) or "", re.M)
    plain = {name: " ".join(re.sub(r"[`*]", "", text).split()) for name, text in entries}
    first = {name: re.split(r"\.\s(?=[A-Z])", text)[0].removesuffix(".") for name, text in plain.items()}
    return {name: sentence.replace("%", "%%") + "." for name, sentence in first.items()}


def _with_dotted_names(words: list[str]) -> list[str]:
    """Write `--model NAME` as `--model.name NAME`."""
    dotted = []
    for word in words:
        for section in _SECTIONS:
            if word == f"--{section}" or word.startswith(f"--{section}="):
                word = word.replace(f"--{section}", f"--{section}.name", 1)
        dotted.append(word)
    return dotted


def _config_paths(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the files that `--config` names, and the other words."""
    paths, others, rest = [], [], iter(words)
    for word in rest:
        option, _, value = word.partition("=")
        if option == "--config" and (path := value or next(rest, "")):
            paths.append(path)
        else:
            others.append(word)
    return paths, others


def _named(section: str, words: list[str], configs: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the name that a section has in the end: from the last option, or else from the last file with one."""
    names = [config[section]["name"] for config in configs if "name" in config.get(section, {})]
    for word, after in pairwise([*words, ""]):
        option, _, value = word.partition("=")
        if option == f"--{section}.name":
            names.append(value or after)
    return names[-1] if names else None


def _task_type(name: str, section: str) -> Any:
    if name not in TASKS:
        nearest = difflib.get_close_matches(name, TASKS, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"the tasks are {', '.join(TASKS)}."
        raise ValueError(f"--{section} {name!r} is no task; {hint}")
    return TASKS[name]
