"""Running an example as a user does."""

from pathlib import Path

import pytest
from forked_processes import ForkedProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run_example():
    """Run an example by its name, offline; it ends well and warns of nothing. Returns what it prints."""

    def run(name: str, *options: object, timeout: int = 300) -> str:
        process = ForkedProcess(*options, program=[EXAMPLES / f"{name}.py"])
        printed, errors = process.communicate(timeout)
        assert process.returncode == 0, errors
        assert "Warning" not in errors
        return printed

    return run
