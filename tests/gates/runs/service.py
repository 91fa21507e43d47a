# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A service with several workers behind one address, and the clients of its runs.

    python -m tests.gates.runs.service worker PLAN
    python -m tests.gates.runs.service clients PLAN

A worker produces the runs that it is asked for, `POST /NAME`, and answers for all of them.
"""

import faulthandler
import json
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from axon_events import web
from axon_events.client import Refused, events
from axon_events.order import TruncatedStream
from axon_events.runs import StoreUnavailable
from axon_events.runs._core import Runs

from .known import digest, known
from .programs import Log, opened


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 100


class _Request(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def worker(plan: dict[str, Any], log: Log) -> None:
    """Serve the runs of a store, and produce some."""
    runs = opened(plan["store"])
    answer = web.wsgi(
        lambda environ: runs.run(environ["PATH_INFO"].rpartition("/")[2]), retry_ms=100, wait=30.0
    )

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            run = environ["PATH_INFO"].rpartition("/")[2]
            threading.Thread(target=produce, args=(runs, run, plan, log), daemon=True).start()
            start_response("202 Accepted", [("Content-Length", "0")])
            return []
        return answer(environ, start_response)

    with make_server("127.0.0.1", plan["port"], app, _Server, _Request) as server:
        log.note("port", server.server_port)
        server.serve_forever()


def produce(runs: Runs, run: str, plan: dict[str, Any], log: Log) -> None:
    """Write a run at a pace."""
    with runs.create(run) as writer:
        for event in known(run, plan["tokens"]):
            with suppress(StoreUnavailable):
                writer.append(event)
            time.sleep(plan["pace"])
    log.note("closed", run)


class Client:
    """A client of a run: it notes what it got, and how that ended."""

    def __init__(self, name: str, run: str, url: str, log: Log) -> None:
        self._name = name
        self._run = run
        self._url = url
        self._log = log

    def read(self) -> None:
        text = "None"
        try:
            reading = events(f"{self._url}/{self._run}", timeout=60)
            for event in reading:
                self._log.note("got", self._name, [digest(reading.last_event_id, event)])
            end = "whole"
        except TruncatedStream as error:
            end, text = "closed", str(error)
        except Refused as error:
            end, text = f"Refused {error.status}", str(error)
        except OSError as error:
            end, text = type(error).__name__, str(error)
        self._log.note("end", self._name, end, text, time.time())


def clients(plan: dict[str, Any], log: Log) -> None:
    """Read runs, each in a thread."""
    threads = [
        threading.Thread(
            target=Client(mine["name"], mine["run"], plan["url"], log).read, daemon=True
        )
        for mine in plan["followers"]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


PROGRAMS = {"worker": worker, "clients": clients}


def main() -> None:
    name, document = sys.argv[1:]
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    plan = json.loads(document)
    PROGRAMS[name](plan, Log(plan["log"]))


if __name__ == "__main__":
    main()
