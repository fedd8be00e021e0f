"""Plans that say how a model is cut: over stages of a pipeline, and by layer."""

from itertools import pairwise

from torch import nn

from dnafm import DNAFMConfig, DNAFMForMaskedLM


def test_pipeline_plan_names_all_of_the_encoder(tiny_model):
    """In the order of the forward pass, without a weight left out; each stage hands on what the next one takes."""
    encoder = tiny_model().base_model
    plan = DNAFMConfig.base_model_pp_plan
    of_plan = [name for name, _ in encoder.named_parameters() if name.split(".")[0] in plan]
    assert of_plan == [name for name, _ in encoder.named_parameters()]
    stages = list(plan.values())
    for (_, handed_on), (taken, _) in pairwise(stages[1:]):
        assert set(handed_on) <= set(taken)


def test_pipeline_plan_computes_the_encoder(tiny_model, batch):
    """Stage after stage by hand, two layers each on its own, gives what the whole encoder gives."""
    encoder = tiny_model()
    states = encoder.embed_tokens(batch["input_ids"])
    positions = encoder.rotary_emb(states, batch["input_ids"].new_tensor([range(states.shape[1])]))
    for layer in encoder.layers:
        states = layer(states, position_embeddings=positions)
    expected = encoder(batch["input_ids"]).last_hidden_state
    assert encoder.norm(states).allclose(expected, atol=1e-5)


def test_layers_are_the_units_that_are_not_split(tiny_model):
    """What FSDP2, accelerate and checkpointing wrap is one layer with all its weights."""
    model = tiny_model(DNAFMForMaskedLM)
    units = [module for module in model.modules() if type(module).__name__ in model._no_split_modules]
    assert units == list(model.model.layers)
    assert isinstance(model.model.layers, nn.ModuleList)
    assert "layers.*" in DNAFMConfig.base_model_fsdp_plan
