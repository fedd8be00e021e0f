from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnafm.data import GenomeWindows, open_genomes
from dnafm.training import genome_sampling
from dnafm.training.genome_sampling import GenomeSampler


class Windows:
    """As many windows of each genome as one says."""

    def __init__(self, *sizes):
        self.n_windows_of_genomes = np.array(sizes, np.int64)

    def __len__(self):
        return int(self.n_windows_of_genomes.sum())


def order(sizes, n_samples, **options):
    return list(GenomeSampler(Windows(*sizes), n_samples, **options))


def genome_of(sizes, window):
    return int(np.searchsorted(np.cumsum(sizes), window, side="right"))


@given(
    st.lists(st.integers(0, 7), min_size=1, max_size=4).filter(any),
    st.integers(0, 60),
    st.floats(0, 1),
    st.integers(0, 2**40),
)
def test_each_window_of_a_genome_comes_once_before_any_comes_twice(sizes, n_samples, size_power, seed):
    """In every genome the keys of pass p are all its windows, before the first key of pass p + 1."""
    keys = order(sizes, n_samples, size_power=size_power, seed=seed)
    assert len(keys) == n_samples
    for genome, size in enumerate(sizes):
        own = [key for key in keys if genome_of(sizes, key[1]) == genome]
        assert [number for number, _ in own] == [i // size for i in range(len(own))]
        first = sum(sizes[:genome])
        for start in range(0, len(own) - size + 1, size) if size else ():
            assert sorted(window for _, window in own[start : start + size]) == list(range(first, first + size))


@pytest.mark.parametrize("size_power", [0.0, 0.5, 0.9])
def test_shares_follow_the_power_of_the_sizes(size_power):
    """Of 20,000 draws each genome has its share, within four standard deviations of the binomial distribution."""
    sizes, n = [16, 0, 100, 900], 20_000
    weights = np.array([16.0**size_power, 0, 100.0**size_power, 900.0**size_power])
    shares = weights / weights.sum()
    genomes = [genome_of(sizes, window) for _, window in order(sizes, n, size_power=size_power)]
    tolerance = 4 * np.sqrt(n * shares * (1 - shares))
    assert (np.abs(np.bincount(genomes, minlength=4) - n * shares) <= tolerance).all()


def test_power_one_shuffles_all_windows_together():
    """A pass is a permutation of the windows of all genomes, in which they are mixed, and the next one is another."""
    sizes = [30, 20, 50]
    keys = order(sizes, 200)
    first, second = ([window for _, window in keys[start : start + 100]] for start in (0, 100))
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    assert [number for number, _ in keys] == [0] * 100 + [1] * 100
    assert {genome_of(sizes, window) for window in first[:50]} == {0, 1, 2}


@pytest.mark.parametrize("size_power", [0.3, 1.0])
def test_order_is_a_prefix_of_a_longer_one(monkeypatch, size_power):
    """Also where it ends within a block: a run that is made longer goes on as it would have."""
    monkeypatch.setattr(genome_sampling, "_BLOCK", 16)
    long = order([5, 11], 70, size_power=size_power)
    for n in (0, 1, 15, 16, 17, 48, 69):
        assert order([5, 11], n, size_power=size_power) == long[:n]


def test_order_depends_on_the_arguments_alone():
    """A second iteration, another sampler and other global random states give the same; another seed does not."""
    sampler = GenomeSampler(Windows(20, 30), 50, size_power=0.5, seed=3)
    first = list(islice(sampler, 50))
    np.random.seed(1)
    assert list(sampler) == first == order([20, 30], 50, size_power=0.5, seed=3)
    assert order([20, 30], 50, size_power=0.5, seed=4) != first
    assert len(sampler) == 50


def test_keys_are_those_of_genome_windows(tmp_path):
    """Items say which pass and window they are of, as plain numbers that a worker can be sent."""
    for name, bases in (("a", "ACGTACG"), ("b", "CCCCCCCCCCCC")):
        (tmp_path / f"{name}.fa").write_text(f">x\n{bases}\n")
    windows = GenomeWindows(open_genomes(sorted(tmp_path.glob("*.fa")), cache_dir=tmp_path / "cache"), 5)
    keys = list(GenomeSampler(windows, 30, size_power=0.5))
    assert {type(number) for key in keys for number in key} == {int}
    assert [(windows[key]["epoch"], windows[key]["sample_index"]) for key in keys] == keys
    assert {window for _, window in keys} == set(range(len(windows)))


@pytest.mark.parametrize("size_power", [-0.1, 1.5, float("nan")])
def test_power_out_of_range_is_refused(size_power):
    """The error names value and range."""
    with pytest.raises(ValueError, match=rf"size_power is {size_power}; it must lie in \[0, 1\]"):
        GenomeSampler(Windows(3), 1, size_power=size_power)
