# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The answer over HTTP to a client that follows a run, for any framework or for none.

answer = await web.aresponse(log, web.last_event_id(request.scope))
return StreamingResponse(answer.body, answer.status, answer.headers)

app = web.asgi(lambda scope: logs.get(scope["path"].rpartition("/")[2]))      # or web.wsgi
web.disconnect_on_signals(app)                  # in the main thread, while the server runs

| status | when |
|---|---|
| 200 | the frames after those that the client has seen, then each as it comes, to the run's end |
| 200 | come again, with a comment that says why: the store does not answer, or a shutdown |
| 204 | the run has ended, and the client has all of it |
| 404 | there is no such run, or it has not given the id |
| 405 | the method is neither GET nor HEAD |
| 410 | frames that the client asks for are gone |

An EventSource takes every status but 200 as final (WHATWG HTML, 9.2.3). So what will pass is a 200
that ends at once.
"""

import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar
from urllib.parse import parse_qs

from ._wait import LoopWaiter, Waiters
from .replay import (
    CursorAhead,
    CursorExpired,
    CursorUnknown,
    RunLost,
    RunUnknown,
    StoreUnavailable,
    keep_alive_seconds,
    wait_seconds,
)

if TYPE_CHECKING:
    from asyncio import Future

__all__ = [
    "Response",
    "aresponse",
    "asgi",
    "disconnect_on_signals",
    "last_event_id",
    "response",
    "wsgi",
]

# After how many milliseconds a client is to come again, if `retry_ms` does not say.
_COME_AGAIN_MS: Final = 2000
# How long a client may take for what is left of an answer, while the server shuts down.
_LAST_SECONDS: Final = 1.0
# How often a thread that waits for an id that is ahead looks whether the server shuts down.
_LOOK_SECONDS: Final = 1.0


class _Follower(Protocol):
    @property
    def has_all(self) -> bool: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...


class _LoopFollower(Protocol):
    @property
    def has_all(self) -> bool: ...
    async def __anext__(self) -> bytes: ...
    def close(self) -> None: ...


class _Log(Protocol):
    def follow(
        self, id: str | None = None, *, keep_alive: float | None = ..., wait: float = ...
    ) -> _Follower: ...


class _LoopLog(Protocol):
    async def afollow(
        self, id: str | None = None, *, keep_alive: float | None = ..., wait: float = ...
    ) -> _LoopFollower: ...


class _Target(Protocol):
    def disconnect(self) -> None: ...


class _MethodRefused(Exception):  # noqa: N818  # named like the errors of `replay`
    def __str__(self) -> str:
        return "a run takes GET and HEAD"


class _Disconnected(StoreUnavailable):
    def __str__(self) -> str:
        return "the server is shutting down"


_METHODS: Final = ("GET", "HEAD")
_ID_NAMES: Final = ("last-event-id", "http_last_event_id")
_STATUSES: Final[dict[type[Exception], int]] = {
    _MethodRefused: 405,
    CursorExpired: 410,
    RunLost: 410,
    CursorUnknown: 404,
    StoreUnavailable: 200,
}
_REFUSALS: Final = tuple(_STATUSES)
_PHRASES: Final = {
    200: "OK",
    204: "No Content",
    404: "Not Found",
    405: "Method Not Allowed",
    410: "Gone",
}
_HEADERS: Final = {"Cache-Control": "no-cache, no-transform"}
# nginx sends each piece on at once then.
_STREAM_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    **_HEADERS,
    "X-Accel-Buffering": "no",
}

_Body = TypeVar("_Body", covariant=True)


@dataclass(frozen=True)
class Response(Generic[_Body]):
    """What to answer, as every framework takes it.

    - `status`: of HTTP.
    - `headers`: names to values; a framework adds those of the connection.
    - `body`: iterates over bytes; `close()` ends it, from any thread, and so does `aclose()` where
      it is asynchronous. A body that is dropped leaves nothing behind.
    """

    status: int
    headers: dict[str, str]
    body: _Body


_AnyFollower = TypeVar("_AnyFollower", _Follower, _LoopFollower)


class _FollowingBody(Generic[_AnyFollower]):
    """A first piece, and then what a follower gives.

    It is no generator, so that `close` works while somebody waits in it.
    """

    def __init__(self, first: bytes, follower: _AnyFollower | None) -> None:
        self._first = first
        self._follower: _AnyFollower | None = follower

    def close(self) -> None:
        """End it, also while somebody waits in it; from any thread."""
        if self._follower is not None:
            self._follower.close()


class _ThreadBody(_FollowingBody[_Follower], Iterator[bytes]):
    """A body for threads."""

    def __next__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._follower is None:
            raise StopIteration
        try:
            return next(self._follower)
        except _REFUSALS:  # the client comes back, and is told then
            raise StopIteration from None


class _LoopBody(_FollowingBody[_LoopFollower], AsyncIterator[bytes]):
    """A body for asyncio."""

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._follower is None:
            raise StopAsyncIteration
        try:
            return await self._follower.__anext__()
        except _REFUSALS:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """End it, also while a task waits in it."""
        self.close()


def response(
    log: _Log | None,
    last_event_id: str = "",
    *,
    method: str = "GET",
    retry_ms: int | None = None,
    keep_alive: float | None = 2.0,
    wait: float = 5.0,
) -> Response[_ThreadBody]:
    """Return the answer to a client of a run, for a server of threads (WSGI).

    - `log`: the run's `ReplayLog`, or a run of a store; None if there is no such run.
    - `last_event_id`: what the client has seen, as the function of that name returns it.
    - `method`: of the request. HEAD has the status and headers of GET, but it follows nothing and
      waits for nothing: it is 200 where GET would wait.
    - `retry_ms`: after how many milliseconds the client is to come back when the connection ends,
      from 0; None leaves that to the client.
    - `keep_alive`: after how many seconds without a frame, above 0, the body gives a comment; None
      for never. A WSGI server finds out by writing that a client has left.
    - `wait`: for how many seconds, from 0, the call waits for an id that is ahead of the log, or
      for a run that its store does not have yet.

    The table of this module says which status it has. No error of the run comes out of the call or
    of the body: if the client is too slow for the log, the body ends, and the client gets 410 when
    it comes back. Raises TypeError or ValueError for an argument of another type or range.
    """
    retry = _retry(retry_ms)
    found = _followed(log, last_event_id, method, keep_alive, wait)
    return _answer(found, _ThreadBody, log, method, retry)


async def aresponse(
    log: _LoopLog | None,
    last_event_id: str = "",
    *,
    method: str = "GET",
    retry_ms: int | None = None,
    keep_alive: float | None = 15.0,
    wait: float = 5.0,
) -> Response[_LoopBody]:
    """Return the same as `response`, with an asynchronous body, for asyncio."""
    retry = _retry(retry_ms)
    found: _LoopFollower | Exception
    try:
        ready = _ready(log, method)
        found = await ready.afollow(
            last_event_id, keep_alive=keep_alive, wait=_patience(method, wait)
        )
    except _REFUSALS as error:
        found = _refusal(error, log, method, wait)
    return _answer(found, _LoopBody, log, method, retry)


def _followed(
    log: _Log | None, id: str, method: str, keep_alive: float | None, wait: float
) -> _Follower | Exception:
    try:
        ready = _ready(log, method)
        return ready.follow(id, keep_alive=keep_alive, wait=_patience(method, wait))
    except _REFUSALS as error:
        return _refusal(error, log, method, wait)


_AnyLog = TypeVar("_AnyLog", _Log, _LoopLog)


def _ready(log: _AnyLog | None, method: str) -> _AnyLog:
    """Return the log if it can be followed."""
    if method not in _METHODS:
        raise _MethodRefused
    if log is None:
        raise RunUnknown("there is no such run")
    if not hasattr(log, "follow") and not hasattr(log, "afollow"):  # such as the runs of a store
        raise TypeError(
            f"log must be a ReplayLog, runs.run(name) or None, got {type(log).__name__}"
        )
    if _is_disconnected(log):
        raise _Disconnected
    return log


def _patience(method: str, wait: float) -> float:
    return 0.0 if method == "HEAD" else wait


def _refusal(error: Exception, log: object, method: str, wait: float) -> Exception:
    """Return why there is nothing to follow, for HEAD as GET would have it after a wait."""
    may_come = isinstance(error, CursorAhead) and wait > 0 and not getattr(log, "ended", False)
    return StoreUnavailable() if method == "HEAD" and may_come else error


def _is_disconnected(log: object) -> bool:
    return getattr(log, "disconnected", False)


def _answer(
    found: _Follower | _LoopFollower | Exception,
    make_body: Callable[[bytes, Any], _Body],
    log: object,
    method: str,
    retry: bytes,
) -> Response[_Body]:
    """Return the answer, given what to follow or why there is nothing to follow.

    - `make_body`: takes the first piece, and what follows it.
    """
    follower = None if isinstance(found, Exception) else found
    if method not in _METHODS:
        found = _MethodRefused()
    elif _is_disconnected(log):  # again, since `disconnect` ends only those who follow already
        found = _Disconnected()
    status, headers, first = _head(found, retry)
    if method == "HEAD":
        first = b""
    if follower is not None and (found is not follower or status == 204 or method == "HEAD"):
        follower.close()
        follower = None
    return Response(status, headers, make_body(first, follower))


def _head(
    found: _Follower | _LoopFollower | Exception, retry: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers, and the first piece of the body."""
    if not isinstance(found, Exception):
        return (204, dict(_HEADERS), b"") if found.has_all else (200, dict(_STREAM_HEADERS), retry)
    status = next(status for kind, status in _STATUSES.items() if isinstance(found, kind))
    if status == 200:
        # A store's error may name what is not for the world.
        why = str(found) if isinstance(found, _Disconnected) else "the run's store does not answer"
        comment = f": {why}: come again\n\n".encode()
        return 200, dict(_STREAM_HEADERS), (retry or _retry(_COME_AGAIN_MS)) + comment
    content = f"{found}\n".encode()
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(content)),
        **_HEADERS,
    }
    if status == 405:
        headers["Allow"] = ", ".join(_METHODS)
    return status, headers, content


def _retry(retry_ms: int | None) -> bytes:
    if retry_ms is None:
        return b""
    if not isinstance(retry_ms, int) or isinstance(retry_ms, bool):
        raise TypeError(f"retry_ms must be an int or None, got {type(retry_ms).__name__}")
    if retry_ms < 0:
        raise ValueError(f"retry_ms must be 0 or more, in milliseconds, got {retry_ms}")
    return b"retry: %d\n\n" % retry_ms


def last_event_id(source: Any) -> str:
    """Return what a client has seen: its `Last-Event-ID`, else `lastEventId` in its query.

    - `source`: the scope of ASGI, the environ of WSGI, or headers, which have no query.

    It is empty if there is neither. An empty header counts as none: an EventSource sends none
    while it has no id (WHATWG HTML, 9.2.3), but other clients send an empty one. The query is for
    polyfills, and for a page whose EventSource has failed for good and which makes a new one. What
    was sent several times is joined by commas, as proxies do (RFC 9110, 5.3), which is no id of
    any run. Raises TypeError for anything else, such as a whole request.
    """
    if not hasattr(source, "items") or hasattr(source, "headers"):  # a request may be a mapping
        raise TypeError(
            "last_event_id takes a scope, an environ or headers (of a request: its scope, environ"
            f" or headers), got {type(source).__name__}"
        )
    query = source.get("query_string", source.get("QUERY_STRING", ""))
    headers = source.get("headers")
    if headers is None or isinstance(headers, str):
        headers = source.items()
    sent = [_text(value) for name, value in headers if _text(name).lower() in _ID_NAMES and value]
    return ", ".join(sent or parse_qs(_text(query)).get("lastEventId", ()))


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Scope]]
_Send = Callable[[_Scope], Awaitable[None]]
_Environ = dict[str, Any]


def asgi(
    find: Callable[[_Scope], _LoopLog | Awaitable[_LoopLog | None] | None],
    *,
    retry_ms: int | None = None,
    keep_alive: float | None = 15.0,
    wait: float = 5.0,
) -> "_AsgiApplication":
    """Return an application of ASGI that answers each request with `aresponse`.

    - `find`: is given a request's scope, and returns its log, or None if there is no such run. It
      may be a coroutine function, which is cancelled if the client leaves meanwhile, or by
      `disconnect`. What it raises goes to the server, except the errors of `replay`, which are
      answered.
    - `retry_ms`, `keep_alive`, `wait`: as for `aresponse`.

    A client that leaves is noticed at once, also where the server lets the application go on
    writing to it. `disconnect()`, from any thread or signal handler, ends all answers, and has
    clients come again from then on: those who take nothing for a second are cut off. `lifespan` is
    answered, a `websocket` is closed; ValueError is raised for another type of scope, as ASGI asks
    for. It runs in any number of asyncio loops. Raises TypeError or ValueError for another
    `retry_ms`, `keep_alive` or `wait`.
    """
    return _AsgiApplication(find, retry_ms, keep_alive, wait)


class _AsgiApplication:
    """What `asgi` returns."""

    def __init__(
        self,
        find: Callable[[_Scope], _LoopLog | Awaitable[_LoopLog | None] | None],
        retry_ms: int | None,
        keep_alive: float | None,
        wait: float,
    ) -> None:
        self._retry = _retry(retry_ms)
        self._find = find
        self._retry_ms = retry_ms
        self._keep_alive = keep_alive_seconds(keep_alive)
        self._wait = wait_seconds(wait)
        self._is_disconnected = False
        self._endings = Waiters()  # one for each request

    def disconnect(self) -> None:
        """End all answers, and have clients come again from now on; from anywhere."""
        self._is_disconnected = True
        self._endings.wake()

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._answer(scope, receive, send)
        elif kind == "lifespan":
            await _live(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            raise ValueError(f"expected a scope of http, websocket or lifespan, got {kind!r:.60}")

    async def _answer(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        from asyncio import gather, get_running_loop  # here, since threads do not need it

        loop = get_running_loop()
        ending = LoopWaiter(loop)
        self._endings.add(ending)
        # Looked at only now that `disconnect` sees it.
        if self._is_disconnected:
            ending.resume()
        gone = loop.create_task(_gone(receive))
        finding = loop.create_task(self._response(scope))
        tasks: list[Future[Any]] = [gone, finding]
        come_again = _answer(_Disconnected(), _LoopBody, None, scope["method"], self._retry)
        response = come_again
        try:
            await _any_of(gone, finding, ending.future)
            if finding.done():
                response = finding.result()
            elif gone.done():
                return
            if ending.future.done():
                response.body.close()
                response = come_again
            sending = loop.create_task(_send(response, send))
            tasks.append(sending)
            await _any_of(gone, sending, ending.future)
            if not sending.done() and not gone.done():
                response.body.close()
                await _any_of(gone, sending, timeout=_LAST_SECONDS)
            if sending.done():
                sending.result()
        finally:
            self._endings.remove(ending)
            response.body.close()
            for task in tasks:
                task.cancel()
            await gather(*tasks, return_exceptions=True)

    async def _response(self, scope: _Scope) -> Response[_LoopBody]:
        method = scope["method"]
        log = None
        try:
            if method in _METHODS:
                found = self._find(scope)
                log = await found if isinstance(found, Awaitable) else found
        except _REFUSALS as error:
            return _answer(error, _LoopBody, None, method, self._retry)
        return await aresponse(
            log,
            last_event_id(scope),
            method=method,
            retry_ms=self._retry_ms,
            keep_alive=self._keep_alive,
            wait=self._wait,
        )


async def _any_of(*futures: "Future[Any]", timeout: float | None = None) -> None:
    """Wait for the first that is done."""
    from asyncio import FIRST_COMPLETED, wait

    await wait(futures, timeout=timeout, return_when=FIRST_COMPLETED)


async def _gone(receive: _Receive) -> None:
    """Wait until the client has left; what it sends is not read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(response: Response[_LoopBody], send: _Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    with suppress(OSError):  # the client has left: some servers say it so (ASGI HTTP, 2.4)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        async for piece in response.body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _live(receive: _Receive, send: _Send) -> None:
    """Answer the lifespan of the server."""
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


def wsgi(
    find: Callable[[_Environ], _Log | None],
    *,
    retry_ms: int | None = None,
    keep_alive: float | None = 2.0,
    wait: float = 5.0,
) -> "_WsgiApplication":
    """Return an application of WSGI that answers each request with `response`.

    - `find`: is given a request's environ, and returns its log, or None if there is no such run.
      What it raises goes to the server, except the errors of `replay`, which are answered.
    - `retry_ms`, `keep_alive`, `wait`: as for `response`.

    Each client that follows a run has a thread of the server. A client that has left is noticed by
    the second write after that, so at worst after twice `keep_alive`; with waitress by the
    third, or the first where `channel_request_lookahead` is 1. The head leaves with the first
    piece: with a `retry_ms` at once, else with a frame or a keep-alive. `disconnect()`, from any
    thread or signal handler, ends all answers, and has clients come again from then on. Raises
    TypeError or ValueError for another `retry_ms`, `keep_alive` or `wait`.
    """
    return _WsgiApplication(find, retry_ms, keep_alive, wait)


class _WsgiApplication:
    """What `wsgi` returns."""

    def __init__(
        self,
        find: Callable[[_Environ], _Log | None],
        retry_ms: int | None,
        keep_alive: float | None,
        wait: float,
    ) -> None:
        self._retry = _retry(retry_ms)
        self._find = find
        self._keep_alive = keep_alive_seconds(keep_alive)
        self._wait = wait_seconds(wait)
        self._is_disconnected = False
        self._bodies: dict[_ServedBody, None] = {}

    def disconnect(self) -> None:
        """End all answers, and have clients come again from now on; from anywhere."""
        self._is_disconnected = True
        for body in list(self._bodies):
            body.end()

    def __call__(
        self, environ: _Environ, start_response: Callable[[str, list[tuple[str, str]]], object]
    ) -> "_ServedBody":
        method = environ["REQUEST_METHOD"]
        log = None
        found: _Follower | Exception
        try:
            if method in _METHODS:
                log = self._find(environ)
            found = self._followed(log, last_event_id(environ), method)
        except _REFUSALS as error:
            found = error
        make_body = partial(_ServedBody, self._bodies)
        response = _answer(found, make_body, log, method, self._retry)
        # Looked at only now that `disconnect` sees the body.
        if self._is_disconnected:
            response.body.close()
            response = _answer(_Disconnected(), make_body, None, method, self._retry)
        phrase = _PHRASES[response.status]
        try:
            start_response(f"{response.status} {phrase}", list(response.headers.items()))
        except BaseException:  # the server has no body to close then
            response.body.close()
            raise
        return response.body

    def _followed(self, log: _Log | None, id: str, method: str) -> _Follower | Exception:
        """Wait in short times, since nothing else ends the wait of a thread."""
        if method == "HEAD":
            return _followed(log, id, method, self._keep_alive, self._wait)
        end = time.monotonic() + self._wait
        while True:
            left = 0.0 if self._is_disconnected else max(0.0, end - time.monotonic())
            found = _followed(log, id, method, self._keep_alive, min(left, _LOOK_SECONDS))
            if not left or log is None or not isinstance(found, (CursorAhead, RunUnknown)):
                return found


class _ServedBody(_ThreadBody):
    """A body of a WSGI application, which stands in a register until it is closed."""

    def __init__(
        self, register: "dict[_ServedBody, None]", first: bytes, follower: _Follower | None
    ) -> None:
        super().__init__(first, follower)
        self._register = register
        register[self] = None

    def end(self) -> None:
        """End it; the server closes it then."""
        super().close()

    def close(self) -> None:
        """End it, and leave the register; a WSGI server calls this in any case (PEP 3333)."""
        self._register.pop(self, None)
        super().close()


def disconnect_on_signals(*targets: _Target) -> None:
    """Disconnect some targets when SIGTERM or SIGINT comes, and pass the signal on.

    - `targets`: one or more, each with a `disconnect()`: an application of `asgi` or `wsgi`, a
      `ReplayLog`, or a store of runs.

    The signal goes on to what handled it until this call, so call it in the process that serves
    and after the server has set up its own: in a lifespan, or in a worker's start hook. Servers
    wait for open answers before they stop, and an answer that follows a run is open until the run
    ends.

    Raises RuntimeError if it is not called in the main thread, where alone Python handles signals;
    TypeError without a target, or for one without a `disconnect()`.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "disconnect_on_signals was called outside the main thread: call it in a"
            " lifespan or a worker's start hook"
        )
    wrong = [type(each).__name__ for each in targets if not hasattr(each, "disconnect")]
    if wrong or not targets:
        raise TypeError(
            "disconnect_on_signals takes one target or more, each with a disconnect(), got"
            f" {wrong[0] if wrong else 'none'}"
        )
    for number in (signal.SIGTERM, signal.SIGINT):
        _disconnect_on(number, targets)


def _disconnect_on(number: signal.Signals, targets: tuple[_Target, ...]) -> None:
    before = signal.getsignal(number)

    def pass_on(number: int, frame: FrameType | None) -> None:
        if callable(before):
            before(number, frame)
        elif before is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def disconnect(number: int, frame: FrameType | None) -> None:
        # In this order, and each of them even if one before it raises.
        with ExitStack() as calls:
            calls.callback(pass_on, number, frame)
            for target in reversed(targets):
                calls.callback(target.disconnect)

    signal.signal(number, disconnect)
