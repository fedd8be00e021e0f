import pytest

pytest.importorskip("matplotlib")

from dnafm.analysis.generation_results import GeneratedSequence
from dnafm.reports.generation_figures import guide_values_figure, plot_guide_values


def result(unmasking, refinement=()):
    last = (*unmasking, *refinement)[-1]
    return GeneratedSequence(
        "a", "t", "ACGT", 4, guide_value=last, unmasking_values=unmasking, refinement_values=refinement
    )


def test_lines_are_the_medians_of_each_round():
    """Unmasking, then refinement; a template with fewer rounds counts in those that it has."""
    figure = guide_values_figure([result((0.0, 1.0), (5.0,)), result((2.0,), (7.0,)), result((4.0, 3.0), (6.0,))])
    first, second = figure.axes[0].get_lines()[:2]
    assert first.get_xydata().tolist() == [[1, 2], [2, 2]]
    assert second.get_xydata().tolist() == [[3, 6]]


def test_text_of_an_svg_is_text(tmp_path):
    """And it is the same bytes each time; dollars are no formula."""
    for name in ("a.svg", "b.svg"):
        plot_guide_values([result((0.0, 1.0))], tmp_path / name, guide_name="$value$", reference=0.5)
    text = (tmp_path / "a.svg").read_text()
    assert "without guidance" in text
    assert "$value$" in text
    assert text == (tmp_path / "b.svg").read_text()


def test_nothing_to_show_is_refused(tmp_path):
    """Without a guide there are no values; other extensions are unknown."""
    with pytest.raises(ValueError, match="No sequence has values of a guide"):
        plot_guide_values([GeneratedSequence("a", "t", "ACGT", 4)], tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.pdf: the extension of a figure must be one of .png, .svg"):
        plot_guide_values([result((0.0,))], tmp_path / "a.pdf")
