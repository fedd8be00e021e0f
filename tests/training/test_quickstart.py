import json
from dataclasses import replace

import pytest
import torch

from dnafm.training import quickstart
from dnafm.training.quickstart import (
    QuickstartSettings,
    evaluate,
    predict,
    predict_logits,
    prepare,
    reload,
    save,
    train,
)

pytest.importorskip("accelerate")


@pytest.fixture
def settings(tmp_path):
    return QuickstartSettings(output_dir=tmp_path / "out", backbone=None, max_steps=3, batch_size=16)


@pytest.fixture
def trained(settings):
    job = prepare(settings)
    train(job)
    return job


def logits_of(job) -> torch.Tensor:
    return predict_logits(job.model, job.tokenizer, job.splits.validation.sequences)


def test_loaded_model_is_the_trained_model(trained):
    """Logits are equal bit for bit, and the labels travel with the config."""
    save(trained, report={})
    loaded = reload(trained)
    assert loaded.model is not trained.model
    assert torch.equal(logits_of(loaded), logits_of(trained))
    assert loaded.model.config.id2label == {0: "donor", 1: "acceptor", 2: "neither"}
    assert loaded.model.config.label2id == {"donor": 0, "acceptor": 1, "neither": 2}


def test_a_loaded_model_that_differs_is_noticed(trained):
    """A model that is changed after it was saved is not the one in the folder."""
    save(trained, report={})
    with torch.no_grad():
        trained.model.classifier.out_proj.bias += 0.25
    with pytest.raises(RuntimeError, match=r"by up to 2\.50e-01"):
        reload(trained)


def test_training_changes_the_model(settings):
    """Three steps move the logits."""
    job = prepare(settings)
    before = logits_of(job)
    train(job)
    assert not torch.equal(logits_of(job), before)


def test_same_seed_gives_the_same_model(settings, tmp_path):
    """Weights, batches and dropout are all drawn from the seed; another seed gives another model."""
    jobs = [
        prepare(replace(settings, output_dir=tmp_path / name, seed=seed))
        for name, seed in (("first", 1), ("second", 1), ("third", 2))
    ]
    for job in jobs:
        train(job)
    first, second, third = (logits_of(job) for job in jobs)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_saved_model_is_a_backbone(trained, tmp_path):
    """A folder with weights is continued from: after preparation the logits are those that were saved."""
    save(trained, report={})
    settings = QuickstartSettings(output_dir=tmp_path / "next", backbone=str(trained.settings.output_dir))
    job = prepare(settings)
    assert torch.equal(logits_of(job), logits_of(trained))
    assert job.recipe == quickstart.BACKBONE_RECIPE


def test_metrics_are_those_of_the_test_split(settings):
    """A model that always says `neither` is right in 330 of 600 cases."""
    job = prepare(settings)
    with torch.no_grad():
        job.model.classifier.out_proj.weight.zero_()
        job.model.classifier.out_proj.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
    metrics = evaluate(job)
    assert metrics["accuracy"] == 330 / 600
    assert (metrics["mcc"], metrics["f1_donor"]) == (0, 0)
    assert metrics["f1_neither"] == pytest.approx(2 * 330 / (600 + 330))


def test_predictions_show_each_class_with_its_probabilities(settings):
    """With these biases alone: softmax(log 1, log 1, log 2) = 1/4, 1/4, 1/2."""
    job = prepare(settings)
    with torch.no_grad():
        job.model.classifier.out_proj.weight.zero_()
        job.model.classifier.out_proj.bias.copy_(torch.tensor([1.0, 1.0, 2.0]).log())
    predictions = predict(job)
    assert [prediction.label_name for prediction in predictions] == ["donor", "acceptor", "neither"]
    for prediction in predictions:
        assert prediction.predicted_name == "neither"
        assert prediction.probabilities == pytest.approx((0.25, 0.25, 0.5))
        assert prediction.sequence in job.splits.test.sequences


def test_logits_do_not_depend_on_the_mode_of_the_model(settings):
    """Dropout is off while predicting; the mode is restored."""
    job = prepare(settings)
    job.model.eval()
    expected = logits_of(job)
    job.model.train()
    assert torch.equal(logits_of(job), expected)
    assert job.model.training


def test_foreign_folder_is_refused(settings):
    """The error names the folder and the two remedies."""
    settings.output_dir.mkdir()
    (settings.output_dir / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match=r"(?s)out is not empty.*--output_dir.*--overwrite"):
        prepare(settings)
    prepare(replace(settings, overwrite=True))
    assert (settings.output_dir / "thesis.tex").exists()


def test_own_folder_is_used_again(trained, settings):
    """What an earlier quickstart wrote may be replaced; its report says that it is ours."""
    save(trained, report={"model": {"accuracy": 0.5}})
    assert json.loads((settings.output_dir / quickstart.REPORT_NAME).read_text()) == {"model": {"accuracy": 0.5}}
    prepare(settings)


def test_unknown_backbone_is_an_error_of_the_user(settings, tmp_path):
    """A folder that is not there raises what the command line reports in one line."""
    with pytest.raises(OSError, match="no_such_folder"):
        prepare(replace(settings, backbone=str(tmp_path / "no_such_folder")))


def test_missing_accelerate_names_the_extra(settings, monkeypatch):
    """Trainer's own message is replaced by our install command."""

    def refuse(*args, **kwargs):
        raise ImportError("accelerate")

    monkeypatch.setattr(quickstart, "TrainingArguments", refuse)
    with pytest.raises(ImportError, match=r"pip install 'dnafm\[train\]'"):
        train(prepare(settings))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [({}, {}), ({"epochs": 2.0}, {"epochs": 2.0}), ({"learning_rate": 0.1, "batch_size": 8},) * 2],
)
def test_recipe_fills_in_what_is_left_open(tmp_path, asked, expected):
    """What was asked for wins."""
    job = prepare(QuickstartSettings(output_dir=tmp_path, backbone=None, **asked))
    assert job.recipe == replace(quickstart.FRESH_RECIPE, **expected)
