"""From the arguments that Megatron-LM keeps in a checkpoint to a config."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from dnafm.configuration_dnafm import DNAFMConfig
from dnafm.tokenization_dnafm import VOCABULARY

# What DNA FM has one kind of: the argument and the values that mean it; an argument that is absent means it, too.
_RULES: dict[str, tuple[Any, ...]] = {
    "use_mcore_models": (True,),
    "swiglu": (True,),
    "rotary_interleaved": (False,),
    "apply_layernorm_1p": (False,),
    "group_query_attention": (False,),
    "multi_latent_attention": (False,),
    "qk_layernorm": (False,),
    "num_experts": (None, 0),
    "virtual_pipeline_model_parallel_size": (None, 1),
    "normalization": ("LayerNorm", "RMSNorm"),
}


def config_from_arguments(arguments: Namespace, path: Path) -> DNAFMConfig:
    """Return the config of the masked language model that the arguments describe.

    Args:
        arguments: `args` of the checkpoint.
        path: the file that they are from, for errors.

    Raises:
        ValueError: an argument is missing, or means another architecture.
    """
    given = vars(arguments)
    for name, allowed in _RULES.items():
        if given.get(name, allowed[0]) not in allowed:
            expected = " or ".join(map(repr, allowed))
            raise ValueError(f"{path}: args.{name} is {given[name]!r}; DNA FM has {expected}.")
    _check_positions(given, path)
    hidden_size, n_heads = _required(given, path, "hidden_size"), _required(given, path, "num_attention_heads")
    if given.get("kv_channels") not in (None, hidden_size // n_heads):
        raise ValueError(f"{path}: args.kv_channels is {given['kv_channels']}; DNA FM has hidden_size / heads.")
    try:
        fields = {
            "vocab_size": _vocab_size(given, path),
            "hidden_size": hidden_size,
            "intermediate_size": _required(given, path, "ffn_hidden_size"),
            "num_hidden_layers": _required(given, path, "num_layers", "encoder_num_layers"),
            "num_attention_heads": n_heads,
            "max_position_embeddings": _required(given, path, "max_position_embeddings"),
            "normalization_type": given.get("normalization", "LayerNorm"),
            "layer_norm_eps": _required(given, path, "norm_epsilon", "layernorm_epsilon"),
            "linear_bias": _required(given, path, "add_bias_linear"),
            "attention_dropout": given.get("attention_dropout", 0.0),
            "hidden_dropout": given.get("hidden_dropout", 0.0),
            "tie_word_embeddings": not given.get("untie_embeddings_and_output_weights", False),
            "rope_theta": float(given.get("rotary_base", 10000)),
            "rotary_percent": given.get("rotary_percent", 1.0),
            "seq_len_interpolation_factor": given.get("rotary_seq_len_interpolation_factor"),
            "architectures": ["DNAFMForMaskedLM"],
        }
        return DNAFMConfig.from_dict(fields)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise ValueError(f"{path}: args describe no DNA FM: {error}") from error


def _check_positions(given: dict[str, Any], path: Path) -> None:
    kind = given.get("position_embedding_type", "rope" if given.get("use_rotary_position_embeddings") else "absolute")
    # Older releases said `absolute` beside the flag.
    if kind != "rope" and not given.get("use_rotary_position_embeddings"):
        raise ValueError(f"{path}: args.position_embedding_type is {kind!r}; DNA FM has 'rope'.")


def _vocab_size(given: dict[str, Any], path: Path) -> int:
    padded = _required(given, path, "padded_vocab_size")
    size = given.get("vocab_size") or len(VOCABULARY)
    if padded < size:
        raise ValueError(f"{path}: args.padded_vocab_size is {padded}; the vocabulary of DNA FM has {size} tokens.")
    return size


def _required(given: dict[str, Any], path: Path, *names: str) -> Any:
    for name in names:
        if given.get(name) is not None:
            return given[name]
    raise ValueError(f"{path}: args has no {' or '.join(names)}, which the architecture needs.")
