"""Adding genomes to a store: in chunks, on one rank or many, and going on after an interruption."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from accelerate import PartialState  # type: ignore[import-untyped]

from dnafm.analysis.chunked_runs import ChunkedRun
from dnafm.analysis.embedder import Embedder
from dnafm.analysis.embedding_tables import pa
from dnafm.analysis.mining_lancedb import is_remote
from dnafm.analysis.mining_store import COORDINATES, VECTOR, MiningStore, StoredGenome, StoreSettings
from dnafm.analysis.mining_windows import GenomeSurvey, GenomeWindow
from dnafm.version import __version__

CHUNK_WINDOWS = 1024
_FASTA_EXTENSIONS = (".gz", ".bgz", ".fasta", ".fa", ".fna", ".fas")


def genome_name(path: str | os.PathLike) -> str:
    """Return the name of a genome that has none of its own: that of its file, without extensions of FASTA."""
    name = os.path.basename(path)
    for extension in _FASTA_EXTENSIONS:
        name = name.removesuffix(extension)
    return name


def new_genomes(store: MiningStore, names: Sequence[str], surveys: Sequence[GenomeSurvey]) -> list[StoredGenome]:
    """Return what is to be added, with those that an earlier run has begun.

    Raises:
        ValueError: a genome or a name is in the store, or comes twice.
    """
    known = {genome.checksum: genome for genome in store.genomes()}
    taken = {genome.name: genome for genome in known.values()}
    added: list[StoredGenome] = []
    for name, survey in zip(names, surveys, strict=True):
        earlier = known.get(survey.checksum)
        if earlier is not None and (earlier.is_complete or earlier in added):
            raise ValueError(
                f"{survey.path}: this genome is in {store.path} already, as {earlier.name!r} from {earlier.path}."
            )
        genome = earlier or StoredGenome.of(name, survey)
        if taken.setdefault(genome.name, genome).checksum != genome.checksum:
            raise ValueError(
                f"{survey.path}: {store.path} has another genome of the name {name!r}, from {taken[name].path}. Give "
                "this one another name."
            )
        known[survey.checksum] = genome
        added.append(genome)
    return added


def index_genome(
    store: MiningStore,
    embedder: Embedder,
    genome: StoredGenome,
    survey: GenomeSurvey,
    *,
    overwrite: bool = False,
    state: PartialState | None = None,
    on_progress: Callable[[int], object] = lambda n_windows: None,
) -> int:
    """Add a genome to a store, and return how many chunks an earlier run had finished, on the first rank.

    Finished chunks are kept in a folder, from which a later run goes on: `CHECKSUM.parts` in the folder of the store,
    or in the working directory for a store that is elsewhere. At the end the windows are added all at once, in the
    order of the file; until then the disk holds them twice.

    Args:
        store: that it is added to.
        embedder: as the other windows of the store were embedded.
        genome: of `new_genomes`.
        survey: of it.
        overwrite: begin anew where there are chunks of other options.
        state: ranks that share the work.
        on_progress: is told how many windows more are done, on every rank those of all.

    Raises:
        ValueError: the file has changed, or there are chunks of other options.
        OSError: the disk is full; what was computed is kept.
    """
    settings = store.settings
    run = ChunkedRun(
        parts_path(store, genome),
        {**_chunk_settings(settings, embedder), "genome": genome.name, "checksum": genome.checksum},
        overwrite=overwrite,
        state=state,
    )

    def kept(windows: list[GenomeWindow]) -> pa.Table:
        vectors = []
        for vector in embedder.embed(window.bases for window in windows):
            vectors.append(vector[0])
            on_progress(1)
        return window_table(settings, genome.name, windows, np.stack(vectors))

    run.finish(_chunks(survey.windows(settings.cut)), kept, on_passed=lambda windows: on_progress(len(windows)))
    if run.is_main_process:
        store.commit(genome, run.tables())
    run.remove()
    return run.n_resumed


def window_table(
    settings: StoreSettings, genome: str, windows: Sequence[GenomeWindow], vectors: np.ndarray
) -> pa.Table:
    """Return rows of a store.

    Args:
        settings: of the store.
        genome: name.
        windows: of it.
        vectors: (windows, hidden) float32, of any length; they are stored with length 1.
    """
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = pa.array(unit.astype(settings.vector_dtype).ravel())
    columns = {
        "genome": [genome] * len(windows),
        **{name: [getattr(window, name) for window in windows] for name in list(COORDINATES)[1:]},
        VECTOR: pa.FixedSizeListArray.from_arrays(flat, settings.width),
    }
    return pa.table(columns, schema=settings.schema)


def parts_path(store: MiningStore, genome: StoredGenome) -> Path:
    """Return the path beside which the chunks of a genome are kept."""
    return Path() / genome.checksum[:16] if is_remote(store.path) else Path(store.path) / genome.checksum[:16]


def remove_stale_parts(store: MiningStore) -> None:
    """Remove the chunks of complete genomes, which a run leaves that was killed after it had added them."""
    for genome in store.genomes():
        if genome.is_complete:
            shutil.rmtree(f"{parts_path(store, genome)}.parts", ignore_errors=True)


def _chunk_settings(settings: StoreSettings, embedder: Embedder) -> dict:
    """Return what the rows of a chunk depend on, down to the last bit."""
    cut = settings.cut
    return {
        "weights": settings.weights,
        "weights_dtype": str(next(embedder.model.parameters()).dtype),
        "window": cut.window_bp,
        "step": cut.step_bp,
        "strand": cut.strand,
        "layer": settings.layer,
        "pooling": settings.pooling,
        "vector_dtype": settings.vector_dtype,
        "batch": embedder.max_tokens,
        "chunk_windows": CHUNK_WINDOWS,
        "dnafm": __version__,
    }


def _chunks(windows: Iterable[GenomeWindow]) -> Iterator[list[GenomeWindow]]:
    chunk: list[GenomeWindow] = []
    for window in windows:
        chunk.append(window)
        if len(chunk) == CHUNK_WINDOWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
