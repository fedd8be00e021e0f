"""What a batch knows of its tokens and characters, and what happens to it in workers and copies."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from tokenizers import Encoding
from torch.utils.data import DataLoader

from dnafm.tokenization_dnafm import DNAFMTokenizer


def test_tokens_and_characters_map_to_each_other(tokenizer):
    """Character i is token i + 1; the template belongs to no sequence."""
    batch = tokenizer(["AC🧬", "T"], padding=True, return_tensors="pt")
    assert batch.is_fast
    assert batch.tokens() == ["[CLS]", "A", "C", "[UNK]", "[EOS]"]
    assert batch.tokens(1) == ["[CLS]", "T", "[EOS]", "[PAD]", "[PAD]"]
    assert [batch.char_to_token(0, i) for i in range(3)] == [1, 2, 3]
    assert [tuple(batch.token_to_chars(0, i)) for i in (1, 2, 3)] == [(0, 1), (1, 2), (2, 3)]
    assert batch.token_to_chars(0, 0) is None
    assert batch.sequence_ids(1) == [None, 0, None, None, None]
    assert batch.word_ids(0) == [None, 0, 1, 2, None]


def test_characters_of_a_pair(tokenizer):
    """In a pair the sequence of a character has to be named."""
    batch = tokenizer("AC", "GT")
    assert batch.sequence_ids() == [None, 0, 0, None, 1, 1, None]
    assert batch.char_to_token(1, sequence_index=1) == 5


def test_lone_surrogate_keeps_its_place(tokenizer):
    """Alignment counts characters of the text that was given."""
    batch = tokenizer("A\ud800C")
    assert batch.tokens() == ["[CLS]", "A", "[UNK]", "C", "[EOS]"]
    assert batch.char_to_token(2) == 3


def test_tokenize_gives_tokens(tokenizer):
    """Tokens come without the template unless that is asked for."""
    assert tokenizer.tokenize("aC[MASK]u\n") == ["A", "C", "[MASK]", "T", "[UNK]"]
    assert tokenizer.tokenize("A", add_special_tokens=True) == ["[CLS]", "A", "[EOS]"]


def test_encodings_act_like_a_list(tokenizer):
    """They have a length without being made, can be indexed, sliced and gone through, twice the same."""
    batch = tokenizer(["A", "C", "G"])
    assert len(batch.encodings) == 3
    assert [encoding.ids[1] for encoding in batch.encodings] == [5, 7, 6]
    assert all(isinstance(encoding, Encoding) for encoding in batch.encodings[1:])
    assert batch[2] is batch.encodings[2] is batch.encodings[-1]
    with pytest.raises(IndexError):
        batch.encodings[3]


def test_overflowing_pieces_have_encodings(tokenizer):
    """Every piece of a cut sequence is a row of its own with the characters it has."""
    batch = tokenizer("ACGTA", truncation=True, max_length=5, stride=1, return_overflowing_tokens=True)
    assert batch["overflow_to_sample_mapping"] == [0, 0]
    assert batch.tokens(0) == ["[CLS]", "A", "C", "G", "[EOS]"]
    assert batch.tokens(1) == ["[CLS]", "G", "T", "A", "[EOS]"]
    assert tuple(batch.token_to_chars(1, 3)) == (4, 5)


def test_encodings_are_not_made_unasked(no_rust, tokenizer):
    """Moving, copying, reading and pickling a batch leave Rust alone."""
    batch = tokenizer(["AC", "G"], padding=True, return_tensors="pt")
    copies = [copy.copy(batch), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch)), batch.to("cpu")]
    assert all(torch.equal(other["input_ids"], batch["input_ids"]) for other in copies)
    assert {**batch}.keys() == {"input_ids", "attention_mask"}
    assert batch.is_fast
    assert batch.n_sequences == 1
    with pytest.raises(AssertionError, match="Rust"):
        batch.tokens()


def test_encodings_are_those_of_the_call(tokenizer):
    """Changing the tokenizer afterwards does not change what an earlier batch says."""
    batch = tokenizer(["AC", "G"], padding=True)
    tokenizer.padding_side = "left"
    tokenizer.suffix_token = None
    tokenizer.add_tokens(["AC"])
    assert [encoding.ids for encoding in batch.encodings] == batch["input_ids"]


def test_copies_keep_their_encodings(tokenizer):
    """Both a copy and a deep copy of a batch that nobody looked at still know their tokens."""
    for duplicate in (copy.copy, copy.deepcopy):
        assert duplicate(tokenizer("AC")).tokens() == ["[CLS]", "A", "C", "[EOS]"]


def test_pickle_drops_encodings_that_nobody_looked_at(tokenizer):
    """The values stay; alignment is gone and says so."""
    batch = pickle.loads(pickle.dumps(tokenizer("AC")))
    assert batch["input_ids"] == [2, 5, 7, 12]
    assert not batch.is_fast
    with pytest.raises(ValueError, match="not available"):
        batch.tokens()


def test_pickle_keeps_encodings_that_were_made(tokenizer):
    """They are an ordinary list then."""
    batch = tokenizer(["AC", "G"])
    batch.tokens()
    restored = pickle.loads(pickle.dumps(batch))
    assert isinstance(restored.encodings, list)
    assert restored.tokens(1) == ["[CLS]", "G", "[EOS]"]


@pytest.mark.parametrize("is_made", [False, True])
def test_pickled_batch_loads_where_dnafm_is_missing(is_made, tmp_path, tokenizer):
    """A batch written to a file needs transformers only."""
    batch = tokenizer("AC", return_tensors="np")
    if is_made:
        batch.tokens()
    path = tmp_path / "batch.pickle"
    path.write_bytes(pickle.dumps(batch))
    code = (
        "import pickle, sys; sys.modules['dnafm'] = None\n"
        f"print(pickle.load(open({str(path)!r}, 'rb'))['input_ids'].tolist())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[[2, 5, 7, 12]]"


class Collator:
    """Encodes in the worker, as a collate_fn does."""

    def __init__(self, tokenizer: DNAFMTokenizer):
        self.tokenizer = tokenizer

    def __call__(self, texts: list[str]):
        return self.tokenizer(texts, padding=True, return_tensors="pt")


def test_batches_come_back_from_dataloader_workers(tokenizer):
    """Workers send what the main process would have made."""
    texts = ["ACGT", "AC", "G", "NN"]
    loader = DataLoader(texts, batch_size=2, num_workers=1, collate_fn=Collator(tokenizer))
    batches = [batch["input_ids"].tolist() for batch in loader]
    assert batches == [tokenizer(texts[i : i + 2], padding=True)["input_ids"] for i in (0, 2)]
