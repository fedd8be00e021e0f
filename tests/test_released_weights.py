"""Checkpoints of the reference code load under their own names and compute what the reference code computed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dnafm import (
    DNAFMConfig,
    DNAFMForMaskedLM,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
)

RELEASED = Path(__file__).parent / "fixtures" / "released"
FOLDERS = {
    "layernorm-bias": (DNAFMForMaskedLM, {}),
    "rmsnorm-nobias-head34": (DNAFMForMaskedLM, {}),
    "sharded-bin": (DNAFMForMaskedLM, {}),
    "sequence-classification-cls": (DNAFMForSequenceClassification, {"classifier_pooling": "cls"}),
    "sequence-classification-mean": (DNAFMForSequenceClassification, {"classifier_pooling": "mean"}),
    "token-classification": (DNAFMForTokenClassification, {}),
}
MASKED_LM_FOLDERS = [name for name, (model_class, _) in FOLDERS.items() if model_class is DNAFMForMaskedLM]
TOLERANCE = {"atol": 1e-5, "rtol": 0}


def load(folder, **options):
    model_class, config = FOLDERS[folder]
    return model_class.from_pretrained(RELEASED / folder, **config, **options)


def expected_of(folder):
    expected = load_file(RELEASED / folder / "expected.safetensors")
    inputs = {name: expected[name] for name in ("input_ids", "attention_mask", "labels")}
    return inputs, expected, inputs["attention_mask"].bool()


@pytest.mark.parametrize("attention", ["auto", "eager", "sdpa"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_logits_and_loss_are_those_of_the_reference_code(folder, attention):
    """To 1e-5 in float32 at every token, by every kernel that runs here."""
    inputs, expected, is_token = expected_of(folder)
    with torch.no_grad():
        output = load(folder, attn_implementation=attention)(**inputs)
    torch.testing.assert_close(output.loss, expected["loss"][0], **TOLERANCE)
    if output.logits.dim() == 2:
        torch.testing.assert_close(output.logits, expected["logits"], **TOLERANCE)
    else:
        torch.testing.assert_close(output.logits[is_token], expected["logits"][is_token], **TOLERANCE)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_key_is_accounted_for(folder):
    """No missing, unexpected or mismatched parameter, also where the tied decoder is absent."""
    _, report = load(folder, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


@pytest.mark.parametrize("folder", MASKED_LM_FOLDERS)
def test_hidden_states_and_attention_are_those_of_the_reference_code(folder):
    """All layers + 1, the last after the final norm; the probabilities of the first layer."""
    inputs, expected, is_token = expected_of(folder)
    with torch.no_grad():
        output = load(folder)(**inputs, output_hidden_states=True, output_attentions=True)
    assert len(output.hidden_states) == len(expected["hidden_states"])
    for found, reference in zip(output.hidden_states, expected["hidden_states"], strict=True):
        torch.testing.assert_close(found[is_token], reference[is_token], **TOLERANCE)
    is_query = is_token[:, None, :, None].expand_as(output.attentions[0])
    torch.testing.assert_close(output.attentions[0][is_query], expected["attention_layer0"][is_query], **TOLERANCE)


@pytest.mark.parametrize("attention", ["auto", "eager"])
@pytest.mark.parametrize("folder", MASKED_LM_FOLDERS)
def test_gradients_are_those_of_the_reference_code(folder, attention):
    """Of the tied embeddings, the first query projection and the last down projection."""
    inputs, expected, _ = expected_of(folder)
    model = load(folder, attn_implementation=attention)
    model(**inputs).loss.backward()
    found = {
        "grad_word_embeddings": model.model.embed_tokens.weight.grad,
        "grad_query0": model.model.layers[0].self_attn.q_proj.weight.grad,
        "grad_down_last": model.model.layers[-1].mlp.down_proj.weight.grad,
    }
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], **TOLERANCE)


@pytest.mark.parametrize("folder", FOLDERS)
def test_saving_writes_the_names_of_dnafm_and_loses_nothing(folder, tmp_path):
    """Released names in, dnafm's out, every tensor equal; `save_original_format` writes the released ones again."""
    model = load(folder)
    model.save_pretrained(tmp_path / "dnafm")
    assert all(
        name.startswith(("model.", "lm_head.", "classifier."))
        for name in load_file(tmp_path / "dnafm" / "model.safetensors")
    )
    assert DNAFMConfig.from_pretrained(tmp_path / "dnafm").architectures == [type(model).__name__]
    model.save_pretrained(tmp_path / "released", save_original_format=True)
    released = load_file(tmp_path / "released" / "model.safetensors")
    assert any(name.startswith("bert.encoder.layer.0.attention.self.query") for name in released)
    for source in ("dnafm", "released"):
        again = type(model).from_pretrained(tmp_path / source).state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())


def test_encoder_of_a_masked_lm_checkpoint_is_the_same_encoder():
    """`DNAFMModel` takes the encoder out of a checkpoint with a head, which transformers reports as unexpected."""
    inputs, expected, is_token = expected_of("layernorm-bias")
    inputs.pop("labels")
    encoder, report = DNAFMModel.from_pretrained(RELEASED / "layernorm-bias", output_loading_info=True)
    with torch.no_grad():
        states = encoder(**inputs).last_hidden_state
    torch.testing.assert_close(states[is_token], expected["hidden_states"][-1][is_token], **TOLERANCE)
    assert not report["missing_keys"]
    assert all("cls.predictions" in name or "lm_head" in name for name in report["unexpected_keys"])


def test_a_fresh_head_on_a_released_encoder_is_reported():
    """The only parameters that may be missing are those of the new head."""
    _, report = DNAFMForSequenceClassification.from_pretrained(RELEASED / "layernorm-bias", output_loading_info=True)
    assert {name.split(".")[0] for name in report["missing_keys"]} == {"classifier"}


def test_every_field_of_a_released_config_is_translated():
    """Names, the activation and the architecture; nothing of the old file is left over."""
    config = DNAFMConfig.from_pretrained(RELEASED / "rmsnorm-nobias-head34")
    found = config.to_dict()
    assert (config.model_type, config.architectures) == ("dnafm", ["DNAFMForMaskedLM"])
    assert (config.hidden_size, config.intermediate_size, config.num_attention_heads) == (68, 182, 2)
    assert (config.normalization_type, config.linear_bias, config.hidden_act) == ("RMSNorm", False, "silu")
    assert (config.hidden_dropout, config.attention_dropout, config.head_dim) == (0.0, 0.0, 34)
    assert config.rope_parameters == {"rope_theta": 10000.0, "rope_type": "default"}
    assert not {"add_linear_bias", "position_embedding_type", "type_vocab_size", "tokenizer_type"} & set(found)


def test_released_rotary_fields_are_translated():
    """`rotary_percent` becomes a partial rotation, the interpolation factor linear scaling."""
    released = {"model_type": "rnabert", "hidden_size": 64, "num_attention_heads": 2, "hidden_act": "swiglu"}
    config = DNAFMConfig.from_dict({**released, "rotary_percent": 0.25, "seq_len_interpolation_factor": 2})
    assert config.rope_parameters == {
        "rope_theta": 10000.0,
        "rope_type": "linear",
        "factor": 2.0,
        "partial_rotary_factor": 0.25,
    }
    assert (config.rotary_dim, config.rotary_percent, config.seq_len_interpolation_factor) == (8, 0.25, 2.0)


def test_released_config_with_other_positions_is_refused():
    """DNA FM has rotary positions only."""
    with pytest.raises(ValueError, match="position_embedding_type=absolute must be 'rope'"):
        DNAFMConfig.from_dict({"model_type": "rnabert", "position_embedding_type": "absolute"})
