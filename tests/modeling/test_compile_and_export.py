import pytest
import torch

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification, DNAFMModel

BATCHES = ("padded", "full", "no mask")


@pytest.fixture(params=BATCHES)
def inputs(request, batch):
    """A padded batch, a full one, and one without a mask."""
    if request.param == "no mask":
        return {"input_ids": batch["input_ids"]}
    if request.param == "full":
        batch["attention_mask"] = torch.ones_like(batch["attention_mask"])
    return batch


@pytest.fixture(autouse=True)
def _fresh_compiler():
    """What another test compiled does not count against the limit of recompilations."""
    torch.compiler.reset()


@pytest.mark.parametrize("model_class", [DNAFMModel, DNAFMForMaskedLM, DNAFMForSequenceClassification])
def test_whole_graph_gives_what_eager_gives(model_class, tiny_model, inputs):
    """One graph without a break, traced for each kind of batch; padding is zero there too."""
    model = tiny_model(model_class)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(**inputs)[0], model(**inputs)[0])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_whole_graph_with_a_named_kernel(tiny_model, batch, attention):
    """Kernels that were asked for by name are part of the graph."""
    model = tiny_model(attn_implementation=attention, rope_implementation="eager")
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(**batch)[0], model(**batch)[0])


def test_whole_graph_of_explicit_positions(tiny_model, batch):
    """Position ids may be given under a mask; without one they are looked at for packed sequences."""
    model = tiny_model()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    positions = torch.arange(3, 12)[None]
    packed = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]])
    for mask, position_ids in ((batch["attention_mask"], positions), (None, positions), (None, packed)):
        found = compiled(batch["input_ids"], mask, position_ids).last_hidden_state
        torch.testing.assert_close(found, model(batch["input_ids"], mask, position_ids).last_hidden_state)


def test_compiled_gradients_are_eager_gradients(tiny_model, batch, labels_for):
    """Loss and gradients of a training step through the graph."""
    model = tiny_model(DNAFMForMaskedLM).train()
    labels = labels_for(DNAFMForMaskedLM)
    results = []
    for forward in (model, torch.compile(model, fullgraph=True, backend="aot_eager")):
        model.zero_grad()
        loss = forward(**batch, labels=labels).loss
        loss.backward()
        results.append((loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}))
    torch.testing.assert_close(results[1], results[0])


def test_other_lengths_are_served_by_one_dynamic_graph(tiny_model):
    """With `dynamic=True` a new length is not a new graph."""
    model = tiny_model()
    graphs = []

    def count(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=count)
    for length in (5, 8, 13):
        input_ids = torch.randint(5, 9, (2, length))
        mask = torch.ones_like(input_ids)
        mask[0, 3:] = 0
        found = compiled(input_ids, mask).last_hidden_state
        torch.testing.assert_close(found, model(input_ids, mask).last_hidden_state)
    assert len(graphs) == 1


@pytest.mark.slow
def test_generated_code_gives_what_eager_gives(tiny_model, batch):
    """Through inductor, with padding."""
    model = tiny_model(DNAFMForMaskedLM)
    with torch.no_grad():
        found = torch.compile(model, fullgraph=True)(**batch).logits
        torch.testing.assert_close(found, model(**batch).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model_class", [DNAFMModel, DNAFMForMaskedLM])
def test_exported_program_gives_what_eager_gives(model_class, tiny_model, inputs):
    """`torch.export` at a fixed length, and then other ids and, where there is one, another mask."""
    model = tiny_model(model_class)
    program = torch.export.export(model, args=(), kwargs=inputs).module()
    others = {name: tensor.flip(0) for name, tensor in inputs.items()}
    for kwargs in (inputs, others):
        torch.testing.assert_close(program(**kwargs)[0], model(**kwargs)[0])


def test_exported_program_can_be_saved(tiny_model, batch, tmp_path):
    """It needs neither dnafm nor transformers to run once it is loaded."""
    model = tiny_model(DNAFMForSequenceClassification)

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids, attention_mask).logits

    program = torch.export.export(Logits(), args=tuple(batch.values()))
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    torch.testing.assert_close(loaded(*batch.values()), model(**batch).logits)


@pytest.mark.slow
def test_flex_attention_gives_what_eager_gives(tiny_model, batch):
    """On packed tokens, and on the padded path where hidden states are recorded."""
    model, reference = tiny_model(attn_implementation="flex_attention"), tiny_model(attn_implementation="eager")
    reference.load_state_dict(model.state_dict())
    with torch.no_grad():
        for recorded in (False, True):
            found = model(**batch, output_hidden_states=recorded).last_hidden_state
            torch.testing.assert_close(found, reference(**batch).last_hidden_state, rtol=1e-4, atol=1e-4)
