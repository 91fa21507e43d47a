# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Breaks what the promises rest on, piece by piece; a test or a scenario notices each break.

    python -m tests.gates.runs.breaks [NAME …]

Each break changes a few words in a copy of the package. The tests and scenarios that are to notice
it run there, and have to fail or to hang. All breaks take some minutes, and need the client of
Redis that redis8.txt names.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from ... import ROOT

SECONDS = 150.0  # a test that takes longer hangs, and so has noticed the break


class Break(NamedTuple):
    """A change of a module of `axon_events/runs`, and what is to notice it.

    - `tests`: modules of unit tests, of which one at least fails.
    - `scenarios`: as `NAME sqlite` or `NAME redis`, each of which fails.
    """

    name: str
    module: str
    before: str
    after: str
    tests: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()


_CORE = ("test_runs_core",)
_SQLITE = ("test_runs_sqlite",)
_REDIS = ("test_runs_redis",)

BREAKS = (
    Break(
        "the compare of an append, in SQLite",
        "sqlite",
        "if end != append.after:",
        "if False:",
        _SQLITE,
        ("two_creators sqlite", "second_writer sqlite"),
    ),
    Break(
        "the compare of an append, in Redis",
        "redis",
        "if id ~= ARGV[1] or token ~= ARGV[2] then\n    return id",
        "if false then\n    return id",
        _REDIS,
        ("second_writer redis", "replies_lost redis"),
    ),
    Break(
        "the compare of the writer's token, in Redis",
        "redis",
        "if id ~= ARGV[1] or token ~= ARGV[2] then\n    return id",
        "if id ~= ARGV[1] then\n    return id",
        _REDIS,
    ),
    Break(
        "the chain, where a feed is told of entries",
        "_feed",
        "if entry.before == last:",
        "if entry.before >= last:",
        _CORE,
        ("connections_killed redis", "sockets_cut redis"),
    ),
    Break(
        "the chain, where a follower has read entries",
        "_store",
        "    first = page.entries[0]\n    if first.cursor == cursor:",
        "    return page.entries[page.entries[0].cursor == cursor :]\n"
        "    first = page.entries[0]\n    if first.cursor == cursor:",
        _CORE,
        ("limits sqlite", "limits redis"),
    ),
    Break(
        "the lease: nobody looks at it",
        "_process",
        "if feed._newest.end is not None or state.age <= state.lease:",
        "if True:",
        _CORE,
        ("writer_killed sqlite", "writer_killed redis"),
    ),
    Break(
        "the lease: no heartbeats",
        "_writer",
        "self._end == NOWHERE or self._reached > beat:",
        "self._end == NOWHERE or self._reached > 0:",
        _CORE,
    ),
    Break(
        "the lease is not compared when a run is closed, in SQLite",
        "sqlite",
        "found.end == end and found.age > found.lease",
        "found.end == end",
        _SQLITE,
    ),
    Break(
        "the sweep",
        "_process",
        "self._try_to_submit(self._sweep)",
        "self._is_sweeping = False",
        _CORE,
        ("writer_killed sqlite", "writer_killed redis"),
    ),
    Break(
        "subscribe, then read: a follower believes that a read saw what came during it",
        "_feed",
        "self._nothing_in = self._read_at\n            self._feed.anchor(last, self._read_at)",
        "self._nothing_in = self._feed._newest\n"
        "            self._feed.anchor(last, self._feed._newest)",
        _CORE,
    ),
    Break(
        "subscribe, then read: what came before the subscription is not read again, in Redis",
        "redis",
        'if message["type"] == "subscribe":',
        'if message["type"] == "never":',
        _REDIS,
    ),
    Break(
        "subscribe, then read: what came before the watch is not read again, in SQLite",
        "sqlite",
        "self._on_entries(run, ())",
        "pass",
        _SQLITE,
    ),
    Break(
        "a lost reply: what the store has is appended again",
        "_writer",
        "return index + 1 if is_own",
        "return index if is_own",
        _CORE,
        ("replies_lost redis",),
    ),
    Break(
        "a lost reply: the writer takes its own entries for another's",
        "_writer",
        "return index + 1 if is_own else None",
        "return None",
        _CORE,
        ("replies_lost redis",),
    ),
    Break(
        "a lost tail: the writer takes another's close for its own entry",
        "_writer",
        " and (end.writer or is_close)",
        "",
        _CORE,
    ),
    Break(
        "a lost run: who has read meanwhile is not told that it is there again",
        "_feed",
        "                feed.note_missing()",
        "                pass",
        _CORE,
    ),
    Break(
        "a store that has lost events: the writer does not restore them",
        "_writer",
        "return 0 if silence < self._process.settings.ttl else None",
        "return None",
        _CORE,
        ("all_lost redis", "server_killed redis"),
    ),
    Break(
        "a half-open subscription: the watch does not listen to itself",
        "redis",
        "if silence > _SILENCE_SECONDS:",
        "if False:",
        _REDIS,
    ),
    Break(
        "a store that has lost events: a loss that was made good counts for the next one",
        "_process",
        "feed.note_restored()  # since more has come",
        "pass",
        _CORE,
    ),
    Break(
        "much to append: all of it at once",
        "_process",
        "if count >= _writer.APPEND_COUNT or size >= _writer.APPEND_BYTES:",
        "if False:",
        _CORE,
    ),
    Break(
        "a full disk: a writer without room for its events sends no heartbeats",
        "_writer",
        "self._end == NOWHERE or self._reached > beat:",
        "self._end == NOWHERE or self._reached > beat or self._pending:",
        _CORE,
    ),
    Break(
        "a full disk: a look writes nothing",
        "sqlite",
        "if any(state.age > state.lease for state in states):",
        "if False:",
        _SQLITE,
    ),
    Break(
        "a server out of memory: a look writes nothing, in Redis",
        "redis",
        "if string.sub(refusal.err, 1, 4) ~= 'ERR ' then",
        "if false then",
        _REDIS,
    ),
)


def broken(folder: str, each: Break) -> None:
    """Copy the package and its tests into a folder, and make a break in the copy."""
    for name in ("axon_events", "tests", "corpus"):
        ignored = shutil.ignore_patterns("target", "node_modules", "__pycache__")
        shutil.copytree(ROOT / name, Path(folder, name), ignore=ignored)
    path = Path(folder, "axon_events", "runs", f"{each.module}.py")
    source = path.read_text("utf-8")
    if source.count(each.before) != 1:
        sys.exit(f"{each.name}: expected it once in {each.module}.py: {each.before!r}")
    path.write_text(source.replace(each.before, each.after), "utf-8")


def fails(folder: str, *command: str) -> bool:
    """Return whether a module that runs in the copy fails, or hangs."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        start_new_session=True,
    ) as run:
        try:
            return run.wait(SECONDS) != 0
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)  # with the processes that it has started
            return True


def main() -> int:
    """Try each break; return 0 if every test and scenario named for it notices it."""
    chosen = [each for each in BREAKS if not sys.argv[1:] or each.name in sys.argv[1:]]
    unseen = 0
    for each in chosen:
        with tempfile.TemporaryDirectory() as folder:
            broken(folder, each)
            seen = {
                test: fails(folder, "unittest", "-f", f"tests.{test}") for test in each.tests
            } | {
                scenario: fails(
                    folder,
                    *(f"{__package__}.trials", "--only", scenario.split()[0]),
                    *("--store", scenario.split()[1]),
                )
                for scenario in each.scenarios
            }
        unseen += not all(seen.values())
        told = ", ".join(f"{'' if is_seen else 'NOT '}{by}" for by, is_seen in seen.items())
        print(f"{each.name}: noticed by {told}", flush=True)
    print(f"{len(chosen) - unseen} of {len(chosen)} breaks were noticed")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
