"""Loading backbones by name: the config, a model all of whose weights are there, and the tokenizer."""

from typing import Any, TypeVar

import torch
from transformers import PreTrainedModel

from dnafm.checkpoints.backbones import BACKBONES, backbone_location
from dnafm.configuration_dnafm import DNAFMConfig
from dnafm.tokenization_dnafm import DNAFMTokenizer
from dnafm.training.progress import quiet_transformers

ModelT = TypeVar("ModelT", bound=PreTrainedModel)


def load_backbone(
    model_class: type[ModelT], name: str, *, dtype: str | torch.dtype = "float32"
) -> tuple[ModelT, DNAFMTokenizer]:
    """Return a model in evaluation mode, on the CPU, and its tokenizer.

    Args:
        model_class: the Hub class; its head must be in the checkpoint.
        name: a key of `BACKBONES`, a folder, or a Hub id.
        dtype: of the weights; `"auto"` for that of the checkpoint.

    Raises:
        OSError: there is no such checkpoint.
        ValueError: it lacks weights of the model.
    """
    config = load_config(name)
    model: Any = load_model(model_class, name, config=config, dtype=dtype)
    return model.eval(), load_tokenizer(name, model_max_length=config.max_position_embeddings)


def load_config(name: str) -> DNAFMConfig:
    """Return the config of a backbone.

    Raises:
        OSError: there is no such checkpoint.
    """
    try:
        return DNAFMConfig.from_pretrained(backbone_location(name))
    except OSError as error:
        raise OSError(f"{_not_found(name)}: {error}") from error


def load_tokenizer(name: str, *, model_max_length: int) -> DNAFMTokenizer:
    """Return the tokenizer of a backbone; released checkpoints have none, and their sequences end in `[SEP]`."""
    return DNAFMTokenizer.from_pretrained(backbone_location(name), model_max_length=model_max_length)


def load_model(
    model_class: type[ModelT], name: str, *, config: DNAFMConfig, fresh_head: bool = False, **options: Any
) -> ModelT:
    """Return a pretrained model.

    Args:
        model_class: the Hub class.
        name: of the backbone.
        config: of the model.
        fresh_head: whether a head that the checkpoint lacks, or has in another size, may be fresh.
        **options: of `from_pretrained`.

    Raises:
        ValueError: the checkpoint lacks weights, or its head has a layer more.
    """
    location = backbone_location(name)
    # What is missing is checked here.
    with quiet_transformers(keep_warnings=False):
        loaded: Any = model_class.from_pretrained(
            location, config=config, ignore_mismatched_sizes=True, output_loading_info=True, **options
        )
    model, report = loaded
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    # Of a mismatched one there are the name and both shapes.
    lacking = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if of_backbone := [key for key in lacking if key.startswith(prefix)]:
        raise ValueError(
            f"{location} lacks weights of the backbone, such as {of_backbone[0]} in the shape that its config says. "
            "Is it a DNA FM checkpoint?"
        )
    if lacking and not fresh_head:
        raise ValueError(
            f"{location} lacks weights of {model_class.__name__}, such as {lacking[0]}: it is a checkpoint of another "
            "kind. Build a task on it with from_config, and train that."
        )
    # A projection without the hidden layer before it would have the shape that is due, and be of no use.
    left_over = [key for key in sorted(report["unexpected_keys"]) if key.startswith("classifier.")]
    if left_over and hasattr(model, "classifier") and not any(key.startswith("classifier.") for key in lacking):
        raise ValueError(
            f"{location} has {left_over[0]}, a layer of its head that this model lacks, with "
            f"classifier_hidden_size={config.classifier_hidden_size}. Leave classifier_hidden_size as the checkpoint "
            "has it, or begin from a backbone without a head."
        )
    return model


def _not_found(name: str) -> str:
    if name in BACKBONES:
        return f"The backbone {name!r} is {BACKBONES[name]}, which is not to be had from the Hub"
    return (
        f"The backbone {name!r} is neither {', '.join(BACKBONES)}, nor the folder of a checkpoint, nor to be had from "
        "the Hub"
    )
