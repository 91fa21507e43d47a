# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The parts together: a recorded flow read, judged, summed up, and told again over a channel."""

import contextlib
import dataclasses
import threading
import unittest

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
)
from axon_events.channel import Sender, channel
from axon_events.emit import FlowEmitter
from axon_events.order import StreamChecker
from axon_events.summary import summarize

from . import CORPUS, needs


def without_times(event: Event) -> Event:
    if isinstance(event, FlowComplete):
        event = dataclasses.replace(event, latency_ms=0)
    return dataclasses.replace(event, timestamp_ms=0)


def tokens_first(events: list[Event]) -> list[Event]:
    """Put each late token before the `StepComplete` that it comes after: an emitter sends it so."""
    ordered: list[Event] = []
    for event in events:
        late = isinstance(event, StepToken) and isinstance(ordered[-1], StepComplete)
        ordered.insert(len(ordered) - late, event)
    return ordered


def tell(events: list[Event], sender: Sender) -> None:
    """Do what the events say with a FlowEmitter."""
    start = events[0]
    if not isinstance(start, FlowStart):
        raise AssertionError(f"begins with {start}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(Exception))
        stack.enter_context(sender)
        flow = stack.enter_context(
            FlowEmitter(sender.send, flow_name=start.flow_name, backend=start.backend)
        )
        step = flow.step("", step_type="")
        for event in events[1:]:
            match event:
                case StepStart():
                    step = flow.step(event.step_name, step_type=event.step_type)
                    step.__enter__()
                case StepToken():
                    step.token(event.content)
                case ToolCall():
                    step.tool_call(event.tool_name, event.content)
                case StepComplete():
                    step.usage(tokens_input=event.tokens_input, tokens_output=event.tokens_output)
                    if not event.success:
                        step.fail()
                    step.__exit__(None, None, None)
                case FlowError():
                    # The text of an exception without a message is its type's name alone.
                    raise type(event.error, (Exception,), {})


class Flows(unittest.TestCase):
    def recorded(self, name: str) -> list[Event]:
        with open(CORPUS / "recorded" / f"{name}.jsonl", "rb") as file:
            return list(jsonl.read(file))

    @needs.threads
    def test_a_recorded_flow_told_again_is_the_same_but_for_its_times(self) -> None:
        for name in ("report", "failed", "unstreamed"):
            events = tokens_first(self.recorded(name))
            sender, receiver = channel()
            producer = threading.Thread(target=tell, args=(events, sender))
            producer.start()
            del sender
            received = list(receiver)
            producer.join()
            with self.subTest(name):
                self.assertEqual(
                    [without_times(event) for event in received],
                    [without_times(event) for event in events],
                )

    def test_a_recorded_flow_is_legal_its_output_included(self) -> None:
        for name in ("report", "failed", "unstreamed"):
            checker = StreamChecker(match_output=True)
            with self.subTest(name):
                for event in self.recorded(name):
                    self.assertEqual(checker.feed(event), [])
                self.assertEqual(checker.close(), [])

    def test_the_summary_of_a_recorded_flow_is_what_its_steps_say(self) -> None:
        for name, outcome, success in (
            ("report", "completed", True),
            ("failed", "failed", False),
            ("unstreamed", "completed", True),
        ):
            events = self.recorded(name)
            summary = summarize(events)
            completed = [event for event in events if isinstance(event, StepComplete)]
            with self.subTest(name):
                self.assertEqual(summary.outcome.value, outcome)
                self.assertIs(summary.success, success)
                self.assertEqual(
                    [step.text for step in summary.steps], [step.full_output for step in completed]
                )
                self.assertEqual(
                    summary.tokens_output, sum(step.tokens_output for step in completed)
                )


if __name__ == "__main__":
    unittest.main()
