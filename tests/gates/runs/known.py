# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Makes the events of a run from its name, so that a reader knows what was written."""

import zlib
from collections.abc import Iterator

from axon_events import Event, FlowComplete, FlowStart, StepComplete, StepStart, StepToken, to_json
from axon_events.sse import Encoder

__all__ = ["Frame", "digest", "frames_of", "known", "split"]

Frame = tuple[str, int]
"""The id of a frame, and the checksum of all of it."""


def known(run: str, tokens: int, *, mark: str = "", size: int = 20) -> Iterator[Event]:
    """Yield the events of a run: a flow of one step with so many tokens.

    - `mark`: tells the events of two writers of one run apart.
    - `size`: how many characters a token has at least.
    """
    yield FlowStart(run, mark, 0)
    yield StepStart("Draft", 0, "generate", 0)
    for index in range(1, tokens + 1):
        yield StepToken("Draft", f"{run} {mark} {index} ".ljust(size, "…"), index, index)
    yield StepComplete("Draft", 0, True, mark, 0, tokens, tokens)
    yield FlowComplete(run, mark, True, 1, 0, tokens, tokens, tokens)


def digest(id: str, event: Event) -> Frame:
    """Return the note of the frame in which an event is sent."""
    return id, zlib.crc32(f"id: {id}\nevent: {event.kind}\ndata: {to_json(event)}".encode())


def frames_of(run: str, events: Iterator[Event]) -> list[Frame]:
    """Return the notes of the frames of a run that has these events."""
    encoder = Encoder(run)
    frames: list[Frame] = []
    for event in events:
        encoder.encode(event)
        frames.append(digest(encoder.last_event_id, event))
    return frames


def split(piece: bytes) -> list[Frame]:
    """Return the notes of the frames that a follower gave at once; a comment has none."""
    return [
        (frame[4 : frame.index(b"\n")].decode(), zlib.crc32(frame))
        for frame in piece.split(b"\n\n")
        if frame.startswith(b"id: ")
    ]
