# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Whatever fails, a follower gets each event once and in order, or an explicit end or error.

    python -m tests.gates.runs [--only NAME …] [--store sqlite|redis] [--full]

Processes write and follow the runs of a store, and they, the store or the connections to it fail in
one scenario after the other. What each follower got is compared with what its writer has written:
there must be no hole and no copy, and nobody may wait for ever. Then clients.py tries each client
of Redis, and servers.py runs the tests of its store with an old and a new Redis, and with Valkey.
The gate installs the clients and these servers into environments of their own, from the lists here.
It needs redis-server, Linux on x86-64, and Python 3.11 or 3.12. By default it takes some four
minutes; with `--full`, which is for use by hand, it takes half an hour.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ... import ROOT
from ..environment import installed
from . import clients, servers, trials

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    """Install the client, and try the scenarios; return 0 if all is well."""
    arguments = sys.argv[1:]
    options = trials.parsed(arguments, __doc__ or "")
    if options.store == "sqlite":
        return trials.main(arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            python = installed(os.path.join(folder, "venv"), FOLDER / "redis8.txt")
            command = [python, "-W", "error", "-m", f"{__package__}.trials", *arguments]
            subprocess.run(command, cwd=ROOT, check=True)
        except subprocess.CalledProcessError:  # the command has printed why
            return 1
    return 0 if options.only else clients.check() or servers.check()


if __name__ == "__main__":
    sys.exit(main())
