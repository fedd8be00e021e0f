"""The trainer of tasks: batches of rows, a loss with class weights, and an evaluation by the task itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback

from dnafm.configuration_dnafm import DNAFMConfig
from dnafm.modeling_dnafm import IGNORED_LABEL, supervised_loss
from dnafm.training.dna_trainer import DNATrainer

# Turns rows into a batch; the second argument is the epoch, on which random changes of the rows may depend.
Collate = Callable[[Sequence[Mapping[str, Any]], int], dict[str, Tensor]]


@dataclass
class EpochCollator:
    """Collates rows as an epoch asks for; the epoch is set when it begins.

    Args:
        collate: what it calls.
    """

    collate: Collate
    epoch: int = 0

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return the batch of these rows."""
        return self.collate(rows, self.epoch)


class NumberedRows(Dataset):
    """Rows of a table with their number as `sample_index`.

    Args:
        rows: a `datasets.Dataset`, or any sequence of mappings.
        columns: those that are kept.
    """

    def __init__(self, rows: Any, columns: Sequence[str]):
        self._rows, self._columns = rows, tuple(columns)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._rows[index]
        return {"sample_index": index, **{name: row[name] for name in self._columns if name in row}}


class FineTuningTrainer(DNATrainer):
    """A trainer whose batches are drawn by a batch sampler and whose evaluation is a function.

    Args:
        batch_sampler: rows of this rank's batches, with `set_epoch`.
        collate: makes the batches of the training data.
        evaluate_task: returns the metrics of the weights as they are, on every rank.
        **kwargs: as for DNATrainer.
    """

    def __init__(
        self,
        batch_sampler: Sampler[list[int]],
        collate: Collate,
        evaluate_task: Callable[[], Mapping[str, float]],
        **kwargs: Any,
    ):
        self._epoch_collator = EpochCollator(collate)
        super().__init__(data_collator=self._epoch_collator, **kwargs)
        self._batch_sampler, self._evaluate_task = batch_sampler, evaluate_task
        self.remove_callback(PrinterCallback)
        self.add_callback(_EpochBegin(self._epoch_collator, batch_sampler))

    def get_train_dataloader(self) -> DataLoader:
        """Return the batches of this rank; they are not sharded once more."""
        assert self.train_dataset is not None
        return DataLoader(
            self.train_dataset,
            batch_sampler=self._batch_sampler,
            collate_fn=self._epoch_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def whole_weights(self) -> dict[str, Tensor] | None:
        """Return the weights on the CPU where ranks hold shards of them, on the first rank, else None; all call it."""
        return self.accelerator.get_state_dict(self.model_wrapped) if self.is_fsdp_enabled else None

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Tensor | int | None:
        """Count the labels; of numbers those that are not NaN, whatever they are."""
        if cast(PreTrainedModel, self.model).config.problem_type == "regression":
            is_unknown = [batch["labels"].isnan() for batch in batch_samples]
            batch_samples = [{"labels": torch.where(unknown, IGNORED_LABEL, 0)} for unknown in is_unknown]
        return super()._get_num_items_in_batch(batch_samples, device)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Evaluate the task, log its metrics and return them under the prefix."""
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self._evaluate_task().items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def class_weighted_loss(class_weights: Sequence[float]) -> Callable[..., Tensor]:
    """Return a loss for `Trainer(compute_loss_func=...)`: cross-entropy times the weight of the label's class.

    Weights n / (k n_c) are 1 on average over the training data, so the sum is divided by the number of labels, as
    without weights.
    """

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        weight = torch.tensor(class_weights, device=labels.device)
        total = F.cross_entropy(
            outputs.logits.float().flatten(0, -2),
            labels.flatten(),
            weight=weight,
            ignore_index=IGNORED_LABEL,
            reduction="sum",
        )
        n_items = (labels != IGNORED_LABEL).sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
        return total / n_items

    return loss


def regression_loss(config: DNAFMConfig) -> Callable[..., Tensor]:
    """Return a loss for `Trainer(compute_loss_func=...)`: the sum of squared errors over the number of known targets.

    The model's own loss knows the share of NaN in a batch, and not in the other batches of a step.
    """

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        mean = supervised_loss(outputs.logits, labels, config=config)
        return mean if num_items_in_batch is None else mean * (~labels.isnan()).sum() / num_items_in_batch

    return loss


class _EpochBegin(TrainerCallback):
    def __init__(self, collator: EpochCollator, batch_sampler: Any):
        self._collator, self._batch_sampler = collator, batch_sampler

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # A resumed epoch has a fraction; sums of steps may be a rounding error short of a whole number.
        epoch = int((state.epoch or 0) + 1e-6)
        self._collator.epoch = epoch
        self._batch_sampler.set_epoch(epoch)
