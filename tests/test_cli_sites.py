# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The runs of a store over real connections: their list, their pages and their streams."""

import contextlib
import tempfile
import threading
import unittest
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote, urljoin

from axon_events import Event, FlowComplete, FlowError, FlowStart, StepToken, sse
from axon_events.cli import page
from axon_events.cli.pages import Server
from axon_events.cli.sites import Stored
from axon_events.runs import RunInfo, StoreUnavailable
from axon_events.runs.sqlite import SqliteRuns

from . import needs
from .test_cli_page import Elements
from .test_cli_pages import RETRY, Answer
from .threads import PATIENCE, background, end_if_it_hangs

START = FlowStart("Report", "anthropic", 1_700_000_000_000)
TOKEN = StepToken("Draft", "x", 1, 1_700_000_001_000)
END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 500, 1_700_000_002_000)
ERROR = FlowError("Report", "no room", 1_700_000_003_000)
# What a path cannot have as it is, and markup.
NAMES = ("run-7", "team/7", "a%2Fb", "is?it#this", "..a", "<b>&\"'", "x/events", "%", "+")


def setUpModule() -> None:
    end_if_it_hangs()


@needs.sockets
class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "runs.db")
        self.runs = SqliteRuns(self.path)
        self.addCleanup(self.runs.close)

    def store(self, run: str, *events: Event, **options: Any) -> None:
        with SqliteRuns(self.path, **options) as runs, runs.create(run) as log:
            for event in events:
                log.append(event)
                log.flush()

    @contextlib.contextmanager
    def serving(self, **options: Any) -> Iterator[Server]:
        """Serve the store on a free port, as another process would."""
        site = Stored(SqliteRuns(self.path), "runs.db")
        with Server("127.0.0.1", 0, site, **options) as running:
            thread = threading.Thread(target=running.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield running
            finally:
                running.shutdown()
                thread.join()


class Paths(Case):
    def test_the_list_leads_to_each_run_whatever_its_name(self) -> None:
        for name in NAMES:
            self.store(name, START, END)
        with self.serving() as running:
            elements = Elements(Answer(running, "/").body.decode())
            links = [attributes["href"] or "" for tag, attributes in elements.tags if tag == "a"]
            paths = sorted(urljoin("/", link) for link in links)
            self.assertEqual(paths, sorted(f"/runs/{quote(name, safe='')}" for name in NAMES))
            for name in NAMES:
                with self.subTest(name):
                    path = f"/runs/{quote(name, safe='')}"
                    self.assertEqual(Answer(running, path).body.decode(), page.source())
                    answer = Answer(running, f"{path}/events")
                    self.assertEqual(answer.status, 200)
                    frames = sse.Decoder().feed(answer.body)
                    self.assertEqual([frame.id for frame in frames], [f"{name}:0.1", f"{name}:0.2"])

    def test_what_is_none_is_404_and_says_what_there_is(self) -> None:
        said = b"404 Not Found: the paths are /, /runs/NAME and /runs/NAME/events\n"
        with self.serving() as running:
            for path in (
                "/events",
                "/runs",
                "/runs/",
                "/runs//events",
                "/runs/a/b",
                "/runs/a/",
                "/x",
            ):
                with self.subTest(path):
                    answer = Answer(running, path)
                    self.assertEqual((answer.status, answer.body), (404, said))

    def test_other_methods_and_hosts_are_refused(self) -> None:
        self.store("run-7", START, END)
        with self.serving(allow_hosts=["proxy.example"]) as running:
            for path in ("/", "/runs/run-7", "/runs/run-7/events"):
                self.assertEqual(Answer(running, path, "POST").status, 405)
                self.assertEqual(Answer(running, path, Host="elsewhere").status, 403)
                self.assertEqual(Answer(running, path, Host="proxy.example").status, 200)


class Streams(Case):
    def test_a_run_is_followed_while_another_process_would_write_it(self) -> None:
        log = self.runs.create("run-7")
        log.append(START)
        log.flush()
        with (
            self.serving() as running,
            urllib.request.urlopen(f"{running.url}runs/run-7/events", timeout=PATIENCE) as answer,
        ):
            reader = iter(sse.read(answer, check=False))
            self.assertEqual(next(reader), START)
            for event in (TOKEN, END):
                log.append(event)
                self.assertEqual(next(reader), event)
            self.assertEqual([*reader], [])
        log.close()

    def test_a_client_waits_for_a_run_that_is_not_there_yet(self) -> None:
        asked = threading.Event()
        run = Stored.run

        def asking(site: Stored, path: str) -> Any:
            asked.set()
            return run(site, path)

        with mock.patch.object(Stored, "run", asking), self.serving() as running:
            answer = background(lambda: Answer(running, "/runs/late/events"))
            self.assertTrue(asked.wait(PATIENCE))
            self.store("late", START, END)
            self.assertEqual(answer.result(PATIENCE).status, 200)

    def test_each_status(self) -> None:
        self.store("run-7", START, TOKEN, END)
        self.store("late", START, TOKEN, END, max_events=1)
        with mock.patch.object(Stored, "wait", 0.01), self.serving() as running:
            for path, id, status, said in (
                ("run-7", "", 200, b""),
                ("run-7", "run-7:0.1", 200, b""),
                ("run-7", "run-7:1.1", 204, b""),
                ("run-7", "run-8:1", 404, b"expected an id of this run, such as 'run-7:17', got "),
                ("run-7", "run-7:9", 404, b"this run has not given the id 'run-7:9'"),
                ("none", "", 404, b"the store has no run 'none'\n"),
                ("%ff%0a", "", 404, b"the store has no run '\xef\xbf\xbd\\n'\n"),
                ("late", "", 410, b"the frames from the beginning are not all kept: the oldest is"),
            ):
                for method in ("GET", "HEAD"):
                    with self.subTest(path, id=id, method=method):
                        seen = {"Last_Event_ID": id} if id else {}
                        answer = Answer(running, f"/runs/{path}/events", method, **seen)
                        if method == "HEAD" and id == "run-7:9":
                            status = 200  # where GET waits
                        self.assertEqual(answer.status, status)
                        said = said if method == "GET" else b""
                        self.assertTrue(answer.body.startswith(said or RETRY[: len(answer.body)]))

    def test_a_connection_is_dropped_after_so_many_events(self) -> None:
        self.store("run-7", START, TOKEN, END)
        with mock.patch.object(Stored, "wait", 0.0), self.serving(drop_after=2) as running:
            frames = sse.Decoder().feed(Answer(running, "/runs/run-7/events").body)
            self.assertEqual([frame.id for frame in frames], ["run-7:0.1", "run-7:1"])
            answer = Answer(running, "/runs/none/events")  # which has no events
            self.assertEqual(answer.body, b"the store has no run 'none'\n")

    def test_they_end_with_the_server(self) -> None:
        with contextlib.ExitStack() as later:
            with self.serving() as running:
                log = later.enter_context(self.runs.create("run-7"))
                log.append(START)
                log.flush()
                url = f"{running.url}runs/run-7/events"
                answer = later.enter_context(urllib.request.urlopen(url, timeout=PATIENCE))
                while not answer.readline().startswith(b"data: "):
                    pass
            self.assertEqual(answer.read(), b"\n")


class Overview(Case):
    def rows(self, text: str) -> list[list[str]]:
        """Return the texts of each run in the list."""
        items = text.partition('<ol id="lanes"')[2].split("<li ")[1:]
        parts = (item.replace("</", "<").split("<") for item in items)
        return [
            [words for part in row if (words := part.partition(">")[2].strip())] for row in parts
        ]

    def test_the_newest_come_first_with_what_they_are(self) -> None:
        self.store("old", START, END)
        self.store("failed", START, ERROR)
        self.store("cut", START, TOKEN)
        with self.runs.create("going-on") as log, self.serving() as running:
            log.append(START)
            log.flush()
            answer = Answer(running, "/")
        self.assertEqual(answer.status, 200)
        self.assertEqual(
            self.rows(answer.body.decode()),
            [
                ["✗", "failed", "flow_error at 2023-11-14 22:13:23 UTC", "failed"],
                ["✓", "old", "flow_complete at 2023-11-14 22:13:22 UTC", "completed"],
                ["?", "cut", "step_token at 2023-11-14 22:13:21 UTC", "truncated"],
                ["●", "going-on", "flow_start at 2023-11-14 22:13:20 UTC", "not ended"],
            ],
        )

    def test_no_runs(self) -> None:
        with self.serving() as running:
            text = Answer(running, "/").body.decode()
        self.assertIn('<p class="note">The store has no runs.</p>', text)
        self.assertNotIn("<li ", text)

    def test_a_run_of_which_no_event_is_kept(self) -> None:
        rows = self.rows(page.overview("runs.db", [RunInfo("run-7", "", 0, True)]))
        self.assertEqual(rows, [["?", "run-7", "no event is kept", "truncated"]])

    def test_no_text_becomes_markup(self) -> None:
        text = page.overview("<i>.db", [RunInfo("<b>&\"'</li>", "<u>", 0, True)])
        tags = {tag for tag, _ in Elements(text).tags}
        self.assertFalse(tags & {"i", "b", "u"}, tags)
        self.assertEqual(text.count("</li>"), 1)

    def test_it_needs_nothing_else_and_may_load_nothing(self) -> None:
        self.store("run-7", START, END)
        with self.serving() as running:
            answer = Answer(running, "/")
            head = Answer(running, "/", "HEAD")
        self.assertEqual(head.headers["Content-Length"], str(len(answer.body)))
        policy = answer.headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'; ", policy)
        self.assertIn("; script-src ; ", policy)  # which allows none
        self.assertNotIn(b"<script", answer.body)
        style = answer.body.decode().split("<style>")[1].split("</style>")[0]
        self.assertIn(f"style-src {page._hash(style)}", policy)

    def test_a_store_that_does_not_answer_is_503(self) -> None:
        down = StoreUnavailable("the file does not answer")
        with self.serving() as running, mock.patch.object(SqliteRuns, "infos", side_effect=down):
            answer = Answer(running, "/")
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.body, b"503 Service Unavailable: the file does not answer\n")


if __name__ == "__main__":
    unittest.main()
