"""Substitutions with scores, and whether those that are milder for a protein have the higher ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dnafm.training.bootstrap import bootstrap_intervals

CLASSES = ("synonymous", "missense", "stop_gained")
COMPARISONS = tuple((CLASSES[i], CLASSES[j]) for i, j in ((0, 1), (1, 2), (0, 2)))
TRANSITIONS = frozenset(("AG", "GA", "CT", "TC"))


@dataclass(frozen=True)
class Substitution:
    """A substitution in a codon.

    Attributes:
        gene: its id.
        position_bp: of the base in its contig, from 0.
        place: in the codon, 1 to 3.
        bases: reference and alternative, as the gene reads them.
        consequence: one of `CLASSES`.
        score: log-likelihood ratio (nats).
        usage: log-ratio of the counts of both codons.
    """

    gene: str
    position_bp: int
    place: int
    bases: str
    consequence: str
    score: float
    usage: float


SCORES = {"score": "checkpoint", "usage": "codon usage"}
# What two substitutions must have in common to be compared.
STRATA: dict[str, Callable[[Substitution], object]] = {
    "all": lambda each: None,
    "same place in the codon": lambda each: each.place,
    "same place, both transitions or transversions": lambda each: (each.place, each.bases in TRANSITIONS),
    "same place and same two bases": lambda each: (each.place, each.bases),
    "same base of the genome": lambda each: (each.gene, each.position_bp),
}


def auroc_within(strata: np.ndarray, is_first: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of pairs within a stratum in which the first class has the higher score; a tie is half.

    Args:
        strata: (n,) ids.
        is_first: (n,) whether a score is of the first class, else of the second.
        scores: (n,) numbers.

    Returns:
        0 to 1; NaN where no stratum has both classes.
    """
    n_below = n_pairs = 0.0
    # Among equal scores the second class is once in front of the first, and once behind it.
    for ties in (is_first, ~is_first):
        order = np.lexsort((ties, scores, strata))
        first, stratum = is_first[order], strata[order]
        seconds = np.r_[0, np.cumsum(~first)]
        starts, ends = np.searchsorted(stratum, stratum, "left"), np.searchsorted(stratum, stratum, "right")
        n_below += (seconds[:-1] - seconds[starts])[first].sum()
        n_pairs += (seconds[ends] - seconds[starts])[first].sum()
    return n_below / n_pairs if n_pairs else float("nan")


def medians_table(substitutions: Sequence[Substitution]) -> str:
    """Return a Markdown table of numbers and median scores by place in the codon and class."""
    lines = [
        f"| place in the codon | {' | '.join(f'{name}, n | median' for name in CLASSES)} |",
        "|---|" + "---:|" * 6,
    ]
    for name, places in {"all": (1, 2, 3), "1": (1,), "2": (2,), "3": (3,)}.items():
        cells = []
        for wanted in CLASSES:
            scores = [each.score for each in substitutions if each.consequence == wanted and each.place in places]
            cells += [f"{len(scores):,}", f"{np.median(scores):.3f}" if scores else "-"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def auroc_table(substitutions: Sequence[Substitution], *, n_resamples: int = 1000, seed: int = 0) -> str:
    """Return a Markdown table of AUROCs with 95 % intervals, from genes drawn with replacement."""
    titles = [f"{first} above {second}".replace("_", " ") for first, second in COMPARISONS]
    lines = [f"| pairs compared | score | {' | '.join(titles)} |", "|---|---|" + "---:|" * len(titles)]
    for name, stratum_of in STRATA.items():
        for score_name, title in SCORES.items():
            cells = []
            for pair in COMPARISONS:
                own = [each for each in substitutions if each.consequence in pair]
                scores = np.array([getattr(each, score_name) for each in own])
                is_first = np.array([each.consequence == pair[0] for each in own])
                arrays = (_numbered(map(stratum_of, own)), is_first, scores)
                genes = [each.gene for each in own]
                cells.append(_auroc_cell(arrays, genes, n_resamples=n_resamples, seed=seed))
            lines.append(f"| {name} | {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _numbered(strata: Iterable[object]) -> np.ndarray:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(stratum, len(numbers)) for stratum in strata])


def _auroc_cell(arrays: tuple[np.ndarray, ...], genes: Sequence[str], *, n_resamples: int, seed: int) -> str:
    auroc = auroc_within(*arrays) if genes else float("nan")
    if np.isnan(auroc):
        return "-"
    intervals = bootstrap_intervals(
        lambda *drawn: {"auroc": auroc_within(*drawn)}, arrays, groups=genes, n_resamples=n_resamples, seed=seed
    )
    if not intervals:
        return f"{auroc:.3f}"  # of one gene alone
    low, high = intervals["auroc"]
    return f"{auroc:.3f} ({low:.3f}-{high:.3f})"
