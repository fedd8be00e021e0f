"""Backbones by name, and the one that comes with the package."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer

from dnafm import DNAFMForMaskedLM
from dnafm.checkpoints import BACKBONES, backbone_location

MOST_BYTES = 12_000_000


@pytest.fixture(scope="module")
def tiny() -> str:
    return backbone_location("dnafm_tiny")


def test_names_lead_to_folders_and_hub_ids():
    """Released weights are on the Hub, the tiny ones in the package, and anything else is its own place."""
    assert backbone_location("dnafm") == "genbio-ai/AIDO.DNA-7B"
    assert backbone_location("dnafm_300m") == "genbio-ai/AIDO.DNA-300M"
    assert Path(backbone_location("dnafm_tiny"), "model.safetensors").is_file()
    assert backbone_location("someone/model") == "someone/model"
    assert set(BACKBONES) == {"dnafm", "dnafm_300m", "dnafm_tiny"}


def test_bundled_checkpoint_is_small_and_told_of(tiny):
    """Weights, config, tokenizer and card together stay below 12 MB."""
    files = {path.name: path.stat().st_size for path in Path(tiny).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(files)
    assert sum(files.values()) < MOST_BYTES


def test_bundled_checkpoint_loads_through_the_auto_classes(tiny):
    """By path, in float32, with every weight."""
    model, loading = AutoModelForMaskedLM.from_pretrained(tiny, output_loading_info=True)
    assert isinstance(model, DNAFMForMaskedLM)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert model.dtype == torch.float32
    assert (
        AutoConfig.from_pretrained(tiny).max_position_embeddings
        == AutoTokenizer.from_pretrained(tiny).model_max_length
    )
    assert AutoModel.from_pretrained(tiny).config.hidden_size == model.config.hidden_size
