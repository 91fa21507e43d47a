# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The protocol between the core and a store, and the rules for cursors.

A run is a chain of entries. Each entry has a cursor, and names the cursor of the entry before it.
So a reader knows whether anything is missing in between, and a writer says which entry its own
entries follow.
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
    writer: str = ""  # its writer's token; a store may give "" for all but the newest


class End(NamedTuple):
    """Where a run ends: the newest entry's cursor and its writer's token."""

    cursor: Cursor
    writer: str  # "" for an entry that `close_if_dead` or `delete` wrote


# Where a run ends that the store does not have.
NOWHERE: Final = End(BEGINNING, "")


class Append(NamedTuple):
    """One request to append to a run."""

    run: str
    after: End  # where the run must end before; NOWHERE: there must be no such run
    entries: Sequence[Entry]  # all with the token of one writer; empty for a mere heartbeat
    keep: int | None  # how many of the newest entries to keep afterwards, from 1; None for all


class Page(NamedTuple):
    """A piece of a run, as of one moment."""

    entries: Sequence[Entry]  # in order
    oldest: Cursor  # that of the oldest entry that is kept
    end: End


class State(NamedTuple):
    """The state of a run."""

    end: End  # NOWHERE if there is no such run
    age: float  # seconds since its writer's last append or heartbeat, by the store's clock
    lease: float  # the age above which its writer counts as dead, as the writer has set it


OnEntries = Callable[[str, Sequence[Entry]], None]
"""Takes the name of a run and entries that were appended to it, in order.

No entries means that some may have been missed, or that the watch of this run has only just begun;
the core then reads the store. Entries may come twice or with holes: the core goes by the cursors.
"""


class Watch(Protocol):
    """A subscription to whatever any process appends to a set of runs."""

    @abstractmethod
    def add(self, run: str) -> None:
        """Watch this run too. From any thread; returns at once.

        Whatever is appended after this call is told. A store that can subscribe only later calls
        `on_entries(run, ())` once it has. Does nothing if the run is watched already.
        """

    @abstractmethod
    def remove(self, run: str) -> None:
        """Stop watching this run. From any thread; returns at once."""

    @abstractmethod
    def wait(self, timeout: float) -> None:
        """Wait for news and pass them to `on_entries`. Called in the hub's thread alone.

        - `timeout`: for how many seconds to wait at most.

        Returns after the first news, or sooner. `on_entries` never waits. If the connection broke,
        or is silent when it should not be, the next call makes a new one and then calls
        `on_entries(run, ())` for each run. Raises StoreUnavailable while there is no connection;
        the hub calls again after a pause.
        """

    @abstractmethod
    def close(self) -> None:
        """End the watch. In the hub's thread, after the last `wait`."""


class Store(Protocol):
    """What the core asks of a store.

    The methods may be called in several threads at once, and may wait, but only for some seconds.
    A store that does not answer, or refuses for a reason that may pass, raises StoreUnavailable;
    the core asks again for as long as the user's `timeout` allows. Any other exception is final:
    the user gets it as the cause of a StoreUnavailable.

    A store is made with `ttl` and `lease`, in seconds. Each append and heartbeat stores both with
    the run, which expires `ttl` seconds later. A store is used in one process alone: after a fork
    the core makes another one in the child, and never touches this one again there.
    """

    @abstractmethod
    def append(self, appends: Sequence[Append]) -> Sequence[End | Exception | None]:
        """Append to some runs, one after the other. Called in the writer's thread alone.

        Each append is one atomic step: if the run ends at `after`, by cursor and writer, append the
        entries, drop all but the `keep` newest, renew the writer's lease and the run's time to
        live, tell the watchers (not of heartbeats), and answer None. Otherwise change nothing, and
        answer where the run ends. If an answer is lost, the core sends the same append again, and
        sees by the token that the end is its own.

        An exception as an answer concerns that run alone; raised, it concerns all of them.
        """

    @abstractmethod
    def read(self, run: str, after: Cursor, limit: int) -> Page | None:
        """Return entries from a cursor on, or None if there is no such run. In any thread.

        - `after`: the page begins with the entry of this cursor or, if there is none, with the
          first entry above it. It is empty only if `after` is above the last entry.
        - `limit`: the page ends once the texts after its first entry have this many characters; it
          has at least two entries if the run has.
        """

    @abstractmethod
    def look(self, runs: Sequence[str]) -> Sequence[State | Exception]:
        """Return the state of each of these runs. In any thread.

        An exception in place of a state concerns that run alone; raised, it concerns all of them.

        Raises StoreUnavailable also if the store can be read but not written (a lock that another
        process holds, a read-only replica): a writer that cannot write either may well be alive.
        """

    @abstractmethod
    def close_if_dead(self, run: str, end: End) -> None:
        """Append a CLOSED entry if the run still ends there and its writer's lease has run out.

        One atomic step, in any thread. The entry's cursor is one K above the end's, and its writer
        is "". The watchers are told. The run's time to live begins anew.
        """

    @abstractmethod
    def delete(self, run: str) -> None:
        """Replace a run by one DELETED entry, one K above its end, with the writer "".

        One atomic step, in any thread. The watchers are told. The entry fences the writer, and
        stays for the run's time to live. Does nothing if there is no such run, or if it was deleted
        before.
        """

    @abstractmethod
    def infos(self) -> Iterable[tuple[str, Sequence[Entry]]]:
        """Yield the name of each run and its newest entries, in order. In any thread.

        The entries begin with the run's last event if that is found without reading much; they are
        at least the newest entry.
        """

    @abstractmethod
    def watch(self, on_entries: OnEntries) -> Watch:
        """Begin to watch. Called once in a process, in any thread; does not wait."""

    @abstractmethod
    def close(self) -> None:
        """Close what the store has opened. No other method is called afterwards."""


# The beginnings of the texts after which a run has ended.
_FINAL: Final = ('{"kind":"flow_complete"', '{"kind":"flow_error"', CLOSED, DELETED)


def is_event(entry: Entry) -> bool:
    return entry.text.startswith("{")


def is_final(entry: Entry) -> bool:
    return entry.text.startswith(_FINAL)


def next_cursor(cursor: Cursor, event: Event) -> Cursor:
    """Return the cursor of the event after a cursor, by the rule of `sse.Encoder`."""
    token, since = cursor
    if type(event) is StepToken and event.token_index > token:
        return event.token_index, 0
    return token, since + 1


def above(cursor: Cursor) -> Cursor:
    """Return the cursor of an entry after a cursor that is not an event."""
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
    """Return the kind of an event from its JSON, which begins with it."""
    return text[9 : text.index('"', 9)]


def frame_of(run: str, entry: Entry) -> bytes:
    """Return the frame that `sse.Encoder` makes of an entry's event; empty if it is no event."""
    if not is_event(entry):
        return b""
    id, kind, text = id_of(run, entry.cursor), kind_of(entry.text), entry.text
    return f"id: {id}\nevent: {kind}\ndata: {text}\n\n".encode()


def found(run: str, page: Page | None) -> Page:
    """Return a page that was read; raise RunUnknown if there is no such run."""
    if page is None or (page.entries and page.entries[-1].text == DELETED):
        raise RunUnknown(f"the store has no run {_shown(run)}")
    return page


def entries_after(run: str, cursor: Cursor, page: Page) -> Sequence[Entry]:
    """Return the entries that come after a cursor, of the page that was read from it on.

    Raises CursorExpired, CursorAhead or CursorUnknown.
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
