import re

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from dnafm import (
    DNAFMForMaskedLM,
    DNAFMForPairwiseTokenClassification,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMModel,
)
from dnafm.modeling_dnafm import pool

SEQUENCE, TOKEN, PAIRWISE = (
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMForPairwiseTokenClassification,
)
IDS = torch.tensor([[2, 5, 6, 12], [2, 7, 8, 12]])
RECORDED = [{}, {"output_hidden_states": True}, {"output_attentions": True}]


def refuses(message):
    """A ValueError whose message contains this text."""
    return pytest.raises(ValueError, match=re.escape(message))


def test_ids_and_embeddings_exclude_each_other(model_class, tiny_model):
    """One of them, and not both or neither."""
    model = tiny_model(model_class)
    with refuses("exactly one of input_ids or inputs_embeds"):
        model(input_ids=IDS, inputs_embeds=torch.zeros(2, 4, 32))
    with refuses("exactly one of input_ids or inputs_embeds"):
        model(attention_mask=torch.ones(2, 4))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (IDS - 3, "input_ids run from -1 to 9, and must lie in [0, 16)"),
        (IDS + 4, "input_ids run from 6 to 16, and must lie in [0, 16)"),
        (IDS[0], "input_ids of shape (4,) and dtype torch.int64 must be integers of shape (batch, length)"),
        (IDS[None], "input_ids of shape (1, 2, 4) and dtype torch.int64 must be integers of shape (batch, length)"),
        (IDS.float(), "input_ids of shape (2, 4) and dtype torch.float32 must be integers"),
    ],
    ids=["negative", "too large", "no batch", "three dimensions", "no integers"],
)
def test_ids_outside_the_vocabulary_are_refused(model_class, tiny_model, ids, message):
    """No read past the end of the embeddings, on any path."""
    for recorded in RECORDED:
        with refuses(message):
            tiny_model(model_class)(ids, **recorded)


def test_largest_id_and_smallest_id_are_fine(tiny_model):
    """0 and 15 are tokens, in any integer dtype."""
    for dtype in (torch.long, torch.int32):
        assert tiny_model()(torch.tensor([[0, 15]], dtype=dtype)).last_hidden_state.shape == (1, 2, 32)


@pytest.mark.parametrize(
    "embeddings", [torch.zeros(4, 32), torch.zeros(2, 4, 31), torch.zeros(2, 4, 32, dtype=torch.long)], ids=str
)
def test_embeddings_of_another_shape_or_kind_are_refused(tiny_model, embeddings):
    """`inputs_embeds` are numbers of shape (batch, length, hidden)."""
    with refuses("must be floating-point numbers of shape (batch, length, 32)"):
        tiny_model()(inputs_embeds=embeddings)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (3, 4), (1, 2, 4)])
def test_positions_of_another_shape_are_refused(tiny_model, shape):
    """One position for each token, or one row for all."""
    with refuses(f"position_ids of shape {shape} must be (2, 4) or (1, 4)"):
        tiny_model()(IDS, position_ids=torch.zeros(shape, dtype=torch.long))


def test_boundaries_beside_a_mask_of_padding_are_refused(tiny_model):
    """Packed sequences have no padding."""
    for recorded in RECORDED:
        with refuses("cu_seq_lens_q tells sequences apart that are packed without padding"):
            tiny_model()(IDS[:1], torch.tensor([[1, 1, 1, 0]]), cu_seq_lens_q=torch.tensor([0, 2, 4]), **recorded)


def test_sequence_head_wants_a_mask_that_tells_the_tokens(tiny_model):
    """A prepared 4D mask does not say which tokens are pooled."""
    with refuses("attention_mask of shape (2, 1, 4, 4) must be (batch, length)"):
        tiny_model(SEQUENCE)(IDS, torch.ones(2, 1, 4, 4, dtype=torch.bool))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3), "attention_mask of shape (2, 3) must be shaped like the inputs, (2, 4)"),
        ((1, 4), "attention_mask of shape (1, 4) must be shaped like the inputs, (2, 4)"),
        ((4,), "attention_mask of shape (4,) must be (batch, length), or a prepared 4D mask"),
        ((2, 4, 4), "attention_mask of shape (2, 4, 4) must be (batch, length), or a prepared 4D mask"),
    ],
)
def test_mask_of_another_shape_is_refused(model_class, tiny_model, shape, message):
    """It is not broadcast."""
    with refuses(message):
        tiny_model(model_class)(IDS, attention_mask=torch.ones(shape))


@pytest.mark.parametrize(
    ("head", "overrides", "labels", "message"),
    [
        (DNAFMForMaskedLM, {}, torch.zeros(2, 3).long(), "labels of shape (2, 3) must have the shape (2, 4)"),
        (SEQUENCE, {}, torch.zeros(3).long(), "labels of shape (3,) must have the shape (2,)"),
        (SEQUENCE, {}, torch.zeros(2, 2), "labels of shape (2, 2) must have the shape (2, 3)"),
        (SEQUENCE, {"num_labels": 1}, torch.zeros(4), "labels of shape (4,) must have the shape (2, 1)"),
        (SEQUENCE, {"problem_type": "regression"}, torch.zeros(2), "labels of shape (2,) must have the shape (2, 3)"),
        (TOKEN, {}, torch.zeros(2).long(), "labels of shape (2,) must have the shape (2, 4)"),
        (TOKEN, {"num_labels": 1}, torch.zeros(2), "labels of shape (2,) must have the shape (2, 4, 1)"),
        (TOKEN, {"problem_type": "regression"}, torch.zeros(2, 4), "(2, 4) must have the shape (2, 4, 3)"),
        (PAIRWISE, {}, torch.zeros(2, 4).long(), "labels of shape (2, 4) must have the shape (2, 4, 4)"),
        (PAIRWISE, {"num_labels": 1}, torch.zeros(2, 4), "labels of shape (2, 4) must have the shape (2, 4, 4, 1)"),
    ],
)
def test_labels_of_another_shape_are_refused(tiny_model, head, overrides, labels, message):
    """They are not broadcast against the logits."""
    with refuses(message):
        tiny_model(head, **overrides)(IDS, labels=labels)


@pytest.mark.parametrize(
    ("head", "labels", "message"),
    [
        (DNAFMForMaskedLM, IDS + 4, "labels run from 6 to 16, and must lie in [0, 15]"),
        (DNAFMForMaskedLM, IDS - 3, "labels run from -1 to 9, and must lie in [0, 15]"),
        (SEQUENCE, torch.tensor([0, 3]), "labels run from 0 to 3, and must lie in [0, 2]"),
        (SEQUENCE, torch.tensor([-1, 1]), "labels run from -1 to 1, and must lie in [0, 2]"),
        (SEQUENCE, torch.tensor([[0, 1, 2], [0, 0, 0]]), "labels run from 0 to 2, and must lie in [0, 1]"),
        (SEQUENCE, torch.tensor([[0, 1, -1.0], [0, 0, 0]]), "labels run from -1 to 1, and must lie in [0, 1]"),
        (TOKEN, IDS, "labels run from 2 to 12, and must lie in [0, 2]"),
    ],
)
def test_labels_out_of_range_are_refused(tiny_model, head, labels, message):
    """Before cross-entropy reads elsewhere; -100 is the one exception."""
    with refuses(message):
        tiny_model(head)(IDS, labels=labels)


@pytest.mark.parametrize("labels", [torch.tensor([0.5, 2.0]), torch.tensor([1.0, float("nan")])], ids=str)
def test_class_ids_that_are_no_integers_are_refused(tiny_model, labels):
    """A class between two classes is not rounded to one of them."""
    with pytest.raises(ValueError, match="labels"):
        tiny_model(SEQUENCE, problem_type="single_label_classification")(IDS, labels=labels)


def test_unknown_problem_type_is_refused(tiny_model):
    """A typing error is not taken for multi-label classification; with some releases the config tells already."""
    with pytest.raises((ValueError, StrictDataclassError), match="'regresion'"):
        tiny_model(SEQUENCE, problem_type="regresion")(IDS, labels=torch.zeros(2, 3))


@pytest.mark.parametrize(
    "packing", [{"position_ids": torch.tensor([[0, 1, 0, 1]])}, {"cu_seq_lens_q": torch.tensor([0, 2, 4])}], ids=str
)
@pytest.mark.parametrize("recorded", RECORDED, ids=str)
def test_sequence_head_refuses_packed_rows(tiny_model, packing, recorded):
    """Two sequences in a row have no one vector; the message tells what to pass instead."""
    with refuses("Pass a padded batch with its attention_mask"):
        tiny_model(SEQUENCE)(IDS[:1], **packing, **recorded)


@pytest.mark.parametrize("recorded", RECORDED, ids=str)
@pytest.mark.parametrize("boundaries", [[0, 3], [1, 4], [0, 5], [0, 3, 2, 4], [0, 2, 2, 4], [0]], ids=str)
def test_boundaries_that_do_not_tile_the_row_are_refused(tiny_model, boundaries, recorded):
    """Too short, too late, too long, falling, an empty sequence, no sequence."""
    with refuses(f"cu_seq_lens_q={boundaries} must rise from 0 to the length of a single row, here 1 row(s) of 4"):
        tiny_model()(IDS[:1], cu_seq_lens_q=torch.tensor(boundaries), **recorded)


@pytest.mark.parametrize("recorded", RECORDED, ids=str)
def test_boundaries_of_several_rows_are_refused(tiny_model, recorded):
    """Boundaries count the tokens of one row."""
    with refuses("here 2 row(s) of 4 tokens"):
        tiny_model()(IDS, cu_seq_lens_q=torch.tensor([0, 2, 4]), **recorded)


@pytest.mark.parametrize("mask", [None, torch.ones(1, 4)], ids=["no mask", "mask of ones"])
@pytest.mark.parametrize("recorded", RECORDED, ids=str)
def test_boundaries_count_whatever_is_recorded(tiny_model, mask, recorded):
    """Two sequences of a row do not see each other, also where hidden states or attentions are asked for."""
    model, boundaries = tiny_model(DNAFMModel), torch.tensor([0, 2, 4])
    expected = torch.cat([model(IDS[:1, :2]).last_hidden_state, model(IDS[:1, 2:]).last_hidden_state], dim=1)
    found = model(IDS[:1], mask, cu_seq_lens_q=boundaries, **recorded).last_hidden_state
    torch.testing.assert_close(found, expected)


def test_unknown_pooling_is_refused():
    """The message names the three that there are."""
    with refuses("how='sum' must be 'mean', 'max' or 'cls'"):
        pool(torch.zeros(1, 2, 3), how="sum")
