"""The options of the commands of tasks: files, flags and names, and the settings that they make."""

import json

import pytest

pytest.importorskip("jsonargparse")

from dnafm.cli import fit, predict
from dnafm.cli import test as test_command
from dnafm.cli.task_parser import settings_of
from dnafm.tasks.configuration import write_config
from dnafm.tasks.options import LoraOptions, TokenClassificationOptions

PATH = ["--data.path", "table.tsv"]


def parse(*words):
    return settings_of(fit.build_parser("dnafm fit").parse_args(list(map(str, words))))


@pytest.fixture
def yaml(tmp_path):
    """Write a YAML file, of text, and return its path."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_later_file_wins_and_flags_win_over_files(yaml):
    """Whatever the order of flags and files; keys that are in one file alone stay."""
    first = yaml("a.yaml", "model: {max_length: 50, frozen: true}\ntrainer: {learning_rate: 1.0e-3, seed: 1}\n")
    second = yaml("b.yaml", "model: {max_length: 60}\ntrainer: {seed: 2}\n")
    settings = parse("--trainer.seed", 3, "--config", first, f"--config={second}", *PATH)
    assert (settings.model.max_length, settings.model.frozen) == (60, True)
    assert settings.trainer == {"learning_rate": 1e-3, "seed": 3}


@pytest.mark.parametrize(
    "text",
    [
        "model: {class_path: dnafm.tasks.TokenClassification, init_args: {n_classes: 4, lora: {r: 8}}}\n"
        "data: {class_path: modelgenerator.data.TokenClassification, init_args: {path: t.tsv}}\n",
        "model: {name: TokenClassification, n_classes: 4, lora.r: 8}\ndata: {path: t.tsv}\n",
        "model: TokenClassification\nmodel.n_classes: 4\nmodel.lora.r: 8\ndata.path: t.tsv\n",
    ],
    ids=["class_path", "name", "dotted"],
)
def test_forms_of_a_file_mean_the_same(yaml, text):
    """That of Lightning, ours, and dotted keys."""
    settings = parse("--config", yaml("run.yaml", text))
    assert settings.task == "TokenClassification"
    assert settings.model == TokenClassificationOptions(n_classes=4, lora=LoraOptions(r=8))
    assert settings.data.path == "t.tsv"


def test_model_by_flag_wins_over_the_file(yaml):
    """The options are those of the task that is named in the end."""
    path = yaml("run.yaml", "model: TokenClassification\n")
    assert parse("--config", path, *PATH).task == "TokenClassification"
    settings = parse("--config", path, "--model", "SequenceRegression", "--model.n_outputs", 3, *PATH)
    assert (settings.task, settings.model.n_outputs) == ("SequenceRegression", 3)


@pytest.mark.parametrize("module", [fit, test_command, predict], ids=["fit", "test", "predict"])
def test_printed_configuration_gives_the_same_settings(module, capsys, tmp_path):
    """For any command about tasks: what is about one call, such as --output, is not printed."""
    words = ["--model", "TokenClassification", "--model.lora.r", "4", "--trainer.learning_rate", "3e-4", *PATH]
    words += ["--early_stopping_patience", "2", "--model.config_overrides", '{"hidden_size": 64}']
    words += ["--data.rename_columns", '{"old.name": "sequence"}', "--trainer.optim", "adafactor"]
    own = ["--output", "p.tsv"] if module is predict else []
    parser = module.build_parser("dnafm")
    with pytest.raises(SystemExit) as leaving:
        parser.parse_args([*words, *own, "--print_config"])
    assert leaving.value.code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert parse("--config", printed) == parse(*words)


def test_written_configuration_gives_the_same_settings(tmp_path):
    """What fit writes beside the checkpoint, but for the order to resume, which is about one call."""
    words = ["--model", "MaskedLM", "--model.mlm_probability", 0.2, "--trainer.seed", 5, *PATH]
    settings = parse(*words, "--trainer.output_dir", "runs/x")
    resumed = parse(*words, "--trainer.output_dir", "runs/x", "--trainer.resume_from_checkpoint", "true")
    write_config(tmp_path / "config.yaml", resumed.nested())
    assert parse("--config", tmp_path / "config.yaml") == settings


def test_resuming_may_be_asked_for_in_a_file(yaml):
    """There it is a boolean."""
    path = yaml("run.yaml", "trainer: {resume_from_checkpoint: true}\n")
    assert parse("--config", path, *PATH).trainer == {"resume_from_checkpoint": True}


def test_defaults_are_not_settings():
    """So that those which depend on the task or the machine are chosen later."""
    assert parse(*PATH, "--trainer.num_train_epochs", 4).trainer == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.lora.rr", "3"], "--model.lora.rr is no option; did you mean --model.lora.r?"),
        (
            ["--trainer.num_train_epoch=3"],
            "--trainer.num_train_epoch is no option; did you mean --trainer.num_train_epochs?",
        ),
        (["--model.lora", "3"], "--model.lora is no option; did you mean --model.lora.r?"),
        (["--xyz", "3"], "--xyz is no option; --help lists the options."),
        (["more"], "'more' belongs to no option."),
        (["--model.n_classes", "two"], "--model.n_classes is 'two'; it must be an integer or null."),
        (["--model.frozen", "maybe"], "--model.frozen is 'maybe'; it must be true or false."),
        (["--model.config_overrides", "3"], "--model.config_overrides is '3'; it must be a mapping."),
        (["--model.lora.target_modules", "q"], "--model.lora.target_modules is 'q'; it must be a list."),
        (["--data.fold", "some"], "--data.fold is 'some'; it must be an integer or all or null."),
        (["--model.dtype", "int8"], "--model.dtype is 'int8'; it must be auto or float32 or bfloat16 or float16."),
        (["--trainer.bf16", "x"], "--trainer.bf16 is 'x'; it must be true or false or null."),
        (["--config"], "argument --config: expected one argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_option_is_one_line(dnafm, words, message):
    """It names option, value and rule, or the nearest option, and leaves with the code of wrong usage."""
    assert dnafm("fit", *PATH, *words) == (2, "", f"dnafm: error: {message}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {bakbone: x}\n", "model.bakbone is no option; did you mean model.backbone?"),
        ("early_stopping: 3\n", "early_stopping is no option; did you mean early_stopping_patience?"),
        ("trainer: {output_dri: x}\n", "trainer.output_dri is no option; did you mean trainer.output_dir?"),
        ("modle: {frozen: true}\n", "modle is in no section; did you mean model?"),
        ("model: [1, 2\n", "expected ',' or ']'"),
    ],
)
def test_wrong_key_of_a_file_names_the_file(dnafm, yaml, text, message):
    """One line, with the nearest key."""
    path = yaml("run.yaml", text)
    code, output, errors = dnafm("fit", "--config", path, *PATH)
    assert code in (1, 2)
    assert output == ""
    assert errors.startswith(f"dnafm: error: {path}:")
    assert message in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "SequenceClasification"], "is no task; did you mean SequenceClassification?"),
        (["--model", "Nope"], "is no task; the tasks are SequenceClassification, "),
        (["--model", "TokenClassification", "--data", "SequenceClassification"], "take --data TokenClassification."),
        (["--config", "nowhere.yaml"], "nowhere.yaml: No such file or directory."),
    ],
)
def test_wrong_name_is_one_line(dnafm, words, message):
    """Of a task, of its data, or of a file."""
    code, output, errors = dnafm("fit", *PATH, *words)
    assert (code, output) == (1, "")
    assert message in errors
    assert errors.count("\n") == 1


def test_data_must_be_named(dnafm):
    """Without options at all."""
    assert dnafm("fit") == (2, "", "dnafm: error: --data.path must be given.\n")


def test_a_mapping_is_one_option(yaml):
    """Keys below it, dots included, are values and not options."""
    fields = {"hidden_size": 32, "intermediate_size": 48}
    path = yaml(
        "run.yaml", json.dumps({"model": {"config_overrides": fields}, "data": {"rename_columns": {"a.b": "c"}}})
    )
    settings = parse("--config", path, *PATH)
    assert settings.model.config_overrides == fields
    assert settings.data.rename_columns == {"a.b": "c"}
