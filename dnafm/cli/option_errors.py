"""Errors about options in one line: what was given, what is due, and the nearest option where one is unknown."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

# How jsonargparse tells the types that a value may have.
_TYPES = {
    "<class 'bool'>": "true or false",
    "<class 'int'>": "an integer",
    "<class 'float'>": "a number",
    "<class 'str'>": "a text",
    "<class 'list'>": "a list",
    "<class 'dict'>": "a mapping",
    "<class 'NoneType'>": "null",
}
_UNRECOGNIZED = "unrecognized arguments: "
_REQUIRED = "the following arguments are required: "


def readable_error(message: str, known: Collection[str]) -> str:
    """Return what a parser says about wrong options as one line in our own words.

    Args:
        message: of argparse or jsonargparse.
        known: the options, with their dashes.
    """
    if message.startswith(_UNRECOGNIZED):
        option = message.removeprefix(_UNRECOGNIZED).split()[0].split("=")[0]
        return (
            f"{option} is no option; {suggestion(option, known)}"
            if option[0] == "-"
            else f"{option!r} belongs to no option."
        )
    if message.startswith(_REQUIRED):
        return " and ".join(f"--{name}" for name in message.removeprefix(_REQUIRED).split(", ")) + " must be given."
    return _wrong_type(message) or " ".join(message.split())


def unknown_key(config: Mapping[str, Any], known: Collection[str], groups: Collection[str]) -> str | None:
    """Return the first key of a configuration, with dots, that is no option; None where all are.

    Args:
        config: nested, of `read_config`.
        known: the options, with their dashes.
        groups: those of them that are groups of options.
    """
    options = {option.removeprefix("--") for option in known} - set(groups)
    return next((key for key in _dotted_keys(config, options) if key not in options), None)


def suggestion(name: str, known: Collection[str]) -> str:
    """Return a question about the nearest name, or where they all are listed."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else "--help lists the options."


def _wrong_type(message: str) -> str | None:
    key = re.match(r'Parser key "([\w.]+)"', message)
    value = re.search(r"(?:Got|Given) value: (.*)", message)
    expected = [_described(each) for each in re.findall(r"Expected an? (.+?)(?:\. Got value|\n|$)", message)]
    if key is None or value is None or not expected:
        return None
    return f"--{key[1]} is {value[1]!r}; it must be {' or '.join(dict.fromkeys(expected))}."


def _described(type_text: str) -> str:
    if type_text.startswith("typing.Literal["):
        return " or ".join(re.findall(r"[\w.]+", type_text.removeprefix("typing.Literal")))
    return _TYPES.get(type_text, type_text)


def _dotted_keys(config: Mapping[str, Any], options: Collection[str], above: str = "") -> Iterator[str]:
    """The keys of the leaves; an option that is a mapping is a leaf."""
    for name, value in config.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and key not in options:
            yield from _dotted_keys(value, options, f"{key}.")
        else:
            yield key
