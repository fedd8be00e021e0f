"""FASTA files as rows of an id and a sequence."""

from collections.abc import Iterator
from typing import Any

from dnafm.data.fasta import TOKEN_ID_MASK
from dnafm.data.genome_cache import EncodedGenome
from dnafm.tokenization_dnafm import VOCABULARY

# A record can be a chromosome.
_RECORDS_AT_ONCE = 16
_LETTERS = bytes(ord(token) if len(token) == 1 else ord("N") for token in VOCABULARY).ljust(256, b"N")


def fasta_rows(genome: EncodedGenome) -> Iterator[dict[str, str]]:
    """Yield `id` and `sequence` of the records: upper case, U as T, ambiguity codes as N."""
    for record in genome.sequences:
        codes = genome.codes[record.offset : record.offset + record.length_bp] & TOKEN_ID_MASK
        yield {"id": record.name, "sequence": codes.tobytes().translate(_LETTERS).decode("ascii")}


def fasta_dataset(genome: EncodedGenome) -> Any:
    """Return those rows as a `datasets.Dataset` in its cache; text can be longer than 2 GiB."""
    import datasets

    text = datasets.Value("large_string")
    return datasets.Dataset.from_generator(
        fasta_rows,
        gen_kwargs={"genome": genome},
        features=datasets.Features({"id": datasets.Value("string"), "sequence": text}),
        writer_batch_size=_RECORDS_AT_ONCE,
    )
