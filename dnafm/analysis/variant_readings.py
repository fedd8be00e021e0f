"""Everything that the scores of some alleles need from the model, each thing computed once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dnafm.analysis.base_predictions import BasePredictor, MaskedRequest
from dnafm.analysis.score_formulas import EMBEDDING_SCORES, NEEDS_ALTERNATIVE, NEEDS_MASKED, NEEDS_WINDOWS
from dnafm.analysis.variant_windows import AllelePair
from dnafm.analysis.window_readings import WindowReader, WindowReading


@dataclass(frozen=True)
class ModelOutput:
    """Outputs of a fine-tuned model, whose change is a score.

    Attributes:
        names: of the outputs.
        unit: what they are, such as `logit`.
        read: returns (sequences, outputs) of sequences of one length.
        max_tokens: most tokens that it is given at once, but for a longer sequence.
    """

    names: tuple[str, ...]
    unit: str
    read: Callable[[Sequence[str]], np.ndarray]
    max_tokens: int = 16_384

    @property
    def columns(self) -> dict[str, str]:
        """The columns of scores and what they are."""
        return {
            f"change_{name}": f"Change of the output {name} ({self.unit}) of the fine-tuned model: that of the "
            "alternative window minus that of the reference window; above 0 the alternative allele raises it"
            for name in self.names
        }


@dataclass(frozen=True)
class PairReadings:
    """What the model says about the windows of some pairs of alleles.

    Attributes:
        masked: (4,) log-probabilities by window and masked position.
        windows: of whole windows.
        outputs: (outputs,) of a fine-tuned model, by window.
    """

    masked: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    windows: dict[str, WindowReading] = field(default_factory=dict)
    outputs: dict[str, np.ndarray] = field(default_factory=dict)

    def masked_rows(self, window: str, positions: Iterable[int]) -> np.ndarray:
        """Return (positions, 4) log-probabilities, each position masked alone."""
        return np.stack([self.masked[window][position] for position in positions])

    def unmasked_rows(self, window: str, positions: Iterable[int]) -> np.ndarray:
        """Return (positions, 4) log-probabilities with nothing masked."""
        return self.windows[window].log_probabilities[list(positions)]


class PairReader:
    """Reads what scores need.

    Args:
        predictor: the model and how it is read.
        scores: names of `SCORES`.
        layers: of the embeddings.
        flank_bp: see `AllelePair.scored`.
        output: of a fine-tuned model, if its change is wanted.
    """

    def __init__(
        self,
        predictor: BasePredictor,
        scores: Iterable[str],
        *,
        layers: Sequence[int],
        flank_bp: int,
        output: ModelOutput | None = None,
    ):
        self.predictor, self.scores = predictor, frozenset(scores)
        self.flank_bp, self.output = flank_bp, output
        self.window_reader = WindowReader(predictor, layers if self.scores & EMBEDDING_SCORES.keys() else ())

    def read(self, pairs: Sequence[AllelePair]) -> PairReadings:
        """Return what the scores of these pairs need."""
        return PairReadings(self._masked(pairs), self._windows(pairs), self._outputs(pairs))

    def _masked(self, pairs: Iterable[AllelePair]) -> dict[str, dict[int, np.ndarray]]:
        # A dictionary for an ordered set.
        wanted: dict[str, dict[int, None]] = {}
        for pair in pairs if self.scores & NEEDS_MASKED else ():
            reference, alternative = pair.scored(self.flank_bp)
            wanted.setdefault(pair.reference.bases, {}).update(dict.fromkeys(reference))
            if not pair.is_snv and "masked_llr" in self.scores:
                wanted.setdefault(pair.alternative.bases, {}).update(dict.fromkeys(alternative))
        requests = [MaskedRequest(window, list(positions)) for window, positions in wanted.items()]
        found = self.predictor.masked(requests)
        return {
            request.window: dict(zip(request.positions, rows, strict=True))
            for request, rows in zip(requests, found, strict=True)
        }

    def _windows(self, pairs: Iterable[AllelePair]) -> dict[str, WindowReading]:
        windows: dict[str, None] = {}
        for pair in pairs if self.scores & NEEDS_WINDOWS else ():
            windows[pair.reference.bases] = None
            if self.scores & NEEDS_ALTERNATIVE or not pair.is_snv:
                windows[pair.alternative.bases] = None
        return dict(zip(windows, self.window_reader.read(list(windows)), strict=True))

    def _outputs(self, pairs: Sequence[AllelePair]) -> dict[str, np.ndarray]:
        if self.output is None or not pairs:
            return {}
        windows = list(dict.fromkeys(each.bases for pair in pairs for each in (pair.reference, pair.alternative)))
        n_tokens = len(windows[0]) + self.predictor.tokenizer.num_special_tokens_to_add()
        size = max(1, self.output.max_tokens // n_tokens)
        batches = (windows[start : start + size] for start in range(0, len(windows), size))
        rows = (row for batch in batches for row in self.output.read(batch))
        return dict(zip(windows, rows, strict=True))
