"""From the options of a task to its model and tokenizer."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.quantizers.auto import AutoQuantizationConfig
from transformers.utils import logging

from dnafm.checkpoints import backbone_location
from dnafm.configuration_dnafm import RELEASED_MODEL_TYPE, DNAFMConfig
from dnafm.tasks.options import LoraOptions, ModelOptions
from dnafm.tokenization_dnafm import DNAFMTokenizer
from dnafm.training.architectures import check_fits, enable_gradient_checkpointing
from dnafm.training.progress import quiet_transformers

logger = logging.get_logger(f"transformers.{__name__}")


def build_config(options: ModelOptions, head: Mapping[str, Any]) -> DNAFMConfig:
    """Return the config of the backbone with overrides and the head's fields in it.

    Raises:
        OSError: the backbone is nowhere to be found.
        ValueError: an override is no field of the config, or does not fit.
    """
    overrides = dict(options.config_overrides)
    if clash := sorted(overrides.keys() & head.keys()):
        raise ValueError(f"model.config_overrides sets {clash}, which the task's own options say.")
    known = DNAFMConfig().to_dict().keys() | {"rotary_percent", "seq_len_interpolation_factor", "num_labels"}
    if unknown := sorted(overrides.keys() - known):
        raise ValueError(f"model.config_overrides: DNAFMConfig has no field {', '.join(map(repr, unknown))}.")
    config = DNAFMConfig.from_pretrained(backbone_location(options.backbone))
    if not options.from_scratch:
        check_fits(config, overrides)
    return DNAFMConfig.from_dict({**config.to_dict(), **overrides, **head})


def build_tokenizer(options: ModelOptions, config: DNAFMConfig) -> DNAFMTokenizer:
    """Return the backbone's tokenizer; released checkpoints have none, and their sequences end in `[SEP]`.

    Its `model_max_length` is the longest input of the task.

    Raises:
        ValueError: `max_length` is over the context of the backbone.
    """
    longest = config.max_position_embeddings
    if options.max_length is not None and options.max_length > longest:
        raise ValueError(f"model.max_length is {options.max_length}; the backbone's context has {longest} tokens.")
    longest = options.max_length or longest
    location = backbone_location(options.backbone)
    if _is_released(location):
        return DNAFMTokenizer(suffix_token="[SEP]", model_max_length=longest)
    return DNAFMTokenizer.from_pretrained(location, model_max_length=longest)


def build_model(model_class: type[PreTrainedModel], options: ModelOptions, config: DNAFMConfig) -> PreTrainedModel:
    """Return the model in evaluation mode: pretrained or fresh, with what is not to be trained frozen.

    A head of another size than the checkpoint's is fresh.

    Raises:
        OSError: the backbone is nowhere to be found.
        ValueError: the options cannot be had together, or LoRA matches no module.
        ImportError: LoRA or the quantization needs a package that is missing.
    """
    config.rope_implementation = options.rope_implementation
    if options.from_scratch:
        model = _fresh_model(model_class, options, config)
    else:
        model = _pretrained_model(model_class, options, config)
    if options.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    if options.frozen:
        model.base_model.requires_grad_(False)
    return add_lora(model, options.lora).eval() if options.lora.r else model.eval()


def add_lora(model: PreTrainedModel, lora: LoraOptions) -> Any:
    """Wrap a model with low-rank adapters, and say how many modules they adapt; the task's head is trained whole.

    Returns:
        A `peft.PeftModel`.

    Raises:
        ImportError: peft is not installed.
        ValueError: no module has such a name.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("model.lora needs peft: pip install 'dnafm[train]'") from error
    backbone = [name for name, _ in model.base_model.named_modules()]
    if not any(name.rsplit(".", 1)[-1] in lora.target_modules for name in backbone):
        names = sorted({name.rsplit(".", 1)[-1] for name in backbone if name.endswith("_proj")})
        raise ValueError(
            f"model.lora.target_modules is {lora.target_modules}, which no module of the backbone is called; it has "
            f"{', '.join(names)}."
        )
    heads = [name for name, _ in model.named_children() if name != model.base_model_prefix]
    adapted = get_peft_model(
        model,
        LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(lora.target_modules),
            modules_to_save=[name for name in heads if any(True for _ in getattr(model, name).parameters())],
        ),
    )
    logger.info(f"LoRA of rank {lora.r} adapts {n_adapted_modules(adapted)} modules.")
    return adapted


def n_adapted_modules(model: torch.nn.Module) -> int:
    """Return how many modules carry low-rank adapters."""
    return sum(hasattr(module, "lora_A") for module in model.modules())


def _fresh_model(model_class: type[PreTrainedModel], options: ModelOptions, config: DNAFMConfig) -> PreTrainedModel:
    if options.quantization is not None:
        raise ValueError("model.from_scratch and model.quantization: quantized weights cannot be trained.")
    dtype = torch.float32 if options.dtype == "auto" else getattr(torch, options.dtype)
    return model_class._from_config(config, dtype=dtype, attn_implementation=options.attn_implementation)


def _pretrained_model(
    model_class: type[PreTrainedModel], options: ModelOptions, config: DNAFMConfig
) -> PreTrainedModel:
    location = backbone_location(options.backbone)
    # That the head is fresh goes without saying; what else is missing is checked here.
    with quiet_transformers(keep_warnings=False):
        model, report = model_class.from_pretrained(
            location,
            config=config,
            dtype=options.dtype,
            attn_implementation=options.attn_implementation,
            ignore_mismatched_sizes=DNAFMConfig.from_pretrained(location).num_labels != config.num_labels,
            output_loading_info=True,
            **_quantization(options),
        )
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    if lacking := sorted(key for key in report["missing_keys"] if key.startswith(prefix)):
        raise ValueError(f"{location} lacks weights of the backbone, such as {lacking[0]}. Is it a DNA FM checkpoint?")
    return model


def _quantization(options: ModelOptions) -> dict[str, Any]:
    if options.quantization is None:
        return {}
    return {"quantization_config": AutoQuantizationConfig.from_dict(dict(options.quantization))}


def _is_released(location: str) -> bool:
    fields, _ = PreTrainedConfig.get_config_dict(location)
    return fields.get("model_type") == RELEASED_MODEL_TYPE
