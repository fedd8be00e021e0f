"""`dnafm push` against the stand-in for the Hub: what comes to be there, and what does not."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from hub_clients import run_dnafm
from hub_storage import Fault
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from dnafm import DNAFMForMaskedLM, DNAFMForPairwiseTokenClassification, DNAFMTokenizer, modeling_dnafm

CHECKPOINT_FILES = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
# The flat files of the package, which load one another without it.
HUB_FILES = {path.name for path in Path(modeling_dnafm.__file__).parent.glob("*_dnafm.py")}


@pytest.fixture
def sharded(tmp_path, tiny_model):
    """A folder with a model in four shards or more."""
    folder = tmp_path / "sharded"
    tiny_model(DNAFMForMaskedLM).save_pretrained(folder, max_shard_size="20KB")
    DNAFMTokenizer(model_max_length=64).save_pretrained(folder)
    assert len(list(folder.glob("model-*.safetensors"))) >= 4
    return folder


def test_all_of_a_checkpoint_is_pushed_in_one_commit(elsewhere, hub, checkpoint, repo):
    """The files are those of the folder bit for bit, with a card, and their commit follows the first one."""
    code, out, errors = elsewhere(run_dnafm, "push", checkpoint, repo, "--commit_message", "First weights")
    assert (code, errors) == (0, "")
    assert hub.store.paths(repo) == CHECKPOINT_FILES
    for name in ("model.safetensors", "tokenizer.json"):
        assert hub.store.read(repo, name) == (checkpoint / name).read_bytes()
    for name in ("config.json", "tokenizer_config.json"):
        assert json.loads(hub.store.read(repo, name)) == json.loads((checkpoint / name).read_text())
    pushed = hub.store.repositories[repo]
    assert list(pushed.messages.values()) == ["initial commit", "First weights"]
    assert out.splitlines() == [
        f"{repo}: README.md, config.json, model.safetensors, tokenizer.json, tokenizer_config.json",
        f"{hub.url}/{repo}/commit/{pushed.branches['main']}",
    ]
    assert not (checkpoint / "README.md").exists()


def test_an_update_sends_what_has_changed(elsewhere, hub, sharded, repo):
    """A second push is a second commit, and of the large files only the changed one is sent; a third is none."""
    elsewhere(run_dnafm, "push", sharded, repo)
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    save_file({name: tensor + 1 for name, tensor in load_file(shard).items()}, shard, metadata={"format": "pt"})
    code, _, errors = elsewhere(run_dnafm, "push", sharded, repo)
    assert (code, errors) == (0, "")
    uploads = hub.store.repositories[repo].uploads
    assert len(uploads) == len(list(sharded.glob("model-*.safetensors"))) + 1
    assert hub.store.read(repo, shard.name) == shard.read_bytes()
    assert len(hub.store.repositories[repo].commits) == 3
    code, out, _ = elsewhere(run_dnafm, "push", sharded, repo)
    assert (code, "has all of this already" in out) == (0, True)
    assert len(hub.store.repositories[repo].commits) == 3


def test_weights_of_an_earlier_push_do_not_stay_beside_new_ones(elsewhere, hub, sharded, checkpoint, repo):
    """Shards and index go where one file takes their place, and the other way round; other files stay."""
    elsewhere(run_dnafm, "push", sharded, repo)
    elsewhere(run_dnafm, "push", checkpoint, repo)
    assert hub.store.paths(repo) == CHECKPOINT_FILES
    elsewhere(run_dnafm, "push", sharded, repo)
    weights = {path.name for path in sharded.glob("model*")}
    assert hub.store.paths(repo) == (CHECKPOINT_FILES - {"model.safetensors"}) | weights


def test_a_branch_is_made_and_main_stays(elsewhere, hub, checkpoint, repo):
    """`--revision` pushes to a branch that was not there, and leaves `main` where it was."""
    elsewhere(run_dnafm, "push", checkpoint, repo)
    before = dict(hub.store.repositories[repo].branches)
    (checkpoint / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    code, _, errors = elsewhere(run_dnafm, "push", checkpoint, repo, "--revision", "v2")
    assert (code, errors) == (0, "")
    after = hub.store.repositories[repo].branches
    assert after["main"] == before["main"] != after["v2"]
    assert hub.store.read(repo, "README.md", "v2") == (checkpoint / "README.md").read_bytes()


def test_a_private_repository_is_one_and_a_public_one_is_told_of(elsewhere, hub, checkpoint, repo):
    """`--private` makes a private repository; where a public one is there already, nothing is pushed to it."""
    elsewhere(run_dnafm, "push", checkpoint, repo, "--private")
    assert hub.store.repositories[repo].private
    hub.store.create(f"{repo}-open", private=False)
    code, _, errors = elsewhere(run_dnafm, "push", checkpoint, f"{repo}-open", "--private")
    assert (code, "exists and is public" in errors) == (1, True)
    assert hub.store.paths(f"{repo}-open") == set()


def test_a_name_alone_is_a_repository_of_ones_own(elsewhere, hub, checkpoint, repo):
    """Without an owner the repository is that of whom the token belongs to."""
    code, out, _ = elsewhere(run_dnafm, "push", checkpoint, repo.removeprefix("ada/"))
    assert (code, out.startswith(f"{repo}: ")) == (0, True)
    assert hub.store.paths(repo) == CHECKPOINT_FILES


def test_code_goes_along_when_it_is_asked_for(elsewhere, hub, checkpoint, repo):
    """With `--with_code` the Hub files and the maps to them are there, and without it no map leads to nothing."""
    elsewhere(run_dnafm, "push", checkpoint, repo, "--with_code")
    assert hub.store.paths(repo) == CHECKPOINT_FILES | HUB_FILES
    config = json.loads(hub.store.read(repo, "config.json"))
    assert config["auto_map"]["AutoConfig"] == "configuration_dnafm.DNAFMConfig"
    assert config["auto_map"]["AutoModelForMaskedLM"] == "modeling_dnafm.DNAFMForMaskedLM"
    assert config["dnafm_version"] in hub.store.read(repo, "README.md").decode()
    (checkpoint / "config.json").write_text(json.dumps(config))
    (checkpoint / "tokenizer_config.json").write_bytes(hub.store.read(repo, "tokenizer_config.json"))
    elsewhere(run_dnafm, "push", checkpoint, f"{repo}-bare")
    assert hub.store.paths(f"{repo}-bare") == CHECKPOINT_FILES
    for name in ("config.json", "tokenizer_config.json"):
        assert "auto_map" not in json.loads(hub.store.read(f"{repo}-bare", name))


def test_a_head_without_an_auto_class_is_loaded_by_the_most_general_one(elsewhere, hub, tiny_model, tmp_path, repo):
    """The map of a head for pairs of bases leads `AutoModel` to it."""
    tiny_model(DNAFMForPairwiseTokenClassification).save_pretrained(tmp_path / "pairs")
    code, _, errors = elsewhere(run_dnafm, "push", tmp_path / "pairs", repo, "--with_code")
    assert (code, errors) == (0, "")
    auto_map = json.loads(hub.store.read(repo, "config.json"))["auto_map"]
    assert auto_map["AutoModel"] == "modeling_dnafm.DNAFMForPairwiseTokenClassification"


def test_a_tokenizer_is_added_where_there_is_none(elsewhere, hub, checkpoint, repo):
    """It is the one that transformers makes for such a checkpoint."""
    for path in checkpoint.glob("tokenizer*"):
        path.unlink()
    elsewhere(run_dnafm, "push", checkpoint, repo)
    assert hub.store.paths(repo) == CHECKPOINT_FILES
    assert json.loads(hub.store.read(repo, "tokenizer_config.json"))["model_max_length"] == 64


def test_a_repository_of_another_architecture_is_left_alone(elsewhere, hub, checkpoint, repo):
    """The error names both types, and there is no new commit."""
    there = hub.store.create(repo, private=False)
    there.add_commit("main", {"config.json": hub.store.add_file(b'{"model_type": "bert"}')}, "a BERT")
    code, _, errors = elsewhere(run_dnafm, "push", checkpoint, repo)
    assert code == 1
    assert errors == (
        f"dnafm: error: {repo} holds a model of type 'bert', and this one is of type 'dnafm'. "
        "Push to another repository.\n"
    )
    assert len(there.commits) == 2


def test_a_dropped_connection_is_tried_again(elsewhere, hub, checkpoint, repo):
    """One that ends in the middle of a file does not end the push."""
    hub.faults.append(Fault("PUT", after_bytes=5000))
    code, _, errors = elsewhere(run_dnafm, "push", checkpoint, repo)
    assert code == 0, errors
    assert not hub.faults
    assert hub.store.read(repo, "model.safetensors") == (checkpoint / "model.safetensors").read_bytes()


def test_an_interrupted_push_goes_on_where_it_was(elsewhere, hub, hub_environment, sharded, repo):
    """After the process is killed in a file there is no commit; the next push sends only what was not finished."""
    shards = {path.name: path.read_bytes() for path in sharded.glob("*.safetensors")}
    fault = Fault("PUT", skip=1, after_bytes=1000, released=threading.Event())
    hub.faults.append(fault)
    with subprocess.Popen(
        [sys.executable, "-m", "dnafm", "push", sharded, repo], env={**os.environ, **hub_environment}
    ) as process:
        assert fault.reached.wait(120)
        uploads = hub.store.repositories[repo].uploads
        while len(uploads) < len(shards) - 1 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        fault.released.set()
    assert len(hub.store.repositories[repo].commits) == 1
    assert len(uploads) == len(shards) - 1
    code, _, errors = elsewhere(run_dnafm, "push", sharded, repo)
    assert (code, errors) == (0, "")
    assert len(uploads) == len(shards)
    assert {name: hub.store.read(repo, name) for name in shards} == shards


def test_a_large_file_is_sent_in_parts(elsewhere, hub, tiny_model, tmp_path, repo):
    """It is whole at the other end."""
    model = tiny_model(DNAFMForMaskedLM, intermediate_size=640)
    model.save_pretrained(tmp_path / "large")
    code, _, errors = elsewhere(run_dnafm, "push", tmp_path / "large", repo)
    assert (code, errors) == (0, "")
    content = (tmp_path / "large" / "model.safetensors").read_bytes()
    assert len(content) > 400_000
    assert hub.store.read(repo, "model.safetensors") == content


@pytest.mark.parametrize(
    "repo_id", ["/home/ada/model", "./model", "../model", "ada/promoters/v2", "~/model", "ada/a--b", "", "ada/"]
)
def test_a_path_is_no_repository(dnafm_here, checkpoint, repo_id):
    """The error says what a repository is called."""
    code, _, errors = dnafm_here("push", checkpoint, repo_id)
    assert code == 1
    assert errors.startswith(f"dnafm: error: {repo_id!r} is no repository of the Hub: OWNER/NAME is due")


def _remove_folder(folder):
    folder.rename(folder.with_name("elsewhere"))
    return "there is no such folder"


def _remove(name, expected):
    def damage(folder):
        (folder / name).unlink()
        return expected

    return damage


def _change_config(expected, **fields):
    def damage(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
        return expected

    return damage


def _cut(folder):
    shard = sorted(folder.glob("model-*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-10])
    return f"{shard}: no safetensors file, or one that was cut"


def _remove_shard(folder):
    shard = sorted(folder.glob("model-*.safetensors"))[0]
    shard.unlink()
    return f"{shard} is missing"


def _turn_into_pickles(folder):
    for path in folder.glob("model*"):
        path.unlink()
    torch.save({}, folder / "pytorch_model.bin")
    return "dnafm convert"


def _leave_adapters(folder):
    for path in folder.iterdir():
        path.unlink()
    (folder / "adapter_config.json").write_text("{}")
    return "adapters alone"


DAMAGES = {
    "folder": _remove_folder,
    "config": _remove("config.json", "config.json is missing"),
    "architecture": _change_config("model_type 'bert' is", model_type="bert"),
    "released": _change_config("dnafm convert", model_type="rnabert"),
    "weights": _remove("model.safetensors.index.json", "has no weights"),
    "pickles": _turn_into_pickles,
    "cut": _cut,
    "shard": _remove_shard,
    "shape": _change_config("has the shape", intermediate_size=40),
    "adapters": _leave_adapters,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_whole_checkpoint_is_not_pushed(dnafm_here, sharded, damage):
    """The error is one line, which names the file or the rule, before the Hub is asked for anything."""
    expected = DAMAGES[damage](sharded)
    code, _, errors = dnafm_here("push", sharded, "ada/promoters")
    assert (code, errors.count("\n")) == (1, 1)
    assert expected in errors


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (None, "There is no token of the Hub. Log in by `hf auth login`, or set HF_TOKEN"),
        ("hf_made_up", "The Hub does not accept the token (Invalid credentials in Authorization header)"),
        ("hf_reader", "The token may not write to ada/"),
        ("hf_stranger", "The token may not write to ada/"),
    ],
)
def test_who_may_not_write_is_told_what_to_do(elsewhere, hub, checkpoint, repo, token, expected):
    """No token, a wrong one, one for reading and that of another person: one line with the remedy."""
    code, out, errors = elsewhere(_push_with_token, checkpoint, repo, token)
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert errors.startswith(f"dnafm: error: {expected}")
    assert "hf auth login" in errors
    assert repo not in hub.store.repositories


def _push_with_token(folder, repo, token):
    return run_dnafm("push", folder, repo, token=token)


def test_a_hub_that_is_not_there_is_named(dnafm_here, monkeypatch, checkpoint):
    """Refused connections and offline mode end in one line each."""
    for offline, expected in (
        (False, "http://127.0.0.1:9 cannot be reached"),
        (True, "ada/promoters cannot be pushed while HF_HUB_OFFLINE is set"),
    ):
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        code, out, errors = dnafm_here("push", checkpoint, "ada/promoters")
        assert (code, out, errors.count("\n")) == (1, "", 1)
        assert errors.startswith(f"dnafm: error: {expected}")
