"""The stand-in for the Hub, and a process whose Hub it is."""

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest
from hub_clients import with_strict_warnings
from hub_server import HubServer

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.cli import main as cli
from dnafm.data.splice_junctions import LABEL_NAMES, read_splice_junctions


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """The stand-in, for all tests; each uses repositories of its own names."""
    server = HubServer(tmp_path_factory.mktemp("hub"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def hub_environment(hub, tmp_path_factory):
    """The environment of a process whose Hub is the stand-in, and who is logged in as ada."""
    home = tmp_path_factory.mktemp("home")
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_TOKEN": "hf_writer",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
        "DO_NOT_TRACK": "1",
    }


@pytest.fixture(scope="session")
def elsewhere(hub_environment):
    """Call a function of a test module in a process whose Hub is the stand-in; warnings are errors there, too."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in hub_environment.items():
            monkeypatch.setenv(name, value)
        pool = ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))
        # The process takes its environment when it starts.
        pool.submit(os.getpid).result()
    with pool:
        yield lambda function, *args: pool.submit(with_strict_warnings, function, *args).result(timeout=120)


@pytest.fixture
def dnafm_here(capsys, monkeypatch):
    """Run a command in this process, which has a token and no Hub; exit code, what it printed, and its errors."""
    monkeypatch.setenv("HF_TOKEN", "hf_writer")

    def run(*words) -> tuple[int, str, str]:
        capsys.readouterr()
        return (cli.main(list(map(str, words))), *capsys.readouterr())

    return run


@pytest.fixture
def repo(request, hub):
    """The id of a repository that no other test uses."""
    return f"ada/{request.node.name.split('[')[0].replace('_', '-').removeprefix('test-')[:60]}"


@pytest.fixture
def checkpoint(tmp_path, tiny_model):
    """A folder with a masked language model and its tokenizer."""
    folder = tmp_path / "checkpoint"
    tiny_model(DNAFMForMaskedLM).save_pretrained(folder)
    DNAFMTokenizer(model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def fitted(tmp_path_factory):
    """The folder of a run of `dnafm fit`, and of `dnafm test` after it, on 100 splice junctions."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("fitted")
    rows = read_splice_junctions()
    lines = [f"{rows.sequences[i]}\t{LABEL_NAMES[rows.labels[i]]}" for i in range(0, 3000, 30)]
    (folder / "table.tsv").write_text("\n".join(["sequence\tlabel", *lines]) + "\n")
    fields = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "cache"))
        of_data = ["--model", "SequenceClassification", "--data.path", str(folder / "table.tsv")]
        of_model = ["--model.from_scratch", "true", "--model.config_overrides", json.dumps(fields)]
        of_model += ["--model.reverse_complement", "average"]
        of_trainer = ["--trainer.output_dir", str(folder / "run"), "--trainer.num_train_epochs", "1"]
        of_trainer += ["--trainer.use_cpu", "true", "--trainer.bf16", "false"]
        assert cli.main(["fit", *of_data, *of_model, *of_trainer]) == 0
        assert cli.main(["test", "--config", str(folder / "run" / "config.yaml"), "--plots", "false"]) == 0
    return folder / "run"
