"""Cells of the table: one task, method, model and seed each, kept as a file that is never computed twice.

A cell is what it was computed from: another checkpoint, other examples or another effort is another cell.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dnafm import DNAFMConfig, DNAFMTokenizer
from evaluation.tasks import Task

MODELS = ("pretrained", "scratch", "baseline")
# Columns of the table, as (model, method).
COLUMNS = (
    ("pretrained", "probe"),
    ("scratch", "probe"),
    ("pretrained", "fine-tuning"),
    ("scratch", "fine-tuning"),
    ("baseline", "same examples"),
    ("baseline", "all examples"),
)
# To be raised where the same inputs give other numbers.
VERSION = 1
# Fields of a config that say nothing about the network.
_NOT_ARCHITECTURE = ("_name_or_path", "architectures", "dtype", "transformers_version", "id2label", "label2id")


@dataclass(frozen=True)
class Cell:
    """One number of the table before it is averaged over seeds; `source` is what it depends on."""

    task: str
    model: str
    method: str
    seed: int
    source: str

    def path(self, folder: Path) -> Path:
        """Where the cell lies in a folder."""
        words = (self.task, self.model, self.method.replace(" ", "-"), f"seed{self.seed}", self.source[:12])
        return folder / ("_".join(words) + ".json")

    def read(self, folder: Path) -> dict[str, Any] | None:
        """Return what `write` wrote, or `None` where there is no such cell."""
        path = self.path(folder)
        if not path.is_file():
            return None
        content = json.loads(path.read_text())
        if content["cell"] != asdict(self):
            raise ValueError(f"{path} holds another cell, {content['cell']}. Was it renamed? Remove it.")
        return content

    def write(self, folder: Path, metrics: dict[str, float], *, seconds: float) -> None:
        """Write the metrics in one step, so that a killed run leaves no half of a file."""
        path = self.path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        content = {"cell": asdict(self), "metrics": metrics, "seconds": round(seconds, 1)}
        unfinished.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(unfinished, path)


def checkpoint_digests(checkpoint: Path) -> dict[str, str]:
    """Return the SHA-256 of what a model stands on: weights and architecture (`pretrained`), the latter (`scratch`).

    Raises:
        FileNotFoundError: the folder has no safetensors.
    """
    weights = sorted(checkpoint.glob("*.safetensors"))
    if not weights:
        raise FileNotFoundError(f"{checkpoint} has no *.safetensors. Name the folder of a saved checkpoint.")
    architecture = _architecture(checkpoint)
    digest = hashlib.sha256(architecture.encode())
    for path in weights:
        digest.update(path.read_bytes())
    return {"pretrained": digest.hexdigest(), "scratch": hashlib.sha256(architecture.encode()).hexdigest()}


def cells_of(task: Task, model: str, digests: dict[str, str], *, seeds: list[int]) -> list[Cell]:
    """List the cells of a task and model.

    The baseline on all examples draws nothing and has one cell, that of the first seed.
    """
    cells = []
    for seed in seeds:
        examples = task.drawn(seed)
        drawn = [part.digest() for part in (examples.train, examples.validation, examples.test)]
        for column_model, method in COLUMNS:
            if column_model == model and (method != "all examples" or seed == seeds[0]):
                parts = {
                    "version": VERSION,
                    "model": digests.get(model, task.baseline),
                    "examples": drawn,
                    "all": task.splits.train.digest() if method == "all examples" else None,
                    "effort": asdict(task.effort) if method == "fine-tuning" else None,
                }
                source = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
                cells.append(Cell(task.name, model, method, seed, source))
    return cells


def _architecture(checkpoint: Path) -> str:
    config = DNAFMConfig.from_pretrained(checkpoint).to_dict()
    kept = {name: value for name, value in config.items() if name not in _NOT_ARCHITECTURE}
    suffix = DNAFMTokenizer.from_pretrained(checkpoint).suffix_token
    return json.dumps({**kept, "suffix_token": suffix}, sort_keys=True, default=str)
