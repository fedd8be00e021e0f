"""From probabilities to intervals: Viterbi's path, runs of a minimum length, and transitions counted in labels."""

from itertools import pairwise, product

import numpy as np
import pytest

pytest.importorskip("pyarrow")
from hypothesis import given, settings
from hypothesis import strategies as st

from dnafm.analysis.base_decoding import decode, path_intervals, viterbi, with_min_length
from dnafm.analysis.base_transitions import Transitions, read_transitions


def best_path(emissions, transitions, start):
    """Score all paths one by one."""

    def score(path):
        first = start[path[0]] + emissions[0, path[0]]
        steps = zip(path, path[1:], emissions[1:], strict=False)
        return first + sum(transitions[before, after] + row[after] for before, after, row in steps)

    return max(product(range(emissions.shape[1]), repeat=len(emissions)), key=score)


@given(st.integers(1, 7), st.integers(1, 3), st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_viterbi_finds_the_best_of_all_paths(n_steps, n_states, seed):
    """The path is that of enumeration, whatever the number of steps leaves over in the last block."""
    generator = np.random.default_rng(seed)
    emissions, transitions = generator.normal(size=(n_steps, n_states)), generator.normal(size=(n_states, n_states))
    start = generator.normal(size=n_states)
    assert tuple(viterbi(emissions, transitions, start)) == best_path(emissions, transitions, start)


def test_viterbi_of_a_long_path_is_that_of_one_step_after_the_other():
    """Blocks give the path of the textbook's loop over 5,000 steps."""
    generator = np.random.default_rng(0)
    emissions = generator.normal(size=(5003, 3))
    transitions = np.log([[0.98, 0.01, 0.01], [0.05, 0.9, 0.05], [0.2, 0.2, 0.6]])
    scores, pointers = emissions[0].copy(), []
    for row in emissions[1:]:
        ways = scores[:, None] + transitions
        pointers.append(ways.argmax(axis=0))
        scores = ways.max(axis=0) + row
    path = [int(scores.argmax())]
    for pointer in reversed(pointers):
        path.append(int(pointer[path[-1]]))
    assert viterbi(emissions, transitions, np.zeros(3)).tolist() == path[::-1]


def test_viterbi_of_no_step_is_empty():
    """A contig without bases has no path."""
    assert viterbi(np.zeros((0, 2)), np.zeros((2, 2)), np.zeros(2)).tolist() == []


def test_decoding_adds_the_logarithms_of_probabilities_and_transitions():
    """With transitions that carry no memory, p(class | window) x p(class) decides: 0.3 x 0.6 against 0.7 x 0.4."""
    counts = np.array([[36, 24], [24, 16]]) * 10_000
    probabilities = np.array([[0.3, 0.7], [0.45, 0.55], [0.35, 0.65]], np.float32)
    assert decode(probabilities, transitions=Transitions(("a", "b"), counts)).tolist() == [1, 0, 1]


def test_transitions_keep_a_path_from_leaving_for_one_base():
    """A base that is a little more probable elsewhere stays with its neighbours; without transitions it leaves."""
    probabilities = np.array([[0.9, 0.1]] * 5 + [[0.4, 0.6]] + [[0.9, 0.1]] * 5, np.float32)
    counts = np.array([[990, 10], [10, 990]])
    assert decode(probabilities).tolist() == [0] * 5 + [1] + [0] * 5
    assert decode(probabilities, transitions=Transitions(("a", "b"), counts)).tolist() == [0] * 11


def test_short_runs_go_to_the_more_probable_neighbour():
    """By hand: the run of class 1 is between 0 and 2, and 2 is more probable in it."""
    path = np.array([0, 0, 0, 1, 2, 2, 2])
    probabilities = np.full((7, 3), 0.1)
    probabilities[3] = (0.2, 0.5, 0.3)
    assert with_min_length(path, probabilities, 2).tolist() == [0, 0, 0, 2, 2, 2, 2]
    probabilities[3] = (0.3, 0.5, 0.2)
    assert with_min_length(path, probabilities, 2).tolist() == [0, 0, 0, 0, 2, 2, 2]
    assert with_min_length(path, probabilities, 1).tolist() == path.tolist()


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(1, 12), st.integers(0, 999))
@settings(deadline=None)
def test_no_run_is_shorter_than_asked_and_intervals_tile(path, min_bp, seed):
    """All runs have the length, or there is one alone; intervals follow each other from the first base to the last."""
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(3), len(path)).astype(np.float32)
    found = with_min_length(np.array(path), probabilities, min_bp)
    intervals = list(path_intervals("c", found, probabilities, names=("a", "b", "c")))
    assert len(intervals) == 1 or min(map(len, intervals)) >= min_bp
    assert [0, *(each.end_bp for each in intervals)] == [*(each.start_bp for each in intervals), len(path)]
    assert all(left.name != right.name for left, right in pairwise(intervals))
    for each in intervals:
        own = probabilities[each.start_bp : each.end_bp, "abc".index(each.name)]
        assert each.score == pytest.approx(own.mean(), abs=1e-6)


def test_min_bp_of_0_is_refused():
    """The message names value and rule."""
    with pytest.raises(ValueError, match=r"min_bp is 0; a run has at least 1 base\."):
        decode(np.ones((2, 1), np.float32), min_bp=0)


def test_transitions_are_counted_between_neighbouring_bases(tmp_path):
    """AAxxB BB with background between: pairs by hand, those of contigs apart; other names do not count."""
    (tmp_path / "labels.bed").write_text("c\t10\t12\tA\nc\t14\t17\tB\nc\t11\t15\tother\nd\t0\t1\tA\n")
    found = read_transitions(tmp_path / "labels.bed", ("x", "A", "B"), background="x")
    assert found.counts.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 2]]
    assert np.exp(found.log_probabilities)[0].tolist() == pytest.approx([0.4, 0.2, 0.4])
    assert np.exp(found.log_shares).tolist() == pytest.approx([3 / 9, 3 / 9, 3 / 9])
    assert found.reversed().counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


def test_without_a_background_class_gaps_count_for_nothing(tmp_path):
    """Only pairs in the two intervals are counted."""
    (tmp_path / "labels.gff3").write_text("c\t.\tA\t11\t12\t.\t+\t.\t.\nc\t.\tB\t15\t17\t.\t-\t.\t.\n")
    assert read_transitions(tmp_path / "labels.gff3", ("A", "B")).counts.tolist() == [[1, 0], [0, 2]]


def test_a_class_called_background_is_that_of_gaps(tmp_path):
    """By default, as it is when labels are trained on; another name must be a class."""
    (tmp_path / "labels.bed").write_text("c\t10\t12\tA\nc\t14\t15\tA\n")
    names = ("A", "background")
    assert read_transitions(tmp_path / "labels.bed", names).counts.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="background is 'gap'; the classes of the model are A, background"):
        read_transitions(tmp_path / "labels.bed", names, background="gap")


def test_saved_counts_are_read_in_the_order_of_the_model(tmp_path):
    """The counts belong to names, not to places."""
    Transitions(("a", "b"), np.array([[1, 2], [3, 4]])).save(tmp_path / "counts.json")
    assert read_transitions(tmp_path / "counts.json", ("b", "a")).counts.tolist() == [[4, 3], [2, 1]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.bed", "c\t0\t5\tA\nc\t4\t9\tB\n", r"l\.bed:2: c:5-9 overlaps an interval of another class"),
        ("l.bed", "c\t0\t5\tC\n", r"l\.bed has no interval of the model's classes A, B"),
        (
            "l.json",
            '{"classes": ["A", "C"], "counts": [[1, 1], [1, 1]]}',
            r"the classes A, C; those of the model are A, B",
        ),
        ("l.json", '{"classes": ["A", "B"], "counts": [[1, 1]]}', r"have the shape \(1, 2\); 2 classes have a square"),
        ("l.json", "[]", r"no counts of transitions"),
        ("l.txt", "c\t0\t5\tA\n", r"the extension of an annotation must be \.bed"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, name, text, message):
    """The message names the file, and the line where there is one."""
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_transitions(tmp_path / name, ("A", "B"))
