"""Generation with models whose conditionals are known, and with a small real one."""

from collections import Counter
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor, MaskedRequest
from dnafm.analysis.generation import generate, n_passes
from dnafm.analysis.generation_drafts import Draft
from dnafm.analysis.generation_guides import Guidance
from dnafm.analysis.generation_sampling import Sampling
from dnafm.analysis.generation_templates import Template, free_template, parse_template
from dnafm.analysis.masked_places import MaskedWindow, masked_log_probabilities
from dnafm.analysis.sequence_constraints import FailureReason, SequenceConstraints

BASES = "ACGT"
TOKENIZER = DNAFMTokenizer(model_max_length=64)
IDS = TOKENIZER.convert_tokens_to_ids(list(BASES))
P = np.array([0.5, 0.25, 0.15, 0.1])
# Of two bases that depend on each other: row = first, column = second.
JOINT = np.array([[14, 4, 3, 4], [3, 8, 12, 4], [4, 4, 3, 13], [10, 6, 5, 3]]) / 100
PAIRS = ["".join(pair) for pair in product(BASES, repeat=2)]
PAIR_VALUES = dict(zip(PAIRS, np.linspace(-1, 2, 16)[np.random.default_rng(3).permutation(16)], strict=True))


class KnownModel:
    """Predicts what a function of the ids says; its states are the logits.

    Args:
        probabilities: of (batch, length) ids, (batch, length, 4).
    """

    device = torch.device("cpu")

    def __init__(self, probabilities):
        self.probabilities = probabilities
        self.n_rows = 0

    def model(self, input_ids, attention_mask):
        self.n_rows += len(input_ids)
        # What is no base is as likely as it can be, and must never be drawn.
        logits = torch.full((*input_ids.shape, 16), 50.0)
        logits[..., IDS] = torch.from_numpy(np.log(self.probabilities(input_ids.numpy()))).float()
        return SimpleNamespace(last_hidden_state=logits)

    def lm_head(self, states):
        return states


def independent(input_ids):
    return np.broadcast_to(P, (*input_ids.shape, 4))


def paired(input_ids):
    """The conditionals of `JOINT` for two bases, marginals where the other one is masked."""
    index = np.full(16, 4)
    index[IDS] = range(4)
    first, second = index[input_ids[:, 1]], index[input_ids[:, 2]]
    of_first = np.vstack([(JOINT / JOINT.sum(axis=0)).T, JOINT.sum(axis=1)])[second]
    of_second = np.vstack([JOINT / JOINT.sum(axis=1, keepdims=True), JOINT.sum(axis=0)])[first]
    edge = np.full_like(of_first, 0.25)
    return np.stack([edge, of_first, of_second, edge], axis=1)


def predictor_of(probabilities, **options):
    return BasePredictor(KnownModel(probabilities), TOKENIZER, strand="forward", **options)


class CountGuide:
    """Counts a base, and the sequences that it was asked about."""

    def __init__(self, base="C"):
        self.base, self.n_asked = base, 0

    def scores(self, sequences):
        self.n_asked += len(sequences)
        return np.array([float(sequence.count(self.base)) for sequence in sequences])


class PairGuide:
    """A number for each pair of bases."""

    def scores(self, sequences):
        return np.array([PAIR_VALUES[sequence] for sequence in sequences])


def sequences_of(predictor, template, n_samples, **options):
    options = {"has_likelihood": False, **options}
    return [result.sequence for result in generate(predictor, [template], n_samples=n_samples, **options)]


def is_drawn_from(observed, probabilities):
    """Whether counts are what probabilities give, by chi-square at a fixed seed.

    Some thirty such tests are made, so one in a few hundred sets of seeds would fail by chance; the distributions that
    must not be found have p-values far below.
    """
    names, expected = zip(*probabilities.items(), strict=True)
    assert set(observed) <= set(names)
    counts = np.array([observed[name] for name in names])
    return chisquare(counts, np.array(expected) / sum(expected) * counts.sum()).pvalue > 1e-4


@pytest.mark.parametrize("order", ["random", "entropy"])
@pytest.mark.parametrize("refinement_rounds", [0, 2])
def test_independent_bases_have_the_predicted_frequencies(order, refinement_rounds):
    """Of 3,000 draws at each of two places, in three rounds, and after Gibbs sampling."""
    sampling = Sampling(rounds=3, order=order, refinement_rounds=refinement_rounds, refinement_share=0.5)
    drawn = sequences_of(predictor_of(independent), free_template(4), 1500, sampling=sampling)
    assert is_drawn_from(Counter("".join(drawn)), dict(zip(BASES, P, strict=True)))
    pairs = Counter(sequence[:2] for sequence in drawn)
    assert is_drawn_from(pairs, dict(zip(PAIRS, np.outer(P, P).ravel(), strict=True)))


@pytest.mark.parametrize("order", ["random", "entropy"])
@pytest.mark.parametrize("refinement_rounds", [0, 3])
def test_dependent_bases_have_their_joint_distribution(order, refinement_rounds):
    """One base a round is the chain rule, whatever comes first; refining one at a time leaves it as it is."""
    sampling = Sampling(rounds=2, order=order, refinement_rounds=refinement_rounds, refinement_share=0.5)
    drawn = sequences_of(predictor_of(paired), free_template(2), 3000, sampling=sampling)
    assert is_drawn_from(Counter(drawn), dict(zip(PAIRS, JOINT.ravel(), strict=True)))


def test_places_of_one_round_are_independent():
    """Both bases in one round are drawn from their marginals, and are not the joint distribution."""
    drawn = Counter(sequences_of(predictor_of(paired), free_template(2), 3000, sampling=Sampling(rounds=1)))
    product_of_marginals = np.outer(JOINT.sum(axis=1), JOINT.sum(axis=0))
    assert is_drawn_from(drawn, dict(zip(PAIRS, product_of_marginals.ravel(), strict=True)))
    assert not is_drawn_from(drawn, dict(zip(PAIRS, JOINT.ravel(), strict=True)))


@pytest.mark.parametrize(("options", "power"), [({"temperature": 0.5}, 2.0), ({"temperature": 2.0}, 0.5)])
def test_temperature_is_exact(options, power):
    """Frequencies are those of p^(1/T)."""
    drawn = sequences_of(predictor_of(independent), free_template(6), 500, sampling=Sampling(**options))
    assert is_drawn_from(Counter("".join(drawn)), dict(zip(BASES, P**power, strict=True)))


def test_top_p_is_exact():
    """0.8 of the probability is that of A, C and G, and T never comes."""
    drawn = sequences_of(predictor_of(independent), free_template(6), 500, sampling=Sampling(top_p=0.8))
    assert is_drawn_from(Counter("".join(drawn)), dict(zip("ACG", P[:3], strict=True)))


def test_temperature_zero_takes_the_most_probable_base():
    """At each place."""
    assert (
        sequences_of(predictor_of(independent), free_template(5), 2, sampling=Sampling(temperature=0)) == ["AAAAA"] * 2
    )


@pytest.mark.parametrize("strength", [1.0, -0.7])
def test_metropolis_hastings_reaches_its_target(strength):
    """p(x) exp(strength * g(x)) over the 16 pairs, from drafts that start elsewhere (one candidate, no guidance)."""
    guidance = Guidance(PairGuide(), strength, candidates=1)
    sampling = Sampling(rounds=1, refinement_rounds=8, refinement_share=1.0)
    results = list(
        generate(
            predictor_of(paired),
            [free_template(2)],
            n_samples=2000,
            sampling=sampling,
            guidance=guidance,
            has_likelihood=False,
        )
    )
    drawn = Counter(result.sequence for result in results)
    target = {pair: p * np.exp(strength * PAIR_VALUES[pair]) for pair, p in zip(PAIRS, JOINT.ravel(), strict=True)}
    assert is_drawn_from(drawn, target)
    assert not is_drawn_from(drawn, dict(zip(PAIRS, JOINT.ravel(), strict=True)))
    rates = [result.acceptance_rate for result in results if result.acceptance_rate is not None]
    assert 0 < np.mean(rates) < 1
    for result in results:
        assert result.guide_value == PAIR_VALUES[result.sequence]
        assert len(result.refinement_values) == 8
        assert result.refinement_values[-1] == result.guide_value


def test_metropolis_hastings_keeps_to_the_constraints():
    """Its target is then restricted to the sequences that are allowed."""
    constraints = SequenceConstraints(forbid=("AA", "GT"))
    sampling = Sampling(rounds=2, refinement_rounds=8, refinement_share=1.0)
    guidance = Guidance(PairGuide(), 1.0, candidates=1)
    drawn = sequences_of(
        predictor_of(paired), free_template(2), 2000, sampling=sampling, guidance=guidance, constraints=constraints
    )
    target = {
        pair: p * np.exp(PAIR_VALUES[pair])
        for pair, p in zip(PAIRS, JOINT.ravel(), strict=True)
        if pair not in constraints.forbid
    }
    assert is_drawn_from(Counter(drawn), target)


def test_candidates_are_taken_in_proportion_to_their_weights():
    """Of two draws of one base, each with weight exp(strength * guide): all 16 cases by hand."""
    guide = CountGuide()
    guidance = Guidance(guide, strength=1.5, candidates=2)
    drawn = sequences_of(predictor_of(independent), free_template(1), 3000, guidance=guidance)
    expected = dict.fromkeys(BASES, 0.0)
    weights = {base: np.exp(1.5 * (base == "C")) for base in BASES}
    for (first, p), (second, q) in product(zip(BASES, P, strict=True), repeat=2):
        for base in (first, second):
            expected[base] += p * q * weights[base] / (weights[first] + weights[second])
    assert is_drawn_from(Counter(drawn), expected)
    assert guide.n_asked == 2 * 3000


@pytest.mark.parametrize("strength", [2.0, 0.0, -2.0])
def test_guide_raises_or_lowers_its_value(strength):
    """By the sign of the strength; at 0 it is what the model draws."""
    guidance = Guidance(CountGuide(), strength)
    drawn = "".join(sequences_of(predictor_of(independent), free_template(10), 60, guidance=guidance))
    share = drawn.count("C") / len(drawn)
    assert {2.0: share > 0.4, 0.0: abs(share - 0.25) < 0.06, -2.0: share < 0.12}[strength]


@given(
    text=st.text("ACGT?", min_size=1, max_size=20).filter(lambda text: "?" in text),
    flank=st.text("ACGTN", max_size=5),
    order=st.sampled_from(["random", "confidence", "entropy"]),
    rounds=st.integers(1, 30),
    refinement_rounds=st.integers(0, 2),
    is_guided=st.booleans(),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_fixed_bases_never_change(text, flank, order, rounds, refinement_rounds, is_guided, seed):
    """And the others are A, C, G or T, whatever the options."""
    sampling = Sampling(rounds, order, refinement_rounds=refinement_rounds, seed=seed)
    template = Template("t", text, flank, flank[::-1])
    guidance = Guidance(CountGuide(), 3.0) if is_guided else None
    predictor = predictor_of(independent)
    for sequence in sequences_of(predictor, template, 2, sampling=sampling, guidance=guidance):
        assert len(sequence) == len(text)
        assert all(
            base in "ACGT" if fixed == "?" else base == fixed for base, fixed in zip(sequence, text, strict=True)
        )


@given(
    text=st.text("ACGT????", min_size=4, max_size=24).filter(lambda text: "?" in text),
    forbid=st.lists(st.text("ACGTRYN", min_size=2, max_size=5), max_size=2),
    require=st.lists(st.text("ACGTRYN", min_size=1, max_size=4), max_size=2),
    gc=st.sampled_from([None, (0.4, 0.6), (0.0, 0.3), (0.5, 0.5)]),
    max_homopolymer=st.sampled_from([None, 1, 2]),
    both_strands=st.booleans(),
    refinement_rounds=st.integers(0, 1),
    is_guided=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_constraints_hold_or_the_sample_has_failed(
    text, forbid, require, gc, max_homopolymer, both_strands, refinement_rounds, is_guided
):
    """In each sequence; one without has a reason, and contradictions are errors before any pass of the model."""
    predictor = predictor_of(independent)
    sampling = Sampling(rounds=4, refinement_rounds=refinement_rounds)
    try:
        constraints = SequenceConstraints(gc, tuple(forbid), tuple(require), both_strands, max_homopolymer)
        results = generate(
            predictor,
            [parse_template(text)],
            n_samples=2,
            sampling=sampling,
            constraints=constraints,
            guidance=Guidance(CountGuide()) if is_guided else None,
            max_tries=3,
        )
    except ValueError:
        assert predictor.model.n_rows == 0
        return
    for result in results:
        assert (result.sequence is None) == (result.failed is not None)
        if result.sequence is not None:
            assert constraints.violation(result.sequence) is None
            assert set(result.sequence) <= set(BASES)


@pytest.fixture(scope="module")
def small_model(tiny_model):
    torch.manual_seed(1)
    return tiny_model(DNAFMForMaskedLM)


TEMPLATES = (
    parse_template("ACG????????TTAC", id="a"),
    free_template(30, id="b"),
    Template("c", "????", "ACGTN", "GGT"),
)


@pytest.mark.parametrize("order", ["random", "confidence", "entropy"])
def test_equal_seeds_give_equal_results_whatever_the_batch(small_model, order):
    """Alone, a few at once, or all at once; with a guide, constraints, other tries, and both strands."""

    def results(max_tokens, seed=5):
        return list(
            generate(
                BasePredictor(small_model, TOKENIZER, strand="both", max_tokens=max_tokens),
                TEMPLATES,
                n_samples=6,
                sampling=Sampling(5, order, refinement_rounds=1, seed=seed),
                guidance=Guidance(CountGuide(), 0.5, candidates=2),
                constraints=SequenceConstraints(gc=(0.3, 0.7), forbid=("CCW", "AT"), max_homopolymer=3),
                unique=True,
            )
        )

    whole = results(100_000)
    for max_tokens in (64, 130):
        for one, other in zip(whole, results(max_tokens), strict=True):
            assert (one.id, one.sequence, one.failed) == (other.id, other.sequence, other.failed)
            assert one.guide_value == other.guide_value
            assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-5)
    assert [one.sequence for one in whole] != [one.sequence for one in results(100_000, seed=6)]
    assert [one.id for one in whole[:7]] == ["a_1", "a_2", "a_3", "a_4", "a_5", "a_6", "b_1"]


@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
def test_log_likelihood_is_that_of_single_masked_passes(small_model, strand):
    """Mean over the designed places alone, each masked alone, with the flank in sight."""
    predictor = BasePredictor(small_model, TOKENIZER, strand=strand)
    template = Template("t", "AC??G?", "TTGN", "CA")
    (result,) = generate(predictor, [template])
    window = "TTGN" + result.sequence + "CA"
    (log_p,) = predictor.masked([MaskedRequest(window, [6, 7, 9])])
    expected = np.mean([log_p[i, BASES.index(window[place])] for i, place in enumerate((6, 7, 9))])
    assert result.log_likelihood == pytest.approx(expected, abs=1e-6)
    assert (result.n_designed, result.gc) == (3, (result.sequence.count("G") + result.sequence.count("C")) / 6)


@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
def test_masked_places_of_a_batch_are_read_as_single_ones(small_model, strand):
    """Windows of several lengths, each with one masked base, as `BasePredictor.masked` reads them."""
    predictor = BasePredictor(small_model, TOKENIZER, strand=strand)
    cases = [("ACGTTGCATTNACGGA", 3), ("GATTACA", 0), ("TTGACCATTGACATTACCGA", 19)]
    windows = []
    for window, place in cases:
        input_ids = TOKENIZER(window, return_tensors="np")["input_ids"][0]
        input_ids[place + 1] = TOKENIZER.mask_token_id
        windows.append(MaskedWindow(input_ids, np.array([place + 1])))
    expected = predictor.masked([MaskedRequest(window, [place]) for window, place in cases])
    for found, single in zip(masked_log_probabilities(predictor, windows), expected, strict=True):
        np.testing.assert_allclose(found, single, atol=1e-5)


def test_several_masks_are_seen_as_masks(small_model):
    """All places of a window at once, as one pass of the plain model says."""
    input_ids = TOKENIZER("AC[MASK]T[MASK]GA", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = small_model(input_ids).logits[0, [3, 5]][:, IDS]
    predictor = BasePredictor(small_model, TOKENIZER, strand="forward")
    (found,) = masked_log_probabilities(predictor, [MaskedWindow(input_ids[0].numpy(), np.array([3, 5]))])
    np.testing.assert_allclose(found, logits.double().log_softmax(-1), atol=1e-5)


def test_unique_samples_are_different_and_bounded():
    """All 16 of two bases are found, and what cannot be new fails as a duplicate."""
    results = list(
        generate(
            predictor_of(independent),
            [free_template(2)],
            n_samples=18,
            unique=True,
            max_tries=150,
            has_likelihood=False,
        )
    )
    found = [result.sequence for result in results if result.sequence is not None]
    assert sorted(found) == PAIRS
    assert [result.failed for result in results].count(FailureReason.DUPLICATE) == 2


def test_passes_are_counted_and_told():
    """Rounds, refinement one base at a time with a guide, and one pass for each place of the likelihood."""
    for guidance, has_likelihood, by_hand in ((None, True, 4 + 2 + 10), (Guidance(CountGuide()), False, 4 + 2 * 3)):
        told = []
        sampling = Sampling(rounds=4, refinement_rounds=2, refinement_share=0.3)
        predictor = predictor_of(independent)
        options = {"n_samples": 3, "sampling": sampling, "has_likelihood": has_likelihood}
        list(generate(predictor, [free_template(10)], guidance=guidance, on_progress=told.append, **options))
        total = n_passes([free_template(10)], is_guided=guidance is not None, **options)
        assert sum(told) == total == predictor.model.n_rows == 3 * by_hand


def test_template_that_a_required_motif_fills_needs_no_round():
    """The guide is asked about it all the same."""
    (result,) = generate(
        predictor_of(independent),
        [parse_template("A??T")],
        constraints=SequenceConstraints(require=("ACCT",)),
        guidance=Guidance(CountGuide()),
        sampling=Sampling(refinement_rounds=2),
    )
    assert (result.sequence, result.guide_value, result.n_designed) == ("ACCT", 2.0, 2)


class ShortGuide(CountGuide):
    max_bases = 9


@pytest.mark.parametrize(
    ("templates", "options", "message"),
    [
        ([], {}, "There is no template"),
        ([free_template(63)], {}, "design has 63 bases and 0 around them; the model reads 62"),
        ([Template("x", "?" * 60, "AC", "G")], {}, "x has 60 bases and 3 around them"),
        ([free_template(3), free_template(4)], {}, "Two templates are called 'design'"),
        ([free_template(3)], {"n_samples": 0}, "n_samples is 0"),
        ([free_template(3)], {"max_tries": 0}, "max_tries is 0"),
        ([free_template(10)], {"guidance": Guidance(ShortGuide())}, "design has 10 bases; the guide reads 9"),
        ([parse_template("GAATTC?")], {"forbid": ("RAATTY",)}, "the forbidden motif RAATTY is at base 0"),
        (
            [parse_template("GGGG?")],
            {"gc": (0.0, 0.5)},
            "allows 0 to 2 G and C among 5 bases, and 4 to 5 are possible",
        ),
        ([free_template(3)], {"gc": (0.4, 0.6)}, "allows 2 to 1 G and C among 3 bases"),
        ([parse_template("CAAAA?")], {"max_homopolymer": 3}, "a run of 4 A is at base 1"),
        ([free_template(3)], {"require": ("ACGT",)}, "design has 3 bases; the required motif ACGT is longer"),
        ([parse_template("AAAA??")], {"require": ("CCC",)}, "design has no places for the required motifs CCC"),
        ([free_template(5)], {"require": ("GGG",), "gc": (0.0, 0.4)}, "has no places for the required motifs GGG"),
        (
            [parse_template("ACGTAC??")],
            {"max_identity": 0.7, "identity_to": ("ACGTACGT",)},
            "its identity to a given sequence is 0.75, and max_identity is 0.7",
        ),
    ],
)
def test_bad_input_is_refused_before_work_begins(templates, options, message):
    """When the function is called, before a result is asked for."""
    guidance_and_numbers = {
        name: options.pop(name) for name in ("n_samples", "max_tries", "guidance") if name in options
    }
    predictor = predictor_of(independent)
    with pytest.raises(ValueError, match=message):
        generate(predictor, templates, constraints=SequenceConstraints(**options), **guidance_and_numbers)
    assert predictor.model.n_rows == 0


@pytest.mark.parametrize("values", [[1.0], [np.nan, 1.0], [[1.0], [2.0]]])
def test_guide_that_gives_something_else_is_refused(values):
    """One finite number for each sequence is due."""

    class BadGuide:
        def scores(self, sequences):
            return np.array(values)

    with pytest.raises(ValueError, match="one finite number each is due"):
        list(generate(predictor_of(independent), [free_template(3)], guidance=Guidance(BadGuide(), candidates=2)))


@given(
    text=st.text("ACGT??", min_size=1, max_size=20).filter(lambda text: "?" in text),
    flank=st.text("ACGTN", max_size=5),
)
def test_model_reads_the_template_with_its_masks(text, flank):
    """The ids are those of the text with `[MASK]` written out, and the places are where these are."""
    template = Template("t", text, flank, flank[::-1])
    window = Draft(template, TOKENIZER, Sampling(), SequenceConstraints(), (0, 0, 0)).window()
    expected = TOKENIZER(template.window(text.replace("?", "[MASK]")))["input_ids"]
    assert window.input_ids.tolist() == expected
    assert window.tokens.tolist() == [i for i, token in enumerate(expected) if token == TOKENIZER.mask_token_id]
