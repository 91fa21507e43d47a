# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What may happen to the processes that write and follow the runs of any store.

Each scenario is a function; the first line of its docstring is its promise.
"""

import random
import signal
import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from http.client import HTTPConnection

from .judging import Figures, Written
from .known import frames_of, known
from .relay import Relay
from .stage import LEASE, Process, Stage, until

__all__ = ["SCENARIOS"]

# A dead writer is noticed within three leases; then a look finds it, and a client comes again.
# The machine may be busy with other scenarios: then it takes a little longer.
CLOSED_SECONDS = 3 * LEASE + 2 * LEASE / 3 + 5.0


def load(stage: Stage) -> Figures:
    """While nothing fails, every follower gets its run whole, even if it leaves and comes again."""
    return whole(loaded(stage))


def loaded(stage: Stage, **options: object) -> Stage:
    """Start several processes that write runs, and several that follow all of them."""
    runs = stage.names(stage.of(40, 200))
    writers, followers = stage.of(3, 5), stage.of(2, 4)
    plan = {"tokens": stage.of(40, 100), "pace": stage.of(50, 200) / 1000, **options}
    for number in range(writers):
        stage.write(runs[number::writers], **plan)
    for _ in range(followers):
        stage.follow(runs, stage.of(5, 5) // followers + 1, leaving=0.02)
    return stage


def whole(stage: Stage) -> Figures:
    """Require that every follower has got its run whole."""
    figures = stage.end()
    if figures.ends["whole"] != figures.followers:
        figures.failures.append(f"expected all followers to be whole, got {dict(figures.ends)}")
        figures.failures += figures.errors
    return figures


def writer_killed(stage: Stage) -> Figures:
    """The followers of a writer that is killed end within three leases and two looks."""
    runs = stage.names(stage.of(12, 40))
    killed = stage.write(runs[::2], tokens=10_000)
    stage.write(runs[1::2], tokens=60)
    stage.follow(runs, 4)
    stage.until_each_has(10)
    killed.kill()
    killed_at = time.time()
    figures = stage.end()
    _require_closed(stage, figures, killed, killed_at)
    return figures


def _require_closed(
    stage: Stage, figures: Figures, writer: Process, since: float, late: Collection[str] = ()
) -> None:
    """Require that the runs of a writer, and no others, are closed, and in time.

    - `late`: the followers that began only afterwards.
    """
    took: list[float] = []
    for name, follower in stage.got().items():
        expected = "closed" if follower.run in writer.plan["runs"] else "whole"
        if follower.end != expected:
            figures.failures.append(f"{name}: expected {expected}, got {follower.end!r}")
        elif expected == "closed" and name not in late:
            took.append(follower.ended_at - since)
    if not took or max(took) > CLOSED_SECONDS:
        figures.failures.append(f"expected ends within {CLOSED_SECONDS:.1f} s, got {took}")
    figures.notes.append(f"closed after {min(took, default=0):.1f} to {max(took, default=0):.1f} s")


def writer_stopped(stage: Stage) -> Figures:
    """A writer that is stopped past its lease is fenced when it goes on, and writes no more."""
    runs = stage.names(stage.of(8, 40))
    writer = stage.write(runs, tokens=10_000)
    stage.follow(runs, 3)
    stage.until_each_has(10)
    writer.signal(signal.SIGSTOP)
    stopped_at = time.time()
    until(lambda: all(each.end for each in stage.got().values()), "the end of the followers")
    writer.signal(signal.SIGCONT)
    until(lambda: writer.was_told("Fenced") == set(runs), "Fenced for all runs")
    before = {name: follower.frames for name, follower in stage.got().items()}
    late = stage.names_of(stage.follow(runs))
    figures = stage.end()
    _require_closed(stage, figures, writer, stopped_at, late)
    got = stage.got()
    for number, name in enumerate(late):
        if got[name].frames != before[f"f{number}"]:
            figures.failures.append(f"{runs[number]}: the writer has written when it went on")
    return figures


def writer_stopped_for_a_moment(stage: Stage) -> Figures:
    """A writer that is stopped for less than its lease goes on as if nothing had happened."""
    runs = stage.names(8)
    writer = stage.write(runs)
    stage.follow(runs, 3)
    stage.until_each_has(10)
    for _ in range(stage.of(2, 10)):
        writer.signal(signal.SIGSTOP)
        time.sleep(LEASE / 2)
        writer.signal(signal.SIGCONT)
        time.sleep(LEASE / 2)
    return whole(stage)


def follower_killed(stage: Stage) -> Figures:
    """The clients of a process that is killed come again elsewhere, and get each event once."""
    runs = stage.names(stage.of(12, 40))
    stage.write(runs, tokens=80)
    following = stage.follow(runs, 5)
    stage.follow(runs, 1)
    for count in range(10, stage.of(60, 80), 20):
        stage.until_each_has(count)
        following.kill()
        following = stage.follow_instead(following)
    return whole(stage)


def limits(stage: Stage) -> Figures:
    """A follower that is too slow for what is kept gets CursorExpired; nobody gets a hole."""
    runs = stage.names(8)
    back = stage.folder / "back"
    following = stage.follow(runs, 2)
    # Alone in its process, so that its feed is gone when it comes again.
    leaving = stage.follow(runs, 1, leaving=1.0, back=str(back))
    until(lambda: following.noted("begun") and leaving.noted("begun"), "followers of all runs")
    events = stage.write(runs[::2], tokens=300, pace=0.02, options={"max_events": 20})
    size = stage.write(runs[1::2], tokens=300, pace=0.02, options={"max_bytes": 3000})
    for writer in (events, size):
        until(lambda: len(writer.noted("closed")) == len(runs) // 2, "the end of all runs")  # noqa: B023
    back.touch()
    figures = stage.end()
    if not set(figures.ends) <= {"whole", "CursorExpired"}:
        figures.failures.append(f"expected whole or CursorExpired, got {dict(figures.ends)}")
    if figures.ends["CursorExpired"] < len(runs):
        figures.failures.append(f"expected CursorExpired for each run, got {dict(figures.ends)}")
    return figures


def two_creators(stage: Stage) -> Figures:
    """Of two writers that create a run at once, one gets RunExists and writes nothing."""
    runs = stage.names(stage.of(20, 60))
    go = stage.folder / "go"
    writers = [stage.write(runs, mark=mark, pace=0.02, after=str(go)) for mark in ("one", "two")]
    stage.follow(runs, 3)
    for writer in writers:
        until(lambda: len(writer.noted("created")) == len(runs), "writers of all runs")  # noqa: B023
    go.touch()
    figures = whole(stage)
    told = [each.was_told("RunExists") for each in writers]
    if told[0] & told[1] or told[0] | told[1] != set(runs):
        figures.failures.append(f"expected RunExists for one of the two of each run, got {told}")
    figures.notes.append(f"{len(told[0])} and {len(told[1])} refused")
    return figures


def second_writer(stage: Stage) -> Figures:
    """A writer that takes over a run fences the one that writes it; followers get the new end."""
    runs = stage.names(stage.of(10, 40))
    first = stage.write(runs, tokens=10_000, pace=0.1)
    stage.follow(runs, 4)
    stage.until_each_has(20)
    second = stage.write(runs, resume=True, pace=0.0)
    figures = whole(stage)
    closed = {run for (run,) in second.noted("closed")}
    fenced = first.was_told("Fenced")
    if not closed == fenced == set(runs):
        figures.failures.append(f"expected all runs closed and fenced, got {closed}, {fenced}")
    return figures


def resumed(stage: Stage) -> Figures:
    """A run whose writer was killed is resumed; followers that come again get its rest."""
    runs = stage.names(stage.of(10, 40))
    writer = stage.write(runs, tokens=10_000)
    stage.follow(runs, 2, again=30)
    stage.until_each_has(20)
    writer.kill()
    time.sleep(LEASE / 2)  # for some runs, nobody is told that they are closed
    stage.write(runs[::2], resume=True, pace=0.0)
    time.sleep(3 * LEASE)
    resuming = stage.write(runs[1::2], resume=True, pace=0.0)
    until(lambda: len(resuming.noted("closed")) == len(runs) // 2, "the end of all runs")
    stage.follow(runs)
    return whole(stage)


def killed_in_a_commit(stage: Stage) -> Figures:
    """A writer killed at random moments leaves whole events, and all that it knows are stored."""
    seed = random.SystemRandom().randrange(2**32)
    stage.notes.append(f"seed {seed}")
    rng = random.Random(seed)
    runs = stage.names(stage.of(6, 100))
    stage.follow(runs, 2, wait=600.0)
    for run in runs:
        writer = stage.write([run], tokens=5000, pace=0.0, size=2000, flush=0.0)
        until(lambda: writer.noted("stored"), "the first event that is stored")  # noqa: B023
        time.sleep(rng.uniform(0, 0.3))
        writer.kill()
    figures = stage.end()
    if "path" in stage.store:
        with closing(sqlite3.connect(stage.store["path"])) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchall()
        if found != [("ok",)]:
            figures.failures.append(f"the file is not sound: {found}")
    return figures


def forked(stage: Stage) -> Figures:
    """After a fork, the parent goes on, and each child writes and follows on its own."""
    children = stage.of(3, 10)
    runs = stage.names(1 + children)
    followed = [runs[0], *(run for own in runs[1:] for run in (runs[0], own))]
    parent = stage.start("fork", runs=runs, followers=stage.named(followed), tokens=60, pace=0.05)
    stage.writers.append(parent)
    stage.followers.append(parent)
    figures = whole(stage)
    if parent.noted("child") != [[0]] * children:
        figures.failures.append(f"expected {children} children, got {parent.noted('child')}")
    return figures


def workers_killed(stage: Stage) -> Figures:
    """When workers are killed, every client gets its run whole or is told that it is cut."""
    seed = random.SystemRandom().randrange(2**32)
    stage.notes.append(f"seed {seed}")
    rng = random.Random(seed)
    runs = stage.names(40)
    tokens = stage.of(40, 200)

    def work(port: int = 0) -> Process:
        worker = stage.start("worker", "service", port=port, tokens=tokens, pace=0.2)
        stage.exits.callback(worker.kill)
        return worker

    workers = [work() for _ in range(4)]
    for worker in workers:
        until(lambda: worker.noted("port"), "a worker that listens")  # noqa: B023
    ports = [port for worker in workers for (port,) in worker.noted("port")]
    relay = stage.exits.enter_context(Relay(ports))
    url = f"http://127.0.0.1:{relay.port}"
    followers = stage.named([*runs] * stage.of(1, 4))
    stage.followers.append(stage.start("clients", "service", url=url, followers=followers))
    until(lambda: relay.connections >= len(followers), "a connection of each client")
    producers: dict[str, Process] = {}
    for run in runs:
        number = rng.randrange(4)
        producers[run] = workers[number]
        _post(ports[number], run)
    killed: list[Process] = []
    until(
        lambda: sum(len(each.frames) > 5 for each in stage.got().values()) > len(followers) / 2,
        "five events for every other client",
    )
    for _ in range(stage.of(3, 20)):
        number = rng.randrange(4)
        workers[number].kill()
        killed.append(workers[number])
        workers[number] = work(ports[number])
        relay.cut(10)
        time.sleep(1.0)
    stage.expected = {run: Written(frames_of(run, known(run, tokens))) for run in runs}
    figures = stage.end()
    for name, follower in stage.got().items():
        # A run whose producer was killed is closed, unless all of it was there already, or nothing.
        allowed = ["whole"]
        if producers[follower.run] in killed:
            allowed += ["closed"] if follower.frames else ["closed", "Refused 404"]
        if follower.end not in allowed:
            figures.failures.append(f"{name}: {follower.end} {follower.text}")
    if not figures.ends["closed"]:
        figures.failures.append("expected that some runs were cut, got none")
    figures.notes.append(f"{len(killed)} workers killed")
    return figures


def _post(port: int, run: str) -> None:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", f"/{run}")
        connection.getresponse().read()


SCENARIOS = (
    load,
    workers_killed,
    writer_killed,
    writer_stopped,
    writer_stopped_for_a_moment,
    follower_killed,
    limits,
    two_creators,
    second_writer,
    resumed,
    killed_in_a_commit,
    forked,
)
