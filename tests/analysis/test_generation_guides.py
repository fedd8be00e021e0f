import numpy as np
import pytest

from dnafm.analysis.generation_guides import Guidance, OutputGuide
from dnafm.analysis.variant_readings import ModelOutput


def counts(sequences):
    """Logits of three outputs: the numbers of A, C and G. All of one call are one batch."""
    return np.array([[sequence.count(base) for base in "ACG"] for sequence in sequences], np.float32)


SEQUENCES = ["AACG", "T", "CCCCCCCC", "GA"]


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("number", [1, 0, 8, 0]),
        # log of e^1 / (e^2 + e + e), 1 / 3, e^8 / (e^8 + 2), 1 / (2 e + 1).
        ("class", np.log([1 / (np.e + 2), 1 / 3, np.e**8 / (np.e**8 + 2), 1 / (2 * np.e + 1)])),
        ("label", np.log([np.e / (np.e + 1), 1 / 2, np.e**8 / (np.e**8 + 1), 1 / 2])),
    ],
)
def test_value_is_that_of_the_target(link, expected):
    """A number as it is, a log-probability among classes, or that of one label; in the order of the sequences."""
    guide = OutputGuide(ModelOutput(("a", "c", "g"), "logit", counts, max_tokens=5), "c", link, 10)
    np.testing.assert_allclose(guide.scores(SEQUENCES), expected, atol=1e-9)


def test_model_is_given_no_more_than_its_batch():
    """But for a longer sequence."""
    sizes = []

    def read(sequences):
        sizes.append(sum(map(len, sequences)))
        return counts(sequences)

    OutputGuide(ModelOutput(("a", "c", "g"), "logit", read, max_tokens=5), "a", "number", 10).scores(SEQUENCES)
    assert max(sizes[1:]) <= 5
    assert sorted(sizes, reverse=True)[0] == 8


@pytest.mark.parametrize(
    ("target", "link", "message"),
    [("t", "class", "The target is 't'; the guide has a, c, g"), ("a", "odds", "The link is 'odds'")],
)
def test_unknown_target_or_link_is_refused(target, link, message):
    """The message names what there is."""
    with pytest.raises(ValueError, match=message):
        OutputGuide(ModelOutput(("a", "c", "g"), "logit", counts), target, link, 10)


@pytest.mark.parametrize(("strength", "candidates"), [(np.inf, 4), (np.nan, 4), (1.0, 0)])
def test_wrong_strength_or_number_of_candidates_is_refused(strength, candidates):
    """A finite number, and one candidate at least."""
    with pytest.raises(ValueError, match="it must be"):
        Guidance(OutputGuide(ModelOutput(("a",), "logit", counts), "a", "number", 10), strength, candidates)
