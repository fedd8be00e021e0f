"""What a run of dnafm left beside its checkpoint: what it began from, its settings, and what was measured."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dnafm.checkpoints.backbones import BACKBONES
from dnafm.training.architectures import PRESETS

# Files of `dnafm fit`, `dnafm test` and `dnafm pretrain`.
TASK_NAME, SETTINGS_NAME, METRICS_NAME = "task.json", "config.yaml", "metrics.json"
PRETRAINING_NAME = "pretraining.json"
# What is told of a pretraining, in this order.
_PRETRAINING_COUNTS = ("steps", "windows_per_step", "context_length", "parameters")
_PRETRAINING_SETTINGS = (
    "objective",
    "mlm_probability",
    "optimizer",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "seed",
)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run of `dnafm fit` or `dnafm pretrain`.

    Attributes:
        kind: `"fine-tuned"` or `"pretrained"`.
        task: name of the task that was fitted.
        base: name of the weights that it began from; None where they were fresh.
        base_is_on_hub: whether the name is a Hub id.
        data: names of its data.
        data_are_on_hub: whether they are Hub ids.
        rows: of each split that was used.
        arguments: of the training.
        metrics: by split.
        intervals: of the metrics of a split, 95 %.
        versions: of dnafm and what it runs on.
    """

    kind: str
    task: str | None = None
    base: str | None = None
    base_is_on_hub: bool = False
    data: tuple[str, ...] = ()
    data_are_on_hub: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def read_run_record(folder: Path) -> RunRecord | None:
    """Return what is known about the run that wrote a checkpoint, or None where there is nothing.

    Raises:
        ValueError: a file of the run is damaged; the message names it.
    """
    if (folder / SETTINGS_NAME).is_file():
        return _read_fit(folder)
    if (folder / PRETRAINING_NAME).is_file():
        return _read_pretraining(folder)
    return None


def read_mapping(path: Path) -> dict[str, Any]:
    """Return what is in a JSON or YAML file; nothing where it is missing.

    Raises:
        ValueError: it is damaged.
    """
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is damaged ({' '.join(str(error).split())}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: names and values are due, and it holds a {type(content).__name__}.")
    return content


def _read_fit(folder: Path) -> RunRecord:
    settings, metrics = read_mapping(folder / SETTINGS_NAME), read_mapping(folder / METRICS_NAME)
    model, data, training = settings.get("model", {}), settings.get("data", {}), metrics.get("training", {})
    backbone = None if model.get("from_scratch") else model.get("backbone")
    measured = {split: read_mapping(folder / split / METRICS_NAME) for split in ("validation", "test")}
    by_split = {split: document["metrics"] for split, document in measured.items() if document}
    return RunRecord(
        kind="fine-tuned",
        task=model.get("name"),
        base=BACKBONES[backbone] if backbone in ("dnafm", "dnafm_300m") else backbone,
        base_is_on_hub=bool(training.get("base_is_on_hub")) and _is_hub_id(backbone),
        data=(data["path"],) if "path" in data else (),
        data_are_on_hub=bool(training.get("data_are_on_hub")) and _is_hub_id(data.get("path")),
        rows=training.get("rows", {}),
        arguments=_arguments(training, model, data),
        metrics=_without_null({"validation": metrics.get("validation", {}), **by_split}),
        intervals={split: document.get("intervals", {}) for split, document in measured.items() if document},
        versions=training.get("versions", {}),
    )


def _is_hub_id(name: str | None) -> bool:
    # Patterns of files are no folders, either.
    return name is not None and re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None


def _arguments(training: Mapping[str, Any], model: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was told to the trainer, and what in the model and the data is about training."""
    arguments = dict(training.get("arguments", {}))
    if arguments.get("max_steps", -1) <= 0:
        arguments.pop("max_steps", None)
    if data.get("max_tokens_per_batch"):
        arguments.pop("per_device_train_batch_size", None)
        arguments["max_tokens_per_batch"] = data["max_tokens_per_batch"]
    lora = model.get("lora") or {}
    if lora.get("r"):
        arguments |= {f"lora_{name}": value for name, value in lora.items()}
    arguments |= {name: model[name] for name in ("frozen", "reverse_complement") if model.get(name, "none") != "none"}
    return arguments | {name: training[name] for name in ("trained_parameters", "ranks") if name in training}


def _read_pretraining(folder: Path) -> RunRecord:
    report = read_mapping(folder / PRETRAINING_NAME)
    settings = report.get("settings", {})
    began_from = str(settings.get("model", ""))
    is_fresh = began_from in PRESETS or began_from.endswith(".json")
    counts = {name: report[name] for name in _PRETRAINING_COUNTS if name in report}
    told = {name: settings[name] for name in _PRETRAINING_SETTINGS if settings.get(name) is not None}
    evaluated = {n.removeprefix("eval_"): v for n, v in report.get("metrics", {}).items() if n.startswith("eval_")}
    return RunRecord(
        kind="pretrained",
        base=None if is_fresh else began_from,
        data=tuple(settings.get("train_files", ())),
        arguments={**counts, **told},
        metrics=_without_null({"held out": evaluated}),
        versions=report.get("versions", {}),
    )


def _without_null(by_split: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """Return the metrics that are defined, of the splits that have any."""
    defined = {split: {n: v for n, v in values.items() if v is not None} for split, values in by_split.items()}
    return {split: values for split, values in defined.items() if values}
