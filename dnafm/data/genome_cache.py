"""Genomes encoded once and mapped into memory from then on.

For each FASTA file the cache holds the codes of `dnafm.data.fasta` (`.codes`) and an index of the sequences (`.json`).
Both are written under a temporary name and renamed when complete, the index last. So what a killed process leaves
behind is never read, and ranks that start together do not see each other's halves.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from tqdm import tqdm

from dnafm.data.fasta import FastaSequence, encode_fasta

FORMAT_VERSION = 1
Result = TypeVar("Result")


@dataclass(frozen=True)
class EncodedGenome:
    """A FASTA file as a memory-mapped array; pickles carry paths and index only.

    Attributes:
        fasta_path: the file it was made from.
        codes_path: the array's file.
        sequences: name, length and offset in the array of each sequence, in the order of the FASTA file.
    """

    fasta_path: str
    codes_path: str
    sequences: tuple[FastaSequence, ...]

    def __len__(self) -> int:
        return sum(sequence.length_bp for sequence in self.sequences)

    @cached_property
    def codes(self) -> np.ndarray:
        """All sequences, (bases,) uint8, read-only: `TOKEN_ID_MASK` selects the id, `SOFT_MASK_BIT` lower case."""
        return np.memmap(self.codes_path, np.uint8, mode="r").view(np.ndarray)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "codes"}


def default_cache_dir() -> Path:
    """Return `dnafm/genomes` below `$XDG_CACHE_HOME`, or below `~/.cache` where that is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dnafm" / "genomes"


def open_genomes(
    paths: Iterable[str | os.PathLike], *, cache_dir: str | os.PathLike | None = None
) -> list[EncodedGenome]:
    """Open FASTA files in order, with a progress bar on a terminal; see `open_genome`."""
    return [open_genome(path, cache_dir=cache_dir) for path in tqdm(list(paths), "genomes", unit="file", disable=None)]


def open_genome(path: str | os.PathLike, *, cache_dir: str | os.PathLike | None = None) -> EncodedGenome:
    """Map the codes of a FASTA file, encoding it first where the cache does not hold it.

    An entry is that of a path, size and time of modification; a file that changes gets a new one. Processes that ask
    for the same file at once wait for the first of them, where the file system has locks.

    Args:
        path: a FASTA file, plain or compressed with gzip, bgzip or xz.
        cache_dir: folder of the cache, made if missing; default `default_cache_dir()`.

    Raises:
        ValueError: the file is no nucleotide FASTA (see `encode_fasta`), or was written to while it was read.
    """
    entry = _Entry.of_file(Path(path).resolve(), Path(cache_dir) if cache_dir is not None else default_cache_dir())
    if genome := entry.read():
        return genome
    entry.index_path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(entry.lock_path) as has_lock:
        if has_lock:
            entry.remove_leftovers()
        return entry.read() or entry.write()


@dataclass(frozen=True)
class _Entry:
    fasta_path: str
    size: int
    modified_ns: int
    stem: Path

    @classmethod
    def of_file(cls, path: Path, cache_dir: Path) -> "_Entry":
        stat = path.stat()
        identity = [FORMAT_VERSION, str(path), stat.st_size, stat.st_mtime_ns]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
        return cls(str(path), stat.st_size, stat.st_mtime_ns, cache_dir / digest)

    @property
    def codes_path(self) -> Path:
        return self.stem.with_suffix(".codes")

    @property
    def index_path(self) -> Path:
        return self.stem.with_suffix(".json")

    @property
    def lock_path(self) -> Path:
        return self.stem.with_suffix(".lock")

    def read(self) -> EncodedGenome | None:
        """Return the genome if both files are whole, else None."""
        try:
            index = json.loads(self.index_path.read_bytes())
            sequences = tuple(FastaSequence(**sequence) for sequence in index["sequences"])
            genome = EncodedGenome(self.fasta_path, str(self.codes_path), sequences)
            is_whole = self.codes_path.stat().st_size == len(genome)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return genome if is_whole else None

    def write(self) -> EncodedGenome:
        sequences = _write_atomically(self.codes_path, self._encode)
        index = {"fasta_path": self.fasta_path, "sequences": [asdict(sequence) for sequence in sequences]}
        text = json.dumps(index).encode()
        _write_atomically(self.index_path, lambda stream: stream.write(text))
        return EncodedGenome(self.fasta_path, str(self.codes_path), sequences)

    def remove_leftovers(self) -> None:
        """Remove what killed writers of this entry left; only for the holder of the lock."""
        for path in self.stem.parent.glob(f"{self.stem.name}.*.tmp"):
            path.unlink(missing_ok=True)

    def _encode(self, stream: BinaryIO) -> tuple[FastaSequence, ...]:
        sequences = encode_fasta(self.fasta_path, stream.write)
        stat = os.stat(self.fasta_path)
        if (stat.st_size, stat.st_mtime_ns) != (self.size, self.modified_ns):
            raise ValueError(f"{self.fasta_path}: the file changed while it was read. Open it again when it is whole.")
        return sequences


def _write_atomically(path: Path, fill: Callable[[BinaryIO], Result]) -> Result:
    """Fill a file of another name, and give it its own when all of it is on disk."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            result = fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return result


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold a lock that the system frees when the process dies; False where there is none to be had.

    It only saves work: without it, processes encode the same file side by side, and each renames a whole one.
    """
    with path.open("wb") as stream:
        try:
            _lock(stream)
            has_lock = True
        except (ImportError, OSError):
            has_lock = False
        yield has_lock


def _lock(stream: BinaryIO) -> None:
    import fcntl

    fcntl.flock(stream, fcntl.LOCK_EX)
