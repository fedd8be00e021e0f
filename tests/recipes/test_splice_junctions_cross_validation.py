"""The recipe of cross-validation on UCI's splice junctions."""

from pathlib import Path

import pytest
from forked_processes import ForkedProcess

pytest.importorskip("datasets")
pytest.importorskip("jsonargparse")

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_plan_of_the_first_fold_is_that_of_the_recipe(tmp_path, monkeypatch):
    """3,001 rows: a fifth is tested, a tenth of the rest validated; 2,160 rows are 68 batches of 32, six times."""
    monkeypatch.chdir(ROOT)
    options = ["--config", "recipes/splice_junctions/cross_validation.yaml", "--trainer.output_dir", tmp_path / "out"]
    process = ForkedProcess("fit", "--dry_run", *options)
    printed = "".join(process.communicate())
    assert process.returncode == 0, printed
    assert "Warning" not in printed
    assert "2,160 train, 240 validation, 601 test" in printed
    assert "408 steps" in printed
    assert not (tmp_path / "out").exists()
