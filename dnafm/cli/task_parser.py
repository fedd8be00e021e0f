"""The options of fit, validate, test and predict: a task by name, its options by dotted keys, files of both."""

import difflib
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

try:
    from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace
except ImportError as error:
    raise ImportError("The commands of tasks need jsonargparse: pip install 'dnafm[train]'") from error

from transformers import TrainingArguments

from dnafm.tasks import TASKS
from dnafm.tasks.configuration import options_from, read_config
from dnafm.tasks.fitting import TRAINING_DEFAULTS
from dnafm.tasks.runs import RunSettings

DEFAULT_TASK = "SequenceClassification"
# Their defaults depend on what is trained, or on the machine.
_CHOSEN_LATER = {
    "learning_rate": (
        float,
        "Peak of the schedule. By default 5e-4 for LoRA, 1e-3 for a head alone, and for all "
        "weights 1e-3, 1e-4 or 2e-5, by their number.",
    ),
    "bf16": (bool, "Compute in bfloat16, with weights in float32. By default where the device is fast at it."),
    "use_cpu": (bool, "Use the CPU. By default where there is nothing else."),
    "dataloader_pin_memory": (bool, "Pin the memory of batches. By default where there is a GPU."),
}
_SECTIONS = ("model", "data")


class _HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


class TaskParser(ArgumentParser):
    """A parser whose options are those of the task that the arguments name.

    `--model NAME` and `--data NAME` stand for `--model.name NAME` and `--data.name NAME`; a `--config` file may have
    them as `name`, as `class_path`, or in place of the section.
    """

    def parse_args(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Namespace:  # type: ignore[override]
        """Parse, after the options of the named task have been added."""
        words = _with_dotted_names(list(sys.argv[1:] if args is None else args))
        words, names = _read_config_files(words)
        task = names.get("model", DEFAULT_TASK)
        self._add_task_options(task, names.get("data", task))
        return super().parse_args(words, *rest, **options)

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Exit with one line, which suggests the nearest option where one is unknown."""
        super().error(_with_suggestion(message, self._option_string_actions), ex)

    def _add_task_options(self, task: str, data: str) -> None:
        task_type = _task_type(task, "model")
        table_type = _task_type(data, "data").table_type
        if table_type is not task_type.table_type:
            raise ValueError(f"--data {data} are no data for --model {task}; --data {task} is meant.")
        self.add_argument("--model.name", default=task, choices=list(TASKS), help="Task; --model NAME is the same.")
        self.add_class_arguments(task_type.options_type, "model")
        self.add_argument("--data.name", default=data, choices=list(TASKS), help="Kind of data; that of the task.")
        self.add_class_arguments(table_type, "data")
        self.add_class_arguments(TrainingArguments, "trainer", skip=set(_CHOSEN_LATER))
        for name, (value_type, text) in _CHOSEN_LATER.items():
            self.add_argument(f"--trainer.{name}", type=value_type | None, default=None, help=text)
        self.set_defaults({f"trainer.{name}": value for name, value in TRAINING_DEFAULTS.items()})


def build_task_parser(prog: str, description: str) -> TaskParser:
    """Return the parser of a command about a task; the caller adds the command's own options."""
    parser = TaskParser(
        prog=prog,
        usage="%(prog)s --model NAME [--model.OPTION ...] [--data.OPTION ...] [--trainer.OPTION ...] [options]",
        description=f"{description}\n\nThe tasks (NAME) are {', '.join(TASKS)}.\nThe options below are those of "
        "--model " + DEFAULT_TASK + ", or of the task that is named before --help.",
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


def _with_dotted_names(words: list[str]) -> list[str]:
    """Write `--model NAME` as `--model.name NAME`."""
    dotted = []
    for word in words:
        for section in _SECTIONS:
            if word == f"--{section}" or word.startswith(f"--{section}="):
                word = word.replace(f"--{section}", f"--{section}.name", 1)
        dotted.append(word)
    return dotted


def _read_config_files(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Put what YAML files say in their place, in our own form, and return the names that count in the end."""
    read, names = [], {}
    for i, word in enumerate(words):
        option, _, value = word.partition("=")
        if i and words[i - 1] == "--config":
            config = read_config(word)
            read.append(_as_json(config))
        elif option == "--config" and value:
            config = read_config(value)
            read.append(f"--config={_as_json(config)}")
        else:
            config = {}
            read.append(word)
        for section in _SECTIONS:
            if "name" in config.get(section, {}):
                names[section] = config[section]["name"]
            if option == f"--{section}.name":
                names[section] = value or "".join(words[i + 1 : i + 2])
    return read, names


def _as_json(config: Mapping[str, Any]) -> str:
    import json

    return json.dumps(config)


def _task_type(name: str, section: str) -> Any:
    if name not in TASKS:
        nearest = difflib.get_close_matches(name, TASKS, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"the tasks are {', '.join(TASKS)}."
        raise ValueError(f"--{section} {name!r} is no task; {hint}")
    return TASKS[name]


def _with_suggestion(message: str, known: Mapping[str, Any]) -> str:
    marker = "unrecognized arguments: "
    if marker not in message:
        return message
    option = message.split(marker, 1)[1].split("=")[0].split()[0]
    nearest = difflib.get_close_matches(option, known, n=1)
    return f"{message}; did you mean {nearest[0]}?" if nearest else message
