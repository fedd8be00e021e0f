"""Where weights come from."""

from dnafm.checkpoints.backbones import BACKBONES, backbone_location

__all__ = ["BACKBONES", "backbone_location"]
