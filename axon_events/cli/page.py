# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The page that shows a run: live, as `serve` serves it, or with its events in it."""

import base64
import hashlib
import re
from collections.abc import Iterable
from importlib.resources import files

from .. import Event, to_json

__all__ = ["policy", "self_contained", "source"]

# Where the policy of a self-contained page goes, and its events: before the script reads them.
_HEAD = '<meta charset="utf-8">\n'
_SCRIPT = "<script>\n"


def source() -> str:
    """Return the page's HTML; raise OSError with a `filename` if it cannot be read."""
    package = __name__.rpartition(".")[0]
    page = files(package).joinpath("page.html")  # in a zip as well
    try:
        return page.read_text(encoding="utf-8")
    except OSError as error:
        error.filename = "page.html, of this package"
        error.strerror = error.strerror or "it is not there"  # in a zip
        raise


def policy(page: str) -> str:
    """Return the Content-Security-Policy that allows the page its own script and style alone."""
    directives = ["default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    for tag in ("script", "style"):
        content = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        directives.append(f"{tag}-src {' '.join(map(_hash, content))}")
    return "; ".join(directives)


def self_contained(events: Iterable[Event], *, undecodable: int = 0) -> str:
    """Return the page with these events in it, which needs no server and asks for nothing.

    - `undecodable`: how many lines of the recording held no event.

    Whatever the events say, it is data: no browser runs it or takes it for markup.
    """
    page = source()
    # With no "<" in it, no text can end the element, nor begin a comment in it.
    run = ",\n".join(map(to_json, events)).replace("<", r"\u003c")
    data = (
        f'<script type="application/json" id="recording" data-undecodable="{undecodable}">\n'
        f"[{run}]\n</script>\n"
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(page)}">\n'
    page = page.replace(_HEAD, _HEAD + meta, 1)
    return page.replace(_SCRIPT, data + _SCRIPT, 1)


def _hash(content: str) -> str:
    """Return what allows a script or a style of that content in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
