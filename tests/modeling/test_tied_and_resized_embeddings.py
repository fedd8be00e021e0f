import pytest
import torch
from safetensors.torch import load_file

from dnafm import DNAFMForMaskedLM, DNAFMModel

DECODER, EMBEDDINGS = "lm_head.decoder.weight", "model.embed_tokens.weight"


def is_tied(model):
    """Whether decoder and embeddings are one parameter."""
    return model.lm_head.decoder.weight is model.model.embed_tokens.weight


def test_tied_weight_is_saved_once(tiny_model, tmp_path):
    """One copy in the file, one parameter in memory, before and after, also where shards are tiny."""
    model = tiny_model(DNAFMForMaskedLM)
    assert is_tied(model)
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    saved = {name for path in tmp_path.glob("*.safetensors") for name in load_file(path)}
    assert EMBEDDINGS in saved
    assert DECODER not in saved
    loaded = DNAFMForMaskedLM.from_pretrained(tmp_path)
    assert is_tied(loaded)
    assert torch.equal(loaded.lm_head.decoder.weight, model.model.embed_tokens.weight)


def test_untied_weights_stay_apart(tiny_model, batch, tmp_path):
    """Two parameters, both saved, both loaded, each with its own values."""
    model = tiny_model(DNAFMForMaskedLM, tie_word_embeddings=False)
    assert not is_tied(model)
    assert not torch.equal(model.lm_head.decoder.weight, model.model.embed_tokens.weight)
    model.save_pretrained(tmp_path)
    assert {DECODER, EMBEDDINGS} <= load_file(tmp_path / "model.safetensors").keys()
    loaded = DNAFMForMaskedLM.from_pretrained(tmp_path)
    assert not loaded.config.tie_word_embeddings
    assert not is_tied(loaded)
    torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits)


def test_tie_survives_a_change_of_device_and_dtype(tiny_model):
    """Conversion keeps one parameter."""
    assert is_tied(tiny_model(DNAFMForMaskedLM).bfloat16().float().to("cpu"))


def test_gradient_of_a_tied_weight_is_the_sum_of_both_uses(tiny_model, batch, labels_for):
    """As embeddings and as decoder: the gradients of the untied model with the same values, added."""
    tied = tiny_model(DNAFMForMaskedLM)
    untied = tiny_model(DNAFMForMaskedLM, tie_word_embeddings=False)
    untied.load_state_dict(tied.state_dict())
    labels = labels_for(DNAFMForMaskedLM)
    for model in (tied, untied):
        model(**batch, labels=labels).loss.backward()
    expected = untied.model.embed_tokens.weight.grad + untied.lm_head.decoder.weight.grad
    torch.testing.assert_close(tied.model.embed_tokens.weight.grad, expected)


def test_embeddings_are_found_and_replaced(tiny_model):
    """The accessors of transformers return and replace the modules that the model computes with."""
    model = tiny_model(DNAFMForMaskedLM)
    assert model.get_input_embeddings() is model.model.embed_tokens
    assert model.get_output_embeddings() is model.lm_head.decoder
    embeddings, decoder = torch.nn.Embedding(16, 32), torch.nn.Linear(32, 16)
    model.set_input_embeddings(embeddings)
    model.set_output_embeddings(decoder)
    assert model.model.embed_tokens is embeddings
    assert model.lm_head.decoder is decoder


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("size", [20, 12])
def test_vocabulary_can_be_resized(tiny_model, tmp_path, tied, size):
    """Old tokens keep rows and biases; config, decoder and checkpoint follow; the last token is usable."""
    model = tiny_model(DNAFMForMaskedLM, tie_word_embeddings=tied)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.resize_token_embeddings(size, mean_resizing=False)
    kept = min(size, 16)
    for name in (EMBEDDINGS, DECODER, "lm_head.decoder.bias"):
        after = model.state_dict()[name]
        assert len(after) == size
        assert torch.equal(after[:kept], before[name][:kept])
    assert model.config.vocab_size == model.lm_head.decoder.out_features == size
    assert is_tied(model) == tied
    last = torch.tensor([[size - 1]])
    outputs = model(last, labels=last)
    assert outputs.logits.shape == (1, 1, size)
    assert outputs.loss.isfinite()
    model.save_pretrained(tmp_path)
    loaded = DNAFMForMaskedLM.from_pretrained(tmp_path)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in loaded.state_dict().items())
    torch.testing.assert_close(loaded(last).logits, outputs.logits)


def test_new_tokens_leave_the_logits_of_the_old_alone(tiny_model, batch):
    """A larger vocabulary adds columns to the logits and changes none."""
    model = tiny_model(DNAFMForMaskedLM)
    before = model(**batch).logits
    model.resize_token_embeddings(20, mean_resizing=False)
    torch.testing.assert_close(model(**batch).logits[..., :16], before)


def test_vocabulary_of_an_encoder_can_be_padded_to_a_multiple(tiny_model):
    """`pad_to_multiple_of` rounds up, for tensor cores."""
    model = tiny_model(DNAFMModel)
    model.resize_token_embeddings(17, pad_to_multiple_of=8)
    assert model.embed_tokens.num_embeddings == model.config.vocab_size == 24


def test_removed_token_is_outside_the_vocabulary(tiny_model):
    """After shrinking, an old id is an error and not a read past the end."""
    model = tiny_model(DNAFMForMaskedLM)
    model.resize_token_embeddings(12)
    with pytest.raises(ValueError, match=r"\[0, 12\)"):
        model(torch.tensor([[12]]))
