# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The tests pass on CPython 3.14 in WebAssembly, and few of them are skipped.

The gate needs node, npm and git. package.json names the release of Pyodide, which npm downloads.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
INSTALL = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]


def main() -> int:
    """Install the runtime and run the tests in it; return the exit status."""
    for command in (INSTALL, ["node", "run.mjs"]):
        status = subprocess.run(command, cwd=FOLDER).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
