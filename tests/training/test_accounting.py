"""Arithmetic of training against what torch counts."""

from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dnafm import DNAFMConfig, DNAFMForMaskedLM
from dnafm.environment import measured_matmul_flops
from dnafm.kernels_dnafm import flash_attention_2_forward
from dnafm.modeling_dnafm import DNAFMLayer
from dnafm.training.accounting import (
    activation_bytes,
    device_peak_flops,
    forward_flops,
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


@pytest.mark.parametrize(
    ("batch_size", "attention_outputs"), [(4, 1), (1, 2)], ids=["full windows", "packed into one row"]
)
def test_layer_of_the_7b_stores_what_is_counted(batch_size, attention_outputs):
    """In bfloat16 with torch's flash attention, which on the meta device lays out what it returns as on a GPU."""
    config, length = DNAFMConfig(), 4000 // batch_size
    with torch.device("meta"):
        layer = DNAFMLayer(config, 0).to(torch.bfloat16)
        hidden_states = torch.empty(batch_size, length, config.hidden_size, dtype=torch.bfloat16)
        cos_sin = (torch.empty(1, length, config.rotary_dim),) * 2
    saved = {}

    def pack(tensor):
        # The storage is kept too, so that no other one takes its number.
        saved[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        attend = partial(flash_attention_2_forward, flash)
        layer(hidden_states, position_embeddings=cos_sin, attention_interface=attend)
    kept = {tensor.untyped_storage()._cdata for tensor in (*layer.parameters(), *cos_sin)}
    of_layer = [DNAFMConfig(num_hidden_layers=n) for n in (1, 2)]
    one, two = (activation_bytes(each, 4000, gradient_checkpointing=False) for each in of_layer)
    expected = two - one + (attention_outputs - 1) * 4000 * 2 * config.hidden_size
    assert sum(each.nbytes() for key, each in saved.items() if key not in kept) == pytest.approx(expected, rel=0.005)


def flash(query, key, value, cu_seq_lens, max_length, *, scaling, dropout):
    lengths = (cu_seq_lens, cu_seq_lens, max_length, max_length)
    flash_attention = torch.ops.aten._flash_attention_forward
    return flash_attention(query, key, value, *lengths, dropout, False, False, scale=scaling)[0]


def test_memory_is_shared_between_devices():
    """Twice the devices halve what is sharded, and nothing else; the total is the sum."""
    config = DNAFMConfig(**SMALL)
    one, two = (training_memory(config, n_devices=n, n_tokens=100, gradient_checkpointing=True) for n in (1, 2))
    assert one.optimizer == 8 * n_parameters(config) == 2 * two.optimizer
    assert one.weights - two.weights == one.gradients - two.gradients == 2 * n_parameters(config)
    assert one.activations == two.activations
    assert one.total == one.weights + one.gradients + one.optimizer + one.activations


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989.4e12),
        ("NVIDIA H200 NVL", 835e12),
        ("NVIDIA GH200 480GB", 989.4e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA GB200", 2500e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40", 181e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", None),
    ],
)
def test_peak_is_that_of_the_gpu(monkeypatch, name, peak):
    """A name that begins or ends like another one's, and a part of a GPU, do not get that one's peak."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert device_peak_flops(torch.device("cuda")) == peak


def test_rate_is_measured_where_no_peak_is_known():
    """A processor has no peak in the table, and does more than a million operations per second."""
    assert device_peak_flops(torch.device("cpu")) is None
    assert measured_matmul_flops(torch.device("cpu"), torch.float32, size=64, rounds=3) > 1e6
