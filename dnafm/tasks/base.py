"""What all tasks have in common: building, reading batches, both strands, saving and loading."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dnafm.checkpoints.backbones import backbone_location
from dnafm.configuration_dnafm import DNAFMConfig
from dnafm.data.labels import TargetScaler
from dnafm.data.strands import other_strand
from dnafm.data.table_options import TableOptions
from dnafm.genomics.sequences import reverse_complement
from dnafm.modeling_dnafm import supervised_loss
from dnafm.tasks.building import build_config, build_model, build_tokenizer
from dnafm.tasks.configuration import options_from, read_config
from dnafm.tasks.evaluating import evaluate_rows
from dnafm.tasks.fitting import FitResult, fit, training_arguments
from dnafm.tasks.options import ModelOptions
from dnafm.tasks.predicting import predict_chunks
from dnafm.tasks.saving import save_model, save_options, saved_options, whole_model
from dnafm.tokenization_dnafm import DNAFMTokenizer

if TYPE_CHECKING:
    import pyarrow

    from dnafm.data.task_data import TaskData

# What may stand beside the sections of a configuration.
TOP_LEVEL_KEYS = ("early_stopping_patience",)
TaskT = TypeVar("TaskT", bound="Task")


@dataclass(frozen=True)
class FlatArrays:
    """Labels and scores of all sequences, or of all their bases that count.

    Attributes:
        labels: (n, ...).
        scores: (n, ...), probabilities or predicted numbers.
        groups: (n,), the number of the row that each comes from.
    """

    labels: np.ndarray
    scores: np.ndarray
    groups: np.ndarray


class Task(nn.Module, ABC):
    """A model with its tokenizer, and what it is for.

    Attributes:
        model: the Hub class, or a `peft.PeftModel` around it.
        tokenizer: makes its inputs.
        options: what it was built from.
        options_type: class of the options.
        table_type: class of the options of the data that it is trained on.
        model_class: the Hub class.
    """

    options_type: ClassVar[type[ModelOptions]]
    table_type: ClassVar[type[TableOptions]]
    model_class: ClassVar[type[PreTrainedModel]]
    # Whose metrics are those of `dnafm.training.metric_names`, and which of them selects the model.
    metric_kind: ClassVar[str]
    selection_metric: ClassVar[str]
    # Whether `labels` come with the data; otherwise they are made from the sequences.
    needs_labels: ClassVar[bool] = True
    # What of a batch the model reads.
    input_names: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")
    # Axes of a sequence's output that are its bases.
    n_base_axes: ClassVar[int] = 0

    def __init__(self, model: Any, tokenizer: DNAFMTokenizer, options: ModelOptions):
        super().__init__()
        self.model, self.tokenizer, self.options = model, tokenizer, options
        self.eval()

    @classmethod
    def from_config(
        cls: type[TaskT], source: Mapping[str, Any] | str | Path | None = None, *, data: "TaskData | None" = None
    ) -> TaskT:
        """Build the task.

        Args:
            source: Options by dotted keys (`{"model.backbone": "dnafm_tiny"}`), nested
                (`{"model": {"backbone": "dnafm_tiny"}}`), or the path of a YAML file; other sections than `model` are
                not looked at.
            data: What it will be trained on, from which it takes the names of the classes, and the number of outputs
                where the options leave it open.

        Raises:
            ValueError: an unknown key or a wrong value; the message suggests the nearest one.
            OSError: the backbone is nowhere to be found.
        """
        section = dict(read_config(source or {}, top_level=TOP_LEVEL_KEYS).get("model", {}))
        name = section.pop("name", cls.__name__)
        if name != cls.__name__:
            raise ValueError(f"The configuration is that of the task {name}, not of {cls.__name__}.")
        return cls.from_options(options_from(cls.options_type, section, prefix="model"), data=data)

    @classmethod
    def from_options(
        cls: type[TaskT], options: ModelOptions, *, data: "TaskData | None" = None, fresh_head: bool = True
    ) -> TaskT:
        """Build the task from its options; the other arguments are those of `from_config` and `build_model`."""
        config = build_config(options, {})
        config = build_config(options, cls.head_fields(options, config, data))
        model = build_model(cls.model_class, options, config, fresh_head=fresh_head)
        return cls(model, build_tokenizer(options, config), options)

    @classmethod
    def from_pretrained(cls: type[TaskT], folder: str | Path, **options: Any) -> TaskT:
        """Load what `save_pretrained` wrote, or any checkpoint of this kind.

        Args:
            folder: Path or Hub id.
            **options: Options that differ from those that it was trained with, such as `attn_implementation`.

        Raises:
            ValueError: an unknown option, or the checkpoint has no head of this kind.
            OSError: there is no such checkpoint.
        """
        saved = saved_options(backbone_location(str(folder)))
        # What made the weights is done; they are loaded as they are.
        for name in ("from_scratch", "lora", "frozen", "config_overrides", "gradient_checkpointing"):
            saved.get("model", {}).pop(name, None)
        # Those of another task's head are not for this one.
        is_own = saved.get("task", cls.__name__) == cls.__name__
        known = {field.name for field in fields(cls.options_type if is_own else ModelOptions)}
        kept = {name: value for name, value in saved.get("model", {}).items() if name in known}
        section = {**kept, "backbone": str(folder), **options}
        return cls.from_options(options_from(cls.options_type, section, prefix="model"), fresh_head=False)

    @classmethod
    def head_fields(cls, options: ModelOptions, config: DNAFMConfig, data: "TaskData | None") -> dict[str, Any]:
        """Return the fields of the config that are the head's: labels, kind of problem, pooling."""
        return {}

    @classmethod
    def labelled_table(cls, options: ModelOptions, table: TableOptions) -> TableOptions:
        """Return how data are read under options of the model, which may say what their labels are."""
        return table

    @property
    def target_scaler(self) -> TargetScaler | None:
        """Mean and deviation that the labels of the training data had, if they are standardised."""
        scaler = getattr(self.config, "target_scaler", None)
        return TargetScaler(tuple(scaler["mean"]), tuple(scaler["std"])) if scaler else None

    @property
    def config(self) -> DNAFMConfig:
        """That of the model."""
        return self.model.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def max_bases(self) -> int:
        """Bases of the longest input."""
        return self.tokenizer.model_max_length - self.n_special_tokens

    @property
    def n_special_tokens(self) -> int:
        """Tokens of an input beside its bases."""
        return self.tokenizer.num_special_tokens_to_add()

    def collate(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, Tensor]:
        """Make the model's inputs.

        Args:
            batch: `sequences`, and optionally `labels`, one for each; see the class for their form.

        Returns:
            `input_ids` and `attention_mask`, (batch, length) int64, padded on the right; `labels`, if there are any.

        Raises:
            ValueError: a sequence is empty or longer than the model reads, or labels do not fit it.
        """
        sequences = _several(batch["sequences"])
        self.check_lengths(sequences)
        encoded = self.tokenizer(sequences, padding=True, padding_side="right", return_tensors="pt")
        inputs = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
        if batch.get("labels") is not None:
            labels = list(batch["labels"])
            if len(labels) != len(sequences):
                raise ValueError(f"There are {len(sequences)} sequences and {len(labels)} labels; one each is due.")
            inputs["labels"] = self.collate_labels(labels, sequences, inputs["input_ids"].shape[1])
        return inputs

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Run the model on what `collate` returned; see the class for the shape of the output.

        Labels are not looked at. With `reverse_complement="average"`, the outputs of both strands are averaged in
        evaluation mode, those for bases place by place.
        """
        inputs = {name: batch[name].to(self.device) for name in self.input_names if name in batch}
        outputs = self.outputs(inputs)
        if self.options.reverse_complement != "average" or self.training:
            return outputs
        flipped = self.outputs({**inputs, "input_ids": other_strand(inputs["input_ids"])})
        return (outputs + self.as_forward_strand(flipped, inputs["input_ids"])) / 2

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what the model says about one strand."""
        return self.model(**inputs).logits

    def as_forward_strand(self, outputs: Tensor, input_ids: Tensor) -> Tensor:
        """Bring outputs of the other strand into the order of the tokens of this one; here they have none."""
        return outputs

    @abstractmethod
    def collate_labels(self, labels: list[Any], sequences: list[str], width: int) -> Tensor:
        """Return the labels of a batch as a tensor.

        Args:
            labels: one for each sequence, of `dnafm.data`'s form.
            sequences: of the batch.
            width: tokens of the longest one, special tokens included.
        """

    def check_lengths(self, sequences: Iterable[str], *, first_row: int = 0) -> None:
        """Check that the model can read sequences.

        Args:
            sequences: of consecutive rows.
            first_row: number of the first one, for errors.

        Raises:
            ValueError: a sequence is empty or longer than the model reads.
        """
        for row, sequence in enumerate(sequences, start=first_row):
            if not sequence:
                raise ValueError(f"Sequence {row} is empty; it must have at least one base.")
            n_tokens = self._n_tokens(sequence)
            if n_tokens > self.tokenizer.model_max_length:
                raise ValueError(
                    f"Sequence {row} has {n_tokens} tokens, and the model reads {self.tokenizer.model_max_length}. "
                    "Cut it, or choose what to keep with data.too_long."
                )

    def flip_label(self, label: Any) -> Any:
        """Return the label of a sequence's reverse complement; here it is the same."""
        return label

    def training_batch(self, rows: Sequence[Mapping[str, Any]], epoch: int, *, seed: int) -> dict[str, Tensor]:
        """Make a batch of training data; what is random about a row depends on seed, epoch and its number alone.

        Args:
            rows: `sequence`, `labels`, and `sample_index`, the number of the row.
            epoch: passes over the data before this one.
            seed: of the random changes.
        """
        if self.options.reverse_complement != "none":
            rows = [self._on_random_strand(row, epoch, seed=seed) for row in rows]
        return self.collate(_columns(rows))

    def evaluation_batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a batch of rows with `sequence` and `sample_index`, without what is random in training."""
        return self.collate(_columns(rows))

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch's outputs, a scalar in float32."""
        return supervised_loss(outputs, labels, config=self.config)

    def row_outputs(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> list[np.ndarray]:
        """Return what the outputs of a batch say about each of its sequences: float32, padding removed."""
        return list(outputs.float().cpu().numpy())

    def metrics(self, outputs: Sequence[np.ndarray], labels: Sequence[Any], *, details: bool) -> dict[str, float]:
        """Return the metrics of a split.

        Args:
            outputs: what `row_outputs` returned, of each row.
            labels: of each row; empty where the task makes them itself.
            details: whether to tell classes and outputs apart, too.
        """
        flat = self.flat_arrays(outputs, labels)
        return self.report(flat.labels, flat.scores, details=details)

    @abstractmethod
    def flat_arrays(self, outputs: Sequence[np.ndarray], labels: Sequence[Any]) -> "FlatArrays":
        """Return what the metrics of a split are computed from; the arguments are those of `metrics`."""

    @abstractmethod
    def report(self, labels: np.ndarray, scores: np.ndarray, *, details: bool) -> dict[str, float]:
        """Return the metrics of flat arrays."""

    @abstractmethod
    def prediction_columns(self, outputs: Sequence[np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the columns of a table of predictions, one value for each row."""

    def _on_random_strand(self, row: Mapping[str, Any], epoch: int, *, seed: int) -> Mapping[str, Any]:
        generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, epoch, row["sample_index"]]))
        if generator.random() < 0.5:
            return row
        flipped = {**row, "sequence": reverse_complement(row["sequence"])}
        return {**flipped, "labels": self.flip_label(row["labels"])} if "labels" in row else flipped

    def _n_tokens(self, sequence: str) -> int:
        # Special tokens that are written out are one token each.
        if "[" in sequence:
            return len(self.tokenizer(sequence, verbose=False)["input_ids"])
        return len(sequence) + self.n_special_tokens

    def save_pretrained(self, folder: str | Path, *, state_dict: Mapping[str, Tensor] | None = None) -> None:
        """Write an ordinary checkpoint, which `from_pretrained` of the Auto class loads, and the task's options.

        LoRA is merged into the weights, and the adapters alone are in the subfolder `adapter`. Where the weights are
        quantized, they cannot be merged: then the folder is that of the adapters, which loads with peft.

        Args:
            folder: Is made if it is not there.
            state_dict: The weights, whole, where those of the model are shards.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        model = (
            self.model if state_dict is None else whole_model(self.model_class, self.options, self.config, state_dict)
        )
        save_model(model, folder)
        self.tokenizer.save_pretrained(folder)
        save_options(folder, type(self).__name__, self.options)

    def fit(
        self,
        data: "TaskData",
        *,
        output_dir: str | Path,
        max_tokens_per_batch: int | None = None,
        patience: int | None = None,
        **trainer: Any,
    ) -> FitResult:
        """Train, keep the weights of the best evaluation, and save them.

        Args:
            data: from `dnafm.data.load_task_data`, with a `train` split and one for `validation`.
            output_dir: of the checkpoint.
            max_tokens_per_batch: tokens of a batch, in place of `per_device_train_batch_size`.
            patience: evaluations without a better one after which training stops.
            **trainer: fields of `transformers.TrainingArguments`.
        """
        arguments = training_arguments(self, data, {"output_dir": str(output_dir), **trainer})
        return fit(self.to(arguments.device), data, arguments, max_tokens=max_tokens_per_batch, patience=patience)

    def evaluate(
        self, data: "TaskData", split: str = "test", *, max_tokens_per_batch: int | None = None, bf16: bool = False
    ) -> dict[str, float]:
        """Return the metrics of a split, those of single classes and outputs included.

        Raises:
            ValueError: the data have no such split.
        """
        if split not in data.splits:
            raise ValueError(f"The data have the splits {sorted(data.splits)}; {split!r} is none of them.")
        rows = data.splits[split]
        return evaluate_rows(self, rows, max_tokens=max_tokens_per_batch, bf16=bf16, details=True).metrics

    def predict(
        self,
        rows: Iterable[Mapping[str, Any] | str],
        *,
        max_tokens_per_batch: int | None = None,
        bf16: bool = False,
    ) -> "pyarrow.Table":
        """Predict for sequences.

        Args:
            rows: sequences, or mappings with `sequence` and further columns, which are kept.
            max_tokens_per_batch: tokens of a batch.
            bf16: whether to compute in bfloat16.

        Returns:
            The columns of the rows and those of `prediction_columns`, in the order of the rows.

        Raises:
            ValueError: there is no row, a sequence is empty or longer than the model reads, or a column has the name
                of a predicted one.
        """
        import pyarrow

        from dnafm.data.prediction_tables import prediction_table

        if isinstance(rows, str):
            raise ValueError(f"{_shown(rows)} is one string; a list of sequences is due.")
        stream = ({"sequence": row} if isinstance(row, str) else row for row in rows)
        chunks = predict_chunks(self, stream, max_tokens=max_tokens_per_batch, bf16=bf16)
        tables = [prediction_table(chunk.columns) for chunk in chunks]
        if not tables:
            raise ValueError("There is no sequence; at least one is due.")
        return pyarrow.concat_tables(tables)

    def with_options(self: TaskT, **changes: Any) -> TaskT:
        """Return the same model under other options of reading, such as `reverse_complement`."""
        return type(self)(self.model, self.tokenizer, replace(self.options, **changes))


def _several(sequences: Sequence[str]) -> list[str]:
    if isinstance(sequences, str):
        raise ValueError(f"sequences is the string {_shown(sequences)}; a list of sequences is due.")
    if not len(sequences):
        raise ValueError("sequences is empty; a batch has at least one sequence.")
    return list(sequences)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 20 else f"{text[:20]}...")


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list]:
    columns = {"sequences": [row["sequence"] for row in rows]}
    if "labels" in rows[0]:
        columns["labels"] = [row["labels"] for row in rows]
    return columns
