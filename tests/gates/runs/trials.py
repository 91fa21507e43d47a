# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Try the scenarios: `python -m tests.gates.runs.trials`, with the arguments of the gate.

The interpreter must have the client of Redis that redis8.txt names, unless `--store sqlite`
is given: the gate makes one that has.
"""

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from . import redis_faults, scenarios, sqlite_faults
from .judging import Figures
from .redis_faults import RedisStage
from .stage import Stage

__all__ = ["main", "parsed"]

# Scenarios mostly wait, so that several run at once; the first ones do not wait.
_AT_ONCE = 4


class Trial(NamedTuple):
    """A scenario on a store."""

    scenario: Callable[[Any], Figures]
    store: str

    @property
    def name(self) -> str:
        return self.scenario.__name__

    def run(self, folder: Path, *, is_full: bool) -> Figures:
        folder.mkdir()
        stage: Stage
        if self.store == "sqlite":
            stage = Stage(
                {"kind": "sqlite", "path": str(folder / "runs.db")}, folder, is_full=is_full
            )
        else:
            stage = RedisStage({"kind": "redis"}, folder, is_full=is_full)
        with stage:
            try:
                return self.scenario(stage)
            except Exception:  # also what goes wrong in the gate: the others are tried all the same
                return Figures(failures=[traceback.format_exc()], seconds=stage.seconds)


def trials() -> list[Trial]:
    """Return all scenarios on the stores where they may happen."""
    return [
        *(Trial(each, store) for each in scenarios.SCENARIOS for store in ("sqlite", "redis")),
        *(Trial(each, "sqlite") for each in sqlite_faults.SCENARIOS),
        *(Trial(each, "redis") for each in redis_faults.SCENARIOS),
    ]


_HEAD = ("scenario", "store", "runs", "followers", "whole", "closed", "errors")
_FAULTS = ("holes", "copies", "false", "hangs", "seconds")


def row(trial: Trial, figures: Figures) -> str:
    ends = dict(figures.ends)
    whole, closed = ends.pop("whole", 0), ends.pop("closed", 0)
    ends.pop("", None)
    errors = ", ".join(f"{count} {kind}" for kind, count in sorted(ends.items()))
    facts = (trial.name, trial.store, figures.runs, figures.followers, whole, closed, errors or "-")
    faults = (figures.holes, figures.copies, figures.false, figures.hangs, f"{figures.seconds:.1f}")
    return _line((*facts, *faults)) + f" {'; '.join(figures.notes)} |"


def _line(cells: tuple[object, ...]) -> str:
    widths = (36, 6, 4, 9, 5, 6, 18, 5, 6, 5, 5, 7)
    return "".join(f"| {cell!s:<{width}} " for cell, width in zip(cells, widths, strict=True)) + "|"


def parsed(arguments: list[str], description: str) -> argparse.Namespace:
    """Return the arguments of the gate."""
    names = sorted({trial.name for trial in trials()})
    parser = argparse.ArgumentParser(prog="python -m tests.gates.runs", description=description)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", default=())
    parser.add_argument("--store", choices=("sqlite", "redis"), help="(both)")
    parser.add_argument("--full", action="store_true", help="in full size, for use by hand")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Try the scenarios and print the result of each; return 0 if all is well."""
    options = parsed(arguments, __doc__ or "")
    chosen = [
        trial
        for trial in trials()
        if (not options.only or trial.name in options.only) and options.store in (None, trial.store)
    ]
    bad: list[tuple[Trial, Figures]] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        print(_line((*_HEAD, *_FAULTS)) + " notes |")
        print("|---" * (len(_HEAD) + len(_FAULTS) + 1) + "|", flush=True)

        def run(trial: Trial) -> Figures:
            path = Path(folder, f"{trial.name}-{trial.store}")
            figures = trial.run(path, is_full=options.full)
            print(row(trial, figures), flush=True)
            return figures

        for trial, figures in zip(chosen, pool.map(run, chosen), strict=True):
            if not figures.is_good:
                bad.append((trial, figures))
    for trial, figures in bad:
        print(f"\n{trial.name} on {trial.store}: {len(figures.failures)} failures")
        for failure in figures.failures[:20]:
            print(f"  {failure}"[:3000])
    print(f"{len(chosen) - len(bad)} of {len(chosen)} scenarios kept their promise")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
