"""The store of mined genomes: vectors of windows with their coordinates, in LanceDB on a disk or an object store.

A store is a LanceDB database of two tables. `windows` has a row for each window: genome, contig, start_bp, end_bp,
strand and vector, in a fixed-size list of length 1; its schema carries the settings. `genomes` has a row for each
genome.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from dnafm.analysis.embedding_tables import pa
from dnafm.analysis.mining_lancedb import connected, import_lancedb, is_remote, quoted, told_as_os_errors
from dnafm.analysis.mining_windows import GenomeSurvey, MinedStrand, WindowCut

VectorDtype = Literal["float32", "float16"]
# Columns that say which place of a genome a row is about.
COORDINATES = {
    "genome": pa.string(),
    "contig": pa.string(),
    "start_bp": pa.int64(),
    "end_bp": pa.int64(),
    "strand": pa.string(),
}
VECTOR = "vector"
_WINDOWS, _GENOMES, _METADATA = "windows", "genomes", b"dnafm"
_DTYPES = {"float32": pa.float32(), "float16": pa.float16()}
# What vectors do not depend on, or by rounding alone.
_MAY_DIFFER = ("backbone", "dtype", "dnafm")


@dataclass(frozen=True)
class StoreSettings:
    """What all vectors of a store were made with.

    Attributes:
        backbone: name, path or Hub id of the model.
        weights: fingerprint of its encoder, see `dnafm.analysis.mining_models.fingerprint`.
        dtype: of the weights.
        width: numbers of a vector.
        window_bp: bases of a window.
        step_bp: bases from one window to the next.
        strand: `"forward"`, or `"both"` for windows of both strands.
        layer: of the model, 0 for the input of the first one.
        pooling: of the vectors of a window's bases.
        vector_dtype: of the numbers on the disk.
        dnafm: version that made the store.
    """

    backbone: str
    weights: str
    dtype: str
    width: int
    window_bp: int
    step_bp: int
    strand: MinedStrand
    layer: int
    pooling: str
    vector_dtype: VectorDtype
    dnafm: str

    def __post_init__(self) -> None:
        if self.vector_dtype not in _DTYPES:
            raise ValueError(f"vector_dtype is {self.vector_dtype!r}; it must be one of {', '.join(_DTYPES)}.")

    @property
    def cut(self) -> WindowCut:
        """How genomes are cut."""
        return WindowCut(self.window_bp, self.step_bp, self.strand)

    @property
    def schema(self) -> pa.Schema:
        """Of the table of windows."""
        vector = pa.list_(_DTYPES[self.vector_dtype], self.width)
        return pa.schema({**COORDINATES, VECTOR: vector}, {_METADATA: json.dumps(asdict(self)).encode()})

    def check_same(self, other: "StoreSettings", path: str) -> None:
        """Check that vectors made with other settings are comparable with those of a store.

        Raises:
            ValueError: they are not; names what differs.
        """
        if self.weights != other.weights:
            raise ValueError(
                f"{path} was made with the backbone {self.backbone!r} (weights {self.weights}), and this is "
                f"{other.backbone!r} (weights {other.weights}). Use the same one, or make another store."
            )
        names = (field.name for field in fields(self) if field.name not in _MAY_DIFFER)
        for name in names:
            if (own := getattr(self, name)) != (given := getattr(other, name)):
                raise ValueError(
                    f"{path} was made with {name} {own!r}, not {given!r}. Use the same one, or make another store."
                )


@dataclass(frozen=True)
class StoredGenome:
    """A genome of a store.

    Attributes:
        name: under which its windows are.
        path: of the FASTA file when it was added.
        checksum: of names and bases, see `GenomeSurvey`.
        contig_lengths: bases by name.
        n_windows: on each strand that is cut.
        n_skipped: places whose bases are mostly unknown.
        is_complete: whether all windows are in the store; else indexing goes on when the genome is added again.
    """

    name: str
    path: str
    checksum: str
    contig_lengths: Mapping[str, int]
    n_windows: int
    n_skipped: int
    is_complete: bool

    @classmethod
    def of(cls, name: str, survey: GenomeSurvey) -> "StoredGenome":
        """Return a genome that is not in the store yet."""
        path = os.path.abspath(survey.path)
        return cls(
            name, path, survey.checksum, survey.contig_lengths, survey.n_windows, survey.n_skipped, is_complete=False
        )


_GENOME_SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "path": pa.string(),
        "checksum": pa.string(),
        "contig_lengths": pa.string(),
        "n_windows": pa.int64(),
        "n_skipped": pa.int64(),
        "is_complete": pa.bool_(),
    }
)


class MiningStore:
    """An open store; see `create_store` and `open_store`.

    Attributes:
        path: as it was given.
        settings: of all vectors.
        windows: table of LanceDB.
    """

    def __init__(self, path: str, database: Any):
        self.path = path
        self.windows = database.open_table(_WINDOWS)
        self._genomes = database.open_table(_GENOMES)
        self.settings = StoreSettings(**json.loads(self.windows.schema.metadata[_METADATA]))

    def genomes(self) -> tuple[StoredGenome, ...]:
        """Return what is in the store, in the order in which it was added."""
        rows = self._genomes.to_arrow().to_pylist()
        return tuple(StoredGenome(**{**row, "contig_lengths": json.loads(row["contig_lengths"])}) for row in rows)

    def count_rows(self, where: str | None = None) -> int:
        """Return the number of windows, each strand counted, of all or of those of a filter."""
        return self.windows.count_rows(where)

    def begin(self, genome: StoredGenome) -> None:
        """Note that a genome is being added."""
        row = {**asdict(genome), "contig_lengths": json.dumps(dict(genome.contig_lengths))}
        with told_as_os_errors(self.path):
            self._genomes.add(pa.Table.from_pylist([row], schema=_GENOME_SCHEMA))

    def commit(self, genome: StoredGenome, tables: Iterable[pa.Table]) -> None:
        """Add all windows of a genome at once, unless they are there, and note that it is complete.

        Raises:
            OSError: the disk is full; none of the windows is added.
        """
        is_it = f"name = {quoted(genome.name)}"
        with told_as_os_errors(self.path):
            if not self.windows.count_rows(f"genome = {quoted(genome.name)}"):
                batches = (batch for table in tables for batch in table.to_batches())
                self.windows.add(pa.RecordBatchReader.from_batches(self.settings.schema, batches))
            self._genomes.update(is_it, {"is_complete": True})


def open_store(path: str | os.PathLike, *, storage_options: Mapping[str, str] | None = None) -> MiningStore:
    """Open a store.

    Args:
        path: a folder, or a place of an object store such as `s3://bucket/store`.
        storage_options: of LanceDB, for object stores.

    Raises:
        ValueError: there is something else.
        FileNotFoundError: there is nothing.
        ImportError: lancedb is missing.
    """
    name = os.fspath(path)
    import_lancedb()
    if not is_remote(name) and not os.path.exists(name):
        raise FileNotFoundError(f"{name}: there is no such store. `dnafm mine index` makes one.")
    not_a_store = f"{name} is no store of genomes. `dnafm mine index` makes one; name the folder that it wrote."
    if not is_remote(name) and not os.path.isdir(os.path.join(name, f"{_WINDOWS}.lance")):
        raise ValueError(not_a_store)
    database = connected(name, storage_options)
    with told_as_os_errors(name):
        found = database.list_tables().tables
    if not {_WINDOWS, _GENOMES} <= set(found):
        raise ValueError(not_a_store)
    if _METADATA not in (database.open_table(_WINDOWS).schema.metadata or {}):
        raise ValueError(not_a_store)
    return MiningStore(name, database)


def create_store(
    path: str | os.PathLike, settings: StoreSettings, *, storage_options: Mapping[str, str] | None = None
) -> MiningStore:
    """Make an empty store.

    Raises:
        FileExistsError: there is a folder with something in it, or a file.
        OSError: the folder cannot be made or written to.
        ImportError: lancedb is missing.
    """
    name = os.fspath(path)
    import_lancedb()
    if not is_remote(name):
        _make_folder(Path(name))
    database = connected(name, storage_options)
    with told_as_os_errors(name):
        # The table that makes it a store comes last.
        database.create_table(_GENOMES, schema=_GENOME_SCHEMA, exist_ok=True)
        database.create_table(_WINDOWS, schema=settings.schema)
    return MiningStore(name, database)


def store_exists(path: str | os.PathLike, *, storage_options: Mapping[str, str] | None = None) -> bool:
    """Return whether there is a store; a place that holds something else counts, too, which `open_store` refuses."""
    name = os.fspath(path)
    if not is_remote(name):
        return os.path.isfile(name) or (os.path.isdir(name) and bool(set(os.listdir(name)) - {f"{_GENOMES}.lance"}))
    database = connected(name, storage_options)
    with told_as_os_errors(name):
        return _WINDOWS in database.list_tables().tables


def _make_folder(path: Path) -> None:
    path.mkdir(exist_ok=True)
    if any(entry.name != f"{_GENOMES}.lance" for entry in path.iterdir()):
        raise FileExistsError(f"{path} has something in it. Name a new folder for the store.")
    if not os.access(path, os.W_OK):
        raise PermissionError(f"{path} cannot be written to. Name another folder for the store.")
