"""The types that options have: which values fit an annotation, and how a message calls it."""

from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a string", NoneType: "null"}


def fits(value: Any, annotation: Any) -> bool:
    """Return whether a value is of the type that an annotation says; an integer is a number, true and false are not.

    Raises:
        TypeError: the annotation is none of bool, int, float, str, None, Any, Literal, list[...], dict[..., ...],
            a dataclass, or a union of such types.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, member) for member in args)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in args)
    if origin is list:
        return isinstance(value, list) and all(fits(item, args[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(k, args[0]) and fits(v, args[1]) for k, v in value.items())
    if annotation in (int, float):
        return isinstance(value, (int, annotation)) and not isinstance(value, bool)
    if annotation in NAMES or is_dataclass(annotation):
        return isinstance(value, annotation)
    raise TypeError(f"{annotation} is no type that options can have.")


def describe(annotation: Any) -> str:
    """Return what a value must be, such as "an integer or null"."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in NAMES:
        return NAMES[annotation]
    if origin in (Union, UnionType):
        return " or ".join(describe(member) for member in args)
    if origin is Literal:
        return ", ".join(map(repr, args[:-1])) + (" or " if args[:-1] else "") + repr(args[-1])
    kind, noun = ("a list", "item") if origin is list else ("a mapping", "value")
    return f"{kind}, each {noun} {describe(args[-1])}" if args and args[-1] is not Any else kind


def options_type_in(annotation: Any) -> Any:
    """Return the dataclass of nested options that an annotation names, alone or in a union; None where it does not."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((member for member in members if is_dataclass(member)), None)
