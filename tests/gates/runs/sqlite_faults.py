# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What may happen to the SQLite file of the runs."""

import resource
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from .judging import Figures
from .scenarios import whole
from .stage import LEASE, Process, Stage

__all__ = ["SCENARIOS"]

_MEGABYTE = 2**20


def locked(stage: Stage) -> Figures:
    """While another process locks the file, nobody is fenced or closed; then all goes on."""
    seconds, timeout = stage.of(4, 30), stage.of(1, 10)
    runs = stage.names(12)
    options = {"timeout": timeout}
    stage.write(runs, pace=seconds / 40, options=options)
    stage.follow(runs, 4, options=options)
    stage.until_each_has(5)
    with closing(sqlite3.connect(stage.store["path"], isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout = 30000")
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        other.execute("ROLLBACK")
    stage.note_told()
    return whole(stage)


def full_disk(stage: Stage) -> Figures:
    """While the disk is full, nobody is fenced or closed; when there is room, all goes on."""
    disk = Path(stage.folder, "disk")
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        return Figures(notes=["not tried: this user may not mount a file system"])
    stage.exits.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=True)
    stage.store["path"] = str(disk / "runs.db")
    _write_too_much(stage)
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    return whole(stage)


def file_too_large(stage: Stage) -> Figures:
    """While a writer may not make the file larger, others close its runs, and nothing is lost."""
    writer = _write_too_much(stage, limited=True)
    lifted = 64 * _MEGABYTE, resource.RLIM_INFINITY
    resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE, lifted)
    figures = stage.end()
    if figures.ends["closed"] != figures.followers:
        figures.failures.append(f"expected that all are closed, got {dict(figures.ends)}")
    return figures


def _write_too_much(stage: Stage, *, limited: bool = False) -> Process:
    runs = stage.names(6)
    writer = stage.write(runs, tokens=100, pace=0.05, size=1000)
    stage.follow(runs, 3)
    if limited:
        stage.until_each_has(5)
        resource.prlimit(
            writer.process.pid, resource.RLIMIT_FSIZE, (_MEGABYTE // 2, resource.RLIM_INFINITY)
        )
    stage.until_is_told(writer, "StoreUnavailable")
    time.sleep(3 * LEASE)
    stage.note_told()
    return writer


SCENARIOS = (locked, full_disk, file_too_large)
