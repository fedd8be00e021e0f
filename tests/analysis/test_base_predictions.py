"""What the model says about bases is what a plain forward pass of AutoModelForMaskedLM says."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from dnafm.analysis.base_predictions import BasePredictor, MaskedRequest
from dnafm.checkpoints import backbone_location

WINDOWS = ["ACGTTGCAAN", "GATTACAGATTACA", "C", "TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTACG"]
PAIRS = dict(zip("ACGTN", "TGCAN", strict=True))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(backbone_location("dnafm_tiny"))


@pytest.fixture(scope="module")
def model():
    return AutoModelForMaskedLM.from_pretrained(backbone_location("dnafm_tiny")).eval()


@pytest.fixture
def predictor(model, tokenizer):
    """Factory of predictors."""
    return lambda **options: BasePredictor(model, tokenizer, **options)


@pytest.fixture
def plain(model, tokenizer):
    """Log-probabilities (bases, 4) of one window by the shortest way: text in, logits out."""

    def forward(window: str, masked: int | None) -> torch.Tensor:
        text = window if masked is None else window[:masked] + "[MASK]" + window[masked + 1 :]
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0, 1:-1]
        return logits[:, tokenizer.convert_tokens_to_ids(list("ACGT"))].log_softmax(dim=-1)

    def plain(window: str, masked: int | None = None, *, strand: str = "forward") -> np.ndarray:
        read = []
        if strand != "reverse":
            read.append(forward(window, masked))
        if strand != "forward":
            other = "".join(PAIRS[base] for base in reversed(window))
            # Both axes turned round: the bases from last to first, and A C G T as T G C A.
            read.append(forward(other, None if masked is None else len(window) - 1 - masked).flip(0, 1))
        return torch.stack(read).mean(dim=0).log_softmax(dim=-1).numpy()

    return plain


@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
def test_masked_rows_are_those_of_plain_forwards(predictor, plain, strand):
    """Each position is masked alone, results come in the order of the requests, and padding changes nothing."""
    requests = [MaskedRequest(window, [len(window) - 1, 0]) for window in WINDOWS]
    found = list(predictor(strand=strand, max_tokens=64).masked(requests))
    for request, rows in zip(requests, found, strict=True):
        for position, row in zip(request.positions, rows, strict=True):
            expected = plain(request.window, position, strand=strand)[position]
            np.testing.assert_allclose(row, expected, atol=2e-5)


@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
def test_unmasked_rows_are_those_of_plain_forwards(predictor, plain, strand):
    """One row for each base of each window, in their order."""
    for window, rows in zip(WINDOWS, predictor(strand=strand).unmasked(WINDOWS), strict=True):
        np.testing.assert_allclose(rows, plain(window, strand=strand), atol=2e-5)


def test_rows_are_distributions_over_four_bases(predictor):
    """Probabilities sum to 1 over A, C, G and T."""
    (rows,) = predictor().masked([MaskedRequest(WINDOWS[1], range(14))])
    assert rows.shape == (14, 4)
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1, atol=1e-5)


def test_batches_do_not_change_results(predictor):
    """A row alone in its batch is what it is among others of all lengths."""
    requests = [MaskedRequest(window, range(len(window))) for window in WINDOWS]
    together, alone = (list(predictor(max_tokens=n).masked(requests)) for n in (4096, 1))
    for first, second in zip(together, alone, strict=True):
        np.testing.assert_allclose(first, second, atol=2e-5)


def test_request_without_positions_has_no_rows(predictor):
    """Wherever it stands among the requests."""
    requests = [MaskedRequest("ACG", positions) for positions in ([], [1], [], [0, 2], [])]
    assert [rows.shape for rows in predictor().masked(requests)] == [(0, 4), (1, 4), (0, 4), (2, 4), (0, 4)]


def test_palindrome_is_the_same_from_both_strands(predictor):
    """A sequence that is its own reverse complement gives the complement of each row at the mirrored position."""
    (rows,) = predictor(strand="both").masked([MaskedRequest("ACGGATCCGT", range(10))])
    np.testing.assert_allclose(rows, rows[::-1, ::-1], atol=2e-5)


@pytest.mark.parametrize("window", ["", "A" * 1025])
def test_window_that_does_not_fit_is_an_error(predictor, window):
    """The message names both lengths."""
    with pytest.raises(ValueError, match=rf"has {len(window)} bases; the model reads 1 to 1024"):
        list(predictor().unmasked([window]))


@pytest.mark.parametrize("position", [-1, 3])
def test_position_outside_the_window_is_an_error(predictor, position):
    """It would mask a special token in silence."""
    with pytest.raises(ValueError, match=f"Position {position} is none of a window of 3 bases"):
        list(predictor().masked([MaskedRequest("ACG", [position])]))


def test_unknown_strand_is_an_error(predictor):
    """The message names the strands."""
    with pytest.raises(ValueError, match="strand is 'minus'; it must be one of forward, reverse, both"):
        predictor(strand="minus")
