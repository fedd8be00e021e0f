import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM

from dnafm import DNAFMTokenizer
from dnafm.analysis.mutagenesis import entropy_bits, mutate, mutate_scored
from dnafm.analysis.regions import Region, sequence_region, tiled_windows, windows_of_bases
from dnafm.genomics import Interval, reverse_complement
from dnafm.genomics.sequences import BASES

TOKENIZER = DNAFMTokenizer(model_max_length=64)
IDS = TOKENIZER.convert_tokens_to_ids(list(BASES))
SEQUENCE = "ACGTTGCATTNACGGA"
LONG = "GATTACAGGCTTAACCGGATATCGCGATTTGCCATAAGCC"


@pytest.fixture(scope="module")
def slow_log_probabilities(checkpoint):
    """Log-probabilities of one base, of one pass of the plain model: the slow way."""
    model = AutoModelForMaskedLM.from_pretrained(checkpoint).eval()

    def compute(window, place, *, masked, strand):
        if strand == "both":
            of_strands = [compute(window, place, masked=masked, strand=each) for each in ("forward", "reverse")]
            return (sum(of_strands) / 2).log_softmax(-1)
        if strand == "reverse":
            window, place = reverse_complement(window), len(window) - 1 - place
        input_ids = TOKENIZER(window, return_tensors="pt")["input_ids"]
        if masked:
            input_ids[0, place + 1] = TOKENIZER.mask_token_id
        with torch.no_grad():
            log_p = model(input_ids).logits[0, place + 1, IDS].log_softmax(-1)
        # The complements of A, C, G, T are T, G, C, A.
        return log_p.flip(0) if strand == "reverse" else log_p

    return compute


def ratios(log_probabilities, sequence):
    """Log-likelihood ratios of rows, NaN where the base is none of the four."""
    rows = [
        log_p - log_p[BASES.index(base)] if base in BASES else torch.full((4,), torch.nan)
        for log_p, base in zip(log_probabilities, sequence, strict=True)
    ]
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
def test_ratios_are_those_of_single_passes_of_the_plain_model(predictor_of, slow_log_probabilities, masked, strand):
    """Masked and unmasked, of each strand; 0 where the base is the reference, NaN where that is N."""
    (result,) = mutate(predictor_of(strand), [sequence_region(SEQUENCE)], masked=masked)
    slow = [slow_log_probabilities(SEQUENCE, i, masked=masked, strand=strand) for i in range(len(SEQUENCE))]
    np.testing.assert_allclose(result.effects, ratios(slow, SEQUENCE), atol=1e-5)
    np.testing.assert_allclose(result.log_probabilities, torch.stack(slow), atol=1e-5)
    assert all(result.effects[i, BASES.index(base)] == 0 for i, base in enumerate(SEQUENCE) if base != "N")


def test_each_base_of_a_long_sequence_is_in_the_middle_of_its_window(predictor_of, slow_log_probabilities):
    """The windows are those of `Interval.centred_window`, shifted at both ends."""
    (result,) = mutate(predictor_of("forward"), [sequence_region(LONG)], window_bp=15)
    slow = []
    for place in range(len(LONG)):
        window = Interval("contig", place, place + 1).centred_window(15, contig_length_bp=len(LONG))
        bases = LONG[window.start_bp : window.end_bp]
        slow.append(slow_log_probabilities(bases, place - window.start_bp, masked=True, strand="forward"))
    np.testing.assert_allclose(result.effects, ratios(slow, LONG), atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_results_do_not_depend_on_the_other_regions(predictor_of, masked):
    """Several regions, of which some have several windows, are what each is alone, in their order."""
    regions = [sequence_region(bases, id=bases[:3]) for bases in (LONG, "ACG", SEQUENCE, "T", LONG[:20])]
    together = list(mutate(predictor_of("both"), regions, masked=masked, window_bp=15))
    assert [result.region for result in together] == regions
    for result in together:
        (alone,) = mutate(predictor_of("both"), [result.region], masked=masked, window_bp=15)
        np.testing.assert_allclose(result.effects, alone.effects, atol=1e-5)


def test_strands_of_a_palindrome_agree(predictor_of):
    """What the forward strand says of a base, the reverse one says of its partner; both together are symmetric."""
    palindrome = "GAATTCCGGAATTC"
    effects = {
        strand: next(mutate(predictor_of(strand), [sequence_region(palindrome)])).effects
        for strand in ("forward", "reverse", "both")
    }
    np.testing.assert_allclose(effects["forward"], effects["reverse"][::-1, ::-1], atol=1e-5)
    np.testing.assert_allclose(effects["both"], effects["both"][::-1, ::-1], atol=1e-5)
    assert np.abs(effects["forward"] - effects["reverse"]).max() > 0.01


def test_reverse_complement_has_the_same_effects_with_both_strands(predictor_of):
    """Of the complementary bases, from the end to the start."""
    (forward,) = mutate(predictor_of("both"), [sequence_region(SEQUENCE)])
    (reverse,) = mutate(predictor_of("both"), [sequence_region(reverse_complement(SEQUENCE))])
    np.testing.assert_allclose(forward.effects, reverse.effects[::-1, ::-1], atol=1e-5)


@given(
    n_contig=st.integers(1, 60),
    first=st.integers(0, 59),
    n_bases=st.integers(1, 60),
    window_bp=st.integers(1, 40),
)
def test_windows_ask_once_about_each_base(n_contig, first, n_bases, window_bp):
    """In their order, in windows of the right length; in tiles, with a quarter of the window on either side."""
    first = min(first, n_contig - 1)
    n_bases = min(n_bases, n_contig - first)
    # Letters that are all different tell where a window is from.
    contig = "".join(map(chr, range(256, 256 + n_contig)))
    region = Region("r", "contig", first, n_bases, contig, first)
    for windows_of in (windows_of_bases, tiled_windows):
        windows = list(windows_of(region, window_bp=window_bp))
        asked = "".join(window.bases[place] for window in windows for place in window.positions)
        assert asked == region.sequence
        for window in windows:
            assert len(window.bases) == min(window_bp, n_contig)
            at_start, at_end = window.bases[0] == contig[0], window.bases[-1] == contig[-1]
            n_before, n_behind = window.positions.start, len(window.bases) - window.positions.stop
            assert at_start or n_before >= window_bp // 4
            assert at_end or n_behind >= (window_bp - 1) // 4


def test_change_of_a_score_is_that_of_each_substitution():
    """A score that adds i + 1 for a G at i: by hand; 3 sequences for each known base and the reference are scored."""
    scored = []

    def score(sequences):
        scored.extend(sequences)
        return np.array([sum(i + 1 for i, base in enumerate(sequence) if base == "G") for sequence in sequences])

    regions = [sequence_region("AGN"), sequence_region("C")]
    first, second = mutate_scored(score, regions, effect_name="G", max_tokens=7)
    nan = np.nan
    assert first.effects.tolist()[:2] == [[0, 0, 1, 0], [-2, -2, 0, -2]]
    np.testing.assert_array_equal(first.effects[2], [nan] * 4)
    assert second.effects.tolist() == [[0, 0, 1, 0]]
    assert sorted(scored) == sorted(["AGN", "CGN", "GGN", "TGN", "AAN", "ACN", "ATN", "C", "A", "G", "T"])
    assert (first.effect_name, first.log_probabilities, first.entropy_bits) == ("G", None, None)


def test_score_in_windows_sees_what_is_around_the_base():
    """In windows of 3, the count of GG changes with the neighbours alone, and those outside the region count."""

    def score(sequences):
        assert {len(sequence) for sequence in sequences} == {3}
        return np.array([sequence.count("GG") for sequence in sequences], dtype=float)

    region = Region("r", "contig", 1, 2, "GAAG", 1)
    (result,) = mutate_scored(score, [region], effect_name="GG", window_bp=3)
    assert result.effects.tolist() == [[0, 0, 1, 0], [0, 0, 1, 0]]


def test_progress_counts_all_bases(predictor_of):
    """Masked, unmasked and of a score."""
    counts = []
    regions = [sequence_region(LONG), sequence_region(SEQUENCE)]
    for masked in (True, False):
        list(mutate(predictor_of("forward"), regions, masked=masked, window_bp=15, on_progress=counts.append))
    list(mutate_scored(lambda rows: np.zeros(len(rows)), regions, effect_name="0", on_progress=counts.append))
    assert sum(counts) == 3 * (len(LONG) + len(SEQUENCE))


def test_entropy_is_in_bits():
    """2 where all bases are equally likely, 1 for two of them, 0 for a certain one."""
    tiny = 1e-30
    p = np.array([[0.25] * 4, [0.5, 0.5, tiny, tiny], [1.0, tiny, tiny, tiny]])
    np.testing.assert_allclose(entropy_bits(np.log(p)), [2, 1, 0], atol=1e-6)


@pytest.mark.parametrize("window_bp", [0, 63])
def test_window_that_the_model_cannot_read_is_refused(predictor_of, window_bp):
    """The context of 64 tokens holds 62 bases."""
    with pytest.raises(ValueError, match=f"window_bp is {window_bp}; the model reads 1 to 62 bases"):
        next(mutate(predictor_of("forward"), [sequence_region("ACGT")], window_bp=window_bp))
