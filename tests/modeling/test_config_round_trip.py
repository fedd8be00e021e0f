import copy
import json
import pickle

import pytest
from transformers import AutoConfig

from dnafm import DNAFMConfig, DNAFMModel

ROTARY = {
    "whole head": {},
    "partial": {"rotary_percent": 0.5},
    "linear": {"seq_len_interpolation_factor": 4},
    "partial, linear": {"rotary_percent": 0.5, "seq_len_interpolation_factor": 1.5},
    "as transformers writes it": {
        "rope_parameters": {"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.75, "rope_theta": 500.0}
    },
}
HEADS = {"num_labels": 5, "problem_type": "regression", "classifier_dropout": 0.3, "classifier_pooling": "max"}


@pytest.mark.parametrize("overrides", [*ROTARY.values(), HEADS], ids=[*ROTARY, "heads"])
def test_saved_config_loads_as_it_was(overrides, tiny_config, tmp_path):
    """Through a file, through a dict, through a pickle and through a copy."""
    config = tiny_config(**overrides)
    config.save_pretrained(tmp_path)
    copies = (
        DNAFMConfig.from_pretrained(tmp_path),
        AutoConfig.from_pretrained(tmp_path),
        DNAFMConfig.from_dict(config.to_dict()),
        DNAFMConfig(**config.to_diff_dict()),
        pickle.loads(pickle.dumps(config)),
        copy.deepcopy(config),
    )
    for other in copies:
        assert type(other) is DNAFMConfig
        assert other.to_json_string() == config.to_json_string()
        assert other.rotary_dim == config.rotary_dim
        assert other.rotary_percent == config.rotary_percent
        assert other.seq_len_interpolation_factor == config.seq_len_interpolation_factor
        assert other.rope_theta == config.rope_theta


def test_both_ways_to_name_the_rotary_settings_agree(tiny_config):
    """The reference code's two fields and transformers' dict give one config."""
    released = tiny_config(rotary_percent=0.5, seq_len_interpolation_factor=4)
    todays = tiny_config(rope_parameters={"rope_type": "linear", "factor": 4.0, "partial_rotary_factor": 0.5})
    assert released.to_dict() == todays.to_dict()
    assert released.rope_parameters == {
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5,
        "rope_type": "linear",
        "factor": 4.0,
    }


def test_rotary_size_counts_channels(tiny_config):
    """int(head size * share): 8 * 0.5 = 4; int(34 * 0.25) = int(8.5) = 8."""
    assert tiny_config(rotary_percent=0.5).rotary_dim == 4
    assert tiny_config(hidden_size=136, rotary_percent=0.25).rotary_dim == 8


def test_kernels_are_not_saved(tiny_config, tmp_path):
    """They belong to the machine: config.json names none, and loading it asks for `auto` again."""
    config = tiny_config(rope_implementation="eager", attn_implementation="eager")
    DNAFMModel(config).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert not [name for name in saved if "implementation" in name or "attention_requested" in name]
    loaded = DNAFMModel.from_pretrained(tmp_path).config
    assert loaded.rope_implementation == loaded.attention_requested == "auto"


def test_kernels_survive_a_copy_and_a_pickle(tiny_config):
    """Within one machine the choice stays."""
    config = tiny_config(rope_implementation="eager", attn_implementation="flex_attention")
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other.rope_implementation == "eager"
        assert other.attention_requested == "flex_attention"


@pytest.mark.parametrize("requested", ["auto", "sdpa", "eager", "flex_attention"])
def test_kernels_are_chosen_when_a_model_is_loaded(requested, tiny_model, tmp_path):
    """By keyword of from_pretrained, of a config, or afterwards; the model remembers what was asked for."""
    tiny_model().save_pretrained(tmp_path)
    kernels = {"attn_implementation": requested, "rope_implementation": "eager"}
    config = DNAFMConfig.from_pretrained(tmp_path, **kernels)
    models = [DNAFMModel.from_pretrained(tmp_path, **kernels), DNAFMModel(config), DNAFMModel._from_config(config)]
    models.append(DNAFMModel.from_pretrained(tmp_path, rope_implementation="eager"))
    models[-1].set_attn_implementation(requested)
    for model in models:
        assert model.config.attention_requested == requested
        assert model.config.rope_implementation == "eager"
        report = model.kernel_report()
        assert report.attention.name == ("sdpa" if requested == "auto" else requested)  # on a CPU
        assert report.rope.name == "eager"


def test_defaults_are_dna_fm_7b():
    """The published dimensions."""
    config = DNAFMConfig()
    assert (config.num_hidden_layers, config.hidden_size, config.intermediate_size) == (32, 4352, 11584)
    assert (config.num_attention_heads, config.head_dim, config.vocab_size) == (32, 136, 16)
    assert (config.max_position_embeddings, config.rope_theta, config.layer_norm_eps) == (4000, 10000.0, 1e-5)
    assert (config.normalization_type, config.linear_bias, config.tie_word_embeddings) == ("LayerNorm", True, True)


def test_two_configs_do_not_share_their_rotary_settings(tiny_config):
    """A dict that was passed in stays the caller's."""
    mine = {"rope_theta": 500.0}
    config = tiny_config(rope_parameters=mine)
    config.rope_parameters["rope_theta"] = 1.0
    assert mine == {"rope_theta": 500.0}
    assert tiny_config().rope_theta == 10000.0
