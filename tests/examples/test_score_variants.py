"""The example of variant scores runs from start to end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pysam")

EXAMPLE = Path(__file__).parents[2] / "examples" / "08_score_variants.py"


@pytest.mark.slow
def test_variants_are_scored_beside_the_alleles_that_no_strain_has():
    """Of each SNV one allele is observed and two are not."""
    result = subprocess.run(
        [sys.executable, EXAMPLE, "--max_variants", "6"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    assert "NC_007795:22181:C:A" in result.stdout
    assert "\nobserved        6 alleles, median" in result.stdout
    assert "\nnot observed   12 alleles, median" in result.stdout
