"""What a model says about whole windows: probabilities of bases, and mean embeddings, from the same forward pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dnafm.analysis.base_predictions import BASE_IDS, BasePredictor
from dnafm.data.strands import complement_vocabulary, flip_tokens, other_strand


@dataclass(frozen=True)
class WindowReading:
    """What the model says about a window with nothing masked.

    Attributes:
        log_probabilities: (bases, 4) float32, over A, C, G and T of the forward strand, of both strands as
            `BasePredictor` averages them.
        embeddings: (strands, layers, hidden) float32, means over the bases, those of each strand that was read.
    """

    log_probabilities: np.ndarray
    embeddings: np.ndarray


@dataclass(frozen=True)
class WindowReader:
    """Reads windows of one length.

    Args:
        predictor: whose model, tokenizer, strands, batches and dtype are used.
        layers: of the embeddings, 0 for the input of the first layer, the model's number of layers for its output
            after the final norm; negative ones count from the end.

    Raises:
        ValueError: the model has no such layer, or one comes twice.
    """

    predictor: BasePredictor
    layers: Sequence[int] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", layer_numbers(self.layers, self._n_layers))

    @property
    def _n_layers(self) -> int:
        return self.predictor.model.config.num_hidden_layers

    def read(self, windows: Sequence[str]) -> Iterator[WindowReading]:
        """Yield what the model says about each window, in their order.

        Args:
            windows: all of one length, which the model reads.
        """
        if not windows:
            return
        n_tokens = len(windows[0]) + self.predictor.tokenizer.num_special_tokens_to_add()
        size = max(1, self.predictor.max_tokens // n_tokens)
        for start in range(0, len(windows), size):
            yield from self._batch(windows[start : start + size])

    def _batch(self, windows: Sequence[str]) -> Iterator[WindowReading]:
        input_ids = self.predictor.tokenizer(list(windows), return_tensors="pt")["input_ids"]
        logits: list[Tensor] = []
        embeddings: list[Tensor] = []
        if self.predictor.strand != "reverse":
            logits.append(self._forward(input_ids, embeddings))
        if self.predictor.strand != "forward":
            of_other = self._forward(other_strand(input_ids), embeddings)
            logits.append(complement_vocabulary(flip_tokens(of_other, input_ids)))
        of_strands = torch.stack([each[..., BASE_IDS].float().log_softmax(dim=-1) for each in logits])
        of_bases = of_strands.mean(dim=0).log_softmax(dim=-1)[:, 1:-1]
        for scores, vectors in zip(of_bases.numpy(), torch.stack(embeddings, dim=1).numpy(), strict=True):
            yield WindowReading(scores, vectors)

    def _forward(self, input_ids: Tensor, embeddings: list[Tensor]) -> Tensor:
        """Return logits (batch, length, vocabulary), and append (batch, layers, hidden)."""
        model, device = self.predictor.model, self.predictor.model.device
        # Recording keeps the states of all layers.
        records = any(layer != self._n_layers for layer in self.layers)
        context: Any = torch.autocast(device.type, torch.bfloat16, enabled=self.predictor.bf16)
        with torch.inference_mode(), context:
            outputs = model.model(input_ids.to(device), output_hidden_states=records)
            states = outputs.hidden_states if records else {self._n_layers: outputs.last_hidden_state}
            means = [states[layer][:, 1:-1].float().mean(dim=1) for layer in self.layers]
            empty = outputs.last_hidden_state.new_zeros((len(input_ids), 0, 0), dtype=torch.float32)
            embeddings.append((torch.stack(means, dim=1) if means else empty).cpu())
            return model.lm_head(outputs.last_hidden_state).cpu()


def layer_numbers(layers: Sequence[int], n_layers: int) -> tuple[int, ...]:
    """Return layers counted from the input, 0 to `n_layers`; negative ones count from the end.

    Raises:
        ValueError: there is no such layer, or one comes twice.
    """
    for layer in layers:
        if not -n_layers - 1 <= layer <= n_layers:
            raise ValueError(
                f"Layer {layer} is none of the model's: 0 is the input of the first, {n_layers} (or -1) the output."
            )
    numbers = tuple(layer % (n_layers + 1) for layer in layers)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"The layers {list(layers)} have one twice: they are {list(numbers)} of {n_layers}.")
    return numbers
