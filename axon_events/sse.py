# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Server-Sent Events: events to the frames that a browser's EventSource takes, and back.

encoder = sse.Encoder()
body = encoder.encode(event)                    # id: 17, event: step_token, data: {"kind":…

reader = sse.Reader()
for chunk in response:
    for event in reader.feed(chunk): ...        # whole events, whatever the cuts between chunks
reader.close()                                  # raises TruncatedStream if no terminator came

A frame is some field lines and a blank line. Three layers read them: `Decoder` is the algorithm of
the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream" (9.2.5 is its grammar), and
knows nothing of events; `Reader` has events come out, checked, over any number of connections;
`read` and `aread` are a Reader for what can be iterated. None of them does any I/O.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from typing import Final, NamedTuple

from ._catalog import EVENT_TYPES, Event, StepToken
from ._codec import DecodeError, from_json, to_json
from .order import OrderError, Outcome, StreamChecker, TruncatedStream, checker_of

__all__ = ["Decoder", "Encoder", "Frame", "FrameTooLarge", "Reader", "aread", "read"]

# A data line holds one event, and its text is in the event's full output once more.
_MAX_FRAME_BYTES: Final = 16 * 2**20


class Encoder:
    """Events of one flow to frames, each with a cursor as its id; for one thread at a time.

    The cursor of a `StepToken` whose `token_index` T is above every earlier one is `T`. That of
    any other event is `T.K`: T is the highest index so far (0 before the first), and K counts
    from 1 since it came. So the cursors of a stream are unique and in order, whatever the stream,
    and who saw token 17 last says `Last-Event-ID: 17`.

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
        # Joined, since a format would ask a subclass of str how it likes to be shown.
        self._prefix = "" if stream_id is None else stream_id + ":"
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


class Frame(NamedTuple):
    """What a receiver is told of a frame: the event that the standard dispatches for it.

    - `event`: its type, `message` if the frame named none.
    - `data`: the data lines, joined by LF.
    - `id`: the last event id, of this frame or of the last one before it that had one.
    """

    event: str
    data: str
    id: str


class FrameTooLarge(ValueError):  # noqa: N818  # named for what it is, like EOFError
    """More bytes than allowed came without a blank line; the text says where they begin.

    That is told in bytes from 0, from the beginning of the connection.
    """


# A frame as most servers write it, in text whose lines end in LF; any other is taken line by line.
# Each `.*` ends at the LF of its line and nowhere else, so that it fails in linear time as well.
_FRAME: Final = re.compile(
    r"(?:id:(?: |(?! ))(.*)\n)?(?:event:(?: |(?! ))(.*)\n)?data:(?: |(?! ))(.*)\n\n"
)
# So many bytes of whole frames are decoded together at most.
_TOGETHER: Final = 4096
_BOM: Final = b"\xef\xbb\xbf"


class Decoder:
    """The bytes of an event stream to its frames, wherever between two bytes they are cut.

    This is the algorithm of the WHATWG HTML standard, section 9.2.6, to the letter; the quotations
    here are its rules. It takes time linear in the bytes, and keeps no more than those of one
    frame. It is for one thread at a time.

    - `max_frame_bytes`: how many bytes, from 1, may come after a blank line, or the start, before
      the next blank line.
    - `last_event_id`: the id of the last frame that had one, also of a frame without data; what a
      client sends as `Last-Event-ID`. Empty if there was none.
    - `retry`: the reconnection time in milliseconds that the stream asked for last, or None.
    - `discarded`: after `close`, whether the end of the stream cut off a frame: field lines, or an
      unfinished line that is no comment, followed the last blank line.

    Raises TypeError or ValueError for another `max_frame_bytes`.
    """

    def __init__(self, *, max_frame_bytes: int = _MAX_FRAME_BYTES) -> None:
        if not isinstance(max_frame_bytes, int) or isinstance(max_frame_bytes, bool):
            raise TypeError(f"max_frame_bytes must be an int, got {type(max_frame_bytes).__name__}")
        if max_frame_bytes < 1:
            raise ValueError(f"max_frame_bytes must be 1 or more, got {max_frame_bytes}")
        self._max_frame_bytes = max_frame_bytes
        self.last_event_id = ""
        self.retry: int | None = None
        self._fault: ValueError | None = None
        self._begin_stream()

    def _begin_stream(self) -> None:
        """Begin a stream: the buffers "must be initialized to the empty string".

        Not so the one for the last event id, if this is a client that connects again: as in
        browsers it begins as the last event id, which a first frame without one would reset.
        """
        self.discarded = False
        self._is_closed = False
        self._is_first_line = True  # which may begin with a byte order mark
        self._after_cr = False  # a line feed that comes now belongs to that carriage return
        self._line = bytearray()  # the beginning of an unfinished line
        self._bytes_before = 0  # all bytes before this chunk
        self._frame_bytes = 0  # of these, those since the last blank line
        self._has_fields = False
        self._event = b""
        self._data = bytearray()
        self._id = self.last_event_id

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[Frame]:
        """Take the next bytes, any number of them, and return the frames that they complete.

        A frame is complete as soon as its blank line has begun to end: at the CR of a CRLF. Where
        a frame is too large, the frames before it are returned; the next call, and each later
        one, raises FrameTooLarge. Raises TypeError for anything but bytes, RuntimeError after
        `close`.
        """
        return list(self._frames(chunk))

    def close(self) -> None:
        """End the stream, and tell in `discarded` whether that cut off a frame; again, do nothing.

        The unfinished frame is dropped: "Once the end of the file is reached, any pending data
        must be discarded." Raises FrameTooLarge if a frame was too large.
        """
        self._require_sound()
        if self._is_closed:
            return
        self._is_closed = True
        line = self._without_bom(bytes(self._line))
        self.discarded = self._has_fields or (line != b"" and not line.startswith(b":"))

    def _require_sound(self) -> None:
        if self._fault is not None:
            raise self._fault.with_traceback(None)

    def _frames(self, chunk: bytes | bytearray | memoryview) -> Iterator[Frame]:
        """Yield the frames that a chunk completes, and commit the id of each after it was taken.

        So whoever refuses a frame, and stops there, is left with the id of the one before.

        Lines end as the standard has it: in "a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF)
        character pair, a single U+000A LINE FEED (LF) character not preceded by a U+000D CARRIAGE
        RETURN (CR) character, and a single U+000D CARRIAGE RETURN (CR) character not followed by
        a U+000A LINE FEED (LF) character". A line is taken at its CR; a LF next to it is skipped.
        """
        self._require_sound()
        if self._is_closed:
            raise RuntimeError("the stream has been closed: feed first, close() then")
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError(f"feed takes bytes, got {type(chunk).__name__}")
        chunk = bytes(chunk)
        size = len(chunk)
        frame_start = -self._frame_bytes  # before this chunk, if the frame began there
        pos = 0
        if self._after_cr and size:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                pos = 1
                if frame_start == 0:
                    frame_start = 1  # the carriage return ended the frame before
        # Where the next ones are; each is looked for from the last on, so that no byte is looked
        # at again for each line.
        lf = cr = -1
        tried = 0  # up to here the quick way has been tried
        while True:
            if cr < pos:
                cr = chunk.find(b"\r", pos)
                cr = size if cr < 0 else cr
            # The quick way, at a third of the time. After a frame of another form, all that was
            # tried together goes the slow way, so that no byte is tried twice.
            if frame_start == pos >= tried and cr == size and not self._is_first_line:
                together = min(_TOGETHER, self._max_frame_bytes)
                tried = chunk.rfind(b"\n\n", pos, pos + together) + 2
                if tried > pos + 1:  # there is a blank line
                    pos += yield from self._whole_frames(chunk[pos:tried])
                    frame_start = pos
                    if pos == tried:
                        continue
            if lf < pos:
                lf = chunk.find(b"\n", pos)
                lf = size if lf < 0 else lf
            end = min(lf, cr)
            if end == size:
                break
            line = chunk[pos:end]
            if self._line:
                line = bytes(self._line) + line
                self._line.clear()
            if self._is_first_line:
                line = self._without_bom(line)
                self._is_first_line = False
            frame_end = end + (line != b"")  # a blank line is no more of it
            if frame_end - frame_start > self._max_frame_bytes:
                self._fail(frame_start)
                return
            pos = end + 1
            if end == cr:
                if pos == size:
                    self._after_cr = True
                elif pos == lf:
                    pos += 1
            if line:
                self._take(line)
                continue
            frame_start = pos
            yield from self._dispatched()
        if size - frame_start > self._max_frame_bytes:
            self._fail(frame_start)
            return
        self._line += chunk[pos:]
        self._frame_bytes = size - frame_start
        self._bytes_before += size

    def _whole_frames(self, piece: bytes) -> Generator[Frame, None, int]:
        """Yield the frames that a piece begins with, if `_FRAME` knows them; return their bytes.

        This does what `_take` and `_dispatched` do, for the frames of most servers.
        """
        try:
            text = piece.decode()
        except UnicodeDecodeError:
            return 0
        pos = 0
        while (match := _FRAME.match(text, pos)) is not None:
            id, event, data = match.groups()
            if id is not None and "\0" not in id:
                self._id = id
            yield Frame(event or "message", data, self._id)
            self.last_event_id = self._id
            pos = match.end()
        return len(piece) if pos == len(text) else len(text[:pos].encode())

    def _fail(self, frame_start: int) -> None:
        self._fault = FrameTooLarge(
            f"the frame that begins at byte {self._bytes_before + frame_start}: expected a blank"
            f" line after at most {self._max_frame_bytes} bytes, got more: raise max_frame_bytes"
            " if such frames are to be taken"
        )

    def _without_bom(self, line: bytes) -> bytes:
        """Return the line without the byte order mark that a stream may begin with.

        "Streams must be decoded using the UTF-8 decode algorithm", which "strips one leading
        UTF-8 Byte Order Mark (BOM), if any".
        """
        return line.removeprefix(_BOM) if self._is_first_line else line

    def _take(self, line: bytes) -> None:
        """Take a line that is not blank, by the standard's rules, in its order.

        - "If the line starts with a U+003A COLON character (:)": "Ignore the line."
        - "If the line contains a U+003A COLON character (:)": the field is what stands before the
          first one, the value what stands after it. "If value starts with a U+0020 SPACE
          character, remove it from value."
        - "Otherwise", "process the field" with "the whole line as the field name, and the empty
          string as the field value".

        The fields, by name, which must be "exactly" that, "with no case folding":

        - "data": "Append the field value to the data buffer, then append a single U+000A LINE FEED
          (LF) character to the data buffer."
        - "event": "Set the event type buffer to the field value."
        - "id": "If the field value does not contain U+0000 NULL, then set the last event ID buffer
          to the field value. Otherwise, ignore the field."
        - "retry": "If the field value consists of only ASCII digits, then interpret the field value
          as an integer in base ten, and set the event stream's reconnection time to that integer.
          Otherwise, ignore the field." One of more than 18 digits, 30 million years, is ignored
          as well.
        - "Otherwise": "The field is ignored."
        """
        if line.startswith(b":"):
            return
        self._has_fields = True
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value
            self._data += b"\n"
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = _text(value)
        elif name == b"retry" and value.isdigit() and len(value) <= 18:
            self.retry = int(value)

    def _dispatched(self) -> Iterator[Frame]:
        """Take a blank line, "dispatch the event", and yield its frame, if there is one.

        - "Set the last event ID string of the event source to the value of the last event ID
          buffer. The buffer does not get reset". Here this comes after the frame was taken.
        - "If the data buffer is an empty string", there is no frame.
        - "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove
          the trailing U+000A LINE FEED (LF) character from the data buffer." It always is.
        - The type is `message`, or, "if the event type buffer has a value other than the empty
          string", that value.
        - "Set the data buffer and the event type buffer to the empty string."
        """
        if self._data:
            yield Frame(_text(self._event) or "message", _text(self._data[:-1]), self._id)
        self.last_event_id = self._id
        self._data.clear()
        self._event = b""
        self._has_fields = False


def _text(value: bytes | bytearray) -> str:
    # By values gives what the standard's decoder, to which each bad sequence is one U+FFFD, gives
    # for the whole: none goes over a line end or a colon, and so does no character.
    return value.decode(errors="replace")


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
        self, *, check: bool | StreamChecker = True, max_frame_bytes: int = _MAX_FRAME_BYTES
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
    max_frame_bytes: int = _MAX_FRAME_BYTES,
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
    max_frame_bytes: int = _MAX_FRAME_BYTES,
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
