"""Metrics as a table: on the terminal, in Markdown, and as data."""

import csv
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from dnafm.reports.files import write_atomically

# Values, and their intervals, by metric; tables hold several such columns by name.
Metrics = Mapping[str, float]
Intervals = Mapping[str, tuple[float, float]]

NOT_DEFINED = "-"


def format_metrics(
    columns: Mapping[str, Metrics], *, intervals: Mapping[str, Intervals] | None = None, markdown: bool = False
) -> str:
    """Lay metrics out as text: a row for each metric, a column for each split or model.

    A metric that is NaN in every column is left out, and a note says so; in a single one it is a dash.

    Args:
        columns: Metrics by the name of their column.
        intervals: Confidence intervals by column and metric, shown after the value: `0.952 [0.935, 0.968]`.
        markdown: Whether to make a table of Markdown.

    Raises:
        ValueError: there are no columns, or intervals of a column that is not there.
    """
    _check_columns(columns, intervals)
    rows, undefined = [], []
    for metric in _metric_names(columns):
        values = {column: metrics.get(metric, math.nan) for column, metrics in columns.items()}
        if all(map(math.isnan, values.values())):
            undefined.append(metric)
            continue
        limits = {column: (intervals or {}).get(column, {}).get(metric, ()) for column in columns}
        number = _number_format([*values.values(), *(limit for pair in limits.values() for limit in pair)])
        rows.append([metric, *(_cell(values[column], limits[column], number) for column in columns)])
    note = f"Not defined on these data: {', '.join(undefined)}." if undefined else ""
    return _layout(["metric", *columns], rows, note, markdown=markdown)


def format_folds(rows_by_fold: Mapping[str, Metrics], *, markdown: bool = False) -> str:
    """Lay the metrics of cross-validation out as text: a column for each fold, then mean ± standard deviation.

    The standard deviation is that of the folds, with n - 1; one fold has none. A fold in which a metric is NaN does
    not count for it, and a note says how many do.

    Args:
        rows_by_fold: Metrics by the name of the fold.
        markdown: Whether to make a table of Markdown.

    Raises:
        ValueError: there are no folds.
    """
    _check_columns(rows_by_fold, None)
    rows, notes = [], []
    for metric in _metric_names(rows_by_fold):
        values = [metrics.get(metric, math.nan) for metrics in rows_by_fold.values()]
        defined = [value for value in values if not math.isnan(value)]
        if len(defined) < len(values):
            notes.append(f"{metric} in {len(values) - len(defined)} of {len(values)} folds")
        if defined:
            number = _number_format(defined)
            rows.append([metric, *(_cell(value, (), number) for value in values), _mean_and_sd(defined, number)])
    note = f"Not defined: {', '.join(notes)}." if notes else ""
    return _layout(["metric", *map(str, rows_by_fold), "mean ± sd"], rows, note, markdown=markdown)


def fold_columns(rows_by_fold: Mapping[str, Metrics]) -> dict[str, dict[str, float]]:
    """Return the columns of `write_metrics_table` for cross-validation: the folds, then `mean` and `sd` (n - 1)."""
    columns = {str(fold): dict(metrics) for fold, metrics in rows_by_fold.items()}
    statistics: dict[str, dict[str, float]] = {"mean": {}, "sd": {}}
    for metric in _metric_names(rows_by_fold):
        values = [metrics.get(metric, math.nan) for metrics in rows_by_fold.values()]
        defined = [value for value in values if not math.isnan(value)]
        statistics["mean"][metric] = mean(defined) if defined else math.nan
        statistics["sd"][metric] = stdev(defined) if len(defined) > 1 else math.nan
    return columns | statistics


def write_metrics_table(
    path: str | os.PathLike, columns: Mapping[str, Metrics], *, intervals: Mapping[str, Intervals] | None = None
) -> None:
    """Write metrics to a file, whole or not at all.

    Args:
        path: `.md` is the table of `format_metrics`. `.tsv` has a row for each metric, and for each column one of
            values and, where it has intervals, `<column>_low` and `<column>_high`. `.json` has
            `{"metrics": {column: {metric: value}}, "intervals": {column: {metric: [low, high]}}}`. Values in the last
            two are exact; NaN is an empty cell, and what is not finite is null.
        columns: Metrics by the name of their column.
        intervals: Confidence intervals by column and metric.

    Raises:
        ValueError: the extension is another one, or as of `format_metrics`.
    """
    path = Path(path)
    if path.suffix not in _WRITERS:
        raise ValueError(f"{path} ends in {path.suffix!r}; a table of metrics is written to {', '.join(_WRITERS)}.")
    _check_columns(columns, intervals)
    text = _WRITERS[path.suffix](columns, intervals or {})
    write_atomically(path, lambda stream: stream.write(text.encode()))


def _as_markdown(columns: Mapping[str, Metrics], intervals: Mapping[str, Intervals]) -> str:
    return format_metrics(columns, intervals=intervals, markdown=True) + "\n"


def _as_tsv(columns: Mapping[str, Metrics], intervals: Mapping[str, Intervals]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
    header = ["metric"]
    for column in columns:
        header += [column, f"{column}_low", f"{column}_high"] if column in intervals else [column]
    writer.writerow(header)
    for metric in _metric_names(columns):
        row: list[str] = [metric]
        for column, metrics in columns.items():
            row.append(_exact(metrics.get(metric, math.nan)))
            if column in intervals:
                row += map(_exact, intervals[column].get(metric, (math.nan, math.nan)))
        writer.writerow(row)
    return stream.getvalue()


def _as_json(columns: Mapping[str, Metrics], intervals: Mapping[str, Intervals]) -> str:
    values = {column: _finite_or_null(metrics) for column, metrics in columns.items()}
    document: dict[str, object] = {"metrics": values}
    if intervals:
        document["intervals"] = {
            column: {metric: list(map(float, limits)) for metric, limits in by_metric.items()}
            for column, by_metric in intervals.items()
        }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


_WRITERS: dict[str, Callable[[Mapping[str, Metrics], Mapping[str, Intervals]], str]] = {
    ".tsv": _as_tsv,
    ".json": _as_json,
    ".md": _as_markdown,
}


def _check_columns(columns: Mapping[str, Metrics], intervals: Mapping[str, Intervals] | None) -> None:
    if not columns:
        raise ValueError("There are no columns of metrics, so there is no table to make.")
    if unknown := set(intervals or {}) - set(columns):
        raise ValueError(f"There are intervals of {sorted(unknown)}; the columns are {list(columns)}.")


def _metric_names(columns: Mapping[str, Metrics]) -> list[str]:
    return list(dict.fromkeys(metric for metrics in columns.values() for metric in metrics))


def _number_format(values: Sequence[float]) -> str:
    """Return a format for all numbers of a row: three decimals for metrics of about 1, else by the largest number."""
    finite = [abs(value) for value in values if math.isfinite(value)]
    largest = max(finite, default=0.0)
    if largest >= 1000:
        return ",.0f" if largest < 1e9 else ".3e"
    if largest >= 100:
        return ".1f"
    if largest >= 0.01 or largest == 0:
        return ".3f"
    return ".5f" if largest >= 0.0001 else ".2e"


def _cell(value: float, limits: Sequence[float], number: str) -> str:
    if math.isnan(value):
        return NOT_DEFINED
    interval = f" [{', '.join(format(limit, number) for limit in limits)}]" if len(limits) else ""
    return format(value, number) + interval


def _mean_and_sd(values: Sequence[float], number: str) -> str:
    spread = f" ± {stdev(values):{number}}" if len(values) > 1 else ""
    return f"{mean(values):{number}}{spread}"


def _layout(header: Sequence[str], rows: Sequence[Sequence[str]], note: str, *, markdown: bool) -> str:
    lines = _markdown_lines(header, rows) if markdown else _aligned_lines(header, rows)
    return "\n".join([*lines, *(["", note] if note else [])])


def _aligned_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align names left and values right, whether or not an interval follows them."""
    columns = [[row[i] for row in rows] for i in range(len(header))]
    aligned = [_aligned_column(name, cells) for name, cells in zip(header[1:], columns[1:], strict=True)]
    width = max(map(len, [header[0], *columns[0]]))
    names = [name.ljust(width) for name in [header[0], *columns[0]]]
    return ["  ".join(line).rstrip() for line in zip(names, *aligned, strict=True)]


def _aligned_column(name: str, cells: Sequence[str]) -> list[str]:
    parts = [cell.partition(" [") for cell in cells]
    value_width = max((len(value) for value, _, _ in parts), default=0)
    texts = [value.rjust(value_width) + separator + interval for value, separator, interval in parts]
    width = max((len(text) for text in texts), default=0)
    lines = [name.rjust(width), *(text.ljust(width) for text in texts)]
    return [line.rjust(max(width, len(name))) for line in lines]


def _markdown_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]


def _exact(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))


def _finite_or_null(metrics: Metrics) -> dict[str, float | None]:
    return {metric: float(value) if math.isfinite(value) else None for metric, value in metrics.items()}
