# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What clients get from the services of docs/runs.md, with four workers that are killed.

    SERVERS_FOLDER=FOLDER python -m unittest tests.gates.servers.workers

The interpreter must have what requirements.txt names: the gate makes it.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import quote

from axon_events import Event, FlowError, StepToken
from axon_events import client as axon_client
from axon_events.order import Rule, TruncatedStream, check
from axon_events.runs.sqlite import SqliteRuns

from .served import Process, free_port, snippet, until

FOLDER = Path(os.environ["SERVERS_FOLDER"])
WORKERS = 4
RUNS = 40
CLIENTS_OF_A_RUN = 2
WORDS = 50
BEFORE_THE_KILL = 10  # events that each client has
LEASE = 3.0  # seconds
SECONDS_TO_STOP = 5.0
PATIENCE = 60.0

# Tells which worker has answered.
WITH_THE_WORKER = """
import os

def with_the_worker(service):
    async def application(scope, receive, send):
        async def send_with_the_worker(message):
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (b"worker", b"%d" % os.getpid())]
                message = {**message, "headers": headers}
            await send(message)
        await service(scope, receive, send_with_the_worker)
    return application

app = with_the_worker(app)
"""


class Service(Process):
    """A service of docs/runs.md with its workers."""

    def __init__(self, files: dict[str, str], command: str, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        port = free_port()
        command = command.replace("PORT", str(port))
        super().__init__([sys.executable, *command.split()], folder, port, PYTHONUNBUFFERED="1")

    def start(self) -> None:
        super().start()
        if not until(lambda: len(self.workers()) == WORKERS, PATIENCE):
            raise RuntimeError(f"not all workers answer: {self.log.read_text('utf-8')}")

    def url(self, run: str) -> str:
        return f"http://127.0.0.1:{self.port}/runs/{run}/events"

    def workers(self) -> set[int]:
        """Return which workers answer, as far as some requests show."""
        with ThreadPoolExecutor(16) as pool:
            return set(pool.map(lambda _: self.answering_worker(), range(64)))

    def answering_worker(self) -> int:
        try:
            request = urllib.request.Request(self.url("none"), method="HEAD")
            with urllib.request.urlopen(request) as answer:  # it is being stopped
                return int(answer.headers["worker"])
        except urllib.error.HTTPError as error:  # there is no such run
            with error:
                return int(error.headers["worker"])
        except OSError:  # it was killed meanwhile
            return 0

    def begin(self, text: str) -> "Run":
        url = f"http://127.0.0.1:{self.port}/runs?text={quote(text)}"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as answer:
            return Run(json.load(answer), int(answer.headers["worker"]), text.split())


class Run(NamedTuple):
    name: str
    worker: int
    words: list[str]


class Client:
    """Reads a run in a thread of its own, from whichever worker answers."""

    def __init__(self, service: Service, run: Run) -> None:
        self.run = run
        self.received: list[Event] = []
        self.last_event_id = ""
        self.error: Exception | None = None
        self._url = service.url(run.name)
        self.go_on()

    def go_on(self) -> None:
        self.error = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        events = axon_client.events(
            self._url, timeout=30, check=not self.received, last_event_id=self.last_event_id
        )
        try:
            for event in events:
                self.received.append(event)
        except Exception as error:
            self.error = error
        self.last_event_id = events.last_event_id

    def has_ended(self) -> bool:
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    @property
    def outcome(self) -> str:
        if self.error is not None:
            return type(self.error).__name__
        last = self.received[-1]
        return f"{last.kind}: {last.error}" if isinstance(last, FlowError) else last.kind


def note(text: str) -> None:
    print(f"\n  {text}", end="", file=sys.stderr, flush=True)


class Workers(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(dir=FOLDER, ignore_cleanup_errors=True)
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def test_sqlite(self) -> None:
        text = snippet("runs.md", "SqliteRuns(").replace('"runs.db"', f'"runs.db", lease={LEASE}')
        files = {"service.py": text + WITH_THE_WORKER}
        command = "-m uvicorn service:app --workers 4 --port PORT --no-access-log"
        with Service(files, command, self.folder / "sqlite") as service:
            clients = self.clients_of_killed_workers(service)
            self.assertLessEqual({client.outcome for client in clients}, {TruncatedStream.__name__})
            with SqliteRuns(self.folder / "sqlite" / "runs.db", lease=LEASE) as runs:
                asyncio.run(leftovers().end_leftovers(runs))
            for client in clients:
                client.go_on()
            for client in clients:
                self.assertTrue(client.has_ended())
                self.assertEqual(client.outcome, "flow_error: the worker died")
                self.assert_got(client)
                self.assertEqual(check(client.received), [])
            self.check_stopping(service)

    def clients_of_killed_workers(self, service: Service) -> list[Client]:
        """Kill two workers of four, stop a third, and look at what everybody gets.

        Return those who were reading a run of a worker that was killed.
        """
        started = time.monotonic()
        before = service.workers()
        texts = [" ".join(f"{run}.{word}" for word in range(WORDS)) for run in range(RUNS)]
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(service.begin, texts))
        clients = [Client(service, run) for run in runs for _ in range(CLIENTS_OF_A_RUN)]
        count = Counter(run.worker for run in runs)
        note(f"runs of the workers: {sorted(count.values())}")
        self.assertEqual(len(count), WORKERS)
        *killed, stopped, _ = (worker for worker, _ in count.most_common())
        in_the_middle = until(
            lambda: all(len(client.received) >= BEFORE_THE_KILL for client in clients), PATIENCE
        )
        self.assertTrue(in_the_middle)
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        os.kill(stopped, signal.SIGTERM)
        self.assertTrue(until(lambda: len(service.workers() - before - {0}) == 3, PATIENCE))
        note(f"the workers are replaced after {time.monotonic() - started:.1f} s")
        for client in clients:
            self.assertTrue(client.has_ended())
            self.assert_got(client)
        outcomes = {
            name: Counter(client.outcome for client in clients if client.run.worker in workers)
            for name, workers in {
                "killed": killed,
                "stopped": [stopped],
                "living": before - {*killed, stopped},
            }.items()
        }
        note(f"{len(clients)} clients after {time.monotonic() - started:.1f} s: {outcomes}")
        self.assertEqual(set(outcomes["living"]), {"flow_complete"})
        self.assertEqual(
            set(outcomes["stopped"]), {"flow_error: CancelledError: the server is shutting down"}
        )
        return [client for client in clients if client.run.worker in killed]

    def assert_got(self, client: Client) -> None:
        """That a client has no hole and no copy: the run from its beginning, as far as it came."""
        tokens = [event for event in client.received if isinstance(event, StepToken)]
        words = [f"{word} " for word in client.run.words]
        self.assertEqual([token.content for token in tokens], words[: len(tokens)])
        self.assertEqual([token.token_index for token in tokens], [*range(1, len(tokens) + 1)])
        violations = check(client.received)
        if isinstance(client.error, TruncatedStream):
            self.assertLessEqual({each.rule for each in violations}, {Rule.NOT_TERMINATED, Rule.STEP_UNFINISHED})
        else:
            self.assertEqual(violations, [])
        if client.outcome == "flow_complete":
            self.assertEqual(len(tokens), len(words))

    def check_stopping(self, service: Service) -> None:
        service.process.send_signal(signal.SIGTERM)
        self.assertTrue(until(service.is_gone, SECONDS_TO_STOP), "it still runs")
        log = service.log.read_text("utf-8", "replace")
        self.assertNotIn("Traceback", log)


def leftovers() -> Any:
    names: dict[str, Callable[..., Any]] = {}
    exec(compile(snippet("runs.md", "def end_leftovers"), "runs.md", "exec"), names)
    return SimpleNamespace(**names)


if __name__ == "__main__":
    unittest.main(verbosity=2)
