import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from dnafm.data import GenomeWindows, WindowLocation, open_genomes
from dnafm.tokenization_dnafm import VOCABULARY, DNAFMTokenizer

TEN = "ACGTACGTAA"
TWENTY = "CCCCCGGGGGTTTTTAAAAA"


@pytest.fixture
def genomes(tmp_path):
    """Factory of encoded genomes: one file of named sequences per keyword argument."""

    def build(**files):
        for name, sequences in files.items():
            text = "".join(f">{key}\n{sequence}\n" for key, sequence in sequences.items())
            (tmp_path / f"{name}.fa").write_text(text)
        return open_genomes([tmp_path / f"{name}.fa" for name in files], cache_dir=tmp_path / "cache")

    return build


def spelled(windows):
    """Return the bases of each window, without special tokens."""
    return ["".join(VOCABULARY[i] for i in item["input_ids"] if len(VOCABULARY[i]) == 1) for item in windows]


def places(windows):
    locations = [windows.location(i) for i in range(len(windows))]
    return [(location.sequence, location.start_bp, location.end_bp) for location in locations]


def covered(windows):
    """Return {(sequence, position): how many windows cover it}."""
    counts = {}
    for sequence, start, end in places(windows):
        for position in range(start, end):
            counts[sequence, position] = counts.get((sequence, position), 0) + 1
    return counts


def test_windows_are_consecutive_and_the_last_is_shorter(genomes):
    """By hand: ten bases in windows of four are four, four and two, and sequences are not joined."""
    windows = GenomeWindows(genomes(a={"one": TEN, "two": "GG"}, b={"three": "TTTTT"}), 6)
    assert spelled(windows) == ["ACGT", "ACGT", "AA", "GG", "TTTT", "T"]
    assert places(windows)[1:4] == [("one", 4, 8), ("one", 8, 10), ("two", 0, 2)]
    assert isinstance(windows.location(-1), WindowLocation)
    assert windows.location(-1).fasta_path.endswith("b.fa")
    with pytest.raises(IndexError, match="Window 6 of 6"):
        windows[6]


@pytest.mark.parametrize("suffix", ["[EOS]", "[SEP]", None])
def test_item_is_what_the_tokenizer_gives(genomes, suffix):
    """Same ids as the tokenizer with that suffix, and no longer than the context."""
    windows = GenomeWindows(genomes(a={"one": "acgtnACGTN"}), 12, suffix=suffix)
    item = windows[0]
    assert item["input_ids"].tolist() == DNAFMTokenizer(suffix_token=suffix)("ACGTNACGTN")["input_ids"]
    assert item["input_ids"].dtype == np.int64
    assert (item["sample_index"], item["epoch"]) == (0, 0)


@pytest.mark.parametrize(
    "region", ["one:3-6", ("one", 2, 6), "a.fa::one:3-6", ("a.fa::one", 2, 6)], ids=["text", "bed", "file", "file-bed"]
)
def test_held_out_region_is_what_evaluation_covers(genomes, region):
    """By hand: bases 3 to 6 of ACGTACGTAA are GTAC; training has AC and GTAA, cut at the hole."""
    encoded = genomes(a={"one": TEN})
    assert spelled(GenomeWindows(encoded, 6, held_out=[region])) == ["AC", "GTAA"]
    assert spelled(GenomeWindows(encoded, 6, held_out=[region], part="evaluation")) == ["GTAC"]


def test_held_out_names_and_files_are_whole(genomes):
    """A name is the whole sequence, `file::` the whole file, and an open end reaches to the last base."""
    encoded = genomes(a={"one": TEN, "two": "GG"}, b={"one": "TTT", "x": "CCC"})
    windows = GenomeWindows(encoded, 6, held_out=["two", "b.fa::", "a.fa::one:9-"], part="evaluation")
    assert spelled(windows) == ["AA", "GG", "TTT", "CCC"]


def test_name_that_looks_like_coordinates_is_a_name(genomes):
    """A sequence named x:1-2 is held out whole, and parts of it can be."""
    encoded = genomes(a={"x:1-2": "ACGT", "x": "GGGG"})
    assert spelled(GenomeWindows(encoded, 6, held_out=["x:1-2"], part="evaluation")) == ["ACGT"]
    assert spelled(GenomeWindows(encoded, 6, held_out=["x:1-2:2-3"], part="evaluation")) == ["CG"]


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("three", "matches no sequence: none is named 'three'"),
        ("two:1-3", "is no part of its sequence, which has 2 bases"),
        ("two:0-1", "is no part of its sequence"),
        ("two:1-0", "is no part of its sequence"),
        (("two", 2, 2), "is no part of its sequence"),
        (("two", -1, 2), "is no part of its sequence"),
        ("one", "is ambiguous: 'one' is in"),
        ("c.fa::", "must match one file, and matches 0"),
    ],
)
def test_held_out_region_that_matches_nothing_is_refused(genomes, region, message):
    """A typing error must not let evaluation data into training."""
    encoded = genomes(a={"one": TEN, "two": "GG"}, b={"one": "TTT"})
    with pytest.raises(ValueError, match=message):
        GenomeWindows(encoded, 6, held_out=[region])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context_length": 4}, "Windows of 2 bases: they must have 3 to 2"),
        ({"context_length": 10, "window_bp": 2}, "Windows of 2 bases: they must have 3 to 8"),
        ({"context_length": 10, "window_bp": 9}, "Windows of 9 bases"),
        ({"context_length": 10, "suffix": "[PAD]"}, r"The suffix is '\[PAD\]'"),
        ({"context_length": 10, "max_unknown": 10}, "max_unknown is 10"),
        ({"context_length": 10, "soft_mask_weight": -1}, "soft_mask_weight is -1"),
        ({"context_length": 10, "seed": -1}, "The seed is -1"),
        ({"context_length": 10, "part": "test"}, "The part is 'test'"),
        ({"context_length": 10, "part": "evaluation"}, "No evaluation window is left"),
        ({"context_length": 10, "held_out": ["one"]}, "No training window is left"),
    ],
)
def test_impossible_settings_are_refused(genomes, options, message):
    """The error names the value and the rule."""
    with pytest.raises(ValueError, match=message):
        GenomeWindows(genomes(a={"one": TEN}), **options)


def test_windows_of_unknown_bases_are_dropped(genomes):
    """By hand, half of N allowed: NNAA stays, NNNA, NNNN and the last N go."""
    encoded = genomes(a={"one": "NNAA" + "NNNA" + "NNNN" + "ACGT" + "N"})
    assert len(GenomeWindows(encoded, 6)) == 5
    windows = GenomeWindows(encoded, 6, max_unknown=0.5)
    assert spelled(windows) == ["NNAA", "ACGT"]
    assert places(windows) == [("one", 0, 4), ("one", 12, 16)]


def test_unknown_bases_are_counted_across_blocks_of_the_scan(genomes, monkeypatch):
    """Scanning one window at a time drops the same."""
    encoded = genomes(a={"one": "ACGT" + "NNNN" + "ACGT" * 3 + "NNN"})
    expected = places(GenomeWindows(encoded, 6, max_unknown=0.2))
    monkeypatch.setattr("dnafm.data.windows._SCAN_BP", 1)
    assert places(GenomeWindows(encoded, 6, max_unknown=0.2)) == expected
    assert len(expected) == 4


def test_soft_masked_bases_get_their_weight(genomes):
    """By hand: lower case 0.1, upper case 1, special tokens 0; the ids do not differ."""
    item = GenomeWindows(genomes(a={"one": "acGT"}), 6, soft_mask_weight=0.1)[0]
    assert item["token_weight"].tolist() == pytest.approx([0, 0.1, 0.1, 1, 1, 0])
    assert item["token_weight"].dtype == np.float32
    assert item["input_ids"].tolist() == DNAFMTokenizer()("ACGT")["input_ids"]


def test_offset_moves_with_the_epoch_and_nothing_is_read_twice(genomes):
    """Twenty bases in windows of eight: three in every epoch, cut elsewhere, at most half a window left out."""
    encoded = genomes(a={"one": TWENTY, "short": "ACGTAC"})
    windows = GenomeWindows(encoded, 10, random_offset=True, seed=1)
    second_starts = set()
    for epoch in range(60):
        windows.set_epoch(epoch)
        counts = covered(windows)
        assert len(windows) == len(list(windows)) == 4
        assert set(counts.values()) == {1}
        assert len(counts) >= len(TWENTY) - 4 + 6
        assert places(windows)[-1] == ("short", 0, 6)
        assert windows[0]["epoch"] == epoch
        second_starts.add(places(windows)[1][1])
    # 8 to 2 while the first window is kept; at 1 | 8 | 8 | 3 it is the one too many.
    assert second_starts == set(range(2, 10))


def test_offset_depends_on_seed_and_epoch_only(genomes):
    """The same seed and epoch cut in the same places, in a data set that starts there too."""
    encoded = genomes(a={"one": TWENTY * 9})

    def cut(seed, epoch):
        windows = GenomeWindows(encoded, 102, random_offset=True, seed=seed)
        windows.set_epoch(epoch)
        return places(windows)

    assert cut(0, 3) == cut(0, 3)
    assert len({str(cut(seed, epoch)) for seed in range(3) for epoch in range(3)}) > 6
    with pytest.raises(ValueError, match="The epoch is -1"):
        GenomeWindows(encoded, 102).set_epoch(-1)


def test_key_of_epoch_and_index_is_that_epochs_item(genomes):
    """Whatever the data set's own epoch is, and without moving it; a number alone is of that one."""
    encoded = genomes(a={"one": TWENTY}, b={"two": TWENTY[::-1]})
    windows = GenomeWindows(encoded, 10, random_offset=True, soft_mask_weight=0.5, seed=1)
    moved = GenomeWindows(encoded, 10, random_offset=True, soft_mask_weight=0.5, seed=1)
    windows.set_epoch(5)
    for epoch in (0, 1, 5):
        moved.set_epoch(epoch)
        for i in range(-len(moved), len(moved)):
            for key in ((epoch, i), (np.int64(epoch), np.int64(i))):
                item, expected = windows[key], moved[i]
                assert item.keys() == expected.keys()
                assert all(np.array_equal(item[name], expected[name]) for name in item)
                assert {type(item[name]) for name in ("sample_index", "epoch")} == {int}
    assert windows[0]["epoch"] == windows[np.int64(0)]["epoch"] == windows.epoch == 5
    assert len({str(windows[epoch, 1]["input_ids"]) for epoch in range(20)}) > 2
    with pytest.raises(IndexError, match="Window 6 of 6"):
        windows[0, 6]


def test_keys_may_come_from_a_sampler(genomes):
    """Batches in workers are of the epochs that the keys say."""
    windows = GenomeWindows(genomes(a={"one": TEN}), 6)
    keys = [(3, 0), (0, 2), (1, 1), (7, 0)]
    loader = DataLoader(windows, batch_size=2, sampler=keys, num_workers=1, collate_fn=list)
    assert [[(item["epoch"], item["sample_index"]) for item in batch] for batch in loader] == [keys[:2], keys[2:]]


def test_location_is_of_the_epoch_that_was_set(genomes):
    """The bases at the place it names are those of the item."""
    windows = GenomeWindows(genomes(a={"gap": "GG", "one": TWENTY}), 10, random_offset=True, seed=1)
    for epoch in range(4):
        windows.set_epoch(epoch)
        bases = {"gap": "GG", "one": TWENTY}
        assert [bases[name][start:end] for name, start, end in places(windows)] == spelled(windows)
        assert spelled([windows[epoch, i] for i in range(len(windows))]) == spelled(windows)


def test_windows_of_genomes_are_counted_in_order(genomes):
    """By hand, windows of four: 3 + 1 of the first file, none of the held-out second, 1 of the third without its N."""
    encoded = genomes(a={"one": TEN, "two": "GG"}, b={"three": TEN}, c={"four": "ACGTNNNN"})
    windows = GenomeWindows(encoded, 6, held_out=["three"], max_unknown=0.5)
    assert windows.n_windows_of_genomes.tolist() == [4, 0, 1]
    assert windows.n_windows_of_genomes.dtype == np.int64
    files = [Path(windows.location(i).fasta_path).name for i in range(len(windows))]
    assert files == ["a.fa"] * 4 + ["c.fa"]
    evaluation = GenomeWindows(encoded, 6, held_out=["three"], part="evaluation")
    assert evaluation.n_windows_of_genomes.tolist() == [0, 3, 0]


@st.composite
def held_out_cases(draw):
    """Sequence lengths, window length and held-out intervals, which may overlap."""
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    intervals = []
    for _ in range(draw(st.integers(0, 4))):
        sequence = draw(st.integers(0, len(lengths) - 1))
        start = draw(st.integers(0, lengths[sequence] - 1))
        intervals.append((f"s{sequence}", start, draw(st.integers(start + 1, lengths[sequence]))))
    return lengths, draw(st.integers(3, 12)), intervals


@given(held_out_cases())
def test_windows_tile_every_sequence(case):
    """Each base is in exactly one window, of evaluation if held out and of training if not."""
    lengths, window_bp, intervals = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genome.fa"
        path.write_text("".join(f">s{i}\n{'A' * length}\n" for i, length in enumerate(lengths)))
        encoded = open_genomes([path], cache_dir=folder)
    held_out = {(name, position) for name, start, end in intervals for position in range(start, end)}
    bases = {(f"s{i}", position) for i, length in enumerate(lengths) for position in range(length)}
    for part, expected in (("training", bases - held_out), ("evaluation", held_out)):
        if expected:
            windows = GenomeWindows(encoded, window_bp + 2, held_out=intervals, part=part)
            assert covered(windows) == dict.fromkeys(expected, 1)
            assert max(end - start for _, start, end in places(windows)) <= window_bp
            moving = GenomeWindows(encoded, window_bp + 2, held_out=intervals, part=part, random_offset=True)
            moving.set_epoch(window_bp)
            assert set(covered(moving).values()) == {1}
            assert set(covered(moving)) <= expected
            assert len(moving) == len(windows)


def test_windows_can_be_pickled(genomes):
    """A copy gives the same items in the same order."""
    windows = GenomeWindows(genomes(a={"one": TEN}), 6)
    assert spelled(pickle.loads(pickle.dumps(windows))) == spelled(windows)


def test_persistent_workers_follow_the_epoch(genomes):
    """Workers that live through epochs read the items of the epoch that was set in the parent."""
    windows = GenomeWindows(genomes(a={"one": TEN}), 6)
    loader = DataLoader(windows, batch_size=None, num_workers=1, persistent_workers=True)
    for epoch in (0, 5):
        windows.set_epoch(epoch)
        assert [item["epoch"] for item in loader] == [epoch] * 3
