"""Requests on their way through a service: its answers, their order, and what it does wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import LogLevel

from pacs_twisted.dimse import CEchoRQ, Status
from pacs_twisted.net import Timeouts
from pacs_twisted.services import RequestContext
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from tests.net.memory import (
    ABORT,
    RELEASE_RP,
    RELEASE_RQ,
    Peer,
    ServerCase,
    associate_rq,
    cancel_rq,
    echo_rq,
    window,
)
from tests.requirements import requirement

SUCCESS, FAILURE, DUPLICATE = 0x0000, 0x0110, 0x0210


class Trouble(Exception):
    """What a service raises in these tests."""


class Service:
    """
    A Verification service that answers as a test wants it.

    Without an `answer` it answers by a `Deferred` that the test fires.
    """

    sop_classes = {VERIFICATION: [IMPLICIT_VR_LITTLE_ENDIAN]}  # noqa: RUF012

    def __init__(self) -> None:
        self.answer: Callable[[CEchoRQ, RequestContext], Any] | None = None
        self.asked: list[int] = []
        self.contexts: dict[int, RequestContext] = {}
        self.pending: dict[int, Deferred[Any]] = {}
        self.cancelled: list[int] = []

    def c_echo(self, request: CEchoRQ, context: RequestContext) -> Any:
        self.asked.append(request.message_id)
        self.contexts[request.message_id] = context
        if self.answer is not None:
            return self.answer(request, context)

        def cancel(deferred: Deferred[Any]) -> None:
            self.cancelled.append(request.message_id)

        self.pending[request.message_id] = Deferred(cancel)
        return self.pending[request.message_id]

    def finish(self, message_id: int, result: Any = Status.SUCCESS) -> None:
        """Answer one that waits."""
        self.pending.pop(message_id).callback(result)


class OperationsCase(ServerCase):
    """A server whose service does as the test wants it."""

    def setUp(self) -> None:
        super().setUp()
        self.service = Service()
        self.make_factory(services=[self.service])

    def answer(self, answer: Callable[[CEchoRQ, RequestContext], Any]) -> None:
        """Let the service answer so."""
        self.service.answer = answer

    def finish(self, message_id: int, result: Any = Status.SUCCESS) -> None:
        """Let the service answer a request that waits, and carry what comes of it."""
        self.service.finish(message_id, result)
        self.reactor.run()


class AnswerTests(OperationsCase):
    """How a service may answer."""

    def assert_answers(self, status: int, peer: Peer | None = None) -> None:
        """Assert that the service's answer becomes this status, and the association goes on."""
        peer = peer or self.associated()
        self.assertEqual(peer.echo(3), [(3, status)])
        self.answer(lambda *_: Status.SUCCESS)
        self.assertEqual(peer.echo(4), [(4, SUCCESS)])
        peer.send(RELEASE_RQ)
        self.assertEqual(peer.take(), RELEASE_RP)
        peer.close()
        self.assert_over(peer)

    def assert_failure(self, kind: type[Exception]) -> None:
        """Assert that the service's answer becomes a failure with a traceback in the log."""
        self.assert_answers(FAILURE)
        [event] = self.events("handler-failure")
        self.assertIs(event["log_level"], LogLevel.critical)
        self.assertEqual(event["association"], 1)
        self.assertEqual(len(self.flushLoggedErrors(kind)), 1)

    def test_value(self) -> None:
        """By a status."""
        self.answer(lambda *_: Status.NOT_AUTHORIZED)
        self.assert_answers(0x0124)

    def test_deferred(self) -> None:
        """By a `Deferred` that has fired."""
        self.answer(lambda *_: succeed(Status.NOT_AUTHORIZED))
        self.assert_answers(0x0124)

    def test_coroutine(self) -> None:
        """By a coroutine that ends at once."""

        async def answer(*_: object) -> Status:
            return Status.NOT_AUTHORIZED

        self.answer(answer)
        self.assert_answers(0x0124)

    def test_awaitable(self) -> None:
        """By any other awaitable."""

        class Answer(Awaitable[Status]):
            def __await__(self) -> Generator[Any, Any, Status]:
                return succeed(Status.NOT_AUTHORIZED).__await__()

        self.answer(lambda *_: Answer())
        self.assert_answers(0x0124)

    def test_later(self) -> None:
        """By a `Deferred` that fires later."""
        peer = self.associated()
        self.assertEqual(peer.echo(3), [])
        self.reactor.wait(1000)
        self.assertEqual(peer.take(), b"")
        self.finish(3, Status.NOT_AUTHORIZED)
        self.assertEqual(peer.responses(), [(3, 0x0124)])

    def test_slow_coroutine(self) -> None:
        """By a coroutine that waits for something."""
        gate: Deferred[None] = Deferred()

        async def answer(*_: object) -> Status:
            await gate
            return Status.SUCCESS

        self.answer(answer)
        peer = self.associated()
        self.assertEqual(peer.echo(3), [])
        gate.callback(None)
        self.reactor.run()
        self.assertEqual(peer.responses(), [(3, SUCCESS)])

    def test_raises(self) -> None:
        """An exception is a failure status and a traceback, and the association goes on."""

        def answer(*_: object) -> Status:
            raise Trouble

        self.answer(answer)
        self.assert_failure(Trouble)

    def test_coroutine_raises(self) -> None:
        """So is one in a coroutine."""

        async def answer(*_: object) -> Status:
            raise Trouble

        self.answer(answer)
        self.assert_failure(Trouble)

    def test_deferred_fails(self) -> None:
        """So is a `Deferred` that fails."""
        self.answer(lambda *_: fail(Trouble()))
        self.assert_failure(Trouble)

    def test_deferred_fails_later(self) -> None:
        """At any time."""
        peer = self.associated()
        peer.echo(3)
        self.service.pending.pop(3).errback(Trouble())
        self.reactor.run()
        self.assertEqual(peer.responses(), [(3, FAILURE)])
        self.assertEqual(len(self.flushLoggedErrors(Trouble)), 1)

    def test_wrong_type(self) -> None:
        """So is anything that is no status."""
        self.answer(lambda *_: "success")
        self.assert_failure(TypeError)

    def test_wrong_type_later(self) -> None:
        """Also by a `Deferred`."""
        self.answer(lambda *_: succeed(None))
        self.assert_failure(TypeError)

    def test_log_bounded(self) -> None:
        """A service that always fails writes one traceback an association."""

        def answer(*_: object) -> Status:
            raise Trouble

        self.answer(answer)
        peer = self.associated()
        peer.send(*(echo_rq(number) for number in range(500)))
        self.assertEqual(peer.responses(), [(number, FAILURE) for number in range(500)])
        self.assertEqual(len(self.flushLoggedErrors(Trouble)), 1)

    def test_aborts(self) -> None:
        """A service that aborts its association, and answers then, ends that and no more."""
        peer = self.associated()

        def answer(*_: object) -> Status:
            peer.connection.association.abort()
            return Status.SUCCESS

        self.answer(answer)
        peer.send(echo_rq(1), echo_rq(2), RELEASE_RQ)
        self.assertEqual(peer.take(), ABORT)
        self.assertEqual(self.service.asked, [1])
        peer.close()
        self.assert_over(peer)


class OrderTests(OperationsCase):
    """The window, and the order of pipelined requests."""

    def window(self, maximum_operations: int, proposed: int) -> Peer:
        """Let a peer associate with a window."""
        self.make_factory(services=[self.service], maximum_operations=maximum_operations)
        return self.associated(associate_rq(user_items=window(proposed)))

    @requirement("E6", "J5")
    def test_one_at_a_time(self) -> None:
        """Without a window one is served at a time, the others in their order."""
        peer = self.associated()
        peer.send(*map(echo_rq, (5, 3, 4)))
        self.assertEqual(self.service.asked, [5])
        self.finish(5)
        self.assertEqual(self.service.asked, [5, 3])
        self.finish(3)
        self.finish(4)
        self.assertEqual(peer.responses(), [(5, 0), (3, 0), (4, 0)])

    def test_window(self) -> None:
        """With a window as many at a time, answered as they end."""
        peer = self.window(3, 2)
        peer.send(*map(echo_rq, range(4)))
        self.assertEqual(self.service.asked, [0, 1])
        self.finish(1)
        self.assertEqual(self.service.asked, [0, 1, 2])
        self.finish(0)
        self.finish(3)
        self.finish(2)
        self.assertEqual(peer.responses(), [(1, 0), (0, 0), (3, 0), (2, 0)])

    def test_no_limit(self) -> None:
        """A window without limit serves all at a time."""
        peer = self.window(0, 0)
        peer.send(*map(echo_rq, range(200)))
        self.assertEqual(len(self.service.asked), 200)
        for number in reversed(range(200)):
            self.finish(number)
        self.assertEqual(peer.responses(), [(number, 0) for number in reversed(range(200))])

    @requirement("I6")
    def test_duplicate(self) -> None:
        """A message ID that is being served, or waits, is answered 0210H."""
        peer = self.associated()
        peer.send(*map(echo_rq, (1, 2, 1, 2)))
        self.assertEqual(peer.responses(), [(1, DUPLICATE), (2, DUPLICATE)])
        self.finish(1)
        self.assertEqual(peer.responses(), [(1, 0)])
        peer.send(echo_rq(1))
        self.finish(2)
        self.finish(1)
        self.assertEqual(peer.responses(), [(2, 0), (1, 0)])
        self.assertEqual(self.service.asked, [1, 2, 1])

    def test_deep(self) -> None:
        """However many wait for the first, no depth of calls comes of it."""
        peer = self.associated()
        peer.send(*map(echo_rq, range(3000)))
        first = self.service.pending[0]
        self.answer(lambda *_: succeed(Status.SUCCESS))
        first.callback(Status.SUCCESS)
        self.reactor.run()
        self.assertEqual(peer.responses(), [(number, 0) for number in range(3000)])
        self.assertEqual(self.service.asked, list(range(3000)))

    def test_reading_pauses(self) -> None:
        """While many wait nothing more is read; when they are fewer it goes on."""
        peer = self.associated()
        peer.send(*map(echo_rq, range(100)))
        self.assertEqual(self.reactor.readers, {})
        peer.send(*map(echo_rq, range(100, 60_000)))
        held = len(peer.socket.arrived)
        self.assertGreater(held, 59_000 * len(echo_rq()))
        operations: Any = peer.connection.operations
        self.assertLessEqual(operations.outstanding, 65)
        for number in range(90):
            self.finish(number)
        self.assertLess(len(peer.socket.arrived), held)
        self.answer(lambda *_: Status.SUCCESS)
        self.finish(90)
        self.assertEqual(len(peer.responses()), 60_000)

    @requirement("H2")
    def test_release_waits(self) -> None:
        """A release is answered when all that came before it has been."""
        peer = self.associated()
        peer.send(*map(echo_rq, (1, 2)), RELEASE_RQ)
        self.assertEqual((peer.take(), peer.state), (b"", "Sta8"))
        self.finish(1)
        self.assertEqual(peer.responses(), [(1, 0)])
        self.finish(2)
        *responses, last = peer.pdus()
        self.assertEqual((len(responses), last), (1, RELEASE_RP))
        self.assertEqual(peer.state, "Sta13")

    def test_release_of_many(self) -> None:
        """Also when reading had paused before the release was read."""
        peer = self.associated()
        peer.send(*map(echo_rq, range(1000)), RELEASE_RQ)
        self.answer(lambda *_: Status.SUCCESS)
        self.finish(0)
        *responses, last = peer.pdus()
        self.assertEqual((len(responses), last), (1000, RELEASE_RP))


class CancelTests(OperationsCase):
    """C-CANCEL, and the end of the association before the answer."""

    def watch(self, message_id: int) -> list[int]:
        """Return a list that gets the message ID when that request is cancelled."""
        cancelled: list[int] = []
        self.service.contexts[message_id].on_cancel(lambda: cancelled.append(message_id))
        return cancelled

    def test_cancel(self) -> None:
        """The service is told; it still owes its answer."""
        peer = self.associated()
        peer.send(echo_rq(1))
        cancelled = self.watch(1)
        peer.send(cancel_rq(1))
        self.assertEqual(cancelled, [1])
        self.assertTrue(self.service.contexts[1].cancelled)
        self.assertEqual(peer.take(), b"")
        self.finish(1, Status.CANCEL)
        self.assertEqual(peer.responses(), [(1, 0xFE00)])

    def test_cancel_of_nothing(self) -> None:
        """One for what is answered, waits or never was changes nothing and has no answer."""
        peer = self.associated()
        peer.send(echo_rq(1), echo_rq(2), cancel_rq(2), cancel_rq(77), cancel_rq(0))
        self.finish(1)
        self.finish(2)
        self.assertEqual(peer.responses(), [(1, 0), (2, 0)])
        peer.send(cancel_rq(1))
        self.assertEqual((peer.take(), peer.state), (b"", "Sta6"))

    def test_cancel_watcher_fails(self) -> None:
        """A service that fails when it is told costs a line in the log and nothing else."""
        peer = self.associated()
        peer.send(echo_rq(1))

        def watcher() -> None:
            raise Trouble

        self.service.contexts[1].on_cancel(watcher)
        peer.send(cancel_rq(1))
        self.assertEqual(len(self.flushLoggedErrors(Trouble)), 1)
        self.finish(1)
        self.assertEqual(peer.responses(), [(1, 0)])

    def test_end(self) -> None:
        """At the end of the association what is being served is cancelled, once, all of it."""
        ends: dict[str, Callable[[Peer], None]] = {
            "abort": lambda peer: peer.send(ABORT),
            "close": Peer.close,
            "reset": Peer.reset,
            "error": lambda peer: peer.send(b"?"),
            "ours": lambda peer: peer.connection.association.abort(),
        }
        self.make_factory(services=[self.service], maximum_operations=2)
        for name, end in ends.items():
            self.service.cancelled.clear()
            peer = self.associated(associate_rq(user_items=window(2)))
            peer.send(*map(echo_rq, (1, 2, 3)))
            watched = self.watch(1), self.watch(2)
            end(peer)
            self.assertEqual(watched, ([1], [2]), name)
            self.assertEqual(self.service.cancelled, [1, 2], name)
            self.assertNotIn(3, self.service.pending, name)
            if not peer.is_closed:
                peer.close()
            self.assert_over(peer)
        self.assertEqual(self.events("handler-failure"), [])

    def test_end_watchers_fail(self) -> None:
        """Services that fail when they hear of the end hinder neither each other nor the end."""
        self.make_factory(services=[self.service], maximum_operations=3)
        peer = self.associated(associate_rq(user_items=window(3)))
        peer.send(*map(echo_rq, (1, 2, 3)))

        def watcher(*_: object) -> None:
            raise Trouble

        self.service.contexts[1].on_cancel(watcher)
        self.service.pending[2]._canceller = watcher
        last = self.watch(3)
        peer.close()
        self.assertEqual(last, [3])
        self.assertIn(3, self.service.cancelled)
        self.assertTrue(self.flushLoggedErrors(Trouble))
        self.assertEqual(len(self.events("lost")), 1)
        self.assert_over(peer)

    def test_answer_after_the_end(self) -> None:
        """A service that answers when nobody waits any more is not heard, and is no error."""
        pending: list[Deferred[Any]] = []

        def answer(*_: object) -> Deferred[Any]:
            pending.append(Deferred())
            return pending[-1]

        self.answer(answer)
        peer = self.associated()
        peer.send(echo_rq(1))
        peer.close()
        pending[0].callback(Status.SUCCESS)
        peer = self.associated()
        peer.send(echo_rq(1))
        peer.close()
        pending[1].errback(Trouble())
        self.assertEqual(self.lines(LogLevel.error), [])

    def test_paused_at_the_end(self) -> None:
        """Reading had paused when the association was aborted: the peer's close is seen."""
        peer = self.associated()
        peer.send(*map(echo_rq, range(100)))
        peer.connection.association.abort()
        peer.close()
        self.assert_over(peer)

    def test_stubborn_coroutine(self) -> None:
        """A coroutine that will not be cancelled is left alone."""

        async def answer(*_: object) -> Status:
            while True:
                try:
                    await Deferred()
                except CancelledError:
                    return Status.SUCCESS

        self.answer(answer)
        peer = self.associated()
        peer.send(echo_rq(1))
        peer.close()
        self.assert_over(peer)


class HandlerTimerTests(OperationsCase):
    """A service that does not answer, under the handler timer."""

    def setUp(self) -> None:
        super().setUp()
        self.make_factory(
            services=[self.service], timeouts=Timeouts(handler=10), maximum_operations=2
        )

    def test_never(self) -> None:
        """After its time the peer hears a failure, the service is cancelled, the rest goes on."""
        peer = self.associated()
        peer.send(echo_rq(1), echo_rq(2))
        self.reactor.wait(9.5, 0.5)
        self.assertEqual(peer.take(), b"")
        self.reactor.wait(1, 0.5)
        self.assertEqual(peer.responses(), [(1, FAILURE)])
        self.assertEqual(self.service.cancelled, [1])
        self.assertEqual(self.service.asked, [1, 2])
        self.finish(2)
        self.assertEqual(peer.responses(), [(2, 0)])
        self.assertEqual(len(self.events("handler-timeout")), 1)
        self.assertEqual(self.events("handler-failure"), [])
        self.reactor.wait(25)
        self.assertEqual(peer.state, "Sta6")

    def test_each_its_time(self) -> None:
        """The time of each runs from when it began to be served."""
        peer = self.associated(associate_rq(user_items=window(2)))
        peer.send(echo_rq(1))
        self.reactor.wait(6)
        peer.send(echo_rq(2), echo_rq(3))
        self.reactor.wait(4)
        self.assertEqual(peer.responses(), [(1, FAILURE)])
        self.reactor.wait(6)
        self.assertEqual(peer.responses(), [(2, FAILURE)])
        self.reactor.wait(4)
        self.assertEqual(peer.responses(), [(3, FAILURE)])

    def test_then_answers(self) -> None:
        """What the service says after that is not heard."""
        pending: list[Deferred[Any]] = []

        def answer(*_: object) -> Deferred[Any]:
            pending.append(Deferred(lambda _: None))
            return pending[-1]

        self.answer(answer)
        peer = self.associated()
        peer.send(echo_rq(1))
        self.reactor.wait(10)
        self.assertEqual(peer.responses(), [(1, FAILURE)])
        peer.send(echo_rq(1))
        self.assertTrue(pending[0].called)
        self.assertEqual(peer.take(), b"")
        pending[1].callback(Status.SUCCESS)
        self.reactor.run()
        self.assertEqual(peer.responses(), [(1, 0)])

    def test_release(self) -> None:
        """A release that waits for it is answered after the failure."""
        peer = self.associated()
        peer.send(echo_rq(1), RELEASE_RQ)
        self.reactor.wait(10)
        *responses, last = peer.pdus()
        self.assertEqual((len(responses), last), (1, RELEASE_RP))

    def test_off(self) -> None:
        """Without the timer a service has all the time, and the peer is not idle meanwhile."""
        self.make_factory(services=[self.service])
        peer = self.associated()
        peer.send(echo_rq(1))
        self.reactor.wait(3600, 30)
        self.finish(1)
        self.assertEqual(peer.responses(), [(1, 0)])
        self.reactor.wait(29)
        self.assertEqual(peer.state, "Sta6")
        self.reactor.wait(1)
        self.assertEqual(peer.take(), ABORT)


class FaultTests(OperationsCase):
    """An error of ours while an answer is on its way."""

    def test_later_answer(self) -> None:
        """An observer that raises at a later answer ends this association, and is no Unhandled."""

        class Observer:
            def transition(self, *_: object) -> None: ...

            def message(self, association: object, sent: bool, *_: object) -> None:
                if sent:
                    raise Trouble

        peer = self.associated()
        peer.connection.association.add_observer(Observer())
        peer.send(echo_rq(1), echo_rq(2))
        self.finish(1)
        self.assertTrue(peer.state in ("Sta13", "Sta1"), peer.state)
        self.assertEqual(len(self.flushLoggedErrors(Trouble)), 1)
        self.assertEqual(len(self.events("internal-error")), 1)
        peer.close()
        self.assert_over(peer)
