"""Tables on disk, a model that trains in a second, and the commands of tasks in this process and in others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dnafm.cli import main as cli
from dnafm.data.splice_junctions import LABEL_NAMES, read_splice_junctions

TINY_FIELDS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
# Of a model with fresh weights; float32 on the CPU is the same everywhere.
TINY_MODEL = ["--model.from_scratch", "true", "--model.config_overrides", json.dumps(TINY_FIELDS)]
ON_CPU = ["--trainer.use_cpu", "true", "--trainer.bf16", "false"]


def splice_table(n_rows: int) -> str:
    """Return rows from all over the bundled table, as tab-separated text."""
    rows = read_splice_junctions()
    chosen = [i * len(rows) // n_rows for i in range(n_rows)]
    names = [LABEL_NAMES[label] for label in rows.labels]
    return "id\tsequence\tlabel\n" + "".join(f"{rows.ids[i]}\t{rows.sequences[i]}\t{names[i]}\n" for i in chosen)


@pytest.fixture(scope="session")
def tiny_options() -> list[str]:
    """Options of a model with fresh weights that trains in a second."""
    return [*TINY_MODEL, *ON_CPU]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty working directory with the table `table.tsv` of 60 splice junctions, and caches of its own."""
    return _prepare(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def shared_workplace(tmp_path_factory):
    """A `workplace` of all tests of a module; they name files in it by their whole path."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield _prepare(tmp_path_factory.mktemp("shared"), monkeypatch)


def _prepare(folder: Path, monkeypatch) -> Path:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "cache" / "datasets"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder / "cache" / "datasets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.chdir(folder)
    (folder / "table.tsv").write_text(splice_table(60))
    return folder


@pytest.fixture
def dnafm(capsys):
    """Run the command in this process; returns its exit code, what it printed, and its errors."""

    def run(*words) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = cli.main(list(map(str, words)))
        except SystemExit as leaving:
            code = leaving.code
        return (code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def installed_dnafm():
    """Run the command as a user does, in a process; returns what it printed, and fails where it does."""

    def run(*words) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "dnafm", *map(str, words)],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        return result.stdout

    return run


@pytest.fixture(scope="session")
def read_metrics():
    """Read a `metrics.json`."""

    def read(path) -> dict:
        return json.loads(Path(path).read_text())

    return read
