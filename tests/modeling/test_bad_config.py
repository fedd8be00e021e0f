import re

import pytest
import torch

from dnafm import DNAFMConfig, DNAFMForMaskedLM, DNAFMModel


def refuses(message):
    """A ValueError whose message contains this text."""
    return pytest.raises(ValueError, match=re.escape(message))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 0}, "vocab_size=0 must be at least 1"),
        ({"hidden_size": 0}, "hidden_size=0 must be at least 1"),
        ({"intermediate_size": -1}, "intermediate_size=-1 must be at least 1"),
        ({"num_attention_heads": 0}, "num_attention_heads=0 must be at least 1"),
        ({"max_position_embeddings": 0}, "max_position_embeddings=0 must be at least 1"),
        ({"num_hidden_layers": -1}, "num_hidden_layers=-1 must not be negative"),
        ({"hidden_size": 30}, "hidden_size=30 must be a multiple of num_attention_heads=4"),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps=0.0 must be positive"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps=nan must be positive"),
        ({"initializer_range": -0.02}, "initializer_range=-0.02 must be positive"),
        ({"attention_dropout": 1.0}, "attention_dropout=1.0 must lie in [0, 1)"),
        ({"hidden_dropout": -0.1}, "hidden_dropout=-0.1 must lie in [0, 1)"),
        ({"classifier_dropout": 1.5}, "classifier_dropout=1.5 must lie in [0, 1)"),
        (
            {"normalization_type": "BatchNorm"},
            "normalization_type='BatchNorm' must be one of ('LayerNorm', 'RMSNorm')",
        ),
        ({"classifier_pooling": "sum"}, "classifier_pooling='sum' must be one of ('mean', 'cls', 'max')"),
        ({"classifier_hidden_size": -1}, "classifier_hidden_size=-1 must not be negative"),
        ({"classifier_activation": "step"}, "classifier_activation='step' must be one of"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "['rope_type']=yarn must be one of"),
        ({"rope_parameters": {"rope_theta": 0.0}}, "rope_parameters['rope_theta']=0.0 must be positive"),
        ({"rope_parameters": {"rope_type": "linear"}}, "rope_parameters['factor']=None must be positive where"),
        ({"seq_len_interpolation_factor": 0}, "rope_parameters['factor']=0.0 must be positive where rope_type is"),
        ({"rope_parameters": {"factor": 2.0}}, "rope_parameters['factor']=2.0 must be positive where rope_type is"),
        ({"rope_theta": "x"}, "rope_parameters['rope_theta']=x must be positive"),
        ({"num_labels": -1}, "num_labels=0 must be at least 1"),
        ({"rotary_percent": 0.0}, "rotary_percent=0.0 must lie in (0, 1]"),
        ({"rotary_percent": 1.25}, "rotary_percent=1.25 must lie in (0, 1]"),
        ({"rotary_percent": 0.4}, "rotary size int(head_dim * rotary_percent)=3 must be even and at least 2"),
        ({"rotary_percent": 0.1}, "rotary size int(head_dim * rotary_percent)=0 must be even and at least 2"),
        ({"hidden_size": 36}, "(head_dim=9, rotary_percent=1.0)"),
    ],
    ids=str,
)
def test_field_that_no_network_can_have_is_refused(tiny_config, fields, message):
    """The message names field, value and rule; `from_dict`, and so a config.json, is checked as well."""
    with refuses(message):
        tiny_config(**fields)
    with refuses(message):
        DNAFMConfig.from_dict({**tiny_config().to_dict(), "rope_parameters": None, **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classifier_pooling": "sum"}, "classifier_pooling='sum' must be one of"),
        ({"normalization_type": "BatchNorm"}, "normalization_type='BatchNorm' must be one of"),
        ({"hidden_dropout": 1.5}, "hidden_dropout=1.5 must lie in [0, 1)"),
    ],
    ids=str,
)
def test_field_is_checked_when_it_is_changed_at_load_time(tiny_config, tmp_path, fields, message):
    """`from_pretrained(path, field=value)` is held to the same rules."""
    tiny_config().save_pretrained(tmp_path)
    with refuses(message):
        DNAFMConfig.from_pretrained(tmp_path, **fields)


def test_bounds_themselves_are_allowed(tiny_config):
    """No layer, no dropout, one head, the smallest rotary size, an integer rate."""
    model = DNAFMForMaskedLM(tiny_config(num_hidden_layers=0, hidden_dropout=0, classifier_dropout=0))
    assert model(torch.tensor([[5, 6]])).logits.shape == (1, 2, 16)
    assert DNAFMModel(tiny_config(num_attention_heads=1, rotary_percent=1)).config.rotary_dim == 32
    assert tiny_config(rotary_percent=0.25).rotary_dim == 2


def test_wrong_type_is_refused(tiny_config):
    """A number in quotes is told by field, expected type and value."""
    with pytest.raises(Exception, match="'hidden_size' expected int, got str"):
        tiny_config(hidden_size="32")


def test_unknown_activation_is_refused(tiny_config):
    """With the name of the field and of the value."""
    with pytest.raises(ValueError, match="hidden_act='siluu'"):
        DNAFMModel(tiny_config(hidden_act="siluu"))


def test_the_reference_codes_activation_is_silu(tiny_config):
    """`swiglu` names the gated block, `silu` the activation in it."""
    assert tiny_config(hidden_act="swiglu").hidden_act == "silu"


def test_base_of_the_frequencies_is_not_dropped(tiny_config):
    """`rope_theta` outside of `rope_parameters`, as older configs of transformers have it, counts."""
    assert tiny_config(rope_theta=500.0).rope_theta == 500.0


def test_foreign_positions_are_refused():
    """A released config with learned positions is no DNA FM."""
    with refuses("position_embedding_type=absolute must be 'rope'"):
        DNAFMConfig.from_dict({"model_type": "rnabert", "position_embedding_type": "absolute"})


def test_foreign_model_type_is_refused():
    """With the remedy."""
    with refuses("model_type 'esm' is not 'dnafm' or 'rnabert'"):
        DNAFMConfig.from_dict({"model_type": "esm"})


@pytest.fixture
def load(tiny_model, tmp_path):
    """Load a saved model with these kernels."""
    tiny_model().save_pretrained(tmp_path)
    return lambda **kernels: DNAFMModel.from_pretrained(tmp_path, **kernels)


def test_unknown_kernels_are_refused(load, tiny_model):
    """At load time, or when they are set."""
    with refuses('attn_implementation="flush"'):
        load(attn_implementation="flush")
    with refuses("rope_implementation='fast' must be one of ('auto', 'eager', 'flash_attn', 'liger', 'hub')"):
        load(rope_implementation="fast")
    with refuses('attn_implementation="flush"'):
        tiny_model().set_attn_implementation("flush")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_flash_attention_on_a_cpu_is_refused(load, monkeypatch, dtype):
    """At load time, with the reason of each provider and the remedy, and never replaced in silence."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *_, **__: None)
    with refuses("attn_implementation='flash_attention_2' cannot run") as error:
        load(attn_implementation="flash_attention_2", dtype=dtype)
    assert "flash_attention_2 of flash-attn: needs a CUDA device, not cpu" in str(error.value)
    assert "flash_attention_2 of torch: needs a CUDA device, not cpu" in str(error.value)
    assert "attn_implementation='auto'" in str(error.value)


@pytest.mark.parametrize("name", ["flash_attn", "liger", "hub"])
def test_fused_rotary_kernels_on_a_cpu_are_refused(load, monkeypatch, name):
    """At load time, with reason and remedy."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *_, **__: None)
    with refuses(f"rope_implementation='{name}' cannot run: needs a CUDA device, not cpu") as error:
        load(rope_implementation=name)
    assert "rope_implementation='auto'" in str(error.value)


def test_attention_kernel_of_the_hub_runs_or_raises(load):
    """Offline, or without the `kernels` package, the error is about that and nothing else takes its place."""
    with pytest.raises((ImportError, OSError, ValueError), match="kernels"):
        load(attn_implementation="kernels-community/flash-attn2")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hidden_size", 30, "hidden_size=30 must be a multiple of num_attention_heads=4"),
        ("rope_parameters", {"rope_type": "dynamic", "rope_theta": 1e4}, "['rope_type']=dynamic must be one of"),
    ],
)
def test_fields_set_after_construction_are_checked_by_the_model(tiny_config, name, value, message):
    """A config that was changed is checked when a model is built from it."""
    config = tiny_config()
    setattr(config, name, value)
    with refuses(message):
        DNAFMModel(config)


def test_partial_rotation_survives_the_old_name_of_the_rope_parameters(tiny_config):
    """`rope_scaling` is what transformers called them before."""
    config = tiny_config(rotary_percent=0.5, rope_scaling={"rope_type": "linear", "factor": 2.0})
    assert (config.rotary_percent, config.seq_len_interpolation_factor) == (0.5, 2.0)
