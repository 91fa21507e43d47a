# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Wrapped recordings are recognised, and the command that is named for each unwraps it."""

import gzip
import json
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from axon_events.cli.wrapping import command, wrapping_of

from . import CORPUS, PACKAGE, effort, needs
from .terminal import Run

RECORDED = (CORPUS / "recorded" / "failed.jsonl").read_bytes()
LINES = RECORDED.decode().splitlines()
EVENTS = [json.loads(line) for line in LINES]
TIME = "2024-01-02T03:04:05.123456789Z"


def text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def object_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parts(line: str) -> list[str]:
    """Return a line as containerd cuts a long one."""
    cut = [line[n : n + 60] for n in range(0, len(line), 60)]
    return [f"{TIME} stdout P {part}" for part in cut[:-1]] + [f"{TIME} stdout F {cut[-1]}"]


# What it is, its content, and the command's beginning.
WRAPPED = (
    ("gzip", gzip.compress(RECORDED), "gzip -dc"),
    ("UTF-16", "\ufeff".encode("utf-16-le") + RECORDED.decode().encode("utf-16-le"), "iconv "),
    ("UTF-16", "\ufeff".encode("utf-16-be") + RECORDED.decode().encode("utf-16-be"), "iconv "),
    ("UTF-16", RECORDED.decode().encode("utf-16-le"), "iconv -f UTF-16LE"),
    ("UTF-16", RECORDED.decode().encode("utf-16-be"), "iconv -f UTF-16BE"),
    ("array", text(json.dumps(EVENTS)), "jq -c '.[]'"),
    ("array", text(json.dumps(EVENTS, indent=4)), "jq -c '.[]'"),
    ("array", text("[", ",\n".join(LINES), "]"), "jq -c '.[]'"),
    ("over several lines", text(*(json.dumps(e, indent=2) for e in EVENTS)), "jq -c ."),
    (
        "Docker",
        text(
            *(object_text({"log": f"{line}\n", "stream": "stdout", "time": TIME}) for line in LINES)
        ),
        "jq -j .log",
    ),
    ("Docker", text(*(json.dumps({"log": f"{line}\n"}) for line in LINES)), "jq -j .log"),
    (
        "journald",
        text(*(object_text({"__REALTIME_TIMESTAMP": "1", "MESSAGE": line}) for line in LINES)),
        "jq -r .MESSAGE",
    ),
    ("containerd", text(*(f"{TIME} stdout F {line}" for line in LINES)), "awk "),
    ("containerd", text(*(part for line in LINES for part in parts(line))), "awk "),
    ("before the event", text(*(f"web-1  | {line}" for line in LINES)), "sed "),
    ("before the event", text(*(f"{TIME} {line}" for line in LINES)), "sed "),
    ("before the event", text(*(f"Nov 27 12:00:00 host app[7]: {line}" for line in LINES)), "sed "),
    ("before the event", text(*(f"INFO:app:{line}" for line in LINES)), "sed "),
)


class Recognised(unittest.TestCase):
    def test_check_says_it_in_one_line_with_the_command(self) -> None:
        for what, content, begin in WRAPPED:
            run = Run("check", "-", stdin=content)
            with self.subTest(what, command=begin):
                self.assertEqual((run.status, run.err), (1, ""))
                self.assertRegex(
                    run.out,
                    "^<stdin>:1: [a-z0-9-]+: expected JSON Lines or Server-Sent Events, got"
                    f" [^;]*{what}[^;]*; read it with: {re.escape(begin)}.*"
                    rf" \| python -m {re.escape(PACKAGE)} check -\n$",
                )

    def test_other_compressors_by_their_magic_numbers(self) -> None:
        for begin, what, unwrap in (
            ("28b52ffd", "zstd", "zstd -dc"),  # RFC 8878, 3.1.1
            ("fd377a585a00", "xz", "xz -dc"),  # the .xz file format, 2.1.1.1
        ):
            found = wrapping_of(bytes.fromhex(begin) + b"\x04")
            self.assertEqual(found and (what in found.what, found.unwrap), (True, unwrap))

    @needs.processes
    def test_the_command_unwraps_it(self) -> None:
        # In the quick form, each command once.
        several = WRAPPED if effort.ALL else {row[2]: row for row in WRAPPED}.values()
        for what, content, begin in several:
            if shutil.which("sh") is None or shutil.which(begin.split()[0]) is None:
                continue  # the platform has no such tool
            with self.subTest(what, command=begin), tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "it's a log")
                path.write_bytes(content)
                wrapping = wrapping_of(content[: 2**16])
                if wrapping is None:
                    self.fail("not recognised")
                run = subprocess.run(
                    ["sh", "-c", command(wrapping, str(path), "cat")],
                    capture_output=True,
                    cwd=folder,
                )
                self.assertEqual((run.returncode, run.stderr), (0, b""))
                self.assertEqual([json.loads(line) for line in run.stdout.splitlines()], EVENTS)

    def test_standard_input_stays_standard_input(self) -> None:
        wrapping = wrapping_of(b"\x1f\x8b")
        if wrapping is None:
            self.fail("not recognised")
        self.assertEqual(command(wrapping, "-", "reader show"), "gzip -dc | reader show -")

    def test_json_for_machines_has_it_as_undecodable(self) -> None:
        result = json.loads(Run("check", "--json", "-", stdin=gzip.compress(RECORDED)).out)
        self.assertEqual((result["good"], result["flows"]), (False, []))
        (fault,) = result["undecodable"]
        self.assertEqual((fault["line"], fault["reason"]), (1, "not-utf8"))


class NotRecognised(unittest.TestCase):
    def test_events_and_what_crashes_leave_of_them(self) -> None:
        start = LINES[0].encode()
        for begin in (
            *text(*LINES).splitlines(),
            b'{"log":"x",' + start[1:],  # an unknown field, which an older copy reads
            b'{"MESSAGE":"x",' + start[1:],
            b'{"kind":"st' + start,
            b'art","flow_name":"x","timestamp_ms":1}' + start,
            b"\0\0\0" + start,
            b"\xef\xbb\xbf" + start,
            b"  " + start,
            b"{",
            b"{}",
            b"INFO: ready",
            b"[INFO] ready",
            b"BZh91AY&SY",
        ):
            with self.subTest(begin):
                self.assertIsNone(wrapping_of(begin))


if __name__ == "__main__":
    unittest.main()
