# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Recognises recordings that something has wrapped, and names the command that unwraps them."""

import re
import shlex
from typing import NamedTuple

__all__ = ["Wrapping", "advice", "wrapping_of"]


class Wrapping(NamedTuple):
    """What a recording may be wrapped in.

    - `begins`: what such a file, or a line of it, begins with.
    - `reason`: why it is no event, one of the reasons of `DecodeError`.
    - `what`: what it is, in words.
    - `unwrap`: the command that writes the events; the file's name goes at its end, or before its
      first pipe. "" if it holds no events.
    """

    begins: str
    reason: str
    what: str
    unwrap: str


# Containerd cuts long lines: "P" marks the parts that have no end, "F" the last one.
_CRI = r"""awk '{p=$3=="P"; sub(/^[^ ]+ [^ ]+ [^ ]+ /,""); printf "%s%s",$0,p?"":"\n"}'"""

_WRAPPINGS = (
    Wrapping(r"\x1f\x8b", "not-utf8", "a file compressed by gzip", "gzip -dc"),
    Wrapping(r"\x28\xb5\x2f\xfd", "not-utf8", "a file compressed by zstd", "zstd -dc"),
    Wrapping(r"\xfd7zXZ\x00", "not-utf8", "a file compressed by xz", "xz -dc"),
    Wrapping("BZh[1-9]1AY&SY", "not-utf8", "a file compressed by bzip2", "bzip2 -dc"),
    Wrapping(r"PK\x03\x04", "not-utf8", "a zip archive", "funzip"),
    Wrapping("[^{].{256}ustar", "not-json", "a tar archive", "cat | tar -xOf -"),
    Wrapping(
        r"\xff\xfe|\xfe\xff",
        "not-utf8",
        "text in UTF-16, as PowerShell writes it",
        "iconv -f UTF-16 -t UTF-8",
    ),
    Wrapping(r"\{\x00", "not-json", "text in UTF-16", "iconv -f UTF-16LE -t UTF-8"),
    Wrapping(r"\x00\{\x00", "not-json", "text in UTF-16", "iconv -f UTF-16BE -t UTF-8"),
    Wrapping(
        r"\s*<(?i:!doctype html|html|head|body)\b",
        "not-json",
        "an HTML page, such as the error page of a proxy",
        "",
    ),
    # Each head ends with a blank line, and there may be several (100, a redirect).
    Wrapping(
        r"HTTP/\d",
        "not-json",
        "the head of an HTTP response (curl -i)",
        r"""awk '/^HTTP\//{b=0} b; /^\r?$/{b=1}'""",
    ),
    Wrapping(r"\s*\[\s*(?:[\]{]|\Z)", "not-an-object", "a JSON array", "jq -c '.[]'"),
    # The next line belongs to it: a line that a crash has cut may be a brace as well.
    Wrapping(r'\s*\{\s*\n\s*"', "not-json", "JSON over several lines", "jq -c ."),
    # An event's own text has its quotes escaped, so it cannot look like a member of the log's.
    Wrapping(
        r'\{\s*"log"\s*:\s*"(?!.*[^\\]"kind":)',
        "missing-kind",
        "a log of Docker (json-file)",
        "jq -j .log",
    ),
    Wrapping(
        r'\{(?=.*"MESSAGE"\s*:)(?=.*"__REALTIME_TIMESTAMP"\s*:)',
        "missing-kind",
        "a log of journald (journalctl -o json)",
        "jq -r .MESSAGE",
    ),
    Wrapping(
        r"\d{4}-\d\d-\d\dT\S+ (?:stdout|stderr) [FP] ",
        "not-json",
        "a log of containerd or CRI-O",
        _CRI,
    ),
    Wrapping(
        r'[^\s{"\x00][^{"\x00]*[\s:|\]]\{"kind":',
        "not-json",
        "lines with something before the event",
        "sed 's/^[^{]*//'",
    ),
)
_PATTERNS = [re.compile(wrapping.begins.encode(), re.DOTALL) for wrapping in _WRAPPINGS]


def wrapping_of(begin: bytes) -> Wrapping | None:
    """Return what a file that begins like this is wrapped in; None if it is not known."""
    for wrapping, pattern in zip(_WRAPPINGS, _PATTERNS, strict=True):
        if pattern.match(begin):
            return wrapping
    return None


def advice(wrapping: Wrapping, path: str, reader: str) -> str:
    """Return what to do with a wrapped file: the shell's command that unwraps it and reads it.

    - `path`: the file; `-` for standard input, which stays what it is.
    - `reader`: the command that reads a recording.
    """
    if not wrapping.unwrap:
        return "there is no recording in it"
    file = "" if path == "-" else f" {shlex.quote(path)}"
    first, pipe, more = wrapping.unwrap.partition(" | ")
    return f"read it with: {first}{file}{pipe}{more} | {reader} -"
