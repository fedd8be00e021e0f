"""Shared by all tests: seeds, and DNA FM at a size that runs in milliseconds."""

import pytest
import torch
from transformers.utils import logging

from dnafm import (
    DNAFMConfig,
    DNAFMForMaskedLM,
    DNAFMForPairwiseTokenClassification,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
)

HEADS = (
    DNAFMForMaskedLM,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMForPairwiseTokenClassification,
)
TINY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "num_labels": 3,
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """At this size threads cost far more than they compute, above all on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded():
    """Every test draws the same random numbers, alone or among others."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _verbosity_of_transformers():
    """What a test makes transformers say or keep to itself ends with it."""
    verbosity, had_progress_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    yield
    logging.set_verbosity(verbosity)
    if had_progress_bars:
        logging.enable_progress_bar()


@pytest.fixture(scope="session")
def tiny_config():
    """Factory of configs with 2 layers of width 32; keyword arguments override fields."""

    def build(**overrides) -> DNAFMConfig:
        return DNAFMConfig(**{**TINY, **overrides})

    return build


@pytest.fixture(scope="session")
def tiny_model(tiny_config):
    """Factory of models in evaluation mode, with random biases and norms, which fresh models do not have."""

    def build(model_class=DNAFMModel, **overrides):
        model = model_class(tiny_config(**overrides)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
        return model

    return build


@pytest.fixture(params=(DNAFMModel, *HEADS), ids=lambda model_class: model_class.__name__)
def model_class(request):
    """The encoder and its heads, one after the other."""
    return request.param


@pytest.fixture(params=HEADS, ids=lambda model_class: model_class.__name__)
def head_class(request):
    """The heads, one after the other."""
    return request.param


@pytest.fixture
def batch():
    """Three rows of ids: full, padded right, padded left."""
    attention_mask = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [0] * 4 + [1] * 5])
    input_ids = torch.randint(5, 9, attention_mask.shape) * attention_mask
    return {"input_ids": input_ids, "attention_mask": attention_mask}


@pytest.fixture
def labels_for(batch):
    """Factory of labels for `batch`, as the head of that class takes them."""

    def build(head_class):
        if head_class is DNAFMForSequenceClassification:
            return torch.tensor([0, 2, 1])
        padding = batch["attention_mask"] == 0
        if head_class is DNAFMForPairwiseTokenClassification:
            of_tokens = torch.randint(0, 3, padding.shape)
            labels = torch.maximum(of_tokens[:, :, None], of_tokens[:, None])
            return labels.masked_fill(padding[:, :, None] | padding[:, None], -100)
        highest = 16 if head_class is DNAFMForMaskedLM else 3
        labels = torch.randint(0, highest, batch["input_ids"].shape)
        return labels.masked_fill(padding, -100)

    return build
