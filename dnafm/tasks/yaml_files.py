"""YAML files that say what they seem to say: `1e-4` is a number, and no key is given twice."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dnafm.reports.files import write_atomically

# YAML 1.1, which PyYAML follows, wants a point in a number with an exponent, and takes 1e-4 for a string.
_FLOAT_TAG = "tag:yaml.org,2002:float"
_EXPONENTIAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z")
_FIRST_CHARACTERS = list("-+.0123456789")


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for index, key in enumerate(keys):
            if key.value in {earlier.value for earlier in keys[:index]}:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
        return node


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(_FLOAT_TAG, _EXPONENTIAL, _FIRST_CHARACTERS)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the mapping that a file holds; an empty file holds an empty one.

    Raises:
        ValueError: it is no YAML, gives a key twice, or holds something else; the message names the line.
        OSError: it cannot be read.
    """
    try:
        content = yaml.load(path.read_bytes(), Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ValueError(f"{place}: {problem or error}. The file must be valid YAML.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {content!r}; it must hold keys and their values, such as `model: ...`.")
    return content


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping, in the order of its keys.

    Raises:
        ValueError: a value is none of numbers, strings, booleans, None, lists and dictionaries.
        OSError: the file cannot be written.
    """
    try:
        # Not allow_unicode, which writes some line breaks in strings as they are and reads them as spaces.
        text = yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, width=119)
    except yaml.representer.RepresenterError as error:
        raise ValueError(
            f"{path}: {error.args[-1]!r} is none of numbers, strings, booleans, None, lists and dictionaries."
        ) from error
    write_atomically(path, lambda stream: stream.write(text.encode("utf-8")))
