# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The server of `serve`, over real connections: the stream, its statuses, its page, its errors."""

import base64
import contextlib
import hashlib
import http.client
import io
import re
import socket
import socketserver
import struct
import sys
import threading
import unittest
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from axon_events import (
    EVENT_TYPES,
    Event,
    FlowComplete,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    jsonl,
    sse,
    to_json,
)
from axon_events.cli import page, pages
from axon_events.cli.pages import Server
from axon_events.cli.player import Player
from axon_events.cli.sites import Played

from . import CORPUS, needs
from .samples import frames_of

HOUR_MS = 3_600_000
START = FlowStart("Report", "anthropic", 1000)
STEP: list[Event] = [
    StepStart("Draft", 0, "generate", 1000),
    *(StepToken("Draft", f"word {n} ", n, 1000) for n in range(1, 6)),
    StepComplete("Draft", 0, True, "word", 1, 5, 1000),
]
END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 500, 1500)
FLOW = [START, *STEP, END]
# The last of them comes an hour after the others.
LATE_END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 500, 1000 + HOUR_MS)
RETRY = b"retry: 500\n\n"
LINUX = sys.platform == "linux"


def ids(events: Iterable[Event]) -> list[str]:
    decoder = sse.Decoder()
    return [frame.id for frame in decoder.feed(b"".join(frames_of(events)))]


@contextlib.contextmanager
def serving(
    events: Sequence[Event] = FLOW,
    *,
    host: str = "127.0.0.1",
    speed: float = 0.0,
    is_loop: bool = False,
    drop_after: int | None = None,
    allow_hosts: Iterable[str] = (),
) -> Iterator[Server]:
    """Serve events on a free port, in threads of this process."""
    played = Player(events, speed=speed, is_loop=is_loop)
    with Server(host, 0, Played(played), drop_after=drop_after, allow_hosts=allow_hosts) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def port_of(running: Server) -> int:
    port: int = running.socket.getsockname()[1]
    return port


@contextlib.contextmanager
def connected(running: Server, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.create_connection((host, port_of(running)), timeout=60) as connection:
        yield connection


class Answer:
    """What the server answers to one request: `status`, `headers`, `body`."""

    def __init__(self, running: Server, path: str, method: str = "GET", **headers: str) -> None:
        client = http.client.HTTPConnection("127.0.0.1", port_of(running), timeout=60)
        with contextlib.closing(client):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            client.request(method, path, headers=named)
            answer = client.getresponse()
            self.status = answer.status
            self.headers = answer.headers
            self.body = answer.read()


def stream(running: Server, id: str = "") -> Answer:
    return Answer(running, "/events", **({"Last_Event_ID": id} if id else {}))


def raw(running: Server, request: bytes, host: str = "127.0.0.1") -> bytes:
    """Send bytes, and return all that comes until the server closes the connection."""
    with connected(running, host) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"^HTTP/1.1 ([0-9]{3}) ", answers, re.M)]


@needs.sockets
class Stream(unittest.TestCase):
    def test_it_is_the_run(self) -> None:
        with serving() as running:
            for _ in range(2):  # also to those who come late
                answer = stream(running)
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.body, RETRY + b"".join(frames_of(FLOW)))

    def test_its_headers_are_what_proxies_need(self) -> None:
        with serving() as running:
            headers = dict(stream(running).headers)
        self.assertRegex(headers.pop("Date"), "GMT$")
        self.assertRegex(headers.pop("Server"), r"^axon_events/[0-9.]+$")
        self.assertEqual(
            headers,
            {
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",
                "Connection": "close",
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cross-Origin-Resource-Policy": "same-origin",
            },
        )

    def test_it_goes_on_after_each_id_and_is_204_after_the_last(self) -> None:
        for events in (FLOW, FLOW[:-1]):  # a run without a terminator ends as well
            frames, last = frames_of(events), ids(events)[-1]
            with self.subTest(last), serving(events) as running:
                stream(running)
                for n, id in enumerate(ids(events)[:-1], 1):
                    self.assertEqual(stream(running, id).body, RETRY + b"".join(frames[n:]))
                answer = stream(running, last)
                self.assertEqual((answer.status, answer.body), (204, b""))
                self.assertNotIn("Content-Length", answer.headers)
                self.assertNotIn("Content-Type", answer.headers)

    def test_an_id_that_was_not_given_is_404_and_says_why(self) -> None:
        with serving() as running:
            answer = stream(running, "3")  # the run has not begun
            self.assertEqual(answer.status, 404)
            self.assertIn(b"this run has not given the id '3'", answer.body)
            stream(running)
            for id in ("9", "5.9", "another:3", "x", "<b>", "0" * 1000, "\xe9"):
                with self.subTest(id[:10]):
                    answer = stream(running, id)
                    self.assertEqual(answer.status, 404)
                    self.assertRegex(answer.body, b"^(this run has not given|expected an id of) ")
                    self.assertEqual(answer.headers["Content-Type"], "text/plain; charset=utf-8")

    def test_blanks_around_an_id_are_no_part_of_it(self) -> None:
        with serving() as running:
            stream(running)
            for blank in (" ", "\t", " \t "):
                for id in (blank + ids(FLOW)[-1], ids(FLOW)[-1] + blank):
                    self.assertEqual(stream(running, id).status, 204)

    def test_several_ids_are_none_of_this_run(self) -> None:
        head = b"GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        with serving() as running:
            stream(running)
            for first, second, status in (
                (b"0.1", b"1", 404),
                (b"0.1", b"0.1", 404),
                (b"0.1", b"", 200),
                (b"", b"", 200),
            ):
                given = b"Last-Event-ID: %s\r\nLast-Event-ID: %s\r\n" % (first, second)
                answer = raw(running, head + given + b"\r\n")
                self.assertEqual(statuses(answer), [status])

    def test_a_connection_is_dropped_after_so_many_events(self) -> None:
        for number in range(1, len(FLOW) + 2):
            with self.subTest(number), serving(drop_after=number) as running:
                reader = sse.Reader()
                events: list[Event] = []
                connections = 0
                while (answer := stream(running, reader.last_event_id)).status == 200:
                    connections += 1
                    reader.reopen()
                    events += reader.feed(answer.body)
                reader.close()
                self.assertEqual(answer.status, 204)
                self.assertEqual(events, FLOW)
                self.assertEqual(connections, -(-len(FLOW) // number))

    def test_a_comment_does_not_count_as_an_event(self) -> None:
        comment, (first, second, third) = b": keep-alive\n\n", frames_of(FLOW[:3])
        for number, expected in ((1, [comment, first]), (2, [comment, first, comment, second])):
            pieces = iter([comment, first, comment, second + third])
            self.assertEqual(list(pages._cut(pieces, number)), expected)

    def test_a_large_frame_is_written_in_parts(self) -> None:
        # The time that a client has is for one write: a whole frame may take longer.
        sizes: list[int] = []
        writer: Any = vars(socketserver)["_SocketWriter"]
        write = writer.write

        def counting(self: Any, content: bytes) -> int:
            sizes.append(len(content))
            written: int = write(self, content)
            return written

        events: list[Event] = [START, StepStart("x" * 1_000_000, 0, "generate", 1000), END]
        for drop_after in (None, 2):
            with (
                mock.patch.object(writer, "write", counting),
                serving(events, drop_after=drop_after) as running,
            ):
                answer = stream(running)
            self.assertEqual(answer.body, RETRY + b"".join(frames_of(events)[:drop_after]))
        self.assertGreater(sum(sizes), 2_000_000)
        self.assertLessEqual(max(sizes), 65536)

    def test_a_keep_alive_comes_while_nothing_else_does(self) -> None:
        begin = RETRY + b"".join(frames_of([*FLOW[:-1]]))
        with (
            mock.patch.object(pages, "KEEP_ALIVE_SECONDS", 0.001),
            serving([*FLOW[:-1], LATE_END], speed=1.0) as running,
            connected(running) as connection,
        ):
            connection.sendall(b"GET /events HTTP/1.0\r\n\r\n")
            with connection.makefile("rb") as answer:
                while answer.readline() != b"\r\n":
                    pass
                self.assertEqual(answer.read(len(begin)), begin)
                self.assertEqual(answer.read(28), b": keep-alive\n\n" * 2)

    def test_it_ends_with_the_server(self) -> None:
        with contextlib.ExitStack() as later:
            with serving([*FLOW[:-1], LATE_END], speed=1.0) as running:
                connection = later.enter_context(connected(running))
                connection.sendall(b"GET /events HTTP/1.0\r\n\r\n")
                answer = later.enter_context(connection.makefile("rb"))
                while answer.readline() != b"data: " + to_json(FLOW[-2]).encode() + b"\n":
                    pass
            self.assertEqual(answer.read(), b"\n")

    def test_head_has_no_body_and_begins_nothing(self) -> None:
        with serving() as running:
            answer = Answer(running, "/events", "HEAD")
            self.assertEqual((answer.status, answer.body), (200, b""))
            self.assertEqual(answer.headers["Content-Type"], "text/event-stream")
            self.assertEqual(stream(running, ids(FLOW)[0]).status, 404)
            for path in (b"/", b"/fresh"):
                self.assertTrue(
                    raw(running, b"HEAD %s HTTP/1.0\r\n\r\n" % path).endswith(b"\r\n\r\n")
                )
            answer = Answer(running, "/", "HEAD")
            self.assertGreater(int(answer.headers["Content-Length"]), 1000)

    def test_a_client_that_goes_away_is_no_error(self) -> None:
        gone = threading.Event()
        errors = io.StringIO()
        close = Server.close_request

        def close_request(self: Server, request: Any) -> None:
            close(self, request)
            gone.set()

        with (
            contextlib.redirect_stderr(errors),
            mock.patch.object(pages, "KEEP_ALIVE_SECONDS", 0.001),
            mock.patch.object(Server, "close_request", close_request),
            serving([START, LATE_END], speed=1.0) as running,
        ):
            with connected(running) as connection:
                connection.sendall(b"GET /events HTTP/1.0\r\n\r\n")
                connection.recv(1)
                # It is reset, not closed, so that the next write fails.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.assertTrue(gone.wait(60))
        self.assertEqual(errors.getvalue(), "")

    def test_an_error_of_the_server_itself_is_shown(self) -> None:
        errors = io.StringIO()
        with (
            contextlib.redirect_stderr(errors),
            mock.patch.object(Player, "follow", side_effect=ZeroDivisionError),
            serving() as running,
        ):
            self.assertEqual(raw(running, b"GET /events HTTP/1.0\r\n\r\n"), b"")
        self.assertIn("ZeroDivisionError", errors.getvalue())


@needs.sockets
class Loop(unittest.TestCase):
    def test_each_round_comes_after_the_other(self) -> None:
        with serving(is_loop=True, drop_after=3) as running:
            reader = sse.Reader(check=False)
            events: list[Event] = []
            seen = []
            while len(events) < 4 * len(FLOW):
                answer = stream(running, reader.last_event_id)
                self.assertEqual(answer.status, 200)
                reader.reopen()
                events += reader.feed(answer.body)
                seen.append(reader.last_event_id)
            self.assertEqual(events, FLOW * 4)
            answer = stream(running, seen[0])
            self.assertEqual(answer.status, 410)
            self.assertIn(b"round 1, which has the id ", answer.body)

    def test_at_the_end_of_a_round_it_asks_for_a_pause(self) -> None:
        with serving(is_loop=True) as running:
            self.assertTrue(stream(running).body.endswith(b"\n\nretry: 2000\n\n"))
        with serving(is_loop=True, drop_after=3) as running:
            self.assertEqual(stream(running).body.count(b"retry: "), 1)


@needs.sockets
class Requests(unittest.TestCase):
    def test_there_are_two_paths(self) -> None:
        with serving() as running:
            for path in (
                "/fresh",
                "//",
                "//events",
                "/events/",
                "/Events",
                "/./events",
                "/../events",
                "/../etc/passwd",
                "/%2e%2e/%2e%2e/etc/passwd",
                "/page.html",
                "/..\\pages.py",
                "/events%00",
                "/events;x",
                "http://localhost/fresh",
                "http://localhost//events",
                "https://localhost/events",
                "http:/events",
                "?/events",
                "events",
                "*",
            ):
                with self.subTest(path):
                    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    answer = raw(running, request.encode())
                    self.assertEqual(statuses(answer), [404])
                    self.assertTrue(
                        answer.endswith(b"\r\n\r\n404 Not Found: the paths are / and /events\n")
                    )

    def test_a_query_may_have_the_id_that_no_header_has(self) -> None:
        frames, given = frames_of(FLOW), ids(FLOW)
        with serving() as running:
            stream(running)
            for query, body in (
                (f"lastEventId={given[2]}", RETRY + b"".join(frames[3:])),
                (f"fresh&lastEventId=%30.1&{given[2]}", RETRY + b"".join(frames[1:])),
                ("lastEventId=", RETRY + b"".join(frames)),
                ("LastEventId=9", RETRY + b"".join(frames)),
            ):
                with self.subTest(query):
                    answer = Answer(running, f"/events?{query}")
                    self.assertEqual((answer.status, answer.body), (200, body))
            for query, status, said in (
                (f"lastEventId={given[-1]}", 204, b""),
                ("lastEventId=9", 404, b"this run has not given the id '9'"),
                ("lastEventId=1&lastEventId=1", 404, b"expected an id of this run,"),
            ):
                with self.subTest(query):
                    answer = Answer(running, f"/events?{query}")
                    self.assertEqual(answer.status, status)
                    self.assertTrue(answer.body.startswith(said), answer.body)
            # The header counts, if it is not empty.
            for id, rest in ((given[2], frames[3:]), ("", frames[1:])):
                answer = Answer(running, f"/events?lastEventId={given[0]}", Last_Event_ID=id)
                self.assertEqual(answer.body, RETRY + b"".join(rest))

    def test_another_query_is_not_looked_at(self) -> None:
        with serving() as running:
            self.assertEqual(Answer(running, "/events?fresh=1/..").status, 200)
            self.assertEqual(Answer(running, "/?").status, 200)

    def test_a_target_with_a_host_counts_in_place_of_the_header(self) -> None:
        # RFC 9112, 3.2.2; the header must be there and well-formed nevertheless (3.2).
        with serving() as running:
            for target, host, status in (
                (f"http://127.0.0.1:{port_of(running)}/", "localhost", 200),
                ("HTTP://LocalHost", "localhost", 200),
                ("http://localhost?fresh", "localhost", 200),
                ("http://[::1]:80/events?/fresh", "localhost", 200),
                ("http://localhost/", "elsewhere", 200),
                ("http://elsewhere/", "localhost", 403),
                ("http://elsewhere/fresh", "localhost", 403),
                ("http:///", "localhost", 400),
                ("http://user@localhost/", "localhost", 400),
                ("http://localhost#/", "localhost", 400),
                ("http://localhost/", "localhost/", 400),
            ):
                for version in ("1.0", "1.1"):
                    with self.subTest(target, host=host, version=version):
                        request = f"GET {target} HTTP/{version}\r\nHost: {host}\r\n"
                        answer = raw(running, f"{request}Connection: close\r\n\r\n".encode())
                        self.assertEqual(statuses(answer), [status])
            for request, status in (
                ("GET http://localhost/ HTTP/1.1", 400),
                ("GET http://localhost/ HTTP/1.0", 200),
                ("GET http://elsewhere/ HTTP/1.0", 403),
            ):
                answer = raw(running, f"{request}\r\n\r\n".encode())
                self.assertEqual(statuses(answer), [status])

    def test_other_methods_are_405_and_say_which_there_are(self) -> None:
        with serving() as running:
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                for path in ("/", "/events"):
                    answer = Answer(running, path, method, Origin="http://elsewhere")
                    self.assertEqual(answer.status, 405)
                    self.assertEqual(answer.headers["Allow"], "GET, HEAD")
                self.assertEqual(Answer(running, "/fresh", method).status, 404)
            self.assertEqual(Answer(running, "/", "FRESH").status, 501)

    def test_no_page_elsewhere_may_read_it(self) -> None:
        with serving() as running:
            for method in ("GET", "OPTIONS"):
                for path in ("/", "/events", "/fresh"):
                    answer = Answer(running, path, method, Origin="http://elsewhere")
                    for header in answer.headers:
                        self.assertFalse(header.lower().startswith("access-control-"), header)

    def test_a_body_is_no_request(self) -> None:
        inner = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        length = b"Content-Length: %d\r\n" % len(inner)
        with serving() as running:
            for method, header, status in (
                (b"POST", length, 405),
                (b"GET", length, 200),
                (b"GET", b"Transfer-Encoding: chunked\r\n", 200),
            ):
                head = method + b" / HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n"
                answer = raw(running, head + inner)
                self.assertEqual(statuses(answer), [status])
                self.assertEqual(answer.count(b"\r\nConnection: close\r\n"), 1)

    def test_a_connection_is_kept_for_the_next_request(self) -> None:
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        with serving() as running:
            answers = raw(running, (request + b"\r\n") * 2 + request + b"Connection: close\r\n\r\n")
        self.assertEqual(statuses(answers), [200] * 3)
        # It is said where it is not.
        heads = re.split(rb"^HTTP/1.1 ", answers, flags=re.M)[1:]
        closing = [b"\r\nConnection: close\r\n" in head for head in heads]
        self.assertEqual(closing, [False, False, True])

    def test_what_is_too_large_or_no_request(self) -> None:
        large = b"x" * 100_000
        with serving() as running:
            for request, status in (
                (b"GET /" + large + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
                (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + large + b"\r\n\r\n", 431),
                (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
                (b"FRESH\r\n\r\n", 400),
                (b"GET / FRESH/1.1\r\n\r\n", 400),
                (b"GET / HTTP/9.9\r\n\r\n", 505),
            ):
                with self.subTest(request[:20]):
                    answer = raw(running, request)
                    self.assertEqual(statuses(answer), [status])
                    self.assertIn(b"\r\nContent-Type: text/plain; charset=utf-8\r\n", answer)
                    self.assertIn(b"\r\nConnection: close\r\n", answer)
                    self.assertNotIn(b"<", answer)

    def test_a_request_that_does_not_come_to_its_end_is_given_up(self) -> None:
        with mock.patch.object(pages._Connection, "timeout", 0.01), serving() as running:
            for request in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"):
                self.assertEqual(raw(running, request), b"")

    def test_what_a_client_sends_after_its_answer_is_read_for_a_while_only(self) -> None:
        with (
            mock.patch.object(pages, "LINGER_SECONDS", 0.01),
            serving() as running,
            connected(running) as connection,
            connection.makefile("rb") as answer,
        ):
            connection.sendall(b"GET /fresh HTTP/1.0\r\n\r\n")
            self.assertIn(b" 404 ", answer.read())  # and this side stays open
        with mock.patch.object(pages, "LINGER_SECONDS", 0.0), serving() as running:
            self.assertEqual(statuses(raw(running, b"GET /fresh HTTP/1.0\r\n\r\n")), [404])


@needs.sockets
class Hosts(unittest.TestCase):
    def status(self, running: Server, *hosts: str, version: str = "1.1", to: str = "") -> int:
        head = "".join(f"Host: {host}\r\n" for host in hosts)
        request = f"GET / HTTP/{version}\r\n{head}Connection: close\r\n\r\n"
        answer = raw(running, request.encode(), to or "127.0.0.1")
        (status,) = statuses(answer)
        return status

    def test_its_own_names_with_any_port(self) -> None:
        with serving() as running:
            for host in (
                "127.0.0.1",
                "localhost",
                "LocalHost",
                "localhost.",
                "[::1]",
                "[0:0::0:1]",
            ):
                for port in ("", ":", ":1", f":{port_of(running)}", ":99999"):
                    with self.subTest(host + port):
                        self.assertEqual(self.status(running, host + port), 200)

    def test_blanks_around_it_are_no_part_of_it(self) -> None:
        with serving() as running:
            for host in ("localhost ", "localhost:80\t", " \t[::1] \t"):
                self.assertEqual(self.status(running, host), 200)

    def test_another_name_is_403_for_every_path_and_method(self) -> None:
        with serving() as running:
            for host in (
                "elsewhere",
                "elsewhere:8765",
                "localhost..",
                "127.0.0.1.elsewhere",
                "10.0.0.1",
                "[::2]",
                ".",
            ):
                with self.subTest(host):
                    self.assertEqual(self.status(running, host), 403)
            for path, method in (("/events", "GET"), ("/", "HEAD"), ("/", "POST"), ("/x", "GET")):
                answer = Answer(running, path, method, Host="elsewhere")
                self.assertEqual(answer.status, 403)
            answer = stream(running, ids(FLOW)[0])
            self.assertEqual(answer.status, 404)  # so none of them has begun the run
            answer = Answer(running, "/", Host="elsewhere")
            self.assertIn(
                f"403 Forbidden: the Host is not this server: it is {running.url}",
                answer.body.decode(),
            )

    def test_the_403_says_how_to_allow_it_and_that_does(self) -> None:
        with serving(allow_hosts=["proxy.example"]) as running:
            answer = Answer(running, "/", Host="elsewhere")
            self.assertTrue(
                answer.body.endswith(b"; serve --allow-host NAME allows another name\n"),
                answer.body,
            )
            for host in ("proxy.example", "Proxy.Example.:443"):
                self.assertEqual(self.status(running, host), 200)
            self.assertEqual(self.status(running, "a.proxy.example"), 403)

    def test_none_or_several_or_a_bad_one_is_400(self) -> None:
        with serving() as running:
            self.assertEqual(self.status(running), 400)
            self.assertEqual(self.status(running, "localhost", "localhost"), 400)
            for host in (
                "",
                "localhost:x",
                "user@localhost",
                "localhost/",
                "[localhost]",
                "[127.0.0.1]",
                "[1:2]",
                "[::1].",
                "::1",
            ):
                with self.subTest(host):
                    self.assertEqual(self.status(running, host), 400)
            # The versions before did not have it; no browser speaks them.
            self.assertEqual(self.status(running, version="1.0"), 200)
            self.assertEqual(self.status(running, "elsewhere", version="1.0"), 403)

    @unittest.skipUnless(LINUX, "needs several addresses that are this machine's")
    def test_the_address_that_the_client_has_connected_to(self) -> None:
        for bound, address in (
            ("0.0.0.0", "0.0.0.0"),
            ("0", "0.0.0.0"),
            ("::", "[::]"),
            ("::0", "[::]"),
        ):
            try:
                serve = serving(host=bound)
                running = serve.__enter__()
            except OSError:
                continue  # a machine without IPv6
            with contextlib.ExitStack() as stack:
                stack.push(serve)
                self.assertEqual(self.status(running, "127.0.0.2:80", to="127.0.0.2"), 200)
                self.assertEqual(self.status(running, "127.0.0.3:80", to="127.0.0.2"), 403)
                # As a browser writes the host that the server was given.
                self.assertEqual(self.status(running, address, to="127.0.0.2"), 200)
                name = "127.0.0.1" if address == "0.0.0.0" else "[::1]"
                self.assertEqual(running.url, f"http://{name}:{port_of(running)}/")

    def test_the_name_that_it_was_given(self) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))]
        for host in ("Harbour.Example", "harbour.example."):
            serve = serving(host=host)
            with mock.patch.object(socket, "getaddrinfo", return_value=found):
                running = serve.__enter__()
            with contextlib.ExitStack() as stack:
                stack.push(serve)
                self.assertEqual(running.url, f"http://{host}:{port_of(running)}/")
                for name in ("harbour.example:80", "HARBOUR.example."):
                    self.assertEqual(self.status(running, name), 200)

    def test_ipv6(self) -> None:
        try:
            serve = serving(host="::1")
            running = serve.__enter__()
        except OSError:
            self.skipTest("this machine has no IPv6")
        with contextlib.ExitStack() as stack:
            stack.push(serve)
            self.assertEqual(running.url, f"http://[::1]:{port_of(running)}/")
            self.assertEqual(self.status(running, f"[::1]:{port_of(running)}", to="::1"), 200)


@needs.sockets
class Page(unittest.TestCase):
    def setUp(self) -> None:
        with serving() as running:
            self.answer = Answer(running, "/")
        self.page = self.answer.body.decode()

    def test_it_is_one_file(self) -> None:
        self.assertEqual(self.answer.status, 200)
        self.assertEqual(self.answer.headers["Content-Type"], "text/html; charset=utf-8")
        for resource in re.findall(r"""\b(?:src|href|action)=["']?([^"'\s>]*)""", self.page):
            self.assertEqual(resource, "data:,")
        for loading in ("url(", "@import", "import(", "http:", "https:", "//cdn"):
            self.assertNotIn(loading, self.page)

    def test_no_text_can_become_markup(self) -> None:
        for way in (
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "DOMParser",
            "Function(",
            "srcdoc",
            "ContextualFragment",
        ):
            self.assertNotIn(way, self.page)

    def test_its_policy_allows_its_own_script_and_style_alone(self) -> None:
        policy = dict(
            part.strip().split(" ", 1)
            for part in self.answer.headers["Content-Security-Policy"].split(";")
        )
        for tag in ("script", "style"):
            content = self.page.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            self.assertEqual(policy.pop(f"{tag}-src"), f"'sha256-{digest}'")
        self.assertEqual(
            policy,
            {
                "default-src": "'none'",
                "connect-src": "'self'",
                "img-src": "data:",
                "base-uri": "'none'",
                "form-action": "'none'",
                "frame-ancestors": "'none'",
            },
        )

    def test_it_listens_to_every_kind(self) -> None:
        table = self.page.split("const TAKE = {")[1].split("\n};")[0]
        kinds = re.findall(r"^  ([a-z_]+)(?=[:(])", table, re.M)
        self.assertEqual(kinds, list(EVENT_TYPES))

    def test_a_copy_without_it_says_so(self) -> None:
        with (
            mock.patch.object(page, "files", return_value=Path("no such folder")),
            serving() as running,
        ):
            answer = Answer(running, "/")
        self.assertEqual(answer.status, 500)
        self.assertIn(b"page.html, of this package: No such file or directory", answer.body)


@needs.sockets
class Recorded(unittest.TestCase):
    def test_the_recorded_flows_come_as_they_are(self) -> None:
        for path in sorted((CORPUS / "recorded").glob("*.jsonl")):
            with open(path, "rb") as file:
                events = list(jsonl.read(file))
            with self.subTest(path.name), serving(events) as running:
                self.assertEqual(stream(running).body, RETRY + b"".join(frames_of(events)))


if __name__ == "__main__":
    unittest.main()
