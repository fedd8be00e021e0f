"""What a training does with losses, batches and checkpoints."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import TrainerCallback

from dnafm.data.batching import BalancedBatchSampler
from dnafm.tasks import fitting
from dnafm.tasks.evaluating import Evaluation, evaluate_rows
from dnafm.tasks.fitting import build_trainer, fit, training_arguments

QUICK = {"logging_steps": 1, "warmup_steps": 0, "lr_scheduler_type": "constant", "use_cpu": True, "bf16": False}
UNEVALUATED = {**QUICK, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
ONE_STEP = {**UNEVALUATED, "max_steps": 1, "per_device_train_batch_size": 100, "weight_decay": 0.0}
# Whose step is the gradient, which Adam would divide by its own size.
ONE_STEP |= {"optim": "sgd", "learning_rate": 0.1}
TWICE_EVALUATED = {"eval_strategy": "steps", "eval_steps": 4, "save_strategy": "steps", "save_steps": 4}


class Recorder(TrainerCallback):
    """The weights after each step."""

    def __init__(self):
        self.weights = {}

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights[state.global_step] = {name: weight.clone() for name, weight in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(weight, other[name]) for name, weight in one.items())


def losses(result):
    return [entry["loss"] for entry in result.log_history if "loss" in entry]


def test_a_few_steps_lower_the_loss(trainable_case, task_data, tmp_path):
    """On 24 sequences, in 8 steps, for every task; the metrics are those of the weights that were saved."""
    data = task_data(trainable_case)
    task = trainable_case.build(data=data)
    before = evaluate_rows(task, data.splits["train"]).metrics["loss"]
    options = {"max_steps": 8, "learning_rate": 3e-3, "metric_for_best_model": "loss", **QUICK, **TWICE_EVALUATED}
    result = task.fit(data, output_dir=tmp_path, **options)
    again = type(task).from_pretrained(tmp_path)
    assert evaluate_rows(again, data.splits["train"]).metrics["loss"] < before
    assert result.metrics == pytest.approx(evaluate_rows(again, data.splits["validation"]).metrics, abs=1e-6)
    assert same(again.model.state_dict(), task.model.state_dict())
    assert not any(module.training for module in task.modules())
    assert len(losses(result)) == 8
    assert result.output_dir == tmp_path


def scripted(monkeypatch, values):
    """Make the validation split say one value of the metric after the other."""
    values = iter(values)
    monkeypatch.setattr(
        fitting, "evaluate_rows", lambda *args, **kwargs: Evaluation({"mcc": next(values), "loss": 1.0})
    )


@pytest.mark.parametrize("lora", [{}, {"r": 2}], ids=["full", "lora"])
def test_best_weights_are_kept_and_not_the_last(cases, task_data, monkeypatch, tmp_path, lora):
    """Of four evaluations the second is the best."""
    case, recorder = cases["classes"], Recorder()
    task, data = case.build(lora=lora), task_data(case)
    arguments = training_arguments(
        task, data, {"output_dir": str(tmp_path), "num_train_epochs": 4, "per_device_train_batch_size": 12, **QUICK}
    )
    scripted(monkeypatch, [0.1, 0.9, 0.3, 0.2, 0.9])
    result = fit(task, data, arguments, callbacks=[recorder])
    assert (result.best_step, max(recorder.weights)) == (4, 8)
    assert same(recorder.weights[4], task.model.state_dict())
    assert not same(recorder.weights[8], task.model.state_dict())
    if not lora:
        assert same(recorder.weights[4], type(task).from_pretrained(tmp_path).model.state_dict())


def test_last_weights_are_kept_where_none_are_selected(cases, task_data, monkeypatch, tmp_path):
    """Without a validation split, or when told so; then the metrics are those of the last ones."""
    case, recorder = cases["classes"], Recorder()
    task = case.build()
    result = task.fit(task_data(case, n_validation=0), output_dir=tmp_path / "none", max_steps=2, **QUICK)
    assert (result.metrics, result.best_step) == ({}, 2)
    data = task_data(case)
    given = {"output_dir": str(tmp_path / "told"), "num_train_epochs": 2, "load_best_model_at_end": False, **QUICK}
    scripted(monkeypatch, [0.9, 0.3, 0.25])
    result = fit(task, data, training_arguments(task, data, given), callbacks=[recorder])
    assert result.metrics["mcc"] == 0.25
    assert result.best_step == max(recorder.weights) == 2
    assert same(recorder.weights[2], task.model.state_dict())


def test_training_stops_early(cases, task_data, monkeypatch, tmp_path):
    """After two evaluations that were no better than the first one."""
    case = cases["classes"]
    scripted(monkeypatch, [0.5, 0.4, 0.5, 0.6, 0.5])
    result = case.build().fit(
        task_data(case), output_dir=tmp_path, num_train_epochs=9, patience=2, per_device_train_batch_size=24, **QUICK
    )
    assert len(losses(result)) == 3
    assert result.best_step == 1


def test_metric_of_one_class_can_select(cases, task_data, tmp_path):
    """It is computed at every evaluation, with or without the prefix of Trainer."""
    case = cases["classes"]
    data = task_data(case, label_names=("exon", "intron", "other"))
    for metric in ("f1_intron", "eval_f1_intron"):
        result = case.build(data=data).fit(
            data, output_dir=tmp_path / metric, max_steps=1, metric_for_best_model=metric, **QUICK
        )
        assert "f1_intron" in result.metrics


def first_loss(case, data, folder, *, build=None, **options):
    """The loss that Trainer logs for the first step, and the task before it, without dropout."""
    torch.manual_seed(0)
    task = case.build(data=data, **(build or {}))
    before = {name: weight.clone() for name, weight in task.model.state_dict().items()}
    result = task.fit(data, output_dir=folder, **{**ONE_STEP, **options})
    return losses(result)[0], before, task


@pytest.mark.parametrize("name", ["classes", "base_classes", "pairs"])
def test_class_weights_weigh_the_loss(cases, task_data, tmp_path, name):
    """Label by label: the weight of its class times minus the logarithm of its probability, over their number."""
    case, weights = cases[name], (0.5, 2.0, 4.0)[: cases[name].n_outputs]
    data = task_data(case, class_weights=weights)
    found, before, task = first_loss(case, data, tmp_path)
    task.model.load_state_dict(before)
    terms = []
    for row in data.splits["train"]:
        batch = task.collate({"sequences": [row["sequence"]], "labels": [row["labels"]]})
        logits, labels = task(batch).flatten(0, -2), batch["labels"].flatten()
        terms += [
            weights[c] * -F.log_softmax(z, 0)[c].item() for z, c in zip(logits, labels.tolist(), strict=True) if c >= 0
        ]
    assert found == pytest.approx(np.mean(terms), abs=1e-4)
    plain, _, _ = first_loss(case, task_data(case), tmp_path / "plain")
    assert abs(plain - found) > 0.05


def test_diffusion_weighs_sequences_by_their_rate(cases, task_data, tmp_path):
    """The sum of the nats at masked bases over the rate of each sequence, over all its known bases."""
    case = cases["diffusion"]
    data = task_data(case)
    found, before, task = first_loss(case, data, tmp_path, seed=7)
    task.model.load_state_dict(before)
    order = next(iter(build_trainer(task, data, _arguments(task, data, tmp_path, seed=7))._batch_sampler))
    rows = [{"sequence": data.splits["train"][i]["sequence"], "sample_index": i} for i in order]
    batch = task.training_batch(rows, 0, seed=7)
    nats = F.cross_entropy(task(batch).transpose(1, 2), batch["labels"], reduction="none").detach()
    n_bases = sum(len(row["sequence"]) for row in rows)
    assert found == pytest.approx(((nats.sum(dim=1) * batch["sequence_weight"]).sum() / n_bases).item(), abs=1e-4)
    assert batch["sequence_weight"].std() > 0.5


def _arguments(task, data, folder, **given):
    return training_arguments(task, data, {"output_dir": str(folder), **ONE_STEP, **given})


@pytest.mark.parametrize(
    ("name", "lora"),
    [
        *(
            (name, {})
            for name in ("classes", "multilabel", "numbers", "base_classes", "base_numbers", "pairs", "masked_lm")
        ),
        ("classes", {"r": 2, "dropout": 0.0}),
        ("base_numbers", {"r": 2, "dropout": 0.0}),
    ],
)
def test_accumulated_batches_are_one_batch(cases, task_data, tmp_path, name, lora):
    """One step of 24 sequences of uneven length, or of six batches of four: loss and weights are equal."""
    case = cases[name]
    weights = {"class_weights": (0.5, 1.0, 2.0)} if name == "base_classes" else {}
    data = task_data(case, **weights)
    whole, _, task = first_loss(case, data, tmp_path / "whole", build={"lora": lora})
    options = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 6}
    parts, before, other = first_loss(case, data, tmp_path / "parts", build={"lora": lora}, **options)
    assert parts == pytest.approx(whole, abs=2e-4)
    found, expected = other.model.state_dict(), task.model.state_dict()
    assert not same(before, expected)
    for weight_name, weight in expected.items():
        torch.testing.assert_close(found[weight_name], weight, rtol=0, atol=2e-5)


def test_budget_of_tokens_makes_the_batches(cases, task_data, random_sequences, tmp_path):
    """No batch has more, each row is in one of them, and a longer row is an error."""
    case = cases["classes"]
    task, data = case.build(), task_data(case)
    arguments = _arguments(task, data, tmp_path)
    batches = list(build_trainer(task, data, arguments, max_tokens=90).get_train_dataloader())
    sampler = BalancedBatchSampler([len(s) + 2 for s in data.splits["train"]["sequence"]], max_tokens=90, seed=42)
    assert [len(batch["labels"]) for batch in batches] == [len(rows) for rows in sampler]
    assert max(batch["attention_mask"].sum() for batch in batches) <= 90
    assert sum(len(batch["labels"]) for batch in batches) == 24
    options = {**QUICK, "num_train_epochs": 1}
    result = task.fit(data, output_dir=tmp_path / "run", max_tokens_per_batch=90, **options)
    assert len(losses(result)) == len(batches)
    with pytest.raises(ValueError, match=r"Row \d+, counted from 0, has \d+ tokens; .* max_tokens=20"):
        task.fit(data, output_dir=tmp_path / "short", max_tokens_per_batch=20, **QUICK)


def weights_after(case, data, folder, *, n_drawn, seed):
    torch.manual_seed(0)
    task = case.build(data=data, config_overrides={"hidden_dropout": 0.1}, reverse_complement="augment")
    torch.rand(n_drawn)
    task.fit(data, output_dir=folder, max_steps=3, per_device_train_batch_size=8, seed=seed, **UNEVALUATED)
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("name", ["classes", "base_numbers", "masked_lm", "diffusion"])
def test_same_seed_gives_the_same_weights(cases, task_data, tmp_path, name):
    """Bit for bit, with dropout, random strands and masks, whatever was drawn before; another seed gives others."""
    data = task_data(cases[name])
    first, again, other = (
        weights_after(cases[name], data, tmp_path / folder, n_drawn=n_drawn, seed=seed)
        for n_drawn, (folder, seed) in enumerate((("first", 1), ("again", 1), ("other", 2)))
    )
    assert same(first, again)
    assert not same(first, other)
