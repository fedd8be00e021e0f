"""The peer of the benchmarks: transformers' own ESMC, a padded encoder of the same shape."""

from transformers import EsmcConfig

from dnafm import DNAFMConfig

LAYERS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
SPECIAL = {"pad_token_id": 0, "mask_token_id": 1, "bos_token_id": 11, "eos_token_id": 12}


def esmc_config(config: DNAFMConfig) -> EsmcConfig:
    """Return the configuration of an ESMC of the same shape.

    DNA FM has biases and no query-key norms: what cannot be equal costs ESMC a few per mille.
    """
    shape = {name: getattr(config, name) for name in (*LAYERS, "vocab_size", "max_position_embeddings")}
    return EsmcConfig(**shape, **SPECIAL, attention_bias=True, mlp_bias=True)
