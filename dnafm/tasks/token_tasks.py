"""Tasks with labels for bases, and for pairs of bases."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dnafm import DNAFMForPairwiseTokenClassification, DNAFMForTokenClassification
from dnafm.data.strands import flip_tokens
from dnafm.data.table_options import PairwiseTokenClassificationTable, TokenClassificationTable, TokenRegressionTable
from dnafm.modeling_dnafm import IGNORED_LABEL
from dnafm.tasks.base import FlatArrays, Task
from dnafm.tasks.labels import (
    check_base_labels,
    check_squares,
    class_ids,
    output_rows,
    padded_labels,
    softmax,
)
from dnafm.tasks.options import (
    PairwiseTokenClassificationOptions,
    TokenClassificationOptions,
    TokenRegressionOptions,
)
from dnafm.tasks.output_kinds import ClassTask, NumberTask
from dnafm.tasks.target_scaling import scaled


class _TokenTask(Task):
    """What tasks with one output for each token share."""

    n_base_axes = 1

    def as_forward_strand(self, outputs: Tensor, input_ids: Tensor) -> Tensor:
        """Bring outputs of the other strand into the order of the tokens of this one."""
        return flip_tokens(outputs, input_ids)

    def flip_label(self, label: Any) -> Any:
        """Return the labels of the bases from the last to the first."""
        return label[::-1]

    def row_outputs(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> list[np.ndarray]:
        """Return (bases, outputs) float32 of each sequence."""
        n_bases = (batch["attention_mask"].sum(dim=1) - self.n_special_tokens).tolist()
        values = outputs.float().cpu().numpy()
        return [row[1 : 1 + n] for row, n in zip(values, n_bases, strict=True)]


class TokenClassification(_TokenTask, ClassTask):
    """Classes of bases.

    `collate` takes a list of class ids or names for each sequence, one for each base and -100 where none counts; it
    returns labels (batch, length), -100 at special tokens and padding. The model returns logits,
    (batch, length, n_classes), those of base i at token i + 1.
    """

    options_type = TokenClassificationOptions
    table_type = TokenClassificationTable
    model_class = DNAFMForTokenClassification
    options: TokenClassificationOptions

    def collate_labels(self, labels: list[Any], sequences: list[str], width: int) -> Tensor:
        """Return (batch, width) int64."""
        check_base_labels(labels, sequences)
        ids = [class_ids(row, self.config) for row in labels]
        return padded_labels(ids, width, fill=IGNORED_LABEL, dtype=torch.int64)

    def flat_arrays(self, outputs: Sequence[np.ndarray], labels: Sequence[Any]) -> FlatArrays:
        """Return class ids, (bases,), and probabilities, (bases, n_classes), of the bases that count."""
        ids = np.concatenate([np.asarray(class_ids(row, self.config)) for row in labels])
        groups = np.repeat(np.arange(len(labels)), [len(row) for row in labels])
        counts = ids != IGNORED_LABEL
        return FlatArrays(ids[counts], softmax(np.concatenate(list(outputs))[counts]), groups[counts])

    def prediction_columns(self, outputs: Sequence[np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return `prediction`, a name for each base, and `probability_<name>`, a number for each base."""
        names, probabilities = self.label_names, [softmax(row).astype(np.float32) for row in outputs]
        columns: dict[str, Any] = {"prediction": [[names[i] for i in row.argmax(axis=1)] for row in probabilities]}
        for class_id, name in enumerate(names):
            columns[f"probability_{name}"] = [row[:, class_id] for row in probabilities]
        return columns


class TokenRegression(_TokenTask, NumberTask):
    """Numbers for bases, such as coverage tracks.

    `collate` takes a list of numbers for each sequence, one for each base, or one list of `n_outputs` numbers for each
    base, NaN where none counts; it returns labels (batch, length, n_outputs). The model returns
    (batch, length, n_outputs) in the units of the data, those of base i at token i + 1.
    """

    options_type = TokenRegressionOptions
    table_type = TokenRegressionTable
    model_class = DNAFMForTokenClassification
    options: TokenRegressionOptions

    def collate_labels(self, labels: list[Any], sequences: list[str], width: int) -> Tensor:
        """Return (batch, width, n_outputs) float32, standardised as the loss wants them."""
        check_base_labels(labels, sequences)
        rows = [output_rows(row, self.config, where=f"Sequence {i}: base") for i, row in enumerate(labels)]
        return scaled(padded_labels(rows, width, fill=float("nan"), dtype=torch.float32), self.config)

    def flat_arrays(self, outputs: Sequence[np.ndarray], labels: Sequence[Any]) -> FlatArrays:
        """Return targets and predictions, (bases, n_outputs) in the units of the data."""
        targets = np.concatenate([np.asarray(row, dtype=np.float64).reshape(len(row), -1) for row in labels])
        groups = np.repeat(np.arange(len(labels)), [len(row) for row in labels])
        return FlatArrays(targets, np.concatenate(list(outputs)), groups)

    def prediction_columns(self, outputs: Sequence[np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return `prediction`, or `prediction_<name>` of each track: a number for each base."""
        names = self.target_names
        titles = ["prediction"] if len(names) == 1 else [f"prediction_{name}" for name in names]
        return {title: [row[:, track] for row in outputs] for track, title in enumerate(titles)}


class PairwiseTokenClassification(ClassTask):
    """Classes of pairs of bases, such as contacts.

    `collate` takes a square of class ids for each sequence, -100 where none counts; it returns labels
    (batch, length, length). The model returns logits (batch, length, length, n_classes), which do not change when the
    two bases change places; those of bases i and j are at tokens i + 1 and j + 1.
    """

    options_type = PairwiseTokenClassificationOptions
    table_type = PairwiseTokenClassificationTable
    model_class = DNAFMForPairwiseTokenClassification
    n_base_axes = 2
    options: PairwiseTokenClassificationOptions

    def as_forward_strand(self, outputs: Tensor, input_ids: Tensor) -> Tensor:
        """Bring outputs of the other strand into the order of the tokens of this one, along both axes."""
        return flip_tokens(flip_tokens(outputs, input_ids).transpose(1, 2), input_ids).transpose(1, 2)

    def flip_label(self, label: Any) -> Any:
        """Return the square turned by half a circle."""
        return np.asarray(label)[::-1, ::-1]

    def collate_labels(self, labels: list[Any], sequences: list[str], width: int) -> Tensor:
        """Return (batch, width, width) int64."""
        check_base_labels(labels, sequences)
        check_squares(labels)
        squares = torch.full((len(labels), width, width), IGNORED_LABEL)
        for square, label in zip(squares, labels, strict=True):
            n_bases = len(label)
            square[1 : 1 + n_bases, 1 : 1 + n_bases] = torch.as_tensor(np.array(label, dtype=np.int64))
        return squares

    def row_outputs(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> list[np.ndarray]:
        """Return (bases, bases, n_classes) float32 of each sequence."""
        n_bases = (batch["attention_mask"].sum(dim=1) - self.n_special_tokens).tolist()
        values = outputs.float().cpu().numpy()
        return [row[1 : 1 + n, 1 : 1 + n] for row, n in zip(values, n_bases, strict=True)]

    def flat_arrays(self, outputs: Sequence[np.ndarray], labels: Sequence[Any]) -> FlatArrays:
        """Return class ids, (pairs,), and probabilities, (pairs, n_classes), of the pairs that count, i before j."""
        ids, scores = [], []
        for row, label in zip(outputs, labels, strict=True):
            first, second = np.triu_indices(len(row), k=1)
            of_pairs = np.asarray(label, dtype=np.int64)[first, second]
            counts = of_pairs != IGNORED_LABEL
            ids.append(of_pairs[counts])
            scores.append(row[first, second][counts])
        groups = np.repeat(np.arange(len(ids)), [len(of_row) for of_row in ids])
        return FlatArrays(np.concatenate(ids), softmax(np.concatenate(scores)), groups)

    def prediction_columns(self, outputs: Sequence[np.ndarray], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return `pair_first`, `pair_second`, `pair_class` and `pair_probability`, lists of the same length.

        They name the pairs, 0-based and the first before the second, whose class is not the one of id 0, which is
        "no contact" by convention.
        """
        columns: dict[str, list] = {name: [] for name in ("first", "second", "class", "probability")}
        for row in outputs:
            probabilities = np.triu(np.ones(row.shape[:2]), k=1)[..., None] * softmax(row)
            first, second = np.nonzero(probabilities.argmax(axis=-1))
            found = probabilities[first, second]
            columns["first"].append(first)
            columns["second"].append(second)
            columns["class"].append([self.label_names[i] for i in found.argmax(axis=-1)])
            columns["probability"].append(found.max(axis=-1, initial=0).astype(np.float32))
        return {f"pair_{name}": column for name, column in columns.items()}
