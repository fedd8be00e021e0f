"""`dnafm pretrain` as a user runs it."""

import json

import pytest
import torch
import yaml
from forked_processes import run_forked
from transformers import AutoModelForMaskedLM, AutoTokenizer

from dnafm.cli.main import main
from dnafm.data import GenomeWindows, MaskedLanguageModelCollator, open_genomes
from dnafm.training.context_table import ContextTable, window_sequences
from dnafm.training.pretraining import build_trainer, prepare, pretrain


def test_command_leaves_a_checkpoint_that_the_auto_classes_load(yaml_of, tmp_path, capsys):
    """Weights, tokenizer, a report with the evaluation of each species, and TensorBoard's events."""
    config = yaml_of(report_to="tensorboard")
    assert main(["pretrain", "--config", str(config)]) == 0
    run = tmp_path / "run"
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(run), AutoTokenizer.from_pretrained(run)
    assert model(**tokenizer("ACGT", return_tensors="pt")).logits.shape == (1, 6, 16)
    metrics = json.loads((run / "pretraining.json").read_text())["metrics"]
    species = ("ustilago_maydis", "drosophila_melanogaster")
    assert {f"eval_{name}_{metric}" for name in species for metric in ("nats_per_base", "accuracy")} < set(metrics)
    assert list(run.glob("runs/*/events.out.tfevents.*"))
    output = capsys.readouterr().out
    assert "step 6/6  loss " in output
    assert "tokens/s" in output
    assert "ustilago_maydis: 1." in output


def test_flags_are_the_keys_of_the_file(yaml_of, tmp_path, capsys):
    """`--print_config` prints what a later `--config` reads, and flags after a file win."""
    config = yaml_of()
    with pytest.raises(SystemExit) as exit_info:
        main(["pretrain", "--config", str(config), "--batch_size", "7", "--print_config"])
    assert exit_info.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["batch_size"] == 7
    assert printed["eval_windows"] == 8
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(printed))
    with pytest.raises(SystemExit):
        main(["pretrain", "--config", str(again), "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out) == printed


@pytest.mark.parametrize("i_genome", [0, 1])
def test_evaluation_is_that_of_a_plain_loop(tiny_settings, held_out, tmp_path, i_genome):
    """Nats and accuracy are those of each window alone, from the auto class, at the masked bases."""
    path, region = list(held_out.items())[i_genome]
    metrics = pretrain(tiny_settings(train_files=[str(path)], held_out=[region], eval_windows=5))["metrics"]
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "run").eval()
    windows = GenomeWindows(
        open_genomes([path], cache_dir=tmp_path / "cache"), 66, held_out=[region], part="evaluation", max_unknown=0.5
    )
    collate = MaskedLanguageModelCollator(mask_share=1.0, random_share=0.0, seed=0)
    base_ids = AutoTokenizer.from_pretrained(tmp_path / "run").convert_tokens_to_ids(list("ACGT"))
    nats, is_right = [], []
    for i in range(5):
        batch = collate([windows[i * len(windows) // 5]])
        labels = batch.pop("labels")[0]
        with torch.no_grad():
            logits = model(**batch).logits[0][:, base_ids]
        for base, row in zip(labels.tolist(), logits, strict=True):
            if base in base_ids:
                nats.append(-float(row.log_softmax(-1)[base_ids.index(base)]))
                is_right.append(int(row.argmax()) == base_ids.index(base))
    species = path.name.split(".")[0]
    assert metrics[f"eval_{species}_nats_per_base"] == pytest.approx(sum(nats) / len(nats), abs=1e-5)
    assert metrics[f"eval_{species}_accuracy"] == pytest.approx(sum(is_right) / len(is_right))


def test_max_tokens_sets_the_number_of_steps(tiny_settings):
    """1,000 tokens in steps of 4 windows of 66 tokens take 4 steps."""
    assert pretrain(tiny_settings(max_steps=None, max_tokens=1000, held_out=[]))["steps"] == 4


def test_a_checkpoint_is_what_training_starts_from(tiny_settings, tmp_path):
    """With a rate of next to nothing, a second run evaluates as the first one did."""
    first = pretrain(tiny_settings())["metrics"]
    second = tiny_settings(
        model=str(tmp_path / "run"), output_dir=str(tmp_path / "second"), learning_rate=1e-12, config_overrides={}
    )
    assert pretrain(second)["metrics"]["eval_nats_per_base"] == pytest.approx(first["eval_nats_per_base"], abs=1e-5)


def test_norms_and_biases_do_not_decay(tiny_settings):
    """Weight decay is for matrices alone, the tied decoder included."""
    trainer = build_trainer(prepare(tiny_settings()))
    parameters = trainer.model.named_parameters(remove_duplicate=False)
    decaying = set(trainer.get_decay_parameter_names(trainer.model))
    matrices = {name for name, parameter in parameters if parameter.ndim == 2}
    assert decaying == matrices


@pytest.mark.slow
def test_learns_more_in_a_minute_than_a_table_of_its_data(yaml_of, held_out, tmp_path):
    """On real genomes, held-out nats fall below composition and two-sided table of the same training bases."""
    config = yaml_of(**LEARNING)
    run_forked("pretrain", "--config", config)
    metrics = json.loads((tmp_path / "run" / "pretraining.json").read_text())["metrics"]
    for path, region in held_out.items():
        species = path.name.split(".")[0]
        genomes = open_genomes([path], cache_dir=tmp_path / "cache")
        training, evaluation = (
            list(window_sequences(GenomeWindows(genomes, 10**6, held_out=[region], part=part)))
            for part in ("training", "evaluation")
        )
        for flank in (0, 5):
            table = ContextTable(flank).fit(training).evaluate(evaluation)
            assert metrics[f"eval_{species}_nats_per_base"] < table["nats_per_base"], (species, flank)


LEARNING = {
    "config_overrides": {
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "max_position_embeddings": 130,
    },
    "batch_size": 16,
    "max_steps": 300,
    "optimizer": "muon",
    "learning_rate": 3e-3,
    "seed": 1,
    "precision": "auto",
    "eval_windows": 400,
    "eval_every_steps": 300,
    "save_every_steps": 300,
}
