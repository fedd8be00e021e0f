import math

import pytest
import torch

from dnafm import DNAFMConfig, DNAFMForMaskedLM, DNAFMModel

ROTARY = {
    "whole head": ({}, 8, 1.0),
    "half of each head": ({"rotary_percent": 0.5}, 4, 1.0),
    "interpolated": ({"seq_len_interpolation_factor": 4}, 8, 4.0),
    "half, interpolated": ({"rotary_percent": 0.5, "seq_len_interpolation_factor": 2.5}, 4, 2.5),
    "another base": ({"rope_parameters": {"rope_theta": 500.0}}, 8, 1.0),
}


@pytest.fixture(params=ROTARY.values(), ids=ROTARY.keys())
def rotary(request):
    """Overrides of the config, and the frequencies that follow from them, computed in float64 with math.pow."""
    overrides, channels, factor = request.param
    base = overrides.get("rope_parameters", {}).get("rope_theta", 10000.0)
    frequencies = [math.pow(base, -2 * i / channels) / factor for i in range(channels // 2)]
    return overrides, torch.tensor(frequencies, dtype=torch.float32)


def assert_exact(model, frequencies):
    """Float32, and right to its last digits."""
    rotary_emb = getattr(model, "model", model).rotary_emb
    for buffer in (rotary_emb.inv_freq, rotary_emb.original_inv_freq):
        assert buffer.dtype == torch.float32
        torch.testing.assert_close(buffer, frequencies, rtol=1e-6, atol=0)


def test_frequencies_are_those_of_the_formula(rotary, tiny_config):
    """The base ** (-2 i / channels), divided by the interpolation factor."""
    overrides, frequencies = rotary
    assert_exact(DNAFMModel(tiny_config(**overrides)), frequencies)


def test_frequencies_survive_loading(rotary, tiny_model, tmp_path):
    """They are not in the checkpoint, and are computed again after the model was built on the meta device."""
    overrides, frequencies = rotary
    model = tiny_model(**overrides)
    assert not any("inv_freq" in name for name in model.state_dict())
    model.save_pretrained(tmp_path)
    for how in ({}, {"low_cpu_mem_usage": True}, {"device_map": "cpu"}, {"dtype": torch.bfloat16}):
        assert_exact(DNAFMModel.from_pretrained(tmp_path, **how), frequencies)


@pytest.mark.parametrize("fields", [{"rotary_percent": 0.5}, {"seq_len_interpolation_factor": 2}], ids=str)
def test_rotary_settings_can_be_changed_at_load_time(tiny_config, tmp_path, fields):
    """`from_pretrained(path, seq_len_interpolation_factor=2)` is how a context is stretched."""
    tiny_config().save_pretrained(tmp_path)
    expected = tiny_config(**fields).rope_parameters
    assert DNAFMConfig.from_pretrained(tmp_path, **fields).rope_parameters == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_frequencies_are_never_rounded(tiny_model, dtype):
    """Half precision is for the weights: 10000 ** -0.25 = 0.1 in bfloat16 would be wrong by a radian at 2,000 nt."""
    frequencies = torch.tensor([1.0, 0.1, 0.01, 0.001])
    for convert in (
        lambda model: model.to(dtype),
        lambda model: model.to(dtype).float(),
        lambda model: model.to("cpu", dtype),
        lambda model: model.bfloat16() if dtype == torch.bfloat16 else model.half(),
    ):
        assert_exact(convert(tiny_model(DNAFMForMaskedLM)), frequencies)


def test_frequencies_are_exact_where_half_is_the_default_dtype(tiny_config):
    """A model that is built under a default dtype of bfloat16 has bfloat16 weights and float32 frequencies."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = DNAFMModel(tiny_config())
    finally:
        torch.set_default_dtype(torch.float32)
    assert model.embed_tokens.weight.dtype == torch.bfloat16
    assert_exact(model, torch.tensor([1.0, 0.1, 0.01, 0.001]))


def test_frequencies_are_filled_in_after_to_empty(tiny_config):
    """A model from the meta device, as sharded training makes it, gets them back from its own initialisation."""
    with torch.device("meta"):
        model = DNAFMModel(tiny_config())
    model.to_empty(device="cpu")
    for buffer in model.buffers():
        buffer.fill_(float("nan"))
    model.init_weights()
    assert_exact(model, torch.tensor([1.0, 0.1, 0.01, 0.001]))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_angles_are_position_times_frequency(tiny_config):
    """Cosine and sine of position * frequency, the two halves alike, in float32 at the end of the context."""
    model = DNAFMModel(tiny_config()).bfloat16()
    cos, sin = model.rotary_emb(torch.zeros(()), torch.tensor([[0, 3999]]))
    assert cos.shape == sin.shape == (1, 2, 8)
    assert cos.dtype == sin.dtype == torch.float32
    angles = [3999 * frequency for frequency in (1.0, 0.1, 0.01, 0.001)] * 2
    torch.testing.assert_close(cos[0, 1], torch.tensor([math.cos(a) for a in angles]), rtol=0, atol=1e-3)
    torch.testing.assert_close(sin[0, 1], torch.tensor([math.sin(a) for a in angles]), rtol=0, atol=1e-3)
    assert cos[0, 0].tolist() == [1.0] * 8
    assert sin[0, 0].tolist() == [0.0] * 8


def test_interpolation_is_a_division_of_the_positions(tiny_model, batch):
    """A factor of 2 gives at positions 0, 2, 4, ... what the same weights give at 0, 1, 2, ... without."""
    model, interpolated = tiny_model(), tiny_model(seq_len_interpolation_factor=2)
    interpolated.load_state_dict(model.state_dict())
    positions = torch.arange(9).expand(3, 9)
    expected = model(**batch, position_ids=positions).last_hidden_state
    found = interpolated(**batch, position_ids=2 * positions).last_hidden_state
    torch.testing.assert_close(found, expected)


def test_channels_beyond_the_rotary_size_are_left_alone(tiny_model):
    """Half of each head's channels is the same at all positions: the layer's queries rotate only the first four."""
    attention = tiny_model(rotary_percent=0.5).layers[0].self_attn
    seen = {}

    def spy(module, query, key, value, mask, **kwargs):
        seen["query"] = query
        return query.transpose(1, 2), None

    rotary_emb = tiny_model(rotary_percent=0.5).rotary_emb
    attention(
        torch.randn(1, 1, 32).expand(1, 6, 32),
        position_embeddings=rotary_emb(torch.zeros(()), torch.arange(6)[None]),
        attention_interface=spy,
    )
    query = seen["query"][0, 0]
    torch.testing.assert_close(query[:, 4:], query[:1, 4:].expand(6, 4))
    assert not torch.allclose(query[1:, :4], query[:1, :4])
