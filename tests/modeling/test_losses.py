import math

import pytest
import torch
from torch.nn import functional as F

from dnafm import (
    DNAFMForMaskedLM,
    DNAFMForPairwiseTokenClassification,
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
)
from dnafm.modeling_dnafm import masked_lm_loss, supervised_loss

SEQUENCE, TOKEN, PAIRWISE = (
    DNAFMForSequenceClassification,
    DNAFMForTokenClassification,
    DNAFMForPairwiseTokenClassification,
)
SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
NAN = math.nan


def cross_entropy(logits, label):
    """-log softmax, written out."""
    return logits.logsumexp(-1) - logits[label]


def binary_cross_entropy(logit, label):
    """-log sigmoid of the logit, or of its negative, written out."""
    return torch.log1p(torch.exp(-logit if label else logit))


@pytest.fixture
def loss_of(tiny_config):
    """The supervised loss, as a function of logits, labels and problem type."""

    def loss(logits, labels, problem_type=None, **kwargs):
        return supervised_loss(logits, labels, config=tiny_config(problem_type=problem_type), **kwargs)

    return loss


@pytest.mark.parametrize("problem_type", [SINGLE, None])
def test_one_class_per_sequence(loss_of, problem_type):
    """Mean cross-entropy, asked for or told by integer labels; -100 does not count."""
    logits = torch.randn(3, 4)
    expected = (cross_entropy(logits[0], 2) + cross_entropy(logits[2], 3)) / 2
    torch.testing.assert_close(loss_of(logits, torch.tensor([2, -100, 3]), problem_type), expected)


@pytest.mark.parametrize("problem_type", [MULTI, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.long, torch.bool], ids=str)
def test_several_labels_per_sequence(loss_of, problem_type, dtype):
    """Mean binary cross-entropy over all labels, whatever their dtype."""
    logits = torch.randn(2, 3)
    labels = torch.tensor([[1, 0, 1], [0, 0, 1]], dtype=dtype)
    pairs = zip(logits.flatten(), labels.flatten().tolist(), strict=True)
    expected = torch.stack([binary_cross_entropy(logit, label) for logit, label in pairs]).mean()
    torch.testing.assert_close(loss_of(logits, labels, problem_type), expected)


@pytest.mark.parametrize("missing", [-100.0, NAN])
def test_unknown_labels_among_several_do_not_count(loss_of, missing):
    """The mean is over the two that are known."""
    logits = torch.randn(1, 3)
    expected = (binary_cross_entropy(logits[0, 0], 1) + binary_cross_entropy(logits[0, 2], 0)) / 2
    torch.testing.assert_close(loss_of(logits, torch.tensor([[1.0, missing, 0.0]]), MULTI), expected)


@pytest.mark.parametrize("problem_type", [REGRESSION, None])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.long], ids=str)
def test_one_number_per_sequence(loss_of, problem_type, shape, dtype):
    """Errors 1, 2 and -3: (1 + 4 + 9) / 3. Neither shape is broadcast against the other."""
    logits = torch.tensor([[2.0], [4.0], [0.0]])
    labels = torch.tensor([1, 2, 3], dtype=dtype).reshape(shape)
    torch.testing.assert_close(loss_of(logits, labels, problem_type), torch.tensor(14 / 3))


def test_several_numbers_per_sequence(loss_of):
    """NaN does not count: errors 1, 2 and 0 of four outputs, (1 + 4 + 0) / 3."""
    logits, labels = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, NAN], [1.0, 4.0]])
    torch.testing.assert_close(loss_of(logits, labels, REGRESSION), torch.tensor(5 / 3))


def test_one_class_per_base(loss_of):
    """Mean cross-entropy over the bases that have a class."""
    logits = torch.randn(1, 3, 4)
    expected = (cross_entropy(logits[0, 0], 1) + cross_entropy(logits[0, 2], 0)) / 2
    torch.testing.assert_close(loss_of(logits, torch.tensor([[1, -100, 0]])), expected)


def test_numbers_per_base(loss_of):
    """With one output labels are (B, L) or (B, L, 1), with more (B, L, outputs); NaN does not count."""
    logits = torch.tensor([[[1.0], [5.0], [3.0]]])
    labels = torch.tensor([[0.0, NAN, 1.0]])
    for shaped in (labels, labels[..., None]):
        torch.testing.assert_close(loss_of(logits, shaped), torch.tensor(2.5))
    torch.testing.assert_close(loss_of(logits.view(1, 1, 3), labels[:, None], REGRESSION), torch.tensor(2.5))


def test_several_labels_per_base(loss_of):
    """(B, L, labels): here a base in an exon, on the coding strand, or both."""
    logits = torch.randn(1, 2, 2)
    labels = torch.tensor([[[1.0, 1.0], [0.0, -100.0]]])
    known = [(logits[0, 0, 0], 1), (logits[0, 0, 1], 1), (logits[0, 1, 0], 0)]
    expected = torch.stack([binary_cross_entropy(*pair) for pair in known]).mean()
    torch.testing.assert_close(loss_of(logits, labels), expected)


def test_pairs_of_bases(loss_of):
    """Of the classes of two bases' four pairs three count; one number per pair, errors 1, 2 and 2: (1 + 4 + 4) / 3."""
    logits = torch.randn(1, 2, 2, 4)
    expected = torch.stack(
        [cross_entropy(logits[0, i, j], label) for i, j, label in ((0, 0, 1), (0, 1, 3), (1, 0, 3))]
    )
    torch.testing.assert_close(loss_of(logits, torch.tensor([[[1, 3], [3, -100]]])), expected.mean())
    numbers = torch.tensor([[[1.0, 2.0], [2.0, 7.0]]])
    torch.testing.assert_close(loss_of(numbers[..., None], torch.tensor([[[0, 4.0], [4.0, NAN]]])), torch.tensor(3.0))


def test_masked_lm_loss_by_hand(tiny_model, batch):
    """Mean of -log softmax over the labelled tokens of a model's own logits, and in nats."""
    model = tiny_model(DNAFMForMaskedLM)
    labels = torch.full((3, 9), -100)
    labels[0, 3], labels[2, 8] = 5, 7
    outputs = model(**batch, labels=labels)
    expected = (cross_entropy(outputs.logits[0, 3], 5) + cross_entropy(outputs.logits[2, 8], 7)) / 2
    torch.testing.assert_close(outputs.loss, expected)
    assert masked_lm_loss(torch.zeros(1, 1, 16), torch.tensor([[3]])).item() == pytest.approx(math.log(16))


@pytest.mark.parametrize("forward_keyword", [{}, {"num_items_in_batch": 5}], ids=["mean", "sum / 5"])
def test_heads_hand_their_logits_to_the_loss(head_class, tiny_model, batch, labels_for, forward_keyword):
    """`outputs.loss` is the mean over the labels, or their sum divided by what the caller counted."""
    model, labels = tiny_model(head_class), labels_for(head_class)
    outputs = model(**batch, labels=labels, **forward_keyword)
    total = F.cross_entropy(outputs.logits.flatten(0, -2), labels.flatten(), reduction="sum")
    count = forward_keyword.get("num_items_in_batch", (labels != -100).sum())
    torch.testing.assert_close(outputs.loss, total / count)


@pytest.mark.parametrize(
    ("head", "problem_type", "labels"),
    [
        (DNAFMForMaskedLM, None, torch.full((3, 9), -100)),
        (SEQUENCE, SINGLE, torch.full((3,), -100)),
        (SEQUENCE, MULTI, torch.full((3, 3), -100.0)),
        (SEQUENCE, REGRESSION, torch.full((3, 3), NAN)),
        (TOKEN, SINGLE, torch.full((3, 9), -100)),
        (TOKEN, REGRESSION, torch.full((3, 9, 3), NAN)),
        (PAIRWISE, SINGLE, torch.full((3, 9, 9), -100)),
        (PAIRWISE, REGRESSION, torch.full((3, 9, 9, 3), NAN)),
    ],
)
def test_batch_without_a_label_teaches_nothing(tiny_model, batch, head, problem_type, labels):
    """The loss is 0 and not 0 / 0, and gradients are zero and not NaN."""
    model = tiny_model(head, problem_type=problem_type)
    loss = model(**batch, labels=labels).loss
    loss.backward()
    assert loss.item() == 0
    assert all(parameter.grad.abs().max() == 0 for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_loss_is_computed_in_float32(head_class, tiny_model, batch, labels_for, dtype):
    """Half-precision logits are widened first: the loss is float32 and that of the widened logits."""
    model, labels = tiny_model(head_class).to(dtype), labels_for(head_class)
    outputs = model(**batch, labels=labels)
    assert outputs.logits.dtype == dtype
    assert outputs.loss.dtype == torch.float32
    expected = F.cross_entropy(outputs.logits.float().flatten(0, -2), labels.flatten())
    torch.testing.assert_close(outputs.loss, expected)


def test_loss_under_autocast_is_float32(head_class, tiny_model, batch, labels_for):
    """Mixed precision: float32 weights, bfloat16 products, a float32 loss close to the exact one."""
    model, labels = tiny_model(head_class), labels_for(head_class)
    expected = model(**batch, labels=labels).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**batch, labels=labels).loss
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.05, atol=0.05)


def test_forward_leaves_the_config_alone(tiny_model, batch):
    """An inferred problem type is not written down: the same model takes other labels in the next batch."""
    model = tiny_model(SEQUENCE)
    before = model.config.to_json_string()
    classes, several = torch.tensor([0, 1, 2]), torch.eye(3)
    single_loss, several_loss = (model(**batch, labels=labels).loss for labels in (classes, several))
    logits = model(**batch).logits
    torch.testing.assert_close(single_loss, F.cross_entropy(logits, classes))
    torch.testing.assert_close(several_loss, F.binary_cross_entropy_with_logits(logits, several))
    assert model.config.to_json_string() == before
    assert model.config.problem_type is None
