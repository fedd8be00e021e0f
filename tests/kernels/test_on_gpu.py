"""The kernels' numbers on a CUDA device; skipped where there is none."""

import pytest
import torch

from dnafm import DNAFMConfig, DNAFMModel
from dnafm.kernels_dnafm import (
    KernelRequest,
    apply_rotary_pos_emb,
    flash_attention_2_function,
    rope_obstacle,
    rotary_function,
)

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
LENGTHS = (300, 77, 1, 300, 128)


def model_of(attention, dtype, head_dim=136):
    torch.manual_seed(0)
    config = DNAFMConfig(
        hidden_size=4 * head_dim,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.1,
    )
    model = DNAFMModel._from_config(config, attn_implementation=attention)
    return model.to("cuda", dtype).eval()


def batch():
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    return {
        "input_ids": (torch.randint(5, 9, mask.shape, generator=generator) * mask).cuda(),
        "attention_mask": mask.cuda(),
    }


def output_and_gradient(model):
    inputs = batch()
    output = model(**inputs).last_hidden_state[inputs["attention_mask"].bool()]
    output.float().square().sum().backward()
    return output, model.layers[0].self_attn.q_proj.weight.grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("head_dim", [64, 136])
@pytest.mark.parametrize("attention", ["auto", "flash_attention_2", "sdpa", "flex_attention"])
def test_fast_attention_errs_at_most_twice_as_much_as_eager(attention, head_dim, dtype):
    """Forward and backward, both against float32 eager."""
    exact = output_and_gradient(model_of("eager", torch.float32, head_dim))
    eager = output_and_gradient(model_of("eager", dtype, head_dim))
    fast = output_and_gradient(model_of(attention, dtype, head_dim))
    for reference, slow, found in zip(exact, eager, fast, strict=True):
        error, allowed = (found.float() - reference).abs().mean(), (slow.float() - reference).abs().mean()
        assert error <= 2 * allowed


def test_auto_chooses_flash_attention_2_in_bfloat16():
    """Torch brings a variable-length kernel, so there is always one."""
    assert model_of("auto", torch.bfloat16).kernel_report().attention.name == "flash_attention_2"


@pytest.mark.parametrize("provider", ["flash-attn", "torch"])
def test_variable_length_kernel_is_attention_of_each_sequence(provider):
    """Against float32 attention, one sequence at a time."""
    try:
        kernel = flash_attention_2_function(provider)
    except ImportError as error:
        pytest.skip(str(error))
    states = torch.randn(3, sum(LENGTHS), 4, 136, device="cuda", dtype=torch.bfloat16)
    boundaries = torch.tensor([0, *LENGTHS]).cumsum(0).int().cuda()
    found = kernel(*states, boundaries, max(LENGTHS), scaling=136**-0.5, dropout=0.0)
    for start, stop in zip(boundaries[:-1].tolist(), boundaries[1:].tolist(), strict=True):
        q, k, v = states[:, start:stop].float().transpose(1, 2)
        expected = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(0, 1)
        torch.testing.assert_close(found[start:stop].float(), expected, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("name", ["flash_attn", "liger"])
def test_fused_rotation_is_the_eager_rotation(name):
    """Forward and backward, in bfloat16."""
    request = KernelRequest("cuda", torch.cuda.get_device_capability(), torch.bfloat16, head_dim=136, rotary_dim=136)
    if obstacle := rope_obstacle(name, request):
        pytest.skip(obstacle)
    config = DNAFMConfig(hidden_size=4 * 136, num_attention_heads=4, num_hidden_layers=1)
    position_ids = torch.stack([torch.arange(50), torch.arange(50) + 7]).cuda()
    cos, sin = DNAFMModel(config).rotary_emb.cuda()(position_ids, position_ids)
    results = []
    for kernel in (apply_rotary_pos_emb, rotary_function(name)):
        torch.manual_seed(0)
        q, k = torch.randn(2, 2, 50, 4, 136, device="cuda", dtype=torch.bfloat16).requires_grad_()
        rotated = kernel(q.transpose(1, 2).clone(), k.transpose(1, 2).clone(), cos, sin)
        results.append([*rotated, *torch.autograd.grad(sum(x.float().square().sum() for x in rotated), [q, k])])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=3e-2, rtol=3e-2)
