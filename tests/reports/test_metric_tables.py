import csv
import json

import pytest

from dnafm.reports import fold_columns, format_folds, format_metrics, write_metrics_table

NAN = float("nan")
COLUMNS = {
    "validation": {"accuracy": 0.95126, "auroc": NAN, "rmse": 12.5},
    "test": {"accuracy": 0.94, "auroc": NAN, "rmse": 7.25, "f1_donor": 1 / 3},
}
INTERVALS = {"test": {"accuracy": (0.9351, 0.9684), "rmse": (6.0, 11.0)}}


def test_table_aligns_values_and_tells_what_is_undefined():
    """A metric that is NaN throughout has no row but a note; one that a column lacks is a dash there."""
    assert format_metrics(COLUMNS, intervals=INTERVALS).splitlines() == [
        "metric    validation                   test",
        "accuracy       0.951  0.940 [0.935, 0.968]",
        "rmse          12.500  7.250 [6.000, 11.000]",
        "f1_donor           -  0.333",
        "",
        "Not defined on these data: auroc.",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.000"),
        (-0.0421, "-0.042"),
        (0.00421, "0.00421"),
        (0.0000421, "4.21e-05"),
        (45.678, "45.678"),
        (456.78, "456.8"),
        (45678.9, "45,679"),
        (4.56e12, "4.560e+12"),
        (float("inf"), "inf"),
    ],
)
def test_decimals_follow_the_size_of_the_number(value, shown):
    """Three decimals about 1, three or more figures elsewhere."""
    assert format_metrics({"test": {"rmse": value}}).splitlines()[1].split() == ["rmse", shown]


def test_markdown_table_escapes_what_would_end_a_cell():
    """A class may be named a|b."""
    table = format_metrics({"test": {"f1_a|b": 0.5}}, markdown=True)
    assert table == "| metric | test |\n| --- | ---: |\n| f1_a\\|b | 0.500 |"


def test_folds_end_in_mean_and_standard_deviation():
    """0.90, 0.92, 0.94: mean 0.92, sd 0.02 with n - 1. NaN in a fold does not count, and is told."""
    folds = {
        "fold 0": {"accuracy": 0.90, "auroc": 0.98, "auprc": NAN},
        "fold 1": {"accuracy": 0.92, "auroc": NAN, "auprc": NAN},
        "fold 2": {"accuracy": 0.94, "auroc": 0.99, "auprc": NAN},
    }
    assert format_folds(folds).splitlines() == [
        "metric    fold 0  fold 1  fold 2      mean ± sd",
        "accuracy   0.900   0.920   0.940  0.920 ± 0.020",
        "auroc      0.980       -   0.990  0.985 ± 0.007",
        "",
        "Not defined: auroc in 1 of 3 folds, auprc in 3 of 3 folds.",
    ]
    columns = fold_columns(folds)
    assert list(columns) == ["fold 0", "fold 1", "fold 2", "mean", "sd"]
    assert columns["mean"]["accuracy"] == pytest.approx(0.92)
    assert columns["sd"]["accuracy"] == pytest.approx(0.02)


def test_one_fold_has_no_deviation():
    """The mean stands alone."""
    assert format_folds({"fold 0": {"accuracy": 0.9}}).splitlines()[1].split() == ["accuracy", "0.900", "0.900"]


def test_tsv_holds_exact_values_and_limits(tmp_path):
    """Read back, the numbers are the same; NaN and what is missing are empty."""
    write_metrics_table(tmp_path / "metrics.tsv", COLUMNS, intervals=INTERVALS)
    with open(tmp_path / "metrics.tsv") as stream:
        rows = {row["metric"]: row for row in csv.DictReader(stream, delimiter="\t")}
    assert list(rows) == ["accuracy", "auroc", "rmse", "f1_donor"]
    assert float(rows["f1_donor"]["test"]) == 1 / 3
    assert (rows["accuracy"]["test_low"], rows["accuracy"]["test_high"]) == ("0.9351", "0.9684")
    assert rows["auroc"]["test"] == rows["f1_donor"]["validation"] == rows["f1_donor"]["test_low"] == ""


def test_json_is_strict(tmp_path):
    """NaN and infinity are null, for they are no JSON."""
    columns = {"test": {"accuracy": 1 / 3, "auroc": NAN, "loss": float("inf")}}
    write_metrics_table(tmp_path / "metrics.json", columns, intervals={"test": {"accuracy": (0.25, 0.5)}})
    document = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert document == {
        "metrics": {"test": {"accuracy": 1 / 3, "auroc": None, "loss": None}},
        "intervals": {"test": {"accuracy": [0.25, 0.5]}},
    }


def test_file_is_replaced_whole(tmp_path):
    """The folder is made, and nothing but the last table is in it."""
    path = tmp_path / "results" / "metrics.md"
    write_metrics_table(path, {"test": {"accuracy": 0.5}})
    write_metrics_table(path, COLUMNS, intervals=INTERVALS)
    assert path.read_text() == format_metrics(COLUMNS, intervals=INTERVALS, markdown=True) + "\n"
    assert list(path.parent.iterdir()) == [path]


def test_bad_tables_are_refused(tmp_path):
    """The error names the value and the rule, and nothing is written."""
    with pytest.raises(ValueError, match=r"ends in '.xlsx'; .* \.tsv, \.json, \.md"):
        write_metrics_table(tmp_path / "metrics.xlsx", COLUMNS)
    with pytest.raises(ValueError, match="no columns"):
        write_metrics_table(tmp_path / "metrics.tsv", {})
    with pytest.raises(ValueError, match=r"intervals of \['train'\]; the columns are \['validation', 'test'\]"):
        format_metrics(COLUMNS, intervals={"train": {}})
    assert list(tmp_path.iterdir()) == []
