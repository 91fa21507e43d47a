# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Real Redis servers for tests: one, a replica of it, or a cluster of three nodes.

    with Server(folder, "--appendonly", "yes") as server:
        client = server.client(decode_responses=True)
        server.kill()
        server.restart()

They listen on a free port of the loopback interface, and keep all that they write in their folder.
"""

import contextlib
import importlib
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, TypeVar

__all__ = ["Cluster", "Server", "command"]

_HOST: Final = "127.0.0.1"
_SECONDS: Final = 30.0  # after which a server that is not ready has failed
_SLOTS: Final = 16384
_BUS: Final = 10000  # the port of the cluster's bus is this much above a node's port


_Self = TypeVar("_Self")


class _Closing(ABC):
    """Is closed at the end of a `with`."""

    @abstractmethod
    def close(self) -> None:
        """End what was started."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Server(_Closing):
    """A server that runs from its construction until `close`; also a context manager.

    - `folder`: an empty one, or that of a server before it.
    - `options`: more of the command line, as in `"--appendonly", "yes"`. By default nothing is
      saved; `--appendonly yes` or `--save "1 1"` changes that.
    - `executable`: the program, to try an older or a newer server.

    `port`, `url`, `folder` and `process`, the running `subprocess.Popen`, are attributes.
    """

    def __init__(self, folder: str | Path, *options: str, executable: str = "redis-server") -> None:
        self.folder = Path(folder)
        self._options = options
        self._executable = executable
        self.folder.mkdir(exist_ok=True)
        while True:
            self.port = _free_port()
            if self._has_started():
                break

    @property
    def url(self) -> str:
        return f"redis://{_HOST}:{self.port}"

    def client(self, **options: Any) -> Any:
        """Return a `redis.Redis`; `close()` it."""
        return _redis().Redis(host=_HOST, port=self.port, **options)

    def command(self, *parts: str | int) -> Any:
        """Send a command over a connection of its own, and return the reply; see `command`."""
        return command(self.port, *parts)

    def pause(self) -> None:
        """Stop the process where it is: connections stay, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `pause`."""
        self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.pause()
        try:
            yield
        finally:
            self.go_on()

    def kill(self) -> None:
        """End it as a crash does; what was not written to its folder is lost."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as an administrator does: it saves what its options say."""
        self.process.terminate()
        self.process.wait()

    def restart(self, *options: str) -> None:
        """Start it again, after `kill` or `stop`, on the same port and with the same folder.

        - `options`: further options, from now on.
        """
        self._options += options
        deadline = time.monotonic() + _SECONDS
        while not self._has_started():  # something else may use the port for a moment
            if time.monotonic() > deadline:
                raise TimeoutError(f"the port {self.port} is in use")

    def close(self) -> None:
        self.kill()

    def _has_started(self) -> bool:
        """Start it, and return when it answers; False if its port is in use."""
        log = self.folder / "log"
        log.write_bytes(b"")
        self.process = subprocess.Popen(
            [
                *(self._executable, "--port", str(self.port), "--bind", _HOST, "--save", ""),
                *("--repl-diskless-sync-delay", "0"),
                *("--dir", str(self.folder), "--logfile", str(log), *self._options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                text = log.read_text()
                if "in use" in text:
                    return False
                raise RuntimeError(f"{self._executable} has ended: {text}")
            # Until then it refuses connections, or is loading what it has saved.
            with contextlib.suppress(OSError, RuntimeError, EOFError):
                self.command("PING")
                if self.command("CONFIG", "GET", "port") == ["port", str(self.port)]:
                    return True
            time.sleep(0.005)
        self.kill()
        raise TimeoutError(f"{self._executable} does not answer: {log.read_text()}")


class Cluster(_Closing):
    """A Redis Cluster of three nodes, which share the slots; also a context manager.

    `nodes` are the three servers, `url` is that of the first one.
    """

    def __init__(self, folder: str | Path, *options: str, executable: str = "redis-server") -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *options)
        with ExitStack() as stack:
            self.nodes = [
                stack.enter_context(
                    Server(Path(folder, f"node{index}"), *options, executable=executable)
                )
                for index in range(3)
            ]
            bounds = [_SLOTS * index // 3 for index in range(4)]
            for index, node in enumerate(self.nodes):
                node.command("CLUSTER", "ADDSLOTS", *range(bounds[index], bounds[index + 1]))
                node.command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
                node.command("CLUSTER", "MEET", _HOST, self.nodes[0].port)
            self.await_health()
            self._stack = stack.pop_all()

    @property
    def url(self) -> str:
        return self.nodes[0].url

    def client(self, **options: Any) -> Any:
        """Return a `redis.RedisCluster`; `close()` it."""
        return _redis().RedisCluster(host=_HOST, port=self.nodes[0].port, **options)

    def await_health(self) -> None:
        """Wait until each node knows that three nodes serve all slots."""
        deadline = time.monotonic() + _SECONDS
        for node in self.nodes:
            while True:
                info = node.command("CLUSTER", "INFO")
                slots = node.command("CLUSTER", "SLOTS")
                if "cluster_state:ok" in info and len(slots) == 3:
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the cluster is not ready: {info}")
                time.sleep(0.02)

    def close(self) -> None:
        self._stack.close()


def _redis() -> Any:
    return importlib.import_module("redis")  # only where a client is asked for


def command(port: int, *parts: str | int) -> Any:
    """Send a command to the server on a port of this machine, and return the reply.

    That is an int, a str, None, or a list of these. Raises RuntimeError for an error.
    """
    lines = [b"*%d\r\n" % len(parts)]
    for part in parts:
        data = str(part).encode()
        lines.append(b"$%d\r\n%b\r\n" % (len(data), data))
    with (
        closing(socket.create_connection((_HOST, port), timeout=_SECONDS)) as connection,
        connection.makefile("rb") as replies,
    ):
        connection.sendall(b"".join(lines))
        return _reply(replies)


def _free_port() -> int:
    """Return a port that is free now, with that of a cluster's bus above it."""
    while True:
        with socket.socket() as first, socket.socket() as bus:
            first.bind((_HOST, 0))
            port = int(first.getsockname()[1])
            if port + _BUS < 2**16:
                with contextlib.suppress(OSError):
                    bus.bind((_HOST, port + _BUS))
                    return port


def _reply(replies: IO[bytes]) -> Any:
    line = replies.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("the server has closed the connection")
    kind, text = line[:1], line[1:-2].decode()
    if kind == b"+":
        return text
    if kind == b":":
        return int(text)
    if kind == b"-":
        raise RuntimeError(text)
    count = int(text)
    if count < 0:
        return None
    if kind == b"$":
        data = replies.read(count + 2)
        return data[:-2].decode()
    return [_reply(replies) for _ in range(count)]
