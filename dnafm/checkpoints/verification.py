"""Whether a written checkpoint computes what its source computes."""

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from dnafm.checkpoints.foreign import ForeignCheckpoint
from dnafm.checkpoints.released import read_config_file
from dnafm.configuration_dnafm import RELEASED_MODEL_TYPE, DNAFMConfig
from dnafm.tokenization_dnafm import VOCABULARY

_N_SEQUENCES, _LENGTH, _SEED = 2, 64, 0
# Greatest difference of outputs, as a share of the greatest output: rounding of the weights, many layers deep.
_LIMITS = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}


@dataclass(frozen=True)
class Comparison:
    """Outputs of source and written checkpoint for a batch of random sequences.

    Attributes:
        max_difference: the greatest absolute one.
        limit: what it must not exceed, by the dtype of what was written.
        max_output: the greatest absolute output of the source.
    """

    max_difference: float
    limit: float
    max_output: float


def compare(checkpoint: ForeignCheckpoint, written: Path, *, dtype: torch.dtype) -> Comparison:
    """Run both on random sequences; each is in memory while it runs, one after the other.

    A released source is loaded by transformers from its own files; of any other, the tensors are put into the model
    as the reader gives them. Where what was written is of a wider dtype, the source computes in that one.

    Args:
        checkpoint: the source.
        written: folder of what was made of it.
        dtype: of what was written.

    Raises:
        ValueError: the outputs differ by more than the limit.
    """
    batch = _random_batch(checkpoint)
    before = _outputs(_widened(_source_model(checkpoint), dtype), batch)
    gc.collect()
    after = _outputs(_load(checkpoint, written), batch)
    highest = float(before.abs().max())
    comparison = Comparison(float((before - after).abs().max()), _LIMITS[dtype] * max(1.0, highest), highest)
    # NaN is no match either.
    if not comparison.max_difference <= comparison.limit:
        raise ValueError(
            f"The outputs of {checkpoint.path} and of what was written differ by {comparison.max_difference:.3g}; in "
            f"{dtype} at most {comparison.limit:.3g} is rounding. Nothing was kept."
        )
    return comparison


def _random_batch(checkpoint: ForeignCheckpoint) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(_SEED)
    length = min(_LENGTH, checkpoint.config.max_position_embeddings)
    bases = torch.tensor([VOCABULARY.index(base) for base in "ACGT"])
    ids = bases[torch.randint(0, len(bases), (_N_SEQUENCES, length), generator=generator)]
    mask = torch.ones_like(ids)
    mask[1, length // 2 :] = 0  # one of them is padded
    return {"input_ids": ids, "attention_mask": mask}


def _widened(model: Any, dtype: torch.dtype) -> PreTrainedModel:
    """Keep rounding in the source's own dtype out of the comparison with what is rounded less."""
    return model.to(dtype=torch.promote_types(model.dtype, dtype))


def _source_model(checkpoint: ForeignCheckpoint) -> PreTrainedModel:
    if checkpoint.kind == "released checkpoint":
        return _load(checkpoint, checkpoint.path)
    model = checkpoint.model_class(checkpoint.config)
    weights = {name: tensor.read() for name, tensor in checkpoint.tensors.items()}
    model.load_state_dict(weights, strict=False, assign=True)  # tied weights are stored once
    model.tie_weights()
    return model


def _load(checkpoint: ForeignCheckpoint, folder: Path) -> PreTrainedModel:
    config = DNAFMConfig.from_pretrained(folder)
    if read_config_file(folder)["model_type"] == RELEASED_MODEL_TYPE:
        config.classifier_pooling = checkpoint.config.classifier_pooling  # which is not in the file
    return checkpoint.model_class.from_pretrained(folder, config=config, dtype="auto")


def _outputs(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    with torch.inference_mode():
        outputs = model.eval()(**batch)[0].float()
    is_token = batch["attention_mask"].bool()
    if outputs.dim() == 4:  # pairs of tokens
        return outputs[is_token[:, :, None] & is_token[:, None]]
    return outputs[is_token] if outputs.dim() == 3 else outputs
