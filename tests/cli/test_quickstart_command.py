import json
import os
import subprocess
import sys

import pytest

from dnafm.cli import main as cli

pytest.importorskip("sklearn")
pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A process that ran `dnafm quickstart` for two steps, and its output folder."""
    folder = tmp_path_factory.mktemp("quickstart")
    result = subprocess.run(
        [sys.executable, "-m", "dnafm.cli.main", "quickstart", "--max_steps", "2", "--output_dir", folder / "out"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return result, folder / "out"


def test_quickstart_tells_data_model_kernels_and_results(finished):
    """From what is trained on to what to do next, in this order, and nothing on stderr but the command's own words."""
    result, folder = finished
    assert (result.returncode, result.stderr) == (0, "")
    expected = ["2,161 train, 240 validation, 600 test", "from dnafm_tiny", "attention sdpa", "2 steps", "MCC"]
    expected += ["DNA FM", "logistic regression", f"Saved in {folder}", "bit for bit", "is donor, predicted", "Next:"]
    places = [result.stdout.find(words) for words in expected]
    assert -1 not in places
    assert places == sorted(places)


def test_report_holds_the_printed_metrics(finished):
    """Both rows of the table, to three digits, are those of quickstart.json."""
    result, folder = finished
    report = json.loads((folder / "quickstart.json").read_text())
    for title, name in (("DNA FM", "model"), ("logistic regression", "logistic_regression")):
        row = next(line for line in result.stdout.splitlines() if line.strip().startswith(title) and "." in line)
        printed = [float(word) for word in row.split() if word[0].isdigit()]
        metrics = report[name]
        assert printed == pytest.approx(
            [metrics[key] for key in ("accuracy", "mcc", "f1_donor", "f1_acceptor", "f1_neither")], abs=5e-4
        )


def test_saved_folder_works_in_a_pipeline(finished):
    """What the command says to do next works."""
    from transformers import pipeline

    _, folder = finished
    answers = pipeline("text-classification", model=str(folder), device="cpu")(["ACGT" * 15])
    assert answers[0]["label"] in ("donor", "acceptor", "neither")


def test_foreign_folder_is_one_line_and_exit_code_1(tmp_path, capsys):
    """Nobody's files are written into, and nobody reads a traceback."""
    (tmp_path / "thesis.tex").touch()
    assert cli.main(["quickstart", "--output_dir", str(tmp_path)]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"dnafm: error: {tmp_path} is not empty")
    assert errors.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
