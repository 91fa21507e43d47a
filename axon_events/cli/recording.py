# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Reads a recorded flow as it comes, and shows progress on stderr if that takes long."""

import errno
import os
import re
import stat
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from types import TracebackType
from typing import BinaryIO, TypeVar

from .. import DecodeError, Event, jsonl
from ..jsonl import _DOUBLED
from ..sse import Decoder, event_of
from .text import count, escaped
from .wrapping import advice, wrapping_of

__all__ = ["Lines", "Recording", "is_sqlite", "opened", "stored_run"]

# How many undecodable lines are yielded before the first event; further ones are only counted.
_MOST_FAULTS = 20
_PROGRESS_SECONDS = 1.0
# How much of a line is read at once: a line without an end may fill the disk.
_PIECE_BYTES = 2**16
_BOM = b"\xef\xbb\xbf"
# What the first line that is not blank begins with, if the file has Server-Sent Events.
_SSE = (b"data:", b"event:", b"id:", b"retry:", b":")
# A file of SQLite (www.sqlite.org/fileformat.html, 1.3.1).
_SQLITE = b"SQLite format 3\0"


def opened(path: str, reader: str) -> "Recording":
    """Return the recording that a path names, to be used in a `with`.

    - `path`: a file; `-` for standard input; `FILE#NAME` for a run of a SQLite store, unless there
      is a file of that name.
    - `reader`: the command that reads it, which an error may name.

    Raises OSError, with a `filename`, if it cannot be read.
    """
    if stored := stored_run(path):
        from .store import StoredRun  # here, since most recordings need no store

        return StoredRun(*stored)
    if is_sqlite(path):
        from .store import complaint

        raise complaint(path)
    return Lines(path, reader)


def stored_run(path: str) -> tuple[str, str] | None:
    """Return the file and the run of a path `FILE#NAME`; None if it is another path.

    Raises OSError if there is neither a file of the whole path nor a file that may be the store.
    """
    if "#" not in path or os.path.exists(path):
        return None
    for hash in re.finditer("#", path):
        if os.path.exists(file := path[: hash.start()]):
            return file, path[hash.end() :]
    store = escaped(path.partition("#")[0])
    raise OSError(errno.ENOENT, f"there is no such file, and no store {store}", path)


def is_sqlite(path: str) -> bool:
    """Tell whether a path is that of a SQLite file."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


class Recording(ABC):
    """A recorded flow, to be used in a `with`.

    - `name`: what a report calls it; `shown_name`: the same, harmless to a terminal.
    - `lineno`: the number of the line read last, from 1.
    - `is_wrapped`: whether `events` has found that the file is no recording, but has one inside.
    - `more`: how many undecodable lines `events` has not yielded, as there were too many.
    - `has_progress`: whether progress is shown.
    - `has_start`: whether it begins where the flow did.
    - `is_open`: whether more events may come after those that are there.
    - `notes`: what to tell people about its beginning and its end, before the events.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.shown_name = escaped(name)
        self.lineno = 0
        self.is_wrapped = False
        self.more = 0
        self._more_from = 0  # the line of the first of them
        self.has_progress = False
        self.has_start = True
        self.is_open = False
        self.notes: list[str] = []

    def __enter__(self: "_ARecording") -> "_ARecording":
        return self

    @abstractmethod
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what was opened."""

    @property
    def is_live(self) -> bool:
        """Whether events may come while it is read."""
        return False

    @abstractmethod
    def events(self) -> Iterator[Event | DecodeError]:
        """Yield each event, and the error of each line or frame that is not an event."""

    def complaint(self, error: DecodeError) -> str:
        """Return an error that `events` yielded as a line for people, with its place."""
        column = "" if error.colno is None else f" (column {error.colno})"
        return f"{self.shown_name}:{error.lineno}: {error.reason}: {error.message}{column}"

    def rest(self) -> Iterator[str]:
        """Yield a line for people about the errors that `events` has not yielded, if any."""
        if self.more:
            lines = count(self.more, "more line")
            yield f"{self.shown_name}: {lines} without an event, from line {self._more_from} on"

    def print(self, text: str) -> None:
        """Print a line to stdout."""
        print(text)


_ARecording = TypeVar("_ARecording", bound=Recording)


class Lines(Recording):
    """A recorded flow in a file, or in standard input for `-`; to be used in a `with`.

    - `reader`: the command that reads it, which an error may name.
    - `lineno`: where `events` reads Server-Sent Events, the number of the first line of the frame
      yielded last, and at their end that of the last line.
    - `has_progress`: at first, whether stderr is a terminal.

    The progress is a line on stderr, renewed once a second; `print` keeps its own lines apart from
    it. An OSError of the file has its `filename`; one of the output has none.
    """

    def __init__(self, path: str, reader: str) -> None:
        self._path = path
        self._reader = reader
        self._is_stdin = path == "-"
        super().__init__("<stdin>" if self._is_stdin else path)
        if self._is_stdin and sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed", self.name)
        self._file: BinaryIO = (
            sys.stdin.buffer if self._is_stdin else open(path, "rb")  # noqa: SIM115  # see __exit__
        )
        self.has_progress = sys.stderr.isatty()
        self._is_shown = False
        self._shown_at = time.monotonic()
        self._bytes = 0

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._clear()
        if not self._is_stdin:
            self._file.close()

    @property
    def is_live(self) -> bool:
        """Whether the file may still be written, as a pipe is."""
        with suppress(OSError):  # of a stream that is no file
            return not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        return False

    def events(self) -> Iterator[Event | DecodeError]:
        """Yield each event of the file, and the error of each line or frame that is not an event.

        The file is read as Server-Sent Events if its first line that is not blank begins like one,
        also after a byte order mark, and else as JSON Lines. The errors have the `lineno` of the
        file. If the file is something else with a recording inside, the last error says what it is
        and which command unwraps it.
        """
        faults: int | None = 0  # None once an event has come
        for found in self._found():
            if not isinstance(found, DecodeError):
                if not self.more:
                    faults = None
            elif faults is not None:
                faults += 1
                if faults > _MOST_FAULTS and not self.is_wrapped:
                    self.more += 1
                    self._more_from = self._more_from or found.lineno or self.lineno
                    continue
            yield found

    def _found(self) -> Iterator[Event | DecodeError]:
        """Yield every event and every error of the file, as `events` does without its limit."""
        decoder = jsonl.Decoder()
        pieces = self._pieces()
        has_form = has_event = False
        is_begin = True  # of a line
        for piece in pieces:
            first = self.lineno
            text = piece.removeprefix(_BOM) if first == 1 else piece
            is_blank = not text.strip(b" \t\r\n")
            if not has_form and not is_blank:
                if text.startswith(_SSE):
                    yield from self._of_frames(_whole(chain([piece], pieces)))
                    return
                has_form = True
            if is_begin and not is_blank and not has_event and not self.more:
                if text.rstrip() == b"{":
                    following = next(pieces, b"")
                    piece += following
                    text += following
                if wrapping := wrapping_of(text):
                    self.is_wrapped = True
                    yield DecodeError(
                        wrapping.reason,
                        f"expected JSON Lines or Server-Sent Events, got {wrapping.what};"
                        f" {escaped(advice(wrapping, self._path, self._reader))}",
                        lineno=first,
                    )
                    return
            is_begin = piece.endswith(b"\n")
            for found in decoder.feed(piece):
                has_event = has_event or not isinstance(found, DecodeError)
                yield _reworded(found)
        yield from map(_reworded, decoder.close())

    def _pieces(self) -> Iterator[bytes]:
        """Yield the lines of the file, long ones in pieces, with `lineno` at each."""
        is_begin = True
        while piece := self._read():
            self.lineno += is_begin
            is_begin = piece.endswith(b"\n")
            if self.has_progress:
                self._bytes += len(piece)
                if time.monotonic() - self._shown_at >= _PROGRESS_SECONDS:
                    self._show()
            yield piece

    def _read(self) -> bytes:
        try:
            return self._file.readline(_PIECE_BYTES)
        except OSError as error:
            error.filename = self.name
            raise

    def _of_frames(self, lines: Iterable[bytes]) -> Iterator[Event | DecodeError]:
        """Yield what the frames hold, with `lineno` at the first line of each."""
        # As with JSON Lines, a frame without an end is not cut off, but kept until it ends.
        decoder = Decoder(max_frame_bytes=sys.maxsize)
        frame = bytearray()
        first = self.lineno
        last = first - 1
        # A line of an event stream may also end with CR alone, unlike one of a Python file.
        for line in chain.from_iterable(line.splitlines(keepends=True) for line in lines):
            last += 1
            frame += line
            if line.strip(b"\r\n"):
                continue
            self.lineno = first
            for held in decoder.feed(frame):
                try:
                    event = event_of(held)
                except DecodeError as error:
                    yield error._changed(lineno=first)
                else:
                    if event is not None:
                        yield event
            frame.clear()
            first = last + 1
        decoder.feed(frame)
        decoder.close()
        if decoder.discarded:
            self.lineno = first
            yield DecodeError(
                "cut-line",
                "expected a blank line, which ends a frame, got the end of the file in the middle"
                " of one",
                lineno=first,
            )
        self.lineno = last

    def print(self, text: str) -> None:
        """Print a line to stdout, in place of the progress if that stands on the same terminal."""
        if self._is_shown and sys.stdout.isatty():
            self._clear()
        print(text)

    def _show(self) -> None:
        self._shown_at = time.monotonic()
        self._is_shown = True
        size = os.fstat(self._file.fileno()).st_size  # 0 if it is not known, as of a pipe
        share = f" of {size / 1e6:.1f}" if size else ""
        print(f"\r{self._bytes / 1e6:.1f}{share} MB", end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._is_shown:
            self._is_shown = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _reworded(found: Event | DecodeError) -> Event | DecodeError:
    """Return what was found; advice for a program becomes advice for the command line."""
    if isinstance(found, DecodeError) and found.message == _DOUBLED:
        return found._changed(
            message="expected one event a line, got two or more events on one line:"
            " jq -c . FILE writes each on a line of its own"
        )
    return found


def _whole(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join the pieces of lines, and yield whole lines."""
    line: list[bytes] = []
    for piece in pieces:
        line.append(piece)
        if piece.endswith(b"\n"):
            yield b"".join(line)
            line.clear()
    if line:
        yield b"".join(line)
