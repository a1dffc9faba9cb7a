"""Requests of our own: in which order they go, how many at a time, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from pacs_twisted.dimse import (
    CEchoRQ,
    CFindRQ,
    CFindRSP,
    CMoveRQ,
    CMoveRSP,
    CStoreRSP,
    Priority,
    Status,
)
from pacs_twisted.errors import (
    AssociationAborted,
    AssociationReleased,
    NoPresentationContext,
    SourceFailed,
    TimedOut,
)
from pacs_twisted.net import BytesSource, Timeouts
from pacs_twisted.net.requests import Requests
from pacs_twisted.uids import VERIFICATION
from tests.net.memory import P_DATA, split_pdus
from tests.net.requesting import (
    CT,
    DATA,
    INSTANCE,
    Peer,
    RequestorCase,
    Source,
    Trouble,
    Waiter,
    store_rq,
)
from tests.requirements import requirement

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PENDING = 0xFF00
OUT_OF_RESOURCES = 0xA700


class EchoTests(RequestorCase):
    """The plainest request."""

    def test_echo(self) -> None:
        """An echo gets its response, and the association is released."""
        self.establish(Peer(status=Status.SUCCESS))
        self.assertEqual(self.echo().result, CEchoRQ(1).respond(Status.SUCCESS))
        self.assertEqual(self.echo().result, CEchoRQ(2).respond(Status.SUCCESS))
        self.assert_released()

    def test_failure_is_a_result(self) -> None:
        """A response with any status is a result, and no error."""
        self.establish(Peer(status=Status.SOP_CLASS_NOT_SUPPORTED))
        self.assertEqual(self.echo().result.status, Status.SOP_CLASS_NOT_SUPPORTED)
        self.assert_released()

    def test_no_context(self) -> None:
        """Without a context for it nothing is sent, and a source is closed."""
        self.establish(contexts=[VERIFICATION])
        source = Source()
        self.assertRaises(NoPresentationContext, self.peer.store, CT, INSTANCE, source)
        self.assertRaises(NoPresentationContext, self.peer.send, store_rq(), source)
        self.assertEqual(source.closed, 2)
        self.assert_released()

    def test_disagreement(self) -> None:
        """A data set without need, or a need without data set, is the caller's mistake."""
        self.establish()
        source = Source()
        self.assertRaises(ValueError, self.peer.send, CEchoRQ(1), source)
        self.assertEqual(source.closed, 1)
        self.assertRaises(ValueError, self.peer.send, store_rq())
        self.assert_released()


class StoreTests(RequestorCase):
    """Data sets on their way out."""

    def setUp(self) -> None:
        super().setUp()
        self.establish(Peer(status=Status.SUCCESS))

    @requirement("K1", "G5")
    def test_bytes(self) -> None:
        """A data set that is there goes out whole, behind its C-STORE-RQ."""
        waiter = self.store()
        self.assertEqual(waiter.result, store_rq().respond(Status.SUCCESS))
        self.assertEqual(self.server.requests, [store_rq()])
        self.assertEqual(self.server.data_sets, [DATA])
        self.assert_released()

    @requirement("K1")
    def test_fields(self) -> None:
        """Priority and the originator of a C-MOVE go out as they are given."""
        self.store(
            priority=Priority.LOW,
            move_originator_application_entity_title="MOVER",
            move_originator_message_id=77,
        )
        (request,) = self.server.requests
        self.assertEqual(
            (
                request.priority,
                request.move_originator_application_entity_title,
                request.move_originator_message_id,
            ),
            (2, "MOVER", 77),
        )

    @requirement("G5")
    def test_no_bytes(self) -> None:
        """What is no data set is refused in words, and the association is none the worse."""
        for value in ("text", None, 5, Path("file")):
            wrong: Any = value
            with self.assertRaises(TypeError) as raised:
                self.peer.store(CT, INSTANCE, wrong)
            self.assertIn("bytes or a DataSetSource, not", str(raised.exception))
        self.assertEqual(self.peer.outstanding, 0)
        self.assert_released()

    def test_odd(self) -> None:
        """Bytes of an odd number get a NUL behind them; any buffer of bytes will do."""
        for data in (b"odd", bytearray(b"odd"), memoryview(b"odd")):
            self.assertEqual(self.store(data).result.status, 0)
        self.assertEqual(self.server.data_sets, [b"odd\0"] * 3)

    def test_large_bytes(self) -> None:
        """Many bytes are read piece by piece, so that no copy of all of them is made."""
        source = BytesSource(bytes(5 << 20))
        pieces: list[int] = []
        while sum(pieces) < source.length:
            pieces.append(len(source.read()))
        self.assertEqual((sum(pieces), max(pieces)), (5 << 20, 1 << 20))

    def test_empty(self) -> None:
        """A data set without bytes cannot be sent; the association goes on."""
        self.assertIsInstance(self.store(b"").error, ValueError)
        self.assertEqual(self.store().result.status, 0)
        self.assertEqual(self.server.data_sets, [DATA])

    def sources(self) -> dict[str, Callable[[], Any]]:
        """Return ways to give a piece."""

        async def coroutine() -> bytes:
            return b"piece!"

        async def slow_coroutine() -> bytes:
            await later()
            return b"piece!"

        def later() -> Deferred[bytes]:
            deferred: Deferred[bytes] = Deferred()
            self.clock.callLater(1, deferred.callback, b"piece!")
            return deferred

        return {
            "bytes": lambda: b"piece!",
            "view": lambda: memoryview(b"piece!"),
            "Deferred that has fired": lambda: succeed(b"piece!"),
            "Deferred": later,
            "coroutine": coroutine,
            "slow coroutine": slow_coroutine,
        }

    def test_sources(self) -> None:
        """A source gives its pieces now or later, one after the other, and is closed once."""
        for name, piece in self.sources().items():
            source = Source([piece] * 5, length=30)
            waiter = self.store(source)
            self.endpoint.advance(5)
            self.assertEqual(waiter.result.status, Status.SUCCESS, name)
            self.assertEqual((source.reads, source.closed), (5, 1), name)
            self.assertEqual(self.server.data_sets[-1], b"piece!" * 5, name)
        self.assert_released()

    def test_one_after_the_other(self) -> None:
        """While a piece is awaited nothing more is read, and no other request goes out."""
        first: Deferred[bytes] = Deferred()
        source = Source([lambda: first, b"34"], length=4)
        store = self.store(source)
        echo = self.echo()
        self.assertEqual((source.reads, store.results, echo.results), (1, [], []))
        first.callback(b"12")
        self.flush()
        self.assertEqual((store.result.status, echo.result.status), (0, 0))
        self.assertEqual(self.server.data_sets, [b"1234"])

    def test_words(self) -> None:
        """The log says what was the matter, but neither a path nor what is in an object."""
        path = "/archive/SOMEBODY.dcm"
        for error, words in (
            (OSError(5, "Input/output error", path), "Input/output error"),
            (Trouble("SOMEBODY"), "Trouble"),
        ):
            with capturedLogs() as events:
                self.establish()
                waiter = self.store(Source([DATA, error], length=len(DATA) + 4))
                self.flush()
            self.assertEqual(str(waiter.error), f"a data set could not be read: {words}")
            self.assertIs(waiter.error.__cause__, error)
            self.assertNotIn("SOMEBODY", " ".join(map(formatEvent, events)))

    def test_failing(self) -> None:
        """A source that fails in the middle ends the association; who waits is told why."""

        def refuse() -> Deferred[bytes]:
            deferred: Deferred[bytes] = Deferred()
            self.clock.callLater(1, deferred.errback, Trouble("disk"))
            return deferred

        async def fail() -> bytes:
            raise Trouble("disk")

        for last in (Trouble("disk"), refuse, fail, b"odd", b"", b"much too long", None):
            self.establish()
            source = Source([DATA, last], length=len(DATA) + 4)
            waiters = [self.store(source), self.echo()]
            self.endpoint.advance(1)
            for waiter in waiters:
                self.assertIsInstance(waiter.error, SourceFailed, last)
                self.assertEqual(waiter.error.state, "Sta6")
            self.assertEqual(source.closed, 1, last)
            self.assertEqual(self.server.pdu_types[-1], 7)
            self.endpoint.advance(100)
            self.assert_nothing_left()
        self.assertIsInstance(waiters[0].error.__cause__, Exception)

    def test_failing_to_begin(self) -> None:
        """A request that cannot even begin fails alone: the next one goes out."""

        class Broken(Source):
            @property
            def length(self) -> int:
                raise Trouble("no such file")

            @length.setter
            def length(self, value: int) -> None: ...

        for source in (Broken(), Source(length=3), Source(length=-2)):
            waiter = self.store(source)
            self.assertIsInstance(waiter.error, Trouble | ValueError)
            self.assertEqual((source.closed, source.reads), (1, 0))
        for wrong in ("é", 5):
            uid: Any = wrong
            waiter = Waiter(self.peer.store(uid, INSTANCE, DATA, context=self.peer.contexts[3]))
            self.assertIsInstance(waiter.error, ValueError | AttributeError)
        self.assertEqual(self.store().result.status, 0)
        self.assert_released()

    def test_failing_to_begin_later(self) -> None:
        """The same if its turn comes when a response has come: nobody waits for ever."""

        class Broken(Source):
            @property
            def length(self) -> int:
                raise Trouble("no such file")

            @length.setter
            def length(self, value: int) -> None: ...

        self.assert_released()
        self.establish()
        first = self.echo()
        source = Broken()
        broken = self.store(source)
        last = self.echo()
        self.server.respond(0)
        self.flush()
        self.assertEqual(first.result.status, 0)
        self.assertIsInstance(broken.error, Trouble)
        self.assertEqual(source.closed, 1)
        self.server.respond(1)
        self.flush()
        self.assertEqual(last.result.status, 0)
        self.assert_released()

    def test_failing_to_close(self) -> None:
        """A source that cannot be closed harms nobody."""

        class Stuck(Source):
            def close(self) -> None:
                raise Trouble("stuck")

        self.assertEqual(self.store(Stuck()).result.status, 0)
        self.assertEqual(len(self.flushLoggedErrors(Trouble)), 1)
        self.assertEqual(len(self.events("internal-error")), 1)
        self.log.clear()
        self.assert_released()


class AnyPiecesTests(RequestorCase):
    """Data sets of any shape."""

    @settings(max_examples=40)
    @given(
        st.lists(st.integers(1, 40_000).map(lambda half: 2 * half), min_size=1, max_size=12),
        st.sampled_from([8, 20, 4096, 16384, 131072]),
        st.sampled_from([1000, 65536, 262144]),
        st.integers(0, 3),
    )
    def test_any_pieces(
        self, lengths: list[int], maximum_length: int, capacity: int, delays: int
    ) -> None:
        """However a data set comes in pieces, and the peer takes it, it arrives as it is."""
        self.clock = Clock()
        lengths = [min(length, 100 * maximum_length) for length in lengths]

        def piece(number: int, length: int) -> Any:
            data = bytes([number]) * length
            if number % (delays + 1):
                deferred: Deferred[bytes] = Deferred()
                self.clock.callLater(0.001, deferred.callback, data)
                return lambda: deferred
            return data

        pieces = [piece(number, length) for number, length in enumerate(lengths)]
        whole = b"".join(bytes([number]) * length for number, length in enumerate(lengths))
        self.establish(
            Peer(status=Status.SUCCESS, maximum_length=maximum_length), capacity=capacity
        )
        waiter = self.store(Source(pieces, length=len(whole)))
        self.endpoint.advance(0.1)
        self.assertEqual(waiter.result.status, 0)
        self.assertEqual(self.server.data_sets, [whole])
        for pdu in split_pdus(bytes(self.server.data)):
            if pdu[0] == P_DATA:
                self.assertLessEqual(len(pdu) - 6, maximum_length)
        self.assert_released()


class EarlyResponseTests(RequestorCase):
    """Responses that come before the data set has gone."""

    def begin(self) -> tuple[Waiter, Deferred[bytes], Source]:
        """Begin a data set of three pieces, and stop before the second."""
        self.establish()
        second: Deferred[bytes] = Deferred()
        source = Source([b"11", lambda: second, b"33"], length=6)
        waiter = self.store(source)
        return waiter, second, source

    @requirement("K6")
    def test_failure(self) -> None:
        """After an early failure the data set ends with the piece that comes next."""
        for status in (OUT_OF_RESOURCES, 0xA912, 0xC123, 0x0122):
            waiter, second, source = self.begin()
            self.server.tell(store_rq().respond(Status(status)))
            self.flush()
            self.assertEqual(waiter.results, [])
            second.callback(b"22")
            self.flush()
            self.assertEqual(waiter.result.status, status)
            self.assertEqual(self.server.data_sets, [b"1122"])
            self.assertEqual(self.server.requests, [store_rq()])  # whole: with a last fragment
            self.assertEqual((source.closed, source.reads), (1, 2))
            self.assert_released()

    @requirement("K6")
    def test_success(self) -> None:
        """An early success or warning does not end the data set: all of it is sent."""
        for status in (0, 0xB007):
            waiter, second, source = self.begin()
            self.server.tell(store_rq().respond(Status(status)))
            self.flush()
            self.assertEqual(waiter.results, [])
            second.callback(b"22")
            self.flush()
            self.assertEqual(waiter.result.status, status)
            self.assertEqual(self.server.data_sets, [b"112233"])
            self.assertEqual(source.closed, 1)
            self.assert_released()

    @requirement("K6")
    def test_no_response(self) -> None:
        """Without a response a data set that cannot go on is not ended as if it were whole."""
        _, second, _ = self.begin()
        second.errback(Trouble("disk"))
        self.flush()
        self.assertEqual(self.server.requests, [])
        self.assertTrue(self.server.user.sinks[0].abandoned)

    def test_pending(self) -> None:
        """A pending status while we still send does not start the DIMSE timer."""
        self.establish(timeouts=Timeouts(dimse=10), contexts=[FIND])
        second: Deferred[bytes] = Deferred()
        source = Source([b"11", lambda: second], length=4)
        waiter = Waiter(self.peer.send(CFindRQ(0, FIND), source))
        self.flush()
        self.server.tell(CFindRSP(1, Status.PENDING))
        self.endpoint.advance(25)
        second.callback(b"22")
        self.flush()
        self.server.respond()
        self.flush()
        self.assertEqual(waiter.result.status, 0)


class WindowTests(RequestorCase):
    """How many requests are on their way at a time."""

    @requirement("I7", "E6")
    def test_windows(self) -> None:
        """No more are outstanding than both sides have agreed on; the others wait their turn."""
        for ours, theirs, window in (
            (1, None, 1),
            (1, 5, 1),  # answered though not asked for
            (3, None, 1),
            (3, 2, 2),
            (2, 7, 2),
            (0, 4, 4),
            (4, 0, 4),
            (0, 0, 0),
        ):
            peer = self.establish(Peer(window=theirs), maximum_operations=ours)
            self.assertEqual(peer.window, window)
            waiters = [self.echo() for _ in range(9)]
            self.assertEqual(peer.outstanding, 9)
            most = 0
            for answered in range(9):
                most = max(most, len(self.server.requests) - answered)
                self.server.respond(answered)
                self.flush()
                self.assertEqual(
                    [len(waiter.results) for waiter in waiters],
                    [1] * (answered + 1) + [0] * (8 - answered),
                )
            self.assertEqual(most, window or 9)
            self.assert_released()

    @requirement("I7")
    @given(st.integers(1, 5), st.lists(st.integers(0, 8), max_size=40))
    def test_never_more(self, window: int, steps: list[int]) -> None:
        """Whatever is asked and answered in whatever order, the window is kept."""
        self.establish(Peer(window=window), maximum_operations=window)
        waiters: list[Waiter] = []
        unanswered: list[Any] = []
        seen = 0
        for step in steps:
            if step > 5 and unanswered:
                self.server.respond(unanswered.pop(step % len(unanswered)))
                self.flush()
            elif step % 2:
                waiters.append(self.echo())
            else:
                waiters.append(self.store(b"1234"))
            unanswered += self.server.requests[seen:]
            seen = len(self.server.requests)
            self.assertLessEqual(len(unanswered), window)
        while unanswered:
            self.server.respond(unanswered.pop())
            self.flush()
            unanswered += self.server.requests[seen:]
            seen = len(self.server.requests)
        for waiter in waiters:
            self.assertEqual(waiter.result.status, 0)
        self.assert_released()

    def test_out_of_order(self) -> None:
        """Responses in any order find their requests."""
        self.establish(Peer(window=4), maximum_operations=4)
        waiters = [self.echo(), self.store(), self.echo(), self.store()]
        for number, status in ((2, 0x0110), (0, 0x0122), (3, 0xB000), (1, 0)):
            self.server.respond(number, status)
        self.flush()
        self.assertEqual([waiter.result.status for waiter in waiters], [0x0122, 0, 0x0110, 0xB000])
        self.assertEqual(
            [waiter.result.message_id_being_responded_to for waiter in waiters], [1, 2, 3, 4]
        )

    @requirement("G4")
    def test_data_sets_are_not_mixed(self) -> None:
        """Several data sets at a time follow each other; what comes between waits."""
        self.establish(Peer(window=0, status=Status.SUCCESS), maximum_operations=0)
        first: Deferred[bytes] = Deferred()
        waiters = [
            self.store(Source([b"11", lambda: first], length=4)),
            self.store(Source([b"2222"])),
            self.echo(),
        ]
        first.callback(b"11")
        self.flush()
        self.assertEqual([waiter.result.status for waiter in waiters], [0, 0, 0])
        self.assertEqual(self.server.data_sets, [b"1111", b"2222"])


class MessageIDTests(RequestorCase):
    """Which message ID a request gets."""

    def ids(self) -> list[int]:
        """The message IDs that came."""
        return [request.message_id for request in self.server.requests]

    @requirement("I6")
    def test_wrap(self) -> None:
        """After 65535 comes 1; IDs that are in use are passed over, and 0 is none."""
        self.establish(Peer(window=0), maximum_operations=0)
        requests: Any = self.peer._protocol.requests
        first, second = self.echo(), self.echo()
        requests._last_id = 65533
        waiters = [self.echo() for _ in range(4)]
        self.assertEqual(self.ids(), [1, 2, 65534, 65535, 3, 4])
        for number in range(6):
            self.server.respond(number)
        self.flush()
        for waiter in [first, second, *waiters]:
            self.assertEqual(waiter.result.status, 0)

    @requirement("I6")
    def test_all_in_use(self) -> None:
        """When every ID is in use, a request waits for one, window or not."""

        class Nowhere:
            is_established = True

            def __init__(self) -> None:
                self.sent: list[Any] = []

            def send(self, context_id: int, command: Any) -> None:
                self.sent.append(command)

        class Nothing:
            is_congested = False

            def __init__(self) -> None:
                self.association = Nowhere()

        connection: Any = Nothing()
        requests = Requests(connection, self.clock, 0)
        waiters = [Waiter(requests.ask(CEchoRQ, 1)) for _ in range(65536)]
        sent = connection.association.sent
        self.assertEqual(len({request.message_id for request in sent}), 65535)
        self.assertEqual((len(sent), requests.outstanding), (65535, 65536))
        message: Any = type("Message", (), {})()
        message.command = sent[77].respond(Status.SUCCESS)
        message.context = type("Context", (), {"context_id": 1})
        self.assertTrue(requests.receive(message))
        self.assertEqual(waiters[77].result.status, 0)
        self.assertEqual(sent[-1].message_id, 78)


class ResponseTests(RequestorCase):
    """Responses that are not what they should be."""

    def test_unwanted(self) -> None:
        """What answers nothing, or not what was asked, is passed over and logged once."""
        self.establish(Peer(window=2), maximum_operations=2)
        waiter = self.echo()
        for context_id, response in (
            (1, CEchoRQ(2).respond(Status.SUCCESS)),  # no such request
            (1, CEchoRQ(0).respond(Status.SUCCESS)),
            (1, CStoreRSP(1, Status.SUCCESS)),  # another kind
            (3, CEchoRQ(1).respond(Status.SUCCESS)),  # another context
        ):
            self.server.tell(response, context_id)
        self.flush()
        self.assertEqual(waiter.results, [])
        self.assertEqual(len(self.events("unwanted-response")), 1)
        self.server.respond()
        self.server.respond()  # twice
        self.flush()
        self.assertEqual(waiter.result.status, 0)
        self.assert_released()

    def test_pending_where_there_is_none(self) -> None:
        """C-STORE and C-ECHO have one response: a pending one is that, and nobody waits on."""
        for status in (0xFF00, 0xFF01):
            self.establish()
            stored = self.store()
            self.server.respond(status=status)
            self.flush()
            self.assertEqual(stored.result.status, status)
            echoed = self.echo()
            self.server.respond(status=status)
            self.flush()
            self.assertEqual(echoed.result.status, status)
            self.assert_released()

    def test_pending_too_early(self) -> None:
        """The same before all is sent: the data set is sent to its end first."""
        self.establish()
        second: Deferred[bytes] = Deferred()
        waiter = self.store(Source([b"11", lambda: second], length=4))
        self.server.tell(store_rq().respond(Status(PENDING)))
        self.flush()
        self.assertEqual(waiter.results, [])
        second.callback(b"22")
        self.flush()
        self.assertEqual(waiter.result.status, PENDING)
        self.assertEqual(self.server.data_sets, [b"1122"])
        self.assert_released()

    def test_astray(self) -> None:
        """When the timer runs out it is said that something came which answers nothing."""
        self.establish(timeouts=Timeouts(dimse=10))
        waiter = self.echo()
        self.server.tell(CEchoRQ(8).respond(Status.SUCCESS))
        self.flush()
        self.endpoint.advance(10.1)
        self.assertEqual(
            str(waiter.error),
            "dimse timer expired after 10 s; a response to message 8 in context 1 answered nothing",
        )

    def test_pending(self) -> None:
        """Pending responses are no end of it, and each winds up the DIMSE timer."""
        self.establish(timeouts=Timeouts(dimse=10, idle=0), contexts=[FIND])
        waiter = Waiter(self.peer.send(CFindRQ(0, FIND), b"identifier"))
        self.flush()
        for _ in range(5):
            self.endpoint.advance(9)
            self.server.tell(CFindRSP(1, Status.PENDING))
        self.endpoint.advance(9)
        self.assertEqual(waiter.results, [])
        self.server.tell(CFindRSP(1, Status.SUCCESS))
        self.flush()
        self.assertEqual(waiter.result.status, 0)
        self.assert_released()

    def test_too_long_between(self) -> None:
        """The DIMSE timer runs from the last pending response on."""
        self.establish(timeouts=Timeouts(dimse=10), contexts=[FIND])
        waiter = Waiter(self.peer.send(CMoveRQ(0, FIND, "HERE"), b"identifier"))
        self.flush()
        self.endpoint.advance(9)
        self.server.tell(CMoveRSP(1, Status.PENDING))
        self.endpoint.advance(9.9)
        self.assertEqual(waiter.results, [])
        self.endpoint.advance(0.2)
        self.assertIsInstance(waiter.error, TimedOut)
        self.assertEqual((waiter.error.timer, waiter.error.state), ("dimse", "Sta6"))
        self.endpoint.advance(100)
        self.assert_nothing_left()

    def test_timer_begins_with_the_end(self) -> None:
        """The DIMSE timer runs from the end of a data set, however long that took."""
        self.establish(timeouts=Timeouts(dimse=10))
        second: Deferred[bytes] = Deferred()
        waiter = self.store(Source([b"11", lambda: second], length=4))
        self.endpoint.advance(35)
        second.callback(b"22")
        self.endpoint.advance(9.9)
        self.assertEqual(waiter.results, [])
        self.endpoint.advance(0.2)
        self.assertEqual(waiter.error.timer, "dimse")

    def test_each_has_its_time(self) -> None:
        """A request that waited for its turn has the whole time from when it was sent."""
        self.establish(timeouts=Timeouts(dimse=10))
        waiters = [self.echo(), self.echo()]
        self.endpoint.advance(9)
        self.server.respond(0)
        self.endpoint.advance(9)
        self.server.respond(1)
        self.flush()
        self.assertEqual([waiter.result.status for waiter in waiters], [0, 0])
        self.endpoint.advance(100)
        self.assertFalse(self.peer.is_over)
        self.assert_released()

    def test_off(self) -> None:
        """A DIMSE timer of 0 never ends anything."""
        self.establish(timeouts=Timeouts(dimse=0))
        waiter = self.echo()
        self.endpoint.advance(1e6)
        self.server.respond()
        self.flush()
        self.assertEqual(waiter.result.status, 0)


class CancelTests(RequestorCase):
    """To cancel a `Deferred` does what one expects."""

    def test_waiting(self) -> None:
        """What is not sent yet is not sent."""
        self.establish()
        first = self.echo()
        source = Source()
        second, third = self.store(source), self.echo()
        second.deferred.cancel()
        self.assertIsInstance(second.error, CancelledError)
        self.assertEqual((source.closed, source.reads, self.peer.outstanding), (1, 0, 2))
        self.server.respond(0)
        self.flush()
        self.server.respond(1)
        self.flush()
        self.assertEqual((first.result.status, third.result.status), (0, 0))
        self.assertEqual(self.server.data_sets, [])
        self.assert_released()

    def test_in_flight(self) -> None:
        """What is on its way goes on; its response is dropped, and its place is free again."""
        self.establish()
        first, second = self.echo(), self.echo()
        first.deferred.cancel()
        self.assertIsInstance(first.error, CancelledError)
        self.flush()
        self.assertEqual(len(self.server.requests), 1)
        self.server.respond(0)
        self.flush()
        self.server.respond(1)
        self.flush()
        self.assertEqual(second.result.status, 0)
        self.assertEqual(self.events("unwanted-response"), [])
        self.assert_released()

    def test_in_the_middle(self) -> None:
        """A data set that has begun is sent to its end."""
        self.establish(Peer(status=Status.SUCCESS))
        second: Deferred[bytes] = Deferred()
        source = Source([b"11", lambda: second], length=4)
        waiter = self.store(source)
        waiter.deferred.cancel()
        self.assertIsInstance(waiter.error, CancelledError)
        self.assertEqual(source.closed, 0)
        second.callback(b"22")
        self.flush()
        self.assertEqual((self.server.data_sets, source.closed), ([b"1122"], 1))
        self.assert_released()

    def test_then_the_end(self) -> None:
        """Cancelled and then aborted: once is enough."""
        self.establish()
        waiters = [self.echo(), self.echo()]
        for waiter in waiters:
            waiter.deferred.cancel()
        self.server.association.abort()
        self.flush()
        for waiter in waiters:
            self.assertIsInstance(waiter.error, CancelledError)
        self.assert_nothing_left()

    def test_while_reading(self) -> None:
        """A source that is asked for a piece may cancel its own request."""
        self.establish(Peer(status=Status.SUCCESS))
        waiter: Waiter

        def cancel() -> bytes:
            waiter.deferred.cancel()
            return b"22"

        source = Source([b"11", self.later(lambda: cancel())], length=4)
        waiter = self.store(source)
        self.endpoint.advance(1)
        self.assertIsInstance(waiter.error, CancelledError)
        self.assertEqual((self.server.data_sets, source.closed), ([b"1122"], 1))
        self.assert_released()

    def later(self, call: Callable[[], bytes]) -> Callable[[], Deferred[bytes]]:
        """Return a piece that is made after a second."""

        def begin() -> Deferred[bytes]:
            deferred: Deferred[bytes] = Deferred()
            self.clock.callLater(1, lambda: deferred.callback(call()))
            return deferred

        return begin


class FromWithinTests(RequestorCase):
    """Who is called back may do anything."""

    def test_ask_again(self) -> None:
        """A response may lead to the next request, many times."""
        self.establish(Peer(status=Status.SUCCESS))
        count = 0

        def again(_: object) -> None:
            nonlocal count
            count += 1
            if count < 3000:
                self.peer.echo().addCallback(again)

        self.peer.echo().addCallback(again)
        self.flush()
        self.assertEqual(count, 3000)
        self.assert_released()

    def test_end_by_a_callback(self) -> None:
        """A response may lead to an abort or a release: who still waits gets one error."""
        for end, kind in (
            (lambda: self.peer.abort(), AssociationAborted),
            (lambda: self.peer.release(), AssociationReleased),
        ):
            self.establish(Peer(window=2), maximum_operations=2)
            first, second, third = self.echo(), self.echo(), self.store()
            first.deferred.addCallback(lambda _: end())  # noqa: B023
            self.server.respond(0)
            self.flush()
            for waiter in (second, third):
                self.assertIsInstance(waiter.error, kind)
            self.assertEqual(self.server.data_sets, [])
            self.endpoint.advance(100)
            self.assert_nothing_left()

    def test_end_by_a_source(self) -> None:
        """A source may end the association while it is asked for a piece."""
        self.establish()

        def abort() -> bytes:
            self.peer.abort()
            return b"22"

        source = Source([b"11", abort, b"33"], length=6)
        waiter = self.store(source)
        self.assertIsInstance(waiter.error, AssociationAborted)
        self.assertEqual((source.closed, source.reads), (1, 2))
        self.endpoint.advance(100)
        self.assert_nothing_left()

    def test_ask_upon_failure(self) -> None:
        """Who is told of the end and asks again gets the same error."""
        self.establish()
        again: list[Waiter] = []
        first = self.peer.echo()
        first.addErrback(
            lambda _: again.append(Waiter(self.peer._protocol.requests.ask(CEchoRQ, 1)))
        )
        self.server.association.abort()
        self.flush()
        self.assertIsInstance(again[0].error, AssociationAborted)
        self.assert_nothing_left()

    def test_ask_while_established(self) -> None:
        """Who is told that the association is there may use it at once, or end it."""
        for use, told in (
            (lambda peer: peer.echo(), 1),
            (lambda peer: peer.release(), 0),
            (lambda peer: peer.abort(), 0),
        ):
            deferred = self.ask(Peer(status=Status.SUCCESS))
            deferred.addCallback(use)
            self.flush()
            self.successResultOf(deferred)
            self.assertEqual(len(self.server.requests), told)


class FlowTests(RequestorCase):
    """However much there is to send, memory is bounded and others have their turn."""

    def test_slow_peer(self) -> None:
        """A peer that does not read stops the reading of the source."""
        self.establish(timeouts=Timeouts(send=0, dimse=0))
        connection = self.endpoint.connections[0]
        connection.server_transport.pauseProducing()
        source = Source([DATA] * 100)
        waiter = self.store(source)
        self.assertLess(source.reads, 10)
        before = source.reads
        self.endpoint.advance(1000)
        self.assertEqual(source.reads, before)
        connection.server_transport.resumeProducing()
        self.flush()
        self.server.respond()
        self.flush()
        self.assertEqual(waiter.result.status, 0)
        self.assertEqual(self.server.data_sets, [DATA * 100])

    def test_slow_peer_is_not_dropped(self) -> None:
        """A peer that reads slowly all the time is no dead one, whatever the size."""
        self.establish(timeouts=Timeouts(send=5, dimse=0))
        connection = self.endpoint.connections[0]
        server = connection.server_transport
        server.pauseProducing()
        waiter = self.store(Source([DATA * 8] * 2))
        for _ in range(200):
            self.endpoint.advance(4)
            server.resumeProducing()
            connection.step(131072)
            server.pauseProducing()
            if self.server.requests:
                break
        server.resumeProducing()
        self.flush()
        self.server.respond()
        self.flush()
        self.assertEqual(waiter.result.status, 0)

    def test_dead_peer(self) -> None:
        """A peer that takes nothing at all is dropped by the send timer."""
        self.establish(timeouts=Timeouts(send=5, dimse=0))
        self.endpoint.connections[0].server_transport.pauseProducing()
        source = Source([DATA] * 100)
        waiter = self.store(source)
        self.endpoint.advance(4.9)
        self.assertEqual(waiter.results, [])
        self.endpoint.advance(0.2)
        self.assertEqual((waiter.error.timer, source.closed), ("send", 1))
        self.assertTrue(self.endpoint.connections[0].client_transport.disconnected)

    def test_waiting_requests_stay_here(self) -> None:
        """Without a window, what a slow peer does not take is not made ready either."""
        self.establish(Peer(window=0), maximum_operations=0, capacity=1000, buffer_size=1000)
        self.endpoint.connections[0].server_transport.pauseProducing()
        made = []

        def make(message_id: int) -> CEchoRQ:
            made.append(message_id)
            return CEchoRQ(message_id)

        requests = self.peer._protocol.requests
        waiters = [Waiter(requests.ask(make, 1)) for _ in range(1000)]
        self.flush()
        self.assertLess(len(made), 100)
        self.endpoint.connections[0].server_transport.resumeProducing()
        self.server.user.status = Status.SUCCESS
        self.flush()
        for waiter in waiters:
            self.assertEqual(waiter.result.status, 0)

    def test_turns(self) -> None:
        """A peer that takes all, and a source that is always ready: others have their turn."""
        self.establish(Peer(status=Status.SUCCESS), capacity=1 << 30, buffer_size=1 << 30)
        source = Source([DATA] * 200)
        waiter = Waiter(self.peer.store(CT, INSTANCE, source))
        self.assertLess(source.reads * len(DATA), 5 << 20)
        reads = source.reads
        self.clock.advance(0)
        self.assertEqual(source.reads, 200)  # a turn each, and a clock has no end of turns
        self.assertGreater(200, reads)
        self.flush()
        self.assertEqual(waiter.result.status, 0)

    def test_burst_of_responses(self) -> None:
        """Many responses in one read do not let as many data sets pile up before they are sent."""
        self.establish(
            Peer(window=0, maximum_length=131072), maximum_operations=0, buffer_size=65536
        )
        first = [self.echo() for _ in range(50)]
        connection = self.endpoint.connections[0]
        written = []
        write = connection.client_transport.write

        def spy(data: bytes) -> None:
            written.append(len(data))
            write(data)

        connection.client_transport.write = spy  # type: ignore[method-assign]

        def store(source: Source, _: object) -> Any:
            return self.peer.store(CT, INSTANCE, source)

        sources = [Source([DATA] * 32) for _ in first]
        for waiter, source in zip(first, sources, strict=True):
            waiter.deferred.addCallback(partial(store, source))
        for number in range(50):
            self.server.respond(number)
        connection.step()
        connection.step()
        self.assertLess(max(written, default=0), 2 << 20)
        self.assertLess(sum(source.reads for source in sources) * len(DATA), 8 << 20)
        self.server.user.status = Status.SUCCESS
        self.flush()
        self.assertEqual(len(self.server.data_sets), 50)

    @requirement("G11")
    def test_both_at_once(self) -> None:
        """While the peer takes nothing, what it says is read all the same: no deadlock."""
        self.establish(Peer(window=0), maximum_operations=0, capacity=1000, buffer_size=1000)
        connection = self.endpoint.connections[0]
        connection.server_transport.pauseProducing()
        echoes = [self.echo() for _ in range(3)]
        store = self.store(Source([DATA] * 10))
        for number in range(3):
            self.server.association.send(1, CEchoRQ(number + 1).respond(Status.SUCCESS))
        self.flush()
        self.assertEqual([waiter.result.status for waiter in echoes], [0, 0, 0])
        connection.server_transport.resumeProducing()
        self.flush()
        self.server.respond()
        self.flush()
        self.assertEqual(store.result.status, 0)
