"""From the options of a task to its model and tokenizer."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.quantizers.auto import AutoQuantizationConfig
from transformers.utils import logging

from dnafm.checkpoints.loading import load_config, load_model, load_tokenizer
from dnafm.configuration_dnafm import DNAFMConfig
from dnafm.tasks.options import LoraOptions, ModelOptions
from dnafm.tokenization_dnafm import DNAFMTokenizer
from dnafm.training.architectures import check_fits, enable_gradient_checkpointing

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
    config = load_config(options.backbone)
    if not options.from_scratch:
        check_fits(config, overrides)
    return DNAFMConfig.from_dict({**config.to_dict(), **overrides, **head})


def build_tokenizer(options: ModelOptions, config: DNAFMConfig) -> DNAFMTokenizer:
    """Return the backbone's tokenizer.

    Its `model_max_length` is the longest input of the task.

    Raises:
        ValueError: `max_length` is over the context of the backbone.
    """
    longest = config.max_position_embeddings
    if options.max_length is not None and options.max_length > longest:
        raise ValueError(f"model.max_length is {options.max_length}; the backbone's context has {longest} tokens.")
    return load_tokenizer(options.backbone, model_max_length=options.max_length or longest)


def build_model(
    model_class: type[PreTrainedModel], options: ModelOptions, config: DNAFMConfig, *, fresh_head: bool = True
) -> PreTrainedModel:
    """Return the model in evaluation mode: pretrained or fresh, with what is not to be trained frozen.

    Args:
        model_class: the Hub class.
        options: of the task.
        config: of the model.
        fresh_head: whether a head that the checkpoint lacks, or has in another size, may be fresh.

    Raises:
        OSError: the backbone is nowhere to be found.
        ValueError: the options cannot be had together, LoRA matches no module, or the checkpoint lacks weights.
        ImportError: LoRA or the quantization needs a package that is missing.
    """
    config.rope_implementation = options.rope_implementation
    if options.from_scratch:
        model = _fresh_model(model_class, options, config)
    else:
        model = _pretrained_model(model_class, options, config, fresh_head=fresh_head)
    if options.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    if options.frozen:
        model.base_model.requires_grad_(False)
    return add_lora(model, options.lora).eval() if options.lora.r else model.eval()


def add_lora(model: PreTrainedModel, lora: LoraOptions) -> Any:
    """Wrap a model with low-rank adapters, and say how many modules they adapt.

    The task's head is trained whole, but for a module whose weight is tied to the embeddings.

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
    if not any(f".{name}".endswith(f".{target}") for name in backbone for target in lora.target_modules):
        names = sorted({name.rsplit(".", 1)[-1] for name in backbone if name.endswith("_proj")})
        raise ValueError(
            f"model.lora.target_modules is {lora.target_modules}, which no module of the backbone is called; it has "
            f"{', '.join(names)}."
        )
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a float will do
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        modules_to_save=_head_modules(model),
    )
    with warnings.catch_warnings():
        # peft reads a property by a name that newer releases of transformers warn of.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        adapted = get_peft_model(model, config)
    logger.info(f"LoRA of rank {lora.r} adapts {n_adapted_modules(adapted)} modules.")
    return adapted


def n_adapted_modules(model: torch.nn.Module) -> int:
    """Return how many modules carry low-rank adapters."""
    return sum(hasattr(module, "lora_A") for module in model.modules())


def _head_modules(model: PreTrainedModel) -> list[str]:
    """Return the names of the modules with weights of the head alone; peft would cut a copy of tied ones loose."""
    if model.base_model is model:
        return []
    of_backbone = {id(weight) for weight in model.base_model.parameters()}

    def names_in(module: torch.nn.Module, prefix: str) -> Iterator[str]:
        for name, child in module.named_children():
            weights = {id(weight) for weight in child.parameters()}
            if weights and not weights & of_backbone:
                yield f"{prefix}{name}"
            elif child is not model.base_model:
                yield from names_in(child, f"{prefix}{name}.")

    return list(names_in(model, ""))


def _fresh_model(model_class: type[PreTrainedModel], options: ModelOptions, config: DNAFMConfig) -> PreTrainedModel:
    if options.quantization is not None:
        raise ValueError("model.from_scratch and model.quantization: quantized weights cannot be trained.")
    dtype = torch.float32 if options.dtype == "auto" else getattr(torch, options.dtype)
    return model_class._from_config(config, dtype=dtype, attn_implementation=options.attn_implementation)


def _pretrained_model(
    model_class: type[PreTrainedModel], options: ModelOptions, config: DNAFMConfig, *, fresh_head: bool
) -> PreTrainedModel:
    return load_model(
        model_class,
        options.backbone,
        config=config,
        fresh_head=fresh_head,
        dtype=options.dtype,
        attn_implementation=options.attn_implementation,
        **_quantization(options),
    )


def _quantization(options: ModelOptions) -> dict[str, Any]:
    if options.quantization is None:
        return {}
    return {"quantization_config": AutoQuantizationConfig.from_dict(dict(options.quantization))}
