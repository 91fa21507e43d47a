# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Text for a terminal: how wide it stands there, and cut to fit."""

import unicodedata

__all__ = ["fit"]

# Controls, format characters and marks take no column of their own.
_NO_COLUMN = {"Cc", "Cf", "Me", "Mn"}


def _columns(char: str) -> int:
    """Return the columns that a character takes (Unicode Standard Annex 11)."""
    if char.isascii():
        return 1
    if unicodedata.category(char) in _NO_COLUMN:
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


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
