"""`dnafm ism` and `dnafm depmap` from files to files, with a model that runs in milliseconds."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification, DNAFMTokenizer
from dnafm.cli import main as cli
from dnafm.cli.region_options import MOST_FIGURES

pytest.importorskip("pysam")
pytest.importorskip("datasets")

BASES = "ACGT"
CONTIG = "GATTACAGGCTTAACCGGATATCGCGATTTGCCATAAGCC"
EFFECTS = [f"effect_{base}" for base in BASES]


@pytest.fixture(scope="module")
def checkpoints(tiny_model, tmp_path_factory):
    """Folders of a masked language model, of one with three classes, and of one with a number."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("checkpoints")
    names = dict(enumerate(["donor", "acceptor", "neither"]))
    models = {
        "backbone": tiny_model(DNAFMForMaskedLM),
        "classes": tiny_model(DNAFMForSequenceClassification, id2label=names),
        "number": tiny_model(DNAFMForSequenceClassification, num_labels=1, problem_type="regression"),
    }
    for name, model in models.items():
        model.save_pretrained(folder / name)
        DNAFMTokenizer(model_max_length=64).save_pretrained(folder / name)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with a genome of two contigs, and regions of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "genome.fa").write_text(f">one\n{CONTIG}\n>two\nACGTTGCANT\n")
    (tmp_path / "regions.bed").write_text("one\t10\t15\tfirst\t0\t-\ntwo\t0\t10\n")
    return tmp_path


@pytest.fixture
def dnafm(checkpoints, place):
    """Run a command with the small backbone; `{checkpoints}` in arguments is the folder of all models."""

    def run(command, *arguments):
        filled = [str(each).replace("{checkpoints}", str(checkpoints)) for each in arguments]
        return cli.main([command, *filled, "--backbone", str(checkpoints / "backbone")])

    return run


def log_probabilities(folder, window, *, masked_place=None):
    """Of A, C, G and T at each base of the forward strand, from the plain model."""
    tokenizer, model = DNAFMTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
    input_ids = tokenizer(window, return_tensors="pt")["input_ids"]
    if masked_place is not None:
        input_ids[0, masked_place + 1] = tokenizer.mask_token_id
    with torch.no_grad():
        logits = model(input_ids).logits[0, 1:-1]
    return logits[:, tokenizer.convert_tokens_to_ids(list(BASES))].log_softmax(-1).numpy()


def test_table_of_regions_has_a_row_for_each_base(dnafm, checkpoints, capsys):
    """Along the + strand, from 0; effects are those of the plain model, which sees the contig around the region."""
    assert dnafm("ism", "regions.bed", "--fasta", "genome.fa", "-o", "ism.parquet", "--strand", "forward") == 0
    assert capsys.readouterr().out == "15 bases written to ism.parquet.\n"
    table = pd.read_parquet("ism.parquet")
    assert table["id"].tolist() == ["first"] * 5 + ["two:1-10"] * 10
    assert table["start_bp"].tolist() == [*range(10, 15), *range(10)]
    assert "".join(table["reference_base"]) == CONTIG[10:15] + "ACGTTGCANT"
    log_p = log_probabilities(checkpoints / "backbone", CONTIG, masked_place=12)[12]
    expected = log_p - log_p[BASES.index(CONTIG[12])]
    np.testing.assert_allclose(table.loc[2, EFFECTS].to_numpy(np.float32), expected, atol=1e-5)
    assert table.loc[2, "entropy_bits"] == pytest.approx(-(np.exp(log_p) * log_p).sum() / np.log(2), abs=1e-5)
    assert table[EFFECTS].isna().all(axis=1).tolist() == [base == "N" for base in table["reference_base"]]


def test_records_sequences_and_regions_give_the_same(dnafm, place):
    """A contig as a record of a FASTA file, as a sequence, and as a region in text."""
    (place / "one.fa").write_text(f">one\n{CONTIG.lower()}\n")
    options = ("--scores", "unmasked", "-o")
    assert dnafm("ism", "one.fa", *options, "record.tsv") == 0
    assert dnafm("ism", CONTIG, *options, "sequence.tsv") == 0
    assert dnafm("ism", "one:1-40", "--fasta", "genome.fa", *options, "region.tsv") == 0
    tables = [pd.read_csv(f"{name}.tsv", sep="\t")[EFFECTS] for name in ("record", "sequence", "region")]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])


def test_arrays_are_found_by_the_id_of_their_region(dnafm, checkpoints):
    """Unmasked effects of one pass."""
    assert (
        dnafm(
            "ism",
            "regions.bed",
            "--fasta",
            "genome.fa",
            "-o",
            "ism.npz",
            "--scores",
            "unmasked",
            "--strand",
            "forward",
        )
        == 0
    )
    with np.load("ism.npz") as arrays:
        log_p = log_probabilities(checkpoints / "backbone", CONTIG)[10:15]
        np.testing.assert_allclose(arrays["first/log_probabilities"], log_p, atol=1e-5)
        assert arrays["first/sequence"] == CONTIG[10:15]
        assert (arrays["first/start_bp"], arrays["two:1-10/effects"].shape) == (10, (10, 4))


@pytest.mark.parametrize(("name", "target", "index"), [("classes", "acceptor", 1), ("number", None, 0)])
def test_effects_of_a_fine_tuned_model_are_changes_of_its_output(dnafm, checkpoints, name, target, index):
    """Of a logit or a number, for each substitution, from the plain model; 0 at the reference."""
    folder, sequence = checkpoints / name, "ACGTTGCA"
    options = ["--target", target] if target else []
    assert dnafm("ism", sequence, "--model", folder, "--strand", "forward", "-o", "ism.tsv", *options) == 0
    tokenizer = DNAFMTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def output(bases):
        with torch.no_grad():
            return float(model(**tokenizer(bases, return_tensors="pt")).logits[0, index])

    expected = [
        [output(sequence[:i] + base + sequence[i + 1 :]) - output(sequence) for base in BASES]
        for i in range(len(sequence))
    ]
    table = pd.read_csv("ism.tsv", sep="\t")
    np.testing.assert_allclose(table[EFFECTS], expected, atol=1e-5)
    assert "entropy_bits" not in table


def test_figures_of_several_regions_have_a_file_each(dnafm, capsys):
    """And a table beside them holds all."""
    pytest.importorskip("matplotlib")
    assert dnafm("ism", "regions.bed", "--fasta", "genome.fa", "--plot", "a.svg", "-o", "ism.csv") == 0
    assert capsys.readouterr().out == (
        "15 bases written to ism.csv.\nfirst is shown in a.1.first.svg.\ntwo:1-10 is shown in a.2.two_1-10.svg.\n"
    )
    assert dnafm("ism", "ACGT", "--plot", "one.html") == 0
    with open("one.html", encoding="utf-8") as page, open("a.2.two_1-10.svg", encoding="utf-8") as figure:
        assert '"sequence": "ACGT"' in page.read()
        assert "two:1-10" in figure.read()


def test_dependency_map_is_written_as_a_matrix(dnafm, checkpoints):
    """Row = mutated base: the odds of one entry by hand, in an array, a table and a page."""
    sequence = CONTIG[:12]
    for output in ("map.npz", "map.parquet", "map.jsonl"):
        assert dnafm("depmap", sequence, "--strand", "forward", "-o", output, "--overwrite", "--plot", "map.html") == 0
    with np.load("map.npz") as arrays:
        matrix = arrays["sequence/dependencies"]

    def odds(bases):
        p = np.exp(log_probabilities(checkpoints / "backbone", bases)[7].astype(float)) + 1e-4
        return p / p.sum() / (1 - p / p.sum())

    mutated = [sequence[:3] + base + sequence[4:] for base in BASES if base != sequence[3]]
    expected = max(np.abs(np.log2(odds(bases) / odds(sequence))).max() for bases in mutated)
    assert matrix[3, 7] == pytest.approx(expected, abs=1e-4)
    assert (np.diag(matrix) == 0).all()
    np.testing.assert_allclose(np.stack(pd.read_parquet("map.parquet")["dependencies"]), matrix, atol=1e-6)
    with open("map.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    np.testing.assert_allclose([row["dependencies"] for row in rows], matrix, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ism", "ACGT"], "There is nothing to write. Name a table by --output, or a figure by --plot."),
        (["ism", "ACGT", "-o", "out.txt"], "--output out.txt: the extension says the format; it is one of .npz"),
        (["ism", "ACGT", "--plot", "out.gif"], "out.gif: the extension of a figure must be one of .png, .svg, .html"),
        (["ism", "ACGT", "-o", "no/out.tsv"], "The folder no does not exist"),
        (["ism", "ACGT", "-o", "genome.tsv", "--batch", "0"], "--batch is 0; it must be at least 1 token"),
        (["ism", "ACGE", "-o", "out.tsv"], "'ACGE' is neither a file nor a sequence of DNA"),
        (["ism", "ACGT", "-o", "out.tsv", "--window", "63"], "window_bp is 63; the model reads 1 to 62 bases"),
        (["ism", "ACGT", "-o", "out.tsv", "--target", "x"], "--target x is an output of a fine-tuned model"),
        (
            ["ism", "ACGT", "-o", "out.tsv", "--model", "{checkpoints}/classes"],
            "--target is missing; {checkpoints}/classes has the outputs donor, acceptor, neither",
        ),
        (
            ["ism", "ACGT" * 16, "-o", "out.tsv", "--model", "{checkpoints}/number"],
            "sequence has 64 bases; the model reads 62. Set --window",
        ),
        (["ism", "one:39-41", "--fasta", "genome.fa", "-o", "out.tsv"], "one:39-41 ends behind one, which has 40"),
        (["ism", "bad.bed", "--fasta", "genome.fa", "-o", "out.tsv"], "bad.bed:2: one:1-50 ends behind one"),
        (["ism", "comment.bed", "--fasta", "genome.fa", "-o", "out.tsv"], "comment.bed: there is no interval"),
        (["ism", "twice.bed", "--fasta", "genome.fa", "-o", "o.npz"], "o.npz: two regions are called 'x'"),
        (["ism", "many.bed", "--fasta", "genome.fa", "--plot", "o.png"], f"more than {MOST_FIGURES} regions"),
        (["ism", "protein.fa", "-o", "out.tsv"], "protein.fa: in p, from base 0 on: 'L' at offset 1 is no nucleotide"),
        (["depmap", "ACGT" * 16, "-o", "out.npz"], "sequence has 64 bases; the model reads 62"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(dnafm, place, checkpoints, capsys, arguments, message):
    """Exit code 1, what is wrong and where, and nothing that was begun."""
    (place / "bad.bed").write_text("one\t0\t5\none\t0\t50\n")
    (place / "comment.bed").write_text("# nothing\n")
    (place / "twice.bed").write_text("one\t0\t5\tx\none\t5\t9\tx\n")
    (place / "many.bed").write_text("one\t0\t5\n" * (MOST_FIGURES + 1))
    (place / "protein.fa").write_text(">p\nMLEFPQ\n".replace("M", "A"))
    before = {path.name for path in place.iterdir()}
    assert dnafm(*arguments) == 1
    error = capsys.readouterr().err
    assert message.replace("{checkpoints}", str(checkpoints)) in error
    assert error.count("\n") == 1
    made = {path.name for path in place.iterdir()} - before
    assert {name for name in made if not name.endswith(".fai")} == set()


def test_existing_files_are_kept_unless_asked(dnafm, place, capsys):
    """The message names the option."""
    (place / "out.tsv").write_text("mine")
    assert dnafm("ism", "ACGT", "-o", "out.tsv") == 1
    assert "out.tsv exists. Write to another file, or replace it by --overwrite." in capsys.readouterr().err
    assert (place / "out.tsv").read_text() == "mine"
    assert dnafm("ism", "ACGT", "-o", "out.tsv", "--overwrite") == 0
    assert (place / "out.tsv").read_text().startswith("id\tcontig\tstart_bp\treference_base\teffect_A")
