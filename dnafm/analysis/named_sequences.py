"""Sequences of an input with their names and places, and what they can be read from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dnafm.genomics import Interval

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class NamedSequence:
    """A sequence of the input.

    Attributes:
        id: its name; names may repeat.
        sequence: DNA in either case, with ambiguity codes; U is T.
        place: file and line, or row, for messages.
        interval: where it lies, None for a row of a table.
        others: further columns of a table, by name.
    """

    id: str
    sequence: str
    place: str
    interval: Interval | None = None
    others: dict[str, Any] = field(default_factory=dict)


class SequenceSource(Protocol):
    """Sequences that can be read more than once, one after the other, in the same order.

    Reading raises a ValueError that names file and line, or row, where the input is wrong.
    """

    @property
    def path(self) -> str:
        """Of the file."""

    @property
    def has_intervals(self) -> bool:
        """Whether every sequence has an interval."""

    def other_columns(self) -> "pa.Schema | None":
        """Return names and types of `NamedSequence.others`; None where there are none."""

    def identity(self) -> dict[str, Any]:
        """Return what tells whether it still gives the same sequences, as JSON holds it."""

    def __iter__(self) -> Iterator[NamedSequence]:
        """Yield the sequences."""
