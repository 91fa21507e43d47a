# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The HTTP server of `serve`: pages, and the runs that they show as Server-Sent Events."""

import errno
import http.server
import ipaddress
import re
import socket
import socketserver
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from http import HTTPStatus
from typing import Any

from .. import __version__, web
from ..runs import StoreUnavailable
from . import page
from .sites import Site

__all__ = ["Server", "host_name"]

# How long to wait for the next bytes of a request, or for a client to take bytes of an answer.
IDLE_SECONDS = 30.0
# How much of a frame to write at once. That time is for the whole of a write: with a large frame in
# one write, a slow client would never get it.
WRITE_BYTES = 65536
# How long to read what a client still sends after its answer: closing a connection with unread
# bytes resets it, and the answer may be lost on its way.
LINGER_SECONDS = 2.0
# After how many milliseconds an EventSource connects again.
RETRY_MS = 500
KEEP_ALIVE_SECONDS = 15.0


class Server(socketserver.ThreadingTCPServer):
    """The HTTP server, bound to its address.

    - `host`: a name or an address; `port`: 0 to 65535, 0 for any that is free.
    - `site`: what it serves; closed with the server.
    - `drop_after`: after how many events each connection is closed, from 1; None for never.
    - `allow_hosts`: further names that a Host may have, each as `host_name` gives it.

    `url` is the URL of the page at `/`. Raises OSError if the address cannot be bound.
    """

    # Not an `HTTPServer`, which asks the network for the host's full name before it starts.
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        host: str,
        port: int,
        site: Site,
        *,
        drop_after: int | None = None,
        allow_hosts: Iterable[str] = (),
    ) -> None:
        self.site = site
        self.drop_after = drop_after
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:  # not a valid name
            raise OSError(errno.EINVAL, "not a host name") from None
        address: Any  # of two parts or four
        self.address_family, _, _, _, address = found[0]
        super().__init__(address, _Connection)
        bound = _address(self.socket)
        # The names a Host may have, besides the address that the client has connected to.
        self.names = {"localhost", "127.0.0.1", "::1", _folded(host), str(bound), *allow_hosts}
        name = host
        if bound.is_unspecified:  # all addresses: this machine finds it here
            name = "127.0.0.1" if bound.version == 4 else "::1"
        shown = f"[{name}]" if ":" in name else name
        self.url = f"http://{shown}:{self.socket.getsockname()[1]}/"

    def server_close(self) -> None:
        super().server_close()
        self.site.close()

    def shutdown_request(self, request: Any) -> None:
        with suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            end = time.monotonic() + LINGER_SECONDS
            while (left := end - time.monotonic()) > 0:
                request.settimeout(left)
                if not request.recv(65536):
                    break
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # An OSError is a client that went away, or that takes nothing.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/?#@\[\]]+))(?::[0-9]*)?")
# A request target with a host: the host, and the path.
_ABSOLUTE = re.compile(r"http://([^/?]*)([^?]*).*", re.IGNORECASE)


def host_name(host: str) -> str | None:
    """Return the name or address in the value of a Host, in one spelling; None if it is bad."""
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    if match[1] is None:
        return _folded(match[2])
    try:
        return str(ipaddress.IPv6Address(match[1]))
    except ValueError:
        return None


def _folded(name: str) -> str:
    return name.lower().removesuffix(".")


def _address(bound: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address at this machine's end of a socket."""
    address = ipaddress.ip_address(bound.getsockname()[0].partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


class _Connection(http.server.BaseHTTPRequestHandler):
    """A connection, in a thread of its own: one request after the other."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]  # no other makes one
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # an answer to a malformed request has a head too
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True  # each token leaves as it comes

    def version_string(self) -> str:
        return f"axon_events/{__version__}"

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the terminal is for the messages of `serve`."""

    def _answer_request(self) -> None:
        # As it was sent: http.server makes one slash of several.
        target = self.requestline.split()[1]
        absolute = _ABSOLUTE.fullmatch(target)
        path = (absolute[2] or "/") if absolute else target.partition("?")[0]
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body is not read, and is not the next request
        if not self._has_own_host(absolute and absolute[1]):
            return
        site = self.server.site
        html, run = site.page(path), site.run(path)
        if html is None and run is None:
            self.send_error(404, explain=f"the paths are {site.paths}")
        elif self.command not in ("GET", "HEAD"):
            self.send_error(405, explain=f"{path} takes GET and HEAD")
        elif html is not None:
            self._page(html)
        else:
            self._events(run)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = (  # noqa: N815
        _answer_request
    )

    def _header(self, name: str) -> list[str]:
        """Return each value of a header, without the blanks around it (RFC 9110, 5.5)."""
        return [value.strip(" \t") for value in self.headers.get_all(name, [])]

    def _has_own_host(self, authority: str | None) -> bool:
        """Return whether the request names this server as its host; if not, answer with an error.

        - `authority`: the host in the target; it counts in place of the header (RFC 9112, 3.2.2).

        A page of another site can point its own name at this address, to read what is served here.
        But its requests still have that name as their host.
        """
        hosts = self._header("Host")
        if not hosts and self.request_version == "HTTP/1.0":
            hosts = ["localhost"]  # that version has no such header
        names = [host_name(host) for host in hosts]
        if authority is not None:
            names.append(host_name(authority))
        if len(hosts) != 1 or None in names:
            self.send_error(
                400, explain="expected one Host, a name or an address with or without a port"
            )
            return False
        if names[-1] in (*self.server.names, str(_address(self.connection))):
            return True
        self.send_error(
            403,
            explain=f"the Host is not this server: it is {self.server.url};"
            " serve --allow-host NAME allows another name",
        )
        return False

    def _page(self, source: Callable[[], str]) -> None:
        try:
            html = source()
        except OSError as error:
            self.send_error(500, explain=f"{error.filename}: {error.strerror}")
            return
        except StoreUnavailable as error:
            self.send_error(503, explain=str(error))
            return
        policy = f"{page.policy(html)}; connect-src 'self'; frame-ancestors 'none'"
        self._send(
            200, html.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy}
        )

    def _events(self, run: Any) -> None:
        query = self.requestline.split()[1].partition("?")[2]
        # Without the blanks around each value, which http.server leaves (RFC 9110, 5.5).
        headers = [(name, value.strip(" \t")) for name, value in self.headers.items()]
        answer = web.response(
            run,
            web.last_event_id({"headers": headers, "query_string": query}),
            method=self.command,
            retry_ms=RETRY_MS,
            keep_alive=KEEP_ALIVE_SECONDS,
            wait=self.server.site.wait,
        )
        drop_after = None
        if answer.status == 200:
            # Its length is not known, and not every proxy takes chunks: so the body ends with the
            # connection.
            self.close_connection = True
            drop_after = self.server.drop_after
        self._send_head(answer.status, {**answer.headers, **_HEADERS})
        with closing(answer.body) as frames:
            for piece in _cut(frames, drop_after):
                for start in range(0, len(piece), WRITE_BYTES):
                    self.wfile.write(piece[start : start + WRITE_BYTES])

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with an error as plain text; http.server calls this too."""
        status = HTTPStatus(code)
        text = f"{code} {status.phrase}: {explain or message or status.description}\n"
        headers = {"Allow": "GET, HEAD"} if code == 405 else {}
        self.close_connection = True
        self._send(code, text.encode(), "text/plain; charset=utf-8", headers)

    def _send(self, code: int, content: bytes, type: str, headers: dict[str, str]) -> None:
        self._send_head(
            code, {"Content-Type": type, "Content-Length": str(len(content)), **headers}
        )
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_head(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**_HEADERS, **headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def _cut(frames: Iterable[bytes], drop_after: int | None) -> Iterator[bytes]:
    """Yield the frames of the first `drop_after` events; all frames if that is None."""
    if drop_after is None:
        yield from frames
        return
    for piece in frames:
        for frame in piece.split(b"\n\n")[:-1]:
            yield frame + b"\n\n"
            drop_after -= frame.startswith(b"id:")  # a comment has no id
            if drop_after == 0:
                return
