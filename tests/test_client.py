# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A client that goes on where it was: the numbers of `Session`, and `events` at bad servers."""

import gzip
import pickle
import random
import socket
import struct
import unittest
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from queue import Queue
from time import time
from typing import Any, Final
from unittest import mock
from urllib.error import URLError

from axon_events import (
    DecodeError,
    Event,
    client,
)
from axon_events.client import Refused, Session
from axon_events.order import OrderError, Rule, StreamChecker, TruncatedStream
from axon_events.sse import FrameTooLarge

from . import needs
from .effort import rounds
from .samples import FLOW, IDS, frames_of
from .threads import PATIENCE, end_if_it_hangs, join, started

FRAMES: Final = frames_of(FLOW)
STREAM: Final = b"".join(FRAMES)
SSE: Final = {"Content-Type": "text/event-stream"}
DAY: Final = 86_400.0


def setUpModule() -> None:
    end_if_it_hangs()


def frames_after(last_event_id: str) -> bytes:
    """Return what a server has for a client that says this."""
    return b"".join(FRAMES[IDS.index(last_event_id) + 1 :]) if last_event_id else STREAM


def session_of(*, jitter: float = 1.0, **options: Any) -> Session:
    """Return a session whose waits are not at random; by default they are as long as they get."""
    return Session(random=lambda: jitter, **options)


def fed(session: Session, *chunks: bytes) -> list[Event]:
    """Return the events of another connection."""
    if not session.respond(200, SSE):
        raise AssertionError("there is no body")
    return [event for chunk in chunks for event in session.feed(chunk)]


def calls(session: Session) -> list[Callable[[], object]]:
    """Return all calls that a fault ends."""
    return [
        session.request_headers,
        lambda: session.respond(200, SSE),
        lambda: session.feed(b""),
        lambda: session.feed_with_ids(b""),
        session.disconnected,
        lambda: session.disconnected(OSError()),
    ]


class Asking(unittest.TestCase):
    def test_the_first_request_and_those_after_it(self) -> None:
        session = session_of()
        self.assertEqual(session.request_headers(), {"Accept": "text/event-stream"})
        fed(session, FRAMES[0], FRAMES[1], FRAMES[2][:-1])
        session.disconnected()
        self.assertEqual(
            session.request_headers(), {"Accept": "text/event-stream", "Last-Event-ID": "0.2"}
        )
        fed(session, b"id\n\n")  # an empty id resets
        session.disconnected()
        self.assertEqual(session.request_headers(), {"Accept": "text/event-stream"})

    def test_it_begins_after_an_id(self) -> None:
        session = session_of(last_event_id="run:17.2")
        self.assertEqual(session.last_event_id, "run:17.2")
        self.assertEqual(session.request_headers()["Last-Event-ID"], "run:17.2")

    def test_an_id_that_is_not_ascii_is_its_utf_8_byte_by_byte(self) -> None:
        # As the Encoding and Fetch standards have `Last-Event-ID`: "UTF-8 encode", "isomorphic".
        session = session_of(last_event_id="…é😀")
        self.assertEqual(
            session.request_headers()["Last-Event-ID"].encode("latin-1"),
            b"\xe2\x80\xa6\xc3\xa9\xf0\x9f\x98\x80",
        )

    def test_an_id_that_would_be_another_header(self) -> None:
        for text in ("1\r\nX: y", "1\n", "1\0", "\ud800"):
            with self.subTest(text), self.assertRaisesRegex(ValueError, "^last_event_id must be"):
                Session(last_event_id=text)


class Answered(unittest.TestCase):
    """What `respond` makes of the head of an answer."""

    def test_a_stream(self) -> None:
        for media_type in (
            "text/event-stream",
            "text/event-stream; charset=utf-8",
            "text/event-stream;charset=UTF-8",
            "Text/Event-Stream ; x=y;",
            " text/event-stream\t",
        ):
            for name in ("Content-Type", "content-type", "CONTENT-TYPE"):
                with self.subTest(media_type, name=name):
                    self.assertIs(session_of().respond(200, {name: media_type}), True)
        for encoding in ("identity", "Identity", "", " identity "):
            with self.subTest(encoding):
                session_of().respond(200, {**SSE, "content-encoding": encoding})

    def refused(self, status: int, headers: dict[str, str], text: str) -> None:
        session = session_of()
        with self.assertRaises(Refused) as caught:
            session.respond(status, headers)
        refused = caught.exception
        self.assertEqual((refused.status, refused.body, str(refused)), (status, b"", text))
        self.assertFalse(session.done)
        for call in calls(session):
            with self.assertRaises(Refused) as again:
                call()
            self.assertIs(again.exception, refused)

    def test_another_media_type(self) -> None:
        for media_type in (
            *("text/html", "text/html; charset=utf-8", "application/json", "text/event-streams"),
            *("", "text", "text/event-stream, text/html", "x; text/event-stream"),
        ):
            text = f"expected the media type text/event-stream, got {media_type!r}"
            with self.subTest(media_type):
                self.refused(200, {"content-type": media_type}, text)
        self.refused(200, {}, "expected the media type text/event-stream, got ''")

    def test_what_comes_from_a_server_is_shown_in_part_and_escaped(self) -> None:
        with self.assertRaises(Refused) as caught:
            session_of().respond(200, {"content-type": "\x1b[31m\x9b" * 1000})
        self.assertLess(len(str(caught.exception)), 150)
        self.assertTrue(str(caught.exception).isprintable())

    def test_a_content_encoding(self) -> None:
        for encoding in ("gzip", "br", "zstd", "identity, gzip"):
            text = (
                f"expected no content encoding, got {encoding!r}:"
                " ask with 'Accept-Encoding: identity'"
            )
            with self.subTest(encoding):
                self.refused(200, {**SSE, "Content-Encoding": encoding}, text)

    def test_another_status(self) -> None:
        for status in (400, 401, 403, 404, 405, 406, 409, 410, 418, 422, 451, 499, 201, 205, 206):
            with self.subTest(status):
                self.refused(status, SSE, f"expected the status 200, got {status}")
        for status in (301, 302, 304, 307, 308):
            text = f"expected the status 200, got {status}: let the HTTP client follow redirects"
            with self.subTest(status):
                self.refused(status, SSE, text)

    def test_a_status_that_says_later(self) -> None:
        for status in (408, 425, 429, 500, 501, 502, 503, 504, 599):
            with self.subTest(status):
                session = session_of()
                self.assertIs(session.respond(status, {"content-type": "text/html"}), False)
                self.assertFalse(session.done)
                self.assertEqual(session.disconnected(), 2.0)
                self.assertEqual(fed(session, STREAM), list(FLOW))

    def test_what_is_refused_pickles_with_its_body(self) -> None:
        refused = Refused(404, "expected the status 200, got 404")
        refused.body = b"<html>\n" * 100
        again = pickle.loads(pickle.dumps(refused))
        self.assertEqual((type(again), again.status, again.body), (Refused, 404, refused.body))
        self.assertEqual(str(again), str(refused))
        self.assertIn(r"; its body begins with b'<html>\n<html>\n", str(again))
        self.assertLess(len(str(again)), 400)


class NoContent(unittest.TestCase):
    """204: the server has nothing more."""

    def test_before_the_terminator_it_is_a_truncated_stream(self) -> None:
        session = session_of()
        fed(session, *FRAMES[:3])
        session.disconnected()
        with self.assertRaises(TruncatedStream) as caught:
            session.respond(204, {})
        self.assertFalse(session.done)
        for call in calls(session):
            with self.assertRaises(TruncatedStream) as again:
                call()
            self.assertIs(again.exception, caught.exception)

    def test_of_a_run_that_it_was_asked_for_from_the_beginning(self) -> None:
        with self.assertRaises(TruncatedStream):
            session_of().respond(204, {})

    def test_it_answers_the_id_that_the_session_was_made_with(self) -> None:
        for connections in (0, 1, 3):
            session = session_of(last_event_id="run:2.2")
            for _ in range(connections):
                fed(session, b": keep-alive\n\nevent: ping\ndata\n\n")
                session.disconnected()
            self.assertIs(session.respond(204, {}), False)
            self.assertIs(session.done, True)
            self.assertEqual(session.disconnected(), 0.0)

    def test_it_answers_another_id_or_later_events(self) -> None:
        token = FRAMES[3].partition(b"\n")[2]
        for more in (FRAMES[3], b"id: 9\n\n", token, b"id\n\n"):
            session = session_of(last_event_id="1")
            fed(session, more)
            session.disconnected()
            with self.subTest(more), self.assertRaises(TruncatedStream):
                session.respond(204, {})

    def test_it_is_enough_where_no_terminator_is_asked_for(self) -> None:
        for check in (False, StreamChecker(allow=[Rule.NOT_TERMINATED])):
            session = session_of(check=check)
            fed(session, *FRAMES[:3])
            session.disconnected()
            self.assertIs(session.respond(204, {}), False)
            self.assertIs(session.done, True)
            self.assertEqual(session.disconnected(), 0.0)
            self.assertIs(session.done, True)


class Waits(unittest.TestCase):
    """How long to wait, in numbers: nothing sleeps here."""

    def test_after_a_connection_with_a_frame(self) -> None:
        for retry, wait in (
            (b"", 1.0),
            (b"retry: 0\n", 0.0),
            (b"retry: 1\n", 0.001),
            (b"retry: 250\n", 0.25),
            (b"retry: 45000\n", 45.0),
            (b"retry: 86400001\n", DAY),
            (b"retry: %d\n" % 10**17, DAY),
            (b"retry: %d\n" % 10**18, 1.0),  # more digits than the decoder takes
        ):
            with self.subTest(retry):
                session = session_of()
                fed(session, retry + FRAMES[0])
                self.assertEqual(session.disconnected(), wait)
                fed(session, FRAMES[1])
                self.assertEqual(session.disconnected(), wait)

    def test_after_connections_without_a_frame(self) -> None:
        for retry, waits in (
            (None, [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]),
            (0, [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]),
            (500, [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]),
            (3_000, [6.0, 12.0, 24.0, 30.0, 30.0, 30.0]),
            (20_000, [30.0, 30.0]),
            (40_000, [40.0, 40.0]),
            (10**17, [DAY, DAY]),
        ):
            session = session_of()
            if retry is not None:
                fed(session, b"retry: %d\n" % retry, FRAMES[0])
                session.disconnected()
            with self.subTest(retry):
                # As the rule is written.
                seconds = 1.0 if retry is None else retry / 1000
                for n, wait in enumerate(waits, 1):
                    by_rule = max(seconds, min(30.0, max(seconds, 1.0) * 2**n))
                    self.assertEqual(min(by_rule, DAY), wait)
                self.assertEqual([session.disconnected(OSError()) for _ in waits], waits)
                # One frame, and it is as before.
                fed(session, b"event: ping\ndata\n\n")
                self.assertEqual(session.disconnected(), min(seconds, DAY))
                self.assertEqual(session.disconnected(), waits[0])

    def test_bytes_that_are_no_frame_make_no_shorter_wait_but_last_for_ever(self) -> None:
        session = session_of(give_up=2)
        waits = []
        for _ in range(2_000):
            fed(session, b"retry: 100\n\n: come again\n\n")
            waits.append(session.disconnected())
        self.assertEqual(waits[:6], [2.0, 4.0, 8.0, 16.0, 30.0, 30.0])
        self.assertEqual(set(waits[6:]), {30.0})

    def test_half_to_all_of_it_at_random(self) -> None:
        for jitter, share in ((0.0, 0.5), (0.5, 0.75), (1.0, 1.0)):
            session = session_of(jitter=jitter)
            with self.subTest(jitter):
                self.assertEqual([session.disconnected() for _ in range(2)], [2 * share, 4 * share])
                fed(session, b"retry: %d\n" % 10**17 + FRAMES[0])
                self.assertEqual(session.disconnected(), DAY * share)

    def test_two_sessions_do_not_wait_alike(self) -> None:
        waits = {Session().disconnected() for _ in range(50)}
        self.assertGreater(len(waits), 40)
        self.assertTrue(all(1.0 <= wait <= 2.0 for wait in waits), waits)

    def test_not_before_retry_after_says(self) -> None:
        for value, wait in (
            *(("0", 2.0), ("1", 2.0), ("2", 2.0), ("3", 3.0), (" 120 ", 120.0)),
            *(("86400", DAY), ("86401", DAY), ("9" * 400, DAY), ("00000003", 3.0)),
            # What is neither a number of seconds nor a date says nothing.
            *(
                ("", 2.0),
                ("-5", 2.0),
                ("5.5", 2.0),
                ("1e3", 2.0),
                ("soon", 2.0),
                ("\u0665\u0665", 2.0),
            ),
            *(
                ("Sun, 06 Nov 19949 08:49:37 GMT", 2.0),
                (f"Sun, 06 Nov {10**20} 08:49:37 GMT", 2.0),
            ),
            # The three forms of a date (RFC 9110, 5.6.7), in the past.
            *(("Sun, 06 Nov 1994 08:49:37 GMT", 2.0), ("Sunday, 06-Nov-94 08:49:37 GMT", 2.0)),
            ("Sun Nov  6 08:49:37 1994", 2.0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        ):
            for status in (503, 429):
                with self.subTest(f"{value:.40}", status=status):
                    session = session_of()
                    session.respond(status, {"Retry-After": value})
                    self.assertEqual(session.disconnected(), wait)
                    self.assertEqual(session.disconnected(), 4.0)  # it was for one wait

    def test_retry_after_by_a_date(self) -> None:
        session = session_of()
        before = time()
        session.respond(503, {"retry-after": formatdate(int(before) + 1_000, usegmt=True)})
        wait = session.disconnected()
        self.assertLessEqual(wait, 1_000)
        self.assertGreaterEqual(wait, 1_000 - (time() - int(before)))

    def test_a_longer_wait_stands(self) -> None:
        session = session_of()
        fed(session, b"retry: 60000\n" + FRAMES[0])
        session.disconnected()
        session.respond(503, {"retry-after": "5"})
        self.assertEqual(session.disconnected(), 60.0)


class GivesUp(unittest.TestCase):
    def test_after_ten_connections_without_a_byte(self) -> None:
        session = session_of()
        errors = [OSError(f"refused, {number}") for number in range(10)]
        for error in errors[:9]:
            session.disconnected(error)
        with self.assertRaises(OSError) as caught:
            session.disconnected(errors[9])
        self.assertIs(caught.exception, errors[9])
        self.assertFalse(session.done)
        for call in calls(session):
            with self.assertRaises(OSError) as again:
                call()
            self.assertIs(again.exception, errors[9])

    def test_a_connection_error_if_there_was_none(self) -> None:
        session = session_of(give_up=3)
        for _ in range(2):
            fed(session, b"")
            session.disconnected()
        session.respond(503, {})
        text = (
            "^connections that brought not one byte of a stream, in a row: 3;"
            " the last was answered with the status 503$"
        )
        with self.assertRaisesRegex(ConnectionError, text):
            session.disconnected()
        with self.assertRaisesRegex(ConnectionError, " of a stream, in a row: 1$"):
            session_of(give_up=1).disconnected()

    def test_one_byte_and_it_counts_anew(self) -> None:
        session = session_of(give_up=2)
        for _ in range(5):
            session.disconnected(OSError())
            fed(session, b":")
            session.disconnected(OSError())
        session.disconnected(OSError())
        self.assertRaises(TimeoutError, session.disconnected, TimeoutError())

    def test_another_number(self) -> None:
        for number in (0, -1):
            text = f"^give_up must be 1 or more, got {number}$"
            with self.assertRaisesRegex(ValueError, text):
                Session(give_up=number)
        others: list[Any] = [None, 1.5, "3", True]
        for other in others:
            text = f"^give_up must be an int, got {type(other).__name__}$"
            with self.assertRaisesRegex(TypeError, text):
                Session(give_up=other)


class Receiving(unittest.TestCase):
    def test_a_flow_over_connections_that_are_cut_at_every_byte(self) -> None:
        stream = b"retry: 5\n\n: hello\n\n" + STREAM
        for cut in range(len(stream) + 1):
            with self.subTest(cut):
                session = session_of()
                events = fed(session, stream[:cut])
                if not session.done:
                    session.disconnected()
                    last_event_id = session.request_headers().get("Last-Event-ID", "")
                    events += fed(session, frames_after(last_event_id))
                self.assertEqual(events, list(FLOW))
                self.assertIs(session.done, True)
                self.assertEqual(session.last_event_id, "2.2")
                self.assertEqual(session.disconnected(), 0.0)

    def test_whatever_goes_wrong_each_event_comes_once(self) -> None:
        seed = 31
        rng = random.Random(seed)
        for number in range(rounds(200, 5_000)):
            session = Session(random=rng.random, give_up=1_000)
            events: list[Event] = []
            while not session.done:
                wrong = rng.randrange(5)
                asked = session.request_headers().get("Last-Event-ID", "")
                if wrong == 0:
                    session.respond(rng.choice((408, 425, 429, 500, 503)), {})
                elif wrong > 1:
                    stream = b"retry: 1000\n\n" + frames_after(asked)
                    stream = stream[: rng.randint(0, 2 * len(stream))]
                    cut = rng.randint(0, len(stream))
                    events += fed(session, stream[:cut], stream[cut:])
                wait = session.disconnected(rng.choice((None, OSError())))
                self.assertTrue(session.done or 0.5 <= wait <= 30, wait)
            with self.subTest(seed=seed, number=number):
                self.assertEqual(events, list(FLOW))

    def test_ids_come_with_their_events(self) -> None:
        session = session_of()
        session.respond(200, SSE)
        found = session.feed_with_ids(STREAM[:200]) + session.feed_with_ids(STREAM[200:])
        self.assertEqual(found, list(zip(IDS, FLOW, strict=True)))

    def test_it_is_done_with_the_terminator_alone(self) -> None:
        for check in (True, False):
            session = session_of(check=check)
            for frame in FRAMES:
                self.assertIs(session.done, False)
                fed(session, frame)
                session.disconnected()
            self.assertIs(session.done, True)

    def faulty(self, bad: bytes, fault: type[Exception], **options: Any) -> None:
        """Require that a fault comes after the events before it, by each call."""
        for how in range(6):
            session = session_of(**options)
            self.assertEqual(fed(session, FRAMES[0] + bad), [FLOW[0]])
            self.assertIs(session.done, False)
            with self.assertRaises(fault) as caught:
                calls(session)[how]()
            for call in calls(session):
                with self.assertRaises(fault) as again:
                    call()
                self.assertEqual(str(again.exception), str(caught.exception))
            self.assertEqual(session.last_event_id, "0.1")

    def test_a_fault_ends_the_session(self) -> None:
        self.faulty(b"data: nonsense\n\n", DecodeError)
        self.faulty(FRAMES[0], OrderError)
        self.faulty(b"data: " + b"x" * (16 * 2**20), FrameTooLarge)

    def test_what_comes_with_the_terminator_is_judged(self) -> None:
        session = session_of()
        self.assertEqual(fed(session, STREAM + FRAMES[5]), list(FLOW))
        self.assertIs(session.done, False)
        self.assertRaises(OrderError, session.disconnected)

    def test_a_run_that_is_joined_in_the_middle(self) -> None:
        session = session_of(last_event_id="1")
        self.assertEqual(fed(session, frames_after("1")), list(FLOW[3:]))
        self.assertIs(session.done, True)
        session = session_of(last_event_id="1")
        fed(session, FRAMES[4], FRAMES[2])
        with self.assertRaisesRegex(OrderError, "^token-repeated: "):
            session.disconnected()

    def test_a_checker_of_ones_own(self) -> None:
        session = session_of(check=StreamChecker(allow=[Rule.TOKEN_GAP]))
        events = fed(session, *FRAMES[:2], *FRAMES[3:])
        self.assertEqual(events, [*FLOW[:2], *FLOW[3:]])
        other: Any = None
        self.assertRaises(TypeError, Session, check=other)

    def test_misuse(self) -> None:
        session = session_of()
        for feed in (session.feed, session.feed_with_ids):
            with self.assertRaisesRegex(RuntimeError, "^there is no body to feed: respond"):
                feed(b"")
        session.respond(500, {})
        with self.assertRaisesRegex(RuntimeError, "^there is no body to feed: respond"):
            session.feed(b"")
        session.disconnected()
        session.respond(200, SSE)
        text = r"^another answer is being read: call disconnected\(\) at its end$"
        with self.assertRaisesRegex(RuntimeError, text):
            session.respond(200, SSE)
        chunk: Any = "data: x"
        self.assertRaises(TypeError, session.feed, chunk)


OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class Server:
    """A server of raw sockets on loopback, which answers each connection as it is told to.

    - `answers`: one for each connection: a function of the connection and the request, or the bytes
      to send before the connection is closed.
    """

    def __init__(self, *answers: "bytes | Callable[[socket.socket, bytes], object]") -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.port = 0
        self._is_open = False
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/run?x=1"
        self._is_open = True
        self._threads = started(self._serve)

    def _serve(self) -> None:
        while self.answers:
            connection, _ = self._listener.accept()
            if not self._is_open:
                connection.close()
                return
            with connection:
                connection.settimeout(PATIENCE)
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += connection.recv(65_536)
                self.requests.append(request)
                answer = self.answers.pop(0)
                with suppress(ConnectionError):
                    if callable(answer):
                        answer(connection, request)
                    else:
                        connection.sendall(answer)

    def close(self) -> None:
        """Refuse connections from now on."""
        self._is_open = False
        if self.answers:  # it waits for a connection
            socket.create_connection(("127.0.0.1", self.port)).close()
        join(self._threads, self._listener.close)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._is_open:
            self.close()

    def ids(self) -> list[str]:
        """Return the `Last-Event-ID` of each request; empty if it had none."""
        return [header(request, "last-event-id") for request in self.requests]


def header(request: bytes, name: str) -> str:
    """Return a header of a request, as text; empty if there is none."""
    for line in request.split(b"\r\n")[1:]:
        key, _, value = line.decode().partition(":")
        if key.lower() == name:
            return value.strip()
    return ""


def answer(status: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *fields, "", "")).encode() + body


def missed(connection: socket.socket, request: bytes) -> None:
    """Send what the client has not seen."""
    connection.sendall(OK + frames_after(header(request, "last-event-id")))


def held(*pieces: bytes) -> Callable[[socket.socket, bytes], None]:
    """Return an answer after which the connection stays open until the client has left."""

    def hold(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"".join(pieces))
        if connection.recv(1):
            raise AssertionError("the client says more")

    return hold


def reset(connection: socket.socket, request: bytes) -> None:
    """Have the connection reset, as by a process that was killed."""
    reset_after(b"", connection, request)


def reset_after(content: bytes, connection: socket.socket, request: bytes) -> None:
    """Send this, and have the connection reset."""
    connection.sendall(content)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Waiting(unittest.TestCase):
    """Nothing sleeps here: how long `events` would is written down."""

    def setUp(self) -> None:
        self.waits: list[float] = []
        patch = mock.patch.object(client, "sleep", self.wait)
        patch.start()
        self.addCleanup(patch.stop)
        self.on_wait: Callable[[], object] = lambda: None

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.on_wait()

    def assert_waits(self, *waits: float) -> None:
        """Require these waits, at random from half to all of each."""
        self.assertEqual(len(self.waits), len(waits), self.waits)
        for wait, most in zip(self.waits, waits, strict=True):
            self.assertTrue(most / 2 <= wait <= most, self.waits)


@needs.threads
@needs.sockets
class Events(_Waiting):
    """`events`, at servers that do as they should."""

    def test_a_flow(self) -> None:
        with Server(OK + STREAM) as server:
            events = client.events(server.url)
            self.assertEqual(events.last_event_id, "")
            found = [(events.last_event_id, event) for event in events]
            self.assertEqual(found, list(zip(IDS, FLOW, strict=True)))
            self.assertEqual(list(events), [])
        request = server.requests[0]
        self.assertTrue(request.startswith(b"GET /run?x=1 HTTP/1.1\r\n"), request)
        self.assertEqual(header(request, "accept"), "text/event-stream")
        self.assertEqual(header(request, "accept-encoding"), "identity")
        self.assertNotIn(b"last-event-id", request.lower())
        self.assert_waits()

    def test_it_begins_after_an_id(self) -> None:
        with Server(missed) as server:
            events = client.events(server.url, last_event_id="2")
            self.assertEqual(events.last_event_id, "2")
            self.assertEqual(list(events), list(FLOW[4:]))

    def test_an_id_that_is_not_ascii_is_sent_as_utf_8(self) -> None:
        with Server(OK + STREAM) as server:
            list(client.events(server.url, last_event_id="…é😀", check=False))
        line = b"last-event-id: \xe2\x80\xa6\xc3\xa9\xf0\x9f\x98\x80\r\n"
        self.assertIn(line, server.requests[0].replace(b"Last-Event-Id", b"last-event-id"))

    def test_each_event_comes_when_it_is_sent(self) -> None:
        taken: Queue[int] = Queue()

        def one_by_one(chunked: bool, connection: socket.socket, request: bytes) -> None:
            head = OK.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.sendall(head if chunked else OK)
            for number, frame in enumerate(FRAMES):
                connection.sendall(b"%x\r\n%b\r\n" % (len(frame), frame) if chunked else frame)
                self.assertEqual(taken.get(timeout=PATIENCE), number)

        for chunked in (False, True):
            with Server(partial(one_by_one, chunked)) as server:
                for number, event in enumerate(client.events(server.url)):
                    self.assertEqual(event, FLOW[number])
                    taken.put(number)

    def test_headers_of_ones_own(self) -> None:
        with Server(OK + STREAM) as server:
            own = {"Authorization": "Bearer x", "ACCEPT": "text/event-stream, */*;q=0.1"}
            list(client.events(server.url, headers=own))
        self.assertEqual(header(server.requests[0], "authorization"), "Bearer x")
        self.assertEqual(header(server.requests[0], "accept"), "text/event-stream, */*;q=0.1")
        text = "^headers must not have Last-Event-ID: give it as last_event_id$"
        with self.assertRaisesRegex(ValueError, text):
            client.events("http://127.0.0.1/", headers={"last-event-id": "1"})

    def test_a_redirect_is_followed_each_time_anew(self) -> None:
        away = answer("307 Away", "Location: /there", "Content-Length: 0")
        with Server(away, OK + FRAMES[0], away, missed) as server:
            self.assertEqual(list(client.events(server.url)), list(FLOW))
        paths = [request.split()[1] for request in server.requests]
        self.assertEqual(paths, [b"/run?x=1", b"/there"] * 2)
        self.assertEqual(server.ids(), ["", "", "0.1", "0.1"])

    def test_a_connection_that_stays_open_after_the_terminator(self) -> None:
        with Server(held(OK, STREAM)) as server:
            self.assertEqual(list(client.events(server.url)), list(FLOW))

    def test_close_and_dropping_it_end_the_connection(self) -> None:
        for is_closed in (True, False):
            # Also after an error, whose traceback may hold what is to be dropped.
            for before in ([], [reset], [answer("500 No")]):
                with Server(*before, held(OK, FRAMES[0], FRAMES[1])) as server:
                    events = client.events(server.url)
                    self.assertEqual(next(events), FLOW[0])
                    if is_closed:
                        events.close()
                        events.close()
                        self.assertEqual(list(events), [])
                        self.assertEqual(events.last_event_id, "0.1")
                    del events

    def test_it_asks_when_the_first_event_is_asked_for(self) -> None:
        with Server() as server:
            client.events(server.url).close()
        self.assertEqual(server.requests, [])

    def test_another_url(self) -> None:
        for url in (
            "ftp://127.0.0.1/",
            "file:///etc/hosts",
            "data:,x",
            "127.0.0.1:80/",
            "x" * 999,
            "http:///x",
            "http://127.0.0.1:port/",
            "http://127.0.0.1/a b",
            "http://127.0.0.1/\xfc",
        ):
            with self.subTest(f"{url:.20}"), self.assertRaises(ValueError) as caught:
                client.events(url)
            self.assertRegex(str(caught.exception), "^events takes a URL of http: or https:, got ")
            self.assertLess(len(str(caught.exception)), 120)

    def test_a_redirect_to_another_server_tells_it_no_secret(self) -> None:
        secrets = {"Authorization": "Bearer s", "Cookie": "a=b", "X-Other": "c"}
        with Server(OK + STREAM) as other:
            away = answer("302 Found", f"Location: http://localhost:{other.port}/")
            back = answer("302 Found", "Location: /again")
            with Server(away) as server:
                self.assertEqual(list(client.events(server.url, headers=secrets)), list(FLOW))
            asked = {"away": other.requests[0]}
        with Server(back, OK + STREAM) as server:
            self.assertEqual(list(client.events(server.url, headers=secrets)), list(FLOW))
            asked["back"] = server.requests[1]
        for name, secret in secrets.items():
            self.assertEqual(header(asked["back"], name.lower()), secret)
            self.assertEqual(header(asked["away"], name.lower()), "c" if name == "X-Other" else "")

    def test_other_arguments(self) -> None:
        options: dict[str, Any]
        for options in ({"check": None}, {"last_event_id": 5}, {"give_up": None}):
            with self.subTest(options), self.assertRaises(TypeError):
                client.events("http://127.0.0.1/", **options)


@needs.threads
@needs.sockets
class Hostile(_Waiting):
    """`events`, at servers that do anything: each event once, or the documented error."""

    def test_an_answer_that_is_cut_at_every_byte(self) -> None:
        stream = b"retry: 1\n\n" + STREAM
        chunks = [stream[:100], stream[100:101], stream[101:]]
        chunked = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        fields = ("Cache-Control: no-cache", "Content-Type: text/event-stream")
        for whole in (
            answer("200 OK", *fields, body=stream),
            answer("200 OK", *fields, f"Content-Length: {len(stream)}", body=stream),
            answer("200 OK", *fields, "Transfer-Encoding: chunked", body=chunked + b"0\r\n\r\n"),
        ):
            for cut in range(0, len(whole) + 1, rounds(17, 1)):
                how = whole[:cut] if cut % 2 else partial(reset_after, whole[:cut])
                with Server(how, missed) as server:
                    events = list(client.events(server.url))
                with self.subTest(whole[:150], cut=cut):
                    self.assertEqual(events, list(FLOW))

    def test_a_connection_for_each_event(self) -> None:
        with Server(*(OK + b"retry: 40\n" + frame + b"data: ha" for frame in FRAMES)) as server:
            self.assertEqual(list(client.events(server.url)), list(FLOW))
        self.assertEqual(server.ids(), ["", *IDS[:-1]])
        self.assert_waits(*[0.04] * 5)

    def test_a_server_that_is_killed_and_started_again(self) -> None:
        with Server(partial(reset_after, OK + FRAMES[0] + FRAMES[1])) as server:
            events = client.events(server.url)
            found = [next(events), next(events)]
            server.close()

            def start_again() -> None:
                if len(self.waits) == 4:
                    server.answers.append(missed)
                    server.open()

            self.on_wait = start_again
            found += events
            self.assertEqual(found, list(FLOW))
        self.assert_waits(1, 2, 4, 8)
        self.assertEqual(server.ids(), ["", "0.2"])

    def test_a_server_that_is_not_there(self) -> None:
        with Server() as server:
            server.close()
            events = client.events(server.url)
            with self.assertRaises(URLError) as caught:
                next(events)
            self.assertIsInstance(caught.exception.reason, ConnectionRefusedError)
            for _ in range(2):
                self.assertRaises(URLError, next, events)
            self.assert_waits(2, 4, 8, 16, *[30] * 5)
            self.waits.clear()
            self.assertRaises(URLError, list, client.events(server.url, give_up=1))
            self.assert_waits()

    def test_answers_without_a_byte(self) -> None:
        with Server(OK, b"", reset, OK, b"", reset) as server, self.assertRaises(ConnectionError):
            list(client.events(server.url, give_up=6))
        self.assert_waits(2, 4, 8, 16, 30)

    def test_a_server_that_falls_silent(self) -> None:
        with Server(held(OK, FRAMES[0]), held(), missed) as server:
            self.assertEqual(list(client.events(server.url, timeout=0.05)), list(FLOW))
        self.assert_waits(1, 2)

    def test_a_login_page(self) -> None:
        page = b"<!DOCTYPE html><title>Sign in</title>" + b"<p>" * 1000
        html = answer(
            "200 OK", "Content-Type: text/html", f"Content-Length: {len(page)}", body=page
        )
        with Server(OK + FRAMES[0], html) as server:
            events = client.events(server.url)
            self.assertEqual(next(events), FLOW[0])
            for _ in range(2):
                with self.assertRaises(Refused) as caught:
                    next(events)
                self.assertEqual(
                    (caught.exception.status, caught.exception.body), (200, page[:1000])
                )
                self.assertIn("'text/html'; its body begins with b'<!DOC", str(caught.exception))
        self.assert_waits(1)

    def test_a_page_that_does_not_end(self) -> None:
        html = answer("200 OK", "Content-Type: text/html", body=b"<p>Wait")
        with Server(held(html)) as server, self.assertRaises(Refused) as caught:
            list(client.events(server.url, timeout=0.05))
        self.assertEqual(caught.exception.body, b"<p>Wait")

    def test_an_empty_page(self) -> None:
        html = answer("200 OK", "Content-Type: text/html", "Content-Length: 0")
        with Server(html) as server, self.assertRaises(Refused):
            list(client.events(server.url))

    def test_a_head_that_is_cut_off_each_time(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Ty"
        text = (
            "^the answer was cut off in its head, or is empty: expected the media type .*, got ''$"
        )
        with Server(*[head] * 3) as server, self.assertRaisesRegex(ConnectionResetError, text):
            list(client.events(server.url, give_up=3))
        self.assert_waits(2, 4)

    def test_compressed_whatever_was_asked_for(self) -> None:
        body = gzip.compress(STREAM)
        zipped = answer(
            "200 OK", "Content-Type: text/event-stream", "Content-Encoding: gzip", body=body
        )
        with Server(zipped) as server, self.assertRaises(Refused) as caught:
            list(client.events(server.url))
        self.assertEqual(caught.exception.body, body[:1000])
        # Without a word.
        with Server(OK + body, OK + body) as server:
            events = client.events(server.url)
            self.on_wait = events.close
            self.assertEqual(list(events), [])

    def test_statuses_that_are_final(self) -> None:
        for status in (400, 401, 404, 410, 422):
            gone = answer(f"{status} Gone", "Content-Length: 8", body=b"no such!")
            with Server(OK + FRAMES[0], gone) as server:
                found = []
                with self.subTest(status), self.assertRaises(Refused) as caught:
                    for event in client.events(server.url):
                        found.append(event)
                self.assertEqual(found, [FLOW[0]])
            self.assertEqual(
                (caught.exception.status, caught.exception.body), (status, b"no such!")
            )

    def test_statuses_that_pass(self) -> None:
        with Server(
            answer("500 Internal", "Content-Type: text/html", body=b"<p>Oh"),
            OK + FRAMES[0],
            answer("503 Later", "Retry-After: 7", "Content-Length: 0"),
            answer("429 Slowly", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"),
            missed,
        ) as server:
            self.assertEqual(list(client.events(server.url)), list(FLOW))
        self.assertEqual(self.waits.pop(2), 7.0)
        self.assert_waits(2, 1, 4)
        self.assertEqual(server.ids(), ["", "", "0.1", "0.1", "0.1"])

    def test_no_content(self) -> None:
        with Server(answer("204 No Content")) as server:
            self.assertEqual(list(client.events(server.url, last_event_id="2.2")), [])
        with Server(OK + FRAMES[0], answer("204 No Content")) as server:
            events = client.events(server.url)
            self.assertEqual(next(events), FLOW[0])
            for _ in range(2):
                self.assertRaises(TruncatedStream, next, events)
        with Server(OK + FRAMES[0], answer("204 No Content")) as server:
            self.assertEqual(list(client.events(server.url, check=False)), [FLOW[0]])

    def test_waits_that_the_server_asks_for(self) -> None:
        for retry, wait in ((0, 0.0), (10**17, DAY), (10**18, 1.0)):
            self.waits.clear()
            with Server(OK + b"retry: %d\n" % retry + FRAMES[0], missed) as server:
                self.assertEqual(list(client.events(server.url)), list(FLOW))
            self.assert_waits(wait)

    def test_a_fault_comes_after_the_events_before_it_and_ends_the_connection(self) -> None:
        for bad, fault in ((b"data: x\n\n", DecodeError), (FRAMES[0], OrderError)):
            with Server(held(OK, FRAMES[0], FRAMES[1], bad, *FRAMES[2:])) as server:
                events = client.events(server.url)
                self.assertEqual([next(events), next(events)], list(FLOW[:2]))
                for _ in range(3):
                    self.assertRaises(fault, next, events)
                self.assertEqual(events.last_event_id, "0.2")

    def test_what_is_no_http(self) -> None:
        for head in (b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 2x0\r\n\r\n", b"\x00" * 99, b"\n" * 9):
            with Server(head, missed) as server:
                self.assertEqual(list(client.events(server.url)), list(FLOW))
        self.assert_waits(*[2] * 4)


if __name__ == "__main__":
    unittest.main()
