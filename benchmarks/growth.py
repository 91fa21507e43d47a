# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Whether anything grows faster than its input: the cost of a byte, from 1 KB to 10 MB."""

import gc
from collections.abc import Callable

from axon_events import Event, StepComplete, StepStart, StepToken, from_json, to_json
from axon_events.channel import channel
from axon_events.order import check
from axon_events.sse import Decoder, Encoder
from axon_events.summary import summarize

from .race import judge, keep, seconds, table
from .sse import DECODERS, pieces

SIZES = {"1 KB": 10**3, "10 KB": 10**4, "100 KB": 10**5, "1 MB": 10**6, "10 MB": 10**7}
# How many times that of a byte of 100 KB the cost of a byte of 10 MB may be. Memory beyond the
# caches costs a few times as much. Documents above 2^20 characters go to the strict reader, which
# takes up to 14 times as long. What grows with the square of its input costs 100 times as much.
AIM = 20.0
# Peers copy what they have of a frame for each piece: 10 MB would take them minutes.
PEERS_UP_TO = 10**6


def _token(content: str) -> StepToken:
    return StepToken("Summarise", content, 1, 1_700_000_000_000)


def _wire(content: str) -> bytes:
    return to_json(_token(content)).encode()


def _with_unknown(value: str) -> bytes:
    return _wire("x").removesuffix(b"}") + b',"unknown":' + value.encode() + b"}"


def _tokens(size: int) -> list[Event]:
    return [StepToken("Summarise", "token", n, 0) for n in range(1, size // 100 + 1)]


def _steps(size: int) -> list[Event]:
    events: list[Event] = []
    for n in range(size // 200 + 1):
        events += [StepStart(f"s{n}", n, "x", 0), StepComplete(f"s{n}", n, True, "", 0, 0, 0)]
    return events


def _fed(body: bytes, size: int) -> Callable[[], object]:
    chunks = pieces(body, size)
    return lambda: list(map(Decoder().feed, chunks))


def _through_channel(events: list[Event]) -> None:
    sender, receiver = channel(check=False)
    for event in events:
        sender.send(event)
    for _ in events:
        receiver.recv()


def _of(function: Callable[..., object], argument: object) -> Callable[[], object]:
    return lambda: function(argument)


# What is to be called for an input of so many bytes (of events: one for each 100 bytes).
SUBJECTS: dict[str, Callable[[int], Callable[[], object]]] = {
    "to_json, ASCII": lambda n: _of(to_json, _token("x" * n)),
    "to_json, escapes": lambda n: _of(to_json, _token('"\n' * (n // 2))),
    "to_json, not ASCII": lambda n: _of(to_json, _token("ü" * (n // 2))),
    "from_json, ASCII": lambda n: _of(from_json, _wire("x" * n)),
    "from_json, escapes": lambda n: _of(from_json, _wire('"' * (n // 2))),
    "from_json, not ASCII": lambda n: _of(from_json, _wire("ü" * (n // 2))),
    "from_json, spaces": lambda n: _of(from_json, _wire("x").replace(b":", b":" + b" " * n, 1)),
    "from_json, a long array": lambda n: _of(from_json, _with_unknown(f"[{'0,' * (n // 2)}0]")),
    "from_json, unknown fields": lambda n: _of(
        from_json,
        _wire("x").removesuffix(b"}") + b"".join(b',"f%06d":0' % k for k in range(n // 12)) + b"}",
    ),
    "SSE encode": lambda n: _of(Encoder().encode, _token("x" * n)),
    "SSE decode, one frame": lambda n: _fed(b"data: " + b"x" * n + b"\n\n", 4096),
    "SSE decode, pieces of 16 bytes": lambda n: _fed(b"data: " + b"x" * n + b"\n\n", 16),
    "SSE decode, lines of one frame": lambda n: _fed(b"data: x\n" * (n // 8) + b"\n", 4096),
    "SSE decode, CRLF": lambda n: _fed(b"data: x\r\n\r\n" * (n // 11), 4096),
    "order check, tokens": lambda n: _of(check, _tokens(n)),
    "order check, steps": lambda n: _of(check, _steps(n)),
    "summary": lambda n: _of(summarize, _tokens(n)),
    "channel, all sent first": lambda n: _of(_through_channel, _tokens(n)),
}


def _peer(name: str) -> Callable[[int], Callable[[], object]]:
    def of(n: int) -> Callable[[], object]:
        chunks = pieces(b"data: " + b"x" * n + b"\n\n")
        return lambda: list(DECODERS[name](chunks))

    return of


def _row(name: str, subject: Callable[[int], Callable[[], object]], limit: int) -> dict[str, float]:
    """Return the nanoseconds for a byte by size, the least of as many rounds as are short."""
    costs = {}
    for label, size in SIZES.items():
        if size <= limit:
            function = subject(size)
            gc.collect()
            gc.disable()
            rounds = max(2, min(20, 10**6 // size))
            costs[label] = min(seconds(function) for _ in range(rounds)) / size * 1e9
            gc.enable()
    return costs


def run() -> None:
    """Print the table of growth."""
    rows = []
    for name, subject in SUBJECTS.items():
        costs = _row(name, subject, 10**7)
        growth = costs["10 MB"] / costs["100 KB"]
        keep(f"growth of {name}", "times", {"axon_events": growth})
        rows.append(
            (
                name,
                *(f"{cost:.2f}" for cost in costs.values()),
                f"{growth:.2f}",
                f"≤ {AIM:.2f}",
                judge(f"growth of {name}", growth, AIM),
            )
        )
    for name in list(DECODERS)[1:]:
        costs = _row(name, _peer(name), PEERS_UP_TO)
        cells = [f"{costs[label]:.2f}" if label in costs else "" for label in SIZES]
        rows.append((f"{name}, one frame", *cells, "", "", ""))
    table(("growth, ns for a byte", *SIZES, "10 MB to 100 KB", "aim", ""), rows)
