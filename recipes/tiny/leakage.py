"""Prove that what is held out of a corpus is not trained on.

Two ways: by place, where every training window is compared with every held-out region, and by content, where 40-mers
drawn from the held-out regions are looked for in all training bases. Genomes repeat themselves, so a few are found.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dnafm.data import EncodedGenome, GenomeWindows, WindowLocation
from dnafm.data.fasta import TOKEN_ID_MASK
from dnafm.tokenization_dnafm import VOCABULARY

KMER_BP = 40
N_SAMPLES = 2000
LARGEST_SHARE = 0.15  # a chromosome of Z. tritici shares up to 12 % of its 40-mers with the others: repeats
CONTEXT_LENGTH = 1026

_FIRST_BASE = VOCABULARY.index("A")  # C, G and T follow
_N_BASES = 4
_HEAD_BP = 32  # as many as 64 bits hold
_PREFIX_BITS = 24
_CHUNK_BP = 1 << 20
_REGION = re.compile(r"(?P<file>.+?)::(?P<name>.+?)(:(?P<start>\d+)-(?P<end>\d+))?")


@dataclass(frozen=True)
class Region:
    """A held-out region, 0-based and half-open; `end_bp` is None for a whole sequence."""

    text: str
    file: str
    sequence: str
    start_bp: int
    end_bp: int | None

    @classmethod
    def parse(cls, text: str) -> "Region":
        """Read `file::name` or `file::name:start-end`, 1-based and inclusive.

        On purpose not with the parser of `GenomeWindows`, whose work is what is checked.
        """
        match = _REGION.fullmatch(text)
        if match is None:
            raise ValueError(f"The region {text!r} is not of the form 'file.fa::name' or 'file.fa::name:start-end'.")
        start, end = match["start"], match["end"]
        return cls(text, match["file"], match["name"], int(start) - 1 if start else 0, int(end) if end else None)

    def overlaps(self, location: WindowLocation) -> bool:
        """Tell whether a place has a base of the region."""
        is_same_sequence = (Path(location.fasta_path).name, location.sequence) == (self.file, self.sequence)
        return is_same_sequence and location.end_bp > self.start_bp and location.start_bp < (self.end_bp or np.inf)

    def codes(self, genomes: Iterable[EncodedGenome]) -> np.ndarray:
        """Return the bases' codes, (bases,) uint8 as in `base_codes`."""
        (genome,) = (genome for genome in genomes if Path(genome.fasta_path).name == self.file)
        return base_codes(genome, self.sequence, self.start_bp, self.end_bp)


def base_codes(genome: EncodedGenome, sequence: str, start_bp: int, end_bp: int | None) -> np.ndarray:
    """Return 0, 1, 2, 3 for A, C, G, T and more for what is unknown, (bases,) uint8."""
    (record,) = (record for record in genome.sequences if record.name == sequence)
    end = record.length_bp if end_bp is None else end_bp
    return (genome.codes[record.offset + start_bp : record.offset + end] & TOKEN_ID_MASK) - np.uint8(_FIRST_BASE)


def training_places(genomes: Sequence[EncodedGenome], held_out: Sequence[str]) -> list[WindowLocation]:
    """Return where training has bases, as windows without an offset do; those that touch are joined.

    Windows with an offset are checked as well.

    Raises:
        ValueError: a window has a base of a held-out region.
    """
    windows = GenomeWindows(genomes, CONTEXT_LENGTH, held_out=held_out)
    places = joined(windows.location(i) for i in tqdm(range(len(windows)), "windows", leave=False, disable=None))
    moving = GenomeWindows(genomes, CONTEXT_LENGTH, held_out=held_out, random_offset=True)
    moved = joined(moving.location(i) for i in tqdm(range(len(moving)), "moved windows", leave=False, disable=None))
    check_places([*places, *moved], [Region.parse(text) for text in held_out])
    return places


def joined(locations: Iterable[WindowLocation]) -> list[WindowLocation]:
    """Join locations that follow on each other."""
    places: list[WindowLocation] = []
    for location in locations:
        last = places[-1] if places else None
        key = (location.fasta_path, location.sequence, location.start_bp)
        if last and key == (last.fasta_path, last.sequence, last.end_bp):
            places[-1] = WindowLocation(last.fasta_path, last.sequence, last.start_bp, location.end_bp)
        else:
            places.append(location)
    return places


def check_places(places: Iterable[WindowLocation], regions: Sequence[Region]) -> None:
    """Raise a ValueError for a place that overlaps a held-out region."""
    for place in places:
        for region in regions:
            if region.overlaps(place):
                raise ValueError(
                    f"{place.fasta_path}: training has {place.sequence} from {place.start_bp} to {place.end_bp} bp, "
                    f"of which some is held out: {region.text!r}."
                )


def found_shares(training: Iterable[np.ndarray], held_out: Sequence[np.ndarray], *, seed: int = 0) -> list[float]:
    """Return which share of 40-mers drawn from each held-out sequence training has, on either strand.

    Args:
        training: codes of `base_codes`.
        held_out: likewise; `N_SAMPLES` 40-mers without unknown bases are drawn from each, with replacement.
        seed: of the drawing.
    """
    generator = np.random.default_rng(seed)
    samples = [_drawn(codes, generator) for codes in held_out]
    queries = [np.stack([_keys(kmers), _keys(3 - kmers[:, ::-1])]) for kmers in samples]
    found = _found(training, np.concatenate([keys.reshape(-1, 2) for keys in queries]))
    return [_share(keys, found) for keys in queries]


def _share(keys: np.ndarray, found: set[tuple[int, int]]) -> float:
    """Return the share of samples of which a strand was found; keys are (strands, samples, 2)."""
    forward, reverse = ([tuple(key) in found for key in strand] for strand in keys.tolist())
    return float(np.mean(np.logical_or(forward, reverse)))


def _drawn(codes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw k-mers of known bases, (samples, 40)."""
    n_unknown_before = np.append(0, np.cumsum(codes >= _N_BASES))
    starts = np.flatnonzero(n_unknown_before[KMER_BP:] == n_unknown_before[:-KMER_BP])
    if len(starts) == 0:
        raise ValueError(f"A held-out region of {len(codes)} bases has no {KMER_BP} known ones in a row to look for.")
    return codes[generator.choice(starts, N_SAMPLES)[:, None] + np.arange(KMER_BP)]


def _keys(kmers: np.ndarray) -> np.ndarray:
    """Pack k-mers, (samples, 40), to (samples, 2): their first 32 bases and their last 32."""
    return _packed(kmers)[:, [0, KMER_BP - _HEAD_BP]]


def _packed(codes: np.ndarray) -> np.ndarray:
    """Pack the 32 bases from each position on, 2 bits a base, the first one highest; (…, bases - 31) uint64."""
    packed, width = codes.astype(np.uint64), 1
    while width < _HEAD_BP:
        packed = (packed[..., :-width] << np.uint64(2 * width)) | packed[..., width:]
        width *= 2
    return packed


def _found(training: Iterable[np.ndarray], queries: np.ndarray) -> set[tuple[int, int]]:
    """Return those of the keys, (queries, 2), that training has."""
    wanted, heads = {tuple(key) for key in queries.tolist()}, np.unique(queries[:, 0])
    shift = np.uint64(2 * _HEAD_BP - _PREFIX_BITS)
    # Most positions are dismissed by their first 12 bases, which a table in the processor's cache can do.
    has_prefix = np.zeros(1 << _PREFIX_BITS, bool)
    has_prefix[heads >> shift] = True
    found = set()
    for codes in _known_chunks(training):
        packed = _packed(codes)
        starts = np.flatnonzero(has_prefix[packed[: len(codes) - KMER_BP + 1] >> shift])
        starts = starts[np.isin(packed[starts], heads)]
        found |= wanted & set(zip(packed[starts].tolist(), packed[starts + KMER_BP - _HEAD_BP].tolist(), strict=True))
    return found


def _known_chunks(training: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Cut sequences where bases are unknown, and into pieces that overlap by a k-mer less one base."""
    for codes in training:
        edges = np.flatnonzero(np.diff(codes < _N_BASES, prepend=False, append=False)).reshape(-1, 2)
        for start, end in edges.tolist():
            for left in range(start, end - KMER_BP + 1, _CHUNK_BP):
                yield codes[left : min(left + _CHUNK_BP + KMER_BP - 1, end)]
