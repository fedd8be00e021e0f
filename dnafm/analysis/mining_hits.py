"""Hits of genome mining: ranked places of genomes, neighbours merged by option, as tables and as BED."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dnafm.analysis.embedding_tables import pa
from dnafm.analysis.mining_store import COORDINATES
from dnafm.data.prediction_tables import EXTENSIONS as TABLES
from dnafm.data.prediction_tables import PredictionWriter
from dnafm.genomics import Interval, write_bed

BED = (".bed", ".bed.gz")
EXTENSIONS = (*BED, *TABLES)
_HIGHEST = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """A place of a genome, and how well it fits.

    Attributes:
        genome: its name in the store.
        contig: its name.
        start_bp: of the first base, from 0.
        end_bp: behind the last base.
        strand: `+` or `-`.
        score: the higher, the better.
    """

    genome: str
    contig: str
    start_bp: int
    end_bp: int
    strand: str
    score: float

    def is_within(self, distance_bp: int, other: "Place") -> bool:
        """Return whether at most so many bases lie between both, on either strand."""
        is_same = (self.genome, self.contig) == (other.genome, other.contig)
        gap_bp = max(self.start_bp, other.start_bp) - min(self.end_bp, other.end_bp)
        return is_same and gap_bp <= distance_bp


def best_of_places(rows: Iterable[Place]) -> list[Place]:
    """Return each place once, with its best score, from the best one on; equal scores in the order of coordinates."""
    best: dict[tuple, Place] = {}
    for row in rows:
        key = (row.genome, row.contig, row.start_bp, row.end_bp)
        if key not in best or best[key].score < row.score:
            best[key] = row
    return sorted(best.values(), key=lambda each: (-each.score, each.genome, each.contig, each.start_bp))


def first_hits(ranked: Iterable[Place], k: int, *, merge_bp: int | None = None) -> tuple[list[Place], bool]:
    """Return the first `k` hits, and whether places further down the ranking would change nothing.

    To merge, places are taken from the best one on: one that lies within `merge_bp` of a hit joins it, the hit keeps
    its score and strand, and hits that come to lie so near each other join, too. The place that would begin hit
    `k + 1` is the end.

    Args:
        ranked: places, the best one first.
        k: hits that are wanted.
        merge_bp: most bases between places that are one hit; None to merge none, 0 where they overlap or touch.
    """
    hits: list[Place] = []
    for place in ranked:
        near = [] if merge_bp is None else [hit for hit in hits if place.is_within(merge_bp, hit)]
        if not near and len(hits) == k:
            return hits, True
        # The first one has the best score.
        first = hits.index(near[0]) if near else len(hits)
        hits = [hit for hit in hits if hit not in near]
        hits.insert(first, _joined([*near, place]))
    return hits, merge_bp is None and len(hits) == k


def hit_table(query_id: str, hits: Sequence[Place], *, score_column: str = "cosine") -> pa.Table:
    """Return hits as rows: query_id, rank (from 1), genome, contig, start_bp, end_bp, strand, and the score."""
    columns: dict[str, list] = {
        "query_id": [query_id] * len(hits),
        "rank": list(range(1, len(hits) + 1)),
        **{
            name: [getattr(hit, name) for hit in hits] for name in ("genome", "contig", "start_bp", "end_bp", "strand")
        },
        score_column: [hit.score for hit in hits],
    }
    return pa.table(columns, schema=hit_schema(score_column))


def hit_schema(score_column: str = "cosine") -> pa.Schema:
    """Return the schema of `hit_table`; the score is float32."""
    return pa.schema({"query_id": pa.string(), "rank": pa.int64(), **COORDINATES, score_column: pa.float32()})


def write_hits(
    path: str | os.PathLike,
    tables: Iterable[pa.Table],
    *,
    score_column: str = "cosine",
    highest: float = 1.0,
    overwrite: bool = False,
) -> None:
    """Write hits in their order.

    Args:
        path: `.bed` for BED6, whose name is the id of the query and whose score is `1000 * score / highest`, at least
            0 and at most 1,000; else a table by its extension.
        tables: of `hit_table`.
        score_column: of them.
        highest: score that is 1,000 in BED.
        overwrite: replace an existing file.

    Raises:
        ValueError: an id cannot be written as BED.
        OSError: the file exists, or cannot be written to the end.
    """
    if os.fspath(path).endswith(BED):
        write_bed(path, _intervals(tables, score_column, highest), overwrite=overwrite)
        return
    with PredictionWriter(path, schema=hit_schema(score_column), overwrite=overwrite) as writer:
        for index, table in enumerate(tables):
            writer.write_chunk(index, table)


def _intervals(tables: Iterable[pa.Table], score_column: str, highest: float) -> Iterator[Interval]:
    for table in tables:
        for row in table.to_pylist():
            score = min(_HIGHEST, max(0, round(_HIGHEST * row[score_column] / highest)))
            yield Interval(row["contig"], row["start_bp"], row["end_bp"], row["strand"], row["query_id"], score)


def _joined(places: Sequence[Place]) -> Place:
    start_bp, end_bp = min(each.start_bp for each in places), max(each.end_bp for each in places)
    return replace(places[0], start_bp=start_bp, end_bp=end_bp)
