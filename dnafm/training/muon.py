"""Muon for the matrices of the layers, AdamW for the rest.

Muon (Jordan et al., 2024) replaces the update of a matrix by the nearest orthogonal one. Its step is scaled to the
size of AdamW's (Liu et al., 2025, "Muon is scalable for LLM training"), so that one learning rate and one weight decay
serve both. It needs whole matrices, so it does not work on sharded ones.
"""

from collections.abc import Collection

from torch import nn
from torch.optim import AdamW, Muon, Optimizer


class MuonWithAdamW(Optimizer):
    """One optimizer made of two, with one state and one list of parameter groups.

    Args:
        muon: of parameters with two dimensions.
        adamw: of other parameters.
    """

    def __init__(self, muon: Muon, adamw: AdamW):
        self._parts: tuple[Optimizer, ...] = (muon, adamw)
        self._n_groups = [len(part.param_groups) for part in self._parts]
        # Schedules with a lowest rate look for the highest one among the defaults.
        super().__init__([group for part in self._parts for group in part.param_groups], {"lr": muon.defaults["lr"]})
        self._share()

    def step(self, closure=None):
        """Update all parameters once; returns what the closure returns, if there is one."""
        loss = None if closure is None else closure()
        for part in self._parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over a state of the same parameters."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Let the parts work on our groups, whose learning rates are scheduled, and our state, which is saved."""
        start = 0
        for part, n_groups in zip(self._parts, self._n_groups, strict=True):
            part.param_groups = self.param_groups[start : start + n_groups]
            part.state = self.state
            start += n_groups


def build_muon(
    model: nn.Module,
    decaying: Collection[str],
    *,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
) -> MuonWithAdamW:
    """Optimize the matrices within the layers with Muon, and embeddings, biases and norms with AdamW.

    Args:
        model: with a `model.layers`, as all of DNA FM have.
        decaying: names of the parameters that weight decay is for.
        learning_rate: of both.
        weight_decay: of both.
        betas: of AdamW; Muon's momentum is the larger one.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    matrices = {name for name, parameter in named if ".layers." in name and parameter.ndim == 2}
    muon = Muon(
        [parameter for name, parameter in named if name in matrices],
        lr=learning_rate,
        weight_decay=weight_decay,
        momentum=max(betas),
        adjust_lr_fn="match_rms_adamw",
    )
    others = [(name, parameter) for name, parameter in named if name not in matrices]
    groups = [
        {"params": [p for name, p in others if name in decaying], "weight_decay": weight_decay},
        {"params": [p for name, p in others if name not in decaying], "weight_decay": 0.0},
    ]
    return MuonWithAdamW(muon, AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=betas))
