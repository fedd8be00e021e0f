"""Genome mining: which places of genomes resemble a sequence, or what a fine-tuned model looks for."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from warnings import warn

import torch
from accelerate import PartialState  # type: ignore[import-untyped]

from dnafm import DNAFMTokenizer
from dnafm.analysis.chunked_runs import process_state
from dnafm.analysis.embedder import Embedder
from dnafm.analysis.embedding_models import encoder_of
from dnafm.analysis.embedding_readings import Pooling
from dnafm.analysis.embedding_tables import pa
from dnafm.analysis.mining_classify import (
    WindowScorer,
    best_windows,
    check_options,
    load_task,
    score_table,
    window_chunks,
)
from dnafm.analysis.mining_lancedb import is_remote
from dnafm.analysis.mining_models import MiningModel
from dnafm.analysis.mining_queries import (
    QueryOptions,
    StoreQueries,
    check_query_options,
)
from dnafm.analysis.mining_runs import genome_name, index_genome, new_genomes, remove_stale_parts
from dnafm.analysis.mining_search import IndexKind, index_names, update_index
from dnafm.analysis.mining_sources import (
    Paths,
    listed,
    named_queries,
    progress_bar,
    short_note,
    stored_surveys,
    survey_shown,
)
from dnafm.analysis.mining_store import (
    MiningStore,
    StoredGenome,
    StoreSettings,
    VectorDtype,
    create_store,
    open_store,
)
from dnafm.analysis.mining_windows import MinedStrand, WindowCut
from dnafm.analysis.window_readings import layer_numbers
from dnafm.genomics import Interval

__all__ = ["Index", "StoreSettings", "StoredGenome"]


class Index:
    """Genomes whose windows can be searched: a store on a disk or an object store, and the model that made it.

    Made by `create`, or opened by `open`.

    Example:

        >>> index = dnafm.mine.Index.create("store", "dnafm_tiny", window_bp=512)
        >>> index.add("genome.fa.gz")
        >>> index.query({"gene": "ATGAAACGC..."}, k=5).to_pandas()
    """

    def __init__(self, store: MiningStore, model: MiningModel):
        self._store, self._model = store, model

    @classmethod
    def create(
        cls,
        path: str | os.PathLike,
        model: Any = "dnafm_tiny",
        *,
        tokenizer: DNAFMTokenizer | None = None,
        window_bp: int = 1024,
        step_bp: int | None = None,
        strand: MinedStrand = "forward",
        layer: int = -1,
        pooling: Pooling = "max",
        vector_dtype: VectorDtype = "float32",
        dtype: str | torch.dtype | None = None,
        max_tokens: int = 16_384,
        storage_options: Mapping[str, str] | None = None,
        state: PartialState | None = None,
    ) -> "Index":
        """Make an empty store.

        Args:
            path: a new folder, or a place of an object store such as `s3://bucket/store`.
            model: as `dnafm.embed` takes it: by name, path or Hub id, or loaded.
            tokenizer: of a loaded model, by default that of its checkpoint.
            window_bp: bases of a window.
            step_bp: bases from one window to the next, by default half a window.
            strand: `"both"` to embed the windows of both strands.
            layer: whose output is taken: 0 for the input of the first one, -1 for the output of the last one.
            pooling: `"max"`, `"mean"` or `"cls"`. The maximum of the bases' vectors tells mutated copies from other
                windows better than the mean, which is above all their composition.
            vector_dtype: of the numbers on the disk, `"float32"` or `"float16"`.
            dtype: of the weights of a model by name, `"float32"` by default.
            max_tokens: most tokens of a batch.
            storage_options: of LanceDB, for object stores.
            state: ranks that share the work.

        Raises:
            ValueError: the model reads no such windows, or an option is out of its range.
            FileExistsError: there is something at the path.
            OSError: there is no such checkpoint, or the folder cannot be made.
            ImportError: lancedb is missing.
        """
        state = state or process_state()
        wanted = MiningModel(model, tokenizer, dtype, max_tokens)
        cut = WindowCut(window_bp, max(1, window_bp // 2) if step_bp is None else step_bp, strand)
        settings = wanted.settings(cut, layer, pooling, vector_dtype)
        wanted.embedder(settings)
        if state.is_main_process:
            create_store(path, settings, storage_options=storage_options)
        state.wait_for_everyone()
        return cls(open_store(path, storage_options=storage_options), wanted)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike,
        model: Any = None,
        *,
        tokenizer: DNAFMTokenizer | None = None,
        dtype: str | torch.dtype | None = None,
        max_tokens: int = 16_384,
        storage_options: Mapping[str, str] | None = None,
    ) -> "Index":
        """Open a store; the model is loaded when it is needed, and must be the one that made the store.

        Args:
            path: of the store.
            model: by default the one that the store names.
            tokenizer: of a loaded model.
            dtype: of the weights of a model by name, by default that which the store was made in.
            max_tokens: most tokens of a batch.
            storage_options: of LanceDB, for object stores.

        Raises:
            ValueError: there is something else at the path.
            FileNotFoundError: there is nothing.
            ImportError: lancedb is missing.
        """
        store = open_store(path, storage_options=storage_options)
        if dtype is None and (model is None or isinstance(model, (str, Path))):
            dtype = store.settings.dtype
        return cls(
            store, MiningModel(store.settings.backbone if model is None else model, tokenizer, dtype, max_tokens)
        )

    @property
    def settings(self) -> StoreSettings:
        """What all vectors were made with."""
        return self._store.settings

    @property
    def genomes(self) -> tuple[StoredGenome, ...]:
        """What is in the store, in the order in which it was added."""
        return self._store.genomes()

    @property
    def has_ivf(self) -> bool:
        """Whether there is an index for approximate search."""
        return bool(index_names(self._store))

    def __len__(self) -> int:
        """Return the number of windows, each strand counted."""
        return self._store.count_rows()

    @property
    def identity(self) -> dict[str, Any]:
        """What tells the store as it is now from others, as JSON holds it."""
        return {
            "store": self._store.path if is_remote(self._store.path) else os.path.abspath(self._store.path),
            "version": self._store.windows.version,
            "weights_dtype": str(next(self.embedder.model.parameters()).dtype),
        }

    def check_settings(self, **given: Any) -> None:
        """Check that a store was made with options, which are those of `create`.

        Raises:
            ValueError: it was made with another one, or by another model; names both.
        """
        n_layers = encoder_of(self.embedder.model).config.num_hidden_layers
        if "layer" in given:
            (given["layer"],) = layer_numbers((given["layer"],), n_layers)
        self.settings.check_same(replace(self.settings, **given), self._store.path)

    def name_of(self, fasta: str | os.PathLike) -> str:
        """Return the name that a genome has in the store, whatever the name and compression of its file.

        Raises:
            ValueError: it is not in the store.
        """
        checksum = survey_shown(os.fspath(fasta), self.settings.cut, process_state()).checksum
        names = [genome.name for genome in self.genomes if genome.checksum == checksum]
        if not names:
            raise ValueError(
                f"{os.fspath(fasta)} is none of the genomes of {self._store.path}, so places in it are unknown there."
            )
        return names[0]

    @cached_property
    def embedder(self) -> Embedder:
        """The model, which must be the one that made the store."""
        own = self.settings
        given = self._model.settings(own.cut, own.layer, own.pooling, own.vector_dtype)
        own.check_same(given, self._store.path)
        return self._model.embedder(own)

    def add(
        self,
        genomes: Paths,
        *,
        names: Sequence[str] | None = None,
        ivf: IndexKind = "auto",
        overwrite: bool = False,
        state: PartialState | None = None,
    ) -> int:
        """Add genomes, and return how many chunks an earlier run had finished.

        All are read and checked before anything is embedded. Finished chunks are kept, so that the same call goes on
        where a killed one stopped; see `dnafm.analysis.mining_runs.index_genome`.

        Args:
            genomes: FASTA files, plain or compressed with gzip or bgzip.
            names: of the genomes, by default those of the files.
            ivf: `"auto"` makes an IVF index from 100,000 windows on, and keeps an existing one up to date; `"ivf"`
                makes it anew; `"none"` removes it.
            overwrite: begin anew where there are chunks of other options.
            state: ranks that share the work.

        Raises:
            ValueError: a file is no FASTA of DNA, a genome or its name is in the store, or the store was made by
                another model.
            OSError: there is no such file, or the disk is full; what was computed is kept.
        """
        state = state or process_state()
        paths = listed(genomes)
        names = list(map(genome_name, paths)) if names is None else list(names)
        if len(names) != len(paths):
            raise ValueError(f"There are {len(names)} names for {len(paths)} genomes; one each is due.")
        surveys = [survey_shown(path, self.settings.cut, state) for path in paths]
        added = new_genomes(self._store, names, surveys)
        embedder, noted = self.embedder, {genome.name for genome in self.genomes}
        state.wait_for_everyone()
        if state.is_main_process:
            remove_stale_parts(self._store)
        n_resumed = 0
        for genome, survey in zip(added, surveys, strict=True):
            if state.is_main_process and genome.name not in noted:
                self._store.begin(genome)
            with progress_bar(f"embedding {genome.name}", state, total=survey.n_windows, unit=" windows") as bar:
                n_resumed += index_genome(
                    self._store, embedder, genome, survey, overwrite=overwrite, state=state, on_progress=bar.update
                )
        if state.is_main_process:
            update_index(self._store, ivf)
        state.wait_for_everyone()
        return n_resumed

    def query(
        self,
        sequences: str | Sequence[str] | Mapping[str, str],
        k: int = 20,
        *,
        loci: Sequence[tuple[str, Interval]] | None = None,
        strand: MinedStrand | None = None,
        min_score: float | None = None,
        merge_bp: int | None = None,
        genomes: Sequence[str] = (),
        contigs: Sequence[str] = (),
        exact: bool = False,
    ) -> pa.Table:
        """Return the places that resemble sequences the most.

        Args:
            sequences: DNA; of a mapping the keys are the ids, else the numbers from 1.
            k: most hits of each.
            loci: where each sequence comes from, the name of a genome and an interval; hits that overlap it are left
                out.
            strand: `"both"` to look for the reverse complements, too; by default where the store has windows of the
                forward strand alone.
            min_score: lowest cosine of a hit.
            merge_bp: join hits with at most so many bases between them; the best one's cosine counts. By default none.
            genomes: names of those that are searched, all by default.
            contigs: names of those that are searched, all by default.
            exact: scan all windows even where there is an IVF index.

        Returns:
            query_id, rank (from 1), genome, contig, start_bp, end_bp (from 0, half-open), strand, cosine (float32).

        Raises:
            ValueError: the store is empty, was made by another model, or has fewer than `k` places; or a sequence is
                no DNA.
        """
        queries = list(named_queries(sequences, loci))
        options = QueryOptions(k, strand, min_score, merge_bp, tuple(genomes), tuple(contigs), exact)
        search = self.search(options)
        if n_short := sum(map(search.is_short, queries)):
            warn(short_note(n_short, self.settings.window_bp), stacklevel=2)
        return search.answer(queries)

    def search(self, options: QueryOptions) -> StoreQueries:
        """Return what answers queries, one chunk after the other; raises as `query` does."""
        # What is wrong is told before weights are loaded.
        check_query_options(self._store, options)
        return StoreQueries(self._store, self.embedder, options)

    def classify(
        self,
        model: Any,
        target: str | None = None,
        *,
        k: int = 100,
        fastas: Paths = (),
        genomes: Sequence[str] = (),
        min_score: float | None = None,
        merge_bp: int | None = None,
        max_tokens: int = 16_384,
    ) -> pa.Table:
        """Return the windows of the store's genomes that a fine-tuned model ranks the highest.

        Args:
            model: a checkpoint with a head for sequences, or such a task.
            target: name of a class or of a number of the model; may be left out where there is one number.
            k: how many hits.
            fastas: files of the genomes, by default where they were when they were added.
            genomes: names of those that are searched, all by default.
            min_score: lowest score of a hit.
            merge_bp: as in `query`.
            max_tokens: most tokens of a batch.

        Returns:
            As `query` does; query_id is the target, and instead of cosine there is `probability` or `value`.

        Raises:
            ValueError: the model has no such target or reads no such windows, a file is not the genome that was
                added, or there are fewer than `k` places.
            OSError: there is no such checkpoint or file.
        """
        task = load_task(model) if isinstance(model, (str, Path)) else model
        scorer, cut, state = WindowScorer(task, target, max_tokens), self.settings.cut, process_state()
        scorer.check_window(cut.window_bp)
        surveys = stored_surveys(self._store, fastas, genomes=genomes, state=state)
        n_windows = sum(survey.n_windows for _, survey in surveys)
        n_places = n_windows // len(cut.strands)
        check_options(scorer, k=k, n_places=n_places, min_score=min_score, merge_bp=merge_bp)
        with progress_bar("scoring", state, total=n_windows, unit=" windows") as bar:

            def scored() -> Iterator[pa.Table]:
                for chunk in window_chunks(surveys, cut):
                    yield score_table(scorer, chunk)
                    bar.update(len(chunk[1]))

            return best_windows(scored(), scorer, k=k, min_score=min_score, merge_bp=merge_bp)
