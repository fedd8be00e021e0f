"""Variants of VCF and BCF files, plain or compressed with bgzip, whole or by region."""

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import Any

from dnafm.genomics.files import check_not_gzip, numbered_lines
from dnafm.genomics.htslib import quiet_htslib, quietly
from dnafm.genomics.intervals import Interval, merge_intervals
from dnafm.genomics.variants import Variant, make_variant


class VcfReader:
    """Yields the variants of a VCF or BCF file, each time it is iterated over.

    Args:
        path: of the file, whose kind is told by its content. Of gzip, only bgzip is read.
        regions: only variants that overlap one, each once, sorted by contig and start of the regions; needs the index
            of tabix or bcftools.
        allow_unsorted: read on where positions decrease or a contig comes back, which the format forbids.

    Raises:
        ValueError: the file is empty, cut, compressed with gzip, or no VCF; or it has no index, and regions are given,
            or a region is of a contig that it does not know.
        OSError: it cannot be read.
        ImportError: pysam is missing.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        regions: Iterable[Interval] | None = None,
        allow_unsorted: bool = False,
    ):
        self.path = os.fspath(path)
        self.allow_unsorted = allow_unsorted
        check_not_gzip(self.path)
        _check_compressed_if_binary(self.path)
        self._file, self.header_text = self._opened()
        self._is_text = self._file.format == "VCF"
        self.regions = None if regions is None else tuple(merge_intervals(regions))
        if self.regions is not None:
            try:
                self._check_regions()
            except ValueError:
                self.close()
                raise

    def __enter__(self) -> "VcfReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Variant]:
        order = _Order(self.allow_unsorted)
        for number, record in enumerate(self._records(), start=1):
            variant = self._variant(record, number)
            order.check(variant)
            yield variant

    def close(self) -> None:
        """Close the file."""
        # htslib reports a damaged block once more when it closes the file.
        with quiet_htslib(), suppress(OSError):
            self._file.close()

    @property
    def contigs(self) -> tuple[str, ...]:
        """Names of the contigs that the header or the index names."""
        indexed = () if self._file.index is None else self._file.index.keys()
        return tuple(dict.fromkeys((*self._file.header.contigs, *indexed)))

    @property
    def info_ids(self) -> tuple[str, ...]:
        """Names of the INFO that the header defines."""
        return tuple(self._file.header.info)

    def _opened(self) -> tuple[Any, str]:
        with quiet_htslib() as pysam:
            try:
                file = pysam.VariantFile(self.path)
                return file, str(file.header)
            except (OSError, ValueError, NotImplementedError) as error:
                raise ValueError(
                    f"{self.path}: this is no VCF or BCF file with a sound header. Text begins with "
                    "'##fileformat=VCF', and has a line that begins with '#CHROM'."
                ) from error

    def _records(self) -> Iterator[Any]:
        number = 0
        try:
            for record in quietly(self._file_records()):
                number += 1
                yield record
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{self._place(number + 1)}: the record cannot be read ({error}): it has too few columns, a position "
                "that is no number, or damaged data. `bcftools view` says more."
            ) from error

    def _file_records(self) -> Iterator[Any]:
        if self.regions is None:
            self._file.reset()
            # The chain has no close(): an iteration that ends early must not close the file.
            yield from chain(self._file)
            return
        last: Interval | None = None
        for region in self.regions:
            if region.contig not in self._indexed_contigs:
                continue
            for record in self._file.fetch(region.contig, region.start_bp, region.end_bp):
                # One that spans two regions came with the first.
                if last is None or last.contig != region.contig or record.start >= last.end_bp:
                    yield record
            last = region

    def _variant(self, record: Any, number: int) -> Variant:
        place = self._place(number)
        try:
            alternatives = tuple(record.alts or ())
            return make_variant(
                record.contig,
                record.start + 1,
                record.ref or ".",
                alternatives,
                id=record.id,
                place=place,
                number=number,
                record=record,
            )
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error

    def _place(self, number: int) -> str:
        if self.regions is not None or not self._is_text:
            return f"{self.path}, record {number}"
        return f"{self.path}:{self._n_header_lines + number}"

    @cached_property
    def _n_header_lines(self) -> int:
        return next((number - 1 for number, line in numbered_lines(self.path) if not line.startswith("#")), 0)

    @cached_property
    def _indexed_contigs(self) -> frozenset[str]:
        return frozenset(self._file.index.keys())

    def _check_regions(self) -> None:
        if self._file.index is None:
            command = "tabix -p vcf" if self._is_text else "bcftools index"
            raise ValueError(
                f"{self.path} has no index, by which regions are looked up. Make one: {command} {self.path}"
            )
        for region in self.regions or ():
            if region.contig not in self.contigs:
                nearest = difflib.get_close_matches(region.contig, self.contigs, n=3, cutoff=0.0)
                raise ValueError(
                    f"{self.path} knows no contig {region.contig!r}, of the region {region.to_region()}. The nearest "
                    f"are {', '.join(map(repr, nearest))}."
                )


def _check_compressed_if_binary(path: str) -> None:
    with open(path, "rb") as stream:
        is_bare = stream.read(3) == b"BCF"
    if is_bare:
        # pysam crashes where it looks up a place in one.
        raise ValueError(
            f"{path}: BCF without compression is not read. Compress it: bcftools view -Ob -o out.bcf {path}"
        )


class _Order:
    """Checks that positions do not decrease within a contig, and that no contig comes back."""

    def __init__(self, allow_unsorted: bool):
        self._allow_unsorted = allow_unsorted
        self._contigs: set[str] = set()
        self._contig, self._start_bp = "", -1

    def check(self, variant: Variant) -> None:
        if variant.contig != self._contig:
            is_sorted = variant.contig not in self._contigs
            self._contigs.add(variant.contig)
        else:
            is_sorted = variant.start_bp >= self._start_bp
        if not is_sorted and not self._allow_unsorted:
            raise ValueError(
                f"{variant.place}: {variant.contig}:{variant.start_bp + 1} comes behind "
                f"{self._contig}:{self._start_bp + 1}. Sort the file, as with `bcftools sort`, or set "
                "allow_unsorted."
            )
        self._contig, self._start_bp = variant.contig, variant.start_bp
