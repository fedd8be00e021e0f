"""The help of the commands of tasks, and the script that completes their options."""

import shutil
import subprocess
from dataclasses import fields

import pytest

pytest.importorskip("jsonargparse")

from transformers import TrainingArguments

from dnafm.cli.main import COMMANDS
from dnafm.tasks import TASKS
from dnafm.tasks.configuration import as_dotted


@pytest.fixture
def wide(monkeypatch):
    """A terminal on which no line of the help is wrapped."""
    monkeypatch.setenv("COLUMNS", "1000")


@pytest.mark.parametrize("task", TASKS)
def test_help_has_every_option_of_the_task_with_its_default(dnafm, wide, task):
    """Those of the model, of its data and of the trainer; only --data.path has no default."""
    code, output, errors = dnafm("fit", "--model", task, "--help")
    assert (code, errors) == (0, "")
    blocks = {block.split()[0].rstrip(","): block for block in output.split("\n  --")[1:]}
    model, data = TASKS[task].options_type(), TASKS[task].table_type(path="x")
    for option in [*as_dotted(model, "model"), *as_dotted(data, "data")]:
        assert ("default: " in blocks[option]) is (option != "data.path")
    for field in fields(TrainingArguments):
        # Those that are no arguments of the constructor cannot be given.
        assert not field.init or "default: " in blocks[f"trainer.{field.name}"]


def test_help_tells_what_an_option_of_the_trainer_is(dnafm, wide):
    """In the words of transformers, whose docstring is in a style of its own."""
    _, output, _ = dnafm("test", "--help")
    line = next(line for line in output.splitlines() if "(type: float, default: 0.1)" in line and "ecay" in line)
    assert "Weight decay" in line


def test_help_does_not_offer_what_is_not_there(dnafm, wide):
    """A group of options takes no file of its own."""
    _, output, _ = dnafm("fit", "--help")
    assert "Path to a configuration file" not in output


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory, installed_dnafm):
    """The script of `dnafm completion bash`, as a file."""
    pytest.importorskip("shtab")
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    path = tmp_path_factory.mktemp("completion") / "dnafm"
    path.write_text(installed_dnafm("completion", "bash"))
    return path


def completions(script, *words: str) -> list[str]:
    """Return what bash offers for the last of the words."""
    code = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_dnafm; printf "%s\\n" "${COMPREPLY[@]}"'
    result = subprocess.run(["bash", "-c", code, script, *words], capture_output=True, text=True, check=True)
    return result.stdout.split()


def test_completion_script_is_bash(bash_script):
    """Bash parses it, and has nothing to say."""
    result = subprocess.run(["bash", "-n", bash_script], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("",), list(COMMANDS)),
        (("pre",), ["predict", "pretrain"]),
        (("fit", "--model.lora.r"), ["--model.lora.r"]),
        (("fit", "--dry_run", "--data.fold"), ["--data.folds", "--data.fold"]),
        (("fit", "--model", "Tok"), ["TokenClassification", "TokenRegression"]),
        (("fit", "--model.frozen", "t"), ["true"]),
        (("fit", "--model.mlm"), ["--model.mlm_probability"]),
        (("test", "--resam"), ["--resamples"]),
        (("pretrain", "--train_f"), ["--train_files"]),
        (("completion", "z"), ["zsh"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_completion_offers_commands_options_and_choices(bash_script, words, expected):
    """Options of any task, and the values of an option with choices."""
    assert sorted(completions(bash_script, "dnafm", *words)) == sorted(expected)


def test_completion_offers_files(bash_script, tmp_path, monkeypatch):
    """Where the value of an option is one."""
    (tmp_path / "some_run.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert completions(bash_script, "dnafm", "fit", "--config", "some") == ["some_run.yaml"]


def test_completion_of_zsh_is_for_the_command(dnafm):
    """The first line says whose it is."""
    pytest.importorskip("shtab")
    code, output, errors = dnafm("completion", "zsh")
    assert (code, errors) == (0, "")
    assert output.startswith("#compdef dnafm\n")
    assert "--model.backbone" in output
