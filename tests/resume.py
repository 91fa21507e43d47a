# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`python -m tests.resume`: a stream of 300 events, cut at every byte, goes on after each cut.

The client reads up to the cut, connects again with its `Last-Event-ID`, and is cut off for a
second time; each time it must have received exactly the events that were sent, none lost and none
twice. The tests do the same for some of the cuts.
"""

import multiprocessing
import random
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

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
    """Yield what went wrong at which cut: once with that cut alone, once with a second one.

    - `cuts`: after how many bytes; what is above the size of the stream is left out.
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


def found(stream_id: str | None, cuts: range) -> list[str]:
    return list(faults(cuts, stream_id))


def main() -> int:
    """Cut at every byte, on all processors; return 0 if everything was received each time."""
    bad = 0
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        # Of the frames with a stream id only their ids differ: some of the cuts are enough.
        for stream_id, stride in ((None, 1), ("run:7", 97)):
            size = len(logged(flow(), stream_id).after())
            cuts = range(0, size + 1, stride)
            pieces = [cuts[first : first + 500] for first in range(0, len(cuts), 500)]
            for done, texts in enumerate(pool.map(partial(found, stream_id), pieces), 1):
                bad += len(texts)
                print(*texts, sep="\n", end="\n" if texts else "", flush=True)
                if sys.stderr.isatty():
                    print(f"\r{100 * done // len(pieces)}%\r", end="", file=sys.stderr)
            print(f"{COUNT} events in {size} bytes: {len(cuts)} cuts, each also with a second one")
    print(f"{bad} times other events were received than were sent")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
