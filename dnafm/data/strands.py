"""Reading a batch from the other strand, and bringing what the model says about it back."""

import torch
from torch import Tensor

from dnafm.tokenization_dnafm import VOCABULARY

EDGE_IDS = [VOCABULARY.index(token) for token in ("[PAD]", "[CLS]", "[SEP]", "[BOS]", "[EOS]")]
# Of each token the one on the other strand: itself, but for bases.
COMPLEMENT_IDS = list(range(len(VOCABULARY)))
for _base, _partner in ("AT", "CG", "GC", "TA", "UA"):
    COMPLEMENT_IDS[VOCABULARY.index(_base)] = VOCABULARY.index(_partner)


def strand_permutation(input_ids: Tensor) -> Tensor:
    """Return where each token goes on the other strand: (batch, length) int64 indices, those of edges their own.

    Args:
        input_ids: (batch, length) ids of bases, with special tokens and padding at the edges only.
    """
    places = torch.arange(input_ids.shape[1], device=input_ids.device)
    is_inner = torch.isin(input_ids, torch.tensor(EDGE_IDS, device=input_ids.device), invert=True)
    first = is_inner.int().argmax(dim=1, keepdim=True)
    last = first + is_inner.sum(dim=1, keepdim=True) - 1
    return torch.where(is_inner, first + last - places, places.expand_as(input_ids))


def other_strand(input_ids: Tensor) -> Tensor:
    """Return the ids of the reverse complements, (batch, length); edges and padding stay where they are."""
    complement = torch.tensor(COMPLEMENT_IDS, device=input_ids.device)
    return complement[input_ids.gather(1, strand_permutation(input_ids))]


def flip_tokens(values: Tensor, input_ids: Tensor) -> Tensor:
    """Bring (batch, length, ...) values of the other strand's tokens into the order of these."""
    places = strand_permutation(input_ids)
    places = places.reshape(*places.shape, *[1] * (values.dim() - 2))
    return values.gather(1, places.expand_as(values))


def complement_vocabulary(logits: Tensor) -> Tensor:
    """Exchange the logits of complementary bases, (..., vocabulary)."""
    indices = list(range(logits.shape[-1]))
    indices[: len(COMPLEMENT_IDS)] = COMPLEMENT_IDS[: len(indices)]
    # T is the partner of A, and nothing that of U, which the model never sees.
    indices[VOCABULARY.index("U")] = VOCABULARY.index("U")
    return logits[..., indices]
