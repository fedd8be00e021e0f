"""FASTA files as token ids, one byte a base.

A code is the base's id in the tokenizer's vocabulary, plus `SOFT_MASK_BIT` where the letter is lower case. Files are
read in blocks of whole lines, so memory is bounded by the longest line.
"""

import gzip
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from dnafm.tokenization_dnafm import LETTERS, VOCABULARY

SOFT_MASK_BIT = 0x80
TOKEN_ID_MASK = 0x0F

_BLOCK_BYTES = 1 << 22
_WHITESPACE = b" \t\r\n"
_INVALID = b"\xff"
_NOT_A_BASE = re.compile(b"[^" + "".join(LETTERS).encode() + "".join(LETTERS).lower().encode() + rb" \t\r\n]")
_GZIP_MAGIC = b"\x1f\x8b"
_XZ_MAGIC = b"\xfd7zXZ\x00"
# The empty block that ends every file of bgzip: without it, whole blocks may be missing unnoticed.
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)


def _table_of_codes() -> bytes:
    table = bytearray(_INVALID * 256)
    for letter, base in LETTERS.items():
        token_id = VOCABULARY.index(base)
        table[ord(letter)], table[ord(letter.lower())] = token_id, token_id | SOFT_MASK_BIT
    return bytes(table)


_TO_CODES = _table_of_codes()


@dataclass(frozen=True)
class FastaSequence:
    """One record of a FASTA file: the first word of its header, its bases, and where its codes start."""

    name: str
    length_bp: int
    offset: int


def encode_fasta(path: str | os.PathLike, write: Callable[[bytes], object]) -> tuple[FastaSequence, ...]:
    """Encode a FASTA file, handing its codes on block by block.

    Plain, gzip, bgzip and xz are told apart by content. Lines may be wrapped anyhow and end in LF or CRLF; blank
    lines, spaces and tabs between bases are skipped. U is read as T and an ambiguity code as N.

    Args:
        path: the file.
        write: called with the codes of all sequences in order, without separators.

    Returns:
        The sequences in the order of the file. A code of `bytes` is the token id in its low four bits, and
        `SOFT_MASK_BIT` where the letter was lower case.

    Raises:
        ValueError: names file and line, where a character is no nucleotide, bases come before the first header, a
            sequence has no name, no bases or the name of another, compressed data are cut or damaged, or the file
            holds no sequence.
    """
    encoder = _Encoder(os.fspath(path), write)
    for line, piece in _pieces(encoder.path):
        if piece.startswith(b">"):
            encoder.start_sequence(piece, line)
        else:
            encoder.add_bases(piece, line)
    return encoder.finish()


def _pieces(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield headers, and blocks of sequence lines, each with the number of its first line."""
    line = 1
    with _open_by_content(path) as stream:
        try:
            while block := stream.read(_BLOCK_BYTES):
                block += stream.readline()
                start = 0
                while start < len(block):
                    end = block.find(b"\n" if block.startswith(b">", start) else b"\n>", start) + 1 or len(block)
                    yield line, block[start:end]
                    line += block.count(b"\n", start, end)
                    start = end
        except _DAMAGED as error:
            raise ValueError(
                f"{path}:{line}: the compressed data are cut or damaged in what follows this line ({error}). "
                "Was the download complete? Fetch the file again."
            ) from error


def _open_by_content(path: str) -> BinaryIO:
    with open(path, "rb") as stream:
        start = stream.read(18)
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - len(_BGZF_END)))
        end = stream.read()
    if start.startswith(_XZ_MAGIC):
        return cast(BinaryIO, lzma.open(path))
    if not start.startswith(_GZIP_MAGIC):
        return open(path, "rb")
    if start[12:14] == b"BC" and end != _BGZF_END:
        raise ValueError(
            f"{path}: the block that ends every bgzip file is missing, so the file was cut after its first line or "
            "later. Was the download complete? Fetch the file again."
        )
    return cast(BinaryIO, gzip.open(path))


@dataclass
class _Encoder:
    path: str
    write: Callable[[bytes], object]
    n_written: int = 0
    name: str = ""
    offset: int = 0
    sequences: list[FastaSequence] = field(default_factory=list)
    line_of_name: dict[str, int] = field(default_factory=dict)

    def start_sequence(self, header: bytes, line: int) -> None:
        self._end_sequence()
        text = header[1:].rstrip(b"\r\n").decode("utf-8", "replace")
        if "\r" in text:
            raise ValueError(
                f"{self.path}:{line}: lines end in CR alone; convert them to LF, as with `tr '\\r' '\\n'`."
            )
        words = text.split(maxsplit=1)
        if not words:
            raise ValueError(f"{self.path}:{line}: the header has no name. Write one behind the '>'.")
        name = words[0]
        if name in self.line_of_name:
            first = self.line_of_name[name]
            raise ValueError(f"{self.path}:{line}: the name {name!r} is that of line {first}. Names must be unique.")
        self.name, self.offset, self.line_of_name[name] = name, self.n_written, line

    def add_bases(self, lines: bytes, line: int) -> None:
        codes = lines.translate(_TO_CODES, _WHITESPACE)
        if _INVALID in codes:
            raise ValueError(self._not_a_base(lines, line))
        if codes and not self.name:
            line += lines[: len(lines) - len(lines.lstrip())].count(b"\n")
            raise ValueError(f"{self.path}:{line}: bases before the first header. A FASTA file starts with '>'.")
        self.write(codes)
        self.n_written += len(codes)

    def finish(self) -> tuple[FastaSequence, ...]:
        self._end_sequence()
        if not self.sequences:
            raise ValueError(f"{self.path}:1: the file holds no sequence. A FASTA file starts with '>'.")
        return tuple(self.sequences)

    def _end_sequence(self) -> None:
        if not self.name:
            return
        if self.n_written == self.offset:
            line = self.line_of_name[self.name]
            raise ValueError(f"{self.path}:{line}: the sequence {self.name!r} has no bases. Remove it, or add them.")
        self.sequences.append(FastaSequence(self.name, self.n_written - self.offset, self.offset))

    def _not_a_base(self, lines: bytes, line: int) -> str:
        found = cast(re.Match, _NOT_A_BASE.search(lines))
        line += lines.count(b"\n", 0, found.start())
        return (
            f"{self.path}:{line}: {chr(found[0][0])!r} is no nucleotide: A, C, G, T, U, N and the IUPAC ambiguity "
            "codes are. Is this a protein FASTA, or not a FASTA file at all?"
        )
