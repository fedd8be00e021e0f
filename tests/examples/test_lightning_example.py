"""The example of PyTorch Lightning runs from start to end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lightning")

EXAMPLE = Path(__file__).parents[2] / "examples" / "13_lightning_module.py"


@pytest.mark.slow
def test_module_trains_measures_and_saves(tmp_path):
    """Lightning trains two steps, measures the test split, and leaves an ordinary checkpoint."""
    result = subprocess.run(
        [sys.executable, EXAMPLE, "--max_steps", "2", "--output_dir", str(tmp_path / "out")],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "accuracy on 600 test sequences: 0." in result.stdout
    assert "DNAFMForSequenceClassification" in result.stdout
    assert (tmp_path / "out" / "model.safetensors").exists()
