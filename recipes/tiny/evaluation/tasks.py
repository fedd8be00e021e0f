"""The six tasks: where their examples come from, how they are measured, and how much of them is used."""

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dnafm.data import load_splice_junctions
from evaluation.annotations import GeneModel, read_gene_models, read_loci
from evaluation.examples import BASE_LABELS, Examples, Splits, split_by_chromosome, split_loci, without_duplicates
from evaluation.windows import (
    Genome,
    Window,
    coding_windows,
    intergenic_windows,
    read_genome,
    splice_site_windows,
    start_windows,
    upstream_windows,
    window_sequence,
)

GENOME_NAME = "zymoseptoria_tritici.fa"
GENE_MODELS = "usr/share/doc/maffilter/examples/Ztritici/Mgraminicolav2.FrozenGeneCatalog20080910.gff.gz"
LOCI = "usr/share/doc/augustus/tutorial/results/genes.gb"
PACKAGES = ("maffilter-examples", "augustus-doc")
# What the checkpoint has not seen of Drosophila chr2R, 0-based and half-open.
DROSOPHILA_HELD_OUT = (2_000_000, 7_000_000)
# What these files hold, by the definitions of windows.py.
EXPECTED_COUNTS = {
    "donors": 17_532,
    "acceptors": 17_575,
    "coding windows": 66_253,
    "upstream windows": 5_857,
    "loci in genes.gb.train": 486,
    "loci in genes.gb.test": 100,
}
COUNT_TOLERANCE = 0.02
# Windows of the loci: a context of 1,024 tokens less [CLS] and the suffix.
LOCUS_WINDOW_BP = 1022


@dataclass(frozen=True)
class Effort:
    """How many examples of each split are drawn, and how a model is fine-tuned on them.

    The head of a sequence sees the [CLS] token where the place of a motif counts: it has every base at a fixed
    distance, which the mean over the bases forgets.
    """

    n_train: int
    n_validation: int
    n_test: int
    epochs: int
    batch_size: int
    learning_rate: float = 5e-4
    pooling: str = "mean"

    def scaled(self, factor: float, *, epochs: int | None = None) -> "Effort":
        """Multiply the numbers of examples, and set the epochs where they are given."""
        numbers = {name: max(1, round(factor * getattr(self, name))) for name in ("n_train", "n_validation", "n_test")}
        return replace(self, **numbers, epochs=self.epochs if epochs is None else epochs)


@dataclass(frozen=True)
class Task:
    """One question with its examples.

    Attributes:
        name: Key on the command line and in the names of files.
        title: Row of the table.
        label_names: In the order of the class ids.
        metrics: Columns of `measure` that the table shows.
        baseline: `"one-hot"`, `"4-mer"` or `"context"`.
        effort: How much is used.
        splits: All examples.
        has_centre: Whether what counts lies between the two bases in the middle, so that probes see those as well.
        is_per_base: Whether each base has a label of its own.
    """

    name: str
    title: str
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    baseline: str
    effort: Effort
    splits: Splits
    has_centre: bool = False
    is_per_base: bool = False

    def with_effort(self, effort: Effort) -> "Task":
        """Return the same task with another effort."""
        return replace(self, effort=effort)

    def drawn(self, seed: int) -> Splits:
        """Draw the examples that are used: training by the seed, validation and test always the same."""
        return Splits(
            self.splits.train.sample(self.effort.n_train, seed=seed),
            self.splits.validation.sample(self.effort.n_validation, seed=0),
            self.splits.test.sample(self.effort.n_test, seed=0),
        )

    def counts(self) -> dict[str, int]:
        """Count the examples of each split, and what was counted on the way."""
        splits = {"train": self.splits.train, "validation": self.splits.validation, "test": self.splits.test}
        return {**self.splits.counts, **{f"{name} examples": len(part) for name, part in splits.items()}}


class Sources:
    """Files that tasks are made from, read when they are first asked for.

    Args:
        genomes: Folder with `GENOME_NAME`, as `recipes/tiny/genomes.py` writes it.
        unpacked: Folder with one folder for each of `PACKAGES`.
    """

    def __init__(self, genomes: Path, unpacked: Path):
        self.genomes, self.unpacked = genomes, unpacked

    @cached_property
    def genome(self) -> Genome:
        """Chromosomes of Z. tritici by name."""
        path = self.genomes / GENOME_NAME
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; recipes/tiny/genomes.py writes it. Name its folder.")
        return read_genome(path)

    @cached_property
    def gene_models(self) -> list[GeneModel]:
        """Gene models of Z. tritici.

        Raises:
            ValueError: one lies outside of the genome's sequences.
        """
        models = read_gene_models(self.unpacked / "maffilter-examples" / GENE_MODELS)
        for model in models:
            if model.span[1] > len(self.genome.get(model.chromosome, "")):
                raise ValueError(
                    f"{model.name} reaches to {model.chromosome}:{model.span[1]}, which {GENOME_NAME} does not have. "
                    "Are the gene models and the FASTA of the same assembly?"
                )
        return models

    def loci(self, part: str) -> Path:
        """Path of the loci of `"train"` or `"test"`."""
        return self.unpacked / "augustus-doc" / f"{LOCI}.{part}"


@contextmanager
def open_sources(genomes: Path, packages: Path) -> Iterator[Sources]:
    """Unpack the Debian packages that hold the annotations into a temporary folder.

    Raises:
        FileNotFoundError: a package is not in the folder, with the command that obtains it.
    """
    with TemporaryDirectory(prefix="dnafm-evaluation-") as folder:
        for name in PACKAGES:
            found = sorted(packages.glob(f"{name}_*.deb"))
            if not found:
                raise FileNotFoundError(f"{packages} has no {name}_*.deb. Run there: apt-get download {name}")
            subprocess.run(["dpkg-deb", "-x", found[-1], Path(folder) / name], check=True)
        yield Sources(genomes, Path(folder))


def splice_junctions(sources: Sources) -> Task:
    """UCI primate splice junctions, in the published split of the bundled table."""
    bundled = load_splice_junctions()
    parts = [Examples(part.ids, part.sequences, part.labels) for _, part in bundled.items()]
    return Task(
        name="uci",
        title="UCI splice junctions, 60 nt, 3 classes",
        label_names=bundled.label_names,
        metrics=("accuracy", "mcc"),
        baseline="one-hot",
        effort=Effort(n_train=2_161, n_validation=240, n_test=600, epochs=3, batch_size=16, pooling="cls"),
        splits=without_duplicates(*parts),
        has_centre=True,
    )


def donors(sources: Sources) -> Task:
    """Donors of Z. tritici against decoys."""
    return _splice_sites(sources, "donor")


def acceptors(sources: Sources) -> Task:
    """Acceptors of Z. tritici against decoys."""
    return _splice_sites(sources, "acceptor")


def coding(sources: Sources) -> Task:
    """Spliced coding sequence of Z. tritici against intergenic."""
    windows = coding_windows(sources.gene_models) + intergenic_windows(sources.gene_models, sources.genome)
    return _windows_task(sources, "coding", "Z. tritici coding against intergenic, 200 bp", windows)


def upstream(sources: Sources) -> Task:
    """Sequence upstream of start codons of Z. tritici against as much intergenic of the same chromosome."""
    models, genome = sources.gene_models, sources.genome
    positives = [window for window in upstream_windows(models) if window_sequence(window, genome)]
    intergenic = intergenic_windows(models, genome, keep_off=start_windows(models))
    negatives = [window for window in intergenic if window_sequence(window, genome)]
    windows = positives + _as_many_per_chromosome(negatives, positives)
    return _windows_task(
        sources, "upstream", "Z. tritici upstream of the start codon against intergenic, 200 bp", windows
    )


def drosophila(sources: Sources) -> Task:
    """CDS, intron and intergenic bases of Drosophila loci."""
    return Task(
        name="drosophila",
        title="Drosophila, each base",
        label_names=BASE_LABELS,
        metrics=tuple(f"f1_{name}" for name in BASE_LABELS),
        baseline="context",
        effort=Effort(n_train=80, n_validation=20, n_test=120, epochs=2, batch_size=4),
        splits=split_loci(
            read_loci(sources.loci("train")),
            read_loci(sources.loci("test")),
            test_region=DROSOPHILA_HELD_OUT,
            window_bp=LOCUS_WINDOW_BP,
        ),
        is_per_base=True,
    )


TASKS: dict[str, Callable[[Sources], Task]] = {
    "uci": splice_junctions,
    "donor": donors,
    "acceptor": acceptors,
    "coding": coding,
    "upstream": upstream,
    "drosophila": drosophila,
}


def _splice_sites(sources: Sources, kind: str) -> Task:
    windows = splice_site_windows(sources.gene_models, sources.genome, kind=kind)
    return Task(
        name=kind,
        title=f"Z. tritici {kind}s against decoys, ±40 nt",
        label_names=("decoy", kind),
        metrics=("auroc", "mcc"),
        baseline="one-hot",
        effort=Effort(n_train=1_200, n_validation=200, n_test=1_500, epochs=2, batch_size=16, pooling="cls"),
        splits=split_by_chromosome(windows, sources.genome, _count_labels(windows, (f"decoy {kind}s", f"{kind}s"))),
        has_centre=True,
    )


def _windows_task(sources: Sources, name: str, title: str, windows: list[Window]) -> Task:
    return Task(
        name=name,
        title=title,
        label_names=("intergenic", name),
        metrics=("auroc", "mcc"),
        baseline="4-mer",
        effort=Effort(n_train=600, n_validation=150, n_test=1_000, epochs=2, batch_size=16),
        splits=split_by_chromosome(
            windows, sources.genome, _count_labels(windows, ("intergenic windows", f"{name} windows"))
        ),
    )


def check_counts(task: Task) -> None:
    """Compare what was found with `EXPECTED_COUNTS`.

    Raises:
        ValueError: a count is off by more than `COUNT_TOLERANCE`.
    """
    for name, expected in EXPECTED_COUNTS.items():
        found = task.splits.counts.get(name, expected)
        if abs(found - expected) > COUNT_TOLERANCE * expected:
            raise ValueError(
                f"{task.name}: {found:,} {name}, and {expected:,} are due. Are the FASTA and annotations those that "
                "recipes/tiny/genomes.py obtains?"
            )


def _count_labels(windows: list[Window], names: tuple[str, ...]) -> dict[str, int]:
    return {name: sum(window.label == label for window in windows) for label, name in enumerate(names)}


def _as_many_per_chromosome(windows: list[Window], others: list[Window]) -> list[Window]:
    """Draw as many windows of each chromosome as the others have there, or all where there are no more."""
    n_wanted = Counter(window.chromosome for window in others)
    order = np.random.default_rng(0).permutation(len(windows))
    drawn = []
    for window in (windows[row] for row in order):
        if n_wanted[window.chromosome]:
            n_wanted[window.chromosome] -= 1
            drawn.append(window)
    return drawn
