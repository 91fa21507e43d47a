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
from dataclasses import replace
from json.encoder import encode_basestring as _quote
from typing import Final, Protocol

from ._catalog import EVENT_TYPES, Event, StepToken
from ._checked import U64_MAX
from ._codec import DecodeError, from_json, to_json
from ._event_stream import MAX_FRAME_BYTES, Decoder, Frame, FrameTooLarge
from .order import OrderError, Outcome, StreamChecker, TruncatedStream, checker_of

__all__ = ["Decoder", "Encoder", "Frame", "FrameTooLarge", "Reader", "aread", "read"]

# Pickles and reprs name the public module.
for _class in (Decoder, Frame, FrameTooLarge):
    _class.__module__ = __name__


class Encoder:
    """Turns the events of one flow into frames, each with a cursor as its id.

    The cursor of a `StepToken` whose `token_index` T is above every earlier one is `T`. That of
    any other event is `T.K`: T is the highest index so far (0 before the first), and K counts
    from 1 since it came. So cursors are unique and increasing in every stream. A client that saw
    token 17 last sends `Last-Event-ID: 17`. An encoder is for one thread at a time.

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
        if type(event) is StepToken and event.token_index > self._token:
            self._token = token = event.token_index
            self._since = 0
            number = f"{token}"
            self.last_event_id = id = self._prefix + number
            # Most frames are tokens. This is `to_json` and the frame around it in one expression.
            return (
                f'id: {id}\nevent: step_token\ndata: {{"kind":"step_token","step_name":'
                f'{_quote(event.step_name)},"content":{_quote(event.content)}'
                f',"token_index":{number},"timestamp_ms":{event.timestamp_ms}}}\n\n'
            ).encode()
        document = to_json(event)  # first, since it refuses what is no event
        self._since += 1
        self.last_event_id = f"{self._prefix}{self._token}.{self._since}"
        return f"id: {self.last_event_id}\nevent: {event.kind}\ndata: {document}\n\n".encode()

    def keep_alive(self) -> bytes:
        """Return a comment, which keeps an idle connection open and which receivers skip."""
        return b": keep-alive\n\n"

    def retry(self, ms: int) -> bytes:
        """Return the line that tells receivers how long to wait before they connect again.

        - `ms`: in milliseconds, from 0; TypeError or ValueError for anything else.
        """
        if not isinstance(ms, int) or isinstance(ms, bool):
            raise TypeError(f"retry takes an int of milliseconds, got {type(ms).__name__}")
        if ms < 0:
            raise ValueError(f"retry takes milliseconds from 0, got {ms}")
        return b"retry: %d\n\n" % ms


class Reader:
    """Turns the bytes of an event stream into the events of a flow, over any number of connections.

    - `check`: whether the events are checked against the receiver's invariant; a `StreamChecker` to
      use that one, which then belongs to the reader.
    - `last_event_id`: the id to go on after, of a client that was here before; empty for a run from
      its beginning. What only the missed part could tell is then not judged, but the next token
      must be the one after the id: after `run:17` or `run:17.2`, token 18.
    - `max_frame_bytes`: as of `Decoder`.

    Frames that name a kind of the catalog, or no type (`message`), hold events; those of other
    types, and comments, are skipped.

    Where a frame is no event, or the order of the events is broken, `feed` returns the events
    before it, and the next call raises: DecodeError, with `reason` as in `from_json` or
    `kind-mismatch` if its kind is not the one that the frame names; OrderError; FrameTooLarge. So
    does each call after that.

    Raises TypeError or ValueError for another `check`, `last_event_id` or `max_frame_bytes`.
    """

    def __init__(
        self,
        *,
        check: bool | StreamChecker = True,
        last_event_id: str = "",
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self._decoder = Decoder(last_event_id=last_event_id, max_frame_bytes=max_frame_bytes)
        if check is True and last_event_id:
            check = StreamChecker(from_start=False, last_token=_token_before(last_event_id))
        self._checker = checker_of(check)
        self._terminated = Outcome.OPEN  # how, if there is no checker to tell
        self._frame_count = 0
        self._beginning = b""  # of all bytes

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
    def frame_count(self) -> int:
        """How many frames came, of whatever type, over all connections."""
        return self._frame_count

    @property
    def byte_count(self) -> int:
        """How many bytes came, over all connections."""
        return self._decoder._byte_count

    @property
    def outcome(self) -> Outcome:
        """How the flow stands after the events so far."""
        if self._checker is not None:
            return self._checker.outcome
        if self._terminated is Outcome.OPEN and self._decoder._is_closed:
            return Outcome.TRUNCATED
        return self._terminated

    @property
    def _fault(self) -> ValueError | None:
        """What the next call raises."""
        return self._decoder._fault

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[Event]:
        """Take the next bytes, any number of them, and return the events that they complete.

        Raises what an earlier call has found (see the class), TypeError for anything but bytes,
        and RuntimeError after `close`.
        """
        return [event for _, event in self.feed_with_ids(chunk)]

    def feed_with_ids(self, chunk: bytes | bytearray | memoryview) -> list[tuple[str, Event]]:
        """Do what `feed` does, and return each event with the id to go on after it.

        For a caller that stores the id with each event, to begin another Reader there.
        """
        events: list[tuple[str, Event]] = []
        for frame in self._decoder._frames(chunk):
            self._frame_count += 1
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
            events.append((frame.id, event))
        if not self._frame_count and len(self._beginning) < _MOST_SHOWN:
            self._beginning += bytes(chunk)[: _MOST_SHOWN - len(self._beginning)]
        return events

    def reopen(self) -> None:
        """Begin a new connection, which goes on after `last_event_id`.

        The unfinished frame of the old one is forgotten; everything else is kept. Raises what an
        earlier call has found, and RuntimeError after `close`.
        """
        self._decoder.reopen()

    def close(self) -> None:
        """End the stream for good. A second call does the same.

        Raises what an earlier call has found, and TruncatedStream if no terminator came (unless
        `check` is False or allows that).
        """
        self._decoder.close()
        if self._checker is not None:
            for violation in self._checker.close():
                if self._beginning and not self._frame_count:
                    message = (
                        f"{violation.message}; {self.byte_count} bytes came, but not one frame;"
                        f" they begin with {self._beginning!r}"
                    )
                    violation = replace(violation, message=message)
                self._decoder._fault = TruncatedStream(violation)
        self._decoder._require_sound()


_ENDS: Final = {"flow_complete": Outcome.COMPLETED, "flow_error": Outcome.FAILED}
# How many bytes are shown of what is no event stream.
_MOST_SHOWN: Final = 40
_CURSOR: Final = re.compile(r"(?:.*:)?(0|[1-9][0-9]{0,19})(?:\.[0-9]+)?")


def _token_before(id: str) -> int | None:
    """Return the token that a frame with this id has, or comes after; None if it is no cursor."""
    match = _CURSOR.fullmatch(id)
    token = None if match is None else int(match[1])
    return None if token is None or token > U64_MAX else token


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


class _Response(Protocol):
    """A response of httpx that is read by `read`."""

    def iter_bytes(self) -> Iterable[bytes]: ...


class _AsyncResponse(Protocol):
    """One that is read by `aread`."""

    def aiter_bytes(self) -> AsyncIterable[bytes]: ...


def read(
    chunks: Iterable[bytes] | _Response,
    *,
    check: bool | StreamChecker = True,
    max_frame_bytes: int = MAX_FRAME_BYTES,
) -> Iterator[Event]:
    """Return an iterator over the events of an event stream, which reads it chunk by chunk.

    - `chunks`: an iterable of bytes, however they are cut, such as a response of `urllib` or
      `requests` (which takes 128 bytes at a time unless they come in chunks of HTTP); or a
      response of `httpx`, which has `iter_bytes`.
    - `check`, `max_frame_bytes`: as of `Reader`.

    The events end at the terminator: no chunk is asked for after that, even if the connection stays
    open. Iterating raises what `Reader` raises, after the events before the fault, without another
    chunk. Raises TypeError for anything but an iterable of bytes, and what `Reader` raises.
    """
    if isinstance(chunks, (bytes, bytearray, memoryview)):
        raise TypeError(
            f"read takes an iterable of bytes, got {type(chunks).__name__}: put it into a list"
        )
    if isinstance(chunks, str):
        raise TypeError(_TEXT)
    if not isinstance(chunks, Iterable):
        if not hasattr(chunks, "iter_bytes"):
            raise TypeError(f"read takes an iterable of bytes, got {type(chunks).__name__}")
        chunks = chunks.iter_bytes()
    return _read(chunks, Reader(check=check, max_frame_bytes=max_frame_bytes))


_TEXT: Final = "read takes an iterable of bytes, got text: open a file in binary mode"


def _read(chunks: Iterable[bytes], reader: Reader) -> Iterator[Event]:
    for chunk in chunks:
        if isinstance(chunk, str):
            raise TypeError(_TEXT)
        yield from reader.feed(chunk)
        reader._decoder._require_sound()
        if reader.outcome is not Outcome.OPEN:
            break
    reader.close()


def aread(
    chunks: AsyncIterable[bytes] | _AsyncResponse,
    *,
    check: bool | StreamChecker = True,
    max_frame_bytes: int = MAX_FRAME_BYTES,
) -> AsyncIterator[Event]:
    """Return the same as `read`, asynchronous, for an asynchronous iterable of bytes.

    - `chunks`: such as `response.content.iter_any()` of `aiohttp`; or a response of `httpx`, which
      has `aiter_bytes`.

    Raises TypeError for anything else as `chunks`, and what `Reader` raises.
    """
    if not isinstance(chunks, AsyncIterable):
        if not hasattr(chunks, "aiter_bytes"):
            raise TypeError(
                "aread takes an asynchronous iterable of bytes,"
                f" got {type(chunks).__name__}: use read for any other iterable"
            )
        chunks = chunks.aiter_bytes()
    return _aread(chunks, Reader(check=check, max_frame_bytes=max_frame_bytes))


async def _aread(chunks: AsyncIterable[bytes], reader: Reader) -> AsyncIterator[Event]:
    async for chunk in chunks:
        for event in reader.feed(chunk):
            yield event
        reader._decoder._require_sound()
        if reader.outcome is not Outcome.OPEN:
            break
    reader.close()
