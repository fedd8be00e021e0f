"""What training costs, by arithmetic: parameters, floating-point operations and memory."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from dnafm import DNAFMConfig

# Words of the name that `torch.cuda.get_device_name` gives: dense bfloat16 operations per second, from NVIDIA's data
# sheets, which often state twice as many, those with sparsity. The first match counts.
PEAK_FLOPS: Mapping[str, float] = MappingProxyType(
    {
        "GB200": 2500e12,
        "B200": 2250e12,
        "GH200": 989.4e12,
        "H200 NVL": 835e12,
        "H200": 989.4e12,
        "H100 PCIe": 756e12,
        "H100 NVL": 835e12,
        "H100": 989.4e12,
        "A100": 312e12,
        "L40S": 362e12,
        "L40": 181e12,
        "A10G": 70e12,
        "L4": 121e12,
    }
)
_BF16_BYTES, _FP32_BYTES = 2, 4
# Forward, and backward towards inputs and towards weights, each with as many operations.
_PASSES = 3


def n_parameters(config: DNAFMConfig) -> int:
    """Return the parameters of `DNAFMForMaskedLM`, tied weights counted once."""
    hidden, vocabulary = config.hidden_size, config.vocab_size
    head = hidden * hidden + hidden + _norm_size(config) + vocabulary
    embeddings = vocabulary * hidden * (1 if config.tie_word_embeddings else 2)
    return config.num_hidden_layers * layer_parameters(config) + embeddings + _norm_size(config) + head


def layer_parameters(config: DNAFMConfig) -> int:
    """Return the parameters of one layer."""
    hidden, intermediate = config.hidden_size, config.intermediate_size
    biases = 5 * hidden + 2 * intermediate if config.linear_bias else 0
    return 4 * hidden * hidden + 3 * hidden * intermediate + biases + 2 * _norm_size(config)


def forward_flops(config: DNAFMConfig, lengths: Sequence[int]) -> int:
    """Return the operations of a forward pass of `DNAFMForMaskedLM`, multiplications and additions counted each.

    Those of the matrix multiplications: 2 for each weight and token, and for the attention of a sequence of n tokens
    4 n^2 x hidden in each layer, as in appendix B of PaLM (Chowdhery et al., 2022), with a mask that hides nothing.

    Args:
        config: the architecture.
        lengths: tokens of each sequence, special tokens included.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    of_layer = 4 * hidden * hidden + 3 * hidden * config.intermediate_size
    of_token = 2 * (layers * of_layer + hidden * hidden + hidden * config.vocab_size)
    attention = 4 * hidden * layers * sum(length * length for length in lengths)
    return of_token * sum(lengths) + attention


def training_flops(config: DNAFMConfig, lengths: Sequence[int]) -> int:
    """Return the operations of a forward and a backward pass; what checkpointing computes again does not count."""
    return _PASSES * forward_flops(config, lengths)


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes on one device.

    Attributes:
        weights: float32 weights, this device's share, and the bfloat16 weights of the two layers that are gathered.
        gradients: float32 gradients, this device's share, and the bfloat16 ones of the layer that is being reduced.
        optimizer: AdamW's two moments in float32, this device's share.
        activations: what the forward pass stores for the backward pass, in bfloat16.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it; the workspace of kernels and communication comes on top."""
        return self.weights + self.gradients + self.optimizer + self.activations


def training_memory(
    config: DNAFMConfig, *, n_devices: int, n_tokens: int, gradient_checkpointing: bool
) -> TrainingMemory:
    """Return what training with FSDP2, bfloat16 computation, AdamW and FlashAttention takes.

    Args:
        config: the architecture.
        n_devices: over which weights, gradients and moments are sharded.
        n_tokens: of a forward pass on one device.
        gradient_checkpointing: whether only the input of each layer is stored, and a layer computed anew.
    """
    share, layer = n_parameters(config) / n_devices, layer_parameters(config)
    return TrainingMemory(
        weights=round(share * _FP32_BYTES) + 2 * layer * _BF16_BYTES,
        gradients=round(share * _FP32_BYTES) + layer * _BF16_BYTES,
        optimizer=round(share * 2 * _FP32_BYTES),
        activations=activation_bytes(config, n_tokens, gradient_checkpointing=gradient_checkpointing),
    )


def activation_bytes(
    config: DNAFMConfig, n_tokens: int, *, gradient_checkpointing: bool, bytes_per_number: int = _BF16_BYTES
) -> int:
    """Return the bytes stored for the backward pass.

    A layer stores 8 vectors of the hidden size for each token (the inputs and outputs of both norms, query, key, value
    and the output of the attention), 4 of the intermediate size (gate, its activation, up, and their product), and in
    float32 one number for each head and the mean and deviation of both norms. Final norm and head store 5 vectors
    (what goes into both norms, the dense layer, GELU and the decoder). Sequences packed into one row store the output
    of the attention twice, in the layout of the kernel and in that of the projection: 5 % more for DNA FM 7B.
    """
    hidden, intermediate, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    statistics = _FP32_BYTES * (config.num_attention_heads + 4)
    of_layer = bytes_per_number * (8 * hidden + 4 * intermediate) + statistics
    of_head = bytes_per_number * 5 * hidden + _FP32_BYTES * config.vocab_size
    if gradient_checkpointing:
        return n_tokens * (layers * bytes_per_number * hidden + of_layer + of_head)
    return n_tokens * (layers * of_layer + of_head)


def device_peak_flops(device: torch.device) -> float | None:
    """Return the dense bfloat16 operations per second that a device's maker states; None where we do not know."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    if "MIG" in name.split():  # part of a GPU, with part of its peak
        return None
    # Whole words: an L40 is no L4, and an RTX A1000 no A100.
    return next((flops for words, flops in PEAK_FLOPS.items() if re.search(rf"\b{words}\b", name)), None)


def _norm_size(config: DNAFMConfig) -> int:
    return config.hidden_size * (2 if config.normalization_type == "LayerNorm" else 1)
