# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Tries each client of Redis, in all its forms, with a server and a cluster of three nodes.

    python -m tests.gates.runs.clients [NAME …]

Each of redis5.txt to redis8.txt and valkey.txt is installed into an environment of its own, where
this module tries RESP2 and RESP3, with `decode_responses` and without, on both. Each try does
everything once, while connections are killed. With `decode_responses`, the client does not try
again by itself.
"""

import importlib
import itertools
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from axon_events import Event, FlowComplete, FlowStart, StepToken
from axon_events.runs import Fenced, RunExists, RunInfo, RunLost, RunUnknown
from axon_events.runs.redis import RedisRuns
from axon_events.sse import Encoder

from ... import ROOT
from ...redis_server import Cluster, Server, command
from ..environment import installed

__all__ = ["NAMES", "check"]

FOLDER: Final = Path(__file__).resolve().parent
NAMES: Final = ("redis5", "redis6", "redis7", "redis8", "valkey")
_RUNS: Final = 20
_SECONDS: Final = 60.0

START = FlowStart("Report", "anthropic", 0)
END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 1, 2)


def check(names: Sequence[str] = NAMES) -> int:
    """Install and try each client; return 0 if all is well."""
    status = 0
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(Server(Path(folder, "server")))
        cluster = stack.enter_context(Cluster(folder))
        ports = [str(each.port) for each in (server, *cluster.nodes)]
        for name in names:
            try:
                python = installed(str(Path(folder, name)), FOLDER / f"{name}.txt")
                module = name.rstrip("5678")
                tried = [python, "-W", "error", "-m", f"{__package__}.clients", "--try", module]
                subprocess.run([*tried, *ports], cwd=ROOT, check=True)
            except subprocess.CalledProcessError:  # the command has printed why
                status = 1
    return status


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] != ["--try"]:
        return check(arguments or NAMES)
    # This logger of redis-py 5 logs each message that comes by RESP3.
    logging.getLogger("push_response").setLevel(logging.WARNING)
    library: Any = importlib.import_module(arguments[1])
    server_port, *cluster_ports = map(int, arguments[2:])
    is_valkey = arguments[1] == "valkey"
    kinds = ("Valkey", "ValkeyCluster") if is_valkey else ("Redis", "RedisCluster")
    for kind, ports in zip(kinds, ([server_port], cluster_ports), strict=True):
        for protocol, decode in itertools.product((2, 3), (False, True)):
            for port in ports:
                command(port, "FLUSHALL")
            options: dict[str, Any] = {"protocol": protocol, "decode_responses": decode}
            if decode:
                options["retry"] = None  # as docs/stores.md has it; the client's own retries wait
            form = f"{arguments[1]} {library.__version__} {kind} {options}"
            began = time.monotonic()
            connect = partial(getattr(library, kind), host="127.0.0.1", port=ports[0])
            _try(partial(connect, socket_timeout=5.0, **options), ports)
            print(f"{form}: {time.monotonic() - began:.1f} s", flush=True)
    return 0


def _try(make: Callable[[], Any], ports: Sequence[int]) -> None:
    with _opened(make) as writers, _opened(make) as readers:
        names = [f"run{index}" for index in range(_RUNS)]
        written = {name: writers.create(name) for name in names}
        frames = dict.fromkeys(names, b"")
        encoders = {name: Encoder(name) for name in names}

        def write(event: Event) -> None:
            for name, writer in written.items():
                frames[name] += encoders[name].encode(event)
                writer.append(event)

        def flush() -> None:
            for writer in written.values():
                writer.flush(_SECONDS)

        write(START)
        flush()
        followers = {name: readers.run(name).follow() for name in names}
        got = dict.fromkeys(names, b"")

        def await_all() -> None:
            deadline = time.monotonic() + _SECONDS
            for name, follower in followers.items():
                while len(got[name]) < len(frames[name]) and time.monotonic() < deadline:
                    got[name] += next(follower)
            _require(got, frames)

        def kill(kind: str) -> None:
            for port in ports:
                command(port, "CLIENT", "KILL", "TYPE", kind)

        await_all()
        for index in range(1, 40):
            write(StepToken("Summarise", "é", index, 0))
            if index % 5 == 0:
                kill("pubsub" if index % 10 else "normal")
                await_all()
        # Larger than a message.
        write(StepToken("Summarise", "x" * 100_000, 40, 0))
        await_all()
        _refused(RunExists, lambda: writers.create("run0"))
        # One is resumed, and one deleted; the others end.
        resumed, events = readers.resume("run0")
        _require(len(events), 41)
        written["run0"].append(END)
        _refused(Fenced, written["run0"].flush)
        resumed.append(StepToken("Summarise", "", 41, 0))
        resumed.close()
        _require(next(followers["run0"]).count(b"data: "), 1)
        _require(list(followers["run0"]), [])
        readers.delete("run1")
        _refused(RunLost, lambda: list(followers["run1"]))
        _refused(RunUnknown, readers.run("run1").after)
        for name in names[2:]:
            written[name].append(END)
            written[name].close()
            frames[name] += encoders[name].encode(END)
            got[name] += b"".join(followers[name])
        _require({name: got[name] for name in names[2:]}, {n: frames[n] for n in names[2:]})
        infos = sorted(writers.infos())
        expected = [RunInfo("run0", "step_token", 0, True)]
        expected += [RunInfo(name, "flow_complete", 2, True) for name in names[2:]]
        _require(infos, sorted(expected))
        rest = frames["run2"][frames["run2"].index(b"id: run2:4\n") :]
        _require(readers.run("run2").after("run2:3"), rest)


@contextmanager
def _opened(make: Callable[[], Any]) -> Iterator[RedisRuns]:
    client = make()
    try:
        with RedisRuns(client, lease=3.0) as runs:
            yield runs
    finally:
        client.close()


def _require(got: object, expected: object) -> None:
    if got != expected:
        raise AssertionError(f"got {got!r:.2000}, expected {expected!r:.2000}")


def _refused(error: type[Exception], function: Callable[[], object]) -> None:
    try:
        function()
    except error:
        return
    raise AssertionError(f"expected {error.__name__}")


if __name__ == "__main__":
    sys.exit(main())
