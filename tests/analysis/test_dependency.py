from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.dependency import dependency_maps, log2_odds
from dnafm.analysis.regions import Region, sequence_region
from dnafm.genomics.sequences import BASES

TOKENIZER = DNAFMTokenizer(model_max_length=64)
IDS = TOKENIZER.convert_tokens_to_ids(list(BASES))
COMPLEMENT = dict(zip(IDS, IDS[::-1], strict=True))


class HairpinModel:
    """Predicts of a base in the stem the complement of its partner, and of any other base nothing.

    Args:
        pairs: positions of the bases that pair.
    """

    device = torch.device("cpu")

    def __init__(self, pairs):
        self.partners = {**dict(pairs), **{j: i for i, j in pairs}}

    def model(self, input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=input_ids)

    def lm_head(self, input_ids):
        logits = torch.zeros(*input_ids.shape, 16)
        for place, partner in self.partners.items():
            for row, partner_id in enumerate(input_ids[:, partner + 1].tolist()):
                logits[row, place + 1, COMPLEMENT[partner_id]] = 3.0
        return logits


def test_map_of_a_hairpin_has_its_pairs_and_nothing_else():
    """A model that copies the paired base: the dependency is that of the odds before and after, by hand."""
    stem, loop = "GACTC", "AAAA"
    sequence = stem + loop + "GAGTC"
    pairs = [(i, len(sequence) - 1 - i) for i in range(len(stem))]
    predictor = BasePredictor(HairpinModel(pairs), TOKENIZER, strand="forward")
    (result,) = dependency_maps(predictor, [sequence_region(sequence)])
    expected = np.zeros((len(sequence), len(sequence)))
    high, low = np.exp(3) / (np.exp(3) + 3) + 1e-4, 1 / (np.exp(3) + 3) + 1e-4
    high, low = high / (1 + 4e-4), low / (1 + 4e-4)
    for i, j in pairs:
        expected[i, j] = expected[j, i] = np.log2(high / (1 - high)) - np.log2(low / (1 - low))
    np.testing.assert_allclose(result.dependencies, expected, atol=1e-4)


@pytest.fixture(scope="module")
def predictor(checkpoint):
    """A predictor of the forward strand."""
    return BasePredictor(DNAFMForMaskedLM.from_pretrained(checkpoint).eval(), TOKENIZER, strand="forward")


@pytest.fixture(scope="module")
def slow_map(checkpoint):
    """The map of a sequence from one pass of the plain model for each substitution, straight from the formula."""
    model = AutoModelForMaskedLM.from_pretrained(checkpoint).eval()

    def odds(sequence):
        with torch.no_grad():
            logits = model(TOKENIZER(sequence, return_tensors="pt")["input_ids"]).logits[0, 1:-1, IDS]
        p = logits.double().softmax(-1) + 1e-4
        p = p / p.sum(-1, keepdim=True)
        return p / (1 - p)

    def compute(sequence):
        reference = odds(sequence)
        dependencies = np.zeros((len(sequence), len(sequence)))
        for i in range(len(sequence)):
            mutated = [sequence[:i] + base + sequence[i + 1 :] for base in BASES if base != sequence[i]]
            changes = torch.stack([(odds(each) / reference).log2().abs() for each in mutated])
            dependencies[i] = changes.amax(dim=(0, 2))
            dependencies[i, i] = 0
        return dependencies

    return compute


def test_map_is_that_of_single_passes_of_the_plain_model(predictor, slow_map):
    """All entries, and the diagonal is 0."""
    sequence = "ACGTTGCATTACGGA"
    done = []
    (result,) = dependency_maps(predictor, [sequence_region(sequence)], on_progress=done.append)
    np.testing.assert_allclose(result.dependencies, slow_map(sequence), atol=1e-4)
    assert (np.diag(result.dependencies) == 0).all()
    assert sum(done) == len(sequence)


def test_region_is_seen_within_its_contig(predictor, slow_map):
    """The map of bases 4 to 10 of a contig that fits into the window is that part of the contig's map."""
    contig = "ACGTTGCATTACGGA"
    (result,) = dependency_maps(predictor, [Region("r", "contig", 4, 6, contig, 4)])
    np.testing.assert_allclose(result.dependencies, slow_map(contig)[4:10, 4:10], atol=1e-4)
    (alone,) = dependency_maps(predictor, [Region("r", "contig", 4, 6, contig, 4)], window_bp=6)
    np.testing.assert_allclose(alone.dependencies, slow_map(contig[4:10]), atol=1e-4)


def test_row_of_an_unknown_base_is_empty(predictor):
    """N has no substitutions, so nothing is said about what depends on it."""
    (result,) = dependency_maps(predictor, [sequence_region("ACNGT")])
    assert np.isnan(result.dependencies).sum(axis=1).tolist() == [0, 0, 5, 0, 0]


def test_odds_of_a_certain_base_are_finite():
    """1e-4 is added to all four: p = 1.0001 / 1.0004."""
    certain = np.array([[0.0, -np.inf, -np.inf, -np.inf]], dtype=np.float32)
    expected = [[np.log2(1.0001 / 3e-4), *[np.log2(1e-4 / 1.0003)] * 3]]
    np.testing.assert_allclose(log2_odds(certain), expected)


def test_region_longer_than_the_context_is_refused(predictor):
    """The message names it, its length and the model's."""
    with pytest.raises(ValueError, match="long has 63 bases; the model reads 62"):
        list(dependency_maps(predictor, [sequence_region("A" * 63, id="long")]))
