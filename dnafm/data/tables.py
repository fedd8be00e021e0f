"""Files, folders and data sets of the Hub as tables, whole or as a stream.

What `datasets` reads, it maps into memory from its cache, which knows a file by path and time of modification. Every
column of a csv or tsv file is text, exactly as it is written: `NA` is a name, and so are `007` and `1e5`.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from dnafm.data.fasta_tables import fasta_dataset, fasta_rows
from dnafm.data.genome_cache import open_genome
from dnafm.data.source_tables import Place, SourceTable
from dnafm.data.table_options import TableOptions

_BUILDERS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_FASTA = (".fa", ".fasta", ".fna", ".ffn")
_COMPRESSIONS = (".gz", ".bgz", ".xz", ".bz2", ".zst")
_CSV_TEXT = {"keep_default_na": False, "na_filter": False}

Splits = Mapping[str, Any]


def read_tables(options: TableOptions) -> dict[str, SourceTable]:
    """Read all splits of the input that `options.path` names; a file is the split that is trained on.

    Raises:
        ValueError: the path is no table, the file is empty or broken, a column to rename is missing, or the Hub has no
            such data set.
        FileNotFoundError: the path does not exist.
    """
    _check_exists(options.path)
    with progress_on_terminals(), _readable(options.path):
        splits = _opened(options, streaming=False)
    return {name: _source_table(rows, name, options, len(splits)) for name, rows in splits.items()}


def stream_tables(options: TableOptions) -> dict[str, Any]:
    """Open all splits of the input as iterables of rows, dicts, that are read as they are asked for.

    Raises:
        ValueError: as `read_tables`.
        FileNotFoundError: the path does not exist.
    """
    _check_exists(options.path)
    with progress_on_terminals(), _readable(options.path):
        splits = _opened(options, streaming=True)
    if not options.rename_columns:
        return dict(splits)
    return {name: _renamed_rows(rows, options.rename_columns, options.path) for name, rows in splits.items()}


def stream_rows(rows: Any, path: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split of `stream_tables`; what is wrong with the file becomes one line."""
    with progress_on_terminals(), _readable(path):
        yield from rows


def is_fasta(path: str) -> bool:
    """Return whether a path is that of a FASTA file, by its extension."""
    return extension_of(path) in _FASTA


def extension_of(path: str) -> str:
    """Return the extension in lower case, without that of a compression."""
    name = Path(path)
    return Path(name.stem if name.suffix in _COMPRESSIONS else name).suffix.lower()


@contextmanager
def progress_on_terminals() -> Iterator[None]:
    """Keep the bars of `datasets` to terminals."""
    import datasets

    if sys.stderr.isatty() or datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turn the errors of readers, which come in chains and many lines, into one line that names the input."""
    from datasets.exceptions import DatasetsError

    try:
        yield
    except _ClearError:
        raise
    except (DatasetsError, OSError, ValueError) as error:
        cause: BaseException = error
        while isinstance(cause.__cause__, Exception):
            cause = cause.__cause__
        reason = " ".join(str(cause).split()) or type(cause).__name__
        if reason.startswith(f"{os.path.expanduser(path)}:"):
            raise ValueError(reason) from error
        if os.path.exists(os.path.expanduser(path)):
            reason = "it holds no rows." if "corresponds to no data" in reason else reason
            raise ValueError(f"{path} cannot be read: {reason}") from error
        raise FileNotFoundError(
            f"{path!r} is no file or folder here, and the Hugging Face Hub did not give a data set of this name: "
            f"{reason}. Check --data.path and the connection."
        ) from error


class _ClearError(ValueError):
    """An error of this module, which says all that a user needs."""


@contextmanager
def _without_download_counts() -> Iterator[None]:
    """Keep `datasets` from telling the Hub which of its readers opens a local file."""
    from datasets import config

    counts = config.HF_UPDATE_DOWNLOAD_COUNTS
    config.HF_UPDATE_DOWNLOAD_COUNTS = False
    try:
        yield
    finally:
        config.HF_UPDATE_DOWNLOAD_COUNTS = counts


def _opened(options: TableOptions, *, streaming: bool) -> Splits:
    path = os.path.expanduser(options.path)
    if os.path.exists(path):
        with _without_download_counts():
            return _opened_path(path, options, streaming=streaming)
    return _opened_path(path, options, streaming=streaming)


def _opened_path(path: str, options: TableOptions, *, streaming: bool) -> Splits:
    import datasets

    if os.path.isfile(path):
        return {options.train_split: _opened_file(path, streaming=streaming)}
    if os.path.isdir(path) and (Path(path, "state.json").is_file() or Path(path, "dataset_dict.json").is_file()):
        saved = datasets.load_from_disk(path)
        return saved if isinstance(saved, datasets.DatasetDict) else {options.train_split: saved}
    builder = datasets.load_dataset_builder(path, options.config_name)
    if builder.name not in ("csv", "fasta"):
        return datasets.load_dataset(path, options.config_name, streaming=streaming)
    files = {str(split): [str(file) for file in each] for split, each in builder.config.data_files.items()}
    if builder.name == "csv":
        return _opened_csv(files, builder.config.sep, streaming=streaming)
    return {split: _opened_fasta(each, streaming=streaming) for split, each in files.items()}


def _check_exists(path: str) -> None:
    """Tell a missing file from a Hub id, which has no extension of a table."""
    if extension_of(path) in (*_BUILDERS, *_FASTA) and not os.path.exists(os.path.expanduser(path)):
        raise FileNotFoundError(f"{path} does not exist. Check --data.path.")


def _opened_file(path: str, *, streaming: bool) -> Any:
    import datasets

    extension = extension_of(path)
    if extension in _FASTA:
        return _opened_fasta([path], streaming=streaming)
    if extension not in _BUILDERS:
        known = ", ".join((*_BUILDERS, *_FASTA))
        raise _ClearError(f"{path}: the extension tells the format, and must be one of {known}, compressed or not.")
    if os.path.getsize(path) == 0:
        raise _ClearError(f"{path} is empty.")
    if _BUILDERS[extension] == "csv":
        separator = "\t" if extension == ".tsv" else ","
        return _opened_csv({"train": [path]}, separator, streaming=streaming)["train"]
    return datasets.load_dataset(
        _BUILDERS[extension], data_files={"train": [path]}, split="train", streaming=streaming
    )


def _opened_csv(files: Mapping[str, Sequence[str]], separator: str, *, streaming: bool) -> Splits:
    import datasets

    columns = _shared_columns([file for each in files.values() for file in each], separator)
    if streaming:
        return {split: _csv_rows(each, separator) for split, each in files.items()}
    features = datasets.Features({column: datasets.Value("string") for column in columns})
    return datasets.load_dataset("csv", data_files=dict(files), sep=separator, features=features, **_CSV_TEXT)


def _csv_rows(files: Sequence[str], separator: str) -> Iterator[dict[str, str]]:
    # datasets leaves the file open where a stream is not read to its end.
    for file in files:
        options: dict[str, Any] = {"sep": separator, "dtype": str, **_CSV_TEXT}
        with pd.read_csv(file, chunksize=1000, compression=_compression(file), **options) as chunks:
            for chunk in chunks:
                yield from chunk.to_dict("records")


def _compression(file: str) -> Any:
    return "gzip" if file.endswith(".bgz") else "infer"


def _shared_columns(files: Sequence[str], separator: str) -> list[str]:
    first = _csv_columns(files[0], separator)
    for file in files[1:]:
        if different := set(first) ^ set(_csv_columns(file, separator)):
            raise _ClearError(f"{file} and {files[0]} differ in the columns {', '.join(sorted(different))}.")
    return first


def _csv_columns(file: str, separator: str) -> list[str]:
    # Two lines, because pandas takes surplus fields of all rows for an index, and shifts the names.
    try:
        options: dict[str, Any] = {"sep": separator, "dtype": str, "compression": _compression(file), **_CSV_TEXT}
        lines = pd.read_csv(file, header=None, nrows=2, **options)
    except pd.errors.EmptyDataError as error:
        raise _ClearError(f"{file} is empty.") from error
    except UnicodeDecodeError as error:
        raise _ClearError(f"{file} is no text in UTF-8: {error}.") from error
    columns = [str(column) for column in lines.iloc[0]]
    if repeated := sorted({column for column in columns if columns.count(column) > 1}):
        raise _ClearError(f"{file} has several columns of the name {repeated[0]!r}. Rename them in the file.")
    if len(lines) < 2:
        raise _ClearError(f"{file} has a header and no rows.")
    return columns


def _opened_fasta(files: Sequence[str], *, streaming: bool) -> Any:
    import datasets

    genomes = [open_genome(file) for file in files]
    if streaming:
        return chain.from_iterable(map(fasta_rows, genomes))
    return datasets.concatenate_datasets([fasta_dataset(genome) for genome in genomes])


def _source_table(rows: Any, split: str, options: TableOptions, n_splits: int) -> SourceTable:
    import datasets

    table = SourceTable(rows, Place(options.path, split if n_splits > 1 else ""))
    if len(rows) == 0:
        raise ValueError(f"{table.place} has no rows.")
    for old in options.rename_columns:
        table.check_column(old, "rename_columns")
    if options.rename_columns:
        rows = rows.rename_columns(options.rename_columns)
    class_names = {
        name: tuple(feature.names)
        for name, column in rows.features.items()
        if isinstance(feature := _innermost(column), datasets.ClassLabel)
    }
    return SourceTable(rows, table.place, class_names)


def _innermost(feature: Any) -> Any:
    while hasattr(feature, "feature") or isinstance(feature, list):
        feature = feature[0] if isinstance(feature, list) else feature.feature
    return feature


def _renamed_rows(rows: Any, names: Mapping[str, str], path: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        if missing := [old for old in names if old not in row]:
            raise _ClearError(f"{path} has no column {missing[0]!r} to rename; its columns are {', '.join(row)}.")
        yield {names.get(name, name): value for name, value in row.items()}
