# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The codec: events to JSON and back, exactly as the Rust reference does it.

Writing is one expression for each variant, in which the wire form can be read; it gives
byte for byte what serde_json writes for the same event. Reading accepts what serde_json
accepts for the reference's enum, and only that. It has two paths that give the same result:
a quick one for the canonical form that all implementations write, and a strict one that
takes every other form apart, judges it, and says where a fault lies.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from functools import cache
from json.decoder import scanstring  # type: ignore[attr-defined]  # public in all but typeshed
from json.encoder import encode_basestring as _quote
from typing import Any, Final, TypeAlias

from ._catalog import (
    EVENT_TYPES,
    U64_MAX,
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
    _set_step_token_content,
    _set_step_token_step_name,
    _set_step_token_timestamp_ms,
    _set_step_token_token_index,
    shown_int,
)

__all__ = ["DecodeError", "from_dict", "from_json", "to_dict", "to_json"]

# serde_json gives up on entering the 128th array or object (its recursion limit).
MAX_DEPTH: Final = 127
# So many characters of the input are quoted in the text of an error, at most.
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
        if self.lineno is None:
            return f"{self.reason}: {self.message}"
        return f"{self.reason}: {self.message} (line {self.lineno}, column {self.colno})"

    def _changed(self, **changes: Any) -> "DecodeError":
        """Return the same error but for these of its parts."""
        parts = ("reason", "message", "kind", "field", "pos", "lineno", "colno")
        return DecodeError(**{part: getattr(self, part) for part in parts} | changes)


def _flow_start(e: FlowStart) -> str:
    return (
        f'{{"kind":"flow_start","flow_name":{_quote(e.flow_name)},"backend":{_quote(e.backend)}'
        f',"timestamp_ms":{e.timestamp_ms}}}'
    )


def _step_start(e: StepStart) -> str:
    return (
        f'{{"kind":"step_start","step_name":{_quote(e.step_name)},"step_index":{e.step_index}'
        f',"step_type":{_quote(e.step_type)},"timestamp_ms":{e.timestamp_ms}}}'
    )


def _step_token(e: StepToken) -> str:
    return (
        f'{{"kind":"step_token","step_name":{_quote(e.step_name)},"content":{_quote(e.content)}'
        f',"token_index":{e.token_index},"timestamp_ms":{e.timestamp_ms}}}'
    )


def _step_complete(e: StepComplete) -> str:
    return (
        f'{{"kind":"step_complete","step_name":{_quote(e.step_name)},"step_index":{e.step_index}'
        f',"success":{"true" if e.success else "false"},"full_output":{_quote(e.full_output)}'
        f',"tokens_input":{e.tokens_input},"tokens_output":{e.tokens_output}'
        f',"timestamp_ms":{e.timestamp_ms}}}'
    )


def _tool_call(e: ToolCall) -> str:
    return (
        f'{{"kind":"tool_call","step_name":{_quote(e.step_name)},"tool_name":{_quote(e.tool_name)}'
        f',"content":{_quote(e.content)},"timestamp_ms":{e.timestamp_ms}}}'
    )


def _flow_complete(e: FlowComplete) -> str:
    return (
        f'{{"kind":"flow_complete","flow_name":{_quote(e.flow_name)},"backend":{_quote(e.backend)}'
        f',"success":{"true" if e.success else "false"},"steps_executed":{e.steps_executed}'
        f',"tokens_input":{e.tokens_input},"tokens_output":{e.tokens_output}'
        f',"latency_ms":{e.latency_ms},"timestamp_ms":{e.timestamp_ms}}}'
    )


def _flow_error(e: FlowError) -> str:
    return (
        f'{{"kind":"flow_error","flow_name":{_quote(e.flow_name)},"error":{_quote(e.error)}'
        f',"timestamp_ms":{e.timestamp_ms}}}'
    )


_ENCODERS: Mapping[type[Event], Callable[[Any], str]] = {
    FlowStart: _flow_start,
    StepStart: _step_start,
    StepToken: _step_token,
    StepComplete: _step_complete,
    ToolCall: _tool_call,
    FlowComplete: _flow_complete,
    FlowError: _flow_error,
}


def to_json(event: Event) -> str:
    """Return the event's JSON, byte for byte (in UTF-8) what serde_json writes for it.

    `kind` comes first, then the fields in the catalog's order, without spaces; non-ASCII
    characters stand as they are. Raises TypeError for anything but an event.
    """
    encoder = _ENCODERS.get(type(event))
    if encoder is None:
        raise TypeError(f"to_json takes an event, got {type(event).__name__}")
    return encoder(event)


def to_dict(event: Event) -> dict[str, str | int | bool]:
    """Return the event as a new plain `dict`: `kind` first, then the fields in order.

    Raises TypeError for anything but an event.
    """
    if type(event) not in _ENCODERS:
        raise TypeError(f"to_dict takes an event, got {type(event).__name__}")
    return {"kind": event.kind} | {
        field.name: getattr(event, field.name) for field in fields(event)
    }


def from_json(document: str | bytes | bytearray | memoryview) -> Event:
    """Return the event that a JSON document holds.

    `document` is text, or its UTF-8 bytes. Accepted is what the reference's derived decoder
    accepts: members in any order, any escapes, JSON whitespace around tokens, unknown fields.
    Everything else raises DecodeError; an argument of another type raises TypeError. The time
    is linear in the size of the document.
    """
    try:
        if type(document) is bytes:
            text = document.decode()
            event = _quick(text)
        elif isinstance(document, str):
            text = str.__str__(document)
            event = _quick(text) if _is_utf8(text) else None
        elif isinstance(document, (bytes, bytearray, memoryview)):
            # By its buffer: a subclass may have its own `__bytes__`.
            text = bytes(memoryview(document)).decode()
            event = _quick(text)
        else:
            raise TypeError(
                "from_json takes a str, bytes, bytearray or memoryview,"
                f" got {type(document).__name__}"
            )
    except UnicodeDecodeError as error:
        byte = f"0x{error.object[error.start]:02x}"
        sound = error.object[: error.start].decode()
        fault = DecodeError("not-utf8", f"expected UTF-8, got the byte {byte}", pos=len(sound))
        raise _located(fault, sound, in_bytes=True) from None
    if event is not None:
        return event
    try:
        return _strict(text)
    except DecodeError as error:
        raise _located(error, text, in_bytes=not isinstance(document, str)) from None


def from_dict(data: Mapping[str, object]) -> Event:
    """Return the event that a mapping holds, for JSON that someone else has parsed.

    `data` has the members of the event's object; unknown fields are not looked into. Raises
    DecodeError as `from_json` does (without a position): `not-an-object` for anything but a
    mapping, `wrong-type` for a key that is no `str`, `not-utf8` for a lone surrogate.
    """
    if not isinstance(data, Mapping):
        raise DecodeError("not-an-object", f"expected a mapping, got {_described(data)}")
    for key in data:
        if not isinstance(key, str):
            raise DecodeError("wrong-type", f"expected keys of type str, got {_described(key)}")
    return _event(data)


def _event(values: Mapping[str, object], repeated: Collection[str] = ()) -> Event:
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
            f"expected one of {', '.join(EVENT_TYPES)} as kind, got {_described(kind)}",
            kind=plain,
            field="kind",
        )
    arguments: list[Any] = []
    for field in fields(cls):
        name = field.name
        if name in repeated:
            raise DecodeError(
                "duplicate-field",
                f"expected {cls.__name__}.{name} once, got it again",
                cls.kind,
                name,
            )
        if name not in values:
            raise DecodeError(
                "missing-field",
                f"expected {_EXPECTED[field.type]} as {cls.__name__}.{name}, got no such field",
                cls.kind,
                name,
            )
        value = values[name]
        reason = _FAULTS[field.type](value)
        if reason is not None:
            expected = (
                "text without lone surrogates" if reason == "not-utf8" else _EXPECTED[field.type]
            )
            raise DecodeError(
                reason,
                f"expected {expected} as {cls.__name__}.{name}, got {_described(value)}",
                cls.kind,
                name,
            )
        arguments.append(value)
    return cls(*arguments)


def _str_fault(value: object) -> str | None:
    if not isinstance(value, str):
        return "wrong-type"
    return None if _is_utf8(value) else "not-utf8"


def _int_fault(value: object) -> str | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return "wrong-type"
    return None if 0 <= value <= U64_MAX else "out-of-range"


def _bool_fault(value: object) -> str | None:
    return None if isinstance(value, bool) else "wrong-type"


_FAULTS: Final[Mapping[Any, Callable[[object], str | None]]] = {
    str: _str_fault,
    int: _int_fault,
    bool: _bool_fault,
}
_EXPECTED: Final[Mapping[Any, str]] = {
    str: "a string",
    int: f"an integer from 0 to {U64_MAX}",
    bool: "true or false",
}


def _is_utf8(text: str) -> bool:
    """Tell whether text has no lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@cache
def _matcher(pattern: str) -> "_Match":
    """Return the `match` of a pattern; compiled on first use, which keeps the import short."""
    return re.compile(pattern).match


# The quick paths. They take text without lone surrogates, and leave whatever is not as they
# expect to the strict path, which knows how to say what is wrong.
#
# A document in canonical form that is short and has no escapes, as tokens are, is one match of
# one pattern. In any other the variant's last string may be a long one: there a pattern for the
# head, up to that string's opening quote, the C scanner for the string, and a pattern for the
# tail, since for each character a pattern costs four times what the scanner does. One pattern
# where it will do saves a fifth. Integers of 19 digits at most need no check of their range.

_MAX_LINE: Final = 260  # characters
_STRING: Final = r'"([^"\\\x00-\x1f]*)"'
_VALUE: Final[Mapping[Any, str]] = {
    str: _STRING,
    int: "(0|[1-9][0-9]{0,18})",
    bool: "(true|false)",
}

_Match: TypeAlias = Callable[..., "re.Match[str] | None"]
_new: Final = object.__new__


def _token(step_name: str, content: str, token_index: str, timestamp_ms: str) -> StepToken:
    """Return a token without the checks of its constructor, which the patterns have made.

    That saves a fifth of the time of decoding it.
    """
    event = _new(StepToken)
    _set_step_token_step_name(event, step_name)
    _set_step_token_content(event, content)
    _set_step_token_token_index(event, int(token_index))
    _set_step_token_timestamp_ms(event, int(timestamp_ms))
    return event


# From what the patterns capture, in the order of the fields.
_BUILDERS: Mapping[str, Callable[..., Event]] = {
    "flow_start": lambda a, b, c: FlowStart(a, b, int(c)),
    "step_start": lambda a, b, c, d: StepStart(a, int(b), c, int(d)),
    "step_token": _token,
    "step_complete": lambda a, b, c, d, e, f, g: StepComplete(
        a, int(b), c == "true", d, int(e), int(f), int(g)
    ),
    "tool_call": lambda a, b, c, d: ToolCall(a, b, c, int(d)),
    "flow_complete": lambda a, b, c, d, e, f, g, h: FlowComplete(
        a, b, c == "true", int(d), int(e), int(f), int(g), int(h)
    ),
    "flow_error": lambda a, b, c: FlowError(a, b, int(c)),
}
# A document's first characters tell its kind: `{"kind":"` and as many as the shortest kind has.
_PREFIX: Final = 18
_KINDS: Final = {f'{{"kind":"{kind}'[:_PREFIX]: kind for kind in EVENT_TYPES}


@cache
def _matchers(kind: str) -> tuple[_Match, _Match, _Match]:
    """Return what matches the whole line, the head and the tail; made on first use, as above."""
    members = [f'"{field.name}":{_VALUE[field.type]}' for field in fields(EVENT_TYPES[kind])]
    line = ",".join([f'\\{{"kind":"{kind}"', *members]) + r"\}"
    head, _, tail = line.rpartition(_STRING)
    return re.compile(line).fullmatch, re.compile(head + '"').match, re.compile(tail).fullmatch


# The tokens of a step come in a row and have the same head, so one comparison does for a match:
# that saves a fifth. This is the head of the last one, its step's name, and what matches the tail;
# at first a head that no text begins with which comes here.
_token_before: tuple[str, str, _Match] = ("\ud800", "", re.match)


def _quick(text: str) -> Event | None:
    """Return the event of a document in canonical form, or of a plain one; None for any other."""
    global _token_before
    head, step_name, match_tail = _token_before
    if text.startswith(head):
        try:
            content, end = scanstring(text, len(head))
        except ValueError:
            return None
        tail = match_tail(text, end)
        if tail is None or not (content.isascii() or "\\" not in text or _is_utf8(content)):
            return None
        token_index, timestamp_ms = tail.groups()
        return _token(step_name, content, token_index, timestamp_ms)

    kind = _KINDS.get(text[:_PREFIX])
    if kind is None:
        return _plain(text)
    match_line, match_head, match_tail = _matchers(kind)
    if len(text) <= _MAX_LINE and "\\" not in text:
        line = match_line(text)
        if line is None:
            return _plain(text)
        if kind == "step_token":
            _token_before = (text[: line.start(2)], line[1], match_tail)
        return _BUILDERS[kind](*line.groups())
    start = match_head(text)
    if start is None:
        return _plain(text)
    try:
        last, end = scanstring(text, start.end())
    except ValueError:
        return None
    tail = match_tail(text, end)
    # A lone surrogate can only come from an escape.
    if tail is None or not (last.isascii() or "\\" not in text or _is_utf8(last)):
        return None
    return _BUILDERS[kind](*start.groups(), last, *tail.groups())


# A plain document is an object in any other form, such as with spaces after its colons, if it has
# no arrays or objects in it. Each member is one match; the strict path takes five times as long.

_MAX_PLAIN: Final = 4096  # characters: patterns with repeated groups need memory for each repeat


_SPACE: Final = r"[ \t\n\r]*"
_ANY_STRING: Final = r'"([^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)"'
_MEMBER: Final = (
    rf"{_SPACE}{_ANY_STRING}{_SPACE}:{_SPACE}"
    rf"(?:{_ANY_STRING}|(0|-?[1-9][0-9]{{0,18}})|(true|false|null)){_SPACE}([,}}])"
)


def _plain(text: str) -> Event | None:
    """Return the event of a document without arrays and objects; None for any other."""
    match = _matcher(_MEMBER)
    start = _skip_space(text, 0)
    if len(text) > _MAX_PLAIN or not text.startswith("{", start):
        return None
    values: dict[str, Any] = {}
    pos, closer = start + 1, ","
    try:
        while closer == ",":
            member = match(text, pos)
            if member is None:
                return None
            name, string, digits, literal, closer = member.groups()
            name = _unescaped(name)
            if name in values:
                return None
            if string is not None:
                values[name] = _unescaped(string)
            elif digits is not None:
                values[name] = int(digits)
            else:
                values[name] = _LITERALS[literal]
            pos = member.end()
        if _skip_space(text, pos) < len(text):
            return None
        cls = EVENT_TYPES[values["kind"]]
        arguments = [values[name] for name in cls.__match_args__]
        return cls(*arguments)
    except (KeyError, TypeError, ValueError):
        return None


def _unescaped(string: str) -> str:
    """Return the text of a string that a pattern captured; ValueError if it is none."""
    if "\\" not in string:
        return string
    text: str = scanstring(string + '"', 0)[0]
    text.encode()  # a lone surrogate is an error here
    return text


# The strict path. It reads the document as JSON first, to its end and whatever it holds, and
# judges the members afterwards, so a document that is not JSON is never called anything else.

_NUMBER: Final = r"-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"
_INFINITY: Final = float("inf")
_LITERALS: Final = {"true": True, "false": False, "null": None}


def _strict(text: str) -> Event:
    """Return the event of a document, or raise DecodeError with `pos` in characters."""
    if not _is_utf8(text):
        pos = next(n for n, char in enumerate(text) if "\ud800" <= char <= "\udfff")
        raise DecodeError(
            "not-utf8",
            f"expected text without lone surrogates, got U+{ord(text[pos]):04X}",
            pos=pos,
        )
    start = _skip_space(text, 0)
    if not text.startswith("{", start):
        value, end = _value(text, start, depth=0)
        _require_end(text, end)
        raise DecodeError(
            "not-an-object", f"expected an object, got {_described(value)}", pos=start
        )

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
        return _event(values, repeated)
    except DecodeError as error:
        places = repeated if error.reason == "duplicate-field" else positions
        error.pos = places.get(error.field or "", pos - 1)
        raise


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

    It keeps a list of what is open and does not recurse: the depth of a document must not
    decide whether the caller's stack suffices.
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
        # A value ends at pos, and with it each container whose last one it is.
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
        value, end = scanstring(text, start)
    except ValueError:
        raise _string_error(text, start) from None
    if not _is_utf8(value):
        raise _string_error(text, start)
    return value, end


def _string_error(text: str, pos: int) -> DecodeError:
    """Return the error of the first fault in the string whose text begins at `pos`."""
    plain = re.compile(r'[^"\\\x00-\x1f]*')
    escape = re.compile(
        r'\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
        r"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    )
    while True:
        pos = plain.match(text, pos).end()  # type: ignore[union-attr]  # it matches everywhere
        match = escape.match(text, pos)
        if match is None:
            break
        pos = match.end()
    if pos == len(text):
        what = "a closing quote"
    elif text[pos] != "\\":
        what = "control characters to be escaped"
    elif not text.startswith("u", pos + 1):
        what = 'one of "\\/bfnrtu after the backslash'
    elif re.compile("[0-9a-fA-F]{4}").match(text, pos + 2) is None:
        what = "four hexadecimal digits after \\u"
    else:
        what = "surrogates in pairs"
    return _expected(what, text, pos)


def _expected(what: str, text: str, pos: int) -> DecodeError:
    """Return the `not-json` error for a document that has something other than `what` at `pos`."""
    got = (
        _quoted(text[pos : pos + _MAX_QUOTED + 1]) if pos < len(text) else "the end of the document"
    )
    return DecodeError("not-json", f"expected {what}, got {got}", pos=pos)


def _located(error: DecodeError, text: str, in_bytes: bool) -> DecodeError:
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


def _described(value: object) -> str:
    """Return what an error calls a value."""
    if isinstance(value, str):
        return f"the string {_quoted(str.__str__(value))}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return shown_int(value)
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
