"""Predictions for streams of rows."""

import numpy as np
import pyarrow
import pytest
import torch

from dnafm.data.prediction_tables import prediction_table
from dnafm.tasks.predicting import predict_chunks

NAMES = ("exon", "intron", "other")


def rows_of(sequences):
    return [{"id": f"row{i}", "sequence": sequence, "position": 10 * i} for i, sequence in enumerate(sequences)]


def table_of(task, rows, **options):
    return pyarrow.concat_tables(
        [prediction_table(chunk.columns) for chunk in predict_chunks(task, iter(rows), **options)]
    )


@pytest.fixture
def named_task(case, task_data):
    """A task whose classes or targets have names."""
    n_names = case.n_outputs if case.options.get("n_classes") else 0
    return case.build(data=task_data(case, label_names=NAMES[:n_names] or None) if case.has_labels else None)


def expected_columns(task, output):
    """What is predicted for one row, by hand."""
    name = type(task).__name__
    if name == "Embed":
        return {"embedding": output}
    if name in ("MaskedLM", "Diffusion"):
        return {"log_probability": output[:, 0], "entropy": output[:, 1]}
    if "Regression" in name:
        return {"prediction_x": output[..., 0], "prediction_y": output[..., 1]}
    if getattr(task.options, "multilabel", False):
        chances = 1 / (1 + np.exp(-output))
        columns = {"prediction": [n for n, chance in zip(NAMES, chances, strict=True) if chance > 0.5]}
        return columns | {f"probability_{n}": chance for n, chance in zip(NAMES, chances, strict=True)}
    chances = np.exp(output) / np.exp(output).sum(axis=-1, keepdims=True)
    if name == "PairwiseTokenClassification":
        n_bases = len(output)
        found = [(i, j) for i in range(n_bases) for j in range(i + 1, n_bases) if chances[i, j, 1] > 0.5]
        return {
            "pair_first": [i for i, _ in found],
            "pair_second": [j for _, j in found],
            "pair_class": ["intron" for _ in found],
            "pair_probability": [chances[i, j, 1] for i, j in found],
        }
    best = chances.argmax(axis=-1)
    columns = {"prediction": NAMES[best] if best.ndim == 0 else [NAMES[i] for i in best]}
    return columns | {f"probability_{n}": chances[..., i] for i, n in enumerate(NAMES)}


def test_every_row_has_what_the_model_says_of_it(named_task, random_sequences):
    """The input's columns, then the predicted ones, in the order of the input; each row as if it were alone."""
    task, rows = named_task, rows_of(random_sequences(9))
    table = task.predict(rows)
    for row, found in zip(rows, table.to_pylist(), strict=True):
        batch = task.collate({"sequences": [row["sequence"]]})
        expected = expected_columns(task, task.row_outputs(task(batch).detach(), batch)[0])
        assert list(found) == [*row, *expected]
        for name, value in row.items():
            assert found[name] == value
        for name, value in expected.items():
            if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], str)):
                assert found[name] == value
            else:
                np.testing.assert_allclose(found[name], value, atol=1e-4)


def test_predictions_do_not_depend_on_the_chunks(case, random_sequences):
    """Two rows at a time, or all; one sequence in a batch, or many; one rank, or three."""
    task, rows = case.build(), rows_of(random_sequences(11))
    whole = table_of(task, rows, chunk_rows=100)
    shares = [list(predict_chunks(task, iter(rows), chunk_rows=2, n_ranks=3, rank=rank)) for rank in range(3)]
    chunks = sorted((chunk for share in shares for chunk in share), key=lambda chunk: chunk.index)
    assert [chunk.index for chunk in chunks] == list(range(6))
    for other in (
        table_of(task, rows, chunk_rows=2),
        table_of(task, rows, chunk_rows=4, max_tokens=1),
        pyarrow.concat_tables([prediction_table(chunk.columns) for chunk in chunks]),
    ):
        assert other.schema == whole.schema
        for name in whole.schema.names:
            for one, another in zip(whole[name].to_pylist(), other[name].to_pylist(), strict=True):
                if isinstance(one, float) or (isinstance(one, list) and one and not isinstance(one[0], str)):
                    np.testing.assert_allclose(one, another, atol=1e-4)
                else:
                    assert one == another


def test_sequences_alone_are_rows(cases):
    """Their column is called `sequence`; any iterable will do."""
    task = cases["classes"].build()
    table = task.predict(iter(["ACGT", "GG"]))
    assert table.schema.names[:2] == ["sequence", "prediction"]
    assert table["sequence"].to_pylist() == ["ACGT", "GG"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"^There is no sequence; at least one is due\.$"),
        ("ACGT", r"^'ACGT' is one string; a list of sequences is due\.$"),
        (["A", "AC", ""], r"^Sequence 2 is empty;"),
        (["A", "AC", "A" * 70], r"^Sequence 2 has 72 tokens, and the model reads 64\."),
        ([{"sequence": "A", "prediction": 1}], r"^The input has the column 'prediction', .* data\.rename_columns\.$"),
    ],
)
def test_what_cannot_be_predicted_is_refused(cases, rows, message):
    """With the number of the row."""
    with pytest.raises(ValueError, match=message):
        cases["classes"].build().predict(rows)


@pytest.mark.parametrize(("n_ranks", "rank"), [(1, 0), (2, 1)])
def test_errors_count_the_rows_of_the_whole_stream(cases, n_ranks, rank):
    """Row 7 is the second of the fourth chunk of two."""
    rows = [{"sequence": "ACG"}] * 7 + [{"sequence": ""}]
    with pytest.raises(ValueError, match=r"^Sequence 7 is empty"):
        list(predict_chunks(cases["classes"].build(), rows, chunk_rows=2, n_ranks=n_ranks, rank=rank))


def test_mode_of_the_model_is_restored(cases):
    """There is no dropout in predictions, and none is lost for the training that goes on."""
    task = cases["classes"].build(config_overrides={"hidden_dropout": 0.5})
    expected = task.predict(["ACGT"])
    assert task.train().predict(["ACGT"]) == expected
    assert task.training
    assert task.model.training
    with pytest.raises(ValueError, match="empty"):
        task.predict([""])
    assert task.model.training


def test_gradients_are_not_kept(case):
    """Outputs of evaluation and prediction hold no graph; plain calls do."""
    task = case.build()
    assert task(task.collate({"sequences": ["ACGT"]})).requires_grad
    chunk = next(predict_chunks(task, [{"sequence": "ACGT"}]))
    assert not any(isinstance(value, torch.Tensor) for column in chunk.columns.values() for value in column)


def test_bfloat16_is_near_float32(cases, random_sequences):
    """To 0.05 of a probability, and not equal, so that it was computed otherwise."""
    task, sequences = cases["classes"].build(), random_sequences(5)
    exact, near = (
        np.array(task.predict(sequences, bf16=bf16)["probability_LABEL_0"].to_pylist()) for bf16 in (False, True)
    )
    assert 0 < np.abs(exact - near).max() < 0.05
