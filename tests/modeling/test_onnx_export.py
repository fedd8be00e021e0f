"""ONNX files by the exporters of torch and of transformers, run by onnxruntime."""

import pytest
import torch

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

# torch copies a tree of inputs in a way that torch itself deprecates.
pytestmark = pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")


class Logits(torch.nn.Module):
    """A model whose inputs and output are tensors in order, as ONNX wants them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids, attention_mask).logits


def run(session, input_ids, attention_mask):
    inputs = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
    return torch.from_numpy(session.run(None, inputs)[0])


def other_batches(batch):
    """The batch itself, more rows, a single one, shorter rows, and one without padding."""
    input_ids, mask = batch["input_ids"], batch["attention_mask"]
    yield input_ids, mask
    yield input_ids.repeat(2, 1).flip(1), mask.repeat(2, 1).flip(1)
    yield input_ids[:1], mask[:1]
    yield input_ids[:, 4:], mask[:, 4:]
    yield torch.randint(5, 9, (2, 17)), torch.ones(2, 17, dtype=torch.long)


@pytest.mark.parametrize("model_class", [DNAFMForMaskedLM, DNAFMForSequenceClassification])
def test_onnxruntime_gives_the_logits_of_any_batch(model_class, tiny_model, batch, tmp_path):
    """One file for every batch size and length, padding left and right included."""
    model = tiny_model(model_class)
    any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        Logits(model).eval(),
        tuple(batch.values()),
        tmp_path / "model.onnx",
        dynamo=True,
        input_names=list(batch),
        dynamic_shapes=[any_size] * len(batch),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for input_ids, mask in other_batches(batch):
        with torch.no_grad():
            expected = model(input_ids, mask).logits
        torch.testing.assert_close(run(session, input_ids, mask), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_exporter_of_transformers(tiny_model, batch, tmp_path):
    """`OnnxExporter`, which newer releases have; what it saves runs without torch."""
    exporters = pytest.importorskip("transformers.exporters")
    model = tiny_model(DNAFMForMaskedLM)
    exported = exporters.OnnxExporter().export(model, batch, config=exporters.OnnxConfig(dynamic=True))
    exported.save_pretrained(tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for input_ids, mask in other_batches(batch):
        with torch.no_grad():
            expected = model(input_ids, mask).logits
        torch.testing.assert_close(run(session, input_ids, mask), expected, rtol=1e-4, atol=1e-4)
