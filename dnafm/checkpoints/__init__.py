"""Where weights come from."""

from dnafm.checkpoints.backbones import BACKBONES, backbone_location
from dnafm.checkpoints.convert import read_checkpoint, write_checkpoint

__all__ = ["BACKBONES", "backbone_location", "read_checkpoint", "write_checkpoint"]
