# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Events to test with: one plain event of each variant, a flow with its frames, random ones."""

import dataclasses
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from axon_events import (
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
from axon_events.sse import Encoder

U64_MAX = 2**64 - 1

EVENTS: tuple[Event, ...] = (
    FlowStart("Report", "anthropic", 1700000000000),
    StepStart("Summarise", 0, "generate", 1700000000001),
    StepToken("Summarise", "Hello", 1, 1700000000002),
    StepComplete("Summarise", 0, True, "Hello", 812, 64, 1700000000003),
    ToolCall("Summarise", "search", '{"q":"…"}', 1700000000004),
    FlowComplete("Report", "anthropic", False, 1, 812, 64, 5, 1700000000005),
    FlowError("Report", "out of memory", 1700000000006),
)

# A legal flow with text that the lines of an event stream have to hold, and the ids of its frames,
# by the rule of `sse.Encoder`.
FLOW: tuple[Event, ...] = (
    FlowStart("Report", "anthropic", 0),
    StepStart("Résumé", 0, "generate", 1),
    StepToken("Résumé", "Hello\n\n", 1, 1),
    StepToken("Résumé", "data: …\r\u2028", 2, 1),
    StepComplete("Résumé", 0, True, "Hello\n\ndata: …\r\u2028", 0, 0, 1),
    FlowComplete("Report", "anthropic", True, 1, 0, 0, 1, 2),
)
IDS = ["0.1", "0.2", "1", "2", "2.1", "2.2"]


def frames_of(events: Iterable[Event], stream_id: str | None = None) -> list[bytes]:
    encoder = Encoder(stream_id)
    return [encoder.encode(event) for event in events]


def _text(rng: random.Random) -> str:
    """Return text over all of Unicode but the surrogates, with what JSON escapes often in it."""
    ranges = [(0x00, 0x1F), (0x20, 0x7E), (0x7F, 0xA0), (0xA1, 0xD7FF), (0xE000, 0xFFFF)]
    ranges += [(0x10000, 0x10FFFF), (0x20, 0x7E), (0x22, 0x22), (0x5C, 0x5C), (0x2028, 0x2029)]
    length = rng.choice((0, 1, 2, 5, 20, 300))
    return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(length))


def _u64(rng: random.Random) -> int:
    power: int = 2 ** rng.randint(0, 64)
    return min(max(power + rng.randint(-2, 2), 0), U64_MAX)


_RANDOM: dict[Any, Callable[[random.Random], object]] = {
    str: _text,
    int: _u64,
    bool: lambda rng: rng.random() < 0.5,
}


def random_event(rng: random.Random) -> Event:
    """Return an event of any variant, its fields drawn from all that they may hold."""
    cls: Any = rng.choice(list(EVENT_TYPES.values()))
    event: Event = cls(*(_RANDOM[field.type](rng) for field in dataclasses.fields(cls)))
    return event


def flow(tokens: int) -> Iterator[Event]:
    """Yield a legal flow of so many tokens, without its end."""
    yield FlowStart("Report", "anthropic", 0)
    yield StepStart("Draft", 0, "generate", 0)
    for index in range(1, tokens + 1):
        yield StepToken("Draft", f"word {index} ", index, index)
