"""Options of a call and of the class that users of transformers expect, with results computed by hand."""

import inspect

import numpy as np
import pytest
import torch
from tokenizers import AddedToken
from transformers.utils import PaddingStrategy

from dnafm.tokenization_dnafm import DNAFMTokenizer

PAD, MASK, CLS, SEP, UNK, A, G, C, T, _, N, _, EOS = range(13)


def test_padding_on_the_right_to_the_longest(tokenizer):
    """The mask is 1 on tokens and 0 on padding."""
    batch = tokenizer(["ACG", "T"], padding=True)
    assert batch["input_ids"] == [[CLS, A, C, G, EOS], [CLS, T, EOS, PAD, PAD]]
    assert batch["attention_mask"] == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


@pytest.mark.parametrize("how", ["call", "constructor", "attribute"])
def test_padding_on_the_left(how):
    """The side may be said in the call, when building the tokenizer or later."""
    tokenizer = DNAFMTokenizer(padding_side="left" if how == "constructor" else "right")
    if how == "attribute":
        tokenizer.padding_side = "left"
    side = {"padding_side": "left"} if how == "call" else {}
    batch = tokenizer(["AC", "T"], padding=True, return_special_tokens_mask=True, return_token_type_ids=True, **side)
    assert batch["input_ids"] == [[CLS, A, C, EOS], [PAD, CLS, T, EOS]]
    assert batch["attention_mask"] == [[1, 1, 1, 1], [0, 1, 1, 1]]
    assert batch["special_tokens_mask"] == [[1, 0, 0, 1], [1, 1, 0, 1]]
    assert batch["token_type_ids"] == [[0] * 4, [0] * 4]


@pytest.mark.parametrize("side", ["padding_side", "truncation_side"])
def test_a_side_is_left_or_right(side):
    """Anything else is refused when building the tokenizer."""
    with pytest.raises(ValueError, match="should be selected between 'right' and 'left'"):
        DNAFMTokenizer(**{side: "top"})


def test_padding_to_a_length(tokenizer):
    """To max_length, rounded up to a multiple; longer sequences stay as they are without truncation."""
    lengths = [len(row) for row in tokenizer(["A", "ACGTA"], padding="max_length", max_length=5)["input_ids"]]
    assert lengths == [5, 7]
    batch = tokenizer(["A"], padding="max_length", max_length=5, pad_to_multiple_of=4, return_length=True)
    assert (len(batch["input_ids"][0]), batch["length"]) == (8, [8])
    assert len(DNAFMTokenizer(model_max_length=9)("A", padding="max_length")["input_ids"]) == 9


def test_truncation_must_fit_the_multiple(tokenizer):
    """Cutting to 6 and padding to multiples of 4 contradict each other."""
    with pytest.raises(ValueError, match="not a multiple of pad_to_multiple_of"):
        tokenizer("ACGT", truncation=True, padding=True, max_length=6, pad_to_multiple_of=4)


@pytest.mark.parametrize(("side", "kept"), [("right", [A, C, G]), ("left", [C, G, T])])
def test_truncation_keeps_the_template(side, kept):
    """A cut sequence of five tokens still begins with [CLS] and ends in [EOS]."""
    tokenizer = DNAFMTokenizer(truncation_side=side, model_max_length=5)
    for options in ({"truncation": True}, {"truncation": "only_first"}, {"max_length": 5}):
        assert tokenizer("ACGT", **options)["input_ids"] == [CLS, *kept, EOS]
    assert tokenizer("ACG", truncation=True)["input_ids"] == [CLS, A, C, G, EOS]
    assert tokenizer("ACGT", truncation=True, add_special_tokens=False)["input_ids"] == [A, C, G, T]


def test_windows_of_a_long_sequence(tokenizer):
    """Overflowing pieces share `stride` bases and know the sequence they come from."""
    batch = tokenizer(
        ["AACCG", "T"],
        truncation=True,
        max_length=5,
        stride=2,
        return_overflowing_tokens=True,
        padding=True,
        return_tensors="np",
    )
    assert batch["input_ids"].tolist() == [
        [CLS, A, A, C, EOS],
        [CLS, A, C, C, EOS],
        [CLS, C, C, G, EOS],
        [CLS, T, EOS, PAD, PAD],
    ]
    assert batch["overflow_to_sample_mapping"].tolist() == [0, 0, 0, 1]


def test_windows_from_the_left():
    """With truncation on the left the last bases come first."""
    tokenizer = DNAFMTokenizer(truncation_side="left", suffix_token=None)
    batch = tokenizer("AACCG", truncation=True, max_length=4, stride=1, return_overflowing_tokens=True)
    assert batch["input_ids"] == [[CLS, C, C, G], [CLS, A, A, C]]


def test_shape_of_the_result_follows_the_input(tokenizer):
    """A string gives a row, a list gives rows; tensors always have a batch dimension."""
    assert tokenizer("A")["input_ids"] == tokenizer.encode("A") == [CLS, A, EOS]
    assert tokenizer(["A"])["input_ids"] == tokenizer(("A",))["input_ids"] == [[CLS, A, EOS]]
    assert tokenizer("A", return_tensors="pt")["input_ids"].shape == (1, 3)
    assert tokenizer.encode("A", return_tensors="np").dtype == np.int64
    assert tokenizer("", add_special_tokens=False, return_tensors="pt")["input_ids"].dtype == torch.int64
    windows = tokenizer("A", return_overflowing_tokens=True)
    assert (windows["input_ids"], windows["overflow_to_sample_mapping"]) == ([[CLS, A, EOS]], [0])


def test_columns_can_be_left_out_and_asked_for(tokenizer):
    """The keys are those that were asked for; model_input_names decides on the others."""
    assert list(tokenizer("A", return_attention_mask=False)) == ["input_ids"]
    names = ["input_ids", "token_type_ids", "attention_mask"]
    assert list(tokenizer("A", return_token_type_ids=True)) == names
    assert list(DNAFMTokenizer(model_input_names=names)("A")) == names
    assert tokenizer("A", return_length=True)["length"] == [3]


def test_labels_come_from_text_target(tokenizer):
    """Masked text with the full sequence as the target is a training example."""
    batch = tokenizer("A[MASK]", text_target="AC")
    assert (batch["input_ids"], batch["labels"]) == ([CLS, A, MASK, EOS], [CLS, A, C, EOS])


def test_words_are_the_bases_in_them(tokenizer):
    """Sequences that were split, into codons for example, give the ids of the whole."""
    batch = tokenizer(["ACG", "T"], is_split_into_words=True)
    assert batch["input_ids"] == tokenizer("ACGT")["input_ids"]
    assert batch.word_ids() == [None, 0, 0, 0, 1, None]


def test_offsets_are_those_of_the_characters(tokenizer):
    """Base i spans i to i + 1, the template spans nothing."""
    assert tokenizer("🧬A", return_offsets_mapping=True)["offset_mapping"] == [(0, 0), (0, 1), (1, 2), (0, 0)]


def test_pad_method_completes_single_rows(tokenizer):
    """What DataCollatorWithPadding does to features of one sequence each."""
    batch = tokenizer.pad([tokenizer("AC"), tokenizer("A")], return_tensors="pt")
    assert batch["input_ids"].tolist() == [[CLS, A, C, EOS], [CLS, A, EOS, PAD]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]


def test_constructor_arguments_are_saved():
    """Every argument with a default is in init_kwargs, from which the configuration is written."""
    parameters = inspect.signature(DNAFMTokenizer.__init__).parameters.values()
    named = {parameter.name for parameter in parameters if parameter.default is not inspect.Parameter.empty}
    assert named <= DNAFMTokenizer().init_kwargs.keys()


def test_named_tokens_can_be_set_by_id(tokenizer):
    """As transformers allows for each of them, also to None."""
    for name in ("pad", "mask", "cls", "sep", "unk", "bos", "eos"):
        setattr(tokenizer, f"{name}_token_id", 13)
        assert getattr(tokenizer, f"{name}_token") == "[UNUSED1]"
        setattr(tokenizer, f"{name}_token_id", None)
        assert getattr(tokenizer, f"{name}_token") is None
    assert tokenizer("A")["input_ids"] == [CLS, A, EOS]


def test_padding_needs_a_pad_token(tokenizer):
    """Without one, asking to pad is an error."""
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="does not have a padding token"):
        tokenizer(["A", "AC"], padding=True)
    with pytest.raises(TypeError):
        tokenizer._encode_plus("A", padding_strategy=PaddingStrategy.LONGEST)


def test_more_special_tokens_follow_the_vocabulary():
    """Lists and dictionaries of them get the ids from 16 on; the reserved ones stay special."""
    listed = DNAFMTokenizer(extra_special_tokens=["[HUMAN]", AddedToken("[MOUSE]", special=True)])
    assert listed("[MOUSE]A[HUMAN]")["input_ids"] == [CLS, 17, A, 16, EOS]
    assert listed.extra_special_tokens == ["[UNUSED1]", "[UNUSED2]", "[UNUSED3]", "[HUMAN]", "[MOUSE]"]
    named = DNAFMTokenizer(extra_special_tokens={"species_token": "[HUMAN]"})
    assert (named.species_token, named.species_token_id) == ("[HUMAN]", 16)
    assert named.extra_special_tokens == ["[UNUSED1]", "[UNUSED2]", "[UNUSED3]"]


def test_another_special_token_can_take_a_name(tmp_path):
    """A token of the user's, stripping included, survives saving beside the original."""
    DNAFMTokenizer().save_pretrained(tmp_path / "first")
    token = AddedToken("[STOP]", lstrip=True, normalized=False, special=True)
    DNAFMTokenizer.from_pretrained(tmp_path / "first", eos_token=token).save_pretrained(tmp_path / "second")
    loaded = DNAFMTokenizer.from_pretrained(tmp_path / "second")
    assert (loaded.eos_token, loaded.eos_token_id) == ("[STOP]", 16)
    assert loaded("A  [STOP]")["input_ids"] == [CLS, A, 16, EOS]


def test_names_of_methods_are_no_settings():
    """A setting called like a method is a mistake, for instance add_special_tokens."""
    with pytest.raises(AttributeError, match="conflicts with the method"):
        DNAFMTokenizer(add_special_tokens=True)
