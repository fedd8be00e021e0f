import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig

from dnafm import DNAFMConfig, DNAFMForMaskedLM
from dnafm.training.architectures import PRESETS, build_model

RELEASED = Path(__file__).parents[1] / "fixtures" / "released" / "layernorm-bias"
FIELDS_OF_SIZE = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
SMALL = dict(zip(FIELDS_OF_SIZE, (32, 48, 2, 4), strict=True))


@pytest.fixture
def checkpoint(tmp_path, tiny_model):
    """A saved model with its weights in bfloat16, and the model."""
    model = tiny_model(DNAFMForMaskedLM).bfloat16()
    model.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint", model


def shapes(model):
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


def test_dnafm_has_the_parameters_of_the_released_model():
    """7,285,036,304, counted without memory for them."""
    with torch.device("meta"):
        model = build_model("dnafm")
    assert sum(weight.numel() for weight in model.parameters()) == 7_285_036_304


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_models(name):
    """Each is built, in float32, with whole heads of an even size as the rotary embedding needs, and a learning rate.

    The number of parameters is that of the formula: layers of four square and three feed-forward matrices.
    """
    with torch.device("meta"):
        model = build_model(name)
    config = model.config
    d, f = config.hidden_size, config.intermediate_size
    layer = 4 * (d * d + d) + 2 * (d * f + f) + (f * d + d) + 4 * d
    head = d * d + d + 2 * d + config.vocab_size
    n_parameters = config.vocab_size * d + config.num_hidden_layers * layer + 2 * d + head
    assert sum(weight.numel() for weight in model.parameters()) == n_parameters
    assert d % config.num_attention_heads == 0
    assert config.head_dim % 2 == 0
    assert model.dtype == torch.float32
    assert 0 < PRESETS[name].learning_rate < 1e-2


def test_smaller_presets_have_larger_learning_rates():
    """The order that the table states, from 7B down."""
    with torch.device("meta"):
        sizes = {name: build_model(name).num_parameters() for name in PRESETS}
    by_size = sorted(PRESETS, key=sizes.__getitem__, reverse=True)
    rates = [PRESETS[name].learning_rate for name in by_size]
    assert by_size[0] == "dnafm"
    assert rates == sorted(rates)


@pytest.mark.parametrize("name", PRESETS)
def test_config_file_is_as_good_as_the_preset(tmp_path, name):
    """What a preset's model saves as its config builds the same architecture."""
    with torch.device("meta"):
        preset = build_model(name)
        preset.config.save_pretrained(tmp_path)
        from_file = build_model(str(tmp_path / "config.json"))
    assert shapes(from_file) == shapes(preset)
    assert from_file.config.to_dict() == preset.config.to_dict()


def test_same_random_state_gives_the_same_fresh_weights():
    """Seeds reach the weights, and the next model is another."""
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build_model("tiny", overrides=SMALL).model.embed_tokens.weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_overrides_change_fields(tmp_path):
    """Of a preset and of a file alike; the others stay."""
    (tmp_path / "config.json").write_text(json.dumps({**SMALL, "hidden_dropout": 0.1}))
    for name in ("tiny", str(tmp_path / "config.json")):
        config = build_model(name, overrides={**SMALL, "num_hidden_layers": 1, "max_position_embeddings": 99}).config
        assert (config.num_hidden_layers, config.hidden_size, config.max_position_embeddings) == (1, 32, 99)
    assert config.hidden_dropout == 0.1


def test_checkpoint_gives_its_weights(checkpoint):
    """Training starts from them, in float32 even where they were saved in bfloat16, unless a dtype is asked for."""
    folder, model = checkpoint
    loaded = build_model(str(folder))
    assert loaded.dtype == torch.float32
    assert all(torch.equal(weight, model.state_dict()[name].float()) for name, weight in loaded.state_dict().items())
    assert build_model(str(folder), dtype=torch.bfloat16).dtype == torch.bfloat16


def test_config_file_of_a_checkpoint_gives_fresh_weights_in_float32(checkpoint):
    """The file says the architecture alone."""
    folder, model = checkpoint
    fresh = build_model(str(folder / "config.json"))
    assert shapes(fresh) == shapes(model)
    assert fresh.dtype == torch.float32
    assert not torch.equal(fresh.model.embed_tokens.weight, model.model.embed_tokens.weight.float())


def test_released_checkpoint_is_loaded():
    """One that the reference code wrote, as `from_pretrained` loads it."""
    expected = DNAFMForMaskedLM.from_pretrained(RELEASED).state_dict()
    loaded = build_model(str(RELEASED)).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], weight) for name, weight in expected.items())


def test_kernels_can_be_chosen_for_all(checkpoint, tmp_path):
    """Of presets, files and checkpoints."""
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    for name in ("tiny", str(tmp_path / "config.json"), str(checkpoint[0])):
        config = build_model(name, attn_implementation="eager", rope_implementation="eager").config
        assert (config._attn_implementation, config.rope_implementation) == ("eager", "eager")


def test_checkpoint_takes_overrides_that_leave_its_weights_as_they_are(checkpoint):
    """A longer context and dropout; what its weights have anyway may be repeated."""
    overrides = {"max_position_embeddings": 512, "hidden_dropout": 0.1, "hidden_size": 32}
    config = build_model(str(checkpoint[0]), overrides=overrides).config
    assert (config.max_position_embeddings, config.hidden_dropout) == (512, 0.1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocab_size", 20),
        ("hidden_size", 64),
        ("intermediate_size", 96),
        ("num_hidden_layers", 3),
        ("num_hidden_layers", 1),
        ("num_attention_heads", 2),
        ("normalization_type", "RMSNorm"),
        ("linear_bias", False),
        ("tie_word_embeddings", False),
    ],
)
def test_checkpoint_refuses_overrides_that_its_weights_do_not_fit(checkpoint, field, value):
    """Random weights beside loaded ones, or heads cut elsewhere, are never what is meant."""
    with pytest.raises(ValueError, match=f"{field} is {value}, and the checkpoint's weights are those of {field}"):
        build_model(str(checkpoint[0]), overrides={field: value})


@pytest.mark.parametrize("name", ["tiny", "checkpoint"])
def test_overrides_of_unknown_fields_are_refused(checkpoint, name):
    """A typing error must not train another model in silence."""
    name = str(checkpoint[0]) if name == "checkpoint" else name
    with pytest.raises(ValueError, match="DNAFMConfig has no field 'hidden_sise'"):
        build_model(name, overrides={"hidden_sise": 32})


def test_unknown_names_are_refused(tmp_path):
    """Also a folder without a config; the error lists the presets."""
    for name in ("tinny", str(tmp_path)):
        with pytest.raises(ValueError, match=rf"no architecture '{name}': .*{', '.join(PRESETS)}"):
            build_model(name)


def test_other_architectures_are_refused(tmp_path):
    """BERT's config, as a file and in a folder."""
    BertConfig().save_pretrained(tmp_path)
    for name in (tmp_path, tmp_path / "config.json"):
        with pytest.raises(ValueError, match="model_type 'bert' is not 'dnafm'"):
            build_model(str(name))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b">chr1\nACGT\n", "is no JSON: .*A config.json of a DNA FM model is due"),
        (b"\xff\xfe\x00", "is no JSON"),
        (b"[1, 2]", "holds a list; an object with fields of DNAFMConfig is due"),
        (b'{"hidden_size": 30, "num_attention_heads": 4}', "hidden_size=30 must be a multiple"),
    ],
)
def test_files_that_are_no_config_are_refused(tmp_path, content, message):
    """The error names the file or the field."""
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        build_model(str(tmp_path / "config.json"))


def test_config_defaults_are_those_of_dnafm(tmp_path):
    """Fields that a file leaves out are those of the 7B model."""
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    config = build_model(str(tmp_path / "config.json")).config
    assert config.max_position_embeddings == DNAFMConfig().max_position_embeddings == 4000
