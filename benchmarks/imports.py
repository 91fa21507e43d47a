# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What an import costs, each time in a fresh process."""

import os
import subprocess
import sys
from pathlib import Path

from .race import compare

ROUNDS = 25
AIM = 1.5
PEER = "dataclasses, json, typing"
IMPORTS = ("axon_events", PEER, "msgspec", "orjson", "cattrs", "mashumaro", "pydantic")

# With the compiled files that an import leaves behind for the next one.
_ENVIRONMENT = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}


def _seconds(what: str) -> float:
    code = f"from time import perf_counter as t; a = t(); import {what}; print(t() - a)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env=_ENVIRONMENT,
    )
    return float(done.stdout)


def run() -> None:
    """Print the table of imports, the least of several processes that take turns."""
    best: dict[str, float] = dict.fromkeys(IMPORTS, float("inf"))
    for _ in range(ROUNDS):
        for what in IMPORTS:
            best[what] = min(best[what], _seconds(what))
    compare("import", "µs", best, {PEER: AIM}, lambda seconds: seconds * 1e6)
