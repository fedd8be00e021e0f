"""What tools that know safetensors and no model read from a checkpoint."""

import json
import struct

import torch
from safetensors import safe_open
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from dnafm import DNAFMForMaskedLM


def test_names_shapes_and_dtypes_are_told_without_loading(tiny_model, tmp_path):
    """Each weight under its parameter name, tied ones once, and the metadata that says who wrote it."""
    model = tiny_model(DNAFMForMaskedLM).bfloat16()
    model.save_pretrained(tmp_path)
    expected = {name: list(weight.shape) for name, weight in model.named_parameters()}
    with safe_open(tmp_path / "model.safetensors", framework="pt") as opened:
        assert opened.metadata() == {"format": "pt"}
        assert {name: opened.get_slice(name).get_shape() for name in opened.keys()} == expected  # noqa: SIM118
        assert {opened.get_slice(name).get_dtype() for name in expected} == {"BF16"}
        rows = opened.get_slice("model.layers.1.mlp.down_proj.weight")[3:5]
    assert torch.equal(rows, model.model.layers[1].mlp.down_proj.weight[3:5])


def test_header_alone_counts_the_parameters(tiny_model, tmp_path):
    """What the Hub shows as the size of a model is read from the first bytes of the files."""
    model = tiny_model(DNAFMForMaskedLM)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    total = 0
    for path in tmp_path.glob("*.safetensors"):
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        header.pop("__metadata__")
        total += sum(torch.Size(entry["shape"]).numel() for entry in header.values())
    assert total == model.num_parameters()
    index = json.loads((tmp_path / SAFE_WEIGHTS_INDEX_NAME).read_text())
    assert index["metadata"]["total_size"] == 4 * total
    assert index["weight_map"].keys() == dict(model.named_parameters()).keys()
