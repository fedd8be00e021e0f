"""Metrics of a split are those of a slow computation, row by row, with other libraries."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sk

from dnafm.data.labels import TargetScaler
from dnafm.tasks import evaluating
from dnafm.tasks.evaluating import evaluate_rows
from dnafm.tokenization_dnafm import VOCABULARY

BASES = [VOCABULARY.index(base) for base in "ACGT"]


def logits_of(task, sequence):
    """Of one sequence alone, from the Hub class on ids written out by hand."""
    ids = [[2, *map(VOCABULARY.index, sequence), 12]]
    return task.model(torch.tensor(ids)).logits[0].detach().double().numpy()


def of_classes(labels, logits):
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predicted, n_classes = probabilities.argmax(axis=1), logits.shape[1]
    is_of_class = np.eye(n_classes)[labels]
    positive = slice(1, None) if n_classes == 2 else slice(None)
    areas = [
        [f(is_of_class[:, c], probabilities[:, c]) for c in range(n_classes)]
        for f in (sk.roc_auc_score, sk.average_precision_score)
    ]
    f1 = sk.f1_score(labels, predicted, average=None, labels=range(n_classes), zero_division=0)
    return {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": np.mean([(predicted[labels == c] == c).mean() for c in np.unique(labels)]),
        "mcc": sk.matthews_corrcoef(labels, predicted),
        "macro_f1": f1.mean(),
        "auroc": np.mean(areas[0][positive]),
        "auprc": np.mean(areas[1][positive]),
        **{f"f1_LABEL_{c}": f1[c] for c in range(n_classes)},
        **{f"auroc_LABEL_{c}": areas[0][c] for c in range(n_classes)},
        **{f"auprc_LABEL_{c}": areas[1][c] for c in range(n_classes)},
    }


def cross_entropy(labels, logits):
    return np.mean(np.log(np.exp(logits).sum(axis=-1)) - np.take_along_axis(logits, labels[:, None], -1)[:, 0])


def of_numbers(labels, values, names=("x", "y")):
    by_output = {}
    for name, target, value in zip(names, labels.T, values.T, strict=True):
        value, target = value[~np.isnan(target)], target[~np.isnan(target)]
        by_output[name] = {
            "pearson": stats.pearsonr(target, value)[0],
            "spearman": stats.spearmanr(target, value)[0],
            "r2": sk.r2_score(target, value),
            "mae": sk.mean_absolute_error(target, value),
            "rmse": sk.mean_squared_error(target, value) ** 0.5,
        }
    of_all = {metric: np.mean([values[metric] for values in by_output.values()]) for metric in by_output["x"]}
    return of_all | {f"{m}_{name}": v for name, values in by_output.items() for m, v in values.items()}


def classes(task, table):
    logits = np.stack([logits_of(task, sequence) for sequence in table["sequence"]])
    labels = np.array(table["labels"])
    return of_classes(labels, logits) | {"loss": cross_entropy(labels, logits)}


def multilabel(task, table):
    logits = np.stack([logits_of(task, sequence) for sequence in table["sequence"]])
    labels, probabilities = np.array(table["labels"]), 1 / (1 + np.exp(-logits))
    found = {
        "subset_accuracy": sk.accuracy_score(labels, probabilities > 0.5),
        "loss": sk.log_loss(labels.ravel(), probabilities.ravel()),
    }
    f1 = sk.f1_score(labels, probabilities > 0.5, average=None, zero_division=0)
    of_names = {
        "f1": f1,
        "auroc": sk.roc_auc_score(labels, probabilities, average=None),
        "auprc": sk.average_precision_score(labels, probabilities, average=None),
    }
    found |= {"macro_f1": f1.mean(), "auroc": of_names["auroc"].mean(), "auprc": of_names["auprc"].mean()}
    return found | {f"{m}_LABEL_{i}": v for m, values in of_names.items() for i, v in enumerate(values)}


def numbers(task, table):
    values = np.stack([logits_of(task, sequence) for sequence in table["sequence"]])
    return _numbers(np.array(table["labels"]), values)


def base_numbers(task, table):
    values = np.concatenate([logits_of(task, sequence)[1:-1] for sequence in table["sequence"]])
    return _numbers(np.concatenate([np.array(row) for row in table["labels"]]), values)


def _numbers(labels, values):
    scale, mean = np.array([2.0, 0.5]), 10
    loss = np.nanmean(((labels - mean) / scale - values) ** 2)
    return of_numbers(labels, values * scale + mean) | {"loss": loss}


def base_classes(task, table):
    logits = np.concatenate([logits_of(task, sequence)[1:-1] for sequence in table["sequence"]])
    labels = np.concatenate(list(table["labels"]))
    logits, labels = logits[labels != -100], labels[labels != -100]
    return of_classes(labels, logits) | {"loss": cross_entropy(labels, logits)}


def pairs(task, table):
    upper, everywhere = [], []
    for sequence, label in zip(table["sequence"], table["labels"], strict=True):
        logits, square = logits_of(task, sequence)[1:-1, 1:-1], np.array(label)
        for i, row in enumerate(square):
            for j, class_id in enumerate(row):
                if class_id != -100:
                    everywhere.append((class_id, logits[i, j]))
                    upper += [(class_id, logits[i, j])] if i < j else []
    labels, logits = (np.stack(each) for each in zip(*upper, strict=True))
    all_labels, all_logits = (np.stack(each) for each in zip(*everywhere, strict=True))
    return of_classes(labels, logits) | {"loss": cross_entropy(all_labels, all_logits)}


def masked_lm(task, table):
    nats, right, losses = [], [], []
    for row, sequence in enumerate(table["sequence"]):
        batch = task.evaluation_batch([{"sequence": sequence, "sample_index": row}])
        logits = task.model(batch["input_ids"]).logits[0].detach().double().numpy()
        for place in np.flatnonzero(batch["labels"][0] != -100):
            assert VOCABULARY[batch["input_ids"][0, place]] == "[MASK]"
            base = VOCABULARY[batch["labels"][0, place]]
            assert base == sequence[place - 1]
            of_bases = dict(zip("ACGT", logits[place, BASES], strict=True))
            nats.append(np.log(sum(map(np.exp, of_bases.values()))) - of_bases[base])
            losses.append(np.log(np.exp(logits[place]).sum()) - of_bases[base])
            right.append(max(of_bases, key=of_bases.get) == base)
    assert 0.1 * sum(map(len, table["sequence"])) < len(nats) < 0.2 * sum(map(len, table["sequence"]))
    return {"nats_per_base": np.mean(nats), "accuracy": np.mean(right), "loss": np.mean(losses)}


SLOW = {
    "classes": classes,
    "multilabel": multilabel,
    "numbers": numbers,
    "base_classes": base_classes,
    "base_numbers": base_numbers,
    "pairs": pairs,
    "masked_lm": masked_lm,
    "diffusion": masked_lm,
}


@pytest.fixture(params=SLOW)
def measured(request, cases, task_data, random_sequences):
    """A task, a table, and the slow metrics."""
    case = cases[request.param]
    task, table = case.build(data=task_data(case)), case.table(random_sequences(30, 10, 30))
    return task, table, SLOW[request.param](task, table)


def test_metrics_are_those_of_a_slow_computation(measured):
    """Every metric and the loss, those of classes and outputs told apart included, to 1e-4; nothing else is told."""
    task, table, expected = measured
    assert evaluate_rows(task, table, max_tokens=100, details=True).metrics == pytest.approx(expected, abs=1e-4)
    without_details = evaluate_rows(task, table).metrics
    assert without_details == pytest.approx({name: expected[name] for name in without_details}, abs=1e-4)
    assert set(without_details) == {
        name for name in expected if not name.endswith(("LABEL_0", "LABEL_1", "LABEL_2", "_x", "_y"))
    }


def test_metrics_do_not_depend_on_the_number_of_ranks(measured, monkeypatch):
    """Three ranks in turn, the last of which has a batch less and repeats one: rows are counted once."""
    task, table, _ = measured
    expected = evaluate_rows(task, table, max_tokens=100)
    parts = []
    n_batches = len(evaluating.evaluation_batches(evaluating.token_lengths(task, table["sequence"]), max_tokens=100))
    n_ranks = next(n for n in (3, 4) if n_batches % n)
    for rank in reversed(range(n_ranks)):
        monkeypatch.setattr(evaluating, "rank_and_ranks", lambda rank=rank: (rank, n_ranks))
        monkeypatch.setattr(evaluating, "broadcast_metrics", lambda evaluation: evaluation)
        monkeypatch.setattr(
            evaluating,
            "gather_to_first_rank",
            lambda own, rank=rank: parts.append(own) or ([] if rank else parts[::-1]),
        )
        found = evaluate_rows(task, table, max_tokens=100)
        assert bool(found.metrics) == (rank == 0)
    assert found.metrics == pytest.approx(expected.metrics, abs=1e-6)
    assert all(map(np.array_equal, found.outputs, expected.outputs))


def test_modes_of_the_model_are_restored(cases, random_sequences):
    """Evaluation has no dropout, and leaves a model that is being trained in training mode; also after an error."""
    case = cases["classes"]
    task, table = case.build(config_overrides={"hidden_dropout": 0.5}), case.table(random_sequences(8))
    assert evaluate_rows(task.train(), table).metrics == evaluate_rows(task, table).metrics
    assert task.model.training
    with pytest.raises(ValueError, match="is none of the classes"):
        evaluate_rows(task, table.map(lambda row: {"labels": 7}))
    assert task.model.training
    evaluate_rows(task.eval(), table)
    assert not any(module.training for module in task.modules())


def test_sequences_that_cannot_be_read_are_named_by_their_row(cases, random_sequences):
    """The row of the table, whatever its place in a batch."""
    case = cases["classes"]
    with pytest.raises(ValueError, match=r"^Sequence 2 has 72 tokens, and the model reads 64\."):
        evaluate_rows(case.build(), case.table([*random_sequences(2), "A" * 70, "ACG"]))


def test_minus_100_is_a_number_of_regression(cases, random_sequences):
    """It counts like any other: it stands for unknown where classes are predicted."""
    case = cases["numbers"]
    task, sequences = case.build(), random_sequences(4)
    table = case.table(sequences).map(lambda row, i: {"labels": [-100.0, float(i)]}, with_indices=True)
    outputs = np.stack([logits_of(task, sequence) for sequence in sequences])
    expected = np.mean((outputs - np.array(table["labels"])) ** 2)
    assert evaluate_rows(task, table, max_tokens=1).metrics["loss"] == pytest.approx(expected, rel=1e-5)


def test_large_means_leave_the_loss_exact(cases, task_data, random_sequences):
    """The loss is of standardised targets, whatever their units: to 1e-3 at a mean a thousand deviations away."""
    case, sequences = cases["numbers"], random_sequences(6)
    task = case.build(data=task_data(case, target_scaler=TargetScaler((5000.0, 5000.0), (5.0, 5.0))))
    table = case.table(sequences).map(lambda row: {"labels": [5000.0, 5005.0]})
    logits = np.stack([logits_of(task, sequence) for sequence in sequences])
    expected = np.mean((logits - np.array([0, 1])) ** 2)
    assert evaluate_rows(task, table).metrics["loss"] == pytest.approx(expected, rel=1e-3)


def test_nothing_masked_is_an_error(cases):
    """No number can be told of sequences without a known base."""
    case = cases["masked_lm"]
    with pytest.raises(ValueError, match=r"^Of 2 sequences no base was masked, .* raise model\.mlm_probability\.$"):
        evaluate_rows(case.build(), case.table(["NNN", "NN"]))


def test_evaluate_names_the_splits_that_there_are(cases, task_data):
    """By default it is the test split that is measured, with details."""
    case = cases["classes"]
    task, data = case.build(), task_data(case)
    assert task.evaluate(data) == evaluate_rows(task, data.splits["test"], details=True).metrics
    with pytest.raises(
        ValueError, match=r"^The data have the splits \['test', 'train', 'validation'\]; 'dev' is none"
    ):
        task.evaluate(data, "dev")
    with pytest.raises(ValueError, match=r"^Embed can be neither trained nor measured"):
        cases["embeddings"].build().evaluate(data)
