"""Cross-validation: every fold is tested, and none twice."""

import csv
import json
from statistics import mean, stdev

import pytest

pytest.importorskip("jsonargparse")


def read_folds(folder) -> list[dict[str, str]]:
    with (folder / "folds.tsv").open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.fixture
def options(tiny_options):
    """Those of a cross-validation of three folds."""
    short = ["--trainer.num_train_epochs", "1", "--trainer.output_dir", "runs/cv"]
    return [*tiny_options, *short, "--data.path", "table.tsv", "--data.folds", "3", "--data.fold", "all"]


@pytest.fixture
def finished(workplace, dnafm, options):
    """The folder of a finished cross-validation, and what it printed."""
    code, output, errors = dnafm("fit", *options)
    assert (code, errors) == (0, "")
    return workplace / "runs" / "cv", output


def test_mean_and_deviation_are_those_of_the_folds(finished):
    """By hand from the metrics of each fold, to all digits in the table and to three on the terminal."""
    folder, output = finished
    metrics = [json.loads((folder / f"fold-{i}" / "test" / "metrics.json").read_text())["metrics"] for i in range(3)]
    rows = {row["metric"]: row for row in read_folds(folder)}
    assert rows.keys() == metrics[0].keys()
    for name, row in rows.items():
        values = [of_fold[name] for of_fold in metrics]
        assert [float(row[f"fold {i}"]) for i in range(3)] == values
        assert float(row["mean"]) == pytest.approx(mean(values), rel=1e-12)
        assert float(row["sd"]) == pytest.approx(stdev(values), rel=1e-9, abs=1e-12)
    accuracies = [of_fold["accuracy"] for of_fold in metrics]
    line = next(line for line in output.splitlines() if line.startswith("accuracy"))
    assert line.split()[1:] == [
        *(f"{a:.3f}" for a in accuracies),
        f"{mean(accuracies):.3f}",
        "±",
        f"{stdev(accuracies):.3f}",
    ]


def test_folds_divide_the_rows(finished):
    """The tests of the folds have the 60 rows of the table between them."""
    _, output = finished
    plans = [line for line in output.splitlines() if line.startswith("  data ")]
    n_test = [int(line.split(" test;")[0].split(", ")[-1]) for line in plans]
    assert len(n_test) == 3
    assert sum(n_test) == 60


def test_a_folder_of_a_fold_is_a_run_of_its_own(finished, dnafm):
    """Its configuration tests it again, with the same result."""
    folder, _ = finished
    path = folder / "fold-1" / "test" / "metrics.json"
    expected = json.loads(path.read_text())["metrics"]
    code, _, _ = dnafm("test", "--config", folder / "fold-1" / "config.yaml", "--resamples", 0, "--plots", "false")
    assert code == 0
    assert json.loads(path.read_text())["metrics"] == expected


def test_finished_folds_are_not_done_again(finished, dnafm, options):
    """After an interruption in the third fold, that one alone is fitted; metrics that are not defined stay so."""
    folder, output = finished
    first = folder / "fold-0" / "test" / "metrics.json"
    document = json.loads(first.read_text())
    document["metrics"]["auroc"] = None
    first.write_text(json.dumps(document))
    (folder / "fold-2" / "test" / "metrics.json").unlink()
    touched = [(folder / f"fold-{i}" / "model.safetensors").stat().st_mtime_ns for i in range(2)]
    code, resumed, errors = dnafm("fit", *options, "--trainer.resume_from_checkpoint", "true")
    assert (code, errors) == (0, "")
    assert [(folder / f"fold-{i}" / "model.safetensors").stat().st_mtime_ns for i in range(2)] == touched
    assert resumed.count("  data ") == 1
    rows = {row["metric"]: row for row in read_folds(folder)}
    assert rows["auroc"]["fold 0"] == ""
    table = [text[text.index("\naccuracy") :].splitlines()[1] for text in (output, resumed)]
    assert table[0] == table[1]


def test_used_folder_is_refused(finished, dnafm, options):
    """Without the order to go on, and before any fold."""
    code, output, errors = dnafm("fit", *options)
    assert (code, output) == (1, "")
    assert errors.startswith("dnafm: error: runs/cv is not empty.")
