"""Quantized weights through transformers' `quantization_config`."""

import pytest
import torch

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification
from dnafm.checkpoints import backbone_location

pytest.importorskip("torchao")
from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig, PerGroup
from torchao.utils import TorchAOBaseTensor
from transformers import BitsAndBytesConfig, TorchAoConfig

BASES = "AGCT"
GROUP = 16  # divides the widths of the models of these tests, and those of dnafm_tiny
SCHEMES = {
    "int8": Int8WeightOnlyConfig(),
    "int4": PrototypeInt4WeightOnlyConfig(group_size=64),
    "int4 in bytes": IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(GROUP)),
}
SAVED_SCHEMES = ("int8", "int4 in bytes")  # torchao has no file format for the packed one
PROJECTIONS = {f"self_attn.{name}_proj" for name in "qkvo"} | {f"mlp.{name}_proj" for name in ("gate", "up", "down")}


@pytest.fixture
def saved(tiny_model, tmp_path):
    """Factory of a saved model: its folder."""

    def build(model_class, **overrides):
        tiny_model(model_class, **overrides).save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return build


def quantized_modules(model):
    return {
        name.removeprefix("model.").removesuffix(".weight")
        for name, weight in model.named_parameters()
        if isinstance(weight, TorchAOBaseTensor)
    }


def test_linear_layers_of_the_encoder_are_quantized_and_no_others(saved, model_class):
    """Seven matrices of each layer; embeddings, norms, biases and heads keep the dtype that was asked for."""
    config = TorchAoConfig(SCHEMES["int8"])
    model = model_class.from_pretrained(saved(model_class), quantization_config=config, dtype=torch.bfloat16)
    assert quantized_modules(model) == {f"layers.{index}.{name}" for index in range(2) for name in PROJECTIONS}
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert config.modules_to_not_convert is None, "the caller's own config has changed"


def test_decoder_stays_tied_to_the_embeddings(saved):
    """One weight, not a quantized copy of it, and it is not saved twice."""
    folder = saved(DNAFMForMaskedLM)
    model = DNAFMForMaskedLM.from_pretrained(folder, quantization_config=TorchAoConfig(SCHEMES["int8"]))
    assert model.lm_head.decoder.weight is model.model.embed_tokens.weight


def test_modules_named_by_the_caller_are_what_is_skipped(saved):
    """As in transformers, a list of one's own replaces the default one."""
    config = {"quant_method": "torchao", "modules_to_not_convert": [r".*\.mlp", r"classifier\.out_proj"]}
    config["quant_type"] = TorchAoConfig(SCHEMES["int8"]).to_dict()["quant_type"]
    folder = saved(DNAFMForSequenceClassification, num_hidden_layers=1)
    model = DNAFMForSequenceClassification.from_pretrained(folder, quantization_config=config)
    attention = {f"layers.0.self_attn.{name}_proj" for name in "qkvo"}
    assert quantized_modules(model) == attention | {"classifier.dense"}


def test_bitsandbytes_skips_the_heads_too(monkeypatch, saved):
    """Its config has another name for the list."""
    seen = []

    def stop(quantization_config, **kwargs):
        seen.append(quantization_config)
        raise InterruptedError

    monkeypatch.setattr("transformers.quantizers.auto.AutoHfQuantizer.from_config", stop)
    with pytest.raises(InterruptedError):
        DNAFMForMaskedLM.from_pretrained(
            saved(DNAFMForMaskedLM), quantization_config=BitsAndBytesConfig(load_in_4bit=True)
        )
    assert seen[0].llm_int8_skip_modules == ["lm_head", "conditioning", "classifier"]


def test_released_weights_are_quantized_under_their_own_names(tiny_model, tmp_path):
    """Renaming and quantizing while loading: the same as quantizing what was saved under today's names."""
    model = tiny_model(DNAFMForMaskedLM)
    input_ids = torch.randint(5, 9, (2, 20))
    logits = []
    for folder, released in ((tmp_path / "released", True), (tmp_path / "today", False)):
        model.save_pretrained(folder, save_original_format=released)
        loaded = DNAFMForMaskedLM.from_pretrained(folder, quantization_config=TorchAoConfig(SCHEMES["int8"]))
        assert len(quantized_modules(loaded)) == 2 * len(PROJECTIONS)
        logits.append(loaded(input_ids).logits)
    assert torch.equal(*logits)


@pytest.mark.parametrize("scheme", SAVED_SCHEMES)
def test_saved_quantized_model_loads_bit_for_bit(saved, batch, tmp_path, scheme):
    """Without a quantization config: the checkpoint carries it, and is smaller than one without."""
    folder = saved(DNAFMForMaskedLM)
    model = DNAFMForMaskedLM.from_pretrained(folder, quantization_config=TorchAoConfig(SCHEMES[scheme]))
    model.save_pretrained(tmp_path / "quantized")
    loaded = DNAFMForMaskedLM.from_pretrained(tmp_path / "quantized")
    assert quantized_modules(loaded) == quantized_modules(model)
    assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    sizes = [(each / "model.safetensors").stat().st_size for each in (tmp_path / "quantized", folder)]
    assert sizes[0] < sizes[1]


def masked_llrs(model, input_ids):
    """Log-likelihood ratios of the four bases against the one that stands at the middle of each row."""
    middle = input_ids.shape[1] // 2
    masked = input_ids.clone()
    masked[:, middle] = model.config.mask_token_id
    with torch.no_grad():
        logits = model(masked).logits[:, middle, 5:9].float()
    return logits - logits.gather(1, input_ids[:, middle, None] - 5)


def rank_correlation(first, second):
    """Of numbers without ties."""
    ranks = torch.stack([each.flatten().argsort().argsort() for each in (first, second)]).double()
    return torch.corrcoef(ranks)[0, 1].item()


@pytest.mark.parametrize(
    ("scheme", "dtype", "least"),
    [("int8", torch.float32, 0.999), ("int4", torch.bfloat16, 0.98), ("int4 in bytes", torch.bfloat16, 0.98)],
)
def test_variant_scores_keep_their_order(scheme, dtype, least):
    """On real DNA and the bundled checkpoint, quantized weights rank substitutions as float32 does."""
    from dnafm import DNAFMTokenizer
    from dnafm.data import load_splice_junctions

    location = backbone_location("dnafm_tiny")
    sequences = [each for each in load_splice_junctions().test.sequences if set(each) <= set(BASES)][:64]
    tokenizer = DNAFMTokenizer.from_pretrained(location)
    input_ids = tokenizer(sequences, return_tensors="pt")["input_ids"]
    expected = masked_llrs(DNAFMForMaskedLM.from_pretrained(location), input_ids)
    quantization = TorchAoConfig(SCHEMES[scheme])
    model = DNAFMForMaskedLM.from_pretrained(location, quantization_config=quantization, dtype=dtype)
    substitutions = expected != 0
    found = masked_llrs(model, input_ids)
    assert not torch.equal(found, expected)
    assert rank_correlation(found[substitutions], expected[substitutions]) > least


@pytest.mark.filterwarnings(r"ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")  # peft's own use
@pytest.mark.parametrize("scheme", SAVED_SCHEMES)
def test_adapters_train_on_quantized_weights(saved, batch, tmp_path, scheme):
    """LoRA on a quantized encoder: the loss falls, the base stays, and the adapters load onto another copy of it."""
    peft = pytest.importorskip("peft")
    folder = saved(DNAFMForSequenceClassification)
    options = {"quantization_config": TorchAoConfig(SCHEMES[scheme]), "num_labels": 3}
    base = DNAFMForSequenceClassification.from_pretrained(folder, **options)
    before = [weight.dequantize() for weight in base.parameters() if isinstance(weight, TorchAOBaseTensor)]
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
    model = peft.get_peft_model(base, config)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=0.02)
    losses = []
    for _ in range(5):
        losses.append(model(**batch, labels=torch.tensor([0, 2, 1])).loss)
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0]
    after = [weight.dequantize() for weight in base.parameters() if isinstance(weight, TorchAOBaseTensor)]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    model.save_pretrained(tmp_path / "adapter")
    other = DNAFMForSequenceClassification.from_pretrained(folder, **options)
    loaded = peft.PeftModel.from_pretrained(other, tmp_path / "adapter")
    torch.testing.assert_close(loaded.eval()(**batch).logits, model.eval()(**batch).logits)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("bits", [8, 4])
def test_bitsandbytes_quantizes_the_encoder_alone(saved, batch, bits):
    """QLoRA: 8-bit and NF4 weights, heads in bfloat16, a training step of adapters."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    peft = pytest.importorskip("peft")
    config = BitsAndBytesConfig(load_in_8bit=bits == 8, load_in_4bit=bits == 4)
    model = DNAFMForMaskedLM.from_pretrained(
        saved(DNAFMForMaskedLM), quantization_config=config, dtype=torch.bfloat16, device_map="cuda"
    )
    kind = bitsandbytes.nn.Linear8bitLt if bits == 8 else bitsandbytes.nn.Linear4bit
    assert sum(isinstance(module, kind) for module in model.modules()) == 2 * len(PROJECTIONS)
    assert not any(isinstance(module, kind) for module in model.lm_head.modules())
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    inputs = {name: tensor.cuda() for name, tensor in batch.items()}
    adapted(**inputs, labels=inputs["input_ids"]).loss.backward()
    gradients = [weight.grad for name, weight in adapted.named_parameters() if "lora_B" in name]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
