"""`import dnafm` makes the Auto classes load released checkpoints: `model_type` "rnabert", no tokenizer files."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from dnafm import (
    DNAFMConfig,
    DNAFMForMaskedLM,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
    DNAFMTokenizer,
)

RELEASED = Path(__file__).parents[1] / "fixtures" / "released"
AUTO_CLASSES = {
    "layernorm-bias": (AutoModelForMaskedLM, DNAFMForMaskedLM),
    "rmsnorm-nobias-head34": (AutoModelForMaskedLM, DNAFMForMaskedLM),
    "sharded-bin": (AutoModelForMaskedLM, DNAFMForMaskedLM),
    "sequence-classification-cls": (AutoModelForSequenceClassification, DNAFMForSequenceClassification),
    "token-classification": (AutoModelForTokenClassification, DNAFMForTokenClassification),
}
INDEX = "pytorch_model.bin.index.json"


def assert_same_weights(model, other):
    """Names, dtypes and every bit agree."""
    found, expected = other.state_dict(), model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("name", AUTO_CLASSES)
def test_auto_class_loads_every_weight(name, tmp_path):
    """The class is dnafm's, with the golden logits, nothing missing; saved again, it is a dnafm checkpoint."""
    auto_class, model_class = AUTO_CLASSES[name]
    options = {"classifier_pooling": "cls"} if "sequence" in name else {}
    model, report = auto_class.from_pretrained(RELEASED / name, output_loading_info=True, **options)
    assert type(model) is model_class
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    expected = load_file(RELEASED / name / "expected.safetensors")
    mask = expected["attention_mask"]
    with torch.no_grad():
        logits = model(input_ids=expected["input_ids"], attention_mask=mask).logits
    kept = mask.bool() if logits.dim() == 3 else slice(None)
    torch.testing.assert_close(logits[kept], expected["logits"][kept], atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "dnafm"
    assert_same_weights(model, auto_class.from_pretrained(tmp_path))


def test_auto_model_and_config_know_the_released_type():
    """`AutoModel` takes the encoder; `AutoConfig` gives dnafm's config, from a folder and by the type's name."""
    folder = RELEASED / "sharded-bin"
    encoder = AutoModel.from_pretrained(folder)
    assert type(encoder) is DNAFMModel
    assert_same_weights(DNAFMForMaskedLM.from_pretrained(folder).model, encoder)
    config = AutoConfig.from_pretrained(folder, hidden_dropout=0.25)
    assert (type(config), config.model_type, config.hidden_dropout) == (DNAFMConfig, "dnafm", 0.25)
    assert type(AutoConfig.for_model("rnabert")) is DNAFMConfig


@pytest.mark.parametrize("load", [AutoTokenizer.from_pretrained, DNAFMTokenizer.from_pretrained])
def test_tokenizer_of_a_released_checkpoint_ends_in_sep(load, tmp_path):
    """Although there are no tokenizer files; what the caller says, or files say, counts more."""
    folder = Path(shutil.copytree(RELEASED / "layernorm-bias", tmp_path / "released"))
    tokenizer = load(folder)
    assert type(tokenizer) is DNAFMTokenizer
    assert tokenizer("ACGT")["input_ids"] == [2, 5, 7, 6, 8, 3]
    assert tokenizer.model_max_length == 4000
    assert load(folder, suffix_token=None).suffix_token is None
    assert load(folder, model_max_length=10).model_max_length == 10
    tokenizer.suffix_token = "[EOS]"
    tokenizer.save_pretrained(folder)
    assert load(folder).suffix_token == "[EOS]"


def test_tokenizer_follows_the_context_of_the_released_config(tmp_path):
    """A released model of another context reads no longer input."""
    fields = json.loads((RELEASED / "layernorm-bias" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**fields, "max_position_embeddings": 777}))
    assert AutoTokenizer.from_pretrained(tmp_path).model_max_length == 777


def test_pipeline_of_a_released_checkpoint():
    """Model and tokenizer come by themselves."""
    predictions = pipeline("fill-mask", model=str(RELEASED / "layernorm-bias"), top_k=4)("ACG[MASK]ACGT")
    assert len(predictions) == 4


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
@pytest.mark.parametrize("name", ["layernorm-bias", "sharded-bin"])
def test_weights_are_rounded_on_the_fly(name, dtype):
    """float32 files, a model in half precision, each weight rounded once."""
    model = AutoModelForMaskedLM.from_pretrained(RELEASED / name, dtype=dtype)
    exact = AutoModelForMaskedLM.from_pretrained(RELEASED / name).state_dict()
    expected = torch.bfloat16 if dtype == "bfloat16" else dtype
    assert {parameter.dtype for parameter in model.parameters()} == {expected}
    assert all(torch.equal(tensor, exact[key].to(expected)) for key, tensor in model.state_dict().items())


@pytest.fixture(params=["model-0000{}-of-00002", "pytorch_model-0000{}-of-00002"])
def shard_stem(request):
    """How later uploads may name their shards."""
    return request.param


@pytest.fixture(params=[".bin", ".safetensors"])
def other_format(request, tmp_path, shard_stem):
    """A folder of safetensors shards whose only index is that of pickles, which names either format."""
    shutil.copy(RELEASED / "sharded-bin" / "config.json", tmp_path)
    index = json.loads((RELEASED / "sharded-bin" / INDEX).read_text())
    for number in (1, 2):
        old = f"pytorch_model-0000{number}-of-00002.bin"
        new = shard_stem.format(number) + ".safetensors"
        tensors = torch.load(RELEASED / "sharded-bin" / old, weights_only=True)
        save_file(tensors, tmp_path / new, {"format": "pt"})
        if request.param == ".safetensors":
            index["weight_map"] = {k: new if shard == old else shard for k, shard in index["weight_map"].items()}
    # Entries that no safetensors file stores, for they are tied.
    last = index["weight_map"]["cls.predictions.bias"]
    index["weight_map"] |= {"cls.predictions.decoder.weight": last, "cls.predictions.decoder.bias": last}
    (tmp_path / INDEX).write_text(json.dumps(index))
    return tmp_path


def test_index_of_the_other_format_leads_to_the_shards(other_format):
    """Every weight is there; the model remembers the folder that was asked for; `dnafm convert` reads it as well."""
    from dnafm.checkpoints import read_checkpoint

    model, report = AutoModelForMaskedLM.from_pretrained(other_format, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    expected = DNAFMForMaskedLM.from_pretrained(RELEASED / "sharded-bin")
    assert_same_weights(expected, model)
    assert model.name_or_path == str(other_format)
    assert_same_weights(expected.model, DNAFMModel.from_pretrained(other_format, dtype="auto"))
    for key, tensor in read_checkpoint(other_format).tensors.items():
        assert torch.equal(tensor.read(), expected.state_dict()[key])


def test_index_of_the_other_format_on_the_hub(other_format, tmp_path):
    """The same for a Hub id, here out of a cache that holds the repository."""
    repository = tmp_path / "cache" / "models--someone--released"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for path in list(other_format.iterdir()):
        if path.is_file():
            shutil.copy(path, snapshot)
    place = {"cache_dir": tmp_path / "cache", "local_files_only": True}
    model = AutoModelForMaskedLM.from_pretrained("someone/released", **place)
    assert_same_weights(DNAFMForMaskedLM.from_pretrained(RELEASED / "sharded-bin"), model)
    assert model.config.name_or_path == "someone/released"
    assert AutoTokenizer.from_pretrained("someone/released", **place).suffix_token == "[SEP]"


def test_shard_that_is_nowhere_is_named(tmp_path):
    """In neither format; the error is that of transformers, with the file."""
    folder = Path(shutil.copytree(RELEASED / "sharded-bin", tmp_path / "released"))
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(OSError, match="pytorch_model-00002-of-00002"):
        AutoModelForMaskedLM.from_pretrained(folder)
