# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What may happen to a Redis server, to what it keeps, and to the connections to it."""

import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...redis_server import Server
from .judging import Figures
from .relay import Relay
from .scenarios import whole
from .stage import LEASE, Process, Stage, until

__all__ = ["SCENARIOS", "RedisStage"]

_APPEND_MARK = b"table.concat(ARGV"  # in the script that appends, and in no other


class RedisStage(Stage):
    """A stage with a server of its own, which all processes reach through a relay.

    - `options`: of the server's command line.
    """

    def __init__(self, store: Mapping[str, Any], folder: Path, *, is_full: bool = False) -> None:
        super().__init__(store, folder, is_full=is_full)
        self.random = random.Random(0)
        self.serve()

    def serve(self, *options: str) -> None:
        """Start a new server in place of the one before."""
        self.server = self.exits.enter_context(
            Server(self.folder / f"redis{len(options)}", *options)
        )
        self.relay = self.exits.enter_context(Relay([self.server.port]))
        self.store["port"] = self.relay.port

    def begin(self, count: int = 0, **plan: Any) -> list[Process]:
        """Start two writers and two processes of followers, and wait until all have some events.

        - `count`: how many runs they have; 0 for the usual number.
        """
        runs = self.names(count or self.of(12, 100))
        options = plan.pop("options", {})
        plan = {"tokens": self.of(140, 600), "pace": 0.05, "options": options, **plan}
        self.written_until: float = time.monotonic() + plan["tokens"] * plan["pace"]
        writers = [self.write(runs[number::2], **plan) for number in range(2)]
        for _ in range(2):
            self.follow(runs, 2, leaving=0.01, options=options)
        self.until_each_has(5)
        return writers

    @property
    def is_written(self) -> bool:
        """Whether the writers still write for a while, in which they restore what is lost."""
        return time.monotonic() < self.written_until - 2.0

    def told(self) -> set[str]:
        """Return the errors that followers and writers were told of before they went on."""
        return {
            kind for each in (*self.writers, *self.followers) for _, kind, *_ in each.noted("told")
        }


def connections_killed(stage: RedisStage) -> Figures:
    """When the server ends its clients' connections, some or all, all followers are whole."""
    stage.begin()
    for _ in range(stage.of(3, 20)):
        clients = stage.server.command("CLIENT", "LIST").splitlines()
        (id,) = (word[3:] for word in stage.random.choice(clients).split() if word[:3] == "id=")
        with suppress(RuntimeError):  # it has gone meanwhile
            stage.server.command("CLIENT", "KILL", "ID", id)
        time.sleep(0.3)
        for kind in ("normal", "pubsub"):
            stage.server.command("CLIENT", "KILL", "TYPE", kind)
        time.sleep(0.5)
    return whole(stage)


def sockets_cut(stage: RedisStage) -> Figures:
    """When the network cuts connections, some or all, all followers are whole."""
    stage.begin()
    for _ in range(stage.of(4, 20)):
        stage.relay.cut(2)
        time.sleep(0.3)
        stage.relay.cut()
        time.sleep(0.5)
    return whole(stage)


def server_paused(stage: RedisStage) -> Figures:
    """When the server stands still for longer than leases and timeouts, all are whole after it."""
    stage.begin(options={"timeout": 2.0, "socket_timeout": 1.0})
    with stage.server.paused():
        time.sleep(stage.of(5, 30))
    stage.note_told()
    return whole(stage)


def server_paused_shortly(stage: RedisStage) -> Figures:
    """When the server stands still for less than the timeout, nobody is told, and all are whole."""
    stage.begin(options={"socket_timeout": 1.0}, flush=3600)
    for _ in range(stage.of(1, 5)):
        with stage.server.paused():
            time.sleep(3)
        time.sleep(1)
    if stage.told():
        stage.failures.append(f"expected that nobody is told of it, got {stage.told()}")
    return whole(stage)


def scripts_flushed(stage: RedisStage) -> Figures:
    """When the server forgets its scripts, all followers are whole."""
    stage.begin()
    for _ in range(stage.of(10, 50)):
        stage.server.command("SCRIPT", "FLUSH")
        time.sleep(0.2)
    return whole(stage)


def all_lost(stage: RedisStage) -> Figures:
    """When the server loses all that it has, again and again, writers restore it; all are whole."""
    stage.begin()
    for _ in range(stage.of(5, 30)):
        if stage.is_written:
            stage.server.command("FLUSHALL")
        time.sleep(0.7)
    return whole(stage)


def all_lost_with_its_writer(stage: RedisStage) -> Figures:
    """When the server loses all that it has, and the writers are dead, followers get RunLost."""
    _kill_writers(stage)
    stage.server.command("FLUSHALL")
    return _lost(stage)


def _kill_writers(stage: RedisStage) -> None:
    for writer in stage.begin(tokens=10_000):
        writer.kill()
    time.sleep(0.3)  # for what they had sent


def _lost(stage: RedisStage, *ends: str) -> Figures:
    """Require that followers are told that events were lost, or have ended in the ways given."""
    figures = stage.end(are_kept=False)
    # A follower that comes again only then has an id that the store does not know.
    allowed = {"RunLost", "RunUnknown", "CursorAhead", *ends}
    if not set(figures.ends) <= allowed or not figures.ends["RunLost"]:
        figures.failures.append(f"expected {allowed}, got {dict(figures.ends)}")
    return figures


def one_lost(stage: RedisStage) -> Figures:
    """When the server loses single runs, as by eviction, writers restore them; all are whole."""
    stage.begin()
    for number in range(stage.of(10, 100)):
        if stage.is_written:
            stage.server.command("DEL", f"axon:run-{number % 12}")
        time.sleep(0.3)
    return whole(stage)


def one_lost_with_its_writer(stage: RedisStage) -> Figures:
    """When the server loses a run, and its writer is dead, its followers get RunLost."""
    _kill_writers(stage)
    stage.server.command("DEL", *(f"axon:run-{number}" for number in range(6)))
    figures = _lost(stage, "closed")
    for name, follower in stage.got().items():
        expected = "RunLost" if int(follower.run[4:]) < 6 else "closed"
        if follower.end not in (expected, "RunUnknown"):
            figures.failures.append(f"{name}: expected {expected}, got {follower.end}")
    return figures


def server_killed(stage: RedisStage) -> Figures:
    """When a server that saves nothing is killed and started again, all followers are whole."""
    return _killed(stage)


def server_killed_that_saves(stage: RedisStage) -> Figures:
    """When a server with an append-only file is killed, all followers are whole."""
    stage.serve("--appendonly", "yes")
    return _killed(stage)


def _killed(stage: RedisStage) -> Figures:
    stage.begin()
    for _ in range(stage.of(2, 10)):
        if stage.is_written:
            stage.server.kill()
            time.sleep(1.0)
            stage.server.restart()
        time.sleep(1.0)
    return whole(stage)


def server_and_writer_killed(stage: RedisStage) -> Figures:
    """When a server that saves nothing dies with the writers, followers get RunLost."""
    _kill_writers(stage)
    stage.server.kill()
    time.sleep(1.0)
    stage.server.restart()
    return _lost(stage)


def server_that_saves_and_writer_killed(stage: RedisStage) -> Figures:
    """When a server with an append-only file dies with the writers, followers get all of it."""
    stage.serve("--appendonly", "yes", "--appendfsync", "always")
    _kill_writers(stage)
    stage.server.kill()
    time.sleep(1.0)
    stage.server.restart()
    figures = stage.end()
    if figures.ends["closed"] != figures.followers:
        figures.failures.append(f"expected that all are closed, got {dict(figures.ends)}")
    return figures


def failover(stage: RedisStage) -> Figures:
    """When a replica that lacks the tail takes over, writers restore it; all are whole."""
    replica, link = _replica(stage)
    stage.begin(tokens=stage.of(240, 600))
    _fall_over(stage, replica, link)
    return whole(stage)


def failover_without_writer(stage: RedisStage) -> Figures:
    """When a replica lacks the tail and writers are dead, followers who had it get RunLost."""
    replica, link = _replica(stage)
    writers = stage.begin(tokens=10_000)
    _cut_off(link)
    time.sleep(0.5)
    for writer in writers:
        writer.kill()
    time.sleep(0.3)
    _fall_over(stage, replica, link)
    stage.follow(stage.names(12))
    return _lost(stage, "closed")


def _replica(stage: RedisStage) -> tuple[Server, Relay]:
    """Return a replica, and the relay that it is linked to its primary by."""
    link = stage.exits.enter_context(Relay([stage.server.port]))
    replicaof = ("--replicaof", f"127.0.0.1 {link.port}")
    replica = stage.exits.enter_context(Server(stage.folder / "replica", *replicaof))
    until(
        lambda: "master_link_status:up" in replica.command("INFO", "replication"),
        "a replica that is in step",
    )
    return replica, link


def _cut_off(link: Relay) -> None:
    link.targets = [1]  # where nobody listens
    link.cut()


def _fall_over(stage: RedisStage, replica: Server, link: Relay) -> None:
    _cut_off(link)
    time.sleep(1.0)
    stage.server.kill()
    stage.relay.targets = [replica.port]
    stage.relay.cut()
    time.sleep(1.5 * LEASE)  # in which it takes no writes
    replica.command("REPLICAOF", "NO", "ONE")


def half_open(stage: RedisStage) -> Figures:
    """When a subscription goes silent without an end, the sweep finds what it does not tell."""
    stage.begin(tokens=stage.of(160, 600))
    for _ in range(stage.of(1, 5)):
        count = stage.relay.silence_subscriptions()
        if count < 2:
            stage.failures.append(f"expected a subscription of each process, got {count}")
        time.sleep(4)
    return whole(stage)


def replies_lost(stage: RedisStage) -> Figures:
    """When the reply to an append is lost, the append is made once; all followers are whole."""
    stage.begin()
    for _ in range(stage.of(6, 30)):
        stage.relay.swallow(4, _APPEND_MARK)
        time.sleep(0.6)
    if stage.relay.swallowed < 10:
        stage.failures.append(f"expected many lost replies, got {stage.relay.swallowed}")
    stage.notes.append(f"{stage.relay.swallowed} replies lost")
    return whole(stage)


def out_of_memory(stage: RedisStage) -> Figures:
    """When the server is out of memory, nobody is closed; after the relief all are whole."""
    return _refused(stage, "maxmemory", 1)


def no_replicas(stage: RedisStage) -> Figures:
    """When the server takes no writes for want of replicas, nobody is closed; all are whole."""
    return _refused(stage, "min-replicas-to-write", 1)


def _refused(stage: RedisStage, setting: str, value: int) -> Figures:
    """Have the server refuse writes by a setting, for longer than the leases."""
    writers = stage.begin()
    for _ in range(stage.of(1, 5)):
        stage.server.command("CONFIG", "SET", setting, value)
        for writer in writers:
            stage.until_is_told(writer, "StoreUnavailable")
        time.sleep(3 * LEASE)
        stage.server.command("CONFIG", "SET", setting, 0)
    stage.note_told()
    return whole(stage)


def evicted(stage: RedisStage) -> Figures:
    """When the server evicts runs, which it must not, followers are whole or get RunLost."""
    stage.begin(size=2000)
    used = int(stage.server.command("INFO", "memory").split("used_memory:")[1].split()[0])
    stage.server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    stage.server.command("CONFIG", "SET", "maxmemory", used + 2**19)
    time.sleep(stage.of(3, 30))
    stage.server.command("CONFIG", "SET", "maxmemory", 0)
    count = int(stage.server.command("INFO", "stats").split("evicted_keys:")[1].split()[0])
    if not count:
        stage.failures.append("expected that runs are evicted, got none")
    stage.notes.append(f"{count} evicted")
    figures = stage.end(are_kept=False)
    if not set(figures.ends) <= {"whole", "RunLost"}:
        figures.failures.append(f"expected whole or RunLost, got {dict(figures.ends)}")
    return figures


def storm(stage: RedisStage) -> Figures:
    """When these faults come in any order, and the writers live, all followers are whole."""
    seed = random.SystemRandom().randrange(2**32)
    stage.notes.append(f"seed {seed}")
    rng = random.Random(seed)
    options = {"timeout": 30.0, "socket_timeout": 1.0}
    # Few runs, also with --full: all that is lost is written again, and a machine that is busy with
    # that cannot keep such short leases.
    writers = stage.begin(12, tokens=stage.of(300, 2400), options=options)

    def pause() -> None:
        with stage.server.paused():
            time.sleep(rng.uniform(0, 2))

    def restart() -> None:
        stage.server.kill()
        time.sleep(rng.uniform(0, 1))
        stage.server.restart()

    def stop_writer() -> None:
        writer = rng.choice(writers)
        writer.signal(signal.SIGSTOP)
        time.sleep(rng.uniform(0, LEASE / 2))
        writer.signal(signal.SIGCONT)

    def replace_follower() -> None:
        number = rng.randrange(len(followers))
        followers[number].kill()
        followers[number] = stage.follow_instead(followers[number])

    followers = list(stage.followers)
    faults: list[Callable[[], object]] = [
        lambda: stage.relay.cut(rng.randrange(1, 10)),
        stage.relay.cut,
        stage.relay.silence_subscriptions,
        lambda: stage.relay.swallow(rng.randrange(1, 10), _APPEND_MARK),
        lambda: stage.server.command("FLUSHALL"),
        lambda: stage.server.command("DEL", f"axon:{rng.choice(stage.names(12))}"),
        pause,
        restart,
        stop_writer,
        replace_follower,
    ]
    count = 0
    while stage.is_written:
        rng.choice(faults)()
        count += 1
        time.sleep(rng.uniform(0, 1))
    stage.notes.append(f"{count} faults")
    return whole(stage)


SCENARIOS = (
    storm,
    connections_killed,
    sockets_cut,
    server_paused,
    server_paused_shortly,
    scripts_flushed,
    all_lost,
    all_lost_with_its_writer,
    one_lost,
    one_lost_with_its_writer,
    server_killed,
    server_killed_that_saves,
    server_and_writer_killed,
    server_that_saves_and_writer_killed,
    failover,
    failover_without_writer,
    half_open,
    replies_lost,
    out_of_memory,
    no_replicas,
    evicted,
)
