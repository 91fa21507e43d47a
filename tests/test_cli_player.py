# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""`cli.player`: the pace of a recorded run, and its rounds."""

import threading
import types
import unittest
from typing import Any
from unittest import mock

from axon_events import (
    Event,
    FlowComplete,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
    sse,
)
from axon_events.cli import player
from axon_events.cli.player import Player
from axon_events.replay import CursorExpired, CursorUnknown

from . import needs

START = FlowStart("Report", "anthropic", 1000)
END = FlowComplete("Report", "anthropic", True, 0, 0, 0, 500, 1500)
FLOW: list[Event] = [
    START,
    StepStart("Draft", 0, "generate", 1000),
    *(StepToken("Draft", f"word {n} ", n, 1000) for n in range(1, 6)),
    StepComplete("Draft", 0, True, "word", 1, 5, 1000),
    END,
]
# The cursors of FLOW, from the rule of `sse.Encoder`.
CURSORS = ["0.1", "0.2", "1", "2", "3", "4", "5", "5.1", "5.2"]


class Clock:
    """A clock and a wait in one, for a player: the time goes on as soon as it is waited for."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return False


@needs.threads
class Pace(unittest.TestCase):
    def waits(self, *times: int, speed: float = 1.0, max_gap: float | None = None) -> list[float]:
        """Return how long a player waits before each event."""
        clock: Any = Clock()
        events = [FlowStart("Report", "anthropic", ms) for ms in times]
        playing = Player(events, speed=speed, max_gap=max_gap)
        playing._stop = clock
        with mock.patch.object(player, "time", types.SimpleNamespace(monotonic=clock.monotonic)):
            self.assertEqual(b"".join(playing.follow("")).count(b"\n\n"), len(times))
            playing._rounds[-1].join()
        self.assertEqual(sum(clock.waits), min(playing.seconds, threading.TIMEOUT_MAX))
        waits: list[float] = clock.waits
        return waits

    def test_it_is_that_of_the_recording(self) -> None:
        self.assertEqual(self.waits(5000, 6000, 6000, 6250, speed=1.0), [0.0, 1.0, 0.0, 0.25])

    def test_speed(self) -> None:
        self.assertEqual(self.waits(5000, 6000, 6250, speed=2.0), [0.0, 0.5, 0.125])
        self.assertEqual(self.waits(5000, 6000, 6250, speed=0.5), [0.0, 2.0, 0.5])
        self.assertEqual(self.waits(5000, 6000, 6250, speed=0.0), [0.0, 0.0, 0.0])

    def test_a_gap_is_shortened_to_the_longest_one(self) -> None:
        times = (5000, 5250, 3_605_250, 3_606_250)
        self.assertEqual(self.waits(*times, max_gap=0.5), [0.0, 0.25, 0.5, 0.5])
        self.assertEqual(self.waits(*times, max_gap=0.5, speed=2.0), [0.0, 0.125, 0.25, 0.25])
        self.assertEqual(self.waits(*times, max_gap=0.0), [0.0, 0.0, 0.0, 0.0])
        self.assertEqual(self.waits(0, 2**64 - 1, max_gap=1.5), [0.0, 1.5])

    def test_a_clock_that_was_set_back_costs_no_time(self) -> None:
        self.assertEqual(self.waits(5000, 1000, 1500, speed=1.0), [0.0, 0.0, 0.5])

    def test_a_gap_beyond_what_can_be_waited_for(self) -> None:
        longest = threading.TIMEOUT_MAX
        self.assertEqual(self.waits(0, 2**64 - 1, speed=1.0), [0.0, longest])
        self.assertEqual(self.waits(0, 1, speed=5e-324), [0.0, longest])

    def test_who_is_late_catches_up(self) -> None:
        # What took time to send is not waited for once more.
        clock: Any = Clock()
        playing = Player([START, END], speed=1.0)
        playing._stop = clock
        late = iter([0.0, 0.0, 0.25])
        with mock.patch.object(player, "time", types.SimpleNamespace(monotonic=late.__next__)):
            list(playing.follow(""))
            playing._rounds[-1].join()
        self.assertEqual(clock.waits, [0.0, 0.25])


@needs.threads
class Rounds(unittest.TestCase):
    def setUp(self) -> None:
        self.player = Player(FLOW, speed=0.0, is_loop=True)
        self.addCleanup(self.player.close)

    def frames(self, id: str) -> list[sse.Frame]:
        frames = self.player.follow(id)
        self.assertIs(frames.has_all, False)
        return sse.Decoder().feed(b"".join(frames))

    def rounds(self, number: int) -> list[list[sse.Frame]]:
        """Play so many rounds, and return their frames."""
        rounds: list[list[sse.Frame]] = []
        for _ in range(number):
            rounds.append(self.frames(rounds[-1][-1].id if rounds else ""))
        return rounds

    def test_who_has_seen_a_round_gets_the_next(self) -> None:
        names = []
        for frames in self.rounds(5):
            name, _, _ = frames[0].id.rpartition(":")
            self.assertEqual(
                [frame.id for frame in frames], [f"{name}:{cursor}" for cursor in CURSORS]
            )
            names.append(name)
        self.assertEqual(len(set(names)), 5)

    def test_all_get_the_same_next_round(self) -> None:
        (first,) = self.rounds(1)
        second = self.frames(first[-1].id)
        self.assertEqual(self.frames(first[-1].id), second)
        self.assertEqual(self.frames(""), second)
        self.assertNotEqual(self.frames(second[-1].id), second)

    def test_the_round_before_can_be_seen_to_its_end(self) -> None:
        first, second = self.rounds(2)
        self.assertEqual(self.frames(first[2].id), first[3:])
        self.assertEqual(self.frames(second[2].id), second[3:])
        self.assertEqual(self.frames(first[-1].id), second)

    def test_a_round_that_is_no_longer_kept(self) -> None:
        rounds = self.rounds(12)
        self.assertEqual(self.frames(rounds[0][-1].id), rounds[-1])
        self.assertEqual(self.frames(rounds[-2][1].id), rounds[-2][2:])
        for old in (0, 8, 9):
            text = f"^round {old + 1}, which has the id '.*:1', is no longer kept: .* is round 11$"
            with self.assertRaisesRegex(CursorExpired, text) as caught:
                self.player.follow(rounds[old][2].id)
            self.assertEqual(caught.exception.oldest, rounds[10][0].id)

    def test_an_id_that_no_round_has_given(self) -> None:
        rounds = self.rounds(4)
        name = rounds[0][0].id.partition("-")[0]
        for id in (
            f"{name}-5:1",
            f"{name}-4:9",
            f"{name}-1:",
            f"{name}-1:zz",
            f"{name}-1:999",
            f"{name}-0:1",
            f"{name}-01:1",
            f"{name}-{'9' * 5000}:1",
            f"{name}-\u0661:1",
            f"{name}:1",
            "another-1:1",
            "1",
            ":",
        ):
            with self.subTest(id[:20]), self.assertRaises(CursorUnknown):
                self.player.follow(id)
        with self.assertRaisesRegex(CursorUnknown, f"^round 1 has not given the id '{name}-1:z'$"):
            self.player.follow(f"{name}-1:z")


@needs.threads
class Once(unittest.TestCase):
    def test_who_has_seen_the_end_has_all(self) -> None:
        playing = Player(FLOW, speed=0.0)
        self.addCleanup(playing.close)
        frames = sse.Decoder().feed(b"".join(playing.follow("")))
        self.assertEqual([frame.id for frame in frames], CURSORS)
        self.assertIs(playing.follow("5.1").has_all, False)
        seen = playing.follow("5.2")
        self.assertEqual((seen.has_all, list(seen)), (True, []))

    def test_nothing_begins_before_the_first_frame_is_asked_for(self) -> None:
        playing = Player(FLOW, speed=0.0)
        frames = playing.follow("")
        frames.close()
        self.assertEqual(list(frames), [])
        with self.assertRaises(CursorUnknown):
            playing.follow("1")
        playing.close()


if __name__ == "__main__":
    unittest.main()
