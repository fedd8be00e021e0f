"""Tasks: a model with its tokenizer, from a configuration to predictions.

model = SequenceClassification.from_config({"model.backbone": "dnafm_tiny", "model.n_classes": 2})
logits = model(model.collate({"sequences": ["ACGT", "ACGT"]}))
"""

from dnafm.tasks.base import Task
from dnafm.tasks.diffusion import Diffusion
from dnafm.tasks.sequence_tasks import SequenceClassification, SequenceRegression
from dnafm.tasks.token_tasks import PairwiseTokenClassification, TokenClassification, TokenRegression
from dnafm.tasks.unlabelled_tasks import Embed, MaskedLM

TASKS: dict[str, type[Task]] = {
    task.__name__: task
    for task in (
        SequenceClassification,
        SequenceRegression,
        TokenClassification,
        TokenRegression,
        PairwiseTokenClassification,
        MaskedLM,
        Diffusion,
        Embed,
    )
}

__all__ = [
    "TASKS",
    "Diffusion",
    "Embed",
    "MaskedLM",
    "PairwiseTokenClassification",
    "SequenceClassification",
    "SequenceRegression",
    "Task",
    "TokenClassification",
    "TokenRegression",
]
