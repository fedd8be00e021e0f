"""The index of samtools beside a FASTA file: made once, whole, and checked against the file."""

import os
import uuid

from dnafm.genomics.files import compression_of, numbered_lines, open_bytes
from dnafm.genomics.htslib import import_optional, quiet_htslib
from dnafm.genomics.intervals import parse_position

_BLOCK_BYTES = 1 << 24
# What a line without bases may hold behind the last sequence.
_WHITESPACE = b" \t\r\n"


def ensure_fasta_index(path: str) -> None:
    """Make the index of a plain or bgzip FASTA file where it is missing, and check that it belongs to the file.

    Raises:
        ValueError: the file cannot be indexed, or an index is that of another file.
        OSError: the folder cannot be written to; names the command that makes an index.
    """
    is_plain = compression_of(path) == "plain"
    indices = [f"{path}.fai"] if is_plain else [f"{path}.fai", f"{path}.gzi"]
    if not all(map(os.path.exists, indices)):
        _make(path, indices)
    if is_plain:
        _check_size(path)


def _make(path: str, indices: list[str]) -> None:
    folder = os.path.dirname(path) or "."
    if not os.access(folder, os.W_OK):
        raise OSError(
            f"{path} has no index, and none can be written to {folder}. Run `samtools faidx {path}` where you may "
            "write, or copy the file there."
        )
    # Other processes must not see half an index.
    temporary = [f"{index}.{uuid.uuid4().hex}.tmp" for index in indices]
    try:
        _run_faidx(path, temporary)
        _check_names(path, temporary[0])
        # Last, because its presence says that there is an index.
        for made, index in reversed(list(zip(temporary, indices, strict=True))):
            os.replace(made, index)
    finally:
        for made in filter(os.path.exists, temporary):
            os.remove(made)


def _run_faidx(path: str, indices: list[str]) -> None:
    options = ["--fai-idx", indices[0]] + (["--gzi-idx", indices[1]] if indices[1:] else [])
    with quiet_htslib() as pysam:
        try:
            pysam.faidx(path, *options)
        except import_optional("pysam.utils").SamtoolsError as error:
            raise ValueError(
                f"{path}: samtools finds no FASTA that can be indexed. A record is a line with '>' and a name, and "
                "then lines of the same width, the last one excepted; `seqkit seq -w 60` makes them so."
            ) from error


def _check_names(path: str, index: str) -> None:
    """Raise a ValueError where samtools, which does not tell, left a record out of the index."""
    with open(index, "rb") as rows:
        n_indexed = sum(1 for _ in rows)
    if n_indexed == _count_headers(path):
        return
    first_line: dict[str, int] = {}
    name, has_bases = "", True
    for number, line in numbered_lines(path):
        if not line.startswith(">"):
            has_bases = has_bases or bool(line.strip())
            continue
        if not has_bases:
            break
        name, has_bases = (line[1:].split() or [""])[0], False
        if name in first_line:
            raise ValueError(
                f"{path}:{number}: the name {name!r} is that of line {first_line[name]}. Names must be unique."
            )
        first_line[name] = number
    raise ValueError(f"{path}:{first_line.get(name, 1)}: {name!r} has no bases. Remove the record, or add them.")


def _count_headers(path: str) -> int:
    n_headers, last = 0, b"\n"
    with open_bytes(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            n_headers += (last + block).count(b"\n>")
            last = block[-1:]
    return n_headers


def _check_size(path: str) -> None:
    """Raise a ValueError where the bytes behind the last sequence of the index are not the end of the file."""
    end = 0
    # Names may be in any encoding; only the numbers matter here.
    with open(f"{path}.fai", encoding="latin-1") as rows:
        for number, row in enumerate(rows, start=1):
            end = max(end, _end_byte(row, f"{path}.fai:{number}"))
    with open(path, "rb") as stream:
        stream.seek(end)
        rest = stream.read(_BLOCK_BYTES)
    if end > os.path.getsize(path) or rest.strip(_WHITESPACE):
        raise ValueError(
            f"{path}.fai is not the index of {path}, which was replaced or changed. Delete the index; it is made anew."
        )


def _end_byte(row: str, place: str) -> int:
    """Return where a sequence ends: full lines have `width` bytes, of which `n_bases` are bases."""
    numbers = [parse_position(field) for field in row.rstrip("\n").split("\t")[1:5]]
    length, offset, n_bases, width = [-1 if number is None else number for number in (*numbers, *[None] * 4)[:4]]
    if min(length, offset, width) < 0 or (n_bases < 1 and length):
        raise ValueError(f"{place}: this is no row of an index of samtools. Delete the index; it is made anew.")
    return offset + (length // n_bases * width + length % n_bases if length else 0)
