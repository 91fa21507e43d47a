# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A model of the event-stream format: slow, whole inputs only, and the standards' text in code.

`decode` takes the steps of the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream",
one after the other, over code points; `utf8_decode` those of the Encoding standard. The quoted
sentences are theirs. `too_large` counts the bytes of frames, which no standard does.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from .effort import rounds

BOM: Final = b"\xef\xbb\xbf"

_NULL, _LF, _CR, _SPACE, _COLON = 0x00, 0x0A, 0x0D, 0x20, 0x3A
_BOM = list(BOM)
_REPLACEMENT = 0xFFFD


class Decoded(NamedTuple):
    """What a stream holds: `frames` of event, data and id."""

    frames: list[tuple[str, str, str]]
    last_event_id: str
    retry: int | None
    discarded: bool


def utf8_decode(stream: bytes) -> list[int]:
    """Return the code points of a byte stream: "UTF-8 decode" of the Encoding standard."""
    queue = list(stream)
    if queue[:3] == _BOM:
        queue = queue[3:]
    output = []
    code_point = seen = needed = 0
    lower, upper = 0x80, 0xBF
    at = 0
    while True:
        if at == len(queue):
            if needed != 0:
                output.append(_REPLACEMENT)
            return output
        byte = queue[at]
        at += 1
        if needed == 0:
            if 0x00 <= byte <= 0x7F:
                output.append(byte)
            elif 0xC2 <= byte <= 0xDF:
                needed = 1
                code_point = byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:
                if byte == 0xE0:
                    lower = 0xA0
                if byte == 0xED:
                    upper = 0x9F
                needed = 2
                code_point = byte & 0xF
            elif 0xF0 <= byte <= 0xF4:
                if byte == 0xF0:
                    lower = 0x90
                if byte == 0xF4:
                    upper = 0x8F
                needed = 3
                code_point = byte & 0x7
            else:
                output.append(_REPLACEMENT)
            continue
        if not lower <= byte <= upper:
            code_point = needed = seen = 0
            lower, upper = 0x80, 0xBF
            at -= 1  # "Restore byte to ioQueue."
            output.append(_REPLACEMENT)
            continue
        lower, upper = 0x80, 0xBF
        code_point = (code_point << 6) | (byte & 0x3F)
        seen += 1
        if seen != needed:
            continue
        output.append(code_point)
        code_point = needed = seen = 0


def _lines(code_points: list[int]) -> tuple[list[list[int]], list[int]]:
    """Return the lines that have their end, and what follows the last of them.

    "with a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair, a single U+000A LINE FEED
    (LF) character not preceded by a U+000D CARRIAGE RETURN (CR) character, and a single U+000D
    CARRIAGE RETURN (CR) character not followed by a U+000A LINE FEED (LF) character being the ways
    in which a line can end."
    """
    lines = []
    line: list[int] = []
    at = 0
    while at < len(code_points):
        if code_points[at : at + 2] == [_CR, _LF]:
            lines.append(line)
            line = []
            at += 2
        elif code_points[at] in (_LF, _CR):
            lines.append(line)
            line = []
            at += 1
        else:
            line.append(code_points[at])
            at += 1
    return lines, line


def _string(code_points: list[int]) -> str:
    return "".join(map(chr, code_points))


def _are_digits(value: list[int]) -> bool:
    return all(0x30 <= code_point <= 0x39 for code_point in value)


def decode(stream: bytes) -> Decoded:
    """Return what a whole stream holds."""
    frames: list[tuple[str, str, str]] = []
    data_buffer: list[int] = []
    event_type_buffer: list[int] = []
    last_event_id_buffer: list[int] = []
    last_event_id_string: list[int] = []
    reconnection_time: int | None = None

    lines, rest = _lines(utf8_decode(stream))
    pending: list[list[int]] = []  # the lines since the last blank one
    for line in lines:
        if line == []:
            # "Dispatch the event."
            last_event_id_string = list(last_event_id_buffer)
            if data_buffer != []:
                if data_buffer[-1] == _LF:
                    data_buffer = data_buffer[:-1]
                event_type = "message" if event_type_buffer == [] else _string(event_type_buffer)
                frames.append((event_type, _string(data_buffer), _string(last_event_id_string)))
            data_buffer = []
            event_type_buffer = []
            pending = []
            continue
        pending.append(line)
        if line[0] == _COLON:
            continue  # "Ignore the line."
        if _COLON in line:
            colon = line.index(_COLON)
            field, value = line[:colon], line[colon + 1 :]
            if value[:1] == [_SPACE]:
                value = value[1:]
        else:
            field, value = line, []
        if _string(field) == "event":
            event_type_buffer = value
        elif _string(field) == "data":
            data_buffer = [*data_buffer, *value, _LF]
        elif _string(field) == "id":
            if _NULL not in value:
                last_event_id_buffer = value
        # An empty value is no integer; one of more than 18 digits axon_events chose to ignore.
        elif _string(field) == "retry" and _are_digits(value) and 1 <= len(value) <= 18:
            reconnection_time = 0
            for digit in value:
                reconnection_time = reconnection_time * 10 + digit - 0x30

    cut_off = [line for line in [*pending, rest] if line != [] and line[0] != _COLON]
    return Decoded(frames, _string(last_event_id_string), reconnection_time, cut_off != [])


def too_large(stream: bytes, limit: int) -> int | None:
    """Return where the first frame begins that has more bytes than `limit`, or None.

    A frame's bytes are those from after the end of a blank line to where the next blank line
    begins; a byte order mark counts, too.
    """
    start = at = 0
    while at < len(stream):
        # At the beginning of a line.
        text = at + 3 if at == 0 and list(stream[:3]) == _BOM else at
        end = text
        while end < len(stream) and stream[end] not in (_LF, _CR):
            end += 1
        after = end + 2 if list(stream[end : end + 2]) == [_CR, _LF] else end + 1
        is_blank = end == text and end < len(stream)
        if (end if is_blank else min(after, len(stream))) - start > limit:
            return start
        if is_blank:
            start = after
        at = after
    return None if len(stream) - start <= limit else start


def splits(stream: bytes) -> Iterator[list[bytes]]:
    """Yield the stream whole, byte by byte, and in two: at some points, in the long form at all."""
    yield [stream]
    yield [stream[at : at + 1] for at in range(len(stream))]
    for at in range(0, len(stream) + 1, rounds(1 + len(stream) // 8, 1)):
        yield [stream[:at], stream[at:]]
