"""From a table to a tested model, by the commands as they are published."""

import re

import pytest

pytest.importorskip("jsonargparse")

# No output folder: the default one.
PUBLISHED = (
    *("--model", "SequenceClassification", "--model.backbone", "dnafm_tiny"),
    *("--data", "SequenceClassification", "--data.path", "table.tsv"),
)
PLOTS = {"confusion_matrix.png", "roc_pr.png"}


@pytest.fixture(scope="module")
def published(shared_workplace, installed_dnafm):
    """The default output folder, and what `dnafm fit` and `dnafm test` printed with the published options."""
    fitted = installed_dnafm("fit", *PUBLISHED)
    return shared_workplace / "runs" / "dnafm", fitted, installed_dnafm("test", *PUBLISHED)


def test_fit_prints_what_it_does_and_what_came_out(published):
    """Model, data, schedule, the course of the training, the metrics, and what to do next."""
    _, fitted, _ = published
    expected = ["2,692,995 parameters", "train, ", "acceptor, donor, neither", "best by mcc", "step 8/8"]
    expected += [
        "kept the weights of step",
        "\nmetric ",
        "\naccuracy ",
        "Next: dnafm test --config runs/dnafm/config.yaml",
    ]
    places = [fitted.find(words) for words in expected]
    assert -1 not in places
    assert places == sorted(places)


def test_saved_folder_is_an_ordinary_checkpoint(published):
    """The Auto class loads it, with the names of the classes."""
    from transformers import AutoModelForSequenceClassification

    folder, _, _ = published
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.id2label == {0: "acceptor", 1: "donor", 2: "neither"}


def test_test_prints_and_writes_the_same_metrics(published, read_metrics):
    """Each number of the printed table, with its interval, is that of metrics.json, to its digits."""
    folder, _, tested = published
    document = read_metrics(folder / "test" / "metrics.json")
    for name in ("accuracy", "mcc", "auroc_donor"):
        printed = re.search(rf"^{name} +(\S+) \[(\S+), (\S+)\]$", tested, re.M)
        low, high = document["intervals"][name]
        assert list(map(float, printed.groups())) == pytest.approx([document["metrics"][name], low, high], abs=5e-4)
    assert document["metrics"].keys() >= {"f1_acceptor", "auprc_neither", "loss"}


def test_plots_are_pictures(published):
    """Where matplotlib is there, each file that the command names has the beginning of a PNG file, and size."""
    pytest.importorskip("matplotlib")
    folder, _, tested = published
    assert all(name in tested for name in PLOTS)
    for path in (folder / "training.png", *(folder / "test" / name for name in PLOTS)):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 10_000


def test_validate_reproduces_what_fit_found(published, dnafm, read_metrics):
    """From the configuration that fit wrote, the metrics of the validation split are equal bit for bit."""
    folder, _, _ = published
    code, _, errors = dnafm("validate", "--config", folder / "config.yaml", "--resamples", 0, "--plots", "false")
    assert (code, errors) == (0, "")
    found = read_metrics(folder / "validation" / "metrics.json")["metrics"]
    expected = read_metrics(folder / "metrics.json")["validation"]
    assert {name: found[name] for name in expected} == expected


def test_second_fit_in_the_same_folder_is_refused(published, dnafm):
    """The message names both ways out."""
    code, output, errors = dnafm("fit", *PUBLISHED)
    assert (code, output) == (1, "")
    assert errors.startswith("dnafm: error: runs/dnafm is not empty. Go on with the run in it by")
    assert errors.count("\n") == 1


def test_prediction_goes_on_from_the_folder(published, dnafm):
    """The same options and an output give a row for each of the input, in its order."""
    code, output, _ = dnafm("predict", *PUBLISHED, "--output", "predictions.tsv")
    assert (code, output) == (0, "60 rows written to predictions.tsv.\n")
    folder, _, _ = published
    tables = [(folder.parents[1] / name).read_text().splitlines() for name in ("table.tsv", "predictions.tsv")]
    read, written = ([line.split("\t")[0] for line in table] for table in tables)
    assert written == read
    assert (
        tables[1][0] == "id\tsequence\tlabel\tprediction\tprobability_acceptor\tprobability_donor\tprobability_neither"
    )
