"""From a checkpoint of any kind to one of dnafm, or of the reference code."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HTTPError
from transformers.utils import CONFIG_NAME

from dnafm.checkpoints.backbones import backbone_location
from dnafm.checkpoints.converted_cards import converted_card
from dnafm.checkpoints.foreign import ForeignCheckpoint
from dnafm.checkpoints.lightning import read_fine_tune
from dnafm.checkpoints.megatron import is_megatron_folder, read_megatron
from dnafm.checkpoints.released import read_hub_layout, released_config, released_tensors
from dnafm.checkpoints.shard_writer import new_folder, write_shards
from dnafm.checkpoints.verification import Comparison, compare
from dnafm.checkpoints.weight_files import read_weight_files
from dnafm.tokenization_dnafm import DNAFMTokenizer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LAYOUTS = ("dnafm", "released")
# Files of a task that was trained with dnafm, which go with its weights.
_KEPT_FILES = ("task.json",)


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        folder: of the checkpoint.
        n_parameters: tied ones once.
        n_files: with tensors.
        comparison: of outputs, where it was asked for.
    """

    folder: Path
    n_parameters: int
    n_files: int
    comparison: Comparison | None


def read_checkpoint(
    source: str | Path, *, pooling: str | None = None, base: str | Path | None = None
) -> ForeignCheckpoint:
    """Read a checkpoint of dnafm, of the reference code, or of Megatron-LM; tensors stay in their files.

    Args:
        source: Hub id or folder of a released or a dnafm checkpoint, name of a backbone, folder of Megatron-LM, or
            the `.ckpt` of a fine-tune by the reference code.
        pooling: what a head for sequences was trained on, `"cls"`, `"mean"` or `"max"`, where the files do not tell.
        base: what a fine-tune began from, where its file does not hold all of it.

    Raises:
        OSError: a file is missing, or the Hub does not have it.
        ValueError: the checkpoint is another one than it should be, damaged, or not safe; file and key are named.
    """
    path = local_path(source)
    if path.is_file():
        return read_fine_tune(path, base=None if base is None else read_checkpoint(base), pooling=pooling)
    if base is not None:
        raise ValueError(f"--base says what a fine-tune (.ckpt) began from; {path} is a folder.")
    if is_megatron_folder(path):
        if pooling is not None:
            raise ValueError(f"--pooling is of heads for sequences; {path} is a masked language model.")
        return read_megatron(path)
    return read_hub_layout(path, pooling=pooling)


def write_checkpoint(
    checkpoint: ForeignCheckpoint,
    destination: str | Path,
    *,
    layout: Literal["dnafm", "released"] = "dnafm",
    dtype: torch.dtype | None = None,
    max_shard_size: str | int = "5GB",
    verify: bool = False,
    overwrite: bool = False,
    origin: str | None = None,
    on_progress: Callable[[int], object] = lambda n_bytes: None,
) -> Conversion:
    """Write config, weights in safetensors, tokenizer and model card; the folder appears when it is whole.

    Args:
        checkpoint: from `read_checkpoint`.
        destination: folder to make.
        layout: `"dnafm"`, or `"released"` for the names and the config of the reference code.
        dtype: of the tensors; None keeps their own.
        max_shard_size: of a file, which is also what is held in memory, as `"5GB"` or in bytes.
        verify: whether to compare the outputs of both for a random batch.
        overwrite: whether to replace a checkpoint.
        origin: what the source is called in the model card; by default the name of its folder.
        on_progress: called with the bytes of each tensor that was written.

    Raises:
        OSError: the folder exists, or cannot be written to.
        ValueError: the reference code has no such model, or the outputs differ.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; it is one of {', '.join(LAYOUTS)}.")
    destination = Path(destination)
    is_released = layout == "released"
    tensors = released_tensors(checkpoint) if is_released else checkpoint.tensors
    config = _config_fields(checkpoint, dtype, is_released=is_released)
    card = converted_card(
        checkpoint,
        name=destination.resolve().name,
        origin=origin or checkpoint.path.name,
        is_released_layout=is_released,
    )
    with new_folder(destination, overwrite=overwrite) as folder:
        (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n")
        _tokenizer(checkpoint).save_pretrained(folder)
        files = write_shards(folder, tensors, dtype=dtype, max_shard_size=max_shard_size, on_progress=on_progress)
        (folder / "README.md").write_text(card)
        if not is_released:
            _copy_kept_files(checkpoint, folder)
        comparison = compare(checkpoint, folder, dtype=dtype or _own_dtype(checkpoint)) if verify else None
    n_parameters = sum(tensor.n_values for tensor in checkpoint.tensors.values())
    return Conversion(destination, n_parameters, len(files), comparison)


def local_path(source: str | Path) -> Path:
    """Return where a checkpoint is on this machine; one of the Hub is fetched, safetensors before pickles.

    Raises:
        OSError: there is no such file or folder, or the Hub does not have it.
        ValueError: the text is neither a path nor a Hub id, or weights of the Hub are damaged.
    """
    location = backbone_location(str(source))
    if Path(location).exists():
        return Path(location)
    if isinstance(source, Path) or location.startswith((".", "/", "~")) or location.count("/") != 1:
        raise FileNotFoundError(f"{location}: there is no such file or folder, and this is no Hub id (OWNER/NAME).")
    folder = _fetched(location, "*.safetensors")
    try:
        read_weight_files(folder)
    except FileNotFoundError:
        # The weights are in pickles, whatever else is in safetensors; what is nowhere, their reader names.
        return _fetched(location, "*.bin")
    return folder


def _fetched(repo_id: str, kind: str) -> Path:
    try:
        return Path(snapshot_download(repo_id, allow_patterns=["*.json", kind]))
    except (OSError, HTTPError) as error:
        # Of the errors of the Hub, not all say which repository was asked for.
        raise OSError(f"{repo_id}: there is no such folder, and the Hub does not give it: {error}") from error


def _config_fields(checkpoint: ForeignCheckpoint, dtype: torch.dtype | None, *, is_released: bool) -> dict[str, Any]:
    """Return what is in config.json."""
    name = str(dtype or _own_dtype(checkpoint)).removeprefix("torch.")
    if is_released:
        return {**released_config(checkpoint), "torch_dtype": name}
    fields = json.loads(checkpoint.config.to_json_string())
    return {**fields, "dtype": name}


def _own_dtype(checkpoint: ForeignCheckpoint) -> torch.dtype:
    return next(iter(checkpoint.tensors.values())).dtype


def _tokenizer(checkpoint: ForeignCheckpoint) -> DNAFMTokenizer:
    # All that the reference code trained, Megatron-LM's pretraining included, saw sequences that end in [SEP].
    if (checkpoint.path / CONFIG_NAME).is_file():
        return DNAFMTokenizer.from_pretrained(checkpoint.path)
    return DNAFMTokenizer(suffix_token="[SEP]", model_max_length=checkpoint.config.max_position_embeddings)


def _copy_kept_files(checkpoint: ForeignCheckpoint, folder: Path) -> None:
    for name in _KEPT_FILES:
        if checkpoint.path.is_dir() and (checkpoint.path / name).is_file():
            shutil.copy(checkpoint.path / name, folder / name)
