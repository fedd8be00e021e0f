"""Diffusion under conditions: what is read, dropped, learnt and saved, from a table to designed sequences."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from dnafm.analysis.base_predictions import BasePredictor
from dnafm.analysis.conditional_predictions import ConditionalPredictor
from dnafm.analysis.generation import generate
from dnafm.analysis.generation_templates import free_template
from dnafm.data import DiffusionTable, TargetScaler, TaskData, load_task_data
from dnafm.tasks import Diffusion, MaskedLM
from dnafm.tasks.options import DiffusionOptions

N_BASES = 16
NAMES = ("at_rich", "gc_rich")
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
CLASSES = TaskData(label_names=NAMES)
NUMBERS = TaskData(target_names=("x", "y"), target_scaler=TargetScaler((10.0, 0.0), (2.0, 1.0)))


def sequences_with(gc_shares, *, seed=0):
    """A sequence for each share of G and C."""
    generator = np.random.default_rng(seed)
    is_gc = generator.random((len(gc_shares), N_BASES)) < np.asarray(gc_shares)[:, None]
    is_purine = generator.random(is_gc.shape) < 0.5
    bases = np.where(is_gc, np.where(is_purine, "G", "C"), np.where(is_purine, "A", "T"))
    return ["".join(row) for row in bases]


def write_table(path, n_rows):
    """Sequences with a value in 1000 to 1020, along which the share of G and C goes from 0.1 to 0.9, and its half."""
    values = 1000 + 20 * np.random.default_rng(1).random(n_rows)
    lines = ["sequence\texpression\tkind"]
    for sequence, value in zip(sequences_with(0.1 + 0.04 * (values - 1000)), values, strict=True):
        lines.append(f"{sequence}\t{value:.3f}\t{NAMES[int(value > 1010)]}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def load(path, condition, **options):
    table = Diffusion.labelled_table(DiffusionOptions(condition=condition), DiffusionTable(path=path, **options))
    return load_task_data(table, max_bases=None)


def build(condition, data, **options):
    section = {"from_scratch": True, "config_overrides": SIZES, "condition": condition, **options}
    return Diffusion.from_config({"model": section}, data=data)


def rows_of(labels):
    sequences = sequences_with([0.5] * len(labels))
    return [
        {"sequence": sequence, "labels": label, "sample_index": i}
        for i, (sequence, label) in enumerate(zip(sequences, labels, strict=True))
    ]


@pytest.fixture(scope="module", params=["class", "value"])
def fitted(request, tmp_path_factory):
    """A small model that was trained on the table, its checkpoint, and what it is conditioned on."""
    pytest.importorskip("datasets")
    folder, condition = tmp_path_factory.mktemp("fitted"), request.param
    column = {"class": "kind", "value": "expression"}[condition]
    data = load(write_table(folder / "table.tsv", 600), condition, label_column=column, test_fraction=0.0)
    torch.manual_seed(0)
    task = build(condition, data)
    task.fit(
        data,
        output_dir=folder / "run",
        num_train_epochs=12,
        learning_rate=5e-3,
        bf16=False,
        use_cpu=True,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
    )
    return task, folder / "run", condition


def mean_gc(task, condition, scale=0.0, n_samples=60):
    predictor = ConditionalPredictor(
        task.model, task.tokenizer, strand="forward", condition=condition, guidance_scale=scale
    )
    results = generate(predictor, [free_template(N_BASES)], n_samples=n_samples, has_likelihood=False)
    return float(np.mean([result.gc for result in results]))


def test_designs_follow_the_condition(fitted):
    """GC of designs rises from class to class, and with the value; that of the training data is not far."""
    task, _, condition = fitted
    targets = {"class": ["at_rich", "gc_rich"], "value": [1002, 1010, 1018]}[condition]
    expected = {"class": [0.3, 0.7], "value": [0.18, 0.5, 0.82]}[condition]
    found = [mean_gc(task, target) for target in targets]
    assert np.all(np.diff(found) > 0.15), found
    np.testing.assert_allclose(found, expected, atol=0.15)


def test_guidance_goes_further_than_the_condition(fitted):
    """With a scale of 2, GC of designs is lower where it is low, and higher where it is high."""
    task, _, condition = fitted
    low, high = {"class": NAMES, "value": (1004, 1016)}[condition]
    assert mean_gc(task, low, scale=2.0) < mean_gc(task, low) - 0.05
    assert mean_gc(task, high, scale=2.0) > mean_gc(task, high) + 0.05


def test_fitted_model_is_saved_whole(fitted):
    """The folder loads as the task and with the Auto class, to the bit, and without `task.json`, too."""
    task, folder, condition = fitted
    conditions = {"class": ["gc_rich", 0], "value": [1003.5, 1018]}[condition]
    batch = task.collate({"sequences": sequences_with([0.2, 0.8]), "conditions": conditions})
    expected = task(batch)
    assert (expected - task({name: batch[name] for name in ("input_ids", "attention_mask")})).abs().max() > 0.1
    again = Diffusion.from_pretrained(folder)
    assert torch.equal(again(batch), expected)
    assert torch.equal(AutoModelForMaskedLM.from_pretrained(folder)(**batch).logits, expected)
    assert again.options.condition == condition
    # Options of another task say nothing about this one.
    (folder / "task.json").rename(folder / "task.txt")
    assert Diffusion.from_pretrained(folder).options.condition == condition
    (folder / "task.txt").rename(folder / "task.json")


def test_fitted_model_is_measured_under_its_conditions(fitted):
    """Masked bases are predicted better under the right conditions than without any."""
    task, folder, condition = fitted
    column = {"class": "kind", "value": "expression"}[condition]
    data = load(str(folder.parent / "table.tsv"), condition, label_column=column, test_fraction=0.5)
    without = TaskData(splits={"test": data.splits["test"].remove_columns("labels")})
    plain = MaskedLM.from_pretrained(folder).evaluate(without)
    assert task.evaluate(data)["nats_per_base"] < plain["nats_per_base"] - 0.02


def test_prediction_is_the_unconditional_one(fitted):
    """Rows to predict for have no conditions."""
    task, folder, _ = fitted
    found = task.predict(["ACGTACGT"])["log_probability"].to_pylist()
    assert found == MaskedLM.from_pretrained(folder).predict(["ACGTACGT"])["log_probability"].to_pylist()


def test_statistics_of_the_training_data_are_in_the_config(tmp_path):
    """Mean and deviation are those of the train split alone; labels stay in the units of the data."""
    pytest.importorskip("datasets")
    data = load(write_table(tmp_path / "table.tsv", 100), "value", label_column="expression")
    values = np.array(data.splits["train"]["labels"])[:, 0]
    assert values.min() > 999
    config = build("value", data).config
    np.testing.assert_allclose([config.condition_mean, config.condition_std], [[values.mean()], [values.std()]])
    assert config.condition_size == 1
    raw = load(str(tmp_path / "table.tsv"), "value", label_column="expression", standardize=False)
    assert build("value", raw).config.condition_mean is None


def test_share_of_the_conditions_is_dropped():
    """Of 2,000 in an epoch 30 %, each by seed, epoch and row alone; none in evaluation."""
    task = build("class", CLASSES, condition_dropout=0.3)
    rows = rows_of([i % 2 for i in range(2000)])
    kept = [task.training_batch(rows, epoch, seed=7)["condition_mask"] for epoch in (0, 1)]
    assert 0.66 < kept[0].float().mean() < 0.74
    assert not torch.equal(kept[0], kept[1])
    assert torch.equal(task.training_batch(rows[5:9], 0, seed=7)["condition_mask"], kept[0][5:9])
    assert not torch.equal(task.training_batch(rows, 0, seed=8)["condition_mask"], kept[0])
    assert "condition_mask" not in task.evaluation_batch(rows[:4])


def test_labels_become_conditions():
    """Ids of classes, or numbers in the units of the data; without a condition they are not looked at."""
    batch = build("class", CLASSES).evaluation_batch(rows_of([1, 0, 1]))
    assert batch["condition"].tolist() == [1, 0, 1]
    batch = build("value", NUMBERS).training_batch(rows_of([[10.0, 1.0], [12.0, -1.0]]), 0, seed=0)
    assert batch["condition"].tolist() == [[10.0, 1.0], [12.0, -1.0]]
    assert "condition" not in build("none", None).training_batch(rows_of([1, 0]), 0, seed=0)


def test_strands_are_averaged_under_the_same_condition():
    """Both are read under it: averaged logits of a sequence and of its complement are each other's."""
    task = build("class", CLASSES, reverse_complement="average")
    with torch.no_grad():
        for weight in task.model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.1)
    forward = task(task.collate({"sequences": ["AACGT"], "conditions": ["gc_rich"]}))
    backward = task(task.collate({"sequences": ["ACGTT"], "conditions": ["gc_rich"]}))
    ids = task.tokenizer.convert_tokens_to_ids
    torch.testing.assert_close(
        forward[0, 1:6][:, ids(list("ACGT"))], backward[0, 1:6].flip(0)[:, ids(list("TGCA"))], rtol=0, atol=1e-5
    )


def test_condition_can_be_given_up(tmp_path):
    """Trained on without one, or with another one, a model loses its conditioning and keeps all else."""
    task = build("class", CLASSES)
    task.save_pretrained(tmp_path)
    plain = task.collate({"sequences": ["ACGT"]})
    for task_type, options, data in (
        (Diffusion, {}, TaskData()),
        (MaskedLM, {}, None),
        (Diffusion, {"condition": "value"}, NUMBERS),
    ):
        again = task_type.from_config({"model": {"backbone": str(tmp_path), **options}}, data=data)
        assert again.config.condition_classes is None
        assert again.config.is_conditional == hasattr(again.model, "conditioning") == bool(options)
        assert torch.equal(again(plain), task(plain))
    kept = Diffusion.from_config({"model": {"backbone": str(tmp_path), "condition": "class"}})
    assert kept.label_names == list(NAMES)


def test_scale_of_zero_is_the_conditional_model(fitted):
    """To the bit, by the guided formula to rounding; -1 is the unconditional one."""
    task, _, condition = fitted
    target = {"class": "gc_rich", "value": 1016}[condition]

    def log_p(scale):
        return ConditionalPredictor(
            task.model, task.tokenizer, strand="forward", condition=target, guidance_scale=scale
        )

    inputs = task.collate({"sequences": ["ACGTACGT", "AC"], "conditions": [target, target]})
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    conditional, unconditional = task(inputs), task({"input_ids": ids, "attention_mask": mask})
    assert torch.equal(log_p(0.0).logits(ids, mask), conditional)
    torch.testing.assert_close(log_p(-1.0).logits(ids, mask), unconditional, rtol=0, atol=1e-5)
    expected = 3 * conditional - 2 * unconditional
    torch.testing.assert_close(log_p(2.0).logits(ids, mask), expected, rtol=0, atol=1e-5)
    rows, columns = torch.tensor([0, 0, 1]), torch.tensor([3, 1, 2])
    at = log_p(2.0).logits(ids, mask, (rows, columns))
    torch.testing.assert_close(at, expected[rows, columns], rtol=0, atol=1e-5)


def test_predictor_and_model_fit():
    """A condition for an unconditional model, none for a conditional one, or another one: refused."""
    plain, conditional = build("none", None), build("class", CLASSES)
    for task, condition, message in (
        (plain, "gc_rich", "the model is unconditional"),
        (conditional, None, r"the condition is missing: the class \(at_rich, gc_rich\)"),
        (conditional, "medium", "The condition is 'medium'; it must be one of the classes at_rich, gc_rich"),
        (build("value", NUMBERS), None, "the condition is missing: 2 numbers"),
        (build("value", NUMBERS), [1.0], "the model takes 2 numbers"),
        (build("value", NUMBERS), [1.0, float("nan")], "a number is missing or infinite"),
    ):
        with pytest.raises(ValueError, match=message):
            ConditionalPredictor(task.model, task.tokenizer, condition=condition)
    with pytest.raises(ValueError, match="guidance_scale is nan"):
        ConditionalPredictor(conditional.model, plain.tokenizer, condition="gc_rich", guidance_scale=float("nan"))
    assert BasePredictor(conditional.model, plain.tokenizer).model is conditional.model


@pytest.mark.parametrize(
    ("condition", "options", "message"),
    [
        ("none", {"label_column": "kind"}, "data.label_column is 'kind', and the model is unconditional"),
        ("class", {"label_columns": ["a", "b"]}, "data.label_columns are several numbers"),
        ("value", {"label_column": "kind"}, "'kind'"),
        ("class", {}, "label"),
        ("value", {"label_column": "nothing"}, "nothing"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, condition, options, message):
    """Before any training, with the option or the column."""
    pytest.importorskip("datasets")
    with pytest.raises(ValueError, match=message):
        load(write_table(tmp_path / "table.tsv", 20), condition, **options)


def test_model_without_what_it_needs_is_refused():
    """A share that is none, a condition without data, data of another kind, and rows without labels."""
    with pytest.raises(ValueError, match=r"model.condition_dropout is 1.0; it must lie in \[0, 1\)"):
        DiffusionOptions(condition_dropout=1.0)
    with pytest.raises(ValueError, match="condition is class, of which the data say what it is"):
        build("class", None)
    with pytest.raises(ValueError, match="condition is value, of which the data say"):
        build("value", CLASSES)
    task = build("class", CLASSES)
    with pytest.raises(ValueError, match="condition is class, and the data have no labels"):
        task.training_batch([{"sequence": "ACGT", "sample_index": 0}], 0, seed=0)
    with pytest.raises(ValueError, match="There are 2 sequences and 1 conditions"):
        task.collate({"sequences": ["A", "C"], "conditions": ["gc_rich"]})


@pytest.mark.parametrize("options", [{"frozen": True}, {"lora": {"r": 2}}])
# peft calls transformers by a name that newer releases warn of.
@pytest.mark.filterwarnings(r"ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")
def test_conditioning_is_trained_with_a_frozen_backbone(options, tmp_path):
    """It is of the head: its weights learn, those of the encoder do not, and the checkpoint has them."""
    pytest.importorskip("peft")
    task = build("class", CLASSES, **options)
    inputs = task.collate({"sequences": ["ACGT", "AC"], "conditions": [0, 1]})
    task.model(**inputs, labels=inputs["input_ids"]).loss.backward()
    trained = {name: weight for name, weight in task.model.named_parameters() if weight.grad is not None}
    ours = [weight for name, weight in trained.items() if "class_embedding" in name]
    assert len(ours) == 1
    assert ours[0].grad.abs().max() > 0
    assert not any(name.endswith(("q_proj.base_layer.weight", "q_proj.weight")) for name in trained)
    with torch.no_grad():
        ours[0].normal_()
    task.save_pretrained(tmp_path)
    torch.testing.assert_close(Diffusion.from_pretrained(tmp_path)(inputs), task(inputs), rtol=0, atol=1e-5)
