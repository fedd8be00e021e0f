"""Tables of predictions, from any file with sequences, in memory that does not grow with it."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("jsonargparse")

# Ten records of 24 bases; the first half of each is an exon.
GENOME = "".join(f">chr{i} of a made-up genome\n{'ACGT' * 3}{'TTAG' * 3}\n" for i in range(10))
BED = "".join(f"chr{i}\t0\t12\texon\n" for i in range(10))
GFF = "##gff-version 3\n" + "".join(f"chr{i}\t.\texon\t1\t12\t.\t+\t.\tID=e{i}\n" for i in range(10))
LABELS = "id\tlabel\n" + "".join(f"chr{i}\t{'first' if i % 2 else 'second'}\n" for i in range(10))


@pytest.fixture
def fit_and_predict(workplace, dnafm, tiny_options):
    """Fit on options of data, test, and predict for the same; returns what `test` printed, and the predicted rows."""

    def run(*options):
        names = ("--trainer.output_dir", "runs/x", "--trainer.num_train_epochs", 1)
        code, _, errors = dnafm("fit", *tiny_options, *options, *names)
        assert (code, errors) == (0, "")
        code, tested, errors = dnafm("test", "--config", "runs/x/config.yaml", "--resamples", 20, "--plots", "false")
        assert (code, errors) == (0, "")
        code, _, errors = dnafm("predict", "--config", "runs/x/config.yaml", "--output", "p.jsonl")
        assert (code, errors) == (0, "")
        return tested, [json.loads(line) for line in (workplace / "p.jsonl").read_text().splitlines()]

    return run


def test_fasta_with_a_table_of_labels(workplace, fit_and_predict):
    """A class for each record, whose name is its id."""
    (workplace / "genome.fa").write_text(GENOME)
    (workplace / "labels.tsv").write_text(LABELS)
    tested, rows = fit_and_predict("--data.path", "genome.fa", "--data.labels", "labels.tsv")
    assert "f1_first" in tested
    assert [row["id"] for row in rows] == [f"chr{i}" for i in range(10)]
    assert {row["prediction"] for row in rows} <= {"first", "second"}


@pytest.mark.parametrize(("name", "text"), [("exons.bed", BED), ("exons.gff3", GFF)])
def test_fasta_with_intervals(workplace, fit_and_predict, read_metrics, name, text):
    """A class for each base; half of those of the tested records are exon."""
    (workplace / "genome.fa").write_text(GENOME)
    (workplace / name).write_text(text)
    tested, rows = fit_and_predict(
        *("--model", "TokenClassification", "--data.path", "genome.fa", "--data.labels", name)
    )
    assert "f1_exon" in tested
    assert [len(row["probability_exon"]) for row in rows] == [24] * 10
    metrics = read_metrics(workplace / "runs" / "x" / "test" / "metrics.json")["metrics"]
    assert metrics["auprc"] >= 0


def test_labels_are_not_needed(workplace, dnafm, fit_and_predict):
    """A file with sequences alone gives the probabilities that the labelled one gave."""
    _, rows = fit_and_predict("--data.path", "table.tsv")
    (workplace / "new.csv").write_text("sequence\n" + "".join(f"{row['sequence']}\n" for row in rows))
    words = ["--config", "runs/x/config.yaml", "--data.path", "new.csv", "--output", "new.jsonl"]
    assert dnafm("predict", *words) == (0, "60 rows written to new.jsonl.\n", "")
    new = [json.loads(line) for line in (workplace / "new.jsonl").read_text().splitlines()]
    assert [row["id"] for row in new] == [str(i + 1) for i in range(60)]
    assert [row["probability_donor"] for row in new] == [row["probability_donor"] for row in rows]
    assert new[0].keys() == rows[0].keys() - {"label"}


def test_split_alone_is_predicted(workplace, dnafm, fit_and_predict):
    """With --split test, the rows that were tested."""
    tested, rows = fit_and_predict("--data.path", "table.tsv")
    words = ["--config", "runs/x/config.yaml", "--split", "test", "--output", "p.jsonl"]
    assert dnafm("predict", *words)[0] == 1
    assert dnafm("predict", *words, "--overwrite")[0] == 0
    written = [json.loads(line) for line in (workplace / "p.jsonl").read_text().splitlines()]
    assert f"{len(written)} rows. Written" in tested
    assert [row for row in rows if row["id"] in {line["id"] for line in written}] == written


def test_options_of_the_checkpoint_count(workplace, dnafm, tiny_options):
    """A model for several labels at once is tested as one, though the options do not say so."""
    lines = (workplace / "table.tsv").read_text().splitlines()[1:]
    rows = "".join(f"{line.split()[1]},{i % 2},{int(i % 3 == 0)}\n" for i, line in enumerate(lines))
    (workplace / "multi.csv").write_text(f"sequence,a,b\n{rows}")
    data = ["--data.path", "multi.csv", "--data.label_columns", "[a, b]"]
    options = [*tiny_options, *data, "--model.multilabel", "true", "--trainer.num_train_epochs", 1]
    assert dnafm("fit", *options, "--trainer.output_dir", "runs/multi")[0] == 0
    code, output, errors = dnafm("test", *data, "--checkpoint", "runs/multi", "--resamples", 0)
    assert (code, errors) == (0, "")
    assert "subset_accuracy" in output
    pytest.importorskip("matplotlib")
    assert (workplace / "runs" / "dnafm" / "test" / "roc_pr.png").is_file()


PEAK = """
import resource, sys
from dnafm.cli.main import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(workplace, dnafm, tiny_options):
    """Twenty times the rows take at most a tenth more memory."""
    options = [*tiny_options, "--data.path", "table.tsv", "--trainer.num_train_epochs", 1]
    assert dnafm("fit", *options, "--trainer.output_dir", "runs/x")[0] == 0
    peaks = []
    for n_rows in (2_000, 40_000):
        (workplace / f"{n_rows}.csv").write_text("id,sequence\n" + "".join(f"{i},ACGTAC\n" for i in range(n_rows)))
        words = ["--config", "runs/x/config.yaml", "--data.path", f"{n_rows}.csv", "--output", f"{n_rows}.tsv"]
        command = [sys.executable, "-c", PEAK, "predict", *words]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        assert f"{n_rows:,} rows written" in result.stdout
        peaks.append(int(result.stdout.split()[-1]))
    assert peaks[1] < 1.1 * peaks[0]
