"""Checkpoints of the reference code and of dnafm itself: reading both, and writing the layout of the former."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedModel
from transformers.utils import CONFIG_NAME

from dnafm.checkpoints.foreign import ForeignCheckpoint, shown, take_equal, without_prefix
from dnafm.checkpoints.weight_files import LazyTensor, read_weight_files
from dnafm.configuration_dnafm import RELEASED_FIELD_NAMES, RELEASED_MODEL_TYPE, DNAFMConfig
from dnafm.modeling_dnafm import (
    DNAFMForMaskedLM,
    DNAFMForPairwiseTokenClassification,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
)
from dnafm.released_dnafm import RELEASED_WEIGHT_NAMES

MODEL_CLASSES: dict[str, type[PreTrainedModel]] = {
    model_class.__name__: model_class
    for model_class in (
        DNAFMModel,
        DNAFMForMaskedLM,
        DNAFMForSequenceClassification,
        DNAFMForTokenClassification,
        DNAFMForPairwiseTokenClassification,
    )
}
DECODER_WEIGHT, DECODER_BIAS = "lm_head.decoder.weight", "lm_head.decoder.bias"
EMBEDDINGS = "model.embed_tokens.weight"
# A decoder's bias that the reference code stores twice.
_SECOND_BIAS = "cls.predictions.decoder.bias"
# Numbers that follow from the config, which old versions of transformers stored.
_NO_WEIGHTS = re.compile(r"(^|\.)(embeddings\.position_ids|rotary_pos_emb\.inv_freq)$")
# What the config.json of a released checkpoint has beside what is translated.
_REFERENCE_FIELDS = {
    "position_embedding_type": "rope",
    "tokenizer_type": "BertWordPieceLowerCase",
    "transformers_version": "4.38.0",
    "type_vocab_size": 2,
    "use_cache": True,
}
_SAME_FIELDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "initializer_range",
    "normalization_type",
    "layer_norm_eps",
    "pad_token_id",
    "tie_word_embeddings",
    "rotary_percent",
    "seq_len_interpolation_factor",
)
_LABEL_FIELDS = ("id2label", "label2id", "problem_type")


def read_hub_layout(folder: Path, *, pooling: str | None = None) -> ForeignCheckpoint:
    """Read a folder with a config.json, under the names of the reference code or those of dnafm.

    Args:
        folder: of the checkpoint.
        pooling: what a released head for sequences was trained on, `"cls"` or `"mean"`.

    Raises:
        OSError: a file is missing.
        ValueError: another architecture, tensors that are missing, left over, damaged or of a wrong shape, or an
            unknown pooling.
    """
    fields = read_config_file(folder)
    is_released = fields.get("model_type") == RELEASED_MODEL_TYPE
    config = config_of(fields, folder / CONFIG_NAME)
    stored = read_weight_files(folder)
    tensors = from_released_names(stored) if is_released else stored
    model_class = _model_class(config, tensors)
    if is_released and model_class is DNAFMForSequenceClassification:
        if pooling == "max":
            raise ValueError(f"--pooling max: the reference code has no such head, as that of {folder}; cls and mean.")
        config.classifier_pooling = required_pooling(pooling, folder)
    elif pooling is not None:
        raise ValueError(f"--pooling says how a released head for sequences was trained; {folder} has none.")
    tensors = drop_tied(tensors, config)
    if model_class is DNAFMModel:
        tensors = without_prefix(tensors, "model.") if is_released else tensors
    config.architectures = [model_class.__name__]
    kind = "released checkpoint" if is_released else "dnafm checkpoint"
    return ForeignCheckpoint(kind=kind, path=folder, config=config, model_class=model_class, tensors=tensors)


def read_config_file(folder: Path) -> dict[str, Any]:
    """Return what is in the config.json of a folder.

    Raises:
        OSError: there is none.
        ValueError: it is no JSON.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing. Is {folder} the folder of a checkpoint?")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: this is no JSON ({error}).") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: a JSON object is due, and this is a {type(fields).__name__}.")
    return fields


def config_of(fields: Mapping[str, Any], path: Path) -> DNAFMConfig:
    """Return the config that the fields of a config.json describe.

    Raises:
        ValueError: they are those of another architecture; the message names the file.
    """
    if fields.get("model_type") not in (DNAFMConfig.model_type, RELEASED_MODEL_TYPE):
        raise ValueError(f"{path}: model_type {fields.get('model_type')!r} is another architecture, and not DNA FM.")
    try:
        return DNAFMConfig.from_dict(dict(fields))
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise ValueError(f"{path}: {error}") from error


def from_released_names(stored: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Return the tensors under dnafm's names, those of a model with a head, and the decoder's bias once.

    Raises:
        ValueError: two biases of the decoder that differ, or names that are not the reference code's.
    """
    tensors = {key: tensor for key, tensor in stored.items() if not _NO_WEIGHTS.search(key)}
    if not any(key.startswith(("bert.", "cls.")) for key in tensors):  # an encoder that was saved alone
        tensors = {f"bert.{key}": tensor for key, tensor in tensors.items()}
    bias = tensors.get("cls.predictions.bias")
    if bias is None and _SECOND_BIAS in tensors:
        tensors["cls.predictions.bias"] = tensors.pop(_SECOND_BIAS)
    take_equal(tensors, _SECOND_BIAS, bias)
    translated = {_translated(key, RELEASED_WEIGHT_NAMES): tensor for key, tensor in tensors.items()}
    foreign = [tensor.place for key, tensor in translated.items() if key.startswith(("bert.", "cls."))]
    if foreign:
        raise ValueError(f"These are no names of the reference code: {shown(foreign)}.")
    return translated


def drop_tied(tensors: dict[str, LazyTensor], config: DNAFMConfig) -> dict[str, LazyTensor]:
    """Return the tensors without a decoder's weight that is the embeddings', and check that it is."""
    kept = dict(tensors)
    if config.tie_word_embeddings:
        take_equal(kept, DECODER_WEIGHT, kept.get(EMBEDDINGS))
    return kept


def required_pooling(pooling: str | None, path: Path) -> str:
    """Return the pooling, which no released file records.

    Raises:
        ValueError: there is none.
    """
    if pooling is None:
        raise ValueError(
            f"{path} has a head for sequences, and released checkpoints do not record what it was trained on. Say "
            "--pooling cls ([CLS], the reference code's default) or --pooling mean (pooling='mean_pooling')."
        )
    return pooling


def released_tensors(checkpoint: ForeignCheckpoint) -> dict[str, LazyTensor]:
    """Return the tensors under the reference code's names, tied entries included, as its models load them strictly."""
    tensors = dict(checkpoint.tensors)
    if checkpoint.model_class is DNAFMForMaskedLM:
        tensors.setdefault(DECODER_WEIGHT, tensors[EMBEDDINGS])
    prefix = "model." if checkpoint.model_class is DNAFMModel else ""
    renamed = {_translated(prefix + key, _DNAFM_WEIGHT_NAMES): tensor for key, tensor in tensors.items()}
    if checkpoint.model_class is DNAFMForMaskedLM:
        renamed[_SECOND_BIAS] = renamed["cls.predictions.bias"]
    return {key.removeprefix("bert.") if prefix else key: tensor for key, tensor in renamed.items()}


def released_config(checkpoint: ForeignCheckpoint) -> dict[str, Any]:
    """Return the config.json by which the reference code builds the model.

    Raises:
        ValueError: the reference code has no such model; the message names the field.
    """
    config, model_class = checkpoint.config, checkpoint.model_class
    _check_reference_has(checkpoint)
    fields = {name: getattr(config, name) for name in _SAME_FIELDS}
    fields |= {theirs: getattr(config, ours) for theirs, ours in RELEASED_FIELD_NAMES.items()}
    if model_class in (DNAFMForSequenceClassification, DNAFMForTokenClassification):
        fields |= {name: getattr(config, name) for name in _LABEL_FIELDS}
    architecture = model_class.__name__.replace("DNAFM", "RNABert")
    return {
        "architectures": [architecture],
        "model_type": RELEASED_MODEL_TYPE,
        "hidden_act": "swiglu",
        **fields,
        **_REFERENCE_FIELDS,
    }


def _check_reference_has(checkpoint: ForeignCheckpoint) -> None:
    config, model_class = checkpoint.config, checkpoint.model_class
    is_sequence_head = model_class is DNAFMForSequenceClassification
    rules = (
        (model_class is not DNAFMForPairwiseTokenClassification, "heads for pairs of bases"),
        (config.hidden_act == "silu", f"hidden_act {config.hidden_act!r} in its gated blocks"),
        (config.rope_theta == 10000, f"rotary embeddings of base {config.rope_theta}"),
        (not (is_sequence_head and config.classifier_pooling == "max"), "pooling by the maximum"),
        (not is_sequence_head or _has_standard_head(config), f"head for sequences {_head_text(config)}"),
    )
    for has, what in rules:
        if not has:
            raise ValueError(f"{checkpoint.path} cannot be written for the reference code: it has no {what}.")


def _has_standard_head(config: DNAFMConfig) -> bool:
    standard = DNAFMConfig(hidden_size=config.hidden_size, num_attention_heads=config.num_attention_heads)
    return (config.classifier_width, config.classifier_activation) == (
        standard.classifier_width,
        standard.classifier_activation,
    )


def _head_text(config: DNAFMConfig) -> str:
    width = config.classifier_width
    return f"with {width} hidden units and {config.classifier_activation}" if width else "without a hidden layer"


def _model_class(config: DNAFMConfig, tensors: Mapping[str, LazyTensor]) -> type[PreTrainedModel]:
    named = [MODEL_CLASSES[name] for name in config.architectures or () if name in MODEL_CLASSES]
    if named:
        return named[0]
    if any(key.startswith("lm_head.") for key in tensors):
        return DNAFMForMaskedLM
    if "classifier.out_proj.weight" in tensors:
        return DNAFMForSequenceClassification
    return DNAFMForTokenClassification if "classifier.weight" in tensors else DNAFMModel


def _translated(key: str, names: Mapping[str, str]) -> str:
    for pattern, replacement in names.items():
        translated, count = re.subn(pattern, replacement, key)
        if count:
            return translated
    return key


def _reversed(pattern: str, replacement: str) -> tuple[str, str]:
    r"""Turn a rule for names around: `^a\.(\d+)\.b` to `c.\1.d` becomes `^c\.(\d+)\.d` to `a.\1.b`."""
    back = re.escape(replacement).replace(r"\\1", r"(\d+)")
    return f"^{back}", pattern.removeprefix("^").replace(r"\.", ".").replace(r"(\d+)", r"\1")


_DNAFM_WEIGHT_NAMES = dict(_reversed(*rule) for rule in RELEASED_WEIGHT_NAMES.items())
