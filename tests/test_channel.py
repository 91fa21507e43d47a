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
import weakref
from collections.abc import Callable
from concurrent.futures import Future
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
from axon_events.order import OrderError, Outcome, Rule, StreamChecker, TruncatedStream

from . import PACKAGE, ROOT, needs
from .effort import rounds
from .samples import EVENTS
from .threads import (
    PATIENCE,
    Finalized,
    MakeGap,
    Watched,
    background,
    collect,
    collecting_always,
    end_if_it_hangs,
    gaps,
    join,
    listed,
    run,
    slow_signal_handler,
    started,
    watch_waits,
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
BUSY = "another receive is waiting"
INSIDE = "send was called inside another send of this thread"


def setUpModule() -> None:
    end_if_it_hangs()


def token(index: int, name: str = "Summarise") -> StepToken:
    return StepToken(name, "", index, 0)


class Hooked(SimpleQueue["Event | None"]):
    """A queue that lets a test get in before a step."""

    before_put: Callable[[], object] | None
    before_look: Callable[[], object] | None

    def __init__(self) -> None:
        self.before_put = self.before_look = None

    def get_nowait(self) -> "Event | None":
        hook, self.before_look = self.before_look, None
        if hook is not None:
            hook()
        return super().get_nowait()

    def put(self, item: "Event | None", block: bool = True, timeout: float | None = None) -> None:
        hook, self.before_put = self.before_put, None
        if hook is not None:
            hook()
        super().put(item)


def hooked(*, check: bool | StreamChecker = True) -> tuple[Sender, Receiver, Hooked]:
    queue = Hooked()
    with mock.patch.object(module, "SimpleQueue", return_value=queue):
        return (*channel(check=check), queue)


class Interrupted(StreamChecker):
    """A checker that does something else in the middle of a judgement, as a finalizer may."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] | None = None

    def require(self, event: Event) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().require(event)


class Sending(unittest.TestCase):
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

    def test_it_learns_how_the_stream_ended_even_if_nobody_listened(self) -> None:
        checker = StreamChecker()
        sender, receiver = channel(check=checker)
        receiver.close()
        sender.close()
        self.assertIs(checker.outcome, Outcome.TRUNCATED)

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

        terminator = "the stream has ended by flow_error: use a new channel for another flow"
        closed = "the Sender was closed: send before close() and inside its `with` block"
        deserted = "the Receiver was closed or dropped: nobody listens any more, stop producing"
        cases: list[tuple[Callable[[Sender, Receiver], object], str]] = [
            (terminated, terminator),
            (lambda sender, receiver: sender.close(), closed),
            (left, closed),
            (lambda sender, receiver: receiver.close(), deserted),
            (lambda sender, receiver: receiver.__exit__(), deserted),
        ]
        for check, (end, text) in itertools.product((True, False), cases):
            with self.subTest(text, check=check):
                sender, receiver = channel(check=check)
                sender.send(START)
                end(sender, receiver)
                sender.close()
                receiver.close()
                for event in (token(1), FAILURE):
                    with self.assertRaises(ChannelClosed) as caught:
                        sender.send(event)
                    self.assertEqual(str(caught.exception), text)

    def test_a_dropped_receiver_is_noticed_and_what_it_had_is_dropped(self) -> None:
        for check in (True, False):
            sender, receiver, queue = hooked(check=check)
            sender.send(START)
            del receiver
            with self.assertRaisesRegex(ChannelClosed, "nobody listens"):
                sender.send(FAILURE)
            self.assertIsNone(queue.get_nowait())
            self.assertTrue(queue.empty())

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


class Both:
    """What a thread and an event loop are promised alike; not a test case by itself."""

    class Receiving(unittest.TestCase):
        def recv(self, receiver: Receiver) -> Event | None:
            raise NotImplementedError

        def rest(self, receiver: Receiver) -> list[Event]:
            """Iterate to the end."""
            raise NotImplementedError

        def waiting(self, receiver: Receiver) -> "Future[Event | None]":
            """Return a receive in a thread, which waits."""
            raise NotImplementedError

        def assert_truncated(self, receiver: Receiver) -> None:
            """Each way to receive says so, each time."""
            for _ in range(2):
                with self.assertRaises(TruncatedStream) as caught:
                    self.recv(receiver)
                self.assertIs(caught.exception.violation.rule, Rule.NOT_TERMINATED)
                with self.assertRaises(TruncatedStream):
                    self.rest(receiver)

        def test_a_flow(self) -> None:
            sender, receiver = channel()
            for event in FLOW:
                sender.send(event)
            self.assertEqual(self.recv(receiver), FLOW[0])
            self.assertEqual(tuple(self.rest(receiver)), FLOW[1:])
            self.assertEqual([self.recv(receiver), self.rest(receiver)], [None, []])

        @needs.threads
        def test_a_flow_from_a_thread(self) -> None:
            sender, receiver = channel()

            def produce() -> None:
                for event in FLOW:
                    sender.send(event)

            threads = started(produce)
            self.assertEqual(tuple(self.rest(receiver)), FLOW)
            join(threads)

        def test_a_stream_without_terminator_is_truncated(self) -> None:
            for events in ((), FLOW[:1], FLOW[:-1]):
                sender, receiver = channel()
                with sender:
                    for event in events:
                        sender.send(event)
                self.assertEqual([self.recv(receiver) for _ in events], list(events))
                self.assert_truncated(receiver)
                receiver.close()
                self.assert_truncated(receiver)

        def test_unless_that_is_not_checked(self) -> None:
            for check in (False, StreamChecker(allow={Rule.NOT_TERMINATED})):
                sender, receiver = channel(check=check)
                sender.send(START)
                sender.close()
                self.assertEqual((self.rest(receiver), self.recv(receiver)), ([START], None))

        def test_a_terminator_ends_it_well_whatever_is_closed_later(self) -> None:
            for check, by_hand in itertools.product((True, False), (True, False)):
                sender, receiver = channel(check=check)
                with sender:
                    sender.send(START)
                    sender.send(FAILURE)
                del sender
                with receiver:
                    if by_hand:  # up to the terminator, not to the end
                        self.assertEqual(self.recv(receiver), START)
                        self.assertEqual(self.recv(receiver), FAILURE)
                    else:
                        self.assertEqual(self.rest(receiver), [START, FAILURE])
                self.assertEqual((self.recv(receiver), self.rest(receiver)), (None, []))

        def test_a_closed_receiver_says_so(self) -> None:
            for end in (lambda sender: None, Sender.close, lambda sender: sender.send(FAILURE)):
                sender, receiver = channel()
                sender.send(START)
                end(sender)
                receiver.close()
                receiver.close()
                for receive in (self.recv, self.rest, self.recv):
                    with self.assertRaises(ChannelClosed) as caught:
                        receive(receiver)
                    self.assertEqual(
                        str(caught.exception),
                        "this Receiver was closed: receive before close()",
                    )
                sender.close()

        def test_an_end_that_an_interrupted_receive_took_is_not_waited_for(self) -> None:
            sender, receiver, queue = hooked()
            sender.close()
            self.assertIsNone(queue.get_nowait())
            self.assert_truncated(receiver)

        @needs.threads
        def test_an_event_or_an_end_wakes_a_receive_once(self) -> None:
            for check in (True, False):
                sender, receiver = channel(check=check)
                receiving = self.waiting(receiver)
                for event in FLOW[:3]:
                    sender.send(event)
                self.assertEqual(receiving.result(PATIENCE), START)
                self.assertEqual([self.recv(receiver) for _ in range(2)], list(FLOW[1:3]))
                self.assertLessEqual(len(Watched.timeouts), 1)
                receiving = self.waiting(receiver)
                sender.close()
                if check:
                    with self.assertRaises(TruncatedStream):
                        receiving.result(PATIENCE)
                    self.assert_truncated(receiver)
                else:
                    self.assertIsNone(receiving.result(PATIENCE))

        @needs.threads
        def test_a_terminator_wakes_a_receive(self) -> None:
            for check in (True, False):
                sender, receiver = channel(check=check)
                sender.send(START)
                self.assertEqual(self.recv(receiver), START)
                receiving = self.waiting(receiver)
                sender.send(FAILURE)
                self.assertEqual(receiving.result(PATIENCE), FAILURE)
                self.assertIsNone(self.recv(receiver))

        @needs.threads
        def test_closing_the_receiver_wakes_a_receive(self) -> None:
            _sender, receiver = channel()
            receiving = self.waiting(receiver)
            receiver.close()
            with self.assertRaisesRegex(ChannelClosed, "this Receiver was closed"):
                receiving.result(PATIENCE)

        @needs.threads
        def test_a_forgotten_sender_wakes_a_receive(self) -> None:
            sender, receiver = channel()
            receiving = self.waiting(receiver)
            del sender
            with self.assertRaises(TruncatedStream):
                receiving.result(PATIENCE)
            self.assert_truncated(receiver)

        def test_a_sender_in_a_cycle_is_closed_by_the_collector(self) -> None:
            sender, receiver = channel()
            gone = weakref.ref(sender)
            cycle: list[object] = [sender]
            cycle.append(cycle)
            del sender, cycle
            collect(until=lambda: gone() is None)
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
                    self.assertEqual(self.recv(receiver), START)
                    self.assert_truncated(receiver)
                    join([thread])
                    self.assertEqual(died, [LookupError])

        @needs.threads
        def test_two_receives_at_the_same_time_are_refused(self) -> None:
            sender, receiver = channel()
            receiving = self.waiting(receiver)
            for _ in range(2):
                for timeout in (None, 0):
                    with self.assertRaisesRegex(RuntimeError, BUSY):
                        receiver.recv(timeout)
                with self.assertRaisesRegex(RuntimeError, BUSY):
                    run(receiver.arecv())
                with self.assertRaisesRegex(RuntimeError, BUSY):
                    self.rest(receiver)
            sender.send(START)
            self.assertEqual(receiving.result(PATIENCE), START)
            sender.send(FAILURE)
            self.assertEqual(self.recv(receiver), FAILURE)

        @needs.threads
        def test_none_lost_and_the_events_of_each_thread_in_order(self) -> None:
            producers, count = 8, rounds(1_000, 25_000)
            sender, receiver = channel(check=False)

            def produce(name: str) -> None:
                for index in range(count):
                    sender.send(token(index, name))

            names = [str(number) for number in range(producers)]
            threads = started(*(partial(produce, name) for name in names))
            closing = started(lambda: join(threads, sender.close))
            following = dict.fromkeys(names, 0)
            for event in self.rest(receiver):
                if (
                    not isinstance(event, StepToken)
                    or event.token_index != following[event.step_name]
                ):
                    self.fail(f"{event} after {following}")
                following[event.step_name] += 1
            self.assertEqual(following, dict.fromkeys(names, count))
            join(closing)

        @needs.threads
        def test_a_receive_that_waits_is_woken_for_each_event(self) -> None:
            count = rounds(100, 1000)
            sender, receiver = channel(check=False)
            turns = threading.Semaphore(0)

            def produce() -> None:
                for index in range(count):
                    turns.acquire()
                    sender.send(token(index))
                turns.acquire()
                sender.close()

            threads = started(produce)
            got = []
            turns.release()
            for event in iter(partial(self.recv, receiver), None):
                got.append(event)
                turns.release()
            self.assertEqual(got, [token(index) for index in range(count)])
            join(threads)


class InAThread(Both.Receiving):
    def setUp(self) -> None:
        watch_waits(self, module)

    def recv(self, receiver: Receiver) -> Event | None:
        return receiver.recv()

    def rest(self, receiver: Receiver) -> list[Event]:
        return list(receiver)

    def waiting(self, receiver: Receiver) -> "Future[Event | None]":
        Watched.waits.clear()
        Watched.timeouts.clear()
        receiving = background(receiver.recv)
        self.assertTrue(Watched.waits.wait(PATIENCE))
        return receiving

    def test_timeouts(self) -> None:
        sender, receiver = channel()
        for timeout in (0, 0.0, -1, -0.5, 0.001):
            text = f"^no event came within {max(timeout, 0)} s$"
            with self.assertRaisesRegex(TimeoutError, text) as caught:
                receiver.recv(timeout)
            self.assertIsNone(caught.exception.__cause__)
        sender.send(START)
        self.assertEqual(receiver.recv(0), START)
        others: list[Any] = ["1", float("nan")]
        for other in others:
            with self.assertRaises((TypeError, ValueError)):
                receiver.recv(other)
        sender.send(FAILURE)
        self.assertEqual([receiver.recv(0), receiver.recv(0)], [FAILURE, None])

    @needs.threads
    def test_a_timeout_that_never_comes(self) -> None:
        sender, receiver = channel()
        receiving = background(lambda: receiver.recv(float("inf")))
        self.assertTrue(Watched.waits.wait(PATIENCE))
        sender.send(START)
        self.assertEqual(receiving.result(PATIENCE), START)

    @unittest.skipUnless(hasattr(signal, "setitimer"), "signals by a timer")
    @unittest.skipUnless(threading.current_thread() is threading.main_thread(), "main thread")
    def test_a_signal_handler_that_outlasts_the_timeout_does_not_prolong_it(self) -> None:
        _sender, receiver = channel()
        with slow_signal_handler(0.1), self.assertRaises(TimeoutError):
            receiver.recv(0.05)

    @unittest.skipUnless(hasattr(signal, "pthread_kill"), "signals to a thread")
    @unittest.skipUnless(threading.current_thread() is threading.main_thread(), "main thread")
    def test_a_keyboard_interrupt_ends_the_waiting_and_loses_nothing(self) -> None:
        sender, receiver = channel()
        main = threading.get_ident()
        struck = threading.Event()

        def strike(*args: object) -> None:
            if not struck.is_set():
                struck.set()
                raise KeyboardInterrupt

        def interrupt() -> None:
            Watched.waits.wait()
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


@needs.asyncio_run
class InALoop(Both.Receiving):
    def recv(self, receiver: Receiver) -> Event | None:
        event: Event | None = run(receiver.arecv())
        return event

    def rest(self, receiver: Receiver) -> list[Event]:
        events: list[Event] = run(listed(receiver))
        return events

    def waiting(self, receiver: Receiver) -> "Future[Event | None]":
        async def receive() -> Event | None:
            task = asyncio.ensure_future(receiver.arecv())
            await asyncio.sleep(0)
            waits.set()
            return await task

        waits = threading.Event()
        receiving = background(lambda: run(receive()))
        self.assertTrue(waits.wait(PATIENCE))
        return receiving

    def test_a_flow_in_one_loop(self) -> None:
        async def produce(sender: Sender) -> None:
            for event in FLOW:
                await asyncio.sleep(0)
                sender.send(event)

        async def main() -> None:
            sender, receiver = channel()
            task = asyncio.ensure_future(produce(sender))
            self.assertEqual(tuple(await listed(receiver)), FLOW)
            self.assertEqual(await listed(receiver), [])
            self.assertIsNone(await receiver.arecv())
            await task

        run(main())

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

    def test_two_receives_in_one_loop_are_refused(self) -> None:
        async def main() -> None:
            sender, receiver = channel()
            task = asyncio.ensure_future(receiver.arecv())
            await asyncio.sleep(0)
            for _ in range(2):
                with self.assertRaisesRegex(RuntimeError, BUSY):
                    await receiver.arecv()
            sender.send(START)
            with self.assertRaisesRegex(RuntimeError, BUSY):
                receiver.recv(0)  # the event is the other one's
            self.assertEqual(await task, START)
            sender.send(FAILURE)
            self.assertEqual(await listed(receiver), [FAILURE])

        run(main())

    def test_an_event_that_comes_just_before_it_waits(self) -> None:
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

    def test_a_wake_up_for_an_event_that_another_receive_took(self) -> None:
        async def main() -> None:
            sender, receiver, queue = hooked(check=False)
            first = asyncio.ensure_future(receiver.arecv())
            await asyncio.sleep(0)
            sender.send(START)
            queue.get_nowait()  # as by a receive that had looked before the first one waited
            for _ in range(3):
                await asyncio.sleep(0)
            self.assertFalse(first.done())
            sender.send(FAILURE)
            self.assertEqual(await first, FAILURE)

        run(main())

    def test_many_events_wake_a_receive_once_and_not_if_it_is_cancelled(self) -> None:
        async def main() -> None:
            sender, receiver = channel(check=False)
            loop = asyncio.get_running_loop()
            errors: list[Any] = []
            loop.set_exception_handler(lambda loop, context: errors.append(context))
            task = asyncio.ensure_future(receiver.arecv())
            await asyncio.sleep(0)
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

    def test_cancelling_loses_no_event(self) -> None:
        seed = 20261122
        rng = random.Random(seed)
        count = rounds(300, 3_000)

        async def produce(sender: Sender) -> None:
            for index in range(count):
                sender.send(token(index))
                for _ in range(rng.randrange(16)):  # mostly slower than the receiver
                    await asyncio.sleep(0)
            sender.close()

        async def receive(receiver: Receiver) -> list[Event]:
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

        async def main() -> None:
            sender, receiver = channel(check=False)
            producer = asyncio.ensure_future(produce(sender))
            self.assertEqual(await receive(receiver), [token(index) for index in range(count)])
            await producer

        with self.subTest(seed=seed):
            run(main())

    @needs.threads
    def test_cancelling_loses_no_event_of_a_thread(self) -> None:
        count = rounds(500, 5_000)
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
            loop = asyncio.get_running_loop()
            for woken_first, event in ((True, START), (False, FAILURE)):
                task = asyncio.ensure_future(receiver.arecv())
                await asyncio.sleep(0)
                if woken_first:
                    sender.send(event)
                    loop.call_soon(task.cancel)  # after the wake-up, and before the task goes on
                    await asyncio.sleep(0)
                else:
                    task.cancel()
                    sender.send(event)
                with self.assertRaises(asyncio.CancelledError) as caught:
                    await task
                cause = caught.exception.__context__
                while cause is not None:  # it was not raised while handling that nothing was there
                    self.assertIsInstance(cause, asyncio.CancelledError)
                    cause = cause.__context__
                self.assertEqual(await receiver.arecv(), event)

        run(main())

    def lost_receive(self, receiver: Receiver) -> "asyncio.Task[Event | None]":
        """Return a receive that waits in a loop which has been closed."""
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)  # a task destroyed but pending
        task = loop.create_task(receiver.arecv())
        loop.run_until_complete(asyncio.sleep(0))
        with self.assertRaisesRegex(RuntimeError, BUSY):
            receiver.recv(0)  # the loop may run again
        loop.close()
        return task

    def test_a_receive_that_waits_in_a_closed_loop_does_not_keep_the_receiver(self) -> None:
        for check, lost, collected in ((True, 1, False), (True, 3, True), (False, 2, False)):
            with self.subTest(check=check, lost=lost, collected=collected):
                sender, receiver = channel(check=check)
                sends = iter(FLOW)
                receives: list[Callable[[Receiver], Event | None]]
                receives = [self.recv, Receiver.recv, lambda receiver: receiver.recv(0)]
                for receive in receives:
                    tasks = [self.lost_receive(receiver) for _ in range(lost)]
                    if collected:
                        tasks.clear()
                        gc.collect()
                    event = next(sends)
                    sender.send(event)  # wakes nobody
                    self.assertEqual(receive(receiver), event)
                    tasks.clear()
                    gc.collect()
                for event in sends:
                    sender.send(event)
                self.assertEqual(self.rest(receiver), list(FLOW[3:]))

    def test_a_receive_waits_on_while_one_in_a_closed_loop_is_collected(self) -> None:
        async def main() -> None:
            gone = weakref.ref(lost[0])
            receiving = asyncio.ensure_future(receiver.arecv())
            await asyncio.sleep(0)
            lost.clear()
            collect(until=lambda: gone() is None)
            with self.assertRaisesRegex(RuntimeError, BUSY):
                receiver.recv(0)
            sender.send(START)
            self.assertEqual(await receiving, START)

        sender, receiver = channel()
        lost = [self.lost_receive(receiver)]
        run(main())
        sender.close()

    def test_an_error_of_an_open_loop_is_not_hidden_and_the_next_send_wakes(self) -> None:
        async def main() -> None:
            sender, receiver = channel()
            loop = asyncio.get_running_loop()
            task = asyncio.ensure_future(receiver.arecv())
            await asyncio.sleep(0)
            for error in (RecursionError, RuntimeError):
                with (
                    mock.patch.object(loop, "call_soon_threadsafe", side_effect=error),
                    self.assertRaises(error),
                ):
                    sender.send(START if error is RecursionError else FLOW[1])
            sender.send(FLOW[2])
            self.assertEqual(await task, START)
            self.assertEqual([await receiver.arecv() for _ in range(2)], list(FLOW[1:3]))
            sender.close()

        run(main())

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


class InEachOthersGaps(unittest.TestCase):
    def setUp(self) -> None:
        watch_waits(self, module)

    # Another thread's steps, in the gaps between those of a call where they would do harm.

    def test_an_event_behind_the_end_is_refused_and_not_received(self) -> None:
        ends: list[Callable[[Sender, Receiver], object]] = [
            lambda sender, receiver: sender.send(FAILURE),
            lambda sender, receiver: sender.close(),
            lambda sender, receiver: receiver.close(),
        ]
        for end in ends:
            sender, receiver, queue = hooked(check=False)
            queue.before_put = partial(end, sender, receiver)
            with self.assertRaises(ChannelClosed):
                sender.send(START)
            for _ in range(2):
                with suppress(ChannelClosed):
                    self.assertIn(list(receiver), ([FAILURE], []))
                    self.assertIsNone(receiver.recv())

    def test_from_the_end_on_send_is_refused_before_the_receiver_is_told(self) -> None:
        sender, receiver, queue = hooked(check=False)
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

    @needs.threads
    def test_the_end_is_there_for_a_receive_that_began_to_wait_meanwhile(self) -> None:
        sender, receiver, queue = hooked()
        told = threading.Event()
        waiting: list[Future[Event | None]] = []

        def wait() -> None:  # in another thread, before this one looks
            begun = threading.Event()
            Watched.hooks.append(lambda: [begun.set(), told.wait(PATIENCE)])  # type: ignore[func-returns-value]
            waiting.append(background(receiver.recv))
            self.assertTrue(begun.wait(PATIENCE))
            sender.close()

        queue.before_look = wait
        with self.assertRaises(TruncatedStream):
            receiver.recv()
        told.set()
        with self.assertRaises(TruncatedStream):
            waiting[0].result(PATIENCE)

    @needs.threads
    def test_of_the_terminators_of_many_threads_one_is_sent(self) -> None:
        for check, _ in itertools.product((True, False), range(rounds(10, 100))):
            sender, receiver = channel(check=check)
            sender.send(START)
            sent: list[Event] = []
            together = threading.Barrier(4)

            def terminate(number: int, sender: Sender = sender) -> None:
                event = FlowError("Report", str(number), 0)
                together.wait()  # noqa: B023  # joined before it is bound again
                with suppress(ChannelClosed):
                    sender.send(event)
                    sent.append(event)  # noqa: B023

            join(started(*(partial(terminate, number) for number in range(4))))
            self.assertEqual(list(receiver), [START, *sent])
            self.assertEqual(len(sent), 1)

    @needs.threads
    def test_the_checker_judges_in_the_order_of_the_queue(self) -> None:
        producers, count = 8, rounds(50, 1_000)
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

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)  # so that without a lock they would get into each other
        try:
            sender.send(START)
            threads = started(*(partial(produce, number) for number in range(producers)))
            closing = started(lambda: join(threads, lambda: sender.send(END)))
            events = list(receiver)
            join(closing)
        finally:
            sys.setswitchinterval(interval)
        checker = StreamChecker(**options)
        self.assertEqual([violation for event in events for violation in checker.feed(event)], [])
        self.assertEqual(len(events), 2 + producers * (count + 2))
        self.assertEqual(len(refused), producers * count)

    def test_a_close_wakes_whom_an_interrupted_send_did_not(self) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        events: tuple[Event, ...] = (START, FAILURE)
        for check, event in itertools.product((True, False), events):
            sender, receiver, queue = hooked(check=check)
            if event is FAILURE:
                sender.send(START)
                self.assertEqual(receiver.recv(), START)
            queue.before_put = interrupt
            with self.assertRaises(KeyboardInterrupt):
                sender.send(event)
            sender.close()
            self.assertFalse(queue.empty())  # and so wakes
            if event is FAILURE:
                self.assertEqual(list(receiver), [FAILURE])
            elif check:
                with self.assertRaises(TruncatedStream):
                    receiver.recv()

    def test_an_interrupt_leaves_no_receive_that_waits(self) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        sender, receiver = channel()
        Watched.hooks.append(interrupt)
        with self.assertRaises(KeyboardInterrupt):
            receiver.recv()
        with self.assertRaises(TimeoutError):
            receiver.recv(0)
        sender.close()


class Reentrant(unittest.TestCase):
    # What a finalizer or a signal handler does in the middle of a call of the same thread.

    def interrupted(self, *meanwhile: Callable[[Sender], object]) -> tuple[Sender, Receiver]:
        """Return a channel whose first `send` is interrupted so."""
        checker = Interrupted()
        sender, receiver = channel(check=checker)
        checker.meanwhile = lambda: [act(sender) for act in meanwhile]
        return sender, receiver

    def refused(self, event: Event) -> Callable[[Sender], None]:
        """Return what sends an event inside another `send`, and is refused."""

        def send(sender: Sender) -> None:
            with self.assertRaises(RuntimeError) as caught:
                sender.send(event)
            self.assertEqual(type(caught.exception), RuntimeError)
            self.assertEqual(
                str(caught.exception),
                f"{INSIDE}, by a finalizer or a signal handler: set a flag or fill a queue there,"
                " and send after that",
            )

        return send

    def test_a_send_inside_a_send_is_refused_and_the_outer_one_goes_on(self) -> None:
        for event in (FLOW[1], START, FAILURE):
            sender, receiver = self.interrupted(self.refused(event), self.refused(event))
            for event in FLOW:
                sender.send(event)
            self.assertEqual(tuple(receiver), FLOW)

    def test_anything_but_an_event_is_a_type_error_there_too(self) -> None:
        def send(sender: Sender) -> None:
            other: Any = None
            with self.assertRaises(TypeError):
                sender.send(other)

        sender, receiver = self.interrupted(send)
        sender.send(START)
        sender.close()
        self.assertEqual(receiver.recv(), START)

    def test_the_outer_send_may_be_refused(self) -> None:
        sender, receiver = self.interrupted(self.refused(START))
        with self.assertRaises(OrderError):
            sender.send(token(1))
        for event in (START, FAILURE):
            sender.send(event)
        self.assertEqual(list(receiver), [START, FAILURE])

    def test_the_outer_send_may_be_interrupted(self) -> None:
        def interrupt(sender: Sender) -> None:
            raise KeyboardInterrupt

        sender, receiver = self.interrupted(self.refused(START), interrupt)
        with self.assertRaises(KeyboardInterrupt):
            sender.send(START)
        for event in (START, FAILURE):
            sender.send(event)
        self.assertEqual(list(receiver), [START, FAILURE])

    def test_an_interrupt_in_any_gap_leaves_a_channel_that_works(self) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        def attempt(checked: bool, event: Event, gap: MakeGap) -> None:
            check = checked and StreamChecker(allow={Rule.STEP_ABANDONED})
            sender, receiver = channel(check=check)
            sender.send(START)
            with suppress(KeyboardInterrupt), gap(interrupt):
                sender.send(event)
            with suppress(ChannelClosed, OrderError):  # it may have ended, and been judged
                sender.send(FAILURE)
            sender.close()
            self.assertIn(list(receiver), ([START, FAILURE], [START, event, FAILURE]))

        for checked in (True, False):
            for event in (FLOW[1], FAILURE):
                gaps(partial(attempt, checked, event))

    def test_a_send_in_any_gap_is_sent_or_refused(self) -> None:
        def attempt(checked: bool, gap: MakeGap) -> None:
            check = checked and StreamChecker(allow={Rule.STEP_OVERLAP, Rule.STEP_ABANDONED})
            sender, receiver = channel(check=check)
            sender.send(START)
            sent: list[Event] = [START, FLOW[1]]

            def meanwhile() -> None:
                other = StepStart("Other", 1, "generate", 0)
                try:
                    sender.send(other)
                except RuntimeError as error:
                    self.assertIn(INSIDE, str(error))
                else:
                    sent.append(other)

            with gap(meanwhile):
                sender.send(FLOW[1])
            sender.send(FAILURE)
            self.assertCountEqual(list(receiver), [*sent, FAILURE])

        for checked in (True, False):
            gaps(partial(attempt, checked))

    def test_a_close_in_any_gap_loses_no_event_that_is_sent(self) -> None:
        def attempt(checked: bool, event: Event, gap: MakeGap) -> None:
            sender, receiver = channel(check=checked)
            is_sent = False
            with suppress(ChannelClosed), gap(sender.close):
                sender.send(event)
                is_sent = True
            sender.close()
            received: list[Event | None] = []
            with suppress(TruncatedStream):
                received += iter(partial(receiver.recv, 0), None)
            # Unchecked, one that is queued just before the end may be refused and received.
            self.assertIn(received, ([event],) if is_sent else ([], [] if checked else [event]))

        events: tuple[Event, ...] = (START, FAILURE)
        for checked, event in itertools.product((True, False), events):
            if not checked or event is START:
                gaps(partial(attempt, checked, event))

    def test_a_send_inside_a_send_of_another_channel_is_sent(self) -> None:
        other, other_receiver = channel()
        sender, receiver = self.interrupted(lambda _: other.send(START))
        sender.send(START)
        self.assertEqual((receiver.recv(0), other_receiver.recv(0)), (START, START))
        for end in (sender, other):
            end.close()

    @needs.threads
    def test_a_send_of_another_thread_waits_for_its_turn(self) -> None:
        sending: list[Future[Any]] = []

        def send(sender: Sender) -> None:
            def send_next() -> None:
                begun.set()
                sender.send(FLOW[1])

            begun = threading.Event()
            sending.append(background(send_next))
            self.assertTrue(begun.wait(PATIENCE))
            self.assertFalse(sending[0].done())

        sender, receiver = self.interrupted(send)
        sender.send(START)
        sending[0].result(PATIENCE)
        self.assertEqual([receiver.recv(0), receiver.recv(0)], list(FLOW[:2]))
        sender.close()

    def test_closing_inside_a_send_ends_the_stream_after_it(self) -> None:
        for close in (Sender.close, Sender.__del__, Sender.__exit__):
            sender, receiver = self.interrupted(close, close)
            sender.send(START)
            with self.assertRaisesRegex(ChannelClosed, "the Sender was closed"):
                sender.send(FAILURE)
            self.assertEqual(receiver.recv(0), START)
            with self.assertRaises(TruncatedStream):
                receiver.recv(0)

    def test_closing_inside_a_send_that_is_refused_ends_the_stream_too(self) -> None:
        sender, receiver = self.interrupted(Sender.close)
        with self.assertRaises(OrderError):
            sender.send(token(1))
        with self.assertRaises(TruncatedStream):
            receiver.recv(0)

    def test_closing_inside_the_last_send_hides_no_terminator(self) -> None:
        for check in (Interrupted(), False):
            sender, receiver, queue = hooked(check=check)
            sender.send(START)
            if isinstance(check, Interrupted):
                check.meanwhile = sender.close
            else:
                queue.before_put = sender.close
            sender.send(FAILURE)
            self.assertEqual((list(receiver), receiver.recv()), ([START, FAILURE], None))

    def test_a_sender_that_goes_inside_a_send_ends_its_stream(self) -> None:
        other, other_receiver = channel()
        senders = [other]
        del other
        sender, _receiver = self.interrupted(lambda _: senders.clear())
        sender.send(START)
        with self.assertRaises(TruncatedStream):
            other_receiver.recv(0)
        sender.close()

    @needs.threads
    def test_a_receiver_goes_inside_a_send_of_any_thread(self) -> None:
        ways: list[Callable[[list[Receiver]], object]] = [
            lambda receivers: receivers[0].close(),
            lambda receivers: receivers.clear(),
        ]
        for way, in_a_thread in itertools.product(ways, (False, True)):
            receivers: list[Receiver] = []

            def go(
                sender: Sender,
                way: Callable[[list[Receiver]], object] = way,
                receivers: list[Receiver] = receivers,
                in_a_thread: bool = in_a_thread,
            ) -> None:
                if in_a_thread:  # which would wait for ever for a lock
                    background(lambda: way(receivers)).result(PATIENCE)
                else:
                    way(receivers)

            sender, receiver = self.interrupted(go)
            receivers.append(receiver)
            del receiver
            with suppress(ChannelClosed):
                sender.send(START)
            with self.assertRaisesRegex(ChannelClosed, "nobody listens"):
                sender.send(FLOW[1])

    def test_receiving_inside_a_send(self) -> None:
        got: list[Event | None] = []
        checker = Interrupted()
        sender, receiver = channel(check=checker)
        sender.send(START)
        checker.meanwhile = lambda: got.append(receiver.recv(0))
        sender.send(FLOW[1])
        checker.meanwhile = lambda: got.append(receiver.recv(0))
        sender.send(FLOW[2])
        with self.assertRaises(TimeoutError):
            checker.meanwhile = lambda: [receiver.recv(0) for _ in range(2)]
            sender.send(FLOW[3])
        self.assertEqual(got, list(FLOW[:2]))
        sender.close()

    @unittest.skipUnless(threading.current_thread() is threading.main_thread(), "main thread")
    def test_a_signal_handler_may_close_and_not_send(self) -> None:
        sender, receiver = self.interrupted(lambda _: signal.raise_signal(signal.SIGINT))
        handled: list[str] = []

        def handle(*args: object) -> None:
            try:
                sender.send(FAILURE)
            except RuntimeError as error:
                handled.append(str(error))
            sender.close()

        before = signal.signal(signal.SIGINT, handle)
        try:
            sender.send(START)
        finally:
            signal.signal(signal.SIGINT, before)
        self.assertIn(INSIDE, handled[0])
        self.assertEqual(receiver.recv(0), START)
        with self.assertRaises(TruncatedStream):
            receiver.recv(0)

    def test_the_collector_runs_anywhere(self) -> None:
        # Garbage in cycles, whose finalizers send to this stream and drop the ends of others.
        count = rounds(100, 1_000)
        held: list[object] = []
        for check in (False, True):
            checker = StreamChecker(allow={Rule.TOKEN_GAP, Rule.TOKEN_REPEATED}) if check else False
            sender, receiver = channel(check=checker)
            sender.send(START)
            sender.send(FLOW[1])
            sent: list[int] = []
            refused: list[int] = []
            others: list[Receiver] = []

            def finalize(
                ends: list[Any],
                sender: Sender = sender,
                sent: list[int] = sent,
                refused: list[int] = refused,
            ) -> None:
                try:
                    sender.send(StepToken("Summarise", "finalizer", len(sent), 0))
                except RuntimeError as error:
                    self.assertIn(INSIDE, str(error))
                    refused.append(1)
                else:
                    sent.append(len(sent))
                ends[0].send(START)
                ends.clear()

            def litter(others: list[Receiver] = others, finalize: Any = finalize) -> None:
                ends = [*channel(), channel()[0]]
                others.append(ends.pop(1))  # type: ignore[arg-type]
                held.append(ends)  # or the collector would finalize the sender as well
                Finalized(lambda: finalize(ends))

            got: list[Event | None] = [receiver.recv(), receiver.recv()]
            with collecting_always():
                for index in range(count):
                    litter()
                    sender.send(StepToken("Summarise", "own", index, 0))
                    if index % 2:
                        got += [receiver.recv(0), receiver.recv(0)]
            collect(until=lambda: len(sent) + len(refused) == count)  # noqa: B023
            sender.send(FLOW[4])
            sender.send(END)
            got += receiver
            self.assertEqual(got[:2] + got[-2:], [*FLOW[:2], *FLOW[4:]])
            for content, expected in (("own", list(range(count))), ("finalizer", sent)):
                indexes = [
                    event.token_index
                    for event in got
                    if isinstance(event, StepToken) and event.content == content
                ]
                self.assertEqual(indexes, expected)
            for other in others:
                self.assertEqual(other.recv(0), START)
                with self.assertRaises(TruncatedStream):
                    other.recv(0)

    @needs.asyncio_run
    def test_the_collector_runs_anywhere_in_a_loop(self) -> None:
        count = rounds(100, 1_000)

        async def main() -> list[Event]:
            sender, receiver = channel(check=False)
            got: list[Event] = []
            finalized: list[int] = []

            def finalize(index: int) -> None:
                sender.send(token(index, "finalizer"))
                finalized.append(index)

            with collecting_always():
                for index in range(count):
                    Finalized(partial(finalize, index))
                    sender.send(token(index, "own"))
                    event = await receiver.arecv()
                    got += [event] if event else []
                    await asyncio.sleep(0)
            collect(until=lambda: len(finalized) == count)
            sender.close()
            return got + await listed(receiver)

        indexes: dict[str, list[int]] = {"own": [], "finalizer": []}
        for event in run(main()):
            indexes[event.step_name].append(event.token_index)
        indexes["finalizer"].sort()  # the collector keeps no order
        self.assertEqual(indexes, {name: list(range(count)) for name in indexes})


@needs.processes
class AtExit(unittest.TestCase):
    """The ends that are left when the interpreter shuts down go quietly."""

    def run_to_the_end(self, code: str) -> None:
        # The holder goes after the globals of the package have gone.
        head = (
            "import sys, threading, types\n"
            "sys.modules['holder'] = holder = types.ModuleType('holder')\n"
            f"from {PACKAGE} import FlowStart\n"
            f"from {PACKAGE}.channel import channel\n"
            f"from {PACKAGE}.order import StreamChecker\n"
            f"sys.alive = holder, sys.modules['{PACKAGE}.channel']\n"
            "START = FlowStart('f', 'b', 0)\n"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", head + code],
            cwd=ROOT,
            timeout=PATIENCE,
            capture_output=True,
        )
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_in_globals_in_cycles_and_in_threads(self) -> None:
        self.run_to_the_end(
            "sender, receiver = channel()\n"
            "sender.send(START)\n"
            "cycle = [*channel(), channel(check=False), sender]\n"
            "cycle.append(cycle)\n"
            "holder.ends = [channel(), channel(check=False), cycle]\n"
            "def produce(sender):\n"
            "    sender.send(START)\n"
            "    threading.Event().wait()\n"
            "def consume(receiver):\n"
            "    for event in receiver: pass\n"
            "for target, end in zip((produce, consume) * 2, (*channel(), *channel())):\n"
            "    threading.Thread(target=target, args=[end], daemon=True).start()\n"
            "del end\n"
        )

    def test_a_lock_that_another_thread_keeps_for_ever(self) -> None:
        self.run_to_the_end(
            "class Stuck(StreamChecker):\n"
            "    def require(self, event):\n"
            "        inside.set()\n"
            "        threading.Event().wait()\n"
            "sender, receiver = channel(check=Stuck())\n"
            "class AtLast:\n"
            "    def __del__(self, sender=sender):\n"
            "        sender.__del__()\n"
            "inside = threading.Event()\n"
            "threading.Thread(target=sender.send, args=[START], daemon=True).start()\n"
            "inside.wait()\n"
            "holder.at_last = AtLast()\n"
        )


if __name__ == "__main__":
    unittest.main()
