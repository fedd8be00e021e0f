"""Genomes as a data set of windows, with regions held out for evaluation.

A window belongs to a stretch: what is left of a sequence between held-out regions and runs of unknown bases. Stretches
are all that is kept in memory; a window's place is computed from its index.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from dnafm.data.fasta import SOFT_MASK_BIT, TOKEN_ID_MASK
from dnafm.data.genome_cache import EncodedGenome
from dnafm.tokenization_dnafm import SUFFIX_TOKENS, VOCABULARY

# A region: text as samtools takes it, or as in BED.
Region = str | tuple[str, int, int]
Interval = tuple[int, int]

_MIN_WINDOW_BP = 3
_N_SPECIAL_TOKENS = 2
_CLS, _N = VOCABULARY.index("[CLS]"), VOCABULARY.index("N")
_SCAN_BP = 1 << 22
_COORDINATES = re.compile(r"(?P<name>.+):(?P<start>[\d,]+)-(?P<end>[\d,]*)")


@dataclass(frozen=True)
class WindowLocation:
    """Where a window lies: 0-based, half-open."""

    fasta_path: str
    sequence: str
    start_bp: int
    end_bp: int


class GenomeWindows(Dataset):
    """Non-overlapping windows of genomes, in the order of files, sequences and positions.

    Windows tile what the data set covers: for `part="training"` everything but the held-out regions, for
    `part="evaluation"` exactly those. The last window of a stretch is shorter. The item of a window is found by its
    index, or by (epoch, index) for another epoch than that of `set_epoch`. It is a dict of

    - `input_ids`: (tokens,) int64, `[CLS]`, the bases and the suffix;
    - `sample_index`, `epoch`: ints, from which the collators of `dnafm.data.collators` derive their random numbers;
    - `token_weight`: (tokens,) float32, only with `soft_mask_weight`: that weight for a base in lower case, 1 for one
      in upper case, 0 for the special tokens.

    With `random_offset` every epoch cuts each stretch elsewhere, at a distance drawn from the seed and the epoch. The
    number of windows stays the same: a stretch of one window is left whole, and of others the shorter end, at most
    half a window, is left out where it would be one window too many.

    Trainer drops the columns that models do not know before they reach a collator, so set its
    `remove_unused_columns=False`.

    Args:
        genomes: from `open_genomes`.
        context_length: most tokens of an input, special tokens included.
        window_bp: bases of a window, 3 to `context_length - 2`, which is the default.
        suffix: the token after the bases, `"[EOS]"`, `"[SEP]"` or None, as in the tokenizer.
        held_out: regions as `"name"`, `"name:start-end"` (1-based, inclusive, an open end allowed) or
            `(name, start_bp, end_bp)` (0-based, half-open). Where several files have a sequence of that name, put the
            file's name before it: `"hg38.fa.gz::chr1"`. `"hg38.fa.gz::"` is the whole file.
        part: the side of the held-out regions to cover.
        max_unknown: largest share of N in a window, in [0, 1]. Others are dropped, judged without offset; a window
            that an offset makes of two kept ones can hold up to twice the share.
        random_offset: cut elsewhere in every epoch; see `set_epoch`.
        soft_mask_weight: weight of a base in lower case, at least 0; None for no weights.
        seed: of the offsets, at least 0.

    Raises:
        ValueError: a number is out of its range, a held-out region matches nothing, lies outside of its sequence or
            is ambiguous, or no window is left.
    """

    def __init__(
        self,
        genomes: Sequence[EncodedGenome],
        context_length: int,
        *,
        window_bp: int | None = None,
        suffix: str | None = "[EOS]",
        held_out: Iterable[Region] = (),
        part: Literal["training", "evaluation"] = "training",
        max_unknown: float = 1.0,
        random_offset: bool = False,
        soft_mask_weight: float | None = None,
        seed: int = 0,
    ):
        self.genomes = tuple(genomes)
        self.window_bp = context_length - _N_SPECIAL_TOKENS if window_bp is None else window_bp
        self.suffix, self.max_unknown, self.seed = suffix, max_unknown, seed
        self.random_offset, self.soft_mask_weight = random_offset, soft_mask_weight
        self._check(context_length)
        self._suffix_ids = () if suffix is None else (VOCABULARY.index(suffix),)
        # Shared with the workers of a DataLoader, which live through epochs where they are persistent.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        stretches = self._stretches(_Regions(self.genomes, held_out), part)
        self._genome, self._sequence, self._start, self._length = np.array(stretches, np.int64).reshape(-1, 4).T
        self._first_window = np.append(0, np.cumsum(-(-self._length // self.window_bp)))
        if len(self) == 0:
            raise ValueError(f"No {part} window is left. Hold out other regions or raise max_unknown={max_unknown}.")

    def __len__(self) -> int:
        return int(self._first_window[-1])

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        epoch, index = (self.epoch, key) if isinstance(key, (int, np.integer)) else key
        genome, _, start, end = self._place(index, epoch)
        codes = self.genomes[genome].codes[start:end]
        input_ids = self._framed(codes & TOKEN_ID_MASK, _CLS, self._suffix_ids, np.int64)
        item = {"input_ids": input_ids, "sample_index": int(index) % len(self), "epoch": int(epoch)}
        if self.soft_mask_weight is not None:
            weights = np.where(codes & SOFT_MASK_BIT, np.float32(self.soft_mask_weight), np.float32(1))
            item["token_weight"] = self._framed(weights, 0, (0,) * len(self._suffix_ids), np.float32)
        return item

    @property
    def epoch(self) -> int:
        """The epoch that items are those of, 0 at first."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Make items those of an epoch, at least 0, in this process and in workers that have started."""
        if epoch < 0:
            raise ValueError(f"The epoch is {epoch}; it must be at least 0.")
        self._epoch.fill_(epoch)

    @cached_property
    def n_windows_of_genomes(self) -> np.ndarray:
        """How many of the windows are those of each genome, (genomes,) int64; the windows are in that order."""
        counts = np.bincount(self._genome, np.diff(self._first_window), minlength=len(self.genomes))
        return counts.astype(np.int64)

    def location(self, index: int) -> WindowLocation:
        """Return where the window of that index lies in this epoch."""
        genome, sequence, start, end = self._place(index, self.epoch)
        record = self.genomes[genome].sequences[sequence]
        path = self.genomes[genome].fasta_path
        return WindowLocation(path, record.name, start - record.offset, end - record.offset)

    def _check(self, context_length: int) -> None:
        largest = context_length - _N_SPECIAL_TOKENS
        if not _MIN_WINDOW_BP <= self.window_bp <= largest:
            raise ValueError(
                f"Windows of {self.window_bp} bases: they must have {_MIN_WINDOW_BP} to {largest}, which is the "
                f"context of {context_length} tokens less the special ones."
            )
        if self.suffix not in SUFFIX_TOKENS:
            raise ValueError(f"The suffix is {self.suffix!r}; it must be one of {SUFFIX_TOKENS}.")
        if not 0 <= self.max_unknown <= 1:
            raise ValueError(f"max_unknown is {self.max_unknown}; it is a share and must lie in [0, 1].")
        if self.soft_mask_weight is not None and not 0 <= self.soft_mask_weight < float("inf"):
            raise ValueError(f"soft_mask_weight is {self.soft_mask_weight}; it must be at least 0.")
        if self.seed < 0:
            raise ValueError(f"The seed is {self.seed}; it must be at least 0.")

    def _stretches(self, regions: "_Regions", part: str) -> list[tuple[int, int, int, int]]:
        """Return (genome, sequence, start in its codes, length) of all that windows are cut from."""
        found = []
        for i, genome in enumerate(self.genomes):
            for j, record in enumerate(genome.sequences):
                for start_bp, end_bp in regions.of(i, j, part):
                    interval = (record.offset + start_bp, record.offset + end_bp)
                    found += [(i, j, start, end - start) for start, end in self._known(genome, interval)]
        return found

    def _known(self, genome: EncodedGenome, interval: Interval) -> Iterable[Interval]:
        """Return the runs of windows of an interval that have few enough unknown bases."""
        if self.max_unknown == 1:
            return [interval]
        step = max(1, _SCAN_BP // self.window_bp) * self.window_bp
        starts = range(*interval, step)
        kept = np.concatenate(
            [self._is_kept(genome.codes[start : min(start + step, interval[1])]) for start in starts]
        )
        edges = np.flatnonzero(np.diff(kept, prepend=False, append=False)).reshape(-1, 2)
        runs = interval[0] + edges * self.window_bp
        return [(int(start), min(int(end), interval[1])) for start, end in runs]

    def _is_kept(self, codes: np.ndarray) -> np.ndarray:
        starts = np.arange(0, len(codes), self.window_bp)
        n_unknown = np.add.reduceat((codes & TOKEN_ID_MASK) == _N, starts, dtype=np.int64)
        return n_unknown / np.diff(starts, append=len(codes)) <= self.max_unknown

    def _place(self, index: int, epoch: int) -> tuple[int, int, int, int]:
        """Return genome, sequence, and start and end in the genome's codes of a window."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"Window {index} of {len(self)}.")
        index %= len(self)
        stretch = int(np.searchsorted(self._first_window, index, side="right")) - 1
        k = index - int(self._first_window[stretch])
        start, length = int(self._start[stretch]), int(self._length[stretch])
        lead = self._lead(length, epoch)
        left = (k + self._n_skipped(length, lead)) * self.window_bp - lead
        right = min(left + self.window_bp, length)
        left = max(left, 0)
        return int(self._genome[stretch]), int(self._sequence[stretch]), start + left, start + right

    def _lead(self, length: int, epoch: int) -> int:
        """Return how far the first window of a stretch begins before the stretch, whose bases it then lacks."""
        if not self.random_offset or length <= self.window_bp:
            return 0
        return _random_word(self.seed, epoch) % self.window_bp

    def _n_skipped(self, length: int, lead: int) -> int:
        """Return 1 if the first window is the one too many and shorter than the last one, else 0."""
        has_one_too_many = -(-(length + lead) // self.window_bp) > -(-length // self.window_bp)
        first, last = self.window_bp - lead, (length + lead) % self.window_bp or self.window_bp
        return int(has_one_too_many and first < last)

    def _framed(self, values: np.ndarray, first: float, last: Sequence[float], dtype: type) -> np.ndarray:
        framed: np.ndarray = np.empty(1 + len(values) + len(last), dtype)
        framed[0], framed[1 : 1 + len(values)], framed[1 + len(values) :] = first, values, last
        return framed


@lru_cache(maxsize=4)
def _random_word(seed: int, epoch: int) -> int:
    # The second number keeps clear of the counters of the collators.
    return int(np.random.Philox(key=seed, counter=[0, 1, 0, epoch]).random_raw())


class _Regions:
    """The held-out intervals of each sequence."""

    def __init__(self, genomes: Sequence[EncodedGenome], held_out: Iterable[Region]):
        self._genomes = genomes
        self._places: dict[str, list[tuple[int, int]]] = {}
        for i, genome in enumerate(genomes):
            for j, record in enumerate(genome.sequences):
                keys = {record.name} | {f"{file}::{record.name}" for file in self._file_names(genome)}
                for key in keys:
                    self._places.setdefault(key, []).append((i, j))
        self._intervals: dict[tuple[int, int], list[Interval]] = {}
        for region in held_out:
            self._hold_out(region)

    def of(self, genome: int, sequence: int, part: str) -> list[Interval]:
        """Return what a part of the data covers of a sequence: sorted, disjoint, not touching."""
        held_out = _merged(self._intervals.get((genome, sequence), []))
        if part == "evaluation":
            return held_out
        if part != "training":
            raise ValueError(f"The part is {part!r}; it must be 'training' or 'evaluation'.")
        ends = [0, *(edge for interval in held_out for edge in interval), self._length(genome, sequence)]
        return [(start, end) for start, end in zip(ends[::2], ends[1::2], strict=True) if start < end]

    def _length(self, genome: int, sequence: int) -> int:
        return self._genomes[genome].sequences[sequence].length_bp

    def _file_names(self, genome: EncodedGenome) -> set[str]:
        return {genome.fasta_path, os.path.basename(genome.fasta_path)}

    def _hold_out(self, region: Region) -> None:
        places, start_bp, end_bp = self._parsed(region)
        for place in places:
            length = self._length(*place)
            end = length if end_bp is None else end_bp
            if not 0 <= start_bp < end <= length:
                raise ValueError(
                    f"The held-out region {region!r} is no part of its sequence, which has {length} bases. Is it of "
                    "another assembly? Text is 1-based and inclusive, a tuple 0-based and half-open."
                )
            self._intervals.setdefault(place, []).append((start_bp, end))

    def _parsed(self, region: Region) -> tuple[list[tuple[int, int]], int, int | None]:
        if not isinstance(region, str):
            name, start_bp, end_bp = region
            return self._named(name, region), start_bp, end_bp
        # A name may itself look like coordinates.
        match = None if region in self._places else _COORDINATES.fullmatch(region)
        if match is None:
            return self._named(region, region), 0, None
        start, end = (match[side].replace(",", "") for side in ("start", "end"))
        return self._named(match["name"], region), int(start or 0) - 1, int(end) if end else None

    def _named(self, name: str, region: Region) -> list[tuple[int, int]]:
        places = self._places.get(name, [])
        if name.endswith("::") and not places:
            return self._of_file(name.removesuffix("::"), region)
        if not places:
            raise ValueError(f"The held-out region {region!r} matches no sequence: none is named {name!r}.")
        if len(places) > 1:
            files = [self._genomes[genome].fasta_path for genome, _ in places]
            raise ValueError(
                f"The held-out region {region!r} is ambiguous: {name!r} is in {files}. Write the file before it, as "
                f"in '{os.path.basename(files[0])}::{name}'."
            )
        return places

    def _of_file(self, file: str, region: Region) -> list[tuple[int, int]]:
        found = [i for i, genome in enumerate(self._genomes) if file in self._file_names(genome)]
        if len(found) != 1:
            raise ValueError(f"The held-out region {region!r} must match one file, and matches {len(found)}.")
        return [(found[0], sequence) for sequence in range(len(self._genomes[found[0]].sequences))]


def _merged(intervals: list[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
