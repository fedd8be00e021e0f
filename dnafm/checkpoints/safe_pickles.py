"""Pickles of torch, read without running what is in them."""

import argparse
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

# What torch says where a pickle names something that it does not know to be harmless.
_FORBIDDEN = re.compile(
    r"GLOBAL (\S+)|instantiate type <?(?:class )?'?([\w.]+)|allowed in the `WeightsUnpickler`: (\S+)"
)
_DAMAGES = (RuntimeError, EOFError, KeyError, IndexError, ValueError, AttributeError, TypeError)


def load_pickle(path: Path) -> Any:
    """Read tensors and plain values; tensors stay in the file until they are used.

    Beside what torch allows by itself, `argparse.Namespace` may be in it, in which Megatron-LM keeps its arguments.

    Raises:
        ValueError: the file holds anything else, which could run as code, or is damaged.
        OSError: the file cannot be read.
    """
    with path.open("rb"):  # torch reports an unreadable file in many ways
        pass
    # Only the format of today can be mapped into memory.
    is_archive = zipfile.is_zipfile(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal(path, str(error))) from error
    except _DAMAGES as error:
        raise ValueError(_damage(path, str(error))) from error


def _refusal(path: Path, reason: str) -> str:
    found = _FORBIDDEN.search(reason)
    if found is None:
        return _damage(path, reason)
    name = next(group for group in found.groups() if group)
    return (
        f"{path}: the pickle names {name}, which could run code while it is read; nothing of the file was used. If "
        "you trust who wrote it, load it where that program is installed, and save its tensors and plain values again."
    )


def _damage(path: Path, reason: str) -> str:
    first = reason.strip().splitlines()[0] if reason.strip() else "it ends too early"
    return f"{path}: this is no file of torch.save, or it was cut ({first}). Was the download complete?"
