# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""In a repository that vendors the package, every command of VENDORING.md works, and so does mypy.

The gate builds such a repository and runs the commands there, with all tests of the package, then
the repository's own tests and mypy --strict. mypy must also find the three faults of a module that
misuses the copy, and no other.
"""

import re
import shlex
import sys
import tempfile
from pathlib import Path

from ..host import HOST_SUITE, Host, commands

# Each line of it has one fault, which a type checker finds if it sees the types of the copy.
MISUSE = """from host._vendor.axon_events import StepToken, to_json
StepToken("Draft", "Hello", "1", 2)
to_json("no event")
StepToken("Draft", "Hello", 1, 2).content = "frozen"
"""


def main() -> int:
    """Run every command, then mypy; return 0 if all is well."""
    mypy = f"{shlex.quote(sys.executable)} -m mypy --strict --python-version 3.10"
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder))
        for command in (*commands(), HOST_SUITE, f"{mypy} host tests"):
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
