"""The example of variant scores runs from start to end."""

import pytest

pytest.importorskip("pysam")


@pytest.mark.slow
def test_variants_are_scored_beside_the_alleles_that_no_strain_has(run_example):
    """Of each SNV one allele is observed and two are not."""
    printed = run_example("08_score_variants", "--max_variants", "6")
    assert "NC_007795:22181:C:A" in printed
    assert "\nobserved        6 alleles, median" in printed
    assert "\nnot observed   12 alleles, median" in printed
