"""The same tokenizer twice: ours, and the Rust one that its files describe."""

import pytest
from transformers import PreTrainedTokenizerFast

from dnafm.tokenization_dnafm import SUFFIX_TOKENS, DNAFMTokenizer


@pytest.fixture
def tokenizer() -> DNAFMTokenizer:
    return DNAFMTokenizer()


@pytest.fixture(scope="session")
def pairs(tmp_path_factory) -> dict[str | None, tuple[DNAFMTokenizer, PreTrainedTokenizerFast]]:
    """For each suffix a tokenizer and its Rust twin, read from what it saved."""
    found = {}
    for suffix_token in SUFFIX_TOKENS:
        folder = tmp_path_factory.mktemp("tokenizer")
        ours = DNAFMTokenizer(suffix_token=suffix_token)
        ours.save_pretrained(folder)
        found[suffix_token] = ours, PreTrainedTokenizerFast.from_pretrained(folder)
    return found


@pytest.fixture
def no_rust(monkeypatch):
    """Fail as soon as a sequence is encoded or an encoding made by Rust."""

    def fail(*args: object) -> None:
        raise AssertionError("took the Rust path")

    monkeypatch.setattr(DNAFMTokenizer, "_encode_in_rust", fail)
