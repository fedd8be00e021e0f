"""The README's Python blocks run and print what stands below them."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```output\n(?P<output>.*?)```)?", re.DOTALL)


def test_python_blocks_print_what_the_readme_says():
    """In order, in one namespace; every block prints, so every block is checked."""
    blocks = list(BLOCK.finditer(README.read_text()))
    assert len(blocks) >= 4
    namespace: dict = {}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block["code"], str(README), "exec"), namespace)
        assert printed.getvalue() == block["output"]
