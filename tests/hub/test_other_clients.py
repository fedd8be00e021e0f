"""A repository of the stand-in, read by `dnafm convert`, by the command line of transformers, and through adapters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_clients import masked_lm_logits, run_dnafm
from transformers import AutoModelForMaskedLM

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer

RELEASED = Path(__file__).parents[1] / "fixtures" / "released"


@pytest.fixture
def released_on_hub(hub):
    """Factory of repositories that hold a golden folder, and nothing else."""

    def build(name, repo, **options):
        there = hub.store.create(repo, **{"private": False, **options})
        files = {path.name: hub.store.add_file(path.read_bytes()) for path in (RELEASED / name).iterdir()}
        there.add_commit("main", files, "Released")

    return build


@pytest.mark.parametrize("name", ["layernorm-bias", "sharded-bin"])
def test_a_released_repository_is_converted_from_its_id(elsewhere, released_on_hub, tmp_path, repo, name):
    """In either format of weights, whatever else is in safetensors; what is written is the model of the folder."""
    repo = f"{repo}-{name}"
    released_on_hub(name, repo)
    code, out, errors = elsewhere(run_dnafm, "convert", repo, "-o", tmp_path / "new", "--verify")
    assert (code, errors) == (0, "")
    assert "107,664 parameters" in out
    found = DNAFMForMaskedLM.from_pretrained(tmp_path / "new").state_dict()
    expected = DNAFMForMaskedLM.from_pretrained(RELEASED / name).state_dict()
    assert all(torch.equal(tensor, found[key]) for key, tensor in expected.items())


def test_a_repository_that_is_not_given_is_named(elsewhere, released_on_hub, tmp_path, repo):
    """One that is nowhere and one of somebody else: one line with its id, and nothing is written."""
    released_on_hub("layernorm-bias", repo, private=True)
    for asked, token in (("ada/nowhere", "hf_writer"), (repo, "hf_stranger"), (repo, None)):
        code, out, errors = elsewhere(_convert_with_token, asked, tmp_path / "new", token)
        assert (code, out, errors.count("\n")) == (1, "", 1)
        assert errors.startswith(f"dnafm: error: {asked}: there is no such folder, and the Hub does not give it: ")
    assert not list(tmp_path.iterdir())


def _convert_with_token(source, destination, token):
    return run_dnafm("convert", source, "-o", destination, token=token)


def test_what_is_not_in_the_cache_is_named_without_a_network(dnafm_here, monkeypatch, tmp_path):
    """With `HF_HUB_OFFLINE`, the error of huggingface_hub alone does not say what was asked for."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, _, errors = dnafm_here("convert", "ada/nowhere", "-o", tmp_path / "new")
    assert (code, errors.count("\n")) == (1, 1)
    assert errors.startswith("dnafm: error: ada/nowhere: there is no such folder, and the Hub does not give it: ")
    assert "HF_HUB_OFFLINE" in errors


def test_transformers_download_fetches_model_and_code(elsewhere, hub_environment, checkpoint, tmp_path, repo):
    """`transformers download`, which does not import dnafm, leaves a cache that is enough without a network."""
    assert elsewhere(run_dnafm, "push", checkpoint, repo, "--with_code")[0] == 0
    environment = {**os.environ, **hub_environment, "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "transformers.cli.transformers", "download", repo]
    options = ["--cache-dir", str(tmp_path / "cache"), "--trust-remote-code"]
    subprocess.run([*command, *options], env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=200)
    place = {"cache_dir": tmp_path / "cache", "local_files_only": True}
    found = AutoModelForMaskedLM.from_pretrained(repo, **place), DNAFMTokenizer.from_pretrained(repo, **place)
    expected = DNAFMForMaskedLM.from_pretrained(checkpoint), DNAFMTokenizer.from_pretrained(checkpoint)
    assert torch.equal(masked_lm_logits(*found), masked_lm_logits(*expected))


def test_the_id_of_adapters_leads_to_the_base_and_onto_it(elsewhere, checkpoint, repo):
    """`AutoModelForMaskedLM.from_pretrained` of adapters alone, as peft pushes them."""
    pytest.importorskip("peft")
    assert elsewhere(run_dnafm, "push", checkpoint, f"{repo}-base")[0] == 0
    base, adapted, loaded = elsewhere(_push_and_load_by_id, f"{repo}-base", repo)
    assert not torch.equal(adapted, base)
    assert torch.equal(loaded, adapted)


def _push_and_load_by_id(base_repo, repo):
    from peft import LoraConfig, get_peft_model

    tokenizer = DNAFMTokenizer.from_pretrained(base_repo)
    base = DNAFMForMaskedLM.from_pretrained(base_repo)
    before = masked_lm_logits(base, tokenizer)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = get_peft_model(base, config).eval()
    model.push_to_hub(repo)
    loaded = AutoModelForMaskedLM.from_pretrained(repo)
    return before, masked_lm_logits(model, tokenizer), masked_lm_logits(loaded.eval(), tokenizer)
