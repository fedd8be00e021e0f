"""Run transformers-mlinter on the Hub files, without the rules that pyproject.toml switches off."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import mlinter

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
HUB_FILES = ("configuration_dnafm.py", "tokenization_dnafm.py", "modeling_dnafm.py")


def rules_without(switched_off: list[str]) -> str:
    """The bundled rules, with `default_enabled` of the named ones set to false."""
    rules = (Path(mlinter.__file__).parent / "rules.toml").read_text()
    for rule in switched_off:
        rules, count = re.subn(rf"(\[rules\.{rule}\]\n(?:.*\n)*?default_enabled = )true", r"\1false", rules, count=1)
        if count != 1:
            raise ValueError(f"mlinter has no rule {rule!r} that is on by default; take it out of pyproject.toml.")
    return rules


def main() -> int:
    """Lint; the exit status is mlinter's."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dnafm"]["mlinter"]
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.toml"
        rules.write_text(rules_without(settings["switched_off"]))
        files = [str(ROOT / "dnafm" / name) for name in HUB_FILES]
        return subprocess.call(
            [sys.executable, "-m", "mlinter", "--no-progress", "--no-cache", "--rules-toml", str(rules), *files]
        )


if __name__ == "__main__":
    sys.exit(main())
