"""Conditions of sequences: nothing at the start, each for its own sequence alone, saved with the checkpoint."""

import pytest
import torch
from transformers import AutoModelForMaskedLM

from dnafm import DNAFMForMaskedLM, DNAFMForSequenceClassification, encode_conditions

CLASSES = {"condition_classes": ["high", "low", "none"]}
NUMBERS = {"condition_size": 2, "condition_mean": [1000.0, 2.0], "condition_std": [1.0, 3.0]}
CONDITIONS = {"class": ["low", 0, "high"], "numbers": [[1001.0, 2.0], [999.0, 8.0], [1000.5, -1.0]]}


@pytest.fixture(params=[CLASSES, NUMBERS], ids=["class", "numbers"])
def kind(request):
    """What a model is conditioned on, as fields of its config."""
    return request.param


@pytest.fixture
def condition(kind, tiny_config):
    """Different conditions of three sequences."""
    return encode_conditions(CONDITIONS["class" if kind is CLASSES else "numbers"], tiny_config(**kind))


@pytest.fixture
def model(kind, tiny_model):
    """A model in which no weight is zero."""
    return tiny_model(DNAFMForMaskedLM, **kind)


def test_fresh_conditioning_changes_nothing(kind, condition, tiny_config, batch):
    """Training starts from the unconditional model, to the bit."""
    fresh = DNAFMForMaskedLM(tiny_config(**kind)).eval()
    assert torch.equal(fresh(**batch, condition=condition).logits, fresh(**batch).logits)


def test_conditioning_of_an_unconditional_checkpoint_is_fresh(kind, condition, tiny_model, batch, tmp_path):
    """All its weights are kept, and the conditioning is zero in the end."""
    plain = tiny_model(DNAFMForMaskedLM)
    plain.save_pretrained(tmp_path)
    model = DNAFMForMaskedLM.from_pretrained(tmp_path, **kind)
    assert torch.equal(model(**batch, condition=condition).logits, plain(**batch).logits)
    assert all(weight.isfinite().all() for weight in model.conditioning.parameters())


def test_condition_is_that_of_its_own_sequence(model, condition, batch):
    """Padded on either side, packed by positions or by boundaries, and alone: all the same."""
    mask = batch["attention_mask"].bool()
    sequences = [ids[own] for ids, own in zip(batch["input_ids"], mask, strict=True)]
    alone = [model(ids[None], condition=condition[i : i + 1]).logits[0] for i, ids in enumerate(sequences)]
    expected = torch.cat(alone)
    torch.testing.assert_close(model(**batch, condition=condition).logits[mask], expected, rtol=0, atol=1e-5)
    row = torch.cat(sequences)[None]
    positions = torch.cat([torch.arange(len(ids)) for ids in sequences])[None]
    boundaries = torch.tensor([0, *map(len, sequences)]).cumsum(0).int()
    for places in ({"position_ids": positions}, {"cu_seq_lens_q": boundaries}):
        found = model(row, condition=condition, **places).logits[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    twice = {"input_ids": row.repeat(2, 1), "position_ids": positions}
    found = model(**twice, condition=torch.cat([condition, condition.flip(0)])).logits
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-5)
    assert not torch.allclose(found[1], expected, atol=1e-3)


def test_other_conditions_of_a_batch_do_not_matter(model, condition, batch):
    """A sequence changes with its own condition, and with no other one."""
    before = model(**batch, condition=condition).logits
    changed = condition.clone()
    changed[1] = condition[0]
    after = model(**batch, condition=changed).logits
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]], rtol=0, atol=1e-6)
    assert (after[1] - before[1]).abs().max() > 1e-3


def test_masked_condition_is_no_condition(model, condition, batch):
    """A sequence whose condition is masked gets what the unconditional model says, whatever the condition is."""
    found = model(**batch, condition=condition, condition_mask=torch.tensor([1, 0, 1])).logits
    torch.testing.assert_close(found[1], model(**batch).logits[1], rtol=0, atol=1e-6)
    unknown = condition.clone()
    unknown[1] = 99 if condition.dim() == 1 else float("nan")
    again = model(**batch, condition=unknown, condition_mask=torch.tensor([1, 0, 1])).logits
    assert torch.equal(again, found)


def test_gradient_reaches_every_weight(model, condition, batch):
    """Of the conditioning, and of the last layer of a fresh one, which is zero."""
    model(**batch, condition=condition, labels=batch["input_ids"]).loss.backward()
    weights = dict(model.conditioning.named_parameters())
    assert weights
    for name, weight in weights.items():
        assert weight.grad.abs().max() > 0, name


def test_gradient_reaches_a_fresh_conditioning(kind, condition, tiny_config, batch):
    """Zeros are no saddle: the last layer moves in the first step."""
    fresh = DNAFMForMaskedLM(tiny_config(**kind))
    fresh(**batch, condition=condition, labels=batch["input_ids"]).loss.backward()
    last = fresh.conditioning.class_embedding if kind is CLASSES else fresh.conditioning.out_proj
    assert last.weight.grad.abs().max() > 0


def test_conditioning_is_saved_with_the_checkpoint(model, condition, batch, tmp_path):
    """The Auto class loads the same model, to the bit, with names and scale."""
    model.save_pretrained(tmp_path)
    again = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert torch.equal(again(**batch, condition=condition).logits, model(**batch, condition=condition).logits)
    for name in ("condition_classes", "condition_size", "condition_mean", "condition_std"):
        assert getattr(again.config, name) == getattr(model.config, name)


def test_numbers_are_standardised(tiny_model, batch):
    """In the units of the data under mean and deviation is standardised without them, also beside a large mean."""
    scaled = tiny_model(DNAFMForMaskedLM, **NUMBERS)
    plain = tiny_model(DNAFMForMaskedLM, condition_size=2)
    plain.load_state_dict(scaled.state_dict())
    values = torch.tensor([[1001.0, 2.0], [999.0, 8.0], [1000.5, -1.0]])
    expected = plain(**batch, condition=(values - torch.tensor([1000.0, 2.0])) / torch.tensor([1.0, 3.0])).logits
    torch.testing.assert_close(scaled(**batch, condition=values).logits, expected, rtol=0, atol=1e-6)
    half = scaled.bfloat16()(**batch, condition=values).logits.float()
    torch.testing.assert_close(half, expected, rtol=0, atol=0.1)


def test_embedded_tokens_take_conditions(model, condition, batch):
    """Embeddings in place of ids are the same."""
    embeddings = model.model.embed_tokens(batch["input_ids"])
    found = model(inputs_embeds=embeddings, attention_mask=batch["attention_mask"], condition=condition).logits
    assert torch.equal(found, model(**batch, condition=condition).logits)


def test_model_compiles_with_conditions(model, condition, batch):
    """In one graph, on the padded path, to rounding."""
    expected = model(**batch, condition=condition).logits
    compiled = torch.compile(model, fullgraph=True, backend="eager")(**batch, condition=condition).logits
    mask = batch["attention_mask"].bool()
    torch.testing.assert_close(compiled[mask], expected[mask], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "condition", "message"),
    [
        ({}, torch.tensor([0, 1, 0]), "the model is unconditional"),
        (CLASSES, torch.tensor([0, 3, 0]), "ids run from 0 to 2, those of high, low, none"),
        (CLASSES, torch.tensor([0, -1, 0]), "ids run from 0 to 2"),
        (CLASSES, torch.zeros(3), "must be integer ids of the classes high, low, none"),
        (CLASSES, torch.tensor([0, 1]), "There are 3 sequences and 2 conditions"),
        (NUMBERS, torch.zeros(3, 3), r"must be \(sequences, 2\) numbers"),
        (NUMBERS, torch.zeros(3), r"must be \(sequences, 2\) numbers"),
        (NUMBERS, torch.tensor([[0.0, float("nan")]] * 3), "missing or infinite"),
        (NUMBERS, torch.tensor([[0.0, float("inf")]] * 3), "missing or infinite"),
    ],
)
def test_wrong_condition_is_refused(tiny_model, batch, fields, condition, message):
    """The message says what it must be."""
    with pytest.raises(ValueError, match=message):
        tiny_model(DNAFMForMaskedLM, **fields)(**batch, condition=condition)


def test_mask_goes_with_conditions(model, condition, batch):
    """A mask without conditions, and one of another shape, are refused."""
    with pytest.raises(ValueError, match="the condition is missing"):
        model(**batch, condition_mask=torch.ones(3))
    with pytest.raises(ValueError, match=r"condition_mask of shape \(2,\) must be \(sequences,\)"):
        model(**batch, condition=condition, condition_mask=torch.ones(2))


@pytest.mark.parametrize(
    ("fields", "conditions", "message"),
    [
        ({}, [0], "the model is unconditional"),
        (CLASSES, ["low", "medium"], "of sequence 1 is 'medium'; it must be one of the classes high, low, none"),
        (CLASSES, [3], "The condition is 3; it must be one of"),
        (CLASSES, [float("nan")], "The condition is nan; it must be one of"),
        (NUMBERS, [1.0], "The condition is 1.0; the model takes 2 numbers"),
        (NUMBERS, [[1.0, 2.0], [1.0, 2.0, 3.0]], "sequence 1 is .*; the model takes 2 numbers"),
        (NUMBERS, [[1.0, float("nan")]], "a number is missing or infinite"),
        (NUMBERS, [[1.0, None]], "a number is missing or infinite"),
        (NUMBERS, [["1.0", "much"]], "it must be numbers"),
    ],
)
def test_wrong_condition_is_not_encoded(tiny_config, fields, conditions, message):
    """The message names the sequence, where there are several, and what is known."""
    with pytest.raises(ValueError, match=message):
        encode_conditions(conditions, tiny_config(**fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**CLASSES, "condition_size": 1}, "exclude each other"),
        ({"condition_classes": []}, "condition_classes=.* must be names that differ"),
        ({"condition_classes": ["a", "a"]}, "must be names that differ"),
        ({"condition_size": 0}, "condition_size=0 must be at least 1"),
        ({"condition_size": 2, "condition_mean": [0.0]}, "condition_mean=.* for each of condition_size=2"),
        ({"condition_size": 1, "condition_std": [0.0]}, "condition_std=.* must be positive"),
        ({"condition_mean": [0.0]}, "condition_mean=.* for each of condition_size=None"),
    ],
)
def test_conditions_that_no_model_has_are_refused(tiny_config, fields, message):
    """The message names the field and the rule."""
    with pytest.raises(ValueError, match=message):
        tiny_config(**fields)


def test_other_heads_are_without_conditioning(tiny_config):
    """What a masked language model was conditioned on stays in the config of other heads, without weights."""
    model = DNAFMForSequenceClassification(tiny_config(**CLASSES))
    assert not any("conditioning" in name for name, _ in model.named_parameters())
