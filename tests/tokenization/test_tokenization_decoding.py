"""Ids become the upper-case sequence again, whatever holds them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

IDS = [2, 5, 7, 6, 8, 9, 10, 1, 4, 12, 0, 13]
WRITTEN = "[CLS]ACGTUN[MASK][UNK][EOS][PAD][UNUSED1]"


@pytest.mark.parametrize(
    "hold",
    [list, tuple, np.array, torch.tensor, lambda ids: np.array(ids, np.uint8), lambda ids: torch.tensor(ids).int()],
    ids=["list", "tuple", "array", "tensor", "uint8 array", "int32 tensor"],
)
def test_every_container_is_decoded(hold, tokenizer):
    """Lists, arrays and tensors, single or as a batch, with special tokens written out or left out."""
    assert tokenizer.decode(hold(IDS)) == WRITTEN
    assert tokenizer.decode(hold(IDS), skip_special_tokens=True) == "ACGTUN"
    assert tokenizer.decode(hold([IDS, IDS[::-1]]), skip_special_tokens=True) == ["ACGTUN", "NUTGCA"]
    assert tokenizer.batch_decode(hold([IDS, IDS])) == [WRITTEN, WRITTEN]
    assert tokenizer.batch_decode([hold(IDS[:3]), hold(IDS[:2])], skip_special_tokens=True) == ["AC", "A"]


def test_small_things_are_decoded(tokenizer):
    """One id, none, a scalar and empty rows."""
    assert tokenizer.decode(5) == tokenizer.decode(torch.tensor(5)) == tokenizer.decode(np.int64(5)) == "A"
    assert tokenizer.decode([]) == tokenizer.decode(torch.tensor([], dtype=torch.int64)) == ""
    assert tokenizer.decode([[], [5]]) == ["", "A"]
    assert tokenizer.decode(np.zeros((2, 0), np.int64)) == ["", ""]


def test_sequence_comes_back_in_upper_case(tokenizer):
    """Encoding and decoding keep everything but the case and what is no plain base."""
    batch = tokenizer(["acgtn", "GATTACA", "AUR"], padding=True, return_tensors="pt")
    assert tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True) == ["ACGTN", "GATTACA", "ATN"]
    assert tokenizer.decode(batch["input_ids"][0]) == "[CLS]ACGTN[EOS][PAD][PAD]"


def test_whitespace_clean_up_changes_nothing(tokenizer):
    """There are no spaces to clean up, so asking for it is harmless."""
    assert tokenizer.decode(IDS, clean_up_tokenization_spaces=True) == WRITTEN
    assert tokenizer.batch_decode([IDS], clean_up_tokenization_spaces=True) == [WRITTEN]


@settings(derandomize=True, deadline=None, database=None)
@given(ids=st.lists(st.integers(0, 20) | st.integers(0, 300), max_size=30), skip=st.booleans())
def test_any_ids_are_what_rust_makes(pairs, ids, skip):
    """The byte table decodes like the decoder in tokenizer.json, which passes over ids that there are not."""
    ours, theirs = pairs["[EOS]"]
    expected = theirs.decode(ids, skip_special_tokens=skip)
    assert ours.decode(ids, skip_special_tokens=skip) == expected
    assert ours.decode(torch.tensor(ids, dtype=torch.int64), skip_special_tokens=skip) == expected
    assert ours.decode(np.array([ids, ids]), skip_special_tokens=skip) == [expected, expected]


@pytest.mark.parametrize("ids", [[-1], [5, -100], [1.5], ["A"], torch.tensor([-100, 5]), torch.tensor([0.5])])
def test_impossible_ids_have_the_usual_error(ids, pairs):
    """Negative numbers, such as ignored labels, fractions and text are refused with the error of Rust."""
    errors = []
    for tokenizer in pairs["[EOS]"]:
        with pytest.raises((OverflowError, TypeError)) as caught:
            tokenizer.decode(ids)
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]


def test_tokens_and_ids_map_to_each_other(tokenizer):
    """Token by token, as scripts do that build their own inputs."""
    tokens = tokenizer.tokenize("AC[MASK]N")
    assert tokenizer.convert_tokens_to_ids(tokens) == [5, 7, 1, 10]
    assert tokenizer.convert_ids_to_tokens([5, 7, 1, 10]) == tokens
    assert tokenizer.convert_ids_to_tokens([2, 5, 12], skip_special_tokens=True) == ["A"]
    assert tokenizer.convert_tokens_to_ids("acgt") == tokenizer.unk_token_id
    assert tokenizer.convert_tokens_to_string(tokens) == "AC[MASK]N"
