"""Batches for pretraining: masked language modelling and masked diffusion.

Random numbers are counted, not drawn in turn: those of a sample are a function of (seed, epoch, sample index) alone,
computed by the Philox generator of numpy, whose stream is fixed. So a sample is masked in the same way in any batch,
order, worker and rank, and a run that resumes at step k goes on with the masks that it would have had. Items of
`dnafm.data.windows.GenomeWindows` carry both indices. With Trainer, set `remove_unused_columns=False`, or it removes
them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dnafm.data.strands import COMPLEMENT_IDS, EDGE_IDS
from dnafm.tokenization_dnafm import VOCABULARY

IGNORED_LABEL = -100

_PAD, _MASK = VOCABULARY.index("[PAD]"), VOCABULARY.index("[MASK]")
_BASES = np.array([VOCABULARY.index(base) for base in "ACGT"])
_IS_BASE = np.isin(np.arange(len(VOCABULARY)), _BASES)
_IS_EDGE = np.isin(np.arange(len(VOCABULARY)), EDGE_IDS)
_COMPLEMENT = np.array(COMPLEMENT_IDS)

_FILLS = {"input_ids": _PAD, "labels": IGNORED_LABEL, "attention_mask": 0, "token_weight": 0}

# The first words of a sample are its own, the others those of its tokens.
_STRAND, _STRATUM, _WITHIN_STRATUM, _N_SAMPLE_WORDS = range(4)


@dataclass(kw_only=True)
class _Collator(ABC):
    """Draws, flips and pads; subclasses mask."""

    seed: int = 0
    generator: torch.Generator | None = None
    reverse_complement_probability: float = 0.0
    pad_to_multiple_of: int | None = None

    def __post_init__(self) -> None:
        _check_probability("reverse_complement_probability", self.reverse_complement_probability)
        if self.seed < 0:
            raise ValueError(f"The seed is {self.seed}; it must be at least 0.")
        if self.pad_to_multiple_of is not None and self.pad_to_multiple_of < 1:
            raise ValueError(f"pad_to_multiple_of is {self.pad_to_multiple_of}; it must be at least 1.")

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return a batch; see the class for its columns."""
        words = [self._words(sample) for sample in samples]
        rates = self._rates(np.stack([row[:_N_SAMPLE_WORDS] for row in words]))
        # Row by row, so that what is computed on the way stays in the processor's cache.
        rows = [self._row(*each) for each in zip(samples, words, rates, strict=True)]
        batch = {name: self._padded([row[name] for row in rows], name) for name in rows[0]}
        return {name: torch.from_numpy(column) for name, column in (batch | self._sample_columns(rates)).items()}

    @abstractmethod
    def _rates(self, sample_words: np.ndarray) -> np.ndarray:
        """Return the chance of the bases of each sample to be chosen, (batch,) float64 in [0, 1]."""

    @abstractmethod
    def _replacements(self, chosen: np.ndarray, words: np.ndarray) -> np.ndarray | int:
        """Return what chosen bases become; the lower halves of the words are free to use."""

    def _sample_columns(self, rates: np.ndarray) -> dict[str, np.ndarray]:
        return {}

    def _row(self, sample: Mapping[str, Any], words: np.ndarray, rate: float) -> dict[str, np.ndarray]:
        """Return the columns of a sample's tokens, unpadded."""
        row = _oriented(sample, flip=bool(_happens(words[_STRAND], self.reverse_complement_probability)))
        token_ids, token_words = row["input_ids"], words[_N_SAMPLE_WORDS:]
        is_chosen = _IS_BASE[token_ids] & _happens(token_words, rate)
        row["labels"] = np.where(is_chosen, token_ids, IGNORED_LABEL)
        row["input_ids"] = token_ids.copy()
        row["input_ids"][is_chosen] = self._replacements(token_ids[is_chosen], token_words[is_chosen])
        row["attention_mask"] = np.ones_like(token_ids)
        return row

    def _words(self, sample: Mapping[str, Any]) -> np.ndarray:
        """Return random words, uint64: those of the sample, then one for each token."""
        n_words = _N_SAMPLE_WORDS + len(sample["input_ids"])
        if self.generator is not None:
            key = int(torch.randint(2**62, (), generator=self.generator, device=self.generator.device))
            return np.random.Philox(key=key).random_raw(n_words)
        if "sample_index" not in sample:
            raise ValueError(
                f"The sample has the columns {sorted(sample)} and lacks 'sample_index', from which its mask is drawn. "
                "Use GenomeWindows and, with Trainer, remove_unused_columns=False; or pass a generator."
            )
        counter = [0, 0, int(sample.get("epoch", 0)), int(sample["sample_index"])]
        return np.random.Philox(key=self.seed, counter=counter).random_raw(n_words)

    def _padded(self, rows: Sequence[np.ndarray], name: str) -> np.ndarray:
        width = max(map(len, rows))
        width += -width % (self.pad_to_multiple_of or 1)
        padded: np.ndarray = np.full((len(rows), width), _FILLS[name], rows[0].dtype)
        for i, row in enumerate(rows):
            padded[i, : len(row)] = row
        return padded


@dataclass(kw_only=True)
class MaskedLanguageModelCollator(_Collator):
    """Mask bases as BERT does: of those chosen, some become `[MASK]`, some any base, and some stay.

    Each A, C, G and T is chosen independently; N, special tokens and padding never are. Called with a list of samples
    of a batch, it returns

    - `input_ids`, `attention_mask`: (batch, length) int64, padded on the right;
    - `labels`: (batch, length) int64, the base at chosen positions and -100 elsewhere;
    - `token_weight`: (batch, length) float32, where the samples have it.

    Args:
        mlm_probability: chance of a base to be chosen.
        mask_share: share of the chosen that become `[MASK]`.
        random_share: share of the chosen that become A, C, G or T, each as likely, their own included.
        seed: of the masks, at least 0, together with each sample's `sample_index` and `epoch` (0 where missing).
        generator: draw from it, in the order of the samples, instead of from `seed`; its state is then what has to be
            saved for an exact resumption.
        reverse_complement_probability: chance of a sample to become its reverse complement between the special tokens.
        pad_to_multiple_of: make the length a multiple of this.

    Raises:
        ValueError: a probability lies outside of [0, 1], or a sample has no `sample_index` and there is no generator.
    """

    mlm_probability: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mlm_probability", "mask_share", "random_share"):
            _check_probability(name, getattr(self, name))
        _check_probability("mask_share + random_share", self.mask_share + self.random_share)

    def _rates(self, sample_words: np.ndarray) -> np.ndarray:
        return np.full(len(sample_words), self.mlm_probability)

    def _replacements(self, chosen: np.ndarray, words: np.ndarray) -> np.ndarray:
        fates = words << np.uint64(32)
        is_replaced = _happens(fates, self.mask_share + self.random_share)
        # The lowest two of the 32 bits of a fate: too few for the base to depend on the fate.
        replacements = np.where(is_replaced, _BASES[words & np.uint64(3)], chosen)
        replacements[_happens(fates, self.mask_share)] = _MASK
        return replacements


@dataclass(kw_only=True)
class MaskedDiffusionCollator(_Collator):
    """Mask each base of a sequence with a chance t of its own, for the loss of masked diffusion.

    t is uniform in (0, 1] and stratified: in a batch of B, each of the intervals (k/B, (k+1)/B] has one t. Which
    interval a sequence gets depends on which others are in its batch, though not on their order; all else is its own.
    The loss of a sequence with L known bases is `sequence_weight` times the sum of its cross-entropies, over L. Called
    with a list of samples of a batch, it returns

    - `input_ids`, `attention_mask`: (batch, length) int64, padded on the right;
    - `labels`: (batch, length) int64, the base at masked positions and -100 elsewhere;
    - `sequence_weight`: (batch,) float32, 1 / t;
    - `token_weight`: (batch, length) float32, where the samples have it.

    Args:
        seed: of the masks, at least 0, together with each sample's `sample_index` and `epoch` (0 where missing).
        generator: draw from it, in the order of the samples, instead of from `seed`; its state is then what has to be
            saved for an exact resumption.
        reverse_complement_probability: chance of a sample to become its reverse complement between the special tokens.
        pad_to_multiple_of: make the length a multiple of this.

    Raises:
        ValueError: a probability lies outside of [0, 1], or a sample has no `sample_index` and there is no generator.
    """

    def _rates(self, sample_words: np.ndarray) -> np.ndarray:
        return _stratified(sample_words[:, _STRATUM], sample_words[:, _WITHIN_STRATUM])

    def _replacements(self, chosen: np.ndarray, words: np.ndarray) -> int:
        return _MASK

    def _sample_columns(self, rates: np.ndarray) -> dict[str, np.ndarray]:
        return {"sequence_weight": (1 / rates).astype(np.float32)}


def _happens(words: np.ndarray, probability: float) -> np.ndarray:
    """Return whether an event of that probability happens, as the upper 32 bits of each word say."""
    return words >> np.uint64(32) < round(float(probability) * 2**32)


def _uniform(words: np.ndarray) -> np.ndarray:
    """Return the upper 32 bits of each word as a float64 in [0, 1)."""
    return (words >> np.uint64(32)) * 2.0**-32


def _stratified(stratum_words: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return one number in (0, 1] for each word: the k-th of n lies in ((r - 1) / n, r / n], r of a random ranking."""
    rank = np.argsort(np.argsort(stratum_words))
    return (rank + 1 - _uniform(words)) / len(words)


def _oriented(sample: Mapping[str, Any], flip: bool) -> dict[str, np.ndarray]:
    """Return the columns of a sample's tokens, of its reverse complement if `flip` is set."""
    columns = {"input_ids": np.asarray(sample["input_ids"], np.int64)}
    if "token_weight" in sample:
        columns["token_weight"] = np.asarray(sample["token_weight"], np.float32)
    if not flip:
        return columns
    is_inner = ~_IS_EDGE[columns["input_ids"]]
    flipped = {name: column.copy() for name, column in columns.items()}
    for name, column in columns.items():
        flipped[name][is_inner] = column[is_inner][::-1]
    flipped["input_ids"] = _COMPLEMENT[flipped["input_ids"]]
    return flipped


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}; it must lie in [0, 1].")
