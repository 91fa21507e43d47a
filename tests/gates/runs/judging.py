# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Compares what followers got with what the writers of their runs have written."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .known import Frame

__all__ = ["Figures", "Follower", "Written", "judge"]


@dataclass
class Written:
    """What the writers of a run have written.

    - `frames`: the frames that the run has, or would have if its writer had lived.
    - `stored`: how many frames are stored, as far as a writer was told.
    - `is_closed`: whether a writer has closed the run.
    """

    frames: list[Frame]
    stored: int = 0
    is_closed: bool = False


@dataclass
class Follower:
    """What a follower noted, over all its connections, in any process."""

    run: str
    frames: list[Frame] = field(default_factory=list)
    end: str = ""  # the name of its end; empty as long as it has none
    text: str = ""
    ended_at: float = 0.0


@dataclass
class Figures:
    """The result of a scenario: a row of the table."""

    runs: int = 0
    followers: int = 0
    ends: "Counter[str]" = field(default_factory=Counter)
    holes: int = 0
    copies: int = 0
    false: int = 0
    hangs: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # that followers got
    failures: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.holes or self.copies or self.false or self.hangs or self.failures)


def judge(
    written: Mapping[str, Written], followers: Mapping[str, Follower], *, are_kept: bool = True
) -> Figures:
    """Count the frames that followers got but nobody wrote, or got twice, or after a hole.

    - `are_kept`: whether the store keeps what it has stored. If so, a follower that was told that
      its run was closed must have got all that was stored of it.
    """
    figures = Figures(len(written), len(followers))
    for name, follower in followers.items():
        found = written[follower.run]
        numbers = {frame: number for number, frame in enumerate(found.frames)}
        next_number = 0
        for frame in follower.frames:
            number = numbers.get(frame)
            if number is None:
                figures.false += 1
                figures.failures.append(f"{name}: {frame} was not written")
            elif number > next_number:
                figures.holes += 1
                figures.failures.append(f"{name}: {frame} came where {next_number} was next")
            elif number < next_number:
                figures.copies += 1
                figures.failures.append(f"{name}: {frame} came again")
            next_number = max(next_number, (number or 0) + 1)
        figures.ends[follower.end] += 1
        if follower.end not in ("whole", "closed", ""):
            figures.errors.append(f"{name} after {next_number} events: {follower.text}")
        if not follower.end:
            figures.hangs += 1
            figures.failures.append(f"{name} of {follower.run} hangs after {next_number} events")
        if (follower.end == "whole" and next_number < len(found.frames)) or (
            follower.end == "closed" and are_kept and next_number < found.stored
        ):
            figures.holes += 1
            figures.failures.append(
                f"{name}: {follower.end} after {next_number} of {len(found.frames)} events,"
                f" {found.stored} of them stored"
            )
    return figures


def followers_of(logs: Iterable[Sequence[Any]], runs: Mapping[str, str]) -> dict[str, Follower]:
    """Return what followers have noted in their logs.

    - `runs`: the run of each follower.
    """
    followers = {name: Follower(run) for name, run in runs.items()}
    for what, name, *facts in logs:
        if what == "got":
            followers[name].frames += [(id, checksum) for id, checksum in facts[0]]
        elif what == "end":
            follower = followers[name]
            follower.end, follower.text, follower.ended_at = facts
    return followers
