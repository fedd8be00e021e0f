"""What was pushed comes back: from `dnafm push`, and from the clients that people use already."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from hub_clients import SEQUENCES, masked_lm_logits, pull_logits, push_objects, pushing_arguments, run_dnafm
from hub_storage import Fault
from huggingface_hub import constants

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification, DNAFMTokenizer
from dnafm.tasks import SequenceClassification

LOAD_WITHOUT_DNAFM = """
    import importlib.abc, sys

    class Absent(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name == "dnafm" or name.startswith("dnafm."):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Absent())
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    torch.set_num_threads(1)
    repo, revision, path, *sequences = sys.argv[1:]
    model = AutoModelForMaskedLM.from_pretrained(repo, revision=revision, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(repo, revision=revision, trust_remote_code=True)
    with torch.no_grad():
        logits = model(**tokenizer(sequences, padding=True, return_tensors="pt")).logits
    assert "dnafm" not in sys.modules
    torch.save(logits, path)
"""


@pytest.fixture
def local_logits():
    """Logits of the checkpoint of a folder."""

    def compute(folder):
        return masked_lm_logits(DNAFMForMaskedLM.from_pretrained(folder), DNAFMTokenizer.from_pretrained(folder))

    return compute


def test_logits_are_equal_in_a_fresh_cache(elsewhere, local_logits, checkpoint, tmp_path, repo):
    """A pushed checkpoint computes the same to the last bit."""
    assert elsewhere(run_dnafm, "push", checkpoint, repo)[0] == 0
    assert torch.equal(elsewhere(pull_logits, repo, tmp_path / "cache"), local_logits(checkpoint))


def test_a_process_without_dnafm_computes_the_same(
    elsewhere, hub, hub_environment, local_logits, checkpoint, tmp_path, repo
):
    """From a branch, by the code beside the weights, in a process and a cache of its own."""
    assert elsewhere(run_dnafm, "push", checkpoint, repo, "--with_code", "--revision", "v2")[0] == 0
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOAD_WITHOUT_DNAFM), repo, "v2", tmp_path / "found.pt", *SEQUENCES],
        check=True,
        env={**os.environ, **hub_environment, "HF_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        timeout=200,
    )
    assert torch.equal(torch.load(tmp_path / "found.pt", weights_only=True), local_logits(checkpoint))
    assert hub.store.paths(repo, "main") == set()


def test_each_revision_has_its_own_weights(elsewhere, hub, local_logits, checkpoint, tiny_model, tmp_path, repo):
    """A branch, a commit and `main` give what was pushed to each of them."""
    elsewhere(run_dnafm, "push", checkpoint, repo)
    first_commit = hub.store.repositories[repo].branches["main"]
    first = local_logits(checkpoint)
    tiny_model(DNAFMForMaskedLM).save_pretrained(checkpoint)
    elsewhere(run_dnafm, "push", checkpoint, repo, "--revision", "next")
    second = local_logits(checkpoint)
    assert not torch.equal(first, second)
    for revision, expected in (("next", second), (first_commit, first), (None, first)):
        assert torch.equal(elsewhere(pull_logits, repo, tmp_path / "cache", revision), expected)
    assert "no-such-branch" in elsewhere(pull_logits, repo, tmp_path / "cache", "no-such-branch")


def test_a_private_model_is_for_its_owner(elsewhere, local_logits, checkpoint, tmp_path, repo):
    """Nobody else gets it, without a token or with another one, and the error names the repository."""
    elsewhere(run_dnafm, "push", checkpoint, repo, "--private")
    for token in (None, "hf_stranger"):
        assert f"{repo} is not a local folder" in elsewhere(pull_logits, repo, tmp_path / "cache", None, token)
    assert torch.equal(elsewhere(pull_logits, repo, tmp_path / "cache"), local_logits(checkpoint))


def test_an_interrupted_download_goes_on_where_it_was(elsewhere, hub, local_logits, checkpoint, tmp_path, repo):
    """After the connection is lost, what is left of the file is asked for, and the weights are right."""
    elsewhere(run_dnafm, "push", checkpoint, repo)
    hub.ranges.clear()
    hub.faults.append(Fault("GET", after_bytes=7000))
    assert torch.equal(elsewhere(_pull_in_pieces, repo, tmp_path / "cache"), local_logits(checkpoint))
    assert not hub.faults
    assert hub.ranges == ["bytes=7000-"]


def _pull_in_pieces(repo, cache_dir):
    # What has come of a piece when a connection is lost, comes once more; a usual piece has 10 MB.
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
        return pull_logits(repo, cache_dir)


def test_objects_push_themselves(elsewhere, hub, local_logits, checkpoint, tmp_path, repo):
    """`push_to_hub` of the model and of the tokenizer are enough, options of transformers included."""
    elsewhere(push_objects, checkpoint, repo, {"max_shard_size": "20KB", "private": True}, {"commit_message": "Words"})
    assert len([path for path in hub.store.paths(repo) if path.endswith(".safetensors")]) >= 4
    assert hub.store.repositories[repo].private
    assert "Words" in hub.store.repositories[repo].messages.values()
    assert torch.equal(elsewhere(pull_logits, repo, tmp_path / "cache"), local_logits(checkpoint))


def test_the_trainer_pushes_what_it_trained(elsewhere, hub, checkpoint, tmp_path, repo):
    """`Trainer(push_to_hub=True)` leaves trained weights, tokenizer and card on the Hub, which load from there."""
    trained = elsewhere(_train_and_push, checkpoint, tmp_path / "run", repo)
    assert {"model.safetensors", "tokenizer.json", "README.md"} <= hub.store.paths(repo)
    model, tokenizer = elsewhere(_load_classifier, repo, tmp_path / "cache")
    assert tokenizer.suffix_token == "[EOS]"
    assert trained.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, trained[name]) for name, tensor in model.state_dict().items())
    before = DNAFMForMaskedLM.from_pretrained(checkpoint).model.norm.weight
    assert not torch.equal(trained["model.norm.weight"], before)


def _train_and_push(folder, output_dir, repo):
    from transformers import DataCollatorWithPadding, Trainer
    from transformers.utils import logging

    tokenizer = DNAFMTokenizer.from_pretrained(folder)
    # A fresh head on a pretrained encoder is told of by a warning of transformers' logger.
    logging.set_verbosity_error()
    model = DNAFMForSequenceClassification.from_pretrained(folder, num_labels=2)
    rows = [{**tokenizer(sequence), "labels": label} for sequence, label in (("ACGT", 0), ("GATTACA", 1)) * 4]
    arguments = pushing_arguments(output_dir, repo, max_steps=2, per_device_train_batch_size=4, push_to_hub=True)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.train()
    trainer.push_to_hub()
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _load_classifier(repo, cache_dir):
    model = DNAFMForSequenceClassification.from_pretrained(repo, cache_dir=cache_dir)
    return model, DNAFMTokenizer.from_pretrained(repo, cache_dir=cache_dir)


def test_a_fitted_task_predicts_from_the_hub_as_from_its_folder(elsewhere, hub, fitted, repo):
    """Its own options, such as both strands being averaged, come along with the weights."""
    code, _, errors = elsewhere(run_dnafm, "push", fitted, repo)
    assert (code, errors) == (0, "")
    assert {"task.json", "config.yaml", "metrics.json", "test/metrics.json"} <= hub.store.paths(repo)
    options, predictions = elsewhere(_predict, repo)
    assert options.reverse_complement == "average"
    assert predictions == _predict(str(fitted))[1]


def _predict(location):
    task = SequenceClassification.from_pretrained(location)
    return task.options, task.predict(["ACGT" * 15, "GATTACA" * 8]).to_pylist()


def test_adapters_are_pushed_alone(elsewhere, hub, checkpoint, repo):
    """Adapters of peft come back onto the base model, which they name, and nothing else is sent."""
    pytest.importorskip("peft")
    assert elsewhere(run_dnafm, "push", checkpoint, f"{repo}-base")[0] == 0
    adapted, base, loaded = elsewhere(_push_and_load_adapters, f"{repo}-base", repo)
    assert hub.store.paths(repo) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert json.loads(hub.store.read(repo, "adapter_config.json"))["base_model_name_or_path"] == f"{repo}-base"
    assert torch.equal(loaded, adapted)
    assert not torch.equal(adapted, base)


def _push_and_load_adapters(base_repo, repo):
    from peft import LoraConfig, PeftModel, get_peft_model

    tokenizer = DNAFMTokenizer.from_pretrained(base_repo)
    base = DNAFMForMaskedLM.from_pretrained(base_repo)
    before = masked_lm_logits(base, tokenizer)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)).eval()
    model.push_to_hub(repo)
    loaded = PeftModel.from_pretrained(DNAFMForMaskedLM.from_pretrained(base_repo), repo).eval()
    return masked_lm_logits(model, tokenizer), before, masked_lm_logits(loaded, tokenizer)
