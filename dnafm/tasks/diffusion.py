"""Masked diffusion, also conditional on a class or on numbers of each sequence."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dnafm import DNAFMConfig, encode_conditions
from dnafm.data.collators import MaskedDiffusionCollator
from dnafm.data.labels import TargetScaler
from dnafm.data.table_options import DiffusionTable, TableOptions
from dnafm.data.task_data import TaskData
from dnafm.tasks.options import Condition, DiffusionOptions, ModelOptions
from dnafm.tasks.unlabelled_tasks import CONDITION_FIELDS, MaskedLM
from dnafm.tokenization_dnafm import DNAFMTokenizer


class Diffusion(MaskedLM):
    """Masked diffusion: each sequence is masked at a rate of its own, and the loss is weighted by its inverse.

    Batches and outputs are those of `MaskedLM`. With `model.condition`, labels are what the model is conditioned on: a
    class, or numbers in the units of the data. They are dropped from a share of the training sequences. `collate`
    takes `conditions`, one for each sequence; without them, as in `predict`, the model is the unconditional one.
    """

    options_type = DiffusionOptions
    table_type = DiffusionTable
    input_names = (*MaskedLM.input_names, "condition")
    options: DiffusionOptions

    def __init__(self, model: Any, tokenizer: DNAFMTokenizer, options: DiffusionOptions):
        # Those of a checkpoint that no task has saved say nothing about it.
        super().__init__(model, tokenizer, replace(options, condition=_condition_of(model.config)))

    @classmethod
    def labelled_table(cls, options: ModelOptions, table: TableOptions) -> TableOptions:
        """Return the data with the labels that `model.condition` says."""
        assert isinstance(options, DiffusionOptions)
        assert isinstance(table, DiffusionTable)
        if options.condition == "class":
            return table.as_classes()
        if options.condition == "value":
            return table.as_numbers()
        if table.label_column is not None or table.label_columns:
            raise ValueError(
                f"data.label_column is {table.label_column or table.label_columns!r}, and the model is unconditional: "
                "choose model.condition class or value, or leave the column out."
            )
        return table

    @classmethod
    def head_fields(cls, options: ModelOptions, config: DNAFMConfig, data: TaskData | None) -> dict[str, Any]:
        """Return what the model is conditioned on, from the data or the checkpoint."""
        assert isinstance(options, DiffusionOptions)
        if data is None and options.condition in ("none", _condition_of(config)):
            return {}
        if options.condition == "none":
            return super().head_fields(options, config, data)
        found = _fields_of(options.condition, data)
        if found is None:
            raise ValueError(
                f"model.condition is {options.condition}, of which the data say what it is. Pass data with such "
                "labels, or a checkpoint that was trained on some."
            )
        return {**dict.fromkeys(CONDITION_FIELDS), **found}

    @property
    def label_names(self) -> list[str]:
        """Names of the classes that it is conditioned on, by their ids."""
        return list(self.config.condition_classes or ())

    @property
    def target_scaler(self) -> TargetScaler | None:
        """Mean and deviation of the numbers that it is conditioned on."""
        mean, std = self.config.condition_mean, self.config.condition_std
        return TargetScaler(tuple(mean), tuple(std)) if mean and std else None

    def collate(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, Tensor]:
        """Make the model's inputs, as `Task.collate` does; `conditions` become the column `condition`.

        Raises:
            ValueError: as `encode_conditions` and `Task.collate`.
        """
        inputs, conditions = super().collate(batch), batch.get("conditions")
        if conditions is None:
            return inputs
        if len(conditions) != len(inputs["input_ids"]):
            n_sequences = len(inputs["input_ids"])
            raise ValueError(f"There are {n_sequences} sequences and {len(conditions)} conditions; one each is due.")
        return {**inputs, "condition": encode_conditions(conditions, self.config)}

    def training_batch(self, rows: Sequence[Mapping[str, Any]], epoch: int, *, seed: int) -> dict[str, Tensor]:
        """Mask the rows and drop conditions, by seed, epoch and number of the row."""
        batch = super().training_batch(rows, epoch, seed=seed)
        if self.options.condition == "none":
            return batch
        kept = [_uniform(row, epoch, seed=seed) >= self.options.condition_dropout for row in rows]
        return {**batch, "condition": self._conditions(rows), "condition_mask": torch.tensor(kept)}

    def evaluation_batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Mask as `MaskedLM` does, under all conditions."""
        batch = super().evaluation_batch(rows)
        return batch if self.options.condition == "none" else {**batch, "condition": self._conditions(rows)}

    def training_collator(self, seed: int, reverse_complement_probability: float) -> Any:
        """Return what masks the training data."""
        return MaskedDiffusionCollator(seed=seed, reverse_complement_probability=reverse_complement_probability)

    def _conditions(self, rows: Sequence[Mapping[str, Any]]) -> Tensor:
        if "labels" not in rows[0]:
            raise ValueError(f"model.condition is {self.options.condition}, and the data have no labels.")
        return encode_conditions([row["labels"] for row in rows], self.config)


def _condition_of(config: DNAFMConfig) -> Condition:
    if config.condition_classes is not None:
        return "class"
    return "none" if config.condition_size is None else "value"


def _fields_of(condition: Condition, data: TaskData | None) -> dict[str, Any] | None:
    """Return the config's fields of a condition, None where the data have no such labels."""
    if data is None or (data.label_names if condition == "class" else data.target_names) is None:
        return None
    if data.label_names is not None:
        return {"condition_classes": list(data.label_names)}
    assert data.target_names is not None
    fields: dict[str, Any] = {"condition_size": len(data.target_names)}
    if data.target_scaler is not None:
        fields |= {"condition_mean": list(data.target_scaler.mean), "condition_std": list(data.target_scaler.std)}
    return fields


def _uniform(row: Mapping[str, Any], epoch: int, *, seed: int) -> float:
    # The second word keeps it apart from the numbers of the masks.
    counter = [0, 1, epoch, row["sample_index"]]
    return np.random.Generator(np.random.Philox(key=seed, counter=counter)).random()
