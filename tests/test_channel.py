# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The channel: nothing is lost, no end goes unnoticed, whoever sends, waits, dies or collects."""

import asyncio
import copy
import gc
import itertools
import pickle
import random
import selectors
import signal
import subprocess
import sys
import threading
import unittest
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any
from unittest import mock

from axon_events import (
    Event,
    FlowComplete,
    FlowError,
    FlowStart,
    StepComplete,
    StepStart,
    StepToken,
)
from axon_events import channel as module
from axon_events.channel import ChannelClosed, Receiver, Sender, channel
from axon_events.order import OrderError, Rule, StreamChecker, TruncatedStream

from . import PACKAGE, ROOT, needs
from .samples import EVENTS
from .threads import (
    PATIENCE,
    Finalized,
    collect,
    end_if_it_hangs,
    join,
    run,
    started,
    unraisable,
    until,
)

START = FlowStart("Report", "anthropic", 0)
END = FlowComplete("Report", "anthropic", True, 1, 0, 0, 1, 2)
FAILURE = FlowError("Report", "out of memory", 1)
FLOW: tuple[Event, ...] = (
    START,
    StepStart("Summarise", 0, "generate", 1),
    StepToken("Summarise", "Hello", 1, 1),
    StepToken("Summarise", " world", 2, 1),
    StepComplete("Summarise", 0, True, "Hello world", 0, 0, 1),
    END,
)


def setUpModule() -> None:
    end_if_it_hangs()


def token(index: int, name: str = "Summarise") -> StepToken:
    return StepToken(name, "", index, 0)


def at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that does not wait, and so needs no event loop."""
    with suppress(StopIteration):
        coroutine.send(None)
        raise AssertionError("it waits")


class Watched(SimpleQueue["Event | None"]):
    """A queue that says when a thread is about to wait, and lets a test get in before a `put`."""

    def __init__(self) -> None:
        self.waits = threading.Event()
        self.before_put: Callable[[], object] | None = None

    def get(self, block: bool = True, timeout: float | None = None) -> "Event | None":
        self.waits.set()
        return super().get(block, timeout)

    def put(self, item: "Event | None", block: bool = True, timeout: float | None = None) -> None:
        hook, self.before_put = self.before_put, None
        if hook is not None:
            hook()
        super().put(item)


def watched(checker: StreamChecker | None = None) -> tuple[Sender, Receiver, Watched]:
    stream = module._Stream(checker)
    stream.queue = queue = Watched()
    return Sender(stream), Receiver(stream), queue


class Interrupted(StreamChecker):
    """A checker in the middle of whose judgements something else happens, as by a finalizer."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] | None = None

    def require(self, event: Event) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().require(event)


class Sending(unittest.TestCase):
    @needs.threads
    def test_a_flow_from_a_thread(self) -> None:
        sender, receiver = channel()

        def produce() -> None:
            for event in FLOW:
                sender.send(event)

        threads = started(produce)
        self.assertEqual(tuple(receiver), FLOW)
        self.assertEqual((list(receiver), receiver.recv(), receiver.recv(0)), ([], None, None))
        join(threads)

    def test_every_variant_goes_through_unchecked(self) -> None:
        for event in EVENTS:
            sender, receiver = channel(check=False)
            sender.send(event)
            sender.close()
            self.assertEqual(list(receiver), [event])

    def test_what_breaks_the_invariant_is_refused_and_not_sent(self) -> None:
        sender, receiver = channel()
        sender.send(START)
        with self.assertRaises(OrderError) as caught:
            sender.send(token(1))
        self.assertIs(caught.exception.violation.rule, Rule.STEP_NOT_OPEN)
        for event in FLOW[1:]:
            sender.send(event)
        self.assertEqual(tuple(receiver), FLOW)

    def test_a_checker_of_ones_own_is_used(self) -> None:
        checker = StreamChecker(allow={Rule.STEP_ABANDONED})
        sender, receiver = channel(check=checker)
        for event in (*FLOW[:2], FAILURE):
            sender.send(event)
        self.assertIs(checker.terminator, FAILURE)
        self.assertEqual(tuple(receiver), (*FLOW[:2], FAILURE))

    def test_unchecked_takes_any_order(self) -> None:
        sender, receiver = channel(check=False)
        for event in (token(3), START, FAILURE):
            sender.send(event)
        self.assertEqual(list(receiver), [token(3), START, FAILURE])

    def test_check_is_a_bool_or_a_checker(self) -> None:
        others: list[Any] = [None, 1, StreamChecker, "strict"]
        for other in others:
            with self.assertRaisesRegex(TypeError, "check must be True, False or a StreamChecker"):
                channel(check=other)

    def test_a_checker_of_a_stream_that_has_ended_is_refused(self) -> None:
        closed, completed = StreamChecker(), StreamChecker()
        closed.close()
        for event in FLOW:
            completed.feed(event)
        for checker, outcome in ((closed, "truncated"), (completed, "completed")):
            with self.assertRaises(ValueError) as caught:
                channel(check=checker)
            self.assertEqual(
                str(caught.exception),
                f"check must be a StreamChecker of an open stream, got one {outcome}:"
                " use a new one for each stream",
            )

    def test_an_end_can_be_neither_copied_nor_pickled(self) -> None:
        sender, receiver = channel()
        for end, name in ((sender, "Sender"), (receiver, "Receiver")):
            for copier in (copy.copy, copy.deepcopy, pickle.dumps):
                with self.assertRaises(TypeError) as caught:
                    copier(end)
                self.assertEqual(
                    str(caught.exception), f"a {name} can be neither copied nor pickled"
                )
        sender.send(FLOW[0])
        self.assertEqual(receiver.recv(), FLOW[0])

    def test_an_end_that_was_not_constructed_is_dropped_quietly(self) -> None:
        ends: tuple[Any, ...] = (Sender, Receiver)
        for end in ends:
            with self.assertRaises(TypeError):
                end()

    def test_anything_but_an_event_is_a_type_error_and_not_sent(self) -> None:
        others: list[Any] = [None, {}, "x", StepToken, 1]
        for check, other in itertools.product((True, False), others):
            with self.subTest(check=check, other=other):
                sender, receiver = channel(check=check)
                with self.assertRaises(TypeError) as caught:
                    sender.send(other)
                self.assertEqual(
                    str(caught.exception), f"send takes an event, got {type(other).__name__}"
                )
                with self.assertRaises(TimeoutError):
                    receiver.recv(0)
                receiver.close()

    def test_after_the_end_send_says_how_it_ended(self) -> None:
        def terminated(sender: Sender, receiver: Receiver) -> None:
            sender.send(FAILURE)

        def left(sender: Sender, receiver: Receiver) -> None:
            with sender:
                pass

        cases: list[tuple[Callable[[Sender, Receiver], object], str]] = [
            (terminated, "ended by flow_error: use a new channel"),
            (lambda sender, receiver: sender.close(), "the Sender has been closed"),
            (left, "the Sender has been closed"),
            (lambda sender, receiver: receiver.close(), "nobody listens any more"),
            (lambda sender, receiver: receiver.__exit__(), "nobody listens any more"),
        ]
        for check, (end, text) in itertools.product((True, False), cases):
            with self.subTest(text, check=check):
                sender, receiver = channel(check=check)
                sender.send(START)
                end(sender, receiver)
                sender.close()
                receiver.close()
                for event in (token(1), FAILURE):
                    with self.assertRaisesRegex(ChannelClosed, text):
                        sender.send(event)

    def test_a_dropped_receiver_is_noticed_and_what_it_had_is_dropped(self) -> None:
        for check in (True, False):
            sender, receiver = channel(check=check)
            sender.send(START)
            stream = sender._stream
            del receiver
            with self.assertRaisesRegex(ChannelClosed, "nobody listens"):
                sender.send(FAILURE)
            self.assertEqual((stream.queue.get_nowait(), stream.queue.empty()), (None, True))

    def test_channel_closed_is_a_runtime_error_that_pickles(self) -> None:
        again = pickle.loads(pickle.dumps(ChannelClosed("ended")))
        self.assertIs(type(again), ChannelClosed)
        self.assertIsInstance(again, RuntimeError)
        self.assertEqual(str(again), "ended")

    @needs.processes
    def test_threads_do_not_import_asyncio(self) -> None:
        code = (
            f"import sys; from {PACKAGE} import FlowError, FlowStart;"
            f"from {PACKAGE}.channel import channel; sender, receiver = channel();"
            "sender.send(FlowStart('f', 'b', 0)); sender.send(FlowError('f', 'e', 1));"
            "assert len(list(receiver)) == 2; sys.exit('asyncio' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=PATIENCE)


class Ending(unittest.TestCase):
    def assert_truncated(self, receiver: Receiver) -> None:
        """Each way to receive says so, each time."""

        async def ask() -> None:
            for _ in range(2):
                with self.assertRaises(TruncatedStream):
                    await receiver.arecv()
                with self.assertRaises(TruncatedStream):
                    async for event in receiver:
                        self.fail(f"{event} came")

        for _ in range(2):
            with self.assertRaises(TruncatedStream) as caught:
                receiver.recv()
            self.assertIs(caught.exception.violation.rule, Rule.NOT_TERMINATED)
            with self.assertRaises(TruncatedStream):
                next(receiver)
        at_once(ask())

    def test_a_stream_without_terminator_is_truncated(self) -> None:
        for events in ((), FLOW[:1], FLOW[:-1]):
            sender, receiver = channel()
            with sender:
                for event in events:
                    sender.send(event)
            self.assertEqual([receiver.recv() for _ in events], list(events))
            self.assert_truncated(receiver)

    def test_unless_that_is_not_checked(self) -> None:
        for check in (False, StreamChecker(allow={Rule.NOT_TERMINATED})):
            sender, receiver = channel(check=check)
            sender.send(START)
            sender.close()
            self.assertEqual((list(receiver), receiver.recv()), ([START], None))

    def test_a_terminator_ends_it_well_whatever_is_closed_later(self) -> None:
        for check in (True, False):
            sender, receiver = channel(check=check)
            with sender:
                sender.send(START)
                sender.send(FAILURE)
            del sender
            with receiver:
                self.assertEqual(list(receiver), [START, FAILURE])
            self.assertEqual((receiver.recv(), list(receiver)), (None, []))

    @needs.threads
    def test_a_forgotten_sender_wakes_the_receiver(self) -> None:
        sender, receiver, queue = watched(StreamChecker())
        senders = [sender]
        del sender

        def forget() -> None:
            queue.waits.wait()
            senders.clear()

        threads = started(forget)
        with self.assertRaises(TruncatedStream):
            receiver.recv()
        self.assert_truncated(receiver)
        join(threads)

    def test_a_sender_in_a_cycle_is_closed_by_the_collector(self) -> None:
        sender, receiver = channel()
        cycle: list[object] = [sender]
        cycle.append(cycle)
        del sender, cycle
        collect(until=lambda: receiver._stream.ends)
        self.assert_truncated(receiver)

    @needs.threads
    def test_a_dead_producer_wakes_the_receiver(self) -> None:
        def dies_inside_with(sender: Sender) -> None:
            with sender:
                sender.send(START)
                raise LookupError

        def dies_with_the_last_reference(sender: Sender) -> None:
            sender.send(START)
            raise LookupError

        for die in (dies_inside_with, dies_with_the_last_reference):
            died: list[type[BaseException]] = []
            with (
                self.subTest(die.__name__),
                mock.patch.object(threading, "excepthook", lambda args: died.append(args[0])),  # noqa: B023
            ):
                sender, receiver = channel()
                thread = threading.Thread(target=die, args=(sender,), daemon=True)
                del sender
                thread.start()
                self.assertEqual(receiver.recv(), START)
                self.assert_truncated(receiver)
                join([thread])
                self.assertEqual(died, [LookupError])

    @needs.asyncio_run
    def test_a_producer_that_dies_in_the_loop_wakes_the_receiver(self) -> None:
        async def produce(sender: Sender) -> None:
            with sender:
                sender.send(START)
                await asyncio.sleep(0)
                raise LookupError

        async def main() -> None:
            sender, receiver = channel()
            task = asyncio.ensure_future(produce(sender))
            self.assertEqual(await receiver.arecv(), START)
            with self.assertRaises(TruncatedStream):
                await receiver.arecv()
            self.assertIsInstance(task.exception(), LookupError)

        run(main())

    def test_a_closed_receiver_says_so(self) -> None:
        sender, receiver = channel()
        sender.send(START)
        receiver.close()
        receiver.close()
        for _ in range(2):
            with self.assertRaisesRegex(ChannelClosed, "this Receiver has been closed"):
                receiver.recv()
        receiver.close()
        with self.assertRaisesRegex(ChannelClosed, "this Receiver has been closed"):
            next(receiver)
        sender.close()

    @needs.threads
    def test_closing_wakes_a_receive(self) -> None:
        _sender, receiver, queue = watched()

        def close() -> None:
            queue.waits.wait()
            receiver.close()

        threads = started(close)
        with self.assertRaisesRegex(ChannelClosed, "this Receiver has been closed"):
            receiver.recv()
        join(threads)

        async def main() -> None:
            _sender, receiver = channel()
            task = asyncio.ensure_future(receiver.arecv())
            await until(lambda: receiver._stream.waiter)
            receiver.close()
            with self.assertRaisesRegex(ChannelClosed, "this Receiver has been closed"):
                await task

        run(main())

    @needs.processes
    def test_at_exit_nothing_is_reported(self) -> None:
        code = (
            f"from {PACKAGE} import FlowStart; from {PACKAGE}.channel import channel;"
            "sender, receiver = channel(); sender.send(FlowStart('f', 'b', 0));"
            "loop = [channel(), sender]; loop.append(loop)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, timeout=PATIENCE, capture_output=True
        )
        self.assertEqual((done.returncode, done.stderr), (0, b""))


class EndingInARace(unittest.TestCase):
    # Another thread's steps, in the gaps between those of `send` where they would do harm.

    def test_an_event_behind_the_end_is_refused(self) -> None:
        ends: list[Callable[[Sender, Receiver], object]] = [
            lambda sender, receiver: sender.send(FAILURE),
            lambda sender, receiver: sender.close(),
            lambda sender, receiver: receiver.close(),
        ]
        for end in ends:
            sender, receiver, queue = watched()
            queue.before_put = partial(end, sender, receiver)
            with self.assertRaises(ChannelClosed):
                sender.send(START)
            with suppress(ChannelClosed):
                self.assertIn(list(receiver), ([FAILURE], []))
                self.assertIsNone(receiver.recv())

    def test_from_the_end_on_send_is_refused_before_the_receiver_is_told(self) -> None:
        sender, receiver, queue = watched()
        told: list[str] = []

        def before_the_end_is_put() -> None:
            try:
                sender.send(START)
            except ChannelClosed as error:
                told.append(str(error))

        queue.before_put = before_the_end_is_put
        sender.close()
        self.assertEqual(len(told), 1)
        self.assertEqual(list(receiver), [])

    def test_of_two_terminators_one_is_refused_and_the_other_received(self) -> None:
        sender, receiver = channel(check=False)

        class Ends(list[Any]):
            def append(self, end: Any) -> None:
                if end.terminator is END:
                    sender.send(FAILURE)
                super().append(end)

        sender._stream.ends = Ends()
        with self.assertRaisesRegex(ChannelClosed, "ended by flow_error"):
            sender.send(END)
        self.assertEqual(list(receiver), [FAILURE])

    def test_a_close_that_overtakes_a_terminator_does_not_hide_it(self) -> None:
        sender, receiver, queue = watched()
        queue.before_put = sender.close
        sender.send(FAILURE)
        self.assertEqual((list(receiver), receiver.recv()), ([FAILURE], None))

    def test_the_end_is_there_for_a_receive_that_began_to_wait_meanwhile(self) -> None:
        sender, receiver = channel(check=False)
        sender.close()
        self.assertIsNone(receiver.recv())
        self.assertIsNone(receiver._stream.queue.get_nowait())

    @needs.threads
    def test_terminators_of_many_threads(self) -> None:
        for _ in range(50):
            sender, receiver = channel(check=False)
            sent: list[Event] = []
            together = threading.Barrier(4)

            def terminate(number: int, sender: Sender = sender) -> None:
                event = FlowError("Report", str(number), 0)
                together.wait()  # noqa: B023  # joined before it is bound again
                with suppress(ChannelClosed):
                    sender.send(event)
                    sent.append(event)  # noqa: B023

            join(started(*(partial(terminate, number) for number in range(4))))
            self.assertEqual(list(receiver), sent)
            self.assertEqual(len(sent), 1)


class Receiving(unittest.TestCase):
    def test_timeouts(self) -> None:
        sender, receiver = channel()
        for timeout in (0, 0.0, -1, -0.5, 0.001):
            with self.assertRaisesRegex(TimeoutError, "no event came within") as caught:
                receiver.recv(timeout)
            self.assertIsNone(caught.exception.__cause__)
        sender.send(START)
        self.assertEqual(receiver.recv(0), START)
        others: list[Any] = ["1", float("nan")]
        for other in others:
            with self.assertRaises((TypeError, ValueError)):
                receiver.recv(other)
        sender.close()

    @needs.threads
    def test_a_timeout_that_never_comes(self) -> None:
        sender, receiver, queue = watched()

        def send() -> None:
            queue.waits.wait()
            sender.send(START)

        threads = started(send)
        self.assertEqual(receiver.recv(float("inf")), START)
        join(threads)

    @needs.threads
    def test_two_receives_at_the_same_time_are_refused(self) -> None:
        sender, receiver, queue = watched()
        got: list[Event | None] = []
        threads = started(lambda: got.append(receiver.recv()))
        self.assertTrue(queue.waits.wait(PATIENCE))
        for timeout in (None, 0):
            with self.assertRaisesRegex(RuntimeError, "another receive is waiting"):
                receiver.recv(timeout)

        async def main() -> None:
            with self.assertRaisesRegex(RuntimeError, "another receive is waiting"):
                await receiver.arecv()

        run(main())
        sender.send(START)
        join(threads)
        self.assertEqual(got, [START])
        sender.send(FAILURE)
        self.assertEqual(receiver.recv(), FAILURE)

    @needs.asyncio_run
    def test_two_receives_at_the_same_time_in_a_loop_are_refused(self) -> None:
        async def main() -> None:
            sender, receiver = channel()
            task = asyncio.ensure_future(receiver.arecv())
            await until(lambda: receiver._stream.waiter)
            for _ in range(2):
                with self.assertRaisesRegex(RuntimeError, "another receive is waiting"):
                    await receiver.arecv()
                with self.assertRaisesRegex(RuntimeError, "another receive is waiting"):
                    receiver.recv(0)
            sender.send(START)
            with self.assertRaisesRegex(RuntimeError, "another receive is waiting"):
                receiver.recv(0)  # the event is the other one's
            self.assertEqual(await task, START)
            sender.send(FAILURE)
            self.assertEqual([event async for event in receiver], [FAILURE])

        run(main())

    def test_of_two_that_begin_to_wait_together_one_is_refused(self) -> None:
        _sender, receiver = channel()
        with receiver._waiting():
            waiter: Any = object()
            receiver._stream.waiter = waiter
            with self.assertRaisesRegex(RuntimeError, "another receive"), receiver._waiting():
                self.fail("both wait")
            self.assertIs(receiver._stream.waiter, waiter)
            with self.assertRaisesRegex(RuntimeError, "another receive"):
                receiver.recv()
        with self.assertRaises(TimeoutError):
            receiver.recv(0)

    def test_an_interrupt_before_the_claim_leaves_nothing_behind(self) -> None:
        _sender, receiver = channel()

        class Claims(list[Any]):
            def append(self, claim: object) -> None:
                raise KeyboardInterrupt

        receiver._claims = Claims()
        with self.assertRaises(KeyboardInterrupt):
            receiver.recv(0)
        receiver._claims = []
        with self.assertRaises(TimeoutError):
            receiver.recv(0)

    @unittest.skipUnless(hasattr(signal, "pthread_kill"), "signals to a thread")
    @unittest.skipUnless(threading.current_thread() is threading.main_thread(), "main thread")
    def test_a_keyboard_interrupt_ends_the_waiting_and_loses_nothing(self) -> None:
        sender, receiver, queue = watched()
        main = threading.get_ident()

        struck = threading.Event()

        def strike(*args: object) -> None:
            if not struck.is_set():
                struck.set()
                raise KeyboardInterrupt

        def interrupt() -> None:
            queue.waits.wait()
            # Again, since one that comes just before the system call does not end the waiting.
            while not struck.wait(0.01):
                signal.pthread_kill(main, signal.SIGINT)

        before = signal.signal(signal.SIGINT, strike)
        try:
            threads = started(interrupt)
            with self.assertRaises(KeyboardInterrupt):
                receiver.recv()
            join(threads)
        finally:
            signal.signal(signal.SIGINT, before)
        sender.send(START)
        self.assertEqual(receiver.recv(), START)


@needs.threads
class ManyThreads(unittest.TestCase):
    PRODUCERS = 8

    def test_none_lost_and_each_threads_events_in_order(self) -> None:
        count = 25_000
        sender, receiver = channel(check=False)

        def produce(name: str) -> None:
            for index in range(count):
                sender.send(token(index, name))

        names = [str(number) for number in range(self.PRODUCERS)]
        threads = started(*(partial(produce, name) for name in names))
        closing = started(lambda: join(threads, sender.close))
        following = dict.fromkeys(names, 0)
        for event in receiver:
            if not isinstance(event, StepToken) or event.token_index != following[event.step_name]:
                self.fail(f"{event} after {following}")
            following[event.step_name] += 1
        self.assertEqual(following, dict.fromkeys(names, count))
        join(closing)

    def test_the_checker_judges_in_the_order_of_the_queue(self) -> None:
        count = 400
        options: dict[str, Any] = {"allow": {Rule.STEP_OVERLAP}, "token_scope": "step"}
        sender, receiver = channel(check=StreamChecker(**options))
        refused: list[OrderError] = []

        def produce(number: int) -> None:
            name = str(number)
            sender.send(StepStart(name, number, "generate", 0))
            for index in range(1, count + 1):
                sender.send(token(index, name))
                try:
                    sender.send(token(index, name))
                except OrderError as error:
                    refused.append(error)
            sender.send(StepComplete(name, number, True, "", 0, 0, 0))

        sender.send(START)
        threads = started(*(partial(produce, n) for n in range(self.PRODUCERS)))
        closing = started(lambda: join(threads, lambda: sender.send(END)))
        checker = StreamChecker(**options)
        events = list(receiver)
        self.assertEqual([violation for event in events for violation in checker.feed(event)], [])
        self.assertEqual(len(events), 2 + self.PRODUCERS * (count + 2))
        self.assertEqual(len(refused), self.PRODUCERS * count)
        join(closing)

    def test_an_asyncio_receiver_with_producers_in_threads_and_in_its_loop(self) -> None:
        count = 2_000
        sender, receiver = channel(check=False)

        def produce(name: str) -> None:
            for index in range(count):
                sender.send(token(index, name))

        async def produce_in_the_loop() -> None:
            for index in range(count):
                sender.send(token(index, "loop"))
                if index % 3 == 0:
                    await asyncio.sleep(0)

        async def main() -> None:
            names = [str(number) for number in range(4)]
            threads = started(*(partial(produce, name) for name in names))
            task = asyncio.ensure_future(produce_in_the_loop())
            following = dict.fromkeys([*names, "loop"], 0)
            for _ in range(count * len(following)):
                event = await receiver.arecv()
                if not isinstance(event, StepToken):
                    self.fail(f"{event} came")
                self.assertEqual(event.token_index, following[event.step_name])
                following[event.step_name] += 1
            await task
            join(threads)
            sender.close()
            self.assertIsNone(await receiver.arecv())

        run(main())

    def test_a_loop_that_sleeps_is_woken_from_a_thread_for_each_event(self) -> None:
        sender, receiver = channel(check=False)
        turns = threading.Semaphore(0)

        def produce() -> None:
            for index in range(300):
                turns.acquire()
                sender.send(token(index))
            turns.acquire()
            sender.close()

        async def main() -> list[Event]:
            got = []
            turns.release()
            async for event in receiver:
                got.append(event)
                turns.release()
            return got

        threads = started(produce)
        self.assertEqual(run(main()), [token(index) for index in range(300)])
        join(threads)


@needs.asyncio_run
class InALoop(unittest.TestCase):
    def test_a_flow_in_one_loop(self) -> None:
        async def produce(sender: Sender) -> None:
            for event in FLOW:
                await asyncio.sleep(0)
                sender.send(event)

        async def main() -> None:
            sender, receiver = channel()
            task = asyncio.ensure_future(produce(sender))
            self.assertEqual(tuple([event async for event in receiver]), FLOW)
            self.assertEqual([event async for event in receiver], [])
            self.assertIsNone(await receiver.arecv())
            await task

        run(main())

    def test_an_event_that_comes_just_before_the_waiter_is_set(self) -> None:
        async def main() -> None:
            sender, receiver = channel()
            loop = asyncio.get_running_loop()
            create_future = loop.create_future

            def send_first() -> asyncio.Future[Any]:
                sender.send(START)
                return create_future()

            with mock.patch.object(loop, "create_future", send_first):
                self.assertEqual(await receiver.arecv(), START)
            sender.close()

        run(main())

    def test_woken_for_an_event_that_has_gone_it_waits_on(self) -> None:
        async def main() -> None:
            sender, receiver = channel()

            def is_another(waiter: object) -> bool:
                return receiver._stream.waiter is not waiter

            task = asyncio.ensure_future(receiver.arecv())
            for _ in range(2):
                await until(lambda: receiver._stream.waiter)
                first = receiver._stream.waiter
                assert first is not None
                first.wake()
                first.wake()
                await until(partial(is_another, first))
            self.assertFalse(task.done())
            sender.send(START)
            self.assertEqual(await task, START)

        run(main())

    def test_cancelling_loses_no_event(self) -> None:
        seed = 20261122
        rng = random.Random(seed)
        count = 1_500

        async def produce(sender: Sender) -> None:
            for index in range(count):
                sender.send(token(index))
                for _ in range(rng.randrange(16)):  # mostly slower than the receiver
                    await asyncio.sleep(0)
            sender.close()

        async def main(receiver: Receiver) -> list[Event]:
            got: list[Event] = []
            while True:
                task = asyncio.ensure_future(receiver.arecv())
                for _ in range(rng.randrange(8)):
                    await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    event = await task
                    if event is None:
                        return got
                    got.append(event)

        async def both() -> None:
            sender, receiver = channel(check=False)
            producer = asyncio.ensure_future(produce(sender))
            self.assertEqual(await main(receiver), [token(index) for index in range(count)])
            await producer

        with self.subTest(seed=seed):
            run(both())

    def test_cancelling_loses_no_event_of_a_thread(self) -> None:
        count = 2_000
        sender, receiver = channel(check=False)

        def produce() -> None:
            for index in range(count):
                sender.send(token(index))
            sender.close()

        async def main() -> list[Event]:
            got: list[Event] = []
            for timeout in itertools.cycle((0, 0.0001, 0, 0.001)):
                try:
                    event = await asyncio.wait_for(receiver.arecv(), timeout)
                except asyncio.TimeoutError:
                    continue
                if event is None:
                    break
                got.append(event)
            return got

        threads = started(produce)
        self.assertEqual(run(main()), [token(index) for index in range(count)])
        join(threads)

    def test_a_receive_that_is_cancelled_when_woken_leaves_the_event(self) -> None:
        async def main() -> None:
            sender, receiver = channel()
            stream = receiver._stream
            task = asyncio.ensure_future(receiver.arecv())
            await until(lambda: stream.waiter)
            waiter = stream.waiter
            assert waiter is not None
            sender.send(START)
            await until(waiter.future.done)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError) as caught:
                await task
            cause = caught.exception.__context__
            while cause is not None:  # it was not raised while handling that the queue was empty
                self.assertIsInstance(cause, asyncio.CancelledError)
                cause = cause.__context__
            self.assertIsNone(stream.waiter)
            self.assertEqual(await receiver.arecv(), START)
            # And one that is cancelled before it is woken.
            task = asyncio.ensure_future(receiver.arecv())
            await until(lambda: stream.waiter)
            task.cancel()
            sender.send(FAILURE)
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(receiver.recv(), FAILURE)

        run(main())

    def test_many_events_wake_a_receive_once_and_not_if_it_is_cancelled(self) -> None:
        async def main() -> None:
            sender, receiver = channel(check=False)
            loop = asyncio.get_running_loop()
            errors: list[Any] = []
            loop.set_exception_handler(lambda loop, context: errors.append(context))
            task = asyncio.ensure_future(receiver.arecv())
            await until(lambda: receiver._stream.waiter)
            wake = loop.call_soon_threadsafe
            with mock.patch.object(loop, "call_soon_threadsafe", side_effect=wake) as woken:
                for _ in range(3):
                    sender.send(START)
            self.assertEqual(woken.call_count, 1)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual([await receiver.arecv() for _ in range(3)], [START] * 3)
            await asyncio.sleep(0)
            self.assertEqual(errors, [])

        run(main())

    def test_a_loop_that_is_closed_meanwhile(self) -> None:
        sender, receiver = channel()
        loop = asyncio.new_event_loop()
        receive = receiver.arecv()
        task = loop.create_task(receive)
        loop.run_until_complete(asyncio.sleep(0))
        self.assertIsNotNone(receiver._stream.waiter)
        loop.close()
        sender.send(START)
        with mock.patch.object(loop, "call_exception_handler"):  # a task destroyed but pending
            receive.close()
            del task, receive
            gc.collect()
        self.assertEqual(receiver.recv(0), START)
        sender.send(FAILURE)
        self.assertEqual(run(receiver.arecv()), FAILURE)

    def test_an_error_of_an_open_loop_is_not_hidden_and_the_next_send_wakes(self) -> None:
        async def main() -> None:
            sender, receiver = channel()
            loop = asyncio.get_running_loop()
            task = asyncio.ensure_future(receiver.arecv())
            await until(lambda: receiver._stream.waiter)
            with (
                mock.patch.object(loop, "call_soon_threadsafe", side_effect=RecursionError),
                self.assertRaises(RecursionError),
            ):
                sender.send(START)
            sender.send(FAILURE)
            self.assertEqual((await task, await receiver.arecv()), (START, FAILURE))

        run(main())


class Reentrant(unittest.TestCase):
    # What a finalizer or a signal handler does in the middle of a call of the same thread.

    def test_a_send_inside_a_send_is_judged_after_it(self) -> None:
        checker = Interrupted()
        sender, receiver = channel(check=checker)

        def meanwhile() -> None:
            for event in FLOW[1:]:
                sender.send(event)

        checker.meanwhile = meanwhile
        sender.send(START)
        self.assertEqual(tuple(receiver), FLOW)

    def test_what_is_refused_then_is_dropped_and_reported(self) -> None:
        checker = Interrupted()
        sender, receiver = channel(check=checker)

        def meanwhile() -> None:
            for event in (token(9), *FLOW[1:], token(1)):
                sender.send(event)

        checker.meanwhile = meanwhile
        with unraisable() as errors:
            sender.send(START)
        self.assertEqual([type(error) for error in errors], [OrderError, ChannelClosed])
        self.assertEqual(tuple(receiver), FLOW)

    def test_the_outer_send_may_be_refused(self) -> None:
        checker = Interrupted()
        sender, receiver = channel(check=checker)
        checker.meanwhile = lambda: sender.send(START)
        with self.assertRaises(OrderError):
            sender.send(token(1))
        sender.send(FAILURE)
        self.assertEqual(list(receiver), [START, FAILURE])

    def test_one_that_is_sent_while_others_are_caught_up_comes_after_them(self) -> None:
        checker = Interrupted()
        sender, receiver = channel(check=checker)

        def meanwhile() -> None:
            sender.send(FLOW[1])
            sender.send(FLOW[2])
            checker.meanwhile = lambda: sender.send(FLOW[3])

        checker.meanwhile = meanwhile
        sender.send(START)
        self.assertEqual([receiver.recv(0) for _ in FLOW[:4]], list(FLOW[:4]))
        sender.close()

    def test_what_an_interrupt_left_put_off_comes_before_the_next_send(self) -> None:
        checker = Interrupted()
        sender, receiver = channel(check=checker)

        def interrupted() -> None:
            raise KeyboardInterrupt

        def meanwhile() -> None:
            sender.send(token(7))
            sender.send(FLOW[1])
            checker.meanwhile = interrupted

        checker.meanwhile = meanwhile
        with self.assertRaises(KeyboardInterrupt):
            sender.send(START)
        sender.send(FLOW[2])
        self.assertEqual([receiver.recv(0) for _ in FLOW[:3]], list(FLOW[:3]))
        sender.close()

    def test_closing_inside_a_send_ends_the_stream_after_it(self) -> None:
        for drop in (False, True):
            checker, other = Interrupted(), StreamChecker()
            sender, receiver = channel(check=checker)
            senders = [*channel(check=other)]
            checker.meanwhile = senders.clear if drop else sender.close
            sender.send(START)
            self.assertEqual(receiver.recv(0), START)
            if drop:
                sender.close()
            with self.assertRaises(TruncatedStream):
                receiver.recv(0)

    @needs.threads
    def test_two_threads_that_send_to_each_others_stream_while_they_judge(self) -> None:
        together = threading.Barrier(2, timeout=PATIENCE)
        checkers = Interrupted(), Interrupted()
        (first, first_receiver), (second, second_receiver) = (
            channel(check=checker) for checker in checkers
        )

        def crosswise(other: Sender) -> None:
            together.wait()  # both hold the lock of their own stream
            other.send(FAILURE)
            together.wait()

        checkers[0].meanwhile = lambda: crosswise(second)
        checkers[1].meanwhile = lambda: crosswise(first)
        join(started(lambda: first.send(START), lambda: second.send(START)))
        self.assertEqual(list(first_receiver), [START, FAILURE])
        self.assertEqual(list(second_receiver), [START, FAILURE])

    def test_a_hook_may_send(self) -> None:
        checker = Interrupted()
        sender, receiver = channel(check=checker)
        checker.meanwhile = lambda: sender.send(token(9))

        def send(args: object) -> None:
            sender.send(FAILURE)

        with mock.patch.object(sys, "unraisablehook", send):
            sender.send(START)
        self.assertEqual(list(receiver), [START, FAILURE])

    def test_the_collector_runs_anywhere(self) -> None:
        # Garbage in cycles, whose finalizers send to this stream and drop the senders of others.
        count = 400
        held: list[object] = []
        for check in (False, True):
            checker = StreamChecker(allow={Rule.TOKEN_GAP, Rule.TOKEN_REPEATED}) if check else False
            sender, receiver = channel(check=checker)
            sender.send(START)
            sender.send(FLOW[1])
            finalized: list[int] = []
            others: list[Receiver] = []

            def finalize(
                senders: list[Sender], sender: Sender = sender, finalized: list[int] = finalized
            ) -> None:
                finalized.append(len(finalized))
                sender.send(StepToken("Summarise", "finalizer", finalized[-1], 0))
                senders[-1].send(START)
                senders.clear()

            def litter(others: list[Receiver] = others, finalize: Any = finalize) -> None:
                dropped, other = channel()
                senders = [dropped]
                held.append(senders)  # or the collector would finalize the sender as well
                others.append(other)
                Finalized(lambda: finalize(senders))

            threshold = gc.get_threshold()
            got: list[Event | None] = [receiver.recv(), receiver.recv()]
            try:
                gc.set_threshold(1)
                for index in range(count):
                    litter()
                    sender.send(StepToken("Summarise", "own", index, 0))
                    if index % 2:
                        got += [receiver.recv(0), receiver.recv(0)]
            finally:
                gc.set_threshold(*threshold)
            collect(until=lambda: len(finalized) == count)  # noqa: B023
            sender.send(FLOW[4])
            sender.send(END)
            got += receiver
            self.assertEqual(got[:2] + got[-2:], [*FLOW[:2], *FLOW[4:]])
            for content in ("own", "finalizer"):
                indexes = [
                    event.token_index
                    for event in got
                    if isinstance(event, StepToken) and event.content == content
                ]
                self.assertEqual(indexes, list(range(count)))
            for other in others:
                self.assertEqual(other.recv(0), START)
                with self.assertRaises(TruncatedStream):
                    other.recv(0)

    @needs.asyncio_run
    def test_the_collector_runs_anywhere_in_a_loop(self) -> None:
        count = 300
        threshold = gc.get_threshold()

        async def main() -> list[Event]:
            sender, receiver = channel(check=False)
            got: list[Event] = []
            finalized: list[int] = []

            def finalize(index: int) -> None:
                sender.send(token(index, "finalizer"))
                finalized.append(index)

            gc.set_threshold(1)
            for index in range(count):
                Finalized(partial(finalize, index))
                sender.send(token(index, "own"))
                event = await receiver.arecv()
                got += [event] if event else []
                await asyncio.sleep(0)
            collect(until=lambda: len(finalized) == count)
            sender.close()
            return got + [event async for event in receiver]

        try:
            got = run(main())
        finally:
            gc.set_threshold(*threshold)
        names = "own", "finalizer"
        indexes: dict[str, list[int]] = {name: [] for name in names}
        for event in got:
            indexes[event.step_name].append(event.token_index)
        indexes["finalizer"].sort()  # the collector keeps no order
        self.assertEqual(indexes, {name: list(range(count)) for name in names})

    @needs.asyncio_run
    def test_a_send_in_the_loops_thread_just_before_it_sleeps(self) -> None:
        sends: list[Callable[[], object]] = []

        class Selector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> Any:
                if timeout is None and sends:
                    sends.pop()()
                return super().select(timeout)

        loop = asyncio.SelectorEventLoop(Selector())
        sender, receiver = channel(check=False)
        # A loop that is not woken would sleep until then, and the test would fail.
        alarm = threading.Timer(PATIENCE, sender.close)
        alarm.start()
        try:
            for index in range(3):
                sends.append(partial(sender.send, token(index)))
                self.assertEqual(loop.run_until_complete(receiver.arecv()), token(index))
        finally:
            alarm.cancel()
            alarm.join()
            loop.close()
