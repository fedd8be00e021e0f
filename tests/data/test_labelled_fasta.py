"""FASTA files with labels beside them: tables joined by id, and intervals."""

import math

import numpy as np
import pytest

from dnafm.data.intervals import Interval, read_intervals
from dnafm.data.table_options import (
    SequenceClassificationTable,
    SequenceRegressionTable,
    TokenClassificationTable,
    TokenRegressionTable,
)
from dnafm.data.task_data import iterate_rows, load_task_data

WHOLE = {"test_fraction": 0, "validation_fraction": 0}
FASTA = ">a first\nACGTAC\n>b\nACG\n"
GFF = "##gff-version 3\na\t.\tCDS\t2\t4\t7\t-\t0\tID=1\n\n##FASTA\n>a\nACGTAC\n"


@pytest.fixture
def load(write_table):
    """Factory of data of the FASTA file with labels of this name and text."""

    def build(table, name, text, **options):
        paths = {"path": write_table("reads.fa", FASTA), "labels": write_table(name, text)}
        return load_task_data(table(**paths, **WHOLE, **options), max_bases=10)

    return build


def test_table_is_joined_by_id(load):
    """Rows of the table come in the order of the records, with its other columns; one too many is noted."""
    data = load(SequenceClassificationTable, "labels.tsv", "id\tlabel\tnote\nc\tx\t3\nb\ty\t2\na\tx\t1\n")
    assert data.splits["train"].to_list() == [
        {"id": "a", "sequence": "ACGTAC", "labels": 0, "note": "1"},
        {"id": "b", "sequence": "ACG", "labels": 1, "note": "2"},
    ]
    assert len(data.notes) == 1
    assert "1 rows whose id" in data.notes[0]


def test_column_of_ids_can_be_named(load):
    """The option is that of the table; the FASTA file has its own."""
    data = load(SequenceRegressionTable, "labels.csv", "read,label\nb,2\na,1\n", id_column="read")
    assert data.splits["train"]["labels"][:] == [[1.0], [2.0]]


def test_prediction_takes_the_fasta_file_alone(write_table):
    """The same options stream the records, whose labels need not be there."""
    options = SequenceClassificationTable(
        path=write_table("reads.fa", FASTA), labels="none.csv", id_column="read", rename_columns={"x": "label"}
    )
    assert [row["id"] for row in iterate_rows(options)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("x.bed", "track name=x\n# comment\na\t1\t4\tCDS\t7\t-\n", 7),
        ("x.bed.gz", "a\t1\t4\tCDS\t7\n", 7),
        ("x.gff3", GFF, 7),
        ("x.gff", GFF.replace("\n", "\r\n"), 7),
        ("x.bedgraph", "a 1 4 7\n", 7),
    ],
)
def test_intervals_of_all_formats_are_the_same(write_table, name, text, value):
    """BED counts from 0 and GFF from 1, its end included; both count along the + strand."""
    (interval,) = read_intervals(write_table(name, text))
    assert (interval.sequence, interval.start_bp, interval.end_bp, interval.value) == ("a", 1, 4, value)
    assert isinstance(interval, Interval)
    assert interval.name == ("7" if "graph" in name else "CDS")


def test_intervals_become_classes_of_bases(load):
    """By hand: bases 1 to 3 of a are CDS, the rest is the background, or is not counted without one."""
    data = load(TokenClassificationTable, "x.gff3", GFF)
    assert data.label_names == ("CDS", "background")
    assert data.splits["train"]["labels"][:] == [[1, 0, 0, 0, 1, 1], [1, 1, 1]]
    data = load(TokenClassificationTable, "x.gff3", GFF, background=None)
    assert data.label_names == ("CDS",)
    assert data.splits["train"]["labels"][:] == [[-100, 0, 0, 0, -100, -100], [-100] * 3]


def test_background_is_no_class_where_all_is_covered(load):
    """A class without a base cannot be learned, so it is none."""
    data = load(TokenClassificationTable, "x.bed", "a\t0\t6\tx\nb\t0\t3\ty\n")
    assert data.label_names == ("x", "y")
    assert data.splits["train"]["labels"][:] == [[0] * 6, [1] * 3]


def test_first_of_the_named_classes_counts_where_they_overlap(load):
    """The exon wins over the gene that it is a part of, and a class that is not named is not used."""
    text = "a\t0\t5\tgene\na\t1\t3\texon\na\t0\t6\tregion\n"
    data = load(TokenClassificationTable, "x.bed", text, interval_classes=["exon", "gene"])
    names = [data.label_names[label] for label in data.splits["train"]["labels"][0]]
    assert names == ["gene", "exon", "exon", "gene", "gene", "background"]


@pytest.mark.parametrize(("background", "elsewhere"), [(None, math.nan), (0.5, 0.5)])
def test_intervals_become_targets_of_bases(load, background, elsewhere):
    """Values of bedGraph; the scaler counts what is counted: by hand mean 2 without background."""
    data = load(TokenRegressionTable, "x.bedgraph", "a\t0\t2\t1\na\t2\t4\t3\n", background=background)
    labels = np.array(data.splits["train"]["labels"][0])[:, 0]
    np.testing.assert_array_equal(labels, [1, 1, 3, 3, elsewhere, elsewhere])
    if background is None:
        assert data.target_scaler.mean == (2.0,)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\t1\t4", "x.bed:2: 3 fields, and at least 4 are due"),
        ("a\tx\t4\tCDS", "x.bed:2: start 'x' and end '4' are no positions"),
        ("a\t4\t4\tCDS", "x.bed:2: the interval from 4 to 4 holds no base"),
        ("a\t1\t7\tCDS", "x.bed:2: ends at 7, and a has 6 bases"),
        ("a\t1\t4\tCDS", "x.bed:2: overlaps line 1, of another label"),
    ],
)
def test_wrong_interval_is_named_by_its_line(load, line, message):
    """Fields, numbers, ends and overlaps."""
    with pytest.raises(ValueError, match=message):
        load(TokenClassificationTable, "x.bed", f"a\t0\t3\tgene\n{line}\n")


@pytest.mark.parametrize(
    ("table", "name", "text", "message"),
    [
        (TokenClassificationTable, "x.bed", "chr1\t0\t3\tx\n", "no interval on a sequence of .*reads.fa, such as 'a'"),
        (TokenRegressionTable, "x.bed", "a\t0\t3\tx\n", "x.bed:1: no number to predict"),
        (SequenceClassificationTable, "x.bed", "a\t0\t3\tx\n", "labels bases, which TokenClassification"),
        (SequenceClassificationTable, "x.csv", "id,label\na,1\n", "the record 'b' has no row in .*x.csv"),
        (SequenceClassificationTable, "x.csv", "name,label\na,1\n", "has no column 'id'; its columns are name, label"),
    ],
)
def test_labels_that_do_not_fit_the_file_are_refused(load, table, name, text, message):
    """The message names the file of the labels."""
    with pytest.raises(ValueError, match=message):
        load(table, name, text)


def test_labels_go_with_a_fasta_file(write_table):
    """A table has its labels in a column."""
    path = write_table("reads.csv", "sequence,label\nAC,0\n")
    with pytest.raises(ValueError, match="which goes with a FASTA file"):
        load_task_data(SequenceClassificationTable(path=path, labels=path), max_bases=10)
