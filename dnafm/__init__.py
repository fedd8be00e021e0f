"""DNA FM, a genome foundation model, in Hugging Face Transformers.

Importing the package registers configuration, tokenizer, encoder and heads with the Auto classes of transformers.
"""

from importlib import import_module
from typing import Any

from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from .conditioning_dnafm import DNAFMConditioning, encode_conditions
from .configuration_dnafm import RELEASED_MODEL_TYPE, DNAFMConfig
from .kernels_dnafm import KernelChoice, KernelReport
from .modeling_dnafm import (
    DNAFMForMaskedLM,
    DNAFMForPairwiseTokenClassification,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
    DNAFMPreTrainedModel,
)
from .tokenization_dnafm import DNAFMTokenizer
from .version import __version__

AutoConfig.register(DNAFMConfig.model_type, DNAFMConfig)
# `AutoConfig.register` takes the model type of the class alone; this one reads two.
CONFIG_MAPPING.register(RELEASED_MODEL_TYPE, DNAFMConfig)
AutoTokenizer.register(DNAFMConfig, fast_tokenizer_class=DNAFMTokenizer)
AutoModel.register(DNAFMConfig, DNAFMModel)
AutoModelForPreTraining.register(DNAFMConfig, DNAFMForMaskedLM)
AutoModelForMaskedLM.register(DNAFMConfig, DNAFMForMaskedLM)
AutoModelForSequenceClassification.register(DNAFMConfig, DNAFMForSequenceClassification)
AutoModelForTokenClassification.register(DNAFMConfig, DNAFMForTokenClassification)

__all__ = [
    "DNAFMConditioning",
    "DNAFMConfig",
    "DNAFMForMaskedLM",
    "DNAFMForPairwiseTokenClassification",
    "DNAFMForSequenceClassification",
    "DNAFMForTokenClassification",
    "DNAFMModel",
    "DNAFMPreTrainedModel",
    "DNAFMTokenizer",
    "KernelChoice",
    "KernelReport",
    "__version__",
    "encode_conditions",
]

# Functions that are imported where they are first asked for, and where they are.
_FUNCTIONS = {
    "annotate": "dnafm.analysis.annotation",
    "embed": "dnafm.analysis.embeddings",
    "generate": "dnafm.analysis.designing",
    "iter_embeddings": "dnafm.analysis.embeddings",
}
# Modules by the names under which they are found here.
_MODULES = {"mine": "dnafm.analysis.mining"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FUNCTIONS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS, *_MODULES})
