# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What `serve` serves: a recorded run that is played, or the runs of a store."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from . import page
from .player import Player

if TYPE_CHECKING:
    from ..runs._core import Run
    from ..runs.sqlite import SqliteRuns

__all__ = ["Played", "Site", "Stored"]


class Site(Protocol):
    """Pages, and the runs that they show.

    - `paths`: where they are, in words.
    - `wait`: for how many seconds a client waits for an id that is ahead of its run, or for a run.
    """

    paths: str
    wait: float

    def page(self, path: str) -> Callable[[], str] | None:
        """Return what makes the page at a path (given as it was sent); None if there is none."""

    def run(self, path: str) -> "Player | Run | None":
        """Return the run whose stream is at a path; None if there is none."""

    def close(self) -> None:
        """End all streams."""


class Played:
    """A run that is played, and its page."""

    paths = "/ and /events"
    wait = 0.0

    def __init__(self, player: Player) -> None:
        self._player = player

    def page(self, path: str) -> Callable[[], str] | None:
        return page.source if path == "/" else None

    def run(self, path: str) -> Player | None:
        return self._player if path == "/events" else None

    def close(self) -> None:
        self._player.close()


# In a path, a slash of the name is `%2F`.
_RUN = re.compile("/runs/([^/]+)(/events)?")


class Stored:
    """The runs of a store, each with its page, and a page that lists them.

    - `runs`: the store, closed with this; `name`: what the list calls it.
    """

    paths = "/, /runs/NAME and /runs/NAME/events"
    wait = 5.0

    def __init__(self, runs: "SqliteRuns", name: str) -> None:
        self._runs = runs
        self._name = name

    def page(self, path: str) -> Callable[[], str] | None:
        if path == "/":
            return self._overview
        match = _RUN.fullmatch(path)
        return None if match is None or match[2] else page.source

    def run(self, path: str) -> "Run | None":
        match = _RUN.fullmatch(path)
        return None if match is None or not match[2] else self._runs.run(unquote(match[1]))

    def _overview(self) -> str:
        return page.overview(self._name, self._runs.infos())

    def close(self) -> None:
        # First, so that a client that comes meanwhile is told to come again.
        self._runs.disconnect()
        self._runs.close()
