"""The example of genome mining runs from start to end."""

import pytest

pytest.importorskip("pysam")
pytest.importorskip("lancedb")
pytest.importorskip("matplotlib")


@pytest.mark.slow
def test_example_finds_what_it_plants(run_example, tmp_path):
    """All copies without a mutation are found; hits are ranked, and drawn."""
    options = ["--n_genes", "2", "--host_bp", "5120", "--output_dir", str(tmp_path / "out")]
    printed = run_example("11_mine_genomes", *options)
    assert "39 windows of 256 bases" in printed
    assert "  0% of the bases substituted: 2 of 2 copies among the first ten hits" in printed
    assert len((tmp_path / "out" / "hits.bed").read_text().splitlines()) == 20
    assert (tmp_path / "out" / "copies.png").stat().st_size > 10_000
