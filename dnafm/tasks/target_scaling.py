"""Regression targets with a mean of 0 and a deviation of 1, and the way back.

Mean and deviation are the field `target_scaler` of the checkpoint's config: what the bare model returns is in
deviations from the mean, and tasks bring it back to the units of the data.
"""

from typing import Any

import torch
from torch import Tensor

from dnafm import DNAFMConfig
from dnafm.data.labels import TargetScaler


def scaler_fields(scaler: TargetScaler | None) -> dict[str, Any]:
    """Return the config's field, None without a scaler."""
    return {"target_scaler": None if scaler is None else {"mean": list(scaler.mean), "std": list(scaler.std)}}


def scaled(values: Tensor, config: DNAFMConfig) -> Tensor:
    """Standardise (..., outputs) numbers in the units of the data."""
    mean, std = _moments(values, config)
    return (values - mean) / std


def unscaled(values: Tensor, config: DNAFMConfig) -> Tensor:
    """Bring (..., outputs) standardised numbers back to the units of the data, float32.

    In bfloat16 a deviation of 1 would be lost beside a mean of 1000.
    """
    values = values.float()
    mean, std = _moments(values, config)
    return values * std + mean


def _moments(values: Tensor, config: DNAFMConfig) -> tuple[Tensor, Tensor]:
    scaler = getattr(config, "target_scaler", None) or {"mean": [0.0], "std": [1.0]}
    mean, std = (torch.tensor(scaler[name], dtype=values.dtype, device=values.device) for name in ("mean", "std"))
    return mean, std
