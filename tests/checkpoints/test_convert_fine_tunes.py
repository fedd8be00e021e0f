"""Fine-tunes of the reference code, as Lightning stores them, become dnafm's heads or are refused by name."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification, DNAFMForTokenClassification, DNAFMModel
from dnafm.checkpoints import read_checkpoint, write_checkpoint

RELEASED = Path(__file__).parents[1] / "fixtures" / "released"
FOUR_HEADS = {"backbone": {"class_path": "a", "init_args": {"config_overwrites": {"num_attention_heads": 4}}}}


def golden(name):
    """Tensors and expected outputs of a released folder."""
    return load_file(RELEASED / name / "model.safetensors"), load_file(RELEASED / name / "expected.safetensors")


def encoder_of(tensors):
    """What a fine-tune stores of its backbone, which is a model without a head."""
    kept = {name.removeprefix("bert."): t for name, t in tensors.items() if name.startswith("bert.")}
    return {f"backbone.encoder.{name}": t for name, t in kept.items()}


@pytest.fixture
def save_ckpt(tmp_path):
    """Factory of `.ckpt` files as Lightning writes them."""

    def save(state_dict, settings=None):
        content = {"epoch": 3, "global_step": 7, "pytorch-lightning_version": "2.4.0", "state_dict": state_dict}
        content |= {"loops": {}, "callbacks": {}, "optimizer_states": [{"state": {0: {"step": torch.tensor(7.0)}}}]}
        torch.save(content | ({} if settings is None else {"hyper_parameters": settings}), tmp_path / "last.ckpt")
        return tmp_path / "last.ckpt"

    return save


def converted(path, model_class, folder, **options):
    write_checkpoint(read_checkpoint(path, **options), folder / "new")
    model, report = model_class.from_pretrained(folder / "new", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model


def assert_logits(model, expected):
    mask = expected["attention_mask"]
    with torch.no_grad():
        logits = model(input_ids=expected["input_ids"], attention_mask=mask).logits
    kept = mask.bool() if logits.dim() == 3 else slice(None)
    torch.testing.assert_close(logits[kept], expected["logits"][kept], atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_heads_of_the_backbones_own_class(save_ckpt, tmp_path, pooling):
    """`use_legacy_adapter`: the head is stored twice, and the outputs are the reference code's."""
    tensors, expected = golden(f"sequence-classification-{pooling}")
    head = {name.removeprefix("classifier."): t for name, t in tensors.items() if name.startswith("classifier.")}
    state = encoder_of(tensors)
    state |= {f"{prefix}.{name}": t for prefix in ("adapter", "backbone.decoder") for name, t in head.items()}
    path = save_ckpt(state, {**FOUR_HEADS, "n_classes": len(head["out_proj.bias"]), "multilabel": False})
    model = converted(path, DNAFMForSequenceClassification, tmp_path, pooling=pooling)
    assert model.config.problem_type == "single_label_classification"
    assert_logits(model, expected)


@pytest.mark.parametrize("last", ["mlp.4", "mlp.3"])
def test_pooled_perceptron_is_the_same_head(save_ckpt, tmp_path, last):
    """`MLPPoolAdapter` with one hidden layer, with and without dropout in its middle; it records its pooling."""
    tensors, expected = golden("sequence-classification-mean")
    state = encoder_of(tensors)
    for theirs, ours in (("mlp.1", "dense"), (last, "out_proj")):
        state |= {f"adapter.{theirs}.{kind}": tensors[f"classifier.{ours}.{kind}"] for kind in ("weight", "bias")}
    adapter = {"class_path": "modelgenerator.adapters.MLPPoolAdapter", "init_args": {"pooling": "mean_pooling"}}
    path = save_ckpt(state, {**FOUR_HEADS, "adapter": adapter, "num_outputs": 2})
    model = converted(path, DNAFMForSequenceClassification, tmp_path)
    assert (model.config.problem_type, model.config.classifier_pooling) == ("regression", "mean")
    assert_logits(model, expected)


def pooled_states(expected, how):
    """What the reference code's adapters pool, of the golden hidden states."""
    states, mask = expected["hidden_states"][-1], expected["attention_mask"].bool()
    rows = [row[real] for row, real in zip(states, mask, strict=True)]
    return torch.stack([{"cls": x[0], "mean": x.mean(0), "max": x.amax(0)}[how] for x in rows])


LINEAR_ADAPTERS = [
    ("LinearCLSAdapter", "cls", "linear", {}),
    ("LinearMeanPoolAdapter", "mean", "linear", {}),
    ("LinearMaxPoolAdapter", "max", "linear", {}),
    ("MLPPoolAdapter", "mean", "mlp.1", {"pooling": "mean_pooling"}),
]


@pytest.mark.parametrize(("adapter", "pooling", "name", "arguments"), LINEAR_ADAPTERS)
def test_linear_heads_for_sequences(save_ckpt, tmp_path, adapter, pooling, name, arguments):
    """A projection of what the adapter's class pools, which is the default of the reference code's tasks."""
    tensors, expected = golden("layernorm-bias")
    weight, bias = torch.randn(3, tensors["bert.encoder.ln.weight"].shape[0]), torch.randn(3)
    state = encoder_of(tensors) | {f"adapter.{name}.weight": weight, f"adapter.{name}.bias": bias}
    recorded = {"class_path": f"modelgenerator.adapters.{adapter}", "init_args": arguments}
    path = save_ckpt(state, {**FOUR_HEADS, "adapter": recorded, "n_classes": 3})
    model = converted(path, DNAFMForSequenceClassification, tmp_path)
    assert (model.config.classifier_hidden_size, model.config.classifier_pooling) == (0, pooling)
    assert_logits(model, {**expected, "logits": pooled_states(expected, pooling) @ weight.T + bias})
    with pytest.raises(ValueError, match=r"without a hidden layer|pooling by the maximum"):
        write_checkpoint(read_checkpoint(path), tmp_path / "released", layout="released")


def test_pooled_perceptron_of_another_width_and_activation(save_ckpt, tmp_path):
    """`MLPPoolAdapter(hidden_sizes=[24], activation_layer=torch.nn.ReLU)`."""
    tensors, expected = golden("layernorm-bias")
    hidden_size = tensors["bert.encoder.ln.weight"].shape[0]
    dense, out = torch.nn.Linear(hidden_size, 24), torch.nn.Linear(24, 3)
    state = encoder_of(tensors)
    for place, layer in ((1, dense), (4, out)):
        state |= {f"adapter.mlp.{place}.{kind}": getattr(layer, kind).detach() for kind in ("weight", "bias")}
    arguments = {"pooling": "cls_pooling", "activation_layer": "torch.nn.ReLU"}
    path = save_ckpt(state, {**FOUR_HEADS, "adapter": {"class_path": "MLPPoolAdapter", "init_args": arguments}})
    model = converted(path, DNAFMForSequenceClassification, tmp_path)
    with torch.no_grad():
        assert_logits(model, {**expected, "logits": out(dense(pooled_states(expected, "cls")).relu())})


@pytest.mark.parametrize("names", [["adapter.1.{}"], ["adapter.{}", "backbone.decoder.{}"]])
def test_linear_head_for_tokens(save_ckpt, tmp_path, names):
    """`LinearAdapter`, and the backbone's own head."""
    tensors, expected = golden("token-classification")
    state = encoder_of(tensors)
    state |= {name.format(kind): tensors[f"classifier.{kind}"] for name in names for kind in ("weight", "bias")}
    assert_logits(converted(save_ckpt(state, FOUR_HEADS), DNAFMForTokenClassification, tmp_path), expected)


def test_masked_language_model_that_was_trained_on(save_ckpt, tmp_path):
    """The decoder, stored twice and tied, becomes the head of `DNAFMForMaskedLM`."""
    tensors, expected = golden("layernorm-bias")
    head = {name.removeprefix("cls."): t for name, t in tensors.items() if name.startswith("cls.")}
    state = encoder_of(tensors)
    state |= {f"{prefix}.{name}": t for prefix in ("adapter", "backbone.decoder") for name, t in head.items()}
    assert_logits(converted(save_ckpt(state, FOUR_HEADS), DNAFMForMaskedLM, tmp_path), expected)


def test_backbone_without_an_adapter_is_an_encoder(save_ckpt, tmp_path):
    """A checkpoint of a backbone alone, with the dimensions that its tensors have."""
    tensors, expected = golden("layernorm-bias")
    model = converted(save_ckpt(encoder_of(tensors), FOUR_HEADS), DNAFMModel, tmp_path)
    mask = expected["attention_mask"]
    with torch.no_grad():
        states = model(expected["input_ids"], mask).last_hidden_state
    torch.testing.assert_close(states[mask.bool()], expected["hidden_states"][-1][mask.bool()], atol=1e-5, rtol=0)


def low_rank_state(tensors, *, only_adapters):
    """A backbone with low-rank adapters of query and value, as peft names it."""
    state, expected = {}, {}
    for name, tensor in tensors.items():
        inner = f"backbone.encoder.base_model.model.{name.removeprefix('bert.')}"
        adapted = ".attention.self.query." in name or ".attention.self.value." in name
        if adapted:
            module, kind = inner.rsplit(".", 1)
            state[f"{module}.base_layer.{kind}"] = tensor
            if kind == "weight":
                down, up = torch.randn(4, tensor.shape[1]), torch.randn(tensor.shape[0], 4)
                state |= {f"{module}.lora_A.default.weight": down, f"{module}.lora_B.default.weight": up}
                expected[name] = tensor + 32 / 4 * up @ down
        else:
            state[inner] = tensor
    if only_adapters:
        state = {name: tensor for name, tensor in state.items() if "lora_" in name}
    return state, expected


@pytest.mark.parametrize("only_adapters", [False, True])
def test_low_rank_adapters_are_merged(save_ckpt, only_adapters):
    """W + alpha / r * B A, with the base's weights where only the adapters were saved; all else is as it was."""
    tensors, _ = golden("token-classification")
    bert = {name: t for name, t in tensors.items() if name.startswith("bert.")}
    state, expected = low_rank_state(bert, only_adapters=only_adapters)
    state |= {f"adapter.1.{kind}": tensors[f"classifier.{kind}"] for kind in ("weight", "bias")}
    arguments = {"lora_alpha": 32, "lora_r": 4, "config_overwrites": {"num_attention_heads": 4}}
    path = save_ckpt(state, {"backbone": {"class_path": "a", "init_args": arguments}})
    found = read_checkpoint(path, base=RELEASED / "token-classification" if only_adapters else None).tensors
    for layer in range(2):
        for theirs, ours in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
            name = f"bert.encoder.layer.{layer}.attention.self.{theirs}.weight"
            weight = found[f"model.layers.{layer}.self_attn.{ours}.weight"].read()
            torch.testing.assert_close(weight, expected.get(name, tensors[name]))
    assert torch.equal(found["model.norm.weight"].read(), tensors["bert.encoder.ln.weight"])


def test_adapters_without_what_they_adapt_are_refused(save_ckpt):
    """The message names a weight and the option; so does that of an unknown alpha."""
    tensors, _ = golden("token-classification")
    bert = {name: t for name, t in tensors.items() if name.startswith("bert.")}
    state, _ = low_rank_state(bert, only_adapters=True)
    with pytest.raises(ValueError, match=r"adapts model\.layers\.0\.self_attn\.q_proj\.weight .*--base"):
        read_checkpoint(save_ckpt(state))
    with pytest.raises(ValueError, match="lora_alpha"):
        read_checkpoint(save_ckpt(state), base=RELEASED / "token-classification")


def test_frozen_backbone_comes_from_the_base(save_ckpt):
    """A file of the head alone, whose backbone was frozen and not saved."""
    tensors, _ = golden("token-classification")
    path = save_ckpt({f"adapter.1.{kind}": tensors[f"classifier.{kind}"] for kind in ("weight", "bias")})
    with pytest.raises(ValueError, match=r"frozen\. Say what it is by --base"):
        read_checkpoint(path)
    checkpoint = read_checkpoint(path, base=RELEASED / "layernorm-bias")
    assert checkpoint.model_class is DNAFMForTokenClassification
    assert checkpoint.config.num_labels == len(tensors["classifier.bias"])
    base = load_file(RELEASED / "layernorm-bias" / "model.safetensors")
    assert torch.equal(checkpoint.tensors["model.norm.bias"].read(), base["bert.encoder.ln.bias"])


@pytest.mark.parametrize(
    "names",
    [
        ["transformer.layers.0.norm1", "linear"],  # LinearTransformerAdapter
        ["mlp.1", "mlp.4", "mlp.7"],  # two hidden layers
        ["in_to_conv", "conv_to_output"],  # a convolution over pairs
    ],
)
def test_adapters_that_correspond_to_no_head_are_refused(save_ckpt, names):
    """The message lists their keys and says which do correspond."""
    state = encoder_of(golden("token-classification")[0])
    state |= {f"adapter.{name}.{kind}": torch.zeros(2, 64) for name in names for kind in ("weight", "bias")}
    with pytest.raises(ValueError, match="no head of dnafm") as error:
        read_checkpoint(save_ckpt(state, FOUR_HEADS))
    for name in names:
        assert f"adapter.{name}.weight" in str(error.value)


def test_keys_of_something_else_are_refused(save_ckpt):
    """What is neither backbone nor adapter, or a second copy of the head that differs, is named."""
    tensors, _ = golden("token-classification")
    state = encoder_of(tensors) | {f"adapter.{kind}": tensors[f"classifier.{kind}"] for kind in ("weight", "bias")}
    with pytest.raises(ValueError, match=re.escape("its adapter: diffusion.schedule.")):
        read_checkpoint(save_ckpt(state | {"diffusion.schedule": torch.zeros(3)}, FOUR_HEADS))
    with pytest.raises(ValueError, match=r"backbone\.decoder\.bias and .*adapter\.bias differ"):
        read_checkpoint(save_ckpt(state | {"backbone.decoder.bias": torch.zeros(3)}, FOUR_HEADS))
    with pytest.raises(ValueError, match=r"backbone\.encoder\.pooler\.weight"):
        read_checkpoint(save_ckpt(state | {"backbone.encoder.pooler.weight": torch.zeros(3)}, FOUR_HEADS))


def test_what_shapes_do_not_tell_is_asked_for(save_ckpt):
    """Attention heads without settings, a pooling that was not recorded, an activation that is not known."""
    tensors, _ = golden("sequence-classification-cls")
    state = encoder_of(tensors)
    with pytest.raises(ValueError, match=r"how many attention heads .*--base"):
        read_checkpoint(save_ckpt(state))
    for theirs, ours in (("mlp.1", "dense"), ("mlp.4", "out_proj")):
        state |= {f"adapter.{theirs}.{kind}": tensors[f"classifier.{ours}.{kind}"] for kind in ("weight", "bias")}
    with pytest.raises(ValueError, match="--pooling cls"):
        read_checkpoint(save_ckpt(state, FOUR_HEADS))
    adapter = {"class_path": "a", "init_args": {"activation_layer": "torch.nn.PReLU", "pooling": "cls_pooling"}}
    with pytest.raises(ValueError, match=r"activation_layer is torch\.nn\.PReLU"):
        read_checkpoint(save_ckpt(state, {**FOUR_HEADS, "adapter": adapter}))
