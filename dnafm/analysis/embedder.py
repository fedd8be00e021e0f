"""What turns sequences of any length into vectors, or into one for each of their bases."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import chain, islice

import numpy as np
from torch import nn

from dnafm import DNAFMModel, DNAFMTokenizer
from dnafm.analysis.base_predictions import STRANDS, Strand
from dnafm.analysis.embedding_models import encoder_of
from dnafm.analysis.embedding_readings import POOLINGS, Pooling, TiledWindow, TiledWindowReader
from dnafm.analysis.embedding_tiles import Tile, tiles
from dnafm.analysis.window_readings import layer_numbers
from dnafm.data.batching import look_ahead_batches, restore_order
from dnafm.genomics.sequences import check_nucleotides, reverse_complement

# Windows that are read ahead and sorted by length: at most so many, and fewer where their vectors are large.
_LOOK_AHEAD = 1024
_LOOK_AHEAD_BYTES = 1 << 29


@dataclass(frozen=True)
class Embedder:
    """A model that turns sequences into vectors.

    A sequence of more than `window_bp` bases is read in overlapping windows, and each of its bases counts once, with
    the vector from the window in which it lies deepest (`dnafm.analysis.embedding_tiles.tiles`). Neither the sequences
    beside it nor their order change a result by more than rounding. No padding and no layer that is not needed is
    computed.

    Args:
        model: DNA FM's encoder, or what it is in: a model with a head, a task, adapters. It stays where it is, in its
            dtype; while it is used it is in evaluation mode.
        tokenizer: of the checkpoint.
        pooling: `"mean"` or `"max"` over the bases of a sequence; `"cls"`, the vector of `[CLS]`, and the mean of the
            windows' where there are several; or `"none"`, a vector for each base.
        layers: whose outputs are returned: 0 for the input of the first layer, the model's number of layers for the
            output of the last one after the final norm; negative ones count from the end.
        strand: which one the model reads, or the mean of what it says about both; vectors of bases are in the order
            of the forward strand. A long strand is cut into windows from its own start, so that a sequence and its
            reverse complement get the same from both.
        special_tokens: whether `[CLS]` and the suffix take part in the mean or maximum; without pooling, whether their
            vectors stand before and after those of the bases. A sequence of several windows has none of its own.
        window_bp: most bases that are read at once, by default as many as the model reads.
        overlap_bp: bases that neighbouring windows share, by default a quarter of the window.
        max_tokens: most tokens of a batch; a longer window is a batch alone.
        bf16: compute in bfloat16.

    Raises:
        ValueError: there is no such pooling, layer or strand, the model is none of DNA FM's, the window holds no base
            or more than the model reads, or the overlap is as long as the window.
    """

    model: nn.Module
    tokenizer: DNAFMTokenizer
    pooling: Pooling = "mean"
    layers: tuple[int, ...] = (-1,)
    strand: Strand = "forward"
    special_tokens: bool = False
    window_bp: int | None = None
    overlap_bp: int | None = None
    max_tokens: int = 16_384
    bf16: bool = False

    def __post_init__(self) -> None:
        _check_choice("pooling", self.pooling, POOLINGS)
        _check_choice("strand", self.strand, STRANDS)
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; a batch must have at least 1.")
        if not self.layers:
            raise ValueError("layers is empty; name at least one, such as -1.")
        self._layer_numbers, self._tiling  # noqa: B018  # they are checked here

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return self._encoder.config.hidden_size

    def embed(self, sequences: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield the vectors of each sequence, in their order.

        The stream may be endless: about a thousand windows are read ahead, and batched by length.

        Args:
            sequences: DNA in either case, with ambiguity codes; U is T.

        Returns:
            (layers, hidden) float32 of each sequence; without pooling (layers, bases, hidden), and with special tokens
            (layers, tokens, hidden).

        Raises:
            ValueError: a sequence is empty or no DNA, or special tokens are asked for and it needs several windows;
                the message names its number, counted from 0.
        """
        if isinstance(sequences, str):
            raise ValueError("sequences is one string; put it into a list: [sequence].")
        return self._in_order(sequences)

    @cached_property
    def _encoder(self) -> DNAFMModel:
        return encoder_of(self.model)

    @cached_property
    def _layer_numbers(self) -> tuple[int, ...]:
        return layer_numbers(self.layers, self._encoder.config.num_hidden_layers)

    @cached_property
    def _reader(self) -> TiledWindowReader:
        return TiledWindowReader(
            self._encoder,
            self.tokenizer,
            pooling=self.pooling,
            layers=self._layer_numbers,
            special_tokens=self.special_tokens,
            bf16=self.bf16,
        )

    @cached_property
    def _n_special_tokens(self) -> int:
        return self.tokenizer.num_special_tokens_to_add()

    @cached_property
    def _tiling(self) -> dict[str, int]:
        n_tokens = min(self.tokenizer.model_max_length, self._encoder.config.max_position_embeddings)
        longest_bp = n_tokens - self._n_special_tokens
        window_bp = longest_bp if self.window_bp is None else self.window_bp
        if not 1 <= window_bp <= longest_bp:
            raise ValueError(f"window_bp is {window_bp}; the model reads 1 to {longest_bp} bases.")
        overlap_bp = window_bp // 4 if self.overlap_bp is None else self.overlap_bp
        if not 0 <= overlap_bp < window_bp:
            raise ValueError(
                f"overlap_bp is {overlap_bp}; it must be at least 0 and less than a window, here of {window_bp} bases."
            )
        return {"window_bp": window_bp, "overlap_bp": overlap_bp}

    def _in_order(self, sequences: Iterable[str]) -> Iterator[np.ndarray]:
        # The windows of each strand that is being read, in the order in which they are.
        waiting: deque[list[Tile]] = deque()

        def windows() -> Iterator[TiledWindow]:
            for row, sequence in enumerate(sequences):
                own = self._tiles(sequence, row)
                # Each strand is cut from its own start, so that a sequence and its reverse complement are alike.
                for bases in self._strands(sequence):
                    waiting.append(own)
                    yield from (TiledWindow(bases[tile.start_bp : tile.end_bp], tile) for tile in own)

        parts = chain.from_iterable(map(self._parts, self._buffers(windows())))
        of_strands = self._of_strands(parts, waiting)
        for first in of_strands:
            if self.strand == "forward":
                yield first
            elif self.strand == "reverse":
                yield self._as_forward_strand(first)
            else:
                yield (first + self._as_forward_strand(next(of_strands))) / np.float32(2)

    def _strands(self, sequence: str) -> list[str]:
        strands = [] if self.strand == "reverse" else [sequence]
        return strands if self.strand == "forward" else [*strands, reverse_complement(sequence)]

    def _tiles(self, sequence: str, row: int) -> list[Tile]:
        if not isinstance(sequence, str) or not sequence:
            raise ValueError(f"Sequence {row}, counted from 0, is {sequence!r}; it must have at least one base.")
        try:
            check_nucleotides(sequence)
        except ValueError as error:
            raise ValueError(f"Sequence {row}, counted from 0: {error}") from error
        own = list(tiles(len(sequence), **self._tiling))
        if self.special_tokens and self.pooling != "cls" and len(own) > 1:
            raise ValueError(
                f"Sequence {row}, counted from 0, has {len(sequence)} bases and is read in {len(own)} windows of "
                f"{self._tiling['window_bp']}, each with special tokens of its own. Set special_tokens=False, or cut "
                "the sequence."
            )
        return own

    def _buffers(self, windows: Iterable[TiledWindow]) -> Iterator[list[TiledWindow]]:
        """Cut the stream into what is read ahead, so that the vectors of it go into memory."""
        bytes_of_vector = 4 * len(self.layers) * self.width
        buffer: list[TiledWindow] = []
        n_bytes = 0
        for window in windows:
            buffer.append(window)
            n_bytes += bytes_of_vector * (len(window.bases) if self.pooling == "none" else 1)
            if len(buffer) == _LOOK_AHEAD or n_bytes >= _LOOK_AHEAD_BYTES:
                yield buffer
                buffer, n_bytes = [], 0
        if buffer:
            yield buffer

    def _parts(self, windows: list[TiledWindow]) -> Iterator[np.ndarray]:
        def n_tokens(window: TiledWindow) -> int:
            return min(len(window.bases) + self._n_special_tokens, self.max_tokens)

        batches = look_ahead_batches(
            windows, length_of=n_tokens, max_tokens=self.max_tokens, n_look_ahead=len(windows)
        )
        return restore_order((batch.positions, self._reader.read(batch.rows)) for batch in batches)

    def _of_strands(self, parts: Iterator[np.ndarray], waiting: deque[list[Tile]]) -> Iterator[np.ndarray]:
        """Join the windows of each strand of each sequence."""
        for first in parts:
            own = waiting.popleft()
            of_windows = chain([first], islice(parts, len(own) - 1))
            if self.pooling == "none":
                yield np.concatenate(list(of_windows), axis=1)
            elif self.pooling == "max":
                yield reduce(np.maximum, of_windows)
            else:
                # A chromosome has many windows.
                total = sum((part.astype(np.float64) for part in of_windows), np.zeros(()))
                yield (total / self._n_pooled(own)).astype(np.float32)

    def _n_pooled(self, own: Sequence[Tile]) -> int:
        if self.pooling == "cls":
            return len(own)
        return own[-1].end_bp + (self._n_special_tokens if self.special_tokens else 0)

    def _as_forward_strand(self, vectors: np.ndarray) -> np.ndarray:
        """Turn (layers, bases, hidden) round; special tokens stay where they are, and a pooled vector what it is."""
        if self.pooling != "none":
            return vectors
        if not self.special_tokens:
            return np.ascontiguousarray(vectors[:, ::-1])
        end = 1 + vectors.shape[1] - self._n_special_tokens
        return np.concatenate([vectors[:, :1], vectors[:, 1:end][:, ::-1], vectors[:, end:]], axis=1)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")
