"""Checkpoints that are damaged, foreign or hostile: an error that names file and key, and nothing half-written."""

import io
import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig

from dnafm import DNAFMForMaskedLM, DNAFMForPairwiseTokenClassification, DNAFMForSequenceClassification
from dnafm.checkpoints import read_checkpoint, shard_writer, write_checkpoint

RELEASED = Path(__file__).parents[1] / "fixtures" / "released"
MEGATRON = Path(__file__).parents[1] / "fixtures" / "megatron"


@pytest.fixture
def copied(tmp_path):
    """Factory of copies of golden folders, to be spoilt."""

    def copy(name):
        root = MEGATRON if name.startswith("megatron") else RELEASED
        return Path(shutil.copytree(root / name, tmp_path / name))

    return copy


class Hostile:
    """Unpickling makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


HOSTILE_PLACES = {
    "pytorch_model.bin": ("rmsnorm-nobias-head34", lambda evil: {"bert.encoder.ln.weight": evil}),
    "last.ckpt": (None, lambda evil: {"state_dict": {}, "hyper_parameters": {"backbone": evil}}),
    "mp_rank_00/model_optim_rng.pt": ("megatron-tp2", lambda evil: {"args": evil, "model": {}}),
}


@pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "plain_pickle"])
@pytest.mark.parametrize("place", HOSTILE_PLACES)
def test_hostile_pickle_is_refused_and_does_nothing(copied, tmp_path, place, is_archive):
    """Its code would make a folder, and does with `pickle.loads`; here it is named and none is made."""
    mark = tmp_path / "owned"
    folder, content = HOSTILE_PLACES[place]
    source = copied(folder) if folder else tmp_path / "last.ckpt"
    path = source / place if folder else source
    torch.save(content(Hostile(mark)), path, _use_new_zipfile_serialization=is_archive)
    with pytest.raises(ValueError, match=r"the pickle names \w+\.mkdir") as error:
        read_checkpoint(source)
    assert str(path) in str(error.value)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Hostile(mark)))
    assert mark.exists()


def test_pickle_of_other_classes_is_refused(tmp_path):
    """Only what torch holds harmless, and `argparse.Namespace`, may be in it."""
    torch.save({"state_dict": {}, "callbacks": {"path": io.BytesIO(b"x")}}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"the pickle names _io\.BytesIO.*save its tensors"):
        read_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize("name", ["layernorm-bias/model.safetensors", "rmsnorm-nobias-head34/pytorch_model.bin"])
@pytest.mark.parametrize("kept", [0, 40, 2000, -500])
def test_truncated_file_is_named(copied, name, kept):
    """Half a download, at several places."""
    path = copied(name.split("/")[0]) / name.split("/")[1]
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_checkpoint(path.parent)


def test_file_that_is_something_else_is_named(copied, tmp_path):
    """An error page in place of weights, an index or a config."""
    for folder, name in (("sharded-bin", "pytorch_model-00001-of-00002.bin"), ("layernorm-bias", "model.safetensors")):
        path = copied(folder) / name
        path.write_text("<html>404: not found</html>" * 5)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_checkpoint(path.parent)
        path.with_name("config.json").write_text("<html>")
        with pytest.raises(ValueError, match=r"config\.json: this is no JSON"):
            read_checkpoint(path.parent)
    (tmp_path / "notes.txt").write_text("no checkpoint")
    with pytest.raises(ValueError, match=r"notes\.txt: this is no file of torch\.save"):
        read_checkpoint(tmp_path / "notes.txt")


def test_missing_shard_is_named_with_a_key(copied):
    """An index that names an absent file."""
    folder = copied("sharded-bin")
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(OSError, match=r"00002-of-00002\.bin is missing; .*index\.json says that bert\.encoder\.layer"):
        read_checkpoint(folder)


def test_permuted_shards_are_noticed(copied):
    """Shards with each other's names; the message says where a key is and where it should be."""
    folder = copied("sharded-bin")
    first, second = (folder / f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2))
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)
    with pytest.raises(ValueError, match=r"says that bert\.\S+ is in pytorch_model-00001\S+ and it is in .*00002-of"):
        read_checkpoint(folder)


def test_shards_and_index_must_have_the_same_keys(copied):
    """A key too many in the index, or in a shard."""
    folder = copied("sharded-bin")
    path = folder / "pytorch_model.bin.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["bert.encoder.ln.gamma"] = "pytorch_model-00002-of-00002.bin"
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"00002-of-00002\.bin lacks bert\.encoder\.ln\.gamma"):
        read_checkpoint(folder)
    del index["weight_map"]["bert.encoder.ln.gamma"], index["weight_map"]["bert.encoder.ln.bias"]
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"bert\.encoder\.ln\.bias is not in pytorch_model"):
        read_checkpoint(folder)
    index["weight_map"]["bert.encoder.ln.bias"] = "../elsewhere.bin"
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"'\.\./elsewhere\.bin', which is not a file of its own folder"):
        read_checkpoint(folder)
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"index\.json: this is no index"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop("bert.encoder.layer.1.ln.bias"),
            r"lacks weights .*layers\.1\.post_attention_layernorm\.bias",
        ),
        (lambda t: t.update({"bert.pooler.weight": torch.zeros(2)}), r"no names .*: bert\.pooler\.weight"),
        (lambda t: t.update({"classifier.weight": torch.zeros(2)}), r"no place for .*: classifier\.weight"),
        (
            lambda t: t.update({"bert.encoder.ln.weight": torch.zeros(65)}),
            r"bert\.encoder\.ln\.weight has the shape \(65,\), and the config says \(64,\) \(hidden_size 64",
        ),
        (
            lambda t: t.update({"cls.predictions.decoder.weight": torch.ones(16, 64)}),
            r"decoder\.weight and .*word_embeddings\.weight differ",
        ),
        (lambda t: t.update({"cls.predictions.decoder.bias": torch.ones(16)}), r"decoder\.bias and .*differ"),
        (
            lambda t: t.update({"bert.encoder.ln.weight": torch.ones(64, dtype=torch.int8)}),
            r"ln\.weight is of torch\.int8",
        ),
    ],
    ids=["missing", "unknown", "left_over", "shape", "untied_weight", "untied_bias", "integers"],
)
def test_tensors_that_are_not_the_models_are_named(copied, change, message):
    """Every key is accounted for, in the shape that the config says."""
    path = copied("layernorm-bias") / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(ValueError, match=message) as error:
        read_checkpoint(path.parent)
    assert str(path.parent) in str(error.value) or str(path) in str(error.value)


def test_tensors_that_contradict_the_config_are_named(copied):
    """Another width, or more layers, than the weights have."""
    path = copied("layernorm-bias") / "config.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "intermediate_size": 180}))
    with pytest.raises(ValueError, match=r"mlp\.\w+_proj\.\w+ has the shape .*180.*intermediate_size 180"):
        read_checkpoint(path.parent)
    path.write_text(json.dumps({**fields, "num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"lacks weights of DNAFMForMaskedLM: model\.layers\.2\..*and \d+ more"):
        read_checkpoint(path.parent)
    path.write_text(json.dumps({**fields, "num_attention_heads": 5}))
    with pytest.raises(ValueError, match=r"config\.json: hidden_size=64 must be a multiple"):
        read_checkpoint(path.parent)


def test_other_architectures_and_places_are_refused(tmp_path):
    """BERT's config, an empty folder, a path that is none, and what is no Hub id."""
    BertConfig(num_hidden_layers=1).save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"config\.json: model_type 'bert' is another architecture"):
        read_checkpoint(tmp_path / "bert")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match=r"config\.json is missing"):
        read_checkpoint(tmp_path / "empty")
    shutil.copy(RELEASED / "layernorm-bias" / "config.json", tmp_path / "empty")
    with pytest.raises(OSError, match="there are no weights"):
        read_checkpoint(tmp_path / "empty")
    for place in ("./nowhere/model", "a/b/c", str(tmp_path / "nowhere"), "nowhere"):
        with pytest.raises(OSError, match="there is no such file or folder, and this is no Hub id"):
            read_checkpoint(place)


def test_options_that_fit_no_source_are_refused():
    """Pooling is asked for where it is not recorded, and refused where there is no such head."""
    with pytest.raises(ValueError, match="Say --pooling cls"):
        read_checkpoint(RELEASED / "sequence-classification-cls")
    for source in (RELEASED / "layernorm-bias", MEGATRON / "megatron-tp2"):
        with pytest.raises(ValueError, match="--pooling"):
            read_checkpoint(source, pooling="cls")
    with pytest.raises(ValueError, match="--base says what a fine-tune"):
        read_checkpoint(RELEASED / "layernorm-bias", base=RELEASED / "layernorm-bias")


@pytest.mark.parametrize(
    ("model_class", "fields", "message"),
    [
        (DNAFMForPairwiseTokenClassification, {}, "no heads for pairs of bases"),
        (DNAFMForSequenceClassification, {"classifier_pooling": "max"}, "no pooling by the maximum"),
        (DNAFMForMaskedLM, {"hidden_act": "gelu"}, "no hidden_act 'gelu'"),
        (DNAFMForMaskedLM, {"rope_theta": 500.0}, r"no rotary embeddings of base 500\.0"),
    ],
)
def test_what_the_reference_code_cannot_load_is_not_written(tiny_model, tmp_path, model_class, fields, message):
    """The message says what it lacks."""
    tiny_model(model_class, **fields).save_pretrained(tmp_path / "dnafm")
    with pytest.raises(ValueError, match=message):
        write_checkpoint(read_checkpoint(tmp_path / "dnafm"), tmp_path / "released", layout="released")
    assert not (tmp_path / "released").exists()


def test_destination_is_replaced_on_request_alone(tmp_path):
    """An old checkpoint stays without `overwrite`; a folder of something else stays whatever is said."""
    checkpoint = read_checkpoint(RELEASED / "layernorm-bias")
    write_checkpoint(checkpoint, tmp_path / "new")
    (tmp_path / "new" / "stale").touch()
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_checkpoint(checkpoint, tmp_path / "new")
    write_checkpoint(checkpoint, tmp_path / "new", overwrite=True)
    assert not (tmp_path / "new" / "stale").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(FileExistsError, match="is no checkpoint"):
        write_checkpoint(checkpoint, tmp_path / "photos", overwrite=True)
    with pytest.raises(NotADirectoryError, match="is a file"):
        write_checkpoint(checkpoint, tmp_path / "photos" / "cat.jpg")
    with pytest.raises(OSError, match="no folder can be made there"):
        write_checkpoint(checkpoint, tmp_path / "photos" / "cat.jpg" / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "photos"]


def test_nothing_is_left_of_a_conversion_that_failed(copied, tmp_path, monkeypatch):
    """A full disk at the second shard: no folder, and the one that was to be replaced is as it was."""
    source = copied("sharded-bin")
    write_checkpoint(read_checkpoint(source), tmp_path / "new")
    before = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    real, calls = shard_writer.save_file, []

    def save(tensors, path, metadata):
        calls.append(path)
        if len(calls) == 2:
            raise shard_writer.SafetensorError("No space left on device")
        real(tensors, path, metadata)

    monkeypatch.setattr(shard_writer, "save_file", save)
    with pytest.raises(OSError, match=r"No space left on device.*Is the disk full\?"):
        write_checkpoint(read_checkpoint(source), tmp_path / "new", max_shard_size="60KB", overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "sharded-bin"]


def test_a_folder_may_be_converted_in_its_own_place(tmp_path):
    """The source is read to the end before its folder is replaced."""
    write_checkpoint(read_checkpoint(RELEASED / "layernorm-bias"), tmp_path / "model")
    before = DNAFMForMaskedLM.from_pretrained(tmp_path / "model").state_dict()
    write_checkpoint(read_checkpoint(tmp_path / "model"), tmp_path / "model", dtype=torch.bfloat16, overwrite=True)
    after = DNAFMForMaskedLM.from_pretrained(tmp_path / "model").state_dict()
    assert all(torch.equal(after[name], tensor.bfloat16()) for name, tensor in before.items())


def test_size_of_shards_is_checked(tmp_path):
    """Neither nonsense nor nothing."""
    checkpoint = read_checkpoint(RELEASED / "layernorm-bias")
    for size in ("five", "-1GB", 0):
        with pytest.raises(ValueError, match="max_shard_size"):
            write_checkpoint(checkpoint, tmp_path / "new", max_shard_size=size)
    assert not (tmp_path / "new").exists()
