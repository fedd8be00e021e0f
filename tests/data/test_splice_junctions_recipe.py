import importlib.util
from pathlib import Path

import numpy as np
import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "splice_junctions" / "build.py"


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("build_splice_junctions", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_indicators_become_bases(recipe):
    """A = 100, C = 010, G = 001, T = 000, fifteen times over."""
    indicators = np.tile([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], (2, 15))
    assert recipe.decode(indicators) == ["ACGT" * 15] * 2


def test_two_bases_at_one_position_are_refused(recipe):
    """110 is no base."""
    indicators = np.zeros((1, 180), dtype=int)
    indicators[0, :2] = 1
    with pytest.raises(ValueError, match="more than one base"):
        recipe.decode(indicators)


@pytest.mark.parametrize("classes", [["n", "ie", "n"], ["ie", "n", "n"], ["n", "n", "ie"]])
def test_repeats_are_dropped_and_a_junction_wins_over_neither(recipe, classes):
    """The first row gives the id, an annotated junction the label, in whatever order they come."""
    rows = recipe.deduplicate(["AC", "AC", "GT", "AC"], [*classes[:2], "ei", classes[2]])
    assert rows == [("mlbench_0001", "AC", "acceptor"), ("mlbench_0003", "GT", "donor")]


def test_donor_against_acceptor_is_refused(recipe):
    """There is no rule for two different junctions at one place."""
    with pytest.raises(ValueError, match="Row 2 and mlbench_0001"):
        recipe.deduplicate(["AC", "AC"], ["ei", "ie"])


def test_written_table_does_not_depend_on_the_time_or_the_name(recipe, tmp_path):
    """Two files of different names have the same bytes."""
    rows = [("mlbench_0001", "ACGT", "donor")]
    for name in ("first.tsv.gz", "second.tsv.gz"):
        recipe.write_tsv(tmp_path / name, rows)
    assert (tmp_path / "first.tsv.gz").read_bytes() == (tmp_path / "second.tsv.gz").read_bytes()
