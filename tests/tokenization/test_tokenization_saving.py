"""A tokenizer is the same after saving, loading, copying and use, with this class, a bare one or remote code."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from dnafm.tokenization_dnafm import SUFFIX_TOKENS, DNAFMTokenizer

TEXTS = ["ACGTN", "acgu[MASK]r\n", "", "🧬[UNUSED1]"]


def state(tokenizer: DNAFMTokenizer) -> dict:
    """All that a user can see of a tokenizer."""
    names = ("suffix_token", "model_max_length", "padding_side", "truncation_side", "special_tokens_map")
    seen = {name: getattr(tokenizer, name) for name in names}
    seen |= {"backend": tokenizer.backend_tokenizer.to_str(), "extra": tokenizer.extra_special_tokens}
    return seen | {"ids": tokenizer(TEXTS, verbose=False)["input_ids"]}


def use(tokenizer: DNAFMTokenizer) -> None:
    """Everything that makes transformers set something: both paths, all warnings."""
    tokenizer(["ACGT" * 2000, "X"], padding=True, truncation=True, max_length=9, return_tensors="pt").tokens()
    tokenizer("A", "X", padding="max_length", max_length=99, truncation=True, split_special_tokens=True)
    tokenizer(["ACGT" * 2000], return_offsets_mapping=True)
    tokenizer("ACGT" * 2000)
    tokenizer.decode([2, 5, 12])


@pytest.mark.parametrize("suffix_token", SUFFIX_TOKENS)
def test_saved_and_loaded_are_equal(suffix_token, tmp_path):
    """The suffix, the limits, the sides and all tokens come back."""
    options = {"model_max_length": 77, "padding_side": "left", "truncation_side": "left"}
    tokenizer = DNAFMTokenizer(suffix_token=suffix_token, extra_special_tokens=["[HUMAN]"], **options)
    tokenizer.add_tokens([AddedToken("<gap>", normalized=False), "<other>"])
    tokenizer.save_pretrained(tmp_path)
    loaded = DNAFMTokenizer.from_pretrained(tmp_path)
    assert state(loaded) == state(tokenizer)
    assert loaded.suffix_token == suffix_token
    assert loaded.convert_tokens_to_ids(["[HUMAN]", "<gap>", "<other>"]) == [16, 17, 18]
    assert loaded("<gap>[HUMAN]", add_special_tokens=False)["input_ids"] == [17, 16]


def test_saving_twice_writes_the_same_files(tmp_path):
    """Loading and saving again changes no setting that was saved and no file of the backend."""
    tokenizer = DNAFMTokenizer(suffix_token=None, model_max_length=9)
    for folder in ("first", "second"):
        tokenizer.save_pretrained(tmp_path / folder)
        tokenizer = DNAFMTokenizer.from_pretrained(tmp_path / folder)
    first, second = (json.loads((tmp_path / f / "tokenizer_config.json").read_text()) for f in ("first", "second"))
    assert first.items() <= second.items()
    assert second.keys() - first.keys() <= {"is_local", "local_files_only"}
    assert (tmp_path / "first/tokenizer.json").read_text() == (tmp_path / "second/tokenizer.json").read_text()


def test_suffix_is_written_where_it_belongs(tmp_path):
    """It is in tokenizer_config.json by name, null included, and in tokenizer.json as the template."""
    for suffix_token in SUFFIX_TOKENS:
        DNAFMTokenizer(suffix_token=suffix_token).save_pretrained(tmp_path)
        assert json.loads((tmp_path / "tokenizer_config.json").read_text())["suffix_token"] == suffix_token
        template = json.loads((tmp_path / "tokenizer.json").read_text())["post_processor"]["single"]
        expected = ["[CLS]", "A", suffix_token] if suffix_token else ["[CLS]", "A"]
        assert [next(iter(part.values()))["id"] for part in template] == expected


def test_suffix_set_later_is_saved(tmp_path, tokenizer):
    """What counts is the suffix at the time of saving."""
    tokenizer.suffix_token = "[SEP]"
    tokenizer.save_pretrained(tmp_path)
    assert DNAFMTokenizer.from_pretrained(tmp_path).suffix_token == "[SEP]"


def test_settings_can_be_replaced_on_loading(tmp_path):
    """What from_pretrained is given has precedence over what was saved."""
    DNAFMTokenizer(suffix_token="[SEP]", model_max_length=5).save_pretrained(tmp_path)
    loaded = DNAFMTokenizer.from_pretrained(tmp_path, suffix_token=None, model_max_length=6, padding_side="left")
    assert (loaded.suffix_token, loaded.model_max_length, loaded.padding_side) == (None, 6, "left")
    assert loaded("A")["input_ids"] == [2, 5]
    with pytest.raises(ValueError, match="suffix_token='N'"):
        DNAFMTokenizer.from_pretrained(tmp_path, suffix_token="N")


@pytest.mark.parametrize("suffix_token", SUFFIX_TOKENS)
def test_suffix_is_read_from_the_template_alone(suffix_token, tmp_path):
    """Without tokenizer_config.json the suffix is that of tokenizer.json, the rest the default."""
    DNAFMTokenizer(suffix_token=suffix_token, model_max_length=5).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    loaded = DNAFMTokenizer.from_pretrained(tmp_path)
    assert (loaded.suffix_token, loaded.model_max_length) == (suffix_token, 4000)


@pytest.mark.parametrize("suffix_token", SUFFIX_TOKENS)
def test_bare_fast_tokenizer_gives_the_same_ids(suffix_token, tmp_path):
    """The files need no class of ours, be it the folder or tokenizer.json alone."""
    tokenizer = DNAFMTokenizer(suffix_token=suffix_token)
    tokenizer.save_pretrained(tmp_path)
    from_folder = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    from_file = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for bare in (from_folder, from_file):
        ids = bare(TEXTS)["input_ids"]
        assert ids == tokenizer(TEXTS, verbose=False)["input_ids"]
        assert bare.decode(ids[1]) == tokenizer.decode(ids[1])
        assert bare.decode(ids[0], skip_special_tokens=True) == "ACGTN"
    assert from_folder.special_tokens_map.items() >= tokenizer.special_tokens_map.items()
    assert from_folder.model_max_length == 4000


def test_file_can_be_given_to_the_constructor(tmp_path, tokenizer):
    """Its added tokens come with it, as for every fast tokenizer."""
    tokenizer.add_tokens(["<gap>"])
    tokenizer.save_pretrained(tmp_path)
    loaded = DNAFMTokenizer(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert loaded.convert_tokens_to_ids("<gap>") == 16


def test_other_vocabulary_is_refused(tmp_path, tokenizer):
    """Ids that the weights do not know are an error on loading and on training, not wrong results later."""
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace('"A": 5', '"A": 6').replace('"G": 6', '"G": 5'))
    with pytest.raises(ValueError, match=r"'G', 'A', 'C'.*baked into its weights"):
        DNAFMTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="baked into its weights"):
        tokenizer.train_new_from_iterator(["AC GT"], 20)


def test_folder_without_tokenizer_files_has_the_default(tmp_path):
    """Released repositories have no tokenizer files: the class is all that is needed."""
    (tmp_path / "config.json").write_text("{}")
    assert state(DNAFMTokenizer.from_pretrained(tmp_path)) == state(DNAFMTokenizer())


def test_remote_code_loads_in_a_process_without_dnafm(tmp_path, monkeypatch):
    """A folder with the class in it needs AutoTokenizer and trust_remote_code only, and can be saved again."""
    monkeypatch.setattr(DNAFMTokenizer, "_auto_class", None)
    DNAFMTokenizer.register_for_auto_class("AutoTokenizer")
    tokenizer = DNAFMTokenizer(suffix_token="[SEP]", model_max_length=50)
    tokenizer.add_tokens(["<gap>"])
    tokenizer.save_pretrained(tmp_path / "model")
    code = """if True:
        import json, sys
        sys.modules["dnafm"] = None
        from transformers import AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained("model", trust_remote_code=True)
        batch = tokenizer(["ACGT<gap>", "ac"], padding=True, return_tensors="pt")
        tokenizer.save_pretrained("again")
        again = AutoTokenizer.from_pretrained("again", trust_remote_code=True, suffix_token=None)
        print(json.dumps([type(tokenizer).__name__, tokenizer.model_max_length, tokenizer.suffix_token,
                          batch.input_ids.tolist(), batch.tokens(1), again("A").input_ids]))
    """
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [
        "DNAFMTokenizer",
        50,
        "[SEP]",
        [[2, 5, 7, 6, 8, 16, 3], [2, 5, 7, 3, 0, 0, 0]],
        ["[CLS]", "A", "C", "[SEP]", "[PAD]", "[PAD]", "[PAD]"],
        [2, 5],
    ]
    assert (tmp_path / "again/tokenization_dnafm.py").read_text() == Path(
        sys.modules[DNAFMTokenizer.__module__].__file__
    ).read_text()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_are_equal(duplicate):
    """A copy has the settings and the added tokens of the original."""
    tokenizer = DNAFMTokenizer(suffix_token="[SEP]", padding_side="left")
    tokenizer.add_tokens(["<gap>"])
    assert state(duplicate(tokenizer)) == state(tokenizer)


def test_use_does_not_change_the_tokenizer():
    """Warnings, padding and truncation leave no trace in a pickle or in what would be saved."""
    tokenizer = DNAFMTokenizer()
    before = pickle.dumps(tokenizer), tokenizer.backend_tokenizer.to_str()
    use(tokenizer)
    assert (pickle.dumps(tokenizer), tokenizer.backend_tokenizer.to_str()) == before
    assert not tokenizer.backend_tokenizer.encode_special_tokens


def test_use_keeps_settings_of_the_backend(tokenizer):
    """Padding and truncation that somebody set in the Rust tokenizer are still set after a call."""
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(7, stride=2)
    backend.enable_padding(length=5)
    before = backend.truncation, backend.padding
    use(tokenizer)
    assert (backend.truncation, backend.padding) == before


def test_fingerprint_is_stable_under_use():
    """`datasets` finds its cached results again after the tokenizer has been used, and from a second instance."""
    fingerprint = pytest.importorskip("datasets.fingerprint")
    tokenizer = DNAFMTokenizer()
    before = fingerprint.Hasher.hash(tokenizer)
    use(tokenizer)
    assert fingerprint.Hasher.hash(tokenizer) == fingerprint.Hasher.hash(DNAFMTokenizer()) == before
    tokenizer.suffix_token = "[SEP]"
    assert fingerprint.Hasher.hash(tokenizer) != before


def test_map_finds_its_cache(tmp_path):
    """Mapping a data set a second time reads the cache, also with a tokenizer that has warned in between."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict({"sequence": ["ACGT", "AX"]})
    table.save_to_disk(tmp_path)
    tokenizer = DNAFMTokenizer()

    def encode(rows: dict) -> dict:
        return tokenizer(rows["sequence"])

    first = datasets.load_from_disk(tmp_path).map(encode, batched=True)
    second = datasets.load_from_disk(tmp_path).map(encode, batched=True)
    assert first[0]["input_ids"] == [2, 5, 7, 6, 8, 12]
    assert first.cache_files == second.cache_files
