"""A small masked language model in a folder, and predictors of it."""

import pytest
import torch

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    """A folder with a masked language model."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_model(DNAFMForMaskedLM).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def predictor_of(checkpoint):
    """Factory of predictors by strand, with batches of a few windows."""
    model = DNAFMForMaskedLM.from_pretrained(checkpoint).eval()
    tokenizer = DNAFMTokenizer(model_max_length=64)
    return lambda strand: BasePredictor(model, tokenizer, strand=strand, max_tokens=100)
