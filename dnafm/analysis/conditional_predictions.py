"""What a conditional masked language model says about bases under a condition, also guided by what it says without."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dnafm import encode_conditions
from dnafm.analysis.base_predictions import BasePredictor
from dnafm.conditioning_dnafm import check_condition


@dataclass(frozen=True)
class ConditionalPredictor(BasePredictor):
    """A masked language model that is asked about bases of sequences that have one condition.

    With a guidance scale w, logits are (1 + w) * conditional - w * unconditional, as in classifier-free guidance (Ho
    and Salimans, 2022, https://arxiv.org/abs/2207.12598): 0 is the conditional model, more goes further, and -1 is
    the unconditional one. Other than 0, the model is run twice.

    Args:
        condition: the name or the id of a class, a number, or a list of numbers in the units of the data.
        guidance_scale: w.

    Raises:
        ValueError: the model is unconditional, the condition is missing or unknown, or the scale is not finite.
    """

    condition: Any = None
    guidance_scale: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.guidance_scale):
            raise ValueError(f"guidance_scale is {self.guidance_scale}; it must be finite.")
        check_condition(self.model.config, self.condition)
        encode_conditions([self.condition], self.model.config)

    def read(self, input_ids: Tensor, attention_mask: Tensor, at: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the guided logits."""
        condition = encode_conditions([self.condition] * len(input_ids), self.model.config)
        embeddings = self.model.embed_conditioned(input_ids, condition, attention_mask=attention_mask)
        states = self.model.model(None, attention_mask, inputs_embeds=embeddings).last_hidden_state
        conditional = self.head_at(states, at)
        if self.guidance_scale == 0:
            return conditional
        # In bfloat16 the difference of near logits would be coarse.
        conditional, unconditional = conditional.float(), super().read(input_ids, attention_mask, at).float()
        return (1 + self.guidance_scale) * conditional - self.guidance_scale * unconditional
