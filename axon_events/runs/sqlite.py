# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Runs in a SQLite file: for all processes of one machine, without a server.

runs = SqliteRuns("runs.db")
with runs.create("run-7") as log:
    with FlowEmitter(log.append, flow_name="Report", backend="anthropic") as flow: ...

frames = await runs.run("run-7").afollow(last_event_id)         # in any process

Not for a network file system, where SQLite's locks and shared memory do not work.
"""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from ..replay import StoreUnavailable
from ._core import Runs
from ._fork import Calls
from ._store import (
    CLOSED,
    DELETED,
    NOWHERE,
    Append,
    Cursor,
    End,
    Entry,
    OnEntries,
    Page,
    State,
    above,
    is_event,
)

__all__ = ["SqliteRuns"]

_POLL_SECONDS: Final = 0.005
_SOON_SECONDS: Final = 0.002  # after news
_BUSY_SECONDS: Final = 1.0  # how long a call waits for a lock that another process holds
_PURGE_SECONDS: Final = 60.0  # between two searches for expired runs
_FETCHED: Final = 1000  # rows at once
_WAL_BYTES: Final = 4 * 2**20  # to which a checkpoint truncates the WAL file
_VERSION: Final = 1

# A cursor is stored as 16 bytes, two big-endian numbers of 64 bits: these sort as cursors do, and
# SQLite's own integers are too small. `seq` only rises, in the order of the commits.
_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    cursor BLOB NOT NULL,
    writer TEXT NOT NULL,
    entries INTEGER NOT NULL,
    ttl REAL NOT NULL,
    lease REAL NOT NULL,
    beat REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL,
    cursor BLOB NOT NULL,
    before BLOB NOT NULL,
    text TEXT NOT NULL,
    writer TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS entry_cursor ON entry (run, cursor);
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class SqliteRuns(Runs):
    """Runs in a SQLite file that all processes of one machine share.

    - `path`: the file, made if it is not there, in a folder that is; SQLite keeps two more beside
      it.
    - `ttl`: for how many seconds, above 0, a run is kept after the last sign of its writer.
    - `lease`: for how many seconds, above 0, a writer may give no sign before its run is closed; at
      most half of `ttl`. A writer gives one every third of that time, and at least every two
      seconds.
    - `max_events`, `max_bytes`: how many entries of a run to keep, and how many bytes of their
      JSON, from 1; None for all. The newest always stays. They apply to the writers made here.
    - `timeout`: for how many seconds, above 0, `create`, `resume`, a read, `flush` and `close` wait
      for the file at most.
    - `max_pending_bytes`: how many bytes of events, from 1, may wait to be written, of all runs
      together.
    - `durable`: whether each commit waits for the disk. If not, what is stored survives the end of
      the process, but a power failure may cost the newest events; the file stays sound.

    While anything is followed here, the file is asked whether it has changed: every 5 ms, and 2 ms
    after it had. Nothing is opened and no thread started before the first use. After a fork, each
    process goes on with connections and threads of its own; a writer or follower works only in the
    process that made it.

    Raises TypeError or ValueError for any other value.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        ttl: float = 3600.0,
        lease: float = 15.0,
        max_events: int | None = None,
        max_bytes: int | None = None,
        timeout: float = 10.0,
        max_pending_bytes: int = 16 * 2**20,
        durable: bool = False,
    ) -> None:
        name = os.fspath(path)
        if not isinstance(name, str):
            raise TypeError(f"path must be a str or a path of str, got {type(path).__name__}")
        if name in ("", ":memory:"):
            raise ValueError(
                f"path must be that of a file, got {name!r}: a ReplayLog keeps a run in memory"
            )
        # Resolved now: the working directory may change before the first use.
        name = os.path.abspath(name)
        super().__init__(
            lambda: _Store(name, self._settings.ttl, self._settings.lease, durable),
            ttl=ttl,
            lease=lease,
            max_events=max_events,
            max_bytes=max_bytes,
            timeout=timeout,
            max_pending_bytes=max_pending_bytes,
        )


class _Run(NamedTuple):
    """A row of the table of runs."""

    id: int
    cursor: bytes
    writer: str
    entries: int
    ttl: float
    lease: float
    beat: float

    @property
    def end(self) -> End:
        return End(_cursor(self.cursor), self.writer)

    @property
    def age(self) -> float:
        # If the clock was set back, the last sign lies in the future. That counts as much as one in
        # the past: a living writer soon gives another, by the new clock.
        return abs(time.time() - self.beat)


class _Store:
    """The file; see `Store`. A connection is made when none is free; one call uses it at a time.

    A call waits for a lock for at most a second.
    """

    def __init__(self, path: str, ttl: float, lease: float, durable: bool) -> None:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):  # a mistake, which does not pass by waiting
            raise StoreUnavailable(
                f"the file {path!r} cannot be made: there is no folder {folder!r}"
            )
        self.path = path
        self._ttl = ttl
        self._lease = lease
        self._synchronous = "FULL" if durable else "NORMAL"
        self._lock = threading.Lock()
        self._free: list[sqlite3.Connection] = []
        self._watches: list[_Watch] = []
        self._purge_at = 0.0
        with _calls:
            _stores.add(self)

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            is_new = _is_new(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            if is_new:
                connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection."""
        with _calls, _translated(self.path):
            with self._lock:
                connection = self._free.pop() if self._free else None
            if connection is None:
                connection = self.connect()
            try:
                yield connection
            except BaseException:
                connection.close()  # it may be in a transaction, or broken
                raise
            with self._lock:
                self._free.append(connection)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection with the lock for writing, and commit what is written."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            self._purge(connection)
            yield connection
            connection.execute("COMMIT")

    def _purge(self, connection: sqlite3.Connection) -> None:
        """Remove the runs that have expired."""
        now = time.monotonic()
        if now < self._purge_at:
            return
        self._purge_at = now + _PURGE_SECONDS
        over = connection.execute(
            "SELECT id FROM run WHERE beat + ttl < ?", (time.time(),)
        ).fetchall()
        connection.executemany("DELETE FROM entry WHERE run = ?", over)
        connection.executemany("DELETE FROM run WHERE id = ?", over)

    def append(self, appends: Sequence[Append]) -> Sequence[End | None]:
        with self._writing() as connection:
            return [self._append(connection, append) for append in appends]

    def _append(self, connection: sqlite3.Connection, append: Append) -> End | None:
        run = _run(connection, append.run)
        end = NOWHERE if run is None else run.end
        if end != append.after:
            return end
        now = time.time()
        if run is None:
            id = self._insert_run(connection, append.run)
            entries = 0
        else:
            id, entries = run.id, run.entries
        if append.entries:
            _insert(connection, id, append.entries)
            end = End(append.entries[-1].cursor, append.entries[-1].writer)
            entries += len(append.entries)
            if append.keep is not None and entries > append.keep:
                connection.execute(
                    "DELETE FROM entry WHERE seq IN"
                    " (SELECT seq FROM entry WHERE run = ? ORDER BY cursor LIMIT ?)",
                    (id, entries - append.keep),
                )
                entries = append.keep
        connection.execute(
            "UPDATE run SET cursor = ?, writer = ?, entries = ?, ttl = ?, lease = ?, beat = ?"
            " WHERE id = ?",
            (_key(end.cursor), end.writer, entries, self._ttl, self._lease, now, id),
        )
        return None

    def _insert_run(self, connection: sqlite3.Connection, name: str) -> int:
        # A run of that name that is still here has expired, or it would have been found.
        connection.execute(
            "DELETE FROM entry WHERE run IN (SELECT id FROM run WHERE name = ?)", (name,)
        )
        connection.execute("DELETE FROM run WHERE name = ?", (name,))
        cursor = connection.execute(
            "INSERT INTO run (name, cursor, writer, entries, ttl, lease, beat)"
            " VALUES (?, x'', '', 0, 0, 0, 0)",
            (name,),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def read(self, run: str, after: Cursor, limit: int) -> Page | None:
        with self._connection() as connection:
            connection.execute("BEGIN")
            page = self._read(connection, run, after, limit)
            connection.execute("COMMIT")
            return page

    def _read(
        self, connection: sqlite3.Connection, name: str, after: Cursor, limit: int
    ) -> Page | None:
        run = _run(connection, name)
        if run is None:
            return None
        (oldest,) = connection.execute(
            "SELECT min(cursor) FROM entry WHERE run = ?", (run.id,)
        ).fetchone()
        rows = connection.execute(
            "SELECT cursor, before, text, writer FROM entry WHERE run = ? AND cursor >= ?"
            " ORDER BY cursor",
            (run.id, _key(after)),
        )
        entries: list[Entry] = []
        size = 0
        for row in rows:
            entry = _entry(*row)
            entries.append(entry)
            if len(entries) > 1:
                size += len(entry.text)
                if size >= limit:
                    break
        return Page(entries, _cursor(oldest), run.end)

    def look(self, runs: Sequence[str]) -> Sequence[State]:
        states: list[State] = []
        with self._writing() as connection:
            for name in runs:
                run = _run(connection, name)
                states.append(
                    State(NOWHERE, 0.0, self._lease)
                    if run is None
                    else State(run.end, run.age, run.lease)
                )
            if any(state.age > state.lease for state in states):
                # A lock is not all that a writer needs: it may have been without room on the disk.
                connection.execute(f"PRAGMA user_version = {_VERSION}")
        return states

    def close_if_dead(self, run: str, end: End) -> None:
        with self._writing() as connection:
            found = _run(connection, run)
            if found is not None and found.end == end and found.age > found.lease:
                self._end(connection, found, CLOSED, found.entries + 1)

    def delete(self, run: str) -> None:
        with self._writing() as connection:
            found = _run(connection, run)
            if found is None:
                return
            ((text,),) = connection.execute(
                "SELECT text FROM entry WHERE run = ? AND cursor = ?", (found.id, found.cursor)
            )
            if text != DELETED:
                connection.execute("DELETE FROM entry WHERE run = ?", (found.id,))
                self._end(connection, found, DELETED, 1)

    def _end(self, connection: sqlite3.Connection, run: _Run, text: str, entries: int) -> None:
        """Append an entry without a writer."""
        cursor = _cursor(run.cursor)
        entry = Entry(above(cursor), cursor, text)
        _insert(connection, run.id, [entry])
        connection.execute(
            "UPDATE run SET cursor = ?, writer = '', entries = ?, beat = ? WHERE id = ?",
            (_key(entry.cursor), entries, time.time(), run.id),
        )

    def infos(self) -> Iterator[tuple[str, Sequence[Entry]]]:
        with self._connection() as connection:
            connection.execute("BEGIN")
            runs = connection.execute(
                "SELECT name, id FROM run WHERE beat + ttl >= ?", (time.time(),)
            ).fetchall()
            for name, id in runs:
                entries: list[Entry] = []
                for row in connection.execute(
                    "SELECT cursor, before, text, writer FROM entry WHERE run = ?"
                    " ORDER BY cursor DESC",
                    (id,),
                ):
                    entries.insert(0, _entry(*row))
                    if is_event(entries[0]):
                        break
                yield name, entries
            connection.execute("COMMIT")

    def watch(self, on_entries: OnEntries) -> "_Watch":
        watch = _Watch(self, on_entries)
        self._watches.append(watch)
        return watch

    def close(self) -> None:
        with _calls:
            self.disconnect()

    def disconnect(self) -> None:
        """Close all connections; the next call makes another one."""
        with self._lock:
            for connection in self._free:
                connection.close()
            self._free.clear()
            for watch in self._watches:
                watch.disconnect()


class _Watch:
    """Asks the file whether it has changed, which costs one look at its shared memory."""

    def __init__(self, store: _Store, on_entries: OnEntries) -> None:
        self._store = store
        self._on_entries = on_entries
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._seq = 0  # of the last row that was fetched
        self._runs: set[str] = set()
        self._is_resting = True  # no run has been watched since the last look
        self._look_at = 0.0  # when to look next

    def add(self, run: str) -> None:
        self._runs.add(run)

    def remove(self, run: str) -> None:
        self._runs.discard(run)
        if not self._runs:
            self._is_resting = True

    def wait(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            if (pause := min(self._look_at, end) - now) > 0:
                time.sleep(pause)
                now += pause
            has_news = self._has_looked()
            self._look_at = now + (_SOON_SECONDS if has_news else _POLL_SECONDS)
            if has_news or now >= end:
                return

    def _has_looked(self) -> bool:
        """Look at the file, and return whether it has changed."""
        with _calls, _translated(self._store.path):
            if self._connection is None:
                self._connection = self._store.connect()
            if not self._is_resting:
                return self._has_told(self._connection)
            self._is_resting = False
            self._begin(self._connection)
            return True

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Go on from now, and have the core read what came meanwhile."""
        (seq,) = connection.execute("SELECT max(seq) FROM entry").fetchone()
        self._seq = seq or 0
        for run in list(self._runs):
            self._on_entries(run, ())

    def _has_told(self, connection: sqlite3.Connection) -> bool:
        """Tell what is new; return whether the file has changed."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return False
        # Noted before the rows are read: a commit in between changes it again.
        self._version = version
        while True:
            rows = connection.execute(
                "SELECT seq, name, entry.cursor, before, text, entry.writer"
                " FROM entry JOIN run ON run.id = entry.run WHERE seq > ? ORDER BY seq LIMIT ?",
                (self._seq, _FETCHED),
            ).fetchall()
            news: dict[str, list[Entry]] = {}
            for _, name, *row in rows:
                if name in self._runs:
                    news.setdefault(name, []).append(_entry(*row))
            for name, entries in news.items():
                self._on_entries(name, entries)
            if rows:
                self._seq = rows[-1][0]
            if len(rows) < _FETCHED:
                return True

    def close(self) -> None:
        with _calls:
            self.disconnect()

    def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._version = -1  # the number is the connection's own


# SQLite keeps notes of its locks on files; a child would inherit the notes, but not the locks. So a
# fork happens while no connection is open: otherwise what the child opens would wait for ever, or
# damage the file.
_stores: Final[weakref.WeakSet[_Store]] = weakref.WeakSet()


def _disconnect() -> None:
    for store in _stores:
        store.disconnect()


_calls: Final = Calls(None, _disconnect)


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Raise StoreUnavailable for what may pass: a lock, a full disk, a file that does not open.

    The texts of all errors name the file.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"the file {path!r} does not answer: {error}") from error
    except sqlite3.Error as error:
        raise type(error)(f"{path!r}: {error}") from error


@contextmanager
def _there(path: str | os.PathLike[str]) -> Iterator[sqlite3.Connection]:
    """Lend a connection to a file that is there; StoreUnavailable as in `_translated`."""
    # Not as read-only, which leaves the two files of the WAL behind.
    uri = f"{Path(path).absolute().as_uri()}?mode=rw"
    with (
        _calls,
        _translated(os.fspath(path)),
        closing(sqlite3.connect(uri, timeout=_BUSY_SECONDS, uri=True)) as connection,
    ):
        yield connection


def holds_runs(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is one of runs; make none, and leave what is there as it is.

    Raises StoreUnavailable if there is no such file, or it cannot be opened, or is locked.
    """
    with _there(path) as connection:
        try:
            return not _is_new(connection)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # it is no file of SQLite, or one of something else
            return False


def silent_for(path: str | os.PathLike[str], run: str) -> float | None:
    """Return for how many seconds a run has had no sign of its writer, if more than its lease.

    Returns None if it has had one since, or if there is no such run. Nothing is written, unlike by
    `look`. Raises StoreUnavailable as `holds_runs` does.
    """
    with _there(path) as connection:
        found = _run(connection, run)
    return found.age if found is not None and found.age > found.lease else None


def _is_new(connection: sqlite3.Connection) -> bool:
    """Return whether a file has no tables yet; refuse one that has other tables than ours."""
    connection.execute("BEGIN")  # both are read as they are at one time
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.execute("COMMIT")
    if version == _VERSION and {("run",), ("entry",)} <= {*tables}:
        return False
    if version or tables:
        raise sqlite3.DatabaseError(
            f"expected a file of runs in the form {_VERSION}, got a database of something else, or"
            f" of the form {version}"
        )
    return True


def _run(connection: sqlite3.Connection, name: str) -> _Run | None:
    """Return the row of a run, or None if there is none or it has expired."""
    row = connection.execute(
        "SELECT id, cursor, writer, entries, ttl, lease, beat FROM run"
        " WHERE name = ? AND beat + ttl >= ?",
        (name, time.time()),
    ).fetchone()
    return None if row is None else _Run(*row)


def _insert(connection: sqlite3.Connection, run: int, entries: Sequence[Entry]) -> None:
    connection.executemany(
        "INSERT INTO entry (run, cursor, before, text, writer) VALUES (?, ?, ?, ?, ?)",
        [(run, _key(e.cursor), _key(e.before), e.text, e.writer) for e in entries],
    )


def _key(cursor: Cursor) -> bytes:
    return cursor[0].to_bytes(8, "big") + cursor[1].to_bytes(8, "big")


def _cursor(key: bytes) -> Cursor:
    return int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")


def _entry(cursor: bytes, before: bytes, text: str, writer: str) -> Entry:
    return Entry(_cursor(cursor), _cursor(before), text, writer)
