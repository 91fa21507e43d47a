# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What real servers, proxies and clients do with a run that `web` answers.

    SERVERS_FOLDER=FOLDER python -m unittest tests.gates.servers.checks

The interpreter must have what requirements.txt names, and the folder what package.json names: the
gate makes both. SERVERS_FULL=1 is the whole matrix.
"""

import contextlib
import http.client
import io
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import unittest
import urllib.request
import zlib
from pathlib import Path
from typing import Any, ClassVar

from axon_events import Event, StepToken, jsonl, sse, to_dict, to_json
from axon_events.client import events
from axon_events.order import check

from ... import ROOT
from ...host import blocks
from .clients import CLIENTS, Clients
from .relay import Relay
from .served import (
    RECORDING,
    SERVERS,
    Nginx,
    Process,
    Server,
    Service,
    free_port,
    snippet,
    until,
)

FOLDER = Path(os.environ["SERVERS_FOLDER"])
IS_FULL = bool(os.environ.get("SERVERS_FULL"))
SEED = random.SystemRandom().randrange(2**32)
# Some 25 frames, and more than the longest one.
CUT_AFTER = (3000, 6000)
CUT_AFTER_OF_GZIP = (1000, 1500)
HALF = 300
SECONDS_TO_LEAVE = {False: 2.0, True: 5.0}  # by whether it is WSGI
SECONDS_TO_STOP = 3.0

with RECORDING.open("rb") as file:
    EVENTS = list(jsonl.read(file))
DATA = [to_json(event) for event in EVENTS]


def text_of(count: int) -> str:
    """Return the text of the tokens among the first events."""
    return "".join(event.content for event in EVENTS[:count] if isinstance(event, StepToken))


class Stream:
    """An answer that is read frame by frame, from a socket.

    - `headers`: more lines of the request.
    """

    def __init__(self, port: int, run: str, *headers: str, method: str = "GET") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.connection.putrequest(method, f"/runs/{run}/events", skip_accept_encoding=True)
        for header in headers:
            self.connection.putheader(*header.split(": "))
        self.connection.endheaders()
        self.answer = self.connection.getresponse()
        self._decoder = sse.Decoder()
        self._frames: list[sse.Frame] = []
        is_gzip = self.answer.getheader("Content-Encoding") == "gzip"
        self._inflate = zlib.decompressobj(wbits=31) if is_gzip else None

    def frame(self) -> "sse.Frame | None":
        """Return the next frame, or None at the end of the answer."""
        while not self._frames:
            data = self.answer.read1(65536)
            if not data:
                return None
            if self._inflate is not None:
                data = self._inflate.decompress(data)
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


class Case(unittest.TestCase):
    clients: ClassVar[Clients]

    @classmethod
    def setUpClass(cls) -> None:
        cls.clients = Clients(FOLDER)
        cls.addClassCleanup(cls.clients.close)

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(dir=FOLDER, ignore_cleanup_errors=True)
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def served(self, name: str, **options: int) -> Service:
        return Service(SERVERS[name], self.folder / name, **options)

    def assert_reads_all(self, client: str, port: int, run: str, *, is_gzip: bool = False) -> None:
        """Have a client read a run through connections that are cut again and again."""
        limits = CUT_AFTER_OF_GZIP if is_gzip else CUT_AFTER
        started = time.monotonic()
        with self.subTest(client=client, seed=SEED), Relay(port, limits, SEED) as relay:
            data = self.clients.read(client, f"http://127.0.0.1:{relay.port}/runs/{run}/events")
            self.assertEqual(len(data), len(DATA))
            self.assertEqual(data, DATA)
            self.assertGreater(relay.connections, 10)
            seconds = time.monotonic() - started
            note(f"{run}: {len(data)} events, {relay.connections} connections, {seconds:.1f} s")

    def assert_wrote_no_traceback(self, service: Service) -> None:
        log = service.log.read_text("utf-8", "replace")
        if "Traceback" in log:
            self.fail(f"{log.count('Traceback')} tracebacks: {log[:3000]}")


def note(text: str) -> None:
    print(f"\n  {text}", end="", file=sys.stderr, flush=True)


class EveryServer(Case):
    """Each server by itself: a method for each is made below."""

    def check(self, name: str) -> None:
        with self.served(name, half=HALF) as service:
            for client in CLIENTS if IS_FULL else ["client.events"]:
                self.assert_reads_all(client, service.port, f"live-{name}-{client}")
            self.check_leaving(service, is_wsgi=SERVERS[name].is_wsgi)
            self.check_head(service)
            self.check_overtaken(service)
            self.check_stopping(name, service)
            self.assert_wrote_no_traceback(service)

    def check_leaving(self, service: Service, *, is_wsgi: bool) -> None:
        with self.subTest("50 clients leave"):
            streams = [Stream(service.port, "open-1") for _ in range(50)]
            for stream in streams:
                self.assertEqual(stream.answer.status, 200)
                self.assertIsNotNone(stream.frame())
            self.assertEqual(service.tell("followers"), 50)
            for stream in streams:
                stream.close()
            started = time.monotonic()
            left = until(lambda: service.tell("followers") == 0, SECONDS_TO_LEAVE[is_wsgi])
            self.assertTrue(left, service.tell("followers"))
            note(f"50 clients: left after {time.monotonic() - started:.2f} s")

    def check_head(self, service: Service) -> None:
        with self.subTest("HEAD does not follow"):
            for _ in range(3):
                stream = Stream(service.port, "open-1", method="HEAD")
                self.assertEqual(stream.answer.status, 200)
                self.assertEqual(stream.answer.getheader("Content-Type"), "text/event-stream")
                stream.close()
            self.assertEqual(service.tell("followers"), 0)

    def check_overtaken(self, service: Service) -> None:
        with self.subTest("a client that is overtaken"):
            stream = Stream(service.port, "bounded-1")
            first = stream.frame()
            self.assertIsNotNone(first)
            ended = threading.Event()

            def read() -> None:
                # How a server ends an answer in the middle differs.
                with contextlib.suppress(OSError, http.client.HTTPException):
                    while stream.frame() is not None:
                        pass
                ended.set()

            def flood() -> bool:
                service.tell("flood/bounded-1/1000")
                return ended.is_set()

            threading.Thread(target=read, daemon=True).start()
            self.assertTrue(until(flood, 30))
            stream.close()
            id = first.id if first else ""
            stream = Stream(service.port, "bounded-1", f"Last-Event-ID: {id}")
            self.assertEqual(stream.answer.status, 410)
            stream.close()
            self.assert_wrote_no_traceback(service)

    def check_stopping(self, name: str, service: Service) -> None:
        """Stop it by SIGTERM with three streams open, and start the next one in its place."""
        with self.subTest("SIGTERM"):
            half = threading.Barrier(4, timeout=30)
            received: list[list[Event]] = [[], [], []]

            def read(mine: list[Event]) -> None:
                for event in events(service.url("half-1"), timeout=30):
                    mine.append(event)
                    if len(mine) == HALF:
                        half.wait()

            threads = [
                threading.Thread(target=read, args=(mine,), daemon=True) for mine in received
            ]
            for thread in threads:
                thread.start()
            half.wait()
            started = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            gone = until(service.is_gone, SECONDS_TO_STOP)
            seconds = time.monotonic() - started
            service.end()
            with self.served(name, port=service.port):
                for thread in threads:
                    thread.join(60)
            self.assertTrue(gone, "it still runs")
            for mine in received:
                self.assertEqual(mine, EVENTS)
            note(f"SIGTERM: gone after {seconds:.2f} s, all clients went on")


def _method(name: str) -> object:
    def test(self: EveryServer) -> None:
        self.check(name)

    return test


for _name in SERVERS:
    setattr(EveryServer, f"test_{_name.replace('-', '_')}", _method(_name))


class EveryClient(Case):
    def test_direct(self) -> None:
        with self.served("uvloop") as service:
            for client in CLIENTS:
                self.assert_reads_all(client, service.port, f"live-{client}")
            self.assert_wrote_no_traceback(service)

    def test_behind_nginx_with_gzip(self) -> None:
        for name in SERVERS if IS_FULL else ["uvicorn", "gunicorn"]:
            with (
                self.subTest(name),
                self.served(name) as service,
                Nginx(service.port, self.folder / f"nginx-{name}") as nginx,
            ):
                for client in CLIENTS:
                    # These ask for what is not compressed.
                    is_gzip = client not in ("client.events", "httpx", "aiohttp")
                    run = f"live-nginx-{name}-{client}"
                    self.assert_reads_all(client, nginx.port, run, is_gzip=is_gzip)
                self.assert_wrote_no_traceback(service)

    def test_nginx_sends_each_event_at_once(self) -> None:
        for name in ("uvicorn", "gunicorn"):
            with (
                self.subTest(name),
                self.served(name) as service,
                Nginx(service.port, self.folder / f"nginx-{name}") as nginx,
            ):
                for headers in ((), ("Accept-Encoding: gzip",)):
                    run = f"open-{len(headers)}"
                    stream = Stream(nginx.port, run, *headers)
                    encoding = stream.answer.getheader("Content-Encoding")
                    self.assertEqual(encoding, "gzip" if headers else None)
                    for index in range(20):
                        frame = stream.frame()  # the next one is not sent before it has come
                        self.assertEqual(frame and frame.data, DATA[index])
                        service.tell(f"append/{run}/1")
                    stream.close()


class Documents(Case):
    """The snippets, except those that the matrix runs."""

    def test_the_service_with_its_page(self) -> None:
        text = snippet("serving.md", "FastAPI(")
        server = Server(lambda: {"service.py": text}, SERVERS["fastapi"].command)
        browser = self.clients.browser
        with Service(server, self.folder / "service") as service:
            page = f"http://127.0.0.1:{service.port}/"
            browser.open(page)
            browser.run(
                f"{WATCH} start.click(); await until(() => shown() === 'Grüße von der Seite ');"
            )
            first = browser.run("await until(() => ended() === 1); return listed()")
            ((run, outcome),) = first.items()
            self.assertEqual(outcome, "completed")
            summary = self.ask(service, f"runs/{run}")
            self.assertEqual(summary["outcome"], "completed")
            self.assertEqual(summary["steps"][0]["text"], "Grüße von der Seite ")
            received = list(events(f"{page}runs/{run}/events"))
            self.assertEqual(check(received), [])
            browser.run("start.click(); await until(() => shown() === 'Grüße '); cancel.click();")
            both = browser.run("await until(() => ended() === 2); return listed()")
            self.assertEqual(both.pop(run), "completed")
            ((run, outcome),) = both.items()
            self.assertEqual(outcome, "failed")
            *_, last = events(f"{page}runs/{run}/events")
            self.assertEqual(to_dict(last)["error"], "CancelledError: by the user")
            self.assert_wrote_no_traceback(service)

    def ask(self, service: Service, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/{path}") as answer:
            return json.load(answer)

    def test_the_page_of_a_run(self) -> None:
        """It goes on after a proxy's 502, and says that a run is not known."""
        page = snippet("clients.md", "onerror", "html server")
        page = page.replace('follow("events")', "follow(location.search.slice(1))")
        browser = self.clients.browser
        half = self.served("uvicorn", half=HALF)
        with half, Nginx(half.port, self.folder / "nginx", page) as nginx:
            address = f"http://127.0.0.1:{nginx.port}/page.html?/runs"
            browser.open(f"{address}/half-1/events")
            browser.run(f"{WATCH} await until(() => shown() === {json.dumps(text_of(HALF))});")
            half.process.send_signal(signal.SIGTERM)
            self.assertTrue(until(half.is_gone, SECONDS_TO_STOP))
            half.end()
            # nginx answers 502 for now, which ends the page's EventSource.
            log = self.folder / "nginx" / "log"
            self.assertTrue(until(lambda: "Connection refused" in log.read_text("utf-8"), 30))
            with self.served("uvicorn", port=half.port):
                said = "await until(() => state.textContent); return state.textContent"
                self.assertEqual(browser.run(said), "complete")
                self.assertEqual(browser.run("return shown()"), text_of(len(EVENTS)))
                browser.open(f"{address}/none/events")
                self.assertEqual(browser.run(f"{WATCH} {said}"), "lost: 404")

    def test_the_readme(self) -> None:
        """Its producer and its page, behind nginx."""
        folder = self.folder / "readme"
        folder.mkdir()
        (folder / "service.py").write_text(snippet("../README.md", "web.asgi", "python"), "utf-8")
        port = free_port()
        uvicorn = [sys.executable, *f"-m uvicorn service:app --port {port}".split()]
        page = snippet("../README.md", "EventSource", "html")
        with Process(uvicorn, folder, port), Nginx(port, self.folder / "nginx", page) as nginx:
            self.clients.browser.open(f"http://127.0.0.1:{nginx.port}/page.html")
            shown = "return document.querySelector('p').textContent"
            self.assertTrue(until(lambda: self.clients.browser.run(shown) == "Hello, world", 30))

    def test_events(self) -> None:
        with self.served("uvicorn") as service:
            text = snippet("clients.md", "import events").replace("8000", str(service.port))
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text.replace("/1/", "/live-1/"), "clients.md", "exec"), {})
            self.assertEqual(out.getvalue().splitlines(), [event.kind for event in EVENTS])

    def test_onmessage_gets_nothing(self) -> None:
        """As docs/clients.md says."""
        with self.served("uvicorn") as service:
            self.clients.browser.open(f"http://127.0.0.1:{service.port}/")
            script = f"""
                const source = new EventSource("{service.url("live-1")}");
                let messages = 0;
                source.onmessage = () => {{ messages += 1; }};
                await new Promise((end) => source.addEventListener("flow_complete", end));
                source.close();
                return messages;
            """
            self.assertEqual(self.clients.browser.run(script), 0)

    def test_every_snippet_is_run(self) -> None:
        """A snippet that was added has a check here, too."""
        pages = ("serving.md", "frameworks.md", "clients.md")
        found = [block for page in pages for block in blocks(ROOT / "docs" / page, "python server")]
        self.assertEqual(len(found), 2 + 8 + 3)


# In a page of the documents.
WATCH = """
window.until = (condition) => new Promise((resolve) => {
  const look = () => condition() ? resolve() : setTimeout(look, 10);
  look();
});
window.shown = () => document.getElementById("text").textContent;
window.listed = () => JSON.parse(document.getElementById("runs").textContent || "{}");
window.ended = () => Object.values(listed()).filter((outcome) => outcome !== "open").length;
"""

if __name__ == "__main__":
    unittest.main(verbosity=2)
