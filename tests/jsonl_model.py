# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""A model of JSON Lines, line by line on the whole content, which owes nothing to the decoder.

What a line that has no end could become is decided by a reader of JSON that follows RFC 8259
character by character. Of the package it uses `from_json` alone.
"""

import codecs
import re
from typing import TypeAlias

from axon_events import DecodeError, Event, from_json

BOM = b"\xef\xbb\xbf"

Result: TypeAlias = Event | tuple[str, int | None]  # an event, or reason and line of an error


class EndOfTextError(Exception):
    """The text ends where it could go on."""


class NotJsonError(Exception):
    """No text that goes on like this is JSON."""


class Prefix:
    """A reader of JSON by RFC 8259, character by character, for texts that may be unfinished.

    It also has serde_json's limits (127 levels, surrogates in pairs), except that of numbers.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0

    def verdict(self) -> str:
        """Return `whole`, `cut` if some continuation is JSON, or `bad` if none is."""
        try:
            self.value(1)
            self.space()
        except EndOfTextError:
            return "cut"
        except NotJsonError:
            return "bad"
        return "whole" if self.pos == len(self.text) else "bad"

    def peek(self) -> str:
        if self.pos == len(self.text):
            raise EndOfTextError
        return self.text[self.pos]

    def take(self, characters: str) -> str:
        character = self.peek()
        if character not in characters:
            raise NotJsonError
        self.pos += 1
        return character

    def space(self) -> None:
        while self.pos < len(self.text) and self.text[self.pos] in " \t\r\n":
            self.pos += 1

    def value(self, depth: int) -> None:
        self.space()
        first = self.take('{["-0123456789tfn')
        if first in "{[":
            self.container(first, depth)
        elif first == '"':
            self.string()
        elif first in "tfn":
            for character in {"t": "rue", "f": "alse", "n": "ull"}[first]:
                self.take(character)
        else:
            self.number(first)

    def container(self, opener: str, depth: int) -> None:
        closer = {"{": "}", "[": "]"}[opener]
        if depth > 127:
            raise NotJsonError
        self.space()
        if self.peek() == closer:
            self.pos += 1
            return
        while True:
            if opener == "{":
                self.space()
                self.take('"')
                self.string()
                self.space()
                self.take(":")
            self.value(depth + 1)
            self.space()
            if self.take("," + closer) == closer:
                return

    def string(self) -> None:
        while (character := self.peek()) != '"':
            if character < " ":
                raise NotJsonError
            self.pos += 1
            if character == "\\" and self.take('"\\/bfnrtu') == "u":
                self.code_unit()
        self.pos += 1

    def code_unit(self) -> None:
        if self.take("0123456789abcdefABCDEF") not in "dD":
            self.digits(3)
        elif self.take("0123456789abcdefABCDEF") in "01234567":
            self.digits(2)
        else:
            if self.text[self.pos - 1] not in "89abAB":
                raise NotJsonError
            self.digits(2)
            for characters in ("\\", "u", "dD", "cdefCDEF"):
                self.take(characters)
            self.digits(2)

    def digits(self, count: int) -> None:
        for _ in range(count):
            self.take("0123456789abcdefABCDEF")

    def number(self, first: str) -> None:
        if first == "-":
            first = self.take("0123456789")
        if first != "0":
            self.run_of_digits()
        if self.text.startswith(".", self.pos):
            self.pos += 1
            self.take("0123456789")
            self.run_of_digits()
        if self.text.startswith(("e", "E"), self.pos):
            self.pos += 1
            if self.peek() in "+-":
                self.pos += 1
            self.take("0123456789")
            self.run_of_digits()

    def run_of_digits(self) -> None:
        while self.pos < len(self.text) and self.text[self.pos] in "0123456789":
            self.pos += 1


def can_go_on(line: bytes) -> bool:
    """Tell whether some continuation of a line is JSON, by `Prefix`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(line)
    except UnicodeDecodeError:
        return False
    unfinished, _ = decoder.getstate()
    return Prefix(text + ("\uffff" if unfinished else "")).verdict() == "cut"


def model(content: bytes) -> list[Result]:
    """Return what a decoder must give for some content and its end, by the words of its page."""
    found: list[Result] = []
    lines = content.split(b"\n")
    if content in (BOM[:1], BOM[:2]):
        return [("cut-line", 1)]
    for lineno, line in enumerate(lines, 1):
        if lineno == 1:
            line = line.removeprefix(BOM)
        if line.startswith(b"\0"):
            found.append(("not-json", lineno))
            line = line.lstrip(b"\0")
        has_end = lineno < len(lines)
        if not line.strip(b" \t\r\n"):
            continue
        try:
            found.append(from_json(line.rstrip(b"\r") if has_end else line))
        except DecodeError as error:
            reason = error.reason
            if is_doubled(line):
                reason = "not-json"
            elif not has_end and can_go_on(line):
                reason = "cut-line"
            found.append((reason, lineno))
    return found


def is_doubled(line: bytes) -> bool:
    for match in re.finditer(rb"\}(?=\{)", line):
        try:
            from_json(line[: match.end()])
        except DecodeError:
            continue
        return True
    return False
