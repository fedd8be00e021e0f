"""`dnafm.generate` is the sampler in one call."""

import pytest

import dnafm
from dnafm import DNAFMForMaskedLM, DNAFMModel, DNAFMTokenizer
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.generation import generate
from dnafm.analysis.generation_sampling import Sampling
from dnafm.analysis.generation_templates import parse_template


@pytest.fixture
def model(tiny_model):
    return tiny_model(DNAFMForMaskedLM)


def test_designs_are_those_of_the_sampler(model):
    """With the same seed, for one template and for several, and under names of their own."""
    tokenizer = DNAFMTokenizer(model_max_length=64)
    found = dnafm.generate(model, ["AC????GT", "??[MASK]A"], tokenizer=tokenizer, n_samples=2, rounds=2, seed=3)
    templates = [parse_template("AC????GT", id="design1"), parse_template("??[MASK]A", id="design2")]
    predictor = BasePredictor(model, tokenizer, strand="forward")
    assert found == list(generate(predictor, templates, n_samples=2, sampling=Sampling(rounds=2, seed=3)))
    assert [each.id for each in found] == ["design1_1", "design1_2", "design2_1", "design2_2"]


def test_number_is_a_length(model):
    """All bases are filled."""
    (found,) = dnafm.generate(model, 9, tokenizer=DNAFMTokenizer(), rounds=3)
    assert len(found.sequence) == found.n_designed == 9


def test_model_by_name_is_loaded_with_its_head():
    """The bundled one; fixed bases stay."""
    (found,) = dnafm.generate("dnafm_tiny", "ACGT????ACGT", rounds=2, seed=1)
    assert (found.sequence[:4], found.sequence[8:], len(found.sequence)) == ("ACGT", "ACGT", 12)


def test_model_that_predicts_no_bases_is_refused(tiny_model, model):
    """And so is a condition of an unconditional one."""
    with pytest.raises(ValueError, match="The model is a DNAFMModel; bases are predicted by a DNAFMForMaskedLM"):
        dnafm.generate(tiny_model(DNAFMModel), 9, tokenizer=DNAFMTokenizer())
    with pytest.raises(ValueError, match="condition"):
        dnafm.generate(model, 9, tokenizer=DNAFMTokenizer(), condition="high")
