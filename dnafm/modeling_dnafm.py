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
"""DNA FM: a bidirectional encoder of DNA at single-nucleotide resolution.

Shape letters: B sequences in a batch, L tokens of the longest, H heads, D channels of a head. Between the embeddings
and the final norm a padded batch is (1, T, hidden), the T tokens of all its sequences without padding.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.activations import ACT2FN
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming
from transformers.integrations import use_kernelized_func
from transformers.masking_utils import (
    create_bidirectional_mask,
    find_packed_sequence_indices,
    packed_sequence_mask_function,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.processing_utils import Unpack
from transformers.quantizers.auto import AutoQuantizationConfig
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple
from transformers.utils.import_utils import is_tracing
from transformers.utils.output_capturing import capture_outputs

from .conditioning_dnafm import DNAFMConditioning, check_condition, vectors_of_tokens, zero_conditioning_output
from .configuration_dnafm import DNAFMConfig
from .kernels_dnafm import (
    LOADED_KERNELS,
    KernelReport,
    KernelRequest,
    PackedSequences,
    apply_rotary_pos_emb,
    attention_kernel,
    chosen_kernels,
    eager_attention_forward,
    load_named_kernels,
    packed_sequences,
    positions_from_mask,
    report_kernels,
    rotary_function,
    sequence_ids_from_boundaries,
)
from .losses_dnafm import IGNORED_LABEL as IGNORED_LABEL
from .losses_dnafm import masked_lm_loss, supervised_loss
from .released_dnafm import RELEASED_WEIGHT_NAMES, with_index_of_its_format

PAIRWISE_WIDTH = 128  # most channels of a token in a pairwise head
HEAD_MODULES = ("lm_head", "conditioning", "classifier")
HUB_TAGS = ("dnafm", "dna", "genomics", "biology")
NORMALIZATIONS = {"LayerNorm": nn.LayerNorm, "RMSNorm": nn.RMSNorm}

register_checkpoint_conversion_mapping(
    DNAFMConfig.model_type,
    [WeightRenaming(source, target) for source, target in RELEASED_WEIGHT_NAMES.items()],
    overwrite=True,
)


class DNAFMRotaryEmbedding(nn.Module):
    """Cosines and sines of the rotary position embedding, always computed in float32."""

    def __init__(self, config: DNAFMConfig):
        super().__init__()
        self.config = config
        self.rope_type = config.rope_type
        rope_init = ROPE_INIT_FUNCTIONS.get(self.rope_type, self.compute_default_rope_parameters)
        inv_freq, self.attention_scaling = rope_init(config)
        self.inv_freq = nn.Buffer(inv_freq, persistent=False)
        # The name by which transformers finds the buffers to fill again after loading on the meta device.
        self.original_inv_freq = nn.Buffer(inv_freq.clone(), persistent=False)

    @staticmethod
    def compute_default_rope_parameters(config: DNAFMConfig, **kwargs) -> tuple[Tensor, float]:
        """Inverse frequencies, (rotary_dim / 2,) float32, and the factor of cosines and sines, which is 1."""
        exponents = torch.arange(0, config.rotary_dim, 2, dtype=torch.float32) / config.rotary_dim
        return config.rope_theta**-exponents, 1.0

    def _apply(self, fn, recurse=True):
        # `model.bfloat16()` would round the frequencies, and with them every position beyond a few hundred.
        exact = self.inv_freq
        super()._apply(fn, recurse)
        if self.inv_freq.dtype != exact.dtype:
            self.inv_freq = nn.Buffer(exact.to(self.inv_freq.device), persistent=False)
            self.original_inv_freq = nn.Buffer(self.inv_freq.clone(), persistent=False)
        return self

    @torch.no_grad()
    def forward(self, hidden_states: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each (B or 1, L, rotary_dim) float32, of positions (B or 1, L).

        The hidden states tell the device only.
        """
        angles = position_ids[..., None].to(hidden_states.device).float() * self.inv_freq.to(hidden_states.device)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos() * self.attention_scaling, angles.sin() * self.attention_scaling


class DNAFMMLP(nn.Module):
    """Gated feed-forward block (SwiGLU)."""

    def __init__(self, config: DNAFMConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.linear_bias)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.linear_bias)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.linear_bias)
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, L, hidden) to the same shape."""
        return self.down_proj(self.act_fn(self.gate_proj(hidden_states)) * self.up_proj(hidden_states))


@use_kernelized_func(apply_rotary_pos_emb)
class DNAFMAttention(nn.Module):
    """Bidirectional multi-head self-attention with rotary positions."""

    def __init__(self, config: DNAFMConfig, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_causal = False
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=config.linear_bias)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=config.linear_bias)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=config.linear_bias)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=config.linear_bias)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        *,
        position_embeddings: tuple[Tensor, Tensor],
        attention_interface: Callable | None = None,
        rotary_interface: Callable = apply_rotary_pos_emb,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            hidden_states: (B, L, hidden), or (1, T, hidden) where sequences are packed.
            attention_mask: What the attention kernel takes as a mask.
            position_embeddings: Cosines and sines of `DNAFMRotaryEmbedding`.
            attention_interface: Attention kernel; by default the one that the config names.
            rotary_interface: Rotary kernel.
            **kwargs: Passed to the attention kernel.

        Returns:
            The output, shaped like the hidden states, and the attention probabilities if the kernel has them.
        """
        if attention_interface is None:
            attention_interface = ALL_ATTENTION_FUNCTIONS.get_interface(
                self.config._attn_implementation, eager_attention_forward
            )
        query_states, key_states, value_states = (
            projection(hidden_states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        query_states, key_states = rotary_interface(query_states, key_states, *position_embeddings)
        attention_output, attention_probabilities = attention_interface(
            self,
            query_states,
            key_states,
            value_states,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.o_proj(attention_output.flatten(2)), attention_probabilities


class DNAFMLayer(GradientCheckpointingLayer):
    """One pre-norm layer: attention, then feed-forward, each added to the residual stream."""

    def __init__(self, config: DNAFMConfig, layer_idx: int):
        super().__init__()
        norm = NORMALIZATIONS[config.normalization_type]
        self.input_layernorm = norm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = DNAFMAttention(config, layer_idx)
        self.post_attention_layernorm = norm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = DNAFMMLP(config)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        """(B, L, hidden) to the same shape; arguments as those of `DNAFMAttention`."""
        attention_output, _ = self.self_attn(self.input_layernorm(hidden_states), attention_mask, **kwargs)
        hidden_states = hidden_states + self.dropout(attention_output)
        return hidden_states + self.dropout(self.mlp(self.post_attention_layernorm(hidden_states)))


class DNAFMPreTrainedModel(PreTrainedModel):
    """Loading, saving and the choice of kernels, common to all DNA FM models."""

    config: DNAFMConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _no_split_modules = ["DNAFMLayer"]
    _can_record_outputs = {"hidden_states": DNAFMLayer, "attentions": DNAFMAttention}
    # The reference code stores the decoder's bias twice, here and as `cls.predictions.bias`.
    _keys_to_ignore_on_load_unexpected = [r"^cls\.predictions\.decoder\.bias$"]

    def post_init(self) -> None:
        """Finish as transformers does, and give this model a list of tags, to which `add_model_tags` appends."""
        super().post_init()
        self.model_tags = list(HUB_TAGS)

    def kernel_report(self) -> KernelReport:
        """Which attention and rotary kernels run on the present device and dtype, and why no faster ones.

        Raises:
            ValueError: a kernel that was asked for by name cannot run.
        """
        request = KernelRequest.of(next(self.parameters()), self.config, training=self.training)
        return report_kernels(self.config.attention_requested, self.config.rope_implementation, request)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs):
        """Load as transformers does, released checkpoints with an index of another format included.

        Args:
            pretrained_model_name_or_path: Folder or Hub id.
            *model_args: Passed on.
            **kwargs: Passed on. A `quantization_config` leaves the heads in the dtype of the model, unless it says
                itself which modules are not to be converted.
        """
        if kwargs.get("quantization_config") is not None:
            kwargs["quantization_config"] = _without_heads(kwargs["quantization_config"])
        with with_index_of_its_format(pretrained_model_name_or_path, kwargs) as folder:
            loaded = super().from_pretrained(folder or pretrained_model_name_or_path, *model_args, **kwargs)
        if folder is not None:
            model = loaded[0] if isinstance(loaded, tuple) else loaded
            model.name_or_path = model.config.name_or_path = str(pretrained_model_name_or_path)
        return loaded

    def save_pretrained(self, *args, **kwargs):
        """Save as transformers does, under dnafm's parameter names.

        Args:
            *args: Passed on.
            **kwargs: Passed on; `save_original_format=True` writes the names of the released checkpoints instead.
        """
        kwargs.setdefault("save_original_format", False)
        if kwargs["save_original_format"] and kwargs.get("state_dict") is None and self.base_model is self:
            # The released names are those of a model with a head.
            kwargs["state_dict"] = {f"{self.base_model_prefix}.{k}": v for k, v in self.state_dict().items()}
        return super().save_pretrained(*args, **kwargs)

    def set_attn_implementation(self, attn_implementation: str | dict, allow_all_kernels: bool = False):
        """Choose another attention kernel; `"auto"` chooses by device and dtype."""
        super().set_attn_implementation(attn_implementation, allow_all_kernels=allow_all_kernels)
        requested = attn_implementation.get("") if isinstance(attn_implementation, dict) else attn_implementation
        self.config._attention_requested = requested or "auto"

    @classmethod
    def _from_config(cls, config, **kwargs):
        if "rope_implementation" in kwargs:
            config.rope_implementation = kwargs.pop("rope_implementation")
        return super()._from_config(config, **kwargs)

    def _init_weights(self, module):
        super()._init_weights(module)
        zero_conditioning_output(module)

    def _check_and_adjust_attn_implementation(
        self, attn_implementation: str | None, is_init_check: bool = False, allow_all_kernels: bool = False
    ) -> str:
        requested = self.config.attention_requested if is_init_check else attn_implementation or "auto"
        load_named_kernels(requested, self.config.rope_implementation, KernelRequest.best_here(self.config))
        if requested == "flash_attention_2":
            return requested
        # What `auto` means is settled in each forward pass; under torch.compile it is sdpa.
        adjusted = None if requested == "auto" else requested
        return super()._check_and_adjust_attn_implementation(adjusted, is_init_check, allow_all_kernels)


class DNAFMModel(DNAFMPreTrainedModel):
    """The DNA FM encoder, which returns one vector for each token."""

    def __init__(self, config: DNAFMConfig):
        super().__init__(config)
        # Fields that were set after the config was built have not been looked at together.
        config.validate_architecture()
        config.validate_rotary_embedding()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.rotary_emb = DNAFMRotaryEmbedding(config)
        self.layers = nn.ModuleList([DNAFMLayer(config, index) for index in range(config.num_hidden_layers)])
        self.norm = NORMALIZATIONS[config.normalization_type](config.hidden_size, eps=config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutput:
        """Encode a batch.

        A padded batch is unpadded before the first layer and padded again after the last, so that each sequence gets
        what it would get alone. Where hidden states or attentions are recorded, in a traced or compiled graph, and
        under a 4D mask, the ordinary padded path runs instead.

        Args:
            input_ids: (B, L) token ids. Either these or `inputs_embeds`.
            attention_mask: (B, L), non-zero at tokens and zero at padding, on either side; or a prepared 4D mask.
            position_ids: (B, L) or (1, L). By default each row counts from its first token. Without a mask, positions
                that restart within a row tell packed sequences apart.
            inputs_embeds: (B, L, hidden) in place of embedded ids.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`; and `cu_seq_lens_q`, (N + 1,)
                boundaries of sequences packed into a single row.

        Returns:
            `last_hidden_state` (B, L, hidden), zero at padding; and what was asked to be recorded: `hidden_states`,
            layers + 1 times (B, L, hidden), the last one after the final norm; `attentions`, layers times
            (B, H, L, L).

        Raises:
            ValueError: both or neither of ids and embeddings, ids outside the vocabulary, a mask of another shape,
                or boundaries that do not tile the row.
        """
        inputs = check_inputs(self.config, input_ids, inputs_embeds=inputs_embeds, attention_mask=attention_mask)
        _check_position_shape(position_ids, inputs.shape[:2])
        is_prepared_mask = attention_mask is not None and attention_mask.dim() != 2
        if attention_mask is not None and not is_prepared_mask:
            attention_mask = attention_mask != 0
        batch_shape, cu_seq_lens = inputs.shape[:2], kwargs.get("cu_seq_lens_q")
        if is_prepared_mask or is_tracing(inputs):
            sequence_ids = _traced_sequence_ids(inputs, attention_mask, position_ids, cu_seq_lens)
        else:
            packed = packed_sequences(attention_mask, position_ids, batch_shape, cu_seq_lens=cu_seq_lens)
            if packed is not None and not self._records_outputs(kwargs):
                return BaseModelOutput(last_hidden_state=self._encode_packed(inputs, packed, **kwargs))
            sequence_ids = None
            if packed is None or packed.came_packed:
                attention_mask = None  # there is no padding
            if packed is not None and packed.came_packed:
                sequence_ids, position_ids = packed.sequence_ids(), packed.position_ids
                sequence_ids, position_ids = sequence_ids.view(batch_shape), position_ids.view(batch_shape)
                kwargs = {**kwargs, **packed.attention_kwargs()}  # for kernels that take no mask
        hidden_states = self._encode_padded(inputs, attention_mask, position_ids, sequence_ids, **kwargs)
        return BaseModelOutput(last_hidden_state=hidden_states)

    def _records_outputs(self, kwargs: dict[str, Any]) -> bool:
        names = ("output_hidden_states", "output_attentions")
        return any(kwargs.get(name, getattr(self.config, name)) not in (None, False) for name in names)

    def _encode_packed(self, inputs: Tensor, packed: PackedSequences, **kwargs) -> Tensor:
        """(B, L) ids or (B, L, hidden) embeddings to (B, L, hidden), without computing padding."""
        hidden_states = self._embed(packed.pack(inputs))
        kernels = self._choose_kernels(hidden_states, kwargs)
        attention_mask = None
        if kernels.attention.name == "flex_attention":
            attention_mask = self._layer_mask(hidden_states, None, packed.sequence_ids())
        hidden_states = self._run_layers(
            hidden_states,
            attention_mask,
            packed.position_ids,
            attention_interface=attention_kernel(kernels.attention, packed=True),
            rotary_interface=rotary_function(kernels.rope.name),
            **{**kwargs, **packed.attention_kwargs()},
        )
        return packed.unpack(hidden_states)

    def _encode_padded(
        self,
        inputs: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        sequence_ids: Tensor | None,
        **kwargs,
    ) -> Tensor:
        """(B, L) ids or (B, L, hidden) embeddings to (B, L, hidden), zero where a (B, L) mask is."""
        hidden_states = self._embed(inputs)
        padding_mask = attention_mask if attention_mask is not None and attention_mask.dim() == 2 else None
        if position_ids is None and padding_mask is not None:
            position_ids = positions_from_mask(padding_mask)
        elif position_ids is None:
            position_ids = torch.arange(hidden_states.shape[1], device=hidden_states.device)[None]
        layer_mask = self._layer_mask(hidden_states, attention_mask, sequence_ids)
        kernels = self._padded_kernels(hidden_states, kwargs, is_masked=layer_mask is not None)
        hidden_states = self._run_layers(hidden_states, layer_mask, position_ids, **kernels, **kwargs)
        return hidden_states if padding_mask is None else hidden_states.masked_fill(~padding_mask[..., None], 0)

    def _layer_mask(self, hidden_states: Tensor, attention_mask: Tensor | None, sequence_ids: Tensor | None):
        """The mask of padding or of packed sequences, in the form that the config's attention kernel takes."""
        if attention_mask is not None and attention_mask.dim() == 2:
            # A row without a token would make the softmax NaN: let it look everywhere, it is zeroed in the end.
            attention_mask = attention_mask | ~attention_mask.any(-1, keepdim=True)
        same_sequence = None if sequence_ids is None else packed_sequence_mask_function(sequence_ids)
        return create_bidirectional_mask(
            config=self.config,
            inputs_embeds=hidden_states,
            attention_mask=attention_mask,
            and_mask_function=same_sequence,
        )

    def _embed(self, inputs: Tensor) -> Tensor:
        return self.dropout(inputs if inputs.is_floating_point() else self.embed_tokens(inputs))

    def _run_layers(self, hidden_states: Tensor, attention_mask, position_ids: Tensor, **kwargs) -> Tensor:
        position_embeddings = self.rotary_emb(hidden_states, position_ids)
        # A batch without a single token leaves attention nothing to do.
        for layer in self.layers if hidden_states.numel() else ():
            hidden_states = layer(hidden_states, attention_mask, position_embeddings=position_embeddings, **kwargs)
        return self.norm(hidden_states)

    def _choose_kernels(
        self, hidden_states: Tensor, kwargs: dict[str, Any], *, is_masked: bool = False
    ) -> KernelReport:
        attention = self.config.attention_requested
        if attention == "auto" and kwargs.get("output_attentions"):
            attention = "eager"  # the only kernel that has probabilities to show
        elif attention == "auto" and is_masked:
            attention = "sdpa"  # no flash kernel takes the mask
        request = KernelRequest.of(hidden_states, self.config, training=self.training)
        return chosen_kernels(attention, self.config.rope_implementation, request)

    def _padded_kernels(
        self, hidden_states: Tensor, kwargs: dict[str, Any], *, is_masked: bool
    ) -> dict[str, Callable | None]:
        if is_tracing(hidden_states):
            return {
                "attention_interface": LOADED_KERNELS.get(("attention", self.config.attention_requested)),
                "rotary_interface": LOADED_KERNELS.get(
                    ("rope", self.config.rope_implementation), apply_rotary_pos_emb
                ),
            }
        kernels = self._choose_kernels(hidden_states, kwargs, is_masked=is_masked)
        return {
            "attention_interface": attention_kernel(kernels.attention, packed=False),
            "rotary_interface": rotary_function(kernels.rope.name),
        }


class DNAFMMaskedLMHead(nn.Module):
    """From a token's vector to logits over the vocabulary: dense, GELU, norm, decoder."""

    def __init__(self, config: DNAFMConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = NORMALIZATIONS[config.normalization_type](config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., hidden) to (..., vocabulary)."""
        return self.decoder(self.norm(F.gelu(self.dense(hidden_states))))


class DNAFMForMaskedLM(DNAFMPreTrainedModel):
    """DNA FM as it is pretrained: it predicts masked bases."""

    _tied_weights_keys = {"lm_head.decoder.weight": "model.embed_tokens.weight"}
    # Transformers shards the embeddings by rows of its own accord, and the decoder shares them.
    _tp_plan = {"lm_head.decoder": "colwise_gather_output"}

    def __init__(self, config: DNAFMConfig):
        super().__init__(config)
        self.model = DNAFMModel(config)
        self.lm_head = DNAFMMaskedLMHead(config)
        # CODEPATH: checkpoints of masked diffusion that were trained under conditions.
        if config.is_conditional:
            self.conditioning = DNAFMConditioning(config)
        self.loss_function = masked_lm_loss
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """The decoder, whose weight is that of the embeddings."""
        return self.lm_head.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the decoder."""
        self.lm_head.decoder = new_embeddings

    def embed_conditioned(self, input_ids, condition, *, condition_mask=None, inputs_embeds=None, **kwargs) -> Tensor:
        """(B, L, hidden) embeddings under conditions; arguments and errors are those of `forward`."""
        check_condition(self.config, condition)
        masks = {"attention_mask": kwargs.get("attention_mask")}
        inputs = check_inputs(self.config, input_ids, inputs_embeds=inputs_embeds, **masks)
        embeddings = self.model.embed_tokens(inputs) if inputs_embeds is None else inputs
        vectors = vectors_of_tokens(self.conditioning(condition, condition_mask), inputs.shape[:2], **kwargs)
        return embeddings + vectors.to(embeddings.dtype)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        condition: Tensor | None = None,
        condition_mask: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MaskedLMOutput:
        """Predict tokens.

        Args:
            input_ids: As those of `DNAFMModel`, like the other inputs.
            attention_mask: (B, L).
            position_ids: (B, L) or (1, L).
            inputs_embeds: (B, L, hidden).
            labels: (B, L) token ids, -100 where there is nothing to predict.
            condition: (N,) class ids, or (N, numbers) in the units of the data, of the B, or the packed, sequences.
            condition_mask: (N,), zero for sequences without a condition.
            **kwargs: Passed to `DNAFMModel`; `num_items_in_batch` is what the loss is divided by in place of the
                number of labels.

        Returns:
            `logits` (B, L, vocabulary); `loss`, the mean cross-entropy in nats, if there are labels.

        Raises:
            ValueError: labels of another shape, or outside the vocabulary; or wrong conditions.
        """
        if condition is not None or condition_mask is not None:
            places = {"attention_mask": attention_mask, "position_ids": position_ids, **kwargs}
            places |= {"condition_mask": condition_mask, "inputs_embeds": inputs_embeds}
            input_ids, inputs_embeds = None, self.embed_conditioned(input_ids, condition, **places)
        outputs = self.model(input_ids, attention_mask, position_ids, inputs_embeds, return_dict=True, **kwargs)
        logits = self.lm_head(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)
        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class DNAFMClassificationHead(nn.Module):
    """From a pooled vector to outputs: dropout, dense, activation, dropout, projection; or the last two alone."""

    def __init__(self, config: DNAFMConfig):
        super().__init__()
        width = config.classifier_width
        self.dropout = nn.Dropout(config.classifier_dropout_rate)
        self.dense = nn.Linear(config.hidden_size, width) if width else None
        self.activation = ACT2FN[config.classifier_activation]
        self.out_proj = nn.Linear(width or config.hidden_size, cast(int, config.num_labels))

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, hidden) to (B, labels)."""
        if self.dense is not None:
            pooled = self.activation(self.dense(self.dropout(pooled)))
        return self.out_proj(self.dropout(pooled))


class DNAFMForSequenceClassification(DNAFMPreTrainedModel):
    """DNA FM with a head for whole sequences: classes, several labels at once, or numbers."""

    def __init__(self, config: DNAFMConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = DNAFMModel(config)
        self.classifier = DNAFMClassificationHead(config)
        self.loss_function = supervised_loss
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceClassifierOutput:
        """Classify sequences, or predict numbers for them.

        Args:
            input_ids: As those of `DNAFMModel`, like the other inputs.
            attention_mask: (B, L).
            position_ids: (B, L) or (1, L).
            inputs_embeds: (B, L, hidden).
            labels: By `config.problem_type`: (B,) class ids (`"single_label_classification"`), (B, labels) zeros and
                ones (`"multi_label_classification"`), (B,) or (B, labels) numbers (`"regression"`). Without a problem
                type, one output means regression, integer class ids single labels, all else several labels.
            **kwargs: Passed to `DNAFMModel`; `num_items_in_batch` is what the loss is divided by in place of the
                number of labels.

        Returns:
            `logits` (B, labels); `loss`, the mean over the labels that count (-100, or NaN in regression, do not).

        Raises:
            ValueError: labels of another shape or range, or several sequences packed into a row.
        """
        _refuse_packed_rows(attention_mask, position_ids, kwargs.get("cu_seq_lens_q"))
        outputs = self.model(input_ids, attention_mask, position_ids, inputs_embeds, return_dict=True, **kwargs)
        logits = self.classifier(pool(outputs.last_hidden_state, attention_mask, how=self.config.classifier_pooling))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, config=self.config, **kwargs)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class DNAFMForTokenClassification(DNAFMPreTrainedModel):
    """DNA FM with a head for each base: classes, several labels at once, or numbers."""

    def __init__(self, config: DNAFMConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = DNAFMModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout_rate)
        self.classifier = nn.Linear(config.hidden_size, cast(int, config.num_labels))
        self.loss_function = supervised_loss
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TokenClassifierOutput:
        """Classify tokens, or predict numbers for them.

        Args:
            input_ids: As those of `DNAFMModel`, like the other inputs.
            attention_mask: (B, L).
            position_ids: (B, L) or (1, L).
            inputs_embeds: (B, L, hidden).
            labels: (B, L) class ids with -100 where there is none; (B, L, labels) zeros and ones; or for regression
                (B, L) or (B, L, labels) numbers with NaN where there is none. The problem type is told as in
                `DNAFMForSequenceClassification`.
            **kwargs: Passed to `DNAFMModel`; `num_items_in_batch` is what the loss is divided by in place of the
                number of labels.

        Returns:
            `logits` (B, L, labels), token i + 1 for base i; `loss`, the mean over the labels that count.

        Raises:
            ValueError: labels of another shape or range.
        """
        outputs = self.model(input_ids, attention_mask, position_ids, inputs_embeds, return_dict=True, **kwargs)
        logits = self.classifier(self.dropout(outputs.last_hidden_state))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, config=self.config, **kwargs)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class DNAFMPairwiseHead(nn.Module):
    """From the vectors of two tokens to outputs for the pair, the same in either order.

    A symmetric form of the biaffine classifier of Dozat and Manning (2017, https://arxiv.org/abs/1611.01734). Of the
    states h, projected to d channels, the outputs of class c for tokens i and j are
    h_i (W_c + W_c') h_j / sqrt(d) + u_c (h_i + h_j) + b_c, which takes memory for L x L outputs and not for L x L
    vectors. The matrix and the two vectors of a class are stored as the rows of one linear layer.
    """

    def __init__(self, config: DNAFMConfig):
        super().__init__()
        width = min(config.hidden_size, PAIRWISE_WIDTH)
        self.scaling = width**-0.5
        self.num_labels = cast(int, config.num_labels)
        self.dense = nn.Linear(config.hidden_size, width)
        self.dropout = nn.Dropout(config.classifier_dropout_rate)
        self.biaffine = nn.Linear(width, self.num_labels * (width + 1))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, L, hidden) to (B, L, L, labels), symmetric to the bit."""
        states = self.dropout(self.dense(hidden_states))
        first = self.biaffine(states).unflatten(-1, (self.num_labels, -1))
        second = F.pad(states * self.scaling, (0, 1), value=1.0)
        one_way = torch.einsum("bicd,bjd->bijc", first, second)
        return one_way + one_way.transpose(1, 2)


class DNAFMForPairwiseTokenClassification(DNAFMPreTrainedModel):
    """DNA FM with a head for each pair of bases, as in contact maps: classes, several labels at once, or numbers."""

    def __init__(self, config: DNAFMConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = DNAFMModel(config)
        self.classifier = DNAFMPairwiseHead(config)
        self.loss_function = supervised_loss
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TokenClassifierOutput:
        """Classify pairs of tokens, or predict numbers for them.

        Args:
            input_ids: As those of `DNAFMModel`, like the other inputs.
            attention_mask: (B, L).
            position_ids: (B, L) or (1, L).
            inputs_embeds: (B, L, hidden).
            labels: (B, L, L) class ids with -100 where there is none, as at padding and special tokens;
                (B, L, L, labels) zeros and ones; or for regression (B, L, L) or (B, L, L, labels) numbers with NaN
                where there is none. The problem type is told as in `DNAFMForSequenceClassification`.
            **kwargs: Passed to `DNAFMModel`; `num_items_in_batch` is what the loss is divided by in place of the
                number of labels.

        Returns:
            `logits` (B, L, L, labels), tokens i + 1 and j + 1 for bases i and j in either order; those of pairs with
            padding, or of two sequences packed into a row, mean nothing. `loss`, the mean over the labels that count.

        Raises:
            ValueError: labels of another shape or range.
        """
        outputs = self.model(input_ids, attention_mask, position_ids, inputs_embeds, return_dict=True, **kwargs)
        logits = self.classifier(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, config=self.config, **kwargs)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


def pool(hidden_states: Tensor, attention_mask: Tensor | None = None, *, how: str = "mean") -> Tensor:
    """One vector for each sequence.

    Args:
        hidden_states: (B, L, hidden).
        attention_mask: (B, L), non-zero at tokens, special ones included.
        how: `"mean"` or `"max"` over the attended tokens, or `"cls"`, the first of them.

    Returns:
        (B, hidden), same dtype; zeros for a row without a token.
    """
    if attention_mask is None:
        attention_mask = torch.ones(hidden_states.shape[:2], device=hidden_states.device)
    if attention_mask.shape != hidden_states.shape[:2]:
        raise ValueError(
            f"attention_mask of shape {tuple(attention_mask.shape)} must be (batch, length), here "
            f"{tuple(hidden_states.shape[:2])}: it tells which tokens are pooled."
        )
    attended = (attention_mask != 0).to(hidden_states.device)[..., None]
    if how == "mean":
        total = hidden_states.masked_fill(~attended, 0).sum(1, dtype=torch.float32)  # float16 would overflow
        return (total / attended.sum(1).clamp(min=1)).to(hidden_states.dtype)
    if how == "max":
        highest = hidden_states.masked_fill(~attended, torch.finfo(hidden_states.dtype).min).amax(1)
        return highest.masked_fill(~attended.any(1), 0)
    if how == "cls":
        first = attended.int().argmax(1, keepdim=True).expand(-1, -1, hidden_states.shape[-1])
        return hidden_states.gather(1, first)[:, 0].masked_fill(~attended.any(1), 0)
    raise ValueError(f"how={how!r} must be 'mean', 'max' or 'cls'.")


def check_inputs(
    config: DNAFMConfig, input_ids: Tensor | None, *, inputs_embeds: Tensor | None, attention_mask: Tensor | None
) -> Tensor:
    """Check what a caller passed to the encoder.

    Returns:
        The ids or the embeddings, whichever there are.

    Raises:
        ValueError: both or neither of ids and embeddings, ids outside the vocabulary, or a mask of another shape.
    """
    inputs = input_ids if inputs_embeds is None else inputs_embeds
    if inputs is None or (input_ids is not None and inputs_embeds is not None):
        raise ValueError("You must specify exactly one of input_ids or inputs_embeds.")
    if input_ids is not None:
        _check_token_ids(input_ids, config.vocab_size)
    elif inputs.dim() != 3 or inputs.shape[-1] != config.hidden_size or not inputs.is_floating_point():
        raise ValueError(
            f"inputs_embeds of shape {tuple(inputs.shape)} and dtype {inputs.dtype} must be floating-point numbers of "
            f"shape (batch, length, {config.hidden_size})."
        )
    _check_mask_shape(attention_mask, inputs.shape[:2])
    return inputs


def _check_mask_shape(attention_mask: Tensor | None, batch_shape: torch.Size) -> None:
    if attention_mask is None:
        return
    shape = tuple(attention_mask.shape)
    if len(shape) not in (2, 4):
        raise ValueError(f"attention_mask of shape {shape} must be (batch, length), or a prepared 4D mask.")
    if len(shape) == 2 and shape != tuple(batch_shape):
        raise ValueError(f"attention_mask of shape {shape} must be shaped like the inputs, {tuple(batch_shape)}.")


def _check_position_shape(position_ids: Tensor | None, batch_shape: torch.Size) -> None:
    if position_ids is not None and tuple(position_ids.shape) not in (tuple(batch_shape), (1, batch_shape[1])):
        raise ValueError(
            f"position_ids of shape {tuple(position_ids.shape)} must be {tuple(batch_shape)} or (1, {batch_shape[1]})."
        )


def _check_token_ids(input_ids: Tensor, vocab_size: int) -> None:
    if input_ids.dim() != 2 or input_ids.is_floating_point():
        raise ValueError(
            f"input_ids of shape {tuple(input_ids.shape)} and dtype {input_ids.dtype} must be integers of shape "
            "(batch, length)."
        )
    if is_tracing(input_ids) or not input_ids.numel():
        return
    lowest, highest = (int(bound) for bound in torch.aminmax(input_ids))
    if lowest < 0 or highest >= vocab_size:
        raise ValueError(
            f"input_ids run from {lowest} to {highest}, and must lie in [0, {vocab_size}). "
            "Were they made by the tokenizer of this checkpoint?"
        )


def _refuse_packed_rows(
    attention_mask: Tensor | None, position_ids: Tensor | None, cu_seq_lens: Tensor | None
) -> None:
    is_packed = cu_seq_lens is not None
    if attention_mask is None and position_ids is not None and not is_tracing(position_ids):
        is_packed = is_packed or find_packed_sequence_indices(position_ids) is not None
    if is_packed:
        raise ValueError(
            "cu_seq_lens_q or position_ids that restart pack several sequences into a row, and a pooled head wants "
            "one in each. Pass a padded batch with its attention_mask: padding is not computed either way."
        )


def _traced_sequence_ids(
    inputs: Tensor, attention_mask: Tensor | None, position_ids: Tensor | None, cu_seq_lens: Tensor | None
) -> Tensor | None:
    """(B or 1, L) numbers of packed sequences, without looking at a value; `None` where nothing can be packed."""
    if attention_mask is not None:
        return None
    if cu_seq_lens is not None:
        return sequence_ids_from_boundaries(cu_seq_lens, inputs.shape[1])
    return None if position_ids is None else find_packed_sequence_indices(position_ids.expand(inputs.shape[:2]))


def _without_heads(quantization_config: Any) -> Any:
    """A copy of a quantization config that skips the heads, where it names no modules to skip of its own."""
    if isinstance(quantization_config, dict):
        config = AutoQuantizationConfig.from_dict(quantization_config)
    else:
        config = deepcopy(quantization_config)
    # Of its own accord transformers skips the decoder alone.
    for name in ("modules_to_not_convert", "llm_int8_skip_modules"):
        if getattr(config, name, HEAD_MODULES) is None:
            setattr(config, name, list(HEAD_MODULES))
    return config


__all__ = [
    "DNAFMForMaskedLM",
    "DNAFMForPairwiseTokenClassification",
    "DNAFMForSequenceClassification",
    "DNAFMForTokenClassification",
    "DNAFMModel",
    "DNAFMPreTrainedModel",
]
