"""The recipe that fine-tunes DNA FM 7B: its arithmetic, and the same file on the small model."""

import csv
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from forked_processes import ForkedProcess
from safetensors import safe_open

pytest.importorskip("peft")
pytest.importorskip("datasets")
pytest.importorskip("jsonargparse")

from dnafm.cli import fit
from dnafm.cli.task_parser import settings_of
from dnafm.data.splice_junctions import LABEL_NAMES, read_splice_junctions

RECIPES = Path(__file__).parents[2] / "recipes"
RECIPE = RECIPES / "finetune_7b_lora.yaml"
HIDDEN, LAYERS = 4352, 32
ADAPTERS = LAYERS * 2 * 16 * 2 * HIDDEN
HEAD = (HIDDEN + 1) * HIDDEN // 4 + (HIDDEN // 4 + 1) * 2


@pytest.fixture(scope="module")
def arithmetic():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("finetune_7b_lora", RECIPES / "finetune_7b_lora.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def memory(arithmetic):
    """The memory of a batch of the recipe, without checkpointing and with."""
    options = arithmetic.model_options()
    model = arithmetic.adapted_model(options)
    return [arithmetic.memory(model, options, 16_000, gradient_checkpointing=each) for each in (False, True)]


def test_page_has_the_numbers_of_the_arithmetic(arithmetic, capsys):
    """And with another batch the script says that they differ."""
    arithmetic.check(arithmetic.report())
    with pytest.raises(SystemExit, match="has other numbers"):
        arithmetic.check(arithmetic.report(32_000))


def test_weights_are_those_counted_by_hand(memory):
    """Adapters have 4 bytes a weight; the head has 2, as the backbone and the head's frozen first state have."""
    of_lm_head = HIDDEN * HIDDEN + HIDDEN + 2 * HIDDEN + 16
    for each in memory:
        assert each.weights == 2 * (7_285_036_304 - of_lm_head + HEAD)
        assert each.trained == each.gradients == each.optimizer / 2 == 4 * ADAPTERS + 2 * HEAD


def test_batch_fits_with_checkpointing_only(memory):
    """What the page says of a GPU of 80 GB, where a merged copy of the weights fits in the room of the activations."""
    without, with_checkpointing = memory
    assert with_checkpointing.total < 30e9 < 80e9 < without.total
    assert without.adapters == LAYERS * with_checkpointing.adapters
    assert 2 * with_checkpointing.weights < 80e9


def test_commands_of_the_page_are_what_the_parser_takes():
    """Each of its `dnafm fit` lines; the last one asks for 4 bits, and leaves the head out."""
    page = (RECIPES / "finetune_7b_lora.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^ +(?:torchrun .* --module )?dnafm fit (.*)$", page, re.MULTILINE)
    parsed = []
    for line in lines:
        words = [str(RECIPES.parent / word) if word.startswith("recipes/") else word for word in shlex.split(line)]
        parsed.append(settings_of(fit.build_parser("dnafm fit").parse_args(words)))
    assert len(parsed) == 3
    assert parsed[-1].model.quantization["load_in_4bit"] is True
    assert parsed[-1].model.quantization["llm_int8_skip_modules"] == ["classifier"]
    assert (parsed[0].model.backbone, parsed[0].model.lora.r, parsed[0].model.dtype) == ("dnafm", 16, "bfloat16")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """What fit and test print on the small model, with the file as it is, and the output folder."""
    folder = tmp_path_factory.mktemp("lora")
    table = read_splice_junctions().take(range(150))
    with open(folder / "table.csv", "w", newline="") as stream:
        rows = zip(table.sequences, (LABEL_NAMES[label] for label in table.labels), strict=True)
        csv.writer(stream).writerows([("sequence", "label"), *rows])
    small = ["--model.backbone", "dnafm_tiny", "--data.path", str(folder / "table.csv")]
    options = [*small, "--trainer.output_dir", str(folder / "out"), "--trainer.max_steps", "2"]
    printed = [dnafm("fit", "--config", str(RECIPE), *options)]
    printed.append(dnafm("test", "--config", str(folder / "out" / "config.yaml")))
    return printed, folder / "out"


def dnafm(*words: str) -> str:
    """Run a command, and return what it prints."""
    process = ForkedProcess(*words)
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Warning" not in errors
    return printed + errors


@pytest.mark.slow
def test_same_file_trains_the_small_model(fitted):
    """Two modules in each of six layers; the adapters that are saved have the recipe's rank."""
    (printed, _), folder = fitted
    assert "LoRA in 12 modules" in printed
    assert "best by mcc" in printed
    adapter = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"], adapter["lora_dropout"]) == (16, 32, 0.1)
    with safe_open(folder / "model.safetensors", "pt") as weights:
        names = list(weights.keys())
        assert {weights.get_slice(name).get_dtype() for name in names} == {"BF16"}
    assert not any("lora" in name for name in names)


@pytest.mark.slow
def test_what_it_leaves_is_measured(fitted):
    """150 rows are 30 of test: `dnafm test` with the folder's configuration reads the same split."""
    (_, printed), folder = fitted
    assert "30 rows" in printed
    assert set(json.loads((folder / "test" / "metrics.json").read_text())["metrics"]) >= {"mcc", "accuracy", "auroc"}
