"""`import dnafm` makes DNA FM known to the Auto classes and the pipelines of transformers."""

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from dnafm import (
    DNAFMConfig,
    DNAFMForMaskedLM,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
    DNAFMTokenizer,
)

AUTO_CLASSES = {
    AutoModel: DNAFMModel,
    AutoModelForMaskedLM: DNAFMForMaskedLM,
    AutoModelForSequenceClassification: DNAFMForSequenceClassification,
    AutoModelForTokenClassification: DNAFMForTokenClassification,
}


@pytest.fixture
def checkpoint(tmp_path, tiny_model):
    """Factory of saved checkpoints with their tokenizer."""

    def save(model_class, **config):
        tiny_model(model_class, **config).save_pretrained(tmp_path)
        DNAFMTokenizer().save_pretrained(tmp_path)
        return str(tmp_path)

    return save


@pytest.mark.parametrize(("auto_class", "model_class"), AUTO_CLASSES.items())
def test_auto_class_loads_and_builds_the_model(checkpoint, auto_class, model_class):
    """From a checkpoint and from a config, with the kernels chosen by keyword."""
    folder = checkpoint(model_class)
    options = {"attn_implementation": "eager", "rope_implementation": "eager"}
    for model in (
        auto_class.from_pretrained(folder, **options),
        auto_class.from_config(AutoConfig.from_pretrained(folder), **options),
    ):
        assert type(model) is model_class
        assert (model.kernel_report().attention.name, model.kernel_report().rope.name) == ("eager", "eager")


def test_auto_config_and_tokenizer_know_dnafm(checkpoint):
    """The classes of this package come back."""
    folder = checkpoint(DNAFMModel)
    assert type(AutoConfig.from_pretrained(folder)) is DNAFMConfig
    assert type(AutoTokenizer.from_pretrained(folder)) is DNAFMTokenizer
    assert isinstance(AutoConfig.for_model("dnafm"), DNAFMConfig)


def test_auto_is_the_default_and_can_be_asked_for(checkpoint):
    """`attn_implementation="auto"` passes through the Auto classes."""
    folder = checkpoint(DNAFMModel)
    for options in ({}, {"attn_implementation": "auto"}):
        assert AutoModel.from_pretrained(folder, **options).config.attention_requested == "auto"


def test_fill_mask_predicts_bases(checkpoint):
    """The pipeline reads `[MASK]` in the sequence and returns tokens with probabilities."""
    fill_mask = pipeline("fill-mask", model=checkpoint(DNAFMForMaskedLM), top_k=16)
    predictions = fill_mask("ACG[MASK]ACGT")
    assert {prediction["token_str"] for prediction in predictions} >= set("ACGT")
    assert sum(prediction["score"] for prediction in predictions) == pytest.approx(1)
    assert len(fill_mask("AC[MASK]G[MASK]")) == 2


def test_feature_extraction_returns_a_vector_for_each_token(checkpoint):
    """[CLS] + 4 bases + [EOS], each as the model itself gives it."""
    folder = checkpoint(DNAFMModel)
    features = torch.tensor(pipeline("feature-extraction", model=folder)("acgt"))
    assert features.shape == (1, 6, 32)
    ids = AutoTokenizer.from_pretrained(folder)("ACGT", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(features, AutoModel.from_pretrained(folder)(ids).last_hidden_state)


def test_text_classification_names_the_labels(checkpoint):
    """Batches of different lengths give what each sequence gives alone."""
    names = {0: "donor", 1: "acceptor", 2: "neither"}
    folder = checkpoint(DNAFMForSequenceClassification, id2label=names, label2id={v: k for k, v in names.items()})
    classify = pipeline("text-classification", model=folder, top_k=None)
    sequences = ["ACGTACGTACGT", "GG", "TTTAC"]
    together = classify(sequences, batch_size=3)
    for sequence, found in zip(sequences, together, strict=True):
        assert {prediction["label"] for prediction in found} == set(names.values())
        alone = {prediction["label"]: prediction["score"] for prediction in classify([sequence])[0]}
        assert {p["label"]: p["score"] for p in found} == pytest.approx(alone, abs=1e-5)


def test_token_classification_places_labels_on_bases(checkpoint):
    """Every base gets a label, with its place in the sequence."""
    folder = checkpoint(DNAFMForTokenClassification)
    found = pipeline("token-classification", model=folder, ignore_labels=[])("ACGTA")
    assert [(entity["word"], entity["start"], entity["end"]) for entity in found] == [
        (base, index, index + 1) for index, base in enumerate("ACGTA")
    ]
