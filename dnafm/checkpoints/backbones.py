"""Backbones by name."""

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

# Name: folder below dnafm/assets for the one that comes with the package, or Hub id.
BACKBONES: Mapping[str, str] = MappingProxyType(
    {
        "dnafm": "genbio-ai/AIDO.DNA-7B",
        "dnafm_300m": "genbio-ai/AIDO.DNA-300M",
        "dnafm_tiny": "assets/tiny",
    }
)


def backbone_location(name: str) -> str:
    """Return what `from_pretrained` takes for a backbone: a folder or a Hub id.

    Args:
        name: a key of `BACKBONES`; anything else, such as a path or a Hub id, is returned as it is.
    """
    location = BACKBONES.get(name, name)
    if name in BACKBONES and location.startswith("assets/"):
        return str(resources.files("dnafm") / location)
    return location
