"""Fine-tunes of the reference code: `.ckpt` files of Lightning with `backbone.encoder.*` and `adapter.*`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from dnafm.checkpoints.foreign import ForeignCheckpoint, shown, take_equal, without_prefix
from dnafm.checkpoints.low_rank import merge_low_rank
from dnafm.checkpoints.released import drop_tied, from_released_names, required_pooling
from dnafm.checkpoints.safe_pickles import load_pickle
from dnafm.checkpoints.weight_files import LazyTensor, in_memory
from dnafm.configuration_dnafm import DNAFMConfig
from dnafm.modeling_dnafm import (
    DNAFMForMaskedLM,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
)

# Heads of the released models by hidden size, layers and feed-forward width: shapes do not tell them.
_KNOWN_HEADS = {(4352, 32, 11584): 32, (1024, 24, 2688): 16}
_POOLINGS = {"cls_pooling": "cls", "mean_pooling": "mean"}
_POOLINGS_OF_ADAPTERS = {"LinearCLSAdapter": "cls", "LinearMeanPoolAdapter": "mean", "LinearMaxPoolAdapter": "max"}
# Modules of torch.nn and their names in transformers; without parameters of their own.
_ACTIVATIONS = {"Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "SiLU": "silu", "Sigmoid": "sigmoid"}
# Names within an adapter, `weight` or `bias` left out, and those of the head that computes the same.
_SEQUENCE_HEADS: tuple[dict[str, str], ...] = (
    {"dense.": "classifier.dense.", "out_proj.": "classifier.out_proj."},  # of the backbone's own class
    {"mlp.1.": "classifier.dense.", "mlp.4.": "classifier.out_proj."},  # MLPPoolAdapter with one hidden layer
    {"mlp.1.": "classifier.dense.", "mlp.3.": "classifier.out_proj."},  # without dropout in the middle
    {"mlp.1.": "classifier.out_proj."},  # without a hidden layer
    {"linear.": "classifier.out_proj."},  # LinearCLSAdapter, LinearMeanPoolAdapter, LinearMaxPoolAdapter
)
_TOKEN_HEADS: tuple[dict[str, str], ...] = (
    {"": "classifier."},  # of the backbone's own class
    {"1.": "classifier."},  # LinearAdapter
)


def read_fine_tune(
    path: Path, *, base: ForeignCheckpoint | None = None, pooling: str | None = None
) -> ForeignCheckpoint:
    """Read a checkpoint that the reference code's tasks wrote.

    Args:
        path: of the `.ckpt` file.
        base: what it began from: tells the config, and has the weights that a file of adapters alone, or of a
            frozen backbone, lacks.
        pooling: of a head for sequences, `"cls"`, `"mean"` or `"max"`, where the file does not tell.

    Returns:
        A `ForeignCheckpoint`.

    Raises:
        OSError: the file cannot be read.
        ValueError: keys that correspond to nothing in dnafm, or weights that are missing; the message names them.
    """
    content = load_pickle(path)
    if not isinstance(content, Mapping) or not isinstance(content.get("state_dict"), Mapping):
        raise ValueError(f"{path}: no checkpoint of Lightning, which has a state_dict.")
    stored = {key: in_memory(_as_tensor(t, path, key), f"{path}: {key}") for key, t in content["state_dict"].items()}
    recorded = content.get("hyper_parameters")
    settings = recorded if isinstance(recorded, Mapping) else {}
    encoder, adapter = _split(stored, path)
    if any("lora_" in key for key in encoder) or base is not None:
        encoder = merge_low_rank(encoder, base, _setting(settings, "backbone", "lora_alpha"), path)
    else:
        encoder = from_released_names(encoder)
    if not encoder:
        raise ValueError(f"{path} holds no weights of the backbone, which was frozen. Say what it is by --base.")
    head, model_class = _head(adapter, path)
    config = _config(encoder, base, settings, path)
    _configure_head(config, model_class, head, settings)
    if model_class is DNAFMForSequenceClassification:
        config.classifier_pooling = pooling or _pooling(settings) or required_pooling(None, path)
        _configure_hidden_layer(config, head, settings, path)
    elif pooling is not None:
        raise ValueError(f"--pooling says how a head for sequences was trained; {path} has none.")
    if model_class is DNAFMModel:
        encoder = without_prefix(encoder, "model.")
    config.architectures = [model_class.__name__]
    tensors = drop_tied({**encoder, **head}, config)
    return ForeignCheckpoint(
        kind="fine-tune of the reference code", path=path, config=config, model_class=model_class, tensors=tensors
    )


def _as_tensor(value: Any, path: Path, key: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise ValueError(f"{path}: {key} is a {type(value).__name__}, and no tensor.")
    return value


def _split(stored: Mapping[str, LazyTensor], path: Path) -> tuple[dict[str, LazyTensor], dict[str, LazyTensor]]:
    """Return what is the encoder's and what is the adapter's, without their prefixes."""
    encoder = without_prefix(stored, "backbone.encoder.")
    encoder = {key.removeprefix("base_model.model."): tensor for key, tensor in encoder.items()}
    adapter = without_prefix(stored, "adapter.")
    # The head of the backbone's own class is stored under both names.
    decoder = without_prefix(stored, "backbone.decoder.")
    for key in list(decoder):
        if key in adapter:
            take_equal(decoder, key, adapter[key])
    known = ("backbone.encoder.", "adapter.", "backbone.decoder.")
    strays = [key for key in stored if not key.startswith(known)] + [f"backbone.decoder.{key}" for key in decoder]
    if strays:
        raise ValueError(f"{path}: these keys are neither of the backbone nor of its adapter: {shown(strays)}.")
    return encoder, adapter


def _head(adapter: Mapping[str, LazyTensor], path: Path) -> tuple[dict[str, LazyTensor], type[PreTrainedModel]]:
    """Return the head's tensors by dnafm's names, and the class that computes what the adapter does."""
    if not adapter:
        return {}, DNAFMModel
    if any(key.startswith("predictions.") for key in adapter):
        return from_released_names({f"cls.{key}": tensor for key, tensor in adapter.items()}), DNAFMForMaskedLM
    for heads, model_class in (
        (_SEQUENCE_HEADS, DNAFMForSequenceClassification),
        (_TOKEN_HEADS, DNAFMForTokenClassification),
    ):
        for names in heads:
            ours = {
                f"{theirs}{kind}": f"{name}{kind}" for theirs, name in names.items() for kind in ("weight", "bias")
            }
            if adapter.keys() == ours.keys():
                return {ours[key]: tensor for key, tensor in adapter.items()}, model_class
    shapes = [f"adapter.{key} {tensor.shape}" for key, tensor in adapter.items()]
    raise ValueError(
        f"{path}: no head of dnafm computes what this adapter does: {shown(shapes)}. Those that correspond are the "
        "backbone's own heads (use_legacy_adapter), MLPPoolAdapter with at most one hidden layer, LinearCLSAdapter, "
        "LinearMeanPoolAdapter, LinearMaxPoolAdapter, and LinearAdapter."
    )


def _config(
    encoder: Mapping[str, LazyTensor], base: ForeignCheckpoint | None, settings: Mapping[str, Any], path: Path
) -> DNAFMConfig:
    """Return the config: that of the base, or what shapes and settings tell."""
    if base is not None:
        return DNAFMConfig.from_dict({**base.config.to_dict(), "architectures": None})
    embeddings, gate = encoder.get("model.embed_tokens.weight"), encoder.get("model.layers.0.mlp.gate_proj.weight")
    if embeddings is None or gate is None or len(embeddings.shape) != 2:
        raise ValueError(f"{path} lacks the embeddings or the first layer of the backbone. Say what it is by --base.")
    n_layers = 1 + max(int(key.split(".")[2]) for key in encoder if key.startswith("model.layers."))
    hidden_size, intermediate_size = embeddings.shape[1], gate.shape[0]
    overwrites = _setting(settings, "backbone", "config_overwrites") or {}
    n_heads = overwrites.get("num_attention_heads") or _KNOWN_HEADS.get((hidden_size, n_layers, intermediate_size))
    if n_heads is None:
        raise ValueError(
            f"{path} does not tell how many attention heads the backbone has. Say by --base what it began from."
        )
    return DNAFMConfig(
        vocab_size=embeddings.shape[0],
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        max_position_embeddings=overwrites.get("max_position_embeddings", 4000),
        normalization_type="LayerNorm" if "model.norm.bias" in encoder else "RMSNorm",
        linear_bias="model.layers.0.self_attn.q_proj.bias" in encoder,
    )


def _configure_head(
    config: DNAFMConfig,
    model_class: type[PreTrainedModel],
    head: Mapping[str, LazyTensor],
    settings: Mapping[str, Any],
) -> None:
    """Write the number of outputs and the kind of problem into the config."""
    if model_class in (DNAFMModel, DNAFMForMaskedLM):
        return
    last = "classifier.out_proj.bias" if model_class is DNAFMForSequenceClassification else "classifier.bias"
    config.num_labels = head[last].shape[0]
    if settings.get("multilabel"):
        config.problem_type = "multi_label_classification"
    elif "num_outputs" in settings:  # of the tasks that predict numbers
        config.problem_type = "regression"
    elif "n_classes" in settings:
        config.problem_type = "single_label_classification"


def _configure_hidden_layer(
    config: DNAFMConfig, head: Mapping[str, LazyTensor], settings: Mapping[str, Any], path: Path
) -> None:
    """Write the width of a head for sequences into the config, where it is not the usual one, and its activation."""
    dense = head.get("classifier.dense.weight")
    width = 0 if dense is None else dense.shape[0]
    if width != config.classifier_width:
        config.classifier_hidden_size = width
    named = _setting(settings, "adapter", "activation_layer")
    if named is None or dense is None:
        return
    activation = _ACTIVATIONS.get(str(named).rpartition(".")[2])
    if activation is None:
        raise ValueError(
            f"{path}: the adapter's activation_layer is {named}; dnafm's head for sequences has one of "
            f"{', '.join(_ACTIVATIONS)}."
        )
    config.classifier_activation = activation


def _pooling(settings: Mapping[str, Any]) -> str | None:
    adapter = settings.get("adapter")
    adapter_class = str(adapter.get("class_path")) if isinstance(adapter, Mapping) else ""
    if own := _POOLINGS_OF_ADAPTERS.get(adapter_class.rpartition(".")[2]):
        return own
    named = _setting(settings, "adapter", "pooling")
    named = named or (_setting(settings, "backbone", "model_init_args") or {}).get("pooling")
    return _POOLINGS.get(named) if isinstance(named, str) else None


def _setting(settings: Mapping[str, Any], part: str, name: str) -> Any:
    """Return what the command line of the reference code recorded of a class's arguments, or None."""
    found = settings.get(part)
    arguments = found.get("init_args") if isinstance(found, Mapping) else None
    return arguments.get(name) if isinstance(arguments, Mapping) else None
