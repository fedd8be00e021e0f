"""Which files of a checkpoint's folder go to the Hub, and what is in them."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from transformers.dynamic_module_utils import get_relative_import_files
from transformers.tokenization_utils_base import FULL_TOKENIZER_FILE, TOKENIZER_CONFIG_FILE
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from dnafm import modeling_dnafm, tokenization_dnafm
from dnafm.checkpoints.converted_cards import LOADERS
from dnafm.checkpoints.foreign import ForeignCheckpoint
from dnafm.checkpoints.model_cards import CARD_NAME, has_own_card, model_card
from dnafm.checkpoints.released import config_of, read_config_file, read_hub_layout
from dnafm.checkpoints.run_records import METRICS_NAME, PRETRAINING_NAME, SETTINGS_NAME, TASK_NAME, read_mapping
from dnafm.configuration_dnafm import RELEASED_MODEL_TYPE, DNAFMConfig
from dnafm.tokenization_dnafm import DNAFMTokenizer
from dnafm.version import __version__

# A file that is here, or what is to be in it.
Content = Path | bytes
# Settings and results; where files were on this machine is left out of them.
_RECORDS = (
    TASK_NAME,
    SETTINGS_NAME,
    METRICS_NAME,
    PRETRAINING_NAME,
    f"test/{METRICS_NAME}",
    f"validation/{METRICS_NAME}",
    "adapter/adapter_config.json",
)
_AS_THEY_ARE = (
    CARD_NAME,
    "LICENSE",
    "LICENSE.md",
    "NOTICE",
    FULL_TOKENIZER_FILE,
    "test/metrics.tsv",
    "validation/metrics.tsv",
    "adapter/adapter_model.safetensors",
)


def read_whole_checkpoint(folder: Path) -> ForeignCheckpoint:
    """Read the checkpoint in a folder, and check that all of it is there.

    Raises:
        OSError: there is no such folder, or a file is missing.
        ValueError: it is no checkpoint of dnafm, or its weights are not those of its config; file and key are named.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder. CHECKPOINT is one, and REPO is OWNER/NAME.")
    if (folder / "adapter_config.json").is_file() and not (folder / CONFIG_NAME).is_file():
        raise ValueError(
            f"{folder} holds low-rank adapters alone. Push them with peft: PeftModel.push_to_hub, or merge them into "
            "the weights first."
        )
    fields = read_config_file(folder)
    if fields.get("model_type") == RELEASED_MODEL_TYPE:
        raise ValueError(f"{folder} has the layout of the reference code. Convert it first: dnafm convert {folder}")
    config_of(fields, folder / CONFIG_NAME)
    has_safetensors = any((folder / name).is_file() for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME))
    if not has_safetensors and any(folder.glob("*.bin")):
        raise ValueError(f"{folder} has weights in pickles. Convert them to safetensors first: dnafm convert {folder}")
    if not has_safetensors:
        raise FileNotFoundError(f"{folder} has no weights: {SAFE_WEIGHTS_NAME}, or shards with an index, are due.")
    return read_hub_layout(folder)


def files_to_publish(checkpoint: ForeignCheckpoint, repo_id: str, *, with_code: bool) -> dict[str, Content]:
    """Return the files of a repository by their paths in it.

    Args:
        checkpoint: from `read_whole_checkpoint`.
        repo_id: where they will be.
        with_code: whether the code of the model goes along.

    Raises:
        ValueError: a file of the run is damaged; the message names it.
    """
    folder = checkpoint.path
    files: dict[str, Content] = {name: folder / name for name in weight_names(folder)}
    files |= {name: folder / name for name in _AS_THEY_ARE if (folder / name).is_file()}
    files |= {name: _without_folders(folder / name) for name in _RECORDS if (folder / name).is_file()}
    files[CONFIG_NAME] = _config(checkpoint, with_code=with_code)
    files |= _tokenizer_files(checkpoint, with_code=with_code)
    if with_code:
        files |= {path.name: path for path in hub_files()}
    if not has_own_card(folder):
        files[CARD_NAME] = model_card(checkpoint, repo_id, with_code=with_code).encode()
    return files


def weight_names(folder: Path) -> list[str]:
    """Return the files of the weights, an index included."""
    if (folder / SAFE_WEIGHTS_NAME).is_file():
        return [SAFE_WEIGHTS_NAME]
    shards = read_mapping(folder / SAFE_WEIGHTS_INDEX_NAME)["weight_map"].values()
    return [SAFE_WEIGHTS_INDEX_NAME, *sorted(set(shards))]


def hub_files() -> list[Path]:
    """Return the files of code that load a checkpoint where dnafm is not installed."""
    roots = [str(modeling_dnafm.__file__), str(tokenization_dnafm.__file__)]
    needed = {path for root in roots for path in (root, *get_relative_import_files(root))}
    return sorted(map(Path, needed))


def auto_map(checkpoint: ForeignCheckpoint) -> dict[str, str]:
    """Return the classes that the Auto classes of transformers load from the code."""
    classes = {loader: f"modeling_dnafm.{name}" for name, (loader, _) in LOADERS.items()}
    if checkpoint.model_class.__name__ not in LOADERS:
        # transformers has no Auto class for such a head.
        classes["AutoModel"] = f"modeling_dnafm.{checkpoint.model_class.__name__}"
    return {"AutoConfig": f"configuration_dnafm.{DNAFMConfig.__name__}", **classes}


def _config(checkpoint: ForeignCheckpoint, *, with_code: bool) -> bytes:
    fields = {**read_config_file(checkpoint.path), "architectures": [checkpoint.model_class.__name__]}
    for name in ("auto_map", "dnafm_version", "_name_or_path"):
        fields.pop(name, None)
    if with_code:
        fields |= {"auto_map": auto_map(checkpoint), "dnafm_version": __version__}
    return _as_json(fields)


def _tokenizer_files(checkpoint: ForeignCheckpoint, *, with_code: bool) -> dict[str, Content]:
    """Return the files of the tokenizer, the default one where the checkpoint has none."""
    folder, files = checkpoint.path, dict[str, Content]()
    with TemporaryDirectory() as temporary:
        if not (folder / TOKENIZER_CONFIG_FILE).is_file():
            folder = Path(temporary)
            DNAFMTokenizer(model_max_length=checkpoint.config.max_position_embeddings).save_pretrained(folder)
            files[FULL_TOKENIZER_FILE] = (folder / FULL_TOKENIZER_FILE).read_bytes()
        fields = read_mapping(folder / TOKENIZER_CONFIG_FILE)
    fields.pop("auto_map", None)
    if with_code:
        fields["auto_map"] = {"AutoTokenizer": [f"tokenization_dnafm.{DNAFMTokenizer.__name__}", None]}
    return {**files, TOKENIZER_CONFIG_FILE: _as_json(fields)}


def _without_folders(path: Path) -> bytes:
    """Return a file of settings or results in which a path of this machine is the name of its file alone."""
    content = _names_for_paths(read_mapping(path))
    return yaml.safe_dump(content, sort_keys=False).encode() if path.suffix == ".yaml" else _as_json(content)


def _names_for_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _names_for_paths(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_names_for_paths(item) for item in value]
    is_path = isinstance(value, str) and (os.path.isabs(value) or value.startswith("~"))
    return Path(value).name if is_path else value


def _as_json(fields: Any) -> bytes:
    return (json.dumps(fields, indent=2) + "\n").encode()
