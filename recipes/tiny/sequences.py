"""Read sequences as FASTA and GenBank files hold them, and write them as plain FASTA."""

import gzip
import hashlib
import lzma
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from maf import rebuild
from tqdm import tqdm

_OPENERS: dict[str, Callable] = {".gz": gzip.open, ".xz": lzma.open}
_COLUMNS = 80
_NEWLINE = ord("\n")

Sequences = dict[str, np.ndarray]
Chunks = dict[str, list[bytes]]


def read_sequences(path: Path, *, maf_name: str | None = None) -> Sequences:
    """Read the letters, (bases,) uint8 and upper case, of each sequence of a FASTA, GenBank or MAF file.

    Args:
        path: `.gb` and `.gbk` are GenBank, `.maf` is an alignment, all else FASTA; plain or with `.gz` or `.xz`.
        maf_name: the genome to take from an alignment.

    Raises:
        ValueError: two sequences have one name, or the alignment is not as `maf.rebuild` needs it.
    """
    opener = _OPENERS.get(path.suffix, open)
    suffix = (path.with_suffix("") if path.suffix in _OPENERS else path).suffix
    with opener(path, "rb") as stream:
        lines = tqdm(stream, path.name, unit=" lines", leave=False, disable=None)
        if suffix == ".maf":
            return rebuild(lines, str(maf_name))
        chunks = _genbank_chunks(lines) if suffix in (".gb", ".gbk") else _fasta_chunks(lines)
    return {name: np.frombuffer(b"".join(parts).upper(), np.uint8) for name, parts in chunks.items()}


def short_name(header: str) -> str:
    """Return the accession of `gi|…|ref|NC_017063.1| …`, chr01 of `Umaydis:chr01:1:+:2476500`, else the first word."""
    word = header.split(maxsplit=1)[0]
    return word.split(":")[1] if word.count(":") == 4 else word.rstrip("|").split("|")[-1]


def write_fasta(path: Path, sequences: Sequences) -> str:
    """Write sequences in lines of 80 letters, whole or not at all, and return the file's SHA-256."""
    temporary = path.with_name(f"{path.name}.tmp")
    digest = hashlib.sha256()
    with temporary.open("wb") as stream:
        for name, letters in sequences.items():
            text = b">%b\n%b" % (name.encode("ascii"), _wrapped(letters))
            digest.update(text)
            stream.write(text)
    os.replace(temporary, path)
    return digest.hexdigest()


def _wrapped(letters: np.ndarray) -> bytes:
    n_full = len(letters) // _COLUMNS
    lines = np.full((n_full, _COLUMNS + 1), _NEWLINE, np.uint8)
    lines[:, :_COLUMNS] = letters[: n_full * _COLUMNS].reshape(n_full, _COLUMNS)
    rest = letters[n_full * _COLUMNS :].tobytes()
    return lines.tobytes() + (rest + b"\n" if rest else b"")


def _fasta_chunks(lines: Iterable[bytes]) -> Chunks:
    chunks: Chunks = {}
    for line in lines:
        if line.startswith(b">"):
            current = _new_sequence(chunks, short_name(line[1:].decode("ascii")))
        else:
            current.append(line.strip())
    return chunks


def _genbank_chunks(lines: Iterable[bytes]) -> Chunks:
    chunks: Chunks = {}
    is_sequence = False
    for line in lines:
        if line.startswith(b"VERSION"):
            current = _new_sequence(chunks, line.split()[1].decode("ascii"))
        elif is_sequence and line.startswith(b" "):
            current += line.split()[1:]  # the first is the position
        else:
            is_sequence = line.startswith(b"ORIGIN")
    return chunks


def _new_sequence(chunks: Chunks, name: str) -> list[bytes]:
    if name in chunks:
        raise ValueError(f"Two sequences are named {name!r}. Names must differ, so that regions can be held out.")
    return chunks.setdefault(name, [])
