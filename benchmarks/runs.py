# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`make bench-runs`: measures runs in a store, beside the least that the store costs; for Linux.

This process writes. Followers are in another one (see `runs_apps`), all in one loop of asyncio, and
Redis in a third one. Floor and package take turns, and the medians of the rounds count: of the
figures, and of the ratios of the two in each round. On a machine that does other work meanwhile,
times tell nothing: look at the load that is printed first.
"""

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from axon_events import Event, StepToken, to_json
from axon_events.runs._core import Runs
from axon_events.runs.redis import RedisRuns
from axon_events.runs.sqlite import _SCHEMA, SqliteRuns
from tests.redis_server import Server

from . import race
from .runs_apps import CLIENT_NAME, run_name

RUNS = 200
EVENTS_PER_SECOND = 5  # of each run
SECONDS = 6
WARM_EVENTS = 6  # of each run, not timed
DELIVERY_ROUNDS = 5
APPEND_ROUNDS = 25

Append = Callable[[Event], object]
Figures = Mapping[str, float]


class Row(NamedTuple):
    """A figure, how it is shown, and what is aimed at.

    - `ratio`: the target for the package's figure divided by the floor's.
    - `most`: the highest figure of the package that is aimed at, in the unit.
    - `least`: whether `ratio` is the least that is aimed at, or the most.
    """

    title: str
    key: str
    unit: float = 1.0
    ratio: float | None = None
    most: float | None = None
    least: bool = False


def token(n: int, text: str = "Quay") -> StepToken:
    """Return a token whose JSON has 110 bytes, for a number of four digits."""
    return StepToken("Summarise", text, n, 1_700_000_000_000)


def rounds(
    contestants: Mapping[str, Callable[[], Figures]], count: int
) -> dict[str, list[Figures]]:
    """Let contestants take turns, every other round in reverse; return the figures of each."""
    results: dict[str, list[Figures]] = {name: [] for name in contestants}
    for n in range(count):
        for name in list(contestants)[:: -1 if n % 2 else 1]:
            results[name].append(contestants[name]())
    return results


def show(title: str, rows: Sequence[Row], results: Mapping[str, list[Figures]]) -> None:
    """Print a table of the package's figures; the floor, if any, is the last contestant."""
    ours, *floors = results
    lines = []
    for row in rows:
        values = {
            name: [figures[row.key] for figures in all_of_it if row.key in figures]
            for name, all_of_it in results.items()
        }
        middle = {name: statistics.median(each) for name, each in values.items() if each}
        cells = [f"{middle[ours] / row.unit:,.2f}"]
        ratio = None
        for floor in floors:
            if floor in middle:
                ratio = statistics.median(
                    a / b for a, b in zip(values[ours], values[floor], strict=True)
                )
            cells += [f"{middle[floor] / row.unit:,.2f}", f"{ratio:.2f}"] if ratio else ["", ""]
        aim, verdict = "", ""
        what = f"{title}, {row.title}"
        if row.most is not None:
            aim = f"≤ {row.most:g}"
            verdict = race.judge(what, middle[ours] / row.unit, row.most)
        elif row.ratio is not None and ratio is not None:
            aim = f"{'≥' if row.least else '≤'} {row.ratio:g} times"
            verdict = race.judge(what, ratio, row.ratio, row.least)
        lines.append((row.title, *cells, aim, verdict))
    columns = [column for floor in floors for column in (floor, "ratio")]
    race.table((title, "axon_events", *columns, "aim", ""), lines)


@contextmanager
def _followers(
    name: str, address: str, followers: int, events: int
) -> Iterator["subprocess.Popen[str]"]:
    """Run a process of followers, and yield it when they have begun."""
    command = [sys.executable, "-m", "benchmarks.runs_apps", name, address]
    numbers = {"runs": RUNS, "followers": followers, "events": events, "warm": WARM_EVENTS}
    with subprocess.Popen(
        [*command, *(f"--{name}={number}" for name, number in numbers.items())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=race.ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise AssertionError(f"the followers of {name} have not begun")
            yield process
        finally:
            process.kill()


def deliver(
    name: str,
    address: str,
    followers: int,
    appends: Sequence[Append],
    look: Callable[[], Figures] = dict,
) -> Figures:
    """Append to runs, and return the figures of followers in another process.

    - `appends`: the `append` of each run, which already has one event.
    - `look`: returns more figures, when all follow.
    """
    events = 1 + EVENTS_PER_SECOND * SECONDS
    with _followers(name, address, followers, events) as process:
        assert process.stdout is not None
        more = look()
        interval = 1 / EVENTS_PER_SECOND / RUNS
        begun = time.monotonic_ns()
        for n in range((events - 1) * RUNS):
            # Where an append blocks, the events that wait for it count from when they were due.
            time_ns = begun + round(n * interval * 1e9)
            if (wait := time_ns - time.monotonic_ns()) > 0:
                time.sleep(wait * 1e-9)
                time_ns = time.monotonic_ns()
            appends[n % RUNS](token(n // RUNS + 2, str(time_ns)))
        figures: dict[str, float] = json.loads(process.stdout.readline())
    return {**figures, **more}


def _appends(runs: Runs) -> list[Append]:
    """Create runs, and return the append of each."""
    writers = [runs.create(run_name(n)) for n in range(RUNS)]
    for writer in writers:
        writer.append(token(1))
    for writer in writers:
        writer.flush()
    return [writer.append for writer in writers]


def sqlite_delivery() -> None:
    def measure() -> Figures:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "runs.db"))
            with SqliteRuns(path) as runs:
                return deliver("sqlite", path, 1_000, _appends(runs))

    rows = [
        Row("append to receipt, median, ms", "median", 1e-3, most=4),
        Row("append to receipt, 99%, ms", "p99", 1e-3, most=25),
        Row("processor time a delivery, µs", "processor", 1e-6),
    ]
    results = rounds({"axon_events": measure}, DELIVERY_ROUNDS)
    show("SQLite, 1,000 followers of 200 runs, 5 events a second each", rows, results)


def _rate(count: int, function: Callable[[], object]) -> float:
    return count / race.seconds(function)


class _Sequence:
    """Tokens, each with the next number."""

    def __init__(self) -> None:
        self.number = 0

    def take(self, count: int) -> list[StepToken]:
        begin, self.number = self.number, self.number + count
        return [token(n) for n in range(begin + 1, self.number + 1)]


def sqlite_appends() -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        connection = sqlite3.connect(str(Path(folder, "floor.db")), isolation_level=None)
        stack.callback(connection.close)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        runs = stack.enter_context(SqliteRuns(str(Path(folder, "runs.db"))))
        writer = runs.create("run")
        floor_tokens, tokens = _Sequence(), _Sequence()

        def bare() -> Figures:
            rows = [
                (1, n.to_bytes(16, "big"), (n - 1).to_bytes(16, "big"), to_json(event), "01234567")
                for event in floor_tokens.take(400)
                for n in [event.token_index]
            ]

            def insert() -> None:
                for row in rows:
                    connection.execute(
                        "INSERT INTO entry (run, cursor, before, text, writer)"
                        " VALUES (?, ?, ?, ?, ?)",
                        row,
                    )

            rate = _rate(len(rows), insert)
            return {"group": rate, "each": rate}

        def ours() -> Figures:
            def group(events: Sequence[Event]) -> None:
                for event in events:
                    writer.append(event)
                writer.flush()

            def each(events: Sequence[Event]) -> None:
                for event in events:
                    writer.append(event)
                    writer.flush()

            many, few = tokens.take(4_000), tokens.take(200)
            return {
                "group": _rate(len(many), lambda: group(many)),
                "each": _rate(len(few), lambda: each(few)),
            }

        rounds({"axon_events": ours, "floor": bare}, 2)
        results = rounds({"axon_events": ours, "INSERT, a commit each": bare}, APPEND_ROUNDS)
    rows = [
        Row("flushed at the end", "group", ratio=1.5, least=True),
        Row("each flushed", "each", ratio=0.3, least=True),
    ]
    show("SQLite, acknowledged appends a second, one thread", rows, results)


def redis_delivery(server: Server) -> None:
    client = server.client()

    def connections() -> Figures:
        clients = client.client_list()
        return {"connections": sum(one["name"] == CLIENT_NAME for one in clients)}

    def ours() -> Figures:
        client.flushall()
        with RedisRuns(client) as runs:
            return deliver("redis", server.url, 250, _appends(runs), connections)

    def floor() -> Figures:
        client.flushall()

        def of(run: str) -> Append:
            def append(event: Event) -> None:
                text = to_json(event)
                client.pipeline(transaction=False).xadd(run, {"d": text}).publish(
                    run, text
                ).execute()

            return append

        appends = [of(run_name(n)) for n in range(RUNS)]
        return deliver("subscriptions", server.url, 250, appends, connections)

    rows = [
        Row("append to receipt, median, ms", "median", 1e-3, ratio=2.5),
        Row("append to receipt, 99%, ms", "p99", 1e-3, ratio=1),
        Row("processor time a delivery, µs", "processor", 1e-6),
        Row("connections of the followers' process", "connections", most=19),
    ]
    results = rounds({"axon_events": ours, "a subscription each": floor}, DELIVERY_ROUNDS)
    show("Redis, 250 followers of 200 runs, 5 events a second each", rows, results)
    client.close()


def redis_appends(server: Server) -> None:
    client = server.client()
    client.flushall()
    count = 100
    with RedisRuns(client) as runs:
        writers = [runs.create(run_name(n)) for n in range(count)]
        floor_tokens, tokens = _Sequence(), _Sequence()

        def append(events: Sequence[Event]) -> None:
            for n, event in enumerate(events):
                writers[n % count].append(event)
            for writer in writers:
                writer.flush()

        def add(events: Sequence[Event]) -> None:
            pipeline = client.pipeline(transaction=False)
            for n, event in enumerate(events, 1):
                pipeline.xadd(f"floor-{n % count}", {"d": to_json(event)})
                if n % 100 == 0:
                    pipeline.execute()

        def figures(function: Callable[[Sequence[Event]], None], source: _Sequence) -> Figures:
            events = source.take(5_000)
            return {"rate": _rate(len(events), lambda: function(events))}

        contestants = {
            "axon_events": lambda: figures(append, tokens),
            "XADD pipelined by 100": lambda: figures(add, floor_tokens),
        }
        rounds(contestants, 2)
        results = rounds(contestants, APPEND_ROUNDS)
    rows = [Row("flushed at the end", "rate", ratio=0.8, least=True)]
    show("Redis, acknowledged appends a second, 100 runs, one thread", rows, results)
    client.close()


def redis_memory(server: Server) -> None:
    client = server.client()
    client.flushall()
    events = [token(n) for n in range(1_000, 6_000)]
    assert {len(to_json(event)) for event in events} == {110}
    with RedisRuns(client) as runs:
        for name, step in (("each", 1), ("group", len(events))):
            writer = runs.create(name)
            for n, event in enumerate(events, 1):
                writer.append(event)
                if n % step == 0:
                    writer.flush()
    for event in events:
        client.xadd("floor", {"d": to_json(event)})

    def size(key: str) -> float:
        return float(client.memory_usage(key, samples=0)) / len(events)

    floor = size("floor")
    ours = {"each": size("axon:each"), "group": size("axon:group")}
    rows = [
        Row("appended one by one", "each", ratio=1.1),
        Row("appended together", "group", ratio=1.1),
    ]
    results: dict[str, list[Figures]] = {
        "axon_events": [ours],
        "a plain stream": [{"each": floor, "group": floor}],
    }
    show("Redis, bytes of memory an event of 110 bytes", rows, results)
    client.close()


_QUIET = """
import sys, time
from axon_events.runs.{0} import {1} as Runs
{2}
frames = runs.run("run").follow(keep_alive=1.0)
next(frames)
begun, processor = time.monotonic(), time.process_time()
while time.monotonic() < begun + 5:
    next(frames)
print((time.process_time() - processor) / (time.monotonic() - begun))
"""


def quiet(server: Server) -> None:
    """Print the processor time of a process that follows a run in which nothing happens."""
    client = server.client()
    client.flushall()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = str(Path(folder, "runs.db"))
        stores: dict[str, tuple[Runs, str]] = {
            "sqlite": (SqliteRuns(path), f"SqliteRuns|runs = Runs({path!r})"),
            "redis": (
                RedisRuns(client),
                f"RedisRuns|import redis; runs = Runs(redis.Redis.from_url({server.url!r}))",
            ),
        }
        figures: dict[str, float] = {}
        for name, (runs, text) in stores.items():
            writer = stack.enter_context(runs).create("run")
            writer.append(token(1))
            writer.flush()
            code = _QUIET.format(name, *text.split("|"))
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, cwd=race.ROOT
            )
            figures[name] = float(done.stdout)
    rows = [Row("SQLite", "sqlite", 0.01), Row("Redis", "redis", 0.01)]
    show("one follower, nothing happens, % of a core", rows, {"axon_events": [figures]})
    client.close()


def main() -> None:
    if shutil.which("redis-server") is None:
        sys.exit("expected a redis-server on the path: Debian's package has that name")
    race.print_versions(["redis"])
    with tempfile.TemporaryDirectory() as folder, Server(folder) as server:
        client: Any = server.client()
        print(
            f"SQLite {sqlite3.sqlite_version}, Redis {client.info()['redis_version']};"
            f" load of {os.cpu_count()} processors before: {os.getloadavg()[0]:.1f}\n"
        )
        client.close()
        sqlite_appends()
        sqlite_delivery()
        redis_appends(server)
        redis_memory(server)
        redis_delivery(server)
        quiet(server)
    race.print_aims()


if __name__ == "__main__":
    main()
