# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""mypy and pyright report every `match` that misses a variant.

The gate writes, for each variant, a `match` over all the others that ends in `assert_never`, and
one complete `match`. Both checkers must report each incomplete one, by the name of the variant that
it misses, and accept the complete one. `make types` runs it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from axon_events import EVENT_TYPES

from .. import ROOT

HEAD = """from typing import NoReturn

from axon_events import *
from axon_events import Event

def assert_never(event: NoReturn) -> NoReturn:
    raise TypeError(event)
"""


def match_lacking(variant: str | None) -> str:
    """Return the source of a function that matches all variants but this one."""
    cases = [cls.__name__ for cls in EVENT_TYPES.values() if cls.__name__ != variant]
    return "\n".join(
        [
            f"def lacks_{variant}(event: Event) -> str:",
            "    match event:",
            *(f"        case {case}():\n            return event.kind" for case in cases),
            "        case _:",
            "            assert_never(event)",
        ]
    )


def main() -> int:
    """Run both checkers; return 0 if they find what they must and nothing else."""
    variants = [cls.__name__ for cls in EVENT_TYPES.values()]
    functions = [match_lacking(variant) for variant in (*variants, None)]
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "matches.py")
        path.write_text(HEAD + "\n\n".join(functions) + "\n", encoding="utf-8")
        for command in (["mypy", "--strict", "--python-version", "3.10"], ["pyright"]):
            run = subprocess.run(
                [sys.executable, "-m", *command, str(path)],
                capture_output=True,
                text=True,
                cwd=ROOT,
            )
            faults = [line for line in run.stdout.splitlines() if " error: " in line]
            lacking = [
                variant
                for variant in variants
                if len([fault for fault in faults if f'"{variant}"' in fault]) == 1
            ]
            good = lacking == variants and len(faults) == len(variants)
            print(f"{command[0]}: finds {len(lacking)} of {len(variants)} incomplete matches")
            if not good:
                print(run.stdout, run.stderr, sep="\n")
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
