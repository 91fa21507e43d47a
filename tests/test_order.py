# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The receiver's invariant: streams.json, the model, single faults, and what a checker promises.

Each test on random streams prints its seed when it fails.
"""

import copy
import enum
import gc
import json
import pickle
import random
import sys
import unittest
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any, TypeAlias

from axon_events import (
    EVENT_TYPES,
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    ToolCall,
    from_json,
    to_json,
)
from axon_events.order import (
    OrderError,
    Outcome,
    Rule,
    StreamChecker,
    TruncatedStream,
    Violation,
    check,
)

from . import CORPUS, order_model
from .effort import ALL, rounds
from .samples import EVENTS, U64_MAX

SEED = 20261122
Options: TypeAlias = dict[str, Any]
Stream: TypeAlias = list[Event]

NAMES = [
    "flow-not-started",
    "flow-restarted",
    "after-terminator",
    "not-terminated",
    "step-overlap",
    "step-repeated",
    "step-not-open",
    "step-mismatch",
    "step-unfinished",
    "step-abandoned",
    "token-repeated",
    "token-gap",
    "flow-mismatch",
    "output-mismatch",
]

DEFAULTS: Options = {
    "allow": [],
    "token_scope": "flow",
    "match_output": False,
    "from_start": True,
    "last_token": None,
}


def flow_start(name: str = "f", backend: str = "b") -> FlowStart:
    return FlowStart(name, backend, 0)


def start(name: str, index: int = 0) -> StepStart:
    return StepStart(name, index, "t", 0)


def token(name: str, index: int, content: str = "x") -> StepToken:
    return StepToken(name, content, index, 0)


def tool_call(name: str) -> ToolCall:
    return ToolCall(name, "g", "{}", 0)


def complete(name: str, index: int = 0, output: str = "") -> StepComplete:
    return StepComplete(name, index, True, output, 0, 0, 0)


def end(name: str = "f", backend: str = "b") -> FlowComplete:
    return FlowComplete(name, backend, True, 0, 0, 0, 0, 0)


def error(name: str = "f") -> FlowError:
    return FlowError(name, "e", 0)


def checker_of(options: Options) -> StreamChecker:
    """Return a checker with options as they stand in streams.json."""
    return StreamChecker(**{**options, "allow": [Rule(name) for name in options.get("allow", ())]})


def judged(events: Iterable[Event], checker: StreamChecker) -> list[tuple[str, int]]:
    """Feed events, close, and return each violation's rule and index."""
    violations = [violation for event in events for violation in checker.feed(event)]
    return [(violation.rule.value, violation.index) for violation in violations + checker.close()]


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((CORPUS / "streams.json").read_bytes())["cases"]
    if len(found) < 200:
        raise AssertionError(f"streams.json has only {len(found)} cases")
    return found


def events_of(case: dict[str, Any]) -> Stream:
    return [from_json(wire) for wire in case["events"]]


def recorded(name: str) -> Stream:
    lines = (CORPUS / "recorded" / f"{name}.jsonl").read_bytes().splitlines()
    return [from_json(line) for line in lines]


def random_options(rng: random.Random) -> Options:
    """Return options as they stand in streams.json."""
    options: Options = {
        "allow": rng.sample(NAMES, rng.choice((0, 0, 1, 5))),
        "token_scope": rng.choice(("flow", "step")),
        "match_output": rng.random() < 0.5,
    }
    if rng.random() < 0.3:
        options |= {"from_start": False, "last_token": rng.choice((None, 0, 1, 2, U64_MAX))}
    return options


def legal_stream(
    rng: random.Random, *, names: str = "", parallel: bool = False, token_scope: str = "flow"
) -> Stream:
    """Return a stream that keeps every rule, but for `step-overlap` if `parallel`.

    `names` are those of the steps; without, parallel steps have different ones.
    """
    scripts: list[list[Any]] = []
    different = rng.sample("ABCDE", 5)
    for index in range(rng.randint(0, 4)):
        name = different[index] if parallel or rng.random() < 0.7 else "A"
        name = rng.choice(names) if names else name
        pieces = [rng.choice(["x", "yy", "", "é", "\U0001f469"]) for _ in range(rng.randint(0, 4))]
        text = "".join(pieces)
        body: list[Any] = [token(name, number, piece) for number, piece in enumerate(pieces, 1)]
        for _ in range(rng.choice((0, 0, 1, 2))):
            body.insert(rng.randint(0, len(body)), tool_call(name))
        script = [start(name, index), *body, complete(name, index, text)]
        if not pieces and rng.random() < 0.5:
            script[-1:] = [complete(name, index, "late"), token(name, 1, "late")]
        scripts.append(script)
    events: Stream = [flow_start()]
    last = 0
    while scripts:
        script = rng.choice(scripts) if parallel else scripts[0]
        # What stands directly after a step's complete must stay there.
        taken = script if isinstance(script[0], StepComplete) else script[:1]
        for event in list(taken):
            script.remove(event)
            if isinstance(event, StepToken) and token_scope == "flow":
                last += 1
                event = replace(event, token_index=last)
            events.append(event)
        scripts = [script for script in scripts if script]
    terminators: Stream = [end(), error()]
    return [*events, rng.choice(terminators)]


def random_stream(rng: random.Random) -> Stream:
    """Return a stream of any events, of few names and indices and mostly with a good counter."""
    events: Stream = [flow_start()] if rng.random() < 0.8 else []
    last = 0
    # Few terminators, since after one nothing more happens.
    kinds = [*"SSSSTTTTTTCCCCL", rng.choice("SSSSSSSFFXE")]
    for _ in range(rng.randint(0, 12)):
        name, index = rng.choice("AAAAB"), rng.choice((0, 0, 1, 2))
        match rng.choice(kinds):
            case "S":
                events.append(start(name, index))
            case "T":
                last = last + 1 if rng.random() < 0.8 else rng.choice((0, 1, last, last + 2))
                events.append(token(name, last, rng.choice(["", "x", "x", "y"])))
            case "C":
                events.append(complete(name, index, rng.choice(["", "x", "x", "xx", "xy"])))
            case "L":
                events.append(tool_call(name))
            case "F":
                events.append(flow_start())
            case "X":
                events.append(end(rng.choice("ffg"), rng.choice("bbc")))
            case _:
                events.append(error(rng.choice("fg")))
    if rng.random() < 0.5:
        events.append(end(rng.choice("fffg")))
    return events


# A fault takes a stream and returns it with one.
def dropped(rng: random.Random, events: Stream) -> Stream:
    at = rng.randrange(len(events))
    return events[:at] + events[at + 1 :]


def duplicated(rng: random.Random, events: Stream) -> Stream:
    at = rng.randrange(len(events))
    return events[: at + 1] + events[at:]


def swapped(rng: random.Random, events: Stream) -> Stream:
    at = rng.randrange(len(events) - 1)
    return events[:at] + events[at : at + 2][::-1] + events[at + 2 :]


def renamed(rng: random.Random, events: Stream) -> Stream:
    at = rng.randrange(len(events))
    event: Any = events[at]
    field = "step_name" if event.is_step_scoped else "flow_name"
    others = {e.step_name for e in events if e.is_step_scoped and field == "step_name"}  # type: ignore[union-attr]
    name = rng.choice(sorted(others | {"other"}))
    return [*events[:at], replace(event, **{field: name}), *events[at + 1 :]]


def reindexed(rng: random.Random, events: Stream) -> Stream:
    fields = {StepStart: "step_index", StepComplete: "step_index", StepToken: "token_index"}
    places = [at for at, event in enumerate(events) if type(event) in fields]
    if not places:
        return events
    at = rng.choice(places)
    event: Any = events[at]
    index = rng.choice((0, 1, 2, 3, 99, U64_MAX, rng.randint(0, len(events))))
    return [*events[:at], replace(event, **{fields[type(event)]: index}), *events[at + 1 :]]


def truncated(rng: random.Random, events: Stream) -> Stream:
    return events[: rng.randrange(len(events))]


def beheaded(rng: random.Random, events: Stream) -> Stream:
    return events[rng.randrange(len(events)) :]


def restarted(rng: random.Random, events: Stream) -> Stream:
    """The flow is tried again from the beginning."""
    return events[: rng.randrange(len(events))] + events


def recounted(rng: random.Random, events: Stream) -> Stream:
    """From one token on, the counter starts again."""
    places = [at for at, event in enumerate(events) if isinstance(event, StepToken)]
    if not places:
        return events
    at = rng.choice(places)
    first = events[at]
    assert isinstance(first, StepToken)
    rest: Stream = [
        replace(event, token_index=max(event.token_index - first.token_index + 1, 1))
        if isinstance(event, StepToken)
        else event
        for event in events[at:]
    ]
    return events[:at] + rest


def replayed(rng: random.Random, events: Stream) -> Stream:
    """A stretch of events is delivered twice."""
    first, after = sorted(rng.sample(range(len(events) + 1), 2))
    return events[:after] + events[first:]


Fault: TypeAlias = Callable[[random.Random, Stream], Stream]
FAULTS: tuple[Fault, ...] = (
    dropped,
    duplicated,
    swapped,
    renamed,
    reindexed,
    truncated,
    beheaded,
    restarted,
    recounted,
    replayed,
)


class Corpus(unittest.TestCase):
    """streams.json, which any implementation must agree with."""

    def test_every_case_is_judged_as_it_says(self) -> None:
        for case in cases():
            with self.subTest(case["name"]):
                checker = checker_of(case["options"])
                found = judged(events_of(case), checker)
                self.assertEqual(found, [(v["rule"], v["index"]) for v in case["violations"]])
                self.assertEqual(checker.outcome.value, case["outcome"])

    def test_the_model_agrees_with_every_case(self) -> None:
        for case in cases():
            with self.subTest(case["name"]):
                events = events_of(case)
                self.assertEqual(
                    order_model.violations(events, **case["options"]),
                    [(v["rule"], v["index"]) for v in case["violations"]],
                )
                self.assertEqual(order_model.outcome(events), case["outcome"])

    def test_the_form_of_the_file(self) -> None:
        raw = (CORPUS / "streams.json").read_bytes()
        document = json.loads(raw)
        self.assertEqual(raw.decode("ascii"), json.dumps(document, indent=2) + "\n")
        self.assertEqual(list(document), ["format", "description", "cases"])
        self.assertEqual(document["format"], 1)
        names = Counter(case["name"] for case in cases())
        self.assertEqual([name for name, times in names.items() if times > 1], [])
        others = {"legal", "real", "recovery", "allow", "scope", "output", "middle"}
        for case in cases():
            with self.subTest(case["name"]):
                self.assertEqual(list(case), ["name", "options", "events", "outcome", "violations"])
                self.assertRegex(case["name"], r"\A[a-z]+(-[a-z]+)*\.[a-z0-9]+(-[a-z0-9]+)*\Z")
                group = case["name"].partition(".")[0]
                self.assertIn(group, others | set(NAMES))
                self.assertEqual([to_json(event) for event in events_of(case)], case["events"])
                options = [name for name in DEFAULTS if name in case["options"]]
                self.assertEqual(list(case["options"]), options)
                for name, value in case["options"].items():
                    self.assertNotEqual(value, DEFAULTS[name])
                self.assertEqual(group == "middle", case["options"].get("from_start") is False)
                rules = [violation["rule"] for violation in case["violations"]]
                if group in NAMES:
                    self.assertIn(group, rules)
                if group in ("legal", "output"):
                    self.assertEqual(rules, [])

    def test_every_rule_is_broken_recovered_from_and_allowed(self) -> None:
        groups = Counter(case["name"].partition(".")[0] for case in cases())
        broken = Counter(v["rule"] for case in cases() for v in case["violations"])
        allowed = Counter(
            name
            for case in cases()
            if case["name"].startswith("allow.")
            for name in case["options"]["allow"]
        )
        for name in NAMES:
            with self.subTest(name):
                self.assertGreater(groups[name], 2)
                self.assertGreater(broken[name], 2)
                self.assertGreater(allowed[name], 0)
        for group, least in {"legal": 20, "real": 10, "recovery": 30, "scope": 15}.items():
            self.assertGreater(groups[group], least)

    def test_what_is_allowed_is_the_only_thing_that_is_missing(self) -> None:
        for case in cases():
            events = events_of(case)
            options = {**case["options"], "allow": []}
            strict = judged(events, checker_of(options))
            for name in NAMES if ALL else {name for name, _ in strict}:
                with self.subTest(case["name"], allow=name):
                    checker = checker_of({**options, "allow": [name]})
                    self.assertEqual(
                        judged(events, checker), [found for found in strict if found[0] != name]
                    )

    def test_the_recorded_flows_are_legal(self) -> None:
        for name in ("report", "failed", "unstreamed"):
            with self.subTest(name):
                events = recorded(name)
                self.assertEqual(check(iter(events)), [])
                self.assertEqual(judged(events, StreamChecker(match_output=True)), [])


class Rules(unittest.TestCase):
    def test_the_values_are_the_stable_names_in_order(self) -> None:
        self.assertEqual([rule.value for rule in Rule], NAMES)
        for rule in Rule:
            self.assertEqual(rule.name, rule.value.upper().replace("-", "_"))
        self.assertEqual(
            [outcome.value for outcome in Outcome], ["open", "completed", "failed", "truncated"]
        )

    def test_each_names_the_module_that_exports_it(self) -> None:
        for cls in (Rule, Outcome, Violation, OrderError):
            self.assertEqual(cls.__module__, StreamChecker.__module__)
        self.assertIn(StreamChecker.__module__.encode(), pickle.dumps(Rule.TOKEN_GAP))

    def test_several_rules_are_told_in_the_order_of_the_table(self) -> None:
        for case in cases():
            order = [(v["index"], NAMES.index(v["rule"])) for v in case["violations"]]
            with self.subTest(case["name"]):
                self.assertEqual(order, sorted(set(order)))


class Model(unittest.TestCase):
    STREAMS = rounds(500, 10_000)

    def test_the_checker_agrees_with_the_model_on_random_streams(self) -> None:
        rng = random.Random(SEED)
        broken: Counter[str] = Counter()
        for number in range(self.STREAMS):
            options = random_options(rng)
            if rng.random() < 0.6:
                events = random_stream(rng)
            else:
                events = legal_stream(
                    rng,
                    names=rng.choice(("", "A", "AAB")),
                    parallel=rng.random() < 0.5,
                    token_scope=options["token_scope"],
                )
                for _ in range(rng.choice((1, 1, 2, 3))):
                    if len(events) > 1:
                        events = rng.choice(FAULTS)(rng, events)[:24]
            checker = checker_of(options)
            found = judged(events, checker)
            broken.update(name for name, _ in found)
            told = (found, checker.outcome.value, checker.open_steps, checker.last_token)
            expected = (
                order_model.violations(events, **options),
                order_model.outcome(events),
                order_model.open_steps(events),
                order_model.last_token(events, options.get("last_token")),
            )
            if told != expected:
                with self.subTest(seed=SEED, number=number, options=options, events=events):
                    self.assertEqual(told, expected)
        for name in NAMES:
            self.assertGreater(broken[name], self.STREAMS // 100, name)


# The most violations that one fault of each kind gives: by the strict grammar; and by any options,
# with parallel steps and with `match_output`, which adds a rule.
MOST = {
    "dropped": (2, 2),
    "duplicated": (2, 2),
    "swapped": (3, 4),
    "renamed": (3, 5),
    "reindexed": (2, 2),
    "truncated": (1, 1),
    "restarted": (1, 1),
    "recounted": (1, 1),
}


class SingleFaults(unittest.TestCase):
    """One fault gives one violation or a few, never a cascade."""

    def faults(self, options: Options) -> Iterable[Fault]:
        for fault in FAULTS:
            # A step's own counter has no restart that goes on in the next step; who joins
            # parallel steps in the middle, or gets a stretch twice, sees many faults.
            by_step = options.get("token_scope") == "step" and fault is recounted
            if fault.__name__ in MOST and not by_step:
                yield fault

    def test_of_the_strict_grammar(self) -> None:
        rng = random.Random(SEED)
        most: Counter[str] = Counter()
        flows = [recorded(name) for name in ("failed", "unstreamed", "report")][: rounds(2, 3)]
        for number in range(rounds(60, 600)):
            for fault in self.faults({}):
                events = flows[number] if number < len(flows) else legal_stream(rng)
                for _ in range(rounds(2, 20) if number < len(flows) else 1):
                    broken = fault(rng, events)
                    found = judged(broken, StreamChecker())
                    most[fault.__name__] = max(most[fault.__name__], len(found))
                    if len(found) > MOST[fault.__name__][0]:
                        self.fail(f"{fault.__name__}, seed {SEED}: {found} of {broken}")
        if ALL:  # so the bounds are no higher than they must be
            self.assertEqual(most, {name: strict for name, (strict, _) in MOST.items()})

    def test_by_all_options(self) -> None:
        rng = random.Random(SEED)
        for number in range(rounds(80, 1000)):
            options: Options = {
                "token_scope": rng.choice(("flow", "step")),
                "match_output": rng.random() < 0.5,
                "allow": ["step-overlap"] * rng.choice((0, 1)),
            }
            legal = legal_stream(
                rng, parallel=bool(options["allow"]), token_scope=options["token_scope"]
            )
            self.assertEqual(judged(legal, checker_of(options)), [], (SEED, number, legal))
            for fault in self.faults(options):
                broken = fault(rng, legal)
                found = judged(broken, checker_of(options))
                if len(found) > MOST[fault.__name__][1]:
                    self.fail(f"{fault.__name__}, seed {SEED}, {options}: {found} of {broken}")

    def test_who_joins_a_flow_in_the_middle_is_told_so_and_no_more(self) -> None:
        rng = random.Random(SEED)
        for number in range(rounds(60, 600)):
            found = judged(beheaded(rng, legal_stream(rng)), StreamChecker())
            with self.subTest(seed=SEED, number=number):
                self.assertIn([name for name, _ in found[1:]], ([], ["step-not-open"]))


class NoGuess(unittest.TestCase):
    """Where nobody can know, a legal stream breaks no rule."""

    def options(self, rng: random.Random) -> Options:
        return {
            "token_scope": rng.choice(("flow", "step")),
            "match_output": rng.random() < 0.7,
            "allow": ["step-overlap"],
        }

    def test_parallel_steps_of_one_name(self) -> None:
        rng = random.Random(SEED)
        for number in range(rounds(400, 10_000)):
            options = self.options(rng)
            scope = options["token_scope"]
            legal = legal_stream(
                rng, names=rng.choice(("A", "AB")), parallel=True, token_scope=scope
            )
            with self.subTest(seed=SEED, number=number, options=options, events=legal):
                self.assertEqual(judged(legal, checker_of(options)), [])

    def test_joining_in_the_middle(self) -> None:
        rng = random.Random(SEED)
        for number in range(rounds(400, 10_000)):
            options: Options = {**self.options(rng), "from_start": False}
            parallel = rng.random() < 0.5
            legal = legal_stream(rng, parallel=parallel, token_scope=options["token_scope"])
            at = rng.randrange(len(legal))
            missed, events = legal[:at], legal[at:]
            known = {"last_token": order_model.last_token(missed)} if missed else {}
            with self.subTest(seed=SEED, number=number, options=options, at=at, events=legal):
                for more in ({}, known):
                    self.assertEqual(judged(events, checker_of({**options, **more})), [])

    def test_a_token_that_was_missed_where_it_was_joined(self) -> None:
        rng = random.Random(SEED)
        for number in range(rounds(100, 1000)):
            legal = legal_stream(rng)
            places = [at for at, event in enumerate(legal) if isinstance(event, StepToken)]
            if len(places) < 2:
                continue
            at = rng.choice(places[:-1])
            checker = StreamChecker(from_start=False, last_token=order_model.last_token(legal[:at]))
            with self.subTest(seed=SEED, number=number, at=at, events=legal):
                found = [name for name, _ in judged(legal[at + 1 :], checker)]
                self.assertEqual(found, ["token-gap"])


HOSTILE = {
    "controls": "\0\x1b[31m\r\n\x7f\x85" * 20,
    "long": "n" * 10**6,
    "long controls": "\0" * 10**6,
    "long astral": "\U0010ffff" * 10**5,
    "right-to-left": "\u202e\u05e9\u05dc\u05d5\u05dd\u2066" * 9,
    "line separators": "a\u2028b\u2029c\x0bd\x0ce",
    "single quotes": "'; open: '" * 9,
    "double quotes": '"; legal: "' * 9,
    "both quotes": "'\"" * 30,
    "backslashes": "\\" * 50,
    "format": "{0}{event}%s%(x)s",
    "combining": "e" + "\u0301" * 50,
    "empty": "",
}


class Messages(unittest.TestCase):
    def told(self, events: Iterable[Event], **options: Any) -> list[str]:
        """Return the messages by the last of the events alone, or by the end if it is None."""
        checker = StreamChecker(**options)
        messages: list[str] = []
        for event in events:
            messages = [violation.message for violation in checker.feed(event)]
        return messages

    def test_of_each_rule(self) -> None:
        told: list[tuple[Stream, list[str]]] = [
            (
                [start("A")],
                ["event 0 is step_start of 'A' (0); no flow has started; legal: flow_start"],
            ),
            (
                [tool_call("A")],
                [
                    "event 0 is tool_call of 'A'; no flow has started; legal: flow_start",
                    "event 0 is tool_call of 'A'; no flow has started;"
                    " legal: step_start of 'A' first",
                ],
            ),
            (
                [flow_start(), start("A"), flow_start("g")],
                [
                    "event 2 is flow_start of 'g' on 'b'; open: 'A' (0);"
                    " legal: the flow's own events up to its terminator"
                ],
            ),
            (
                [flow_start(), error(), error()],
                [
                    "event 2 is flow_error of 'f'; the flow has ended by flow_error;"
                    " legal: nothing more"
                ],
            ),
            (
                [flow_start(), start("A"), start("B", 1)],
                [
                    "event 2 is step_start of 'B' (1); open: 'A' (0);"
                    " legal: events of the open step up to its step_complete"
                ],
            ),
            (
                [flow_start(), start("A"), complete("A"), start("A")],
                [
                    "event 3 is step_start of 'A' (0); no step is open;"
                    " legal: another step_name or step_index than that of an earlier step"
                ],
            ),
            (
                [flow_start(), start("A"), token("B", 2)],
                [
                    "event 2 is step_token 2 of 'B'; open: 'A' (0); legal: step_start of 'B' first",
                    "event 2 is step_token 2 of 'B'; open: 'A' (0); legal: token_index 1",
                ],
            ),
            (
                [flow_start(), start("A"), token("B", 1), complete("A", 1)],
                [
                    "event 3 is step_complete of 'A' (1); open: 'A' (0), 'B' (not started);"
                    " legal: step_index 0"
                ],
            ),
            (
                [flow_start(), start("A"), end("g", "c")],
                [
                    "event 2 is flow_complete of 'g' on 'c'; open: 'A' (0);"
                    " legal: step_complete of every open step first",
                    "event 2 is flow_complete of 'g' on 'c'; open: 'A' (0);"
                    " legal: flow_name 'f', backend 'b'",
                ],
            ),
            (
                [flow_start(), start("A"), error("g")],
                [
                    "event 2 is flow_error of 'g'; open: 'A' (0);"
                    " legal: step_complete of every open step first",
                    "event 2 is flow_error of 'g'; open: 'A' (0); legal: flow_name 'f'",
                ],
            ),
            (
                [flow_start(), start("A"), token("A", 0)],
                ["event 2 is step_token 0 of 'A'; open: 'A' (0); legal: token_index 1"],
            ),
            (
                [flow_start(), start("A"), token("A", 1), complete("A", 0, "y")],
                [
                    "event 3 is step_complete of 'A' (0); open: 'A' (0);"
                    " legal: the step's tokens joined as full_output"
                ],
            ),
            (
                [flow_start(), start("A"), complete("A", 0, "y"), token("A", 1)],
                [
                    "event 3 is step_token 1 of 'A'; no step is open;"
                    " legal: the full_output of its step_complete"
                ],
            ),
        ]
        for events, messages in told:
            with self.subTest(messages[0]):
                self.assertEqual(self.told(events, match_output=True), messages)

    def test_at_the_end(self) -> None:
        ends: list[tuple[Stream, str]] = [
            ([], "event 0 is the end of the stream; no flow has started; legal: flow_start"),
            (
                [flow_start(), start("A")],
                "event 2 is the end of the stream; open: 'A' (0);"
                " legal: flow_complete or flow_error",
            ),
        ]
        for events, message in ends:
            (violation,) = check(events)
            self.assertEqual(violation.message, message)
            self.assertIsNone(violation.event)

    def test_of_many_open_steps_the_first_five_and_the_number(self) -> None:
        started = [start(str(index), index) for index in range(6)]
        implied = [tool_call(name) for name in "uvwxyz"]
        shown: list[tuple[Stream, str]] = [
            ([*started[:5]], "'0' (0), '1' (1), '2' (2), '3' (3), '4' (4)"),
            ([*started], "'0' (0), '1' (1), '2' (2), '3' (3), '4' (4), 6 steps in all"),
            ([*implied[:1], *started[:1]], "'0' (0), 'u' (not started)"),
            (
                [*started[:3], *implied[:3]],
                "'0' (0), '1' (1), '2' (2), 'u' (not started), 'v' (not started), 6 steps in all",
            ),
            (
                [*started, *implied],
                "'0' (0), '1' (1), '2' (2), '3' (3), '4' (4), 12 steps in all",
            ),
        ]
        for opened, steps in shown:
            (message,) = self.told([flow_start(), *opened, end()])
            self.assertIn(f"; open: {steps}; legal: ", message)

    def streams(self, name: str) -> list[Stream]:
        """Return streams of this name that break every rule but `not-terminated`."""
        begun: Stream = [flow_start(name, name)]
        many: Stream = [start(name, U64_MAX - index) for index in range(30)]
        lost = tool_call("?" + name)
        return [
            [start(name), flow_start(name, name), start(name), start(name + "x")],
            [*begun, *many, start(name, U64_MAX), complete(name), complete(name, U64_MAX, "y")],
            [*begun, *many, lost, end(name + "x", name), end(name, name)],
            [*begun, *many, lost, error("x" + name), error(name)],
            [*begun, *many, lost, flow_start(name, name), start(name), token(name, U64_MAX)],
            [*begun, start(name), token(name, 1), complete(name, 0, name + "y"), tool_call(name)],
            [*begun, start(name), complete(name, 0, name + "y"), token(name, 0, name)],
        ]

    def test_hostile_names_stay_on_one_short_line(self) -> None:
        for case, name in HOSTILE.items():
            broken = set()
            for events in self.streams(name):
                checker = StreamChecker(match_output=True)
                for index, event in enumerate(events):
                    for violation in checker.feed(event):
                        broken.add(violation.rule)
                        with self.subTest(case, rule=violation.rule):
                            message = violation.message
                            self.assertTrue(message.isprintable(), message)
                            self.assertLessEqual(len(message), 500)
                            self.assertTrue(message.startswith(f"event {index} is {event.kind} "))
                            self.assertRegex(
                                message, r"; (open: |no |the flow has ended).*; legal: ."
                            )
                            self.assertEqual(violation.index, index)
                            self.assertIs(violation.event, event)
                            text = str(OrderError(violation))
                            self.assertEqual(text, f"{violation.rule.value}: {message}")
            self.assertEqual(broken, set(Rule) - {Rule.NOT_TERMINATED}, case)

    def test_the_longest_message(self) -> None:
        checker = StreamChecker()
        name = "\0" * 100
        checker.feed(flow_start(name, name))
        for index in range(1000):
            checker.feed(start(name, U64_MAX - index))
        checker.feed(tool_call("x" + name))
        for violation in checker.feed(end("x" + name, name)):
            digits = len(str(U64_MAX)) - len(str(violation.index))  # if so many events had come
            self.assertLessEqual(len(violation.message) + digits, 500)

    def test_a_name_is_cut_and_keeps_its_quotes(self) -> None:
        for name, shown in (
            ("n" * 22, "'" + "n" * 22 + "'"),
            ("n" * 23, "'" + "n" * 21 + "…'"),
            ("it's", '"it\'s"'),
            ("it's" * 9, "\"it'sit'sit'sit'sit'si…\""),
            ("\n", r"'\n'"),
            ("", "''"),
        ):
            (message,) = self.told([flow_start(), tool_call(name)])
            self.assertIn(f" is tool_call of {shown}; ", message)


class Checker(unittest.TestCase):
    def test_outcome_and_terminator_at_each_stage(self) -> None:
        for last, outcome in ((end(), Outcome.COMPLETED), (error(), Outcome.FAILED)):
            checker = StreamChecker()
            stages: list[tuple[Outcome, Event | None]] = [(checker.outcome, checker.terminator)]
            events: Stream = [flow_start(), start("A"), complete("A"), last, flow_start(), end()]
            for event in events:
                checker.feed(event)
                stages.append((checker.outcome, checker.terminator))
            checker.close()
            stages.append((checker.outcome, checker.terminator))
            self.assertEqual(stages, [(Outcome.OPEN, None)] * 4 + [(outcome, last)] * 4)
            self.assertIs(checker.terminator, last)
        for allow in ((), (Rule.NOT_TERMINATED,)):
            checker = StreamChecker(allow=allow)
            checker.feed(flow_start())
            self.assertEqual(len(checker.close()), 1 - len(allow))
            self.assertEqual((checker.outcome, checker.terminator), (Outcome.TRUNCATED, None))

    def test_open_steps_and_last_token_at_each_stage(self) -> None:
        largest = U64_MAX
        stages: list[tuple[Event, tuple[tuple[str, int], ...], int | None]] = [
            (flow_start(), (), 0),
            (start("B", 7), (("B", 7),), 0),
            (token("B", 1), (("B", 7),), 1),
            (start("A", 3), (("B", 7), ("A", 3)), 1),
            (start("B", 0), (("B", 7), ("A", 3), ("B", 0)), 1),
            (token("A", largest), (("B", 7), ("A", 3), ("B", 0)), largest),
            (start("B", 7), (("B", 7), ("A", 3), ("B", 0)), largest),  # it is open already
            (tool_call("C"), (("B", 7), ("A", 3), ("B", 0)), largest),  # it has not started
            (complete("B", 7), (("A", 3), ("B", 0)), largest),
            (start("B", 7), (("A", 3), ("B", 0), ("B", 7)), largest),
            (flow_start(), (), 0),
            (start("A"), (("A", 0),), 0),
            (token("A", 5), (("A", 0),), 5),
            (end(), (), 5),
            (token("A", 6), (), 5),
        ]
        for scope in ("flow", "step"):
            checker = checker_of({"token_scope": scope})
            self.assertEqual((checker.open_steps, checker.last_token), ((), None))
            for event, steps, last in stages:
                with self.subTest(scope=scope, event=event):
                    checker.feed(event)
                    self.assertEqual((checker.open_steps, checker.last_token), (steps, last))

    def test_they_still_tell_after_close(self) -> None:
        checker = StreamChecker()
        judged([flow_start(), start("A", 2), token("A", 1)], checker)
        self.assertEqual((checker.open_steps, checker.last_token), ((("A", 2),), 1))

    def test_what_last_token_says_of_a_flow_joined_in_the_middle(self) -> None:
        for given in (None, 0, 17, U64_MAX):
            checker = StreamChecker(from_start=False, last_token=given)
            self.assertEqual((checker.open_steps, checker.last_token), ((), given))
            checker.feed(token("A", 3))
            self.assertEqual((checker.open_steps, checker.last_token), ((), 3))
            checker.feed(start("A", 4))
            self.assertEqual((checker.open_steps, checker.last_token), ((("A", 4),), 3))
            first = StreamChecker(from_start=False, last_token=given)
            first.feed(flow_start())
            self.assertEqual(first.last_token, 0)

    def test_a_message_of_a_flow_joined_in_the_middle(self) -> None:
        checker = StreamChecker(from_start=False)
        (violation,) = checker.close()
        self.assertEqual(
            violation.message,
            "event 0 is the end of the stream; no step is open; legal: flow_complete or flow_error",
        )

    def test_a_violation_at_the_end(self) -> None:
        checker = StreamChecker()
        checker.feed(flow_start())
        (violation,) = checker.close()
        self.assertEqual((violation.rule, violation.index), (Rule.NOT_TERMINATED, 1))
        self.assertIsNone(violation.event)

    def test_close_twice_reports_nothing_the_second_time(self) -> None:
        checker = StreamChecker()
        self.assertEqual(len(checker.close()), 1)
        self.assertEqual(checker.close(), [])
        self.assertEqual(checker.outcome, Outcome.TRUNCATED)

    def test_after_close_nothing_is_taken(self) -> None:
        ended: Stream = [flow_start(), end()]
        opened: Stream = [flow_start(), start("A"), token("A", 1)]
        for events in ([], opened, ended):
            checker = StreamChecker()
            judged(events, checker)
            for event in (*EVENTS, token("A", 2)):
                for take in (checker.feed, checker.require):
                    with (
                        self.subTest(event.kind, events=len(events)),
                        self.assertRaisesRegex(RuntimeError, "the StreamChecker is closed"),
                    ):
                        take(event)

    def test_anything_but_an_event_is_a_type_error(self) -> None:
        others: list[Any] = [None, {}, "x", StepToken, 1, to_json(EVENTS[0]), [EVENTS[0]]]
        for other in others:
            checker = StreamChecker()
            checker.feed(flow_start())
            before = pickle.dumps(checker)
            for closed in (False, True):
                for take in (checker.feed, checker.require):
                    with self.subTest(other=other, closed=closed):
                        with self.assertRaises(TypeError) as caught:
                            take(other)
                        self.assertEqual(
                            str(caught.exception),
                            f"a StreamChecker takes events, got {type(other).__name__}",
                        )
                if not closed:
                    self.assertEqual(pickle.dumps(checker), before)
                checker.close()
        with self.assertRaises(TypeError):
            check([None])  # type: ignore[list-item]

    def test_what_may_be_allowed(self) -> None:
        good: list[Iterable[Rule]] = [[], {Rule.TOKEN_GAP}, iter([Rule.TOKEN_GAP]), Rule]
        for allow in good:
            StreamChecker(allow=allow)
        others: list[tuple[Any, str]] = [
            ("token-gap", "'token-gap'"),
            ("", "''"),
            (["token-gap"], "'token-gap'"),
            ([Rule.TOKEN_GAP, None], "None"),
            (["x" * 10**6], "'" + "x" * 59),
        ]
        for other, shown in others:
            with self.subTest(other=shown):
                with self.assertRaises(TypeError) as caught:
                    StreamChecker(allow=other)
                text = f"allow takes members of Rule, got {shown}"
                self.assertEqual(str(caught.exception), text)
        nothing: list[Any] = [None, Rule.TOKEN_GAP, 1]
        for other in nothing:
            with self.assertRaises(TypeError):
                StreamChecker(allow=other)

    def test_the_scopes_of_tokens(self) -> None:
        StreamChecker(token_scope="flow")
        StreamChecker(token_scope="step")
        others: list[Any] = ["Step", "", None, 1, [], "x" * 10**6]
        for other in others:
            with self.assertRaises(ValueError) as caught:
                StreamChecker(token_scope=other)
            text = f'token_scope must be "flow" or "step", got {other!r:.60}'
            self.assertEqual(str(caught.exception), text)

    def test_what_joins_in_the_middle(self) -> None:
        class Index(enum.IntEnum):
            LAST = 17

        self.assertIs(type(StreamChecker(from_start=False, last_token=Index.LAST).last_token), int)
        StreamChecker(from_start=True, last_token=None)
        refused: list[tuple[Options, type[Exception], str]] = [
            ({"match_output": "no"}, TypeError, "match_output must be a bool, got str"),
            ({"from_start": None}, TypeError, "from_start must be a bool, got NoneType"),
            ({"from_start": 0}, TypeError, "from_start must be a bool, got int"),
            (
                {"last_token": 17},
                ValueError,
                "last_token is for a flow joined in the middle:"
                " StreamChecker(from_start=False, last_token=17)",
            ),
        ]
        others: list[object] = [True, "17", 17.0, b"", []]
        for other in others:
            text = f"last_token must be an int or None, got {type(other).__name__}"
            refused.append(({"from_start": False, "last_token": other}, TypeError, text))
        for number, shown in (
            (-1, "-1"),
            (U64_MAX + 1, str(U64_MAX + 1)),
            (10**5000, "an int of 16610 bits"),
        ):
            text = f"last_token must be from 0 to {U64_MAX}, got {shown}"
            refused.append(({"from_start": False, "last_token": number}, ValueError, text))
        for options, kind, text in refused:
            with self.subTest(text):
                with self.assertRaises(kind) as caught:
                    StreamChecker(**options)
                self.assertEqual(str(caught.exception), text)

    def test_check_judges_a_whole_stream_by_the_strict_grammar(self) -> None:
        events: Stream = [flow_start(), start("A"), start("B")]
        violations = check(event for event in events)
        self.assertEqual(
            [(violation.rule, violation.index) for violation in violations],
            [(Rule.STEP_OVERLAP, 2), (Rule.NOT_TERMINATED, 3)],
        )
        self.assertEqual(check([flow_start(), end()]), [])

    def test_require_raises_the_first_violation_and_takes_nothing(self) -> None:
        rng = random.Random(SEED)
        raised = 0
        streams = rounds(100, 2000)
        for number in range(streams):
            options = random_options(rng)
            feeding, requiring = checker_of(options), checker_of(options)
            events = random_stream(rng)
            with self.subTest(seed=SEED, number=number, options=options, events=events):
                for event in events:
                    violations = feeding.feed(event)
                    before = pickle.dumps(requiring)
                    try:
                        requiring.require(event)
                    except OrderError as caught:
                        raised += 1
                        self.assertEqual(caught.violation, violations[0])
                        self.assertNotIsInstance(caught, TruncatedStream)
                        self.assertEqual(pickle.dumps(requiring), before)
                        self.assertEqual(requiring.feed(event), violations)
                    else:
                        self.assertEqual(violations, [])
                    self.assertEqual(requiring.outcome, feeding.outcome)
                self.assertEqual(requiring.close(), feeding.close())
        self.assertGreater(raised, streams)

    def test_a_producer_that_skips_what_is_refused_sends_a_legal_stream(self) -> None:
        rng = random.Random(SEED)
        for number in range(rounds(100, 1000)):
            checker = StreamChecker()
            sent: Stream = []
            for event in random_stream(rng):
                try:
                    checker.require(event)
                except OrderError:
                    continue
                sent.append(event)
            with self.subTest(seed=SEED, number=number, sent=sent):
                missing = [violation.rule for violation in check(sent)]
                self.assertIn(missing, ([], [Rule.NOT_TERMINATED]))


def unpickled(protocol: int, value: Any) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": partial(unpickled, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
}


class Copies(unittest.TestCase):
    def test_a_copy_goes_on_independently(self) -> None:
        rng = random.Random(SEED)
        for number in range(rounds(12, 150)):
            options = random_options(rng)
            events = random_stream(rng)
            at = rng.randint(0, len(events))
            whole = judged(events, checker_of(options))
            for name, copied in COPIES.items():
                checker = checker_of(options)
                before = [
                    (violation.rule.value, violation.index)
                    for event in events[:at]
                    for violation in checker.feed(event)
                ]
                # Each goes on with other events first, so that what they share would show.
                with self.subTest(name, seed=SEED, number=number, at=at, events=events):
                    first, second, third = copied(checker), copied(checker), copied(checker)
                    judged(random_stream(rng), first)
                    self.assertEqual(before + judged(events[at:], second), whole)
                    self.assertEqual(before + judged(events[at:], checker), whole)
                    self.assertEqual(before + judged(events[at:], third), whole)
                    self.assertEqual(third.outcome, checker.outcome)
                    self.assertEqual(third.terminator, checker.terminator)
                    self.assertEqual(third.open_steps, checker.open_steps)
                    self.assertEqual(third.last_token, checker.last_token)

    def test_a_copy_of_a_closed_checker_is_closed(self) -> None:
        for name, copied in COPIES.items():
            checker = StreamChecker()
            checker.feed(flow_start())
            checker.close()
            with self.subTest(name):
                again = copied(checker)
                self.assertEqual(again.outcome, Outcome.TRUNCATED)
                self.assertEqual(again.close(), [])
                with self.assertRaises(RuntimeError):
                    again.feed(end())

    def test_violations_and_errors(self) -> None:
        (gap,) = StreamChecker().feed(end())
        (cut,) = check([])
        for name, copied in COPIES.items():
            with self.subTest(name):
                self.assertEqual(copied(gap), gap)
                self.assertEqual(copied(Rule.TOKEN_GAP), Rule.TOKEN_GAP)
                self.assertIs(copied(Outcome.OPEN), Outcome.OPEN)
                for cls, violation in ((OrderError, gap), (TruncatedStream, cut)):
                    failure = cls(violation)
                    failure.__notes__ = ["note"]  # type: ignore[attr-defined]  # 3.11
                    again = copied(failure)
                    self.assertIs(type(again), cls)
                    self.assertEqual(again.violation, violation)
                    self.assertEqual(str(again), str(failure))
                    self.assertEqual(again.__notes__, ["note"])

    def test_what_they_are(self) -> None:
        (cut,) = check([])
        self.assertIsInstance(TruncatedStream(cut), OrderError)
        self.assertIsInstance(OrderError(cut), ValueError)
        self.assertTrue(str(TruncatedStream(cut)).startswith("not-terminated: event 0 is the end"))
        self.assertEqual(hash(cut), hash(copy.copy(cut)))
        with self.assertRaises(AttributeError):
            cut.index = 1  # type: ignore[misc]  # frozen
        self.assertEqual(Violation.__match_args__, ("rule", "index", "event", "message"))


class Bounds(unittest.TestCase):
    def test_memory_is_of_the_steps_and_not_of_the_tokens(self) -> None:
        tokens = rounds(500, 10_000)
        for options in ({}, {"token_scope": "step"}, {"match_output": True}, {"from_start": False}):
            for opened in ([start("A")], [start("A"), start("A", 1)], []):
                sizes = []
                checker = checker_of(options)
                judge: Sequence[Event] = [flow_start(), *opened]
                for event in judge:
                    checker.feed(event)
                for index in range(1, tokens + 1):
                    checker.feed(token("A", index, "content" * 10))
                    checker.feed(tool_call("A"))
                    if index in (10, tokens):
                        sizes.append(len(pickle.dumps(checker)))
                # Numbers grow by some bytes.
                with self.subTest(options=options, opened=len(opened)):
                    self.assertLess(sizes[1], sizes[0] + 40)

    def test_a_complete_step_leaves_its_name_and_index_only(self) -> None:
        for options in ({}, {"match_output": True}):
            sizes = []
            for tokens in (2, rounds(100, 1000)):
                checker = checker_of(options)
                checker.feed(flow_start())
                for step in range(10):
                    checker.feed(start("A", step))
                    for index in range(tokens):
                        checker.feed(token("A", step * tokens + index + 1))
                    checker.feed(complete("A", step, "x" * tokens))
                sizes.append(len(pickle.dumps(checker)))
            self.assertLess(sizes[1], sizes[0] + 20)

    def lines(self, checker: StreamChecker, event: Event) -> list[int]:
        """Return how many lines of Python `feed` and `require` run for an event."""
        counts: list[int] = []

        def trace(frame: FrameType, what: str, argument: object) -> Any:
            counts[-1] += what == "line"
            return trace

        feeding = pickle.loads(pickle.dumps(checker))
        gc.disable()  # finalizers of other tests would be counted
        try:
            for take in (feeding.feed, checker.require):
                counts.append(0)
                before = sys.gettrace()
                sys.settrace(trace)
                try:
                    take(event)
                except OrderError:
                    sys.settrace(before)
                    checker.feed(event)
                finally:
                    sys.settrace(before)
        finally:
            gc.enable()
        return counts[-2:]

    def test_each_event_runs_the_same_lines_however_many_steps_there_are(self) -> None:
        for how in ("started", "started, of one name", "implied"):
            for options in ({}, {"token_scope": "step", "match_output": True}):
                counts = []
                for steps in (10, rounds(50, 2000)):
                    checker = checker_of({**options, "allow": ["step-overlap"]})
                    checker.feed(flow_start())
                    one = how == "started, of one name"
                    names = ["A" if one else f"A{index}" for index in range(steps)]
                    for index, name in enumerate(names):
                        checker.feed(start(f"{name} done", index))
                        checker.feed(complete(f"{name} done", index))
                        checker.feed(tool_call(name) if how == "implied" else start(name, index))
                    events: Stream = [
                        token(names[5], 1),
                        tool_call(names[5]),
                        start("B", steps),
                        token("B", 2),
                        complete("B", steps, "x"),
                        complete(names[5], 5, "x"),
                        complete(names[0], 0, "x" if one else ""),
                        start(names[0], 0),
                        tool_call("other"),
                        complete(names[7], steps + 5),
                        end(),
                    ]
                    counts.append([self.lines(checker, event) for event in events])
                with self.subTest(how, options=options):
                    self.assertEqual(counts[0], counts[1])

    def test_many_open_steps(self) -> None:
        # Were one of these events not judged in constant time, the long form would take minutes.
        steps = rounds(500, 20_000)
        for same_name in (True, False):
            for options in ({}, {"token_scope": "step", "match_output": True}):
                checker = checker_of({**options, "allow": ["step-overlap"]})
                names = ["A" if same_name else f"A{index}" for index in range(steps)]
                checker.require(flow_start())
                for index, name in enumerate(names):
                    checker.require(start(name, index))
                for index, name in enumerate(names if not same_name and not options else []):
                    checker.require(token(name, index + 1))
                # From both ends, so that neither the first nor the last is the easy one.
                order = [
                    at for pair in zip(range(steps), range(steps)[::-1], strict=True) for at in pair
                ]
                for index in order[:steps]:
                    checker.require(complete(names[index], index))
                checker.require(end())
                with self.subTest(same_name=same_name, options=options):
                    self.assertEqual(checker.outcome, Outcome.COMPLETED)

    def test_many_violations_among_many_open_steps(self) -> None:
        steps = rounds(500, 20_000)
        checker = StreamChecker()
        checker.feed(flow_start())
        for index in range(steps):
            self.assertEqual(len(checker.feed(start("A", index))), index > 0)
        for _ in range(steps):
            (mismatch,) = checker.feed(complete("A", U64_MAX))
            self.assertEqual(mismatch.rule, Rule.STEP_MISMATCH)
        for index in range(steps):
            (not_open,) = checker.feed(tool_call(str(index)))
            self.assertEqual(not_open.rule, Rule.STEP_NOT_OPEN)
        for index in range(steps):
            self.assertEqual(checker.feed(complete(str(index))), [])
        self.assertEqual(checker.feed(end()), [])

    def test_every_variant_is_judged(self) -> None:
        for kind, event in zip(EVENT_TYPES, EVENTS, strict=True):
            with self.subTest(kind):
                self.assertEqual(event.kind, kind)
                self.assertEqual(bool(StreamChecker().feed(event)), kind != "flow_start")


if __name__ == "__main__":
    unittest.main()
