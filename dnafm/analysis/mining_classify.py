"""Mining by a fine-tuned model: windows of genomes, ranked by what its head says about each."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dnafm.analysis.embedding_tables import pa
from dnafm.analysis.mining_hits import Place, first_hits, hit_table
from dnafm.analysis.mining_store import COORDINATES
from dnafm.analysis.mining_windows import GenomeSurvey, GenomeWindow, WindowCut

if TYPE_CHECKING:
    from dnafm.tasks import SequenceClassification, SequenceRegression

CHUNK_WINDOWS = 1024
_ORDER = (("score", "descending"), *((name, "ascending") for name in ("genome", "contig", "start_bp", "strand")))


def load_task(checkpoint: str | Path, *, dtype: str = "float32") -> "SequenceClassification | SequenceRegression":
    """Load a fine-tuned model with a head for sequences, onto the accelerator where there is one.

    Raises:
        ValueError: it has no such head.
        OSError: there is no such checkpoint.
    """
    # The tasks are built on this room.
    from dnafm.checkpoints.loading import load_config
    from dnafm.tasks import SequenceClassification, SequenceRegression

    is_regression = load_config(str(checkpoint)).problem_type == "regression"
    task_type: Any = SequenceRegression if is_regression else SequenceClassification
    task = task_type.from_pretrained(checkpoint, dtype=dtype)
    return task.to(torch.accelerator.current_accelerator() or torch.device("cpu"))


@dataclass(frozen=True)
class WindowScorer:
    """What a fine-tuned model says about windows.

    Args:
        task: `SequenceClassification` or `SequenceRegression`, which reads the strands that it was saved with.
        target: name of the class whose probability is the score, or of the number that is; may be left out where
            there is one number.
        max_tokens: most tokens of a batch.

    Raises:
        ValueError: the model has no such target.
    """

    task: Any
    target: str | None = None
    max_tokens: int = 16_384

    def __post_init__(self) -> None:
        self._column  # noqa: B018  # it is checked here

    @property
    def is_probability(self) -> bool:
        """Whether scores are probabilities rather than numbers in the units of the model's data."""
        return hasattr(self.task, "label_names")

    @property
    def score_column(self) -> str:
        """How the score is called in tables."""
        return "probability" if self.is_probability else "value"

    @property
    def target_name(self) -> str:
        """Name of the target."""
        return self._names[self._column]

    @property
    def _names(self) -> list[str]:
        return self.task.label_names if hasattr(self.task, "label_names") else self.task.target_names

    @property
    def _column(self) -> int:
        names = self._names
        if self.target is None and len(names) == 1:
            return 0
        if self.target not in names:
            near = difflib.get_close_matches(self.target or "", names, n=1)
            guess = f"Did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"The target is {self.target!r}; the model has {', '.join(names)}. {guess}Name one.")
        return names.index(self.target)

    def check_window(self, window_bp: int) -> None:
        """Raise a ValueError where a window is longer than what the model reads."""
        if window_bp > self.task.max_bases:
            raise ValueError(f"The windows have {window_bp} bases, and the model reads 1 to {self.task.max_bases}.")

    def score(self, windows: Sequence[str]) -> np.ndarray:
        """Return (windows,) float32."""
        if not windows:
            return np.zeros(0, np.float32)
        n_tokens = max(map(len, windows)) + self.task.n_special_tokens
        size = max(1, self.max_tokens // n_tokens)
        parts = [self._batch(windows[start : start + size]) for start in range(0, len(windows), size)]
        return np.concatenate(parts).astype(np.float32)

    def _batch(self, windows: Sequence[str]) -> np.ndarray:
        with torch.inference_mode():
            outputs = self.task(self.task.collate({"sequences": list(windows)})).float().cpu().numpy()
        if hasattr(self.task, "probabilities"):
            outputs = self.task.probabilities(list(outputs))
        return outputs[:, self._column]


GenomeWindows = tuple[str, list[GenomeWindow]]


def window_chunks(genomes: Iterable[tuple[str, GenomeSurvey]], cut: WindowCut) -> Iterator[GenomeWindows]:
    """Yield windows of genomes in chunks, each with the name of its genome."""
    for name, survey in genomes:
        windows = survey.windows(cut)
        while chunk := list(islice(windows, CHUNK_WINDOWS)):
            yield name, chunk


def score_table(scorer: WindowScorer, chunk: GenomeWindows) -> pa.Table:
    """Return the windows of a chunk with their scores: genome, contig, start_bp, end_bp, strand, score."""
    name, windows = chunk
    columns: dict[str, Any] = {"genome": [name] * len(windows)}
    columns |= {
        column: [getattr(window, column) for window in windows] for column in COORDINATES if column != "genome"
    }
    return pa.table({**columns, "score": scorer.score([window.bases for window in windows])})


def best_windows(
    tables: Iterable[pa.Table],
    scorer: WindowScorer,
    *,
    k: int,
    min_score: float | None = None,
    merge_bp: int | None = None,
) -> pa.Table:
    """Return the windows with the best scores, each place once, with the strand that has the better score.

    Args:
        tables: of `score_table`.
        scorer: that made them.
        k: how many hits.
        min_score: lowest score of a hit.
        merge_bp: see `dnafm.analysis.mining_hits.first_hits`.

    Returns:
        As `StoreQueries.answer` does, with the target as query_id, and `probability` or `value` for cosine.

    Raises:
        ValueError: there are fewer than `k` windows, or a number is out of its range.
    """
    scored = pa.concat_tables(tables).sort_by(list(_ORDER))
    places = _places(scored, min_score)
    hits, _ = first_hits(places, k, merge_bp=merge_bp)
    return hit_table(scorer.target_name, hits, score_column=scorer.score_column)


def check_options(
    scorer: WindowScorer, *, k: int, n_places: int, min_score: float | None = None, merge_bp: int | None = None
) -> None:
    """Raise a ValueError where a number of `best_windows` is out of its range, before anything is scored."""
    if not 1 <= k <= n_places:
        raise ValueError(f"k is {k}, and the genomes have {n_places} places. Ask for 1 to {n_places}.")
    if min_score is not None and scorer.is_probability and not 0 <= min_score <= 1:
        raise ValueError(f"min_score is {min_score}; a probability lies in 0 to 1.")
    if merge_bp is not None and merge_bp < 0:
        raise ValueError(f"merge_bp is {merge_bp}; it must be at least 0 bases.")


def _places(scored: pa.Table, min_score: float | None) -> Iterator[Place]:
    seen = set()
    for batch in scored.to_batches(max_chunksize=CHUNK_WINDOWS):
        for row in batch.to_pylist():
            place = Place(**row)
            if min_score is not None and place.score < min_score:
                return
            key = (place.genome, place.contig, place.start_bp)
            if key not in seen:
                seen.add(key)
                yield place
