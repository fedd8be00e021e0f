"""A training that was cut short goes on as if it had not been."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from dnafm.tasks.fitting import fit, training_arguments

CLOCKED = ("per_second", "data_wait_share", "runtime")
# Three steps in an epoch of 24 rows, a checkpoint every other step: step 4 is in the middle of the second epoch.
OPTIONS = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 8,
    "eval_strategy": "steps",
    "save_strategy": "steps",
    "eval_steps": 2,
    "save_steps": 2,
    "logging_steps": 1,
    "metric_for_best_model": "loss",
    "use_cpu": True,
    "bf16": False,
}
DROPOUT = {"hidden_dropout": 0.1, "attention_dropout": 0.1}


class StopAt(TrainerCallback):
    """Fails at the beginning of a step."""

    def __init__(self, step):
        self._step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self._step:
            raise KeyboardInterrupt


def run(case, data, folder, *, stop_at=None, patience=None, max_tokens=None, options=None, **given):
    """Fit from the same start, and return the result and the weights that were saved."""
    torch.manual_seed(0)
    task = case.build(data=data, config_overrides=DROPOUT, **(options or {}))
    arguments = training_arguments(task, data, {"output_dir": str(folder), **OPTIONS, **given})
    callbacks = [] if stop_at is None else [StopAt(stop_at)]
    result = fit(task, data, arguments, max_tokens=max_tokens, patience=patience, callbacks=callbacks)
    return result, load_file(folder / "model.safetensors")


def history(result):
    return [
        {name: value for name, value in entry.items() if not any(part in name for part in CLOCKED)}
        for entry in result.log_history
        if "train_loss" not in entry
    ]


def check_goes_on(case, data, folder, *, stop_at, **options):
    """Losses, evaluations, the choice of the best and the weights are equal bit for bit."""
    expected, expected_weights = run(case, data, folder / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        run(case, data, folder / "cut", stop_at=stop_at, **options)
    assert not (folder / "cut" / "model.safetensors").exists()
    found, weights = run(case, data, folder / "cut", resume_from_checkpoint="true", **options)
    assert history(found) == history(expected)
    assert (found.metrics, found.best_step) == (expected.metrics, expected.best_step)
    assert weights.keys() == expected_weights.keys()
    assert all(torch.equal(weight, weights[name]) for name, weight in expected_weights.items())


@pytest.mark.parametrize("name", ["numbers", "base_classes", "pairs", "masked_lm", "diffusion"])
def test_tasks_go_on_in_the_middle_of_an_epoch(cases, task_data, tmp_path, name):
    """With dropout, random strands and, of language models, masks."""
    options = {"reverse_complement": "augment"}
    check_goes_on(cases[name], task_data(cases[name]), tmp_path, stop_at=5, options=options)


@pytest.mark.parametrize(
    "options",
    [
        {"options": {"lora": {"r": 2}}},
        {"max_tokens": 150},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4},
        {"patience": 2, "learning_rate": 1.0, "num_train_epochs": 9},
        {"eval_strategy": "epoch", "save_strategy": "epoch"},
        {"dataloader_num_workers": 1},
    ],
    ids=["lora", "tokens", "accumulation", "early-stopping", "epoch", "worker"],
)
def test_every_way_of_training_goes_on(cases, task_data, tmp_path, options):
    """Adapters, a budget of tokens, accumulated gradients, the patience that is left, whole epochs and workers."""
    check_goes_on(cases["classes"], task_data(cases["classes"]), tmp_path, stop_at=5, **options)


def test_checkpoint_can_be_named(cases, task_data, tmp_path):
    """One that does not exist, or was cut short, is refused with those that there are."""
    case = cases["classes"]
    data = task_data(case)
    _, expected = run(case, data, tmp_path / "run", save_total_limit=10, load_best_model_at_end=False)
    first = tmp_path / "run" / "checkpoint-2"
    _, found = run(case, data, tmp_path / "other", resume_from_checkpoint=str(first), load_best_model_at_end=False)
    assert all(torch.equal(weight, found[name]) for name, weight in expected.items())
    (first / "complete").unlink()
    for path, problem in ((first, "has no file 'complete'"), (tmp_path / "none", "does not exist")):
        with pytest.raises(ValueError, match=f"The checkpoint {path} {problem}"):
            run(case, data, tmp_path / "run", resume_from_checkpoint=str(path))
