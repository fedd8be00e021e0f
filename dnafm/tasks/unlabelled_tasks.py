"""Tasks whose labels are the sequences themselves, and embeddings, which have none."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from dnafm import DNAFMConfig, DNAFMForMaskedLM, DNAFMModel
from dnafm.data.collators import MaskedLanguageModelCollator
from dnafm.data.strands import complement_vocabulary, flip_tokens
from dnafm.data.table_options import UnlabelledTable
from dnafm.data.task_data import TaskData
from dnafm.modeling_dnafm import masked_lm_loss, pool
from dnafm.tasks.base import FlatArrays, Task
from dnafm.tasks.options import DiffusionOptions, EmbedOptions, MaskedLMOptions, ModelOptions
from dnafm.training.masked_evaluation import BASE_IDS, prediction_sums

# Of the config, about what a masked language model is conditioned on.
CONDITION_FIELDS = ("condition_classes", "condition_size", "condition_mean", "condition_std")
# Masks of the evaluation are those of one seed, whatever that of the training.
_EVALUATION_SEED = 0
_HAS_NO_LABELS = "Embed can be neither trained nor measured: embeddings have no labels. Use predict."


class MaskedLM(Task):
    """Masked language modelling.

    `collate` masks nothing: it returns `input_ids` and `attention_mask`, and sequences may have `[MASK]` written in
    them. The model returns logits, (batch, length, vocabulary), those of base i at token i + 1.
    """

    options_type: ClassVar[type[ModelOptions]] = MaskedLMOptions
    table_type = UnlabelledTable
    model_class = DNAFMForMaskedLM
    needs_labels = False
    metric_kind = "masked_lm"
    selection_metric = "nats_per_base"
    options: MaskedLMOptions | DiffusionOptions

    @classmethod
    def head_fields(cls, options: ModelOptions, config: DNAFMConfig, data: TaskData | None) -> dict[str, Any]:
        """Return that there is no condition, where the checkpoint has any."""
        return dict.fromkeys(CONDITION_FIELDS) if config.is_conditional else {}

    def as_forward_strand(self, outputs: Tensor, input_ids: Tensor) -> Tensor:
        """Bring logits of the other strand into the order of the tokens of this one, and complement the bases."""
        return complement_vocabulary(flip_tokens(outputs, input_ids))

    def collate_labels(self, labels: list[Any], sequences: list[str], width: int) -> Tensor:
        """Refuse: the labels are the masked bases."""
        raise ValueError(f"{type(self).__name__} takes no labels: what it learns are the masked bases.")

    def training_batch(self, rows: Sequence[Mapping[str, Any]], epoch: int, *, seed: int) -> dict[str, Tensor]:
        """Mask the rows by seed, epoch and number of the row, from a random strand with `reverse_complement`."""
        flips = 0.0 if self.options.reverse_complement == "none" else 0.5
        return self._masked(rows, epoch, self.training_collator(seed, flips))

    def evaluation_batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Mask 15 % of the bases, or what `mlm_probability` says, all by `[MASK]`, and always the same."""
        share = getattr(self.options, "mlm_probability", 0.15)
        collator = MaskedLanguageModelCollator(
            mlm_probability=share, mask_share=1.0, random_share=0.0, seed=_EVALUATION_SEED
        )
        return self._masked(rows, 0, collator)

    def training_collator(self, seed: int, reverse_complement_probability: float) -> Any:
        """Return what masks the training data."""
        assert isinstance(self.options, MaskedLMOptions)
        return MaskedLanguageModelCollator(
            mlm_probability=self.options.mlm_probability,
            mask_share=self.options.mask_share,
            random_share=self.options.random_share,
            seed=seed,
            reverse_complement_probability=reverse_complement_probability,
        )

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats over the masked bases."""
        return masked_lm_loss(outputs, labels)

    def row_outputs(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> list[np.ndarray]:
        """Return (3,) of each sequence, as `prediction_sums` does; without labels (bases, 2).

        Those are log-probability, in nats, and entropy, in bits, of each base, over A, C, G and T.
        """
        if "labels" in batch:
            return list(prediction_sums(outputs, batch["labels"].to(outputs.device)).cpu().numpy())
        return [
            _base_scores(row[1:], ids[1:], int(mask.sum()) - self.n_special_tokens)
            for row, ids, mask in zip(outputs.float().cpu(), batch["input_ids"], batch["attention_mask"], strict=True)
        ]

    def flat_arrays(self, outputs: Sequence[np.ndarray], labels: Sequence[Any]) -> FlatArrays:
        """Return the sums of `prediction_sums`, (sequences, 3), as scores."""
        return FlatArrays(np.zeros(len(outputs)), np.stack(outputs), np.arange(len(outputs)))

    def report(self, labels: np.ndarray, scores: np.ndarray, *, details: bool) -> dict[str, float]:
        """Return `nats_per_base` and `accuracy` at the masked bases, over A, C, G and T."""
        nats, n_right, n_masked = scores.astype(np.float64).sum(axis=0)
        if not n_masked:
            raise ValueError(
                f"Of {len(scores)} sequences no base was masked, so that there is nothing to measure. Give more or "
                "longer sequences with A, C, G and T, or raise model.mlm_probability."
            )
        return {"nats_per_base": nats / n_masked, "accuracy": n_right / n_masked}

    def prediction_columns(self, outputs: Sequence[np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return `log_probability` (nats) and `entropy` (bits), a number for each base, which the model has seen.

        The log-probability of what is not A, C, G or T is NaN.
        """
        return {
            "log_probability": [row[:, 0] for row in outputs],
            "entropy": [row[:, 1] for row in outputs],
        }

    def _masked(self, rows: Sequence[Mapping[str, Any]], epoch: int, collator: Any) -> dict[str, Tensor]:
        encoded = self.collate({"sequences": [row["sequence"] for row in rows]})
        lengths = encoded["attention_mask"].sum(dim=1).tolist()
        return collator(
            [
                {"input_ids": ids[:length].numpy(), "sample_index": row["sample_index"], "epoch": epoch}
                for ids, length, row in zip(encoded["input_ids"], lengths, rows, strict=True)
            ]
        )


class Embed(Task):
    """Embeddings of tokens or of sequences.

    The model returns (batch, length, hidden), one vector for each token, that of base i at token i + 1, and zero at
    padding; or, with `model.pooling`, (batch, hidden) over the bases of each sequence, special tokens excluded (`cls`:
    the vector of `[CLS]`).
    """

    options_type = EmbedOptions
    table_type = UnlabelledTable
    model_class = DNAFMModel
    needs_labels = False
    metric_kind = "masked_lm"
    selection_metric = "loss"
    options: EmbedOptions

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the embeddings of one strand."""
        states = self._layer(inputs)
        if self.options.pooling == "none":
            return states
        if self.options.pooling == "cls":
            return pool(states, inputs["attention_mask"], how="cls")
        return pool(states, self._is_base(inputs), how=self.options.pooling)

    def as_forward_strand(self, outputs: Tensor, input_ids: Tensor) -> Tensor:
        """Bring the vectors of tokens of the other strand into the order of this one."""
        return flip_tokens(outputs, input_ids) if outputs.dim() == 3 else outputs

    def collate_labels(self, labels: list[Any], sequences: list[str], width: int) -> Tensor:
        """Refuse: embeddings have no labels."""
        raise ValueError("Embed takes no labels.")

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: there is nothing to train by."""
        raise ValueError(_HAS_NO_LABELS)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: there is nothing to compare embeddings with."""
        raise ValueError(_HAS_NO_LABELS)

    def row_outputs(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> list[np.ndarray]:
        """Return (hidden,) or (bases, hidden) float32 of each sequence."""
        values = outputs.float().cpu().numpy()
        if values.ndim == 2:
            return list(values)
        n_bases = (batch["attention_mask"].sum(dim=1) - self.n_special_tokens).tolist()
        return [row[1 : 1 + n] for row, n in zip(values, n_bases, strict=True)]

    def flat_arrays(self, outputs: Sequence[np.ndarray], labels: Sequence[Any]) -> FlatArrays:
        """Refuse: there is nothing to compare embeddings with."""
        raise ValueError(_HAS_NO_LABELS)

    def report(self, labels: np.ndarray, scores: np.ndarray, *, details: bool) -> dict[str, float]:
        """Refuse: there is nothing to compare embeddings with."""
        raise ValueError(_HAS_NO_LABELS)

    def prediction_columns(self, outputs: Sequence[np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return `embedding`: a vector, or one vector for each base."""
        return {"embedding": list(outputs)}

    def _layer(self, inputs: Mapping[str, Tensor]) -> Tensor:
        n_layers, layer = self.config.num_hidden_layers, self.options.layer
        if not -n_layers - 1 <= layer <= n_layers:
            raise ValueError(f"model.layer is {layer}; the model has the layers 0 (embeddings) to {n_layers}.")
        if layer in (-1, n_layers):
            return self.model(**inputs).last_hidden_state
        states = self.model(**inputs, output_hidden_states=True).hidden_states[layer]
        return states * inputs["attention_mask"][..., None].to(states.dtype)

    def _is_base(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(batch, length), 1 at tokens that are neither special at the edges nor padding."""
        places = torch.arange(inputs["input_ids"].shape[1], device=inputs["input_ids"].device)
        last = inputs["attention_mask"].sum(dim=1, keepdim=True) - self.n_special_tokens
        return ((places > 0) & (places <= last)).int()


def _base_scores(logits: Tensor, ids: Tensor, n_bases: int) -> np.ndarray:
    """(bases, 2): log-probability in nats and entropy in bits over A, C, G, T."""
    base_ids = torch.tensor(BASE_IDS)
    log_probabilities = logits[:n_bases, base_ids].log_softmax(dim=-1)
    is_base = ids[:n_bases, None] == base_ids
    of_own = torch.where(is_base, log_probabilities, 0).sum(dim=-1).masked_fill(~is_base.any(dim=-1), float("nan"))
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=-1) / np.log(2)
    return torch.stack([of_own, entropy], dim=-1).numpy()
