"""Configurations of tasks: the same keys from Python, from YAML files and from the command line.

A configuration has the sections `model`, `data` and `trainer`, each of which becomes a dataclass of options, and keys
beside them.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from dnafm.tasks.option_types import describe, fits, options_type_in
from dnafm.tasks.yaml_files import read_yaml, write_yaml

SECTIONS = ("model", "data", "trainer")
Options = TypeVar("Options")


def read_config(
    source: Mapping[str, Any] | str | os.PathLike, *, top_level: Collection[str] | None = None
) -> dict[str, Any]:
    """Read a configuration.

    Dots are read in the keys of the whole and of its sections (`{"model.lora.r": 8}`, `{"model": {"lora.r": 8}}`); in
    mappings below, such as that of columns to rename, a dot belongs to the key. The form of Lightning's files,
    `{"class_path": "package.Name", "init_args": {...}}`, becomes the options themselves with the key `name`; a section
    that is a string is its `name`.

    Args:
        source: dotted keys, nested mappings, both mixed, or the path of a YAML file.
        top_level: keys that may stand beside the sections; by default all whose values are no mappings.

    Returns:
        Nested dictionaries: the sections that are given, and the other keys.

    Raises:
        ValueError: a key is given twice with different values, or is in no section; or the file is no YAML mapping.
        OSError: the file cannot be read.
    """
    if isinstance(source, Mapping):
        return _nested(source, top_level)
    content = read_yaml(Path(source))
    try:
        return _nested(content, top_level)
    except ValueError as error:
        raise ValueError(f"{os.fspath(source)}: {error}") from error


def write_config(path: str | os.PathLike, config: Mapping[str, Any]) -> None:
    """Write a configuration as YAML that `read_config` reads back; the file is whole or not there.

    Args:
        path: the file; folders above it are made.
        config: of numbers, strings, booleans, None, lists and dictionaries.

    Raises:
        ValueError: a value is of another type.
        OSError: the file cannot be written.
    """
    write_yaml(Path(path), config)


def options_from(options_type: type[Options], section: Mapping[str, Any], *, prefix: str) -> Options:
    """Build a dataclass of options.

    Args:
        options_type: the dataclass, whose annotations say what is due.
        section: of `read_config`, without its `name`; what it leaves out keeps its default.
        prefix: name of the section, for the messages.

    Raises:
        ValueError: a key is unknown (the message suggests the nearest one) or missing, or a value is of another type.
    """
    unknown = next(_unknown_keys(options_type, section), None)
    if unknown is not None:
        name = options_type.__name__.removesuffix("Options").removesuffix("Table")
        known = [f"{prefix}.{key}" for key in _known_keys(options_type)]
        raise ValueError(f"{prefix}.{unknown} is no option of {name}; {_suggestion(f'{prefix}.{unknown}', known)}")
    return _built(options_type, section, prefix)


def as_nested(options: Any) -> dict[str, Any]:
    """Return options as nested dictionaries, from which `options_from` builds them again."""
    return asdict(options)


def as_dotted(options: Any, prefix: str) -> dict[str, Any]:
    """Return options by dotted keys, such as `model.lora.r`; options that are dictionaries are values."""
    dotted: dict[str, Any] = {}
    for field in fields(options):
        key, value = f"{prefix}.{field.name}", getattr(options, field.name)
        dotted |= as_dotted(value, key) if is_dataclass(value) else {key: value}
    return dotted


def _nested(source: Mapping[str, Any], top_level: Collection[str] | None) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in _places(source):
        _check_place(path, value, top_level)
        for leaf_path, leaf in _leaves(path, value):
            _insert(nested, leaf_path, leaf)
    return nested


def _places(source: Mapping[str, Any], section: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Where each value belongs; sections are opened, and `class_path` and `init_args` resolved."""
    for key, value in source.items():
        if not isinstance(key, str) or not all(key.split(".")):
            raise ValueError(f"{key!r} is no key. Keys are strings, with a name on each side of a dot.")
        path = (*section, *key.split("."))
        if path[0] not in SECTIONS:
            yield path, value
            continue
        if path[1:2] == ("init_args",):
            path = (path[0], *path[2:])
        if len(path) == 1:
            yield from _section_places(path, value)
        elif path[1:] == ("class_path",):
            yield (path[0], "name"), str(value).rsplit(".", 1)[-1]
        else:
            yield path, value


def _section_places(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, str):
        yield (*path, "name"), value
    elif value is None or isinstance(value, Mapping):
        yield path, {}  # a section without a key is there all the same
        yield from _places(value or {}, path)
    else:
        raise ValueError(f"{path[0]} is {value!r}; a section is a mapping of options, or the name of a class.")


def _check_place(path: tuple[str, ...], value: Any, top_level: Collection[str] | None) -> None:
    if path[0] in SECTIONS:
        return
    key = ".".join(path)
    if len(path) > 1 or isinstance(value, Mapping):
        raise ValueError(f"{key} is in no section; {_suggestion(path[0], SECTIONS)}")
    if top_level is not None and key not in top_level:
        raise ValueError(f"{key} is no key of a configuration; {_suggestion(key, (*SECTIONS, *top_level))}")


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values in a mapping of mappings, those of which that are empty included."""
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for key, item in value.items():
        yield from _leaves((*path, key), item)


def _insert(nested: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *above, name = path
    inner: Any = nested
    for depth, part in enumerate(above, start=1):
        inner = inner.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{_dotted(path[:depth])} is {inner!r}, and {_dotted(path)} is given, too. Keep one.")
    is_empty = isinstance(value, Mapping)
    known = inner.setdefault(name, {} if is_empty else value)
    if not (is_empty and isinstance(known, dict)) and known != value:
        raise ValueError(f"{_dotted(path)} is given twice, as {known!r} and as {value!r}. Keep one.")


def _dotted(path: Iterable[Any]) -> str:
    return ".".join(map(str, path))


def _known_keys(options_type: Any, above: str = "") -> Iterator[str]:
    for name, annotation in _annotations(options_type).items():
        yield f"{above}{name}"
        inner = options_type_in(annotation)
        if inner is not None:
            yield from _known_keys(inner, f"{above}{name}.")


def _unknown_keys(options_type: Any, section: Mapping[str, Any], above: str = "") -> Iterator[str]:
    annotations = _annotations(options_type)
    for name, value in section.items():
        if name not in annotations:
            yield f"{above}{name}"
            continue
        inner = options_type_in(annotations[name])
        if inner is not None and isinstance(value, Mapping):
            yield from _unknown_keys(inner, value, f"{above}{name}.")


def _built(options_type: type[Options], section: Mapping[str, Any], prefix: str) -> Options:
    for field in fields(options_type):  # type: ignore[arg-type]
        if field.default is MISSING and field.default_factory is MISSING and field.name not in section:
            raise ValueError(f"{prefix}.{field.name} is missing, and it has no default.")
    annotations = _annotations(options_type)
    return options_type(
        **{name: _checked(value, annotations[name], f"{prefix}.{name}") for name, value in section.items()}
    )


def _checked(value: Any, annotation: Any, key: str) -> Any:
    inner = options_type_in(annotation)
    if inner is not None and isinstance(value, Mapping):
        return _built(inner, value, key)
    if not fits(value, annotation):
        raise ValueError(f"{key} is {value!r} ({type(value).__name__}); it must be {describe(annotation)}.")
    return value


def _annotations(options_type: Any) -> dict[str, Any]:
    hints = get_type_hints(options_type)
    return {field.name: hints[field.name] for field in fields(options_type)}


def _suggestion(key: str, known: Collection[str]) -> str:
    nearest = get_close_matches(key, known, n=1, cutoff=0.75)
    return f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(known)}."
