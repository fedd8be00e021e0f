"""Examples with one label each, or one for each base, in splits that share no chromosome and no sequence."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluation.annotations import Locus
from evaluation.windows import Genome, Window, reverse_complement, window_sequence

TEST_CHROMOSOMES = ("chr_4", "chr_8", "chr_12")
VALIDATION_CHROMOSOMES = ("chr_9",)

BASE_LABELS = ("intergenic", "intron", "CDS")
_INTRON, _CDS = BASE_LABELS.index("intron"), BASE_LABELS.index("CDS")


@dataclass(frozen=True)
class Examples:
    """Sequences and their labels: one class id each or, per base, (length,) uint8 class ids each."""

    ids: tuple[str, ...]
    sequences: tuple[str, ...]
    labels: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.sequences)

    def take(self, rows: Iterable[int]) -> "Examples":
        """Return the rows of these indices, in their order."""
        rows = list(rows)
        return Examples(*(tuple(column[row] for row in rows) for column in (self.ids, self.sequences, self.labels)))

    def sample(self, n: int, *, seed: int) -> "Examples":
        """Draw n rows without replacement in random order, or all where there are no more."""
        order = np.random.default_rng(seed).permutation(len(self))
        return self.take(order[:n])

    def flat_labels(self) -> np.ndarray:
        """Return all labels one after the other, int64: (n,), or (bases,) where labels are per base."""
        return np.concatenate([np.atleast_1d(label) for label in self.labels]).astype(np.int64)

    def digest(self) -> str:
        """Return the SHA-256 of ids, sequences and labels in their order, in hexadecimal."""
        digest = hashlib.sha256()
        for identifier, sequence, label in zip(self.ids, self.sequences, self.labels, strict=True):
            digest.update(f"{identifier}\t{sequence}\t".encode() + np.asarray(label, np.uint8).tobytes() + b"\n")
        return digest.hexdigest()


@dataclass(frozen=True)
class Splits:
    """Training, validation and test examples, and what was counted on the way to them."""

    train: Examples
    validation: Examples
    test: Examples
    counts: dict[str, int] = field(default_factory=dict)


def split_by_chromosome(windows: Iterable[Window], genome: Genome, counts: dict[str, int] | None = None) -> Splits:
    """Put each window with the split of its whole chromosome, then remove duplicates."""
    rows: dict[str, list[tuple[str, str, int]]] = {"train": [], "validation": [], "test": []}
    for window in windows:
        sequence = window_sequence(window, genome)
        if sequence is not None:
            rows[_split_of(window.chromosome)].append((window.name, sequence, window.label))
    splits = [Examples(*zip(*rows[name], strict=True)) if rows[name] else Examples((), (), ()) for name in rows]
    return without_duplicates(*splits, counts=counts)


def split_loci(
    train: Sequence[Locus], test: Sequence[Locus], *, test_region: tuple[int, int], window_bp: int
) -> Splits:
    """Cut loci into windows with a label for each base.

    Test loci outside of `test_region`, where the checkpoint was pretrained, are left out, and so are training loci
    that share a base with a test locus. The last tenth of the training loci by place is the validation split.
    """
    kept_test = [locus for locus in test if test_region[0] <= locus.start_bp and locus.end_bp <= test_region[1]]
    disjoint = [locus for locus in train if not any(locus.overlaps(other) for other in test)]
    by_place = sorted(disjoint, key=lambda locus: (locus.chromosome, locus.start_bp))
    validation = by_place[len(by_place) - len(by_place) // 10 :]
    kept_train = [
        locus
        for locus in by_place[: len(by_place) - len(validation)]
        if not any(locus.overlaps(other) for other in validation)
    ]
    counts = {
        "loci in genes.gb.train": len(train),
        "loci in genes.gb.test": len(test),
        "test loci kept out of pretraining": len(kept_test),
        "training loci removed that overlap others": len(train) - len(kept_train) - len(validation),
    }
    parts = [locus_windows(loci, window_bp=window_bp) for loci in (kept_train, validation, kept_test)]
    return without_duplicates(*parts, counts=counts)


def locus_windows(loci: Sequence[Locus], *, window_bp: int) -> Examples:
    """Tile each locus, read on its gene's strand, with windows; the last of a locus is shorter.

    A base is CDS, intron (between two parts of the CDS) or intergenic (all else, untranslated regions included).
    """
    ids, sequences, labels = [], [], []
    for locus in loci:
        sequence, base_labels = locus.sequence, base_labels_of(locus)
        if locus.is_reverse:
            sequence, base_labels = reverse_complement(sequence), base_labels[::-1]
        for start in range(0, len(sequence), window_bp):
            ids.append(f"{locus.name}:{start + 1}({'-' if locus.is_reverse else '+'})")
            sequences.append(sequence[start : start + window_bp])
            labels.append(base_labels[start : start + window_bp])
    return Examples(tuple(ids), tuple(sequences), tuple(labels))


def base_labels_of(locus: Locus) -> np.ndarray:
    """Return indices into `BASE_LABELS`, (length,) uint8, in the order of the + strand."""
    labels = np.zeros(len(locus.sequence), np.uint8)
    labels[locus.coding[0][0] : locus.coding[-1][1]] = _INTRON
    for start_bp, end_bp in locus.coding:
        labels[start_bp:end_bp] = _CDS
    return labels


def without_duplicates(
    train: Examples, validation: Examples, test: Examples, *, counts: dict[str, int] | None = None
) -> Splits:
    """Remove from each split what occurs in a later one, on either strand, and count it."""
    seen = _both_strands(test)
    kept_validation = validation.take(i for i, s in enumerate(validation.sequences) if s not in seen)
    seen |= _both_strands(kept_validation)
    kept_train = train.take(i for i, s in enumerate(train.sequences) if s not in seen)
    n_removed = len(train) + len(validation) - len(kept_train) - len(kept_validation)
    return Splits(
        kept_train, kept_validation, test, {**(counts or {}), "examples removed that another split has": n_removed}
    )


def _both_strands(examples: Examples) -> set[str]:
    return {strand for sequence in examples.sequences for strand in (sequence, reverse_complement(sequence))}


def _split_of(chromosome: str) -> str:
    if chromosome in TEST_CHROMOSOMES:
        return "test"
    return "validation" if chromosome in VALIDATION_CHROMOSOMES else "train"
