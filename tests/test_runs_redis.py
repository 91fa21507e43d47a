# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The Redis store: what the core promises on it, what it promises to the core, and its errors.

The tests of `test_runs_core` run again here. The server is a real one.
"""

import importlib
import itertools
import json
import tempfile
import threading
import time
import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from axon_events.runs import StoreUnavailable, _process, redis
from axon_events.runs._core import Runs
from axon_events.runs._store import BEGINNING, NOWHERE, Append, End, Entry
from axon_events.runs.redis import RedisRuns

from . import needs, stores
from . import test_runs_core as core
from .redis_server import Cluster, Server
from .stores import TEXT, entry, page_of, state_of
from .test_runs_core import token, tokens, until
from .threads import PATIENCE, end_if_it_hangs

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


def client_of(test: unittest.TestCase, of: Server | Cluster | None = None, **options: Any) -> Any:
    """Return a client that tries each call once; it is closed with the test."""
    backoff: Any = importlib.import_module("redis.backoff")
    retry: Any = importlib.import_module("redis.retry").Retry(backoff.NoBackoff(), 0)
    client = (of or server()).client(**{"retry": retry, "socket_timeout": PATIENCE, **options})
    test.addCleanup(client.close)
    return client


class OnRedis(core.Case):
    """What is of Redis in the tests of the core."""

    LOCKED = "NOREPLICAS Not enough good replicas to write"
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
        kept[-1][1].setdefault("w", writer)
        self.replace(key, kept, ttl)

    def replace(self, key: str, entries: list[tuple[str, dict[str, str]]], ttl: int) -> None:
        """Have a stream be another one, in one step."""
        commands = [["DEL", key]]
        for id, fields in entries:
            commands.append(["XADD", key, id, *itertools.chain(*fields.items())])
        commands.append(["PEXPIRE", key, str(ttl)])
        script = "for _, each in ipairs(cjson.decode(ARGV[1])) do redis.call(unpack(each)) end"
        self.command("EVAL", script, 1, key, json.dumps(commands))

    def texts(self, run: str = "run") -> list[str]:
        return [fields.get("d") or fields["e"] for _, fields in self.entries(run)]

    def writers_at_end(self) -> list[str]:
        return [fields["w"][:-4] for _, fields in self.entries("run")[-1:]]

    def state(self) -> Any:
        return self.entries("run")

    def bring_back(self, state: Any) -> None:
        self.replace("axon:run", state, 60_000)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        with mock.patch.object(redis._Watch, "_next", side_effect=lambda end: time.sleep(0.01)):
            self.command("CLIENT", "KILL", "TYPE", "pubsub")  # with what it has not received
            yield

    @contextmanager
    def watch_begins_after(self, event: threading.Event) -> Iterator[None]:
        begin = redis._Watch._subscribe

        def beginning(watch: Any) -> None:
            event.wait(PATIENCE)
            begin(watch)

        with mock.patch.object(redis._Watch, "_subscribe", beginning):
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


class StoreCase(unittest.TestCase):
    """Has a store, whose runs have the ttl 60 s and the lease 15 s."""

    def setUp(self) -> None:
        self.command = server().command
        self.command("FLUSHALL")

    def store(self, prefix: str = "axon:", **options: Any) -> redis._Store:
        return redis._Store(client_of(self, **options), prefix, 60.0, 15.0)

    def let_pass(self, seconds: int, run: str = "run") -> None:
        """Have the writer be silent for so many seconds more."""
        self.command("PEXPIRE", f"axon:{run}", self.command("PTTL", f"axon:{run}") - 1000 * seconds)


@needs.redis
class Promises(StoreCase, stores.Promises):
    pass


@needs.redis
class Appending(StoreCase):
    def test_what_an_entry_has(self) -> None:
        store = self.store()
        entries = [
            entry((0, 1)),
            entry((0, 2), (0, 1)),
            entry((1, 0), (0, 2)),
            entry((2, 0), (1, 0)),
            Entry((2, 1), (2, 0), "closed", "w"),
        ]
        store.append([Append("run", NOWHERE, entries[:3], None)])
        store.append([Append("run", End((1, 0), "w"), entries[3:4], None)])
        store.append([Append("run", End((2, 0), "w"), entries[4:], None)])
        self.assertEqual(
            self.command("XRANGE", "axon:run", "-", "+"),
            [
                ["0-1", ["d", TEXT]],
                ["0-2", ["d", TEXT]],
                # 60 and 15 times 1000 ms
                ["1-0", ["p", "0-2", "w", "w]303", "d", TEXT]],
                ["2-0", ["w", "w]303", "d", TEXT]],
                ["2-1", ["w", "w]303", "e", "closed"]],
            ],
        )
        self.assertEqual(page_of(store).entries, entries)

    def test_an_error_of_one_run_concerns_it_alone(self) -> None:
        self.command("SET", "axon:text", "x")
        store = self.store()
        answers = store.append(
            [Append(name, NOWHERE, [entry((0, 1))], None) for name in ("text", "run")]
        )
        self.assertRegex(str(answers[0]), "WRONGTYPE")
        self.assertNotIsInstance(answers[0], StoreUnavailable)
        self.assertEqual(answers[1:], [None])
        states = store.look(["text", "run"])
        self.assertRegex(str(states[0]), "WRONGTYPE")
        self.assertNotIsInstance(states[1], Exception)
        with self.assertRaisesRegex(Exception, "WRONGTYPE"):
            store.read("text", BEGINNING, 1)

    def test_the_memory_of_an_event(self) -> None:
        """At most 1.1 times the 144 bytes that one field of 110 bytes takes."""
        store = self.store()
        after = NOWHERE
        for index in range(1, 2001):
            new = Entry((index, 0), (index - 1, 0), "{" + "x" * 109, "8 letter")
            store.append([Append("run", after, [new], None)])
            after = End((index, 0), "8 letter")
        size = self.command("MEMORY", "USAGE", "axon:run", "SAMPLES", 0)
        self.assertLessEqual(size / 2000, 1.1 * 144)


@needs.redis
class Leases(StoreCase):
    def test_times_are_rounded_up_to_two_digits(self) -> None:
        for seconds, milliseconds in (
            (0.0001, 1),
            (0.0121, 13),
            (0.3, 300),
            (0.09, 90),
            (0.0901, 100),
            (7, 7000),
            (15.0, 15_000),
            (16.1, 17_000),
            (3600.0, 3_600_000),
            (10.0**9, 10**12),
        ):
            with self.subTest(seconds):
                code = redis._code(seconds)
                self.assertEqual(redis._milliseconds(code), milliseconds)
                store = redis._Store(client_of(self), "axon:", 10.0**9, seconds)
                self.command("FLUSHALL")
                store.append([Append("run", NOWHERE, [entry((0, 1))], None)])
                state = state_of(store)
                self.assertEqual(state.lease, milliseconds / 1000)
                self.assertLess(state.age, PATIENCE)

    def test_the_time_to_live(self) -> None:
        store = self.store()
        for name in ("old", "new"):
            store.append([Append(name, NOWHERE, [entry((0, 1))], None)])
        self.let_pass(60, "old")
        self.assertIsNone(store.read("old", BEGINNING, 1000))
        self.assertEqual(state_of(store, "old").end, NOWHERE)
        self.assertEqual([name for name, _ in store.infos()], ["new"])

    def test_what_there_is(self) -> None:
        prefix = "a*[b]?\\"
        store = self.store(prefix)
        for name in range(250):
            store.append([Append(f"run{name}", NOWHERE, [entry((0, 1))], None)])
        self.command("XADD", f"{prefix}other", "*", "field", "of another")
        self.command("SET", f"{prefix}text", "x")
        self.command("XADD", "axbc", "*", "w", "x]303")
        last = [entry((0, 2), (0, 1)), Entry((0, 3), (0, 2), "closed", "w")]
        store.append([Append("run7", End((0, 1), "w"), last, None)])
        found = dict(store.infos())
        self.assertEqual(set(found), {f"run{name}" for name in range(250)})
        self.assertEqual(found.pop("run7"), last)
        self.assertEqual([*found.values()], 249 * [[entry((0, 1))]])


@needs.redis
class Watching(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.told: list[Any] = []

    def watch(self, **options: Any) -> redis._Watch:
        watch = self.store(**options).watch(lambda *args: self.told.append(args))
        self.addCleanup(watch.close)
        return watch

    def await_told(self, watch: redis._Watch, *expected: Any) -> None:
        """Wait until this is told next."""
        for each in expected:
            while not self.told:
                watch.wait(PATIENCE)
            self.assertEqual(self.told.pop(0), each)

    def test_what_is_appended_is_told(self) -> None:
        forms: list[dict[str, Any]] = [
            {},
            {"decode_responses": True},
            {"protocol": 2},
            {"protocol": 3},
        ]
        for options in forms:
            with self.subTest(**options):
                self.command("FLUSHALL")
                other = self.store(**options)
                watch = self.watch(**options)
                watch.add("run")
                self.await_told(watch, ("run", ()))
                first = [entry((0, 1), writer=""), entry((0, 2), (0, 1), "")]
                more = [entry((1, 0), (0, 2), ""), entry((7, 0), (1, 0), "")]
                last = Entry((7, 1), (7, 0), "deleted")
                other.append([Append("other", NOWHERE, first, None)])
                other.append([Append("run", NOWHERE, first, None)])
                other.append([Append("run", End((0, 2), ""), [], None)])  # a heartbeat
                other.append([Append("run", End((0, 2), ""), more, None)])
                other.delete("run")
                self.await_told(watch, ("run", first), ("run", more), ("run", [last]))
                watch.remove("run")
                watch.add("other")
                self.await_told(watch, ("other", ()))
                other.delete("other")
                self.await_told(watch, ("other", [Entry((0, 3), (0, 2), "deleted")]))

    def test_what_is_long_is_to_be_read(self) -> None:
        watch = self.watch()
        watch.add("run")
        self.await_told(watch, ("run", ()))
        long = Entry((0, 1), BEGINNING, "{" + 65536 * "x", "w")
        self.store().append([Append("run", NOWHERE, [long], None)])
        self.await_told(watch, ("run", ()))

    def test_a_connection_that_broke_is_made_anew(self) -> None:
        watch = self.watch()
        watch.add("run")
        self.await_told(watch, ("run", ()))
        self.command("CLIENT", "KILL", "TYPE", "pubsub")
        with self.assertRaises(StoreUnavailable):
            watch.wait(PATIENCE)
        self.await_told(watch, ("run", ()))
        new = entry((0, 1), writer="")
        self.store().append([Append("run", NOWHERE, [new], None)])
        self.await_told(watch, ("run", [new]))

    def test_a_connection_that_is_silent_is_made_anew(self) -> None:
        """What was sent to itself does not come, as if the other end was gone."""
        client = client_of(self)
        store = redis._Store(client, "axon:", 60.0, 15.0)
        watch = store.watch(lambda *args: self.told.append(args))
        self.addCleanup(watch.close)
        watch.add("run")
        self.await_told(watch, ("run", ()))
        with (
            mock.patch.object(redis, "_ECHO_SECONDS", 0.01),
            mock.patch.object(redis, "_SILENCE_SECONDS", 0.05),
        ):
            watch._echo_at = 0.0
            watch.wait(0.2)  # it hears itself
            self.assertEqual(self.told, [])
            with mock.patch.object(client, "execute_command"):
                self.await_told(watch, ("run", ()))

    def test_one_that_was_never_used(self) -> None:
        self.watch().close()


@needs.redis
class Refusals(StoreCase):
    """What a server refuses for a reason that passes."""

    def assert_unavailable(self, text: str, *calls: Callable[[], Any]) -> None:
        for call in calls:
            with self.assertRaisesRegex(StoreUnavailable, text):
                if isinstance(answers := call(), list) and isinstance(answers[0], Exception):
                    raise answers[0]

    def test_a_replica_that_is_read_only(self) -> None:
        store = self.store()
        store.append([Append("run", NOWHERE, [entry((0, 1))], None)])
        end = End((0, 1), "w")
        with (
            tempfile.TemporaryDirectory() as folder,
            Server(folder, "--replicaof", "127.0.0.1", str(server().port)) as replica,
        ):
            until(lambda: replica.command("DBSIZE"))
            store = redis._Store(client_of(self, replica), "axon:", 60.0, 15.0)
            self.assertEqual(page_of(store).end, end)
            self.assert_unavailable(
                "READONLY|read only replica",
                lambda: store.look(["run"]),
                lambda: store.look(["other"]),
                lambda: store.append([Append("run", end, [], None)]),
                lambda: store.append([Append("run", end, [entry((0, 2))], None)]),
                lambda: store.delete("run"),
            )

    def test_a_server_that_is_out_of_memory(self) -> None:
        store = self.store()
        store.append([Append("run", NOWHERE, [entry((0, 1))], None)])
        end = End((0, 1), "w")
        self.addCleanup(self.command, "CONFIG", "SET", "maxmemory", 0)
        self.command("CONFIG", "SET", "maxmemory", 1)
        self.assertEqual(page_of(store).end, end)
        self.assert_unavailable(
            "OOM|command not allowed when used memory",
            lambda: store.look(["run"]),
            lambda: store.append([Append("run", end, [entry((0, 2), (0, 1))], None)]),
        )
        self.assertEqual(store.append([Append("run", end, [], None)]), [None])
        self.command("CONFIG", "SET", "maxmemory", 0)
        self.assertEqual(state_of(store).end, end)

    def test_a_server_that_is_gone_and_comes_back(self) -> None:
        with tempfile.TemporaryDirectory() as folder, Server(folder) as other:
            store = redis._Store(client_of(self, other), "axon:", 60.0, 15.0)
            watch = store.watch(lambda *args: None)
            self.addCleanup(watch.close)
            watch.add("run")
            watch.wait(0)

            def wait(count: int) -> None:
                for _ in range(count):
                    watch.wait(PATIENCE)

            other.kill()
            self.assert_unavailable(
                "^the server does not answer: ",
                lambda: wait(9),
                lambda: wait(1),
                lambda: store.append([Append("run", NOWHERE, [entry((0, 1))], None)]),
                lambda: store.look(["run"]),
                lambda: store.read("run", BEGINNING, 1),
                lambda: [*store.infos()],
            )
            other.restart()
            self.assertEqual(store.append([Append("run", NOWHERE, [entry((0, 1))], None)]), [None])

    def test_a_user_who_may_not(self) -> None:
        self.addCleanup(self.command, "ACL", "DELUSER", "reader")
        self.command("ACL", "SETUSER", "reader", "on", "nopass", "~*", "&*", "+@all", "-xadd")
        store = self.store(username="reader", password="x")
        appends = [Append(run, NOWHERE, [entry((0, 1))], None) for run in ("run", "other")]
        for answer in store.append(appends):
            self.assertRegex(str(answer), "(?i)permission|can't run")
            self.assertNotIsInstance(answer, StoreUnavailable)
        with self.assertRaisesRegex(Exception, "(?i)permission|can't run") as caught:
            store.append(appends[:1])
        self.assertNotIsInstance(caught.exception, StoreUnavailable)

    def test_a_user_who_may_not_read(self) -> None:
        self.store().append([Append("run", NOWHERE, [entry((0, 1))], None)])
        self.addCleanup(self.command, "ACL", "DELUSER", "writer")
        self.command("ACL", "SETUSER", "writer", "on", "nopass", "~*", "&*", "+@all", "-xrevrange")
        store = self.store(username="writer", password="x")
        with self.assertRaisesRegex(Exception, "(?i)permission|can't run"):
            list(store.infos())

    def test_a_run_whose_node_is_gone_is_asked_for_elsewhere(self) -> None:
        store = self.store()
        store.append([Append("run", NOWHERE, [entry((0, 1))], None)])
        gone = client_of(self)
        gone.connection_pool.connection_kwargs["port"] = 1  # where nothing listens
        calls: list[tuple[str, Any]] = [("run", ()), ("other", ())]
        with mock.patch.object(store, "_client_of", return_value=gone):
            found, other = store._of_node("gone", redis._LOOK, calls)
            self.assertTrue(found.startswith("0-1 w "), found)
            self.assertIsInstance(other, StoreUnavailable)
            with mock.patch.object(store, "_one", side_effect=ValueError("x")):
                found, other = store._of_node("gone", redis._LOOK, calls)
        self.assertIsInstance(found, ValueError)
        self.assertIsInstance(other, StoreUnavailable)


@needs.redis
class Clusters(unittest.TestCase):
    def test_a_node_goes_while_others_are_written_and_followed(self) -> None:
        stack = ExitStack()
        self.addCleanup(stack.close)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        cluster = stack.enter_context(Cluster(folder, "--cluster-require-full-coverage", "no"))
        objects: list[Runs] = []
        for _ in range(2):
            runs = RedisRuns(client_of(self, cluster), lease=3.0, timeout=PATIENCE)
            self.addCleanup(runs.disconnect)
            objects.append(runs)
        writers = {name: objects[0].create(name) for name in map("run{}".format, range(12))}
        for writer in writers.values():
            writer.append(token(1))
            writer.flush()
        self.assertEqual({info.name for info in objects[1].infos()}, set(writers))
        followers = {name: objects[1].run(name).follow() for name in writers}
        for name, follower in followers.items():
            self.assertEqual(next(follower), tokens(1, run=name))
        subscribed = [
            node for node in cluster.nodes if node.command("CLIENT", "LIST", "TYPE", "pubsub")
        ]
        self.assertEqual(len(subscribed), 1)
        index = cluster.nodes.index(subscribed[0])
        subscribed[0].kill()
        left = {
            name: writer
            for name, writer in writers.items()
            if cluster.nodes[index - 1].command("CLUSTER", "KEYSLOT", f"axon:{name}") * 3 // 16384
            != index
        }
        self.assertTrue(left)
        for number in (2, 3):
            for name, writer in left.items():
                writer.append(token(number))
                self.assertEqual(next(followers[name]), tokens(1, number, run=name))


class Errors(unittest.TestCase):
    def test_which_pass(self) -> None:
        class ResponseError(Exception):
            pass

        def named(name: str, *bases: type[Exception]) -> Exception:
            kind: Any = type(name, bases or (Exception,), {})
            error: Exception = kind("x")
            return error

        for error, passes in (
            (ConnectionError("x"), True),
            (TimeoutError("x"), True),
            (named("RedisClusterException"), True),
            (named("BusyLoadingError", ConnectionError), True),
            (ValueError("I/O operation on closed file."), True),
            (named("ReadOnlyError", ResponseError), True),
            (named("OutOfMemoryError", ResponseError), True),
            (named("MovedError", type("AskError", (ResponseError,), {})), True),
            (named("TryAgainError", ResponseError), True),
            (ResponseError("NOREPLICAS Not enough good replicas to write."), True),
            (ResponseError("BUSY Redis is busy running a script."), True),
            (
                ResponseError("Error running: @user_script: 7: -OOM command not allowed"),
                True,
            ),
            (ResponseError("WRONGTYPE Operation against a key"), False),
            (ResponseError("no OOM here"), False),
            (named("NoPermissionError", ResponseError), False),
            (named("DataError"), False),
            (TypeError("x"), False),
        ):
            with self.subTest(error):
                translation = redis._translation(error)
                if passes:
                    self.assertIsInstance(translation, StoreUnavailable)
                    text = f"the server does not answer: {type(error).__name__}: {error}"
                    self.assertEqual(str(translation), text)
                else:
                    self.assertIs(translation, error)


class Arguments(unittest.TestCase):
    def test_the_client(self) -> None:
        class Redis:
            async def execute_command(self) -> None:
                pass

        bad: Any
        for bad in (None, "redis://localhost", Redis()):
            with self.assertRaisesRegex(
                TypeError,
                "^client must be a synchronous redis.Redis or redis.RedisCluster, got ",
            ):
                RedisRuns(bad)

    def test_the_prefix(self) -> None:
        bad: Any
        for bad in (None, b"axon:"):
            text = f"^prefix must be a str, got {type(bad).__name__}$"
            with self.assertRaisesRegex(TypeError, text):
                RedisRuns(mock.Mock(), prefix=bad)


if __name__ == "__main__":
    unittest.main()
