"""What a training will take, by counting, and one batch of it."""

import copy
import math
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import torch
from tqdm import tqdm

from dnafm.tasks.building import n_adapted_modules
from dnafm.tasks.evaluating import rank_and_ranks, token_lengths
from dnafm.tasks.fitting import build_trainer, n_trained_parameters
from dnafm.tasks.runs import Run
from dnafm.training.accounting import activation_bytes

_ADAMW_BYTES = 8  # two moments in float32


@dataclass(frozen=True)
class Plan:
    """Numbers of a training.

    Attributes:
        n_parameters: of the model.
        n_trained: parameters that training changes.
        n_adapted_modules: modules with low-rank adapters.
        n_ranks: processes.
        n_tokens: of an epoch, special tokens included.
        longest: tokens of the longest row.
        n_steps: updates of the weights.
        rows_per_step: on average.
        weight_bytes: of a rank.
        gradient_bytes: of a rank, with AdamW's moments.
        activation_bytes: of the largest batch, by `activation_bytes` of `dnafm.training.accounting`.
    """

    n_parameters: int
    n_trained: int
    n_adapted_modules: int
    n_ranks: int
    n_tokens: int
    longest: int
    n_steps: int
    rows_per_step: float
    weight_bytes: int
    gradient_bytes: int
    activation_bytes: int

    @property
    def memory_bytes(self) -> int:
        """All of it, for one rank without sharding."""
        return self.weight_bytes + self.gradient_bytes + self.activation_bytes


def plan_of(run: Run) -> Plan:
    """Count what a run will take."""
    task, arguments, model = run.task, run.arguments, run.task.model
    lengths = token_lengths(task, run.data.splits["train"]["sequence"])
    n_ranks = max(1, arguments.world_size)
    max_tokens = run.settings.data.max_tokens_per_batch
    per_batch = max_tokens or min(sum(lengths), arguments.train_batch_size * max(lengths))
    n_batches = (
        math.ceil(sum(lengths) / max_tokens) if max_tokens else math.ceil(len(lengths) / arguments.train_batch_size)
    )
    steps_of_epoch = math.ceil(n_batches / (n_ranks * arguments.gradient_accumulation_steps))
    n_steps = (
        arguments.max_steps if arguments.max_steps > 0 else math.ceil(arguments.num_train_epochs * steps_of_epoch)
    )
    n_trained = n_trained_parameters(model)
    return Plan(
        n_parameters=sum(weight.numel() for weight in model.parameters()),
        n_trained=n_trained,
        n_adapted_modules=n_adapted_modules(model),
        n_ranks=n_ranks,
        n_tokens=sum(lengths),
        longest=max(lengths),
        n_steps=n_steps,
        rows_per_step=len(lengths) / steps_of_epoch,
        weight_bytes=sum(weight.numel() * weight.element_size() for weight in model.parameters()),
        gradient_bytes=n_trained * (4 + _ADAMW_BYTES),
        activation_bytes=activation_bytes(
            task.config,
            per_batch,
            gradient_checkpointing=run.settings.model.gradient_checkpointing,
            bytes_per_number=2 if arguments.bf16 or run.settings.model.dtype == "bfloat16" else 4,
        ),
    )


def rehearse(run: Run) -> None:
    """Run forward and backward on the first batch of the training, and print what it came to; nothing is written."""
    with TemporaryDirectory() as folder:
        # The trainer makes its output folder, which is not to be there when the training itself comes.
        arguments = copy.copy(run.arguments)
        arguments.output_dir = folder
        trainer = build_trainer(run.task, run.data, arguments, max_tokens=run.settings.data.max_tokens_per_batch)
        batch = next(iter(trainer.get_train_dataloader()))
    run.task.train()
    # As in training: what a batch holds besides the model's inputs, the trainer takes.
    batch = {name: value.to(run.arguments.device) for name, value in batch.items()}
    n_tokens, n_rows = int(batch["attention_mask"].sum()), len(batch["input_ids"])
    with torch.autocast(run.arguments.device.type, torch.bfloat16, enabled=run.arguments.bf16):
        loss = trainer.compute_loss(run.task.model, batch)
    loss.backward()
    run.task.zero_grad()
    run.task.eval()
    if rank_and_ranks()[0] == 0:
        tqdm.write(f"  memory     {_memory_line(plan_of(run))}")
        tqdm.write(
            f"  dry run    one batch of {n_rows:,} rows and {n_tokens:,} tokens went forward and backward, "
            f"loss {loss.item():.4f}; nothing was trained or written"
        )


def _memory_line(plan: Plan) -> str:
    unit, size, digits = ("GiB", 2**30, 2) if plan.memory_bytes >= 2**30 else ("MiB", 2**20, 1)
    parts = (plan.memory_bytes, plan.weight_bytes, plan.gradient_bytes, plan.activation_bytes)
    total, weights, gradients, activations = (f"{part / size:.{digits}f}" for part in parts)
    return (
        f"about {total} {unit} for each process without sharding: weights {weights}, gradients and AdamW {gradients}, "
        f"activations of the largest batch {activations}"
    )
