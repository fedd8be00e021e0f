"""The shortest programs that users write."""

import pytest
import torch

from dnafm import DNAFMConfig


def test_embeddings():
    """One vector for each of [CLS] A C G T [EOS]."""
    from dnafm.tasks import Embed

    model = Embed.from_config({"model.backbone": "dnafm_tiny"})
    collated_batch = model.collate({"sequences": ["ACGT", "ACGT"]})
    embedding = model(collated_batch)
    assert embedding.shape == (2, 6, model.config.hidden_size)


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("SequenceClassification", {"model.n_classes": 2}, (2, 2)),
        ("TokenClassification", {"model.n_classes": 3}, (2, 6, 3)),
        ("SequenceRegression", {}, (2, 1)),
        ("TokenRegression", {}, (2, 6, 1)),
        ("PairwiseTokenClassification", {}, (2, 6, 6, 2)),
        ("MaskedLM", {}, (2, 6, 16)),
        ("Diffusion", {}, (2, 6, 16)),
    ],
)
def test_outputs_of_a_backbone_by_name(name, options, shape):
    """Logits, or one number where none is asked for; those of equal sequences are equal."""
    from dnafm import tasks

    model = getattr(tasks, name).from_config({"model.backbone": "dnafm_tiny", **options})
    logits = model(model.collate({"sequences": ["ACGT", "ACGT"]}))
    assert logits.shape == shape
    assert torch.equal(torch.argmax(logits, dim=-1)[0], torch.argmax(logits, dim=-1)[1])
    torch.testing.assert_close(logits[0], logits[1])


def test_every_public_name_is_there():
    """The tasks by name, and the names of the module."""
    from dnafm import tasks

    assert {*tasks.__all__} == {"TASKS", "Task", *tasks.TASKS}
    for name, task in tasks.TASKS.items():
        assert getattr(tasks, name) is task
        assert isinstance(task.from_config().config, DNAFMConfig)
