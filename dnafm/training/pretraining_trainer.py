"""The trainer of masked language modelling on genomes."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from dnafm.training.dna_trainer import DNATrainer, take_weights
from dnafm.training.masked_evaluation import masked_base_metrics, prediction_sums
from dnafm.training.muon import build_muon


class PretrainingTrainer(DNATrainer):
    """A trainer that visits windows in the order of a sampler and evaluates each species with a collator of its own.

    Args:
        train_sampler: order of the training data.
        eval_collator: what makes the batches of evaluation data.
        use_muon: optimize the matrices of the layers with Muon.
        **kwargs: as for DNATrainer.
    """

    def __init__(self, train_sampler: Sampler, eval_collator: Callable, use_muon: bool, **kwargs: Any):
        super().__init__(compute_metrics=masked_base_metrics, **kwargs)
        self._train_sampler, self._eval_collator, self._use_muon = train_sampler, eval_collator, use_muon
        if use_muon and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise ValueError("Muon needs whole matrices, and this run shards them. Set optimizer to adamw.")
        self._latest_evaluation: tuple[int, dict[str, float]] = (-1, {})

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """Return AdamW as Trainer builds it, or Muon with AdamW."""
        model = cast(nn.Module, self.model)
        if self.optimizer is None and self._use_muon:
            self.optimizer = build_muon(
                model,
                set(self.get_decay_parameter_names(model)),
                learning_rate=self.args.learning_rate,
                weight_decay=self.args.weight_decay,
                betas=(self.args.adam_beta1, self.args.adam_beta2),
            )
        return super().create_optimizer(*args, **kwargs)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        """Return batches of evaluation data, masked by the evaluation's collator."""
        training_collator, self.data_collator = self.data_collator, self._eval_collator
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training_collator

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[None, Tensor, Tensor]:
        """Return no loss, the sums that the metrics are made of, (batch, 3), and labels that say nothing."""
        inputs = self._prepare_inputs(inputs)
        labels = inputs.pop("labels")
        take_weights(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            sums = prediction_sums(model(**inputs).logits, labels)
        return None, sums, sums.new_zeros(len(sums))

    def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate each species, and add `eval_nats_per_base`, their mean."""
        metrics = super().evaluate(eval_dataset, *args, **kwargs)
        if eval_dataset is None and isinstance(self.eval_dataset, dict):
            of_species = [value for name, value in metrics.items() if name.endswith("_nats_per_base")]
            mean = {"eval_nats_per_base": sum(of_species) / len(of_species)}
            self.log(dict(mean))
            metrics |= mean
            self._latest_evaluation = self.state.global_step, metrics
        return metrics

    def evaluate_last_step(self) -> dict[str, float]:
        """Return the evaluation of the weights as they are, without doing it again where that was just done."""
        step, metrics = self._latest_evaluation
        return metrics if step == self.state.global_step else self.evaluate()

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        return self._train_sampler
