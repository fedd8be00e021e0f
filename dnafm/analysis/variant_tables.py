"""Scored variants as rows of tables, and files made of them: VCF, BCF, Parquet and text."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, Protocol

import pyarrow as pa

from dnafm.analysis.variant_scores import ScoredVariant
from dnafm.analysis.variant_sources import VariantSource
from dnafm.data.prediction_tables import EXTENSIONS as TABLE_EXTENSIONS
from dnafm.data.prediction_tables import PredictionWriter
from dnafm.genomics import InfoField, Variant, VcfWriter
from dnafm.genomics.vcf_writer import EXTENSIONS as VCF_EXTENSIONS

OUTPUT_EXTENSIONS = (*VCF_EXTENSIONS, *TABLE_EXTENSIONS)
SKIPPED, HAS_MISMATCH = "skipped", "has_reference_mismatch"
_VARIANT_FIELDS = [
    pa.field("chrom", pa.string()),
    pa.field("pos", pa.int64()),
    pa.field("id", pa.string()),
    pa.field("ref", pa.string()),
    pa.field("alt", pa.string()),
]
_IDENTITY = ("chrom", "pos", "ref", "alt")
_PREFIX = "DNAFM_"
_SKIPPED_ID, _HAS_MISMATCH_ID = f"{_PREFIX}SKIPPED", f"{_PREFIX}REF_MISMATCH"


class ScoreWriter(Protocol):
    """What makes a file of chunks of rows; the file is there after its `with` block, and is not where that fails."""

    def __enter__(self) -> "ScoreWriter": ...

    def __exit__(self, *error: Any) -> None: ...

    def write_all(self, chunks: Iterable[pa.Table]) -> None:
        """Write all rows, in the order of the variants."""


def score_schema(columns: Iterable[str]) -> pa.Schema:
    """Return the schema of the rows, one for each alternative allele, or one alone where there is none.

    `pos` counts from 1; `alt` is null where there is none; scores are float32, null where the allele was `skipped`,
    which then has the reason.
    """
    scores = [pa.field(name, pa.float32()) for name in columns]
    return pa.schema([*_VARIANT_FIELDS, *scores, pa.field(SKIPPED, pa.string()), pa.field(HAS_MISMATCH, pa.bool_())])


def score_rows(scored: Sequence[ScoredVariant], columns: Iterable[str]) -> pa.Table:
    """Return scored variants as rows."""
    rows = [row for each in scored for row in _rows(each)]
    return pa.Table.from_pylist(rows, schema=score_schema(columns))


def open_score_writer(
    path: str | os.PathLike,
    source: VariantSource,
    columns: Mapping[str, str],
    *,
    command: str = "",
    contig_lengths: Mapping[str, int] | None = None,
    index: Literal["tbi", "csi"] | None = None,
    overwrite: bool = False,
) -> ScoreWriter:
    """Return the writer of a file, by its extension: one of `OUTPUT_EXTENSIONS`.

    Args:
        path: of the file.
        source: of the variants; those of a VCF keep all columns in VCF and BCF.
        columns: those of scores and what they are.
        command: what is run, for the header of VCF.
        contig_lengths: of the genome, for the header of VCF.
        index: of `.vcf.gz` or `.bcf`.
        overwrite: replace an existing file.

    Raises:
        ValueError: the extension is none of them, or the input defines our INFO in another way.
        OSError: the file exists, or cannot be made.
    """
    name = os.fspath(path)
    if name.endswith(VCF_EXTENSIONS):
        return _VcfScores(
            VcfWriter(
                path,
                source.reader,
                info=_info_fields(columns),
                command=command,
                contig_lengths=contig_lengths,
                index=index,
                overwrite=overwrite,
            ),
            source,
            columns,
        )
    if not name.endswith(TABLE_EXTENSIONS):
        raise ValueError(f"{name}: the extension says the format; it is one of {', '.join(OUTPUT_EXTENSIONS)}.")
    if index is not None:
        raise ValueError(f"{name}: only .vcf.gz and .bcf have an index.")
    return _TableScores(PredictionWriter(path, schema=score_schema(columns), overwrite=overwrite))


def count_alleles(chunks: Iterable[pa.Table], counts: Counter) -> Iterator[pa.Table]:
    """Yield chunks, and count their alleles by the reason for which they were skipped, None for those with scores.

    Alleles with scores whose reference allele is not the genome's are counted as `has_reference_mismatch`, too.
    """
    for chunk in chunks:
        reasons = chunk.column(SKIPPED).to_pylist()
        counts.update(reasons)
        mismatches = chunk.column(HAS_MISMATCH).to_pylist()
        counts[HAS_MISMATCH] += sum(
            has_mismatch and reason is None for reason, has_mismatch in zip(reasons, mismatches, strict=True)
        )
        yield chunk


class _TableScores:
    def __init__(self, writer: PredictionWriter):
        self._writer = writer

    def __enter__(self) -> "_TableScores":
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def write_all(self, chunks: Iterable[pa.Table]) -> None:
        for index, chunk in enumerate(chunks):
            self._writer.write_chunk(index, chunk)


class _VcfScores:
    def __init__(self, writer: VcfWriter, source: VariantSource, columns: Iterable[str]):
        self._writer, self._source, self._columns = writer, source, list(columns)

    def __enter__(self) -> "_VcfScores":
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def write_all(self, chunks: Iterable[pa.Table]) -> None:
        """Read the variants once more, beside their rows: nothing of the records is kept in the chunks."""
        rows = (row for chunk in chunks for row in chunk.to_pylist())
        for variant in self._source:
            own = list(islice(rows, max(1, len(variant.alternative_alleles))))
            if [_identity(row) for row in own] != [_identity(row) for row in _variant_rows(variant)]:
                raise ValueError(
                    f"{variant.place}: this is not what was scored: the input has changed. Score it anew."
                )
            self._writer.write(variant, self._info(own))
        if next(rows, None) is not None:
            raise ValueError(
                "There are scores of more variants than the input has now: it has changed. Score it anew."
            )

    def _info(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        is_skipped = any(row[SKIPPED] is not None for row in rows)
        info: dict[str, Any] = {
            _SKIPPED_ID: [row[SKIPPED] for row in rows] if is_skipped else None,
            _HAS_MISMATCH_ID: rows[0][HAS_MISMATCH],
        }
        has_scores = any(row[SKIPPED] is None for row in rows)
        for name in self._columns:
            info[_info_id(name)] = [row[name] for row in rows] if has_scores else None
        return info


def _info_fields(columns: Mapping[str, str]) -> list[InfoField]:
    return [
        *(InfoField(_info_id(name), "A", "Float", text) for name, text in columns.items()),
        InfoField(
            _SKIPPED_ID, ".", "String", "Why an alternative allele has no scores, one value for each; . where it has"
        ),
        InfoField(_HAS_MISMATCH_ID, "0", "Flag", "REF is not what the genome has there"),
    ]


def _info_id(column: str) -> str:
    # Names of classes may have what keys of INFO must not.
    return _PREFIX + re.sub("[^0-9A-Za-z_.]", "_", column).upper()


def _rows(scored: ScoredVariant) -> Iterator[dict[str, Any]]:
    for row, allele in zip(_variant_rows(scored.variant), scored.alleles, strict=True):
        reason = None if allele.skipped is None else str(allele.skipped)
        yield {**row, **allele.scores, SKIPPED: reason, HAS_MISMATCH: scored.has_mismatch}


def _variant_rows(variant: Variant) -> list[dict[str, Any]]:
    shared = {
        "chrom": variant.contig,
        "pos": variant.start_bp + 1,  # counted from 1
        "id": variant.id,
        "ref": variant.reference_allele,
    }
    return [{**shared, "alt": allele} for allele in variant.alternative_alleles or (None,)]


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _IDENTITY)
