"""What is annotated: windows of a genome, or its bases, and the vectors of these."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dnafm.analysis.embedder import Embedder
from dnafm.analysis.embedding_tiles import Tile, tiles
from dnafm.analysis.mining_windows import is_known
from dnafm.genomics import ReferenceGenome

# Of a chunk: windows that have one vector, and bases that have one each.
CHUNK_WINDOWS = 1024
CHUNK_BASES = 25_000
_IS_BASE = np.zeros(256, np.bool_)
_IS_BASE[list(b"ACGTU")] = True


@dataclass(frozen=True)
class AnnotationCut:
    """How contigs are cut into units, which are windows or bases.

    Windows are those of `dnafm.analysis.embedding_tiles.tiles`: a window owns the bases that lie deeper in it than in
    its neighbours, so that the units of a contig tile it without gap or overlap.

    Attributes:
        window_bp: bases that are read at once; a shorter contig is one window.
        step_bp: from one window to the next.
        per_base: whether each base is a unit.

    Raises:
        ValueError: a number is out of its range.
    """

    window_bp: int
    step_bp: int
    per_base: bool = False

    def __post_init__(self) -> None:
        if self.window_bp < 1:
            raise ValueError(f"window_bp is {self.window_bp}; a window has at least 1 base.")
        if not 1 <= self.step_bp <= self.window_bp:
            raise ValueError(
                f"step_bp is {self.step_bp}; it must be 1 to {self.window_bp}, the bases of a window, or some bases "
                "would be in none."
            )

    @property
    def chunk_windows(self) -> int:
        """Windows of a chunk."""
        return max(1, CHUNK_BASES // self.step_bp) if self.per_base else CHUNK_WINDOWS

    def tiles(self, n_bases: int) -> Iterator[Tile]:
        """Yield the windows of a contig."""
        return tiles(n_bases, window_bp=self.window_bp, overlap_bp=self.window_bp - self.step_bp)

    def window_edges(self, n_bases: int) -> NDArray[np.int64]:
        """Return (windows + 1,): where the bases that a window owns begin, and the end of the contig."""
        return np.array([*(tile.kept_start_bp for tile in self.tiles(n_bases)), n_bases], np.int64)

    def n_units(self, n_bases: int) -> int:
        """Return how many units a contig has."""
        return n_bases if self.per_base else sum(1 for _ in self.tiles(n_bases))

    def edges(self, n_bases: int) -> NDArray[np.int64]:
        """Return (units + 1,): where each unit begins, and the end of the contig."""
        return np.arange(n_bases + 1) if self.per_base else self.window_edges(n_bases)


@dataclass(frozen=True)
class WindowPiece:
    """Neighbouring windows of a contig."""

    contig: str
    tiles: list[Tile]

    @property
    def n_bases(self) -> int:
        """Bases that the windows own."""
        return self.tiles[-1].kept_end_bp - self.tiles[0].kept_start_bp


def window_chunks(genome: ReferenceGenome, cut: AnnotationCut) -> Iterator[list[WindowPiece]]:
    """Yield what is read independently of all else, in the order of the genome."""
    chunk: list[WindowPiece] = []
    n_left = cut.chunk_windows
    for contig, n_bases in annotated_lengths(genome).items():
        windows = cut.tiles(n_bases)
        while some := list(islice(windows, n_left)):
            chunk.append(WindowPiece(contig, some))
            n_left -= len(some)
            if n_left == 0:
                yield chunk
                chunk, n_left = [], cut.chunk_windows
    if chunk:
        yield chunk


def annotated_lengths(genome: ReferenceGenome) -> dict[str, int]:
    """Return the bases of the contigs by name, but for those without any.

    Raises:
        ValueError: no contig has a base.
    """
    lengths = {contig: n_bases for contig, n_bases in genome.contig_lengths.items() if n_bases}
    if not lengths:
        raise ValueError(f"{genome.path}: no record has a base, so there is nothing to annotate.")
    return lengths


def unit_vectors(
    embedder: Embedder, genome: ReferenceGenome, chunk: list[WindowPiece], *, per_base: bool = False
) -> pa.Table:
    """Return a row for each unit, in the order of the genome.

    A window of which more than half is unknown is not read, and a base that is none of A, C, G and T is unknown.

    Args:
        embedder: of one layer; with `pooling="none"` for bases.
        genome: of the windows.
        chunk: windows.
        per_base: whether each base is a unit.

    Returns:
        `is_known`, and `vector`, a list of as many float32 as the model is wide, all 0 where a unit is unknown.
    """
    windows = [(tile, bases) for piece in chunk for tile, bases in _read(genome, piece)]
    vectors = embedder.embed(bases for _, bases in windows if is_known(bases))
    rows: list[np.ndarray] = []
    known: list[np.ndarray] = []
    for tile, bases in windows:
        own = slice(tile.kept_start_bp - tile.start_bp, tile.kept_end_bp - tile.start_bp)
        n_units = own.stop - own.start if per_base else 1
        if not is_known(bases):
            rows.append(np.zeros((n_units, embedder.width), np.float32))
            known.append(np.zeros(n_units, np.bool_))
            continue
        (vector,) = next(vectors)
        rows.append(vector[own] if per_base else vector[None])
        letters = np.frombuffer(bases[own].encode(), np.uint8)
        known.append(_IS_BASE[letters] if per_base else np.ones(1, np.bool_))
    is_unit_known, matrix = np.concatenate(known), np.concatenate(rows)
    matrix[~is_unit_known] = 0
    flat = pa.array(matrix.ravel())
    return pa.table({"is_known": is_unit_known, "vector": pa.FixedSizeListArray.from_arrays(flat, embedder.width)})


def vectors_of(table: pa.Table) -> NDArray[np.float32]:
    """Return (units, hidden) of what `unit_vectors` returned."""
    column = table["vector"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(table), -1)


def _read(genome: ReferenceGenome, piece: WindowPiece) -> Iterator[tuple[Tile, str]]:
    first_bp = piece.tiles[0].start_bp
    bases = genome.fetch_bases(piece.contig, first_bp, piece.tiles[-1].end_bp)
    for tile in piece.tiles:
        yield tile, bases[tile.start_bp - first_bp : tile.end_bp - first_bp]
