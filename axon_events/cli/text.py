# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Text for people: measured in columns of a terminal, escaped, cut, padded and wrapped."""

import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

__all__ = ["columns", "count", "date", "escaped", "fit", "how_long", "pad", "wrap"]

# Controls, format characters and marks take no column of their own.
_NO_COLUMN = {"Cc", "Cf", "Me", "Mn"}
# It turns the narrow character before it into a wide emoji, on terminals that know it.
_EMOJI_STYLE = "\ufe0f"


def _columns(char: str) -> int:
    """Return the columns that a character takes (Unicode Standard Annex 11)."""
    if char.isascii() or char == _EMOJI_STYLE:
        return 1
    if unicodedata.category(char) in _NO_COLUMN:
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def columns(text: str) -> int:
    """Return how many columns a text without control characters takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def escaped(text: str) -> str:
    """Return text with an escape for each character that is not printable."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def fit(text: str, width: int | None) -> str:
    """Return text in at most `width` columns, its end replaced by "…" if it has more.

    `text` is free of control characters. A `width` of None is no limit.
    """
    if width is None or (text.isascii() and len(text) <= width):
        return text
    used = 0
    kept = 0  # characters that leave a column for the "…"
    for n, char in enumerate(text):
        used += _columns(char)
        if used > width:
            return text[:kept] + "…"
        if used < width:
            kept = n + 1
    return text


def pad(text: str, width: int) -> str:
    """Return text in exactly `width` columns: cut as by `fit`, or with spaces after it."""
    text = fit(text, width)
    return text + " " * (width - columns(text))


def wrap(text: str, width: int) -> Iterator[str]:
    """Yield text in lines of at most `width` columns, broken at spaces where it has any.

    `text` is free of control characters; `width` is 2 or more.
    """
    start = 0
    word = 0  # where the last word begins
    used = 0
    for n, char in enumerate(text):
        if char == " ":
            word = n + 1
        used += _columns(char)
        while used > width:
            end = word if word > start else n
            yield text[start:end].rstrip(" ")
            start = end
            used = columns(text[start : n + 1])
    yield text[start:]


def count(number: int, noun: str) -> str:
    """Return a number of things, in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def date(ms: int) -> str:
    """Return the date and time of Unix milliseconds."""
    try:
        time = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=ms)
    except OverflowError:  # after the year 9999
        return f"{ms} ms after 1970"
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def how_long(ms: int) -> str:
    """Return a time in milliseconds as people write it, rounded down."""
    if ms < 1000:
        return f"{ms}ms"
    if ms < 60_000:
        return f"{ms // 10 / 100:.2f}s"
    minutes, seconds = divmod(ms // 1000, 60)
    if minutes < 60:
        return f"{minutes}m{seconds:02}s"
    return f"{minutes // 60}h{minutes % 60:02}m"
