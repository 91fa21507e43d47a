# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""JSON Lines: the events of flows in files, one a line.

with jsonl.Writer("flow.jsonl") as writer:
    writer.write(event)
with open("flow.jsonl", "rb") as file:
    for event in jsonl.read(file): ...

Files are binary: in text mode the platform would decide what a byte means. A line that holds no
event, because a crash has cut it or for any other reason, costs that one event: reading goes on
after it.
"""

import os
import re
from codecs import BOM_UTF8, utf_8_decode
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from errno import EAGAIN
from io import BufferedIOBase, RawIOBase
from threading import RLock
from typing import Final, NoReturn, Protocol

from ._catalog import Event
from ._codec import DecodeError, from_json, to_json
from ._strict import read_strict

__all__ = ["Decoder", "Writer", "aread", "read", "write"]

_SPACE: Final = b" \t\r\n"
_CHUNK_BYTES: Final = 2**16  # how much is read at once
_match_nuls: Final = re.compile(rb"\0*").match
_DOUBLED: Final = (
    "expected one event a line, got another directly after it: if the line ends were taken off,"
    ' as iter_lines does, use read(line + b"\\n" for line in lines)'
)


class Decoder:
    """Takes the bytes of JSON Lines and gives the events, wherever the bytes are cut.

    It reads nothing itself. Lines end with LF or CRLF, and blank ones are skipped. A line that
    holds no event gives a DecodeError instead, whose `lineno` is the file's and whose `pos` and
    `colno` are the line's. A line that has not ended waits for the rest of it, or for `close`.

    - A byte order mark on line 1 is skipped.
    - A run of NUL bytes at the beginning of a line, as crashes leave them, is one `not-json` error,
      which says how many came. The rest of the line is read.
    - Where another event directly follows a whole one, the error says how to mend that.

    The time is linear in the bytes fed. The memory is that of the longest line, without such NULs.
    """

    def __init__(self) -> None:
        self._lineno = 1
        self._is_beginning = True  # a byte order mark may come
        self._line = bytearray()  # what has come of the line that has not ended
        self._begin_line()

    def _begin_line(self) -> None:
        self._dropped = 0  # how many bytes of the line came before `_line`
        self._nuls = 0  # how many of them are NULs that no error has named
        self._closed = 0  # how much of `_line` a `close` has seen
        self._settled = 0  # the same, if its verdict stands unless more than space follows
        self._may_double = True  # whether to look for a second event before the line ends
        self._is_refused = False  # whether it was found; the rest of the line is skipped

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[Event | DecodeError]:
        """Return the events of the lines that a chunk ends, and the errors, in order.

        - `chunk`: the next bytes; TypeError for another type.

        It may be called after `close`: the file has grown.
        """
        return list(self._results(chunk))

    def close(self) -> list[Event | DecodeError]:
        """Return what is left at the end: the event of a last line without its end.

        If the JSON of that line is unfinished, or its last character, its error is `cut-line`; any
        other fault keeps its own reason. Called again, it returns only what has come since.
        """
        found: list[Event | DecodeError] = [self._nul_error()] if self._nuls else []
        if self._line[self._closed :].strip(_SPACE):
            result = self._judge(bytes(self._line), is_last=True)
            self._closed = len(self._line)
            is_cut = isinstance(result, DecodeError) and result.reason == "cut-line"
            self._settled = 0 if is_cut else self._closed
            found.append(result)
        return found

    def _results(self, chunk: bytes | bytearray | memoryview) -> Iterator[Event | DecodeError]:
        """Yield what `feed` returns; to be taken to its end before anything else is called."""
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError(f"feed takes bytes, got {type(chunk).__name__}")
        chunk = self._without_bom(bytes(chunk))
        # Lines that have lost their ends are one line that may never end. Looking for that once in
        # each line keeps the time linear.
        if self._may_double and chunk.startswith(b"{") and self._line.endswith(b"}"):
            self._may_double = False
            if _is_event(self._line):
                yield self._error("not-json", _DOUBLED, len(self._line))
                self._is_refused = True
                self._line.clear()
        start = 0
        while start < len(chunk):
            if chunk.startswith(b"\0", start) and not self._line and not self._is_refused:
                nuls = _match_nuls(chunk, start).end() - start  # type: ignore[union-attr]
                self._nuls += nuls
                self._dropped += nuls
                start += nuls
                continue
            if self._nuls:
                yield self._nul_error()
            end = chunk.find(b"\n", start)
            line = chunk[start:] if end < 0 else chunk[start:end]
            if self._is_refused:
                line = b""
            if end < 0:
                self._line += line
                return
            if self._line:
                self._line += line
                line = bytes(self._line)
                self._line.clear()
            if line[self._settled :].strip(_SPACE):
                yield self._judge(line.rstrip(b"\r"), is_last=False)
            self._lineno += 1
            if self._dropped or self._closed or not self._may_double:
                self._begin_line()
            start = end + 1

    def _without_bom(self, chunk: bytes) -> bytes:
        """Return a chunk without the byte order mark that may begin the file, or a part of one."""
        if not self._is_beginning:
            return chunk
        chunk = bytes(self._line) + chunk
        self._line.clear()
        self._closed = 0
        if len(chunk) < len(BOM_UTF8) and BOM_UTF8.startswith(chunk):
            self._line += chunk
            return b""
        self._is_beginning = False
        if chunk.startswith(BOM_UTF8):
            self._dropped = len(BOM_UTF8)
        return chunk.removeprefix(BOM_UTF8)

    def _judge(self, line: bytes, *, is_last: bool) -> Event | DecodeError:
        """Return the event that a line holds, or its error; `is_last` if the line has no end."""
        try:
            return from_json(line)
        except DecodeError as error:
            fault = error._changed()  # has no traceback, which would keep the text
        reason, message, pos = fault.reason, fault.message, fault.pos or 0
        second = _second_event(line)
        if second is not None:
            reason, message, pos = "not-json", _DOUBLED, second
        elif is_last and (self._is_beginning or _is_cut(line)):
            message = (
                "expected a whole line, got the end of the file in the middle of it"
                f" ({reason}: {message})"
            )
            reason = "cut-line"
        return self._error(reason, message, pos, fault.kind, fault.field)

    def _nul_error(self) -> DecodeError:
        """Return the error of the NUL bytes that have come, and forget them."""
        count = self._nuls
        self._nuls = 0
        message = f"expected an event, got {count} NUL byte{'s' * (count > 1)}"
        return self._error("not-json", message, -count)

    def _error(
        self,
        reason: str,
        message: str,
        pos: int,
        kind: str | None = None,
        field: str | None = None,
    ) -> DecodeError:
        """Return an error of this line; `pos` counts from the first byte that was not dropped."""
        pos += self._dropped
        return DecodeError(reason, message, kind, field, pos, self._lineno, pos + 1)


def _is_event(line: bytes | bytearray) -> bool:
    try:
        from_json(line)
    except DecodeError:
        return False
    return True


def _json_fault(text: str) -> int | None:
    """Return the position of what makes text no JSON document, or None if it is one."""
    try:
        read_strict(text)
    except DecodeError as error:
        if error.reason == "not-json":
            return error.pos
    return None


def _second_event(line: bytes) -> int | None:
    """Return the position of an object that directly follows a whole event, or None."""
    if b"}{" not in line:
        return None
    text = line.decode(errors="replace")
    pos = _json_fault(text) or 0
    first = text[:pos].encode()
    is_doubled = (
        first.endswith(b"}")
        and text.startswith("{", pos)
        # Not if a byte of it was replaced.
        and line.startswith(first)
        and _is_event(first)
    )
    return len(first) if is_doubled else None


# Any token that can be completed (a literal, an escape, a number, even one that would be too large)
# is completed by the end of one of these.
_TOKENS: Final = ("true", "false", "null", r"\u0000", r"\ud800\udc00", ".0e-999999999")


def _is_cut(line: bytes) -> bool:
    """Tell whether a line could go on: whether some continuation makes a JSON document of it.

    One does as long as the strict reader finds no fault before the end. In an unfinished token it
    may find one; completing the token then moves the fault to the end.
    """
    try:
        text, size = utf_8_decode(line)  # leaves out an unfinished character at the end
    except UnicodeDecodeError:
        return False
    unfinished = line[size:]
    if unfinished.startswith(b"\xed") and unfinished[1:] >= b"\xa0":
        return False  # a surrogate, which no byte completes; Python waits for one all the same
    if unfinished:
        text += "\x80"  # any character that is not ASCII
    fault = _json_fault(text)
    if fault is None or fault == len(text):
        return fault is not None
    if re.fullmatch(r"[-+.\\0-9A-Za-z]+", text[fault:]) is None:
        return False
    rests = {token[start:] for token in _TOKENS for start in range(1, len(token))}
    return any(_json_fault(text + rest) in (None, len(text + rest)) for rest in rests)


def read(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Return an iterator over the events of a binary file, or of bytes in pieces.

    - `chunks`: a file in binary mode, or any iterable of bytes such as an HTTP response, however
      they are cut.

    A line that holds no event raises DecodeError, as `Decoder` has it; asked again, the iterator
    goes on with the next line. Asked again after the end, it goes on where the file has grown: what
    was `cut-line` then comes whole.

    A file is read in blocks, so its position is ahead of the event given last. Raises TypeError for
    a path or the content itself; iterating raises it for text.
    """
    if isinstance(chunks, BufferedIOBase):
        return _Reader(_Blocks(chunks.read1))
    if isinstance(chunks, RawIOBase):
        return _Reader(_Blocks(chunks.read))
    if isinstance(chunks, (str, os.PathLike)):
        hint = ': open(path, "rb") first'
    elif isinstance(chunks, (bytes, bytearray, memoryview)):
        hint = ": put it into a list"
    elif isinstance(chunks, Iterable):
        return _Reader(iter(chunks))
    else:
        hint = ": use aread" if isinstance(chunks, AsyncIterable) else ""
    raise TypeError(
        "read takes a file in binary mode or another iterable of bytes,"
        f" got {type(chunks).__name__}{hint}"
    )


def aread(chunks: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    """Return the same as `read`, asynchronous.

    - `chunks`: an asynchronous iterable of bytes, or an `asyncio.StreamReader`.

    Raises TypeError for anything else; iterating raises it for text.
    """
    if not isinstance(chunks, AsyncIterable):
        raise TypeError(
            "aread takes an asynchronous iterable of bytes,"
            f" got {type(chunks).__name__}: use read for a file or any other iterable"
        )
    # Iterating a StreamReader fails at lines above 64 KiB. These two methods tell one, since
    # importing asyncio for its class would take long.
    read_some = getattr(chunks, "read", None)
    if read_some is not None and hasattr(chunks, "at_eof"):
        return _AsyncReader(_AsyncBlocks(read_some))
    return _AsyncReader(aiter(chunks))


class _Found:
    """What was found in the chunks and has yet to be given; the same for `read` and `aread`."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self.results: Iterator[Event | DecodeError] = iter(())

    def take(self, chunk: bytes) -> None:
        if isinstance(chunk, str):
            raise TypeError("expected chunks of bytes, got text: open the file in binary mode")
        self.results = self._decoder._results(chunk)

    def take_end(self) -> bool:
        """Take the end of the chunks, and tell whether it gives anything."""
        results = self._decoder.close()
        self.results = iter(results)
        return bool(results)


class _Reader(Iterator[Event]):
    """The iterator of `read`; not a generator, which would be at its end after it raised."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._found = _Found()

    def __next__(self) -> Event:
        while True:
            for result in self._found.results:
                if isinstance(result, DecodeError):
                    raise result
                return result
            try:
                self._found.take(next(self._chunks))
            except StopIteration:
                if not self._found.take_end():
                    raise


class _AsyncReader(AsyncIterator[Event]):
    """The iterator of `aread`."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._found = _Found()

    async def __anext__(self) -> Event:
        while True:
            for result in self._found.results:
                if isinstance(result, DecodeError):
                    raise result
                return result
            try:
                self._found.take(await anext(self._chunks))
            except StopAsyncIteration:
                if not self._found.take_end():
                    raise


class _Blocks(Iterator[bytes]):
    """The blocks of a file; asked again after the end, those by which it has grown."""

    def __init__(self, read: Callable[[int], bytes | None]) -> None:
        self._read = read

    def __next__(self) -> bytes:
        block = self._read(_CHUNK_BYTES)
        if not block:
            raise StopIteration
        return block


class _AsyncBlocks(AsyncIterator[bytes]):
    """The same of an asynchronous stream."""

    def __init__(self, read: Callable[[int], Awaitable[bytes]]) -> None:
        self._read = read

    async def __anext__(self) -> bytes:
        block = await self._read(_CHUNK_BYTES)
        if not block:
            raise StopAsyncIteration
        return block


class BinaryWriter(Protocol):
    """What `write` needs of a file."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


def write(file: BinaryWriter, events: Iterable[Event]) -> None:
    """Write each event and an LF to a binary file, and flush it after a terminator.

    Raises TypeError for a file in text mode, and what the file raises, such as OSError at a full
    disk: then it holds whole lines and perhaps one that is cut.
    """
    _require_binary(file)
    for event in events:
        _write_all(file, to_json(event).encode() + b"\n")
        if event.is_terminator:
            file.flush()


def _require_binary(file: object) -> None:
    """Raise TypeError for a file in text mode, and for what is no file but a path or content."""
    if isinstance(file, (str, bytes, bytearray, os.PathLike)):
        raise TypeError(f"expected a file in binary mode, got {type(file).__name__}: open it first")
    # Also of those in wrappers, as the module tempfile makes them: what has text has an encoding.
    if hasattr(file, "encoding"):
        raise TypeError("expected a file in binary mode, got one in text mode: open it with 'b'")


def _write_all(file: BinaryWriter, data: bytes) -> None:
    """Write it all: an unbuffered file may take less, as at a full disk, and raises nothing."""
    taken = file.write(data)
    while isinstance(taken, int) and 0 < taken < len(data):
        data = data[taken:]
        taken = file.write(data)
    if not taken and isinstance(file, RawIOBase):
        raise BlockingIOError(
            EAGAIN, "the file took nothing: expected one that waits until it can write"
        )


class Writer:
    """Appends events to a file, so that they outlive the process: a sink for an emitter.

        with Writer("flow.jsonl") as writer:
            with FlowEmitter(writer.write, flow_name="Report", backend="anthropic") as flow: ...

    - `path`: the file; it is made if it is not there.
    - `fsync`: whether each event is also on the disk before `write` returns, and so survives a loss
      of power. That takes as long as the disk does, milliseconds.

    If the file ends in a line without its end, as a crash leaves it, the first event begins a new
    line; nothing is deleted. Several threads may write, and several processes may append to the
    same file: each line stays whole. Raises OSError if the file cannot be opened, TypeError for
    anything but a path.
    """

    def __init__(
        self, path: "str | bytes | os.PathLike[str] | os.PathLike[bytes]", *, fsync: bool = False
    ) -> None:
        path = os.fspath(path)  # a number, which `open` takes for a descriptor, is no path
        # Without a buffer: each write is one of the system, at the end of the file.
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  # `close` closes it
        self._fsync = fsync
        # Reentrant, so that a signal handler that writes is refused and not hung.
        self._lock = RLock()
        self._is_writing = False
        self._is_torn = _is_torn(path)
        if fsync:
            _fsync_folder(path)

    def write(self, event: Event) -> None:
        """Append an event and an LF; when this returns, the operating system has them.

        Raises TypeError for anything but an event, RuntimeError after `close` or inside another
        `write` of the same thread, and OSError if the file takes less than the line, as at a full
        disk. After such an error the next event begins a new line.
        """
        line = to_json(event).encode() + b"\n"
        with self._lock:
            if self._is_writing:
                raise RuntimeError(
                    "this thread is inside another write: call it when that has returned"
                )
            if self._file.closed:
                raise RuntimeError("the Writer was closed: make another one, which appends")
            if self._is_torn:
                line = b"\n" + line
            try:
                self._is_writing = self._is_torn = True
                _write_all(self._file, line)
                self._is_torn = False
                if self._fsync:
                    os.fsync(self._file.fileno())
            finally:
                self._is_writing = False

    def close(self) -> None:
        """Close the file. Calling it again does nothing."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Writer can be neither copied nor pickled: make another one for its path")


def _is_torn(path: str | bytes) -> bool:
    """Tell whether a file may end in a line without its end."""
    try:
        if not os.path.getsize(path):  # as of an empty file, and of a device or a pipe
            return False
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return True  # It may not be read. An empty line does no harm.


def _fsync_folder(path: str | bytes) -> None:
    """Let the name of a new file survive a loss of power, where folders can be opened."""
    with suppress(OSError):
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
