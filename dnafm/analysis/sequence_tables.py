"""Rows of a table as named sequences, with the columns beside them."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dnafm.analysis.identities import file_identity
from dnafm.analysis.named_sequences import NamedSequence
from dnafm.data.prediction_tables import pa
from dnafm.data.source_tables import Place
from dnafm.data.table_options import TableOptions
from dnafm.data.tables import stream_rows, stream_tables
from dnafm.genomics.sequences import check_nucleotides

SEQUENCE_COLUMN, ID_COLUMN = "sequence", "id"


@dataclass(frozen=True)
class TableSource:
    """The rows of a table: csv, tsv, parquet, json, jsonl or arrow.

    Attributes:
        path: of the file.
        sequence_column: of the sequences.
        id_column: of the ids; by default `id`, or the number of the row, from 1, where there is none.
    """

    path: str
    sequence_column: str = SEQUENCE_COLUMN
    id_column: str | None = None

    @property
    def has_intervals(self) -> bool:
        """Whether every sequence has an interval."""
        return False

    def other_columns(self) -> pa.Schema:
        """Return names and types of the columns beside id and sequence."""
        rows = self._opened()
        features = getattr(rows, "features", None)
        # All columns of csv and tsv are text.
        schema = features.arrow_schema if features else pa.schema(dict.fromkeys(self._first_row(rows), pa.string()))
        used = {self.sequence_column, self._id_column(schema.names)}
        return pa.schema([column for column in schema if column.name not in used])

    def identity(self) -> dict[str, Any]:
        """Return the file's, and the columns."""
        return {
            "input": file_identity(self.path),
            "sequence_column": self.sequence_column,
            "id_column": self.id_column,
        }

    def __iter__(self) -> Iterator[NamedSequence]:
        place = Place(self.path)
        for index, row in enumerate(stream_rows(self._opened(), self.path)):
            self._check_columns(row)
            yield self._named(row, place.row(index), str(index + 1))

    def _opened(self) -> Any:
        (rows,) = stream_tables(TableOptions(path=self.path)).values()
        return rows

    def _first_row(self, rows: Any) -> dict[str, Any]:
        return next(stream_rows(rows, self.path), {})

    def _id_column(self, columns: list[str]) -> str | None:
        return self.id_column or (ID_COLUMN if ID_COLUMN in columns else None)

    def _check_columns(self, row: dict[str, Any]) -> None:
        for option, name in (("sequence_column", self.sequence_column), ("id_column", self.id_column)):
            if name is not None and name not in row:
                near = difflib.get_close_matches(name, row, n=1)
                guess = f"Did you mean {near[0]!r}? " if near else ""
                raise ValueError(
                    f"{self.path} has no column {name!r}; its columns are {', '.join(row)}. {guess}Name it with "
                    f"{option}."
                )

    def _named(self, row: dict[str, Any], place: str, number: str) -> NamedSequence:
        id_column = self._id_column(list(row))
        name, sequence = number if id_column is None else row[id_column], row[self.sequence_column]
        if name is None or name == "":
            raise ValueError(f"{place}: the id in column {id_column!r} is missing.")
        if not isinstance(sequence, str) or not sequence:
            raise ValueError(f"{place}: in column {self.sequence_column!r} is no sequence, but {sequence!r}.")
        try:
            check_nucleotides(sequence)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        used = (self.sequence_column, id_column)
        others = {column: value for column, value in row.items() if column not in used}
        return NamedSequence(str(name), sequence, place, others=others)
