"""The example of genome mining runs from start to end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pysam")
pytest.importorskip("lancedb")
pytest.importorskip("matplotlib")

EXAMPLE = Path(__file__).parents[2] / "examples" / "11_mine_genomes.py"


@pytest.mark.slow
def test_example_finds_what_it_plants(tmp_path):
    """All copies without a mutation are found; hits are ranked, and drawn."""
    options = ["--n_genes", "2", "--host_bp", "5120", "--output_dir", str(tmp_path / "out")]
    result = subprocess.run(
        [sys.executable, EXAMPLE, *options],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    assert "39 windows of 256 bases" in result.stdout
    assert "  0% of the bases substituted: 2 of 2 copies among the first ten hits" in result.stdout
    assert len((tmp_path / "out" / "hits.bed").read_text().splitlines()) == 20
    assert (tmp_path / "out" / "copies.png").stat().st_size > 10_000
