# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`make pictures`: what `show` prints and what `serve` shows, as the pictures of the README.

`show` runs in a terminal of its own, and its output becomes SVG. Chromium takes a screenshot of the
page of `serve`. The tool needs Chromium with its chromedriver, and a POSIX system.
"""

import base64
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from axon_events.cli.text import columns

if TYPE_CHECKING:
    from tests.gates.browser.webdriver import Browser

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
RECORDING = "corpus/recorded/report.jsonl"
COLUMNS = 100

# A cell of the terminal, its font, and what stands around all cells, in pixels.
_CELL_WIDTH, _CELL_HEIGHT, _FONT_SIZE, _MARGIN = 8.4, 18, 14, 16
_FONTS = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"

# The page's width and the margin below its last step, in pixels, and how many steps are shown.
_PAGE_WIDTH, _PAGE_MARGIN, _PAGE_STEPS = 840, 14, 2

_STYLED = re.compile(r"\x1b\[(\d*)m")
_SPACES = re.compile("(  +)")


@dataclass(frozen=True)
class Theme:
    """The colours of a picture: behind the text, of the text, and by the styles of `show`."""

    background: str
    border: str
    text: str
    styles: Mapping[str, str]


# By ANSI's numbers: bold, dim, red, green, yellow, cyan.
THEMES = {
    "light": Theme(
        "#ffffff",
        "#d1d9e0",
        "#1f2328",
        {
            "1": 'font-weight="bold"',
            "2": 'fill="#59636e"',
            "31": 'fill="#cf222e"',
            "32": 'fill="#1a7f37"',
            "33": 'fill="#9a6700"',
            "36": 'fill="#0b6e77"',
        },
    ),
    "dark": Theme(
        "#0d1117",
        "#3d444d",
        "#f0f6fc",
        {
            "1": 'font-weight="bold"',
            "2": 'fill="#9198a1"',
            "31": 'fill="#ff7b72"',
            "32": 'fill="#3fb950"',
            "33": 'fill="#d29922"',
            "36": 'fill="#56d4dd"',
        },
    ),
}


def _in_terminal(*command: str) -> str:
    """Return what a command writes to a terminal of `COLUMNS` columns."""
    import fcntl  # here, since Windows and WebAssembly lack the three, and `svg` needs none
    import pty
    import termios

    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    environment["TERM"] = "xterm"
    with subprocess.Popen(command, stdin=its, stdout=its, cwd=ROOT, env=environment) as running:
        os.close(its)
        written = b"".join(_until_closed(ours))
    os.close(ours)
    if running.returncode:
        sys.exit(f"{' '.join(command)}: {running.returncode}")
    return written.decode().replace("\r\n", "\n")


def _until_closed(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux says so that the other end is closed
            return
        if not piece:
            return
        yield piece


def svg(printed: str, theme: Theme) -> str:
    """Return the SVG of a terminal that shows the command and what it has printed."""
    lines = [f"\x1b[2m$\x1b[m python3 -m axon_events show {RECORDING}", "", *printed.splitlines()]
    width = round(COLUMNS * _CELL_WIDTH + 2 * _MARGIN)
    height = len(lines) * _CELL_HEIGHT + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">',
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"'
        f' fill="{theme.background}" stroke="{theme.border}"/>',
        f'<g font-family="{_FONTS}" font-size="{_FONT_SIZE}" fill="{theme.text}">',
    ]
    for row, line in enumerate(lines):
        baseline = _MARGIN + row * _CELL_HEIGHT + _FONT_SIZE
        parts += (
            f'<text x="{_MARGIN + column * _CELL_WIDTH:.1f}" y="{baseline}"'
            f' textLength="{columns(text) * _CELL_WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
            f"{style and ' ' + theme.styles[style]}>{escape(text, quote=False)}</text>"
            for column, text, style in _runs(line)
        )
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _runs(line: str) -> Iterator[tuple[int, str, str]]:
    """Yield the parts of a line, which several spaces or styles separate: column, text, style.

    So each part stands where it does in a terminal, whatever the font and its emoji.
    """
    column = 0
    style = ""
    for n, part in enumerate(_STYLED.split(line)):
        if n % 2:
            style = part
            continue
        for text in _SPACES.split(part):
            if text.strip():
                yield column + len(text) - len(text.lstrip()), text.strip(), style
            column += columns(text)


def _draw_page() -> None:
    """Write the screenshots of the page of `serve`, when it has the whole run."""
    from tests.gates.browser.webdriver import Browser  # here, since the tests of `svg` use no gate

    command = [sys.executable, "-m", "axon_events", "serve", RECORDING, "--port", "0"]
    with subprocess.Popen(
        [*command, "--speed", "0"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as serving:
        browser = Browser()
        try:
            url = (serving.stdout.readline() if serving.stdout else "").split()[-1]
            for name in THEMES:
                browser.look(_PAGE_WIDTH, name)
                browser.open(url)
                shot = browser.command(
                    "Page.captureScreenshot",
                    captureBeyondViewport=True,
                    clip={
                        "x": 0,
                        "y": 0,
                        "width": _PAGE_WIDTH,
                        "height": _height(browser),
                        "scale": 1,
                    },
                )
                (FOLDER / f"page-{name}.png").write_bytes(base64.b64decode(shot["data"]))
        finally:
            browser.close()
            serving.terminate()


def _height(browser: "Browser") -> float:
    """Wait until the page has the whole run; return how far down its first steps reach."""
    bottom: float = browser.run(
        f"""
        const sign = document.getElementById("connection");
        const hasEnded = () => sign.dataset.state === "ended";
        await new Promise((resolve) => {{
          const look = () => {{ if (hasEnded()) resolve(); }};
          new MutationObserver(look).observe(sign, {{attributes: true}});
          look();
        }});
        await new Promise(requestAnimationFrame);
        const step = document.querySelectorAll(".lane")[{_PAGE_STEPS - 1}];
        return step.getBoundingClientRect().bottom + {_PAGE_MARGIN};
        """
    )
    return bottom


def main() -> int:
    """Write all pictures; return 0."""
    FOLDER.mkdir(exist_ok=True)
    printed = _in_terminal(sys.executable, "-m", "axon_events", "show", RECORDING)
    for name, theme in THEMES.items():
        (FOLDER / f"show-{name}.svg").write_text(svg(printed, theme), "utf-8", newline="\n")
    _draw_page()
    return 0


if __name__ == "__main__":
    sys.exit(main())
