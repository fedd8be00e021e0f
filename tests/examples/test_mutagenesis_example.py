"""The example of in-silico mutagenesis run from start to end."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pysam")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "09_mutagenesis.py"


def test_example_scores_maps_and_draws(tmp_path):
    """All substitutions of 30 bases, a dependency that falls with the distance, and three figures."""
    options = ["--region", "NC_007795:501-530", "--output_dir", str(tmp_path / "out")]
    result = subprocess.run(
        [sys.executable, EXAMPLE, *options],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    assert "NC_007795:501-530: 90 substitutions" in result.stdout
    means = [float(text) for text in re.findall(r"apart: ([\d.]+)", result.stdout)]
    assert len(means) == 3
    assert means[0] > means[2] > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ism.html", "ism.png", "map.png"]
