# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`serve`: plays a recorded run, or serves the runs of a store; a page shows each run live."""

import argparse
import math
from collections.abc import Iterator
from urllib.parse import quote

from .. import DecodeError, Event
from ..order import check
from .pages import Server, host_name
from .player import Player
from .recording import Lines, is_sqlite, stored_run
from .sites import Played, Site, Stored
from .text import count, escaped

__all__ = ["add_arguments"]

_SLOWEST = 0.001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its arguments to argparse."""
    parser.description = (
        "Play a recorded flow over HTTP, at the pace at which it was recorded. / is a"
        " page that shows the run. /events is the run as Server-Sent Events, and goes on after a"
        " client's Last-Event-ID. The whole file is read first, also from standard input. The run"
        " begins with the first client, and has one clock for all. With --store nothing is played:"
        " / lists the runs of a SQLite store, and each is live at /runs/NAME and"
        " /runs/NAME/events, whichever process writes it. NAME is percent-encoded, its slashes too."
        " Ctrl-C ends the server."
    )
    parser.epilog = (
        "Statuses of /events: 200 the run; 204 nothing more, for a client that has seen all;"
        " 403 a Host that is not this server; 404 no such run, or an id that it has not given; 410"
        " what follows that id is no longer kept. Exit status: 1 a line or frame of the file"
        " is no event, or it has no events, or has some after the flow's end; 2 the file cannot be"
        " read, or the address cannot be used; 130 after Ctrl-C."
    )
    served = parser.add_mutually_exclusive_group(required=True)
    served.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="the recorded file of one flow; - for standard input",
    )
    served.add_argument(
        "--store", metavar="FILE", help="an existing SQLite file of runs, which are shown live"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the name or address to listen at (default: %(default)s, for this machine only)",
    )
    parser.add_argument(
        "--port", type=_port, default=8765, help="the port (default: %(default)s); 0 for any free"
    )
    parser.add_argument(
        "--speed",
        metavar="TIMES",
        type=_speed,
        help="how many times as fast as recorded (default: 1.0); 0 for all at once",
    )
    parser.add_argument(
        "--max-gap",
        metavar="SECONDS",
        type=_max_gap,
        help="shorten longer waits of the recording to this many seconds; --speed divides them",
    )
    parser.add_argument(
        "--loop",
        action="store_true",
        help="play it again, as another run, to a client that has seen the end",
    )
    parser.add_argument(
        "--drop-after",
        metavar="N",
        type=_drop_after,
        help="close each connection after this many events, to watch clients resume",
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        type=_allowed_host,
        action="append",
        default=[],
        help="a name that a Host may have besides this server's own, such as that of a proxy in"
        " front; may be given again",
    )
    parser.set_defaults(run=_run, usage_error=parser.error)


def _port(text: str) -> int:
    return _whole_number(text, 0, 65535)


def _drop_after(text: str) -> int:
    return _whole_number(text, 1, 2**63 - 1)


def _whole_number(text: str, least: int, most: int) -> int:
    # At most 19 digits, since Python refuses to read thousands of them.
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {least} to {most}, got {text!r:.60}"
        )
    return int(text)


def _max_gap(text: str) -> float:
    seconds = _number(text)
    if not 0 <= seconds < math.inf:  # NaN included
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, got {text!r:.60}")
    return seconds


def _allowed_host(text: str) -> str:
    # Only a Host has brackets around an IPv6 address.
    name = host_name(text) or host_name(f"[{text}]")
    if name is None:
        raise argparse.ArgumentTypeError(f"expected a name or an address, got {text!r:.60}")
    return name


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _speed(text: str) -> float:
    speed = _number(text)
    if speed != 0 and not _SLOWEST <= speed < math.inf:  # NaN included
        raise argparse.ArgumentTypeError(
            f"expected 0, or a number from {_SLOWEST}, got {text!r:.60}"
        )
    return speed


def _run(arguments: argparse.Namespace) -> Iterator[int]:
    if arguments.store is None:
        yield from _play(arguments)
    else:
        _serve_store(arguments)


def _play(arguments: argparse.Namespace) -> Iterator[int]:
    if is_sqlite(arguments.file):
        arguments.usage_error(
            f"{escaped(arguments.file)} is a SQLite file: --store serves its runs"
        )
    if stored := stored_run(arguments.file):
        file, run = stored
        arguments.usage_error(
            f"{escaped(arguments.file)} is a run of a store: give --store {escaped(file)}, and see"
            f" /runs/{quote(run, safe='')}"
        )
    events: list[Event] = []
    faults = 0
    with Lines(arguments.file, arguments.command) as lines:
        for fault in _read(lines, events):
            yield 1
            faults += 1
            lines.print(fault)
    if faults:
        return

    player = Player(
        events,
        speed=1.0 if arguments.speed is None else arguments.speed,
        is_loop=arguments.loop,
        max_gap=arguments.max_gap,
    )
    with _server(arguments, Played(player)) as server:
        print(f"page:   {server.url}")
        print(f"stream: {server.url}events")
        what = f"{count(len(events), 'event')} in {player.seconds:.2f}s"
        print(f"{lines.shown_name}: {what}, from the first client on; Ctrl-C ends it")
        if violations := check(events):
            broken = f"{count(len(violations), 'violation')} of the order of events"
            print(f"{lines.shown_name}: {broken}, which `check` names: it is played as it is")
        server.serve_forever()


def _serve_store(arguments: argparse.Namespace) -> None:
    from .store import open_store, reading  # here, since a recording needs no SQLite

    for option, is_given in (
        ("--speed", arguments.speed is not None),
        ("--max-gap", arguments.max_gap is not None),
        ("--loop", arguments.loop),
    ):
        if is_given:
            arguments.usage_error(f"{option} is for a FILE that is played, not for --store")
    path = arguments.store
    runs = open_store(path)
    with _server(arguments, Stored(runs, path)) as server:
        with reading(path):
            number = sum(1 for _ in runs.infos())
        print(f"page:   {server.url}")
        print(f"stream: {server.url}runs/NAME/events")
        print(f"{escaped(path)}: {count(number, 'run')} now, each as it is written; Ctrl-C ends it")
        server.serve_forever()


def _server(arguments: argparse.Namespace, site: Site) -> Server:
    try:
        return Server(
            arguments.host,
            arguments.port,
            site,
            drop_after=arguments.drop_after,
            allow_hosts=arguments.allow_host,
        )
    except OSError as error:
        error.filename = f"{arguments.host}, port {arguments.port}"
        raise


def _read(lines: Lines, events: list[Event]) -> Iterator[str]:
    """Read the events of a flow, and yield what is wrong with the file."""
    for found in lines.events():
        if isinstance(found, DecodeError):
            yield lines.complaint(found)
        elif events and events[-1].is_terminator:
            yield (
                f"{lines.shown_name}:{lines.lineno}: after-terminator: expected the file to end"
                f" with the flow's {events[-1].kind}, got {found.kind}: serve plays one flow"
            )
            return
        else:
            events.append(found)
    yield from lines.rest()
    if not events and not lines.is_wrapped:
        yield f"{lines.shown_name}: expected events, got none"
