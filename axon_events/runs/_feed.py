# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A run that is followed in this process: its newest frames, and its followers.

A follower takes frames from the feed, or reads them from the store if the feed does not have them.
The id of the last entry that it was given decides: either the feed knows what follows it, or the
store is asked. A follower waits only if the store had nothing more, and the feed has not changed
since before the store was asked; the store has been watched since before that. So nothing is missed
in between, and nothing comes twice.
"""

import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from .._wait import LoopWaiter, ThreadWaiter
from ..replay import (
    CursorAhead,
    CursorExpired,
    CursorUnknown,
    ReplayLog,
    RunLost,
    RunUnknown,
    StoreUnavailable,
    _Follower,
    _LoopFollower,
    _Newest,
    _Oldest,
    _shown,
    _ThreadFollower,
)
from ._store import (
    BEGINNING,
    CLOSED,
    DELETED,
    NOWHERE,
    Cursor,
    Entry,
    Page,
    cursor_of,
    entries_after,
    found,
    frame_of,
    id_of,
    is_final,
)

if TYPE_CHECKING:
    from ._process import Process

__all__ = ["Feed", "RunLoopFollower", "RunThreadFollower"]

PAGE_BYTES: Final = 64 * 2**10  # of a read of the store, or of what a follower gives at once
_WINDOW_BYTES: Final = 256 * 2**10  # of the frames of a feed


class Feed(ReplayLog):
    """The newest frames of a run that is followed here; the older ones are in the store.

    It keeps frames as a `ReplayLog` does, and its followers wait as they do there. Entries that are
    no events have empty frames. `_newest` is replaced whenever the followers must look again.

    - `last`: the cursor of the run's last entry, as far as is known here; None if nothing is known.
    - `failure`: why the feed has stopped; None if it has not.
    """

    def __init__(self, process: "Process", run: str) -> None:
        super().__init__(stream_id=run, max_bytes=_WINDOW_BYTES)
        self.process = process
        self.run = run
        self.last: Cursor | None = None
        self.failure: RunLost | None = None
        self._anchor = "", b""  # the id and the frame of the entry before its first one
        self._number_after_id.clear()
        self._followers: dict[weakref.ref[RunFollower], None] = {}
        # Since when the store has not answered for this run; and why, once that is too long.
        self.trouble_since: float | None = None
        self.trouble: StoreUnavailable | None = None
        # For the sweep.
        self.is_active = False  # since the last one
        self.lost_since: float | None = None
        self.looks = 0
        self.looked_at = NOWHERE
        # For `Process._catch_up`.
        self.is_catching_up = False
        self.is_behind = False

    def join(self, follower: "RunFollower") -> None:
        followers = self._followers
        reference = weakref.ref(follower, lambda reference: followers.pop(reference, None))
        followers[reference] = None

    def followers(self) -> "list[RunFollower]":
        followers = (reference() for reference in list(self._followers))
        return [each for each in followers if each is not None and not each._is_closed]

    def anchor(self, entry: Entry, newest: object) -> None:
        """Begin after the run's last entry, if nothing is known yet.

        - `entry`: that entry, as it was read.
        - `newest`: what `_newest` was before the read. If it has been replaced since, entries may
          have come in between that nobody will tell again.
        """
        with self._lock:
            if entry.text == DELETED:
                self.fail(f"the run {_shown(self.run)} was deleted")
            elif self.last is None and self._newest is newest:
                self._begin_after(entry.cursor, entry.text if is_final(entry) else None)
                self._anchor = id_of(self.run, entry.cursor), frame_of(self.run, entry)

    def begin_again(self, cursor: Cursor) -> None:
        """Begin after the last entry that the store has evicted, at its cursor."""
        with self._lock:
            if self.last is None or self.last < cursor:  # else the hub has passed on more meanwhile
                self._begin_after(cursor, None)

    def take(self, entries: Sequence[Entry]) -> bool:
        """Take entries that were appended; return whether any are missing before them."""
        with self._lock:
            for entry in entries if self.failure is None else ():
                self.is_active = True
                if entry.text == DELETED:
                    self.anchor(entry, None)
                    return False
                last = self.last
                if last is None:
                    last = entry.before
                    self._begin_after(last, None)
                if entry.before == last:
                    self.last = entry.cursor
                    end = entry.text if is_final(entry) else None
                    self._keep(id_of(self.run, entry.cursor), frame_of(self.run, entry), end)
                elif entry.before > last:
                    return True
                elif not self._had(entry):
                    self.lose()
                    return False
        return False

    def _had(self, entry: Entry) -> bool:
        """Return whether an entry is the same as the one kept here, or older than all kept here."""
        id = id_of(self.run, entry.cursor)
        if id == self._anchor[0]:
            known: tuple[str, bytes] | None = self._anchor
        elif entry.cursor <= cursor_of(self.run, self._oldest.evicted):
            return True
        else:
            number = self._number_after_id.get(id_of(self.run, entry.before))
            known = None if number is None else self._frames.get(number)
        return known == (id, frame_of(self.run, entry))

    def lose(self) -> None:
        self.fail(f"the store has lost events of the run {_shown(self.run)} that were given here")

    def fail(self, message: str) -> None:
        self.process.drop(self)  # first, so that who is told does not find it again
        with self._lock:
            self.failure = RunLost(message)
        self.change()

    def note_missing(self) -> None:
        """Note that the store does not have what was given here, so that the sweep asks again."""
        self.lost_since = self.lost_since or time.monotonic()

    def note_restored(self) -> None:
        """Note that the store has again all that was given here, as far as is known."""
        if self.lost_since is not None:
            self.lost_since = None
            self.change()

    def change(self) -> None:
        """Have all followers look again."""
        with self._lock:
            self._newest = self._newest._replace()
        self._waiters.wake()

    def _begin_after(self, cursor: Cursor, end: str | None) -> None:
        id = id_of(self.run, cursor)
        newest = self._newest
        self.last = cursor
        # Numbers are not used again, so that a number from before finds nothing.
        self._frames = {}
        self._number_after_id = {id: newest.total}
        self._oldest = _Oldest(newest.total, newest.bytes, "", id)
        self._newest = newest._replace(id=id, end=end)
        self._waiters.wake()

    def highest(self) -> Cursor:
        """Return the highest cursor that any follower here was given."""
        cursors = [each.cursor for each in self.followers() if each.has_found]
        return max((*cursors, self.last or BEGINNING))


class RunFollower(_Follower):
    """Where a follower stands in its run: it reads from the store what the feed does not have.

    `_id` is the id of the last entry that it was given, even if that was no event.
    """

    def __init__(self, feed: Feed, id: str | None, keep_alive: float | None) -> None:
        super().__init__(feed, id, keep_alive)
        self._feed = feed
        self._id = id or ""
        self.has_found = False  # its first frame
        self._held = b""  # frames that were read but not given yet
        self._is_ended = False  # the last entry that it was given was final
        self._job: Future[Page | None] | None = None  # a read of the store
        self._read_at: object = None  # the feed's `_newest` when that read began
        self._nothing_in: object = None  # the feed's `_newest` when the store had nothing more
        self._refusal: CursorUnknown | None = None  # why it has not begun yet
        feed.join(self)

    @property
    def has_all(self) -> bool:
        """Whether the run has ended, and has no frame that this follower has not given."""
        newest = self._feed._newest
        return not self._held and (
            self._is_ended or (newest.end is not None and newest.id == self._id)
        )

    @property
    def cursor(self) -> Cursor:
        return cursor_of(self._feed.run, self._id)

    def _to_begin(self, newest: _Newest, deadline: float) -> float | None:
        """Find its first frame; else return for how many seconds to wait before the next try."""
        feed = self._feed
        if self._job is None:
            # A closed run may have been resumed, which this feed may not have heard of yet.
            if self._id in feed._number_after_id and newest.end != CLOSED:
                self.has_found = True
                self._held = self._piece()
                return None
            has_failed = feed.failure is not None
            if self._refusal is not None and (has_failed or self._nothing_in is newest):
                left = deadline - time.monotonic()
                if has_failed or newest.end is not None or left <= 0 or self._is_over():
                    refusal, self._refusal = self._refusal, None  # its traceback refers to self
                    raise refusal
                return left
        try:
            if not self._has_read(newest):
                return threading.TIMEOUT_MAX
        except (RunUnknown, CursorAhead) as refusal:
            # Its traceback refers to self; the feed would stay until the next garbage collection.
            self._refusal = refusal.with_traceback(None)
            self._nothing_in = self._read_at
            return self._to_begin(newest, deadline)
        self.has_found = True
        return None

    def _next(self) -> bytes | _Newest:
        """Return the next frames; none at the end; if they have yet to come, what to wait with."""
        feed = self._feed
        feed.process.require_here()
        self._require_alone()
        while True:
            newest = feed._newest
            if self._is_over():
                return b""
            if self._held:
                held, self._held = self._held, b""
                return held
            if self._is_ended:
                return b""
            if self._job is None:
                if piece := self._piece():
                    return piece
                if self._is_ended:
                    return b""
                if feed.failure is not None:
                    raise feed.failure.with_traceback(None)
                if feed.trouble is not None:
                    raise feed.trouble.with_traceback(None)
                if self._id == newest.id or self._nothing_in is newest:
                    return newest
            try:
                if not self._has_read(newest):
                    return newest
            except (RunUnknown, CursorAhead):  # the sweep finds out for how long
                self._nothing_in = self._read_at
                feed.note_missing()
            except CursorUnknown:
                feed.lose()
            except RuntimeError:
                if not feed.process.has_ended:
                    raise
                self.close()  # the runs were closed, and so are all followers

    def _piece(self) -> bytes:
        """Return the next frames from the feed; empty if it does not have the next one."""
        feed = self._feed
        number = feed._number_after_id.get(self._id)
        piece = b""
        while number is not None and number < feed._newest.total and not piece:
            try:
                piece, number, self._id = feed._read(number, self._id, PAGE_BYTES)
            except CursorExpired:  # the store may have it
                return b""
        newest = feed._newest
        self._is_ended = newest.end is not None and newest.id == self._id
        return piece

    def _has_read(self, newest: _Newest) -> bool:
        """Read what the store has after `_id`; return False if the read has not ended yet."""
        process, run = self._feed.process, self._feed.run
        if self._job is None:
            self._read_at = newest
            job = process.submit(process.read, self._feed, self.cursor)
            job.add_done_callback(self._wake)
            self._job = job  # only now, so that an interrupt leaves none that wakes nobody
        if not self._job.done():
            return False
        job, self._job = self._job, None
        page = job.result()
        if page is not None and page.entries and page.entries[-1].text == DELETED:
            self._feed.anchor(page.entries[-1], None)
        page = found(run, page)
        entries = entries_after(run, self.cursor, page)
        last = page.entries[-1]
        held = b"".join(frame_of(run, entry) for entry in entries)
        id, is_ended = id_of(run, last.cursor), is_final(last)
        # One step: an interrupt comes before it or after it.
        self._held, self._id, self._is_ended = held, id, is_ended
        if last.cursor == page.end.cursor:
            self._nothing_in = self._read_at
            self._feed.anchor(last, self._read_at)
        return True

    def _wake(self, job: "Future[Page | None]") -> None:
        if (waiter := self._waiter) is not None:
            waiter.wake()

    def _enter(self, waiter: ThreadWaiter | LoopWaiter, newest: _Newest) -> bool:
        is_quiet = super()._enter(waiter, newest)
        return is_quiet and (self._job is None or not self._job.done())


class RunThreadFollower(RunFollower, _ThreadFollower):
    """What `Run.follow` returns."""

    def _begin(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        while (pause := self._to_begin(newest := self._feed._newest, deadline)) is not None:
            self._woken(newest, pause)


class RunLoopFollower(RunFollower, _LoopFollower):
    """What `Run.afollow` returns."""

    async def _begin(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        try:
            while (pause := self._to_begin(newest := self._feed._newest, deadline)) is not None:
                self._stop_timer()  # it may be set for later than the end of this pause
                await self._woken(newest, pause)
        finally:
            self._stop_timer()
