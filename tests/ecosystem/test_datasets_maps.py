"""The tokenizer in `datasets` maps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dnafm
from dnafm import DNAFMTokenizer

datasets = pytest.importorskip("datasets")

SEQUENCES = ["ACGT", "gattaca", "", "ACGTN" * 20] * 5
PROGRAM = """
from datasets.fingerprint import Hasher
from dnafm import DNAFMTokenizer
print(Hasher.hash(DNAFMTokenizer()))
"""


@pytest.fixture(autouse=True)
def _quiet():
    """Bars of progress stay out of the way."""
    datasets.disable_progress_bars()


@pytest.fixture
def rows():
    return datasets.Dataset.from_dict({"sequence": SEQUENCES})


def test_batched_map_in_two_processes(rows):
    """Ids and masks of each row are those of the row alone, in order."""
    tokenizer = DNAFMTokenizer()
    found = rows.map(lambda batch: tokenizer(batch["sequence"]), batched=True, batch_size=3, num_proc=2)
    assert found["input_ids"][:] == [tokenizer(sequence)["input_ids"] for sequence in SEQUENCES]
    assert found["attention_mask"][:] == [[1] * (len(sequence) + 2) for sequence in SEQUENCES]


def test_fingerprint_is_the_same_in_every_process():
    """So that another process finds the cache of the first one, whatever seed Python hashes strings with."""
    source = Path(dnafm.__file__).parents[1]
    paths = os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert printed.strip() == datasets.fingerprint.Hasher.hash(DNAFMTokenizer())


def test_use_does_not_change_the_fingerprint(rows):
    """Padding, truncating, unknown characters and decoding leave no trace in the tokenizer."""
    tokenizer = DNAFMTokenizer(model_max_length=50)

    def tokenize(batch):
        return tokenizer(batch["sequence"])

    before = rows.map(tokenize, batched=True)._fingerprint
    tokenizer(SEQUENCES, padding=True, truncation=True, max_length=8, return_tensors="pt")
    tokenizer.decode(tokenizer("ACGTJ")["input_ids"])
    assert rows.map(tokenize, batched=True)._fingerprint == before


def test_other_settings_change_the_fingerprint(rows):
    """A tokenizer with another suffix must not be served the cache of the first."""
    fingerprints = set()
    for suffix in ("[EOS]", "[SEP]"):
        tokenizer = DNAFMTokenizer(suffix_token=suffix)
        fingerprints.add(rows.map(lambda batch, used=tokenizer: used(batch["sequence"]), batched=True)._fingerprint)
    assert len(fingerprints) == 2
