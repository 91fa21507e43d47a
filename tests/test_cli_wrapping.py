# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Wrapped recordings are recognised, and the command that is named for each unwraps it."""

import gzip
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path

from axon_events.cli.wrapping import advice, wrapping_of

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


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("flow.jsonl", RECORDED)
    return file.getvalue()


def archived() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("flow.jsonl")
        member.size = len(RECORDED)
        archive.addfile(member, io.BytesIO(RECORDED))
    return file.getvalue()


# As `curl -i` writes a response after a redirect.
HEADS = (
    b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /events\r\n\r\n"
    b"HTTP/2 200 \r\ncontent-type: application/jsonl\r\n\r\n"
)


# What it is, its content, and the command's beginning.
WRAPPED = (
    ("gzip", gzip.compress(RECORDED), "gzip -dc"),
    ("zip archive", zipped(), "funzip"),
    ("tar archive", archived(), "cat"),
    ("head of an HTTP response", HEADS + RECORDED, "awk '/^HTTP"),
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
            ("425a6839314159265359", "bzip2", "bzip2 -dc"),  # `bzip2 -9 | head -c 10`
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
                unwrapping = advice(wrapping, str(path), "cat").removeprefix("read it with: ")
                run = subprocess.run(
                    ["sh", "-c", unwrapping],
                    capture_output=True,
                    cwd=folder,
                )
                self.assertEqual((run.returncode, run.stderr), (0, b""))
                self.assertEqual([json.loads(line) for line in run.stdout.splitlines()], EVENTS)

    def test_standard_input_stays_standard_input(self) -> None:
        for content, expected in (
            (b"\x1f\x8b", "gzip -dc | reader show -"),
            (archived(), "cat | tar -xOf - | reader show -"),
        ):
            wrapping = wrapping_of(content)
            if wrapping is None:
                self.fail("not recognised")
            self.assertEqual(advice(wrapping, "-", "reader show"), f"read it with: {expected}")

    def test_a_page_of_html_is_named_once(self) -> None:
        # As nginx sends it.
        bad = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
        for begin in (bad, b"<!DOCTYPE html>\n" + bad, b"\n  <!doctype html><html lang=en>\n"):
            run = Run("check", "-", stdin=begin + b"<hr>\r\n</body>\r\n</html>\r\n")
            self.assertEqual(run.status, 1)
            self.assertRegex(
                run.out,
                "^<stdin>:[12]: not-json: expected JSON Lines or Server-Sent Events, got an HTML"
                " page, such as the error page of a proxy; there is no recording in it\n$",
            )

    def test_a_stream_after_its_head(self) -> None:
        content = HEADS + b": a comment\n\n"
        run = Run("check", "-", stdin=content)
        self.assertIn("got the head of an HTTP response (curl -i); read it with: awk ", run.out)

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
            (b'{"kind":"flow_start","flow_name":"' + b"x" * 500)[:257] + b"ustar",
            b"BZh",
            b"<p>",
            b"<headline>",
        ):
            with self.subTest(begin):
                self.assertIsNone(wrapping_of(begin))


if __name__ == "__main__":
    unittest.main()
