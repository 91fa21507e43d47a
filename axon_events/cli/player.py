# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Plays a recorded run, once or in rounds: each event comes at its recorded time."""

import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

from .. import Event
from ..replay import CursorExpired, CursorUnknown, ReplayLog
from ..sse import Encoder

__all__ = ["Player"]

# After a round, an EventSource waits so many milliseconds before it connects again, so that people
# can look at the result.
_ROUND_RETRY = Encoder().retry(2000)


class Player:
    """Plays a recorded run to any number of clients, once or in rounds.

    - `events`: the run, one event or more; a terminator only at the end.
    - `speed`: how many times as fast as recorded, above 0; or 0 for all at once.
    - `is_loop`: whether another round follows each.
    - `max_gap`: how many seconds of the recording may pass between two events, from 0;
      longer waits are shortened to that. None for no limit.

    A round begins with the first client that asks for it, and has one clock for all clients. In a
    loop each round is a run of its own, with its own stream id. The last two rounds are kept, so
    that a client that was cut off in the middle of one can see its end.

    `seconds` is how long a round takes. Where the clock of the recording was set back, the next
    event follows at once.
    """

    def __init__(
        self,
        events: Sequence[Event],
        *,
        speed: float = 1.0,
        is_loop: bool = False,
        max_gap: float | None = None,
    ) -> None:
        self._events = events
        times = [event.timestamp_ms for event in events]
        longest = math.inf if max_gap is None else max_gap * 1000
        gaps = (min(max(time - before, 0), longest) for before, time in pairwise(times))
        # When each event is due, in seconds since the start of the round.
        self._due = [ms / 1000 / speed if speed else 0.0 for ms in accumulate(gaps, initial=0)]
        self.seconds = self._due[-1]
        self._is_loop = is_loop
        self._name = secrets.token_hex(4)  # of all rounds; a server started again has another
        self._stop = threading.Event()
        self._lock = threading.Lock()  # for the next round
        self._rounds: tuple[_Round, ...] = (self._round(1),)  # the last two, or the only one

    def _round(self, number: int) -> "_Round":
        stream_id = f"{self._name}-{number}" if self._is_loop else None
        return _Round(number, ReplayLog(stream_id=stream_id), self._play)

    def _play(self, log: ReplayLog) -> None:
        start = time.monotonic()
        try:
            for event, due in zip(self._events, self._due, strict=True):
                wait = max(start + due - time.monotonic(), 0.0)
                if self._stop.wait(min(wait, threading.TIMEOUT_MAX)):
                    return
                log.append(event)
        finally:
            log.close()

    def follow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0, wait: float = 0.0
    ) -> "_Frames":
        """Return an iterator over the frames after an id, as they come, up to its round's end.

        - `id`: what the client sent as `Last-Event-ID`; None or empty for the whole of the current
          round.
        - `keep_alive`, `wait`: as of `ReplayLog.follow`.

        A client that has seen the end gets nothing, and `has_all` is true; in a loop it gets the
        next round. A round begins only when the first item is asked for. Raises CursorExpired for
        an id of a round that is no longer kept, CursorUnknown for one that was never given.
        """
        id = id or ""
        name, _, cursor = id.rpartition(":")
        match = re.fullmatch(f"{self._name}-([1-9][0-9]{{0,15}})", name)
        number = int(match[1]) if match else math.inf
        rounds = self._rounds
        oldest, current = rounds[0], rounds[-1]
        if number < oldest.number:
            # All rounds have the same cursors, and the oldest that is kept has been played.
            first = f"{self._name}-{oldest.number}"
            try:
                missed = oldest.log.after(f"{first}:{cursor}")
            except CursorUnknown:
                raise CursorUnknown(f"round {number} has not given the id {id!r:.60}") from None
            if not missed:
                return _Frames(self._next_round(None, keep_alive))
            raise CursorExpired(
                f"round {number}, which has the id {id!r:.60}, is no longer kept: the oldest is"
                f" round {oldest.number}",
                f"{first}:0.1",
            )
        # The current round takes the empty id, and refuses an id that is not its own.
        round = oldest if number == oldest.number else current
        frames = round.log.follow(id, keep_alive=keep_alive, wait=wait)
        if not frames.has_all:
            return _Frames(self._played(round, frames))
        if self._is_loop:
            return _Frames(self._next_round(round, keep_alive))
        return _Frames(iter(()), has_all=True)

    def _played(self, round: "_Round", frames: Iterator[bytes]) -> Iterator[bytes]:
        round.begin()
        yield from frames
        if self._is_loop:
            yield _ROUND_RETRY

    def _next_round(self, seen: "_Round | None", keep_alive: float | None) -> Iterator[bytes]:
        """Yield the frames of the round after one, which has been seen to its end."""
        with self._lock:
            current = self._rounds[-1]
            if seen is current:
                current = self._round(current.number + 1)
                self._rounds = self._rounds[-1], current
        yield from self._played(current, current.log.follow(keep_alive=keep_alive))

    def close(self) -> None:
        """Stop playing: each iterator ends where it is."""
        self._stop.set()
        self._rounds[-1].join()


class _Round:
    """The run played once.

    - `number`: from 1; `log`: what it is played into.
    - `play`: plays it into a log, and closes the log.
    """

    def __init__(self, number: int, log: ReplayLog, play: Callable[[ReplayLog], None]) -> None:
        self.number = number
        self.log = log
        self._thread = threading.Thread(target=play, args=(log,), daemon=True)
        self._lock = threading.Lock()  # since a thread can be started once only

    def begin(self) -> None:
        """Start to play it, if it has not begun yet."""
        with self._lock:
            if self._thread.ident is None:
                self._thread.start()

    def join(self) -> None:
        """Wait for its end, if it has begun."""
        with self._lock:
            has_begun = self._thread.ident is not None
        if has_begun:
            self._thread.join()


class _Frames(Iterator[bytes]):
    """What `follow` returns; `has_all` says that the run has ended and nothing comes."""

    def __init__(self, frames: Iterator[bytes], *, has_all: bool = False) -> None:
        self._frames = frames
        self.has_all = has_all

    def __next__(self) -> bytes:
        return next(self._frames)

    def close(self) -> None:
        """End it."""
        self._frames = iter(())
