# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A client of a run that goes on where it was, whatever happens to the connection or the server.

for event in client.events("http://127.0.0.1:8765/events"): ...    # up to the terminator

`events` does it all, with the standard library's `urllib`. `Session` is for any other HTTP client:
it does no I/O, and says what to ask for, what to make of the answer, and how long to wait.

session = client.Session()
while not session.done:
    error = None
    try:
        with httpx.stream("GET", url, headers=session.request_headers()) as response:
            if session.respond(response.status_code, response.headers):
                for chunk in response.iter_bytes():
                    for event in session.feed(chunk): ...
                    if session.done:
                        break
    except httpx.TransportError as failure:
        error = failure
    time.sleep(session.disconnected(error))

It does what the WHATWG HTML standard, section 9.2, has a browser's EventSource do, and more where
that leaves a client waiting for ever, or gives up though the server would come back.
"""

import random
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from email.utils import mktime_tz, parsedate_tz
from http.client import HTTPException
from time import sleep, time
from typing import Any, Final, Protocol
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ._catalog import Event
from .order import Outcome, StreamChecker
from .sse import Reader

__all__ = ["Refused", "Session", "events"]

_MEDIA_TYPE: Final = "text/event-stream"
# The client errors that mean: try again later.
_LATER: Final = frozenset({408, 425, 429})
_DEFAULT_RETRY: Final = 1.0  # in seconds, as are all waits
_MOST_BACKOFF: Final = 30.0
_MOST_DOUBLINGS: Final = 5  # which exceed that
_MOST_WAIT: Final = 86_400.0
_MOST_SHOWN: Final = 200  # of a body, in bytes


class Refused(Exception):  # noqa: N818  # named for what it is, like EOFError
    """An answer that is no event stream, and that asking again would not change.

    - `status`: its HTTP status.
    - `body`: how its body begins, at most 1,000 bytes, if `events` asked; else empty.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.body = b""

    def __str__(self) -> str:
        body = f"; its body begins with {self.body[:_MOST_SHOWN]!r}" if self.body else ""
        return f"{self.args[1]}{body}"


class _Headers(Protocol):
    """What `respond` needs of the headers of an answer."""

    def items(self) -> Iterable[tuple[str, str]]: ...


class Session:
    """What a client does over any number of connections, up to the terminator, without any I/O.

    For each connection: ask with `request_headers()`. Tell `respond` what the answer is. If it says
    so, `feed` the body as it comes. At the end, or where any of that failed, wait as long as
    `disconnected` says, and begin again. Stop once `done` is true, without waiting for the server
    to close. A session is for one thread at a time.

    - `check`: as of `sse.Reader`.
    - `last_event_id`: the id to go on after; empty for a run from its beginning.
    - `give_up`: after how many connections in a row, from 1, that brought not one byte of an
      accepted body, to raise the error of the last one.
    - `random`: returns a number from 0 to 1, by which the waits of many clients differ.

    A fault ends the session, and each later call raises it again: Refused; the error after which it
    gave up; and DecodeError, OrderError and FrameTooLarge as of `sse.Reader`: `feed` returns the
    events before the fault, and the next call raises it.

    Raises TypeError or ValueError for another `check`, `last_event_id` or `give_up`.
    """

    def __init__(
        self,
        *,
        check: bool | StreamChecker = True,
        last_event_id: str = "",
        give_up: int = 10,
        random: Callable[[], float] = random.random,
    ) -> None:
        if not isinstance(give_up, int) or isinstance(give_up, bool):
            raise TypeError(f"give_up must be an int, got {type(give_up).__name__}")
        if give_up < 1:
            raise ValueError(f"give_up must be 1 or more, got {give_up}")
        self._reader = Reader(check=check, last_event_id=last_event_id)
        self._first_id = self._reader.last_event_id
        self._give_up = give_up
        self._random = random
        self._fault: Exception | None = None
        self._has_all = False  # as the server says
        self._is_new = True  # no event came
        self._frameless = 0  # connections in a row without a frame
        self._empty = 0  # and those without a byte
        self._begin_connection()

    def _begin_connection(self) -> None:
        self._is_accepted = False
        self._status = 0  # of an answer that says: later
        self._retry_after = 0.0
        self._frames_before = self._reader.frame_count
        self._bytes_before = self._reader.byte_count

    @property
    def done(self) -> bool:
        """Whether there is nothing more to receive: the terminator came, or came before."""
        if self._has_all:
            return True
        return self._reader.outcome is not Outcome.OPEN and self._reader._fault is None

    @property
    def last_event_id(self) -> str:
        """The id that the next connection goes on after; empty if there is none."""
        return self._reader.last_event_id

    def request_headers(self) -> dict[str, str]:
        """Return the headers to ask with: `Accept`, and `Last-Event-ID` if there is one.

        An id that is not ASCII is sent as UTF-8, as the standard says. It stands here byte by byte,
        each as one character, as `http.client`, `urllib` and `requests` send it. For httpx, give
        `httpx.Headers(headers, encoding="latin-1")`; aiohttp takes `last_event_id` as it is.
        """
        self._require_sound()
        headers = {"Accept": _MEDIA_TYPE}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id.encode().decode("latin-1")
        return headers

    def respond(self, status: int, headers: _Headers) -> bool:
        """Take the head of an answer, and return whether there is a body to feed.

        If not, the session is `done`, or `disconnected` says when to ask again: after a status from
        500, 408, 425 and 429.

        - `status`: the HTTP status.
        - `headers`: a mapping, whatever the case of the names.

        Raises Refused for any other status but 200 and 204, another media type than
        `text/event-stream`, and a content encoding. At 204, the server has nothing more: raises
        TruncatedStream if no terminator came (unless `check` is False or allows that), but not if
        it answers the `last_event_id` that the session was made with. RuntimeError is raised if
        another connection is open.
        """
        self._require_sound()
        if self._is_accepted:
            raise RuntimeError("another answer is being read: call disconnected() at its end")
        fields = {name.lower(): value for name, value in headers.items()}
        if status == 204:
            if not (self._is_new and self.last_event_id and self.last_event_id == self._first_id):
                self._reader.close()
            self._has_all = True
        elif status in _LATER or 500 <= status <= 599:
            self._status = status
            self._retry_after = _seconds(fields.get("retry-after", ""))
        else:
            self._require_event_stream(status, fields)
            self._is_accepted = True
        return self._is_accepted

    def _require_event_stream(self, status: int, fields: Mapping[str, str]) -> None:
        media_type = fields.get("content-type", "")
        encoding = fields.get("content-encoding", "")
        message = None
        if status != 200:
            message = f"expected the status 200, got {status}"
            if 300 <= status <= 399:
                message += ": let the HTTP client follow redirects"
        elif media_type.partition(";")[0].strip().lower() != _MEDIA_TYPE:
            message = f"expected the media type {_MEDIA_TYPE}, got {media_type!r:.60}"
        elif encoding.strip().lower() not in ("", "identity"):
            message = (
                f"expected no content encoding, got {encoding!r:.60}:"
                " ask with 'Accept-Encoding: identity'"
            )
        if message is not None:
            self._fault = Refused(status, message)
            raise self._fault

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[Event]:
        """Take the next bytes of the body, and return the events that they complete.

        Raises RuntimeError unless `respond` said that there is a body, TypeError for anything but
        bytes, and the session's fault.
        """
        return [event for _, event in self.feed_with_ids(chunk)]

    def feed_with_ids(self, chunk: bytes | bytearray | memoryview) -> list[tuple[str, Event]]:
        """Do what `feed` does, and return each event with the id to go on after it."""
        self._require_sound()
        if not self._is_accepted:
            raise RuntimeError("there is no body to feed: respond() tells whether there is")
        events = self._reader.feed_with_ids(chunk)
        if events:
            self._is_new = False
        return events

    def disconnected(self, error: Exception | None = None) -> float:
        """Take the end of a connection, or of an attempt; return how many seconds to wait.

        - `error`: what ended it, if it was no regular end.

        The wait is what the server asked for by `retry`, 1 s if it did not. After n connections in
        a row without a frame it is `max(retry, min(30, max(retry, 1) * 2**n))`. Of that, at most a
        day, half to all is taken, at random. It is never less than `Retry-After` says, up to a day.
        It is 0 if the session is done.

        Raises the error if it is time to give up, ConnectionError if there is none, and the
        session's fault.
        """
        self._require_sound()
        if self.done:
            return 0.0
        has_frame = self._reader.frame_count > self._frames_before
        has_byte = self._reader.byte_count > self._bytes_before
        self._frameless = 0 if has_frame else self._frameless + 1
        self._empty = 0 if has_byte else self._empty + 1
        if self._empty >= self._give_up:
            self._fault = self._nothing_came() if error is None else error
            raise self._fault
        wait = max(self._wait(), self._retry_after)
        self._reader.reopen()
        self._begin_connection()
        return wait

    def _nothing_came(self) -> ConnectionError:
        answer = f"; the last was answered with the status {self._status}" if self._status else ""
        return ConnectionError(
            f"connections that brought not one byte of a stream, in a row: {self._empty}{answer}"
        )

    def _wait(self) -> float:
        ms = self._reader.retry
        wait = retry = _DEFAULT_RETRY if ms is None else ms / 1000
        if self._frameless:
            doublings = min(self._frameless, _MOST_DOUBLINGS)
            wait = max(retry, min(_MOST_BACKOFF, max(retry, 1.0) * 2**doublings))
        return min(wait, _MOST_WAIT) * (0.5 + self._random() / 2)

    def _require_sound(self) -> None:
        fault = self._fault or self._reader._fault
        if fault is not None:
            raise fault.with_traceback(None)


def _seconds(retry_after: str) -> float:
    """Return how many seconds to wait by a `Retry-After`: a number of them, or a date (RFC 9110).

    At most a day; 0 for anything else.
    """
    text = retry_after.strip()
    if re.fullmatch("[0-9]+", text):
        return min(float(text), _MOST_WAIT)
    try:
        date = parsedate_tz(text)
        seconds = 0.0 if date is None else mktime_tz(date) - time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _MOST_WAIT)


_PIECE_BYTES: Final = 65_536
_BODY_BYTES: Final = 1_000


def events(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    check: bool | StreamChecker = True,
    last_event_id: str = "",
    give_up: int = 10,
) -> "_Events":
    """Return an iterator over the events of a run on a server, which reconnects when it has to.

    - `url`: of `http:` or `https:`, in ASCII. Redirects are followed.
    - `headers`: more of them to send, such as `Authorization`; that and `Cookie` are not sent on to
      another host or port that the server redirects to.
    - `timeout`: how many seconds the server may be silent before the connection counts as lost.
      More than the time from one keep-alive of the server to the next.
    - `check`, `last_event_id`, `give_up`: as of `Session`.

    The iterator ends at the terminator. It has `last_event_id`, the id to go on after the event
    just given, and `close()`, which ends it and its connection; so does dropping it. It waits in
    `time.sleep`.

    Iterating raises what `Session` raises, after the events before the fault, and again each time;
    an `OSError` or an `http.client.HTTPException` only when it gives up. Raises TypeError or
    ValueError for what `Session` refuses, for another URL, and for a `Last-Event-ID` in `headers`.
    """
    session = Session(check=check, last_event_id=last_event_id, give_up=give_up)
    return _Events(session, url, dict(headers or {}), timeout)


class _Events(Iterator[Event]):
    """The iterator of `events`."""

    def __init__(self, session: Session, url: str, headers: dict[str, str], timeout: float) -> None:
        if _origin(url) is None:
            raise ValueError(f"events takes a URL of http: or https:, got {url!r:.60}")
        if any(name.lower() == "last-event-id" for name in headers):
            raise ValueError("headers must not have Last-Event-ID: give it as last_event_id")
        self._session = session
        self._url = url
        self._headers = headers
        self._timeout = timeout
        self._answer: Any = None  # of the connection, until that is closed
        self._is_accepted = False  # it has a body to read
        self._received: deque[tuple[str, Event]] = deque()
        self._is_closed = False
        self.last_event_id = session.last_event_id

    def __next__(self) -> Event:
        while not self._received:
            if self._is_closed or self._session.done:
                raise StopIteration
            self._receive()
        self.last_event_id, event = self._received.popleft()
        return event

    def close(self) -> None:
        """End the iterator and its connection. Calling it again does nothing."""
        self._is_closed = True
        self._received.clear()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _receive(self) -> None:
        """Take the next bytes of the stream; where there are none, disconnect and wait."""
        session = self._session
        try:
            session._require_sound()
            try:
                chunk = self._read()
            except (OSError, HTTPException) as error:
                self._disconnect()
                wait = session.disconnected(error)
            else:
                if chunk:
                    self._received.extend(session.feed_with_ids(chunk))
                    if not session.done:
                        return
                self._disconnect()
                wait = session.disconnected()
        except Exception:
            self._disconnect()
            raise
        if not session.done:
            sleep(wait)

    def _read(self) -> bytes:
        """Return the next bytes of the stream, of a new connection if there is none; or nothing."""
        answer = self._connect() if self._answer is None else self._answer
        piece: bytes = answer.read1(_PIECE_BYTES) if self._is_accepted else b""
        return piece

    def _connect(self) -> Any:
        """Return the answer of the server, and learn whether it has a body to read."""
        headers = {**self._session.request_headers(), **self._headers}
        try:
            self._answer = _OPENER.open(Request(self._url, headers=headers), timeout=self._timeout)
        except HTTPError as error:
            # It is an answer as well. Its traceback would keep the iterator that is dropped.
            self._answer = error.with_traceback(None)
        answer = self._answer
        try:
            self._is_accepted = self._session.respond(answer.status, answer.headers)
        except Refused as refused:
            refused.body = self._beginning()
            # To `http.client` a head ends where the connection does.
            if refused.status == 200 and not refused.body and answer.length != 0:
                self._session._fault = None
                raise ConnectionResetError(
                    f"the answer was cut off in its head, or is empty: {refused}"
                ) from None
            raise
        return answer

    def _beginning(self) -> bytes:
        """Return how the body of the answer begins, as far as it comes."""
        body = b""
        with suppress(OSError, HTTPException):
            while len(body) < _BODY_BYTES:
                piece = self._answer.read1(_BODY_BYTES - len(body))
                if not piece:
                    break
                body += piece
        return body


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Return the scheme, the host and the port that a URL names; None if it is no URL of HTTP."""
    try:
        parts = urlsplit(url)
        origin = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        return None
    is_http = origin[0] in ("http", "https") and origin[1] != ""
    return origin if is_http and re.fullmatch("[!-~]+", url) else None


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, but sends no secret to another host or port."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and _origin(request.full_url) != _origin(req.full_url):
            for name in ("Authorization", "Cookie"):
                request.remove_header(name)
        return request


_OPENER: Final = build_opener(_Redirects)
