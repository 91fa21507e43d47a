# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The codec: events to JSON and back, exactly as the Rust reference does it.

Writing is one expression for each variant, in which the wire form can be read; it gives byte for
byte what serde_json writes for the same event. Reading accepts what serde_json accepts for the
reference's enum, and only that. There are two readers with one verdict: the quick one here, which
returns None for whatever it does not know for certain, and the strict one, which alone refuses.
Nothing is kept from one document to the next.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed lacks it
from json.encoder import encode_basestring as _quote
from json.scanner import c_make_scanner  # type: ignore[attr-defined]  # typeshed lacks it
from typing import Any, Final, TypeAlias

from ._catalog import (
    EVENT_TYPES,
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
)
from ._checked import U64_MAX, is_utf8, reader, setters
from ._strict import DecodeError, describe, event_of, locate, read_strict

__all__ = ["DecodeError", "from_dict", "from_json", "to_dict", "to_json"]


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

    - `event`: one of the catalog; anything else raises TypeError.

    `kind` comes first, then the fields in the catalog's order, without spaces; characters that are
    not ASCII stand as they are.
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

    - `document`: text, or its UTF-8 bytes; TypeError for another type.

    It accepts what the reference's derived decoder accepts: members in any order, any escapes, JSON
    whitespace around tokens, unknown fields. Everything else raises DecodeError. The time is linear
    in the size of the document.
    """
    try:
        text = document.decode() if type(document) is bytes else _text_of(document)
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise _not_utf8(error) from None
    # Most documents are tokens. In line, since a call would add a twentieth.
    if len(text) <= _MAX_MATCHED and (token := _match_token(text)) is not None:
        step_name, content, token_index, timestamp_ms = token.groups()
        if "\\" in content:
            content, _ = scanstring(content + '"', 0)
        event = _new(StepToken)
        _set_step_name(event, step_name)
        _set_content(event, content)
        _set_token_index(event, int(token_index))
        _set_timestamp_ms(event, int(timestamp_ms))
        return event
    found = _read_quick(text)
    if found is not None:
        return found
    try:
        return read_strict(text)
    except DecodeError as error:
        raise locate(error, text, in_bytes=not isinstance(document, str)) from None


def _text_of(document: object) -> str:
    """Return a document as plain text; UnicodeError for bad UTF-8 and for lone surrogates."""
    if isinstance(document, str):
        text = str.__str__(document)
        if not text.isascii():
            text.encode()
        return text
    if isinstance(document, (bytes, bytearray, memoryview)):
        # By its buffer: a subclass may have its own `__bytes__`.
        return bytes(memoryview(document)).decode()
    raise TypeError(
        f"from_json takes a str, bytes, bytearray or memoryview, got {type(document).__name__}"
    )


def _not_utf8(error: UnicodeDecodeError | UnicodeEncodeError) -> DecodeError:
    """Return the error of a document that is not UTF-8, or a text with a lone surrogate."""
    if isinstance(error, UnicodeDecodeError):
        sound = error.object[: error.start].decode()
        message = f"expected UTF-8, got the byte 0x{error.object[error.start]:02x}"
        return locate(DecodeError("not-utf8", message, pos=len(sound)), sound, in_bytes=True)
    surrogate = ord(error.object[error.start])
    message = f"expected text without lone surrogates, got U+{surrogate:04X}"
    fault = DecodeError("not-utf8", message, pos=error.start)
    return locate(fault, error.object, in_bytes=False)


def from_dict(data: Mapping[str, object]) -> Event:
    """Return the event that a mapping holds, for JSON that someone else has parsed.

    - `data`: the members of the event's object; unknown fields are not looked into.

    Raises DecodeError as `from_json` does, but without a position: `not-an-object` for anything but
    a mapping, `wrong-type` for a key that is no `str`, `not-utf8` for a lone surrogate.
    """
    if not isinstance(data, Mapping):
        raise DecodeError("not-an-object", f"expected a mapping, got {describe(data)}")
    for key in data:
        if not isinstance(key, str):
            raise DecodeError("wrong-type", f"expected keys of type str, got {describe(key)}")
    return event_of(data)


# A token as `to_json` writes it, if its step's name has no escapes and its text no `\u` escapes.
# Integers of at most 19 digits are all in range.
_match_token: Final = re.compile(
    r'\{"kind":"step_token","step_name":"([^"\\\x00-\x1f]*)"'
    r',"content":"([^"\\\x00-\x1f]*(?:\\["\\/bfnrt][^"\\\x00-\x1f]*)*)"'
    r',"token_index":(0|[1-9][0-9]{0,18}),"timestamp_ms":(0|[1-9][0-9]{0,18})\}'
).fullmatch
_new: Final = object.__new__
_set_step_name, _set_content, _set_token_index, _set_timestamp_ms = setters(StepToken)
# The pattern takes four times as long for each character as the scanner does, and memory for each
# escape, so it is for short documents only.
_MAX_MATCHED: Final = 260  # characters

# The C scanner of `json`. Objects are lists of pairs, so that repeated members stay visible. Some
# Pythons have only the scanner written in Python, which accepts more than JSON. There the strict
# reader reads everything but plain tokens.
_scan: Final = c_make_scanner and c_make_scanner(json.JSONDecoder(object_pairs_hook=list))
# The scanner also builds the arrays of unknown fields, which take 20 times their size in memory.
_MAX_SCANNED: Final = 2**20  # characters
_SPACE: Final = " \t\n\r"
_Members: TypeAlias = list[tuple[str, Any]]


def _read_quick(text: str) -> Event | None:
    """Return the event of a document, or None if it needs a closer look."""
    if len(text) > _MAX_SCANNED or _scan is None:
        return None
    if not text.startswith("{"):
        text = text.lstrip(_SPACE)
        if not text.startswith("{"):
            return None
    try:
        members, end = _scan(text, 0)
        first_name, kind = members[0]
        if first_name != "kind":
            kind = dict(members)["kind"]
        read, names = _reader(kind)
    except (LookupError, RecursionError, StopIteration, TypeError, ValueError):
        return None
    if end < len(text) and text[end:].strip(_SPACE):
        return None
    event = read(members, text) if len(members) == len(names) else None
    if event is None:
        known = _known_members(members, names)
        event = None if known is None else read(known, text)
    return event


@cache
def _reader(kind: str) -> tuple[Callable[[_Members, str], Event | None], list[str]]:
    """Return what reads the members of a kind, and their names; written on first use."""
    cls = EVENT_TYPES[kind]
    return reader(cls), ["kind", *cls.__match_args__]


def _known_members(members: _Members, names: list[str]) -> _Members | None:
    """Return the members of these names, in this order.

    None if one is missing, any is repeated, or the reference may refuse an unknown one.
    """
    values = dict(members)
    if len(values) < len(members) or not values.keys() >= set(names):
        return None
    known = [(name, values.pop(name)) for name in names]
    return known if all(map(_is_plain, values, values.values())) else None


def _is_plain(name: str, value: object) -> bool:
    """Tell whether the reference is certain to accept an unknown member."""
    if not is_utf8(name):
        return False
    if type(value) is str:
        return is_utf8(value)
    if type(value) is int:
        return -U64_MAX <= value <= U64_MAX
    if type(value) is float:
        return abs(value) < 1e308
    return value is None or type(value) is bool
