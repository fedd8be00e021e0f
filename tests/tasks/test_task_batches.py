"""What `collate` and `forward` return: shapes, types, places, and what they refuse."""

import re

import numpy as np
import pytest
import torch

from dnafm.tasks.evaluating import evaluate_rows

RAGGED = ["ACGTTGCAAC", "GAT", "CCGTANNA"]
IGNORED = {torch.int64: lambda labels: labels == -100, torch.float32: lambda labels: labels.isnan()}


def test_batches_have_the_documented_shapes_and_types(case):
    """Ids and mask of tokens padded on the right, labels for sequences, tokens or pairs of them."""
    task = case.build()
    batch = task.collate(case.batch(RAGGED))
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, 12)
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == torch.int64
    assert batch["attention_mask"].sum(dim=1).tolist() == [12, 5, 10]
    assert set(batch) == {"input_ids", "attention_mask"} | ({"labels"} if case.has_labels else set())
    if case.has_labels:
        is_numbers = "Regression" in case.task or case.options.get("multilabel", False)
        width = (case.n_outputs,) if is_numbers else ()
        assert batch["labels"].shape == (3, *[12] * case.n_base_axes, *width)
        assert batch["labels"].dtype == (torch.float32 if is_numbers else torch.int64)


def test_outputs_have_the_documented_shapes(case):
    """float32 for each sequence, token or pair of tokens; classes, numbers, vocabulary or the hidden size last."""
    task = case.build()
    outputs = task(task.collate({"sequences": RAGGED}))
    width = {"MaskedLM": 16, "Diffusion": 16, "Embed": 32}.get(case.task, case.n_outputs)
    assert outputs.shape == (3, *[12] * case.n_base_axes, width)
    assert outputs.dtype == torch.float32


def test_base_i_is_token_i_plus_one(cases):
    """[CLS], the bases, [EOS], padding; and the labels of the bases beside them, nothing beside the others."""
    for name in ("base_classes", "base_numbers", "pairs"):
        case = cases[name]
        batch_in = case.batch(RAGGED)
        task = case.build()
        batch = task.collate(batch_in)
        tokens = task.tokenizer.convert_ids_to_tokens(batch["input_ids"][1].tolist())
        assert tokens == ["[CLS]", "G", "A", "T", "[EOS]", *["[PAD]"] * 7]
        for row, (sequence, label) in enumerate(zip(RAGGED, batch_in["labels"], strict=True)):
            inner = (slice(1, 1 + len(sequence)),) * case.n_base_axes
            np.testing.assert_array_equal(batch["labels"][row][inner].numpy(), np.float32(label))
            is_outside = torch.ones(batch["labels"][row].shape, dtype=torch.bool)
            is_outside[inner] = False
            assert IGNORED[batch["labels"].dtype](batch["labels"][row][is_outside]).all()


def test_row_outputs_are_those_of_the_bases(case):
    """Special tokens and padding are cut off, along each axis of bases."""
    task = case.build()
    batch = task.collate({"sequences": RAGGED})
    outputs = task(batch).detach()
    rows = task.row_outputs(outputs, batch)
    if case.task in ("MaskedLM", "Diffusion"):
        base_ids = [task.tokenizer.convert_tokens_to_ids(base) for base in "ACGT"]
        for row, ids, sequence, found in zip(outputs, batch["input_ids"], RAGGED, rows, strict=True):
            for base, token in enumerate(row[1 : 1 + len(sequence)]):
                probabilities = torch.softmax(token[base_ids].double(), dim=0)
                of_own = dict(zip("ACGT", probabilities.log().tolist(), strict=True)).get(sequence[base], np.nan)
                entropy = -(probabilities * probabilities.log2()).sum()
                np.testing.assert_allclose(found[base], [of_own, entropy], rtol=1e-5)
            assert len(found) == len(sequence) == int((ids > 4).sum()) - 1
        return
    for output, sequence, found in zip(outputs, RAGGED, rows, strict=True):
        inner = (slice(1, 1 + len(sequence)),) * case.n_base_axes
        np.testing.assert_array_equal(found, output[inner].numpy())
        assert found.dtype == np.float32


@pytest.mark.parametrize("reverse_complement", ["none", "average"])
def test_padded_batch_is_each_sequence_alone(case, reverse_complement):
    """To 1e-5 at every base: neighbours and padding make no difference."""
    task = case.build(reverse_complement=reverse_complement)
    batch = task.collate({"sequences": RAGGED})
    together = task.row_outputs(task(batch).detach(), batch)
    for sequence, found in zip(RAGGED, together, strict=True):
        own = task.collate({"sequences": [sequence]})
        np.testing.assert_allclose(found, task.row_outputs(task(own).detach(), own)[0], atol=1e-5)


def test_evaluation_does_not_depend_on_the_batches(trainable_case, random_sequences):
    """One sequence at a time, or all at once: outputs, metrics and loss are the same to 1e-5."""
    task, rows = trainable_case.build(), trainable_case.table(random_sequences(12, 10, 30))
    alone, together = (evaluate_rows(task, rows, max_tokens=n, details=True) for n in (1, 10_000))
    for one, other in zip(alone.outputs, together.outputs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert alone.metrics == pytest.approx(together.metrics, rel=1e-6, abs=1e-5, nan_ok=True)
    assert "loss" in alone.metrics


def test_names_and_ids_of_classes_are_the_same_labels(cases):
    """Also mixed; a name that looks like a number is a name."""
    task = cases["classes"].build(config_overrides={"id2label": {0: "donor", 1: "acceptor", 2: "1"}})
    batch = {"sequences": ["A"] * 6, "labels": ["acceptor", 1, "1", 2, np.int64(0), torch.tensor(2)]}
    assert task.collate(batch)["labels"].tolist() == [1, 1, 2, 2, 0, 2]
    bases = cases["base_classes"].build(config_overrides={"id2label": {0: "x", 1: "y", 2: "z"}})
    labels = bases.collate({"sequences": ["ACG"], "labels": [["z", 0, -100]]})["labels"]
    assert labels.tolist() == [[-100, 2, 0, -100, -100]]


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (["ACGT", "", "A"], "Sequence 1 is empty; it must have at least one base."),
        (["ACGT", "A" * 63], "Sequence 1 has 65 tokens, and the model reads 64. Cut it, or choose"),
        # The longer text is the shorter input.
        (["[MASK]" * 20, "A", "A" * 70], "Sequence 2 has 72 tokens, and the model reads 64."),
        (["[MASK]" * 63], "Sequence 0 has 65 tokens, and the model reads 64."),
        ([], "sequences is empty; a batch has at least one sequence."),
        ("ACGT", "sequences is the string 'ACGT'; a list of sequences is due."),
    ],
)
def test_sequences_that_cannot_be_read_are_refused(case, sequences, message):
    """With the number of the row."""
    task = case.build()
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        task.collate({"sequences": sequences})


def test_longest_sequence_fits(case):
    """As many bases as `max_bases` says, be they masked or not."""
    task = case.build()
    assert task.max_bases == 62
    assert task.collate({"sequences": ["A" * 62, "[MASK]" * 62]})["input_ids"].shape == (2, 64)


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("classes", [0], "There are 2 sequences and 1 labels; one each is due."),
        ("classes", [0, "exon"], "The label 'exon' is none of the classes LABEL_0, LABEL_1, LABEL_2, nor an id of"),
        ("classes", [0, 3], "The label 3 is none of the classes"),
        ("classes", [-1, 0], "The label -1 is none of the classes"),
        ("classes", [0, 1.5], "The label 1.5 is none of the classes"),
        ("classes", [0, float("nan")], "The label nan is none of the classes"),
        ("multilabel", [[0, 1, 1], [0, 1]], "Sequence 1 has 2 labels, and the model 3 outputs; one each is due."),
        ("numbers", [[0.5, 0.5], 0.5], "Sequence 1 has 1 labels, and the model 2 outputs; one each is due."),
        ("base_classes", [[0] * 4, [0]], "Sequence 1 has 2 bases and 1 labels; one each is due."),
        ("base_classes", [[0] * 4, [0, 9]], "The label 9 is none of the classes"),
        ("base_numbers", [[[1, 1]] * 4, [[1, 1]] * 3], "Sequence 1 has 2 bases and 3 labels; one each is due."),
        ("base_numbers", [[[1, 1]] * 4, [[1, 1], [1]]], "Sequence 1: base 1 has 1 labels, and the model 2 outputs;"),
        ("pairs", [[[0] * 4] * 4, [[0] * 2] * 3], "Sequence 1 has 2 bases and 3 labels; one each is due."),
        ("pairs", [[[0] * 4] * 4, [[0]] * 2], "The labels of sequence 1 are no square; one for each of its 2 x 2"),
        ("masked_lm", [0, 0], "MaskedLM takes no labels: what it learns are the masked bases."),
        ("diffusion", [0, 0], "Diffusion takes no labels: what it learns are the masked bases."),
        ("embeddings", [0, 0], "Embed takes no labels."),
    ],
)
def test_labels_that_do_not_fit_are_refused(cases, name, labels, message):
    """With the number of the row, what there is and what is due."""
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        cases[name].build().collate({"sequences": ["ACGT", "AC"], "labels": labels})


def test_one_output_takes_plain_numbers(cases):
    """A number for each sequence, or each base, is the same as a list of one."""
    for name, plain, nested in (
        ("numbers", [1.5, 2], [[1.5], [2]]),
        ("base_numbers", [[1, float("nan")], [2]], [[[1], [float("nan")]], [[2]]]),
    ):
        task = cases[name].build(n_outputs=1)
        found, expected = (
            task.collate({"sequences": ["AC", "A"], "labels": each})["labels"] for each in (plain, nested)
        )
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        assert found.shape[-1] == 1
