"""Small runs of pretraining on real sequence."""

import json
from pathlib import Path

import pytest

from dnafm.training.pretraining_settings import PretrainingSettings

GENOMES = Path(__file__).parents[1] / "fixtures" / "genomes"
TINY_FIELDS = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 66,
    "hidden_dropout": 0.1,
}
# The last 50,000 bases of each file.
HELD_OUT = {"ustilago_maydis": "chr01:250001-300000", "drosophila_melanogaster": "chr2R:250001-300000"}
TINY_SETTINGS = {
    "train_files": [str(GENOMES / "*.fa.gz")],
    "held_out": list(HELD_OUT.values()),
    "config_overrides": TINY_FIELDS,
    "batch_size": 4,
    "max_steps": 6,
    "logging_steps": 1,
    "save_every_steps": 2,
    "eval_every_steps": 3,
    "eval_windows": 8,
    "precision": "fp32",
    "report_to": "none",
}


@pytest.fixture
def tiny_settings(tmp_path):
    """Factory of the settings of a run of a second; keyword arguments override them."""

    def build(**overrides) -> PretrainingSettings:
        folders = {"output_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "cache")}
        return PretrainingSettings(**{**TINY_SETTINGS, **folders, **overrides})

    return build


@pytest.fixture
def yaml_of(tmp_path):
    """Write the settings of `tiny_settings` as a configuration file; keyword arguments override them."""

    def write(**overrides) -> Path:
        folders = {"output_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "cache")}
        path = tmp_path / "run.yaml"
        # JSON is YAML.
        path.write_text(json.dumps({**TINY_SETTINGS, **folders, **overrides}))
        return path

    return write


@pytest.fixture
def tiny_fields() -> dict:
    """The architecture of `tiny_settings`, without the dropout."""
    return {**TINY_FIELDS, "hidden_dropout": 0.0}


@pytest.fixture
def held_out() -> dict[Path, str]:
    """The FASTA files, and the region of each that `tiny_settings` holds out."""
    return {GENOMES / f"{species}.fa.gz": region for species, region in HELD_OUT.items()}


@pytest.fixture(scope="session")
def log_history():
    """Read the log of a checkpoint, without what the clock decides."""
    clocked = ("per_second", "utilisation", "data_wait_share", "runtime")

    def read(output_dir: Path, step: int) -> list[dict]:
        state = json.loads((output_dir / f"checkpoint-{step}" / "trainer_state.json").read_text())
        return [{k: v for k, v in entry.items() if not any(c in k for c in clocked)} for entry in state["log_history"]]

    return read
