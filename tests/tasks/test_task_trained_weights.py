"""What is trained: the head, adapters, everything; and what recomputed activations change."""

import logging
import re

import pytest
import torch

from dnafm.tasks.building import n_adapted_modules

LORA = {"r": 4, "dropout": 0.0}


def gradients(task, case, sequences):
    batch = task.collate(case.batch(sequences))
    labels = batch.pop("labels", None)
    if labels is None:
        labels = batch["input_ids"]
    task.train()
    task.loss(task.outputs(batch), labels).backward()
    return {name: weight.grad for name, weight in task.model.named_parameters() if weight.grad is not None}


def is_of_head(name):
    return name.split(".")[0] in ("classifier", "lm_head")


def test_frozen_trains_the_head_alone(trainable_case, random_sequences):
    """Every weight of the head gets a gradient, tied ones apart, and no other does."""
    task = trainable_case.build(frozen=True)
    expected = {name for name, _ in task.model.named_parameters() if is_of_head(name)}
    assert set(gradients(task, trainable_case, random_sequences(4))) == expected != set()


def test_lora_trains_adapters_and_the_head(trainable_case, random_sequences):
    """The head, the module with tied weights apart, and the two matrices of each of 2 x 2 modules."""
    task = trainable_case.build(lora=LORA)
    found = set(gradients(task, trainable_case, random_sequences(4)))
    assert found == {name for name, weight in task.model.named_parameters() if weight.requires_grad}
    adapters = {name for name in found if "lora_" in name}
    assert len(adapters) == 8
    assert all(re.search(r"self_attn\.[qv]_proj\.lora_[AB]\.default", name) for name in adapters)
    plain = {name for name, _ in trainable_case.build().model.named_parameters() if is_of_head(name)}
    plain -= {"lm_head.decoder.bias"}
    of_head = {name.removeprefix("base_model.model.") for name in found - adapters}
    assert {name.replace("modules_to_save.default.", "").replace("..", ".") for name in of_head} == plain


@pytest.mark.parametrize(
    ("target_modules", "n_modules"),
    [(["q_proj", "v_proj"], 4), (["self_attn.q_proj"], 2), (["layers.1.mlp.up_proj"], 1)],
)
def test_lora_says_how_many_modules_it_adapts(cases, target_modules, n_modules, caplog):
    """By the end of their names, as peft matches them."""
    with caplog.at_level(logging.INFO, logger="transformers.dnafm.tasks.building"):
        task = cases["classes"].build(lora={"r": 4, "target_modules": target_modules})
    assert f"LoRA of rank 4 adapts {n_modules} modules." in [record.getMessage() for record in caplog.records]
    assert n_adapted_modules(task.model) == n_modules


def test_embeddings_can_have_adapters(cases):
    """There is no head to train beside them."""
    task = cases["embeddings"].build(lora=LORA)
    assert all("lora_" in name for name, weight in task.model.named_parameters() if weight.requires_grad)


@pytest.mark.parametrize("lora", [{}, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("name", ["classes", "base_numbers", "masked_lm"])
def test_gradient_checkpointing_changes_no_gradient(cases, random_sequences, name, lora):
    """Bit for bit."""
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        task = cases[name].build(gradient_checkpointing=checkpointing, lora=lora)
        found.append(gradients(task, cases[name], random_sequences(4)))
        assert any(getattr(module, "gradient_checkpointing", False) for module in task.modules()) == checkpointing
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(gradient, found[1][name]) for name, gradient in found[0].items())
