"""The input of embeddings, read once and checked before anything is computed, and with ids that are unique."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any, Literal

from dnafm.analysis.named_sequences import NamedSequence, SequenceSource

DuplicateIds = Literal["error", "number"]


@dataclass(frozen=True)
class CheckedInput:
    """A source all of whose sequences are known to be DNA, with unique ids.

    Attributes:
        source: of the sequences.
        identity: what tells whether it still gives the same sequences, as JSON holds it.
        n_sequences: how many there are.
        n_bases: of all of them.
        longest_bp: bases of the longest one.
        longest_place: where that one is, for messages.
        new_ids: of the second and later sequences of an id, in their order.
    """

    source: SequenceSource
    identity: Mapping[str, Any]
    n_sequences: int
    n_bases: int
    longest_bp: int
    longest_place: str
    new_ids: Mapping[str, list[str]]

    def __iter__(self) -> Iterator[NamedSequence]:
        """Yield the sequences in their order.

        Raises:
            ValueError: the file has changed.
        """
        self._check_unchanged()
        n_seen: dict[str, int] = defaultdict(int)
        for named in self.source:
            if (new_ids := self.new_ids.get(named.id)) is None:
                yield named
                continue
            yield replace(named, id=[named.id, *new_ids][n_seen[named.id]])
            n_seen[named.id] += 1
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        if self.source.identity() != self.identity:
            raise ValueError(f"{self.source.path} has changed since it was checked. Run again when it is whole.")


def check_input(
    source: SequenceSource,
    *,
    duplicate_ids: DuplicateIds = "error",
    on_progress: Callable[[int], object] = lambda n_bases: None,
) -> CheckedInput:
    """Read all of a source and check it; in memory are one sequence at a time, and all ids.

    Args:
        source: to be checked.
        duplicate_ids: what becomes of an id that an earlier sequence has: an error, or a new id, `NAME_2`, `NAME_3`
            and so on, which no sequence of the input has.
        on_progress: is told how many bases more are read.

    Raises:
        ValueError: there is no sequence, one is wrong, or its id is that of an earlier one; the message names file and
            line, or row.
    """
    identity = source.identity()
    first_places: dict[str, str] = {}
    n_repeats: dict[str, int] = defaultdict(int)
    n_sequences = n_bases = longest_bp = 0
    longest_place = ""
    for named in source:
        # A place begins with the path, of which one is enough in memory.
        place = named.place.removeprefix(source.path)
        if (first := first_places.setdefault(named.id, place)) != place:
            _check_may_repeat(named, f"{source.path}{first}", duplicate_ids)
            n_repeats[named.id] += 1
        if len(named.sequence) > longest_bp:
            longest_bp, longest_place = len(named.sequence), named.place
        n_sequences, n_bases = n_sequences + 1, n_bases + len(named.sequence)
        on_progress(len(named.sequence))
    if not n_sequences:
        raise ValueError(f"{source.path}: there is no sequence in the file.")
    new_ids = {name: _new_ids(name, n_new, first_places) for name, n_new in n_repeats.items()}
    return CheckedInput(source, identity, n_sequences, n_bases, longest_bp, longest_place, new_ids)


def _check_may_repeat(named: NamedSequence, first_place: str, duplicate_ids: DuplicateIds) -> None:
    if duplicate_ids == "number":
        return
    if duplicate_ids != "error":
        raise ValueError(f"duplicate_ids is {duplicate_ids!r}; it must be error or number.")
    raise ValueError(
        f"{named.place}: the id {named.id!r} is that of {first_place}. Ids must be unique: with duplicate_ids number "
        f"the second one is {named.id}_2."
    )


def _new_ids(name: str, n_new: int, taken: Collection[str]) -> list[str]:
    return list(islice((new for new in (f"{name}_{k}" for k in count(2)) if new not in taken), n_new))
