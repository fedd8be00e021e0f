"""Queries of a store: the places whose vectors are the nearest to those of sequences."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dnafm.analysis.embedder import Embedder
from dnafm.analysis.embedding_tables import pa
from dnafm.analysis.mining_hits import Place, best_of_places, first_hits, hit_schema, hit_table
from dnafm.analysis.mining_search import filter_of, nearest
from dnafm.analysis.mining_store import MiningStore, StoredGenome
from dnafm.analysis.mining_windows import MINED_STRANDS, MinedStrand
from dnafm.genomics import Interval, reverse_complement
from dnafm.genomics.sequences import check_nucleotides


@dataclass(frozen=True)
class Query:
    """A sequence whose like is looked for.

    Attributes:
        id: its name.
        sequence: DNA in either case, with ambiguity codes; U is T.
        locus: where it comes from, the name of a genome of the store and an interval of it; hits that overlap it are
            left out. None where that is unknown, or where they are wanted.

    Raises:
        ValueError: it is no DNA.
    """

    id: str
    sequence: str
    locus: tuple[str, Interval] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.sequence, str) or not self.sequence:
            raise ValueError(f"The query {self.id!r} is {self.sequence!r}; it must have at least one base.")
        try:
            check_nucleotides(self.sequence)
        except ValueError as error:
            raise ValueError(f"The query {self.id!r}: {error} Is it a protein?") from error


@dataclass(frozen=True)
class QueryOptions:
    """Which hits are wanted.

    Attributes:
        k: most hits of a query.
        strand: `"both"` to look for the reverse complement of a query, too; by default where the store has the
            forward strand of genomes alone.
        min_score: lowest cosine of a hit.
        merge_bp: see `dnafm.analysis.mining_hits.first_hits`.
        genomes: names of those that are searched, all by default.
        contigs: names of those that are searched, all by default.
        exact: scan all windows even where there is an index.

    Raises:
        ValueError: a number is out of its range, or there is no such strand.
    """

    k: int = 20
    strand: MinedStrand | None = None
    min_score: float | None = None
    merge_bp: int | None = None
    genomes: tuple[str, ...] = ()
    contigs: tuple[str, ...] = ()
    exact: bool = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k is {self.k}; it must be at least 1 hit.")
        if self.strand not in (None, *MINED_STRANDS):
            raise ValueError(f"strand is {self.strand!r}; it must be one of {', '.join(MINED_STRANDS)}.")
        if self.min_score is not None and not -1 <= self.min_score <= 1:
            raise ValueError(f"min_score is {self.min_score}; a cosine lies in -1 to 1.")
        if self.merge_bp is not None and self.merge_bp < 0:
            raise ValueError(f"merge_bp is {self.merge_bp}; it must be at least 0 bases.")


class StoreQueries:
    """Answers queries of a store.

    A query that is longer than the store's windows is cut as genomes are, and a place has the best cosine of these
    pieces, on either strand where both are looked for. A shorter one is embedded as it is; the vectors of the store
    are those of longer sequences, so its cosines are lower.

    Args:
        store: that is searched.
        embedder: as the windows of the store were embedded.
        options: which hits are wanted.

    Raises:
        ValueError: the store is empty, has no such genome or contig, or fewer places than `k`.
    """

    def __init__(self, store: MiningStore, embedder: Embedder, options: QueryOptions):
        self._store, self._embedder, self.options = store, embedder, options
        self._cut = store.settings.cut
        self._n_rows = check_query_options(store, options)
        self._where = _where(options)

    def answer(self, queries: Sequence[Query]) -> pa.Table:
        """Return the hits of queries, in their order.

        Returns:
            A row for each hit: query_id, rank (from 1), genome, contig, start_bp, end_bp, strand, cosine. On the
            strand `-` it is the reverse complement of the place that resembles the query.

        Raises:
            ValueError: more than half of the bases of a query are unknown.
        """
        pieces = [self._pieces(query) for query in queries]
        vectors = self._embedder.embed(bases for own in pieces for _, bases in own)
        tables = []
        for query, own in zip(queries, pieces, strict=True):
            found = [next(vectors)[0] for _ in own]
            tables.append(hit_table(query.id, self._hits(query, [strand for strand, _ in own], found)))
        return pa.concat_tables(tables) if tables else hit_schema().empty_table()

    def is_short(self, query: Query) -> bool:
        """Return whether a query is shorter than the windows of the store."""
        return len(query.sequence) < self._cut.window_bp

    def _pieces(self, query: Query) -> list[tuple[str, str]]:
        """Return the strand and the bases of what is embedded of a query."""
        places = list(self._cut.known_places(query.sequence.upper()))
        if not places:
            raise ValueError(f"The query {query.id!r}: more than half of its bases are unknown.")
        of_store = self._store.settings.strand
        strand = self.options.strand or ("both" if of_store == "forward" else "forward")
        reverse = [("-", reverse_complement(bases)) for _, bases in places] if strand == "both" else []
        return [*(("+", bases) for _, bases in places), *reverse]

    def _hits(self, query: Query, strands: Sequence[str], vectors: Sequence[np.ndarray]) -> list[Place]:
        rows_of_place, options = len(self._cut.strands), self.options
        n_own = 0 if query.locus is None else self._cut.n_places(len(query.locus[1]) + 2 * self._cut.window_bp)
        n_rows = min(self._n_rows, (options.k + n_own) * rows_of_place)
        while True:
            tables = nearest(self._store, vectors, n_rows=n_rows, where=self._where, exact=options.exact)
            ranked = best_of_places(_places(tables, strands))
            is_all = n_rows == self._n_rows
            # So many are surely the best ones: a row that one vector lacks is worse than all that it has.
            sure = ranked if is_all else ranked[: n_rows // rows_of_place]
            hits, is_full = first_hits(self._wanted(sure, query), options.k, merge_bp=options.merge_bp)
            if is_full or is_all or (options.min_score is not None and sure[-1].score < options.min_score):
                return hits
            n_rows = min(self._n_rows, 4 * n_rows)

    def _wanted(self, ranked: Iterable[Place], query: Query) -> Iterator[Place]:
        for place in ranked:
            if self.options.min_score is not None and place.score < self.options.min_score:
                return
            if query.locus is None or not _is_at(place, *query.locus):
                yield place


def _places(tables: Sequence[pa.Table], strands: Sequence[str]) -> Iterator[Place]:
    for table, strand in zip(tables, strands, strict=True):
        for row in table.to_pylist():
            score = row.pop("cosine")
            yield Place(**{**row, "strand": "+" if row["strand"] == strand else "-"}, score=score)


def _is_at(place: Place, genome: str, interval: Interval) -> bool:
    overlaps = place.start_bp < interval.end_bp and interval.start_bp < place.end_bp
    return overlaps and (place.genome, place.contig) == (genome, interval.contig)


def check_query_options(store: MiningStore, options: QueryOptions) -> int:
    """Return how many rows are searched.

    Raises:
        ValueError: the store is empty, has no such genome or contig, or fewer places than `k`.
    """
    genomes = searched_genomes(store, options.genomes)
    contigs = [contig for genome in genomes for contig in genome.contig_lengths]
    for name in options.contigs:
        _check_known(store.path, "contig", name, contigs)
    where = _where(options)
    n_rows, rows_of_place = store.count_rows(where), len(store.settings.cut.strands)
    if n_rows < options.k * rows_of_place:
        searched = store.path if where is None else f"what is searched of {store.path}"
        raise ValueError(
            f"k is {options.k}, and {searched} has {n_rows // rows_of_place} places. Ask for as many at most."
        )
    return n_rows


def searched_genomes(store: MiningStore, names: Sequence[str] = ()) -> list[StoredGenome]:
    """Return the genomes of these names, or all; those that are still being added are none of them.

    Raises:
        ValueError: the store is empty, or has no such genome.
    """
    genomes = [genome for genome in store.genomes() if genome.is_complete]
    if not genomes:
        raise ValueError(f"{store.path} is empty. Add genomes to it by `dnafm mine index`.")
    for name in names:
        _check_known(store.path, "genome", name, [genome.name for genome in genomes])
    return [genome for genome in genomes if not names or genome.name in names]


def _where(options: QueryOptions) -> str | None:
    return filter_of(genomes=options.genomes, contigs=options.contigs)


def _check_known(path: str, what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = ", ".join(map(repr, difflib.get_close_matches(name, known, n=3, cutoff=0.0)))
        raise ValueError(f"{path} has no {what} {name!r} among those that are searched; the nearest: {near}.")
