import copy
import math

import pytest
import torch
from transformers import Trainer, TrainingArguments

from dnafm import DNAFMForSequenceClassification, DNAFMForTokenClassification


def gradients_of(model):
    """By name, and cleared."""
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    return gradients


def test_micro_batches_add_up_to_the_batch(head_class, tiny_model, batch, labels_for):
    """Losses and gradients of single rows, each divided by the labels of all rows, sum to those of the batch."""
    model, labels = tiny_model(head_class).train(), labels_for(head_class)
    loss = model(**batch, labels=labels).loss
    loss.backward()
    expected = gradients_of(model)
    count = (labels != -100).sum()
    total = 0.0
    for row in range(3):
        inputs = {name: tensor[row : row + 1] for name, tensor in batch.items()}
        micro = model(**inputs, labels=labels[row : row + 1], num_items_in_batch=count).loss
        micro.backward()
        total += micro.item()
    assert total == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(gradients_of(model), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [4, torch.tensor(4), torch.tensor(4.0)], ids=["int", "tensor", "float tensor"])
@pytest.mark.parametrize("problem_type", ["multi_label_classification", "regression"])
def test_every_loss_can_be_divided_by_a_count(tiny_model, batch, problem_type, count):
    """A mean over 9 labels, divided by 4 instead, is 9 / 4 as large."""
    model = tiny_model(DNAFMForSequenceClassification, problem_type=problem_type)
    labels = torch.randint(0, 2, (3, 3)).float()
    mean = model(**batch, labels=labels).loss
    torch.testing.assert_close(model(**batch, labels=labels, num_items_in_batch=count).loss, mean * 9 / 4)


def train(model, rows, folder, *, batch_size, accumulation):
    """Two steps of plain gradient descent over four rows each; the logged losses and the model."""
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        max_steps=2,
        learning_rate=0.1,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=0,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], model


ROWS = 8
CASES = {
    "sequence classes": (DNAFMForSequenceClassification, {}, torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])),
    "sequence labels": (DNAFMForSequenceClassification, {}, (torch.arange(24.0) % 2).view(ROWS, 3)),
    "sequence numbers": (DNAFMForSequenceClassification, {"num_labels": 1}, torch.linspace(-1, 1, ROWS)),
    "token classes": (DNAFMForTokenClassification, {}, torch.arange(72).view(ROWS, 9) % 3),
}


@pytest.mark.parametrize("case", CASES)
def test_trainer_accumulates_without_changing_anything(tiny_model, tmp_path, case):
    """Four rows at a time or one row four times: same losses and weights, where rows have unequal labels too."""
    head_class, overrides, labels = CASES[case]
    labels = labels.clone()
    if labels.dtype == torch.long and labels.dim() == 2:
        labels[::2, 1:] = -100
    rows = [{"input_ids": torch.randint(5, 9, (9,)), "labels": label} for label in labels]
    model = tiny_model(head_class, **overrides)
    whole_losses, whole = train(copy.deepcopy(model), rows, tmp_path, batch_size=4, accumulation=1)
    losses, accumulated = train(copy.deepcopy(model), rows, tmp_path, batch_size=1, accumulation=4)
    assert len(losses) == 2
    assert losses == pytest.approx(whole_losses, rel=1e-3)
    torch.testing.assert_close(accumulated.state_dict(), whole.state_dict(), rtol=1e-4, atol=1e-5)
    assert not torch.equal(whole.state_dict()["model.norm.weight"], model.state_dict()["model.norm.weight"])


def test_trainer_does_not_count_missing_numbers(tiny_model, tmp_path):
    """Regression with NaN where there is no measurement: the first logged loss is the mean over the others."""
    model = tiny_model(DNAFMForTokenClassification, num_labels=1)
    labels = torch.full((4, 9), math.nan)
    labels[:, 3] = 1.0
    input_ids = torch.randint(5, 9, (4, 9))
    expected = (model(input_ids).logits[:, 3, 0] - 1).pow(2).mean().item()
    rows = [{"input_ids": ids, "labels": label} for ids, label in zip(input_ids, labels, strict=True)]
    losses, _ = train(model, rows, tmp_path, batch_size=4, accumulation=1)
    assert losses[0] == pytest.approx(expected, rel=1e-3)
