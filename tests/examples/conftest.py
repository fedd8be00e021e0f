"""Running an example as a user does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run_example():
    """Run an example by its name, offline; it ends well and warns of nothing. Returns what it prints."""

    def run(name: str, *options: object, timeout: int = 300) -> str:
        result = subprocess.run(
            [sys.executable, EXAMPLES / f"{name}.py", *map(str, options)],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert result.returncode == 0, result.stderr
        assert "Warning" not in result.stderr
        return result.stdout

    return run
