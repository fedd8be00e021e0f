"""The model card of a converted checkpoint: what it is, where it comes from, and whose licence holds."""

import textwrap

from dnafm.checkpoints.foreign import ForeignCheckpoint
from dnafm.modeling_dnafm import HUB_TAGS
from dnafm.version import __version__

RELEASED_OWNER = "genbio-ai"
# Model class: (class of transformers that loads it, task of the Hub).
LOADERS = {
    "DNAFMModel": ("AutoModel", "feature-extraction"),
    "DNAFMForMaskedLM": ("AutoModelForMaskedLM", "fill-mask"),
    "DNAFMForSequenceClassification": ("AutoModelForSequenceClassification", "text-classification"),
    "DNAFMForTokenClassification": ("AutoModelForTokenClassification", "token-classification"),
}
_LICENCE = """\
The weights come from the source, and so does their licence: a change of format changes neither. Those that GenBio
released (`genbio-ai/AIDO.DNA-*`), and what was trained from them, are under GenBio's own community licence, which is
non-commercial. dnafm itself is under Apache 2.0 and contains none of these weights.
"""


def converted_card(checkpoint: ForeignCheckpoint, *, name: str, origin: str, is_released_layout: bool) -> str:
    """Return the text of README.md for a converted checkpoint.

    Args:
        checkpoint: that was converted.
        name: of the new checkpoint.
        origin: what the user called the source.
        is_released_layout: whether it was written for the reference code.
    """
    is_of_genbio = origin.startswith(f"{RELEASED_OWNER}/")
    layout = "the layout of the reference code (`rnabert`)" if is_released_layout else "dnafm's layout"
    source = f"`{origin}`" if is_of_genbio else f"a {checkpoint.kind}"
    what = f"Converted from {source} by dnafm {__version__}, in {layout}, as `{checkpoint.model_class.__name__}`."
    lines = [
        *_front_matter(checkpoint, base_model=origin if is_of_genbio else None),
        f"# {name}",
        "",
        *textwrap.wrap(f"{what} Nothing was trained or measured in the conversion.", 120),
        "",
        *textwrap.wrap(_architecture(checkpoint), 120),
        "",
        *_usage(checkpoint, name, is_released_layout=is_released_layout),
        "",
        "## Licence",
        "",
        _LICENCE,
    ]
    return "\n".join(lines)


def _front_matter(checkpoint: ForeignCheckpoint, *, base_model: str | None) -> list[str]:
    _, task = LOADERS.get(checkpoint.model_class.__name__, (None, None))
    lines = ["---", "library_name: transformers", "tags:", *(f"- {tag}" for tag in HUB_TAGS)]
    if base_model is not None:
        lines += ["license: other", "license_name: genbio-ai-community-license", f"base_model: {base_model}"]
    if task is not None:
        lines.append(f"pipeline_tag: {task}")
    return [*lines, "---", ""]


def _architecture(checkpoint: ForeignCheckpoint) -> str:
    config = checkpoint.config
    n_parameters = sum(tensor.n_values for tensor in checkpoint.tensors.values())
    return (
        f"{n_parameters:,} parameters: {config.num_hidden_layers} layers, width {config.hidden_size:,}, "
        f"{config.num_attention_heads} heads, feed-forward width {config.intermediate_size:,}, context "
        f"{config.max_position_embeddings:,} tokens."
    )


def _usage(checkpoint: ForeignCheckpoint, name: str, *, is_released_layout: bool) -> list[str]:
    model_class = checkpoint.model_class.__name__
    loader, _ = LOADERS.get(model_class, (model_class, None))
    imports = [f"from transformers import {loader}, AutoTokenizer"]
    if not loader.startswith("Auto"):
        imports = [f"from dnafm import {loader}", "from transformers import AutoTokenizer"]
    pooling = ""
    if is_released_layout and model_class == "DNAFMForSequenceClassification":
        pooling = f', classifier_pooling="{checkpoint.config.classifier_pooling}"'
    return [
        "```py",
        "import dnafm  # pip install dnafm",
        *imports,
        "",
        f'model = {loader}.from_pretrained("{name}"{pooling})',
        f'tokenizer = AutoTokenizer.from_pretrained("{name}")',
        "```",
    ]
