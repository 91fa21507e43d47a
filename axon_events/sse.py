# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Server-Sent Events: events to the frames that a browser's EventSource takes, and back.

encoder = sse.Encoder()
body = encoder.encode(event)                    # id: 17, event: step_token, data: {"kind":…

reader = sse.Reader()
for chunk in response:
    for event in reader.feed(chunk): ...        # whole events, whatever the cuts between chunks
reader.close()                                  # raises TruncatedStream if no terminator came

A frame is some field lines and a blank line. `Decoder` makes frames of bytes, by the WHATWG HTML
standard, and knows nothing of events. `Reader` makes events of them, checked, over any number of
connections. `read` and `aread` are a Reader for what can be iterated. None of them does any I/O.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Final

from ._catalog import EVENT_TYPES, Event, StepToken
from ._codec import DecodeError, from_json, to_json
from ._event_stream import MAX_FRAME_BYTES, Decoder, Frame, FrameTooLarge
from .order import OrderError, Outcome, StreamChecker, TruncatedStream, checker_of

__all__ = ["Decoder", "Encoder", "Frame", "FrameTooLarge", "Reader", "aread", "read"]

# Pickles and reprs name the public module.
for _class in (Decoder, Frame, FrameTooLarge):
    _class.__module__ = __name__


class Encoder:
    """Events of one flow to frames, each with a cursor as its id; for one thread at a time.

    The cursor of a `StepToken` whose `token_index` T is above every earlier one is `T`. That of
    any other event is `T.K`: T is the highest index so far (0 before the first), and K counts
    from 1 since it came. So cursors are unique and increasing in every stream. A client that saw
    token 17 last sends `Last-Event-ID: 17`.

    - `stream_id`: names the run, so that a cursor of another one is recognised: each id is then
      `stream_id:cursor`. It travels in an HTTP header, so it is visible ASCII, and not empty.
    - `last_event_id`: the id of the frame encoded last; empty before the first.

    Raises ValueError for another `stream_id`, TypeError if it is neither a str nor None.
    """

    def __init__(self, stream_id: str | None = None) -> None:
        if stream_id is not None and not isinstance(stream_id, str):
            raise TypeError(f"stream_id must be a str or None, got {type(stream_id).__name__}")
        if stream_id is not None and re.fullmatch("[!-~]+", stream_id) is None:
            raise ValueError(
                f"stream_id must be visible ASCII, one character or more, got {stream_id!r:.60}"
            )
        self._prefix = "" if stream_id is None else f"{str.__str__(stream_id)}:"
        self._token = 0  # the highest index so far
        self._since = 0  # events since it came
        self.last_event_id = ""

    def encode(self, event: Event) -> bytes:
        """Return the event's frame: its id, its kind as `event`, its JSON as `data`, a blank line.

        Lines end in LF. No event fails to encode, in whatever order they come; TypeError is
        raised for anything else.
        """
        document = to_json(event)  # first, since it refuses what is no event
        if type(event) is StepToken and event.token_index > self._token:
            self._token = event.token_index
            self._since = 0
            self.last_event_id = f"{self._prefix}{self._token}"
        else:
            self._since += 1
            self.last_event_id = f"{self._prefix}{self._token}.{self._since}"
        return f"id: {self.last_event_id}\nevent: {event.kind}\ndata: {document}\n\n".encode()

    def keep_alive(self) -> bytes:
        """Return a comment, which keeps an idle connection open and which receivers skip."""
        return b": keep-alive\n\n"


class Reader:
    """The bytes of an event stream to the events of a flow, over any number of connections.

    - `check`: whether the events are held against the receiver's invariant; a `StreamChecker` to
      use that one, which then belongs to the reader.
    - `max_frame_bytes`: as of `Decoder`.

    Frames that name a kind of the catalog, or no type (`message`), hold events; those of other
    types, and comments, are skipped.

    Where a frame is no event, or the order of the events is broken, `feed` returns the events
    before it, and the next call raises: DecodeError, with `reason` as in `from_json` or
    `kind-mismatch` if its kind is not the one that the frame names; OrderError; FrameTooLarge. So
    does each call after that.

    Raises TypeError or ValueError for another `check` or `max_frame_bytes`.
    """

    def __init__(
        self, *, check: bool | StreamChecker = True, max_frame_bytes: int = MAX_FRAME_BYTES
    ) -> None:
        self._checker = checker_of(check)
        self._decoder = Decoder(max_frame_bytes=max_frame_bytes)
        self._terminated = Outcome.OPEN  # how, if there is no checker to tell

    @property
    def last_event_id(self) -> str:
        """What a client sends as `Last-Event-ID` to go on after what was received; or empty.

        Once a fault has been found, it is that of the frame before the fault.
        """
        return self._decoder.last_event_id

    @property
    def retry(self) -> int | None:
        """The milliseconds to wait before connecting again that the stream asked for, or None."""
        return self._decoder.retry

    @property
    def outcome(self) -> Outcome:
        """How the flow stands after the events so far."""
        if self._checker is not None:
            return self._checker.outcome
        if self._terminated is Outcome.OPEN and self._decoder._is_closed:
            return Outcome.TRUNCATED
        return self._terminated

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[Event]:
        """Take the next bytes, any number of them, and return the events that they complete.

        Raises what an earlier call has found (see the class), TypeError for anything but bytes,
        and RuntimeError after `close`.
        """
        events: list[Event] = []
        for frame in self._decoder._frames(chunk):
            try:
                event = event_of(frame)
                if event is None:
                    continue
                if self._checker is not None:
                    self._checker.require(event)
            except (DecodeError, OrderError) as error:
                self._decoder._fault = error
                break
            if event.is_terminator and self._terminated is Outcome.OPEN:
                self._terminated = _ENDS[event.kind]
            events.append(event)
        return events

    def reopen(self) -> None:
        """Begin a new connection, which goes on after `last_event_id`.

        The unfinished frame of the old one is forgotten; everything else is kept. Raises what an
        earlier call has found, and RuntimeError after `close`.
        """
        self._decoder._require_sound()
        if self._decoder._is_closed:
            raise RuntimeError("the Reader has been closed: reopen() first, and close() at last")
        self._decoder._begin_stream()

    def close(self) -> None:
        """End the stream for good; again, do the same.

        Raises what an earlier call has found, and TruncatedStream if no terminator came (unless
        `check` is False or allows that).
        """
        self._decoder.close()
        if self._checker is not None:
            for violation in self._checker.close():
                self._decoder._fault = TruncatedStream(violation)
        self._decoder._require_sound()


_ENDS: Final = {"flow_complete": Outcome.COMPLETED, "flow_error": Outcome.FAILED}


def event_of(frame: Frame) -> Event | None:
    """Return the event that a frame holds, None for a frame of another type; raise DecodeError."""
    if frame.event not in EVENT_TYPES and frame.event != "message":
        return None
    try:
        event = from_json(frame.data)
        if frame.event not in (event.kind, "message"):
            raise DecodeError(
                "kind-mismatch",
                f"expected an event of the kind {frame.event}, which its frame names,"
                f" got one of the kind {event.kind}",
                event.kind,
                "kind",
            )
    except DecodeError as error:
        where = f"the frame with the id {frame.id!r:.60}" if frame.id else "a frame without an id"
        message = f"{error.message}, in the data of {where}"
        raise error._changed(message=message) from None
    return event


def read(
    chunks: Iterable[bytes],
    *,
    check: bool | StreamChecker = True,
    max_frame_bytes: int = MAX_FRAME_BYTES,
) -> Iterator[Event]:
    """Return an iterator over the events of an event stream, which reads it chunk by chunk.

    - `chunks`: an iterable of bytes, such as a response, however they are cut.
    - `check`, `max_frame_bytes`: as of `Reader`.

    Iterating raises what `Reader` raises, after the events before the fault, without another chunk.
    Raises TypeError for bytes or text instead of an iterable of bytes, and what `Reader` raises.
    """
    if isinstance(chunks, (bytes, bytearray, memoryview)):
        raise TypeError(
            f"read takes an iterable of bytes, got {type(chunks).__name__}: put it into a list"
        )
    if isinstance(chunks, str):
        raise TypeError(_TEXT)
    return _read(chunks, Reader(check=check, max_frame_bytes=max_frame_bytes))


_TEXT: Final = "read takes an iterable of bytes, got text: open a file in binary mode"


def _read(chunks: Iterable[bytes], reader: Reader) -> Iterator[Event]:
    for chunk in chunks:
        if isinstance(chunk, str):
            raise TypeError(_TEXT)
        yield from reader.feed(chunk)
        reader._decoder._require_sound()
    reader.close()


def aread(
    chunks: AsyncIterable[bytes],
    *,
    check: bool | StreamChecker = True,
    max_frame_bytes: int = MAX_FRAME_BYTES,
) -> AsyncIterator[Event]:
    """Return the same as `read`, asynchronous, for an asynchronous iterable of bytes.

    Raises TypeError for anything else as `chunks`, and what `Reader` raises.
    """
    if not isinstance(chunks, AsyncIterable):
        raise TypeError(
            "aread takes an asynchronous iterable of bytes,"
            f" got {type(chunks).__name__}: use read for any other iterable"
        )
    return _aread(chunks, Reader(check=check, max_frame_bytes=max_frame_bytes))


async def _aread(chunks: AsyncIterable[bytes], reader: Reader) -> AsyncIterator[Event]:
    async for chunk in chunks:
        for event in reader.feed(chunk):
            yield event
        reader._decoder._require_sound()
    reader.close()
