# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`make bench-serving`: runs to many clients at once, beside a queue for each client; for Linux.

Each contestant is a server process of its own (see `serving_apps`). This process is all clients:
it checks the order of the events, and takes the time of each from append to receipt. Contestants
take turns, and the best of the rounds counts, since noise only ever adds. Where a server cannot
keep up, what it delivers until some seconds after the last event counts; all have the same time.
"""

import argparse
import os
import re
import resource
import select
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from . import race
from .serving_apps import CONTESTANTS, EVENTS_PER_SECOND

# How long a server may go on delivering after the time of the run.
DRAIN_SECONDS = 10

_TOKEN = re.compile(rb'"content":"(\d+)","token_index":(\d+),')
_OPEN_FILES = 8_000
_PACKAGES = ["fastapi", "httptools", "pydantic", "sse-starlette", "starlette", "uvicorn", "uvloop"]


class Case(NamedTuple):
    """So many clients, evenly on so many runs.

    - `aim`: how many times the peer's processor time for a delivery ours may be.
    """

    runs: int
    clients: int
    aim: float | None = None

    def __str__(self) -> str:
        if self.runs == 1:
            return f"{self.clients:,} clients of one run"
        return f"{self.runs:,} runs of {self.clients // self.runs} clients"


CASES = [Case(1, 100), Case(1, 500, 0.7), Case(1, 1_000), Case(1, 2_000, 1 / 3), Case(200, 1_000)]
QUICK_CASES = CASES[:2]


class Figures(NamedTuple):
    """What one contestant did in one case."""

    delivered: float  # events a second
    processor: float  # seconds of the server's for each of them
    median: float  # seconds from append to receipt
    p99: float
    memory: float  # bytes of the server's for each client, at their highest
    missing: int  # events that did not come in time
    load: float  # of a core, that this process took


class _Row(NamedTuple):
    title: str
    figure: Callable[[Figures], float]
    unit: float
    best: Callable[[list[float]], float] = min


_ROWS = {
    "delivered": _Row("events delivered a second", lambda f: f.delivered, 1, max),
    "processor": _Row("processor time a delivery, µs", lambda f: f.processor, 1e-6),
    "median": _Row("append to receipt, median, ms", lambda f: f.median, 1e-3),
    "p99": _Row("append to receipt, 99%, ms", lambda f: f.p99, 1e-3),
    "memory": _Row("memory a client, KiB", lambda f: f.memory, 1024),
    "load": _Row("(this process, % of a core)", lambda f: f.load, 0.01),
}


def _processor_seconds(pid: int) -> float:
    """Return the processor time that a process has taken, the kernel's for it included."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int, name: str) -> int:
    """Return the bytes of a process: `VmRSS` for now, `VmHWM` for their highest."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition(f"{name}:")[2].split(maxsplit=1)[0]) * 1024


@contextmanager
def _server(name: str, runs: int, events: int) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Run a contestant, and yield its process and its port."""
    command = [sys.executable, "-m", "benchmarks.serving_apps", name]
    process = subprocess.Popen(
        [*command, f"--runs={runs}", f"--events={events}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=race.ROOT,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def _connect(port: int, run: int) -> tuple[socket.socket, bytes]:
    """Return a connection that follows a run, and what came after the response's head."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET /%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % run)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(2**16)
        if not piece:
            raise AssertionError(f"the server ended its answer in the head: {data!r}")
        data += piece
    if not data.startswith(b"HTTP/1.1 200 "):
        raise AssertionError(f"the server answered {data!r}")
    return client, data.partition(b"\r\n\r\n")[2]


def _receive(
    clients: list[tuple[socket.socket, bytes]], events: int, deadline: float
) -> "array[int]":
    """Return the nanoseconds from append to receipt of each event that comes in time.

    Raises AssertionError if a client gets anything but each event once and in order.
    """
    times = array("q")
    rests = {client.fileno(): rest for client, rest in clients}
    counts = dict.fromkeys(rests, 0)
    with select.epoll() as poll:
        for file in rests:
            poll.register(file, select.EPOLLIN)
        while rests and time.monotonic() < deadline:
            for file, _ in poll.poll(0.1):
                data = os.read(file, 2**16)
                now = time.monotonic_ns()
                if not data:
                    poll.unregister(file)
                    del rests[file]
                    if counts[file] != events:
                        raise AssertionError(f"the stream ended after {counts[file]} of {events}")
                    continue
                data = rests[file] + data
                count = counts[file]
                end = 0
                for match in _TOKEN.finditer(data):
                    count += 1
                    appended, index = map(int, match.groups())
                    if index != count:
                        raise AssertionError(f"expected event {count} of a run, got {index}")
                    times.append(now - appended)
                    end = match.end()
                counts[file] = count
                rests[file] = data[end:]
    return times


def measure(case: Case, name: str, seconds: float) -> Figures:
    """Return the figures of one contestant in one case, in a new process."""
    events = round(seconds * EVENTS_PER_SECOND)
    with _server(name, case.runs, events) as (process, port):
        assert process.stdin is not None
        memory = _memory(process.pid, "VmRSS")
        clients = [_connect(port, n % case.runs) for n in range(case.clients)]
        taken = _processor_seconds(process.pid)
        own = time.process_time()
        begun = time.monotonic()
        process.stdin.write("start\n")
        process.stdin.flush()
        times = _receive(clients, events, begun + seconds + DRAIN_SECONDS)
        took = time.monotonic() - begun
        own = time.process_time() - own
        taken = _processor_seconds(process.pid) - taken
        memory = _memory(process.pid, "VmHWM") - memory
        for client, _ in clients:
            client.close()
    ordered = sorted(times)
    return Figures(
        delivered=len(times) / took,
        processor=taken / len(times),
        median=ordered[len(times) // 2] * 1e-9,
        p99=ordered[len(times) * 99 // 100] * 1e-9,
        memory=memory / case.clients,
        missing=case.clients * events - len(times),
        load=own / took,
    )


def _best(rounds: list[Figures]) -> dict[str, float]:
    return {key: row.best([row.figure(f) for f in rounds]) for key, row in _ROWS.items()}


def _print(case: Case, results: Mapping[str, list[Figures]]) -> None:
    """Print a case's table: each figure beside the peer's, and ours to that."""
    best = {name: _best(rounds) for name, rounds in results.items()}
    *ours, peer = best
    aims = {"processor": case.aim, "p99": 1.0}
    rows = []
    for key, row in _ROWS.items():
        limit = aims.get(key)
        cells = []
        verdicts = []
        for name in ours:
            figure = best[name][key]
            ratio = figure / best[peer][key]
            cells += [f"{figure / row.unit:,.1f}", f"{ratio:.2f}"]
            if limit is not None:
                verdicts.append(race.judge(f"{case}, {row.title}, {name}", ratio, limit))
        rows.append(
            (
                row.title,
                *cells,
                f"{best[peer][key] / row.unit:,.1f}",
                "" if limit is None else f"≤ {limit:.2f}",
                ", ".join(verdicts),
            )
        )
    columns = [column for name in ours for column in (name, "ratio")]
    race.table((str(case), *columns, peer, "aim", ""), rows)
    for name, rounds in results.items():
        if missing := max(figures.missing for figures in rounds):
            print(f"{name}: {missing:,} events had not come {DRAIN_SECONDS} s after the last one\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Race servers of runs to many clients.")
    parser.add_argument("--quick", action="store_true", help="two cases, a few seconds of each")
    quick = parser.parse_args().quick
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _OPEN_FILES:
        sys.exit(f"expected a limit of {_OPEN_FILES} open files or more, got {hard}: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, hard))
    race.print_versions(_PACKAGES)
    for case in QUICK_CASES if quick else CASES:
        results: dict[str, list[Figures]] = {name: [] for name in CONTESTANTS}
        for _ in range(1 if quick else 3):
            for name, rounds in results.items():
                rounds.append(measure(case, name, 3 if quick else 10))
        _print(case, results)
    race.print_aims()


if __name__ == "__main__":
    main()
