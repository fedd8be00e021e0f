"""The example of genome annotation run from start to end."""

import re

import pytest

pytest.importorskip("pysam")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.slow


def test_example_clusters_compares_and_draws(run_example, tmp_path):
    """Four clusters, of which coding ones have more of period 3; rRNA is found apart; a BED file and a figure."""
    printed = run_example("12_annotate_genome", "--output_dir", str(tmp_path / "out"))
    assert len(re.findall(r"^cluster_\d: \d+% of the bases", printed, re.MULTILINE)) == 4
    assert max(float(text) for text in re.findall(r"period 3 ([\d.]+)", printed)) > 2
    (adjusted,) = re.findall(r"annotation: ([\d.]+)", printed)
    assert float(adjusted) > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["annotation.png", "clusters.bed"]
