"""Where variants come from: a VCF file, a table, a list, or texts."""

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dnafm.analysis.identities import file_identity
from dnafm.genomics import (
    Interval,
    Variant,
    VcfReader,
    merge_intervals,
    parse_variant_text,
    read_variant_list,
    read_variant_table,
)

_TABLES = (".tsv", ".csv", ".tsv.gz", ".csv.gz")


@dataclass
class VariantSource:
    """Variants that can be read more than once, in the same order.

    Use it in a `with` statement, at whose end a VCF file is closed.

    Attributes:
        vcf: VCF or BCF file.
        variants: instead of it, the path of a table (`.tsv`, `.csv`, also `.gz`) or of a list, or texts such as
            `chr1:12345:A:G`.
        regions: only variants that overlap one; a VCF needs an index for them. None for all.
        reader: of the VCF file, None for other variants.

    Raises:
        ValueError: both or neither of a VCF and variants are given.
    """

    vcf: str | None = None
    variants: Sequence[str] = ()
    regions: tuple[Interval, ...] | None = None
    reader: VcfReader | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if (self.vcf is None) == (not self.variants):
            raise ValueError("Give either a VCF file or variants.")
        self.reader = None if self.vcf is None else VcfReader(self.vcf, regions=self.regions)

    def __enter__(self) -> "VariantSource":
        return self

    def __exit__(self, *_: object) -> None:
        if self.reader is not None:
            self.reader.close()

    def __iter__(self) -> Iterator[Variant]:
        if self.reader is not None:
            return iter(self.reader)
        return (variant for variant in self._read() if self._is_wanted(variant))

    def identity(self) -> dict[str, Any]:
        """Return what tells whether it still gives the same variants, as JSON holds it."""
        paths = [self.vcf] if self.vcf is not None else [path for path in self.variants if os.path.exists(path)]
        regions = None if self.regions is None else [region.to_region() for region in self.regions]
        return {
            "variants": self.vcf or list(self.variants),
            "variant_files": [file_identity(path) for path in paths],
            "regions": regions,
        }

    def _read(self) -> Iterator[Variant]:
        path = Path(self.variants[0])
        if len(self.variants) == 1 and path.exists():
            yield from read_variant_table(path) if path.name.endswith(_TABLES) else read_variant_list(path)
            return
        for text in self.variants:
            try:
                yield parse_variant_text(text)
            except ValueError as error:
                raise ValueError(f"{error} There is no file of that name either.") from error

    def _is_wanted(self, variant: Variant) -> bool:
        if self.regions is None:
            return True
        starts_bp, ends_bp = self._edges.get(variant.contig, ([], []))
        first = bisect_right(ends_bp, variant.start_bp)
        return first < len(starts_bp) and starts_bp[first] < variant.end_bp

    @cached_property
    def _edges(self) -> dict[str, tuple[list[int], list[int]]]:
        """Starts and ends of the disjoint regions of each contig, in their order."""
        edges: dict[str, tuple[list[int], list[int]]] = {}
        for interval in merge_intervals(self.regions or ()):
            starts_bp, ends_bp = edges.setdefault(interval.contig, ([], []))
            starts_bp.append(interval.start_bp)
            ends_bp.append(interval.end_bp)
        return edges
