# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The servers: what each of them serves, how it is started, and that it is gone."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ... import CORPUS, ROOT
from ...host import blocks

__all__ = [
    "DOCS",
    "RECORDING",
    "SERVERS",
    "Nginx",
    "Process",
    "Server",
    "Service",
    "free_port",
    "snippet",
    "until",
]

RECORDING = CORPUS / "recorded" / "report.jsonl"
DOCS = ROOT / "docs"


def snippet(page: str, mark: str, language: str = "python server") -> str:
    """Return the one snippet of a page that has a mark in it."""
    (found,) = (block for block in blocks(DOCS / page, language) if mark in block)
    return found


class Server(NamedTuple):
    """How a server is started.

    - `files`: what it serves and is configured by, by the names of the files.
    - `command`: its arguments; PORT is its port.
    - `is_wsgi`: whether it learns only from writing that a client has left.
    """

    files: Callable[[], dict[str, str]]
    command: str
    is_wsgi: bool = False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look again and again until a condition holds; return False if that takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


_Process = TypeVar("_Process", bound="Process")


class Process:
    """A process that listens on a port, and leads a group of its own.

    A context manager: entering waits until it listens, leaving ends the whole group. `log` is the
    file of what they write.
    """

    def __init__(self, command: list[str], folder: Path, port: int, **variables: str) -> None:
        self.port = port
        self.log = folder / "log"
        environment = {**os.environ, **variables}
        environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT)])
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )

    def __enter__(self: _Process) -> _Process:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def start(self) -> None:
        """Wait until it listens; RuntimeError if it does not come to that."""

        def listens() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"it did not start: {self.log.read_text('utf-8')}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        if not until(listens, 30):
            raise RuntimeError(f"nobody listens: {self.log.read_text('utf-8')}")

    def end(self) -> None:
        """Kill what is left of it."""
        if not self.is_gone():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def is_gone(self) -> bool:
        """Return whether no process of the group is left."""
        self.process.poll()
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False


class Service(Process):
    """A server that serves the runs of `runs.py`.

    - `half`: how many events a run named `half-…` gets.
    """

    def __init__(
        self, server: Server, folder: Path, *, port: int | None = None, half: int = 838
    ) -> None:
        port = port or free_port()
        self._control = free_port()
        folder.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).with_name("runs.py"), folder)
        for name, text in server.files().items():
            # The ports of the page are the usual ones.
            (folder / name).write_text(text.replace("8000", str(port)), "utf-8")
        command = server.command.replace("PORT", str(port)).split()
        super().__init__(
            [sys.executable, *command],
            folder,
            port,
            RECORDING=str(RECORDING),
            CONTROL_PORT=str(self._control),
            EVENTS=str(half),
            # Python's own buffer would keep what is in it from the log.
            PYTHONUNBUFFERED="1",
        )

    def start(self) -> None:
        super().start()
        # The first request starts the port of the gate.
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(b"GET /runs/none/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
            head = b"".join(iter(lambda: connection.recv(65536), b""))
        if b" 404 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"no such run, and the answer is {head!r}")

    def url(self, run: str) -> str:
        return f"http://127.0.0.1:{self.port}/runs/{run}/events"

    def tell(self, command: str) -> Any:
        """Have `runs.py` do something, and return what it returns."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._control}/{command}") as answer:
            return json.load(answer)


class Nginx(Process):
    """nginx with gzip, as docs/serving.md has it, in front of a port.

    - `page`: what it answers for `/page.html` itself.
    """

    def __init__(self, target: int, folder: Path, page: str = "") -> None:
        port = free_port()
        folder.mkdir(exist_ok=True)
        server = snippet("serving.md", "proxy_pass", "nginx").replace("8000", str(target))
        server = server.replace("listen 80;", f"listen 127.0.0.1:{port};")
        (folder / "page.html").write_text(page, "utf-8")
        server = server.replace(
            "location / {", f"location = /page.html {{ root {folder}; }} location / {{"
        )
        # Who starts it as root has its workers run as somebody who may not read the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        paths = "".join(
            f"{name}_temp_path {folder};"
            for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
        )
        (folder / "nginx.conf").write_text(
            f"{user} daemon off; pid {folder}/pid; error_log stderr;"
            "events {} http { types { text/html html; } access_log off;"
            f"{paths}\n{server}\n}}",
            "utf-8",
        )
        super().__init__(
            ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"],
            folder,
            port,
        )


def module(mark: str) -> Callable[[], dict[str, str]]:
    """Return what gives a snippet of docs/frameworks.md as the module `service`."""
    return lambda: {"service.py": snippet("frameworks.md", mark)}


def fastapi() -> dict[str, str]:
    return {"service.py": snippet("serving.md", "FastAPI(") + RUNS_OF_THE_GATE}


def gunicorn() -> dict[str, str]:
    return {"gunicorn.conf.py": snippet("serving.md", "def post_worker_init")}


def django(is_wsgi: bool) -> dict[str, str]:
    urls = snippet("frameworks.md", "urlpatterns")
    if is_wsgi:  # as the page says
        urls = urls.replace("async def", "def").replace("await web.aresponse", "web.response")
        start = "from django.core.wsgi import get_wsgi_application\napp = get_wsgi_application()"
    else:
        start = snippet("frameworks.md", "get_asgi_application").replace(
            "def application", "def app"
        )
    return {"urls.py": urls, "service.py": SETTINGS + start}


RUNS_OF_THE_GATE = """
from types import SimpleNamespace

import runs as gate

class Runs:
    def __contains__(self, run_id):
        return gate.runs.get(run_id) is not None

    def __getitem__(self, run_id):
        return SimpleNamespace(log=gate.runs.get(run_id))

    disconnect = gate.runs.disconnect

runs = Runs()
"""

SETTINGS = """
from django.conf import settings

settings.configure(SECRET_KEY="gate", ALLOWED_HOSTS=["*"], ROOT_URLCONF="urls")
"""

UVICORN = "-m uvicorn service:app --port PORT --no-access-log"
GUNICORN = "-m gunicorn service:app --bind 127.0.0.1:PORT --worker-class gthread --threads 64"
WAITRESS = "-m waitress --listen 127.0.0.1:PORT --threads 64 --channel-request-lookahead 1"
ASGI = module("web.asgi(")
WSGI = module("web.wsgi(")
FLASK = module("Flask(")
SERVERS = {
    "uvicorn": Server(ASGI, f"{UVICORN} --loop asyncio --http h11"),
    "uvloop": Server(ASGI, f"{UVICORN} --loop uvloop --http httptools"),
    "hypercorn": Server(ASGI, "-m hypercorn service:app --bind 127.0.0.1:PORT --workers 0"),
    "granian": Server(ASGI, "-m granian service:app --interface asgi --port PORT"),
    "gunicorn": Server(lambda: {**WSGI(), **gunicorn()}, GUNICORN, is_wsgi=True),
    "waitress": Server(WSGI, f"{WAITRESS} service:app", is_wsgi=True),
    "wsgiref": Server(
        lambda: {"service.py": WSGI()["service.py"] + snippet("frameworks.md", "make_server")},
        "service.py",
        is_wsgi=True,
    ),
    "starlette": Server(module("Starlette("), UVICORN),
    "fastapi": Server(fastapi, UVICORN),
    "flask": Server(lambda: {**FLASK(), **gunicorn()}, GUNICORN, is_wsgi=True),
    "django-asgi": Server(lambda: django(is_wsgi=False), UVICORN),
    "django-wsgi": Server(lambda: {**django(is_wsgi=True), **gunicorn()}, GUNICORN, is_wsgi=True),
    "aiohttp": Server(module("aiohttp.web.Application("), "service.py"),
}
