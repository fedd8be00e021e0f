import math
from pathlib import Path

import numpy as np
import pytest

from dnafm.data import GenomeWindows, open_genomes
from dnafm.tokenization_dnafm import VOCABULARY
from dnafm.training import context_table
from dnafm.training.context_table import ContextTable, window_sequences

FIXTURES = Path(__file__).parents[1] / "fixtures" / "genomes"


def encoded(text):
    return np.array([VOCABULARY.index(base) for base in text], np.int64)


def random_texts(seed, n=6, longest=80):
    """Sequences of A, C, G, T and N that follow each other unevenly, so that a context says something."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest, n)
    steps = [generator.choice(5, length, p=[0.5, 0.2, 0.2, 0.06, 0.04]).cumsum() % 5 for length in lengths]
    return ["".join("ACGTN"[i] for i in row) for row in steps]


def contexts_of(text, flank):
    """Return (neighbours, base) of each base that has known neighbours, letter by letter."""
    found = []
    for i in range(flank, len(text) - flank):
        around = text[i - flank : i + flank + 1]
        if "N" not in around:
            found.append((around[:flank] + around[flank + 1 :], text[i]))
    return found


class SlowTable:
    """The formula of the module with dictionaries of strings."""

    def __init__(self, texts, weight):
        self.weight, self.counts = weight, {}
        for text in texts:
            for flank in range(4):
                for context, base in contexts_of(text, flank):
                    self.counts.setdefault(context, dict.fromkeys("ACGT", 0))[base] += 1

    def chance(self, context, base):
        shorter = self.chance(context[1:-1], base) if context else 1 / 4
        counts = self.counts.get(context, dict.fromkeys("ACGT", 0))
        return (counts[base] + self.weight * shorter) / (sum(counts.values()) + self.weight)


@pytest.mark.parametrize("flank", [0, 1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_table_equals_a_slow_one(flank, seed):
    """Nats and accuracy of other sequences than those it was fitted on, some shorter than a context."""
    training, test = random_texts(seed), random_texts(seed + 100)
    slow = SlowTable(training, weight=2.5)
    places = [place for text in test for place in contexts_of(text, flank)]
    nats = -sum(math.log(slow.chance(*place)) for place in places) / len(places)
    n_right = sum(base == max("ACGT", key=lambda b, c=context: slow.chance(c, b)) for context, base in places)

    table = ContextTable(flank, weight=2.5).fit(map(encoded, training))
    metrics = table.evaluate(map(encoded, test))
    assert metrics == pytest.approx({"nats_per_base": nats, "accuracy": n_right / len(places)})


def test_rows_are_numbered_by_the_neighbours_and_sum_to_one():
    """Row 4 x first + second holds the chances between these two bases, and an empty table says 1/4."""
    texts = random_texts(0)
    slow = SlowTable(texts, weight=8)
    chances = ContextTable(1).fit(map(encoded, texts)).probabilities()
    expected = [[slow.chance(first + second, base) for base in "ACGT"] for first in "ACGT" for second in "ACGT"]
    assert chances == pytest.approx(np.array(expected))
    assert ContextTable(3).fit(map(encoded, texts)).probabilities().sum(axis=1) == pytest.approx(np.ones(4**6))
    assert ContextTable(2).probabilities() == pytest.approx(np.full((4**4, 4), 1 / 4))


def test_periodic_sequence_is_predicted_perfectly():
    """With period seven, three bases on each side leave one choice; the composition alone leaves a doubt."""
    sequence = encoded("AACGATT" * 500)
    certain = ContextTable(3, weight=0.01).fit([sequence]).evaluate([sequence])
    assert certain["accuracy"] == 1
    assert certain["nats_per_base"] < 1e-4
    assert ContextTable(0).fit([sequence]).evaluate([sequence])["accuracy"] == pytest.approx(3 / 7)


@pytest.mark.parametrize("chunk_bp", [1, 2, 7, 64])
def test_borders_of_chunks_change_nothing(monkeypatch, chunk_bp):
    """No base is counted twice or left out beside a border, in whatever length of context."""
    sequences = [encoded(text) for text in random_texts(1)]
    whole = ContextTable(3).fit(sequences)
    expected = whole.evaluate(sequences)
    monkeypatch.setattr(context_table, "_CHUNK_BP", chunk_bp)
    assert (ContextTable(3).fit(sequences).probabilities() == whole.probabilities()).all()
    assert whole.evaluate(sequences) == pytest.approx(expected)


def test_fitting_in_parts_is_fitting_at_once():
    """Counts add up over calls."""
    sequences = [encoded(text) for text in random_texts(2)]
    parts = ContextTable(2).fit(sequences[:3]).fit(sequences[3:])
    assert (parts.probabilities() == ContextTable(2).fit(sequences).probabilities()).all()


@pytest.mark.parametrize("suffix", ["[EOS]", None])
def test_window_sequences_are_the_bases_of_windows(tmp_path, suffix):
    """Without special tokens, whether or not there is one at the end."""
    (tmp_path / "a.fa").write_text(">x\nACGTNAC\n")
    windows = GenomeWindows(open_genomes([tmp_path / "a.fa"], cache_dir=tmp_path), 6, suffix=suffix)
    assert [row.tolist() for row in window_sequences(windows)] == [encoded("ACGT").tolist(), encoded("NAC").tolist()]


@pytest.mark.parametrize("species", ["ustilago_maydis", "drosophila_melanogaster"])
def test_neighbours_help_on_real_genomes(tmp_path, species):
    """On the last 100 kb, fitted on the others: two on each side beat the composition, and that beats guessing."""
    genomes = open_genomes([FIXTURES / f"{species}.fa.gz"], cache_dir=tmp_path)
    name = genomes[0].sequences[0].name
    nats = {}
    for flank in (0, 2):
        parts = {
            part: window_sequences(GenomeWindows(genomes, 5002, held_out=[(name, 200_000, 300_000)], part=part))
            for part in ("training", "evaluation")
        }
        nats[flank] = ContextTable(flank).fit(parts["training"]).evaluate(parts["evaluation"])["nats_per_base"]
    assert nats[2] < nats[0] - 0.03
    assert nats[0] < math.log(4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flank": -1}, "flank is -1; it must lie in 0 to 6"),
        ({"flank": 7}, "flank is 7; it must lie in 0 to 6"),
        ({"weight": 0}, "weight is 0; it must be greater than 0"),
        ({"weight": float("nan")}, "weight is nan; it must be greater than 0"),
    ],
)
def test_impossible_tables_are_refused(options, message):
    """The error names the value and the rule."""
    with pytest.raises(ValueError, match=message):
        ContextTable(**options)


@pytest.mark.parametrize("texts", [[], ["ACGT"], ["ACNAC"]])
def test_evaluating_without_a_known_context_is_refused(texts):
    """Nothing, too short, and unknown in the middle: there is no number to return."""
    with pytest.raises(ValueError, match="No base has 2 known ones on each side"):
        ContextTable(2).evaluate(map(encoded, texts))
