import copy

import pytest
import torch
from accelerate import disk_offload, infer_auto_device_map, init_empty_weights, load_checkpoint_and_dispatch
from transformers.integrations.peft import MIN_PEFT_VERSION

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification


@pytest.fixture
def saved(tiny_model, batch, tmp_path):
    """Factory of a saved model: its folder, and what its first output is for `batch`."""

    def build(model_class, **overrides):
        model = tiny_model(model_class, **overrides)
        model.save_pretrained(tmp_path / "model")
        with torch.no_grad():
            return tmp_path / "model", model(**batch)[0]

    return build


# A layer has 37 KB: room for some of four.
LITTLE_MEMORY = {"cpu": "120KB", "disk": "1GB"}


def test_layers_on_disk_compute_the_same(model_class, saved, batch, tmp_path):
    """`device_map="auto"` with little memory: a layer on disk, none split, equal outputs for a padded batch."""
    folder, expected = saved(model_class, num_hidden_layers=4)
    places = {"device_map": "auto", "max_memory": LITTLE_MEMORY, "offload_folder": tmp_path / "offload"}
    model = model_class.from_pretrained(folder, **places)
    layers = {name: place for name, place in model.hf_device_map.items() if "layers" in name}
    assert {name.removeprefix("model.") for name in layers} == {f"layers.{index}" for index in range(4)}
    assert set(layers.values()) == {"cpu", "disk"}
    with torch.no_grad():
        torch.testing.assert_close(model(**batch)[0], expected)
        torch.testing.assert_close(model(**batch, output_hidden_states=True)[0], expected)


def test_accelerate_dispatches_an_empty_model(model_class, saved, batch, tmp_path):
    """`infer_auto_device_map` and `load_checkpoint_and_dispatch`, on the meta device until then."""
    folder, expected = saved(model_class, num_hidden_layers=4)
    with init_empty_weights():
        model = model_class(model_class.config_class.from_pretrained(folder))
    model.tie_weights()
    places = infer_auto_device_map(model, LITTLE_MEMORY, no_split_module_classes=model._no_split_modules)
    assert "disk" in places.values()
    model = load_checkpoint_and_dispatch(model, str(folder), device_map=places, offload_folder=tmp_path / "offload")
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(**batch)[0], expected)


def test_whole_model_can_stay_on_disk(model_class, saved, batch, tmp_path):
    """`disk_offload` brings each weight in when its module runs."""
    folder, expected = saved(model_class)
    model = disk_offload(model_class.from_pretrained(folder), tmp_path / "offload", execution_device="cpu")
    assert all(parameter.device.type == "meta" for parameter in model.parameters())
    with torch.no_grad():
        torch.testing.assert_close(model(**batch)[0], expected)


# peft calls transformers by names that newer releases warn of.
peft_of_any_age = pytest.mark.filterwarnings(r"ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")


@pytest.fixture
def lora(head_class, tiny_model):
    """A head, and a copy of it with LoRA on queries and values, of which the new weights are no longer zero."""
    peft = pytest.importorskip("peft")
    tasks = {DNAFMForMaskedLM: None, DNAFMForSequenceClassification: "SEQ_CLS"}
    task = tasks.get(head_class, "TOKEN_CLS")
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type=task)
    base = tiny_model(head_class)
    model = peft.get_peft_model(copy.deepcopy(base), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.2)
    return base, model.eval()


@peft_of_any_age
def test_lora_trains_queries_values_and_head_only(lora, head_class, batch, labels_for):
    """A step changes the adapter and a classifier, and none of the frozen weights."""
    _, model = lora
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    of_head = {name for name in trained if "lora_" not in name}
    assert len(trained - of_head) == 2 * 2 * 2  # layers, projections, A and B
    assert bool(of_head) == (head_class is not DNAFMForMaskedLM)
    assert all("classifier" in name for name in of_head)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    model.train()(**batch, labels=labels_for(head_class)).loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert {name for name, parameter in model.named_parameters() if not parameter.equal(before[name])} == trained


@peft_of_any_age
def test_lora_is_saved_loaded_and_merged(lora, head_class, batch, tmp_path):
    """The adapter on another copy of the base, and merged into it, gives the logits that it was saved with."""
    peft = pytest.importorskip("peft")
    base, model = lora
    expected = model(**batch).logits
    assert not torch.allclose(expected, base(**batch).logits, atol=1e-2)
    model.save_pretrained(tmp_path / "adapter")
    loaded = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")
    torch.testing.assert_close(loaded(**batch).logits, expected)
    merged = loaded.merge_and_unload()
    assert type(merged) is head_class
    torch.testing.assert_close(merged(**batch).logits, expected, rtol=1e-4, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    again = head_class.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(again(**batch).logits, expected, rtol=1e-4, atol=1e-4)


@peft_of_any_age
def test_adapter_of_transformers_itself(tiny_model, batch, tmp_path):
    """`add_adapter`, without a wrapper: only the adapter is saved, and it loads back onto the encoder's weights."""
    peft = pytest.importorskip("peft", minversion=MIN_PEFT_VERSION)
    model = tiny_model(DNAFMForMaskedLM)
    model.save_pretrained(tmp_path / "base")
    model.add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    expected = model.eval()(**batch).logits
    model.save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    loaded = DNAFMForMaskedLM.from_pretrained(tmp_path / "base")
    assert not torch.allclose(loaded(**batch).logits, expected, atol=1e-2)
    loaded.load_adapter(str(tmp_path / "adapter"))
    torch.testing.assert_close(loaded.eval()(**batch).logits, expected)
