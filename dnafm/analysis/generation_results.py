"""Designed sequences: as a dataclass, as a table, and as FASTA with scores in the header."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from dnafm.analysis.sequence_constraints import FailureReason

if TYPE_CHECKING:
    import pyarrow

# What the header of a FASTA record tells, where it is known.
_HEADER = ("log_likelihood", "guide_value", "gc", "n_designed", "identity", "acceptance_rate")
_NOT_IN_TABLE = ("unmasking_values", "refinement_values")


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


def generation_schema() -> "pyarrow.Schema":
    """Return the columns of `generation_table`."""
    import pyarrow as pa

    types = {
        "id": pa.string(),
        "template": pa.string(),
        "sequence": pa.string(),
        "n_designed": pa.int64(),
        "failed": pa.string(),
    }
    return pa.schema([(name, types.get(name, pa.float64())) for name in _columns()])


def generation_table(results: Iterable[GeneratedSequence]) -> "pyarrow.Table":
    """Return a row for each sample, with the attributes of `GeneratedSequence` but for the values after each round.

    What is not known is null.
    """
    import pyarrow as pa

    rows = [{name: getattr(result, name) for name in _columns()} for result in results]
    for row in rows:
        row["failed"] = row["failed"] and row["failed"].value
    return pa.Table.from_pylist(rows, schema=generation_schema())


def _columns() -> list[str]:
    return [field.name for field in fields(GeneratedSequence) if field.name not in _NOT_IN_TABLE]
