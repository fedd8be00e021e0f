"""Arithmetic of training against what torch counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dnafm import DNAFMConfig, DNAFMForMaskedLM
from dnafm.training.accounting import (
    activation_bytes,
    device_peak_flops,
    forward_flops,
    measured_matmul_flops,
    n_parameters,
    training_flops,
    training_memory,
)
from dnafm.training.pretraining import enable_gradient_checkpointing

SMALL = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        SMALL,
        {**SMALL, "linear_bias": False},
        {**SMALL, "normalization_type": "RMSNorm"},
        {**SMALL, "tie_word_embeddings": False},
    ],
    ids=["7B", "small", "no bias", "RMSNorm", "untied"],
)
def test_parameters_are_those_of_the_model(fields):
    """The formula counts what the model on the meta device has."""
    config = DNAFMConfig(**fields)
    with torch.device("meta"):
        model = DNAFMForMaskedLM(config)
    assert n_parameters(config) == model.num_parameters()
    if not fields:
        assert n_parameters(config) == 7_285_036_304


def test_operations_are_those_that_torch_counts():
    """Forward and backward of sequences of equal length; torch leaves out what is no matrix multiplication."""
    config = DNAFMConfig(**SMALL, attn_implementation="eager")
    model = DNAFMForMaskedLM(config)
    input_ids = torch.randint(5, 9, (2, 50))
    with FlopCounterMode(display=False) as counter:
        logits = model(input_ids=input_ids).logits
    assert counter.get_total_flops() == forward_flops(config, [50, 50])
    with FlopCounterMode(display=False) as counter:
        logits.sum().backward()
    # Nothing flows back into the ids, so the first layer's input is the only product that torch computes and we count.
    assert counter.get_total_flops() == pytest.approx(training_flops(config, [50, 50]) * 2 / 3, rel=1e-3)


def test_attention_grows_with_the_square_of_the_length():
    """A sequence twice as long has twice the operations and those of twice its attention."""
    config = DNAFMConfig(**SMALL)
    extra = forward_flops(config, [200]) - forward_flops(config, [100, 100])
    assert extra == 4 * 64 * 3 * (200**2 - 2 * 100**2)


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_activations_are_those_that_autograd_keeps(gradient_checkpointing):
    """Bytes of all tensors saved for backward, each storage once and weights not at all, are within 6 percent."""
    config = DNAFMConfig(**SMALL, max_position_embeddings=300)
    model = DNAFMForMaskedLM(config).train()
    if gradient_checkpointing:
        enable_gradient_checkpointing(model)
    saved = {}

    def pack(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    input_ids = torch.randint(5, 9, (2, 250))
    kept = [*model.parameters(), *model.buffers()]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(input_ids=input_ids, labels=input_ids).loss
    if gradient_checkpointing:
        inside = activation_bytes(config, 500, gradient_checkpointing=True, bytes_per_number=4)
        # The layer that is computed anew is not there before the backward pass.
        layer = (8 * 64 + 4 * 160) * 4 + 4 * (4 + 4)
        expected = inside - 500 * layer
    else:
        expected = activation_bytes(config, 500, gradient_checkpointing=False, bytes_per_number=4)
    for tensor in kept:
        saved.pop(tensor.untyped_storage().data_ptr(), None)
    assert sum(saved.values()) == pytest.approx(expected, rel=0.06)
    assert torch.isfinite(loss)


def test_memory_is_shared_between_devices():
    """Twice the devices halve what is sharded, and nothing else; the total is the sum."""
    config = DNAFMConfig(**SMALL)
    one, two = (training_memory(config, n_devices=n, n_tokens=100, gradient_checkpointing=True) for n in (1, 2))
    assert one.optimizer == 8 * n_parameters(config) == 2 * two.optimizer
    assert one.weights - two.weights == one.gradients - two.gradients == 2 * n_parameters(config)
    assert one.activations == two.activations
    assert one.total == one.weights + one.gradients + one.optimizer + one.activations


def test_peak_is_known_for_gpus_and_measured_elsewhere(monkeypatch):
    """An H100 of either form has its own peak, a processor has none, and measuring gives a rate."""
    assert device_peak_flops(torch.device("cpu")) is None
    for name, peak in (("NVIDIA H100 80GB HBM3", 989.4e12), ("NVIDIA H100 PCIe", 756e12), ("Another", None)):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        assert device_peak_flops(torch.device("cuda")) == peak
    assert measured_matmul_flops(torch.device("cpu"), torch.float32, size=64, rounds=3) > 1e6
