import gzip
import os
import subprocess
import sys
from collections import Counter
from importlib import resources

import pytest

from dnafm.data.splice_junctions import (
    LABEL_NAMES,
    LabelledSequences,
    load_splice_junctions,
    read_splice_junctions,
    stratified_split,
)

DONOR, ACCEPTOR, NEITHER = range(3)


@pytest.fixture(scope="module")
def table():
    return read_splice_junctions()


@pytest.fixture(scope="module")
def splits():
    return load_splice_junctions()


def test_table_has_the_published_counts(table):
    """3,186 rows of mlbench less 185 repeats; the sequence with two labels counts as an acceptor."""
    assert len(table) == len(set(table.sequences)) == len(set(table.ids)) == 3186 - 185
    assert Counter(table.labels) == {DONOR: 679, ACCEPTOR: 670, NEITHER: 1652}
    ambiguous = table.sequences.index("CTGAAATTTGTCCCATTCATATCTTGGCAGAGAAGCTCCATGAAGAAATTGACAGGGTGA")
    assert (table.ids[ambiguous], table.labels[ambiguous]) == ("mlbench_2675", ACCEPTOR)


def test_windows_are_sixty_plain_bases(table):
    """The tokenizer sees 60 known bases in every window."""
    assert {len(sequence) for sequence in table.sequences} == {60}
    assert set("".join(table.sequences)) == set("ACGT")


def test_labels_name_the_right_side_of_the_intron(table):
    """An intron starts with GT after the 30th base (donor) or ends with AG before the 31st (acceptor)."""
    donors = [sequence for sequence, label in zip(table.sequences, table.labels, strict=True) if label == DONOR]
    acceptors = [sequence for sequence, label in zip(table.sequences, table.labels, strict=True) if label == ACCEPTOR]
    assert sum(sequence[30:32] == "GT" for sequence in donors) > 0.98 * len(donors)
    assert sum(sequence[28:30] == "AG" for sequence in acceptors) > 0.98 * len(acceptors)


def test_gzip_header_holds_no_time_stamp():
    """Rebuilding the file changes nothing: bytes 4 to 8, the time, are zero and no file name follows."""
    data = (resources.files("dnafm") / "assets/splice_junctions/splice_junctions.tsv.gz").read_bytes()
    assert data[3] == 0
    assert data[4:8] == bytes(4)
    assert gzip.decompress(data).startswith(b"id\tsequence\tlabel\n")


def test_splits_cover_the_table_and_share_no_sequence(table, splits):
    """Every sequence is in exactly one split."""
    sequences = [sequence for _, split in splits.items() for sequence in split.sequences]
    assert Counter(sequences) == Counter(table.sequences)
    assert [len(split) for _, split in splits.items()] == [2161, 240, 600]


def test_every_split_has_the_same_share_of_each_class(splits):
    """By hand: 679, 670, 1,652 → 20 % = 136, 134, 330; 10 % of the remaining 543, 536, 1,322 = 54, 54, 132."""
    assert Counter(splits.test.labels) == {DONOR: 136, ACCEPTOR: 134, NEITHER: 330}
    assert Counter(splits.validation.labels) == {DONOR: 54, ACCEPTOR: 54, NEITHER: 132}


def test_split_depends_on_the_seed(splits):
    """The same seed gives the same split, another seed another one."""
    assert load_splice_junctions(42) == splits
    assert set(load_splice_junctions(43).test.ids) != set(splits.test.ids)


def test_split_does_not_depend_on_the_hash_seed_or_the_process(splits):
    """A process with another PYTHONHASHSEED holds out the same sequences."""
    code = "from dnafm.data import load_splice_junctions as f; print(*f().test.ids)"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert tuple(printed.split()) == splits.test.ids


def test_split_does_not_depend_on_the_order_of_the_rows(table):
    """Reversing the table holds out the same sequences."""
    _, held_out = stratified_split(table, 0.2, seed=1)
    _, held_out_of_reversed = stratified_split(table.take(range(len(table))[::-1]), 0.2, seed=1)
    assert set(held_out.ids) == set(held_out_of_reversed.ids)


@pytest.mark.parametrize(("fraction", "labels_held_out"), [(0.0, ()), (0.5, (0, 0, 1)), (1.0, (0, 0, 0, 0, 1, 1))])
def test_fraction_is_of_each_class(fraction, labels_held_out):
    """Of classes of four and two, half is two and one."""
    table = LabelledSequences(ids=tuple("abcdef"), sequences=tuple("ACGTNN"), labels=(0, 0, 0, 0, 1, 1))
    kept, held_out = stratified_split(table, fraction, seed=0)
    assert held_out.labels == labels_held_out
    assert sorted(kept.ids + held_out.ids) == list(table.ids)


def test_impossible_fraction_is_refused(table):
    """A percentage instead of a fraction is named in the error."""
    with pytest.raises(ValueError, match=r"20; it must lie in \[0, 1\]"):
        stratified_split(table, 20, seed=0)


def test_split_becomes_a_datasets_table(splits):
    """The documented way to `datasets` keeps the columns and their order."""
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict(splits.validation.to_dict())
    assert table.column_names == ["id", "sequence", "label"]
    assert table[3] == {
        "id": splits.validation.ids[3],
        "sequence": splits.validation.sequences[3],
        "label": splits.validation.labels[3],
    }
    assert splits.label_names == LABEL_NAMES
