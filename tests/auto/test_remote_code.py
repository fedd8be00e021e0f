"""A checkpoint pushed with its code loads where dnafm is not installed."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from dnafm import (
    DNAFMConfig,
    DNAFMForMaskedLM,
    DNAFMForPairwiseTokenClassification,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
    DNAFMTokenizer,
)

AUTO_CLASS_OF = {
    DNAFMModel: "AutoModel",
    DNAFMForMaskedLM: "AutoModelForMaskedLM",
    DNAFMForSequenceClassification: "AutoModelForSequenceClassification",
    DNAFMForTokenClassification: "AutoModelForTokenClassification",
    DNAFMForPairwiseTokenClassification: "AutoModel",  # transformers has no Auto class for such heads
}
HUB_FILES = {
    "conditioning_dnafm.py",
    "configuration_dnafm.py",
    "kernels_dnafm.py",
    "losses_dnafm.py",
    "modeling_dnafm.py",
    "released_dnafm.py",
    "tokenization_dnafm.py",
}
SEQUENCES = ["ACGTNACGT", "gattaca", "AC[MASK]GT"]
LOAD_WITHOUT_DNAFM = """
    import importlib.abc, sys

    class Absent(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name == "dnafm" or name.startswith("dnafm."):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Absent())
    import torch, transformers

    folder = sys.argv[1]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    model = getattr(transformers, sys.argv[2]).from_pretrained(folder, trust_remote_code=True)
    batch = tokenizer(sys.argv[3:], padding=True, return_tensors="pt")
    with torch.no_grad():
        output = model(**batch)[0]
    assert "dnafm" not in sys.modules
    torch.save({"output": output, "ids": batch["input_ids"], "suffix": tokenizer.suffix_token}, folder + "/found.pt")
"""


@pytest.fixture
def registered(monkeypatch):
    """Ask for the code to be saved with the weights, for one test."""
    for model_class, auto_class in AUTO_CLASS_OF.items():
        monkeypatch.setattr(model_class, "_auto_class", auto_class)
    monkeypatch.setattr(DNAFMConfig, "_auto_class", "AutoConfig")
    monkeypatch.setattr(DNAFMTokenizer, "_auto_class", "AutoTokenizer")


@pytest.mark.slow
@pytest.mark.parametrize("model_class", AUTO_CLASS_OF)
def test_a_process_without_dnafm_finds_equal_ids_and_outputs(registered, tiny_model, tmp_path, model_class):
    """Model and tokenizer load through `trust_remote_code=True`, padding and special tokens included."""
    tokenizer = DNAFMTokenizer(suffix_token="[SEP]")
    model = tiny_model(model_class)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("*.py")} == HUB_FILES
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOAD_WITHOUT_DNAFM), tmp_path, AUTO_CLASS_OF[model_class], *SEQUENCES],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    batch = tokenizer(SEQUENCES, padding=True, return_tensors="pt")
    assert torch.equal(found["ids"], batch["input_ids"])
    assert found["suffix"] == "[SEP]"
    with torch.no_grad():
        torch.testing.assert_close(found["output"], model(**batch)[0], atol=1e-5, rtol=0)


def test_register_for_auto_class_writes_the_map(registered, tiny_model, tmp_path):
    """The config names the files and classes that the Auto classes are to load."""
    tiny_model(DNAFMForMaskedLM).save_pretrained(tmp_path)
    auto_map = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert auto_map["AutoConfig"] == "configuration_dnafm.DNAFMConfig"
    assert auto_map["AutoModelForMaskedLM"] == "modeling_dnafm.DNAFMForMaskedLM"
