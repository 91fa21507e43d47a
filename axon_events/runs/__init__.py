# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Runs that outlive their process: `sqlite` for one machine, `redis` for many.

runs = SqliteRuns("runs.db")
with runs.create("run-7") as log:
    with FlowEmitter(log.append, flow_name="Report", backend="anthropic") as flow: ...

frames = await runs.run("run-7").afollow(last_event_id)         # in any process
"""

from typing import NamedTuple

from ..replay import (
    CursorAhead,
    CursorExpired,
    CursorUnknown,
    RunLost,
    RunUnknown,
    StoreUnavailable,
)

__all__ = [
    "CursorAhead",
    "CursorExpired",
    "CursorUnknown",
    "Fenced",
    "RunExists",
    "RunInfo",
    "RunLost",
    "RunUnknown",
    "StoreUnavailable",
]


class RunExists(ValueError):  # noqa: N818  # named for what it is, like FileExistsError
    """The store has a run of this name: a name is used once, for one attempt."""


class Fenced(RuntimeError):  # noqa: N818
    """This run was taken over, closed or deleted; its old writer can store nothing more."""


class RunInfo(NamedTuple):
    """A run that a store has.

    - `name`: its name.
    - `kind`: the kind of its last event; empty if that event is not kept.
    - `time_ms`: the time of that event, in Unix milliseconds; 0 if it is not kept.
    - `ended`: whether the run has ended, by a terminator or by being closed.
    """

    name: str
    kind: str
    time_ms: int
    ended: bool
