"""`dnafm convert` from the command line."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from dnafm.checkpoints import convert

FIXTURES = Path(__file__).parents[1] / "fixtures"
MASKED_LM = FIXTURES / "released" / "layernorm-bias"
SEQUENCES = FIXTURES / "released" / "sequence-classification-mean"


def test_released_checkpoint_in_half_precision_and_shards(dnafm, tmp_path):
    """The report tells parameters, files and the verified difference; the result loads with the Auto classes."""
    code, printed, errors = dnafm(
        *("convert", MASKED_LM, "-o", tmp_path / "new", "--dtype", "bfloat16", "--max_shard_size", "60KB", "--verify")
    )
    assert (code, errors) == (0, "")
    assert "107,664 parameters in 4 files" in printed
    assert "verified: outputs differ by at most" in printed
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "new").dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(tmp_path / "new").suffix_token == "[SEP]"


def test_megatron_to_released_layout(dnafm, tmp_path):
    """Ranks become what the reference code loads: the tensors of the released golden folder."""
    code, _, errors = dnafm(
        "convert", FIXTURES / "megatron" / "megatron-tp2", "-o", tmp_path / "new", "--to", "released"
    )
    assert (code, errors) == (0, "")
    found, expected = load_file(tmp_path / "new" / "model.safetensors"), load_file(MASKED_LM / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert json.loads((tmp_path / "new" / "config.json").read_text())["model_type"] == "rnabert"


def test_installed_command_converts(installed_dnafm, tmp_path):
    """In a process of its own, with nothing on stderr."""
    printed = installed_dnafm("convert", SEQUENCES, "-o", tmp_path / "new", "--pooling", "mean", "--verify")
    assert "DNAFMForSequenceClassification" in printed
    assert json.loads((tmp_path / "new" / "config.json").read_text())["classifier_pooling"] == "mean"


def test_what_is_converted_serves_as_a_backbone(dnafm, tmp_path):
    """`--model.backbone FOLDER` of the other commands: the tokenizer's suffix and the weights are found."""
    from dnafm.tasks import Embed

    dnafm("convert", MASKED_LM, "-o", tmp_path / "new")
    for backbone in (MASKED_LM, tmp_path / "new"):
        task = Embed.from_config({"model.backbone": str(backbone)})
        assert task.tokenizer.suffix_token == "[SEP]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([SEQUENCES], "Say --pooling cls"),
        (["./nowhere"], "there is no such file or folder"),
        ([MASKED_LM, "--max_shard_size", "five"], "max_shard_size is 'five'"),
        ([MASKED_LM, "--base", MASKED_LM], "--base says what a fine-tune"),
        ([MASKED_LM / "expected.safetensors"], "no checkpoint of Lightning"),
    ],
)
def test_wrong_words_are_told_in_one_line(dnafm, tmp_path, words, message):
    """On stderr, without a traceback, with nothing written."""
    code, printed, errors = dnafm("convert", *words, "-o", tmp_path / "new")
    assert (code, printed) == (1, "")
    assert errors.startswith("dnafm: error: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_taken_destination_is_told_before_anything_is_read(dnafm, tmp_path):
    """The source is not even there."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "config.json").touch()
    code, _, errors = dnafm("convert", tmp_path / "nowhere", "-o", tmp_path / "taken")
    assert code == 1
    assert "--overwrite" in errors


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_folder_without_permission_is_named(dnafm, tmp_path):
    """The error of the system, in one line."""
    (tmp_path / "locked").mkdir(mode=0o500)
    code, _, errors = dnafm("convert", MASKED_LM, "-o", tmp_path / "locked" / "new")
    assert code == 1
    assert "no folder can be made there: Permission denied" in errors


def test_hub_id_is_fetched_safetensors_before_pickles(dnafm, tmp_path, monkeypatch):
    """Both formats are in the repository; only one is asked for, and the card names the repository."""
    asked = []

    def snapshot(repository, *, allow_patterns):
        asked.append((repository, *allow_patterns))
        return str(shutil.copytree(MASKED_LM, tmp_path / "snapshot", dirs_exist_ok=True))

    monkeypatch.setattr(convert, "snapshot_download", snapshot)
    code, _, _ = dnafm("convert", "genbio-ai/AIDO.DNA-300M", "-o", tmp_path / "new")
    assert code == 0
    assert asked == [("genbio-ai/AIDO.DNA-300M", "*.json", "*.safetensors")]
    assert "base_model: genbio-ai/AIDO.DNA-300M" in (tmp_path / "new" / "README.md").read_text()
