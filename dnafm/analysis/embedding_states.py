"""What the layers of DNA FM's encoder say about sequences that stand in one row without padding."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dnafm import DNAFMModel, DNAFMTokenizer


@dataclass(frozen=True)
class PackedInput:
    """Sequences in one row.

    Attributes:
        input_ids: (1, tokens) int64.
        position_ids: (1, tokens) int64, from 0 in each sequence.
        boundaries: (sequences + 1,) int32; sequence i is tokens `boundaries[i]` up to `boundaries[i + 1]`.
    """

    input_ids: Tensor
    position_ids: Tensor
    boundaries: Tensor

    @classmethod
    def of(cls, sequences: Sequence[str], tokenizer: DNAFMTokenizer) -> "PackedInput":
        """Encode sequences."""
        batch = tokenizer(list(sequences), padding=True, padding_side="right", return_tensors="pt")
        input_ids, is_token = batch["input_ids"], batch["attention_mask"].bool()
        places = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        ends = is_token.sum(dim=1).cumsum(dim=0, dtype=torch.int32)
        return cls(input_ids[is_token][None], places[is_token][None], nn.functional.pad(ends, (1, 0)))


class _EndOfPass(Exception):  # noqa: N818  # it is none
    """No layer from here on is asked for."""


def read_layers(
    encoder: DNAFMModel,
    packed: PackedInput,
    layers: Sequence[int],
    *,
    reduce: Callable[[Tensor], Tensor],
    bf16: bool = False,
) -> list[Tensor]:
    """Return what is wanted of the outputs of layers; no layer after the last one of these is computed.

    Args:
        encoder: on its device; for the pass it is in evaluation mode.
        packed: its input.
        layers: 0 for the input of the first layer, the encoder's number of layers for the output after the final norm.
        reduce: takes the (tokens, hidden) of a layer and returns what is kept of them.
        bf16: compute in bfloat16.
    """
    device, n_layers = encoder.device, len(encoder.layers)
    found: dict[int, Tensor] = {}

    def keep(number: int, states: Tensor) -> None:
        found[number] = reduce(states[0])
        if number == max(layers):
            raise _EndOfPass

    context: Any = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    with torch.inference_mode(), context, _evaluating(encoder), _inputs_shown(encoder, layers, keep):
        try:
            outputs = encoder(
                packed.input_ids.to(device),
                position_ids=packed.position_ids.to(device),
                # Looked at on the host: there it keeps nobody waiting.
                cu_seq_lens_q=packed.boundaries,
                # The config may ask for them.
                output_hidden_states=False,
                output_attentions=False,
                return_dict=True,
            )
            keep(n_layers, outputs.last_hidden_state)
        except _EndOfPass:
            pass
    return [found[number] for number in layers]


@contextmanager
def _inputs_shown(encoder: DNAFMModel, layers: Sequence[int], show: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Call a function with the number of each layer and its output, which is the input of the next one."""

    def hook(number: int) -> Callable:
        return lambda _, arguments: show(number, arguments[0])

    inner = [number for number in layers if number < len(encoder.layers)]
    handles = [encoder.layers[number].register_forward_pre_hook(hook(number)) for number in inner]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off, and in the end on again where it was."""
    in_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in in_training:
            module.training = True
