"""What is saved is an ordinary checkpoint, and loads as the task that it was."""

import json

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from dnafm import DNAFMForPairwiseTokenClassification
from dnafm.tasks import TASKS, Embed, MaskedLM, SequenceClassification, SequenceRegression, TokenClassification

AUTO_CLASSES = {
    "SequenceClassification": AutoModelForSequenceClassification,
    "SequenceRegression": AutoModelForSequenceClassification,
    "TokenClassification": AutoModelForTokenClassification,
    "TokenRegression": AutoModelForTokenClassification,
    "PairwiseTokenClassification": DNAFMForPairwiseTokenClassification,
    "MaskedLM": AutoModelForMaskedLM,
    "Diffusion": AutoModelForMaskedLM,
    "Embed": AutoModel,
}
# peft calls transformers by a name that newer releases warn of.
peft_of_any_age = pytest.mark.filterwarnings(r"ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")


def outputs(task, sequences):
    return task(task.collate({"sequences": sequences})).detach()


def plain_outputs(model, batch):
    found = model.eval()(**batch)
    return found.logits if "logits" in found else found.last_hidden_state


@pytest.mark.parametrize("reverse_complement", ["none", "average"])
def test_saved_task_is_the_loaded_one(case, random_sequences, tmp_path, reverse_complement):
    """Equal outputs bit for bit, equal options, and the same from the folder as a string."""
    task, sequences = case.build(reverse_complement=reverse_complement, max_length=40), random_sequences(5)
    task.save_pretrained(tmp_path / "saved")
    for folder in (tmp_path / "saved", str(tmp_path / "saved")):
        again = type(task).from_pretrained(folder)
        assert torch.equal(outputs(again, sequences), outputs(task, sequences))
        assert (again.max_bases, again.options.reverse_complement) == (38, reverse_complement)
        assert not again.training


def test_saved_task_loads_with_the_auto_class(case, random_sequences, tmp_path):
    """Model and tokenizer compute what the task does."""
    task, sequences = case.build(), random_sequences(5)
    task.save_pretrained(tmp_path)
    batch = AutoTokenizer.from_pretrained(tmp_path)(sequences, padding=True, return_tensors="pt")
    found = plain_outputs(AUTO_CLASSES[case.task].from_pretrained(tmp_path), batch)
    expected = task.model(**batch)
    assert torch.equal(found, expected.logits if "logits" in expected else expected.last_hidden_state)


def lora_task(case, backbone):
    """A task with adapters that change something, on a saved backbone."""
    section = {"backbone": str(backbone), "lora": {"r": 4, "dropout": 0.0}, **case.options}
    task = TASKS[case.task].from_config({"model": section})
    with torch.no_grad():
        for weight in task.model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight), alpha=0.1)
    return task


@pytest.fixture(scope="module")
def backbone(cases, tmp_path_factory):
    """A small masked language model with weights of its own."""
    folder = tmp_path_factory.mktemp("backbone")
    cases["masked_lm"].build().save_pretrained(folder)
    return folder


@peft_of_any_age
def test_merged_adapters_are_the_adapters(trainable_case, backbone, random_sequences, tmp_path):
    """The checkpoint computes what the model with adapters does, to 1e-5, and that model stays as it was."""
    peft = pytest.importorskip("peft")
    task, sequences = lora_task(trainable_case, backbone), random_sequences(5)
    before = outputs(task, sequences)
    task.save_pretrained(tmp_path)
    assert torch.equal(outputs(task, sequences), before)
    merged = type(task).from_pretrained(tmp_path)
    assert not isinstance(merged.model, peft.PeftModel)
    torch.testing.assert_close(outputs(merged, sequences), before, rtol=0, atol=1e-5)
    with task.model.disable_adapter():
        assert not torch.allclose(outputs(task, sequences), before, atol=1e-3)


@peft_of_any_age
def test_adapters_alone_load_with_peft(trainable_case, backbone, random_sequences, tmp_path):
    """On the backbone, from the subfolder; they are few."""
    peft = pytest.importorskip("peft")
    task, sequences = lora_task(trainable_case, backbone), random_sequences(5)
    task.save_pretrained(tmp_path)
    config = type(task).from_pretrained(tmp_path).config
    base = task.model_class.from_pretrained(backbone, config=config)
    loaded = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    batch = task.collate({"sequences": sequences})
    expected = task.model(**batch)
    torch.testing.assert_close(loaded(**batch).logits, expected.logits, rtol=0, atol=1e-6)
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(
        backbone
    )


@pytest.mark.parametrize("name", ["numbers", "base_numbers"])
def test_scale_of_the_targets_travels_with_the_checkpoint(cases, task_data, random_sequences, tmp_path, name):
    """The task predicts in the units of the data; the bare model in deviations from the mean."""
    case, sequences = cases[name], random_sequences(5)
    task = case.build(data=task_data(case))
    task.save_pretrained(tmp_path)
    again = type(task).from_pretrained(tmp_path)
    assert again.config.target_scaler == {"mean": [10.0, 10.0], "std": [2.0, 0.5]}
    assert again.target_names == ["x", "y"]
    batch = again.collate({"sequences": sequences})
    bare = plain_outputs(AUTO_CLASSES[case.task].from_pretrained(tmp_path), batch)
    torch.testing.assert_close(again(batch), bare * torch.tensor([2.0, 0.5]) + 10, rtol=0, atol=1e-6)
    assert torch.equal(outputs(again, sequences), outputs(task, sequences))
    labels = case.labels(sequences)
    found = again.collate({"sequences": sequences, "labels": labels})["labels"].reshape(-1, 2)
    plain = case.build().collate({"sequences": sequences, "labels": labels})["labels"].reshape(-1, 2)
    expected = (plain - 10) / torch.tensor([2.0, 0.5])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6, equal_nan=True)


def test_units_survive_bfloat16(cases, task_data, random_sequences):
    """A deviation of 1 beside a mean of 1000 is not lost, as it would be in eight bits."""
    from dnafm.data.labels import TargetScaler

    case = cases["numbers"]
    data = task_data(case, target_scaler=TargetScaler((1000.0, 1000.0), (1.0, 1.0)))
    task = case.build(data=data, dtype="bfloat16")
    values = outputs(task, random_sequences(8))
    bare = task.model(**task.collate({"sequences": random_sequences(8)})).logits
    assert values.dtype == torch.float32
    torch.testing.assert_close(values - 1000, bare.float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["classes", "base_classes", "multilabel", "pairs"])
def test_names_of_the_classes_travel_with_the_checkpoint(cases, task_data, tmp_path, name):
    """They are the names of predictions, and labels may be names."""
    case = cases[name]
    names = ("exon", "intron", "other")[: case.n_outputs]
    case.build(data=task_data(case, label_names=names)).save_pretrained(tmp_path)
    again = TASKS[case.task].from_pretrained(tmp_path)
    assert again.label_names == list(names)
    assert json.loads((tmp_path / "config.json").read_text())["label2id"] == {n: i for i, n in enumerate(names)}


def test_fitted_model_is_a_backbone_of_other_tasks(cases, random_sequences, tmp_path):
    """Its encoder is kept, and a head of another size or kind is fresh; with the same one, so is the head."""
    task, sequences = cases["classes"].build(), random_sequences(3)
    task.save_pretrained(tmp_path)
    encoder = task.model.model.state_dict()
    for task_type, options in (
        (SequenceClassification, {"n_classes": 5}),
        (TokenClassification, {"n_classes": 4}),
        (SequenceRegression, {}),
        (TASKS["PairwiseTokenClassification"], {"n_classes": 3}),
        (MaskedLM, {}),
    ):
        other = task_type.from_config({"model": {"backbone": str(tmp_path), **options}})
        weights = other.model.model.state_dict()
        assert all(torch.equal(weights[name], weight) for name, weight in encoder.items())
        assert outputs(other, sequences).isfinite().all()
        assert other.config.num_labels == options.get("n_classes", other.config.num_labels)
    same = SequenceClassification.from_config({"model": {"backbone": str(tmp_path)}})
    assert torch.equal(outputs(same, sequences), outputs(task, sequences))


def test_head_of_another_kind_is_not_made_up(cases, tmp_path):
    """`from_pretrained` is for what has been trained; embeddings need no head."""
    cases["classes"].build().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks weights of DNAFMForTokenClassification, such as classifier\.bias"):
        TokenClassification.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="lacks weights of DNAFMForMaskedLM, such as lm_head"):
        MaskedLM.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="lacks weights of DNAFMForSequenceClassification"):
        SequenceClassification.from_pretrained(tmp_path, n_classes=5)
    assert outputs(Embed.from_pretrained(tmp_path), ["ACGT"]).shape == (1, 6, 32)


def test_options_of_reading_can_be_changed(cases, tmp_path):
    """Those of `from_pretrained` take the place of the saved ones; a wrong one is told the nearest."""
    cases["classes"].build(lora={"r": 2}, max_length=30).save_pretrained(tmp_path)
    task = SequenceClassification.from_pretrained(tmp_path, attn_implementation="eager", max_length=None)
    assert task.model.kernel_report().attention.name == "eager"
    assert (task.max_bases, task.options.lora.r) == (62, 0)
    with pytest.raises(ValueError, match=r"model\.max_lenght is no option of .* did you mean model\.max_length\?"):
        SequenceClassification.from_pretrained(tmp_path, max_lenght=20)
