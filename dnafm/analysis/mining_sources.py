"""What genome mining reads: queries, files of genomes, and those that a store remembers."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from accelerate import PartialState  # type: ignore[import-untyped]
from tqdm import tqdm

from dnafm.analysis.embedding_inputs import CheckedInput
from dnafm.analysis.mining_queries import Query, searched_genomes
from dnafm.analysis.mining_runs import genome_name
from dnafm.analysis.mining_store import MiningStore, StoredGenome
from dnafm.analysis.mining_windows import GenomeSurvey, WindowCut, survey_genome
from dnafm.genomics import Interval

Paths = str | os.PathLike | Sequence[str | os.PathLike]


def named_queries(
    sequences: str | Sequence[str] | Mapping[str, str], loci: Sequence[tuple[str, Interval]] | None
) -> Iterator[Query]:
    """Yield queries; of a mapping the keys are the ids, else the numbers from 1.

    Raises:
        ValueError: there are not as many loci as sequences, or a sequence is no DNA.
    """
    if isinstance(sequences, str):
        sequences = [sequences]
    if not isinstance(sequences, Mapping):
        sequences = {str(number): sequence for number, sequence in enumerate(sequences, start=1)}
    if loci is not None and len(loci) != len(sequences):
        raise ValueError(f"There are {len(loci)} loci for {len(sequences)} sequences; one each is due.")
    for row, (name, sequence) in enumerate(sequences.items()):
        yield Query(name, sequence, None if loci is None else loci[row])


@dataclass(frozen=True)
class QuerySource:
    """Sequences of a file as queries.

    Attributes:
        checked: the sequences.
        own_genome: name that the store has for the genome of their intervals, whose hits there are left out; None to
            leave out none.
    """

    checked: CheckedInput
    own_genome: str | None = None

    def __iter__(self) -> Iterator[Query]:
        """Yield the queries; raises as `CheckedInput` does."""
        for named in self.checked:
            locus = None
            if self.own_genome is not None and named.interval is not None:
                locus = (self.own_genome, named.interval)
            yield Query(named.id, named.sequence, locus)


def surveys_of_files(paths: Paths, cut: WindowCut, *, state: PartialState) -> list[tuple[str, GenomeSurvey]]:
    """Read genomes, and return them with the names of their files.

    Raises:
        ValueError: two have one name, or as `survey_genome` says.
    """
    surveys: dict[str, GenomeSurvey] = {}
    for path in listed(paths):
        name = genome_name(path)
        if name in surveys:
            raise ValueError(f"{path} and {surveys[name].path} have one name, {name!r}. Rename one of the files.")
        surveys[name] = survey_shown(path, cut, state)
    return list(surveys.items())


def stored_surveys(
    store: MiningStore, fastas: Paths = (), *, genomes: Sequence[str] = (), state: PartialState
) -> list[tuple[str, GenomeSurvey]]:
    """Find and read the files of a store's genomes, and return them with the genomes' names.

    Args:
        store: with the genomes.
        fastas: files, in any order; by default where they were when they were added.
        genomes: names of those that are wanted, all by default.
        state: ranks, of which the first one shows progress.

    Raises:
        ValueError: a file is none of the genomes, or has changed, or the store has no such genome.
        OSError: there is no such file.
    """
    stored = searched_genomes(store, genomes)
    survey = partial(survey_shown, cut=store.settings.cut, state=state)
    given = {found.checksum: found for found in map(survey, listed(fastas))}
    known = {genome.checksum for genome in stored}
    for checksum, found in given.items():
        if checksum not in known:
            raise ValueError(f"{found.path} is none of the genomes that are asked for in {store.path}.")
    return [(genome.name, given.get(genome.checksum) or _remembered(genome, survey)) for genome in stored]


def short_note(n_short: int, window_bp: int) -> str:
    """Return what is told about queries that are shorter than windows."""
    return (
        f"Shorter than the windows of {window_bp:,} bases, and embedded as they are, so that cosines are lower: "
        f"{n_short:,} of the queries."
    )


def listed(paths: Paths) -> list[str]:
    """Return one or several paths as a list."""
    return [os.fspath(paths)] if isinstance(paths, (str, os.PathLike)) else [os.fspath(path) for path in paths]


def survey_shown(path: str, cut: WindowCut, state: PartialState) -> GenomeSurvey:
    """Read a genome as `survey_genome` does, under a progress bar."""
    with progress_bar(f"reading {os.path.basename(path)}", state, unit="b", unit_scale=True, delay=2) as bar:
        return survey_genome(path, cut, on_progress=bar.update)


def _remembered(genome: StoredGenome, survey: Any) -> GenomeSurvey:
    if not os.path.isfile(genome.path):
        raise FileNotFoundError(f"{genome.path}, the genome {genome.name!r}, is no longer there. Say where it is.")
    found = survey(genome.path)
    if found.checksum != genome.checksum:
        raise ValueError(f"{genome.path} is no longer the genome {genome.name!r} of the store. Say where that is.")
    return found


def progress_bar(description: str, state: PartialState, **options: Any) -> tqdm:
    """Return a bar of the first rank, silent where stderr is no terminal."""
    is_silent = None if state.is_main_process else True
    return tqdm(desc=description, disable=is_silent, leave=False, **options)
