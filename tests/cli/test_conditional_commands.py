"""From a table of sequences and values to designs for one of them, and what may be wrong on the way."""

import pytest
from transformers import AutoConfig

from dnafm import DNAFMForMaskedLM, DNAFMTokenizer
from dnafm.cli import main as cli

OUT = ["--length", "12", "--no_likelihood", "-o", "out.fa"]


@pytest.fixture(scope="module")
def checkpoints(tiny_model, tmp_path_factory):
    """Folders of backbones: unconditional, of two classes, of two numbers."""
    folder = tmp_path_factory.mktemp("checkpoints")
    fields = {
        "plain": {},
        "classes": {"condition_classes": ["strong", "weak"]},
        "numbers": {"condition_size": 2, "condition_mean": [5.0, 0.0], "condition_std": [2.0, 1.0]},
    }
    for name, conditions in fields.items():
        tiny_model(DNAFMForMaskedLM, **conditions).save_pretrained(folder / name)
        DNAFMTokenizer(model_max_length=64).save_pretrained(folder / name)
    return folder


@pytest.fixture
def generate(checkpoints, tmp_path, monkeypatch):
    """Run `dnafm generate` with a backbone; returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(backbone, *arguments):
        return cli.main(["generate", *OUT, "--backbone", str(checkpoints / backbone), *arguments])

    return run


def test_table_of_values_becomes_designs(dnafm, workplace, tiny_options, capsys):
    """fit, test, predict and generate: the checkpoint knows its condition, and none needs to say it again."""
    rows = [f"{'ACGGTCATTG' * 2}\t{value / 10}" for value in range(30)]
    (workplace / "promoters.tsv").write_text("sequence\texpression\n" + "\n".join(rows) + "\n")
    task = ["--model", "Diffusion", "--trainer.output_dir", "run"]
    data = ["--data.path", "promoters.tsv", "--data.label_column", "expression"]
    short = ["--trainer.num_train_epochs", "1"]
    code, *_ = dnafm("fit", *task, *data, "--model.condition", "value", *short, *tiny_options)
    assert code == 0
    config = AutoConfig.from_pretrained("run")
    assert (config.condition_size, len(config.condition_mean)) == (1, 1)
    assert dnafm("test", "--config", "run/config.yaml")[0] == 0
    assert dnafm("predict", "--config", "run/config.yaml", "--split", "test", "-o", "predictions.tsv")[0] == 0
    designs = ["generate", "--length", "20", "-n", "3", "--no_likelihood", "--backbone", "run"]
    code, *_ = dnafm(*designs, "-o", "designs.fa", "--condition", "-1.5", "--guidance_scale", "1")
    assert code == 0
    assert (workplace / "designs.fa").read_text().count(">") == 3


def test_condition_and_scale_change_the_designs(generate, tmp_path):
    """Equal seeds give equal designs under equal conditions, others under another class, number or scale."""
    found = []
    for backbone, *arguments in (
        ("classes", "--condition", "weak"),
        ("classes", "--condition", "weak", "--guidance_scale", "0"),
        ("classes", "--condition", "strong"),
        ("classes", "--condition", "weak", "--guidance_scale", "20"),
        ("numbers", "--condition", "5", "0"),
        ("numbers", "--condition", "90", "-40"),
    ):
        assert generate(backbone, *arguments, "-n", "8", "--overwrite") == 0
        found.append((tmp_path / "out.fa").read_text())
    assert found[0] == found[1]
    assert len(set(found)) == len(found) - 1


@pytest.mark.parametrize(
    ("backbone", "arguments", "message"),
    [
        ("plain", ["--condition", "weak"], "the model is unconditional"),
        ("plain", ["--guidance_scale", "1"], "--guidance_scale is about a condition"),
        ("classes", [], "the condition is missing: the class (strong, weak)"),
        ("numbers", [], "the condition is missing: 2 numbers"),
        (
            "classes",
            ["--condition", "medium"],
            "The condition is 'medium'; it must be one of the classes strong, weak",
        ),
        ("classes", ["--condition", "weak", "strong"], "it must be one of the classes strong, weak"),
        ("numbers", ["--condition", "1"], "the model takes 2 numbers"),
        ("numbers", ["--condition", "1", "nan"], "a number is missing or infinite"),
        ("numbers", ["--condition", "1", "much"], "it must be numbers"),
        ("classes", ["--condition", "weak", "--guidance_scale", "inf"], "guidance_scale is inf"),
    ],
)
def test_wrong_condition_is_one_line_and_leaves_no_file(generate, tmp_path, capsys, backbone, arguments, message):
    """Exit code 1, and what is right."""
    assert generate(backbone, *arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.label_column", "label"], "data.label_column is 'label', and the model is unconditional"),
        (["--model.condition", "value"], "'label'"),
        (["--model.condition", "class", "--data.label_column", "no"], "'no'"),
        (["--model.condition", "class", "--model.condition_dropout", "1"], "model.condition_dropout is 1.0"),
        (["--model.condition", "both"], "model.condition"),
    ],
)
def test_wrong_labels_are_told_before_training(dnafm, workplace, tiny_options, arguments, message):
    """The message names the option or the column, and there is no output folder."""
    data = ["--data.path", "table.tsv", "--trainer.output_dir", "run"]
    code, _, error = dnafm("fit", "--model", "Diffusion", *data, *arguments, *tiny_options)
    assert code != 0
    assert message in error
    assert not (workplace / "run").exists()
