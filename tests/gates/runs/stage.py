# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Where a scenario takes place: a store, and the processes that write and follow its runs."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ... import ROOT
from .judging import Figures, Follower, Written, followers_of, judge
from .known import frames_of, known

__all__ = ["LEASE", "Process", "Stage", "until"]

LEASE = 2.0  # in seconds, of all runs: enough for a writer on a busy machine
PATIENCE = 120.0  # in seconds, for what must come; a process without an end then hangs


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for what other processes bring about; it can only be polled."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it does not come within {seconds:.0f} s: {what}")
        time.sleep(0.02)


class Process:
    """A running program of a module here, with its plan and the log that it writes."""

    def __init__(
        self, folder: Path, number: int, module: str, program: str, plan: dict[str, Any]
    ) -> None:
        self.plan = {**plan, "log": str(folder / f"{number}-{program}.log")}
        self._log = Path(self.plan["log"])
        self._log.touch()
        self._read = 0
        self._lines: list[list[Any]] = []
        self.errors = folder / f"{number}-{program}.err"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-W", "error", "-m", f"{__package__}.{module}"),
                    *(program, json.dumps(self.plan)),
                ],
                stderr=errors,
                cwd=ROOT,
            )

    @property
    def lines(self) -> list[list[Any]]:
        """What it has noted so far; a line that it is writing just now is left out."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            whole, _, _ = file.read().rpartition(b"\n")
        if whole:
            self._read += len(whole) + 1
            self._lines += map(json.loads, whole.split(b"\n"))
        return self._lines

    def noted(self, what: str) -> list[list[Any]]:
        """Return the facts that it has noted under a word."""
        return [facts for word, *facts in self.lines if word == what]

    def was_told(self, error: str) -> set[str]:
        """Return the names for which it noted an error."""
        return {name for name, kind, *_ in self.noted("told") if kind == error}

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def end(self, patience: float) -> bool:
        """Wait until it ends by itself; if it does not, have it print where it is, and kill it."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGUSR1)
            time.sleep(0.5)
            self.kill()
            return False
        return True


class Stage:
    """A store, and the processes of a scenario, which are ended at its end.

    - `store`: what `programs.opened` takes.
    - `folder`: for its logs.
    - `is_full`: whether it is to have its full size, for use by hand.
    """

    def __init__(self, store: Mapping[str, Any], folder: Path, *, is_full: bool = False) -> None:
        self.store: dict[str, Any] = {"lease": LEASE, **store}
        self.folder = folder
        self.is_full = is_full
        self.writers: list[Process] = []
        self.followers: list[Process] = []
        self._followed: dict[str, str] = {}
        self._count = 0
        self.expected: dict[str, Written] = {}  # of runs that others than `writers` write
        self.notes: list[str] = []
        self.failures: list[str] = []
        self.exits = ExitStack()  # what is to be closed at the end
        self._started = time.monotonic()

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *exception: object) -> None:
        for process in (*self.writers, *self.followers):
            process.kill()
        self.exits.close()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def of(self, short: int, full: int) -> int:
        """Return one of two sizes: that for CI, or the full one."""
        return full if self.is_full else short

    def names(self, count: int) -> list[str]:
        return [f"run-{number}" for number in range(count)]

    def start(self, program: str, module: str = "programs", **plan: Any) -> Process:
        """Start a program; `options` of the plan are those of the store's class."""
        self._count += 1
        store = {**self.store, **plan.get("options", {})}
        return Process(self.folder, self._count, module, program, {"store": store, **plan})

    def write(self, runs: Sequence[str], **plan: Any) -> Process:
        """Start a process that writes runs; the plan's other keys are those of `Writing`."""
        plan = {"tokens": 60, "pace": 0.05, "seed": self._count, **plan}
        self.writers.append(self.start("write", runs=list(runs), **plan))
        return self.writers[-1]

    def follow(self, runs: Sequence[str], each: int = 1, **plan: Any) -> Process:
        """Start a process with so many followers for each of some runs."""
        return self._follow(self.named([*runs] * each), plan)

    def named(self, runs: Sequence[str]) -> list[dict[str, Any]]:
        """Return the part of a plan that has a follower for each of some runs."""
        new = {f"f{len(self._followed) + n}": run for n, run in enumerate(runs)}
        self._followed |= new
        return [{"name": name, "run": run} for name, run in new.items()]

    def _follow(self, followers: list[dict[str, Any]], plan: dict[str, Any]) -> Process:
        plan = {"threads": 2, "seed": self._count, **plan}
        self.followers.append(self.start("follow", followers=followers, **plan))
        return self.followers[-1]

    def follow_instead(self, killed: Process) -> Process:
        """Have the clients of a process that was killed come again elsewhere, with their ids."""
        runs = {mine["name"]: mine["run"] for mine in killed.plan["followers"]}
        found = followers_of(killed.lines, runs)
        followers: list[dict[str, Any]] = []
        for mine in killed.plan["followers"]:
            follower = found[mine["name"]]
            if not follower.end:
                id = follower.frames[-1][0] if follower.frames else mine.get("id", "")
                followers.append({**mine, "id": id})
        kept = ("options", "leaving", "back", "again")
        plan = {key: killed.plan[key] for key in kept if key in killed.plan}
        return self._follow(followers, plan)

    @staticmethod
    def names_of(following: Process) -> list[str]:
        """Return the names of the followers of a process."""
        return [mine["name"] for mine in following.plan["followers"]]

    def got(self) -> dict[str, Follower]:
        """Return what each follower has noted so far."""
        lines = [line for process in self.followers for line in process.lines]
        return followers_of(lines, self._followed)

    def until_each_has(self, count: int) -> None:
        """Wait until each follower has so many events."""
        until(
            lambda: min(len(each.frames) for each in self.got().values()) >= count,
            f"{count} events for each follower",
        )

    def until_is_told(self, process: Process, error: str) -> None:
        """Wait until a process has noted that it was told of an error."""
        until(lambda: process.was_told(error), error)

    def note_told(self) -> None:
        """Note for the table how many were told of each error, and went on."""
        for what, processes in (("writers", self.writers), ("followers", self.followers)):
            told = Counter(kind for each in processes for _, kind, *_ in each.noted("told"))
            self.notes += [f"{count} {kind} to {what}" for kind, count in sorted(told.items())]

    def written(self) -> dict[str, Written]:
        """Return what the writers have written of each run."""
        found = dict(self.expected)
        for writer in self.writers:
            plan = writer.plan
            loses = writer.was_told("RunExists")
            for run in plan["runs"]:
                if run in loses:
                    continue
                if not plan.get("resume"):
                    mark, size = plan.get("mark", ""), plan.get("size", 20)
                    events = known(run, plan["tokens"], mark=mark, size=size)
                    found[run] = Written(frames_of(run, events))
            for run, count in writer.noted("resumed"):
                found[run].frames[count:] = []
                found[run].stored = count
            for run, id, checksum in writer.noted("appended"):
                found[run].frames.append((id, checksum))
            resumed = dict(writer.noted("resumed"))
            for run, count in writer.noted("stored"):
                found[run].stored = max(found[run].stored, count + resumed.get(run, 0))
            for (run,) in writer.noted("closed"):
                found[run].is_closed = True
        return found

    def end(self, *, are_kept: bool = True, patience: float = PATIENCE) -> Figures:
        """Wait for the ends of all followers, and of writers that end; return the result.

        - `are_kept`: as of `judge`.
        """
        deadline = time.monotonic() + patience
        for process in (*self.followers, *self.writers):
            if process.plan.get("end") == "silence" or process.process.returncode is not None:
                continue
            if not process.end(max(deadline - time.monotonic(), 0.1)):
                self.failures.append(f"{process.errors} hangs: {process.errors.read_text()}")
        figures = judge(self.written(), self.got(), are_kept=are_kept)
        for process in {*self.followers, *self.writers}:
            if text := process.errors.read_text():
                self.failures.append(f"{process.errors}: {text[-2000:]}")
        figures.seconds = self.seconds
        figures.notes = self.notes
        figures.failures += self.failures
        return figures
