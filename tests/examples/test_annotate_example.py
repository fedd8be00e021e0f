"""The example of genome annotation run from start to end."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pysam")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "12_annotate_genome.py"


def test_example_clusters_compares_and_draws(tmp_path):
    """Four clusters, of which coding ones have more of period 3; rRNA is found apart; a BED file and a figure."""
    result = subprocess.run(
        [sys.executable, EXAMPLE, "--output_dir", str(tmp_path / "out")],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    assert len(re.findall(r"^cluster_\d: \d+% of the bases", result.stdout, re.MULTILINE)) == 4
    assert max(float(text) for text in re.findall(r"period 3 ([\d.]+)", result.stdout)) > 2
    (adjusted,) = re.findall(r"annotation: ([\d.]+)", result.stdout)
    assert float(adjusted) > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["annotation.png", "clusters.bed"]
