import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.analysis.generation_sampling import Sampling, draw_bases, round_sizes

P = np.array([0.5, 0.25, 0.15, 0.1])
A, C, G, T = 1, 2, 4, 8


def probabilities(sets=15, p=P, **options):
    return Sampling(**options).probabilities(np.log(p)[None], np.array([sets]))[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, P),
        ({"temperature": 0.5}, P**2 / (P**2).sum()),
        ({"temperature": 2.0}, P**0.5 / (P**0.5).sum()),
        ({"temperature": 0.0}, [1, 0, 0, 0]),
        ({"top_p": 0.5}, [1, 0, 0, 0]),
        ({"top_p": 0.51}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_p": 0.9}, [5 / 9, 2.5 / 9, 1.5 / 9, 0]),
        ({"top_p": 1.0}, P),
        # The square of 0.5 is 0.725 of the squares' sum.
        ({"temperature": 0.5, "top_p": 0.72}, [1, 0, 0, 0]),
        ({"sets": C | T}, [0, 25 / 35, 0, 10 / 35]),
        ({"sets": C | G | T, "top_p": 0.6}, [0, 25 / 40, 15 / 40, 0]),
        ({"sets": G | T, "temperature": 0.0}, [0, 0, 1, 0]),
    ],
)
def test_probabilities_are_those_of_the_definition(options, expected):
    """By hand: allowed bases first, then temperature, then the fewest bases that reach the share."""
    np.testing.assert_allclose(probabilities(**options), expected, atol=1e-12)


@given(
    p=st.lists(st.floats(1e-6, 1), min_size=4, max_size=4).map(lambda x: np.array(x) / sum(x)),
    temperature=st.floats(0, 5),
    top_p=st.floats(0.01, 1),
    sets=st.integers(1, 15),
)
def test_probabilities_sum_to_one_over_allowed_bases(p, temperature, top_p, sets):
    """Whatever the options, and at least one base is left."""
    found = probabilities(sets=sets, p=p, temperature=temperature, top_p=top_p)
    assert found.sum() == pytest.approx(1)
    assert all(found[i] == 0 for i in range(4) if not sets >> i & 1)


def test_draws_divide_the_unit_interval():
    """A base is drawn by numbers from the sum of those before it on; one of probability 0 is never drawn."""
    uniforms = np.array([0.0, 0.49, 0.5, 0.74, 0.75, 0.999999])
    assert draw_bases(np.tile([0.5, 0.25, 0, 0.25], (6, 1)), uniforms).tolist() == [0, 0, 1, 1, 3, 3]
    assert draw_bases(np.tile([0, 0, 1.0, 0], (6, 1)), uniforms).tolist() == [2] * 6


@given(n_places=st.integers(1, 500), data=st.data())
def test_rounds_are_as_even_as_possible(n_places, data):
    """They add up, and differ by one at most; there are no more than places."""
    n_rounds = Sampling(rounds=data.draw(st.integers(1, 600))).n_rounds(n_places)
    sizes = round_sizes(n_places, n_rounds)
    assert sum(sizes) == n_places
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


def test_order_follows_the_predictions_without_noise():
    """Confidence by the drawn base, entropy by the whole prediction; noise is 0 at temperature 0 and at the end."""
    log_p = np.log([[0.4, 0.3, 0.2, 0.1], [0.7, 0.1, 0.1, 0.1], [0.5, 0.5 - 2e-9, 1e-9, 1e-9]])
    drawn = np.array([1, 1, 0])
    generator = np.random.default_rng(0)
    for options in ({"temperature": 0.0, "progress": 0.1}, {"temperature": 1.0, "progress": 1.0}):
        progress = options.pop("progress")
        ranked = {
            order: Sampling(order=order, **options)
            .ranked_places(log_p, drawn, progress=progress, generator=generator)
            .tolist()
            for order in ("confidence", "entropy")
        }
        # Drawn: 0.3, 0.1, 0.5. Entropies in bits: 1.85, 1.36, 1.
        assert ranked == {"confidence": [2, 0, 1], "entropy": [2, 1, 0]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds is 0; it must be at least 1"),
        ({"order": "left"}, "order is 'left'; it must be one of confidence, random, entropy"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
        ({"refinement_share": 1.1}, "refinement_share is 1.1"),
        ({"refinement_rounds": -1}, "refinement_rounds is -1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_number_is_refused(options, message):
    """The message names value and rule."""
    with pytest.raises(ValueError, match=message):
        Sampling(**options)
