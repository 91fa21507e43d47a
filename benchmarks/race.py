# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""How a race is run and printed: contestants take turns, and the least time of each counts."""

import gc
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import axon_events

ROOT = Path(__file__).parents[1]

# A round lets each contestant run once. Noise only ever adds to a time, so the least of many
# short runs is the nearest to what the code costs.
ROUNDS = 100


# A figure for a person, of the seconds that one of a contestant's `count` times took.
_UNITS: Mapping[str, Callable[[float], float]] = {
    "ns": lambda seconds: seconds * 1e9,
    "MB/s": lambda seconds: 1e-6 / seconds,
}


@dataclass(frozen=True)
class Race:
    """One table: the first contestant is measured, the others stand beside it.

    - `title`: what the contestants do.
    - `count`: how many times a call of a contestant does it (for MB/s: to how many bytes).
    - `contestants`: the calls, by name.
    - `aims`: by the name of a peer, the highest ratio of the first one's time to that peer's.
    """

    title: str
    count: int
    contestants: Mapping[str, Callable[[], object]]
    aims: Mapping[str, float] = field(default_factory=dict)
    rounds: int = ROUNDS
    unit: str = "ns"


# Each aim of this run, in words: those met, and those missed.
met: list[str] = []
missed: list[str] = []
# What was measured, as `write` puts it into a file.
_versions: dict[str, str] = {}
_tables: list[dict[str, object]] = []


def requirements() -> list[str]:
    """Return the names of what is raced against."""
    text = (ROOT / "benchmarks" / "requirements.txt").read_text("utf-8")
    return [line.partition("==")[0] for line in text.splitlines() if "==" in line]


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip()


def print_versions(names: Iterable[str]) -> None:
    """Print what is measured, and the versions of packages as they are installed."""
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    if _git("status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    python = platform.python_implementation()
    _versions["axon_events"] = f"{axon_events.__version__} (commit {commit})"
    _versions[python] = f"{platform.python_version()} on {platform.machine()}"
    others = {name: version(name) for name in names}
    _versions.update(others)
    print(
        f"axon_events {_versions['axon_events']}, {python} {_versions[python]};"
        f" {', '.join(f'{name} {number}' for name, number in others.items())}\n"
    )


def print_aims() -> None:
    """Print how many aims were met, and each that was missed."""
    print(f"{len(met)} aims met, {len(missed)} missed")
    for one in missed:
        print(f"- {one}")


def seconds(function: Callable[[], object]) -> float:
    """Return how long a call took."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def run(race: Race) -> None:
    """Run a race and print its table."""
    best = dict.fromkeys(race.contestants, float("inf"))
    gc.collect()
    gc.disable()
    for _ in range(race.rounds):
        for name, function in race.contestants.items():
            best[name] = min(best[name], seconds(function))
    gc.enable()
    each = {name: total / race.count for name, total in best.items()}
    compare(race.title, race.unit, each, race.aims, _UNITS[race.unit])


def compare(
    title: str,
    unit: str,
    figures: Mapping[str, float],
    aims: Mapping[str, float],
    shown: Callable[[float], float],
) -> None:
    """Print figures of which less is better, the first one's ratio to each other, and the aims."""
    first, *_ = figures.values()
    keep(title, unit, {name: shown(figure) for name, figure in figures.items()})
    rows = []
    for n, (name, figure) in enumerate(figures.items()):
        ratio = first / figure
        limit = aims.get(name)
        rows.append(
            (
                name,
                f"{shown(figure):,.0f}",
                f"{ratio:.2f}" if n else "",
                "" if limit is None else f"≤ {limit:.2f}",
                "" if limit is None else judge(f"{title}, to {name}", ratio, limit),
            )
        )
    table((title, unit, "ratio", "aim", ""), rows)


def keep(title: str, unit: str, figures: Mapping[str, float]) -> None:
    """Keep the figures of a table for `write`, by the contestant, the first one's first."""
    _tables.append({"title": title, "unit": unit, "figures": dict(figures)})


def write(path: Path) -> None:
    """Write what was measured as JSON, for `python -m benchmarks.compare`."""
    measured = {
        "format": 1,
        "versions": _versions,
        "tables": _tables,
        "aims": {"met": met, "missed": missed},
    }
    path.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")


def judge(what: str, value: float, limit: float, least: bool = False) -> str:
    """Return whether an aim is met, and keep it for the end.

    - `least`: whether the limit is the least that is aimed at, or the most.
    """
    is_met = value >= limit if least else value <= limit
    (met if is_met else missed).append(f"{what}: {value:.2f} (aim {limit:.2f})")
    return "met" if is_met else "MISSED"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows as a table in Markdown that reads as well in a terminal: numbers to the right."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = tuple("-" * width for width in widths)
    for line in (head, rule, *lines[1:]):
        cells = (
            cell.rjust(width) if n else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print(f"| {' | '.join(cells)} |")
    print(flush=True)
