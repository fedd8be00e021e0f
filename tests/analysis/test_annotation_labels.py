"""Classes of bases along a genome: windows that are joined, strands, chunks, and files."""

import json
import random

import numpy as np
import pytest
import torch

pytest.importorskip("pysam")
pytest.importorskip("sklearn")

import dnafm
from dnafm import DNAFMForSequenceClassification, DNAFMForTokenClassification, DNAFMTokenizer
from dnafm.analysis import base_annotation
from dnafm.analysis.base_annotation import BaseClassifier, StitchedReader, part_chunks, triangle
from dnafm.genomics import Interval, ReferenceGenome, read_bed, read_gff

N_BASES = 900
NAMES = ("A", "other")


def of_a(windows):
    """A classifier by hand: 0.9 for A, 0.2 for others; the first two bases of a window are not seen: 0.5."""
    rows = []
    for window in windows:
        probability = np.where(np.frombuffer(window.encode(), np.uint8) == ord("A"), 0.9, 0.2).astype(np.float32)
        probability[:2] = 0.5
        rows.append(np.stack([probability, 1 - probability], axis=1))
    return rows


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome")
    generator = random.Random(0)
    bases = "".join(generator.choices("ACGT", k=N_BASES))
    (folder / "genome.fa").write_text(f">one\n{bases}\n>two\n{bases[:30]}\n")
    return folder / "genome.fa"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_config):
    """A token classifier with fresh weights of classes exon and intron."""
    torch.manual_seed(0)
    config = tiny_config(num_labels=2, id2label={0: "exon", 1: "intron"}, problem_type="single_label_classification")
    folder = tmp_path_factory.mktemp("model")
    model = DNAFMForTokenClassification(config)
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    model.save_pretrained(folder)
    DNAFMTokenizer(model_max_length=64).save_pretrained(folder)
    return folder


def test_weights_are_a_triangle():
    """1 at the ends, and the most in the middle."""
    assert triangle(5).tolist() == [1, 2, 3, 2, 1]
    assert triangle(4).tolist() == [1, 2, 2, 1]
    assert triangle(1).tolist() == [1]


def test_windows_are_averaged_by_depth(fasta):
    """By hand at base 6 with windows of 10 that begin every 5: 7th of 10 in the first, 2nd, not seen, in the next."""
    with ReferenceGenome(fasta) as genome:
        bases = genome.fetch_bases("one", 0, 20)
        found = StitchedReader(BaseClassifier(NAMES, of_a, 100), 10, 5).read(genome, Interval("one", 0, 20))
    alone = 0.9 if bases[6] == "A" else 0.2
    assert found[6, 0] == pytest.approx((4 * alone + 2 * 0.5) / 6)
    # Base 4 is in the first window alone, and its own; base 0 is not seen at all.
    assert found[4, 0] == pytest.approx(0.9 if bases[4] == "A" else 0.2)
    assert found[0, 0] == pytest.approx(0.5)
    assert found.sum(axis=1) == pytest.approx(np.ones(20))


def test_joined_windows_say_what_one_window_says_in_the_middle(fasta):
    """Of a classifier that sees two bases to the left, all is as in one window but for the first two bases of each."""

    def far_sighted(windows):
        return [rows if len(rows) > 100 else np.where(rows == 0.5, np.nan, rows) for rows in of_a(windows)]

    classifier = BaseClassifier(NAMES, of_a, N_BASES)
    whole = Interval("one", 0, N_BASES)
    with ReferenceGenome(fasta) as genome:
        one = StitchedReader(classifier).read(genome, whole)
        joined = StitchedReader(classifier, 90, 60).read(genome, whole)
        seen = StitchedReader(BaseClassifier(NAMES, far_sighted, N_BASES), 90, 60).read(genome, whole)
    untouched = ~np.isnan(seen[:, 0])
    assert untouched.mean() > 0.9
    assert joined[untouched] == pytest.approx(one[untouched], abs=1e-6)
    # A base that one of three windows does not see moves by at most the share of its weight.
    assert np.abs(joined - one)[2:].max() < 0.4 * 2 / (2 + 32)


def test_a_part_is_what_the_whole_has_there(fasta):
    """Bit by bit, wherever a contig is cut into chunks, so that a chunk can be computed alone."""
    reader = StitchedReader(BaseClassifier(NAMES, of_a, 100, max_tokens=300), 50, 20)
    with ReferenceGenome(fasta) as genome:
        whole = reader.read(genome, Interval("one", 0, N_BASES))
        for start_bp, end_bp in ((0, 1), (77, 301), (899, 900)):
            part = reader.read(genome, Interval("one", start_bp, end_bp))
            assert part.tobytes() == whole[start_bp:end_bp].tobytes()


def test_chunks_cover_each_base_once(monkeypatch):
    """Long contigs are cut, short ones are together."""
    monkeypatch.setattr(base_annotation, "CHUNK_BP", 100)
    chunks = list(part_chunks({"a": 250, "b": 30, "c": 20, "d": 10}))
    places = [[(part.contig, part.start_bp, part.end_bp) for part in chunk] for chunk in chunks]
    assert places[:2] == [[("a", 0, 100)], [("a", 100, 200)]]
    assert places[2:] == [[("a", 200, 250), ("b", 0, 30), ("c", 0, 20)], [("d", 0, 10)]]


def test_annotation_is_the_task_s_own_prediction(fasta, checkpoint):
    """Of a contig that is one window: the classes of `Task.predict` with both strands averaged, and their means."""
    from dnafm.tasks import TokenClassification

    task = TokenClassification.from_pretrained(checkpoint, reverse_complement="average")
    with ReferenceGenome(fasta) as genome:
        predicted = task.predict([genome.fetch_bases("two", 0, 30)])
    found = dnafm.annotate("label", fasta, model=checkpoint)
    rows = [row for row in found.intervals.to_pylist() if row["contig"] == "two"]
    labels = [row["class"] for row in rows for _ in range(row["start_bp"], row["end_bp"])]
    assert labels == predicted["prediction"][0].as_py()
    first = rows[0]
    probabilities = predicted[f"probability_{first['class']}"][0].as_py()[: first["end_bp"]]
    assert first["score"] == pytest.approx(np.mean(probabilities), abs=1e-6)
    assert found.classes["n_bases"].to_pylist() == [
        sum(row["end_bp"] - row["start_bp"] for row in found.intervals.to_pylist() if row["class"] == name)
        for name in ("exon", "intron")
    ]


def test_the_reverse_strand_is_the_other_genome_turned_round(tmp_path, fasta, checkpoint):
    """Reading the reverse strand of a genome is reading its reverse complement forward, and turning the intervals."""
    from dnafm.genomics import reverse_complement

    with ReferenceGenome(fasta) as genome:
        bases = genome.fetch_bases("one", 0, 62)
    for name, text in (("own.fa", bases), ("other.fa", reverse_complement(bases))):
        (tmp_path / name).write_text(f">one\n{text}\n")
    reverse = dnafm.annotate("label", tmp_path / "own.fa", model=checkpoint, strand="reverse").intervals.to_pylist()
    forward = dnafm.annotate("label", tmp_path / "other.fa", model=checkpoint, strand="forward").intervals.to_pylist()
    assert [(62 - row["end_bp"], 62 - row["start_bp"], row["class"]) for row in reversed(reverse)] == [
        (row["start_bp"], row["end_bp"], row["class"]) for row in forward
    ]
    assert {row["strand"] for row in reverse} == {"-"}
    assert {row["strand"] for row in forward} == {"+"}


@pytest.mark.parametrize("name", ["out.bed", "out.gff3.gz"])
def test_files_tile_the_contigs(tmp_path, fasta, checkpoint, name):
    """What is written is what is returned, contig by contig, without gap or overlap, and of the minimum length."""
    path = tmp_path / name
    classes = dnafm.annotate("label", fasta, model=checkpoint, output=path, min_bp=4)
    if name.endswith(".bed"):
        written = [row.interval for row in read_bed(path)]
        assert all(0 <= interval.score <= 1000 for interval in written)
        assert {interval.extra[2] for interval in written} == {"0,114,178", "230,159,0"}
    else:
        written = [row.interval for row in read_gff(path)]
        assert all(0 <= interval.score <= 1 for interval in written)
        assert {row.feature for row in read_gff(path)} == {"exon", "intron"}
    ends = {"one": 0, "two": 0}
    for interval in written:
        assert interval.start_bp == ends[interval.contig]
        ends[interval.contig] = interval.end_bp
        assert len(interval) >= 4
    assert ends == {"one": N_BASES, "two": 30}
    assert sum(classes["n_intervals"].to_pylist()) == len(written)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_omitted_classes_are_left_out_of_the_file(tmp_path, fasta, checkpoint):
    """The table still has them."""
    path = tmp_path / "out.bed"
    classes = dnafm.annotate("label", fasta, model=checkpoint, output=path, omit=["intron"])
    assert {row.interval.name for row in read_bed(path)} == {"exon"}
    assert classes["n_bases"].to_pylist()[1] > 0


def test_transitions_lead_to_fewer_intervals(tmp_path, fasta, checkpoint):
    """Labels that stay in a class for hundreds of bases make a path that hardly leaves it."""
    (tmp_path / "labels.bed").write_text("x\t0\t400\texon\nx\t400\t900\tintron\n")
    options = {"model": checkpoint}
    plain = dnafm.annotate("label", fasta, **options).intervals
    smooth = dnafm.annotate("label", fasta, transitions=tmp_path / "labels.bed", **options).intervals
    assert len(smooth) < len(plain) / 2


def save(model_class, config, folder):
    model_class(config).save_pretrained(folder)
    DNAFMTokenizer(model_max_length=64).save_pretrained(folder)
    return folder


def test_models_of_another_kind_are_refused(tmp_path, fasta, tiny_config):
    """The message names what the checkpoint is, and what is due."""
    folder = save(DNAFMForSequenceClassification, tiny_config(), tmp_path / "sequences")
    with pytest.raises(ValueError, match=r"of DNAFMForSequenceClassification; annotation takes a fine-tuned TokenCl"):
        dnafm.annotate("label", fasta, model=folder)
    folder = save(DNAFMForTokenClassification, tiny_config(problem_type="regression"), tmp_path / "numbers")
    with pytest.raises(ValueError, match="predicts numbers for bases"):
        dnafm.annotate("label", fasta, model=folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_bp": 63}, "window_bp is 63; the model reads 1 to 62 bases"),
        ({"window_bp": 20, "overlap_bp": 20}, "overlap_bp is 20; .* less than a window, here of 20"),
        ({"min_bp": 0}, "min_bp is 0; an interval has at least 1 base"),
        ({"omit": ["exons"]}, "omit names 'exons'; the classes of the model are exon, intron"),
        ({"strand": "plus"}, "strand is 'plus'; it must be one of forward, reverse, both"),
        ({"max_tokens": 0}, "max_tokens is 0; a batch must have at least 1"),
    ],
)
def test_options_out_of_their_range_are_refused(fasta, checkpoint, options, message):
    """The message names value and rule."""
    with pytest.raises(ValueError, match=message):
        dnafm.annotate("label", fasta, model=checkpoint, **options)


def test_an_empty_fasta_is_refused(tmp_path, checkpoint):
    """The message names the file."""
    (tmp_path / "empty.fa").write_text("")
    for how in ("cluster", "label"):
        with pytest.raises(ValueError, match=r"empty\.fa"):
            dnafm.annotate(how, tmp_path / "empty.fa", model=checkpoint)


def test_an_interrupted_run_goes_on(tmp_path, fasta, checkpoint, monkeypatch):
    """Chunks of the first run are not computed again, and the file is that of a run without interruption."""
    monkeypatch.setattr(base_annotation, "CHUNK_BP", 200)
    whole, resumed = tmp_path / "whole.bed", tmp_path / "resumed.bed"
    dnafm.annotate("label", fasta, model=checkpoint, output=whole)
    read, n_read = StitchedReader.read, 0

    def interrupted(self, genome, part):
        nonlocal n_read
        n_read += 1
        if n_read == 3:
            raise KeyboardInterrupt
        return read(self, genome, part)

    monkeypatch.setattr(StitchedReader, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dnafm.annotate("label", fasta, model=checkpoint, output=resumed)
    kept = json.loads((tmp_path / "resumed.bed.parts" / "settings.json").read_text())
    assert kept["classes"] == ["exon", "intron"]
    dnafm.annotate("label", fasta, model=checkpoint, output=resumed)
    # Two of five chunks were there; the last one has two contigs.
    assert n_read == 3 + 4
    assert resumed.read_bytes() == whole.read_bytes()
