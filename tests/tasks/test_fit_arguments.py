"""The arguments of a training: defaults by what is trained, and what is refused before it starts."""

import re

import pytest
from datasets import Dataset

from dnafm.data.task_data import TaskData
from dnafm.tasks.fitting import TRAINING_DEFAULTS, default_learning_rate, training_arguments


@pytest.fixture
def data(cases, task_data):
    return task_data(cases["classes"], label_names=("exon", "intron", "other"))


@pytest.fixture
def task(cases, data):
    return cases["classes"].build(data=data)


def test_defaults_are_the_recipe(task, data, tmp_path):
    """Those of `TRAINING_DEFAULTS`; the metric that selects is the task's."""
    arguments = training_arguments(task, data, {"output_dir": str(tmp_path)})
    for name in ("num_train_epochs", "lr_scheduler_type", "weight_decay", "warmup_steps", "seed", "save_total_limit"):
        assert getattr(arguments, name) == TRAINING_DEFAULTS[name]
    assert (arguments.eval_strategy, arguments.save_strategy, arguments.load_best_model_at_end) == (
        "epoch",
        "epoch",
        True,
    )
    assert (arguments.metric_for_best_model, arguments.greater_is_better) == ("mcc", True)
    assert not arguments.remove_unused_columns


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 1e-3), ({"frozen": True}, 1e-3), ({"lora": {"r": 2}}, 5e-4)],
    ids=["full", "head", "lora"],
)
def test_learning_rate_suits_what_is_trained(cases, options, expected):
    """A small model is trained at a higher rate than its adapters are."""
    assert default_learning_rate(cases["classes"].build(**options)) == expected


@pytest.mark.parametrize(
    ("n_parameters", "expected"), [(10**7, 1e-3), (10**7 + 1, 1e-4), (10**9, 1e-4), (7 * 10**9, 2e-5)]
)
def test_larger_models_bear_smaller_steps(task, monkeypatch, n_parameters, expected):
    """By the number of parameters, where all are trained."""
    monkeypatch.setattr(task.model, "num_parameters", lambda: n_parameters)
    assert default_learning_rate(task) == expected


def test_what_is_given_wins(task, data, tmp_path):
    """None is no value: it stands for the default."""
    given = {
        "learning_rate": 0.5,
        "num_train_epochs": None,
        "weight_decay": 0.0,
        "metric_for_best_model": "eval_loss",
        "seed": 3,
        "optim": "sgd",
        "load_best_model_at_end": False,
    }
    arguments = training_arguments(task, data, {"output_dir": str(tmp_path), **given})
    assert arguments.num_train_epochs == TRAINING_DEFAULTS["num_train_epochs"]
    assert {name: getattr(arguments, name) for name in given if given[name] is not None} == {
        name: value for name, value in given.items() if value is not None
    }
    assert arguments.greater_is_better is False


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metric_for_best_model": "acuracy"}, "There is no metric 'acuracy'; did you mean 'accuracy'?"),
        ({"metric_for_best_model": "f1_exxon"}, "There is no metric 'f1_exxon'; did you mean 'f1_exon'?"),
        ({"metric_for_best_model": "pearson"}, "There is no metric 'pearson'; "),
        ({"remove_unused_columns": True}, "trainer.remove_unused_columns must be False for tasks."),
        ({"average_tokens_across_devices": False}, "trainer.average_tokens_across_devices must be True for tasks."),
        (
            {"lerning_rate": 1},
            "trainer: TrainingArguments.__init__() got an unexpected keyword argument 'lerning_rate'",
        ),
        (
            {"eval_strategy": "steps", "eval_steps": 2},
            "trainer: --load_best_model_at_end requires the save and eval strategy",
        ),
    ],
)
def test_wrong_arguments_are_refused(task, data, tmp_path, given, message):
    """The message names the field and what would be right."""
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        training_arguments(task, data, {"output_dir": str(tmp_path), **given})


def test_without_validation_split_nothing_is_selected(cases, task_data, tmp_path):
    """There is no evaluation, and the last weights are those that are kept."""
    case = cases["classes"]
    arguments = training_arguments(case.build(), task_data(case, n_validation=0), {"output_dir": str(tmp_path)})
    assert (arguments.eval_strategy, arguments.load_best_model_at_end) == ("no", False)
    assert arguments.metric_for_best_model is None


@pytest.mark.parametrize(
    ("name", "labels", "wrong", "right"),
    [
        ("classes", lambda row: 1, ["auroc", "auprc", "auroc_LABEL_0"], ["mcc", "loss", "f1_LABEL_2", "accuracy"]),
        ("multilabel", lambda row: [1.0, 0.0, -100.0], ["auroc", "f1_LABEL_2", "auprc_LABEL_1"], ["macro_f1", "loss"]),
        ("numbers", lambda row: [1.0, 2.0], ["spearman", "pearson", "r2"], ["mae", "rmse", "loss"]),
        ("numbers", lambda row: [1.0, float(len(row["sequence"]))], ["spearman_x"], ["spearman", "spearman_y"]),
        ("base_classes", lambda row: [2] * len(row["sequence"]), ["auroc"], ["mcc"]),
        ("base_numbers", lambda row: [[1.0, float("nan")]] * len(row["sequence"]), ["pearson", "mae_y"], ["mae"]),
        ("pairs", lambda row: [[1] * len(row["sequence"])] * len(row["sequence"]), ["auroc"], ["mcc", "loss"]),
    ],
)
def test_metric_that_the_validation_split_does_not_define_is_refused(
    cases, task_data, tmp_path, name, labels, wrong, right
):
    """NaN is never better than anything: no checkpoint would be the best."""
    case = cases[name]
    data = task_data(case)
    rows = [{"sequence": s, "labels": labels({"sequence": s})} for s in data.splits["validation"]["sequence"]]
    data.splits["validation"] = Dataset.from_list(rows)
    task = case.build(data=data)
    for metric in right:
        training_arguments(task, data, {"output_dir": str(tmp_path), "metric_for_best_model": metric})
    for metric in wrong:
        with pytest.raises(ValueError, match=rf"'{metric}' is not defined on the validation split: .* such as 'loss'"):
            training_arguments(task, data, {"output_dir": str(tmp_path), "metric_for_best_model": metric})


def test_refused_arguments_leave_no_folder(task, data, tmp_path):
    """All of it is checked before anything is written."""
    with pytest.raises(ValueError, match="There is no metric"):
        task.fit(data, output_dir=tmp_path / "run", metric_for_best_model="f2")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"validation": ["ACGT"]}, r"^The data have the splits \['validation'\]; 'train' is needed\.$"),
        ({"train": ["ACGT", "A" * 70]}, r"^Sequence 1 has 72 tokens, and the model reads 64\."),
        ({"train": ["ACGT", ""]}, r"^Sequence 1 is empty"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused(cases, tmp_path, splits, message):
    """Before the first step."""
    case = cases["classes"]
    data = TaskData(splits={name: case.table(sequences) for name, sequences in splits.items()})
    with pytest.raises(ValueError, match=message):
        case.build().fit(data, output_dir=tmp_path / "run")
    with pytest.raises(ValueError, match=r"^Embed can be neither trained nor measured"):
        cases["embeddings"].build().fit(data, output_dir=tmp_path / "run")


def test_folder_that_is_not_empty_is_refused(task, data, tmp_path):
    """The message names both ways out."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"--trainer\.resume_from_checkpoint auto, or choose another --trainer"):
        task.fit(data, output_dir=tmp_path)
