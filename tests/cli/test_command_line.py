import subprocess
import sys
import types

import pytest

from dnafm.cli import main as cli
from dnafm.version import __version__


def dnafm(*arguments: str) -> subprocess.CompletedProcess:
    """Call the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "dnafm.cli.main", *arguments], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def command(monkeypatch):
    """Add a command `probe` whose `run` is what the test sets."""
    module = types.ModuleType("dnafm_probe")
    module.add_parser = lambda subparsers: subparsers.add_parser("probe")
    module.run = lambda args: None
    monkeypatch.setitem(sys.modules, "dnafm_probe", module)
    monkeypatch.setitem(cli.COMMANDS, "probe", ("dnafm_probe", "for the tests"))
    return module


def test_help_lists_every_command():
    """The overview has one line for each command, and goes to stdout."""
    result = dnafm("--help")
    assert result.returncode == 0
    assert all(f"\n  {name} " in result.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_help_of_each_command_renders(name, capsys):
    """A stray % in a help text would raise only when it is shown."""
    with pytest.raises(SystemExit) as leaving:
        cli.main([name, "--help"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: dnafm {name}")


def test_version_is_the_version_of_the_package(capsys):
    """`dnafm --version` prints name and version."""
    with pytest.raises(SystemExit) as leaving:
        cli.main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"dnafm {__version__}\n"


def test_wrong_usage_leaves_the_process_with_code_2():
    """The reason is on stderr, stdout stays empty."""
    result = dnafm("quickstart", "--no_such_option")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.endswith("dnafm: error: unrecognized arguments: --no_such_option\n")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["quikstart"], "unknown command 'quikstart'; did you mean 'quickstart'?", id="misspelt"),
        pytest.param(["xyz"], "unknown command 'xyz'; the commands are quickstart, fit, ", id="no such command"),
        pytest.param(["quickstart", "--epochs", "0"], "argument --epochs: 0 is not greater than 0", id="value"),
        pytest.param(["quickstart", "--batch_size", "1.5"], "invalid int value: '1.5'", id="type"),
        pytest.param(["quickstart", "--epochs", "1", "--max_steps", "2"], "not allowed with argument", id="both"),
    ],
)
def test_wrong_usage_is_explained(arguments, message, capsys):
    """The message names the value and, for a command, the nearest one."""
    with pytest.raises(SystemExit) as leaving:
        cli.main(arguments)
    assert leaving.value.code == 2
    assert message in capsys.readouterr().err


def test_without_a_command_the_overview_is_shown(capsys):
    """It goes to stderr: whoever pipes stdout into something did not want it."""
    assert cli.main([]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("usage: dnafm")


def test_exit_code_is_what_the_command_returns(command):
    """None means 0."""
    assert cli.main(["probe"]) == 0
    command.run = lambda args: 3
    assert cli.main(["probe"]) == 3


@pytest.mark.parametrize(
    "error", [ValueError("a\n  b"), FileNotFoundError("a b"), ImportError("a b"), PermissionError("a b")]
)
def test_error_of_the_user_is_one_line(command, capsys, error):
    """No traceback, no line break, exit code 1."""

    def run(args):
        raise error

    command.run = run
    assert cli.main(["probe"]) == 1
    assert capsys.readouterr() == ("", "dnafm: error: a b\n")


def test_error_of_ours_keeps_its_traceback(command):
    """A RuntimeError is a bug to report, not a message to read."""

    def run(args):
        raise RuntimeError

    command.run = run
    with pytest.raises(RuntimeError):
        cli.main(["probe"])


@pytest.mark.parametrize("arguments", [["--debug", "probe"], ["probe", "--debug"]])
def test_debug_shows_the_traceback(command, arguments):
    """The option may stand before or after the command."""

    def run(args):
        raise ValueError("a")

    command.run = run
    with pytest.raises(ValueError, match="a"):
        cli.main(arguments)


def test_interrupt_ends_without_a_traceback(command, capsys):
    """Ctrl-C gives the shell's usual code, 128 + 2."""

    def run(args):
        raise KeyboardInterrupt

    command.run = run
    assert cli.main(["probe"]) == 130
    assert capsys.readouterr().err == "dnafm: interrupted\n"


def test_a_command_is_imported_only_when_it_is_called(command, monkeypatch):
    """The module of another command may even be missing."""
    monkeypatch.setitem(cli.COMMANDS, "absent", ("dnafm_no_such_module", "for the tests"))
    assert cli.main(["probe"]) == 0


def test_command_modules_import_no_model_code():
    """`dnafm quickstart --help` needs argparse alone: its module loads no training code."""
    code = "import sys, dnafm.cli.quickstart; print([m for m in sys.modules if m.startswith('dnafm.training')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout == "[]\n"


def test_reader_that_has_enough_is_no_error():
    """`dnafm doctor | head` ends without a message, as other commands in a pipe do."""
    with subprocess.Popen(
        [sys.executable, "-m", "dnafm.cli.main", "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
