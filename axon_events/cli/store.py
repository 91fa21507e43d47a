# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Reads runs from a SQLite store for a command; makes no file, and changes no run.

Each OSError has a `filename`, like that of a file that cannot be read.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter

from .. import Event, FlowStart
from ..runs import CursorExpired, RunInfo, RunUnknown, StoreUnavailable
from ..runs.sqlite import SqliteRuns, holds_runs, silent_for
from .recording import Recording, is_sqlite
from .text import escaped, fit, how_long

__all__ = ["StoredRun", "complaint", "open_store", "reading"]

# How many runs are named where the user has to choose one, and in how many columns each.
_NAMED = 5
_LONGEST_NAME = 60


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Raise an OSError that names the file if its store does not answer."""
    try:
        yield
    except StoreUnavailable as error:
        raise OSError(errno.EIO, escaped(str(error)), path) from error


def open_store(path: str) -> SqliteRuns:
    """Return the store in a file; raise OSError if the file holds none."""
    got = "no file"
    if os.path.isdir(path):
        got = "a folder"
    elif os.path.exists(path):
        with reading(path):
            if holds_runs(path):
                return SqliteRuns(path)
        got = "another SQLite database" if is_sqlite(path) else "a file of another kind"
    raise OSError(errno.EINVAL, f"expected a SQLite file of runs, got {got}", path)


def complaint(path: str) -> OSError:
    """Return the error for a SQLite file that is given without the name of a run."""
    with open_store(path) as runs, reading(path):
        return OSError(
            errno.EINVAL,
            f"a SQLite file of runs: name a run, {escaped(path)}#NAME; {_names(runs.infos())}",
            path,
        )


def _names(infos: Iterable[RunInfo]) -> str:
    """Return in words which runs there are; only the newest are named."""
    newest = sorted(infos, key=attrgetter("time_ms"), reverse=True)
    names = [fit(escaped(info.name), _LONGEST_NAME) for info in newest]
    if not names:
        return "it has none"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"it has {', '.join(names[:_NAMED])}{more}"


class StoredRun(Recording):
    """A run of a store, as it was when this was made; `lineno` is the number of an event, from 1.

    Raises OSError if there is no such store or run.
    """

    def __init__(self, path: str, run: str) -> None:
        super().__init__(f"{path}#{run}")
        with open_store(path) as runs, reading(path):
            silence = silent_for(path, run)
            infos = list(runs.infos())  # first: a run that ends meanwhile has its end
            try:
                self._events = runs.run(run).events()
                self.has_start = self._has_start(runs, run)
            except RunUnknown:
                raise OSError(
                    errno.ENOENT, f"the store has no run of that name; {_names(infos)}", self.name
                ) from None
        is_closed = any(info.name == run and info.ended for info in infos)
        has_end = any(event.is_terminator for event in self._events)
        self.is_open = not (is_closed or has_end)
        if not self.has_start:
            self.notes.append("the store has not kept the beginning of the run")
        if is_closed and not has_end:
            self.notes.append("the run was closed without its end: its writer left or died")
        if self.is_open:
            self.notes.append(
                "the run has not ended yet, as far as the store knows"
                if silence is None
                else f"its writer was last heard of {how_long(int(silence * 1000))} ago: it has"
                " probably died, and nobody has closed the run"
            )

    def _has_start(self, runs: SqliteRuns, run: str) -> bool:
        if self._events and isinstance(self._events[0], FlowStart):
            return True
        try:
            runs.run(run).after()
        except CursorExpired:
            return False
        return True

    def __exit__(self, *exc_info: object) -> None:
        pass

    def events(self) -> Iterator[Event]:
        for event in self._events:
            self.lineno += 1
            yield event
