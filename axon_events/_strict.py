# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The strict reader: serde_json's rules, one by one, and the errors that say where and why.

It reads the whole document as JSON first and judges the members afterwards, so a document that is
not JSON is never called anything else. It takes every valid form and reports every fault; the quick
reader in `_codec.py` takes the common forms.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from functools import cache
from json import decoder
from typing import Any, Final

from ._catalog import EVENT_TYPES, Event
from ._checked import U64_MAX, format_int, is_utf8

__all__ = ["DecodeError", "describe", "event_of", "locate", "read_strict"]

# serde_json gives up on entering the 128th array or object (its recursion limit).
MAX_DEPTH: Final = 127
# How many characters of the input the text of an error quotes, at most.
_MAX_QUOTED: Final = 40


class DecodeError(ValueError):
    """A document that is no event: why, and where.

    - `reason`: a stable code: `not-utf8`, `not-json`, `not-an-object`, `missing-kind`,
      `unknown-kind`, `missing-field`, `duplicate-field`, `wrong-type` or `out-of-range`; from
      `jsonl` also `cut-line`, from `sse` also `kind-mismatch`.
    - `message`: one line that says what was expected and what came.
    - `kind`: the document's kind if it names one (for `unknown-kind`, that unknown name), or None.
    - `field`: the field at fault, or None.
    - `pos`: where the fault lies, from 0, in characters of a `str` and bytes of anything else;
      for a missing field, the object's closing brace. None where there is no text.
    - `lineno`, `colno`: the same as line and column, from 1, or None. `colno` counts like `pos`.
      From `jsonl`, `lineno` is the file's, the others are the line's.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        kind: str | None = None,
        field: str | None = None,
        pos: int | None = None,
        lineno: int | None = None,
        colno: int | None = None,
    ) -> None:
        # All of them positional, so that pickle and copy can construct it again from `args`.
        super().__init__(reason, message, kind, field, pos, lineno, colno)
        self.reason = reason
        self.message = message
        self.kind = kind
        self.field = field
        self.pos = pos
        self.lineno = lineno
        self.colno = colno

    def __str__(self) -> str:
        if self.lineno is None or self.colno is None:
            return f"{self.reason}: {self.message}"
        return f"{self.reason}: {self.message} (line {self.lineno}, column {self.colno})"

    def _changed(self, **changes: Any) -> "DecodeError":
        """Return the same error but for these of its parts."""
        parts = ("reason", "message", "kind", "field", "pos", "lineno", "colno")
        return DecodeError(**{part: getattr(self, part) for part in parts} | changes)


_NUMBER: Final = r"-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"
_SPACE: Final = r"[ \t\n\r]*"
_INFINITY: Final = float("inf")
_LITERALS: Final = {"true": True, "false": False, "null": None}
_PLAIN: Final = r'[^"\\\x00-\x1f]*'
_ESCAPE: Final = (
    r'\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
# The scanner in Python, where the one in C is missing, takes more than four hexadecimal digits
# after `\u`: whatever `int` takes, such as `+0e9` and the digits of other scripts.
_IS_LENIENT: Final = decoder.c_scanstring is None  # type: ignore[attr-defined]  # typeshed lacks it


def read_strict(text: str) -> Event:
    """Return the event that a document holds, or raise DecodeError with `pos` in characters.

    - `text`: the document, without lone surrogates.
    """
    start = _skip_space(text, 0)
    if not text.startswith("{", start):
        value, end = _value(text, start, depth=0)
        _require_end(text, end)
        raise DecodeError("not-an-object", f"expected an object, got {describe(value)}", pos=start)

    values: dict[str, object] = {}
    positions: dict[str, int] = {}
    repeated: dict[str, int] = {}
    pos = _skip_space(text, start + 1)
    pos, more = (pos + 1, False) if text.startswith("}", pos) else (pos, True)
    while more:
        name, value_pos = _name(text, pos)
        value, end = _value(text, value_pos, depth=1)
        if name in values:
            repeated.setdefault(name, pos)
        else:
            values[name] = value
            positions[name] = value_pos
        pos, more = _next(text, end, "}")
    _require_end(text, pos)

    try:
        return event_of(values, repeated)
    except DecodeError as error:
        places = repeated if error.reason == "duplicate-field" else positions
        error.pos = places.get(error.field or "", pos - 1)
        raise


@cache
def _matcher(pattern: str) -> "Callable[..., re.Match[str] | None]":
    """Return the `match` of a pattern, which is compiled on first use: imports stay short."""
    return re.compile(pattern).match


def _skip_space(text: str, pos: int) -> int:
    """Return the position of the first character from `pos` on that is not JSON whitespace."""
    return _matcher(_SPACE)(text, pos).end()  # type: ignore[union-attr]  # it matches everywhere


def _require_end(text: str, pos: int) -> None:
    """Raise DecodeError if anything but whitespace follows."""
    pos = _skip_space(text, pos)
    if pos < len(text):
        raise _expected("the end of the document", text, pos)


def _name(text: str, pos: int) -> tuple[str, int]:
    """Return the member's name that begins at `pos`, and the position of its value."""
    if not text.startswith('"', pos):
        raise _expected("a field's name in double quotes", text, pos)
    name, end = _string(text, pos + 1)
    pos = _skip_space(text, end)
    if not text.startswith(":", pos):
        raise _expected('":" after a field\'s name', text, pos)
    return name, _skip_space(text, pos + 1)


def _next(text: str, pos: int, closer: str) -> tuple[int, bool]:
    """Return where to go on after a value that ends at `pos`, and whether a sibling is there."""
    pos = _skip_space(text, pos)
    if text.startswith(",", pos):
        return _skip_space(text, pos + 1), True
    if text.startswith(closer, pos):
        return pos + 1, False
    raise _expected(f'"," or "{closer}"', text, pos)


def _value(text: str, pos: int, depth: int) -> tuple[object, int]:
    """Return the value that begins at `pos`, and its end; an array or object comes back empty."""
    if text.startswith("{", pos):
        return {}, _container_end(text, pos, depth)
    if text.startswith("[", pos):
        return [], _container_end(text, pos, depth)
    return _scalar(text, pos)


def _container_end(text: str, pos: int, depth: int) -> int:
    """Return the end of the array or object that begins at `pos` inside of `depth` others.

    It does not recurse but keeps a list of what is open: the depth of a document must not decide
    whether the caller's stack suffices.
    """
    closers: list[str] = []
    while True:
        # A value begins at pos.
        if text.startswith(("{", "["), pos):
            if depth + len(closers) == MAX_DEPTH:
                raise DecodeError(
                    "not-json", f"expected at most {MAX_DEPTH} levels of nesting, got more", pos=pos
                )
            closer = "}" if text[pos] == "{" else "]"
            pos = _skip_space(text, pos + 1)
            if not text.startswith(closer, pos):
                closers.append(closer)
                if closer == "}":
                    _, pos = _name(text, pos)
                continue
            pos += 1
        else:
            _, pos = _scalar(text, pos)
        # A value has ended at pos: close every container that ends here.
        while closers:
            pos, more = _next(text, pos, closers[-1])
            if more:
                if closers[-1] == "}":
                    _, pos = _name(text, pos)
                break
            closers.pop()
        else:
            return pos


def _scalar(text: str, pos: int) -> tuple[str | int | float | bool | None, int]:
    """Return the string, number or literal that begins at `pos`, and its end."""
    if text.startswith('"', pos):
        return _string(text, pos + 1)
    match = _matcher(_NUMBER)(text, pos)
    if match is not None:
        # Correctly rounded, where serde_json's quick arithmetic is not: among numbers within
        # a rounding error of the largest double it refuses and accepts some others.
        number = float(match[0])
        if abs(number) == _INFINITY:
            raise _expected("a number that a double can hold", text, pos)
        # serde_json reads -0 as a double. What a double can hold has 309 digits at most.
        return (number if match[1] or match[0] == "-0" else int(match[0])), match.end()
    for literal, value in _LITERALS.items():
        if text.startswith(literal, pos):
            return value, pos + len(literal)
    raise _expected("a value", text, pos)


def _string(text: str, start: int) -> tuple[str, int]:
    """Return the string whose text begins at `start`, and the position after its quote."""
    try:
        value, end = decoder.scanstring(text, start)  # type: ignore[attr-defined]  # typeshed lacks it
    except ValueError:
        raise _string_error(text, start) from None
    if not is_utf8(value) or (_IS_LENIENT and not _is_sound(text, start)):
        raise _string_error(text, start)
    return value, end


def _string_error(text: str, start: int) -> DecodeError:
    """Return the error of the first fault in the string whose text begins at `start`."""
    pos = _sound_end(text, start)
    if pos == len(text):
        what = "a closing quote"
    elif text[pos] != "\\":
        what = "control characters to be escaped"
    elif not text.startswith("u", pos + 1):
        what = 'one of "\\/bfnrtu after the backslash'
    elif _matcher("[0-9a-fA-F]{4}")(text, pos + 2) is None:
        what = "four hexadecimal digits after \\u"
    else:
        what = "surrogates in pairs"
    return _expected(what, text, pos)


def _is_sound(text: str, start: int) -> bool:
    """Tell whether the string whose text begins at `start` has no fault."""
    return text.startswith('"', _sound_end(text, start))


def _sound_end(text: str, pos: int) -> int:
    """Return where the sound part ends of the string whose text begins at `pos`."""
    match_plain, match_escape = _matcher(_PLAIN), _matcher(_ESCAPE)
    while True:
        pos = match_plain(text, pos).end()  # type: ignore[union-attr]  # it matches everywhere
        escape = match_escape(text, pos)
        if escape is None:
            return pos
        pos = escape.end()


def _expected(what: str, text: str, pos: int) -> DecodeError:
    """Return the `not-json` error for a document that has something other than `what` at `pos`."""
    got = (
        _quoted(text[pos : pos + _MAX_QUOTED + 1]) if pos < len(text) else "the end of the document"
    )
    return DecodeError("not-json", f"expected {what}, got {got}", pos=pos)


def locate(error: DecodeError, text: str, in_bytes: bool) -> DecodeError:
    """Return the error with `lineno` and `colno` added, its `pos` in the caller's unit."""

    def size(part: str) -> int:
        return len(part.encode()) if in_bytes else len(part)

    pos = error.pos or 0
    line_start = text.rfind("\n", 0, pos) + 1
    return error._changed(
        pos=size(text[:pos]),
        lineno=text.count("\n", 0, pos) + 1,
        colno=size(text[line_start:pos]) + 1,
    )


def describe(value: object) -> str:
    """Return what an error calls a value."""
    if isinstance(value, str):
        return f"the string {_quoted(str.__str__(value))}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return format_int(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "an array"
    return f"a value of type {type(value).__name__}"


def _quoted(text: str) -> str:
    """Return the beginning of text on one line; `repr` leaves nothing that harms a terminal."""
    return repr(text) if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]!r}…"


def event_of(values: Mapping[str, object], repeated: Collection[str] = ()) -> Event:
    """Return the event of these members, of which the `repeated` were given more than once."""
    if "kind" in repeated:
        raise DecodeError("duplicate-field", 'expected "kind" once, got it again', field="kind")
    if "kind" not in values:
        raise DecodeError("missing-kind", 'expected a field "kind", got none', field="kind")
    kind = values["kind"]
    plain = str.__str__(kind) if isinstance(kind, str) else None
    cls = None if plain is None else EVENT_TYPES.get(plain)
    if cls is None:
        raise DecodeError(
            "unknown-kind",
            f"expected one of {', '.join(EVENT_TYPES)} as kind, got {describe(kind)}",
            kind=plain,
            field="kind",
        )
    arguments: list[Any] = []
    for field in fields(cls):
        name, place = field.name, f"{cls.__name__}.{field.name}"
        if name in repeated:
            message = f"expected {place} once, got it again"
            raise DecodeError("duplicate-field", message, cls.kind, name)
        expected, fault_of = _FIELDS[field.type]
        if name not in values:
            message = f"expected {expected} as {place}, got no such field"
            raise DecodeError("missing-field", message, cls.kind, name)
        value = values[name]
        reason = fault_of(value)
        if reason is not None:
            expected = "text without lone surrogates" if reason == "not-utf8" else expected
            message = f"expected {expected} as {place}, got {describe(value)}"
            raise DecodeError(reason, message, cls.kind, name)
        arguments.append(value)
    return cls(*arguments)


def _str_fault(value: object) -> str | None:
    if not isinstance(value, str):
        return "wrong-type"
    return None if is_utf8(value) else "not-utf8"


def _int_fault(value: object) -> str | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return "wrong-type"
    return None if 0 <= value <= U64_MAX else "out-of-range"


def _bool_fault(value: object) -> str | None:
    return None if isinstance(value, bool) else "wrong-type"


# By the type of a field: what an error expects, and what finds the reason to refuse a value.
_FIELDS: Final[Mapping[Any, tuple[str, Callable[[object], str | None]]]] = {
    str: ("a string", _str_fault),
    int: (f"an integer from 0 to {U64_MAX}", _int_fault),
    bool: ("true or false", _bool_fault),
}
