"""The rotary kernels against complex multiplication, and each other."""

import pytest
import torch

from dnafm import DNAFMConfig
from dnafm.kernels_dnafm import _call_flash_attn_rotary, apply_rotary_pos_emb
from dnafm.modeling_dnafm import DNAFMRotaryEmbedding


def rotate_by_complex_numbers(states, position_ids, theta, width, factor=1.0):
    """Channel i and channel i + width / 2 are the real and the imaginary part of what is turned by an angle."""
    half = width // 2
    frequencies = theta ** (-torch.arange(half, dtype=torch.float64) * 2 / width)
    angles = position_ids[:, None, :, None].double() / factor * frequencies
    pairs = torch.complex(states[..., :half].double(), states[..., half:width].double())
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag, states[..., width:].double()], dim=-1).float()


def rotary(config, position_ids):
    return DNAFMRotaryEmbedding(config)(torch.zeros(()), position_ids)


def config(**fields):
    return DNAFMConfig(hidden_size=64, num_attention_heads=2, **fields)


@pytest.mark.parametrize(
    ("fields", "width", "factor"),
    [({}, 32, 1.0), ({"rotary_percent": 0.5}, 16, 1.0), ({"seq_len_interpolation_factor": 4}, 32, 4.0)],
)
def test_rotation_is_complex_multiplication(fields, width, factor):
    """Half-split pairs, base 10000, the first channels only where partial, positions divided by the factor."""
    q, k = torch.randn(2, 2, 2, 7, 32, generator=torch.Generator().manual_seed(0))
    position_ids = torch.tensor([[0, 1, 2, 3, 4, 5, 6], [9, 8, 7, 100, 1000, 3999, 0]])
    found = apply_rotary_pos_emb(q, k, *rotary(config(**fields), position_ids))
    for states, rotated in zip((q, k), found, strict=True):
        expected = rotate_by_complex_numbers(states, position_ids, 10000.0, width, factor)
        torch.testing.assert_close(rotated, expected, atol=2e-3 if factor == 1 else 1e-3, rtol=0)


def test_position_zero_is_not_rotated():
    """The identity at the first token."""
    q = torch.randn(1, 2, 1, 32)
    found, _ = apply_rotary_pos_emb(q, q, *rotary(config(), torch.zeros(1, 1)))
    assert torch.equal(found, q)


def test_scores_depend_on_distance_only():
    """What makes the embedding relative: shifting both positions keeps the product."""
    q, k = torch.randn(2, 1, 2, 5, 32, generator=torch.Generator().manual_seed(0))
    products = []
    for shift in (0, 50):
        turned_q, turned_k = apply_rotary_pos_emb(q, k, *rotary(config(), torch.arange(5)[None] + shift))
        products.append(turned_q @ turned_k.transpose(-1, -2))
    torch.testing.assert_close(*products, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rotation_keeps_the_dtype(dtype):
    """Angles are float32 until the product."""
    q = torch.randn(1, 2, 5, 32).to(dtype)
    cos, sin = rotary(config(), torch.arange(5)[None])
    assert cos.dtype == torch.float32
    assert apply_rotary_pos_emb(q, q, cos, sin)[0].dtype == dtype


def test_flash_attn_rotary_is_called_with_all_tokens_in_one_row():
    """Its kernel shares angles among rows; ours are per token. Its place is taken by what it computes."""

    def kernel(states_1THD, cos_T, sin_T):
        half = cos_T.shape[-1]
        first, second = states_1THD[..., :half], states_1THD[..., half : 2 * half]
        cos, sin = cos_T[None, :, None], sin_T[None, :, None]
        rest = states_1THD[..., 2 * half :]
        return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)

    q, k = torch.randn(2, 2, 2, 7, 32, generator=torch.Generator().manual_seed(0))
    angles = rotary(config(rotary_percent=0.5), torch.stack([torch.arange(7), torch.arange(7) * 3]))
    found = _call_flash_attn_rotary(kernel, q, k, *angles)
    for states, expected in zip(found, apply_rotary_pos_emb(q, k, *angles), strict=True):
        torch.testing.assert_close(states, expected)
