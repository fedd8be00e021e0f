"""The example of in-silico mutagenesis run from start to end."""

import re

import pytest

pytest.importorskip("pysam")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.slow


def test_example_scores_maps_and_draws(run_example, tmp_path):
    """All substitutions of 30 bases, a dependency that falls with the distance, and three figures."""
    options = ["--region", "NC_007795:501-530", "--output_dir", str(tmp_path / "out")]
    printed = run_example("09_mutagenesis", *options)
    assert "NC_007795:501-530: 90 substitutions" in printed
    means = [float(text) for text in re.findall(r"apart: ([\d.]+)", printed)]
    assert len(means) == 3
    assert means[0] > means[2] > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ism.html", "ism.png", "map.png"]
