import copy
import json

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM, BertConfig

from dnafm import (
    DNAFMForMaskedLM,
    DNAFMForPairwiseTokenClassification,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
)

# The names of the reference code, written out for one layer; {} is `weight` or `bias`.
RELEASED_ENCODER = (
    "bert.encoder.layer.0.attention.ln.{}",
    "bert.encoder.layer.0.attention.self.query.{}",
    "bert.encoder.layer.0.attention.self.key.{}",
    "bert.encoder.layer.0.attention.self.value.{}",
    "bert.encoder.layer.0.attention.output.dense.{}",
    "bert.encoder.layer.0.ln.{}",
    "bert.encoder.layer.0.mlp.gate_proj.{}",
    "bert.encoder.layer.0.mlp.up_proj.{}",
    "bert.encoder.layer.0.mlp.down_proj.{}",
    "bert.encoder.ln.{}",
)
RELEASED_HEADS = {
    DNAFMForMaskedLM: ("cls.predictions.transform.dense.{}", "cls.predictions.transform.LayerNorm.{}"),
    DNAFMForSequenceClassification: ("classifier.dense.{}", "classifier.out_proj.{}"),
    DNAFMForTokenClassification: ("classifier.{}",),
    DNAFMForPairwiseTokenClassification: ("classifier.dense.{}", "classifier.biaffine.{}"),
}


def assert_same_weights(model, other):
    """Names, dtypes and every bit agree."""
    found, expected = other.state_dict(), model.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_saved_model_loads_bit_for_bit(model_class, tiny_model, batch, tmp_path, dtype):
    """Every bit of the weights, the dtype and the outputs come back, and nothing is missing or left over."""
    model = tiny_model(model_class).to(dtype)
    model.save_pretrained(tmp_path)
    loaded, report = model_class.from_pretrained(tmp_path, dtype="auto", output_loading_info=True)
    assert not any(report.values())
    assert not loaded.training
    assert_same_weights(model, loaded)
    torch.testing.assert_close(loaded(**batch)[0], model(**batch)[0])


def test_sharded_model_loads_bit_for_bit(model_class, tiny_model, tmp_path):
    """Many small shards and their index hold the same weights as one file."""
    model = tiny_model(model_class)
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert_same_weights(model, model_class.from_pretrained(tmp_path))


def test_dtype_is_as_asked(tiny_model, tmp_path):
    """`auto` is the dtype that was saved; a dtype by name overrides it; config and parameters agree."""
    tiny_model().bfloat16().save_pretrained(tmp_path)
    for asked, expected in {"auto": torch.bfloat16, torch.float32: torch.float32, "float16": torch.float16}.items():
        model = DNAFMModel.from_pretrained(tmp_path, dtype=asked)
        assert {parameter.dtype for parameter in model.parameters()} == {expected}
        assert model.config.dtype == expected


def test_head_on_a_saved_encoder_is_new(head_class, tiny_model, tmp_path):
    """The encoder's weights are taken over, and exactly the head's are reported as missing."""
    encoder = tiny_model()
    encoder.save_pretrained(tmp_path)
    model, report = head_class.from_pretrained(tmp_path, output_loading_info=True)
    assert_same_weights(encoder, model.model)
    of_head = {name for name, _ in model.named_parameters() if not name.startswith("model.")}
    assert set(report["missing_keys"]) == of_head
    assert not report["unexpected_keys"]


def test_encoder_of_a_saved_head(head_class, tiny_model, tmp_path):
    """The encoder loads from a head's checkpoint, which has the head's weights to spare."""
    model = tiny_model(head_class)
    model.save_pretrained(tmp_path)
    encoder, report = DNAFMModel.from_pretrained(tmp_path, output_loading_info=True)
    assert_same_weights(model.model, encoder)
    assert not report["missing_keys"]
    of_head = {name for name, _ in model.named_parameters() if not name.startswith("model.")}
    assert set(report["unexpected_keys"]) == of_head


def test_classes_of_the_checkpoint_may_differ_if_asked(tiny_model, tmp_path):
    """A head with another number of outputs is an error, or new with `ignore_mismatched_sizes`."""
    model = tiny_model(DNAFMForTokenClassification, num_labels=3)
    model.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        DNAFMForTokenClassification.from_pretrained(tmp_path, num_labels=5)
    loaded = DNAFMForTokenClassification.from_pretrained(tmp_path, num_labels=5, ignore_mismatched_sizes=True)
    assert loaded.classifier.weight.shape == (5, 32)
    assert_same_weights(model.model, loaded.model)


def test_released_names_are_written_on_request(head_class, tiny_model, tmp_path):
    """`save_original_format=True` writes the reference code's names, which load back bit for bit."""
    model = tiny_model(head_class, num_hidden_layers=1)
    model.save_pretrained(tmp_path, save_original_format=True)
    templates = (*RELEASED_ENCODER, *RELEASED_HEADS[head_class])
    expected = {template.format(kind) for template in templates for kind in ("weight", "bias")}
    expected.add("bert.embeddings.word_embeddings.weight")
    if head_class is DNAFMForMaskedLM:
        expected.add("cls.predictions.bias")  # the decoder's; its weight is the embeddings'
    assert load_file(tmp_path / "model.safetensors").keys() == expected
    assert_same_weights(model, head_class.from_pretrained(tmp_path))


def test_encoder_alone_has_released_names_too(tiny_model, tmp_path):
    """The encoder without a head is saved under the reference code's names as well."""
    tiny_model().save_pretrained(tmp_path, save_original_format=True)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert any("embeddings.word_embeddings.weight" in name for name in names)


def test_untied_decoder_has_a_released_name(tiny_model, tmp_path):
    """A decoder of its own is saved under the name that ties it in the reference code, and loads back."""
    model = tiny_model(DNAFMForMaskedLM, tie_word_embeddings=False)
    model.save_pretrained(tmp_path, save_original_format=True)
    assert "cls.predictions.decoder.weight" in load_file(tmp_path / "model.safetensors")
    assert_same_weights(model, DNAFMForMaskedLM.from_pretrained(tmp_path))


def test_todays_names_are_written_by_default(tiny_model, tmp_path):
    """A model that was loaded under released names is saved under dnafm's."""
    model = tiny_model(DNAFMForMaskedLM)
    model.save_pretrained(tmp_path / "released", save_original_format=True)
    DNAFMForMaskedLM.from_pretrained(tmp_path / "released").save_pretrained(tmp_path / "today")
    names = load_file(tmp_path / "today" / "model.safetensors").keys()
    assert names == set(model.state_dict()) - {"lm_head.decoder.weight"}


def test_auto_classes_load_what_was_saved(tiny_model, tmp_path):
    """`config.json` is enough to find the class."""
    model = tiny_model(DNAFMForMaskedLM)
    model.save_pretrained(tmp_path)
    assert_same_weights(model, AutoModelForMaskedLM.from_pretrained(tmp_path))
    assert_same_weights(model.model, AutoModel.from_pretrained(tmp_path))


def test_copies_share_nothing(model_class, tiny_model, batch):
    """A deep copy computes the same, and training it leaves the original alone."""
    model = tiny_model(model_class)
    twin = copy.deepcopy(model)
    before = model(**batch)[0]
    assert torch.equal(twin(**batch)[0], before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(model(**batch)[0], before)


def test_truncated_weights_are_refused(tiny_model, tmp_path):
    """Half a download is an error and not half a model."""
    tiny_model().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SafetensorError, match="incomplete metadata"):
        DNAFMModel.from_pretrained(tmp_path)


def test_file_that_is_no_safetensors_is_refused(tiny_model, tmp_path):
    """An HTML error page in place of the weights is an error."""
    tiny_model().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_text("<html>404</html>")
    with pytest.raises(SafetensorError, match="header"):
        DNAFMModel.from_pretrained(tmp_path)


def test_missing_weights_are_named(tiny_model, tmp_path):
    """A folder with a config and no weights says which file is missing."""
    tiny_model().config.save_pretrained(tmp_path)
    with pytest.raises(OSError, match=r"model\.safetensors"):
        DNAFMModel.from_pretrained(tmp_path)


def test_checkpoint_of_another_architecture_is_refused(tmp_path):
    """The error names the foreign model type."""
    BertConfig(num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="'bert' is not 'dnafm'"):
        DNAFMModel.from_pretrained(tmp_path)


def test_missing_shard_is_named(tiny_model, tmp_path):
    """An index that promises a shard which is not there is an error."""
    tiny_model().save_pretrained(tmp_path, max_shard_size="10KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    lost = index["weight_map"]["norm.weight"]
    (tmp_path / lost).unlink()
    with pytest.raises(OSError, match=lost):
        DNAFMModel.from_pretrained(tmp_path)
