"""What fine-tuning DNA FM 7B with LoRA takes of one GPU, by counting.

    python recipes/finetune_7b_lora.py
    python recipes/finetune_7b_lora.py --tokens 32000     # another --data.max_tokens_per_batch
    python recipes/finetune_7b_lora.py --check            # that finetune_7b_lora.md has these numbers

The model of finetune_7b_lora.yaml is built without memory for its weights (torch's meta device) and its parameters are
counted by dtype; activations are those of `dnafm.training.accounting`. Nothing is measured.
"""

import argparse
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from dnafm import DNAFMConfig
from dnafm.tasks import TASKS
from dnafm.tasks.building import add_lora, n_adapted_modules
from dnafm.tasks.configuration import options_from, read_config
from dnafm.tasks.options import ModelOptions
from dnafm.training.accounting import activation_bytes

RECIPE = Path(__file__).with_suffix(".yaml")
PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- finetune_7b_lora.py -->\n", "<!-- end -->\n"
N_CLASSES = 2
GPU_BYTES = 80e9
GB = 1e9
TITLES = {
    "weights": "frozen weights",
    "trained": "adapters and head",
    "gradients": "their gradients",
    "optimizer": "AdamW's moments",
    "activations": "activations",
    "adapters": "activations of the adapters",
    "total": "total",
}
_FLOAT32_BYTES = 4


def model_options() -> ModelOptions:
    """Return the options of the recipe's model."""
    section = dict(read_config(RECIPE)["model"])
    return options_from(TASKS[section.pop("name")].options_type, section, prefix="model")


def adapted_model(options: ModelOptions) -> Any:
    """Return DNA FM 7B with a head and adapters, on the meta device."""
    config = DNAFMConfig(num_labels=N_CLASSES)
    task = TASKS[read_config(RECIPE)["model"]["name"]]
    with torch.device("meta"):
        model = task.model_class._from_config(config, dtype=getattr(torch, options.dtype))
        return add_lora(model, options.lora)


@dataclass(frozen=True)
class Memory:
    """Bytes on the GPU.

    Attributes:
        weights: that are frozen.
        trained: adapters, in float32, and the head, in the dtype of the weights.
        gradients: of those.
        optimizer: AdamW's two moments of those, in their dtype.
        activations: what the model keeps for the backward pass.
        adapters: what the adapters keep for it.
    """

    weights: int
    trained: int
    gradients: int
    optimizer: int
    activations: int
    adapters: int

    @property
    def total(self) -> int:
        """All of it; the workspace of kernels comes on top."""
        return sum(getattr(self, field.name) for field in fields(self))


def memory(model: Any, options: ModelOptions, n_tokens: int, *, gradient_checkpointing: bool) -> Memory:
    """Return what a training step on so many tokens takes."""
    frozen, trained = (
        sum(weight.numel() * weight.element_size() for weight in model.parameters() if weight.requires_grad is wanted)
        for wanted in (False, True)
    )
    return Memory(
        weights=frozen,
        trained=trained,
        gradients=trained,
        optimizer=2 * trained,
        activations=activation_bytes(model.config, n_tokens, gradient_checkpointing=gradient_checkpointing),
        adapters=adapter_bytes(model, options, n_tokens, gradient_checkpointing=gradient_checkpointing),
    )


def adapter_bytes(model: Any, options: ModelOptions, n_tokens: int, *, gradient_checkpointing: bool) -> int:
    """Return what the adapters keep for the backward pass, those of one layer at a time with checkpointing.

    Each has its input after dropout and the r numbers between A and B, in float32, and the mask of dropout in bytes.
    """
    of_adapter = model.config.hidden_size * (_FLOAT32_BYTES + 1) + options.lora.r * _FLOAT32_BYTES
    n_adapters = n_adapted_modules(model)
    return n_tokens * of_adapter * n_adapters // (model.config.num_hidden_layers if gradient_checkpointing else 1)


def report(n_tokens: int | None = None) -> str:
    """Return the tables as Markdown."""
    options = model_options()
    model = adapted_model(options)
    n_tokens = n_tokens or read_config(RECIPE)["data"]["max_tokens_per_batch"]
    columns = [memory(model, options, n_tokens, gradient_checkpointing=each) for each in (False, True)]
    n_trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    n_all = sum(weight.numel() for weight in model.parameters())
    lines = [
        f"{N_CLASSES} classes, {n_tokens:,} tokens in a batch:",
        "",
        "| | |",
        "|---|---|",
        f"| parameters, those of adapters and head included | {n_all:,} |",
        f"| trained | {n_trained:,}, {n_trained / n_all:.2%} |",
        f"| adapted modules | {n_adapted_modules(model)} |",
        "",
        "| memory of the GPU, in GB | without checkpointing | with |",
        "|---|---|---|",
        *(
            f"| {title} | " + " | ".join(f"{getattr(column, name) / GB:.2f}" for column in columns) + " |"
            for name, title in TITLES.items()
        ),
        f"| room left of {GPU_BYTES / GB:.0f} | "
        + " | ".join(f"{(GPU_BYTES - column.total) / GB:.2f}" for column in columns)
        + " |",
    ]
    return "\n".join(lines) + "\n"


def check(text: str) -> None:
    """Exit with an error unless the page holds the report."""
    found = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    if found.strip() != text.strip():
        sys.exit(f"{PAGE} has other numbers than these:\n\n{text}")
    print(f"{PAGE} is right.")


def main() -> None:
    """Print the report, or check that the page has it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, help="of a batch; default: data.max_tokens_per_batch of the recipe")
    parser.add_argument("--check", action="store_true", help="compare with finetune_7b_lora.md")
    arguments = parser.parse_args()
    text = report(arguments.tokens)
    if arguments.check:
        check(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
