"""What pretraining and fine-tuning share of `transformers.Trainer`: weighted losses, whole checkpoints, throughput."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from dnafm.modeling_dnafm import IGNORED_LABEL
from dnafm.training.checkpointing import (
    mark_complete,
    remove_old_checkpoints,
    unmark,
    write_errors_as_os_errors,
)
from dnafm.training.masked_evaluation import BASE_IDS
from dnafm.training.throughput import ThroughputMeter


class DNATrainer(Trainer):
    """A trainer that weighs the loss as the collators of `dnafm.data` ask for.

    Beyond `transformers.Trainer`, it logs the throughput and marks the checkpoints that are whole.

    Args:
        meter: of the throughput.
        keep_checkpoints: how many whole checkpoints are kept, beside the best one.
        **kwargs: as for Trainer.
    """

    def __init__(self, meter: ThroughputMeter, keep_checkpoints: int, **kwargs: Any):
        super().__init__(**kwargs)
        self._meter, self._keep_checkpoints = meter, keep_checkpoints
        asks_for_fsdp = self.args.fsdp or os.environ.get("ACCELERATE_USE_FSDP") == "true"
        if asks_for_fsdp and not self.is_fsdp_enabled:
            raise ValueError(
                f"FSDP was asked for, and accelerate does not shard on {self.args.world_size} x "
                f"{self.args.device.type}: it does on several GPUs."
            )
        self.add_callback(_StepEnd(meter))

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """Fetch the batches of a step, and time it."""
        with self._meter.waiting_for_data():
            return super().get_batch_samples(*args, **kwargs)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """Run forward and backward, and count the tokens."""
        self._meter.count(inputs["attention_mask"])
        return super().training_step(model, inputs, *args, **kwargs)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the sum of the weighted cross-entropies over what `_get_num_items_in_batch` counts."""
        weights = take_weights(inputs)
        if weights is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = weighted_masked_lm_loss(outputs.logits, labels, weights, num_items_in_batch=num_items_in_batch)
        # DDP and FSDP average over the ranks; the number of items is that of all of them.
        loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with the throughput of all ranks where it is about training steps."""
        if "loss" in logs:
            logs.update(self._throughput())
        super().log(logs, *args, **kwargs)

    def _throughput(self) -> dict[str, float]:
        rates = self._meter.read()
        mine = torch.tensor([list(rates.values())], device=self.accelerator.device)
        mean = dict(zip(rates, self.accelerator.gather(mine).mean(dim=0).tolist(), strict=True))
        mean["tokens_per_second"] *= self.accelerator.num_processes
        return mean

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Tensor | int | None:
        """Count the labels, or for masked diffusion the bases, whose number does not depend on the mask."""
        if batch_samples and "sequence_weight" in batch_samples[0]:
            batch_samples = [{"labels": _all_bases(batch)} for batch in batch_samples]
        n_items = super()._get_num_items_in_batch(batch_samples, device)
        # A step without any label has a loss of 0, not of 0 / 0.
        return n_items.clamp(min=1) if isinstance(n_items, Tensor) else n_items

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Warn of what a checkpoint lacks, unless it is a tied weight, which is saved once."""
        tied = cast(PreTrainedModel, self.model).all_tied_weights_keys
        missing = [key for key in load_result.missing_keys if key not in tied]
        super()._issue_warnings_after_load(SimpleNamespace(missing_keys=missing, unexpected_keys=load_result[1]))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        output_dir = Path(self._get_output_dir(trial=trial))
        folder = output_dir / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save:
            unmark(folder)
        with write_errors_as_os_errors(folder):
            # Each rank asks whether the best checkpoint, which may be this one, is there before shards are written.
            folder.mkdir(parents=True, exist_ok=True)
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_complete(folder)
            best = self.state.best_model_checkpoint
            remove_old_checkpoints(output_dir, keep=self._keep_checkpoints, best=Path(best) if best else None)


def weighted_masked_lm_loss(
    logits: Tensor, labels: Tensor, weights: Tensor, *, num_items_in_batch: Tensor | int | None = None
) -> Tensor:
    """Add up weighted cross-entropies in nats and divide by a number of items.

    Args:
        logits: (batch, length, vocabulary).
        labels: (batch, length), -100 where there is nothing to predict.
        weights: (batch, length), or (batch, 1) for whole sequences.
        num_items_in_batch: what the sum is divided by; by default the number of labels.

    Returns:
        A scalar in float32; zero without a single label.
    """
    is_label = labels != IGNORED_LABEL
    n_items = is_label.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
    log_probabilities = logits.float().log_softmax(dim=-1)
    nats = -log_probabilities.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return (nats * weights * is_label).sum() / n_items


def take_weights(inputs: dict[str, Any]) -> Tensor | None:
    """Remove the columns of weights, which the model does not know, and return their product if there are any."""
    weights = inputs.pop("token_weight", None)
    if "sequence_weight" in inputs:
        sequence_weight = inputs.pop("sequence_weight")[:, None]
        weights = sequence_weight if weights is None else sequence_weight * weights
    return weights


def _all_bases(batch: Mapping[str, Tensor]) -> Tensor:
    """Return the input's bases, masked or not, as labels."""
    is_base = torch.isin(batch["input_ids"], torch.tensor(BASE_IDS, device=batch["input_ids"].device))
    return torch.where(is_base, batch["input_ids"], batch["labels"])


class _StepEnd(TrainerCallback):
    def __init__(self, meter: ThroughputMeter):
        self._meter = meter

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self._meter.end_step()
