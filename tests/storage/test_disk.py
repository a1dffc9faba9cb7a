"""Where blocking calls are made: in order per queue, answered on the reactor's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pacs_twisted.errors import OutOfSequence
from pacs_twisted.storage.disk import DiskPool, InlineDisk


class FakeReactor:
    """Keeps what threads hand over until the test lets it be called."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[..., object], *args: Any) -> None:  # noqa: N802
        self.calls.append(lambda: call(*args))

    def turn(self) -> None:
        """Call all that has come."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class NoThread:
    """A thread that never runs: the test does the work."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run
        self.started = False

    def start(self) -> None:
        self.started = True


class PoolTests(SynchronousTestCase):
    """The pool, its work done by the test and not by threads."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.threads: list[NoThread] = []
        self.pool = DiskPool(cast(Any, self.reactor), 2, make_thread=self.make_thread)
        self.done: list[str] = []

    def make_thread(self, run: Callable[[], None]) -> threading.Thread:
        self.threads.append(NoThread(run))
        return cast(threading.Thread, self.threads[-1])

    def do(self, name: str) -> str:
        self.done.append(name)
        return name.upper()

    def work(self, times: int) -> None:
        """Do so many pieces of work, as a thread would."""
        for _ in range(times):
            self.assertTrue(self.pool.run_next())

    def test_result(self) -> None:
        """The call is made by a thread, its result comes on the reactor's."""
        self.pool.start()
        result = self.pool.queue().submit(self.do, "a")
        self.assertEqual(self.done, [])
        self.work(1)
        self.assertEqual(self.done, ["a"])
        self.assertNoResult(result)
        self.reactor.turn()
        self.assertEqual(self.successResultOf(result), "A")

    def test_failure(self) -> None:
        """A call that raises fails its own Deferred; the next of the queue is made all the same."""
        self.pool.start()
        queue = self.pool.queue()
        failed = queue.submit(int, "x")
        fine = queue.submit(self.do, "b")
        self.work(2)
        self.reactor.turn()
        self.failureResultOf(failed, ValueError)
        self.assertEqual(self.successResultOf(fine), "B")

    def test_whatever_is_raised(self) -> None:
        """Not even what is no Exception ends a thread."""
        self.pool.start()
        queue = self.pool.queue()

        def leave() -> None:
            raise SystemExit(3)

        failed = queue.submit(leave)
        self.work(1)
        self.reactor.turn()
        self.failureResultOf(failed, SystemExit)

    def test_queues_take_turns(self) -> None:
        """A queue's work is done in order, and one with much work does not hold up the others."""
        self.pool.start()
        long, short = self.pool.queue(), self.pool.queue()
        for name in ("a1", "a2", "a3"):
            long.submit(self.do, name)
        short.submit(self.do, "b1")
        self.work(4)
        self.assertEqual(self.done, ["a1", "b1", "a2", "a3"])

    def test_one_at_a_time(self) -> None:
        """While a call of a queue is made no thread begins the queue's next."""
        self.pool.start()
        queue, other = self.pool.queue(), self.pool.queue()

        def first() -> None:
            # A second thread looks for work meanwhile and finds that of another queue only.
            other.submit(self.do, "other")
            self.work(1)
            self.done.append("first")

        queue.submit(first)
        queue.submit(self.do, "second")
        self.work(2)
        self.assertEqual(self.done, ["other", "first", "second"])

    def test_submit_meanwhile(self) -> None:
        """What is submitted while the queue's call is made follows it."""
        self.pool.start()
        queue = self.pool.queue()
        queue.submit(lambda: queue.submit(self.do, "next"))
        self.work(2)
        self.assertEqual(self.done, ["next"])

    def test_cancel_before(self) -> None:
        """A call that has not begun is never made once it is cancelled."""
        self.pool.start()
        queue = self.pool.queue()
        first = queue.submit(self.do, "first")
        second = queue.submit(self.do, "second")
        third = queue.submit(self.do, "third")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.work(2)
        self.reactor.turn()
        self.assertEqual(self.done, ["first", "third"])
        self.assertEqual(self.successResultOf(first), "FIRST")
        self.assertEqual(self.successResultOf(third), "THIRD")

    def test_cancel_only_one(self) -> None:
        """A queue whose only call is cancelled is idle, and can be used again."""
        self.pool.start()
        queue = self.pool.queue()
        only = queue.submit(self.do, "only")
        only.cancel()
        self.failureResultOf(only, CancelledError)
        self.work(1)  # the turn that the queue had been given already
        self.assertEqual(self.done, [])
        again = queue.submit(self.do, "again")
        self.work(1)
        self.reactor.turn()
        self.assertEqual(self.successResultOf(again), "AGAIN")

    def test_cancel_after(self) -> None:
        """The result of a call that has been made goes nowhere once it is cancelled."""
        self.pool.start()
        queue = self.pool.queue()
        fine, failed = queue.submit(self.do, "a"), queue.submit(int, "x")
        self.work(2)
        for result in (fine, failed):
            result.cancel()
            self.failureResultOf(result, CancelledError)
        self.reactor.turn()
        self.assertEqual(self.done, ["a"])

    def test_cancel_queue(self) -> None:
        """All that waits in a queue is cancelled at once; what follows is done."""
        self.pool.start()
        queue = self.pool.queue()
        waiting = [queue.submit(self.do, name) for name in ("a", "b", "c")]
        queue.cancel()
        for result in waiting:
            self.failureResultOf(result, CancelledError)
        last = queue.submit(self.do, "discard")
        self.work(1)
        self.reactor.turn()
        self.assertEqual(self.successResultOf(last), "DISCARD")
        self.assertEqual(self.done, ["discard"])

    def test_cancel_queue_meanwhile(self) -> None:
        """All is cancelled before anybody is told: no thread begins the next in between."""
        self.pool.start()
        queue = self.pool.queue()
        first, second = (queue.submit(self.do, name) for name in ("a", "b"))
        first.addErrback(lambda _: self.work(1))
        queue.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.done, [])

    def test_cancel_queue_and_each(self) -> None:
        """Who cancels the rest when the first is cancelled does no harm."""
        self.pool.start()
        queue = self.pool.queue()
        first, second = (queue.submit(self.do, name) for name in ("a", "b"))
        first.addErrback(lambda _: second.cancel())
        queue.cancel()
        self.failureResultOf(second, CancelledError)
        self.work(1)
        self.successResultOf(self.pool.stop())

    def test_not_started(self) -> None:
        """Before the start and after the end there is a failure, and no waiting for ever."""
        queue = self.pool.queue()
        self.failureResultOf(queue.submit(self.do, "early"), OutOfSequence)
        self.pool.start()
        self.successResultOf(self.pool.stop())
        self.failureResultOf(queue.submit(self.do, "late"), OutOfSequence)
        self.assertEqual(self.done, [])

    def test_start_and_stop_repeated(self) -> None:
        """Starting what runs and stopping what does not change nothing."""
        self.successResultOf(self.pool.stop())
        self.pool.start()
        self.pool.start()
        self.assertEqual([thread.started for thread in self.threads], [True, True])
        self.successResultOf(self.pool.stop())
        self.successResultOf(self.pool.stop())
        for thread in self.threads:
            thread.run()  # each is told to end: this returns
        self.pool.start()
        self.assertEqual(len(self.threads), 4)
        result = self.pool.queue().submit(self.do, "a")
        self.work(1)
        self.reactor.turn()
        self.assertEqual(self.successResultOf(result), "A")

    def test_stop_waits(self) -> None:
        """The end waits for all work, and for what its results lead to at once."""
        self.pool.start()
        queue = self.pool.queue()
        queue.submit(self.do, "write").addCallback(lambda _: queue.submit(self.do, "commit"))
        stop, again = self.pool.stop(), self.pool.stop()
        self.assertRaises(OutOfSequence, self.pool.start)
        self.work(1)
        self.reactor.turn()
        self.assertNoResult(stop)
        self.work(1)
        self.assertNoResult(stop)
        self.reactor.turn()
        self.assertEqual(self.done, ["write", "commit"])
        self.successResultOf(stop)
        self.successResultOf(again)
        for thread in self.threads:
            thread.run()

    def test_stop_and_cancel(self) -> None:
        """What is cancelled is not waited for; what that leads to at once is."""
        self.pool.start()
        queue = self.pool.queue()
        queue.submit(self.do, "write").addErrback(lambda _: queue.submit(self.do, "discard"))
        stop = self.pool.stop()
        queue.cancel()
        self.assertNoResult(stop)
        self.work(1)
        self.reactor.turn()
        self.assertEqual(self.done, ["discard"])
        self.successResultOf(stop)

    def test_stop_waits_for_cancelled_work(self) -> None:
        """A call that has begun is waited for even if nobody cares for its result."""
        self.pool.start()
        result = self.pool.queue().submit(self.do, "a")
        self.work(1)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        stop = self.pool.stop()
        self.assertNoResult(stop)
        self.reactor.turn()
        self.successResultOf(stop)

    def test_waiting_cancelled(self) -> None:
        """Who gives up waiting for the end does not keep it from coming."""
        self.pool.start()
        self.pool.queue().submit(self.do, "a")
        stop, other = self.pool.stop(), self.pool.stop()
        stop.cancel()
        self.failureResultOf(stop, CancelledError)
        self.work(1)
        self.reactor.turn()
        self.successResultOf(other)


class InlineTests(SynchronousTestCase):
    """The disk without threads."""

    def test_results(self) -> None:
        """Calls are made at once, whether or not anybody started it."""
        disk = InlineDisk()
        disk.start()
        queue = disk.queue()
        self.assertEqual(self.successResultOf(queue.submit(int, "7")), 7)
        self.failureResultOf(queue.submit(int, "x"), ValueError)
        queue.cancel()
        self.successResultOf(disk.stop())


class ThreadTests(TestCase):
    """With real threads, once."""

    timeout = 60

    def test_threads(self) -> None:
        """Calls are made by as many threads as asked for, results come on the reactor's."""
        pool = DiskPool(cast(Any, reactor), 3)
        pool.start()
        # Three calls that wait for each other: with fewer threads this would never end.
        together = threading.Barrier(3, timeout=30)
        here = threading.get_ident()
        lock = threading.Lock()
        busy, most = 0, 0

        def meet() -> int:
            together.wait()
            return threading.get_ident()

        def count() -> None:
            nonlocal busy, most
            with lock:
                busy += 1
                most = max(most, busy)
            with lock:
                busy -= 1

        async def scenario() -> None:
            first = await gatherResults([pool.queue().submit(meet) for _ in range(3)])
            self.assertEqual(len(set(first)), 3)
            self.assertNotIn(here, first)
            self.assertEqual(threading.get_ident(), here)
            await gatherResults([pool.queue().submit(count) for _ in range(50)])
            self.assertLessEqual(most, 3)
            await pool.stop()

        return Deferred.fromCoroutine(scenario())  # type: ignore[return-value]

    def test_order(self) -> None:
        """A queue's calls are made in order, whichever threads make them."""
        pool = DiskPool(cast(Any, reactor), 4)
        pool.start()
        done: dict[int, list[int]] = {number: [] for number in range(8)}

        async def scenario() -> None:
            queues = [pool.queue() for _ in done]
            await gatherResults(
                [
                    queues[number].submit(done[number].append, step)
                    for step in range(50)
                    for number in done
                ]
            )
            await pool.stop()
            for number in done:
                self.assertEqual(done[number], list(range(50)))

        return Deferred.fromCoroutine(scenario())  # type: ignore[return-value]
