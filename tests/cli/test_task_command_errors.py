"""What is wrong with the input is told in one line, before anything is trained or written."""

import json

import pytest

pytest.importorskip("jsonargparse")

DNA = ["ACGTACGTAC", "CCGGTTAACC", "GGGGCCCCAA", "TTTTAAAACC", "ACACACACAC"]


def table(*columns: str, rows) -> str:
    """Return rows of cells below a header."""
    return "\n".join("\t".join(map(str, row)) for row in (columns, *rows)) + "\n"


def labelled(*labels, sequences=DNA) -> str:
    return table("sequence", "label", rows=zip(sequences * 4, labels * 4, strict=True))


GOOD = labelled(*"ababb")
REGRESSION = ("--model", "SequenceRegression")
TOKENS = ("--model", "TokenClassification")

BAD_TABLES = {
    "empty file": ("", (), ["bad.tsv", "empty"]),
    "header alone": ("sequence\tlabel\n", (), ["bad.tsv"]),
    "missing column": (GOOD.replace("label", "class"), (), ["no column 'label'", "--data.label_column"]),
    "missing sequences": (GOOD.replace("sequence", "seq"), (), ["no column 'sequence'", "--data.sequence_column"]),
    "labels not from 0": (labelled(1, 2, 1, 2, 2), (), ["bad.tsv", "0"]),
    "empty sequence": (labelled(*"ababb", sequences=[*DNA[:4], ""]), (), ["bad.tsv", "row 5", "empty"]),
    "not DNA": (labelled(*"ababb", sequences=[*DNA[:4], "ACGEFG"]), (), ["bad.tsv", "row 5"]),
    "NaN target": (labelled(1.5, 2.5, "nan", 3.0, 2.0), REGRESSION, ["bad.tsv", "row 3"]),
    "target no number": (labelled(1.5, 2.5, "high", 3.0, 2.0), REGRESSION, ["bad.tsv", "row 3", "high"]),
    "mixed label lengths": (
        table("sequence", "labels", rows=[("ACGT", "0011"), ("ACGTA", "0011")] * 8),
        TOKENS,
        ["bad.tsv", "row 2", "4", "5"],
    ),
    "class absent from train": (
        table("sequence", "label", "split", rows=[*((f"{dna}A", "a", "train") for dna in DNA), (DNA[0], "b", "test")]),
        ("--data.split_column", "split"),
        ["train split has no label of class b", "leave the class out"],
    ),
}


@pytest.mark.parametrize(("text", "options", "parts"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_table_is_one_line(workplace, dnafm, tiny_options, text, options, parts):
    """It names the file, the row or column, and what to do; no folder is made."""
    (workplace / "bad.tsv").write_text(text)
    code, output, errors = dnafm("fit", *options, *tiny_options, "--data.path", "bad.tsv")
    assert (code, output) == (1, "")
    assert errors.startswith("dnafm: error: ")
    assert errors.count("\n") == 1
    assert [part for part in parts if part not in errors] == []
    assert not (workplace / "runs").exists()


BAD_OPTIONS = {
    "no such file": (["--data.path", "nowhere.tsv"], "nowhere.tsv does not exist"),
    "data set that the Hub does not give": (
        ["--data.path", "nobody/nothing"],
        "'nobody/nothing' is no file or folder",
    ),
    "model that the Hub does not give": (["--model.backbone", "nobody/nothing"], "nobody/nothing"),
    "metric that the task has not": (["--trainer.metric_for_best_model", "mse"], "no metric 'mse'; the metrics are"),
    "strategy that is none": (["--trainer.eval_strategy", "often"], "trainer.eval_strategy: often is not a valid"),
    "field of the config": (["--model.config_overrides", '{"hiden_size": 8}'], "no field 'hiden_size'"),
    "sequences too long": (["--model.max_length", "20"], "--data.too_long"),
    "folds without fold": (["--data.folds", "3"], "data.fold"),
    "frozen and LoRA": (["--model.frozen", "true", "--model.lora.r", "4"], "choose one of the two"),
    "task without training": (["--model", "Embed", "--data", "Embed"], "Use dnafm predict"),
}


@pytest.mark.parametrize(("options", "part"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_option_that_cannot_be_is_one_line(workplace, dnafm, monkeypatch, options, part):
    """Of the right type, and of no use; no folder is made."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, output, errors = dnafm("fit", "--data.path", "table.tsv", *options)
    assert (code, output) == (1, "")
    assert part in errors
    assert errors.count("\n") == 1
    assert not (workplace / "runs").exists()


def test_used_folder_is_refused_before_anything_is_read(workplace, dnafm):
    """Its file stays as it is, and the data, which are not there, are not missed."""
    (workplace / "runs").mkdir()
    (workplace / "runs" / "thesis.tex").write_text("of mine")
    code, _, errors = dnafm("fit", "--data.path", "nowhere.tsv", "--trainer.output_dir", "runs")
    assert code == 1
    assert errors.startswith("dnafm: error: runs is not empty.")
    assert [path.name for path in (workplace / "runs").iterdir()] == ["thesis.tex"]


BAD_PREDICTIONS = {
    "unknown extension": (
        ["--output", "p.xlsx"],
        "--output p.xlsx: the extension says the format; it is one of .parquet",
    ),
    "existing table": (
        ["--output", "table.tsv"],
        "table.tsv exists. Write to another file, or replace it by --overwrite",
    ),
    "folder of the table": (["--output", "nowhere/p.tsv"], "The folder nowhere does not exist."),
    "no fitted model": (["--output", "p.tsv"], "runs/dnafm holds no fitted model. Run dnafm fit"),
    "no such checkpoint": (["--output", "p.tsv", "--checkpoint", "./nowhere"], "./nowhere"),
}


@pytest.mark.parametrize(("options", "part"), BAD_PREDICTIONS.values(), ids=BAD_PREDICTIONS)
def test_prediction_that_cannot_be_is_one_line(workplace, dnafm, options, part):
    """And the table of the input is still what it was."""
    before = (workplace / "table.tsv").read_text()
    code, output, errors = dnafm("predict", "--data.path", "table.tsv", *options)
    assert (code, output) == (1, "")
    assert part in errors
    assert errors.count("\n") == 1
    assert (workplace / "table.tsv").read_text() == before


def test_prediction_must_have_an_output(dnafm):
    """Wrong usage, in one line."""
    assert dnafm("predict", "--data.path", "t.tsv") == (2, "", "dnafm: error: --output must be given.\n")


@pytest.fixture
def fitted(workplace, dnafm, tiny_options):
    """The configuration of a model of the classes a and b."""
    (workplace / "good.tsv").write_text(GOOD)
    code, _, errors = dnafm(
        *("fit", *tiny_options, "--data.path", "good.tsv", "--trainer.num_train_epochs", 1),
        *("--trainer.output_dir", "runs/good"),
    )
    assert code == 0, errors
    return "runs/good/config.yaml"


def test_unknown_label_at_test_is_one_line(workplace, dnafm, fitted):
    """A class that the model has not, with file and row; and a split that is not there."""
    (workplace / "other.tsv").write_text(labelled(*"abcab"))
    code, _, errors = dnafm("test", "--config", fitted, "--data.path", "other.tsv", "--data.test_fraction", 1)
    assert code == 1
    assert "other.tsv" in errors
    assert "'c'" in errors
    assert errors.count("\n") == 1
    code, _, errors = dnafm("test", "--config", fitted, "--data.test_fraction", 0)
    assert (code, errors.count("\n")) == (1, 1)
    assert "good.tsv has no test split; it has train, validation." in errors


def test_dry_run_prints_the_plan_and_writes_nothing(workplace, dnafm, tiny_options):
    """Parameters, tokens, steps and memory; not even the output folder is made."""
    before = sorted(workplace.iterdir())
    code, output, errors = dnafm("fit", *tiny_options, "--data.path", "table.tsv", "--dry_run")
    assert (code, errors) == (0, "")
    parts = [
        "10,819 parameters",
        "2,728 tokens in an epoch",
        "8 steps",
        "best by mcc",
        "MiB for each process",
        "loss 1.",
    ]
    assert [part for part in parts if part not in output] == []
    written = {path for path in workplace.iterdir() if path.name != "cache"}
    assert written == {path for path in before if path.name != "cache"}


def test_fit_says_nothing_but_its_own_words(workplace, installed_dnafm, tiny_options):
    """No warning or bar of a library, and no Python repr, on any stream of a process of its own."""
    options = [*tiny_options, "--data.path", "table.tsv", "--trainer.num_train_epochs", 2]
    output = installed_dnafm("fit", *options, "--trainer.logging_steps", 1)
    for line in output.splitlines():
        first = line.split(" ")[0]
        assert first in ("", "step", "metric", "Trained", "Saved") or first.replace("_", "").isalnum(), line
    assert not any(mark in output for mark in ("Warning", "[transformers]", "<class", "None", "it/s"))
    assert json.loads((workplace / "runs" / "dnafm" / "metrics.json").read_text())["validation"]
