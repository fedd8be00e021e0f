"""The recipe of cross-validation on UCI's splice junctions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("datasets")
pytest.importorskip("jsonargparse")

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_plan_of_the_first_fold_is_that_of_the_recipe(tmp_path):
    """3,001 rows: a fifth is tested, a tenth of the rest validated; 2,160 rows are 68 batches of 32, six times."""
    command = [sys.executable, "-m", "dnafm.cli.main", "fit", "--dry_run"]
    options = ["--config", "recipes/splice_junctions/cross_validation.yaml", "--trainer.output_dir", tmp_path / "out"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    printed = result.stdout + result.stderr
    assert "2,160 train, 240 validation, 601 test" in printed
    assert "408 steps" in printed
    assert not (tmp_path / "out").exists()
