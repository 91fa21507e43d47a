# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Makes the page that shows a run, live or with its events in it, and the list of runs."""

import base64
import hashlib
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from operator import attrgetter
from urllib.parse import quote

from .. import Event, FlowStart, to_json
from ..runs import RunInfo
from .text import date

__all__ = ["overview", "policy", "self_contained", "source"]

# Where a self-contained page gets its policy, and its events, before the script that reads them.
_HEAD = '<meta charset="utf-8">\n'
_SCRIPT = "<script>\n"
_TITLE = "axon_events"


def _titled(title: str) -> str:
    return f"<title>{title}</title>"


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
    """Return the Content-Security-Policy that allows only the page's own script and style."""
    directives = ["default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    for tag in ("script", "style"):
        content = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        directives.append(f"{tag}-src {' '.join(map(_hash, content))}")
    return "; ".join(directives)


def self_contained(
    events: Iterable[Event], *, notes: Iterable[str] = (), is_open: bool = False
) -> str:
    """Return the page with these events in it; it needs no server and loads nothing.

    - `notes`: what the page says about the recording, one line each.
    - `is_open`: whether the run may go on after these events.

    The texts of the events stay data: no browser runs them or takes them for markup.
    """
    events = list(events)
    title = next((escape(e.flow_name) for e in events if isinstance(e, FlowStart)), _TITLE)
    page = source().replace(_titled(_TITLE), _titled(title), 1)
    # With no "<" in it, no text can end the element, nor begin a comment in it.
    run = ",\n".join(map(to_json, events)).replace("<", r"\u003c")
    said = escape("\n".join(notes))
    data = (
        f'<script type="application/json" id="recording" data-notes="{said}"'
        f"{' data-open' * is_open}>\n"
        f"[{run}]\n</script>\n"
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(page)}">\n'
    page = page.replace(_HEAD, _HEAD + meta, 1)
    return page.replace(_SCRIPT, data + _SCRIPT, 1)


# How a run ended, by the kind of its last event: a mark, the class of its colour, and a word.
_ENDS = {
    "flow_complete": ("✓", "good", "completed"),
    "flow_error": ("✗", "bad", "failed"),
}
_CUT = ("?", "warn", "truncated")
_OPEN = ("●", "run", "not ended")


def overview(store: str, infos: Iterable[RunInfo]) -> str:
    """Return the page that lists the runs of a store, newest first, each linked to its own page.

    - `store`: what the page calls it; `infos`: the runs.
    """
    # The page's own head, so that both look alike.
    head = source().partition("</style>")[0]
    head = head.replace(_titled(_TITLE), _titled(escape(store)), 1)
    runs = [*map(_lane, sorted(infos, key=attrgetter("time_ms"), reverse=True))]
    listed = f'<ol id="lanes" aria-label="Runs">\n{"".join(runs)}</ol>'
    return (
        f"{head}{_OVERVIEW_STYLE}</style>\n</head>\n<body>\n<header>\n"
        f"<h1>{escape(store)}</h1>\n<dl><div><dt>runs</dt><dd>{len(runs)}</dd></div></dl>\n"
        f"</header>\n<main>\n{listed if runs else _NONE}\n</main>\n</body>\n</html>\n"
    )


_OVERVIEW_STYLE = "a { color: inherit; }\n"
_NONE = '<p class="note">The store has no runs.</p>'


def _lane(info: RunInfo) -> str:
    """Return the item of a run in the list."""
    sign, colour, state = _ENDS.get(info.kind, _CUT) if info.ended else _OPEN
    # Relative, for a proxy that serves this below a path of its own.
    link = f'<a href="runs/{quote(info.name, safe="")}">{escape(info.name)}</a>'
    last = f"{escape(info.kind)} at {date(info.time_ms)}" if info.kind else "no event is kept"
    return (
        f'<li class="lane"><div class="row">'
        f'<span class="mark {colour}" aria-hidden="true">{sign}</span><h2>{link}</h2>'
        f'<span class="kind">{last}</span><span class="figures">{state}</span>'
        "</div></li>\n"
    )


def _hash(content: str) -> str:
    """Return what allows a script or style of this content in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
