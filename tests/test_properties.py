# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Properties of the codec that hold for every event and every document, tried on random ones.

A failure names the seed.
"""

import json
import random
import unittest
from collections.abc import Callable
from typing import Any

from axon_events import DecodeError, Event, from_dict, from_json, to_dict, to_json
from axon_events._checked import is_utf8
from axon_events._strict import read_strict

from .effort import rounds
from .samples import random_event

SEED = 20261122


def decision(document: Any, read: Callable[[Any], Event] = from_json) -> str:
    """Return the event's repr or the error's reason; any other exception fails the test."""
    try:
        return repr(read(document))
    except DecodeError as error:
        return error.reason


class Properties(unittest.TestCase):
    def setUp(self) -> None:
        self.rng = random.Random(f"{SEED} {self.id().rpartition('.')[2]}")

    def random_document(self) -> str:
        """Return a random event in one of its JSON forms."""
        rng = self.rng
        members: list[tuple[str, object]] = list(to_dict(random_event(rng)).items())
        if rng.random() < 0.3:
            members.append(("unknown", rng.choice([None, 1.5, [1, {"a": []}], "\u2028", -3])))
        if rng.random() < 0.5:
            rng.shuffle(members)
        return json.dumps(
            dict(members),
            ensure_ascii=rng.random() < 0.5,
            indent=rng.choice([None, None, 1, "\t"]),
            separators=rng.choice([(",", ":"), (", ", ": "), (" , ", " :\r")]),
        )

    def damaged(self, document: str) -> str:
        pieces = ['"', "\\", "\\u00e9", "\\ud800", "\n", "0", "-", ".", "e", "9" * 20, "true"]
        pieces += ["{", "}", "[", "]", ",", ":", " ", "null", "é", "\ud800", ',"content":"x"']
        for _ in range(self.rng.choice((0, 1, 1, 2))):
            start = self.rng.randint(0, len(document))
            end = min(len(document), start + self.rng.choice((0, 0, 1, 5)))
            document = document[:start] + self.rng.choice(pieces) + document[end:]
        return document

    def test_what_is_written_is_read_as_the_same_event(self) -> None:
        for _ in range(rounds(150, 3000)):
            event = random_event(self.rng)
            document = to_json(event)
            with self.subTest(event=event, seed=SEED):
                again = from_json(document)
                # By repr and bytes, since 1 == True.
                self.assertEqual(repr(again), repr(event))
                self.assertEqual(to_json(again).encode(), document.encode())
                self.assertEqual(repr(from_json(document.encode())), repr(event))
                self.assertEqual(repr(from_dict(to_dict(event))), repr(event))

    def test_members_in_any_order_are_the_same_event(self) -> None:
        for _ in range(rounds(150, 1000)):
            event = random_event(self.rng)
            members = list(to_dict(event).items())
            self.rng.shuffle(members)
            document = json.dumps(dict(members), ensure_ascii=False)
            with self.subTest(document=document, seed=SEED):
                self.assertEqual(repr(from_json(document)), repr(event))
                self.assertEqual(repr(from_dict(dict(members))), repr(event))

    def test_every_truncation_of_a_document_is_refused(self) -> None:
        for _ in range(rounds(3, 40)):
            document = self.random_document().encode()[:700]
            for end in range(len(document) - 1):
                with self.subTest(document=document[:end], seed=SEED):
                    self.assertIn(decision(document[:end]), ("not-json", "not-utf8"))

    def test_a_document_with_one_byte_changed_is_an_event_or_refused(self) -> None:
        count = rounds(200, 5000)
        accepted = 0
        for _ in range(count):
            document = bytearray(to_json(random_event(self.rng)).encode())
            position = self.rng.randrange(len(document))
            document[position] ^= self.rng.randint(1, 255)
            accepted += "(" in decision(bytes(document))
        self.assertGreater(accepted, count // 40, f"seed {SEED}")

    def test_both_readers_decide_the_same(self) -> None:
        count = rounds(200, 5000)
        accepted = 0
        for n in range(count):
            document = to_json(random_event(self.rng)) if n % 2 else self.random_document()
            document = self.damaged(document)
            if is_utf8(document):
                with self.subTest(document=document, seed=SEED):
                    decided = decision(document, read_strict)
                    self.assertEqual(decision(document), decided)
                    accepted += "(" in decided
        self.assertGreater(accepted, count // 5, f"seed {SEED}")
        self.assertLess(accepted, count * 4 // 5, f"seed {SEED}")

    def test_text_and_bytes_are_decided_alike(self) -> None:
        for _ in range(rounds(120, 2500)):
            document = self.damaged(self.random_document())
            with self.subTest(document=document, seed=SEED):
                encoded = document.encode(errors="surrogatepass")
                self.assertEqual(decision(document), decision(encoded))

    def test_from_dict_agrees_with_from_json_on_what_json_loads_reads(self) -> None:
        count = rounds(120, 2500)
        both = 0
        for _ in range(count):
            document = self.damaged(self.random_document())
            by_json = decision(document)
            try:
                parsed = json.loads(document)
            except ValueError:
                self.assertIn(by_json, ("not-json", "not-utf8"))
                continue
            # json.loads keeps the last of duplicate members and reads -0 as 0.
            if by_json in ("not-json", "not-utf8", "duplicate-field") or "-0" in document:
                continue
            both += 1
            with self.subTest(document=document, seed=SEED):
                try:
                    by_dict = repr(from_dict(parsed))
                except DecodeError as error:
                    by_dict = error.reason
                self.assertEqual(by_dict, by_json)
        self.assertGreater(both, count * 3 // 10, f"seed {SEED}")


if __name__ == "__main__":
    unittest.main()
