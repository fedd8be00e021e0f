# Copyright 2026 The dnafm developers.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Sequences packed without padding, and the attention and rotary kernels that run on them.

Shape letters: B sequences in a padded batch, L tokens in a padded row, T tokens of all sequences without padding,
N sequences without the empty ones, H heads, D channels of a head.
"""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations import use_kernel_forward_from_hub
from transformers.masking_utils import find_packed_sequence_indices
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import logging
from transformers.utils.generic import is_flash_attention_requested

# Below the root logger of transformers, so that its verbosity holds here too, as remote code as well.
logger = logging.get_logger(f"transformers.{__name__}")

ATTENTION_IMPLEMENTATIONS = ("auto", "flash_attention_2", "sdpa", "flex_attention", "eager")
ROPE_IMPLEMENTATIONS = ("auto", "eager", "flash_attn", "liger", "hub")
FLASH_DTYPES = (torch.float16, torch.bfloat16)
FLASH_MAX_HEAD_DIM = 256
HUB_ROTARY_KERNEL = "kernels-community/rotary"


# ---------------------------------------------------------------------------------------------------------------------
# Packing
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PackedSequences:
    """Where the sequences of a batch lie when their tokens stand in one row without padding.

    Attributes:
        cu_seq_lens: (N + 1,) int32; sequence n is tokens `cu_seq_lens[n]` up to `cu_seq_lens[n + 1]`.
        max_length: Tokens of the longest sequence.
        runs: (number of sequences, their length) of each run of neighbours of equal length, in order.
        position_ids: (1, T).
        batch_shape: (B, L) of the batch that was packed.
        token_indices: (T,) place of each token in the flattened batch; `None` where nothing moves.
    """

    cu_seq_lens: Tensor
    max_length: int
    runs: tuple[tuple[int, int], ...]
    position_ids: Tensor
    batch_shape: Sequence[int]
    token_indices: Tensor | None = None

    @classmethod
    def from_mask(cls, attention_mask_BL: Tensor, position_ids_BL: Tensor) -> "PackedSequences":
        """Pack the tokens that a mask attends to, the longest sequence first; empty rows vanish."""
        lengths = attention_mask_BL.sum(-1)
        order = lengths.argsort(descending=True, stable=True)
        rows, columns = attention_mask_BL[order].nonzero(as_tuple=True)
        token_indices = order[rows] * attention_mask_BL.shape[1] + columns
        sizes = [size for size in lengths[order].tolist() if size]
        return cls._from_sizes(
            sizes,
            position_ids=position_ids_BL.reshape(1, -1)[:, token_indices],
            batch_shape=attention_mask_BL.shape,
            token_indices=token_indices,
        )

    @classmethod
    def from_cu_seq_lens(cls, cu_seq_lens: Tensor, position_ids: Tensor | None, batch_shape) -> "PackedSequences":
        """Take over sequences that the caller packed into one row.

        Raises:
            ValueError: the boundaries do not tile the row.
        """
        boundaries = cu_seq_lens.tolist()
        batch_size, length = batch_shape
        sizes = [stop - start for start, stop in pairwise(boundaries)]
        tiles = boundaries[:1] == [0] and boundaries[-1:] == [length] and min(sizes, default=0) > 0
        if batch_size != 1 or not tiles:
            raise ValueError(
                f"cu_seq_lens_q={boundaries} must rise from 0 to the length of a single row, here {batch_size} row(s) "
                f"of {length} tokens. Pack the sequences end to end, without padding."
            )
        if position_ids is None:
            position_ids = torch.cat([torch.arange(size) for size in sizes])[None].to(cu_seq_lens.device)
        return cls._from_sizes(sizes, position_ids=position_ids, batch_shape=batch_shape)

    @classmethod
    def from_sequence_ids(cls, sequence_ids_BL: Tensor, position_ids_BL: Tensor) -> "PackedSequences":
        """Take over sequences that the caller packed into one or more rows, numbered from 0 in each row."""
        starts = torch.ones_like(sequence_ids_BL, dtype=torch.bool)
        starts[:, 1:] = sequence_ids_BL.diff(dim=-1) != 0
        boundaries = [*starts.reshape(-1).nonzero().reshape(-1).tolist(), sequence_ids_BL.numel()]
        sizes = [stop - start for start, stop in pairwise(boundaries)]
        return cls._from_sizes(
            sizes,
            position_ids=position_ids_BL.reshape(1, -1),
            batch_shape=sequence_ids_BL.shape,
        )

    @classmethod
    def _from_sizes(cls, sizes: list[int], *, position_ids: Tensor, **fields: Any) -> "PackedSequences":
        cu_seq_lens = torch.tensor([0, *sizes], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        return cls(
            cu_seq_lens=cu_seq_lens.to(position_ids.device),
            max_length=max(sizes, default=0),
            runs=_runs_of_equal_length(sizes),
            position_ids=position_ids,
            **fields,
        )

    @property
    def came_packed(self) -> bool:
        """Whether the caller packed the sequences, so that the batch has no padding."""
        return self.token_indices is None

    def pack(self, states: Tensor) -> Tensor:
        """(B, L, ...) to (1, T, ...)."""
        flat = states.flatten(0, 1)
        return flat[None] if self.came_packed else flat[None, self.token_indices]

    def unpack(self, states: Tensor) -> Tensor:
        """(1, T, ...) to (B, L, ...); zeros where there is no token."""
        flat = states[0]
        if self.token_indices is not None:
            batch_size, length = self.batch_shape
            flat = flat.new_zeros(batch_size * length, *flat.shape[1:]).index_copy(0, self.token_indices, flat)
        return flat.unflatten(0, self.batch_shape)

    def sequence_ids(self) -> Tensor:
        """(1, T) number of the sequence that each token belongs to."""
        return sequence_ids_from_boundaries(self.cu_seq_lens, self.position_ids.shape[1])

    def attention_kwargs(self) -> dict[str, Any]:
        """What an attention kernel needs to know, under the names of transformers' `FlashAttentionKwargs`."""
        return {
            "cu_seq_lens_q": self.cu_seq_lens,
            "cu_seq_lens_k": self.cu_seq_lens,
            "max_length_q": self.max_length,
            "max_length_k": self.max_length,
            "sequence_runs": self.runs,
        }


def packed_sequences(
    attention_mask: Tensor | None, position_ids: Tensor | None, batch_shape: Sequence[int], *, cu_seq_lens=None
) -> PackedSequences | None:
    """Pack a batch once, before the first layer; `None` where each row is one sequence without padding.

    Args:
        attention_mask: (B, L) bool, or `None`.
        position_ids: (B, L) or (1, L), or `None`. Positions that restart tell packed sequences apart, as in
            transformers only where there is no mask.
        batch_shape: (B, L).
        cu_seq_lens: (N + 1,) boundaries of sequences that the caller packed into a single row.

    Raises:
        ValueError: boundaries that do not tile the row, or beside a mask of padding.
    """
    if cu_seq_lens is not None:
        if attention_mask is not None and not bool(attention_mask.all()):
            raise ValueError(
                "cu_seq_lens_q tells sequences apart that are packed without padding, and attention_mask masks "
                "tokens: pass one of them."
            )
        return PackedSequences.from_cu_seq_lens(cu_seq_lens, position_ids, batch_shape)
    if attention_mask is not None:
        if bool(attention_mask.all()):
            return None
        if position_ids is None:
            position_ids = positions_from_mask(attention_mask)
        return PackedSequences.from_mask(attention_mask, position_ids.expand(batch_shape))
    if position_ids is None:
        return None
    position_ids = position_ids.expand(batch_shape)
    sequence_ids = find_packed_sequence_indices(position_ids)
    return None if sequence_ids is None else PackedSequences.from_sequence_ids(sequence_ids, position_ids)


def sequence_ids_from_boundaries(cu_seq_lens: Tensor, length: int) -> Tensor:
    """(1, T) number of the sequence that each of T tokens belongs to, by (N + 1,) boundaries."""
    return torch.bucketize(torch.arange(length, device=cu_seq_lens.device), cu_seq_lens[1:], right=True)[None]


def positions_from_mask(attention_mask_BL: Tensor) -> Tensor:
    """(B, L) positions that count from the first attended token of each row, so that left padding changes nothing."""
    columns = torch.arange(attention_mask_BL.shape[1], device=attention_mask_BL.device)
    return columns - attention_mask_BL.int().argmax(-1, keepdim=True)


def _runs_of_equal_length(sizes: list[int]) -> tuple[tuple[int, int], ...]:
    runs: list[list[int]] = []
    for size in sizes:
        if runs and runs[-1][1] == size:
            runs[-1][0] += 1
        else:
            runs.append([1, size])
    return tuple((count, size) for count, size in runs)


# ---------------------------------------------------------------------------------------------------------------------
# Attention
# ---------------------------------------------------------------------------------------------------------------------


def eager_attention_forward(
    module: nn.Module,
    query_BHLD: Tensor,
    key_BHLD: Tensor,
    value_BHLD: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """Attention written out: the reference of the other kernels.

    Args:
        module: The attention layer; only its training flag is read.
        query_BHLD: (B, H, L, D).
        key_BHLD: (B, H, L, D).
        value_BHLD: (B, H, L, D).
        attention_mask: Broadcast to (B, H, L, L); bool, true where a query may look, or added to the scores.
        scaling: Factor of the scores.
        dropout: Share of the probabilities that is dropped.
        **kwargs: What other kernels want to know.

    Returns:
        The output (B, L, H, D) and the probabilities (B, H, L, L).
    """
    scores = query_BHLD @ key_BHLD.transpose(-1, -2) * scaling
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    probabilities = scores.softmax(dim=-1, dtype=torch.float32).to(query_BHLD.dtype)
    dropped = nn.functional.dropout(probabilities, p=dropout, training=module.training)
    return (dropped @ value_BHLD).transpose(1, 2).contiguous(), probabilities


def attention_by_runs(
    interface: Callable,
    module: nn.Module,
    query_1HTD: Tensor,
    key_1HTD: Tensor,
    value_1HTD: Tensor,
    attention_mask: None,
    *,
    sequence_runs: tuple[tuple[int, int], ...],
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Run a kernel that knows rectangular batches only on packed sequences, one run of equal lengths at a time.

    Returns:
        The output (1, T, H, D), and no probabilities.
    """
    outputs, start = [], 0
    for count, length in sequence_runs:
        stop = start + count * length
        rows = (
            states[0, :, start:stop].unflatten(1, (count, length)).transpose(0, 1)
            for states in (query_1HTD, key_1HTD, value_1HTD)
        )
        output, _ = interface(module, *rows, None, **kwargs)
        outputs.append(output.flatten(0, 1))
        start = stop
    return torch.cat(outputs)[None], None


def flash_attention_2_forward(
    varlen_function: Callable,
    module: nn.Module,
    query_BHLD: Tensor,
    key_BHLD: Tensor,
    value_BHLD: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """FlashAttention-2 over packed, padded or rectangular batches.

    Args:
        varlen_function: A kernel as `flash_attention_2_function` returns it.
        module: The attention layer; not read.
        query_BHLD: (B, H, L, D).
        key_BHLD: (B, H, L, D).
        value_BHLD: (B, H, L, D).
        attention_mask: (B, L), where the batch is padded.
        scaling: Factor of the scores.
        dropout: Share of the probabilities that is dropped.
        cu_seq_lens_q: (N + 1,) int32 boundaries of the sequences in the flattened batch, where it is packed.
        max_length_q: Tokens of the longest of them.
        **kwargs: What other kernels want to know.

    Returns:
        The output (B, L, H, D), and no probabilities.

    Raises:
        ValueError: a mask that is not (B, L), which the kernel cannot take.
    """
    if attention_mask is not None and attention_mask.dim() != 2:
        raise ValueError(
            f"attn_implementation='flash_attention_2' takes no attention_mask of shape {tuple(attention_mask.shape)}: "
            "pass a (batch, length) mask, or load the model with attn_implementation='sdpa'."
        )
    states = [x.transpose(1, 2) for x in (query_BHLD, key_BHLD, value_BHLD)]
    batch_size, length = states[0].shape[:2]
    packed = None
    if cu_seq_lens_q is None and attention_mask is not None:
        packed = PackedSequences.from_mask(attention_mask.bool(), positions_from_mask(attention_mask))
        states = [packed.pack(x) for x in states]
        cu_seq_lens_q, max_length_q = packed.cu_seq_lens, packed.max_length
    elif cu_seq_lens_q is None:
        cu_seq_lens_q = torch.arange(batch_size + 1, dtype=torch.int32, device=states[0].device) * length
        max_length_q = length
    output = varlen_function(
        *(x.flatten(0, 1) for x in states), cu_seq_lens_q, max_length_q, scaling=scaling, dropout=dropout
    )
    output = output[None] if packed is not None else output.unflatten(0, (batch_size, length))
    return (output if packed is None else packed.unpack(output)), None


def flash_attention_2_function(provider: str) -> Callable:
    """The variable-length kernel of a provider, as `f(q, k, v, cu_seq_lens, max_length, *, scaling, dropout)`.

    Args:
        provider: `"flash-attn"` or `"torch"`.

    Raises:
        ImportError: the provider is not installed, or does not import.
    """
    if provider == "flash-attn":
        kernel = importlib.import_module("flash_attn").flash_attn_varlen_func
        return partial(_call_flash_attn, kernel)
    if provider == "torch":
        return partial(_call_torch_varlen, importlib.import_module("torch.nn.attention.varlen").varlen_attn)
    raise ValueError(f"provider={provider!r} must be 'flash-attn' or 'torch'.")


def _call_flash_attn(kernel, query_THD, key_THD, value_THD, cu_seq_lens, max_length, *, scaling, dropout):
    return kernel(
        query_THD,
        key_THD,
        value_THD,
        cu_seqlens_q=cu_seq_lens,
        cu_seqlens_k=cu_seq_lens,
        max_seqlen_q=max_length,
        max_seqlen_k=max_length,
        dropout_p=dropout,
        softmax_scale=scaling,
    )


def _call_torch_varlen(kernel, query_THD, key_THD, value_THD, cu_seq_lens, max_length, *, scaling, dropout):
    if dropout:
        raise ValueError(f"attention_dropout={dropout}: torch's variable-length kernel has none. Install flash-attn.")
    return kernel(query_THD, key_THD, value_THD, cu_seq_lens, cu_seq_lens, max_length, max_length, scale=scaling)


# ---------------------------------------------------------------------------------------------------------------------
# Rotary embedding
# ---------------------------------------------------------------------------------------------------------------------


@use_kernel_forward_from_hub("rotary_pos_emb")
def apply_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=1):
    """Rotate the first channels of queries and keys, those that `cos` is wide.

    Channel i is paired with channel i + width / 2.

    Args:
        q: (B, H, L, D) queries.
        k: (B, H, L, D) keys.
        cos: (B or 1, L, width) cosines, the second half equal to the first.
        sin: (B or 1, L, width) sines, likewise.
        unsqueeze_dim: The dimension of the heads.

    Returns:
        Rotated queries and keys, in the dtypes they came in.
    """
    half = cos.shape[-1] // 2
    cos, sin = cos[..., :half].unsqueeze(unsqueeze_dim), sin[..., :half].unsqueeze(unsqueeze_dim)
    return _rotate(q, cos, sin), _rotate(k, cos, sin)


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = cos.shape[-1]
    cos, sin = cos.to(states.dtype), sin.to(states.dtype)
    first, second, rest = states.split([half, half, states.shape[-1] - 2 * half], dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)


@cache  # a kernel of the Hub is looked up on disk
def rotary_function(name: str) -> Callable:
    """The rotary kernel of that name, called like `apply_rotary_pos_emb`.

    Raises:
        ImportError: its package is not installed, or does not import.
    """
    if name == "eager":
        return apply_rotary_pos_emb
    if name == "flash_attn":
        return partial(_call_flash_attn_rotary, importlib.import_module("flash_attn.layers.rotary").apply_rotary_emb)
    if name == "liger":
        return importlib.import_module("liger_kernel.transformers.rope").liger_rotary_pos_emb
    if name == "hub":
        kernels = importlib.import_module("kernels")
        return kernels.get_kernel(HUB_ROTARY_KERNEL, version=2).apply_rotary_transformers
    raise ValueError(f"rope_implementation={name!r} must be one of {ROPE_IMPLEMENTATIONS}.")


def _call_flash_attn_rotary(kernel, q_BHLD, k_BHLD, cos, sin):
    # The kernel shares the angles among the rows of a batch: with all tokens in one row, each has its own.
    half = cos.shape[-1] // 2
    batch_size, _, length, _ = q_BHLD.shape
    cos, sin = (x[..., :half].expand(batch_size, length, half).flatten(0, 1).to(q_BHLD.dtype) for x in (cos, sin))
    rotated = (kernel(x.transpose(1, 2).reshape(1, -1, *x.shape[1::2]), cos, sin) for x in (q_BHLD, k_BHLD))
    return tuple(x.unflatten(1, (batch_size, length))[0].transpose(1, 2) for x in rotated)


# ---------------------------------------------------------------------------------------------------------------------
# Selection
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KernelRequest:
    """What decides which kernels can run.

    Attributes:
        device: Device type, such as `"cpu"` or `"cuda"`.
        capability: Compute capability of a CUDA device.
        dtype: Dtype that queries and keys have, that is, the autocast dtype under autocast.
        head_dim: Channels of a head.
        rotary_dim: Channels of a head that are rotated.
        dropout: Dropout of the attention probabilities in this pass.
        needs_gradient: Whether a backward pass may follow.
    """

    device: str
    capability: tuple[int, int] | None
    dtype: torch.dtype
    head_dim: int
    rotary_dim: int
    dropout: float = 0.0
    needs_gradient: bool = False

    @classmethod
    def of(cls, tensor: Tensor, config: Any, *, training: bool) -> "KernelRequest":
        """The request of a forward pass over hidden states, or by a parameter, of this device and dtype."""
        device = tensor.device
        autocast = torch.is_autocast_enabled(device.type)
        return cls(
            device=device.type,
            capability=torch.cuda.get_device_capability(device) if device.type == "cuda" else None,
            dtype=torch.get_autocast_dtype(device.type) if autocast else tensor.dtype,
            head_dim=config.head_dim,
            rotary_dim=config.rotary_dim,
            dropout=config.attention_dropout if training else 0.0,
            needs_gradient=torch.is_grad_enabled(),
        )

    @classmethod
    def best_here(cls, config: Any) -> "KernelRequest":
        """The most that this machine can offer a model that has not been moved yet."""
        device = torch.accelerator.current_accelerator() or torch.device("cpu")
        return cls(
            device=device.type,
            capability=torch.cuda.get_device_capability() if device.type == "cuda" else None,
            dtype=config.dtype if config.dtype in FLASH_DTYPES else torch.bfloat16,
            head_dim=config.head_dim,
            rotary_dim=config.rotary_dim,
        )


@dataclass(frozen=True)
class KernelChoice:
    """A kernel, and the faster ones that cannot run here.

    Attributes:
        name: `attn_implementation` or `rope_implementation` of the kernel.
        provider: The package it comes from, with its version.
        passed_over: (kernel, why it cannot run) of those that `auto` would have preferred, the fastest first.
    """

    name: str
    provider: str
    passed_over: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        reasons = "".join(f"; not {kernel}: {reason}" for kernel, reason in self.passed_over)
        return f"{self.name} ({self.provider}){reasons}"


@dataclass(frozen=True)
class KernelReport:
    """The kernels of a model on its present device and dtype.

    Attributes:
        attention: The attention kernel.
        rope: The rotary kernel.
        device: Device type.
        dtype: Dtype of queries and keys.
    """

    attention: KernelChoice
    rope: KernelChoice
    device: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"attention: {self.attention}\nrope: {self.rope}\non {self.device} in {self.dtype}"


def select_attention(requested: str, request: KernelRequest) -> KernelChoice:
    """Choose the attention kernel.

    Args:
        requested: `"auto"`, or the name of a kernel.
        request: What the kernel is to run on.

    Raises:
        ValueError: the kernel asked for by name cannot run; the message says why and what to do.
    """
    if requested not in ("auto", "flash_attention_2"):
        return KernelChoice(requested, _provider_of(requested))
    passed_over: list[tuple[str, str]] = []
    for provider in ("flash-attn", "torch"):
        obstacle = flash_attention_2_obstacle(provider, request)
        if obstacle is None:
            return KernelChoice("flash_attention_2", version_of(provider), tuple(passed_over))
        passed_over.append((f"flash_attention_2 of {provider}", obstacle))
    if requested == "flash_attention_2":
        reasons = "; ".join(f"{kernel}: {reason}" for kernel, reason in passed_over)
        raise ValueError(
            f"attn_implementation='flash_attention_2' cannot run ({reasons}). Move the model to a CUDA device in "
            "bfloat16 or float16, ask the Hub with attn_implementation='kernels-community/flash-attn2' "
            "(pip install 'dnafm[kernels]'), or load the model with attn_implementation='auto'."
        )
    return KernelChoice("sdpa", version_of("torch"), tuple(passed_over))


def select_rope(requested: str, request: KernelRequest) -> KernelChoice:
    """Choose the rotary kernel.

    Args:
        requested: `"auto"`, or the name of a kernel.
        request: What the kernel is to run on.

    Raises:
        ValueError: the kernel asked for by name cannot run; the message says why and what to do.
    """
    passed_over: list[tuple[str, str]] = []
    # Kernels of the Hub run only where they are asked for by name.
    for name in ("flash_attn", "liger") if requested == "auto" else (requested,):
        obstacle = rope_obstacle(name, request)
        if obstacle is None:
            return KernelChoice(name, _provider_of(name), tuple(passed_over))
        passed_over.append((name, obstacle))
    if requested != "auto":
        raise ValueError(
            f"rope_implementation={requested!r} cannot run: {passed_over[0][1]}. Load the model with "
            "rope_implementation='auto'."
        )
    return KernelChoice("eager", version_of("torch"), tuple(passed_over))


def flash_attention_2_obstacle(provider: str, request: KernelRequest) -> str | None:
    """Why FlashAttention-2 of `"flash-attn"` or `"torch"` cannot run; `None` if it can."""
    if request.device != "cuda":
        return f"needs a CUDA device, not {request.device}"
    if request.capability is not None and request.capability < (8, 0):
        return f"needs compute capability 8.0, not {'.'.join(map(str, request.capability))}"
    if request.dtype not in FLASH_DTYPES:
        return f"needs float16 or bfloat16, not {request.dtype}; load the model with dtype=torch.bfloat16"
    if request.head_dim > FLASH_MAX_HEAD_DIM or request.head_dim % 8:
        return f"needs a head size up to {FLASH_MAX_HEAD_DIM} that is a multiple of 8, not {request.head_dim}"
    if request.dropout and provider == "torch":
        return f"has no dropout, and attention_dropout is {request.dropout}"
    return import_error_of(partial(flash_attention_2_function, provider), "dnafm[flash]")


def rope_obstacle(name: str, request: KernelRequest) -> str | None:
    """Why a rotary kernel cannot run; `None` if it can."""
    if name == "eager":
        return None
    if request.device != "cuda":
        return f"needs a CUDA device, not {request.device}"
    if name in ("liger", "hub") and request.rotary_dim != request.head_dim:
        return f"rotates whole heads only, and {request.rotary_dim} of {request.head_dim} channels are to be rotated"
    if name == "hub" and request.needs_gradient:
        return "has no correct backward pass; run it under torch.no_grad()"
    return import_error_of(
        partial(rotary_function, name), "dnafm[flash]" if name == "flash_attn" else "dnafm[kernels]"
    )


def kernel_loaders() -> list[tuple[str, str, Callable, str]]:
    """Package, what it is used for, how its kernel is imported, and the extra that installs it."""
    return [
        ("flash-attn", "FlashAttention-2", partial(flash_attention_2_function, "flash-attn"), "dnafm[flash]"),
        (
            "torch",
            "FlashAttention-2 for variable lengths",
            partial(flash_attention_2_function, "torch"),
            "torch>=2.11",
        ),
        ("flash-attn", "rotary embedding", partial(rotary_function, "flash_attn"), "dnafm[flash]"),
        ("liger-kernel", "rotary embedding", partial(rotary_function, "liger"), "dnafm[kernels]"),
        (
            "kernels",
            "both, from the Hub, when asked for",
            partial(importlib.import_module, "kernels"),
            "dnafm[kernels]",
        ),
    ]


def import_error_of(load: Callable, extra: str) -> str | None:
    """Why a kernel does not import, with the command that installs it; `None` if it does."""
    try:
        load()
    except ImportError as error:
        return f"{error}; pip install '{extra}'"
    except OSError as error:  # a Hub kernel that is neither cached nor within reach
        return str(error)
    return None


def version_of(package: str) -> str:
    """`"package version"`, or the bare name where nothing of that name is installed."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return package


def _provider_of(name: str) -> str:
    packages = {"flash_attn": "flash-attn", "liger": "liger-kernel", "hub": "kernels"}
    return version_of(packages.get(name, "torch"))


def report_kernels(attention: str, rope: str, request: KernelRequest) -> KernelReport:
    """Choose both kernels for a request; arguments and errors are those of `chosen_kernels`."""
    return KernelReport(
        select_attention(attention, request), select_rope(rope, request), request.device, request.dtype
    )


@lru_cache(maxsize=64)
def chosen_kernels(attention: str, rope: str, request: KernelRequest) -> KernelReport:
    """Choose both kernels for a request, and say so the first time.

    Raises:
        ValueError: a kernel asked for by name cannot run.
    """
    report = report_kernels(attention, rope, request)
    # On a GPU a slower kernel is worth a warning: something can be installed, or the dtype changed.
    level = logger.warning if request.device == "cuda" and report.attention.passed_over else logger.info
    level(f"dnafm runs with {report.attention.name} attention and {report.rope.name} rotary embedding.\n{report}")
    return report


def attention_kernel(choice: KernelChoice, *, packed: bool) -> Callable:
    """The chosen kernel, called like an attention interface of transformers.

    Args:
        choice: What `select_attention` returned.
        packed: Whether the batch is (1, T), with `PackedSequences.attention_kwargs()` among the arguments.
    """
    if choice.name == "flash_attention_2":
        return flash_attention_2(choice)
    interface = ALL_ATTENTION_FUNCTIONS.get_interface(choice.name, eager_attention_forward)
    knows_packing = choice.name == "flex_attention" or is_flash_attention_requested(
        requested_attention_implementation=choice.name
    )
    return partial(attention_by_runs, interface) if packed and not knows_packing else interface


def flash_attention_2(choice: KernelChoice) -> Callable:
    """FlashAttention-2 of the provider that was chosen, called like an attention interface of transformers."""
    return partial(flash_attention_2_forward, flash_attention_2_function(choice.provider.split()[0]))


# Kernels asked for by name, loaded with the model: a compiled graph must not choose or import.
LOADED_KERNELS: dict[tuple[str, str], Callable] = {}


def load_named_kernels(attention: str, rope: str, request: KernelRequest) -> None:
    """Load the kernels that were asked for by name, so that a missing one is told at load time.

    Args:
        attention: `"auto"`, or the name of a kernel.
        rope: `"auto"`, or the name of a kernel.
        request: The best that this machine can offer the model; a forward pass checks what it really gets.

    Raises:
        ValueError: a kernel is unknown or cannot run here.
    """
    if attention == "flash_attention_2":
        LOADED_KERNELS["attention", attention] = flash_attention_2(select_attention(attention, request))
    if rope not in ROPE_IMPLEMENTATIONS:
        raise ValueError(f"rope_implementation={rope!r} must be one of {ROPE_IMPLEMENTATIONS}.")
    if rope != "auto":
        LOADED_KERNELS["rope", rope] = rotary_function(select_rope(rope, request).name)
