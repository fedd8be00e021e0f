"""`dnafm annotate` as users call it: files, what is printed, and errors in one line."""

import random

import pytest

pytest.importorskip("pysam")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

import torch

from dnafm import DNAFMForMaskedLM, DNAFMForTokenClassification, DNAFMTokenizer
from dnafm.genomics import read_bed, read_bigwig


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny_config):
    """A genome of 960 bases whose halves differ, its annotation, a backbone and a classifier of bases."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("files")
    generator = random.Random(0)
    bases = "".join(generator.choices("ACGT", (9, 1, 1, 9), k=480) + generator.choices("ACGT", (1, 9, 9, 1), k=480))
    (folder / "genome.fa").write_text(f">chr\n{bases}\n")
    (folder / "genes.gff3").write_text("chr\t.\tgene\t481\t960\t.\t+\t.\tID=g\nchr\t.\tgap\t1\t480\t.\t.\t.\t.\n")
    (folder / "labels.bed").write_text("x\t0\t400\texon\nx\t400\t900\tintron\n")
    config = tiny_config(num_labels=2, id2label={0: "exon", 1: "intron"}, problem_type="single_label_classification")
    for name, model_class in (("backbone", DNAFMForMaskedLM), ("classifier", DNAFMForTokenClassification)):
        model_class(config).save_pretrained(folder / name)
        DNAFMTokenizer(model_max_length=64).save_pretrained(folder / name)
    return folder


@pytest.fixture
def here(files, tmp_path, monkeypatch):
    """The folder of the files' outputs, in which the command runs."""
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tiled(path):
    end_bp = 0
    for row in read_bed(path):
        assert row.interval.start_bp == end_bp
        end_bp = row.interval.end_bp
    return end_bp


CLUSTER = ["cluster", "genome.fa", "-o", "out.bed", "--backbone", "backbone", "--window", "48", "--clusters", "2"]
LABEL = ["label", "genome.fa", "-o", "out.bed", "--model", "classifier"]


def test_cluster_writes_intervals_tables_and_a_figure(here, dnafm):
    """The halves are the clusters, the table and the enrichment say so, and no chunks are left."""
    code, output, errors = dnafm(
        *["annotate", *CLUSTER, "--features", "genes.gff3", "--table", "clusters.tsv"],
        *["--enrichment", "enrichment.csv", "--plot", "figure.png", "--plot_region", "chr:101-900"],
    )
    assert (code, errors) == (0, "")
    assert tiled("out.bed") == 960
    assert [row.interval.to_region() for row in read_bed("out.bed")] == ["chr:1-480", "chr:481-960"]
    assert output.splitlines()[0].startswith("cluster_1     50.0% of the genome   GC 0.1")
    assert "gap x 2.00" in output
    assert "nats; adjusted: 1.0000." in output
    table = (here / "clusters.tsv").read_text().splitlines()
    assert table[0].split("\t")[:4] == ["cluster", "colour", "n_units", "n_intervals"]
    assert len(table) == 3
    rows = (here / "enrichment.csv").read_text().splitlines()
    assert len(rows) == 5
    assert rows[1].startswith("cluster_1,gap,10,10,10,20,2.0,")
    assert (here / "figure.png").read_bytes()[1:4] == b"PNG"
    assert not (here / "out.bed.parts").exists()


def test_kept_vectors_serve_another_clustering(here, dnafm):
    """The second run computes none, and says so."""
    assert dnafm("annotate", *CLUSTER, "--keep_vectors")[0] == 0
    code, output, _ = dnafm("annotate", *CLUSTER, "--overwrite", "--seed", "1")
    assert code == 0
    assert "Went on from 1 finished chunks of an earlier run." in output


def test_compressed_intervals_are_looked_up_by_an_index(here, dnafm):
    """What tabix makes of the files, which have no track line then: the rows of a region."""
    import pysam

    for words in (CLUSTER, LABEL):
        compressed = [word.replace("out.bed", "out.bed.gz") for word in words]
        for chosen in (words, compressed):
            assert dnafm("annotate", *chosen, "--overwrite")[0] == 0
        lines = (here / "out.bed").read_text().splitlines()
        assert lines[0].startswith("track ")
        pysam.tabix_index("out.bed.gz", preset="bed", force=True)
        with pysam.TabixFile("out.bed.gz") as index:
            assert list(index.fetch("chr", 0, 960)) == lines[1:]


def test_label_writes_the_most_probable_path(here, dnafm):
    """Intervals tile the contig, are at least as long as asked, and the table has the classes."""
    words = ["--transitions", "labels.bed", "--min", "10", "--table", "classes.tsv", "--window", "40"]
    code, output, errors = dnafm("annotate", *LABEL, *words)
    assert (code, errors) == (0, "")
    assert tiled("out.bed") == 960
    assert min(len(row.interval) for row in read_bed("out.bed")) >= 10
    assert "Intervals are in out.bed." in output
    assert [line.split("\t")[0] for line in (here / "classes.tsv").read_text().splitlines()] == [
        "class",
        "exon",
        "intron",
    ]


def test_conservation_writes_a_number_for_each_base(here, dnafm):
    """Entropies are 0 to 2 bits, log-probabilities below 0."""
    pytest.importorskip("pybigtools")
    from dnafm.genomics import Interval

    words = ["--entropy_track", "entropy.bw", "--log_probability_track", "log.bw", "--stride", "2", "--window", "60"]
    code, output, errors = dnafm("annotate", "conservation", "genome.fa", "--backbone", "backbone", *words)
    assert (code, errors) == (0, "")
    assert output == "960 bases have a number in entropy.bw.\n960 bases have a number in log.bw.\n"
    assert read_bigwig("entropy.bw", Interval("chr", 0, 960)).min() >= 0
    assert read_bigwig("log.bw", Interval("chr", 0, 960)).max() < 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*CLUSTER, "--features", "other.gff3"], "other.gff3:1: genome.fa has no contig 'chr9'."),
        ([*CLUSTER, "--enrichment", "e.tsv"], "--enrichment is about an annotation. Name it by --features."),
        ([*CLUSTER, "--plot_region", "chr:1-9"], "--plot_region chr:1-9 is shown in a figure. Name it by --plot."),
        ([*CLUSTER, "--plot", "f.png", "--plot_region", "chr:1-9999"], "chr:1-9999 ends behind chr"),
        ([*CLUSTER, "--plot", "f.pdf"], "f.pdf: the extension of a figure must be one of .png, .svg."),
        ([*CLUSTER, "--table", "t.xls"], "--table t.xls: the extension says the format"),
        ([*CLUSTER, "--window", "99"], "window_bp is 99; the model reads 1 to 62 bases."),
        ([*CLUSTER, "--batch", "0"], "--batch is 0; it must be at least 1 token."),
        (["cluster", "genome.fa", "-o", "out.txt"], "--output out.txt: the extension says the format"),
        (["cluster", "genome.fa", "-o", "no/out.bed"], "The folder no does not exist."),
        (["cluster", "genome.fa", "-o", "labels.bed"], "labels.bed exists."),
        ([*CLUSTER, "--table", "folder.tsv", "--overwrite"], "folder.tsv is a folder. Name the file to write."),
        ([*CLUSTER, "--features", "genes.gff3", "--table", "t.tsv", "--enrichment", "t.tsv"], "are both t.tsv"),
        (
            ["label", "genome.fa", "-o", "out.bed", "--model", "backbone"],
            "backbone is a checkpoint of DNAFMForMas",
        ),
        ([*LABEL, "--transitions", "genes.gff3"], "genes.gff3 has no interval of the model's classes exon, intron"),
        ([*LABEL, "--background", "exon"], "background is 'exon', which is about labels. Name them by transitions."),
        ([*LABEL, "--transitions", "labels.bed", "--background", "gap"], "background is 'gap'; the classes of the mo"),
        (["label", "genome.fa", "-o", "out.bed", "--model", "none"], "'none' is neither"),
        ([*CLUSTER[:-1], "21"], "n_clusters is 21, and clusters are learnt from 20 units. Choose fewer."),
        ([*CLUSTER, "--components", "33"], "n_components is 33; 20 vectors of 32 numbers have at most 20"),
        ([*CLUSTER, "--method", "hdbscan"], "min_cluster_size is 50, and clusters are learnt from 20 units."),
        ([*LABEL, "--window", "99"], "window_bp is 99; the model reads 1 to 62 bases."),
        (["label", "empty.fa", "-o", "out.bed", "--model", "classifier"], "empty.fa"),
        (["conservation", "genome.fa"], "There is nothing to write."),
    ],
)
def test_bad_input_is_one_line(here, dnafm, words, message):
    """Exit code 1, nothing is written, and the message names value or file."""
    (here / "other.gff3").write_text("chr9\t.\tgene\t1\t9\t.\t+\t.\tID=g\n")
    (here / "empty.fa").write_text("")
    (here / "folder.tsv").mkdir()
    before = sorted(path.name for path in here.iterdir())
    code, output, errors = dnafm("annotate", *words)
    assert (code, output) == (1, "")
    assert message in errors
    assert errors.count("\n") == 1
    assert sorted(path.name for path in here.iterdir() if path.suffix != ".fai") == before


def test_a_way_must_be_named(here, dnafm, capsys):
    """Usage, and exit code 2; each way has a help text."""
    assert dnafm("annotate")[0] == 2
    for way in ("cluster", "label", "conservation"):
        code, output, _ = dnafm("annotate", way, "--help")
        assert code == 0
        assert output.startswith(f"usage: dnafm annotate {way}")
