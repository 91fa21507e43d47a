# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The clients: each reads a run to its end and gives the data of each event."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

from axon_events import EVENT_TYPES, sse, to_json
from axon_events.client import events

from ... import ROOT
from ..browser.webdriver import Browser
from .served import snippet

__all__ = ["CLIENTS", "Clients"]

SECONDS = 100
# In a page of the same origin.
IN_PAGE = """
const received = [], source = new EventSource(URL);
await new Promise((resolve, reject) => {
  for (const kind of KINDS)
    source.addEventListener(kind, (message) => {
      received.push(message.data);
      if (kind === "flow_complete" || kind === "flow_error") resolve();
    });
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) reject("closed"); };
}).finally(() => source.close());
return received;
"""
PRINTED = """
import sys
from axon_events import to_json

for event in events(sys.argv[1]):
    print(to_json(event))
"""
PRINTED_BY_A_LOOP = """
import asyncio
import sys
from axon_events import to_json

async def main():
    async for event in events(sys.argv[1]):
        print(to_json(event))

asyncio.run(main())
"""


class Clients:
    """The clients, by their names: each takes a URL and returns the data of each event.

    - `folder`: where node has its modules, and where programs are written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._browser: Browser | None = None

    def close(self) -> None:
        if self._browser is not None:
            self._browser.close()

    @property
    def browser(self) -> Browser:
        """Chromium, which is started when somebody asks for it."""
        if self._browser is None:
            self._browser = Browser()
        return self._browser

    def read(self, name: str, url: str) -> list[str]:
        """Return the data of the run's events."""
        return READ[name](self, url)

    def _run(self, *command: object) -> list[str]:
        run = subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=self._folder,
            env={
                "PYTHONPATH": str(ROOT),
                "PYTHONUTF8": "1",
                "PATH": "/usr/bin:/bin:/usr/local/bin",
            },
            timeout=SECONDS,
        )
        if run.returncode:
            raise AssertionError(f"{command[1]}: {run.stderr}")
        return run.stdout.splitlines()

    def chromium(self, url: str) -> list[str]:
        self.browser.open(urljoin(url, "/none"))  # a page of the same origin, be it a 404
        script = IN_PAGE.replace("URL", repr(url)).replace("KINDS", repr(list(EVENT_TYPES)))
        received: list[str] = self.browser.run(script)
        return received

    def node(self, package: str, url: str) -> list[str]:
        return self._run("node", "eventsource.mjs", package, url, *EVENT_TYPES)

    def program(self, mark: str, end: str, url: str) -> list[str]:
        path = self._folder / f"read_{mark}.py"
        path.write_text(snippet("clients.md", f"import {mark}") + end, "utf-8")
        return self._run(sys.executable, path.name, url)

    def curl(self, url: str) -> list[str]:
        """Read by curl, which does not connect again: that is ours."""
        decoder = sse.Decoder()
        received: list[str] = []
        for _ in range(1000):
            command = ["curl", "--silent", "--no-buffer", "--compressed", url]
            command += ["--header", f"Last-Event-ID: {decoder.last_event_id}"]
            run = subprocess.run(command, capture_output=True, timeout=SECONDS)
            for frame in decoder.feed(run.stdout):
                received.append(frame.data)
                if EVENT_TYPES[frame.event].is_terminator:
                    return received
            decoder.reopen()
        raise AssertionError(f"no end after {len(received)} events")


def read_events(clients: Clients, url: str) -> list[str]:
    return [to_json(event) for event in events(url)]


READ: dict[str, Callable[[Clients, str], list[str]]] = {
    "chromium": Clients.chromium,
    "eventsource": lambda self, url: self.node("eventsource", url),
    "undici": lambda self, url: self.node("undici", url),
    "httpx": lambda self, url: self.program("httpx", PRINTED, url),
    "aiohttp": lambda self, url: self.program("aiohttp", PRINTED_BY_A_LOOP, url),
    "client.events": read_events,
    "curl": Clients.curl,
}
CLIENTS = list(READ)
