"""A context of 4,000 tokens in training: what autograd keeps of it, with and without gradient checkpointing."""

import pytest
import torch

from dnafm import DNAFMForMaskedLM
from dnafm.training.architectures import enable_gradient_checkpointing

LENGTH, WIDTH = 4000, 32
HIDDEN_STATE_BYTES = LENGTH * WIDTH * 4
FIELDS = {"max_position_embeddings": LENGTH, "hidden_size": WIDTH, "num_attention_heads": 2}


@pytest.fixture
def long_model(tiny_model):
    """Factory of models of a number of layers that train on 4,000 tokens."""

    def build(n_layers, *, checkpointing):
        torch.manual_seed(0)
        model = tiny_model(DNAFMForMaskedLM, num_hidden_layers=n_layers, **FIELDS).train()
        if checkpointing:
            enable_gradient_checkpointing(model)
        return model

    return build


def training_loss(model):
    input_ids = torch.randint(5, 9, (1, LENGTH), generator=torch.Generator().manual_seed(1))
    return model(input_ids=input_ids, labels=input_ids).loss


def kept_bytes(model):
    """Bytes of all storages that are kept for the backward pass, each once, and weights not at all."""
    storages = {}

    def pack(tensor):
        # The storage is kept too, so that no other one takes its place.
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = training_loss(model)
    assert loss.isfinite()
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    return sum(storage.nbytes() for place, storage in storages.items() if place not in weights)


def bytes_of_a_layer(long_model, *, checkpointing):
    """What each of two more layers adds, which must be the same."""
    two, three, four = (kept_bytes(long_model(n, checkpointing=checkpointing)) for n in (2, 3, 4))
    assert three - two == four - three
    return three - two


def test_a_checkpointed_layer_keeps_one_hidden_state(long_model):
    """Its input, and nothing else; without checkpointing it is more than ten times that, and no square of the length.

    A layer of its own accord keeps 8 hidden states and 4 of the feed-forward width, which is 1.5 times as wide here,
    and some numbers for each token and head.
    """
    assert bytes_of_a_layer(long_model, checkpointing=True) == HIDDEN_STATE_BYTES
    assert 14 <= bytes_of_a_layer(long_model, checkpointing=False) / HIDDEN_STATE_BYTES < 17


def test_gradients_of_a_long_context_are_those_without_checkpointing(long_model):
    """Loss and every gradient at 4,000 tokens."""
    results = []
    for checkpointing in (False, True):
        model = long_model(2, checkpointing=checkpointing)
        loss = training_loss(model)
        loss.backward()
        results.append((loss.detach(), {name: weight.grad for name, weight in model.named_parameters()}))
    torch.testing.assert_close(results[1], results[0])
