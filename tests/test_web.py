# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The answer to a client of a run: the right status, no follower left behind, an end in time.

The servers themselves are in the gates. Here stands the other side of their protocols: ASGI by hand
(asgi.readthedocs.io, HTTP & WebSocket 2.5, Lifespan 2.0), WSGI by the server of the standard
library under its validator.
"""

import asyncio
import email.message
import http.client
import itertools
import signal
import subprocess
import sys
import threading
import unittest
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any, ClassVar
from unittest import mock
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from axon_events import Event, FlowComplete, FlowStart, StepToken, web
from axon_events.replay import (
    CursorAhead,
    CursorExpired,
    ReplayLog,
    RunLost,
    RunUnknown,
    StoreUnavailable,
)

from . import PACKAGE, ROOT, needs
from .threads import PATIENCE, background, end_if_it_hangs, run, until

START = FlowStart("Report", "anthropic", 0)
END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 1, 2)
STREAM = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
KEEP_ALIVE = b": keep-alive\n\n"
SHUTDOWN = b": the server is shutting down: come again\n\n"
UNAVAILABLE = b": the run's store does not answer: come again\n\n"


def setUpModule() -> None:
    end_if_it_hangs()


def token(index: int) -> StepToken:
    return StepToken("Summarise", "", index, 0)


def log_of(*events: Event, **options: Any) -> ReplayLog:
    log = ReplayLog(stream_id="run", **options)
    for event in events:
        log.append(event)
    return log


def expired() -> ReplayLog:
    return log_of(START, token(1), token(2), max_events=1)


def disconnected() -> ReplayLog:
    log = log_of(START)
    log.disconnect()
    return log


class Follower:
    """What a store gives, in both colours: a keep-alive, and then an error."""

    has_all = False

    def __init__(self, error: Exception) -> None:
        self.items = itertools.cycle((None, error))
        self.closed = threading.Event()

    def __iter__(self) -> "Follower":
        return self

    def __next__(self) -> bytes:
        if (error := next(self.items)) is not None:
            raise error
        return KEEP_ALIVE

    async def __anext__(self) -> bytes:
        return next(self)

    def close(self) -> None:
        self.closed.set()


class Store:
    """A run of a store, whose call or whose follower raises."""

    def __init__(self, call: Exception | None = None, follower: Exception | None = None) -> None:
        self.call = call
        self.follower = Follower(follower or StopIteration())
        self.waits: list[float] = []

    def follow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0, wait: float = 0.0
    ) -> Follower:
        self.waits.append(wait)
        if self.call is not None:
            raise self.call
        return self.follower

    async def afollow(
        self, id: str | None = None, *, keep_alive: float | None = 15.0, wait: float = 0.0
    ) -> Follower:
        return self.follow(id, keep_alive=keep_alive, wait=wait)


def both(*arguments: Any, **options: Any) -> Iterator[tuple[int, dict[str, str], list[bytes]]]:
    """Yield the answer for threads and the one for loops: status, headers, and the whole body."""
    answer = web.response(*arguments, **options)
    yield answer.status, answer.headers, list(answer.body)

    async def whole() -> tuple[int, dict[str, str], list[bytes]]:
        answer = await web.aresponse(*arguments, **options)
        return answer.status, answer.headers, [piece async for piece in answer.body]

    yield run(whole())


@needs.asyncio_run
class Answers(unittest.TestCase):
    def assert_stream(self, expected: list[bytes], *arguments: Any, **options: Any) -> None:
        for status, headers, pieces in both(*arguments, **options):
            self.assertEqual((status, headers, pieces), (200, STREAM, expected))

    def assert_refusal(self, expected: int, text: str, *arguments: Any, **options: Any) -> None:
        content = f"{text}\n".encode()
        for status, headers, pieces in both(*arguments, **options):
            self.assertEqual((status, pieces), (expected, [content]))
            self.assertEqual(headers["Content-Type"], "text/plain; charset=utf-8")
            self.assertEqual(headers["Content-Length"], str(len(content)))
            self.assertEqual(headers["Cache-Control"], "no-cache, no-transform")
            self.assertEqual(headers.get("Allow"), "GET, HEAD" if expected == 405 else None)

    def test_the_frames_from_where_the_client_is(self) -> None:
        log = log_of(START, token(1), END)
        self.assert_stream([log.after()], log)
        self.assert_stream([log.after()], log, "")
        self.assert_stream([log.after("run:1")], log, "run:1")
        self.assert_stream([b"retry: 500\n\n", log.after()], log, retry_ms=500)
        self.assert_stream([b"retry: 0\n\n", log.after()], log, retry_ms=0)

    def test_a_client_that_has_all(self) -> None:
        empty = ReplayLog()
        empty.close()
        for log, id in ((log_of(START, END), "run:0.2"), (empty, "")):
            for method in ("GET", "HEAD"):
                for status, headers, pieces in both(log, id, method=method, retry_ms=5):
                    self.assertEqual((status, pieces), (204, []))
                    self.assertEqual(headers, {"Cache-Control": "no-cache, no-transform"})

    def test_what_cannot_be_had(self) -> None:
        log = log_of(START)
        self.assert_refusal(404, "there is no such run", None)
        self.assert_refusal(
            404, "expected an id of this run, such as 'run:17', got 'other:1'", log, "other:1"
        )
        self.assert_refusal(
            404,
            "this run has not given the id 'run:9': the last one is 'run:0.1'",
            log,
            "run:9",
            wait=0,
        )
        self.assert_refusal(
            410,
            "the frames from the beginning are not all kept: the oldest is 'run:2'",
            expired(),
        )
        self.assert_refusal(404, "no run of that name", Store(RunUnknown("no run of that name")))
        self.assert_refusal(410, "events are lost", Store(RunLost("events are lost")))

    def test_what_passes_is_no_error_to_an_event_source(self) -> None:
        store = Store(StoreUnavailable("10.0.0.7 refuses the connection"))
        self.assert_stream([b"retry: 2000\n\n" + UNAVAILABLE], store)
        self.assert_stream([b"retry: 5\n\n" + UNAVAILABLE], store, retry_ms=5)
        self.assert_stream([b"retry: 2000\n\n" + SHUTDOWN], disconnected())
        self.assert_stream([b"retry: 5\n\n" + SHUTDOWN], disconnected(), "run:9", retry_ms=5)

    def test_other_methods(self) -> None:
        for log in (log_of(START), None, disconnected(), Store(StoreUnavailable())):
            for method in ("POST", "OPTIONS", "get"):
                self.assert_refusal(405, "a run takes GET and HEAD", log, method=method)

    def test_head_has_the_head_of_get_and_neither_follows_nor_waits(self) -> None:
        for log in (
            log_of(START, END),
            None,
            expired(),
            disconnected(),
            Store(StoreUnavailable()),
            Store(RunLost("lost")),
        ):
            gets = both(log, retry_ms=5)
            for get, head in zip(gets, both(log, method="HEAD", retry_ms=5), strict=True):
                self.assertEqual(head, (*get[:2], []))
        for status, headers, pieces in both(log_of(START), method="HEAD"):
            self.assertEqual((status, headers, pieces), (200, STREAM, []))
        # GET waits for an id that may come.
        for log, options, expected in (
            (log_of(START), {}, 200),
            (log_of(START), {"wait": 0.0}, 404),
            (log_of(START, END), {}, 404),
            (Store(CursorAhead("7")), {}, 200),
        ):
            for status, _, pieces in both(log, "run:7", method="HEAD", **options):
                self.assertEqual((status, pieces), (expected, []))
        store = Store()
        for _ in both(store, method="HEAD"):
            self.assertTrue(store.follower.closed.is_set())
            store.follower.closed.clear()
        self.assertEqual(store.waits, [0.0, 0.0])

    def test_an_error_in_the_middle_ends_the_body(self) -> None:
        for error in (CursorExpired("gone", "run:9"), RunLost("lost"), StoreUnavailable("down")):
            self.assert_stream([KEEP_ALIVE], Store(follower=error))

    def test_a_client_that_is_overtaken_is_told_when_it_comes_back(self) -> None:
        log = log_of(START, token(1), max_events=2)
        answer = web.response(log)
        self.assertEqual(next(answer.body), log.after())
        for index in (2, 3, 4):
            log.append(token(index))
        self.assertEqual(list(answer.body), [])
        self.assertEqual(web.response(log, "run:1").status, 410)

    def test_an_error_that_is_not_the_runs_comes_out(self) -> None:
        with self.assertRaises(ZeroDivisionError):
            list(web.response(Store(follower=ZeroDivisionError())).body)
        with self.assertRaises(ZeroDivisionError):
            web.response(Store(ZeroDivisionError()))

    def test_a_run_is_disconnected_while_its_answer_is_made(self) -> None:
        class Late(Store):
            disconnected = False

            def follow(self, *arguments: Any, **options: Any) -> Follower:
                self.disconnected = True
                return super().follow(*arguments, **options)

        for _ in range(2):
            store = Late()
            self.assertEqual(list(web.response(store).body), [b"retry: 2000\n\n" + SHUTDOWN])
            self.assertTrue(store.follower.closed.is_set())

    def test_an_answer_is_ended_from_elsewhere(self) -> None:
        log = log_of(START)

        async def closed() -> None:
            for close in ("close", "aclose"):
                body = (await web.aresponse(log)).body
                self.assertEqual(await body.__anext__(), log.after())
                rest = asyncio.ensure_future(body.__anext__())
                await asyncio.sleep(0)
                if close == "close":
                    await asyncio.to_thread(body.close)
                else:
                    await body.aclose()
                with self.assertRaises(StopAsyncIteration):
                    await rest
            refused = (await web.aresponse(None)).body
            await refused.aclose()

        run(closed())

    @needs.threads
    def test_an_answer_of_a_thread_is_ended_from_elsewhere(self) -> None:
        log = log_of(START)
        body = web.response(log, keep_alive=None).body
        self.assertEqual(next(body), log.after())
        rest = background(lambda: list(body))
        body.close()
        self.assertEqual(rest.result(PATIENCE), [])
        web.response(None).body.close()

    def test_a_wrong_retry(self) -> None:
        calls: tuple[Callable[[Any], object], ...] = (
            lambda wrong: web.response(None, retry_ms=wrong),
            lambda wrong: run(web.aresponse(None, retry_ms=wrong)),
            lambda wrong: web.asgi(lambda scope: None, retry_ms=wrong),
            lambda wrong: web.wsgi(lambda environ: None, retry_ms=wrong),
        )
        for call in calls:
            for wrong in ("5", 5.0, True):
                with self.assertRaises(TypeError) as caught:
                    call(wrong)
                self.assertEqual(
                    str(caught.exception),
                    f"retry_ms must be an int or None, got {type(wrong).__name__}",
                )
        with self.assertRaises(ValueError) as caught_value:
            web.response(None, retry_ms=-1)
        self.assertEqual(
            str(caught_value.exception), "retry_ms must be 0 or more, in milliseconds, got -1"
        )

    def test_what_is_no_log(self) -> None:
        calls: tuple[Callable[[Any], object], ...] = (
            web.response,
            lambda wrong: run(web.aresponse(wrong)),
            lambda wrong: web.response(wrong, method="HEAD"),
        )
        for call in calls:
            wrong: Any
            for wrong in ({}, "run-7"):
                with self.assertRaises(TypeError) as caught:
                    call(wrong)
                self.assertEqual(
                    str(caught.exception),
                    f"log must be a ReplayLog, runs.run(name) or None, got {type(wrong).__name__}",
                )


class LastEventId(unittest.TestCase):
    def test_of_asgi(self) -> None:
        for headers, query, expected in (
            ([], b"", ""),
            ([(b"host", b"x"), (b"last-event-id", b"run:17")], b"", "run:17"),
            ([(b"last-event-id", b"run:17")], b"lastEventId=run:9", "run:17"),
            ([], b"a=b&lastEventId=run%3A9%2B", "run:9+"),
            ([(b"last-event-id", b"")], b"lastEventId=9", "9"),
            ([(b"last-event-id", b"")], b"lastEventId=", ""),
            ([(b"last-event-id", b"1"), (b"last-event-id", b"2")], b"", "1, 2"),
            ([], b"lastEventId=1&lastEventId=2", "1, 2"),
            ([], b"lasteventid=1", ""),
            ([(b"last-event-id", b"\xe2")], b"", "\xe2"),
        ):
            scope = {"type": "http", "headers": headers, "query_string": query}
            with self.subTest(scope):
                self.assertEqual(web.last_event_id(scope), expected)
        self.assertEqual(web.last_event_id({"type": "http", "headers": []}), "")

    def test_of_wsgi(self) -> None:
        for environ, expected in (
            ({"QUERY_STRING": ""}, ""),
            ({"HTTP_LAST_EVENT_ID": "run:17", "QUERY_STRING": "lastEventId=1"}, "run:17"),
            ({"HTTP_LAST_EVENT_ID": "", "QUERY_STRING": "lastEventId=run%3A9"}, "run:9"),
            ({"wsgi.version": (1, 0), "QUERY_STRING": "x&lastEventId=5"}, "5"),
        ):
            with self.subTest(environ):
                self.assertEqual(web.last_event_id(environ), expected)

    def test_of_headers(self) -> None:
        message = email.message.Message()
        message["LAST-EVENT-ID"] = "run:17"
        headers: Any
        for headers in (
            message,
            {"Last-Event-ID": "run:17"},
            {"last-event-id": "run:17", "headers": "x"},
            {"Host": "x", "LAST-event-ID": "run:17"},
        ):
            self.assertEqual(web.last_event_id(headers), "run:17")
        self.assertEqual(web.last_event_id({"Host": "x"}), "")

    def test_of_anything_else(self) -> None:
        with self.assertRaises(TypeError) as caught:
            web.last_event_id(object())
        self.assertEqual(
            str(caught.exception),
            "last_event_id takes a scope, an environ or headers (of a request: its scope, environ"
            " or headers), got object",
        )

    def test_a_request_that_is_a_mapping_is_none_of_them(self) -> None:
        class Request(dict[str, Any]):
            headers: ClassVar = {"Last-Event-ID": "17"}

        with self.assertRaisesRegex(TypeError, ", got Request$"):
            web.last_event_id(Request())


Message = MutableMapping[str, Any]


class Exchange:
    """A request to an ASGI application, by the other side of the protocol."""

    def __init__(self, app: Any, method: str = "GET", id: str = "") -> None:
        self.sent: list[Message] = []
        self.left = asyncio.Event()  # the client has
        self.takes = asyncio.Event()  # the client does
        self.takes.set()
        self.error: Exception | None = None  # what `send` raises
        self._incoming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
        scope = {
            "type": "http",
            "method": method,
            "path": "/runs/7",
            "query_string": b"",
            "headers": [(b"host", b"x"), (b"last-event-id", id.encode())],
        }
        self.task = asyncio.ensure_future(app(scope, self.receive, self.send))

    async def receive(self) -> Message:
        if self._incoming:
            return self._incoming.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if self.error is not None:
            raise self.error
        await self.takes.wait()

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def is_whole(self) -> bool:
        return self.sent[-1].get("more_body") is False

    async def follows(self, length: int) -> None:
        """Wait until that much of the body has come."""
        await until(lambda: len(self.body) >= length)


@needs.asyncio_run
class Asgi(unittest.TestCase):
    def test_a_run_to_its_end(self) -> None:
        log = log_of(START)

        async def main() -> None:
            exchange = Exchange(web.asgi(lambda scope: log, retry_ms=7))
            await exchange.follows(len(log.after()))
            log.append(token(1))
            log.append(END)
            await exchange.task
            headers = [(name.lower().encode(), text.encode()) for name, text in STREAM.items()]
            self.assertEqual(
                exchange.sent[0],
                {"type": "http.response.start", "status": 200, "headers": headers},
            )
            self.assertEqual(exchange.body, b"retry: 7\n\n" + log.after())
            self.assertTrue(exchange.is_whole)
            self.assertTrue(all(message["more_body"] for message in exchange.sent[1:-1]))
            back = Exchange(web.asgi(lambda scope: log), id="run:1.1")
            await back.task
            self.assertEqual((back.status, back.body, back.is_whole), (204, b"", True))

        run(main())

    def test_each_status_and_what_find_gives(self) -> None:
        log = log_of(START)

        def find(scope: Any) -> ReplayLog:
            if scope["path"] != "/runs/7":
                raise AssertionError(scope)
            return log

        async def afind(scope: Any) -> ReplayLog:
            await asyncio.sleep(0)
            return find(scope)

        def refuse(error: Exception) -> Callable[[Any], ReplayLog]:
            def refusing(scope: Any) -> ReplayLog:
                raise error

            return refusing

        async def main() -> None:
            finds: list[tuple[Any, str, str, int]] = [
                (find, "HEAD", "", 200),
                (afind, "HEAD", "", 200),
                (find, "GET", "other:1", 404),
                (afind, "GET", "run:9", 404),
                (lambda scope: None, "GET", "", 404),
                (lambda scope: expired(), "GET", "", 410),
                (refuse(AssertionError()), "POST", "", 405),
                (refuse(RunUnknown("no")), "GET", "", 404),
                (refuse(StoreUnavailable("no")), "GET", "", 200),
            ]
            for find_, method, id, status in finds:
                app = web.asgi(find_, wait=0)
                exchange = Exchange(app, method, id)
                await exchange.task
                self.assertEqual((exchange.status, exchange.is_whole), (status, True))
            with self.assertRaises(ZeroDivisionError):
                await Exchange(web.asgi(refuse(ZeroDivisionError()))).task

        run(main())

    def test_a_client_that_leaves(self) -> None:
        """At once, though `send` never fails, and no keep-alive is near."""
        log = log_of(START)

        async def main() -> None:
            before = asyncio.all_tasks()
            app = web.asgi(lambda scope: log, keep_alive=None)
            exchanges = [Exchange(app) for _ in range(50)]
            for exchange in exchanges:
                await exchange.follows(len(log.after()))
            for exchange in exchanges:
                exchange.left.set()
            await asyncio.gather(*(exchange.task for exchange in exchanges))
            self.assertFalse(any(exchange.is_whole for exchange in exchanges))
            log.append(token(1))
            self.assertEqual(exchanges[0].body, log_of(START).after())
            self.assertEqual(asyncio.all_tasks(), before)

        run(main())

    def test_a_client_that_leaves_before_its_answer(self) -> None:
        async def main() -> None:
            finds: tuple[tuple[Any, str], ...] = (
                (lambda scope: asyncio.sleep(3600), ""),
                (lambda scope: log_of(), "run:9"),
            )
            for find, id in finds:
                exchange = Exchange(web.asgi(find, wait=3600), id=id)
                await asyncio.sleep(0)
                exchange.left.set()
                await exchange.task
                self.assertEqual(exchange.sent, [])

        run(main())

    def test_a_send_that_fails(self) -> None:
        """As servers may tell that the client has left (ASGI HTTP 2.4)."""

        async def main() -> None:
            log = log_of(START)
            exchange = Exchange(web.asgi(lambda scope: log))
            await exchange.follows(1)
            exchange.error = ConnectionResetError()
            log.append(token(1))
            await exchange.task
            exchange = Exchange(web.asgi(lambda scope: log))
            exchange.error = ZeroDivisionError()
            with self.assertRaises(ZeroDivisionError):
                await exchange.task

        run(main())

    def test_an_error_of_the_run_in_the_middle(self) -> None:
        async def main() -> None:
            store = Store(follower=RunLost("lost"))
            exchange = Exchange(web.asgi(lambda scope: store))
            await exchange.task
            self.assertEqual((exchange.body, exchange.is_whole), (KEEP_ALIVE, True))
            self.assertTrue(store.follower.closed.is_set())

        run(main())

    def test_a_server_that_cancels(self) -> None:
        async def main() -> None:
            before = asyncio.all_tasks()
            log = log_of(START)
            exchange = Exchange(web.asgi(lambda scope: log))
            await exchange.follows(1)
            exchange.task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await exchange.task
            self.assertEqual(asyncio.all_tasks(), before)

        run(main())

    def test_disconnect(self) -> None:
        log = log_of(START)

        async def main() -> None:
            before = asyncio.all_tasks()
            app = web.asgi(lambda scope: log, keep_alive=None, wait=3600)
            streams = [Exchange(app) for _ in range(3)]
            for stream in streams:
                await stream.follows(1)
            ahead = Exchange(app, id="run:9")
            await asyncio.sleep(0)
            await asyncio.to_thread(app.disconnect)
            for stream in streams:
                await stream.task
                self.assertEqual((stream.body, stream.is_whole), (log.after(), True))
            await ahead.task
            for method in ("GET", "HEAD", "POST"):
                late = Exchange(app, method)
                await late.task
                self.assertEqual(late.status, 405 if method == "POST" else 200)
                if method == "GET":
                    self.assertEqual(late.body, ahead.body)
            self.assertEqual(ahead.body, b"retry: 2000\n\n" + SHUTDOWN)
            self.assertTrue(ahead.is_whole)
            self.assertEqual(asyncio.all_tasks(), before)

        run(main())

    @mock.patch.object(web, "_LAST_SECONDS", 0.01)
    def test_disconnect_cuts_who_takes_nothing(self) -> None:
        async def main() -> None:
            log = log_of(START)
            app = web.asgi(lambda scope: log)
            stuck = Exchange(app)
            stuck.takes.clear()
            await until(lambda: stuck.sent)
            app.disconnect()
            await stuck.task
            self.assertFalse(stuck.is_whole)

        run(main())

    @needs.threads
    def test_any_number_of_loops(self) -> None:
        log = log_of(START)
        app = web.asgi(lambda scope: log, keep_alive=None)
        follow = threading.Barrier(4)

        async def main() -> bytes:
            exchange = Exchange(app)
            await exchange.follows(1)
            await asyncio.to_thread(follow.wait)
            await exchange.task
            return exchange.body

        bodies = [background(lambda: run(main())) for _ in range(3)]
        follow.wait(PATIENCE)
        app.disconnect()
        self.assertEqual({body.result(PATIENCE) for body in bodies}, {log.after()})

    def test_lifespan(self) -> None:
        async def main() -> None:
            incoming = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
            sent: list[Message] = []

            async def receive() -> Message:
                return incoming.pop()

            async def send(message: Message) -> None:
                sent.append(message)

            await web.asgi(lambda scope: None)({"type": "lifespan"}, receive, send)
            self.assertEqual(
                [message["type"] for message in sent],
                ["lifespan.startup.complete", "lifespan.shutdown.complete"],
            )

        run(main())

    def test_websocket_and_others(self) -> None:
        async def main() -> None:
            incoming = [{"type": "websocket.connect"}]
            sent: list[Message] = []

            async def receive() -> Message:
                return incoming.pop()

            async def send(message: Message) -> None:
                sent.append(message)

            app = web.asgi(lambda scope: None)
            await app({"type": "websocket"}, receive, send)
            self.assertEqual((sent, incoming), ([{"type": "websocket.close"}], []))
            with self.assertRaises(ValueError) as caught:
                await app({"type": "telnet"}, receive, send)
            self.assertEqual(
                str(caught.exception),
                "expected a scope of http, websocket or lifespan, got 'telnet'",
            )

        run(main())


class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(app: Any) -> Iterator[Callable[..., http.client.HTTPResponse]]:
    """Serve an application; yield what makes a request of it."""
    responses: list[http.client.HTTPResponse] = []

    def request(path: str, method: str = "GET", id: str = "") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)
        connection.request(method, path, headers={"Last-Event-ID": id} if id else {})
        response = connection.getresponse()
        connection.close()  # the response keeps the socket
        responses.append(response)
        return response

    with make_server("127.0.0.1", 0, validator(app), Threads, Quiet) as server:
        serving = background(lambda: server.serve_forever(0.01))
        try:
            yield request
        finally:
            for response in responses:
                response.close()
            server.shutdown()
            serving.result(PATIENCE)


@needs.sockets
class Wsgi(unittest.TestCase):
    def test_a_server_that_refuses_the_head_leaves_no_body(self) -> None:
        log = log_of(START)
        app = web.wsgi(lambda environ: log)
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        with self.assertRaises(ZeroDivisionError):
            app(environ, lambda status, headers: 1 // 0)
        self.assertEqual(app._bodies, {})

    def test_arguments_are_judged_at_once(self) -> None:
        wrong: list[dict[str, Any]] = [{"retry_ms": -1}, {"keep_alive": 0}, {"wait": -1}]
        for make in (web.asgi, web.wsgi):
            for options in wrong:
                with self.subTest(options), self.assertRaises(ValueError):
                    make(lambda given: None, **options)

    def test_a_run_to_its_end(self) -> None:
        log = log_of(START)
        with served(web.wsgi(lambda environ: log, retry_ms=7)) as request:
            response = request("/")
            self.assertEqual(response.status, 200)
            self.assertLessEqual(STREAM.items(), dict(response.getheaders()).items())
            log.append(token(1))
            log.append(END)
            self.assertEqual(response.read(), b"retry: 7\n\n" + log.after())
            self.assertEqual(request("/?lastEventId=run:1").read()[10:], log.after("run:1"))

    def test_each_status(self) -> None:
        logs: dict[str, Any] = {
            "/open": log_of(START),
            "/ended": log_of(START, END),
            "/expired": expired(),
            "/down": Store(StoreUnavailable("down")),
        }

        def find(environ: dict[str, Any]) -> Any:
            if environ["PATH_INFO"] == "/raises":
                raise StoreUnavailable("down")
            return logs.get(environ["PATH_INFO"])

        with served(web.wsgi(find, wait=0.01)) as request:
            for path, method, id, status, reason in (
                ("/open", "HEAD", "", 200, "OK"),
                ("/ended", "GET", "", 200, "OK"),
                ("/ended", "GET", "run:0.2", 204, "No Content"),
                ("/ended", "HEAD", "run:0.2", 204, "No Content"),
                ("/none", "GET", "", 404, "Not Found"),
                ("/open", "GET", "run:9", 404, "Not Found"),
                ("/open", "HEAD", "run:9", 200, "OK"),  # where GET would wait
                ("/ended", "HEAD", "run:9", 404, "Not Found"),
                ("/none", "POST", "", 405, "Method Not Allowed"),
                ("/expired", "GET", "", 410, "Gone"),
                ("/down", "GET", "", 200, "OK"),
                ("/raises", "GET", "", 200, "OK"),
            ):
                with self.subTest(path, method=method, id=id):
                    response = request(path, method, id)
                    self.assertEqual((response.status, response.reason), (status, reason))
                    response.read()

    def test_a_client_that_leaves(self) -> None:
        """It is noticed by writing: here a keep-alive is due at once."""
        store = Store()
        follows = threading.Event()

        class Endless(Follower):
            def __next__(self) -> bytes:
                follows.set()
                return KEEP_ALIVE * 1000

        store.follower = Endless(StopIteration())
        with served(web.wsgi(lambda environ: store)) as request:
            response = request("/")
            self.assertTrue(follows.wait(PATIENCE))
            response.close()
            self.assertTrue(store.follower.closed.wait(PATIENCE))

    def test_disconnect(self) -> None:
        log = log_of(START)
        app = web.wsgi(lambda environ: log, keep_alive=None)
        with served(app) as request:
            streams = [request("/") for _ in range(3)]
            for stream in streams:
                self.assertEqual(stream.read(len(log.after())), log.after())
            app.disconnect()
            for stream in streams:
                self.assertEqual(stream.read(), b"")
            self.assertEqual(request("/").read(), b"retry: 2000\n\n" + SHUTDOWN)
            self.assertEqual(request("/", "POST").status, 405)
            self.assertEqual(request("/", id="run:9").read(), b"retry: 2000\n\n" + SHUTDOWN)

    @mock.patch.object(web, "_LOOK_SECONDS", 0.01)
    def test_disconnect_while_a_client_waits(self) -> None:
        asked = threading.Event()

        class Ahead(Store):
            def follow(self, *arguments: Any, **options: Any) -> Follower:
                self.waits.append(options["wait"])
                asked.set()
                return super().follow(*arguments, **options)

        store = Ahead(RunUnknown("not yet"))
        app = web.wsgi(lambda environ: store, wait=3600)
        with served(app) as request:
            answer = background(lambda: request("/").read())
            self.assertTrue(asked.wait(PATIENCE))
            app.disconnect()
            self.assertEqual(answer.result(PATIENCE), b"retry: 2000\n\n" + SHUTDOWN)
        self.assertLessEqual(max(store.waits), 0.01)  # since nothing else ends the wait


SIGNALLED = """
import signal, sys
from {package} import web

class Target:
    def disconnect(self):
        print("disconnected", flush=True)

def before(number, frame):
    print("before", signal.Signals(number).name, frame is not None, flush=True)

number = signal.Signals[sys.argv[1]]
kind = sys.argv[2]
before = {{"callable": before, "default": signal.SIG_DFL, "ignored": signal.SIG_IGN}}[kind]
signal.signal(number, before)
web.disconnect_on_signals(Target(), Target())
signal.raise_signal(number)
print("goes on", flush=True)
"""


@contextmanager
def restored_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


class Signals(unittest.TestCase):
    @needs.processes
    def test_the_targets_are_disconnected_and_the_signal_goes_on(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            for kind, expected, status in (
                ("callable", f"before {number.name} True\ngoes on\n", 0),
                ("default", "", -number),
                ("ignored", "goes on\n", 0),
            ):
                with self.subTest(number.name, before=kind):
                    ran = subprocess.run(
                        [
                            sys.executable,
                            *("-W", "error", "-c", SIGNALLED.format(package=PACKAGE)),
                            *(number.name, kind),
                        ],
                        cwd=ROOT,
                        capture_output=True,
                        text=True,
                        timeout=PATIENCE,
                        check=False,
                    )
                    self.assertEqual(ran.stderr, "")
                    self.assertEqual(ran.stdout, "disconnected\n" * 2 + expected)
                    self.assertEqual(ran.returncode, status)

    def test_the_same_in_this_process(self) -> None:
        raised: list[int] = []
        passed: list[int] = []
        for before, expected in (
            (lambda number, frame: passed.append(number), ([signal.SIGTERM], [])),
            (signal.SIG_DFL, ([], [signal.SIGTERM])),
            (signal.SIG_IGN, ([], [])),
        ):
            app = web.wsgi(lambda environ: None)
            log = log_of(START)
            with restored_signals(), mock.patch.object(signal, "raise_signal", raised.append):
                signal.signal(signal.SIGTERM, before)
                web.disconnect_on_signals(app, log)
                on_signal: Any = signal.getsignal(signal.SIGTERM)
                on_signal(signal.SIGTERM, None)
                if raised:
                    self.assertEqual(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)
            self.assertEqual((passed, raised), expected)
            self.assertTrue(log.disconnected)
            passed.clear()
            raised.clear()

    def test_a_target_that_fails_keeps_the_signal_from_nobody(self) -> None:
        class Failing:
            def disconnect(self) -> None:
                raise ZeroDivisionError

        passed: list[int] = []
        log = log_of(START)
        with restored_signals():
            signal.signal(signal.SIGTERM, lambda number, frame: passed.append(number))
            web.disconnect_on_signals(Failing(), log)
            with self.assertRaises(ZeroDivisionError):
                signal.raise_signal(signal.SIGTERM)
        self.assertEqual((passed, log.disconnected), ([signal.SIGTERM], True))

    def test_wrong_targets(self) -> None:
        """That these are refused at the call, and not when the signal comes."""
        wrong: tuple[tuple[tuple[Any, ...], str], ...] = (
            ((), "none"),
            (({},), "dict"),
            ((log_of(START), None), "NoneType"),
        )
        before = signal.getsignal(signal.SIGTERM)
        targets: Any
        for targets, got in wrong:
            with self.assertRaises(TypeError) as caught:
                web.disconnect_on_signals(*targets)
            self.assertEqual(
                str(caught.exception),
                "disconnect_on_signals takes one target or more, each with a disconnect(), got"
                f" {got}",
            )
        self.assertEqual(signal.getsignal(signal.SIGTERM), before)

    @needs.threads
    def test_another_thread(self) -> None:
        with self.assertRaises(RuntimeError) as caught:
            background(lambda: web.disconnect_on_signals(log_of(START))).result(PATIENCE)
        self.assertEqual(
            str(caught.exception),
            "disconnect_on_signals was called outside the main thread: call it in a"
            " lifespan or a worker's start hook",
        )


if __name__ == "__main__":
    unittest.main()
