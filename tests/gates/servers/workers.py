# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What clients get from the services of docs/runs.md, whose workers are killed.

The figures, settings and rights are those of docs/stores.md.

    SERVERS_FOLDER=FOLDER python -m unittest tests.gates.servers.workers

The interpreter must have what requirements.txt names: the gate makes it.
"""

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import quote

from axon_events import Event, FlowError, FlowStart, StepToken, client, to_json
from axon_events.order import Rule, TruncatedStream, check
from axon_events.runs._core import Runs
from axon_events.runs.redis import RedisRuns
from axon_events.runs.sqlite import SqliteRuns

from ... import redis_server
from ...host import blocks
from .served import DOCS, Process, free_port, snippet, until

PAGE = DOCS / "runs.md"
STORES = DOCS / "stores.md"
FOLDER = Path(os.environ["SERVERS_FOLDER"])
WORKERS = 4
RUNS = 40
CLIENTS_OF_A_RUN = 2
WORDS = 40  # the service takes 0.1 s for each
WORDS_BEFORE_THE_KILL = 8
LEASE = 3.0  # seconds
PATIENCE = 60.0
SECONDS_TO_STOP = 5.0

COMPLETE = "flow_complete"
DIED = "flow_error: the worker died"
STOPPED = "flow_error: CancelledError: the server is shutting down"
TRUNCATED = TruncatedStream.__name__

UVICORN = "-m uvicorn service:app --workers 4 --port PORT --no-access-log"
GUNICORN = (
    "-m gunicorn service:app --workers 4 --worker-class uvicorn_worker.UvicornWorker --preload"
    " --bind 127.0.0.1:PORT --no-control-socket"
)

# Has each answer say which worker it comes from, and how many tasks that has.
WITH_THE_WORKER = """
import os

def with_the_worker(service):
    async def application(scope, receive, send):
        async def send_with_the_worker(message):
            if message["type"] == "http.response.start":
                own = {b"worker": os.getpid(), b"tasks": len(tasks)}
                message["headers"] += [(name, b"%d" % value) for name, value in own.items()]
            await send(message)
        await service(scope, receive, send_with_the_worker)
    return application

app = with_the_worker(app)
"""


def service_of_the_page() -> str:
    return snippet(PAGE.name, "async def cancel")


def leftovers_of_the_page() -> Any:
    names: dict[str, Any] = {}
    exec(compile(snippet(PAGE.name, "def end_leftovers"), PAGE, "exec"), names)
    return SimpleNamespace(**names)


def rights_of_the_page() -> list[str]:
    return snippet(STORES.name, "ACL SETUSER", "redis").replace("SECRET", "secret").split()


class Run(NamedTuple):
    name: str
    worker: int  # who writes it
    words: list[str]


class Service(Process):
    """A service of docs/runs.md with its workers."""

    def __init__(self, files: dict[str, str], command: str, folder: Path, **variables: str) -> None:
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        port = free_port()
        arguments = command.replace("PORT", str(port)).split()
        super().__init__(
            [sys.executable, *arguments], folder, port, PYTHONUNBUFFERED="1", **variables
        )

    def start(self) -> None:
        super().start()
        if not until(lambda: len(self.workers()) == WORKERS, PATIENCE):
            raise RuntimeError(f"not all workers answer: {self.log.read_text('utf-8')}")

    def url(self, run: str) -> str:
        return f"http://127.0.0.1:{self.port}/runs/{run}/events"

    def begin(self, words: list[str]) -> Run:
        url = f"http://127.0.0.1:{self.port}/runs?text={quote(' '.join(words))}"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as answer:
            return Run(json.load(answer), int(answer.headers["worker"]), words)

    def cancel(self, run: str) -> int:
        """Return the status of the answer."""
        url = f"http://127.0.0.1:{self.port}/runs/{run}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="DELETE")) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def workers(self) -> set[int]:
        """Return the workers that answer some requests."""
        return {int(headers["worker"]) for headers in self._answers()}

    def is_idle(self) -> bool:
        """Return whether the workers that answer some requests have no task left."""
        return {headers["tasks"] for headers in self._answers()} == {"0"}

    def _answers(self) -> list[Message]:
        """Return the headers of the answers to some requests."""
        with ThreadPoolExecutor(16) as pool:
            return [headers for headers in pool.map(self._ask, range(64)) if headers is not None]

    def _ask(self, number: int) -> Message | None:
        """Return the headers of an answer; None if its worker is killed meanwhile."""
        request = urllib.request.Request(self.url(f"none-{number}"), method="HEAD")
        try:
            with urllib.request.urlopen(request) as answer:  # it is being stopped
                return answer.headers  # type: ignore[no-any-return]
        except urllib.error.HTTPError as error:  # there is no such run
            with error:
                return error.headers
        except OSError:
            return None


class Client:
    """Reads a run in a thread of its own, from whichever worker answers."""

    def __init__(self, service: Service, run: Run) -> None:
        self.run = run
        self.received: list[Event] = []
        self._last_event_id = ""
        self._error: Exception | None = None
        self._url = service.url(run.name)
        self.go_on()

    def go_on(self) -> None:
        self._error = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # What comes after an id is judged with what came before it, by `check`.
        events = client.events(
            self._url,
            timeout=30,
            check=not self._last_event_id,
            last_event_id=self._last_event_id,
        )
        try:
            for event in events:
                self.received.append(event)
        except Exception as error:
            self._error = error
        self._last_event_id = events.last_event_id

    @property
    def tokens(self) -> list[StepToken]:
        return [event for event in list(self.received) if isinstance(event, StepToken)]

    def outcome(self) -> str:
        """Wait for its end, and return how it ended."""
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            return "it waits for ever"
        if self._error is not None:
            return type(self._error).__name__
        last = self.received[-1]
        return f"{last.kind}: {last.error}" if isinstance(last, FlowError) else last.kind


class Workers(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(dir=FOLDER, ignore_cleanup_errors=True)
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def test_sqlite(self) -> None:
        """With uvicorn; clients go on with what the gate resumes."""
        text = service_of_the_page()
        for old, new in {
            '"runs.db"': f'"runs.db", lease={LEASE}',
            "    begin(end_leftovers(runs))\n": "",
        }.items():
            self.assertEqual(text.count(old), 1)
            text = text.replace(old, new)
        files = self.files(text)
        with (
            Service(files, UVICORN, self.folder) as service,
            SqliteRuns(self.folder / "runs.db", lease=LEASE) as runs,
        ):
            clients = self.clients_of_killed_workers(service)
            self.assertEqual({each.outcome() for each in clients}, {TRUNCATED})
            asyncio.run(leftovers_of_the_page().end_leftovers(runs))
            for each in clients:
                each.go_on()
            for each in clients:
                self.assertEqual(each.outcome(), DIED)
                self.assert_got_each_once(each)
            self.check_cancelling(service)
            self.check_stopping(service)
            self.assert_wrote_no_traceback(service)

    def test_redis(self) -> None:
        """With gunicorn, which loads the service and forks; new workers end what others left."""
        text = service_of_the_page()
        lines = snippet(PAGE.name, "RedisRuns(").replace("=None))", f"=None), lease={LEASE})")
        for old, new in {
            "from axon_events.runs.sqlite import SqliteRuns\n": "",
            'runs = SqliteRuns("runs.db")\n': lines,
        }.items():
            self.assertEqual(text.count(old), 1)
            text = text.replace(old, new)
        files = self.files(text)
        (settings,) = re.findall(r"^\| server \| (.*)", STORES.read_text("utf-8"), re.M)
        options = re.findall(r"`([a-z-]+) ([a-z]+)`", settings)
        self.assertEqual(len(options), 3)
        arguments = [part for name, value in options for part in (f"--{name}", value)]
        with redis_server.Server(self.folder / "redis", *arguments) as server:
            server.command(*rights_of_the_page())
            url = f"redis://axon:secret@127.0.0.1:{server.port}"
            with Service(files, GUNICORN, self.folder, REDIS_URL=url) as service:
                clients = self.clients_of_killed_workers(service)
                outcomes = {each.outcome() for each in clients}
                self.assertIn(DIED, outcomes)
                self.assertLessEqual(outcomes, {DIED, TRUNCATED})
                self.check_cancelling(service)
                self.check_stopping(service)
                self.assert_wrote_no_traceback(service)
            self.assertEqual(server.command("ACL", "LOG"), [], "the ACL has refused something")

    def test_the_rights_in_a_cluster(self) -> None:
        (more,) = re.findall("a cluster also takes `(.*?)`", STORES.read_text("utf-8"))
        rights = [*rights_of_the_page(), *more.replace("\\|", "|").split()]
        with redis_server.Cluster(self.folder) as cluster:
            for node in cluster.nodes:
                node.command(*rights)
            with (
                closing(cluster.client(username="axon", password="secret")) as client,
                RedisRuns(client) as runs,
            ):
                for name in "abcdefgh":
                    with runs.create(name) as log:
                        log.append(FlowStart("Report", "local", 0))
                    self.assertEqual(b"".join(runs.run(name).follow()).count(b"\n\n"), 1)
                self.assertEqual({info.name for info in runs.infos()}, set("abcdefgh"))
            for node in cluster.nodes:
                self.assertEqual(node.command("ACL", "LOG"), [], "the ACL has refused something")

    def test_the_sizes(self) -> None:
        """The figures of the page: bytes of an event in each store, of a run, and connections."""
        page = STORES.read_text("utf-8")
        sqlite = re.findall("Some ([0-9]+) bytes for an event of 110 bytes", page)
        redis = re.findall("([0-9]+) to ([0-9]+) bytes for an event of 110 bytes", page)
        of_a_run = re.findall("([0-9]+) KiB for a run", page)
        connections = re.findall("At most ([0-9]+) connections", page)
        events = [StepToken("Summarise", "word", number, 10**12) for number in range(1000, 6000)]
        self.assertEqual({len(to_json(event)) for event in events}, {110})
        path = self.folder / "runs.db"
        with SqliteRuns(path) as runs:
            self.write(runs, "all", events)
        self.assert_near(path.stat().st_size / len(events), sqlite)
        with (
            redis_server.Server(self.folder / "redis") as server,
            closing(server.client()) as client,
            RedisRuns(client) as runs,
        ):
            self.write(runs, "all", events)
            self.write(runs, "each", events[:1000], is_flushed=True)
            all, each = (client.memory_usage(f"axon:{name}", samples=0) for name in ("all", "each"))
            self.assert_near(all / len(events), [redis[0][0]])
            self.assert_near(each / 1000, [redis[0][1]])
            names = [f"small-{number}" for number in range(100)]
            for name in names:
                self.write(runs, name, events[:1])
            self.assert_near(client.memory_usage("axon:small-0", samples=0) / 1024, of_a_run)
            followers = [runs.run(name).follow() for name in names for _ in range(3)]
            # Those of the runs, and one that asks.
            self.assertLessEqual(len(client.client_list()) - 1, int(connections[0]))
            del followers

    def write(
        self, runs: Runs, name: str, events: list[StepToken], *, is_flushed: bool = False
    ) -> None:
        with runs.create(name) as log:
            for event in events:
                log.append(event)
                if is_flushed:
                    log.flush()

    def assert_near(self, measured: float, said: list[str]) -> None:
        (figure,) = said
        self.assertLess(abs(measured / int(figure) - 1), 0.1, f"{measured}, not {figure}")

    def files(self, service: str) -> dict[str, str]:
        return {
            "service.py": service + WITH_THE_WORKER,
            "leftovers.py": snippet(PAGE.name, "def end_leftovers"),
        }

    def clients_of_killed_workers(self, service: Service) -> list[Client]:
        """Kill two workers of four, stop a third, and look at what all clients get.

        Return those of the runs of the workers that were killed.
        """
        before = service.workers()
        texts = [[f"{run}.{word}" for word in range(WORDS)] for run in range(RUNS)]
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(service.begin, texts))
        while len({run.worker for run in runs}) < WORKERS:
            self.assertLess(len(runs), 5 * RUNS, "a worker takes no request")
            runs.append(service.begin(texts[0]))
        clients = [Client(service, run) for run in runs for _ in range(CLIENTS_OF_A_RUN)]
        written = Counter(run.worker for run in runs)
        *killed, stopped, living = (worker for worker, _ in written.most_common())
        begun = until(
            lambda: all(len(each.tokens) >= WORDS_BEFORE_THE_KILL for each in clients), PATIENCE
        )
        self.assertTrue(begun)
        started = time.monotonic()
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        os.kill(stopped, signal.SIGTERM)
        self.assertTrue(until(lambda: len(service.workers() - before) == 3, PATIENCE))
        replaced = time.monotonic() - started
        outcomes: dict[int, Counter[str]] = {worker: Counter() for worker in before}
        for each in clients:
            outcomes[each.run.worker][each.outcome()] += 1
            self.assert_got_each_once(each)
        ended = time.monotonic() - started
        note(f"{len(runs)} runs, {len(clients)} clients: workers replaced after {replaced:.1f} s,")
        note(f"all clients ended after {ended:.1f} s: killed", outcomes[killed[0]], "and")
        note("", outcomes[killed[1]], "stopped", outcomes[stopped], "living", outcomes[living])
        self.assertEqual(set(outcomes[living]), {COMPLETE})
        self.assertEqual(set(outcomes[stopped]), {STOPPED})
        return [each for each in clients if each.run.worker in killed]

    def assert_got_each_once(self, each: Client) -> None:
        """That there is no hole and no copy in what a client got, and nothing is missing of a run.

        What is missing at its end, in a run that was closed, the client was told.
        """
        outcome, tokens = each.outcome(), each.tokens
        words = [f"{word} " for word in each.run.words]
        self.assertEqual([token.content for token in tokens], words[: len(tokens)])
        rules = {violation.rule for violation in check(each.received)}
        if outcome == TRUNCATED:
            self.assertLessEqual(rules, {Rule.NOT_TERMINATED, Rule.STEP_UNFINISHED})
        else:
            self.assertEqual(rules, set())
        if outcome == COMPLETE:
            self.assertEqual(len(tokens), len(words))

    def check_cancelling(self, service: Service) -> None:
        """Have any worker end a run, whoever writes it."""
        each = Client(service, service.begin([str(word) for word in range(1000)]))
        self.assertTrue(until(lambda: len(each.tokens) >= WORDS_BEFORE_THE_KILL, PATIENCE))
        self.assertEqual(service.cancel(each.run.name), 200)
        self.assertEqual(each.outcome(), "flow_error: by the user")
        self.assert_got_each_once(each)
        self.assertTrue(until(service.is_idle, PATIENCE), "its producer goes on")
        self.assertEqual(service.cancel(each.run.name), 409)
        for none in ("none", "a%20b"):
            self.assertEqual(service.cancel(none), 404)

    def check_stopping(self, service: Service) -> None:
        service.process.send_signal(signal.SIGTERM)
        self.assertTrue(until(service.is_gone, SECONDS_TO_STOP), "it still runs")

    def assert_wrote_no_traceback(self, service: Service) -> None:
        self.assertNotIn("Traceback", service.log.read_text("utf-8", "replace"))

    def test_every_snippet_is_run(self) -> None:
        """That none was added which no check here knows."""
        self.assertEqual(len(blocks(PAGE, "python server")), 3)


def note(*parts: object) -> None:
    print("\n ", *parts, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
