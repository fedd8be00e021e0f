import math

import pytest
import torch
from torch.nn import functional as F

from dnafm import (
    DNAFMForMaskedLM,
    DNAFMForPairwiseTokenClassification,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
)
from dnafm.modeling_dnafm import pool

SEQUENCE, TOKEN, PAIRWISE = (
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMForPairwiseTokenClassification,
)
# (2, 3, 2) hidden states whose pooled values are plain to see; row 1 is padded on the left.
STATES = [[[1.0, -2.0], [3.0, -4.0], [8.0, 9.0]], [[7.0, 7.0], [2.0, -6.0], [4.0, -2.0]]]
MASK = [[1, 1, 0], [0, 1, 1]]
POOLED = {"mean": [[2.0, -3.0], [3.0, -4.0]], "max": [[3.0, -2.0], [4.0, -2.0]], "cls": [[1.0, -2.0], [2.0, -6.0]]}


@pytest.mark.parametrize("how", POOLED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("mask_dtype", [torch.long, torch.bool, torch.float32], ids=str)
def test_pooling_by_hand(how, dtype, mask_dtype):
    """Mean, maximum and first token of the attended ones, with padding on either side."""
    pooled = pool(torch.tensor(STATES, dtype=dtype), torch.tensor(MASK, dtype=mask_dtype), how=how)
    assert pooled.dtype == dtype
    assert pooled.tolist() == POOLED[how]


@pytest.mark.parametrize("how", POOLED)
def test_pooling_without_a_mask_takes_all_tokens(how):
    """Row 0: means (4, 1), maxima (8, 9), first (1, -2)."""
    expected = {"mean": [4.0, 1.0], "max": [8.0, 9.0], "cls": [1.0, -2.0]}[how]
    assert pool(torch.tensor(STATES), how=how)[0].tolist() == expected


@pytest.mark.parametrize("how", POOLED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_row_without_a_token_is_pooled_to_zeros(how, dtype):
    """No 0 / 0, no -inf, and no gradient but zero."""
    states = torch.tensor(STATES, dtype=dtype, requires_grad=True)
    pooled = pool(states, torch.tensor([[0, 0, 0], [1, 1, 1]]), how=how)
    assert pooled[0].tolist() == [0.0, 0.0]
    pooled.sum().backward()
    assert states.grad.isfinite().all()
    assert states.grad[0].abs().max() == 0


@pytest.mark.parametrize("how", POOLED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_pooling_of_a_long_sequence_keeps_its_value(how, dtype):
    """4,000 tokens of 20: their sum, 80,000, is more than float16 holds, their mean is not."""
    assert pool(torch.full((1, 4000, 2), 20.0, dtype=dtype), how=how).tolist() == [[20.0, 20.0]]


@pytest.mark.parametrize("how", POOLED)
def test_sequence_head_sees_the_pooling_that_the_config_names(how, tiny_model, batch):
    """Logits are dense, tanh and projection of the pooled states, written out."""
    model = tiny_model(SEQUENCE, classifier_pooling=how)
    states, mask = model.model(**batch).last_hidden_state, batch["attention_mask"].bool()
    rows = [row[real] for row, real in zip(states, mask, strict=True)]
    reduce = {"mean": lambda x: x.mean(0), "max": lambda x: x.amax(0), "cls": lambda x: x[0]}[how]
    dense, out_proj = model.classifier.dense, model.classifier.out_proj
    expected = out_proj(dense(torch.stack([reduce(row) for row in rows])).tanh())
    torch.testing.assert_close(model(**batch).logits, expected)


def test_token_head_is_a_projection(tiny_model, batch):
    """Logits (B, L, labels) of the last hidden states."""
    model = tiny_model(TOKEN)
    expected = F.linear(model.model(**batch).last_hidden_state, model.classifier.weight, model.classifier.bias)
    torch.testing.assert_close(model(**batch).logits, expected)


def test_pairwise_head_by_hand(tiny_model, batch):
    """h_i (W + W') h_j / sqrt(32) + u (h_i + h_j) + b for a pair and a class; b is stored by half."""
    model = tiny_model(PAIRWISE)
    head = model.classifier
    states = head.dense(model.model(**batch).last_hidden_state)
    logits = model(**batch).logits
    assert logits.shape == (3, 9, 9, 3)
    weights, biases = head.biaffine.weight.view(3, 33, 32), head.biaffine.bias.view(3, 33)
    for row, i, j, label in ((0, 2, 7, 0), (0, 4, 4, 1), (1, 5, 0, 2)):
        matrix, vector = weights[label, :32], weights[label, 32] + biases[label, :32] / math.sqrt(32)
        first, second = states[row, i], states[row, j]
        expected = first @ (matrix + matrix.T) @ second / math.sqrt(32)
        expected = expected + vector @ (first + second) + 2 * biases[label, 32]
        torch.testing.assert_close(logits[row, i, j, label], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_pairs_are_symmetric_to_the_bit(tiny_model, batch, dtype):
    """Base i with base j is base j with base i, in training too, where both see the same dropout."""
    model = tiny_model(PAIRWISE, classifier_dropout=0.5).to(dtype)
    for logits in (model(**batch).logits, model.train()(**batch).logits):
        assert torch.equal(logits, logits.transpose(1, 2))
        assert not torch.equal(logits, logits.flip(1))


@pytest.mark.parametrize(("hidden", "width"), [(64, 64), (128, 128), (136, 128), (4352, 128)])
def test_width_of_the_pairwise_head(tiny_config, hidden, width):
    """The hidden size, or 128 where that is more."""
    with torch.device("meta"):
        model = PAIRWISE(tiny_config(hidden_size=hidden, num_labels=7))
    assert tuple(model.classifier.dense.weight.shape) == (width, hidden)
    assert tuple(model.classifier.biaffine.weight.shape) == (7 * (width + 1), width)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_padding_does_not_change_pairs(tiny_model, batch, dtype):
    """Each pair of a padded row's tokens gets the logits that it gets alone, in half precision too."""
    model = tiny_model(PAIRWISE).to(dtype)
    tolerance = 1e-4 if dtype == torch.float32 else 5e-2
    for row, ids, mask in zip(model(**batch).logits, batch["input_ids"], batch["attention_mask"] == 1, strict=True):
        alone = model(ids[mask][None]).logits[0]
        torch.testing.assert_close(row[mask][:, mask], alone, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("normalization_type", ["LayerNorm", "RMSNorm"])
def test_masked_lm_head_by_hand(tiny_model, batch, normalization_type):
    """Decoder(norm(gelu(dense(x)))), with the exact GELU and its own norm and bias."""
    model = tiny_model(DNAFMForMaskedLM, normalization_type=normalization_type)
    states = model.lm_head.dense(model.model(**batch).last_hidden_state)
    states = states * 0.5 * (1 + torch.erf(states / math.sqrt(2)))
    if normalization_type == "LayerNorm":
        states = states - states.mean(-1, keepdim=True)
    norm, decoder = model.lm_head.norm, model.lm_head.decoder
    states = states / (states.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight
    states = states + (norm.bias if normalization_type == "LayerNorm" else 0)
    expected = states @ model.model.embed_tokens.weight.T + decoder.bias
    torch.testing.assert_close(model(**batch).logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("hidden", "width"), [(64, 64), (128, 128), (136, 68), (2040, 1020), (2048, 512)])
def test_width_of_the_sequence_head(tiny_config, hidden, width):
    """The whole hidden size up to 128, half of it below 2048, else a quarter."""
    with torch.device("meta"):
        model = SEQUENCE(tiny_config(hidden_size=hidden, num_labels=7))
    assert tuple(model.classifier.dense.weight.shape) == (width, hidden)
    assert tuple(model.classifier.out_proj.weight.shape) == (7, width)


def first_states(model, batch):
    """The last hidden state of the first attended token of each row."""
    states, mask = model.model(**batch).last_hidden_state, batch["attention_mask"].bool()
    return torch.stack([row[real][0] for row, real in zip(states, mask, strict=True)])


@pytest.mark.parametrize(("activation", "function"), [("relu", F.relu), ("gelu", F.gelu)])
def test_hidden_layer_of_the_sequence_head_as_the_config_says(tiny_model, batch, activation, function):
    """Its width and its activation."""
    model = tiny_model(SEQUENCE, classifier_hidden_size=5, classifier_activation=activation, classifier_pooling="cls")
    dense, out_proj = model.classifier.dense, model.classifier.out_proj
    assert dense.out_features == out_proj.in_features == 5
    expected = out_proj(function(dense(first_states(model, batch))))
    torch.testing.assert_close(model(**batch).logits, expected)


def test_sequence_head_without_a_hidden_layer_is_a_projection(tiny_model, batch, tmp_path):
    """Of the pooled states, with dropout before it, and so when it is saved and loaded."""
    model = tiny_model(SEQUENCE, classifier_hidden_size=0, classifier_pooling="cls", classifier_dropout=0.5)
    assert {name for name, _ in model.classifier.named_parameters()} == {"out_proj.weight", "out_proj.bias"}
    logits = model(**batch).logits
    torch.testing.assert_close(logits, model.classifier.out_proj(first_states(model, batch)))
    model.save_pretrained(tmp_path)
    assert torch.equal(SEQUENCE.from_pretrained(tmp_path)(**batch).logits, logits)
    assert not torch.equal(model.train()(**batch).logits, model(**batch).logits)


def test_dropout_of_the_heads(tiny_config):
    """`classifier_dropout`, zero included; `hidden_dropout` where it is None."""
    for classifier_dropout, expected in ((None, 0.2), (0.4, 0.4), (0.0, 0.0)):
        config = tiny_config(hidden_dropout=0.2, classifier_dropout=classifier_dropout)
        assert SEQUENCE(config).classifier.dropout.p == expected
        assert TOKEN(config).dropout.p == expected
        assert PAIRWISE(config).classifier.dropout.p == expected


@pytest.mark.parametrize("how", POOLED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_padding_does_not_change_a_classification(tiny_model, batch, how, dtype):
    """Each row of a padded batch gets the logits that it gets alone, in half precision too."""
    model = tiny_model(SEQUENCE, classifier_pooling=how).to(dtype)
    logits = model(**batch).logits
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    for row, ids, mask in zip(logits, batch["input_ids"], batch["attention_mask"], strict=True):
        alone = model(ids[mask == 1][None]).logits[0]
        torch.testing.assert_close(row, alone, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_empty_sequence_has_finite_logits(tiny_model, batch, dtype):
    """A row of nothing but padding gets the head's answer to zeros, in each pooling."""
    batch["attention_mask"][1] = 0
    for how in POOLED:
        model = tiny_model(SEQUENCE, classifier_pooling=how).to(dtype)
        logits = model(**batch).logits
        assert logits.isfinite().all()
        torch.testing.assert_close(logits[1], model.classifier(torch.zeros(32, dtype=dtype)))


def test_number_of_labels_comes_from_their_names(tiny_config):
    """`id2label` sets the width of the heads and comes back with the config."""
    names = {0: "donor", 1: "acceptor", 2: "neither", 3: "both"}
    config = tiny_config(id2label=names, label2id={name: i for i, name in names.items()}, num_labels=4)
    assert SEQUENCE(config).classifier.out_proj.out_features == TOKEN(config).classifier.out_features == 4
    assert config.id2label == names
