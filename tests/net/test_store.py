"""C-STORE on its way through a service: sinks, refusals, order, and what goes wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse import NO_DATA_SET, CEchoRQ, CStoreRQ, CStoreRSP, Response, Status
from pacs_twisted.errors import StatusFailure
from pacs_twisted.net import AcceptorFactory, ApplicationEntity, Timeouts
from pacs_twisted.pdu import AsynchronousOperationsWindow, UserInformation
from pacs_twisted.services import RequestContext, Verification
from pacs_twisted.testing import NoAnswer, ScriptedRequestor, associate_rq, message_pdus
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from tests.requirements import requirement

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
INSTANCE = "2.25.1"
DATA = bytes(range(256)) * 512


class Trouble(Exception):
    """What a service raises in these tests."""


class Sink:
    """A sink that keeps what it gets, and does what a test wants."""

    def __init__(self) -> None:
        self.data = b""
        self.result: Any = Status.SUCCESS
        self.limit: int | None = None
        self.error: Exception = StatusFailure(0xA700, "full")
        self.on_write: Callable[[], None] = lambda: None
        self.completed = self.abandoned = 0

    def write(self, fragments: Sequence[bytes | memoryview]) -> None:
        self.data += b"".join(fragments)
        self.on_write()
        if self.limit is not None and len(self.data) > self.limit:
            raise self.error

    def complete(self) -> Any:
        self.completed += 1
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def abandon(self) -> None:
        self.abandoned += 1


class Storage:
    """A storage service that opens a `Sink` unless a test wants something else."""

    sop_classes = {CT: [IMPLICIT_VR_LITTLE_ENDIAN]}  # noqa: RUF012

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.contexts: list[RequestContext] = []
        self.requests: list[CStoreRQ] = []
        self.prepare: Callable[[Sink], Any] = lambda sink: sink

    def c_store(self, request: CStoreRQ, context: RequestContext) -> Any:
        self.requests.append(request)
        self.contexts.append(context)
        sink = Sink()
        self.sinks.append(sink)
        return self.prepare(sink)


def having(change: Callable[..., None]) -> Callable[[Sink], Sink]:
    """Return a preparation that changes the sink and gives it out."""

    def prepare(sink: Sink) -> Sink:
        change(sink)
        return sink

    return prepare


class StoreCase(SynchronousTestCase):
    """A server with a `Storage`, and a requestor that has an association with it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.service = Storage()
        self.associate()

    def associate(self, window: int = 1, **options: Any) -> None:
        """Ask anew for an association with a window of so many operations."""
        self.factory = AcceptorFactory(
            ApplicationEntity("STORE", [Verification(), self.service]),
            reactor=self.clock,
            maximum_operations=window,
            **options,
        )
        self.requestor = ScriptedRequestor(self.factory, self.clock)
        self.requestor.associate(
            associate_rq(
                (CT, VERIFICATION, MR),
                user_information=UserInformation(
                    16384,
                    "2.25.2",
                    asynchronous_operations_window=AsynchronousOperationsWindow(window, 1),
                ),
            )
        )

    def store(self, data: bytes = DATA, **fields: Any) -> Response:
        """Send a C-STORE-RQ and return its answer."""
        return self.requestor.request(self.rq(**fields), data)

    def rq(self, sop_class: str = CT, message_id: int | None = None) -> CStoreRQ:
        """Return a C-STORE-RQ."""
        return CStoreRQ(message_id or self.requestor.next_message_id(), sop_class, INSTANCE)

    def send(self, data: bytes = DATA, message_id: int | None = None) -> int:
        """Send a C-STORE-RQ, wait for nothing, and return its message ID."""
        rq = self.rq(message_id=message_id)
        self.requestor.send(rq, data)
        self.requestor.pump.flush()
        return rq.message_id

    def begin(self, part: bytes = DATA) -> None:
        """Send a C-STORE-RQ and a first part of its data set."""
        rq = self.rq()
        pdus = message_pdus(rq, part)
        pdus = pdus[: -len(part) % 16378 - 16378]  # never the last fragment
        self.requestor.pump.client_transport.write(pdus)
        self.requestor.pump.flush()

    @property
    def answers(self) -> list[tuple[int, int]]:
        """Message ID and status of all answers that came."""
        return [
            (response.message_id_being_responded_to, int(response.status))
            for response in self.requestor.responses
            if isinstance(response, Response)
        ]

    def assert_lives(self) -> None:
        """Assert that the association goes on, and gives everything back at its end."""
        self.assertEqual(self.requestor.echo().status, Status.SUCCESS)
        self.requestor.release()
        self.assertEqual(self.factory.associations, {})


class SinkTests(StoreCase):
    """What goes to the sink, and what it may answer."""

    @requirement("K2", "K3", "I5", "I9")
    def test_success(self) -> None:
        """The sink gets every byte, and answers when they are all there."""
        response = self.store()
        [sink] = self.service.sinks
        self.assertEqual((sink.data, sink.completed, sink.abandoned), (DATA, 1, 0))
        self.assertEqual(response, CStoreRSP(1, Status.SUCCESS, CT, INSTANCE))
        self.assertFalse(response.has_data_set)
        self.assert_lives()

    @requirement("K3")
    def test_success_before_the_end(self) -> None:
        """While a byte is missing nothing is answered."""
        self.begin()
        self.assertEqual(self.answers, [])
        self.assertEqual(self.service.sinks[0].completed, 0)

    def test_later(self) -> None:
        """A sink may answer later, and the next request waits so long."""
        answer: Deferred[Status] = Deferred()
        self.service.prepare = having(lambda sink: setattr(sink, "result", answer))
        self.send()
        self.requestor.send(CEchoRQ(7))
        self.requestor.pump.flush()
        self.assertEqual(self.answers, [])
        answer.callback(Status.ELEMENTS_DISCARDED)
        self.requestor.pump.flush()
        self.assertEqual(self.answers, [(1, 0xB006), (7, 0)])
        self.assert_lives()

    def test_coroutine(self) -> None:
        """A sink may answer by a coroutine."""

        async def answer() -> Status:
            return await succeed(Status.SUCCESS)

        self.service.prepare = having(lambda sink: setattr(sink, "result", answer()))
        self.assertEqual(self.store().status, Status.SUCCESS)
        self.assert_lives()

    def test_status_failure_at_the_end(self) -> None:
        """A failure at the end is answered with its status and its words."""
        for failure in StatusFailure(0xA900, "no match"), StatusFailure(0xC001, "x" * 80):
            self.service.prepare = having(
                lambda sink, failure=failure: setattr(sink, "result", failure)
            )
            response: Any = self.store()
            self.assertEqual(response.status, failure.status)
            self.assertEqual(response.error_comment, failure.comment[:64])
        self.assertEqual([sink.abandoned for sink in self.service.sinks], [0, 0])
        self.assert_lives()

    def test_no_status_at_all(self) -> None:
        """A number that no status has is an error of the service, and ends no association."""
        self.service.prepare = having(lambda sink: setattr(sink, "result", StatusFailure(0x1A700)))
        self.assertEqual(self.store().status, Status.PROCESSING_FAILURE)
        self.assertEqual(len(self.flushLoggedErrors(StatusFailure)), 1)
        self.assert_lives()

    def test_error_at_the_end(self) -> None:
        """An error of the service is a status, and a traceback in the log."""
        self.service.prepare = having(lambda sink: setattr(sink, "result", Trouble()))
        self.assertEqual(self.store().status, Status.PROCESSING_FAILURE)
        self.assertEqual(len(self.flushLoggedErrors(Trouble)), 1)
        self.assert_lives()

    @requirement("K5", "K7")
    def test_early_failure(self) -> None:
        """What a sink refuses is answered at once; the rest is read and thrown away."""
        self.service.prepare = having(lambda sink: setattr(sink, "limit", 20000))
        self.requestor.pump.chunk_size = 4096
        self.begin()
        [sink] = self.service.sinks
        self.assertEqual(self.answers, [(1, 0xA700)])
        self.assertEqual((sink.completed, sink.abandoned), (0, 1))
        self.assertLess(len(sink.data), len(DATA) // 2)

    @requirement("K7")
    def test_rest_after_an_early_failure(self) -> None:
        """There is one answer, and the association goes on."""
        self.service.prepare = having(lambda sink: setattr(sink, "limit", 20000))
        self.assertEqual(self.store().status, 0xA700)
        self.assertEqual(self.store().status, 0xA700)
        self.assertEqual(self.answers, [(1, 0xA700), (2, 0xA700)])
        self.assert_lives()

    def test_error_in_a_sink(self) -> None:
        """An error while the data set flows is a status, and a traceback in the log."""

        def prepare(sink: Sink) -> Sink:
            sink.limit, sink.error = 0, Trouble()
            return sink

        self.service.prepare = prepare
        self.assertEqual(self.store().status, Status.PROCESSING_FAILURE)
        self.assertEqual(len(self.flushLoggedErrors(Trouble)), 1)
        self.assert_lives()

    def test_connection_lost(self) -> None:
        """A sink is told, once, when the rest will never come."""
        self.begin()
        self.requestor.pump.lose()
        [sink] = self.service.sinks
        self.assertEqual((sink.completed, sink.abandoned), (0, 1))
        self.assertEqual(self.factory.associations, {})

    def test_connection_lost_before_the_answer(self) -> None:
        """What nobody waits for any more is cancelled; the sink has had its end."""
        answer: Deferred[Status] = Deferred()
        self.service.prepare = having(lambda sink: setattr(sink, "result", answer))
        self.send()
        self.requestor.pump.lose()
        self.assertTrue(answer.called)
        [sink] = self.service.sinks
        self.assertEqual((sink.completed, sink.abandoned), (1, 0))
        self.assertTrue(self.service.contexts[0].cancelled)

    def test_silence_inside_a_data_set(self) -> None:
        """A peer that falls silent in the middle is timed out, though an operation runs."""
        self.begin()
        self.requestor.advance(31)
        self.assertIsNotNone(self.requestor.ending)
        self.assertEqual(self.service.sinks[0].abandoned, 1)

    def test_silence_while_the_service_works(self) -> None:
        """A peer that waits for us is not timed out."""
        self.service.prepare = having(lambda sink: setattr(sink, "result", Deferred()))
        self.send()
        self.requestor.advance(1000)
        self.assertIsNone(self.requestor.ending)

    def test_handler_timeout(self) -> None:
        """The handler timer watches from the end of the data set."""
        self.service = Storage()
        self.associate(timeouts=Timeouts(handler=5, idle=0))
        answer: Deferred[Status] = Deferred()
        self.service.prepare = having(lambda sink: setattr(sink, "result", answer))
        self.send()
        self.requestor.advance(4)
        self.assertEqual(self.answers, [])
        self.requestor.advance(2)
        self.assertEqual(self.answers, [(1, Status.PROCESSING_FAILURE)])
        self.assertTrue(answer.called)
        self.assert_lives()


class OpenTests(StoreCase):
    """How a service opens a sink, or refuses to."""

    def test_refused(self) -> None:
        """A status instead of a sink refuses, and the data set is thrown away."""
        self.service.prepare = lambda sink: Status.NOT_AUTHORIZED
        self.assertEqual(self.store().status, Status.NOT_AUTHORIZED)
        self.assertEqual(self.answers, [(1, 0x0124)])
        self.assert_lives()

    def test_status_failure(self) -> None:
        """So does a failure, with words."""

        def refuse(sink: Sink) -> Any:
            raise StatusFailure(0xA700, "no room")

        self.service.prepare = refuse
        response: Any = self.store()
        self.assertEqual((response.status, response.error_comment), (0xA700, "no room"))
        self.assert_lives()

    def test_no_sink(self) -> None:
        """What is neither a sink nor a status is an error of the service."""
        self.service.prepare = lambda sink: None
        self.assertEqual(self.store().status, Status.PROCESSING_FAILURE)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assert_lives()

    def test_later(self) -> None:
        """A sink may be opened later; until then the peer is not read, and nothing is lost."""
        opened: Deferred[Sink] = Deferred()
        self.service.prepare = lambda sink: opened
        self.send(DATA * 4)
        transport = self.requestor.pump.server_transport
        self.assertFalse(transport.reading)
        opened.callback(self.service.sinks[0])
        self.requestor.pump.flush()
        self.assertEqual(self.service.sinks[0].data, DATA * 4)
        self.assertEqual(self.answers, [(1, 0)])
        self.assert_lives()

    def test_refused_later(self) -> None:
        """A sink may be refused later."""
        opened: Deferred[Any] = Deferred()
        self.service.prepare = lambda sink: opened
        self.send()
        opened.errback(StatusFailure(0xA700))
        self.requestor.pump.flush()
        self.assertEqual(self.answers, [(1, 0xA700)])
        self.assert_lives()

    def test_never(self) -> None:
        """The handler timer watches the opening, too; what comes then is thrown away."""
        self.service = Storage()
        self.associate(timeouts=Timeouts(handler=5))

        async def wait_for_ever() -> Sink:
            while True:
                with contextlib.suppress(CancelledError):
                    await Deferred()

        self.service.prepare = lambda sink: wait_for_ever()
        self.send(DATA * 4)
        self.requestor.advance(4)
        self.assertEqual(self.answers, [])
        self.requestor.advance(2)
        self.assertEqual(self.answers, [(1, Status.PROCESSING_FAILURE)])
        self.service.prepare = lambda sink: sink
        self.assertEqual(self.store().status, Status.SUCCESS)
        self.assert_lives()

    def test_lost_before_it_opens(self) -> None:
        """A sink that comes too late is given back."""
        cancelled: list[Deferred[Any]] = []
        opened: Deferred[Any] = Deferred(cancelled.append)
        self.service.prepare = lambda sink: opened
        self.send()
        self.requestor.pump.server_transport.resumeProducing()
        self.requestor.pump.lose()
        self.assertEqual(cancelled, [opened])
        self.assertEqual(self.factory.associations, {})

    def test_opened_too_late(self) -> None:
        """Whoever ignores the cancellation has its sink abandoned."""
        opened: Deferred[Any] = Deferred(lambda deferred: None)
        sink = Sink()

        async def open_sink() -> Sink:
            with contextlib.suppress(CancelledError):
                await opened
            return sink

        self.service.prepare = lambda _: open_sink()
        self.send()
        self.requestor.pump.lose()
        self.assertEqual(sink.abandoned, 1)

    @requirement("I8")
    def test_wrong_sop_class(self) -> None:
        """Another SOP class than the context's is answered 0122H, and the service is not asked."""
        context_id = next(iter(self.requestor.association.contexts))
        response = self.requestor.request(self.rq(MR), DATA, context_id=context_id)
        self.assertEqual(response.status, Status.SOP_CLASS_NOT_SUPPORTED)
        self.assertEqual(self.service.requests, [])
        self.assert_lives()

    @requirement("I8")
    def test_operation_not_provided(self) -> None:
        """A C-STORE where only Verification was agreed on is answered 0211H."""
        response = self.requestor.request(CStoreRQ(9, VERIFICATION, INSTANCE), DATA, context_id=3)
        self.assertEqual(response.status, Status.UNRECOGNIZED_OPERATION)
        self.assert_lives()


class NoDataSetTests(StoreCase):
    """A C-STORE-RQ that says that no data set follows."""

    def test_sink(self) -> None:
        """The sink is asked what it makes of it; that is no error of ours."""
        self.service.prepare = having(
            lambda sink: setattr(sink, "result", StatusFailure(0xC000, "empty"))
        )
        rq = CStoreRQ(4, CT, INSTANCE, command_data_set_type=NO_DATA_SET)
        self.assertEqual(self.requestor.request(rq).status, Status.CANNOT_UNDERSTAND)
        self.assertEqual(self.service.sinks[0].completed, 1)
        self.assert_lives()

    def test_opened_later(self) -> None:
        """Also when it opens later."""
        opened: Deferred[Sink] = Deferred()
        self.service.prepare = lambda sink: opened
        rq = CStoreRQ(4, CT, INSTANCE, command_data_set_type=NO_DATA_SET)
        self.assertRaises(NoAnswer, self.requestor.request, rq)
        opened.callback(self.service.sinks[0])
        self.requestor.pump.flush()
        self.assertEqual(self.answers, [(4, 0)])
        self.assert_lives()


class OrderTests(StoreCase):
    """More requests than one."""

    def test_synchronous(self) -> None:
        """The second of two is not begun before the first is answered, and loses nothing."""
        answers: list[Deferred[Status]] = [Deferred(), Deferred()]
        waiting = list(answers)
        self.service.prepare = having(lambda sink: setattr(sink, "result", waiting.pop(0)))
        self.send()
        self.send(DATA[::-1])
        self.assertEqual(len(self.service.sinks), 1)
        self.assertFalse(self.requestor.pump.server_transport.reading)
        answers[0].callback(Status.SUCCESS)
        self.requestor.pump.flush()
        self.assertEqual(len(self.service.sinks), 2)
        self.assertEqual(self.service.sinks[1].data, DATA[::-1])
        answers[1].callback(Status.SUCCESS)
        self.requestor.pump.flush()
        self.assertEqual(self.answers, [(1, 0), (2, 0)])
        self.assert_lives()

    def test_small_one_waits_whole(self) -> None:
        """A data set that came whole while it had to wait is served when its turn comes."""
        answers: list[Deferred[Status]] = [Deferred(), Deferred()]
        waiting = list(answers)
        self.service.prepare = having(lambda sink: setattr(sink, "result", waiting.pop(0)))
        for data in b"12", b"34":
            self.requestor.send(self.rq(), data)
        self.requestor.send(CEchoRQ(9))
        self.requestor.pump.flush()
        self.assertEqual(len(self.service.sinks), 1)
        answers[0].callback(Status.SUCCESS)
        answers[1].callback(Status.SUCCESS)
        self.requestor.pump.flush()
        self.assertEqual([sink.data for sink in self.service.sinks], [b"12", b"34"])
        self.assertEqual(self.answers, [(1, 0), (2, 0), (9, 0)])
        self.assert_lives()

    def test_window(self) -> None:
        """Within the window the next is begun while the first is not answered."""
        self.associate(window=2)
        answers: list[Deferred[Status]] = [Deferred(), Deferred()]
        waiting = list(answers)
        self.service.prepare = having(lambda sink: setattr(sink, "result", waiting.pop(0)))
        self.send()
        self.send(DATA[::-1])
        self.assertEqual([sink.completed for sink in self.service.sinks], [1, 1])
        answers[1].callback(Status.SUCCESS)
        answers[0].callback(Status.SUCCESS)
        self.requestor.pump.flush()
        self.assertEqual(self.answers, [(2, 0), (1, 0)])
        self.assert_lives()

    @requirement("I6")
    def test_duplicate(self) -> None:
        """A message ID that is in use is answered 0210H; the first goes its way."""
        self.associate(window=2)
        answer: Deferred[Status] = Deferred()
        self.service.prepare = having(lambda sink: setattr(sink, "result", answer))
        self.send(message_id=5)
        self.send(message_id=5)
        self.assertEqual(self.answers, [(5, 0x0210)])
        answer.callback(Status.SUCCESS)
        self.requestor.pump.flush()
        self.assertEqual(self.answers, [(5, 0x0210), (5, 0)])
        self.assertEqual(len(self.service.sinks), 1)
        self.assert_lives()

    def test_lost_while_one_waits(self) -> None:
        """One that has not begun when the association ends has no sink to be told."""
        answer: Deferred[Status] = Deferred()
        self.service.prepare = having(lambda sink: setattr(sink, "result", answer))
        self.send()
        self.send()
        self.requestor.abort()
        self.requestor.pump.lose()
        self.assertEqual(len(self.service.sinks), 1)
        self.assertEqual(self.factory.associations, {})

    def test_release_waits(self) -> None:
        """A release is answered after the requests before it."""
        answer: Deferred[Status] = Deferred()
        self.service.prepare = having(lambda sink: setattr(sink, "result", answer))
        self.send()
        self.assertRaises(NoAnswer, self.requestor.release)
        answer.callback(Status.SUCCESS)
        self.requestor.pump.flush()
        self.assertEqual(self.answers, [(1, 0)])
        self.assertEqual(self.factory.associations, {})


class FlowTests(StoreCase):
    """Back-pressure by the service."""

    def test_pause(self) -> None:
        """A service that is slow stops the peer, and lets it go on."""
        contexts = self.service.contexts
        self.service.prepare = having(lambda sink: contexts[0].pause())
        self.requestor.send(self.rq(), DATA * 40)
        self.requestor.pump.flush()
        transport = self.requestor.pump.server_transport
        self.assertFalse(transport.reading)
        self.assertLess(len(self.service.sinks[0].data), len(DATA) * 4)
        contexts[0].pause()  # has no further effect
        contexts[0].resume()
        self.requestor.pump.flush()
        self.assertEqual(self.service.sinks[0].data, DATA * 40)
        self.assertEqual(self.answers, [(1, 0)])
        self.assert_lives()

    def test_never_resumed(self) -> None:
        """A service that forgets to resume holds the peer no longer than its request."""
        contexts = self.service.contexts
        self.service.prepare = having(
            lambda sink: setattr(sink, "on_write", lambda: contexts[-1].pause())
        )
        self.assertEqual(self.store(b"1234").status, Status.SUCCESS)
        contexts[0].resume()  # too late, and without effect
        self.assert_lives()

    def test_paused_at_the_end(self) -> None:
        """The end of the association is seen when a paused service is done with it."""
        contexts = self.service.contexts
        self.service.prepare = having(lambda sink: contexts[0].pause())
        self.requestor.send(self.rq(), DATA * 40)
        self.requestor.pump.flush()
        self.requestor.pump.lose()
        self.assertEqual(self.service.sinks[0].abandoned, 1)
        self.assertEqual(self.factory.associations, {})
