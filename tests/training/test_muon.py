"""One optimizer made of Muon and AdamW."""

import pytest
import torch
from torch.optim import AdamW, Muon
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from dnafm import DNAFMForMaskedLM
from dnafm.training.muon import build_muon


@pytest.fixture
def model(tiny_model):
    """A model with a gradient for every parameter."""
    model = tiny_model(DNAFMForMaskedLM)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    return model


def optimizer_of(model: DNAFMForMaskedLM):
    decaying = {name for name, parameter in model.named_parameters() if parameter.ndim == 2}
    return build_muon(model, decaying, learning_rate=0.01, weight_decay=0.1, betas=(0.9, 0.95))


def copy_of(model: DNAFMForMaskedLM) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_step_is_that_of_both_alone(model):
    """Matrices in the layers move as Muon alone moves them, all else as AdamW alone does."""
    start = copy_of(model)
    optimizer_of(model).step()
    for (name, moved), before in zip(model.named_parameters(), start, strict=True):
        alone = torch.nn.Parameter(before.clone())
        alone.grad = moved.grad
        if ".layers." in name and moved.ndim == 2:
            expected = Muon([alone], lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
        else:
            expected = AdamW([alone], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1 if moved.ndim == 2 else 0.0)
        expected.step()
        torch.testing.assert_close(moved, alone, rtol=0, atol=1e-7, msg=name)


def test_every_parameter_has_one_group(model):
    """None is left out, none is in two groups, and the update of each is not zero."""
    optimizer = optimizer_of(model)
    parameters = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(parameters) == sorted(id(parameter) for parameter in model.parameters())
    start = copy_of(model)
    optimizer.step()
    assert all((before != after).any() for before, after in zip(start, model.parameters(), strict=True))


def test_loaded_state_goes_on_bit_for_bit(model):
    """Two steps, saved and loaded in between, equal two steps."""
    start = copy_of(model)
    whole = optimizer_of(model)
    whole.step()
    whole.step()
    expected = copy_of(model)
    with torch.no_grad():
        for parameter, before in zip(model.parameters(), start, strict=True):
            parameter.copy_(before)
    first = optimizer_of(model)
    first.step()
    second = optimizer_of(model)
    second.load_state_dict(first.state_dict())
    second.step()
    assert all(torch.equal(before, after) for before, after in zip(expected, model.parameters(), strict=True))


def test_schedule_reaches_both_parts_after_loading(model):
    """With a rate of zero nothing moves, also where the state was loaded before."""
    optimizer = optimizer_of(model)
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    LambdaLR(optimizer, lambda step: 0.0)
    start = copy_of(model)
    optimizer.step()
    assert all(torch.equal(before, after) for before, after in zip(start, model.parameters(), strict=True))


def test_schedule_with_a_lowest_rate_is_built(model):
    """It needs the highest rate, which it takes from the defaults."""
    optimizer = optimizer_of(model)
    schedule = get_scheduler(
        "cosine_with_min_lr", optimizer, 0, num_training_steps=1, scheduler_specific_kwargs={"min_lr": 0.001}
    )
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.001] * 3)


def test_closure_gives_the_loss(model):
    """As with every optimizer of torch, the closure is called once and its value returned."""
    calls = []
    assert optimizer_of(model).step(lambda: calls.append(1) or 3.0) == 3.0
    assert calls == [1]
