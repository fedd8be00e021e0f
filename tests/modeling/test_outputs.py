import pytest
import torch
from transformers.utils import output_capturing

from dnafm import DNAFMConfig, DNAFMForMaskedLM, DNAFMForTokenClassification, DNAFMModel


def test_hidden_states_are_layers_plus_one(model_class, tiny_model, batch):
    """The embeddings, then one per layer, the last one after the final norm, and recording changes nothing."""
    model = tiny_model(model_class)
    hidden_states = model(**batch, output_hidden_states=True).hidden_states
    encoder = getattr(model, "model", model)
    assert [tuple(states.shape) for states in hidden_states] == [(3, 9, 32)] * 3
    assert torch.equal(hidden_states[0], encoder.embed_tokens(batch["input_ids"]))
    torch.testing.assert_close(hidden_states[-1], encoder(**batch).last_hidden_state)


def test_hidden_states_in_between_are_those_of_the_layers(tiny_model, batch):
    """State 1 is what a model with one layer computes before its final norm."""
    model = tiny_model()
    found = model(**batch, output_hidden_states=True).hidden_states[1]
    shallow = tiny_model(num_hidden_layers=1)
    shallow.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("layers.1")})
    shallow.norm = torch.nn.Identity()
    real = batch["attention_mask"] == 1
    torch.testing.assert_close(found[real], shallow(**batch).last_hidden_state[real])


@pytest.mark.skipif(
    not hasattr(output_capturing, "select_hidden_states"), reason="this release of transformers records all or nothing"
)
def test_some_hidden_states_can_be_asked_for(tiny_model, batch):
    """A list of indices leaves the others out, and selects what `True` would have returned."""
    model = tiny_model()
    everything = model(**batch, output_hidden_states=True).hidden_states
    some = model(**batch, output_hidden_states=[0, -1]).hidden_states
    assert torch.equal(some[0], everything[0])
    assert some[1] is None
    assert torch.equal(some[2], everything[2])


@pytest.mark.parametrize("implementation", ["auto", "eager"])
def test_attentions_are_probabilities(model_class, tiny_model, batch, implementation):
    """One (B, H, L, L) per layer; a row sums to 1, and nothing looks at padding."""
    model = tiny_model(model_class, attn_implementation=implementation)
    outputs = model(**batch, output_attentions=True)
    assert [tuple(attention.shape) for attention in outputs.attentions] == [(3, 4, 9, 9)] * 2
    torch.testing.assert_close(outputs[0], model(**batch)[0])
    for attention in outputs.attentions:
        torch.testing.assert_close(attention.sum(-1), torch.ones(3, 4, 9))
        to_padding = attention.masked_select((batch["attention_mask"] == 0)[:, None, None, :])
        assert to_padding.tolist() == [0.0] * len(to_padding)


def test_attentions_are_softmax_of_scaled_scores(tiny_model):
    """At equal positions nothing is turned: softmax(q k' / sqrt(8)) of the first layer, by hand."""
    model, input_ids = tiny_model(), torch.randint(5, 9, (1, 7))
    mask, positions = torch.ones(1, 7), torch.zeros(1, 7, dtype=torch.long)
    outputs = model(input_ids, mask, positions, output_attentions=True)
    layer = model.layers[0]
    states = layer.input_layernorm(model.embed_tokens(input_ids))[0]
    query, key = layer.self_attn.q_proj(states), layer.self_attn.k_proj(states)
    for head in range(4):
        channels = slice(8 * head, 8 * head + 8)
        expected = (query[:, channels] @ key[:, channels].T / 8**0.5).softmax(-1)
        torch.testing.assert_close(outputs.attentions[0][0, head], expected)


def test_config_can_ask_for_outputs(tiny_model, batch):
    """`output_hidden_states` and `output_attentions` of the config count where the call says nothing."""
    model = tiny_model(output_hidden_states=True, attn_implementation="eager", output_attentions=True)
    outputs = model(**batch)
    assert len(outputs.hidden_states) == 3
    assert len(outputs.attentions) == 2
    assert model(**batch, output_hidden_states=False, output_attentions=False).keys() == {"last_hidden_state"}


@pytest.mark.parametrize("recorded", [{}, {"output_hidden_states": True}, {"output_attentions": True}], ids=str)
def test_tuples_hold_what_outputs_hold(model_class, tiny_model, batch, recorded):
    """`return_dict=False` gives the values of the output in order, by call or by config."""
    model = tiny_model(model_class)
    expected = model(**batch, **recorded)
    as_tuple = model(**batch, **recorded, return_dict=False)
    model.config.return_dict = False
    for found in (as_tuple, model(**batch, **recorded)):
        assert type(found) is tuple
        assert len(found) == len(expected)
        torch.testing.assert_close(found, expected.to_tuple())


def test_loss_comes_first_in_a_tuple(head_class, tiny_model, batch, labels_for):
    """As in transformers: (loss, logits)."""
    model, labels = tiny_model(head_class), labels_for(head_class)
    loss, logits = model(**batch, labels=labels, return_dict=False)
    outputs = model(**batch, labels=labels)
    assert torch.equal(loss, outputs.loss)
    assert torch.equal(logits, outputs.logits)


def test_embedded_ids_are_as_good_as_ids(model_class, tiny_model, batch):
    """`inputs_embeds` of the embedding layer gives what `input_ids` give, with and without a mask."""
    model = tiny_model(model_class)
    embeddings = model.get_input_embeddings()(batch["input_ids"])
    for mask in (batch["attention_mask"], None):
        found = model(inputs_embeds=embeddings, attention_mask=mask)[0]
        torch.testing.assert_close(found, model(batch["input_ids"], mask)[0])


def test_rows_of_a_batch_do_not_see_each_other(model_class, tiny_model, batch):
    """Another sequence in row 0 changes nothing in rows 1 and 2; reversed rows give reversed outputs."""
    model = tiny_model(model_class)
    expected = model(**batch)[0]
    other = {name: tensor.clone() for name, tensor in batch.items()}
    other["input_ids"][0] = 5
    found = model(**other)[0]
    torch.testing.assert_close(found[1:], expected[1:])
    assert not torch.allclose(found[0], expected[0])
    torch.testing.assert_close(model(**{k: v.flip(0) for k, v in batch.items()})[0], expected.flip(0))


def test_same_input_gives_the_same_bits(model_class, tiny_model, batch):
    """Twice in evaluation mode, also around another batch."""
    model = tiny_model(model_class)
    first = model(**batch)[0]
    model(batch["input_ids"][:, :4])
    assert torch.equal(model(**batch)[0], first)


def test_padding_is_zero_and_what_it_holds_does_not_matter(tiny_model, batch):
    """Hidden states at padding are zero, whatever ids stand there, recorded or not."""
    model, padding = tiny_model(), batch["attention_mask"] == 0
    expected = model(**batch).last_hidden_state
    batch["input_ids"] = batch["input_ids"].masked_fill(padding, 7)
    for recorded in (False, True):
        found = model(**batch, output_hidden_states=recorded).last_hidden_state
        assert found[padding].abs().max() == 0
        torch.testing.assert_close(found, expected)


def test_only_distances_between_positions_matter(model_class, tiny_model, batch):
    """Rotary: 100 added to all positions changes nothing beyond rounding."""
    model, positions = tiny_model(model_class), torch.arange(9)[None]
    for mask in (batch["attention_mask"], None):
        expected = model(batch["input_ids"], mask, positions)[0]
        torch.testing.assert_close(model(batch["input_ids"], mask, positions + 100)[0], expected, rtol=1e-4, atol=1e-4)


def test_order_of_the_bases_matters(model_class, tiny_model, batch):
    """Reversed positions are another sequence; stretched ones too."""
    model, mask = tiny_model(model_class), torch.ones(3, 9)
    positions = torch.arange(9)[None]
    expected = model(batch["input_ids"], mask, positions)[0]
    for other in (positions.flip(1), 2 * positions):
        assert not torch.allclose(model(batch["input_ids"], mask, other)[0], expected, atol=1e-3)


def test_without_a_mask_positions_count_from_zero(model_class, tiny_model, batch):
    """Explicit 0, 1, 2, ... and a mask of ones are the defaults."""
    model = tiny_model(model_class)
    expected = model(batch["input_ids"])[0]
    positions = torch.arange(9)[None]
    for mask in (torch.ones(3, 9), torch.ones(3, 9, dtype=torch.bool), None):
        torch.testing.assert_close(model(batch["input_ids"], mask, positions)[0], expected)
        torch.testing.assert_close(model(batch["input_ids"], mask, positions.expand(3, 9))[0], expected)


def test_gradients_of_recorded_outputs_can_be_retained(head_class, tiny_model, batch, labels_for):
    """Hidden states and attentions are part of the graph, for saliency maps."""
    model = tiny_model(head_class)
    recorded = {"output_hidden_states": True, "output_attentions": True}
    outputs = model(**batch, labels=labels_for(head_class), **recorded)
    for tensor in (*outputs.hidden_states, *outputs.attentions):
        tensor.retain_grad()
    outputs.loss.backward()
    for tensor in (*outputs.hidden_states, *outputs.attentions):
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().max() > 0


@pytest.mark.parametrize("field", ["hidden_dropout", "attention_dropout", "classifier_dropout"])
def test_dropout_is_for_training(tiny_model, batch, field):
    """In training two passes differ, in evaluation they do not and equal the model without dropout."""
    dropping, plain = (tiny_model(DNAFMForTokenClassification, **{field: rate}) for rate in (0.5, 0.0))
    dropping.load_state_dict(plain.state_dict())
    for mask in (batch["attention_mask"], None):
        expected = plain(batch["input_ids"], mask).logits
        torch.testing.assert_close(dropping.eval()(batch["input_ids"], mask).logits, expected)
        dropping.train()
        first, second = (dropping(batch["input_ids"], mask).logits for _ in range(2))
        assert not torch.allclose(first, second)


class Nothing(torch.nn.Module):
    """A dropout that drops all."""

    def forward(self, states):
        return torch.zeros_like(states)


def test_dropout_acts_on_embeddings_and_blocks(tiny_model, batch):
    """Where it drops all that attention and feed-forward add, the embeddings pass through; then not even those."""
    model = tiny_model()
    for layer in model.layers:
        layer.dropout = Nothing()
    embeddings = model.embed_tokens(batch["input_ids"])
    torch.testing.assert_close(model(batch["input_ids"]).last_hidden_state, model.norm(embeddings))
    model.dropout = Nothing()
    expected = model.norm(torch.zeros_like(embeddings))
    torch.testing.assert_close(model(batch["input_ids"]).last_hidden_state, expected)


def test_model_has_the_published_number_of_parameters():
    """DNA FM 7B, counted without memory for it: 7,285,036,304, the tied weight once."""
    with torch.device("meta"):
        model = DNAFMForMaskedLM(DNAFMConfig())
    assert model.num_parameters() == sum(p.numel() for p in model.parameters()) == 7_285_036_304


def test_empty_batches_give_empty_outputs(tiny_model):
    """No row, or rows without a token: nothing to compute and no crash."""
    model = tiny_model(DNAFMModel)
    for shape in ((0, 5), (2, 0), (0, 0)):
        assert model(torch.zeros(shape, dtype=torch.long)).last_hidden_state.shape == (*shape, 32)
