"""Designed sequences: as a dataclass, as a table, and as FASTA with scores in the header."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from dnafm.analysis.sequence_constraints import FailureReason

if TYPE_CHECKING:
    import pyarrow

# What the header of a FASTA record tells, where it is known.
_HEADER = ("log_likelihood", "guide_value", "gc", "n_designed", "identity", "acceptance_rate")
_OF_ROUNDS = ("unmasking_values", "refinement_values")


@dataclass(frozen=True)
class GeneratedSequence:
    """A sample of a template.

    Attributes:
        id: of the template, and the number of the sample from 1.
        template: id of the template.
        sequence: A, C, G and T; None where it failed, and so are all scores.
        log_likelihood: mean log-probability of the designed bases in nats, each masked alone, over A, C, G and T.
        guide_value: of the guide.
        gc: share of G and C, 0 to 1.
        n_designed: places of the template that were filled.
        failed: why there is no sequence: the constraint that did not hold in the last try.
        identity: to the nearest of the given sequences, 0 to 1.
        acceptance_rate: share of the changes proposed in refinement with a guide that were accepted.
        unmasking_values: of the guide, after each round of unmasking, for the sequence as it was completed then.
        refinement_values: of the guide, after each round of refinement.
    """

    id: str
    template: str
    sequence: str | None
    n_designed: int
    log_likelihood: float | None = None
    guide_value: float | None = None
    gc: float | None = None
    identity: float | None = None
    acceptance_rate: float | None = None
    failed: FailureReason | None = None
    unmasking_values: tuple[float, ...] = ()
    refinement_values: tuple[float, ...] = ()

    def to_fasta(self) -> str:
        """Return a record of FASTA, with scores in the header as `key=value`.

        Raises:
            ValueError: it failed.
        """
        if self.sequence is None:
            raise ValueError(f"{self.id} failed, so that there is no sequence to write.")
        values = {name: getattr(self, name) for name in _HEADER}
        known = [f"{name}={value:.6g}" for name, value in values.items() if value is not None]
        return f">{' '.join([self.id, *known])}\n{self.sequence}\n"


def generation_schema(*, with_rounds: bool = False) -> "pyarrow.Schema":
    """Return the columns of `generation_table`."""
    import pyarrow as pa

    types = {
        "id": pa.string(),
        "template": pa.string(),
        "sequence": pa.string(),
        "n_designed": pa.int64(),
        "failed": pa.string(),
        **dict.fromkeys(_OF_ROUNDS, pa.list_(pa.float64())),
    }
    return pa.schema([(name, types.get(name, pa.float64())) for name in _columns(with_rounds)])


def generation_table(results: Iterable[GeneratedSequence], *, with_rounds: bool = False) -> "pyarrow.Table":
    """Return a row for each sample, with the attributes of `GeneratedSequence`; what is not known is null.

    Args:
        results: the samples.
        with_rounds: whether the values after each round are there too, as lists.
    """
    import pyarrow as pa

    rows = [{name: getattr(result, name) for name in _columns(with_rounds)} for result in results]
    for row in rows:
        row["failed"] = row["failed"] and row["failed"].value
    return pa.Table.from_pylist(rows, schema=generation_schema(with_rounds=with_rounds))


def generated_sequences(table: "pyarrow.Table") -> list[GeneratedSequence]:
    """Return the samples of a `generation_table` with the values after each round."""
    rows = table.to_pylist()
    for row in rows:
        row["failed"] = row["failed"] and FailureReason(row["failed"])
        row.update({name: tuple(row[name]) for name in _OF_ROUNDS})
    return [GeneratedSequence(**row) for row in rows]


def _columns(with_rounds: bool) -> list[str]:
    names = [field.name for field in fields(GeneratedSequence)]
    return [name for name in names if with_rounds or name not in _OF_ROUNDS]
