"""What a pretraining run can be told."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any, Literal

from dnafm.training.architectures import PRESETS

_GLOB_CHARACTERS = set("*?[")


@dataclass(kw_only=True, frozen=True)
class PretrainingSettings:
    """Settings of a pretraining run; the defaults are the recipe of DNA FM where they do not depend on its size.

    Args:
        train_files: FASTA files, plain or compressed with gzip, bgzip or xz; patterns such as genomes/*.fa.gz are
            expanded. A species is named after its file, up to the first point.
        output_dir: Folder of the checkpoints, the logs and the final model.
        model: Architecture: dnafm (7B), 300m, 30m, tiny, a config.json, or the folder of a checkpoint to go on from
            with a new schedule.
        config_overrides: Fields of DNAFMConfig to change.
        held_out: Regions kept out of training, which the model is evaluated on: "name", "name:start-end" (1-based,
            inclusive), with "file.fa::" before it where several files have that name, or "file.fa::" for a whole file.
        context_length: Most tokens of an input, special tokens included; by default the model's context.
        max_unknown: Largest share of N in a window; others are dropped.
        random_offset: Cut the windows elsewhere in every pass through a genome.
        soft_mask_weight: Weight in the loss of bases in lower case; by default they count like all others.
        size_power: The share of a genome of n windows is proportional to n to this power: 1 visits every window
            equally often, less favours small genomes, 0 gives every genome the same.
        cache_dir: Folder of the encoded genomes; by default dnafm/genomes in the user's cache.
        objective: mlm masks a fixed share of the bases, diffusion a random share of each sequence.
        mlm_probability: Share of the bases that are masked.
        mask_share: Share of those that become [MASK].
        random_share: Share of those that become a random base; the rest stay as they are.
        reverse_complement_probability: Chance of a window to be read from the other strand.
        max_tokens: Length of the training in tokens.
        max_steps: Length of the training in steps, instead of max_tokens.
        batch_size: Windows of a forward pass on each device.
        global_batch_size: Windows of a step, all devices together; reached by accumulating gradients. By default one
            forward pass on each device.
        optimizer: adamw, or muon for the matrices of the layers with adamw for the rest, which learns more from the
            same data where the model fits on one device.
        learning_rate: Peak of the schedule; by default that of the preset.
        lr_scheduler_type: Schedule, as in transformers.
        warmup_steps: Steps of warm-up, or below 1 the share of all steps.
        weight_decay: Of all weights but norms and biases.
        adam_beta1: Decay of AdamW's mean of gradients.
        adam_beta2: Decay of AdamW's mean of squared gradients.
        max_grad_norm: Norm to which gradients are clipped.
        precision: bf16 keeps weights in float32 and computes in bfloat16; auto chooses it where the device is fast at
            it.
        gradient_checkpointing: Compute activations anew in the backward pass instead of storing them.
        attn_implementation: Attention kernel.
        rope_implementation: Kernel of the rotary embedding.
        eval_every_steps: Steps between evaluations; by default a tenth of the training. There is none without held-out
            regions.
        eval_windows: Most windows of each species to evaluate.
        save_every_steps: Steps between checkpoints; by default a tenth of the training.
        keep_checkpoints: How many checkpoints are kept.
        logging_steps: Steps between lines of the log.
        workers: Processes that prepare data on each rank; 0 does it in the training process.
        seed: Of the weights, the order of the windows, the masks and the dropout.
        resume_from_checkpoint: auto goes on from the last whole checkpoint in the output folder, if there is one; or
            the path of a checkpoint of the same run.
        report_to: Where logs go besides the terminal and trainer_state.json, as in transformers.
        trainer: Further arguments of transformers.TrainingArguments, such as fsdp.
    """

    train_files: list[str]
    output_dir: str
    model: str = "tiny"
    config_overrides: dict[str, Any] = field(default_factory=dict)
    held_out: list[str] = field(default_factory=list)
    context_length: int | None = None
    max_unknown: float = 0.5
    random_offset: bool = True
    soft_mask_weight: float | None = None
    size_power: float = 1.0
    cache_dir: str | None = None
    objective: Literal["mlm", "diffusion"] = "mlm"
    mlm_probability: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1
    reverse_complement_probability: float = 0.5
    max_tokens: int | None = None
    max_steps: int | None = None
    batch_size: int = 32
    global_batch_size: int | None = None
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float | None = None
    lr_scheduler_type: str = "cosine"
    warmup_steps: float = 0.05
    weight_decay: float = 0.1
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    max_grad_norm: float = 1.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    gradient_checkpointing: bool = False
    attn_implementation: str = "auto"
    rope_implementation: str = "auto"
    eval_every_steps: int | None = None
    eval_windows: int = 1000
    save_every_steps: int | None = None
    keep_checkpoints: int = 2
    logging_steps: int = 20
    workers: int = 0
    seed: int = 0
    resume_from_checkpoint: str | None = None
    report_to: str = "tensorboard"
    trainer: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.train_files:
            raise ValueError("There are no train_files. Name at least one FASTA file.")
        if (self.max_tokens is None) == (self.max_steps is None):
            raise ValueError(
                f"max_tokens is {self.max_tokens} and max_steps is {self.max_steps}: the length of the training is "
                "one of the two."
            )
        self._check_positive()
        if self.learning_rate is None and self.model not in PRESETS:
            raise ValueError(f"There is no learning rate that suits {self.model}. Set learning_rate.")

    def paths(self) -> list[Path]:
        """Return the FASTA files, patterns expanded.

        Raises:
            ValueError: a file does not exist, a pattern matches none, or a file is named twice.
        """
        paths = [Path(path) for name in self.train_files for path in _expanded(name)]
        twice = {path for path in paths if paths.count(path) > 1}
        if twice:
            raise ValueError(f"train_files name {sorted(map(str, twice))} more than once.")
        return paths

    def peak_learning_rate(self) -> float:
        """Return the learning rate, the preset's where none is set."""
        return PRESETS[self.model].learning_rate if self.learning_rate is None else self.learning_rate

    def accumulation_steps(self, n_ranks: int) -> int:
        """Return how many forward passes of each rank make a step.

        Raises:
            ValueError: the global batch cannot be divided that way.
        """
        of_a_pass = self.batch_size * n_ranks
        n_passes, rest = divmod(self.global_batch_size or of_a_pass, of_a_pass)
        if rest or not n_passes:
            raise ValueError(
                f"global_batch_size is {self.global_batch_size}; it must be a multiple of batch_size x devices = "
                f"{self.batch_size} x {n_ranks}."
            )
        return n_passes

    def n_steps(self, windows_per_step: int, context_length: int) -> int:
        """Return the number of steps; with `max_tokens`, the least that reaches them with full windows."""
        if self.max_steps is not None:
            return self.max_steps
        assert self.max_tokens is not None
        return math.ceil(self.max_tokens / (windows_per_step * context_length))

    def _check_positive(self) -> None:
        names = (
            "max_tokens max_steps batch_size global_batch_size learning_rate eval_every_steps eval_windows "
            "save_every_steps keep_checkpoints logging_steps"
        )
        for name in names.split():
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; it must be greater than 0.")
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}; it must be at least 0.")


def _expanded(name: str) -> Sequence[str]:
    if Path(name).is_file():
        return [name]
    found = sorted(path for path in glob(name) if Path(path).is_file()) if _GLOB_CHARACTERS & set(name) else []
    if not found:
        alone = "is a folder" if Path(name).is_dir() else "does not exist"
        problem = "matches no file" if _GLOB_CHARACTERS & set(name) else alone
        raise ValueError(f"train_files: {name} {problem}.")
    return found
