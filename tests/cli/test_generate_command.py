"""`dnafm generate` from templates to files, with models that run in milliseconds."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification, DNAFMTokenizer
from dnafm.cli import main as cli

pytest.importorskip("pysam")
pytest.importorskip("datasets")

CONTIG = "GATTACAGGCTTAACCGGATATCGCGATTTGCCATAAGCC"


@pytest.fixture(scope="module")
def checkpoints(tiny_model, tmp_path_factory):
    """Folders of a backbone, and of guides: classes, labels, a number, a short context, another kind of model."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("checkpoints")
    names = dict(enumerate(["donor", "acceptor", "neither"]))
    models = {
        "backbone": tiny_model(DNAFMForMaskedLM),
        "classes": tiny_model(DNAFMForSequenceClassification, id2label=names),
        "labels": tiny_model(
            DNAFMForSequenceClassification, id2label=names, problem_type="multi_label_classification"
        ),
        "number": tiny_model(DNAFMForSequenceClassification, num_labels=1, problem_type="regression"),
        "short": tiny_model(
            DNAFMForSequenceClassification, num_labels=1, problem_type="regression", max_position_embeddings=12
        ),
    }
    for name, model in models.items():
        model.save_pretrained(folder / name)
        DNAFMTokenizer(model_max_length=12 if name == "short" else 64).save_pretrained(folder / name)
    bert = BertConfig(vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertForSequenceClassification(bert).save_pretrained(folder / "bert")
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with a genome, regions of it, and templates."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "genome.fa").write_text(f">one\n{CONTIG}\n")
    (tmp_path / "regions.bed").write_text("one\t10\t15\tfirst\t0\t-\none\t30\t40\n")
    (tmp_path / "templates.fa").write_text(">p1 of a\nACG????T\n>p2\nTT[MASK][MASK]GG\n")
    (tmp_path / "near.fa").write_text(">n1\nACGTACGT\n")
    return tmp_path


@pytest.fixture
def dnafm(checkpoints, place):
    """Run the command with the small backbone; `{checkpoints}` in arguments is the folder of all models."""

    def run(*arguments):
        filled = [str(each).replace("{checkpoints}", str(checkpoints)) for each in arguments]
        return cli.main(["generate", *filled, "--backbone", str(checkpoints / "backbone")])

    return run


def read_fasta(path):
    """Headers and sequences of records of two lines."""
    with open(path, encoding="utf-8") as lines:
        texts = lines.read().splitlines()
    return dict(zip((text[1:] for text in texts[::2]), texts[1::2], strict=True))


def test_templates_of_a_file_are_filled(dnafm, capsys):
    """FASTA and table have the same sequences in the order of the templates, and the summary counts them."""
    assert dnafm("templates.fa", "-n", "3", "-o", "out.fa", "--table", "out.parquet", "--identity_to", "near.fa") == 0
    assert capsys.readouterr().out == "6 sequences written to out.fa and out.parquet; 0 failed.\n"
    records, table = read_fasta("out.fa"), pd.read_parquet("out.parquet")
    assert [header.split()[0] for header in records] == ["p1_1", "p1_2", "p1_3", "p2_1", "p2_2", "p2_3"]
    assert list(records.values()) == table["sequence"].tolist()
    for header, row in zip(records, table.itertuples(), strict=True):
        values = dict(text.split("=") for text in header.split()[1:])
        assert float(values["log_likelihood"]) == pytest.approx(row.log_likelihood, rel=1e-5)
        assert set(values) == {"log_likelihood", "gc", "n_designed", "identity"}
    assert all(sequence.startswith("ACG") and sequence.endswith("T") for sequence in table["sequence"][:3])
    equal = [sum(a == b for a, b in zip(each, "ACGTACGT", strict=True)) / 8 for each in table["sequence"][:3]]
    assert table["identity"][:3].tolist() == equal
    assert table["n_designed"].tolist() == [4] * 3 + [2] * 3


def test_regions_are_designed_within_their_genome(dnafm):
    """Those of a BED file or of text; what the model sees is the flank, so that another one changes what it draws."""
    options = ["--fasta", "genome.fa", "--no_likelihood"]
    assert dnafm(*options, "--regions", "regions.bed", "-o", "bed.fa") == 0
    assert dnafm(*options, "--region", "one:11-15", "one:31-40", "-o", "text.fa", "--flank", "26") == 0
    assert dnafm(*options, "--regions", "regions.bed", "-o", "alone.fa", "--flank", "0") == 0
    bed, text, alone = (read_fasta(f"{name}.fa") for name in ("bed", "text", "alone"))
    assert [header.split()[0] for header in bed] == ["first_1", "one:31-40_1"]
    assert list(bed.values()) == list(text.values())
    assert [len(sequence) for sequence in bed.values()] == [5, 10]
    assert list(alone.values()) != list(bed.values())


def test_equal_seeds_give_equal_files_whatever_the_batch(dnafm):
    """Byte for byte, but for the last digits of the log-likelihood."""
    options = ["--length", "20", "-n", "5", "--no_likelihood", "--unique", "--gc", "0.3", "0.7"]
    for name, more in (("a", []), ("b", ["--batch", "30"]), ("c", ["--seed", "1"])):
        assert dnafm(*options, *more, "-o", f"{name}.fa") == 0
    a, b, c = (read_fasta(f"{name}.fa") for name in "abc")
    assert a == b
    assert set(a.values()).isdisjoint(c.values())


@pytest.mark.parametrize(
    ("name", "target", "index"), [("classes", "acceptor", 1), ("labels", "donor", 0), ("number", None, 0)]
)
def test_value_is_that_of_the_fine_tuned_model(dnafm, checkpoints, name, target, index):
    """The log-probability of a class or label, or a number, from the plain model; a figure is drawn."""
    pytest.importorskip("matplotlib")
    options = ["--target", target] if target else []
    folder = checkpoints / name
    assert (
        dnafm("TT????CA", "-n", "4", "--guide", folder, *options, "--table", "o.jsonl", "--plot", "o.svg",
              "--refinement_rounds", "2")
        == 0
    )  # fmt: skip
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder).eval(), DNAFMTokenizer()
    with open("o.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        with torch.no_grad():
            logits = model(**tokenizer(row["sequence"], return_tensors="pt")).logits[0].double()
        values = {"classes": logits.log_softmax(-1), "labels": logits.sigmoid().log(), "number": logits}[name]
        assert row["guide_value"] == pytest.approx(float(values[index]), abs=1e-4)
    with open("o.svg", encoding="utf-8") as figure:
        assert f"guide: {target or 'value'}" in figure.read()


def test_failed_sequences_are_told_with_their_reason(dnafm, capsys):
    """Only the others are in the FASTA file; the table has a row for each."""
    options = ["--unique", "--no_likelihood", "--max_tries", "40", "-o", "out.fa", "--table", "out.tsv"]
    assert dnafm("A?", "-n", "6", *options) == 0
    assert capsys.readouterr().out == "4 sequences written to out.fa and out.tsv; 2 failed: 2 duplicate.\n"
    table = pd.read_csv("out.tsv", sep="\t")
    assert table["failed"].isna().sum() == 4
    assert (
        table.loc[table["failed"].notna(), ["failed", "sequence"]].fillna("").to_numpy().tolist()
        == [["duplicate", ""]] * 2
    )
    assert sorted(read_fasta("out.fa").values()) == ["AA", "AC", "AG", "AT"]


def test_constraints_hold_in_the_file(dnafm):
    """All of them at once."""
    limits = [
        "--gc",
        "0.3",
        "0.6",
        "--max_homopolymer",
        "2",
        "--forbid",
        "GATC",
        "--require",
        "CAYG",
        "--both_strands",
    ]
    assert dnafm("--length", "30", "-n", "5", *limits, "--no_likelihood", "-o", "out.fa") == 0
    for sequence in read_fasta("out.fa").values():
        assert 0.3 <= np.mean([base in "GC" for base in sequence]) <= 0.6
        assert not any(base * 3 in sequence for base in "ACGT")
        assert "GATC" not in sequence
        assert any(motif in sequence for motif in ("CACG", "CATG", "CGTG"))


OUT = ["-o", "out.fa"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (OUT, "What is designed is said by one of TEMPLATE, --length, --fasta; there is none of them"),
        (["A?", "--length", "5", *OUT], "there is TEMPLATE and --length"),
        (["--fasta", "genome.fa", *OUT], "--fasta is the genome of regions: name these by --region or by --regions"),
        (["A?", "--region", "one:1-5", *OUT], "--fasta is the genome of regions"),
        (["A?"], "There is nothing to write"),
        (["A?", *OUT, "--plot", "p.png"], "--plot and --target are about a guide"),
        (["A?", *OUT, "--target", "x"], "--plot and --target are about a guide"),
        (["A?", "--table", "out.txt"], "--table out.txt: the extension says the format"),
        (["A?", *OUT, "--guide", "x", "--plot", "p.html"], "p.html: the extension of a figure must be one of"),
        (["A?", "-o", "no/out.fa"], "The folder no does not exist"),
        (["A?", *OUT, "--batch", "0"], "--batch is 0"),
        (["A?", *OUT, "-n", "0"], "n_samples is 0"),
        (["A?", *OUT, "--rounds", "0"], "rounds is 0"),
        (["A?", *OUT, "--temperature", "-1"], "temperature is -1.0"),
        (["ACGT", *OUT], "TEMPLATE 'ACGT' is no file, and as a sequence: design: there is no place to fill"),
        (["no.fa", *OUT], "TEMPLATE 'no.fa' is no file"),
        (["bad.fa", *OUT], "bad: 'N' at offset 1 is neither A, C, G, T, nor a place to fill"),
        (["--length", "63", *OUT], "design has 63 bases and 0 around them; the model reads 62"),
        (["--length", "0", *OUT], "The length is 0"),
        (
            ["--fasta", "long.fa", "--region", "l:31-60", "--flank", "30", *OUT],
            "l:31-60 has 30 bases and 60 around them",
        ),
        (["--fasta", "genome.fa", "--region", "one:31-41", *OUT], "one:31-41 ends behind one"),
        (["--fasta", "genome.fa", "--region", "one:1-5", "--flank", "-1", *OUT], "The flank is -1"),
        (["A?", *OUT, "--gc", "0.6", "0.4"], "The range of GC is 0.6 to 0.4"),
        (["GGGG?", *OUT, "--gc", "0", "0.5"], "design cannot fulfil the constraints: the range of GC"),
        (["A?", *OUT, "--require", "GAATTC"], "the required motif GAATTC is longer"),
        (["?????????", *OUT, "--require", "GAATTC", "--forbid", "AATT"], "holds the forbidden motif AATT"),
        (["?????????", *OUT, "--forbid", "GAXTC"], "The motif 'GAXTC' must be letters of IUPAC"),
        (["AAAA?", *OUT, "--max_homopolymer", "3"], "a run of 4 A is at base 0"),
        (["A?", *OUT, "--max_identity", "0.5"], "max_identity needs sequences to compare with"),
        (["A?", *OUT, "--identity_to", "protein.fa"], "protein.fa: in p: 'L' at offset 1 is no nucleotide"),
        (["A?", *OUT, "--guide", "{checkpoints}/classes"], "--target is missing; {checkpoints}/classes has donor"),
        (["A?", *OUT, "--guide", "{checkpoints}/classes", "--target", "x"], "--target is 'x'; {checkpoints}/classes"),
        (["--length", "11", *OUT, "--guide", "{checkpoints}/short"], "design has 11 bases; the guide reads 10"),
        (["A?", *OUT, "--guide", "{checkpoints}/bert"], "is a model of type 'bert', with other tokens"),
        (["A?", *OUT, "--guide", "{checkpoints}/number", "--strength", "inf"], "The strength is inf"),
        (["A?", *OUT, "--guide", "{checkpoints}/number", "--candidates", "0"], "There are 0 candidates"),
        (["A?", *OUT, "--guide", "{checkpoints}/backbone"], "it is a checkpoint of another kind"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(dnafm, place, checkpoints, capsys, arguments, message):
    """Exit code 1, what is wrong, and nothing that was begun."""
    (place / "bad.fa").write_text(">bad\nAN?\n")
    (place / "long.fa").write_text(f">l\n{CONTIG * 3}\n")
    (place / "protein.fa").write_text(">p\nALEFPQ\n")
    before = {path.name for path in place.iterdir()}
    assert dnafm(*arguments) == 1
    error = capsys.readouterr().err
    assert message.replace("{checkpoints}", str(checkpoints)) in error
    assert error.count("\n") == 1
    made = {path.name for path in place.iterdir()} - before
    assert {name for name in made if not name.endswith(".fai")} == set()


def test_existing_files_are_kept_unless_asked(dnafm, place, capsys):
    """The message names the option."""
    (place / "out.fa").write_text("mine")
    assert dnafm("A?", *OUT) == 1
    assert "out.fa exists. Write to another file, or replace it by --overwrite." in capsys.readouterr().err
    assert (place / "out.fa").read_text() == "mine"
    assert dnafm("A?", *OUT, "--overwrite") == 0
    assert (place / "out.fa").read_text().startswith(">design_1 log_likelihood=")
