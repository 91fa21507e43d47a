# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A browser that a test drives: the W3C's WebDriver protocol, as far as the tests go."""

import base64
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from typing import Any

ARGUMENTS = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
SCRIPT_SECONDS = 120


class Browser:
    """Chromium without a window, by its chromedriver."""

    def __init__(self) -> None:
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True
        )
        self._url = ""
        try:
            self._url = self._listens_at()
            # Chromium's own sandbox is not for root.
            root = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
            session = self._send(
                "POST",
                "/session",
                {
                    "capabilities": {
                        "alwaysMatch": {
                            "browserName": "chrome",
                            "goog:chromeOptions": {"args": ARGUMENTS + root},
                            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                            "timeouts": {"script": SCRIPT_SECONDS * 1000},
                        }
                    }
                },
            )
            self._url += f"/session/{session['sessionId']}"
        except BaseException:
            self._end()
            raise

    def _listens_at(self) -> str:
        for line in self._driver.stdout or ():
            if port := re.search("started successfully on port ([0-9]+)", line):
                return f"http://127.0.0.1:{port[1]}"
        raise RuntimeError("chromedriver did not start")

    def close(self) -> None:
        """End the browser and its driver."""
        try:
            self._send("DELETE", "")
        finally:
            self._end()

    def _end(self) -> None:
        self._driver.terminate()
        self._driver.wait()
        if self._driver.stdout is not None:
            self._driver.stdout.close()

    def _send(self, method: str, path: str, content: Any = None) -> Any:
        request = urllib.request.Request(
            self._url + path,
            None if content is None else json.dumps(content).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                fault = json.load(error)["value"]
            raise RuntimeError(f"{method} {path}: {fault['error']}: {fault['message']}") from None

    def open(self, url: str) -> None:
        """Load a page, and wait until it is."""
        self._send("POST", "/url", {"url": url})

    def run(self, script: str) -> Any:
        """Run the body of an async function in the page, and return what it returns."""
        code = f"(async () => {{ {script} }})().then(arguments[0], (e) => arguments[0]('' + e))"
        return self._send("POST", "/execute/async", {"script": code, "args": []})

    def command(self, name: str, **parameters: Any) -> Any:
        """Run a command of the Chrome DevTools Protocol."""
        return self._send("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def complaints(self) -> list[str]:
        """Return the errors and warnings on the console since the last call."""
        return [
            entry["message"]
            for entry in self._send("POST", "/se/log", {"type": "browser"})
            if entry["level"] in ("SEVERE", "WARNING")
        ]

    def requests(self) -> list[str]:
        """Return the address of each request that any page has made since the last call."""
        entries = self._send("POST", "/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def look(self, width: int, theme: str) -> None:
        """Make the page that wide, in CSS pixels, and `light` or `dark`."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": theme}],
        )

    def screenshot(self) -> bytes:
        """Return the whole page as a PNG."""
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])
