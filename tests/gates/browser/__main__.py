# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""In Chromium, the pages of `serve` and `show --html` show every event once, and it is text.

    python -m tests.gates.browser [FOLDER]

Screenshots go to the folder, if one is named. The browser's own EventSource reconnects by itself.
What it dispatches is compared with what `sse.Encoder` makes of the recording, and what the page
shows with the recording itself. A page of `show --html` is opened as a file. The
gate needs Chromium and its driver.
"""

import contextlib
import itertools
import json
import re
import socket
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
    to_dict,
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

    def shoot(self, name: str, widths_shown: tuple[int, ...] = (400, 1600)) -> None:
        """Take screenshots at all widths and in both themes; nothing may reach over the side."""
        for width, theme in itertools.product(widths_shown, ("light", "dark")):
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
                self.assertEqual(self.texts(), [MARKUP, MARKUP])
                lanes = self.shown("lanes")
                self.assertIn(f"step ≈1.84e+19 · {MARKUP}", lanes)
                self.assertIn(f"calls {MARKUP} at 3 ms", lanes)
                self.assert_no_complaint()
                self.shoot(f"markup-{end.kind}")

    def test_a_complete_step_has_its_output_and_parallel_steps_their_own(self) -> None:
        # The same as `summarize` gives, whose tests know why.
        tokens = itertools.count(1)

        def token(name: str, content: str) -> Event:
            return StepToken(name, content, next(tokens), 10)

        def complete(name: str, index: int, output: str) -> Event:
            return StepComplete(name, index, True, output, 0, 0, 20)

        events: list[Event] = [
            FlowStart("Parallel", "test", 1),
            StepStart("Retried", 0, "generate", 2),
            token("Retried", "Hello wo"),
            token("Retried", "Hello world!"),
            complete("Retried", 0, "Hello world!"),
            StepStart("Twin", 1, "generate", 3),
            StepStart("Twin", 2, "generate", 3),
            token("Twin", "two "),
            complete("Twin", 2, "second"),
            token("Twin", "one "),
            ToolCall("Twin", "search", "{}", 11),
            complete("Twin", 1, "first"),
            StepStart("Whole", 3, "generate", 4),
            complete("Whole", 3, "whole"),
            token("Whole", "whole"),
            token("Whole", "of no step that is open"),
            StepStart("Open", 4, "generate", 5),
            token("Open", "so "),
            token("Open", "far"),
            token("Early", "before its start"),
            StepStart("Early", 5, "generate", 6),
        ]
        steps = summarize(events).steps
        self.assertEqual([step.tokens for step in steps], [2, 1, 1, 1, 1, 2, 1])
        for path in self.as_page(events), None:
            with contextlib.ExitStack() as stack:
                if path is None:
                    self.browser.open(stack.enter_context(self.served(events, "--speed", "0")))
                    self.until_state("ended")
                else:
                    self.browser.open(path.as_uri())
                self.assertEqual(self.texts(), [step.text for step in steps])
                counts = "return flow.shown.map((lane) => [lane.tokens, lane.calls])"
                expected = [[step.tokens, len(step.tool_calls)] for step in steps]
                self.assertEqual(self.browser.run(counts), expected)
                self.assert_no_complaint()

    def test_a_clock_that_is_set_back_makes_no_time_negative(self) -> None:
        events: list[Event] = [
            FlowStart("Back", "test", 9000),
            StepStart("Draft", 0, "generate", 8000),
            StepToken("Draft", "a", 1, 7000),
            ToolCall("Draft", "search", "", 6000),
            StepComplete("Draft", 0, True, "a", 0, 0, 5000),
            FlowComplete("Back", "test", True, 1, 0, 0, 3000, 4000),
        ]
        self.browser.open(self.as_page(events).as_uri())
        text = self.browser.run("return document.body.innerText")
        self.assertNotRegex(text, "-[0-9]")
        self.assertIn("3.00 s", self.shown("outcome"))
        self.assertIn("calls search at 0 ms", text)

    def as_page(self, recording: "Path | list[Event]") -> Path:
        """Make the page of a file or of events."""
        if isinstance(recording, list):
            with open(self.scratch / "flow.jsonl", "wb") as file:
                jsonl.write(file, recording)
            recording = self.scratch / "flow.jsonl"
        page = self.scratch / "a page #1.html"
        with process("show", "--html", page, recording) as running:
            self.assertEqual(running.communicate()[1], b"")
        return page

    def open_alone(self, page: Path) -> list[str]:
        """Open a page as a file, and return each address that the browser has asked for."""
        # The log of the browser's network, from the page's own first request on.
        self.browser.requests()
        self.browser.open(page.as_uri())
        return self.browser.requests()

    def test_a_page_of_its_own_shows_the_recorded_flows(self) -> None:
        for path in (REPORT, FAILED, UNSTREAMED):
            events = events_of(path)
            summary = summarize(events)
            page = self.as_page(path)
            with self.subTest(path.name):
                # No request leaves the page.
                self.assertEqual(self.open_alone(page), [page.as_uri()])
                self.assertEqual(self.shown("flow"), summary.flow_name)
                self.assertEqual(self.shown("backend"), summary.backend)
                self.assertEqual(self.shown("events"), str(len(events)))
                self.assertEqual(self.texts(), [step.text for step in summary.steps])
                self.assertEqual(self.shown("connection"), "recorded")
                tops = "return [...document.querySelectorAll('pre')].map((box) => box.scrollTop)"
                self.assertEqual({*self.browser.run(tops)}, {0})
                figures = self.browser.run("return document.querySelector('dl').innerText")
                self.assertNotIn("connections", figures)
                outcome = {True: "Completed: ", False: "Failed: "}[summary.success is True]
                self.assertTrue(self.shown("outcome").startswith(outcome), self.shown("outcome"))
                self.assertEqual(self.recorded("opened"), 0)
                self.assert_no_complaint()
                self.shoot(f"alone-{path.stem}", (400, 1400))

    def test_in_a_page_of_its_own_what_an_event_says_is_text(self) -> None:
        texts = [
            "</script><script>document.title = 'owned'</script>",
            "</SCRIPT ><img src=x onerror=\"document.title='owned'\">",
            "<!--<script>",
            "--></style></pre><svg onload=\"document.title='owned'\">",
            "\u2028\u2029\u0085\ufeff\ufffe\"'`\\",
            "&lt;/script&gt;<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
        ]
        for text in texts:
            events: list[Event] = [
                FlowStart(text, text, 1),
                StepStart(text, 0, text, 2),
                StepToken(text, text, 1, 3),
                ToolCall(text, text, text, 4),
                StepComplete(text, 0, True, text, 0, 0, 5),
                FlowError(text, text, 6),
            ]
            page = self.as_page(events)
            with self.subTest(text):
                self.assertEqual(self.open_alone(page), [page.as_uri()])
                held = self.browser.run("return JSON.parse(at('recording').textContent)")
                self.assertEqual(held, [to_dict(event) for event in events])
                self.assertEqual(self.texts(), [text])
                content = "return at('flow').textContent + at('outcome').textContent"
                self.assertEqual(self.browser.run(content), f"{text}Failed: {text}")
                self.assertEqual(self.browser.run("return document.title"), text)
                count = (
                    "return document.querySelectorAll('script, img, svg, meta[http-equiv]').length"
                )
                self.assertEqual(self.browser.run(count), 3)  # the events, the script, the policy
                self.assert_no_complaint()

    def test_a_page_of_its_own_lets_nothing_out(self) -> None:
        # As if a fault of the page had let something in.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            self.browser.open(self.as_page(UNSTREAMED).as_uri())
            refused = self.browser.run(
                f"""
                const url = "{url}", refused = [];
                document.addEventListener("securitypolicyviolation",
                  (event) => refused.push(event.effectiveDirective));
                const image = document.createElement("img");
                const loaded = new Promise((resolve) => {{
                  image.onload = image.onerror = resolve;
                }});
                image.src = url;
                const script = document.createElement("script");
                script.textContent = "document.title = 'owned'";
                document.body.append(image, script);
                await fetch(url).catch(() => 0);
                await loaded;
                return [refused.sort(), document.title];
                """
            )
            self.assertEqual(
                refused, [["connect-src", "img-src", "script-src-elem"], "Invoice check"]
            )
            listening.setblocking(False)
            with self.assertRaises(BlockingIOError):  # nobody has connected
                listening.accept()

    def test_a_page_of_its_own_says_what_it_lacks(self) -> None:
        path = self.scratch / "cut.jsonl"
        path.write_bytes(b"noise\n" + b"".join(REPORT.read_bytes().splitlines(True)[:30]))
        page = self.scratch / "page.html"
        with process("show", "--html", page, path) as running:
            running.communicate()
        self.browser.open(page.as_uri())
        self.assertTrue(self.shown("outcome").startswith("Truncated: "), self.shown("outcome"))
        self.assertEqual(self.shown("reason"), "1 line could not be decoded")
        self.shoot("alone-cut", (400, 1400))
        path.write_bytes(b"")
        with process("show", "--html", page, path) as running:
            running.communicate()
        self.browser.open(page.as_uri())
        self.assertEqual(self.shown("flow"), "No events")
        self.assert_no_complaint()

    def test_right_to_left_lines_stand_right(self) -> None:
        hebrew, arabic = "שלום עולם, מה שלומך?", "مرحبا بالعالم"
        text = f"Left to right.\n{hebrew}\n{arabic}: 3.5\nAgain left."
        events: list[Event] = [
            FlowStart(hebrew, arabic, 1),
            StepStart(arabic, 0, "generate", 2),
            StepToken(arabic, text, 1, 3),
            ToolCall(arabic, hebrew, text, 3),
            StepComplete(arabic, 0, True, text, 0, 0, 4),
            FlowError(hebrew, text, 5),
        ]
        self.browser.open(self.as_page(events).as_uri())
        self.browser.run("document.querySelector('details').open = true")
        # Of each line: whether its ink begins at the left, and whether it ends at the right.
        sides = """
            const sides = [];
            for (const box of document.querySelectorAll(".lane > pre, details pre, #outcome")) {
              const node = box.firstChild, style = getComputedStyle(box);
              const {left, right} = box.getBoundingClientRect();
              const size = (name) => parseFloat(style[name]);
              const from = left + size("paddingLeft") + size("borderLeftWidth");
              const to = right - size("paddingRight") - size("borderRightWidth");
              let start = 0;
              for (const line of node.data.split("\\n")) {
                const range = document.createRange();
                range.setStart(node, start);
                range.setEnd(node, start += line.length);
                start += 1;
                const ink = range.getBoundingClientRect();
                sides.push([Math.abs(ink.left - from) < 2, Math.abs(ink.right - to) < 2]);
              }
            }
            return sides;
        """
        left, right = [True, False], [False, True]
        self.assertEqual(self.browser.run(sides), [left, right, right, left] * 3)
        self.shoot("right-to-left", (400, 1400))

    def test_a_long_run_is_bounded(self) -> None:
        events: list[Event] = [FlowStart("Long", "test", 0)]
        number = 0
        for index in range(300):
            name = f"Step {index}"
            events.append(StepStart(name, index, "generate", index))
            for _ in range(100):
                number += 1
                events.append(StepToken(name, "0123456789" * 30, number, index))
            output = "0123456789" * 3000
            events.append(StepComplete(name, index, True, output, 0, 0, index))
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
            events.append(StepComplete("Again", 0, False, str(number), 0, 0, number))
        with self.served(events, "--speed", "0") as url:
            self.browser.open(url)
            self.until_state("ended")
        self.assertEqual(self.shown("earlier"), "100 earlier steps not shown")
        self.assertEqual(self.texts(), [str(number) for number in range(100, 300)])
        marks = "return [...document.querySelectorAll('.mark')].map((mark) => mark.textContent)"
        self.assertEqual(self.browser.run(marks), ["✗"] * 200)
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
        self.assertIn("this run has not given the id", self.shown("reason"))
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
        self.assertIn("round 1, ", self.shown("reason"))
        self.assert_no_complaint(but="410|ERR_INTERNET_DISCONNECTED")


KINDS = (FlowStart, StepStart, StepToken, StepComplete, ToolCall, FlowComplete, FlowError)

if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        Page.folder = Path(sys.argv.pop(1))
        Page.folder.mkdir(parents=True, exist_ok=True)
    unittest.main(verbosity=2)
