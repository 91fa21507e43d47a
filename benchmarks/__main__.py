# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`make bench`: this package's speed and size beside others', in one process, as Markdown.

Each table has the figures of one run, the ratio of axon_events' to each other one's (for MB/s, of
the time), and the project's aim for that ratio where it has one.
"""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import axon_events

from . import codec, growth, imports, memory, models, race, sse, stream

ROOT = Path(__file__).parents[1]


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip()


def _versions() -> str:
    """Return the names and versions of what is raced against, as they are installed."""
    text = (ROOT / "benchmarks" / "requirements.txt").read_text("utf-8")
    names = [line.partition("==")[0] for line in text.splitlines() if "==" in line]
    return ", ".join(f"{name} {version(name)}" for name in names)


def main() -> None:
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    if _git("status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    print(
        f"axon_events {axon_events.__version__} (commit {commit}),"
        f" {platform.python_implementation()} {platform.python_version()}"
        f" on {platform.machine()}; {_versions()}\n"
    )
    models.require_agreement()
    for group in (codec, sse, stream):
        for one in group.races():
            race.run(one)
    imports.run()
    memory.run()
    growth.run()
    print(f"{len(race.met)} aims met, {len(race.missed)} missed")
    for missed in race.missed:
        print(f"- {missed}")


if __name__ == "__main__":
    main()
