"""Fine-tune DNA FM on the bundled splice junctions and check that the saved model is the trained one.

These are the steps of `dnafm quickstart`, one function each:

    job = prepare(QuickstartSettings(output_dir=Path("runs/quickstart")))
    train(job)
    save(job, report={"model": evaluate(job)})
    predictions = predict(reload(job))
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from dnafm import DNAFMConfig, DNAFMForSequenceClassification, DNAFMTokenizer
from dnafm.checkpoints import backbone_location
from dnafm.data import LabelledSequences, SpliceJunctions, load_splice_junctions
from dnafm.environment import is_bf16_fast
from dnafm.training.metrics import compute_metrics
from dnafm.training.progress import ProgressBar

# The file that marks an output folder as one of ours.
REPORT_NAME = "quickstart.json"
INFERENCE_BATCH_SIZE = 200


@dataclass(frozen=True)
class Recipe:
    """What the user may leave open."""

    epochs: float
    learning_rate: float
    batch_size: int


# The [CLS] token sees every base at a fixed distance, and the place of a motif is what counts here.
POOLING = "cls"
# Chosen on held-out parts of the training and validation splits; the test split had no say.
FRESH_ARCHITECTURE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_dropout": 0.1,
    "classifier_pooling": POOLING,
}
FRESH_RECIPE = Recipe(epochs=20, learning_rate=3e-3, batch_size=32)
BACKBONE_RECIPE = Recipe(epochs=4, learning_rate=1e-3, batch_size=32)


@dataclass(frozen=True)
class QuickstartSettings:
    """What to train and where to put it; `None` is replaced by the recipe for the kind of model.

    Attributes:
        output_dir: Folder for the model, its tokenizer and the report.
        backbone: Name, folder or Hub id of a pretrained model; `None` is a fresh one.
        epochs: Passes over the training split.
        max_steps: Optimizer steps instead of epochs.
        learning_rate: Peak of the cosine schedule.
        batch_size: Sequences per step.
        seed: Of the fresh weights, the order of the batches and the dropout. The splits are always the same.
        overwrite: Whether files in a folder that is not ours may be replaced.
    """

    output_dir: Path
    backbone: str | None = "dnafm_tiny"
    epochs: float | None = None
    max_steps: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    seed: int = 42
    overwrite: bool = False


@dataclass(frozen=True)
class QuickstartJob:
    """Data, model and tokenizer, ready to train."""

    settings: QuickstartSettings
    recipe: Recipe
    splits: SpliceJunctions
    model: DNAFMForSequenceClassification
    tokenizer: PreTrainedTokenizerBase


@dataclass(frozen=True)
class Prediction:
    """One classified sequence; the probabilities are in the order of the class ids."""

    sequence: str
    label_name: str
    predicted_name: str
    probabilities: tuple[float, ...]


def prepare(settings: QuickstartSettings) -> QuickstartJob:
    """Check the output folder, load the data and build the model.

    Raises:
        FileExistsError: the output folder holds something else than an earlier quickstart.
        OSError: the backbone is nowhere to be found.
        ValueError: the backbone is another architecture.
    """
    _check_output_dir(settings.output_dir, overwrite=settings.overwrite)
    set_seed(settings.seed)
    splits = load_splice_junctions()
    names = dict(enumerate(splits.label_names))
    labels: dict[str, Any] = {"id2label": names, "label2id": {name: class_id for class_id, name in names.items()}}
    if settings.backbone is None:
        model = DNAFMForSequenceClassification(DNAFMConfig(**FRESH_ARCHITECTURE, **labels))
        tokenizer = DNAFMTokenizer()
    else:
        location = backbone_location(settings.backbone)
        model = DNAFMForSequenceClassification.from_pretrained(location, classifier_pooling=POOLING, **labels)
        tokenizer = DNAFMTokenizer.from_pretrained(location)
    return QuickstartJob(settings, _recipe(settings), splits, model, tokenizer)


def train(job: QuickstartJob) -> float:
    """Fine-tune the model in place with `transformers.Trainer` and return the seconds that it took."""
    trainer = Trainer(
        model=job.model,
        args=_training_arguments(job),
        train_dataset=_examples(job.splits.train, job.tokenizer),
        data_collator=DataCollatorWithPadding(job.tokenizer),
        callbacks=[ProgressBar()],
    )
    trainer.remove_callback(PrinterCallback)
    seconds = trainer.train().metrics["train_runtime"]
    # Take the model's own forward back: Trainer's would go on computing in bfloat16.
    trainer.accelerator.unwrap_model(job.model, keep_fp32_wrapper=False)
    return seconds


def evaluate(job: QuickstartJob) -> dict[str, float]:
    """Return the metrics of `classification_metrics` on the test split."""
    test = job.splits.test
    logits = predict_logits(job.model, job.tokenizer, test.sequences).numpy()
    return compute_metrics((logits, np.array(test.labels)), label_names=job.splits.label_names)


def save(job: QuickstartJob, *, report: dict[str, Any]) -> None:
    """Write the report, the model and its tokenizer to the output folder."""
    output_dir = job.settings.output_dir
    output_dir.mkdir(parents=True, exist_ok=True)
    # First, so that a folder that was left half written is still known as ours.
    (output_dir / REPORT_NAME).write_text(json.dumps(report, indent=2) + "\n")
    job.model.save_pretrained(output_dir)
    job.tokenizer.save_pretrained(output_dir)


def reload(job: QuickstartJob) -> QuickstartJob:
    """Load what `save` wrote, as any program would, and return the job with the loaded model and tokenizer.

    Raises:
        RuntimeError: the loaded model's logits on the test split are not bit for bit those of the trained one.
    """
    output_dir = job.settings.output_dir
    model = AutoModelForSequenceClassification.from_pretrained(output_dir).to(job.model.device)
    tokenizer = AutoTokenizer.from_pretrained(output_dir)
    sequences = job.splits.test.sequences
    difference = predict_logits(model, tokenizer, sequences) - predict_logits(job.model, job.tokenizer, sequences)
    if difference.any():
        raise RuntimeError(
            f"The model loaded from {output_dir} differs from the one that was saved: by up to "
            f"{difference.abs().max():.2e} in the logits of the test split, where 0 is due."
        )
    return replace(job, model=model, tokenizer=tokenizer)


def predict(job: QuickstartJob) -> list[Prediction]:
    """Classify the first test sequence of each class."""
    test, names = job.splits.test, job.splits.label_names
    chosen = test.take([test.labels.index(class_id) for class_id in range(len(names))])
    probabilities = predict_logits(job.model, job.tokenizer, chosen.sequences).softmax(dim=-1)
    return [
        Prediction(sequence, names[label], names[int(row.argmax())], tuple(row.tolist()))
        for sequence, label, row in zip(chosen.sequences, chosen.labels, probabilities, strict=True)
    ]


def predict_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sequences: Sequence[str]) -> Tensor:
    """Classify sequences without dropout or gradients.

    Returns:
        (len(sequences), classes) fp32 logits on the CPU.
    """
    was_training = model.training
    model.eval()
    logits = []
    with torch.inference_mode():
        for start in range(0, len(sequences), INFERENCE_BATCH_SIZE):
            batch = list(sequences[start : start + INFERENCE_BATCH_SIZE])
            inputs = tokenizer(batch, padding=True, return_tensors="pt").to(model.device)
            logits.append(model(**inputs).logits.float().cpu())
    model.train(was_training)
    return torch.cat(logits)


def _check_output_dir(output_dir: Path, *, overwrite: bool) -> None:
    if not output_dir.exists() or overwrite:
        return
    if any(output_dir.iterdir()) and not (output_dir / REPORT_NAME).is_file():
        raise FileExistsError(
            f"{output_dir} is not empty and holds no {REPORT_NAME}, so it is not from an earlier quickstart. "
            "Choose another --output_dir, or replace files in it with --overwrite."
        )


def _recipe(settings: QuickstartSettings) -> Recipe:
    default = FRESH_RECIPE if settings.backbone is None else BACKBONE_RECIPE
    asked = {name: getattr(settings, name) for name in ("epochs", "learning_rate", "batch_size")}
    return replace(default, **{name: value for name, value in asked.items() if value is not None})


def _training_arguments(job: QuickstartJob) -> TrainingArguments:
    try:
        return TrainingArguments(
            output_dir=str(job.settings.output_dir),
            num_train_epochs=job.recipe.epochs,
            max_steps=job.settings.max_steps or -1,
            per_device_train_batch_size=job.recipe.batch_size,
            learning_rate=job.recipe.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=0.1,
            weight_decay=0.1,
            bf16=is_bf16_fast(job.model.device),
            use_cpu=not torch.accelerator.is_available(),
            seed=job.settings.seed,
            save_strategy="no",
            report_to="none",
            logging_steps=20,
            disable_tqdm=True,
            # Pinned memory is for GPUs; torch warns where there is none.
            dataloader_pin_memory=torch.cuda.is_available(),
        )
    except ImportError as error:
        raise ImportError("transformers.Trainer needs accelerate: pip install 'dnafm[train]'") from error


def _examples(table: LabelledSequences, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    input_ids = tokenizer(list(table.sequences))["input_ids"]
    return [{"input_ids": row, "labels": label} for row, label in zip(input_ids, table.labels, strict=True)]
