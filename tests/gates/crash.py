# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A program that is killed at random moments loses no event whose `write` has returned.

    python -m tests.gates.crash [--kills 50] [--runs 200] [--seed N]

The program streams runs into a `Writer` each, one file a run, and reports each event on a pipe
after its `write` has returned. It is killed by SIGKILL and started again with the next run. In each
file, every event that was reported is there as it was sent, and after that at most the next one,
whole or cut. `closing`, appended by another `Writer`, ends each run that was cut, and then `check`
finds nothing wrong but the lines that are cut. The gate needs SIGKILL.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

from axon_events import DecodeError, Event, FlowComplete, jsonl
from axon_events.emit import FlowEmitter, closing
from axon_events.order import Rule, check

from .. import ROOT
from ..terminal import Run

PROGRAM = "import sys; from tests.gates.crash import program; program(*sys.argv[1:])"
REPORT_BYTES = 1024  # so long that a pipe holds few: the program stays close to its reader


def stream(sinks: tuple[Callable[[Event], object], ...], seed: str, run: int) -> None:
    """Send the events of a run, which are always the same but for the latency."""
    rng = random.Random(f"{seed} {run}")
    clock = count().__next__
    with FlowEmitter(sinks, flow_name=f"Run {run}", backend="local", clock=clock) as flow:
        for name in ("Plan", "Draft", "Review"):
            with flow.step(name, step_type="generate") as step:
                step.tool_call("search", '{"q":"…"}')
                for _ in range(rng.randrange(15)):
                    # A kill can cut a line that is long.
                    step.token("…" + "x" * rng.choice((*range(15), 2 * 10**6)))


def program(folder: str, seed: str, first: str, runs: str) -> None:
    """Stream these runs into files, and report the number of the run for each event written."""
    for run in range(int(first), int(runs)):
        line = b"%*d\n" % (REPORT_BYTES - 1, run)

        def report(event: Event, line: bytes = line) -> None:
            os.write(1, line)

        with jsonl.Writer(Path(folder, f"{run}.jsonl")) as writer:
            stream((writer.write, report), seed, run)


def killed(
    folder: Path, seed: str, first: int, runs: int, reports: int, delay: float | None
) -> "Counter[int]":
    """Run the program, kill it after so many reports, and return how many came from each run.

    - `delay`: seconds to wait before the kill; None: until the program is writing a long line.
    """
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, folder, seed, str(first), str(runs)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        if process.stdout is None:
            raise AssertionError("no pipe")
        lines = [process.stdout.readline() for _ in range(reports)]
        if delay is not None:
            time.sleep(delay)
        elif lines and lines[-1]:
            wait_for_long_line(folder, int(lines[-1]))
        process.kill()
        lines += process.stdout.readlines()
        if process.wait() not in (0, -signal.SIGKILL):
            raise AssertionError(f"the program ended with {process.returncode}")
    return Counter(int(line) for line in lines if line)


def wait_for_long_line(folder: Path, run: int) -> None:
    """Wait until the file of a run, or a later one, grows by more than a short line.

    After a second, give up: the program waits for its reports to be read.
    """
    deadline = time.monotonic() + 1
    # Names made in advance: writing a long line takes less than a millisecond.
    names = [str(folder / f"{number}.jsonl") for number in range(run, run + 100)]
    size = os.stat(names[0]).st_size
    while time.monotonic() < deadline:
        before, size = size, os.stat(names[0]).st_size
        if size > before + 2**12:
            return
        if os.path.exists(names[1]):
            del names[0]
            size = 0


def without_latency(event: Event) -> Event:
    return replace(event, latency_ms=0) if isinstance(event, FlowComplete) else event


def sent(seed: str, run: int) -> list[Event]:
    events: list[Event] = []
    stream((events.append,), seed, run)
    return [without_latency(event) for event in events]


def recorded(path: Path) -> tuple[list[Event], list[DecodeError]]:
    """Return the events of a file and its errors."""
    events: list[Event] = []
    errors: list[DecodeError] = []
    with path.open("rb") as file:
        reader = jsonl.read(file)
        while True:
            try:
                events.append(without_latency(next(reader)))
            except DecodeError as error:
                errors.append(error)
            except StopIteration:
                return events, errors


def require(condition: bool, *facts: object) -> None:
    if not condition:
        raise AssertionError(f"{facts}"[:1000])


def judge(path: Path, expected: list[Event], reported: int) -> str:
    """Require what the gate promises of the file of a run, end the run, and say how it was."""
    events, errors = recorded(path)
    require(events == expected[: len(events)], path, "other events than those sent")
    require(reported <= len(events) <= reported + 1, path, reported, len(events))
    if errors:
        (error,) = errors
        require(error.reason == "cut-line" and error.lineno == len(events) + 1, path, error)
        require(len(events) == reported, path, "an event was written after one that is cut")
    if not events:
        return "not begun"  # there is nothing to close
    is_whole = len(events) == len(expected)
    rules = [violation.rule for violation in check(events)]
    require(rules == ([] if is_whole else [Rule.NOT_TERMINATED]), path, rules)
    missing = closing(events, error="the process was killed")
    with jsonl.Writer(path) as writer:
        for event in missing:
            writer.write(event)
    closed, errors = recorded(path)
    require(closed == [*events, *missing] and check(closed) == [], path, check(closed))
    require(is_whole == (missing == []), path, missing)
    # Ended by the writer, the line is not the last one any more, and so not JSON.
    require(
        [error.lineno for error in errors if error.reason == "not-json"]
        == ([len(events) + 1] if errors else []),
        path,
        errors,
    )
    return "whole" if is_whole else "cut in a line" if errors else "cut between lines"


def main() -> int:
    """Kill the program as often as asked; return 0 if the promise held each time."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.gates.crash")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", default=str(random.randrange(10**9)))
    arguments = parser.parse_args()
    seed: str = arguments.seed
    print(f"seed {seed}", flush=True)
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    files: list[Path] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kills = first = events = 0
        while kills < arguments.kills or first < arguments.runs:
            # As many runs a kill as are left for it, on average.
            left = max(arguments.runs - first, 1) * 30 // max(arguments.kills - kills, 1)
            is_last = kills == arguments.kills
            runs = arguments.runs if is_last else arguments.runs + arguments.kills
            reports, delay = rng.randrange(2 * left + 1), rng.choice((None, rng.uniform(0, 0.02)))
            reported = killed(folder, seed, first, runs, 10**6 if is_last else reports, delay)
            kills += not is_last
            first_of_all = first
            while (path := folder / f"{first}.jsonl").exists():
                how = judge(path, sent(seed, first), reported[first])
                found[how] += 1
                if how != "not begun":
                    files.append(path)
                events += reported[first]
                first += 1
            require(sum(reported.values()) == sum(reported[n] for n in range(first_of_all, first)))
        run = Run("check", *files)
    complaints = [line for line in run.out.splitlines() if "not-json" in line]
    require(len(complaints) == found["cut in a line"], run.out)
    require(len(run.out.splitlines()) == len(files) + len(complaints), run.out)
    require(run.out.count(" 0 violations") == len(files), run.out)
    told = ", ".join(f"{count} {how}" for how, count in sorted(found.items()))
    print(f"{kills} kills, {first} runs ({told}), {events} events reported, none of them lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
