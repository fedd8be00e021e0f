import pytest
import torch

from dnafm.modeling_dnafm import masked_lm_loss
from dnafm.training.dna_trainer import take_weights, weighted_masked_lm_loss


@pytest.fixture
def predictions():
    """Logits and labels of four sequences of nine tokens, a third of them without a label."""
    logits = torch.randn(4, 9, 16, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(5, 9, (4, 9)).masked_fill(torch.rand(4, 9) < 1 / 3, -100)
    return logits, labels


@pytest.mark.parametrize("num_items_in_batch", [None, 7, torch.tensor(11)])
@pytest.mark.parametrize("shape", [(4, 9), (4, 1)])
def test_weights_of_one_change_nothing(predictions, shape, num_items_in_batch):
    """The loss and its gradient are those of the model's own loss."""
    logits, labels = predictions
    losses = (
        weighted_masked_lm_loss(logits, labels, torch.ones(shape), num_items_in_batch=num_items_in_batch),
        masked_lm_loss(logits, labels, num_items_in_batch=num_items_in_batch),
    )
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in losses]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)


def test_loss_is_the_weighted_sum(predictions):
    """Label by label, each weight times minus the logarithm of the probability, over the number of labels."""
    logits, labels = predictions
    weights = torch.rand(4, 9)
    places = (labels != -100).nonzero().tolist()
    terms = [weights[i, j] * -logits[i, j].softmax(0)[labels[i, j]].log() for i, j in places]
    loss = weighted_masked_lm_loss(logits, labels, weights)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(sum(terms).item() / len(places), rel=1e-5)


def test_nothing_is_learnt_where_the_weight_is_zero(predictions):
    """The gradient is zero exactly at tokens of weight zero or without a label."""
    logits, labels = predictions
    weights = torch.randint(0, 2, (4, 9))
    weighted_masked_lm_loss(logits, labels, weights).backward()
    assert torch.equal(logits.grad.abs().sum(dim=-1) > 0, (weights > 0) & (labels != -100))


def test_doubled_weights_double_the_loss(predictions):
    """The loss is divided by the number of labels and not by the sum of the weights."""
    logits, labels = predictions
    weights = torch.rand(4, 9)
    single, double = (weighted_masked_lm_loss(logits, labels, factor * weights) for factor in (1, 2))
    torch.testing.assert_close(double, 2 * single)


@pytest.mark.parametrize("shape", [(4, 9), (4, 1)])
def test_halves_add_up_to_the_whole(predictions, shape):
    """Divided by the items of the whole step, as gradient accumulation does, batches of uneven size are no matter."""
    logits, labels = predictions
    weights, n_items = torch.rand(shape), (labels != -100).sum()
    whole = weighted_masked_lm_loss(logits, labels, weights)
    parts = [
        weighted_masked_lm_loss(logits[rows], labels[rows], weights[rows], num_items_in_batch=n_items)
        for rows in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_batch_without_labels_has_no_loss(predictions):
    """Zero with a gradient of zero, and not 0/0, which would spoil the weights."""
    logits, labels = predictions
    loss = weighted_masked_lm_loss(logits, torch.full_like(labels, -100), torch.ones(4, 9))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_weights_of_sequences_and_tokens_multiply():
    """By hand; the columns are taken out of the inputs, whose other columns stay."""
    inputs = {
        "input_ids": "ids",
        "sequence_weight": torch.tensor([2.0, 10.0]),
        "token_weight": torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.1, 3.0]]),
    }
    assert take_weights(inputs).tolist() == [[2, 1, 0], [10, 1, 30]]
    assert inputs == {"input_ids": "ids"}


def test_either_weight_may_be_missing():
    """Sequences alone broadcast over their tokens, tokens alone stay as they are, and none is none."""
    assert take_weights({"sequence_weight": torch.tensor([2.0, 10.0])}).tolist() == [[2], [10]]
    assert take_weights({"token_weight": torch.tensor([[1.0, 0.5]])}).tolist() == [[1, 0.5]]
    assert take_weights({"labels": "labels"}) is None
