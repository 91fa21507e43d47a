# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The runs of a server under test, and a port where the gate sees and drives them.

The gate copies this file beside a snippet of docs/serving.md, which imports `runs`. Three
variables of the environment belong to it:

- `RECORDING`: the recorded run.
- `CONTROL_PORT`: the port of 127.0.0.1, on which the process that serves listens from the first
  request on.
- `EVENTS`: how many of the recorded events a run named `half-…` gets from this process.

What a run's name begins with says what it is: a `live-…` one is played from the first client on, as
is a `half-…` one. An `open-…` one has one event, and a `bounded-…` one keeps one: for both the
gate sends what follows.
"""

import gc
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice

from axon_events import StepToken, jsonl, web
from axon_events.replay import ReplayLog

__all__ = ["runs"]

SECONDS_BETWEEN_EVENTS = 0.001
# The snippets leave it to the client when it comes back, and a browser takes seconds.
for answering in (web.response, web.aresponse, web.asgi, web.wsgi):
    answering.__kwdefaults__ = {**(answering.__kwdefaults__ or {}), "retry_ms": 10}

with open(os.environ["RECORDING"], "rb") as file:
    EVENTS = list(jsonl.read(file))


class Runs:
    """The logs by the names of the runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: dict[str, ReplayLog] = {}
        self._appended: dict[str, int] = {}
        self._is_served = False

    def get(self, name: str) -> "ReplayLog | None":
        """Return a run's log, which begins with the first one who asks for it."""
        with self._lock:
            if not self._is_served:
                # Here and not on import: a server may fork between the two.
                self._is_served = True
                address = ("127.0.0.1", int(os.environ["CONTROL_PORT"]))
                server = ThreadingHTTPServer(address, Control)
                threading.Thread(target=server.serve_forever, daemon=True).start()
            if name in self._logs:
                return self._logs[name]
            kind = name.partition("-")[0]
            if kind not in ("live", "half", "open", "bounded"):
                return None
            log = ReplayLog(stream_id=name, max_events=1 if kind == "bounded" else None)
            self._logs[name] = log
        if kind in ("live", "half"):
            count = int(os.environ["EVENTS"]) if kind == "half" else len(EVENTS)
            threading.Thread(target=play, args=(log, count), daemon=True).start()
        else:
            self.append(name, 1)
        return log

    def append(self, name: str, count: int) -> None:
        """Append the next of the recorded events."""
        begin = self._appended.get(name, 0)
        self._appended[name] = begin + count
        for event in islice(EVENTS, begin, begin + count):
            self._logs[name].append(event)

    def flood(self, name: str, count: int) -> None:
        """Append so many tokens without a pause."""
        begin = self._appended[name]
        self._appended[name] = begin + count
        for number in range(begin, begin + count):
            self._logs[name].append(StepToken("Flood", "x", number, 0))

    def followers(self) -> int:
        """Return how many followers there are, of all runs."""
        gc.collect()
        return sum(
            type(thing).__name__ in ("_ThreadFollower", "_LoopFollower")
            for thing in gc.get_objects()
        )

    def disconnect(self) -> None:
        """End the connections of all clients, which come back."""
        with self._lock:
            logs = list(self._logs.values())
        for log in logs:
            log.disconnect()


def play(log: ReplayLog, count: int) -> None:
    for event in EVENTS[:count]:
        try:
            log.append(event)
        except RuntimeError:  # the gate has closed it
            return
        time.sleep(SECONDS_BETWEEN_EVENTS)


class Control(BaseHTTPRequestHandler):
    """`/followers`, `/append/NAME/COUNT` and `/flood/NAME/COUNT`."""

    def do_GET(self) -> None:
        command, *arguments = self.path[1:].split("/")
        if command == "followers":
            result = runs.followers()
        else:
            name, count = arguments
            {"append": runs.append, "flood": runs.flood}[command](name, int(count))
            result = None
        body = json.dumps(result).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: the log is the server's."""


runs = Runs()
