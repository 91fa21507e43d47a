# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The command line, run inside the test's process or in one of its own."""

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from axon_events import cli

from . import PACKAGE, ROOT


class Console(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Run:
    """One run of the command line inside this process: `status`, `out` and `err`.

    `main` is that of another copy's command line, to run that one.
    """

    def __init__(
        self,
        *arguments: object,
        main: Callable[[Sequence[str]], int] = cli.main,
        stdin: bytes = b"",
        columns: int | None = None,
        err_is_terminal: bool = False,
    ) -> None:
        out = Console() if columns else io.StringIO()
        err = Console() if err_is_terminal else io.StringIO()
        standard_input: Any = io.TextIOWrapper(io.BytesIO(stdin))
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch("sys.stdin", standard_input),
            mock.patch.dict(os.environ, {"COLUMNS": str(columns or 80)}),
        ):
            try:
                self.status = main([str(argument) for argument in arguments])
            except SystemExit as exit:
                self.status = int(exit.code or 0)
        self.out = out.getvalue()
        self.err = err.getvalue()


@contextlib.contextmanager
def imported(folder: Path) -> Iterator[Any]:
    """Give the command line of the copy in a folder, imported beside this one while it lasts."""
    path = mock.patch.object(sys, "path", [str(folder.parent), *sys.path])
    with path, mock.patch.dict(sys.modules):
        importlib.invalidate_caches()
        yield importlib.import_module(f"{folder.name}.axon_events.cli")


def _heed_ctrl_c() -> None:
    # A shell starts what runs in its background with Ctrl-C ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def process(
    *arguments: object, environment: dict[str, str] | None = None, cwd: Path = ROOT
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the command line in a process of its own, all its streams pipes."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", PACKAGE, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "80", **(environment or {})},
        cwd=cwd,
        preexec_fn=_heed_ctrl_c if os.name == "posix" else None,
    ) as running:
        try:
            yield running
        finally:
            running.kill()
