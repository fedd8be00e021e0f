"""Pages in a browser, where there is one, and their structure in any case."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from dnafm.analysis.dependency import DependencyMap
from dnafm.analysis.mutagenesis import Mutagenesis
from dnafm.analysis.regions import Region
from dnafm.reports.html_figures import dependency_page, mutagenesis_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
NODE = shutil.which("node")
REGION = Region("r</script>", "chr1", 1000, 40, "ACGT" * 10)
LOG_P = np.log(np.tile(np.array([0.7, 0.1, 0.1, 0.1], np.float32), (40, 1)))
EFFECTS = np.arange(160, dtype=np.float32).reshape(40, 4) / 100
DEPENDENCIES = np.arange(1600, dtype=np.float32).reshape(40, 40) / 1000
MUTAGENESIS = Mutagenesis(REGION, EFFECTS, log_probabilities=LOG_P)
PAGES = {
    "mutagenesis": mutagenesis_page(MUTAGENESIS),
    "dependency": dependency_page(DependencyMap(REGION, DEPENDENCIES, LOG_P)),
}
# What a user does: the wheel over the figure, and then the pointer at a place in it.
_ACTIONS = """
<script>
const box = canvas.getBoundingClientRect();
const at = (x, y) => ({ clientX: box.left + x, clientY: box.top + y, bubbles: true, cancelable: true });
for (let i = 0; i < N_TURNS; i++) canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -1, ...at(PLACE) }));
canvas.dispatchEvent(new PointerEvent("pointermove", at(PLACE)));
const pixels = new Set(context.getImageData(0, 0, canvas.width, canvas.height).data);
document.body.dataset.nShades = pixels.size;
</script>
"""


class Elements(HTMLParser):
    """Collects elements with their attributes, and the texts of those with an id."""

    def __init__(self, page):
        super().__init__()
        self.found, self.texts, self._id = [], {}, None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._id = dict(attrs).get("id")

    def handle_data(self, data):
        if self._id:
            self.texts[self._id] = self.texts.get(self._id, "") + data

    def handle_endtag(self, tag):
        self._id = None


def data_of(page):
    """The data that the scripts read."""
    return json.loads(Elements(page).texts["data"])


def floats(text):
    """Numbers as they are packed."""
    return np.frombuffer(base64.b64decode(text), "<f4")


@pytest.mark.parametrize("name", PAGES)
def test_page_loads_nothing(name):
    """No element names another file or address, and the policy forbids what scripts might."""
    elements = Elements(PAGES[name]).found
    assert not [attributes for _, attributes in elements if {"src", "href"} & attributes.keys()]
    assert not re.search(r"https?:|//cdn|@import|url\(", PAGES[name])
    policies = [a["content"] for tag, a in elements if tag == "meta" and a.get("http-equiv")]
    assert policies == ["default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"]


def test_page_holds_the_numbers():
    """Those of the result, bit for bit, and the coordinate of the first base from 1."""
    data = data_of(PAGES["mutagenesis"])
    np.testing.assert_array_equal(floats(data["effects"]).reshape(40, 4), EFFECTS)
    np.testing.assert_array_equal(floats(data["log_probabilities"]).reshape(40, 4), LOG_P)
    assert (data["first"], data["sequence"], data["contig"]) == (1001, "ACGT" * 10, "chr1")
    np.testing.assert_array_equal(floats(data_of(PAGES["dependency"])["dependencies"]).reshape(40, 40), DEPENDENCIES)


@pytest.mark.parametrize("name", PAGES)
def test_names_cannot_break_the_page(name):
    """A name that ends a script is text, and there are as many elements of scripts as were written."""
    assert "r</script>" not in PAGES[name]
    assert [tag for tag, _ in Elements(PAGES[name]).found].count("script") == 2


@pytest.mark.skipif(NODE is None, reason="no node, which checks the syntax of scripts")
@pytest.mark.parametrize("name", PAGES)
def test_scripts_have_no_syntax_error(name, tmp_path):
    """As node reads them."""
    script = PAGES[name].rsplit("<script>", 1)[1].split("</script>")[0]
    (tmp_path / "figure.js").write_text(script)
    subprocess.run([NODE, "--check", tmp_path / "figure.js"], check=True, timeout=60)


def dumped(page, folder):
    """The page's elements after its scripts ran."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900"]
    profile = f"--user-data-dir={folder / 'profile'}"
    result = subprocess.run(
        [BROWSER, *options, profile, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120
    )
    return Elements(result.stdout)


@pytest.mark.skipif(BROWSER is None, reason="no chromium, in which the page would be opened")
@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        pytest.param("mutagenesis", "500, 200", r"chr1:1,0\d\d  [ACGT]\nA  .*p 0.700\nC  .*p 0.100", id="mutagenesis"),
        pytest.param("dependency", "500, 300", r"mutated  1,0\d\d [ACGT]\naffected 1,0\d\d [ACGT]", id="dependency"),
    ],
)
def test_browser_draws_zooms_and_shows_values(name, place, expected, tmp_path):
    """The figure has colours; the wheel leaves fewer bases; under the pointer is the value of its base."""
    seen = {}
    for n_turns in (0, 3):
        actions = _ACTIONS.replace("N_TURNS", str(n_turns)).replace("PLACE", place)
        elements = dumped(PAGES[name] + actions, tmp_path)
        attributes = {a["id"]: a for _, a in elements.found if "id" in a}
        first, last = map(int, attributes["figure"]["data-shown"].split("-"))
        seen[n_turns] = last - first + 1
        assert re.match(expected, elements.texts["tooltip"])
        assert int(next(a["data-n-shades"] for tag, a in elements.found if tag == "body")) > 50
        check_value(name, elements.texts["tooltip"])
    assert seen[0] == 40
    # Three turns of 1.25 each, and parts of bases at both edges.
    assert 40 / 1.25**3 <= seen[3] <= 40 / 1.25**3 + 2


def check_value(name, text):
    """The number that is shown is that of the bases that are named."""
    if name == "mutagenesis":
        place = int(re.search(r":([\d,]+)", text)[1].replace(",", "")) - 1001
        shown = [float(line.split()[1]) for line in text.splitlines()[1:5]]
        np.testing.assert_allclose(shown, EFFECTS[place], atol=6e-4)
    else:
        row, column = (int(each.replace(",", "")) - 1001 for each in re.findall(r"(1,\d+)", text))
        assert float(text.split()[-1]) == pytest.approx(DEPENDENCIES[row, column], abs=6e-4)
