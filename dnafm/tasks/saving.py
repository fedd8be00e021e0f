"""What a task leaves in the folder of its checkpoint: weights, with LoRA merged into them, and its options."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import cached_file

from dnafm.configuration_dnafm import DNAFMConfig
from dnafm.tasks.building import add_lora
from dnafm.tasks.configuration import as_nested
from dnafm.tasks.options import ModelOptions

# Beside the checkpoint: the name of the task and its options.
TASK_FILE = "task.json"


def save_model(model: Any, folder: Path) -> None:
    """Write the weights: a model as it is, and one with LoRA merged, with the adapters alone in a subfolder.

    Where the weights below the adapters are quantized, the folder is that of the adapters.
    """
    is_adapted = hasattr(model, "merge_and_unload")
    if is_adapted and not getattr(model.get_base_model(), "is_quantized", False):
        model.save_pretrained(folder / "adapter")
        model = copy.deepcopy(model).merge_and_unload()
    model.save_pretrained(folder)


def whole_model(
    model_class: type[PreTrainedModel],
    options: ModelOptions,
    config: DNAFMConfig,
    state_dict: Mapping[str, Tensor],
) -> Any:
    """Return a model that holds given weights, to be saved; nothing is computed with it.

    Raises:
        ValueError: the weights are quantized, and cannot be put together again.
    """
    if options.quantization is not None:
        raise ValueError("model.quantization: quantized weights cannot be trained in shards.")
    with torch.device("meta"):
        model = model_class(config)
        adapted = add_lora(model, options.lora) if options.lora.r else model
    adapted.load_state_dict(state_dict, assign=True)
    model.tie_weights()
    return adapted


def save_options(folder: Path, task: str, options: ModelOptions) -> None:
    """Write the options of a task."""
    content = {"task": task, "model": as_nested(options)}
    (folder / TASK_FILE).write_text(json.dumps(content, indent=2) + "\n")


def saved_options(location: str) -> dict[str, Any]:
    """Return what `save_options` left in a folder or on the Hub, and nothing for other checkpoints."""
    # Whether there is such a checkpoint at all is asked for its config.
    path = cached_file(
        location,
        TASK_FILE,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return {} if path is None else json.loads(Path(path).read_text())
