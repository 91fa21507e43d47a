# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The Redis store: what the core promises on it, what it promises to the core, and its errors.

The tests of `test_runs_core` run again here. The server is a real one.
"""

import tempfile
import time
import unittest
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from axon_events import FlowStart, to_json
from axon_events.runs import _process, redis
from axon_events.runs._core import Runs
from axon_events.runs._store import BEGINNING, Cursor, Entry
from axon_events.runs.redis import RedisRuns

from . import needs
from . import test_runs_core as core
from .redis_server import Server
from .test_runs_core import until
from .threads import PATIENCE, end_if_it_hangs

TEXT = to_json(FlowStart("Report", "anthropic", 0))

_servers: list[Server] = []


def server() -> Server:
    """Return the one server of this module."""
    if not _servers:
        stack = ExitStack()
        unittest.addModuleCleanup(stack.close)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        _servers.append(stack.enter_context(Server(folder)))
        unittest.addModuleCleanup(_servers.clear)
    return _servers[0]


def setUpModule() -> None:
    end_if_it_hangs()


def entry(cursor: Cursor, before: Cursor = BEGINNING, writer: str = "w") -> Entry:
    return Entry(cursor, before, TEXT, writer)


def client_of(test: unittest.TestCase, **options: Any) -> Any:
    """Return a client that tries each call once; it is closed with the test."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = server().client(
        **{"retry": Retry(NoBackoff(), 0), "socket_timeout": PATIENCE, **options}
    )
    test.addCleanup(client.close)
    return client


class OnRedis(core.Case):
    """What is of Redis in the tests of the core."""

    LOCKED = "NOREPLICAS Not enough good replicas to write|NOREPLICAS"
    POLL = redis, "_TICK_SECONDS"
    CODE = """
        from redis import Redis
        from axon_events.runs.redis import RedisRuns
        client = Redis.from_url(sys.argv[1], socket_timeout=60)
        runs = RedisRuns(client, lease=float(sys.argv[2]))
    """

    def setUp(self) -> None:
        self.server = server()
        self.command = self.server.command
        self.command("FLUSHALL")
        self.command("CONFIG", "RESETSTAT")

    def make(self, **options: Any) -> Runs:
        return RedisRuns(client_of(self), **options)

    def address(self) -> str:
        return self.server.url

    def is_untouched(self) -> bool:
        return "cmdstat_eval" not in self.command("INFO", "commandstats")

    @contextmanager
    def locked(self) -> Iterator[None]:
        self.command("CONFIG", "SET", "min-replicas-to-write", 1)
        try:
            yield
        finally:
            self.command("CONFIG", "SET", "min-replicas-to-write", 0)

    def entries(self, run: str) -> list[tuple[str, dict[str, str]]]:
        return [
            (id, dict(zip(fields[::2], fields[1::2], strict=True)))
            for id, fields in self.command("XRANGE", f"axon:{run}", "-", "+")
        ]

    def forget(self, run: str, after: int | None = None) -> None:
        key = f"axon:{run}"
        if after is None:
            self.command("DEL", key)
            return
        # As it was after an append that ended there.
        ttl = self.command("PTTL", key)
        entries = self.entries(run)
        kept = [entry for entry in entries if int(entry[0].partition("-")[0]) <= after]
        kept = kept[: [id for id, _ in kept].index(f"{after}-0") + 1]
        writer = next(fields["w"] for _, fields in entries[len(kept) - 1 :] if "w" in fields)
        self.command("DEL", key)
        for id, fields in kept:
            if id == kept[-1][0]:
                fields = {"w": writer, **fields}
            self.command("XADD", key, id, *(part for field in fields.items() for part in field))
        self.command("PEXPIRE", key, ttl)

    def texts(self, run: str = "run") -> list[str]:
        return [fields.get("d") or fields["e"] for _, fields in self.entries(run)]

    def writers_at_end(self) -> list[str]:
        return [fields["w"][:-4] for _, fields in self.entries("run")[-1:]]

    def state(self) -> Any:
        return [
            ("XADD", "axon:run", id, *(part for field in fields.items() for part in field))
            for id, fields in self.entries("run")
        ]

    def bring_back(self, state: Any) -> None:
        self.command("DEL", "axon:run")
        for command in state:
            self.command(*command)
        self.command("PEXPIRE", "axon:run", 60_000)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        rest = mock.patch.object(redis._Watch, "wait", lambda watch, timeout: time.sleep(timeout))
        with rest:
            self.command("CLIENT", "KILL", "TYPE", "pubsub")  # with what it has not received
            yield

    def await_watch(self, runs: Runs) -> None:
        watch: Any = runs._process()._watch
        until(lambda: watch._pubsub is not None and not watch._changes)

    def await_told(self, process: _process.Process) -> None:
        # What was published before a subscription is told before it is confirmed.
        watch: Any = process._watch
        told: list[str] = []
        on_entries = watch._on_entries

        def noting(run: str, entries: Sequence[Entry]) -> None:
            on_entries(run, entries)
            told.append(run)

        with mock.patch.object(watch, "_on_entries", noting):
            watch.add("marker")
            until(lambda: "marker" in told)
        watch.remove("marker")


@needs.redis
class Constructing(OnRedis, core.Constructing):
    pass


@needs.redis
class Writing(OnRedis, core.Writing):
    pass


@needs.redis
class OneWriter(OnRedis, core.OneWriter):
    pass


@needs.redis
class LostReplies(OnRedis, core.LostReplies):
    pass


@needs.redis
class LosingStore(OnRedis, core.LosingStore):
    pass


@needs.redis
class Reading(OnRedis, core.Reading):
    pass


@needs.redis
class Following(OnRedis, core.Following):
    pass


@needs.redis
class NothingIsMissed(OnRedis, core.NothingIsMissed):
    def test_what_comes_before_the_watch_begins(self) -> None:
        pass


@needs.redis
class DeadWriters(OnRedis, core.DeadWriters):
    pass


@needs.redis
class Trouble(OnRedis, core.Trouble):
    pass


@needs.redis
class OnTheWeb(OnRedis, core.OnTheWeb):
    pass


@needs.redis
class Processes(OnRedis, core.Processes):
    pass


if __name__ == "__main__":
    unittest.main()
