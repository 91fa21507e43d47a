# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The command line, `python -m axon_events`: one module for each command.

A command is a generator: it prints its findings, and yields the status of each (0 good, 1 a fault
in the input). The exit status is the worst of them. If the reader of a pipe closes it, the command
ends with the worst status so far.
"""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from .. import __version__

__all__ = ["main", "script"]

# Each command's module is imported when it is asked for: `verify` must start in a copy where
# another one is broken, and a copy for a runtime has only some of them.
_COMMANDS = {
    "check": "check the order of the events in recorded flows",
    "show": "show what happened in recorded flows",
    "serve": "play a recorded flow to browsers, or show the runs of a store",
    "verify": "check this copy of the package against its record and the corpus",
}


def script() -> int:
    """Run the command line as `axon-events`, the script that an installation has."""
    return main(program="axon-events")


def main(argv: Sequence[str] | None = None, *, program: str | None = None) -> int:
    """Run the command line with these arguments (default: the process's own).

    `program` is its name in messages (default: `python -m` and the name of the package).
    Returns the exit status: 0 good, 1 a fault in the input, 2 an unreadable file or a command that
    this copy lacks, 130 after Ctrl-C. Raises SystemExit with 2 for wrong usage.
    """
    if argv is None:
        argv = sys.argv[1:]
    # A process may be started with its streams closed; then its output is lost.
    if sys.stdout is None:
        sys.stdout = _Nowhere()
    if sys.stderr is None:
        sys.stderr = _Nowhere()
    # The folder may have been copied under another name.
    package = __name__.rpartition(".")[0]
    parser = argparse.ArgumentParser(
        prog=program or f"python -m {package}",
        description="Check, show and play recorded flows; verify this copy.",
    )
    there = {name for name in _COMMANDS if find_spec(f"{__name__}.{name}")}
    if missing := sorted(_COMMANDS.keys() - there):
        parser.epilog = f"This copy lacks {', '.join(missing)}: make vendor CLI=1 copies them."
    parser.add_argument("--version", action="version", version=f"axon_events {__version__}")
    parser.set_defaults(program=parser.prog)
    asked = next((argument for argument in argv if not argument.startswith("-")), None)
    if asked in missing:
        complaint = f"this copy has no command {asked}: make vendor CLI=1 copies it"
        print(f"{parser.prog}: {complaint}", file=sys.stderr)
        return 2
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in _COMMANDS.items():
        if name in there:
            command = commands.add_parser(name, help=summary)
            command.set_defaults(command=command.prog)
            if name == asked:
                importlib.import_module(f".{name}", __name__).add_arguments(command)
    arguments = parser.parse_args(argv)

    if isinstance(sys.stdout, io.TextIOWrapper):
        # Write each line at once, into a pipe too, and in any encoding of the terminal.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    status = 0
    try:
        for found in arguments.run(arguments):
            status = max(status, found)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        from .text import escaped  # here, since `verify` must start without it

        if error.filename is None:
            _discard_output()
        # Any other file is named where it is opened or read.
        what = "standard output" if error.filename is None else str(error.filename)
        print(f"{parser.prog}: {escaped(what)}: {error.strerror}", file=sys.stderr)
        return 2
    return status


class _Nowhere(io.TextIOBase):
    """A stream that discards what is written to it."""

    def write(self, text: str) -> int:
        return len(text)


def _discard_output() -> None:
    """Discard what stdout could not take: the interpreter tries to write it again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
