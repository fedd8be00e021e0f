import pytest
import torch

from dnafm import DNAFMForMaskedLM, DNAFMModel

NORMALIZATIONS = ["LayerNorm", "RMSNorm"]


def loss_and_gradients(model, **inputs):
    """The loss of one pass and the gradient of every parameter, by name."""
    model.zero_grad()
    loss = model(**inputs).loss
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("normalization_type", NORMALIZATIONS)
def test_every_parameter_gets_a_gradient(head_class, tiny_model, batch, labels_for, normalization_type):
    """No weight is left out, with or without biases; a key's bias shifts all scores alike and has none."""
    model = tiny_model(head_class, normalization_type=normalization_type).train()
    _, gradients = loss_and_gradients(model, **batch, labels=labels_for(head_class))
    for name, gradient in gradients.items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 0, name


@pytest.mark.parametrize("use_reentrant", [True, False], ids=["reentrant", "not reentrant"])
@pytest.mark.parametrize("padded", [True, False], ids=["padded", "full"])
def test_checkpointing_changes_memory_only(head_class, tiny_model, batch, labels_for, use_reentrant, padded):
    """Loss and gradients are those without gradient checkpointing."""
    model = tiny_model(head_class).train()
    inputs = {**batch, "labels": labels_for(head_class)}
    if not padded:
        inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    loss, gradients = loss_and_gradients(model, **inputs)
    switch_checkpointing(model, "enable", {"use_reentrant": use_reentrant})
    runs = count_layer_runs(model)
    checkpointed_loss, checkpointed_gradients = loss_and_gradients(model, **inputs)
    assert len(runs) == 4  # two layers, forward and once more in the backward pass
    torch.testing.assert_close(checkpointed_loss, loss)
    torch.testing.assert_close(checkpointed_gradients, gradients)
    switch_checkpointing(model, "disable")
    torch.testing.assert_close(loss_and_gradients(model, **inputs)[1], gradients)


def switch_checkpointing(model, what, *args):
    """`enable` or `disable` gradient checkpointing; newer releases of transformers warn of its older name."""
    newer, older = f"activation_checkpointing_{what}", f"gradient_checkpointing_{what}"
    getattr(model, newer if hasattr(model, newer) else older)(*args)


def count_layer_runs(model):
    """A list that grows each time a layer computes."""
    runs = []
    for layer in model.model.layers:
        layer.mlp.register_forward_pre_hook(lambda *_: runs.append(1))
    return runs


def test_checkpointing_repeats_the_same_dropout(tiny_model, batch, labels_for):
    """The second pass drops what the first dropped: same seed, same gradients."""
    model = tiny_model(DNAFMForMaskedLM, hidden_dropout=0.3, attention_dropout=0.3).train()
    inputs = {**batch, "labels": labels_for(DNAFMForMaskedLM)}
    torch.manual_seed(1)
    _, expected = loss_and_gradients(model, **inputs)
    switch_checkpointing(model, "enable")
    torch.manual_seed(1)
    torch.testing.assert_close(loss_and_gradients(model, **inputs)[1], expected)


def test_frozen_embeddings_can_require_gradients(head_class, tiny_model, batch, labels_for):
    """`enable_input_require_grads` starts a graph in a frozen model; disabled, nothing is left of it."""
    model = tiny_model(head_class).train().requires_grad_(False)
    inputs = {**batch, "labels": labels_for(head_class)}
    assert not model(**inputs).loss.requires_grad
    model.enable_input_require_grads()
    assert model(**inputs).loss.requires_grad
    model.disable_input_require_grads()
    assert not model(**inputs).loss.requires_grad


def test_checkpointed_layer_of_a_frozen_model_learns(head_class, tiny_model, batch, labels_for):
    """What LoRA needs: one weight trains behind frozen embeddings, under reentrant checkpointing too."""
    model = tiny_model(head_class).train().requires_grad_(False)
    inputs = {**batch, "labels": labels_for(head_class)}
    weight = model.model.layers[0].self_attn.q_proj.weight.requires_grad_(True)
    (expected,) = torch.autograd.grad(model(**inputs).loss, weight)
    for use_reentrant in (True, False):
        weight.grad = None
        switch_checkpointing(model, "enable", {"use_reentrant": use_reentrant})
        model(**inputs).loss.backward()
        torch.testing.assert_close(weight.grad, expected)


def test_gradient_with_respect_to_embeddings(head_class, tiny_model, batch, labels_for):
    """Input gradients, for attribution, are finite and exactly zero at padding."""
    model = tiny_model(head_class)
    embeddings = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_(True)
    labels = labels_for(head_class)
    model(inputs_embeds=embeddings, attention_mask=batch["attention_mask"], labels=labels).loss.backward()
    padding = batch["attention_mask"] == 0
    assert embeddings.grad[padding].abs().max() == 0
    assert (embeddings.grad[~padding].abs().amax(-1) > 0).all()


def test_gradient_is_that_of_finite_differences(tiny_model, batch, labels_for):
    """(f(x + h v) - f(x - h v)) / 2h in float64, along the gradient v."""
    model = tiny_model(DNAFMForMaskedLM, attn_implementation="eager").double()
    inputs = {**batch, "labels": labels_for(DNAFMForMaskedLM)}
    _, gradients = loss_and_gradients(model, **inputs)
    parameters, step = dict(model.named_parameters()), 1e-4
    losses = []
    with torch.no_grad():
        for sign in (1, -2):
            for name, parameter in parameters.items():
                parameter.add_(gradients[name], alpha=sign * step)
            losses.append(model(**inputs).loss)
    slope = (losses[0] - losses[1]) / (2 * step)
    expected = sum((gradient**2).sum() for gradient in gradients.values())
    torch.testing.assert_close(slope.float(), expected.float(), rtol=1e-2, atol=0)


@pytest.mark.parametrize("implementation", ["auto", "eager", "sdpa"])
@pytest.mark.parametrize("recorded", [False, True], ids=["packed", "recorded"])
def test_row_of_nothing_but_padding_does_no_harm(model_class, tiny_model, batch, implementation, recorded):
    """Its gradient and those of its neighbours are finite, in both paths; its hidden states are zero."""
    model = tiny_model(model_class, attn_implementation=implementation).train()
    expected = model(**batch)[0][:2]
    batch["attention_mask"][2] = 0
    outputs = model(**batch, output_hidden_states=recorded)
    torch.testing.assert_close(outputs[0][:2], expected)
    outputs[0].pow(2).mean().backward()
    used = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert used
    assert all(gradient.isfinite().all() for gradient in used)
    if model_class is DNAFMModel:
        assert outputs[0][2].abs().max() == 0


@pytest.mark.parametrize("normalization_type", NORMALIZATIONS)
def test_fresh_weights_are_normal_and_biases_zero(model_class, tiny_config, normalization_type):
    """Weights with mean 0 and standard deviation 0.02; norms that change nothing; also for unusual widths."""
    model = model_class(tiny_config(hidden_size=64, intermediate_size=176, normalization_type=normalization_type))
    for name, parameter in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            assert parameter.eq(1).all(), name
        elif name.endswith("bias"):
            assert parameter.eq(0).all(), name
        else:  # 4 standard errors of the deviation: 0.02 / sqrt(2 n)
            error = 4 / (2 * parameter.numel()) ** 0.5
            assert 0.02 * (1 - error) < parameter.std() < 0.02 * (1 + error), name
            assert parameter.mean().abs() < 4 * 0.02 / parameter.numel() ** 0.5, name


def test_initializer_range_is_the_deviation(tiny_config):
    """Of all fresh weights."""
    model = DNAFMModel(tiny_config(hidden_size=64, initializer_range=0.5))
    assert 0.45 < model.layers[0].self_attn.q_proj.weight.std() < 0.55


@pytest.mark.parametrize("bias", [True, False])
def test_linear_bias_is_that_of_the_layers(head_class, tiny_config, bias):
    """Attention and feed-forward have biases or not; the heads always do."""
    for name, module in head_class(tiny_config(linear_bias=bias)).named_modules():
        if isinstance(module, torch.nn.Linear):
            assert (module.bias is not None) == (bias or not name.startswith("model.")), name


def test_a_few_steps_learn_a_batch_by_heart(head_class, tiny_model, batch, labels_for):
    """The loss falls to a tenth: what is differentiated is what is computed."""
    model = tiny_model(head_class).train()
    inputs = {**batch, "labels": labels_for(head_class)}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        losses.append(model(**inputs).loss)
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 10
