# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Properties of `from_json` and of `sse.Decoder` that hold for any bytes.

Each function takes bytes, raises AssertionError if a property does not hold, and returns the
outcome. The gate `fuzz` feeds them what a fuzzer invents, `test_faults` what a seeded generator
does.
"""

import json
import random
from collections.abc import Iterator
from math import isinf
from typing import Any, NamedTuple

from axon_events import (
    EVENT_TYPES,
    DecodeError,
    Event,
    from_dict,
    from_json,
    to_dict,
    to_json,
)
from axon_events.sse import Decoder, Frame, FrameTooLarge

from . import sse_model

MAX_DEPTH = 127
REASONS = {
    "not-utf8",
    "not-json",
    "not-an-object",
    "missing-kind",
    "unknown-kind",
    "missing-field",
    "duplicate-field",
    "wrong-type",
    "out-of-range",
}


def require(holds: object, *what: object) -> None:
    # Not the statement, which `-O` removes.
    if not holds:
        raise AssertionError(*what)


class Object(list[tuple[str, Any]]):
    """A JSON object's members in order, the repeated ones included."""


def _integer(digits: str) -> object:
    if isinf(float(digits)):
        raise ValueError("it overflows a double")
    # The reference takes minus zero for a float, which is no value of any field.
    return -0.0 if digits == "-0" else int(digits)


def _float(digits: str) -> float:
    if isinf(number := float(digits)):
        raise ValueError("it overflows a double")
    return number


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _texts(value: object, depth: int = 1) -> Iterator[str]:
    """Yield each key and string inside a JSON value, which may be nested to the limit."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        for item in value:
            if isinstance(value, Object):
                key, item = item
                yield key
            yield from _texts(item, depth + 1)


def model(text: str) -> Event | None:
    """Return the event of a document, by the standard library's `json` and the codec's rules.

    None if the document is to be refused.
    """
    try:
        members = json.loads(
            text,
            object_pairs_hook=Object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
        for inside in _texts(members):
            inside.encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, Object):
        return None
    names = [name for name, _ in members]
    data = dict(members)
    kind = data.get("kind")
    cls = EVENT_TYPES.get(kind) if isinstance(kind, str) else None
    if cls is None or any(names.count(name) > 1 for name in ("kind", *cls.__match_args__)):
        return None
    try:
        return from_dict(data)
    except DecodeError:
        return None


def _decoded(document: str | bytes | bytearray | memoryview) -> Event | DecodeError:
    """Return the event or the error; whatever else is raised goes on, and is a failure."""
    try:
        return from_json(document)
    except DecodeError as error:
        return error


def _told(result: Event | DecodeError) -> tuple[object, ...]:
    """Return what must not depend on the type of the document; positions count its units."""
    if isinstance(result, DecodeError):
        return result.reason, result.message, result.kind, result.field, result.lineno
    return (to_json(result),)


def from_json_holds(document: bytes) -> str:
    """Test `from_json` on a document; return the event's kind or the reason of its refusal.

    Nothing but an event or a DecodeError comes out; bytes of all types and text agree; the verdict
    is the one of `model`; an event is written and read back the same, and `json` reads in it
    what it holds; an error says in one line of bounded length what is wrong and where.
    """
    result = _decoded(document)
    told = _told(result)
    for other in (bytearray(document), memoryview(document)):
        require(_told(_decoded(other)) == told, "other bytes", told)
    try:
        text = document.decode()
    except UnicodeDecodeError:
        require(told[0] == "not-utf8", told)
        expected = None
    else:
        as_text = _decoded(text)
        require(_told(as_text) == told, "text", _told(as_text), told)
        if isinstance(as_text, DecodeError):
            require(as_text.pos is not None and 0 <= as_text.pos <= len(text), as_text.pos)
        expected = model(text)
    if isinstance(result, DecodeError):
        require(expected is None, "refused", result, expected)
        require(result.reason in REASONS, result.reason)
        require(result.pos is not None and 0 <= result.pos <= len(document), result.pos)
        require(len(str(result)) <= 400 and str(result).isprintable(), str(result))
        return result.reason
    require(expected is not None and to_json(expected) == told[0], "accepted", result, expected)
    written = to_json(result)
    require(to_json(from_json(written)) == written, "read back", written)
    require(from_json(written.encode()) == result, "read back", written)
    read = list(json.loads(written).items())
    require(read == list(to_dict(result).items()), "json", written)
    return result.kind


class Stream(NamedTuple):
    """What a decoder makes of a stream."""

    frames: list[Frame]
    last_event_id: str
    retry: int | None
    discarded: bool
    fault: str | None  # the text of FrameTooLarge


def _in_pieces(stream: bytes, cuts: list[int], max_frame_bytes: int) -> Stream:
    decoder = Decoder(max_frame_bytes=max_frame_bytes)
    frames: list[Frame] = []
    faults: set[str] = set()
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        try:
            frames += decoder.feed(stream[begin:end])
            require(not faults, "the fault has gone", faults)
        except FrameTooLarge as error:
            faults.add(str(error))
    try:
        decoder.close()
        require(not faults, "the fault has gone", faults)
    except FrameTooLarge as error:
        faults.add(str(error))
    require(len(faults) <= 1, "another fault", faults)
    state = decoder.last_event_id, decoder.retry, decoder.discarded
    return Stream(frames, *state, next(iter(faults), None))


def decoder_holds(stream: bytes, max_frame_bytes: int, seed: int) -> str:
    """Test `sse.Decoder` on a stream; return how it ended.

    - `max_frame_bytes`: its limit.
    - `seed`: of the random places where the stream is cut.

    Nothing but FrameTooLarge is raised, each time once it has been; the frames, the last event id,
    `retry`, `discarded` and the fault are those of `sse_model`, wherever the stream is cut.
    """
    fault_at = sse_model.too_large(stream, max_frame_bytes)
    expected = sse_model.decode(stream[:fault_at])  # up to the fault, or to the end
    rng = random.Random(seed)
    some = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(8)))
    for cuts in ([], list(range(1, len(stream))), some):
        found = _in_pieces(stream, cuts, max_frame_bytes)
        require(found.frames == [Frame(*frame) for frame in expected.frames], cuts, found, expected)
        require(found.last_event_id == expected.last_event_id, cuts, found, expected)
        if fault_at is None:
            require(found.fault is None, cuts, found)
            require(found[1:4] == expected[1:4], cuts, found, expected)
        else:
            where = f"the frame that begins at byte {fault_at}: "
            require(found.fault is not None and found.fault.startswith(where), cuts, found, where)
    if fault_at is not None:
        return "too large"
    return "discarded" if expected.discarded else "whole"
