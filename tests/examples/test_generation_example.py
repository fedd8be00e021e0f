"""The example of directed generation runs from start to end, and the guide leads where an independent judge agrees."""

import re

import pytest

pytest.importorskip("datasets")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.slow

TEMPLATE = re.compile(r">t\d+_1 .*\n([ACGT]{30})\n")


def test_guided_designs_are_donors_to_a_judge_that_has_not_guided(run_example, tmp_path):
    """A real guide raises its own mean probability and that of a k-mer logistic regression above the unguided ones."""
    printed = run_example("10_generate_sequences", "--output_dir", str(tmp_path / "out"), timeout=900)
    rows = re.findall(r"^(as they were|unguided|guided|real donors) +([\d.]+) +([\d.]+) +([\d.]+)$", printed, re.M)
    guide, judge = ({name: float(row[column]) for name, *row in rows} for column in (0, 1))
    assert set(guide) == {"as they were", "unguided", "guided", "real donors"}
    assert guide["guided"] > guide["unguided"] + 0.2
    assert judge["guided"] > 1.5 * judge["unguided"]
    # Both know real donors from other windows.
    assert min(guide["real donors"], judge["real donors"]) > 0.5
    assert max(guide["as they were"], judge["as they were"]) < 0.3
    assert len(TEMPLATE.findall((tmp_path / "out" / "designs.fa").read_text())) >= 21
    assert (tmp_path / "out" / "course.png").stat().st_size > 10_000
