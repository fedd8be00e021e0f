import numpy as np
import pytest

from dnafm.reports.logos import draw_logo, effect_heights, information_heights, new_figure

pytest.importorskip("matplotlib")


def extents(axes):
    """Width and height of what each base's patch covers, by its colour's order of drawing."""
    return [patch.get_path().get_extents() for patch in axes.patches]


def test_heights_are_information_content():
    """A certain base is 2 bits high, two likely ones half a bit each, and equal ones 0."""
    tiny = 1e-30
    p = np.array([[1.0, tiny, tiny, tiny], [0.5, 0.5, tiny, tiny], [0.25] * 4])
    expected = [[2, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(information_heights(np.log(p)), expected, atol=1e-12)


def test_heights_of_effects_are_at_the_base_that_is_there():
    """Minus the mean of the three substitutions; nothing for N."""
    effects = [[0, -1, -2, -3], [1, 1, 0, 4], [np.nan] * 4]
    assert effect_heights("AGN", effects).tolist() == [[2, 0, 0, 0], [0, 0, -2, 0], [0, 0, 0, 0]]


def test_letters_are_stacked_and_the_tallest_is_on_top():
    """A of 1 on C of 0.5: C from 0 to 0.5, A from there to 1.5; a negative T hangs from the axis."""
    axes = new_figure(3, 2).add_subplot()
    draw_logo(axes, np.array([[1.0, 0.5, 0, -0.25]]), start=10)
    a, c, t = extents(axes)
    assert (c.y0, c.y1) == pytest.approx((0, 0.5))
    assert (a.y0, a.y1) == pytest.approx((0.5, 1.5))
    assert (t.y0, t.y1) == pytest.approx((-0.25, 0))
    assert all(10 < box.x0 < box.x1 < 11 for box in (a, c, t))


def test_turned_letters_grow_to_the_left():
    """Bases run along y, heights along -x."""
    axes = new_figure(3, 2).add_subplot()
    draw_logo(axes, np.array([[0, 0, 0, 0], [2.0, 0, 0, 0]]), start=0, vertical=True)
    (box,) = extents(axes)
    assert (box.x0, box.x1) == pytest.approx((-2, 0))
    assert 1 < box.y0 < box.y1 < 2
