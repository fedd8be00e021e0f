"""The byte table gives what Rust gives: the same keys, types and values for every option."""

import copy
import re
import warnings
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from transformers import BatchEncoding

from dnafm.tokenization_dnafm import SPECIAL_TOKENS, SUFFIX_TOKENS

PROPERTY = settings(derandomize=True, deadline=None, database=None, max_examples=500)

PIECES = st.one_of(
    st.text(alphabet="ACGTUNacgtunRYSWKMBDHVryswkmbdhv", max_size=20),
    st.text(alphabet="ACGTxX-[] \n\t\0", max_size=5),
    st.text(st.characters(blacklist_categories=()), max_size=4),
    st.sampled_from([*SPECIAL_TOKENS, "[mask]", "[MASK", "[[MASK]]", "A\u0301", "🧬", "\ud800", "\udfff\ud800"]),
)
SEQUENCES = st.lists(PIECES, max_size=6).map("".join)
OPTIONS = st.fixed_dictionaries(
    {
        "add_special_tokens": st.booleans(),
        "padding": st.sampled_from([False, True, "longest", "max_length"]),
        "truncation": st.sampled_from([None, False, True, "only_first", "only_second"]),
        "max_length": st.none() | st.integers(0, 30),
        "stride": st.integers(0, 5),
        "pad_to_multiple_of": st.sampled_from([None, 0, 1, 3, 8]),
        "padding_side": st.sampled_from([None, "left", "right"]),
        "return_tensors": st.sampled_from([None, "pt", "np"]),
        "return_token_type_ids": st.none() | st.booleans(),
        "return_attention_mask": st.none() | st.booleans(),
        "return_overflowing_tokens": st.booleans(),
        "return_special_tokens_mask": st.booleans(),
        "return_length": st.booleans(),
        "split_special_tokens": st.booleans(),
    }
)
ENCODING_FIELDS = ("ids", "tokens", "offsets", "word_ids", "sequence_ids", "type_ids", "n_sequences")
MASK_FIELDS = ("attention_mask", "special_tokens_mask")


def plain(value: Any) -> Any:
    """A value of a batch as type, dtype, shape and numbers."""
    if isinstance(value, torch.Tensor):
        return "pt", value.dtype, value.shape, value.tolist()
    if isinstance(value, np.ndarray):
        return "np", value.dtype, value.shape, [np.asarray(row).tolist() for row in value]
    return type(value), value


def outcome(tokenizer: Any, *texts: Any, **options: Any) -> BatchEncoding | tuple[type, str]:
    """The batch that a call returns, or the error it raises."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`max_length` is ignored when `padding`")
        try:
            return tokenizer(*texts, **options)
        except Exception as error:
            return type(error), str(error)


def assert_equal_outcomes(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, tuple):
        assert ours == theirs
        return
    assert [(key, plain(value)) for key, value in ours.items()] == [(key, plain(v)) for key, v in theirs.items()]
    assert (ours.is_fast, ours.n_sequences, len(ours.encodings)) == (True, theirs.n_sequences, len(theirs.encodings))
    for found, expected in zip(ours.encodings, theirs.encodings, strict=True):
        for field in ENCODING_FIELDS + MASK_FIELDS:
            assert getattr(found, field) == getattr(expected, field), field


def without_surrogates(text: Any) -> Any:
    """The text as Rust can take it, every lone surrogate another character that is not DNA."""
    return re.sub("[\ud800-\udfff]", "?", text) if isinstance(text, str) else [without_surrogates(t) for t in text]


def without_panic(options: dict[str, Any]) -> dict[str, Any]:
    """Rust aborts with a backtrace, not an error, where a stride leaves no step to take."""
    has_room = options["max_length"] is None or options["stride"] < options["max_length"] - 2
    return options if has_room else options | {"stride": 0}


@PROPERTY
@given(
    text=SEQUENCES | st.lists(SEQUENCES, max_size=4),
    options=OPTIONS.map(without_panic),
    suffix_token=st.sampled_from(SUFFIX_TOKENS),
    truncation_side=st.sampled_from(["left", "right"]),
)
def test_any_text_with_any_options_is_what_rust_makes(pairs, text, options, suffix_token, truncation_side):
    """Any Unicode, special tokens in it, every way to pad and cut: batch, error and encodings are the same."""
    ours, theirs = pairs[suffix_token]
    ours.truncation_side = theirs.truncation_side = truncation_side
    assert_equal_outcomes(outcome(ours, text, **options), outcome(theirs, without_surrogates(text), **options))


@PROPERTY
@given(
    text=st.lists(SEQUENCES, min_size=1, max_size=3),
    other=SEQUENCES,
    options=OPTIONS.map(without_panic),
    kind=st.sampled_from(["pair", "words", "offsets"]),
)
def test_pairs_words_and_offsets_are_what_rust_makes(pairs, text, other, options, kind):
    """What the byte table leaves to Rust comes back from there, lone surrogates included."""
    ours, theirs = pairs["[EOS]"]
    ours.truncation_side = theirs.truncation_side = "right"
    options |= {"stride": 0} | ({"is_split_into_words": True} if kind == "words" else {})
    options |= {"return_offsets_mapping": True} if kind == "offsets" else {}
    texts = [text, [other] * len(text)] if kind == "pair" else [text]
    if kind == "pair" and options["max_length"] is not None and options["max_length"] < 4:
        options |= {"max_length": 4}
    assert_equal_outcomes(outcome(ours, *texts, **options), outcome(theirs, *without_surrogates(texts), **options))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": True, "return_tensors": "pt"},
        {"padding": "max_length", "max_length": 9, "padding_side": "left", "return_tensors": "np"},
        {"padding": True, "pad_to_multiple_of": 8, "return_special_tokens_mask": True, "return_length": True},
        {"truncation": True, "max_length": 5, "stride": 1, "return_overflowing_tokens": True},
        {"truncation": "only_first", "max_length": 4, "add_special_tokens": False},
        {"return_token_type_ids": True, "split_special_tokens": True, "verbose": False},
    ],
)
def test_plain_sequences_do_not_touch_rust(options, no_rust, tokenizer):
    """No ordinary call encodes in Rust, nor do surrogates, other Unicode and special tokens in the text."""
    for text in ("ACGT", ["ACGTN", "ac[MASK]", "Ä🧬\ud800", ""], ("A", "C")):
        tokenizer(text, **options)
    assert tokenizer.encode("AC") == [2, 5, 7, 12]


@pytest.mark.parametrize("return_tensors", ["pt", "np"])
def test_tensors_own_writable_memory(return_tensors, tokenizer):
    """A batch can be changed in place, as collators that mask do, and no other batch changes with it."""
    batches = [tokenizer(["ACGT", "AC"], padding=True, return_tensors=return_tensors) for _ in range(2)]
    for key in ("input_ids", "attention_mask"):
        batches[0][key][:] = 9
        assert (batches[0][key] == 9).all()
        assert not (batches[1][key] == 9).any()
    array = np.asarray(batches[0]["input_ids"])
    assert array.flags.writeable
    assert array.dtype == np.int64


def test_ragged_tensors_have_the_usual_error(tokenizer):
    """Sequences of different lengths do not become a tensor without padding."""
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(["A", "AC"], return_tensors="pt")


def test_unknown_tensor_type_has_the_usual_error(tokenizer):
    """A framework that there is not is refused by transformers."""
    with pytest.raises(ValueError, match="tf"):
        tokenizer("A", return_tensors="tf")


@pytest.mark.parametrize("text", [3, None, [["A", "C"], ["G"]], [3], []])
def test_what_is_no_text_has_the_usual_error(text, pairs):
    """Numbers, nothing and an empty batch fail as they do in every tokenizer."""
    ours, theirs = pairs["[EOS]"]
    assert_equal_outcomes(outcome(ours, text), outcome(theirs, text))


@pytest.mark.parametrize("text", ["AC[NEW]GT<GAP>", ["A", "<GAP>n"]])
def test_tokens_added_later_are_found(text, pairs, tokenizer):
    """With more tokens than the table knows, text and ids go to Rust."""
    theirs = copy.deepcopy(pairs["[EOS]"][1])
    for other in (tokenizer, theirs):
        assert other.add_tokens(["<GAP>"]) + other.add_tokens(["[NEW]"], special_tokens=True) == 2
    found = outcome(tokenizer, text, padding=True)
    assert_equal_outcomes(found, outcome(theirs, text, padding=True))
    assert 16 in np.ravel(found["input_ids"])
    assert tokenizer.decode([5, 16, 17, 7]) == "A<GAP>[NEW]C"
    assert tokenizer.decode(torch.tensor([5, 16, 17, 7]), skip_special_tokens=True) == "A<GAP>C"


def test_exchanged_parts_of_the_backend_are_used(tokenizer):
    """Whoever replaces a part of the Rust tokenizer gets its results, not those of the table."""
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="[BOS] $A", special_tokens=[("[BOS]", 11)])
    assert tokenizer("AC")["input_ids"] == [11, 5, 7]


@pytest.mark.parametrize("pad_token", ["N", "[EOS]"])
def test_another_pad_token_fills_the_rows(pad_token, tokenizer):
    """The pad token may be any of the vocabulary, and the encodings agree."""
    tokenizer.pad_token = pad_token
    batch = tokenizer(["AC", "A"], padding=True)
    assert batch["input_ids"][1] == [2, 5, 12, tokenizer.convert_tokens_to_ids(pad_token)]
    assert batch.encodings[1].ids == batch["input_ids"][1]


@pytest.mark.slow
def test_table_is_much_faster_than_rust(pairs):
    """On one batch the table is at least fifty times as fast; the benchmark has the true ratio."""

    def seconds(tokenizer: Any) -> float:
        start = perf_counter()
        tokenizer(["ACGT" * 500] * 32, padding=True, return_tensors="pt", verbose=False)
        return perf_counter() - start

    ours, theirs = pairs["[EOS]"]
    assert min(seconds(theirs) for _ in range(3)) > 50 * min(seconds(ours) for _ in range(5))
