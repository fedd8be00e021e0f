"""From a configuration to a model: sources, weights, what is trained, and what is refused."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dnafm import DNAFMConfig, DNAFMForMaskedLM, DNAFMModel
from dnafm.checkpoints import backbone_location
from dnafm.tasks import Embed, MaskedLM, SequenceClassification, SequenceRegression, TokenClassification

RELEASED = Path(__file__).parents[1] / "fixtures" / "released"


def test_every_spelling_builds_the_same_model(tmp_path):
    """Dotted, nested, Lightning's form, and a YAML file with other sections in it."""
    (tmp_path / "run.yaml").write_text(
        "model:\n  name: SequenceClassification\n  n_classes: 4\n  lora: {r: 2}\ndata: {path: x.csv}\n"
        "early_stopping_patience: 3\n"
    )
    sources = (
        {"model.n_classes": 4, "model.lora.r": 2},
        {"model": {"n_classes": 4, "lora": {"r": 2}}},
        {"model": {"class_path": "dnafm.tasks.SequenceClassification", "init_args": {"n_classes": 4, "lora.r": 2}}},
        str(tmp_path / "run.yaml"),
        tmp_path / "run.yaml",
    )
    built = []
    for source in sources:
        torch.manual_seed(0)
        built.append(SequenceClassification.from_config(source))
    logits = [task(task.collate({"sequences": ["ACGT"]})) for task in built]
    assert logits[0].shape == (1, 4)
    assert all(torch.equal(logits[0], each) for each in logits)
    assert all(task.options == built[0].options for task in built)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"model.n_clases": 2},
            "model.n_clases is no option of SequenceClassification; did you mean model.n_classes?",
        ),
        ({"model.n_classes": 0}, "model.n_classes is 0; it must be at least 1."),
        ({"modl.n_classes": 2}, "modl.n_classes is in no section; did you mean model?"),
        ({"model": "TokenClassification"}, "The configuration is that of the task TokenClassification, not of Seq"),
        (
            {"model.config_overrides": {"hiden_size": 8}},
            "model.config_overrides: DNAFMConfig has no field 'hiden_size'",
        ),
        ({"model.config_overrides": {"hidden_size": 64}}, "hidden_size is 64, and the checkpoint's weights are those"),
        (
            {"model.config_overrides": {"problem_type": "regression"}},
            "model.config_overrides sets ['problem_type'], which the",
        ),
        ({"model.max_length": 1027}, "model.max_length is 1027; the backbone's context has 1026 tokens."),
        ({"model.max_length": 2}, "model.max_length is 2; [CLS], one base and the suffix are 3 tokens."),
        ({"model.frozen": True, "model.lora.r": 2}, "model.frozen is set and model.lora.r is 2: choose one"),
        ({"model.lora": {"r": 2, "target_modules": ["query"]}}, "model.lora.target_modules is ['query'], which no"),
        ({"model.lora": {"r": 2, "target_modules": ["dense"]}}, "model.lora.target_modules is ['dense'], which no"),
        ({"model.quantization": {"quant_method": "4bits"}}, "Unknown quantization type, got 4bits"),
        (
            {"model.quantization": {"bits": 4}},
            "The model's quantization config from the arguments has no `quant_method`",
        ),
        (
            {"model.from_scratch": True, "model.quantization": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            "model.from_scratch and model.quantization: quantized weights cannot be trained.",
        ),
    ],
)
def test_configuration_that_cannot_be_had_is_refused(source, message):
    """The message names the key and what is wrong with it."""
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        SequenceClassification.from_config(source)


def test_missing_backbone_is_named(tmp_path):
    """With what it could have been."""
    message = rf"^The backbone '{tmp_path}/nowhere' is neither dnafm, dnafm_300m, dnafm_tiny, nor the folder"
    with pytest.raises(OSError, match=message):
        Embed.from_config({"model.backbone": f"{tmp_path}/nowhere"})


def test_known_backbone_that_cannot_be_had_says_what_it_is(monkeypatch):
    """The released 7B, where there is no connection: the message has its Hub id."""

    def unreachable(*args, **kwargs):
        raise OSError("no connection")

    monkeypatch.setattr(DNAFMConfig, "from_pretrained", unreachable)
    with pytest.raises(OSError, match=r"^The backbone 'dnafm' is genbio-ai/AIDO\.DNA-7B, which is not .*no connec"):
        Embed.from_config({"model.backbone": "dnafm"})


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_quantization_reaches_transformers():
    """Which says what is missing."""
    quantization = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    with pytest.raises(ImportError, match="bitsandbytes"):
        Embed.from_config({"model.quantization": quantization})


def test_pretrained_weights_are_those_of_the_checkpoint():
    """Every one of them, in float32 and in evaluation mode."""
    saved = load_file(Path(backbone_location("dnafm_tiny")) / "model.safetensors")
    task = MaskedLM.from_config({})
    weights = task.model.state_dict()
    assert all(torch.equal(weights[name], weight) for name, weight in saved.items())
    assert not any(module.training for module in task.modules())


def test_fresh_weights_are_none_of_the_checkpoint():
    """Of its shapes, normally distributed around 0 with the deviation of the config."""
    torch.manual_seed(20)  # not the one that the checkpoint began with
    fresh, pretrained = (MaskedLM.from_config({"model.from_scratch": each}) for each in (True, False))
    for (name, weight), known in zip(fresh.model.named_parameters(), pretrained.model.parameters(), strict=True):
        assert weight.shape == known.shape
        if name.endswith("_proj.weight"):
            assert weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert abs(torch.corrcoef(torch.stack([weight.flatten(), known.flatten()]))[0, 1]) < 0.05


def test_overrides_reach_the_config():
    """Those that leave pretrained weights alone, and with fresh weights all."""
    task = SequenceClassification.from_config({"model.config_overrides": {"hidden_dropout": 0.25}})
    assert task.config.hidden_dropout == task.model.classifier.dropout.p == 0.25
    fresh = Embed.from_config({"model.from_scratch": True, "model.config_overrides": {"num_hidden_layers": 1}})
    assert len(fresh.model.layers) == 1


def test_max_length_is_that_of_the_task():
    """Special tokens included; the config of the model keeps its context."""
    task = Embed.from_config({"model.max_length": 10})
    assert (task.max_bases, task.config.max_position_embeddings) == (8, 1026)
    with pytest.raises(ValueError, match=r"^Sequence 0 has 11 tokens, and the model reads 10\."):
        task.collate({"sequences": ["A" * 9]})


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "auto"])
@pytest.mark.parametrize("from_scratch", [True, False])
def test_weights_have_the_dtype_that_is_asked_for(dtype, from_scratch):
    """`auto` is that of the checkpoint, which is float32."""
    task = Embed.from_config({"model.dtype": dtype, "model.from_scratch": from_scratch})
    expected = torch.float32 if dtype == "auto" else getattr(torch, dtype)
    assert {weight.dtype for weight in task.model.parameters()} == {expected}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("from_scratch", [True, False])
def test_kernels_that_are_asked_for_run(attention, from_scratch):
    """Attention and rotary embedding, as the model reports them."""
    task = Embed.from_config(
        {
            "model.attn_implementation": attention,
            "model.rope_implementation": "eager",
            "model.from_scratch": from_scratch,
        }
    )
    report = task.model.kernel_report()
    assert (report.attention.name, report.rope.name) == (attention, "eager")


def test_unknown_kernel_is_refused():
    """Nothing else runs in its place."""
    with pytest.raises(ValueError, match="fast"):
        Embed.from_config({"model.attn_implementation": "fast"})


def test_checkpoint_that_lacks_weights_of_the_backbone_is_refused(cases, tmp_path):
    """One is missing, or has another shape than the config says."""
    cases["masked_lm"].build().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    saved = load_file(path)
    save_file(
        {name: weight for name, weight in saved.items() if "layers.1.mlp.up" not in name}, path, {"format": "pt"}
    )
    with pytest.raises(ValueError, match=r"lacks weights of the backbone, such as model\.layers\.1\.mlp\.up_proj"):
        TokenClassification.from_config({"model.backbone": str(tmp_path)})
    save_file({**saved, "model.norm.weight": torch.ones(7)}, path, {"format": "pt"})
    for task_type, name in ((SequenceRegression, r"model\.norm"), (Embed, "norm")):
        with pytest.raises(ValueError, match=f"such as {name}.weight in the shape that its config says"):
            task_type.from_config({"model.backbone": str(tmp_path)})


@pytest.mark.parametrize("folder", ["layernorm-bias", "rmsnorm-nobias-head34", "sharded-bin"])
def test_released_checkpoints_end_in_sep(folder, tmp_path):
    """They have no tokenizer; that of the task is saved, and the weights are those of the checkpoint."""
    task = Embed.from_config({"model.backbone": str(RELEASED / folder)})
    batch = task.collate({"sequences": ["ACG"]})
    assert task.tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist()) == ["[CLS]", "A", "C", "G", "[SEP]"]
    expected = DNAFMModel.from_pretrained(RELEASED / folder)(batch["input_ids"]).last_hidden_state
    assert torch.equal(task(batch), expected)
    task.save_pretrained(tmp_path)
    again = Embed.from_pretrained(tmp_path)
    assert torch.equal(again.collate({"sequences": ["ACG"]})["input_ids"], batch["input_ids"])


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_released_classifiers_compute_what_the_reference_code_computed(pooling):
    """Through the task, with the pooling that the checkpoint does not record."""
    folder = RELEASED / f"sequence-classification-{pooling}"
    task = SequenceClassification.from_pretrained(folder, pooling=pooling)
    expected = load_file(folder / "expected.safetensors")
    torch.testing.assert_close(task(expected), expected["logits"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("task_type", [SequenceClassification, SequenceRegression])
def test_head_for_sequences_without_a_hidden_layer(task_type, tmp_path):
    """With `frozen` all that is trained is a projection; a checkpoint keeps it, and its own head is not cut short."""
    task = task_type.from_config({"model.classifier_hidden_size": 0, "model.frozen": True})
    trained = [name for name, weight in task.model.named_parameters() if weight.requires_grad]
    assert trained == ["classifier.out_proj.weight", "classifier.out_proj.bias"]
    task.save_pretrained(tmp_path / "linear")
    assert task_type.from_pretrained(tmp_path / "linear").config.classifier_hidden_size == 0
    overrides = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 64}
    small = {"model.from_scratch": True, "model.config_overrides": overrides}
    task_type.from_config(small).save_pretrained(tmp_path / "usual")
    with pytest.raises(ValueError, match=r"classifier\.dense\.bias, a layer of its head .*classifier_hidden_size=0"):
        task_type.from_config({"model.backbone": str(tmp_path / "usual"), "model.classifier_hidden_size": 0})


def test_data_tell_the_classes(cases, task_data):
    """Their names and number, with which an option must agree."""
    data = task_data(cases["classes"], label_names=("exon", "intron", "other"))
    task = SequenceClassification.from_config({}, data=data)
    assert (task.label_names, task.config.num_labels) == (["exon", "intron", "other"], 3)
    assert task.config.label2id == {"exon": 0, "intron": 1, "other": 2}
    with pytest.raises(ValueError, match=r"^model\.n_classes is 2, and the data have 3\. Leave the option out"):
        SequenceClassification.from_config({"model.n_classes": 2}, data=data)


def test_classes_of_a_checkpoint_are_no_targets(cases, task_data, tmp_path):
    """Regression on a classifier has one output unless told otherwise, and its names are not those of classes."""
    data = task_data(cases["classes"], label_names=("exon", "intron", "other"))
    SequenceClassification.from_config({}, data=data).save_pretrained(tmp_path)
    for n_outputs, names in ((None, ["LABEL_0"]), (3, ["LABEL_0", "LABEL_1", "LABEL_2"])):
        task = SequenceRegression.from_config({"model": {"backbone": str(tmp_path), "n_outputs": n_outputs}})
        assert task.target_names == names
        assert json.loads((tmp_path / "config.json").read_text())["problem_type"] != task.config.problem_type


def test_masked_language_model_of_a_backbone_has_its_head():
    """The head is pretrained, too."""
    assert isinstance(MaskedLM.from_config().model, DNAFMForMaskedLM)
