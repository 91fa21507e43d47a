# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What a field may hold, and the functions that are generated from the fields of an event's class.

`checked` generates the constructor, and `reader` the function that the codec decodes with. Like
`dataclass` itself, they compose source text and execute it, once for each class. A flow makes an
event for each token, so the constructor's time matters. The generated one, checks included, takes
less time than that of a frozen dataclass, which sets each field by `object.__setattr__` and checks
nothing. It looks like this:

    def __init__(self, error: str, timestamp_ms: int) -> None:
        if not (type(error) is str and (error.isascii() or error.isprintable())):
            error = _plain_str(self, 'error', error)
        if not (type(timestamp_ms) is int and 0 <= timestamp_ms <= U64_MAX):
            timestamp_ms = _plain_int(self, 'timestamp_ms', timestamp_ms)
        set_error(self, error)
        set_timestamp_ms(self, timestamp_ms)
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final, NoReturn, TypeVar

__all__ = ["U64_MAX", "checked", "format_int", "is_utf8", "reader", "setters"]

U64_MAX: Final = 2**64 - 1

_Class = TypeVar("_Class", bound=type)


def format_int(value: int) -> str:
    """Return an int as the text of an error shows it: a huge one by its size."""
    # Python refuses to print an int of some thousand digits, and nobody wants to read one.
    return str(value) if value.bit_length() <= 128 else f"an int of {value.bit_length()} bits"


def is_utf8(text: str) -> bool:
    """Tell whether text has no lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain_str(event: object, field: str, value: object) -> str:
    """Return `value` as a plain `str` that UTF-8 can write, or raise TypeError or ValueError."""
    if not isinstance(value, str):
        raise TypeError(f"{type(event).__name__}.{field} must be a str, got {type(value).__name__}")
    plain = str.__str__(value)
    try:
        plain.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{type(event).__name__}.{field} must be text without lone surrogates,"
            f" got U+{ord(plain[error.start]):04X} at index {error.start}"
        ) from None
    return plain


def _plain_int(event: object, field: str, value: object) -> int:
    """Return `value` as a plain `int` from 0 to 2^64-1, or raise TypeError or ValueError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(
            f"{type(event).__name__}.{field} must be an int, got {type(value).__name__}"
        )
    plain = int.__int__(value)
    if not 0 <= plain <= U64_MAX:
        raise ValueError(
            f"{type(event).__name__}.{field} must be an int from 0 to {U64_MAX},"
            f" got {format_int(plain)}"
        )
    return plain


def _plain_bool(event: object, field: str, value: object) -> NoReturn:
    """Raise TypeError for `value`, which is no `bool`."""
    raise TypeError(f"{type(event).__name__}.{field} must be a bool, got {type(value).__name__}")


# By the type of a field: a test for values that are stored unchanged, and the function for all
# others. A lone surrogate is not printable, so ASCII or printable text has none; that test takes a
# quarter of the time of encoding the text.
_CHECKS: Final[dict[Any, tuple[str, Callable[[object, str, object], object]]]] = {
    str: ("type({0}) is str and ({0}.isascii() or {0}.isprintable())", _plain_str),
    int: ("type({0}) is int and 0 <= {0} <= U64_MAX", _plain_int),
    bool: ("type({0}) is bool", _plain_bool),
}
# The same test for a value that `json` has read from `document`. A lone surrogate can only come
# from an escape. `json` reads `-0` as 0, but to serde_json it is a float, so a zero passes only if
# the document has no `-0` at all.
_READ_CHECKS: Final[dict[Any, str]] = {
    str: r"type({0}) is str and ({0}.isascii() or '\\u' not in document or is_utf8({0}))",
    int: "type({0}) is int and (0 < {0} <= U64_MAX or {0} == 0 and '-0' not in document)",
    bool: "type({0}) is bool",
}


def checked(cls: _Class) -> _Class:
    """Replace the constructor of a frozen, slotted dataclass by one that checks its arguments.

    - `cls`: each of its fields is a `str`, an `int` or a `bool`.

    The constructor raises TypeError for a value of another type (a bool is no int), and ValueError
    for an int outside of 0 to 2^64-1 and for text with a lone surrogate. It stores a `str` or `int`
    of a subclass as its plain value.
    """
    parameters = [f"{name}: {type.__name__}" for name, type in _fields(cls)]
    lines = [f"def __init__(self, {', '.join(parameters)}) -> None:"]
    for name, type in _fields(cls):
        check, plain = _CHECKS[type]
        lines += [
            f"    if not ({check.format(name)}):",
            f"        {name} = {plain.__name__}(self, '{name}', {name})",
        ]
    lines += [f"    set_{name}(self, {name})" for name, _ in _fields(cls)]
    setattr(cls, "__init__", _defined(cls, "__init__", lines))  # noqa: B010  # mypy allows no other
    return cls


def setters(cls: Any) -> list[Callable[[Any, Any], None]]:
    """Return what sets each field of an event, in order, without any check."""
    return [cls.__dict__[name].__set__ for name, _ in _fields(cls)]


def reader(cls: Any) -> Callable[[list[tuple[str, Any]], str], Any]:
    """Return a function from a document's members, as `json` has read them, to an event.

    The function takes as many members as the event has, names and values, and the document's text.
    It returns None if the members are not in canonical order, or a value is not what its field may
    hold.
    """
    names = ["kind", *(name for name, _ in _fields(cls))]
    conditions = [f"key_{name} == '{name}'" for name in names]
    conditions += [_READ_CHECKS[type].format(name) for name, type in _fields(cls)]
    lines = [
        "def reader(members, document):",
        f"    {', '.join(f'(key_{name}, {name})' for name in names)} = members",
        f"    if not ({' and '.join(conditions)}):",
        "        return None",
        "    event = new(cls)",
        *(f"    set_{name}(event, {name})" for name, _ in _fields(cls)),
        "    return event",
    ]
    return _defined(cls, "reader", lines)


def _fields(cls: Any) -> list[tuple[str, Any]]:
    """Return the names and types of the fields."""
    return [(field.name, field.type) for field in fields(cls)]


def _defined(cls: Any, name: str, lines: list[str]) -> Callable[..., Any]:
    """Return the function of that name which these lines of source define, as a method of `cls`."""
    names: dict[str, Any] = {"cls": cls, "new": object.__new__}
    names |= {"U64_MAX": U64_MAX, "is_utf8": is_utf8}
    names |= {plain.__name__: plain for _, plain in _CHECKS.values()}
    names |= {f"set_{field}": cls.__dict__[field].__set__ for field, _ in _fields(cls)}
    exec(compile("\n".join(lines), f"<{name} of {cls.__name__}>", "exec"), names)
    function: Callable[..., Any] = names[name]
    function.__module__ = cls.__module__
    function.__qualname__ = f"{cls.__qualname__}.{name}"
    return function
