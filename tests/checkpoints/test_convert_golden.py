"""Golden checkpoints convert to what the reference code computed, and back to the same bytes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from dnafm import DNAFMForMaskedLM, DNAFMModel, DNAFMTokenizer
from dnafm.checkpoints import read_checkpoint, shard_writer, write_checkpoint

FIXTURES = Path(__file__).parents[1] / "fixtures"
RELEASED = {
    "layernorm-bias": (AutoModelForMaskedLM, None),
    "rmsnorm-nobias-head34": (AutoModelForMaskedLM, None),
    "sharded-bin": (AutoModelForMaskedLM, None),
    "sequence-classification-cls": (AutoModelForSequenceClassification, "cls"),
    "sequence-classification-mean": (AutoModelForSequenceClassification, "mean"),
    "token-classification": (AutoModelForTokenClassification, None),
}
TIED = {"cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"} | {
    "cls.predictions.decoder.bias": "cls.predictions.bias"
}


def stored_tensors(folder):
    """Read all tensors of a folder without dnafm."""
    tensors = {}
    for path in folder.iterdir():
        if path.suffix == ".bin":
            tensors |= torch.load(path, weights_only=True)
        elif path.suffix == ".safetensors" and path.name != "expected.safetensors":
            tensors |= load_file(path)
    return tensors


def assert_golden(model, expected):
    """Logits and loss are the reference code's at every token."""
    inputs = {name: expected[name] for name in ("input_ids", "attention_mask", "labels")}
    with torch.no_grad():
        output = model(**inputs)
    kept = inputs["attention_mask"].bool() if output.logits.dim() == 3 else slice(None)
    torch.testing.assert_close(output.logits[kept], expected["logits"][kept], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.loss, expected["loss"][0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", ["5GB", "60KB"])
@pytest.mark.parametrize("name", RELEASED)
def test_released_checkpoints_convert_to_golden_outputs(name, size, tmp_path):
    """One file or several: the Auto classes load them, to 1e-5 of the reference code, with the `[SEP]` suffix."""
    auto_class, pooling = RELEASED[name]
    source = FIXTURES / "released" / name
    conversion = write_checkpoint(read_checkpoint(source, pooling=pooling), tmp_path / "new", max_shard_size=size)
    assert (conversion.n_files > 1) == (size == "60KB") == (tmp_path / "new" / "model.safetensors.index.json").exists()
    model, report = auto_class.from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert conversion.n_parameters == model.num_parameters()
    assert_golden(model, load_file(source / "expected.safetensors"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "new")
    assert (type(tokenizer), tokenizer.suffix_token, tokenizer.model_max_length) == (DNAFMTokenizer, "[SEP]", 4000)


@pytest.mark.parametrize("name", ["megatron-pp2", "megatron-tp2"])
def test_megatron_checkpoints_convert_to_golden_outputs(name, tmp_path):
    """Tensor- and pipeline-parallel ranks are put together, to 1e-5 of the reference code."""
    write_checkpoint(read_checkpoint(FIXTURES / "megatron" / name), tmp_path / "new")
    expected = load_file(FIXTURES / "released" / "layernorm-bias" / "expected.safetensors")
    assert_golden(DNAFMForMaskedLM.from_pretrained(tmp_path / "new"), expected)
    assert AutoTokenizer.from_pretrained(tmp_path / "new").suffix_token == "[SEP]"


@pytest.mark.parametrize("name", RELEASED)
def test_there_and_back_is_equal_to_the_byte(name, tmp_path):
    """Released to dnafm to released: every tensor is the same, and only tied entries may be added."""
    source = FIXTURES / "released" / name
    write_checkpoint(read_checkpoint(source, pooling=RELEASED[name][1]), tmp_path / "dnafm", max_shard_size="60KB")
    write_checkpoint(read_checkpoint(tmp_path / "dnafm"), tmp_path / "back", layout="released")
    before, after = stored_tensors(source), stored_tensors(tmp_path / "back")
    assert after.keys() - before.keys() <= TIED.keys()
    for key, tensor in before.items():
        assert after[key].dtype == tensor.dtype, key
        assert after[key].numpy().tobytes() == tensor.numpy().tobytes(), key
    for copy in after.keys() & TIED.keys():
        assert torch.equal(after[copy], after[TIED[copy]])


@pytest.mark.parametrize("name", RELEASED)
def test_there_and_back_keeps_every_field_of_the_config(name, tmp_path):
    """The reference code's config.json comes back, for a transformers of its own version."""
    source = FIXTURES / "released" / name
    write_checkpoint(read_checkpoint(source, pooling=RELEASED[name][1]), tmp_path / "dnafm")
    write_checkpoint(read_checkpoint(tmp_path / "dnafm"), tmp_path / "back", layout="released")
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (source, tmp_path / "back"))
    before["transformers_version"] = "4.38.0"  # a development version of it
    assert before.items() <= after.items()


def test_names_are_those_that_the_reference_code_loads_strictly(tmp_path):
    """What `state_dict()` of a `RNABertForMaskedLM` names, both tied entries included, whatever the source had."""
    write_checkpoint(read_checkpoint(FIXTURES / "released" / "sharded-bin"), tmp_path / "new", layout="released")
    complete = load_file(FIXTURES / "released" / "layernorm-bias" / "model.safetensors")
    assert load_file(tmp_path / "new" / "model.safetensors").keys() == complete.keys()


def test_encoder_alone_goes_there_and_back(tiny_model, tmp_path):
    """A `DNAFMModel` is a `RNABertModel`, whose names have no prefix."""
    encoder = tiny_model(DNAFMModel)
    encoder.save_pretrained(tmp_path / "dnafm")
    DNAFMTokenizer(suffix_token=None).save_pretrained(tmp_path / "dnafm")
    write_checkpoint(read_checkpoint(tmp_path / "dnafm"), tmp_path / "released", layout="released")
    assert "embeddings.word_embeddings.weight" in load_file(tmp_path / "released" / "model.safetensors")
    write_checkpoint(read_checkpoint(tmp_path / "released"), tmp_path / "again")
    again = DNAFMModel.from_pretrained(tmp_path / "again").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in encoder.state_dict().items())
    # The tokenizer goes with the weights.
    assert AutoTokenizer.from_pretrained(tmp_path / "again").suffix_token is None


def test_decoder_of_its_own_is_kept(tiny_model, tmp_path):
    """Where the weights are not tied, both are there, in both layouts."""
    model = tiny_model(DNAFMForMaskedLM, tie_word_embeddings=False)
    model.save_pretrained(tmp_path / "dnafm")
    write_checkpoint(read_checkpoint(tmp_path / "dnafm"), tmp_path / "released", layout="released")
    write_checkpoint(read_checkpoint(tmp_path / "released"), tmp_path / "again")
    again = DNAFMForMaskedLM.from_pretrained(tmp_path / "again").state_dict()
    assert not torch.equal(again["lm_head.decoder.weight"], again["model.embed_tokens.weight"])
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["layernorm-bias", "sharded-bin"])
def test_dtype_is_converted(name, tmp_path):
    """Each tensor is rounded once, the config says so, and `from_pretrained` takes it from there."""
    checkpoint = read_checkpoint(FIXTURES / "released" / name)
    conversion = write_checkpoint(checkpoint, tmp_path / "new", dtype=torch.bfloat16, verify=True)
    assert 0 < conversion.comparison.max_difference < conversion.comparison.limit
    model = DNAFMForMaskedLM.from_pretrained(tmp_path / "new")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    exact = DNAFMForMaskedLM.from_pretrained(FIXTURES / "released" / name).state_dict()
    assert all(torch.equal(t, exact[name].bfloat16()) for name, t in model.state_dict().items())


@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float16], ids=str)
def test_widened_weights_compute_the_same(narrow, tmp_path):
    """Weights in float32 that came from half precision lose nothing, and verification does not take it for a loss."""
    write_checkpoint(read_checkpoint(FIXTURES / "released" / "layernorm-bias"), tmp_path / "half", dtype=narrow)
    half = read_checkpoint(tmp_path / "half")
    conversion = write_checkpoint(half, tmp_path / "full", dtype=torch.float32, verify=True)
    assert conversion.comparison.max_difference == 0
    tensors = stored_tensors(tmp_path / "half")
    assert all(
        torch.equal(tensor, tensors[name].float()) for name, tensor in stored_tensors(tmp_path / "full").items()
    )


def test_one_shard_at_a_time_is_in_memory(tmp_path, monkeypatch):
    """What is collected before a file is written never exceeds the size of a shard, but for a larger single tensor."""
    written = []

    def save(tensors, path, metadata):
        written.append((len(tensors), sum(t.untyped_storage().nbytes() for t in tensors.values())))
        assert all(t.untyped_storage().nbytes() == t.nbytes for t in tensors.values())

    monkeypatch.setattr(shard_writer, "save_file", save)
    checkpoint = read_checkpoint(FIXTURES / "megatron" / "megatron-tp2")
    write_checkpoint(checkpoint, tmp_path / "new", max_shard_size=50_000)
    assert len(written) > 5
    assert all(n_bytes <= 50_000 or n_tensors == 1 for n_tensors, n_bytes in written)
    assert sum(n_bytes for _, n_bytes in written) == checkpoint.n_bytes()


def test_verification_fails_where_weights_differ(tmp_path, monkeypatch):
    """A tensor that was changed on the way is noticed, and nothing is kept."""

    def save(tensors, path, metadata):
        from safetensors.torch import save_file

        save_file({name: t + 1 if "gate_proj.weight" in name else t for name, t in tensors.items()}, path, metadata)

    monkeypatch.setattr(shard_writer, "save_file", save)
    with pytest.raises(ValueError, match="differ by"):
        write_checkpoint(read_checkpoint(FIXTURES / "megatron" / "megatron-pp2"), tmp_path / "new", verify=True)
    assert not list(tmp_path.iterdir())


def test_what_belongs_to_a_task_is_kept(tiny_model, tmp_path):
    """`task.json` goes with the weights of a fine-tuned model, where the layout stays dnafm's."""
    tiny_model(DNAFMForMaskedLM).save_pretrained(tmp_path / "fitted")
    (tmp_path / "fitted" / "task.json").write_text('{"task": "MaskedLM"}')
    checkpoint = read_checkpoint(tmp_path / "fitted")
    write_checkpoint(checkpoint, tmp_path / "half", dtype=torch.float16)
    write_checkpoint(checkpoint, tmp_path / "released", layout="released")
    assert (tmp_path / "half" / "task.json").read_text() == '{"task": "MaskedLM"}'
    assert not (tmp_path / "released" / "task.json").exists()


def test_card_says_where_the_weights_and_their_licence_come_from(tmp_path):
    """A Hub id of GenBio is the base model, under its licence; of a local folder the card does not know."""
    checkpoint = read_checkpoint(FIXTURES / "released" / "layernorm-bias")
    write_checkpoint(checkpoint, tmp_path / "hub", origin="genbio-ai/AIDO.DNA-7B")
    write_checkpoint(checkpoint, tmp_path / "local")
    hub, local = ((tmp_path / name / "README.md").read_text() for name in ("hub", "local"))
    assert "base_model: genbio-ai/AIDO.DNA-7B" in hub
    assert "license_name: genbio-ai-community-license" in hub
    assert "license:" not in local
    for card in (hub, local):
        assert "non-commercial" in card
        assert "107,664 parameters" in card
