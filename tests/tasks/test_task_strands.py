"""Both strands: averaged in evaluation, chosen at random in training."""

import numpy as np
import pytest
import torch

from dnafm.genomics import reverse_complement
from dnafm.tokenization_dnafm import VOCABULARY

COMPLEMENT = {"A": "T", "C": "G", "G": "C", "T": "A"}
# Its own reverse complement.
PALINDROME = "ACCTAGGT"


def by_hand(case, forward, backward):
    """The mean of one sequence's outputs of both strands, those of the other one turned round."""
    n_tokens = forward.shape[0]
    tokens = [0, *range(n_tokens - 2, 0, -1), n_tokens - 1]
    if case.n_base_axes == 2:
        backward = backward[tokens][:, tokens]
    elif case.n_base_axes == 1:
        backward = backward[tokens]
    if case.task in ("MaskedLM", "Diffusion"):
        backward = backward[:, [VOCABULARY.index(COMPLEMENT.get(token, token)) for token in VOCABULARY]]
    return (forward + backward) / 2


@pytest.mark.parametrize("sequence", ["ACCGTNA", "A", PALINDROME])
def test_average_is_that_of_two_plain_forwards(case, sequence, tmp_path):
    """Of the Hub class on the ids of the sequence and of its reverse complement."""
    task = case.build(reverse_complement="average")
    task.save_pretrained(tmp_path)
    model = task.model_class.from_pretrained(tmp_path).eval()
    strands = []
    for text in (sequence, reverse_complement(sequence)):
        outputs = model(input_ids=torch.tensor([[2, *map(VOCABULARY.index, text), 12]]))
        tokens = outputs.last_hidden_state if case.task == "Embed" else outputs.logits
        strands.append(tokens[0, 1:-1].mean(dim=0) if "pooling" in case.options else tokens[0])
    found = task(task.collate({"sequences": [sequence]}))[0]
    torch.testing.assert_close(found, by_hand(case, *strands), rtol=0, atol=1e-5)


def test_average_of_standardised_targets_is_in_their_units(cases, task_data):
    """The scale is undone on both strands."""
    case = cases["numbers"]
    task = case.build(data=task_data(case), reverse_complement="average")
    assert task.config.target_scaler == {"mean": [10.0, 10.0], "std": [2.0, 0.5]}
    batch = task.collate({"sequences": ["ACCGTNA"]})
    ids = torch.tensor([[2, *map(VOCABULARY.index, "TNACGGT"), 12]])
    logits = (task.model(batch["input_ids"]).logits + task.model(ids).logits) / 2
    torch.testing.assert_close(task(batch), logits * torch.tensor([2.0, 0.5]) + 10, rtol=0, atol=1e-5)


def test_strands_of_an_average_say_the_same(case, random_sequences):
    """The output for the other strand is that for this one turned round, in a batch of any lengths."""
    task = case.build(reverse_complement="average")
    sequences = random_sequences(4)
    batches = [task.collate({"sequences": texts}) for texts in (sequences, list(map(reverse_complement, sequences)))]
    forward, backward = (task(batch).detach() for batch in batches)
    for row, sequence in enumerate(sequences):
        own = (slice(len(sequence) + 2),) * case.n_base_axes
        turned = by_hand(case, torch.zeros_like(forward[row][own]), backward[row][own]) * 2
        torch.testing.assert_close(forward[row][own], turned, rtol=0, atol=1e-5)


def test_palindrome_is_the_same_on_both_strands(case):
    """One forward says all, up to the order of its bases."""
    assert reverse_complement(PALINDROME) == PALINDROME
    task = case.build()
    batch = task.collate({"sequences": [PALINDROME]})
    plain = task(batch)[0]
    averaged = task.with_options(reverse_complement="average")(batch)[0]
    torch.testing.assert_close(averaged, by_hand(case, plain, plain), rtol=0, atol=1e-5)
    assert case.n_base_axes == 0 or not torch.allclose(averaged, plain, atol=1e-3)


@pytest.mark.parametrize("reverse_complement", ["none", "augment"])
def test_one_strand_is_evaluated_unless_average_is_asked_for(case, reverse_complement):
    """And in training mode there is one, too."""
    task = case.build(config_overrides={"hidden_dropout": 0.0}, reverse_complement=reverse_complement)
    batch = task.collate({"sequences": ["ACCGTNA"]})
    average = task.with_options(reverse_complement="average")
    assert torch.equal(task(batch), average.train()(batch))
    assert not torch.allclose(task(batch), average.eval()(batch), atol=1e-4)


def training_rows(case, sequences):
    batch = case.batch(sequences)
    columns = {"sequence": batch["sequences"], "labels": batch.get("labels", [None] * len(sequences))}
    rows = [{"sequence": s, "labels": y} for s, y in zip(*columns.values(), strict=True)]
    return (
        [{**row, "sample_index": i} for i, row in enumerate(rows)]
        if case.has_labels
        else [{"sequence": row["sequence"], "sample_index": i} for i, row in enumerate(rows)]
    )


def is_flipped(task, rows, epoch=0, seed=0):
    """Whether each row was read from the other strand; masked bases tell nothing."""
    ids = task.training_batch(rows, epoch, seed=seed)["input_ids"]
    plain = task.collate({"sequences": [row["sequence"] for row in rows]})["input_ids"]
    flipped = task.collate({"sequences": [reverse_complement(row["sequence"]) for row in rows]})["input_ids"]
    n_as_plain, n_as_flipped = ((ids == each).sum(dim=1) for each in (plain, flipped))
    return n_as_flipped > n_as_plain


@pytest.mark.parametrize("option", ["augment", "average"])
@pytest.mark.parametrize("name", ["classes", "masked_lm"])
def test_half_of_the_training_sequences_are_of_the_other_strand(cases, random_sequences, name, option):
    """400 rows, of which 160 to 240 are four standard deviations; none without the option."""
    case = cases[name]
    rows = training_rows(case, random_sequences(400, 15, 15))
    assert 160 <= is_flipped(case.build(reverse_complement=option), rows).sum() <= 240
    assert not is_flipped(case.build(), rows).any()


@pytest.mark.parametrize("name", ["classes", "masked_lm"])
def test_strand_depends_on_seed_epoch_and_row_alone(cases, random_sequences, name):
    """The same in any batch; another one for another seed or epoch."""
    case = cases[name]
    task, rows = case.build(reverse_complement="augment"), training_rows(case, random_sequences(60, 15, 15))
    found = is_flipped(task, rows)
    assert torch.equal(found, is_flipped(task, rows))
    assert torch.equal(found.flip(0), is_flipped(task, rows[::-1]))
    assert torch.equal(found, torch.cat([is_flipped(task, [row]) for row in rows]))
    for changed in (is_flipped(task, rows, epoch=1), is_flipped(task, rows, seed=1)):
        assert 10 < (changed != found).sum() < 50


def test_labels_go_with_the_strand(labelled_case, random_sequences):
    """Those of bases from the last to the first, those of pairs along both axes, those of sequences as they are."""
    task = labelled_case.build(reverse_complement="augment")
    rows = training_rows(labelled_case, random_sequences(20, 5, 15))
    batch = task.training_batch(rows, 0, seed=0)
    turned = [np.flip(row["labels"], axis=tuple(range(labelled_case.n_base_axes))).tolist() for row in rows]
    chosen = is_flipped(task, rows).tolist()
    expected = {
        "sequences": [
            reverse_complement(r["sequence"]) if c else r["sequence"] for r, c in zip(rows, chosen, strict=True)
        ],
        "labels": [t if c else r["labels"] for r, t, c in zip(rows, turned, chosen, strict=True)],
    }
    assert 0 < sum(chosen) < len(rows)
    for name, column in task.collate(expected).items():
        torch.testing.assert_close(batch[name], column, rtol=0, atol=0, equal_nan=True)
