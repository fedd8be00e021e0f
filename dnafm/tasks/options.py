"""What a task's model can be told: the keys `model.*` of Python, YAML files and the command line."""

from dataclasses import dataclass, field
from typing import Any, Literal

ReverseComplement = Literal["none", "augment", "average"]
Pooling = Literal["mean", "cls", "max"]
Condition = Literal["none", "class", "value"]

# The modules that the published recipe adapts.
LORA_TARGETS = ("q_proj", "v_proj")


@dataclass(kw_only=True, frozen=True)
class LoraOptions:
    """Low-rank adapters (peft).

    Args:
        r: Rank of the update of each adapted matrix; 0 is no LoRA.
        alpha: The update is multiplied by alpha / r.
        dropout: Of the adapters' input, in training.
        target_modules: Names of the modules that are adapted, as peft matches them.
    """

    r: int = 0
    alpha: float = 32.0
    dropout: float = 0.1
    target_modules: list[str] = field(default_factory=lambda: list(LORA_TARGETS))

    def __post_init__(self) -> None:
        if self.r < 0:
            raise ValueError(f"model.lora.r is {self.r}; a rank is at least 1, and 0 means no LoRA.")
        if self.r and not self.target_modules:
            raise ValueError("model.lora.target_modules is empty. Name the modules to adapt, such as q_proj.")


@dataclass(kw_only=True, frozen=True)
class ModelOptions:
    """Options that every task has.

    Args:
        backbone: Pretrained model: dnafm (the released 7B), dnafm_300m, dnafm_tiny (bundled), a folder or a Hub id.
        from_scratch: Take the backbone's architecture with fresh weights.
        config_overrides: Fields of DNAFMConfig to change, such as hidden_dropout.
        frozen: Train the head alone, which makes it a probe of the backbone's last layer.
        lora: Low-rank adapters; the backbone's other weights are frozen.
        gradient_checkpointing: Compute activations anew in the backward pass instead of storing them.
        dtype: Of the weights: float32, bfloat16, or auto for that of the checkpoint. In training, bf16 computation
            with weights in float32 is trainer.bf16.
        attn_implementation: Attention kernel.
        rope_implementation: Kernel of the rotary embedding.
        quantization: Arguments of a quantization config of transformers, with its quant_method, such as
            {"quant_method": "bitsandbytes", "load_in_4bit": true}.
        max_length: Longest input in tokens, special tokens included; by default the backbone's context.
        reverse_complement: augment reads half of the training sequences from the other strand; average does so, too,
            and averages the outputs of both strands in evaluation and prediction.
    """

    backbone: str = "dnafm_tiny"
    from_scratch: bool = False
    config_overrides: dict[str, Any] = field(default_factory=dict)
    frozen: bool = False
    lora: LoraOptions = field(default_factory=LoraOptions)
    gradient_checkpointing: bool = False
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    attn_implementation: str = "auto"
    rope_implementation: str = "auto"
    quantization: dict[str, Any] | None = None
    max_length: int | None = None
    reverse_complement: ReverseComplement = "none"

    def __post_init__(self) -> None:
        if self.frozen and self.lora.r:
            raise ValueError(f"model.frozen is set and model.lora.r is {self.lora.r}: choose one of the two.")
        if self.max_length is not None and self.max_length < 3:
            raise ValueError(f"model.max_length is {self.max_length}; [CLS], one base and the suffix are 3 tokens.")


@dataclass(kw_only=True, frozen=True)
class SequenceClassificationOptions(ModelOptions):
    """Options of `SequenceClassification`.

    Args:
        n_classes: Number of classes; by default that of the data or of the checkpoint.
        multilabel: Whether a sequence can be of several classes at once.
        pooling: What the head sees: the mean or the max over the tokens, or the [CLS] token; by default what the
            backbone's config says.
        classifier_hidden_size: Width of the head's hidden layer; 0 for none, so that with `frozen` it is a linear
            probe. By default what the backbone's config says.
    """

    n_classes: int | None = None
    multilabel: bool = False
    pooling: Pooling | None = None
    classifier_hidden_size: int | None = None


@dataclass(kw_only=True, frozen=True)
class SequenceRegressionOptions(ModelOptions):
    """Options of `SequenceRegression`.

    Args:
        n_outputs: Numbers that are predicted for a sequence; by default that of the data or of the checkpoint.
        pooling: What the head sees: the mean or the max over the tokens, or the [CLS] token; by default what the
            backbone's config says.
        classifier_hidden_size: Width of the head's hidden layer; 0 for none, so that with `frozen` it is a linear
            probe. By default what the backbone's config says.
    """

    n_outputs: int | None = None
    pooling: Pooling | None = None
    classifier_hidden_size: int | None = None


@dataclass(kw_only=True, frozen=True)
class TokenClassificationOptions(ModelOptions):
    """Options of `TokenClassification`.

    Args:
        n_classes: Number of classes; by default that of the data or of the checkpoint.
    """

    n_classes: int | None = None


@dataclass(kw_only=True, frozen=True)
class TokenRegressionOptions(ModelOptions):
    """Options of `TokenRegression`.

    Args:
        n_outputs: Tracks, the numbers that are predicted for a base; by default that of the data or of the
            checkpoint.
    """

    n_outputs: int | None = None


@dataclass(kw_only=True, frozen=True)
class PairwiseTokenClassificationOptions(ModelOptions):
    """Options of `PairwiseTokenClassification`.

    Args:
        n_classes: Number of classes of a pair of bases; by default that of the data or of the checkpoint.
    """

    n_classes: int | None = None


@dataclass(kw_only=True, frozen=True)
class MaskedLMOptions(ModelOptions):
    """Options of `MaskedLM`.

    Args:
        mlm_probability: Share of the bases that are masked.
        mask_share: Share of those that become [MASK].
        random_share: Share of those that become a random base; the rest stay as they are.
    """

    mlm_probability: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1


@dataclass(kw_only=True, frozen=True)
class DiffusionOptions(ModelOptions):
    """Options of `Diffusion`.

    Args:
        condition: What the labels of the data are, on which the model is conditioned: a class, or one or more values.
            With none, the data need no labels.
        condition_dropout: Share of the training sequences whose condition is left out, so that the model can be
            guided away from what it predicts without one.
    """

    condition: Condition = "none"
    condition_dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.condition_dropout < 1:
            raise ValueError(f"model.condition_dropout is {self.condition_dropout}; it must lie in [0, 1).")


@dataclass(kw_only=True, frozen=True)
class EmbedOptions(ModelOptions):
    """Options of `Embed`.

    Args:
        layer: Whose output is returned: -1 is the last one, after the final norm; 0 the embeddings.
        pooling: One vector for each sequence, over its bases without special tokens, instead of one for each token.
    """

    layer: int = -1
    pooling: Literal["none", "mean", "max", "cls"] = "none"
