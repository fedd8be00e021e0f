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
"""Configuration of DNA FM."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN

# The released checkpoints were written by the reference code under this model type.
RELEASED_MODEL_TYPE = "rnabert"
RELEASED_FIELD_NAMES = {
    "add_linear_bias": "linear_bias",
    "attention_probs_dropout_prob": "attention_dropout",
    "hidden_dropout_prob": "hidden_dropout",
}
# Fields of a released config.json that say nothing about the network.
RELEASED_IGNORED_FIELDS = ("tokenizer_type", "type_vocab_size", "use_cache", "is_decoder", "transformers_version")

NORMALIZATION_TYPES = ("LayerNorm", "RMSNorm")
CLASSIFIER_POOLINGS = ("mean", "cls", "max")
PROBLEM_TYPES = (None, "regression", "single_label_classification", "multi_label_classification")
ROPE_TYPES = ("default", "linear")
ROTARY_ARGUMENTS = ("rotary_percent", "seq_len_interpolation_factor", "rope_theta")


@strict
class DNAFMConfig(PreTrainedConfig):
    """The architecture of DNA FM; the defaults are DNA FM 7B (7,285,036,304 parameters with the masked-LM head).

    Every field is a keyword argument. Those of [`PreTrainedConfig`] (`num_labels`, `id2label`, `problem_type`,
    `dtype`, ...) are accepted as well, and so are the field names of released checkpoints.

    Args:
        vocab_size: Number of tokens, special ones included.
        hidden_size: Width of the residual stream; a multiple of `num_attention_heads`.
        intermediate_size: Width of the gated feed-forward block.
        num_hidden_layers: Number of layers.
        num_attention_heads: Number of attention heads.
        hidden_act: Activation of the gate; `"swiglu"` is read as `"silu"`.
        max_position_embeddings: Context of the pretraining in tokens, `[CLS]` and suffix included.
        initializer_range: Standard deviation of fresh weights.
        normalization_type: `"LayerNorm"` (weight and bias) or `"RMSNorm"` (weight only).
        layer_norm_eps: Epsilon of every normalization layer.
        linear_bias: Whether attention and feed-forward projections have biases. The heads always have them.
        attention_dropout: Dropout of the attention probabilities, in training.
        hidden_dropout: Dropout of the embeddings and of the output of each block, in training.
        classifier_dropout: Dropout of the classification heads, in training; `None` means `hidden_dropout`.
        classifier_pooling: What the sequence head sees: the `"mean"` or the `"max"` over the attended tokens, or the
            `"cls"` token.
        classifier_hidden_size: Width of the sequence head's hidden layer; at 0 it has none, and is a projection of
            the pooled vector. `None` means `hidden_size` up to 128, half of it below 2,048, else a quarter.
        classifier_activation: Activation of that hidden layer.
        rope_parameters: `rope_theta`, `rope_type` (`"default"`, or `"linear"` with a `factor` that positions are
            divided by) and `partial_rotary_factor`, the share of each head that is rotated.
        rope_implementation: Kernel of the rotary embedding: `"auto"`, `"eager"`, `"flash_attn"`, `"liger"` or `"hub"`.
            It belongs to the machine and not to the checkpoint: like `attn_implementation`, it is not saved.
        tie_word_embeddings: Whether the masked-LM decoder shares the weight of the embeddings.
        condition_classes: Names of the classes that the masked-LM model can be conditioned on.
        condition_size: How many numbers it can be conditioned on instead.
        condition_mean: Mean of each number, which is subtracted.
        condition_std: Standard deviation of each number, which the difference is divided by.
        pad_token_id: Id of `[PAD]`.
        mask_token_id: Id of `[MASK]`.
        cls_token_id: Id of `[CLS]`.
        sep_token_id: Id of `[SEP]`.
        unk_token_id: Id of `[UNK]`, which stands for a character that is not DNA.
        bos_token_id: Id of `[BOS]`.
        eos_token_id: Id of `[EOS]`.
        rotary_percent: Another name for `rope_parameters["partial_rotary_factor"]`.
        seq_len_interpolation_factor: Another name for a `"linear"` `rope_parameters["factor"]`.

    Raises:
        ValueError: a field has a value that no network can have; the message names field, value and rule.

    Example:
        >>> config = DNAFMConfig(hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4)
        >>> config.head_dim
        16
    """

    model_type = "dnafm"
    attribute_map: ClassVar[dict[str, str]] = {}
    base_model_tp_plan: ClassVar[dict[str, Any] | None] = {
        "layers.*.self_attn.q_proj": "colwise",
        "layers.*.self_attn.k_proj": "colwise",
        "layers.*.self_attn.v_proj": "colwise",
        "layers.*.self_attn.o_proj": "rowwise",
        "layers.*.mlp.gate_proj": "colwise",
        "layers.*.mlp.up_proj": "colwise",
        "layers.*.mlp.down_proj": "rowwise",
    }
    base_model_pp_plan: ClassVar[dict[str, Sequence[list[str]]] | None] = {
        "embed_tokens": (["input_ids"], ["inputs_embeds"]),
        "layers": (["hidden_states", "attention_mask"], ["hidden_states"]),
        "norm": (["hidden_states"], ["hidden_states"]),
    }
    base_model_fsdp_plan: ClassVar[dict[Any, str]] = {
        "embed_tokens": "free_full_weight",
        "layers.*": "free_full_weight",
        "norm": "keep_full_weight",
    }

    vocab_size: int = 16
    hidden_size: int = 4352
    intermediate_size: int = 11584
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    hidden_act: str = "silu"
    max_position_embeddings: int = 4000
    initializer_range: float = 0.02
    normalization_type: str = "LayerNorm"
    layer_norm_eps: float = 1e-5
    linear_bias: bool = True
    attention_dropout: float | int = 0.0
    hidden_dropout: float | int = 0.0
    classifier_dropout: float | int | None = None
    classifier_pooling: str = "mean"
    classifier_hidden_size: int | None = None
    classifier_activation: str = "tanh"
    rope_parameters: dict[str, Any] | None = None
    rope_implementation: str = "auto"
    tie_word_embeddings: bool = True
    condition_classes: list[str] | None = None
    condition_size: int | None = None
    condition_mean: list[float | int] | None = None
    condition_std: list[float | int] | None = None
    pad_token_id: int | None = 0
    mask_token_id: int | None = 1
    cls_token_id: int | None = 2
    sep_token_id: int | None = 3
    unk_token_id: int | None = 4
    bos_token_id: int | None = 11
    eos_token_id: int | list[int] | None = 12

    def __post_init__(self, **kwargs: Any):
        """Write the rotary settings and the activation as transformers does, then validate."""
        # The reference code names the gated block, transformers the activation inside it.
        if self.hidden_act == "swiglu":
            self.hidden_act = "silu"
        self.rope_parameters = _rope_parameters(
            kwargs.pop("rope_scaling", None) or self.rope_parameters,
            rope_theta=kwargs.pop("rope_theta", None),
            rotary_percent=kwargs.pop("rotary_percent", None),
            interpolation_factor=kwargs.pop("seq_len_interpolation_factor", None),
        )
        # Transformers' own check of the rope fields does not know this one.
        self.ignore_keys_at_rope_validation = {"partial_rotary_factor"}
        super().__post_init__(**kwargs)
        # `@strict` runs the validators as well, but wraps what they raise in an error that is no ValueError.
        self.validate_architecture()
        self.validate_rotary_embedding()
        self.validate_conditioning()

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def classifier_width(self) -> int:
        """Width of the sequence head's hidden layer; 0 where it has none."""
        if self.classifier_hidden_size is not None:
            return self.classifier_hidden_size
        if self.hidden_size <= 128:
            return self.hidden_size
        return self.hidden_size // 2 if self.hidden_size < 2048 else self.hidden_size // 4

    @property
    def classifier_dropout_rate(self) -> float:
        """Dropout of the classification heads: `classifier_dropout`, or where that is `None`, `hidden_dropout`."""
        return self.hidden_dropout if self.classifier_dropout is None else self.classifier_dropout

    @property
    def rotary_percent(self) -> float:
        """Share of each head's channels that is rotated, in (0, 1]."""
        return self._rope.get("partial_rotary_factor", 1.0)

    @property
    def rotary_dim(self) -> int:
        """Channels of each head that are rotated: the first `int(head_dim * rotary_percent)`."""
        return int(self.head_dim * self.rotary_percent)

    @property
    def rope_type(self) -> str:
        """`"default"`, or `"linear"` where positions are interpolated."""
        return self._rope.get("rope_type", "default")

    @property
    def rope_theta(self) -> float:
        """Base of the rotary frequencies."""
        return self._rope.get("rope_theta", self.default_theta)

    @property
    def seq_len_interpolation_factor(self) -> float | None:
        """What positions are divided by, or `None`."""
        return self._rope.get("factor") if self.rope_type == "linear" else None

    @property
    def _rope(self) -> dict[str, Any]:
        return self.rope_parameters or {}

    @property
    def is_conditional(self) -> bool:
        """Whether the masked-LM model takes a condition for each sequence."""
        return self.condition_classes is not None or self.condition_size is not None

    @property
    def attention_requested(self) -> str:
        """The `attn_implementation` that was asked for: `"auto"`, or a kernel by name."""
        return self._attention_requested

    @property
    def _attn_implementation(self) -> Any:
        return self._attn_implementation_internal

    @_attn_implementation.setter
    def _attn_implementation(self, value: Any) -> None:
        requested = value.get("") if isinstance(value, dict) else value
        self._attention_requested = requested or "auto"
        # Transformers stands `None` for its own default, which a model then fills in.
        self._attn_implementation_internal = None if requested == "auto" else requested

    def validate_architecture(self):
        """Raise a ValueError that names the field, its value and the rule for what no network can have."""
        for name in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_attention_heads",
            "max_position_embeddings",
        ):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        _require(self.num_hidden_layers >= 0, "num_hidden_layers", self.num_hidden_layers, "must not be negative")
        _require(
            self.hidden_size % self.num_attention_heads == 0,
            "hidden_size",
            self.hidden_size,
            f"must be a multiple of num_attention_heads={self.num_attention_heads}",
        )
        _require(self.layer_norm_eps > 0, "layer_norm_eps", self.layer_norm_eps, "must be positive")
        _require(self.initializer_range > 0, "initializer_range", self.initializer_range, "must be positive")
        for name in ("attention_dropout", "hidden_dropout", "classifier_dropout"):
            rate = getattr(self, name)
            _require(rate is None or 0 <= rate < 1, name, rate, "must lie in [0, 1)")
        _require((self.num_labels or 0) >= 1, "num_labels", self.num_labels, "must be at least 1")
        width = self.classifier_hidden_size
        _require(width is None or width >= 0, "classifier_hidden_size", width, "must not be negative")
        _require_one_of(self, "normalization_type", NORMALIZATION_TYPES)
        _require_one_of(self, "classifier_pooling", CLASSIFIER_POOLINGS)
        _require_one_of(self, "problem_type", PROBLEM_TYPES)
        _require_one_of(self, "hidden_act", tuple(ACT2FN))
        _require_one_of(self, "classifier_activation", tuple(ACT2FN))

    def validate_rotary_embedding(self):
        """Raise a ValueError for rotary settings that this model does not have."""
        rope_type = self.rope_type
        _require(rope_type in ROPE_TYPES, "rope_parameters['rope_type']", rope_type, f"must be one of {ROPE_TYPES}")
        _require(_is_positive(self.rope_theta), "rope_parameters['rope_theta']", self.rope_theta, "must be positive")
        factor = self._rope.get("factor")
        rule = "must be positive where rope_type is 'linear', and absent elsewhere"
        allowed = factor is None if rope_type == "default" else _is_positive(factor)
        _require(allowed, "rope_parameters['factor']", factor, rule)
        percent = self.rotary_percent
        _require(0 < percent <= 1, "rotary_percent", percent, "must lie in (0, 1]")
        _require(
            self.rotary_dim >= 2 and self.rotary_dim % 2 == 0,
            "rotary size int(head_dim * rotary_percent)",
            self.rotary_dim,
            f"must be even and at least 2 (head_dim={self.head_dim}, rotary_percent={percent})",
        )

    def validate_conditioning(self):
        """Raise a ValueError for conditions that no model can have."""
        classes, size = self.condition_classes, self.condition_size
        both = classes is not None and size is not None
        _require(not both, "condition_size", size, f"and condition_classes={classes} exclude each other")
        is_list_of_names = classes is None or (bool(classes) and len(set(classes)) == len(classes))
        _require(is_list_of_names, "condition_classes", classes, "must be names that differ")
        _require(size is None or size >= 1, "condition_size", size, "must be at least 1")
        for name in ("condition_mean", "condition_std"):
            numbers = getattr(self, name)
            fits = numbers is None or (len(numbers) == size and all(map(math.isfinite, numbers)))
            _require(fits, name, numbers, f"must be one finite number for each of condition_size={size}")
        _require(min(self.condition_std or [1]) > 0, "condition_std", self.condition_std, "must be positive")

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read a config.json; a released one comes back with dnafm's names."""
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        return translate_released_config(config_dict), kwargs

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs):
        """Build a config from a dict with dnafm's or the released names.

        Raises:
            ValueError: the dict describes another model type.
        """
        config_dict = translate_released_config(config_dict)
        model_type = config_dict.get("model_type", cls.model_type)
        if model_type != cls.model_type:
            raise ValueError(
                f"model_type {model_type!r} is not {cls.model_type!r} or {RELEASED_MODEL_TYPE!r}: this is the config "
                "of another architecture. Load it with AutoConfig and AutoModel."
            )
        # Properties, which cannot be set once the config is built.
        overrides = {name: kwargs.pop(name) for name in ROTARY_ARGUMENTS if name in kwargs}
        result = super().from_dict({**config_dict, **overrides}, **kwargs)
        # Fields that were overridden here have not been looked at together yet.
        config = result[0] if isinstance(result, tuple) else result
        config.validate_architecture()
        config.validate_rotary_embedding()
        return result

    def _remove_keys_not_serialized(self, d: dict[str, Any]) -> None:
        super()._remove_keys_not_serialized(d)
        d.pop("rope_implementation", None)
        d.pop("_attention_requested", None)


def translate_released_config(config_dict: dict[str, Any]) -> dict[str, Any]:
    """Translate the config.json of a released checkpoint; any other dict is returned as it is.

    Raises:
        ValueError: the config asks for positions other than rotary ones.
    """
    if config_dict.get("model_type") != RELEASED_MODEL_TYPE:
        return config_dict
    position_embedding_type = config_dict.get("position_embedding_type", "rope")
    _require(
        position_embedding_type == "rope",
        "position_embedding_type",
        position_embedding_type,
        "must be 'rope': DNA FM has no other kind of positions",
    )
    dropped = {"position_embedding_type", *RELEASED_IGNORED_FIELDS}
    translated = {RELEASED_FIELD_NAMES.get(k, k): v for k, v in config_dict.items() if k not in dropped}
    architectures = [name.replace("RNABert", "DNAFM") for name in config_dict.get("architectures") or []]
    return {**translated, "model_type": DNAFMConfig.model_type, "architectures": architectures}


def _rope_parameters(
    rope_parameters: dict[str, Any] | None,
    *,
    rope_theta: float | None,
    rotary_percent: float | None,
    interpolation_factor: float | None,
) -> dict[str, Any]:
    """Merge what was given by other names into the dict of transformers; a name of its own counts more."""
    merged = dict(rope_parameters or {})
    if rope_theta is not None:
        merged["rope_theta"] = rope_theta
    if rotary_percent is not None:
        merged["partial_rotary_factor"] = rotary_percent
    if interpolation_factor is not None:
        merged.update(rope_type="linear", factor=float(interpolation_factor))
    if merged.get("partial_rotary_factor") == 1.0:
        del merged["partial_rotary_factor"]
    merged.setdefault("rope_theta", PreTrainedConfig.default_theta)
    merged.setdefault("rope_type", merged.pop("type", "default"))
    return merged


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _require_one_of(config: DNAFMConfig, name: str, allowed: tuple[str | None, ...]) -> None:
    value = getattr(config, name)
    _require(value in allowed, name, repr(value), f"must be one of {allowed}")


def _require(condition: bool, name: str, value: Any, rule: str) -> None:
    if not condition:
        raise ValueError(f"{name}={value} {rule}.")


__all__ = ["DNAFMConfig"]
