"""Every task at a size that runs in milliseconds, with labels that fit it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from dnafm.data.labels import TargetScaler
from dnafm.data.task_data import TaskData
from dnafm.tasks import TASKS, Task

TINY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


@dataclass(frozen=True)
class Case:
    """A task and what it takes.

    Attributes:
        task: its name.
        options: of its model.
        n_base_axes: axes of its output and its labels that are bases.
    """

    task: str
    options: dict[str, Any] = field(default_factory=dict)
    n_base_axes: int = 0

    @property
    def has_labels(self) -> bool:
        return self.task not in ("MaskedLM", "Diffusion", "Embed")

    @property
    def n_outputs(self) -> int:
        return self.options.get("n_classes") or self.options.get("n_outputs") or 0

    def build(self, data: TaskData | None = None, **options: Any) -> Task:
        """A fresh model in which no weight is zero, as the biases of a fresh one are."""
        overrides = {**TINY, **options.pop("config_overrides", {})}
        section = {"from_scratch": True, "config_overrides": overrides, **self.options, **options}
        task = TASKS[self.task].from_config({"model": section}, data=data)
        with torch.no_grad():
            for parameter in task.model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        return task

    def labels(self, sequences: list[str], *, seed: int = 0) -> list[Any] | None:
        """Random labels of `dnafm.data`'s form, some of those for bases unknown."""
        generator = np.random.default_rng(seed)
        return [self._label(len(sequence), generator) for sequence in sequences] if self.has_labels else None

    def batch(self, sequences: list[str], **options: Any) -> dict[str, list]:
        """What `collate` takes."""
        labels = self.labels(sequences, **options)
        return {"sequences": sequences} | ({} if labels is None else {"labels": labels})

    def table(self, sequences: list[str], **options: Any):
        """A split of `TaskData`."""
        from datasets import Dataset

        batch = self.batch(sequences, **options)
        names = {"sequences": "sequence", "labels": "labels"}
        ids = {"id": [str(i) for i in range(len(sequences))]}
        return Dataset.from_dict(ids | {names[name]: column for name, column in batch.items()})

    def _label(self, n_bases: int, generator: np.random.Generator) -> Any:
        if self.task == "SequenceRegression":
            return (10 + generator.standard_normal(self.n_outputs)).tolist()
        if self.task == "TokenRegression":
            numbers = 10 + generator.standard_normal((n_bases, self.n_outputs))
            numbers[generator.random(numbers.shape) < 0.2] = np.nan
            return numbers.tolist()
        if self.options.get("multilabel"):
            return generator.integers(0, 2, self.n_outputs).astype(float).tolist()
        ids = generator.integers(0, self.n_outputs, (n_bases,) * self.n_base_axes)
        if self.n_base_axes:
            ids[generator.random(ids.shape) < 0.2] = -100
        return np.maximum(ids, ids.T).tolist()


CASES = {
    "classes": Case("SequenceClassification", {"n_classes": 3}),
    "multilabel": Case("SequenceClassification", {"n_classes": 3, "multilabel": True}),
    "numbers": Case("SequenceRegression", {"n_outputs": 2}),
    "base_classes": Case("TokenClassification", {"n_classes": 3}, 1),
    "base_numbers": Case("TokenRegression", {"n_outputs": 2}, 1),
    "pairs": Case("PairwiseTokenClassification", {"n_classes": 2}, 2),
    "masked_lm": Case("MaskedLM", {}, 1),
    "diffusion": Case("Diffusion", {}, 1),
    "embeddings": Case("Embed", {}, 1),
    "pooled": Case("Embed", {"pooling": "mean"}),
}
LABELLED = [name for name, case in CASES.items() if case.has_labels]
TRAINABLE = [name for name in CASES if CASES[name].task != "Embed"]


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    """All tasks by what they are about."""
    return CASES


@pytest.fixture(params=CASES)
def case(request) -> Case:
    """All tasks, one after the other."""
    return CASES[request.param]


@pytest.fixture(params=LABELLED)
def labelled_case(request) -> Case:
    """Those with labels."""
    return CASES[request.param]


@pytest.fixture(params=TRAINABLE)
def trainable_case(request) -> Case:
    """Those that can be trained."""
    return CASES[request.param]


@pytest.fixture(scope="session")
def random_sequences():
    """Factory of sequences; the shortest and the longest length are given."""

    def draw(n: int, shortest: int = 3, longest: int = 20, *, seed: int = 0) -> list[str]:
        generator = np.random.default_rng(seed)
        lengths = generator.integers(shortest, longest, n, endpoint=True)
        return ["".join(generator.choice(list("ACGT"), length)) for length in lengths]

    return draw


@pytest.fixture(scope="session")
def task_data(random_sequences):
    """Factory of the data of a case: train, validation and test."""

    def build(case: Case, *, n_train: int = 24, n_validation: int = 8, **fields: Any) -> TaskData:
        sizes = {"train": n_train, "validation": n_validation, "test": 8}
        seeds = {"train": 1, "validation": 2, "test": 3}
        splits = {
            name: case.table(random_sequences(size, 12, 30, seed=seeds[name]), seed=seeds[name])
            for name, size in sizes.items()
            if size
        }
        if case.task.endswith("Regression"):
            targets = {"target_names": ("x", "y"), "target_scaler": TargetScaler((10.0, 10.0), (2.0, 0.5))}
            fields = targets | fields
        return TaskData(splits=splits, **fields)

    return build
