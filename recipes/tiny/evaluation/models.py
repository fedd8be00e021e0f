"""DNA FM on a task: a linear probe of its frozen states, and full fine-tuning with `transformers.Trainer`.

From scratch means the checkpoint's architecture with fresh weights; all else, steps and data included, is the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from dnafm import (
    DNAFMConfig,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
    DNAFMTokenizer,
)
from evaluation.baselines import Array, fit_per_base, fit_per_sequence, measure
from evaluation.examples import Examples, Splits
from evaluation.tasks import Effort, Task

IGNORED_LABEL = -100
# Tokens of a batch where nothing is trained.
INFERENCE_TOKENS = 8_192


@dataclass(frozen=True)
class Backbone:
    """A checkpoint, or its architecture with fresh weights."""

    checkpoint: Path
    is_pretrained: bool

    def build(self, model_class: type[PreTrainedModel], *, seed: int, **config: Any) -> PreTrainedModel:
        """Return a model in float32 on the best device; the seed draws whatever weights the checkpoint lacks."""
        set_seed(seed)
        settings = DNAFMConfig.from_pretrained(self.checkpoint, **config)
        if self.is_pretrained:
            model = model_class.from_pretrained(self.checkpoint, config=settings, dtype=torch.float32)
        else:
            model = model_class(settings).float()
        return model.to("cuda" if torch.cuda.is_available() else "cpu")

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Return the checkpoint's tokenizer."""
        return DNAFMTokenizer.from_pretrained(self.checkpoint)


def run_probe(task: Task, examples: Splits, backbone: Backbone, *, seed: int) -> dict[str, float]:
    """Fit logistic regression on the frozen last hidden states and measure it on the test split.

    A sequence is the mean over its bases, with the states of the two bases in the middle beside it where the task has
    a centre; where labels are per base, a base is its own state.
    """
    model = backbone.build(DNAFMModel, seed=seed).eval()
    states = partial(base_states, model, backbone.tokenizer())
    if task.is_per_base:
        scores = fit_per_base(examples, states, seed=seed)
    else:
        scores = fit_per_sequence(examples, lambda sequences: _pooled(states(sequences), has_centre=task.has_centre))
    return measure(examples.test.flat_labels(), scores, task.label_names)


def run_fine_tuning(task: Task, examples: Splits, backbone: Backbone, *, seed: int) -> dict[str, float]:
    """Train all weights, keep the epoch with the lowest validation loss and measure it on the test split."""
    model_class = DNAFMForTokenClassification if task.is_per_base else DNAFMForSequenceClassification
    labels = dict(enumerate(task.label_names))
    model = backbone.build(model_class, seed=seed, id2label=labels, classifier_pooling=task.effort.pooling)
    tokenizer = backbone.tokenizer()
    fine_tune(model, tokenizer, examples, effort=task.effort, seed=seed)
    scores = predict(model.eval(), tokenizer, examples.test)
    return measure(examples.test.flat_labels(), scores, task.label_names)


def fine_tune(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Splits, *, effort: Effort, seed: int
) -> None:
    """Train a model in place; the seed draws the order of the batches."""
    is_per_base = isinstance(model, DNAFMForTokenClassification)
    collator = DataCollatorForTokenClassification if is_per_base else DataCollatorWithPadding
    with TemporaryDirectory(prefix="dnafm-evaluation-") as folder:
        trainer = Trainer(
            model=model,
            args=_training_arguments(folder, effort, seed=seed),
            train_dataset=_tokenized(examples.train, tokenizer),
            eval_dataset=_tokenized(examples.validation, tokenizer),
            data_collator=collator(tokenizer),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def predict(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Examples) -> Array:
    """Return logits, (n, classes), or (bases, classes) of a model for bases."""
    if not isinstance(model, DNAFMForTokenClassification):
        batches = [logits for logits, _ in _forward(model, tokenizer, examples.sequences, "logits")]
        return torch.cat(batches).numpy()
    return np.concatenate([rows.numpy() for rows in _base_rows(model, tokenizer, examples.sequences, "logits")])


def base_states(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sequences: Sequence[str]
) -> Iterator[Array]:
    """Yield the last hidden states of each sequence's bases, (length, hidden) float32."""
    return (rows.numpy() for rows in _base_rows(model, tokenizer, sequences, "last_hidden_state"))


def _pooled(states: Iterator[Array], *, has_centre: bool) -> Array:
    """(n, hidden) means, or (n, 3 * hidden) with the two states beside the middle in front of them."""
    rows = []
    for state in states:
        middle = len(state) // 2
        centre = [state[middle - 1], state[middle]] if has_centre else []
        rows.append(np.concatenate([*centre, state.mean(axis=0)]))
    return np.stack(rows)


def _base_rows(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sequences: Sequence[str], output: str
) -> Iterator[Tensor]:
    for batch, lengths in _forward(model, tokenizer, sequences, output):
        # Token 0 is [CLS].
        yield from (rows[1 : 1 + length] for rows, length in zip(batch, lengths, strict=True))


def _forward(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sequences: Sequence[str], output: str
) -> Iterator[tuple[Tensor, list[int]]]:
    """Yield an output of each batch, float32 on the CPU, and the lengths of its sequences in bases."""
    batch_size = max(1, INFERENCE_TOKENS // max(map(len, sequences)))
    for start in range(0, len(sequences), batch_size):
        batch = list(sequences[start : start + batch_size])
        inputs = tokenizer(batch, padding=True, padding_side="right", return_tensors="pt").to(model.device)
        with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16):
            yield getattr(model(**inputs), output).float().cpu(), [len(sequence) for sequence in batch]


def _tokenized(examples: Examples, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    rows = []
    for input_ids, label in zip(tokenizer(list(examples.sequences))["input_ids"], examples.labels, strict=True):
        if np.ndim(label):
            # Token i + 1 is base i; [CLS] and the suffix, where there is one, have no label.
            n_after = len(input_ids) - 1 - len(label)
            label = [IGNORED_LABEL, *label.tolist(), *[IGNORED_LABEL] * n_after]
        rows.append({"input_ids": input_ids, "labels": label})
    return rows


def _training_arguments(folder: str, effort: Effort, *, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=effort.epochs,
        per_device_train_batch_size=effort.batch_size,
        per_device_eval_batch_size=effort.batch_size,
        learning_rate=effort.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        weight_decay=0.1,
        max_grad_norm=1.0,
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        greater_is_better=False,
        prediction_loss_only=True,
        report_to="none",
        disable_tqdm=True,
        # Pinned memory is for GPUs; torch warns where there is none.
        dataloader_pin_memory=torch.cuda.is_available(),
    )
