import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dnafm.data import open_genomes
from dnafm.tokenization_dnafm import VOCABULARY
from dnafm.training.masked_evaluation import (
    evaluation_windows,
    masked_base_metrics,
    prediction_sums,
    species_name,
)

BASE_IDS = [VOCABULARY.index(base) for base in "ACGT"]


@pytest.fixture
def predictions():
    """Logits and labels of three sequences of twelve tokens: about half of them masked, and none in the last row."""
    logits = torch.randn(3, 12, len(VOCABULARY)) * 3
    bases = torch.tensor(BASE_IDS)[torch.randint(4, (3, 12))]
    labels = bases.masked_fill(torch.rand(3, 12) < 0.5, -100)
    labels[2] = -100
    return logits, labels


@pytest.fixture
def genomes(tmp_path):
    """Factory of encoded genomes: folder and file name to the bases of its sequence x."""

    def build(files):
        for name, bases in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(f">x\n{bases}\n")
        return open_genomes([tmp_path / name for name in files], cache_dir=tmp_path / "cache")

    return build


def spelled(subset):
    return ["".join(VOCABULARY[i] for i in item["input_ids"][1:-1]) for item in subset]


def test_sums_equal_a_slow_loop(predictions):
    """Token by token, with torch's cross-entropy over the four logits of the bases."""
    logits, labels = predictions
    expected = torch.zeros(3, 3)
    for row, column in (labels >= 0).nonzero().tolist():
        of_bases = logits[row, column, BASE_IDS]
        target = BASE_IDS.index(int(labels[row, column]))
        expected[row, 0] += F.cross_entropy(of_bases, torch.tensor(target))
        expected[row, 1] += int(of_bases.argmax()) == target
        expected[row, 2] += 1
    sums = prediction_sums(logits, labels)
    torch.testing.assert_close(sums, expected)
    assert sums[2].tolist() == [0, 0, 0]
    assert 0 < sums[:, 1].sum() < sums[:, 2].sum()


def test_special_tokens_have_no_influence(predictions):
    """However likely a model finds them at a masked base, it is judged by its choice between bases."""
    logits, labels = predictions
    changed = logits.clone()
    changed[..., [i for i in range(len(VOCABULARY)) if i not in BASE_IDS]] = 50.0
    torch.testing.assert_close(prediction_sums(changed, labels), prediction_sums(logits, labels), rtol=0, atol=0)


def test_half_precision_logits_are_summed_in_float32(predictions):
    """The sums of bfloat16 logits are those of the same numbers in float32."""
    logits, labels = predictions
    sums = prediction_sums(logits.bfloat16(), labels)
    assert sums.dtype == torch.float32
    torch.testing.assert_close(sums, prediction_sums(logits.bfloat16().float(), labels), rtol=0, atol=0)


def test_guessing_costs_ln_four(predictions):
    """Equal logits: ln 4 nats a base, and A, the first of equals, is right where it is."""
    _, labels = predictions
    sums = prediction_sums(torch.zeros(3, 12, len(VOCABULARY)), labels)
    metrics = masked_base_metrics(SimpleNamespace(predictions=sums.numpy()))
    assert metrics["nats_per_base"] == pytest.approx(math.log(4))
    assert metrics["masked_bases"] == (labels >= 0).sum()
    assert metrics["accuracy"] == pytest.approx(float((labels == BASE_IDS[0]).sum() / (labels >= 0).sum()))


def test_metrics_weigh_bases_and_not_sequences():
    """By hand: 2 + 6 nats and 1 + 2 right of 4 + 4 and, in a long sequence, of 2 + 14."""
    evaluation = SimpleNamespace(predictions=np.array([[2, 1, 2], [6, 2, 14]], np.float32))
    assert masked_base_metrics(evaluation) == {"nats_per_base": 0.5, "accuracy": 3 / 16, "masked_bases": 16}


def test_windows_are_those_of_held_out_regions(genomes):
    """By hand: of the first genome bases 4 to 9, of the second nothing, of the third the whole sequence."""
    encoded = genomes({"a.fa": "AAACCCGGGTTT", "b.fa": "ACGTACGT", "c.fa": "CCCGG"})
    chosen = evaluation_windows(encoded, 5, held_out=["a.fa::x:4-9", "c.fa::"], n_windows=10)
    assert {species: spelled(subset) for species, subset in chosen.items()} == {
        "a": ["CCC", "GGG"],
        "c": ["CCC", "GG"],
    }


@pytest.mark.parametrize("n_windows", [1, 2, 3, 7, 16, 39, 40, 99])
def test_windows_are_evenly_spaced(genomes, n_windows):
    """Distances between chosen windows differ by one at most, and the first comes first in each species."""
    encoded = genomes({"a.fa": "ACGTA" * 24, "b.fa": "ACGTA" * 24})
    chosen = evaluation_windows(encoded, 5, held_out=["a.fa::", "b.fa::"], n_windows=n_windows)
    n = min(n_windows, 40)
    for first, subset in zip((0, 40), chosen.values(), strict=True):
        distances = np.diff([*subset.indices, first + 40])
        assert len(subset) == n
        assert subset.indices[0] == first
        assert set(distances.tolist()) <= {40 // n, -(-40 // n)}


def test_options_reach_the_windows(genomes):
    """Windows of too many unknown bases are not evaluated."""
    encoded = genomes({"a.fa": "NNNACGNNN"})
    assert spelled(evaluation_windows(encoded, 5, held_out=["x"], n_windows=9, max_unknown=0.5)["a"]) == ["ACG"]


def test_species_of_one_name_are_refused(genomes):
    """Their metrics could not be told apart; a namesake without held-out regions does not matter."""
    encoded = genomes({"one/yeast.fa": "ACGTACGT", "two/yeast.v2.fa": "ACGTACGT"})
    with pytest.raises(ValueError, match=r"Two files are named 'yeast', a species; the other one is .*yeast\.v2\.fa"):
        evaluation_windows(encoded, 5, held_out=["yeast.fa::", "yeast.v2.fa::"], n_windows=1)
    assert list(evaluation_windows(encoded, 5, held_out=["yeast.fa::"], n_windows=1)) == ["yeast"]


@pytest.mark.parametrize("path", ["yeast", "yeast.fa", "/data/v1.2/yeast.r64.fa.gz", r"C:\genomes\yeast.fa"])
def test_species_is_the_file_name_up_to_the_first_point(path):
    """Points in the names of folders do not count."""
    assert species_name(path) == "yeast"
