# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Tests of what every store promises to the core; the test file of each store runs them."""

import unittest
from abc import abstractmethod
from typing import Any

from axon_events import FlowStart, to_json
from axon_events.runs import _store
from axon_events.runs._store import BEGINNING, NOWHERE, Append, Cursor, End, Entry, Page, State

from .samples import U64_MAX

TEXT = to_json(FlowStart("Report", "anthropic", 0))


def entry(cursor: Cursor, before: Cursor = BEGINNING, writer: str = "w") -> Entry:
    return Entry(cursor, before, TEXT, writer)


def page_of(store: Any, run: str = "run", after: Cursor = BEGINNING) -> Page:
    page = store.read(run, after, 1000)
    assert isinstance(page, Page)
    return page


def state_of(store: Any, run: str = "run") -> State:
    (state,) = store.look([run])
    assert isinstance(state, State)
    return state


class Promises(unittest.TestCase):
    @abstractmethod
    def store(self, **options: Any) -> Any:
        """Return a store whose runs have the ttl 60 s and the lease 15 s."""

    @abstractmethod
    def let_pass(self, seconds: int) -> None:
        """Let the writer of `run` be silent for this many more seconds."""

    def test_an_append_only_after_the_end(self) -> None:
        store = self.store()
        first, second = entry((0, 1)), entry((1, 0), (0, 1))
        end = End((0, 1), "w")
        self.assertEqual(store.append([Append("run", NOWHERE, [first], None)]), [None])
        wrong = [NOWHERE, End((0, 1), "other"), End((0, 2), "w"), End((1, 0), "w")]
        for after in wrong:
            for entries in ([second], []):
                self.assertEqual(store.append([Append("run", after, entries, None)]), [end])
        for after in wrong[1:]:
            self.assertEqual(store.append([Append("other", after, [second], None)]), [NOWHERE])
        answers = store.append(
            [Append("run", end, [second], None), Append("other", NOWHERE, [first], None)]
        )
        self.assertEqual(answers, [None, None])
        self.assertEqual(page_of(store), ([first, second], (0, 1), End((1, 0), "w")))

    def test_cursors_are_numbers_of_64_bits(self) -> None:
        store = self.store()
        cursors = [(0, 1), (0, 256), (1, 0), (255, U64_MAX), (256, 0), (2**63, 0), (U64_MAX, 1)]
        before = [BEGINNING, *cursors]
        entries = [entry(*each) for each in zip(cursors, before, strict=False)]
        after = NOWHERE
        for each in entries:
            self.assertEqual(store.append([Append("run", after, [each], None)]), [None])
            after = End(each.cursor, "w")
            wrong = End((each.cursor[0], each.cursor[1] ^ 1), "w")
            self.assertEqual(store.append([Append("run", wrong, [], None)]), [after])
        self.assertEqual(page_of(store, after=(255, 0)).entries, entries[3:])

    def test_the_newest_are_kept(self) -> None:
        store = self.store()
        after = NOWHERE
        for index in range(1, 10):
            new = entry((index, 0), (index - 1, 0))
            store.append([Append("run", after, [new], 3), Append(f"{index}", NOWHERE, [new], 3)])
            after = End((index, 0), "w")
        page = page_of(store)
        self.assertEqual([each.cursor for each in page.entries], [(7, 0), (8, 0), (9, 0)])
        self.assertEqual(page.oldest, (7, 0))
        self.assertEqual(page.entries[0].before, (6, 0))

    def test_pages(self) -> None:
        store = self.store()
        entries = [entry((index, 0), (index - 1, 0)) for index in range(1, 10)]
        store.append([Append("run", NOWHERE, entries, None)])
        size = len(TEXT)
        for limit, count in ((0, 2), (1, 2), (size, 2), (size + 1, 3), (3 * size, 4), (10**6, 7)):
            page = store.read("run", (3, 0), limit)
            self.assertEqual([each.cursor[0] for each in page.entries], [*range(3, 3 + count)])
        self.assertEqual(page_of(store, after=(9, 1)), ([], (1, 0), End((9, 0), "w")))
        self.assertIsNone(store.read("other", BEGINNING, 1000))

    def test_looking(self) -> None:
        store = self.store()
        store.append([Append("run", NOWHERE, [entry((0, 1))], None)])
        self.let_pass(5)
        run, other = store.look(["run", "other"])
        self.assertEqual(run.end, End((0, 1), "w"))
        self.assertEqual(run.lease, 15.0)
        self.assertGreaterEqual(run.age, 5.0)
        self.assertEqual(other.end, NOWHERE)
        # A heartbeat.
        store.append([Append("run", run.end, [], None)])
        self.assertLess(state_of(store).age, 5.0)
        self.assertEqual(len(page_of(store).entries), 1)

    def test_closing_compares_the_end_and_the_lease(self) -> None:
        store = self.store()
        store.append([Append("run", NOWHERE, [entry((3, 0))], None)])
        end = End((3, 0), "w")
        store.close_if_dead("run", end)
        self.let_pass(20)
        for other in (End((3, 0), ""), End((2, 0), "w"), NOWHERE):
            store.close_if_dead("run", other)
        store.close_if_dead("other", end)
        self.assertEqual(state_of(store).end, end)
        store.close_if_dead("run", end)
        store.close_if_dead("run", end)
        page = page_of(store)
        self.assertEqual(page.entries[1:], [Entry((3, 1), (3, 0), _store.CLOSED)])
        self.assertEqual(page.end, End((3, 1), ""))
        self.assertLess(state_of(store).age, 15.0)  # its time to live has begun anew

    def test_deleting(self) -> None:
        store = self.store()
        store.append([Append("run", NOWHERE, [entry((1, 0)), entry((2, 0), (1, 0))], None)])
        self.let_pass(20)
        for _ in range(2):
            store.delete("run")
            store.delete("other")
            page = page_of(store)
            self.assertEqual(page.entries, [Entry((2, 1), (2, 0), _store.DELETED)])
            self.assertEqual(page.end, End((2, 1), ""))
        self.assertLess(state_of(store).age, 15.0)
