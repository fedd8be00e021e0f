import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "01_finetune_splice_sites.py"


@pytest.mark.slow
def test_example_runs_and_reports_the_test_split(tmp_path):
    """A few steps from start to end; the saved folder has model and tokenizer."""
    pytest.importorskip("datasets")
    result = subprocess.run(
        [sys.executable, EXAMPLE, "--max_steps", "3", "--output_dir", tmp_path / "out"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "'test_mcc'" in result.stdout
    assert "Warning" not in result.stderr
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= written
