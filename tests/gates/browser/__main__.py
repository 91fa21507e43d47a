# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""In Chromium, the page of `serve` shows every event once, whatever drops its connection.

    python -m tests.gates.browser [FOLDER]

Screenshots go to the folder, if one is named. The browser's own EventSource reconnects by itself.
What it dispatches is compared with what `sse.Encoder` makes of the recording, and what the page
shows with the recording itself. The gate needs Chromium and its driver.
"""

import contextlib
import itertools
import json
import re
import sys
import tempfile
import unittest
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from axon_events import (
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
    jsonl,
    sse,
    to_json,
)
from axon_events.summary import summarize

from ... import CORPUS
from ...terminal import process
from .webdriver import Browser

REPORT = CORPUS / "recorded" / "report.jsonl"
UNSTREAMED = CORPUS / "recorded" / "unstreamed.jsonl"
FAILED = CORPUS / "recorded" / "failed.jsonl"
MARKUP = "<img src=x onerror=\"document.title='owned'\">"
HOUR_MS = 3_600_000

# Before the page's own script: an EventSource that tells what it dispatches, and promises to tell
# when there have been so many events, or when the state of the connection is that.
RECORDER = """
window.recorded = {events: [], opened: 0, faults: [], heard: new EventTarget()};
const tell = () => recorded.heard.dispatchEvent(new Event("news"));
const kinds = KINDS;
window.EventSource = class extends window.EventSource {
  constructor(...given) {
    super(...given);
    this.addEventListener("open", () => { recorded.opened += 1; });
    for (const kind of [...kinds, "message"])
      this.addEventListener(kind, (message) => {
        recorded.events.push([message.lastEventId, message.type, message.data]);
        setTimeout(tell);
      });
  }
};
window.addEventListener("error", (event) => recorded.faults.push(event.message));
window.addEventListener("unhandledrejection", (event) => recorded.faults.push("" + event.reason));
document.addEventListener("securitypolicyviolation",
  (event) => recorded.faults.push(event.violatedDirective));
document.addEventListener("DOMContentLoaded", () =>
  new MutationObserver(tell).observe(document.body,
    {subtree: true, childList: true, attributes: true, attributeFilter: ["data-state"]}));
recorded.until = (condition) => new Promise((resolve) => {
  const look = () => { if (condition()) resolve(); };
  recorded.heard.addEventListener("news", look);
  look();
});
"""


def events_of(path: Path) -> list[Event]:
    with open(path, "rb") as file:
        return list(jsonl.read(file))


def dispatched(events: list[Event], stream_id: str | None = None) -> list[list[str]]:
    """Return what an EventSource dispatches for a stream: lastEventId, type and data of each."""
    encoder = sse.Encoder(stream_id)
    return [[frame_id(encoder, event), event.kind, to_json(event)] for event in events]


def frame_id(encoder: sse.Encoder, event: Event) -> str:
    encoder.encode(event)
    return encoder.last_event_id


class Page(unittest.TestCase):
    browser: ClassVar[Browser]
    folder: ClassVar[Path | None] = None

    @classmethod
    def setUpClass(cls) -> None:
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)
        kinds = json.dumps([cls.kind for cls in KINDS])
        cls.browser.command(
            "Page.addScriptToEvaluateOnNewDocument", source=RECORDER.replace("KINDS", kinds)
        )

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.browser.open("about:blank")  # the page of the test before goes on otherwise
        self.browser.complaints()
        self.browser.look(1000, "light")

    @contextlib.contextmanager
    def served(self, recording: "Path | list[Event]", *options: str) -> Iterator[str]:
        """Serve a file or events on a free port, and give the page's URL."""
        if isinstance(recording, list):
            path = self.scratch / "flow.jsonl"
            with open(path, "wb") as file:
                jsonl.write(file, recording)
            recording = path
        port = () if "--port" in options else ("--port", "0")
        with process("serve", recording, *port, *options) as running:
            if running.stdout is None or running.stderr is None:
                self.fail("no pipes")
            (url,) = re.findall(rb"http://\S+", running.stdout.readline())
            yield url.decode()
            running.kill()
            self.assertEqual(running.stderr.read(), b"")

    def until(self, condition: str) -> None:
        """Wait until something is so in the page."""
        self.browser.run(f"await recorded.until(() => {condition})")

    def until_state(self, state: str) -> None:
        self.until(f"document.getElementById('connection').dataset.state === '{state}'")
        self.browser.run("await new Promise(requestAnimationFrame)")

    def recorded(self, what: str = "events") -> Any:
        return self.browser.run(f"return recorded.{what}")

    def shown(self, id: str) -> str:
        text: str = self.browser.run(f"return document.getElementById('{id}').innerText")
        return text

    def texts(self) -> list[str]:
        """Return the text of each lane."""
        texts: list[str] = self.browser.run(
            "return [...document.querySelectorAll('.lane > pre')].map((box) => box.textContent)"
        )
        return texts

    def assert_no_complaint(self, *, but: str = "^$") -> None:
        self.assertEqual(self.recorded("faults"), [])
        found = [text for text in self.browser.complaints() if not re.search(but, text)]
        self.assertEqual(found, [])

    def shoot(self, name: str) -> None:
        """Take screenshots at all widths and in both themes; nothing may reach over the side."""
        for width, theme in itertools.product((400, 1600), ("light", "dark")):
            self.browser.look(width, theme)
            self.browser.run("await new Promise(requestAnimationFrame)")
            widths = self.browser.run("return [document.documentElement.scrollWidth, innerWidth]")
            self.assertLessEqual(widths[0], width)
            self.assertEqual(widths[1], width)
            if self.folder is not None:
                shot = self.browser.screenshot()
                (self.folder / f"{name}-{width}-{theme}.png").write_bytes(shot)

    def test_it_resumes_after_each_drop_and_has_every_event_once(self) -> None:
        events = events_of(REPORT)
        with self.served(REPORT, "--drop-after", "25") as url:
            self.browser.open(url)
            self.until_state("ended")
        self.assertEqual(self.recorded(), dispatched(events))
        self.assertEqual(self.recorded("opened"), -(-len(events) // 25))
        steps = summarize(events).steps
        self.assertEqual(self.texts(), [step.text for step in steps])
        end = events[-1]
        if not isinstance(end, FlowComplete):
            self.fail(f"{end!r} is no FlowComplete")
        self.assertEqual(self.shown("flow"), end.flow_name)
        self.assertEqual(self.shown("events"), str(len(events)))
        self.assertEqual(self.shown("tokens"), str(sum(step.tokens for step in steps)))
        self.assertTrue(self.shown("outcome").startswith("Completed: 4 steps, "))
        self.assertEqual(self.shown("connection"), "ended")
        self.assertEqual(self.shown("reason"), "")
        self.assert_no_complaint()
        self.shoot("ended")

    def test_it_shows_a_run_while_it_is_under_way(self) -> None:
        events = events_of(REPORT)
        rest = [replace(event, timestamp_ms=event.timestamp_ms + HOUR_MS) for event in events[500:]]
        with self.served(events[:500] + rest, "--speed", "4") as url:
            self.browser.open(url)
            self.until("recorded.events.length === 500")
            self.assertEqual(self.recorded(), dispatched(events[:500]))
            self.assertEqual(self.shown("connection"), "live")
            self.assertEqual(self.shown("outcome"), "")
            self.shoot("live")
        self.assert_no_complaint(but="ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_REFUSED")

    def test_a_flow_that_failed_and_one_without_an_end(self) -> None:
        events = events_of(FAILED)
        for stream, outcome in (
            (events, "Failed: backend closed the connection"),
            (events[:40], "Truncated: "),
        ):
            with self.subTest(outcome), self.served(stream, "--speed", "0") as url:
                self.browser.open(url)
                self.until_state("ended")
                self.assertEqual(self.recorded(), dispatched(stream))
                self.assertTrue(self.shown("outcome").startswith(outcome), self.shown("outcome"))
                self.assert_no_complaint()
                self.shoot(outcome.split(":")[0].lower())

    def test_what_an_event_says_is_text(self) -> None:
        long = MARKUP + "W" * 1000
        start: list[Event] = [
            FlowStart(long, MARKUP, 1),
            StepStart(long, 2**64 - 1, MARKUP, 2),
            StepToken(long, f"{MARKUP}\n<script>document.title = 'owned'</script>", 1, 3),
            ToolCall(long, MARKUP, MARKUP, 4),
            StepComplete(long, 2**64 - 1, True, MARKUP, 2**64 - 1, 0, 5),
            StepStart("__proto__", 1, "</style>", 6),
            StepComplete("__proto__", 1, False, MARKUP, 0, 0, 7),
        ]
        for end in (
            FlowComplete(long, MARKUP, True, 2**64 - 1, 2**64 - 1, 0, 2**64 - 1, 8),
            FlowError(long, long, 8),
        ):
            events = [*start, end]
            with self.subTest(end.kind), self.served(events, "--speed", "0") as url:
                self.browser.open(url)
                self.until_state("ended")
                self.assertEqual(self.recorded(), dispatched(events))
                self.assertEqual(self.browser.run("return document.images.length"), 0)
                self.assertEqual(self.browser.run("return document.scripts.length"), 1)
                self.assertEqual(self.browser.run("return document.title"), "axon_events")
                self.assertTrue(self.shown("flow").startswith(MARKUP), self.shown("flow"))
                self.assertEqual(self.shown("backend"), MARKUP)
                self.assertEqual(
                    self.texts(), [f"{MARKUP}\n<script>document.title = 'owned'</script>", MARKUP]
                )
                lanes = self.shown("lanes")
                self.assertIn(f"step ≈1.84e+19 · {MARKUP}", lanes)
                self.assertIn(f"calls {MARKUP} at 3 ms", lanes)
                self.assert_no_complaint()
                self.shoot(f"markup-{end.kind}")

    def test_a_long_run_is_bounded(self) -> None:
        events: list[Event] = [FlowStart("Long", "test", 0)]
        number = 0
        for index in range(300):
            name = f"Step {index}"
            events.append(StepStart(name, index, "generate", index))
            for _ in range(100):
                number += 1
                events.append(StepToken(name, "0123456789" * 30, number, index))
            events.append(StepComplete(name, index, True, "", 0, 0, index))
        events.append(FlowComplete("Long", "test", True, 300, 0, 0, 300, 300))
        with self.served(events, "--speed", "0") as url:
            self.browser.open(url)
            self.until_state("ended")
        self.assertEqual(self.recorded(), dispatched(events))
        self.assertEqual(self.shown("earlier"), "100 earlier steps not shown")
        texts = self.texts()
        self.assertEqual(len(texts), 200)
        self.assertEqual({text[-10:] for text in texts}, {"0123456789"})
        self.assertLessEqual(max(map(len, texts)), 25_000)
        self.assertIn("characters are not shown", self.shown("lanes"))
        self.assert_no_complaint()

    def test_a_step_that_is_repeated_is_bounded_as_well(self) -> None:
        events: list[Event] = [FlowStart("Long", "test", 0)]
        for number in range(300):
            events.append(StepStart("Again", 0, "generate", number))
            events.append(StepToken("Again", str(number), number + 1, number))
        with self.served(events, "--speed", "0") as url:
            self.browser.open(url)
            self.until_state("ended")
        self.assertEqual(self.shown("earlier"), "100 earlier steps not shown")
        self.assertEqual(self.texts(), [str(number) for number in range(100, 300)])
        marks = "return [...document.querySelectorAll('.mark')].map((mark) => mark.textContent)"
        self.assertEqual(self.browser.run(marks), ["?"] * 200)
        self.assert_no_complaint()

    def test_a_hidden_page_is_bounded_as_well(self) -> None:
        script = self.browser.command(
            "Page.addScriptToEvaluateOnNewDocument",
            source="window.requestAnimationFrame = () => 0;",  # as in a tab that is hidden
        )
        self.addCleanup(self.browser.command, "Page.removeScriptToEvaluateOnNewDocument", **script)
        events: list[Event] = [FlowStart("Long", "test", 0)]
        events += (StepStart(f"Step {n}", n, "generate", n) for n in range(300))
        with self.served(events, "--speed", "0") as url:
            self.browser.open(url)
            self.until("document.getElementById('connection').dataset.state === 'ended'")
        sizes = "return [flow.changed.size, document.querySelectorAll('.lane').length]"
        self.assertEqual(self.browser.run(sizes), [200, 200])
        self.browser.run("draw()")  # as once it is looked at
        self.assertEqual(self.shown("events"), "301")
        self.assert_no_complaint()

    def test_an_unknown_cursor_stops_it_and_it_says_why(self) -> None:
        with self.served(UNSTREAMED, "--speed", "0", "--drop-after", "4") as url:
            self.browser.open(url)
            self.until("recorded.events.length === 4")
        port = url.rstrip("/").rpartition(":")[2]
        with self.served(UNSTREAMED, "--port", port):
            self.until_state("stopped")
        self.assertEqual(self.recorded(), dispatched(events_of(UNSTREAMED)[:4]))
        self.assertIn("404 Not Found: this run has not given the id", self.shown("reason"))
        self.assert_no_complaint(but="404|ERR_CONNECTION_REFUSED")
        self.shoot("stopped")

    def test_a_loop_goes_on_with_the_next_round(self) -> None:
        events = events_of(UNSTREAMED)
        with self.served(UNSTREAMED, "--speed", "0", "--loop", "--drop-after", "4") as url:
            self.browser.open(url)
            self.until(f"recorded.events.length === {2 * len(events)}")
            self.browser.run("await new Promise(requestAnimationFrame)")
            recorded = self.recorded()
            streams = [recorded[0][0].rpartition(":")[0], recorded[-1][0].rpartition(":")[0]]
            self.assertNotEqual(*streams)
            self.assertEqual(
                recorded, dispatched(events, streams[0]) + dispatched(events, streams[1])
            )
            self.assertEqual(len(self.texts()), 3)
            self.assertEqual(self.shown("events"), str(len(events)))
            self.assertTrue(self.shown("outcome").startswith("Completed: "))
            self.browser.open("about:blank")

    def test_an_expired_cursor_stops_it_and_it_says_why(self) -> None:
        with self.served(UNSTREAMED, "--speed", "0", "--loop", "--drop-after", "4") as url:
            self.browser.open(url)
            self.until("recorded.events.length === 4")
            offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
            self.browser.command("Network.enable")
            self.browser.command("Network.emulateNetworkConditions", offline=True, **offline)
            reader = sse.Reader(check=False)
            rounds: list[str] = []
            while len(rounds) < 4:
                request = urllib.request.Request(f"{url}events")
                request.add_header("Last-Event-ID", reader.last_event_id)
                with urllib.request.urlopen(request) as answer:
                    reader.reopen()
                    for event in reader.feed(answer.read()):
                        if event.is_terminator:
                            rounds.append(reader.last_event_id)
            self.browser.command("Network.emulateNetworkConditions", offline=False, **offline)
            self.until_state("stopped")
        self.assertIn("410 Gone: round 1, ", self.shown("reason"))
        self.assert_no_complaint(but="410|ERR_INTERNET_DISCONNECTED")


KINDS = (FlowStart, StepStart, StepToken, StepComplete, ToolCall, FlowComplete, FlowError)

if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        Page.folder = Path(sys.argv.pop(1))
        Page.folder.mkdir(parents=True, exist_ok=True)
    unittest.main(verbosity=2)
