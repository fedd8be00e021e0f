"""What the tokenizer makes of characters, special tokens and settings; tests/tokenization has the rest."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils import logging as transformers_logging

from dnafm.tokenization_dnafm import DNAFMTokenizer

UNUSED = ["[UNUSED1]", "[UNUSED2]", "[UNUSED3]"]
VOCABULARY = ["[PAD]", "[MASK]", "[CLS]", "[SEP]", "[UNK]", *"AGCTUN", "[BOS]", "[EOS]", *UNUSED]
PAD, MASK, CLS, SEP, UNK, A, G, C, T, _, N, _, EOS = range(13)
ID_OF_CHARACTER = (
    {"A": A, "C": C, "G": G, "T": T, "U": T, "N": N}
    | {"a": A, "c": C, "g": G, "t": T, "u": T, "n": N}
    | dict.fromkeys("RYSWKMBDHVryswkmbdhv", N)
)


@pytest.fixture
def tokenizer() -> DNAFMTokenizer:
    return DNAFMTokenizer()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """Messages of transformers, once each: its logger propagates only where the variable CI is set."""
    logger = logging.getLogger("transformers")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def ids(text: str, **settings: object) -> list[int]:
    return DNAFMTokenizer(**settings)(text)["input_ids"]


def test_vocabulary_is_that_of_the_weights(tokenizer):
    """The sixteen tokens have the ids that the released weights were trained with."""
    assert tokenizer.convert_ids_to_tokens(list(range(16))) == VOCABULARY
    assert tokenizer.get_vocab() == {token: i for i, token in enumerate(VOCABULARY)}
    assert len(tokenizer) == tokenizer.vocab_size == 16


def test_bases_of_either_case_between_cls_and_eos():
    """Each base is one token, [CLS] comes first and [EOS] last."""
    assert ids("ACGTN") == ids("acgtn") == [CLS, A, C, G, T, N, EOS]


def test_rna_is_read_as_dna():
    """U is T in either case."""
    assert ids("UuTt") == [CLS, T, T, T, T, EOS]


def test_ambiguity_codes_become_n():
    """The ten IUPAC codes mean a base that is not known."""
    assert ids("RYSWKMBDHVryswkmbdhv") == [CLS, *[N] * 20, EOS]


@pytest.mark.parametrize(
    "character",
    [" ", "\n", "\r\n", "\t", "\0", "7", "X", "-", "é", "\u017f", "\u0410", "🧬", "\u0301", "\ud800\udfff"],
)
def test_any_other_character_is_one_unk(character):
    """White space, look-alikes, combining and astral characters and lone surrogates are one [UNK] each."""
    assert ids(f"A{character}C") == [CLS, A, *[UNK] * len(character), C, EOS]


@settings(derandomize=True, deadline=None, database=None)
@given(st.text(st.characters(blacklist_categories=()), max_size=50))
def test_token_i_is_character_i_minus_1(text):
    """Any text of n characters has n + 2 tokens, each decided by its own character alone."""
    text = text.replace("[", "")
    assert ids(text) == [CLS, *(ID_OF_CHARACTER.get(character, UNK) for character in text), EOS]


def test_characters_are_not_normalised():
    """A letter and its combining accent stay two characters, as does a ligature one."""
    assert ids("A\u0301") == [CLS, A, UNK, EOS]
    assert ids("ﬁ") == [CLS, UNK, EOS]


@pytest.mark.parametrize("token", [token for token in VOCABULARY if len(token) > 1])
def test_special_token_written_out_is_one_token(token):
    """A special token in the text is its id, next to bases without any space."""
    assert ids(f"AC{token}T") == [CLS, A, C, VOCABULARY.index(token), T, EOS]


def test_special_token_of_another_spelling_is_characters():
    """[mask] is six characters, of which m, a, s and k are bases; brackets around a token are [UNK]."""
    assert ids("[mask]") == [CLS, UNK, N, A, N, N, UNK, EOS]
    assert ids("[[MASK]]") == [CLS, UNK, MASK, UNK, EOS]
    assert ids("[MASK") == [CLS, UNK, N, A, N, N, EOS]


def test_special_tokens_can_be_split(tokenizer):
    """With split_special_tokens, in the call or the tokenizer, the letters count."""
    expected = [CLS, UNK, N, A, N, N, UNK, EOS]
    assert tokenizer("[MASK]", split_special_tokens=True)["input_ids"] == expected
    assert ids("[MASK]", split_special_tokens=True) == expected
    assert tokenizer("[MASK]")["input_ids"] == [CLS, MASK, EOS]


def test_empty_text_is_the_template():
    """No bases leave [CLS] and the suffix, or nothing at all."""
    assert ids("") == [CLS, EOS]
    assert DNAFMTokenizer()("", add_special_tokens=False)["input_ids"] == []


@pytest.mark.parametrize(
    ("suffix_token", "single", "pair"),
    [
        ("[EOS]", [CLS, A, C, EOS], [CLS, A, C, EOS, G, EOS]),
        ("[SEP]", [CLS, A, C, SEP], [CLS, A, C, SEP, G, SEP]),
        (None, [CLS, A, C], [CLS, A, C, G]),
    ],
)
def test_suffix_ends_each_sequence(suffix_token, single, pair):
    """All ways to a template agree: calls, ids put together by hand, counts and masks."""
    tokenizer = DNAFMTokenizer(suffix_token=suffix_token)
    assert tokenizer("AC")["input_ids"] == tokenizer.build_inputs_with_special_tokens([A, C]) == single
    assert tokenizer("AC", "G")["input_ids"] == tokenizer.build_inputs_with_special_tokens([A, C], [G]) == pair
    assert tokenizer.num_special_tokens_to_add() == len(single) - 2
    assert tokenizer.num_special_tokens_to_add(pair=True) == len(pair) - 3
    assert tokenizer.get_special_tokens_mask([A, C]) == [int(i in (CLS, EOS, SEP)) for i in single]
    assert tokenizer.get_special_tokens_mask([A, C], [G]) == [int(i in (CLS, EOS, SEP)) for i in pair]
    assert tokenizer("AC", "G", return_token_type_ids=True)["token_type_ids"] == [0] * len(single) + [1] * (
        len(pair) - len(single)
    )


def test_special_tokens_mask_of_finished_input_counts_all(tokenizer):
    """In a finished input a mask in the text is as special as [CLS]; in the mask of a call only the template is."""
    batch = tokenizer("A[MASK]", return_special_tokens_mask=True)
    assert batch["special_tokens_mask"] == [1, 0, 0, 1]
    assert tokenizer.get_special_tokens_mask(batch["input_ids"], already_has_special_tokens=True) == [1, 0, 1, 1]


def test_suffix_can_be_assigned(tokenizer):
    """Setting suffix_token changes what the next call makes."""
    assert (tokenizer.suffix_token, tokenizer.suffix_token_id) == ("[EOS]", EOS)
    tokenizer.suffix_token = "[SEP]"
    assert tokenizer("A")["input_ids"] == [CLS, A, SEP]
    assert tokenizer("A", "C")["input_ids"] == [CLS, A, SEP, C, SEP]
    tokenizer.suffix_token = None
    assert tokenizer("A")["input_ids"] == [CLS, A]
    assert tokenizer.suffix_token_id is None


@pytest.mark.parametrize("suffix_token", ["[CLS]", "[eos]", "EOS", "", 12, False])
def test_other_suffix_is_refused(suffix_token, tokenizer):
    """The error has the value, what is allowed and what to use; the tokenizer keeps the suffix it had."""
    with pytest.raises(ValueError, match=r"suffix_token=.*'\[EOS\]', in '\[SEP\]' or, with None.*Use"):
        DNAFMTokenizer(suffix_token=suffix_token)
    with pytest.raises(ValueError, match="suffix_token="):
        tokenizer.suffix_token = suffix_token
    assert tokenizer("A")["input_ids"] == [CLS, A, EOS]


@pytest.mark.parametrize("name", ["add_bos_token", "add_eos_token"])
def test_add_bos_and_eos_leave_the_template_alone(name, log):
    """The switches of other tokenizers warn, stay off and change no id."""
    logging.getLogger("transformers").warning_once.__func__.cache_clear()
    tokenizer = DNAFMTokenizer(**{name: True})
    setattr(tokenizer, name, True)
    tokenizer.update_post_processor()
    assert getattr(tokenizer, name) is False
    assert tokenizer("A")["input_ids"] == [CLS, A, EOS]
    assert ["suffix_token" in message for message in log.messages] == [True]


def test_named_tokens(tokenizer):
    """Every named token is the one of its name, whatever the suffix; all of them are special."""
    for name in ("pad", "mask", "cls", "sep", "unk", "bos", "eos"):
        assert getattr(tokenizer, f"{name}_token") == f"[{name.upper()}]"
        assert getattr(tokenizer, f"{name}_token_id") == VOCABULARY.index(f"[{name.upper()}]")
        assert getattr(DNAFMTokenizer(suffix_token=None), f"{name}_token") == f"[{name.upper()}]"
    assert sorted(tokenizer.all_special_ids) == [i for i, token in enumerate(VOCABULARY) if len(token) > 1]


def test_added_tokens_match_exactly(tokenizer):
    """Special tokens take no neighbouring space with them and are looked for in the text as it was written."""
    for token in tokenizer.added_tokens_decoder.values():
        assert token.special
        assert not any([token.normalized, token.lstrip, token.rstrip, token.single_word])


def test_defaults(tokenizer):
    """Ids and mask, padding on the right, the context of the model."""
    assert list(tokenizer("A")) == tokenizer.model_input_names == ["input_ids", "attention_mask"]
    assert tokenizer.padding_side == "right"
    assert tokenizer.model_max_length == 4000
    assert not tokenizer.clean_up_tokenization_spaces


def test_unknown_characters_are_counted_in_one_warning(log, tokenizer):
    """The first call that meets them names them, their number and what is accepted; later calls are silent."""
    tokenizer(["ACGT", "acgun[MASK]RYSWKMBDHV[UNK]"])
    assert log.messages == []
    tokenizer(["AXA", "X\n[UNK]", "\ud800\u0410"])
    tokenizer("XYZ")
    tokenizer("X", "Z")
    (message,) = log.messages
    assert "5 in this call: 'X' (2), '\\n' (1), '\\ud800' (1), '\\u0410' (1)." in message
    assert "A, C, G, T, U, N" in message
    assert "R, Y, S, W, K, M, B, D, H, V" in message


def test_many_kinds_of_unknown_characters_are_cut_short(log, tokenizer):
    """Five kinds are named, the commonest first, and the others counted."""
    tokenizer("1234567 7")
    assert "9 in this call: '7' (2), '1' (1), '2' (1), '3' (1), '4' (1) and 3 others." in log.messages[0]


@pytest.mark.parametrize("text", [("AX", "ZC"), ("AX", None)])
def test_each_tokenizer_has_its_own_warning(log, text):
    """A second tokenizer warns again, for pairs as for single sequences; verbose=False does not warn."""
    for n_warnings in range(2):
        tokenizer = DNAFMTokenizer()
        tokenizer(*text, verbose=False)
        assert len(log.messages) == n_warnings
        tokenizer(*text)
        assert len(log.messages) == n_warnings + 1


def test_verbosity_of_transformers_holds(log):
    """Whoever silences transformers silences the tokenizer."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    DNAFMTokenizer()("X")
    transformers_logging.set_verbosity(verbosity)
    assert log.messages == []


def test_unknown_characters_inside_special_tokens_do_not_count(log, tokenizer):
    """Brackets and digits of written tokens are no unknown characters, unless the tokens are split."""
    tokenizer.add_tokens(["<human>"])
    tokenizer("A[UNUSED1]<human>C")
    assert log.messages == []
    tokenizer("<human>A[MASK]", split_special_tokens=True)
    assert "'[' (1)" in log.messages[0]


def test_too_long_sequence_has_the_usual_warning(log):
    """The bare tokenizer warns once as all do and cuts nothing; with max_length it is silent."""
    tokenizer = DNAFMTokenizer(model_max_length=6)
    tokenizer("ACGT")
    tokenizer("ACGTA", max_length=7, truncation=True)
    assert log.messages == []
    batch = tokenizer(["ACGT", "ACGTA", "ACGTAC"])
    tokenizer("ACGTACGT")
    assert len(batch["input_ids"][2]) == 8
    (message,) = log.messages
    assert "longer than the specified maximum sequence length for this model (7 > 6)" in message
