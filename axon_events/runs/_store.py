# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What the core asks of a store, and what it tells by the cursors of entries.

A run is a chain of entries. Each has a cursor, and names the cursor of the entry before it. So
whoever reads knows whether something is missing in between, and whoever writes says after which
entry his own are to come.
"""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from .._catalog import Event, StepToken
from .._checked import U64_MAX
from ..replay import (
    _CURSOR,
    CursorAhead,
    CursorExpired,
    CursorUnknown,
    RunUnknown,
    _shown,
)

__all__ = ["Append", "End", "Entry", "Page", "State", "Store", "Watch"]

Cursor = tuple[int, int]
"""The two numbers T and K of the id `T.K`; K is 0 in the id `T`. Cursors only rise in a run."""

# Stands before the first entry; no entry has it.
BEGINNING: Final[Cursor] = (0, 0)

# The texts of entries that are no events, whose texts begin with a brace.
TAKEN_OVER: Final = "taken over"  # by another writer; followers skip it
CLOSED: Final = "closed"  # nothing follows, but a TAKEN_OVER
DELETED: Final = "deleted"  # the only entry that is left of a run that was deleted


class Entry(NamedTuple):
    """One entry of a run."""

    cursor: Cursor
    before: Cursor  # of the entry before it, whether that is still kept or not; or BEGINNING
    text: str  # an event's JSON, or one of the three texts above
    writer: str = ""  # the token of who appended it; "" is allowed where it is not the newest


class End(NamedTuple):
    """Where a run ends: the newest entry's cursor, and the token of who appended that."""

    cursor: Cursor
    writer: str  # "" for one that `close_if_dead` or `delete` wrote


# Where a run ends that the store does not have.
NOWHERE: Final = End(BEGINNING, "")


class Append(NamedTuple):
    """What is to be appended to a run."""

    run: str
    after: End  # where the run must end now; NOWHERE if there must be no such run
    entries: Sequence[Entry]  # none: only a heartbeat; all of one writer, whose token they have
    keep: int | None  # how many of the newest entries to keep then, from 1; None for all


class Page(NamedTuple):
    """A piece of a run, as one read has seen it."""

    entries: Sequence[Entry]  # in order
    oldest: Cursor  # of the oldest entry that is kept
    end: End


class State(NamedTuple):
    """How a run stands."""

    end: End  # NOWHERE if there is no such run
    age: float  # seconds since the last append or heartbeat of its writer, by the store's clock
    lease: float  # after how many seconds that writer counts as dead: what he himself was given


OnEntries = Callable[[str, Sequence[Entry]], None]
"""Takes the name of a run, and entries that were appended to it, in order.

No entries: some may have been missed, or the watch of this run has only now begun. The core reads
then what the store has. Entries may come again, and with holes; the core goes by their cursors.
"""


class Watch(Protocol):
    """One subscription to what is appended to some runs, whoever appends it."""

    @abstractmethod
    def add(self, run: str) -> None:
        """Watch this run too; from any thread, at once.

        What is appended after that call is told. A store that subscribes only later calls
        `on_entries(run, ())` when it has. Again, do nothing.
        """

    @abstractmethod
    def remove(self, run: str) -> None:
        """Do not watch it any more; from any thread, at once. Does nothing if it is not watched."""

    @abstractmethod
    def wait(self, timeout: float) -> None:
        """Wait for news, so many seconds at most, and tell them; in the hub's thread alone.

        `on_entries` is called in here, and does not wait for anything. It returns after the first
        news, or sooner than that. A connection that broke, or is silent where it should not be, is
        made anew by the next call, which then calls `on_entries(run, ())` for each run. Raises
        StoreUnavailable while there is none; it is called again then after a pause.
        """

    @abstractmethod
    def close(self) -> None:
        """End it; in the hub's thread, after the last `wait`."""


class Store(Protocol):
    """What the core asks of a store.

    The methods may be called in several threads at once, and may wait. None waits for longer than
    some seconds: a store that does not answer, or refuses for a reason that passes, is
    StoreUnavailable, and the core asks again, for as long as the user's `timeout` allows. Any other
    exception is final, and gets to the user as the cause of a StoreUnavailable.

    A store is made with `ttl` and `lease`, in seconds: each append and heartbeat has the run be
    forgotten `ttl` seconds later, and keeps both with the run. It is used in one process alone: in
    a fork the core makes another one, and never touches this one again.
    """

    @abstractmethod
    def append(self, appends: Sequence[Append]) -> Sequence[End | Exception | None]:
        """Append to some runs, one after the other; in the writer's thread alone.

        Each in one atomic step: if the run ends at `after`, cursor and writer alike, append the
        entries, drop all but the `keep` newest, renew the writer's lease and the run's time to
        live, tell those who watch (not of heartbeats), and answer None. Else change nothing, and
        answer where the run ends. An answer that was lost is asked for again in the same way: the
        core sees by the token that the end is its own.

        An exception as an answer concerns that run alone; raised, it concerns all of them.
        """

    @abstractmethod
    def read(self, run: str, after: Cursor, limit: int) -> Page | None:
        """Return entries from a cursor on; None if there is no such run. In any thread.

        - `after`: the entries begin with the one that has this cursor or, if none has, with the
          first one above it. There are none only if `after` is above the last one.
        - `limit`: after the first one, and one more, they end when their texts have so many
          characters.
        """

    @abstractmethod
    def look(self, runs: Sequence[str]) -> Sequence[State]:
        """Return how each of these runs stands; in any thread.

        Raises StoreUnavailable also where only writing is impossible (a lock that another has, a
        read-only replica): silence of a writer who cannot write either says nothing.
        """

    @abstractmethod
    def close_if_dead(self, run: str, end: End) -> None:
        """Append a CLOSED entry, if the run still ends there and its writer's lease has run out.

        In one atomic step; in any thread. The entry's cursor is one K above the end's, its writer
        is "". Those who watch are told. The run's time to live begins anew.
        """

    @abstractmethod
    def delete(self, run: str) -> None:
        """Leave nothing of a run but a DELETED entry, one K above its end, with the writer "".

        In one atomic step; in any thread. Those who watch are told. The entry fences the writer,
        and stays for the run's time to live. Does nothing if there is no such run, or if it was
        deleted before.
        """

    @abstractmethod
    def infos(self) -> Iterable[tuple[str, Sequence[Entry]]]:
        """Yield the name of each run and its newest entries in order; in any thread.

        From its last event on, as far as that can be had without reading much; at least the newest
        entry.
        """

    @abstractmethod
    def watch(self, on_entries: OnEntries) -> Watch:
        """Begin to watch; called once in a process, in any thread, without waiting."""

    @abstractmethod
    def close(self) -> None:
        """Close what the store has opened; nothing else is called after that."""


# How the texts begin after which nothing follows.
_FINAL: Final = ('{"kind":"flow_complete"', '{"kind":"flow_error"', CLOSED, DELETED)


def is_event(entry: Entry) -> bool:
    return entry.text.startswith("{")


def is_final(entry: Entry) -> bool:
    return entry.text.startswith(_FINAL)


def next_cursor(cursor: Cursor, event: Event) -> Cursor:
    """Return the cursor of an event after another: the rule is that of `sse.Encoder`."""
    token, since = cursor
    if type(event) is StepToken and event.token_index > token:
        return event.token_index, 0
    return token, since + 1


def above(cursor: Cursor) -> Cursor:
    """Return the cursor of the next entry, if that is no event."""
    return cursor[0], cursor[1] + 1


def id_of(run: str, cursor: Cursor) -> str:
    """Return the id of the frame with a cursor; empty for BEGINNING."""
    token, since = cursor
    if cursor == BEGINNING:
        return ""
    return f"{run}:{token}.{since}" if since else f"{run}:{token}"


def cursor_of(run: str, id: str | None) -> Cursor:
    """Return the cursor that a client's id names; BEGINNING for none."""
    if id is None:
        return BEGINNING
    if not isinstance(id, str):
        raise TypeError(f"id must be a str or None, got {type(id).__name__}")
    if not id:
        return BEGINNING
    prefix = f"{run}:"
    match = _CURSOR.fullmatch(id, len(prefix)) if id.startswith(prefix) else None
    if match is not None:
        cursor = int(match[1]), int(match[2] or 0)
        if cursor > BEGINNING and max(cursor) <= U64_MAX:
            return cursor
    example = _shown(f"{run}:17")
    raise CursorUnknown(f"expected an id of this run, such as {example}, got {_shown(id)}")


def kind_of(text: str) -> str:
    """Return the kind of the event whose JSON a text is; the JSON begins with it."""
    return text[9 : text.index('"', 9)]


def frame_of(run: str, entry: Entry) -> bytes:
    """Return what `sse.Encoder` makes of the entry's event; nothing if it has none."""
    if not is_event(entry):
        return b""
    id, kind, text = id_of(run, entry.cursor), kind_of(entry.text), entry.text
    return f"id: {id}\nevent: {kind}\ndata: {text}\n\n".encode()


def found(run: str, page: Page | None) -> Page:
    """Return a page that was read, if there is such a run; else raise RunUnknown."""
    if page is None or (page.entries and page.entries[-1].text == DELETED):
        raise RunUnknown(f"the store has no run {_shown(run)}")
    return page


def entries_after(run: str, cursor: Cursor, page: Page) -> Sequence[Entry]:
    """Return the entries of a page that come after a cursor, from which on it was read.

    Raises CursorExpired, CursorAhead, or CursorUnknown.
    """
    id = id_of(run, cursor)
    last = f"the last one is {_shown(id_of(run, page.end.cursor))}"
    if not page.entries:
        raise CursorAhead(f"this run has not given the id {_shown(id)}: {last}")
    first = page.entries[0]
    if first.cursor == cursor:
        return page.entries[1:]
    if first.before == cursor:
        return page.entries
    if first.cursor == page.oldest and cursor < first.before:
        start = f"after the id {_shown(id)}" if id else "from the beginning"
        oldest = id_of(run, page.oldest)
        raise CursorExpired(
            f"the frames {start} are not all kept: the oldest is {_shown(oldest)}", oldest
        )
    raise CursorUnknown(f"this run has not given the id {_shown(id)}: {last}")


def seconds_until(deadline: float) -> float:
    """Return how many seconds are left, from 0, until a time of `time.monotonic`."""
    return max(deadline - time.monotonic(), 0.0)


def size_of(text: str) -> int:
    """Return how many bytes a text has."""
    return len(text) if text.isascii() else len(text.encode())
