"""DNA FM, a genome foundation model, in Hugging Face Transformers.

Importing the package registers configuration, tokenizer, encoder and heads with the Auto classes of transformers.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from .configuration_dnafm import DNAFMConfig
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
AutoTokenizer.register(DNAFMConfig, fast_tokenizer_class=DNAFMTokenizer)
AutoModel.register(DNAFMConfig, DNAFMModel)
AutoModelForPreTraining.register(DNAFMConfig, DNAFMForMaskedLM)
AutoModelForMaskedLM.register(DNAFMConfig, DNAFMForMaskedLM)
AutoModelForSequenceClassification.register(DNAFMConfig, DNAFMForSequenceClassification)
AutoModelForTokenClassification.register(DNAFMConfig, DNAFMForTokenClassification)

__all__ = [
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
]
