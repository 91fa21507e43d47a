# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Hostile input is taken or refused within fixed memory and processor time.

    python -m tests.gates.hostile [MEGABYTES]

Each case is an input of that many megabytes (100 by default; a tenth of it for a document of many
members or values, a quarter for a stream) and the outcome that it must have. The system enforces
the limits on this process: a case that needs more memory gets a MemoryError, one that needs more
time ends the process. The gate needs Linux.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from axon_events import DecodeError, FlowError, StepToken, from_json, jsonl, sse, to_json

MEGABYTE = 10**6
CPU_SECONDS = 120  # for each case; the slowest takes some 20 for 100 megabytes
SPARE = 8 * MEGABYTE  # beside what the input may cost: what the interpreter asks for in advance
MAX_FRAME_BYTES = 2**16
CHUNK = 2**12

HEAD = b'{"kind":"step_token","step_name":"Draft","content":"'
TAIL = b'","token_index":1,"timestamp_ms":2}'
END = to_json(FlowError("Report", "", 0)).encode()


def with_unknown(value: bytes) -> bytes:
    return END[:-1] + b',"unknown":' + value + b"}"


def members(size: int) -> bytes:
    return END[:-1] + b"".join(b',"%d":%d' % (n, n) for n in range(size // 160)) + b"}"


def colliding(size: int) -> bytes:
    """Return an object whose keys have hashes with the same low 9 bits."""
    keys = (f"k{n}" for n in range(size // 16))
    chosen = [key.encode() for key in keys if hash(key) % 512 == 0]
    return END[:-1] + b"".join(b',"%s":0' % key for key in chosen) + b"}"


def a_document(document: bytes) -> str:
    try:
        return from_json(document).kind
    except DecodeError as error:
        if len(str(error)) > 400:
            return f"an error of {len(str(error))} characters"
        return error.reason


def a_line(content: bytes) -> str:
    """Read a file that is one line."""
    try:
        return next(jsonl.read([content])).kind
    except DecodeError as error:
        return error.reason


class Document(NamedTuple):
    build: Callable[[int], bytes]  # from its size in bytes
    outcome: str
    memory: int  # how many bytes it may cost for each of its own
    take: Callable[[bytes], str] = a_document


DOCUMENTS = {
    "a long text": Document(lambda n: HEAD + b"x" * n + TAIL, "step_token", 4),
    "a long text with one emoji": Document(
        lambda n: HEAD + b"x" * n + "\U0001f600".encode() + TAIL, "step_token", 13
    ),
    "escapes only": Document(lambda n: HEAD + rb"\n" * (n // 2) + TAIL, "step_token", 6),
    "backslashes only": Document(lambda n: HEAD + b"\\" * n + TAIL, "step_token", 6),
    "surrogate escapes": Document(lambda n: HEAD + rb"\ud800" * (n // 6) + TAIL, "not-json", 6),
    "a text without end": Document(lambda n: HEAD + b"x" * n, "not-json", 4),
    "spaces around": Document(lambda n: b" " * n + END + b"\n" * n, "flow_error", 4),
    "a long number": Document(lambda n: with_unknown(b"9" * n), "not-json", 4),
    "a long number as field": Document(lambda n: END[:-2] + b"9" * n + b"}", "not-json", 4),
    "a long exponent": Document(lambda n: with_unknown(b"1e" + b"9" * n), "not-json", 4),
    "a long fraction": Document(lambda n: with_unknown(b"0." + b"1" * n), "flow_error", 5),
    "arrays inside arrays": Document(lambda n: with_unknown(b"[" * n), "not-json", 4),
    "objects inside objects": Document(lambda n: with_unknown(b'{"":' * (n // 4)), "not-json", 4),
    "nothing but brackets": Document(lambda n: b"[" * n, "not-json", 4),
    "many members": Document(members, "flow_error", 40),
    "one member again and again": Document(
        lambda n: END[:-1] + b',"unknown":0' * (n // 120) + b"}", "flow_error", 25
    ),
    "a field again and again": Document(
        lambda n: END[:-1] + b',"error":""' * (n // 110) + b"}", "duplicate-field", 25
    ),
    "keys that collide": Document(colliding, "flow_error", 40),
    "many values": Document(
        lambda n: with_unknown(b"[" + b"[]," * (n // 30) + b"0]"), "flow_error", 60
    ),
    "an unknown kind": Document(lambda n: b'{"kind":"' + b"x" * n + b'"}', "unknown-kind", 6),
    "an unknown key": Document(lambda n: END[:-1] + b',"' + b"k" * n + b'":0}', "flow_error", 6),
    "bytes that are no UTF-8": Document(lambda n: b"x" * n + b"\xff", "not-utf8", 6),
    "a file that is one line": Document(lambda n: HEAD + b"x" * n, "cut-line", 5, a_line),
}


def chunks(part: bytes, size: int) -> Iterator[bytes]:
    """Yield so many bytes, made of one part again and again, without ever holding them all."""
    chunk = part * (CHUNK // len(part))
    for _ in range(size // len(chunk)):
        yield chunk


class Stream(NamedTuple):
    part: bytes
    outcome: str


# What comes of a stream, of which the decoder keeps no more than a frame.
STREAMS = {
    "a line without end": Stream(b"data:" * 16, "too large"),
    "a comment without end": Stream(b": " * 16, "too large"),
    "lines without a blank one": Stream(b"data: x\n", "too large"),
    "comments without a blank line": Stream(b":\n", "too large"),
    "fields without a name": Stream(b"x\n", "too large"),
    "ids without a blank line": Stream(b"id: 1\r", "too large"),
    "blank lines": Stream(b"\n", "no frames"),
    "blank lines of both kinds": Stream(b"\r\n\r", "no frames"),
    "comments": Stream(b":\n\n", "no frames"),
    "ids only": Stream(b"id: 1\n\n", "no frames"),
    "tiny fields": Stream(b"a\nb\nc\n\n", "no frames"),
    "bytes of zero": Stream(b"\0\n\n", "no frames"),
    "tiny frames": Stream(b"data\n\n", "frames"),
    "tiny frames the slow way": Stream(b"data\r\r", "frames"),
}


def a_stream(pieces: Iterable[bytes], max_frame_bytes: int = MAX_FRAME_BYTES) -> str:
    decoder = sse.Decoder(max_frame_bytes=max_frame_bytes)
    count = 0
    try:
        for piece in pieces:
            count += len(decoder.feed(piece))
        decoder.close()
    except sse.FrameTooLarge:
        return "too large"
    return "frames" if count else "no frames"


LINES = {
    "a hole in a file": Stream(b"\0", "1 error"),
    "blank lines of a file": Stream(b"\n", "0 errors"),
    "lines without their ends": Stream(END, "1 error"),
}


def a_file(pieces: Iterable[bytes]) -> str:
    reader = jsonl.read(pieces)
    errors = 0
    while True:
        try:
            next(reader)
            return "an event"
        except DecodeError:
            errors += 1
        except StopIteration:
            return "1 error" if errors == 1 else f"{errors} errors"


def limit(memory: int) -> None:
    """Let this process have so many more bytes, and so many more seconds."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    space = pages * resource.getpagesize() + SPARE + memory
    resource.setrlimit(resource.RLIMIT_AS, (space, resource.RLIM_INFINITY))
    seconds = int(time.process_time()) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def unlimited() -> None:
    for what in (resource.RLIMIT_AS, resource.RLIMIT_CPU):
        resource.setrlimit(what, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Trial(NamedTuple):
    name: str
    outcome: str
    memory: int  # how many bytes it may cost
    run: Callable[[], str]


def trials(size: int) -> Iterator[Trial]:
    """Yield each case, one after the other, so that only one input is held at a time."""
    for name, document in DOCUMENTS.items():
        content = document.build(size)
        memory = document.memory * len(content)
        yield Trial(name, document.outcome, memory, partial(document.take, content))
    memory = 8 * MAX_FRAME_BYTES
    for name, stream in STREAMS.items():
        pieces = chunks(stream.part, size // 4)
        yield Trial(name, stream.outcome, memory, partial(a_stream, pieces))
    for name, stream in LINES.items():
        pieces = chunks(stream.part, size // 4)
        yield Trial(name, stream.outcome, MEGABYTE, partial(a_file, pieces))
    frames = b"data: x\n\n" * (MAX_FRAME_BYTES // 4)
    single = (frames[n : n + 1] for n in range(len(frames)))
    yield Trial("byte for byte", "frames", memory, partial(a_stream, single))
    token = sse.Encoder().encode(StepToken("Draft", "x" * (size // 2), 1, 2))
    yield Trial("a large frame", "frames", 12 * len(token), partial(a_stream, [token], len(token)))


def main() -> int:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    worse = 0
    cases = 0
    for name, outcome, memory, run in trials(size * MEGABYTE):
        cases += 1
        limit(memory)
        started = time.process_time()
        try:
            found = run()
        except MemoryError:
            found = "MemoryError"
        seconds = time.process_time() - started
        unlimited()
        worse += found != outcome
        note = "" if found == outcome else f", expected {outcome}"
        megabytes = memory / MEGABYTE
        print(f"{name}: {found}{note} ({megabytes:.0f} MB more allowed, {seconds:.1f} s taken)")
    print(f"{worse} of {cases} came out otherwise than expected")
    return min(worse, 1)


if __name__ == "__main__":
    sys.exit(main())
