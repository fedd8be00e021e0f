import sys

import pytest

from dnafm.data import LabelledSequences, load_splice_junctions
from dnafm.training.baselines import fit_logistic_regression, kmer_features, one_hot_features


def test_one_hot_has_four_columns_per_base():
    """A, C, G, T in this order; N is four zeros."""
    features = one_hot_features(["AN", "TC"])
    assert features.tolist() == [[1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 1, 0, 0]]


def test_one_hot_refuses_sequences_of_different_lengths():
    """The error lists the lengths."""
    with pytest.raises(ValueError, match=r"\[1, 2\] nt"):
        one_hot_features(["A", "AC"])


def test_kmers_are_counted_in_alphabetical_order():
    """AACA has AA, AC, CA; of the pairs with N none counts, and a sequence shorter than k has none."""
    counts = kmer_features(["AACA", "ANTT", "A"], k=2)
    columns = [first + second for first in "ACGT" for second in "ACGT"]
    found = [{name: int(n) for name, n in zip(columns, row, strict=True) if n} for row in counts]
    assert found == [{"AA": 1, "AC": 1, "CA": 1}, {"TT": 1}, {}]


def test_kmers_need_a_positive_length():
    """With k = 0 each position would count as one empty k-mer."""
    with pytest.raises(ValueError, match="k is 0"):
        kmer_features(["ACGT"], k=0)


def test_one_hot_regression_finds_the_junctions():
    """About 96 % on the test split, as published for one-hot features; k-mer counts forget where a motif is."""
    pytest.importorskip("sklearn")
    splits = load_splice_junctions()
    score = {}
    for featurize in (one_hot_features, kmer_features):
        baseline = fit_logistic_regression(splits.train, splits.validation, featurize=featurize)
        score[featurize] = baseline.evaluate(splits.test, label_names=splits.label_names)["accuracy"]
    assert 0.95 < score[one_hot_features] < 0.97
    assert 0.6 < score[kmer_features] < 0.75


def test_validation_split_chooses_the_penalty():
    """The strongest penalty calls everything by the common class; a validation split of the rare one asks for less."""
    pytest.importorskip("sklearn")
    train = LabelledSequences(tuple("abcdefghij"), tuple("AAAAAACCCC"), (0, 0, 0, 0, 0, 0, 1, 1, 1, 1))
    common, rare = LabelledSequences(("k",), ("A",), (0,)), LabelledSequences(("k",), ("C",), (1,))
    strong, weak = fit_logistic_regression(train, common), fit_logistic_regression(train, rare)
    assert strong.inverse_penalty < weak.inverse_penalty
    assert strong.predict(["A", "C"]).tolist() == [0, 0]
    assert weak.predict(["A", "C"]).tolist() == [0, 1]


def test_missing_scikit_learn_names_the_extra(monkeypatch):
    """The error is the command that helps."""
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    table = LabelledSequences(("a", "b"), ("A", "C"), (0, 1))
    with pytest.raises(ImportError, match=r"pip install 'dnafm\[train\]'"):
        fit_logistic_regression(table, table)
