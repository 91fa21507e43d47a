# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""JSON Lines: the events of flows in binary files, one a line.

with open("flow.jsonl", "wb") as file:
    jsonl.write(file, events)
with open("flow.jsonl", "rb") as file:
    for event in jsonl.read(file): ...

Files are binary, since in text mode the platform would have a say in what a byte means.
"""

from collections.abc import Iterable, Iterator
from errno import EAGAIN
from io import RawIOBase
from os import PathLike
from typing import Protocol

from ._catalog import Event
from ._codec import DecodeError, from_json, to_json

__all__ = ["read", "write"]


def read(file: Iterable[bytes]) -> Iterator[Event]:
    """Return an iterator over the events of a binary file, which reads one line at a time.

    Lines end with LF or CRLF, the last one perhaps with neither; blank lines are skipped. A line
    that holds no event raises DecodeError, whose `lineno` is the file's and whose `pos` and
    `colno` are the line's; asked again, the iterator goes on with the next line. If that is the
    last line and it has no end, its writer was most likely cut short: then `reason` is `cut-line`.

    Any iterable of such lines will do for a file. Raises TypeError for a file in text mode, a
    path, or the content itself.
    """
    return _Reader(file)


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


class _Reader(Iterator[Event]):
    """The iterator of `read`; not a generator, which would be at its end after it raised."""

    def __init__(self, file: Iterable[bytes]) -> None:
        _require_binary(file)
        self._lines = iter(file)
        self._lineno = 0

    def __next__(self) -> Event:
        for line in self._lines:
            self._lineno += 1
            if not line.strip(b" \t\r\n"):
                continue
            try:
                return from_json(line.rstrip(b"\r\n"))
            except DecodeError as error:
                raise self._in_file(error, is_cut=not line.endswith(b"\n")) from None
        raise StopIteration

    def _in_file(self, error: DecodeError, is_cut: bool) -> DecodeError:
        """Return the error of a line as one of the file."""
        reason, message = error.reason, error.message
        if is_cut:
            message = (
                "expected a whole line, got the end of the file in the middle of it"
                f" ({reason}: {message})"
            )
            reason = "cut-line"
        return error._changed(reason=reason, message=message, lineno=self._lineno)


def _require_binary(file: object) -> None:
    """Raise TypeError for a file in text mode, and for what is no file but a path or content."""
    if isinstance(file, (str, bytes, bytearray, PathLike)):
        raise TypeError(f"expected a file in binary mode, got {type(file).__name__}: open it first")
    # Also of those in wrappers, as the module tempfile makes them: what has text has an encoding.
    if hasattr(file, "encoding"):
        raise TypeError("expected a file in binary mode, got one in text mode: open it with 'b'")
