# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Each server answers each client with every event once, lets clients leave, and stops in time.

    python -m tests.gates.servers [--full]

The gate installs the servers, the frameworks and the clients into an environment of its own, from
requirements.txt and package.json, and runs `checks.py` and `workers.py` there. Every snippet of
docs/serving.md, docs/frameworks.md, docs/clients.md and docs/runs.md that is marked `server` runs
in it. In short, which takes some five minutes, every server serves one client and one server serves
every client, directly and behind nginx; with `--full` every server serves every client in both
ways. It needs Python 3.11 or 3.12, pip, node with npm, Chromium and its driver, nginx, redis-server
and curl.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ... import ROOT
from ..environment import installed

FOLDER = Path(__file__).resolve().parent
NPM = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]


def main() -> int:
    """Install all of it and run the checks; return 0 if all is well."""
    is_full = "--full" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json", "eventsource.mjs"):
            shutil.copy(FOLDER / name, folder)
        variables = {**os.environ, "SERVERS_FOLDER": folder, "SERVERS_FULL": "1" * is_full}
        try:
            python = installed(os.path.join(folder, "venv"), FOLDER / "requirements.txt")
            subprocess.run(NPM, cwd=folder, check=True)
            modules = [f"{__package__}.checks", f"{__package__}.workers"]
            checks = [python, "-m", "unittest", "-v", *modules]
            subprocess.run(checks, cwd=ROOT, env=variables, check=True)
        except subprocess.CalledProcessError:  # which has printed why
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
