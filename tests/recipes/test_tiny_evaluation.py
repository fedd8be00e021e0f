"""Baselines, cells and the table of `recipes/tiny/evaluate.py`, from its command line where it can be."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "tiny"))

import evaluate
from evaluation import baselines, cells, models, table, tasks
from evaluation.examples import BASE_LABELS, Examples, Splits
from evaluation.tasks import Effort, Task

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification, DNAFMModel, DNAFMTokenizer

EFFORT = Effort(n_train=24, n_validation=8, n_test=16, epochs=1, batch_size=8)


@pytest.fixture
def checkpoint(tmp_path, tiny_config):
    return save_checkpoint(tmp_path / "checkpoint", tiny_config, seed=0)


def save_checkpoint(folder, tiny_config, *, seed):
    torch.manual_seed(seed)
    DNAFMForMaskedLM(tiny_config()).save_pretrained(folder)
    DNAFMTokenizer().save_pretrained(folder)
    return folder


def labelled(n, *, seed, per_base=False):
    """Sequences of 20 nt whose class is that of the base in the middle, or whose bases are 2 at G and 0 elsewhere."""
    generator = np.random.default_rng(seed)
    sequences = tuple("".join(row) for row in generator.choice(list("ACGT"), (n, 20)))
    if per_base:
        labels = tuple(np.array([2 if base == "G" else int(base == "C") for base in s], np.uint8) for s in sequences)
    else:
        labels = tuple(int(sequence[10] in "GC") for sequence in sequences)
    return Examples(tuple(f"row{seed}_{i}" for i in range(n)), sequences, labels)


@pytest.fixture
def task():
    splits = Splits(*(labelled(n, seed=seed) for seed, n in enumerate((40, 8, 16))), counts={"sites": 3})
    return Task("toy", "A toy", ("no", "yes"), ("auroc", "mcc"), "one-hot", EFFORT, splits, has_centre=True)


@pytest.fixture
def base_task():
    splits = Splits(*(labelled(n, seed=seed, per_base=True) for seed, n in enumerate((40, 8, 16))))
    return Task("bases", "Bases", BASE_LABELS, ("f1_CDS",), "context", EFFORT, splits, is_per_base=True)


@pytest.fixture
def run(task, checkpoint, tmp_path, monkeypatch):
    """Call the command on the toy task alone; returns how many cells it computed."""
    monkeypatch.setattr(evaluate, "TASKS", {"toy": lambda sources: task})
    monkeypatch.setattr(evaluate, "open_sources", _NoSources)
    computed = []

    def compute(task, cell, checkpoint):
        computed.append(cell)
        return {"auroc": 0.5 + cell.seed / 10, "mcc": 0.25}

    monkeypatch.setattr(evaluate, "compute", compute)

    def call(*options):
        computed.clear()
        folders = [
            "--checkpoint",
            checkpoint,
            "--genomes",
            tmp_path,
            "--packages",
            tmp_path,
            "--output",
            tmp_path / "out",
        ]
        evaluate.main([str(argument) for argument in (*folders, *options)])
        return len(computed)

    return call


class _NoSources:
    def __init__(self, genomes, packages):
        pass

    def __enter__(self):
        return None

    def __exit__(self, *error):
        return None


def test_finished_cells_are_not_computed_again(run, tmp_path):
    """Two models with two methods and three seeds, and the baseline's three and one, are 16 cells."""
    assert run("--models", "scratch", "--seeds", "0") == 2
    assert run() == 14
    assert run() == 0
    next((tmp_path / "out" / "cells").glob("toy_pretrained_probe_seed1_*.json")).unlink()
    assert run() == 1


def test_changed_weights_do_not_reuse_cells(run, checkpoint, tiny_config):
    """Of another checkpoint of the same architecture, only the six pretrained cells are new."""
    run()
    save_checkpoint(checkpoint, tiny_config, seed=1)
    assert run() == 6
    assert run() == 0


def test_changed_architecture_does_not_reuse_cells_of_models(run, checkpoint, tiny_config):
    """Other rotary frequencies are another model, from scratch as well; baselines stay."""
    run()
    save_checkpoint(checkpoint, lambda: tiny_config(rope_theta=5000.0), seed=0)
    assert run() == 12


def test_other_efforts_do_not_reuse_cells(run):
    """Epochs concern fine-tuning alone, numbers of examples everything."""
    assert run("--seeds", "0") == 6
    assert run("--seeds", "0", "--epochs", "3") == 2
    assert run("--seeds", "0", "--scale", "0.5") == 6


def test_table_has_mean_and_sd_and_says_where_pretraining_does_not_help(run, tmp_path):
    """Values 0.5, 0.6, 0.7 in all columns: nothing is better than anything."""
    run()
    report = (tmp_path / "out" / "table.md").read_text()
    assert "| A toy | AUROC | 0.600 ± 0.100 | 0.600 ± 0.100 |" in report
    assert "- A toy, AUROC: pretrained probe 0.600 ± 0.100, scratch probe 0.600 ± 0.100" in report
    assert "3 sites" in report
    content = json.loads((tmp_path / "out" / "table.json").read_text())
    assert content["rows"][0]["pretrained fine-tuning"] == pytest.approx([0.5, 0.6, 0.7])
    assert len(content["losses"]) == 8


def test_cells_that_are_missing_are_dashes(run, tmp_path):
    """Only the baseline was computed."""
    run("--models", "baseline")
    assert "| A toy | MCC | - | - | - | - | 0.250 ± 0.000 | 0.250 |" in (tmp_path / "out" / "table.md").read_text()


def test_value_is_formatted_with_the_sample_standard_deviation():
    """1, 2 and 3 have the sd 1; one value has none."""
    assert table.format_value([1.0, 2.0, 3.0]) == "2.000 ± 1.000"
    assert table.format_value([0.12345]) == "0.123"
    assert table.format_value([]) == "-"


def test_gain_within_the_larger_sd_is_a_loss():
    """0.70 ± 0.01 is clearly above 0.60 ± 0.01, and not above 0.60 ± 0.20."""
    pretrained, scratch = ("pretrained", "probe"), ("scratch", "probe")
    clear = {pretrained: [0.69, 0.70, 0.71], scratch: [0.59, 0.60, 0.61]}
    unclear = {pretrained: [0.69, 0.70, 0.71], scratch: [0.40, 0.60, 0.80]}
    assert table.losses([("A", "mcc", clear)]) == []
    assert table.losses([("A", "mcc", unclear)]) == [
        "A, MCC: pretrained probe 0.700 ± 0.010, scratch probe 0.600 ± 0.200"
    ]


def test_other_annotations_than_the_recipe_s_are_refused(task):
    """Two in a hundred fewer donors pass, three do not."""
    tasks.check_counts(replace(task, splits=replace(task.splits, counts={"donors": 17_200})))
    with pytest.raises(ValueError, match="toy: 17,000 donors, and 17,532 are due"):
        tasks.check_counts(replace(task, splits=replace(task.splits, counts={"donors": 17_000})))


def test_folder_without_weights_is_no_checkpoint(tmp_path):
    """The message names the folder."""
    with pytest.raises(FileNotFoundError, match=r"has no \*.safetensors"):
        cells.checkpoint_digests(tmp_path)


def test_auroc_is_the_share_of_ordered_pairs():
    """Of the four pairs of a positive and a negative, three are in order."""
    scores = np.array([[0, 0.1], [0, 0.6], [0, 0.5], [0, 0.9]])
    assert baselines.measure(np.array([0, 0, 1, 1]), scores, ("no", "yes"))["auroc"] == 0.75


def test_context_features_are_those_of_a_plain_loop():
    """One-hot of 41 bases, then 3-mers by start and phase around the base, counted one by one."""
    sequence = "".join(np.random.default_rng(0).choice(list("ACGTN"), 150))
    (features,) = baselines.context_features([sequence])
    kmers = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    for base in (0, 5, 75, 149):
        one_hot = [
            float(0 <= base + offset < 150 and sequence[base + offset] == letter)
            for offset in range(-20, 21)
            for letter in "ACGT"
        ]
        counts = np.zeros((3, 64))
        for offset in range(-60, 61):
            kmer = sequence[base + offset : base + offset + 3] if base + offset >= 0 else ""
            if kmer in kmers:
                counts[offset % 3, kmers.index(kmer)] += 1
        np.testing.assert_array_equal(features[base], [*one_hot, *counts.ravel()])


def test_baselines_find_the_base_that_decides(task, base_task):
    """One-hot features hold the answer: the base in the middle, or each base itself."""
    task = replace(task, splits=replace(task.splits, train=labelled(400, seed=9)))
    assert baselines.run_baseline(task, task.splits, seed=0)["auroc"] > 0.99
    assert baselines.run_baseline(base_task, base_task.splits, seed=0)["f1_CDS"] > 0.95


def test_states_of_bases_do_not_depend_on_their_batch(checkpoint):
    """Sequences of other lengths beside one change its states by no more than bfloat16 rounds."""
    backbone = models.Backbone(checkpoint, is_pretrained=True)
    model, tokenizer = backbone.build(DNAFMModel, seed=0).eval(), backbone.tokenizer()
    alone = list(models.base_states(model, tokenizer, ["ACGTTGCA"]))
    among = list(models.base_states(model, tokenizer, ["ACG", "ACGTTGCA", "ACGTTGCATTTT"]))
    assert [len(state) for state in among] == [3, 8, 12]
    np.testing.assert_allclose(alone[0], among[1], rtol=0.05, atol=0.05)


def test_scratch_has_the_architecture_but_not_the_weights(checkpoint):
    """The seed draws fresh weights, and only the head of a pretrained model."""

    def weight(*, is_pretrained, seed):
        model = models.Backbone(checkpoint, is_pretrained=is_pretrained).build(
            DNAFMForSequenceClassification, seed=seed
        )
        return model.model.layers[0].mlp.up_proj.weight, model.classifier.dense.weight

    for body, _ in (weight(is_pretrained=True, seed=1), weight(is_pretrained=False, seed=1)):
        assert body.dtype == torch.float32
    assert torch.equal(weight(is_pretrained=True, seed=1)[0], weight(is_pretrained=True, seed=2)[0])
    assert not torch.equal(weight(is_pretrained=True, seed=1)[1], weight(is_pretrained=True, seed=2)[1])
    assert not torch.equal(weight(is_pretrained=False, seed=1)[0], weight(is_pretrained=False, seed=2)[0])
    assert not torch.equal(weight(is_pretrained=False, seed=1)[0], weight(is_pretrained=True, seed=1)[0])


@pytest.mark.parametrize("run_model", [models.run_probe, models.run_fine_tuning])
@pytest.mark.parametrize("name", ["task", "base_task"])
def test_models_give_every_metric_and_the_same_for_the_same_seed(run_model, name, checkpoint, request):
    """Twice the same cell is twice the same number."""
    task = request.getfixturevalue(name)
    backbone = models.Backbone(checkpoint, is_pretrained=False)
    first, second = (run_model(task, task.drawn(3), backbone, seed=3) for _ in range(2))
    assert set(task.metrics) <= set(first)
    assert first == second
