# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""In a repository that vendors the package, every command of VENDORING.md works, and so does mypy.

The gate builds such a repository and runs the commands there, with all tests of the package. Then
it copies only what a runtime needs, and runs the repository's own tests and mypy --strict, which
must also find the three faults of a module that misuses the copy, and no other. At last it copies
each module alone, which must import, verify and type-check.
"""

import importlib
import re
import shlex
import sys
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

from .. import ROOT
from ..host import HOST_SUITE, Host, commands

# Each line of it has one fault, which a type checker finds if it sees the types of the copy.
MISUSE = """from host._vendor.axon_events import StepToken, to_json
StepToken("Draft", "Hello", "1", 2)
to_json("no event")
StepToken("Draft", "Hello", 1, 2).content = "frozen"
"""


def alone(module: str, mypy: str) -> list[str]:
    """Return commands that copy one module alone, and try it there."""
    dest = f"only_{module}/_vendor"
    package = dest.replace("/", ".") + ".axon_events"
    return [
        f'make -C ../axon_events vendor DEST="$PWD/{dest}" ONLY={module}',
        f"python3 -W error -m {package} verify",
        f'python3 -W error -c "import {package}.{module}"',
        f"python3 -W error -m {package} show -; test $? = 2",
        f"{mypy} {dest}",
    ]


def main() -> int:
    """Run every command, then mypy; return 0 if all is well."""
    vendor: Any = importlib.import_module("tools.vendor")  # here: a copy of the tests has none
    modules = vendor.public(vendor.modules_of(vendor.contents(ROOT)))
    mypy = f"{shlex.quote(sys.executable)} -m mypy --strict --python-version 3.10"
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder))
        for command in (
            *commands(),
            'make -C ../axon_events vendor DEST="$PWD/host/_vendor"',
            "python3 -W error -m host._vendor.axon_events verify",
            HOST_SUITE,
            f"{mypy} host tests",
            *chain.from_iterable(alone(module, mypy) for module in modules),
        ):
            run = host.run(command)
            last = run.stdout.rstrip().rpartition("\n")[2]
            print(f"$ {command}", *[last] * bool(last), sep="\n", flush=True)
            if run.returncode:
                print(run.stdout)
                return 1
        (host.root / "misuse.py").write_text(MISUSE, encoding="utf-8")
        run = host.run(f"{mypy} misuse.py")
        found = re.findall(r"^misuse\.py:(\d+): error: ", run.stdout, re.M)
        if found != ["2", "3", "4"]:
            print(f"mypy must find a fault in lines 2, 3 and 4 of the misuse:\n{run.stdout}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
