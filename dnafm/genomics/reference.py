"""Random access to the sequences of a genome."""

import difflib
import hashlib
import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from dnafm.genomics.fasta_index import ensure_fasta_index
from dnafm.genomics.files import check_not_gzip
from dnafm.genomics.htslib import quiet_htslib
from dnafm.genomics.intervals import Interval
from dnafm.genomics.sequences import check_nucleotides, reverse_complement

_CHUNK_BP = 1 << 24
_MITOCHONDRIA = ("chrM", "M", "MT", "chrMT")


class ReferenceGenome:
    """A FASTA file, plain or compressed with bgzip, of which any part can be read.

    The index of samtools, `.fai`, is made beside the file where it is missing; for bgzip, `.gzi` too. An object may be
    pickled and used after a fork, where each process opens the file for itself; threads need one each.

    Args:
        path: of the file.
        contig_aliases: also find `1` as `chr1` and the reverse, and the mitochondrion as chrM, M, MT and chrMT. Names
            are matched exactly by default, because many genomes of one species differ in more than the names.

    Raises:
        ValueError: the file is empty, cut, compressed with gzip, no FASTA, or is not the one its index was made of.
        OSError: there is no such file, or no index, and none can be made.
        ImportError: pysam is missing.
    """

    def __init__(self, path: str | os.PathLike, *, contig_aliases: bool = False):
        self.path = os.fspath(path)
        self.contig_aliases = contig_aliases
        check_not_gzip(self.path)
        ensure_fasta_index(self.path)
        self._checksums: dict[str, str] = {}
        self._handle: Any = None
        self._process = -1
        handle = self._opened()
        try:
            self._lengths = dict(zip(handle.references, handle.lengths, strict=True))
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}: the name of a record is no text in UTF-8 ({error.reason}).") from error

    def __enter__(self) -> "ReferenceGenome":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_process": -1}

    def __contains__(self, contig: str) -> bool:
        return self._found(contig) is not None

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._handle is not None and self._process == os.getpid():
            self._handle.close()
        self._handle = None

    @property
    def contigs(self) -> tuple[str, ...]:
        """Names in the order of the file."""
        return tuple(self._lengths)

    @property
    def contig_lengths(self) -> Mapping[str, int]:
        """Number of bases by name, in the order of the file."""
        return MappingProxyType(self._lengths)

    def resolve(self, contig: str) -> str:
        """Return the name that a contig has in this file.

        Raises:
            ValueError: there is none; names the nearest.
        """
        found = self._found(contig)
        if found is None:
            raise ValueError(f"{self.path} has no contig {contig!r}. {self._advice(contig)}")
        return found

    def fetch(self, interval: Interval, *, pad: bool = False, keep_case: bool = False) -> str:
        """Return the bases of an interval, read along its strand.

        Args:
            interval: any; on the strand `-` it is reverse-complemented.
            pad: fill up with N behind the end of the contig.
            keep_case: keep the lower case by which repeats are marked; by default all is upper case.

        Raises:
            ValueError: see `fetch_bases`.
        """
        return self.fetch_bases(
            interval.contig,
            interval.start_bp,
            interval.end_bp,
            is_reverse=interval.is_reverse,
            pad=pad,
            keep_case=keep_case,
        )

    def fetch_bases(
        self,
        contig: str,
        start_bp: int,
        end_bp: int,
        *,
        is_reverse: bool = False,
        pad: bool = False,
        keep_case: bool = False,
    ) -> str:
        """Return bases by their coordinates, which with `pad` may lie before the start of the contig.

        Raises:
            ValueError: the contig is unknown, the range is empty, it passes an end of the contig without `pad`, or
                there is a character that is no nucleotide.
        """
        name = self.resolve(contig)
        length_bp = self._lengths[name]
        if start_bp >= end_bp:
            raise ValueError(f"start_bp {start_bp} must be below end_bp {end_bp}.")
        if not pad and not 0 <= start_bp < end_bp <= length_bp:
            raise ValueError(
                f"Bases {start_bp} to {end_bp} pass an end of {name}, which has {length_bp} in {self.path}. Is it of "
                "the same assembly? With pad=True, N stands for what is missing."
            )
        first_bp, last_bp = (min(max(0, edge_bp), length_bp) for edge_bp in (start_bp, end_bp))
        bases = self._read(name, first_bp, last_bp) if first_bp < last_bp else ""
        n_before = min(max(0, -start_bp), end_bp - start_bp)
        bases = ("N" * n_before + bases).ljust(end_bp - start_bp, "N")
        bases = bases if keep_case else bases.upper()
        return reverse_complement(bases) if is_reverse else bases

    def checksum(self, contig: str) -> str:
        """Return the MD5 of a contig in upper case, as in the M5 field of SAM and in refget; 32 hexadecimal digits.

        It is computed once, and reads the contig in pieces.
        """
        name = self.resolve(contig)
        if name not in self._checksums:
            digest = hashlib.md5(usedforsecurity=False)
            for piece in self._pieces(name):
                digest.update(piece.upper().encode())
            self._checksums[name] = digest.hexdigest()
        return self._checksums[name]

    def _pieces(self, name: str) -> Iterator[str]:
        length_bp = self._lengths[name]
        for start_bp in range(0, length_bp, _CHUNK_BP):
            yield self._read(name, start_bp, min(start_bp + _CHUNK_BP, length_bp))

    def _read(self, name: str, start_bp: int, end_bp: int) -> str:
        try:
            with quiet_htslib():
                bases = self._opened().fetch(name, start_bp, end_bp)
        except (OSError, ValueError) as error:
            raise OSError(f"{self.path}: {name} cannot be read ({error}). Is the file damaged?") from error
        if len(bases) != end_bp - start_bp:
            raise ValueError(
                f"{self.path}: {name} has fewer bases than its index says. Delete {self.path}.fai, which is of "
                "another file, or of this one before it was cut."
            )
        try:
            check_nucleotides(bases)
        except ValueError as error:
            raise ValueError(
                f"{self.path}: in {name}, from base {start_bp} on: {error} Is this a protein FASTA?"
            ) from error
        return bases

    def _opened(self) -> Any:
        # A fork shares the position in the file with its parent, so that each would move the other's.
        if self._handle is None or self._process != os.getpid():
            with quiet_htslib() as pysam:
                try:
                    self._handle = pysam.FastaFile(self.path)
                except (OSError, ValueError) as error:
                    raise OSError(f"{self.path}: no FASTA with a sound index ({error}).") from error
            self._process = os.getpid()
        return self._handle

    def _found(self, contig: str) -> str | None:
        names = (contig, *(_aliases(contig) if self.contig_aliases else ()))
        return next((name for name in names if name in self._lengths), None)

    def _advice(self, contig: str) -> str:
        aliases = [name for name in _aliases(contig) if name in self._lengths]
        if aliases:
            return f"It has {aliases[0]!r}: set contig_aliases if both are of the same assembly."
        nearest = difflib.get_close_matches(contig, self._lengths, n=3, cutoff=0.0)
        return f"The nearest are {', '.join(map(repr, nearest))}. Are both of the same assembly?"


def _aliases(contig: str) -> tuple[str, ...]:
    if contig in _MITOCHONDRIA:
        return _MITOCHONDRIA
    return (contig.removeprefix("chr") if contig.startswith("chr") else f"chr{contig}",)
