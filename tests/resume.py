# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A client of a stream that is cut off: what it misses, has twice or gets wrong.

The client reads up to the cut, reconnects with its `Last-Event-ID`, and is cut off once more. The
tests try some of the cuts, the gate `resume` tries all of them.
"""

import random
from collections.abc import Iterable, Iterator

from axon_events import (
    Event,
    FlowComplete,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
)
from axon_events.order import Outcome
from axon_events.replay import ReplayLog
from axon_events.sse import Reader

COUNT = 300
SEED = 20261123


def flow() -> list[Event]:
    """Return a legal flow of 300 events: tokens, tool calls, text of one byte and of several."""
    texts = ("a", "ü", "日", "\u2028", "\U0001f642", "\r\n", '"\\', "", "data: x\n\nid: 9\n\n")
    events: list[Event] = [FlowStart("R", "b", 0)]
    tokens = 0
    for step in range(16):
        name = f"S{step}"
        events.append(StepStart(name, step, "generate", 0))
        if step < 14:  # and two empty ones, to make 300 of them
            for text in (*texts, *texts):
                tokens += 1
                events.append(StepToken(name, text, tokens, 0))
            events.append(ToolCall(name, "search", "{}", 0))
        events.append(StepComplete(name, step, True, "", 0, 0, 0))
    events.append(FlowComplete("R", "b", True, 16, 0, 0, 0, 0))
    return events


def logged(events: list[Event], stream_id: str | None) -> ReplayLog:
    log = ReplayLog(stream_id=stream_id)
    for event in events:
        log.append(event)
    return log


def received(log: ReplayLog, stream: bytes, cut: int, second_cut: int | None) -> list[Event]:
    """Return what a client has received at last."""
    reader = Reader()
    events = reader.feed(stream[:cut])
    if second_cut is not None:
        reader.reopen()
        events += reader.feed(log.after(reader.last_event_id)[:second_cut])
    reader.reopen()
    events += reader.feed(log.after(reader.last_event_id))
    reader.close()
    if reader.outcome is not Outcome.COMPLETED or log.after(reader.last_event_id):
        raise AssertionError(f"ended as {reader.outcome}, after the id {reader.last_event_id}")
    return events


def faults(cuts: Iterable[int], stream_id: str | None, seed: int = SEED) -> Iterator[str]:
    """Yield a line for each failure: each cut is tried alone, and with a second one.

    - `cuts`: numbers of bytes; the first one above the size of the stream ends the test.
    - `seed`: of the second cuts.
    """
    rng = random.Random(seed)
    sent = flow()
    if len(sent) != COUNT:
        raise AssertionError(f"{len(sent)} events")
    log = logged(sent, stream_id)
    stream = log.after()
    for cut in cuts:
        if cut > len(stream):
            break
        # Close to the first cut or far from it.
        second_cut = rng.randrange(rng.choice((2, 200, len(stream))))
        for second in (None, second_cut):
            try:
                same = received(log, stream, cut, second) == sent
            except Exception as error:
                yield f"cut at byte {cut}, then {second}, seed {seed}: {error!r}"
            else:
                if not same:
                    yield f"cut at byte {cut}, then {second}, seed {seed}: other events came"
