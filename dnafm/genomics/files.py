"""Files of the field: compression told apart by content, numbered lines, and files that appear when they are whole."""

import gzip
import os
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

from dnafm.genomics.htslib import import_optional, quiet_htslib, quietly
from dnafm.genomics.intervals import Interval

Compression = Literal["plain", "gzip", "bgzip"]
_GZIP_MAGIC = b"\x1f\x8b"
# The empty block that ends every file of bgzip: without it, whole blocks may be missing unnoticed.
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
_COMPRESSED = (".gz", ".bgz")


def compression_of(path: str | os.PathLike) -> Compression:
    """Return how a file is compressed, whatever its name.

    Raises:
        ValueError: the file is empty, or bgzip and cut.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as stream:
        start = stream.read(18)
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - len(_BGZIP_END)))
        end = stream.read()
    if not start:
        raise ValueError(f"{os.fspath(path)}: the file is empty.")
    if not start.startswith(_GZIP_MAGIC):
        return "plain"
    if start[12:14] != b"BC":
        return "gzip"
    if end != _BGZIP_END:
        raise ValueError(
            f"{os.fspath(path)}: the block that ends every bgzip file is missing, so the file was cut. Was the "
            "download complete? Fetch the file again."
        )
    return "bgzip"


def check_not_gzip(path: str | os.PathLike) -> Compression:
    """Return how a file is compressed, and raise a ValueError that names bgzip where it is plain gzip."""
    compression, name = compression_of(path), os.fspath(path)
    if compression == "gzip":
        plain = name.removesuffix(".gz")
        raise ValueError(
            f"{name}: it is compressed with gzip, in which no place can be looked up. Compress it with bgzip: "
            f"gunzip {name} && bgzip {plain}"
        )
    return compression


def numbered_lines(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    """Yield the lines of a plain, gzip or bgzip file without their ends, and their numbers from 1.

    Raises:
        ValueError: names the line at which data are cut or damaged, or text is not UTF-8; or the file is empty.
    """
    name, number = os.fspath(path), 0
    with open_bytes(path) as stream:
        while True:
            number += 1
            try:
                line = stream.readline()
            except _DAMAGED as error:
                raise ValueError(
                    f"{name}:{number}: the compressed data are cut or damaged ({error}). Fetch the file again."
                ) from error
            if not line:
                break
            yield number, _decoded(line, f"{name}:{number}")
    if number == 1:
        raise ValueError(f"{name}: the file is empty.")


def located_lines(path: str | os.PathLike, region: Interval | None = None) -> Iterator[tuple[str, str]]:
    """Yield lines, each with its place `file:line`; through the index of tabix where there is one.

    Without an index, all lines are given, and the caller leaves out those beyond the region. Through the index, the
    place is the file and the region, because line numbers are unknown.
    """
    name = os.fspath(path)
    if region is None or not has_tabix_index(path):
        for number, line in numbered_lines(path):
            yield f"{name}:{number}", line
        return
    compression_of(path)
    try:
        with quiet_htslib() as pysam:
            tabix = pysam.TabixFile(name)
        with tabix:
            # A contig without rows is unknown to the index.
            if region.contig in tabix.contigs:
                for line in quietly(tabix.fetch(region.contig, region.start_bp, region.end_bp)):
                    yield f"{name}, {region.to_region()}", line
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: no rows can be looked up ({error}). Index the file anew with tabix.") from error


def has_tabix_index(path: str | os.PathLike) -> bool:
    """Return whether a `.tbi` or `.csi` is beside a file."""
    return any(os.path.exists(f"{os.fspath(path)}{extension}") for extension in (".tbi", ".csi"))


@contextmanager
def new_file(path: str | os.PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path in the same folder, which gets the name when the block ends and goes when it fails.

    The temporary name ends in `.tmp` and the extension, by which libraries tell formats.

    Raises:
        FileExistsError: the file exists, and `overwrite` is not set.
        OSError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    check_free(path, overwrite=overwrite)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp{path.suffix}")
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise OSError(f"{path.parent}: no file can be made in this folder: {error.strerror}.") from error
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise an OSError where a path is a folder, or a file that must not be replaced."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Name the file to write.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Write to another file, or set overwrite to replace it.")


def open_bytes(path: str | os.PathLike) -> BinaryIO:
    """Open a plain, gzip or bgzip file, uncompressed."""
    return cast(BinaryIO, open(path, "rb") if compression_of(path) == "plain" else gzip.open(path))


class OutputStream:
    """A new file for bytes, which bgzip compresses by option, and whose errors name it.

    Args:
        path: to write to.
        target: the name that errors give.
        is_compressed: by bgzip.
    """

    def __init__(self, path: str | os.PathLike, target: str | os.PathLike, *, is_compressed: bool):
        self._target = os.fspath(target)
        name = os.fspath(path)
        self._stream = import_optional("pysam").BGZFile(name, "wb") if is_compressed else open(name, "wb")  # noqa: SIM115
        self._is_open = True

    def __enter__(self) -> "OutputStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            OSError: the disk is full.
        """
        self._do(lambda: self._stream.write(data))

    def close(self) -> None:
        """Write what is left; a second time does nothing."""
        if self._is_open:
            self._is_open = False
            self._do(self._stream.close)

    def _do(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"{self._target} cannot be written to the end ({reason}). Is the disk full?") from error


@contextmanager
def written_file(path: str | os.PathLike, *, overwrite: bool = False) -> Iterator[OutputStream]:
    """Give what to write bytes to; the extensions `.gz` and `.bgz` ask for bgzip. See `new_file`."""
    is_compressed = os.fspath(path).endswith(_COMPRESSED)
    with (
        new_file(path, overwrite=overwrite) as temporary,
        OutputStream(temporary, path, is_compressed=is_compressed) as stream,
    ):
        yield stream


def _decoded(line: bytes, place: str) -> str:
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{place}: this is no text in UTF-8 ({error.reason}). Is the file of another format?"
        ) from error
    if "\r" in text:
        raise ValueError(f"{place}: lines end in CR alone; convert them to LF, as with `tr '\\r' '\\n'`.")
    return text
