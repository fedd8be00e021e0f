"""Rows one after the other, as they are read, for prediction."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dnafm.data.prepared_rows import RowPreparation
from dnafm.data.source_tables import NOT_DNA, Place, missing_column, not_dna, too_long_message
from dnafm.data.splits import SPLITS
from dnafm.data.table_options import TableOptions
from dnafm.data.tables import is_fasta, progress_on_terminals, stream_rows, stream_tables
from dnafm.data.task_loading import divide

_FOREIGN = re.compile(NOT_DNA)


def stream(options: TableOptions, split: str | None, *, max_bases: int | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split; see `dnafm.data.iterate_rows`."""
    # Of a FASTA file with a table, they are those of the table.
    has_table = is_fasta(options.path) and options.labels is not None
    tables = stream_tables(replace(options, rename_columns={}, id_column=None) if has_table else options)
    names = {"train": options.train_split, "validation": options.validation_split, "test": options.test_split}
    source = names.get(split or "") or split
    is_made = split in SPLITS and (source not in tables or _divides(options))
    if is_made or (split == "train" and len(tables) < len(SPLITS)):
        yield from _made_rows(options, str(split), max_bases)
        return
    if source is not None and source not in tables:
        raise ValueError(f"{options.path} has no split {source!r}; it has {', '.join(tables)}.")
    for name in tables if source is None else [source]:
        place = Place(options.path, name if len(tables) > 1 else "")
        rows = _Rows(place, _preparation(options, None if has_table else options.id_column, max_bases))
        for number, row in enumerate(stream_rows(tables[name], options.path)):
            yield from rows.prepared(row, number)


def _divides(options: TableOptions) -> bool:
    return options.folds is not None or options.split_column is not None


def _preparation(options: TableOptions, id_column: str | None, max_bases: int | None) -> RowPreparation:
    return RowPreparation(
        sequence_column=options.sequence_column,
        id_column=id_column,
        max_bases=max_bases,
        too_long=options.too_long,
    )


def _made_rows(options: TableOptions, split: str, max_bases: int | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split that is made of the input's train split."""
    with progress_on_terminals():
        divided = divide(options, max_bases=max_bases, need_labels=True, label_names=None)
    if split not in divided.splits:
        raise ValueError(f"{options.path} has no {split} split; it has {', '.join(divided.splits)}.")
    chosen = divided.splits[split]
    table, n_bases = divided.tables[chosen.source], divided.n_bases[chosen.source]
    preparation = _preparation(options, divided.id_column, max_bases)
    with progress_on_terminals():
        prepared = preparation.prepare(table.select(chosen.indices), n_bases[chosen.indices])
    yield from prepared.rows


@dataclass(frozen=True)
class _Rows:
    place: Place
    preparation: RowPreparation

    def prepared(self, row: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
        """Yield a row, or the pieces that it is cut into."""
        sequence_column, id_column = self.preparation.sequence_column, self.preparation.id_column
        if sequence_column not in row:
            raise ValueError(missing_column(self.place, list(row), sequence_column, "sequence_column"))
        if id_column is not None and id_column not in row:
            raise ValueError(missing_column(self.place, list(row), id_column, "id_column"))
        preparation = replace(self.preparation, id_column=id_column or ("id" if "id" in row else None))
        sequence = self._checked(row[sequence_column], index)
        name = row.get(preparation.id_column or "")
        others = {column: row[column] for column in preparation.other_columns(list(row), self.place)}
        pieces = preparation.pieces(len(sequence))
        named = preparation.names(str(index + 1 if name is None else name), pieces)
        for piece_name, (start, end) in zip(named, pieces, strict=True):
            yield {"id": piece_name, "sequence": sequence[start:end], **others}

    def _checked(self, sequence: Any, index: int) -> str:
        limit = self.preparation.max_bases
        if not isinstance(sequence, str) or not sequence:
            fault = f"the sequence in column {self.preparation.sequence_column!r} is empty."
        elif _FOREIGN.search(sequence):
            fault = not_dna(sequence)
        elif self.preparation.too_long == "error" and limit is not None and len(sequence) > limit:
            fault = too_long_message(len(sequence), limit)
        else:
            return sequence.upper()
        raise ValueError(f"{self.place.row(index)}: {fault}")
