# Copyright 2026 The dnafm developers.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""What is particular about the files of released checkpoints: parameter names, and an index of another format."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers.utils import (
    CONFIG_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
)
from transformers.utils.hub import cached_file, cached_files, has_file

# Parameter names of the reference code's checkpoints and the names that they have here.
RELEASED_WEIGHT_NAMES = {
    r"^bert\.embeddings\.word_embeddings\.": "model.embed_tokens.",
    r"^bert\.encoder\.layer\.(\d+)\.attention\.ln\.": r"model.layers.\1.input_layernorm.",
    r"^bert\.encoder\.layer\.(\d+)\.attention\.self\.query\.": r"model.layers.\1.self_attn.q_proj.",
    r"^bert\.encoder\.layer\.(\d+)\.attention\.self\.key\.": r"model.layers.\1.self_attn.k_proj.",
    r"^bert\.encoder\.layer\.(\d+)\.attention\.self\.value\.": r"model.layers.\1.self_attn.v_proj.",
    r"^bert\.encoder\.layer\.(\d+)\.attention\.output\.dense\.": r"model.layers.\1.self_attn.o_proj.",
    r"^bert\.encoder\.layer\.(\d+)\.ln\.": r"model.layers.\1.post_attention_layernorm.",
    r"^bert\.encoder\.layer\.(\d+)\.mlp\.": r"model.layers.\1.mlp.",
    r"^bert\.encoder\.ln\.": "model.norm.",
    r"^cls\.predictions\.transform\.dense\.": "lm_head.dense.",
    r"^cls\.predictions\.transform\.LayerNorm\.": "lm_head.norm.",
    r"^cls\.predictions\.decoder\.weight": "lm_head.decoder.weight",
    r"^cls\.predictions\.bias": "lm_head.decoder.bias",
}

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_WEIGHTS_THAT_COME_FIRST = (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_NAME)
# Where `from_pretrained` finds files.
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "token")


def safetensors_shards(names: Iterable[str], exists: Callable[[str], bool]) -> dict[str, str]:
    """Find the safetensors files that stand in for shards of an index which names pickles.

    Args:
        names: those of the shards in the index.
        exists: tells whether there is a file of some name.

    Returns:
        The name in the index and that of the file, for all of them; empty where the index is right, or where no such
        files are there.
    """
    found = {}
    for name in sorted(set(names)):
        stem = name.removesuffix(".bin")
        candidates = (f"{stem}.safetensors", f"{stem.replace('pytorch_model', 'model', 1)}.safetensors")
        twin = None if stem == name or exists(name) else next(filter(exists, candidates), None)
        if twin is None:
            return {}
        found[name] = twin
    return found


@contextmanager
def with_index_of_its_format(location: Any, options: dict[str, Any]) -> Iterator[str | None]:
    """Give a folder to load in place of a checkpoint whose safetensors shards have an index of pickles alone.

    The folder holds the config and a right index, which leads to the shards where they are.

    Args:
        location: folder or Hub id.
        options: those of `from_pretrained`.

    Yields:
        The folder, or None where the checkpoint loads as it is.
    """
    shards = _shards_of_index(location, options)
    if not shards:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(str(cached_file(location, CONFIG_NAME, **_hub_arguments(options))), Path(folder) / CONFIG_NAME)
        weight_map = {}
        for shard in cached_files(location, shards, **_hub_arguments(options)) or ():
            with safe_open(shard, framework="pt") as tensors:
                weight_map.update(dict.fromkeys(tensors.keys(), os.path.abspath(shard)))
        total_size = sum(os.path.getsize(shard) for shard in set(weight_map.values()))
        index = {"metadata": {"total_size": total_size}, "weight_map": weight_map}
        (Path(folder) / SAFE_WEIGHTS_INDEX_NAME).write_text(json.dumps(index))
        yield folder


def may_be_checkpoint(location: Any) -> bool:
    """Return whether something is a folder or could be a Hub id; what is neither is for transformers to refuse."""
    return location is not None and (os.path.isdir(location) or _HUB_ID.fullmatch(str(location)) is not None)


def _shards_of_index(location: Any, options: dict[str, Any]) -> list[str]:
    chooses_itself = any(options.get(name) for name in ("gguf_file", "variant", "subfolder", "state_dict"))
    if chooses_itself or options.get("use_safetensors") is False or not may_be_checkpoint(location):
        return []
    arguments = _hub_arguments(options)
    asked = {name: arguments[name] for name in arguments.keys() - {"force_download"}}

    def exists(name: str) -> bool:
        return has_file(location, name, **asked)

    if not exists(WEIGHTS_INDEX_NAME) or any(map(exists, _WEIGHTS_THAT_COME_FIRST)):
        return []
    index = json.loads(Path(str(cached_file(location, WEIGHTS_INDEX_NAME, **arguments))).read_text(encoding="utf-8"))
    return list(safetensors_shards(index["weight_map"].values(), exists).values())


def _hub_arguments(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in HUB_ARGUMENTS if options.get(name) is not None}
