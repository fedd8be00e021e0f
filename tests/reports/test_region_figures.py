import sys
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from dnafm.analysis.dependency import DependencyMap
from dnafm.analysis.mutagenesis import Mutagenesis
from dnafm.analysis.regions import Region
from dnafm.reports.dependency_figures import dependency_figure
from dnafm.reports.mutagenesis_figures import bases_per_row, color_limit, coordinate_ticks, mutagenesis_figure
from dnafm.reports.region_figures import numbered_path, plot_dependency, plot_mutagenesis

pytest.importorskip("matplotlib")


def some_region(n_bases, *, id="chr1:1001-1100"):
    """Bases drawn at random, at 1000 of chr1."""
    bases = "".join(np.random.default_rng(0).choice(list("ACGT"), n_bases))
    return Region(id, "chr1", 1000, n_bases, bases)


def some_mutagenesis(n_bases, **fields):
    """Effects and probabilities drawn at random, 0 at the reference."""
    region = some_region(n_bases, **fields)
    logits = np.random.default_rng(1).normal(size=(n_bases, 4)).astype(np.float32)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    own = np.array([["ACGT".index(base)] for base in region.sequence])
    return Mutagenesis(region, log_p - np.take_along_axis(log_p, own, axis=1), log_probabilities=log_p)


def some_map(n_bases):
    """Dependencies drawn at random."""
    of_bases = some_mutagenesis(n_bases)
    dependencies = np.random.default_rng(2).random((n_bases, n_bases)).astype(np.float32)
    return DependencyMap(of_bases.region, dependencies, of_bases.log_probabilities)


@pytest.mark.parametrize(("n_bases", "n_rows"), [(1, 1), (50, 1), (100, 1), (120, 2), (1000, 10)])
def test_all_bases_are_shown_in_rows_of_at_most_100(n_bases, n_rows):
    """Logo and map of each row have as many bases, and the maps together are the effects."""
    result = some_mutagenesis(n_bases)
    axes = mutagenesis_figure(result).axes
    logos, maps = axes[: 2 * n_rows : 2], axes[1 : 2 * n_rows : 2]
    shown = np.concatenate([each.images[0].get_array().T for each in maps])
    np.testing.assert_array_equal(shown, result.effects)
    assert [each.get_xlim() for each in logos] == [each.get_xlim() for each in maps]
    assert all(each.get_xlim()[1] <= 100 for each in maps)
    assert len(axes) == 2 * n_rows + 1


def test_coordinates_count_from_1():
    """The first base of start_bp 1000 is 1,001, so that the tick of 1,010 is in the middle of the tenth."""
    axes = mutagenesis_figure(some_mutagenesis(50)).axes[1]
    ticks = dict(zip([label.get_text() for label in axes.get_xticklabels()], axes.get_xticks(), strict=True))
    assert ticks["1,010"] == 9.5


@pytest.mark.parametrize("n_bases", [50, 200, 1000])
def test_texts_of_an_axis_do_not_overlap(n_bases, tmp_path):
    """Drawn boxes of neighbouring tick labels are disjoint, far along a chromosome, too."""
    result = some_mutagenesis(n_bases)
    far = Region("r", "chr1", 248_000_000, n_bases, result.region.context)
    figure = mutagenesis_figure(Mutagenesis(far, result.effects, log_probabilities=result.log_probabilities))
    figure.savefig(tmp_path / "out.png", dpi=50)
    boxes = [label.get_window_extent() for label in figure.axes[1].get_xticklabels()]
    assert len(boxes) > 1
    assert all(not a.overlaps(b) for a, b in pairwise(boxes))


def test_colours_are_centred_on_0():
    """The ends are the same effect below and above; the one that few exceed, not the largest."""
    result = some_mutagenesis(200)
    result.effects[0] = [0, 0, 0, -100]
    image = mutagenesis_figure(result).axes[1].images[0]
    assert image.norm.vmin == -image.norm.vmax
    assert 0 < image.norm.vmax == color_limit(result.effects) < 100


def test_effects_of_zero_still_have_a_scale():
    """As where a head does not look at the sequence."""
    assert color_limit(np.zeros((3, 4))) == 1.0


def test_unknown_bases_and_effects_of_a_head_are_shown(tmp_path):
    """NaN is grey, and the logo is that of the effects."""
    effects = np.array([[0, -1, -2, -3], [np.nan] * 4], dtype=np.float32)
    result = Mutagenesis(Region("r", "chr1", 0, 2, "AN"), effects, effect_name="change of load")
    figure = mutagenesis_figure(result)
    assert [each.get_ylabel() for each in figure.axes] == ["importance", "", "change of load"]
    figure.savefig(tmp_path / "out.png", dpi=30)


def test_map_and_logos_show_the_same_bases():
    """Beside the map they run down as its rows do."""
    result = some_map(60)
    above, beside, image, _ = dependency_figure(result).axes
    np.testing.assert_array_equal(image.images[0].get_array(), result.dependencies)
    assert above.get_xlim() == image.get_xlim() == (0, 60)
    assert beside.get_ylim() == image.get_ylim() == (60, 0)


@pytest.mark.parametrize("extension", [".png", ".svg", ".html"])
def test_figures_are_written_by_their_extension(extension, tmp_path):
    """Each format begins as it does, pyplot is not loaded, and the same figure gives the same file."""
    had_pyplot = "matplotlib.pyplot" in sys.modules
    result = some_mutagenesis(30, id="$a$ <b>")
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".html": b"<!DOCTYPE html>"}
    for write, shown in ((plot_mutagenesis, result), (plot_dependency, some_map(10))):
        write(shown, tmp_path / f"out{extension}")
        write(shown, tmp_path / f"again{extension}")
        written = (tmp_path / f"out{extension}").read_bytes()
        assert written.startswith(starts[extension])
        assert written == (tmp_path / f"again{extension}").read_bytes()
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot


def test_names_are_shown_as_they_are(tmp_path):
    """Dollar signs would start a formula, and brackets a tag."""
    plot_mutagenesis(some_mutagenesis(20, id=r"$\x$ <b>"), tmp_path / "out.svg")
    texts = ElementTree.parse(tmp_path / "out.svg").iter("{http://www.w3.org/2000/svg}text")
    assert any((text.text or "").startswith(r"$\x$ <b>") for text in texts)


@pytest.mark.parametrize(("n_bases", "width"), [(7, 7), (100, 100), (140, 70), (150, 80), (300, 100), (1000, 100)])
def test_rows_fill_the_last_one(n_bases, width):
    """140 bases are two rows of 70 rather than one of 100 and one of 40."""
    assert bases_per_row(n_bases) == width


def test_ticks_are_round_and_at_least_one():
    """Of a single base it is its own coordinate."""
    assert coordinate_ticks(1001, 50, inches=6.25) == [1010, 1020, 1030, 1040, 1050]
    assert coordinate_ticks(7, 1, inches=5) == [7]


def test_what_cannot_be_shown_is_refused(tmp_path):
    """Too many bases, or a format that there is not."""
    for extension in ("png", "html"):
        with pytest.raises(ValueError, match="has 2,001 bases, and a figure shows at most 2,000"):
            plot_mutagenesis(some_mutagenesis(2001), tmp_path / f"out.{extension}")
    with pytest.raises(ValueError, match=r"out\.gif: the extension of a figure must be one of \.png, \.svg, \.html"):
        plot_dependency(some_map(3), tmp_path / "out.gif")
    assert list(tmp_path.iterdir()) == []


def test_figures_of_several_regions_have_names_of_their_own():
    """Numbers keep them apart, whatever is left of the names."""
    assert numbered_path("a/out.png", 2, "chr1:1-100/x").as_posix() == "a/out.2.chr1_1-100_x.png"


def test_missing_matplotlib_names_the_extra(monkeypatch, tmp_path):
    """HTML does not need it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'dnafm\[plots\]'"):
        plot_mutagenesis(some_mutagenesis(5), tmp_path / "out.png")
    plot_mutagenesis(some_mutagenesis(5), tmp_path / "out.html")
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]
