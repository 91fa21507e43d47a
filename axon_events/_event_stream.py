# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The decoder of event streams: bytes in, frames out; it knows nothing of events.

The rules are those of the WHATWG HTML standard, sections 9.2.5 "Parsing an event stream" (the
grammar) and 9.2.6 "Interpreting an event stream" (the algorithm); what is quoted here is theirs.
`sse` exports what is public.
"""

import re
from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

__all__ = ["Decoder", "Frame", "FrameTooLarge"]

# Room for the whole output of a model in a data line.
MAX_FRAME_BYTES: Final = 16 * 2**20


class Frame(NamedTuple):
    """A frame as the receiver gets it: the event that the standard dispatches for it.

    - `event`: its type, `message` if the frame named none.
    - `data`: the data lines, joined by LF.
    - `id`: the last event id, of this frame or of the last one before it that had one.
    """

    event: str
    data: str
    id: str


class FrameTooLarge(ValueError):  # noqa: N818  # named for what it is, like EOFError
    """More bytes than allowed came without a blank line.

    The text says where they begin, in bytes from 0 since the beginning of the connection.
    """


# A frame as most servers write it, in text whose lines end in LF; any other is taken line by line.
# Each `.*` ends at the LF of its line and nowhere else, so that it fails in linear time as well.
_FRAME: Final = re.compile(
    r"(?:id:(?: |(?! ))(.*)\n)?(?:event:(?: |(?! ))(.*)\n)?data:(?: |(?! ))(.*)\n\n"
)
# At most so many bytes of whole frames are matched together.
_BATCH_BYTES: Final = 4096
_BOM: Final = b"\xef\xbb\xbf"
_NOT_IN_AN_ID: Final = re.compile("[\\r\\n\\0\\ud800-\\udfff]")


class Decoder:
    """Turns the bytes of an event stream into frames, wherever the bytes are cut.

    It does exactly what the standard says, in time linear in the bytes, and keeps no more than the
    bytes of one frame. It is for one thread at a time.

    - `last_event_id`: the id to begin with, for a client that comes back; empty for none. As an
      attribute, the id of the last frame that had one, even without data: what a client sends as
      `Last-Event-ID`.
    - `max_frame_bytes`: how many bytes, from 1, may come after a blank line, or the start, before
      the next blank line.
    - `retry`: the reconnection time in milliseconds that the stream asked for last, or None.
    - `discarded`: after `close`, whether the end of the stream cut off a frame: field lines, or an
      unfinished line that is no comment, followed the last blank line.

    Raises TypeError or ValueError for another `max_frame_bytes`, and for a `last_event_id` that no
    frame can have: it is a str without CR, LF, NUL and lone surrogates.
    """

    def __init__(self, *, last_event_id: str = "", max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        if not isinstance(last_event_id, str):
            raise TypeError(f"last_event_id must be a str, got {type(last_event_id).__name__}")
        if _NOT_IN_AN_ID.search(last_event_id) is not None:
            raise ValueError(
                "last_event_id must be what an id line can hold, without CR, LF, NUL and lone"
                f" surrogates, got {last_event_id!a:.60}"
            )
        if not isinstance(max_frame_bytes, int) or isinstance(max_frame_bytes, bool):
            raise TypeError(f"max_frame_bytes must be an int, got {type(max_frame_bytes).__name__}")
        if max_frame_bytes < 1:
            raise ValueError(f"max_frame_bytes must be 1 or more, got {max_frame_bytes}")
        self._max_frame_bytes = max_frame_bytes
        self.last_event_id = str.__str__(last_event_id)
        self.retry: int | None = None
        self._fault: ValueError | None = None
        self._is_closed = False
        self._byte_count = 0  # of all connections
        self._connect()

    def reopen(self) -> None:
        """Begin another connection of the same client, which goes on after `last_event_id`.

        The unfinished frame of the old one is forgotten; `last_event_id` and `retry` are kept.
        Raises FrameTooLarge if a frame was too large, and RuntimeError after `close`.
        """
        self._require_sound()
        if self._is_closed:
            raise RuntimeError("the stream was closed: call reopen() before close()")
        self._connect()

    def _connect(self) -> None:
        """Begin a connection.

        The standard has all buffers begin empty. As in browsers, the one for the id begins as the
        last event id instead, which a first frame without an id would otherwise reset.
        """
        self.discarded = False
        self._is_first_line = True  # which may begin with a byte order mark
        self._after_cr = False  # a line feed that comes next belongs to that carriage return
        self._line = bytearray()  # the beginning of an unfinished line
        self._bytes_before = 0  # all bytes of the connection before this chunk
        self._frame_bytes = 0  # of these, those since the last blank line
        self._has_fields = False
        self._event = b""
        self._data = bytearray()
        self._id = self.last_event_id

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[Frame]:
        """Take the next bytes, any number of them, and return the frames that they complete.

        A frame is complete at the CR of its blank line; it does not wait for a LF. If a frame is
        too large, the frames before it are returned; the next call, and each later one,
        raises FrameTooLarge. Raises TypeError for anything but bytes, RuntimeError after `close`.
        """
        return list(self._frames(chunk))

    def close(self) -> None:
        """End the stream, and set `discarded`. Calling it again does nothing.

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
        """Yield the frames that a chunk completes; commit the id of each after it was taken.

        So a reader that refuses a frame and stops there is left with the id of the one before.

        A line ends at CRLF, LF or CR. It is taken at its CR; a LF right after that is skipped.
        """
        self._require_sound()
        if self._is_closed:
            raise RuntimeError("the stream was closed: call feed() before close()")
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError(f"feed takes bytes, got {type(chunk).__name__}")
        chunk = bytes(chunk)
        size = len(chunk)
        self._byte_count += size
        frame_start = -self._frame_bytes  # before this chunk, if the frame began there
        pos = 0
        if self._after_cr and size:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                pos = 1
                if frame_start == 0:
                    frame_start = 1  # the carriage return ended the frame before
        # Where the next line ends are. Each search goes on from the last hit, so that no byte is
        # searched again for each line.
        lf = cr = -1
        batch_end = 0  # whole frames were looked for up to here
        while True:
            if cr < pos:
                cr = chunk.find(b"\r", pos)
                cr = size if cr < 0 else cr
            # The quick way takes a third of the time. After a frame of another form, the rest of
            # the batch goes line by line, so that no byte is tried twice.
            is_batch_start = frame_start == pos >= batch_end
            if is_batch_start and cr == size and not self._is_first_line:
                batch_bytes = min(_BATCH_BYTES, self._max_frame_bytes)
                batch_end = chunk.rfind(b"\n\n", pos, pos + batch_bytes) + 2
                if batch_end > pos + 1:  # there is a blank line
                    pos += yield from self._whole_frames(chunk[pos:batch_end])
                    frame_start = pos
                    if pos == batch_end:
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
            frame_end = end + (line != b"")  # which a blank line is not part of
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

    def _whole_frames(self, batch: bytes) -> Generator[Frame, None, int]:
        """Yield the frames that a batch begins with, if `_FRAME` knows them; return their bytes.

        This does what `_take` and `_dispatched` do, for the frames of most servers.
        """
        try:
            text = batch.decode()
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
        return len(batch) if pos == len(text) else len(text[:pos].encode())

    def _fail(self, frame_start: int) -> None:
        self._fault = FrameTooLarge(
            f"the frame that begins at byte {self._bytes_before + frame_start}: expected a blank"
            f" line after at most {self._max_frame_bytes} bytes, got more: raise max_frame_bytes"
            " if such frames are to be taken"
        )

    def _without_bom(self, line: bytes) -> bytes:
        # "The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any."
        return line.removeprefix(_BOM) if self._is_first_line else line

    def _take(self, line: bytes) -> None:
        """Take a line that is not blank.

        One that starts with a colon is a comment. Else the field's name stands before the first
        colon, its value after that and one optional space; without a colon the value is empty.
        Other names than these, "with no case folding", are ignored.
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
            if b"\0" not in value:  # "Otherwise, ignore the field."
                self._id = _decoded(value)
        elif name == b"retry" and value.isdigit() and len(value) <= 18:
            # "If the field value consists of only ASCII digits". The standard has no limit; more
            # than 18 of them, 30 million years, are ignored here.
            self.retry = int(value)

    def _dispatched(self) -> Iterator[Frame]:
        """Take a blank line: "dispatch the event", and yield its frame, if it has a data line."""
        if self._data:  # and so ends with a line feed, which is to be removed
            yield Frame(_decoded(self._event) or "message", _decoded(self._data[:-1]), self._id)
        self.last_event_id = self._id
        self._data.clear()
        self._event = b""
        self._has_fields = False


def _decoded(value: bytes | bytearray) -> str:
    """Return the text of a value, each bad sequence in it as one U+FFFD, as the standard has it.

    Decoding each value gives the same as decoding the whole stream: a good sequence holds no line
    end or colon, and a bad one ends before it.
    """
    return value.decode(errors="replace")
