"""How an association of ours ends: each waiter is told once, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from pacs_twisted.association import Outcome
from pacs_twisted.dimse import CCancelRQ, CEchoRQ, CEchoRSP, CStoreRQ, Status
from pacs_twisted.errors import (
    AssociationAborted,
    AssociationEnded,
    AssociationLost,
    AssociationReleased,
    InvalidPDU,
    PacsError,
    ProtocolError,
    TimedOut,
    UnexpectedPDU,
    UnrecognizedPDU,
)
from pacs_twisted.net import RequestorAssociation, Timeouts
from pacs_twisted.testing import (
    abort,
    associate_ac,
    echo_rq,
    echo_rsp,
    message_pdus,
    release_rq,
)
from tests.net.memory import ABORT, split_pdus
from tests.net.requesting import (
    CT,
    DATA,
    INSTANCE,
    SECONDS,
    Peer,
    RequestorCase,
    Source,
    Trouble,
    Waiter,
)
from tests.requirements import requirement

RELEASE_RQ: Final = 5
RELEASE_RP: Final = 6
A_ABORT: Final = 7


@attrs.frozen
class End:
    """
    A way in which an association ends.

    Args:
        name: for messages.
        act: makes it end.
        kind: the class of the error.
        outcome: as `when_ended` tells it.
        words: what the error says, or a part of it.
        fields: what else the error tells.
        state: in which it came.
    """

    name: str
    act: Callable[[EndTests], object]
    kind: type[PacsError]
    outcome: Outcome
    words: str
    fields: dict[str, Any]
    state: str = "Sta6"


ENDS: Final = (
    End(
        "aborted by its user",
        lambda case: case.server.say(abort()),
        AssociationAborted,
        Outcome.ABORTED_BY_PEER,
        "association aborted by the peer: ",
        {"source": 0, "reason": 0, "by_peer": True},
    ),
    End(
        "aborted by its provider",
        lambda case: case.server.say(abort(source=2, reason=6)),
        AssociationAborted,
        Outcome.ABORTED_BY_PEER,
        "invalid PDU parameter value",
        {"source": 2, "reason": 6, "by_peer": True},
    ),
    End(
        "aborted with numbers that nobody knows",
        lambda case: case.server.say(abort(source=77, reason=99)),
        AssociationAborted,
        Outcome.ABORTED_BY_PEER,
        "77",
        {"source": 77, "reason": 99},
    ),
    End(
        "aborted by us",
        lambda case: case.peer.abort(),
        AssociationAborted,
        Outcome.ABORTED,
        "association aborted: ",
        {"source": 0, "reason": 0, "by_peer": False},
    ),
    End(
        "broken off",
        lambda case: case.endpoint.lose(),
        AssociationLost,
        Outcome.LOST,
        "broken off",
        {},
    ),
    End(
        "closed",
        lambda case: case.server.wire.loseConnection(),
        AssociationLost,
        Outcome.LOST,
        "closed by the peer",
        {},
    ),
    End(
        "reset",
        lambda case: case.endpoint.connections[0].server_transport.abortConnection(),
        AssociationLost,
        Outcome.LOST,
        "broken off",
        {},
    ),
    End(
        "no PDU",
        lambda case: case.server.say(b"HTTP/1.1 200 OK"),
        UnrecognizedPDU,
        Outcome.PROTOCOL_ERROR,
        "48H is not the type of a PDU",
        {"abort_reason": 1},
    ),
    End(
        "unexpected PDU",
        lambda case: case.server.say(associate_ac()),
        UnexpectedPDU,
        Outcome.PROTOCOL_ERROR,
        "AAssociateAC",
        {"abort_reason": 2},
    ),
    End(
        "context that was not accepted",
        lambda case: case.server.say(echo_rsp(context_id=99)),
        InvalidPDU,
        Outcome.PROTOCOL_ERROR,
        "presentation context 99",
        {"abort_reason": 6},
    ),
    End(
        "half a PDU",
        lambda case: case.stall(echo_rsp().encode()[:20], 4.1),
        TimedOut,
        Outcome.ABORTED,
        "pdu timer expired after 4 s",
        {"timer": "pdu", "seconds": 4},
    ),
    End(
        "released by the peer",
        lambda case: case.server.association.release(),
        AssociationReleased,
        Outcome.RELEASED,
        "released",
        {},
        "Sta8",
    ),
)

AND_BY_TIME: Final = End(
    "no response",
    lambda case: case.endpoint.advance(7.1),
    TimedOut,
    Outcome.ABORTED,
    "dimse timer expired after 7 s",
    {"timer": "dimse", "seconds": 7},
)


class EndTests(RequestorCase):
    """Every way in which an established association ends."""

    def stall(self, data: bytes, seconds: float) -> None:
        """Let the peer say something and then nothing for a while."""
        self.server.say(data)
        self.endpoint.advance(seconds)

    def check(self, end: End, waiters: list[Waiter]) -> None:
        """Assert that each waiter got one error, the right one, and that nothing is left."""
        ending = Waiter(self.peer.when_ended())
        end.act(self)
        self.flush()
        for waiter in waiters:
            error = waiter.error
            self.assertIs(type(error), end.kind, end.name)
            self.assertIn(end.words, str(error), end.name)
            self.assertEqual(error.state, end.state, end.name)
            for field, value in end.fields.items():
                self.assertEqual(getattr(error, field), value, end.name)
        self.assertIs(ending.result.outcome, end.outcome, end.name)
        self.assertTrue(self.peer.is_over)
        self.assertEqual(self.peer.outstanding, 0)
        self.endpoint.advance(1000)
        self.assert_nothing_left()
        for waiter in waiters:
            self.assertEqual(len(waiter.results), 1, end.name)
        self.assertIsNone(Waiter(self.peer.when_closed()).result)
        late = Waiter(self.peer._protocol.requests.ask(CEchoRQ, 1))
        self.assertIs(type(late.error), end.kind)
        self.assertIsNone(Waiter(self.peer.release()).result)  # they know already
        self.peer.abort()

    @requirement("H10", "H7", "A9")
    def test_with_requests(self) -> None:
        """What is on its way and what waits for its turn fails; sources are closed."""
        for end in (*ENDS, AND_BY_TIME):
            self.establish(Peer(releases=False), timeouts=SECONDS)
            source = Source()
            waiters = [self.echo(), self.echo(), self.store(source)]
            self.check(end, waiters)
            self.assertEqual((source.closed, source.reads), (1, 0), end.name)

    @requirement("H10")
    def test_in_the_middle(self) -> None:
        """So does a data set that is half sent, whose source is asked no more and closed."""
        for end in ENDS:
            self.establish(Peer(releases=False), timeouts=SECONDS)
            cancelled: list[Deferred[bytes]] = []
            second: Deferred[bytes] = Deferred(cancelled.append)
            source = Source([b"11", lambda second=second: second, b"33"], length=6)
            waiters = [self.store(source), self.echo()]
            self.check(end, waiters)
            self.assertEqual((source.closed, source.reads), (1, 2), end.name)
            self.assertEqual(len(cancelled), 1)

    @requirement("H10")
    def test_with_several_on_their_way(self) -> None:
        """With a window so do all that are on their way."""
        for end in (*ENDS, AND_BY_TIME):
            self.establish(Peer(releases=False, window=3), timeouts=SECONDS, maximum_operations=3)
            self.check(end, [self.echo(), self.store(), self.echo(), self.echo(), self.store()])

    def test_while_releasing(self) -> None:
        """While a release waits for its answer it is the one that fails, with what waits."""
        for end in ENDS:
            if end.name == "released by the peer":
                continue
            for asked in ([], [self.echo]):
                self.establish(Peer(releases=False), timeouts=SECONDS)
                waiters = [ask() for ask in asked]
                released = Waiter(self.peer.release())
                self.flush()
                if end.kind is TimedOut:  # the PDU timer does not run any more
                    end = attrs.evolve(
                        end,
                        words="acse timer expired after 2 s",
                        fields={"timer": "acse", "seconds": 2},
                    )
                self.check(attrs.evolve(end, state="Sta7"), [released, *waiters])

    @requirement("H10", "H4")
    def test_released_with_requests(self) -> None:
        """Our own release: what has no answer fails as released, on its way or not."""
        self.establish()
        waiters = [self.echo(), self.echo(), self.store()]
        released = Waiter(self.peer.release())
        self.flush()
        self.assertIsNone(released.result)
        for waiter in waiters:
            self.assertIsInstance(waiter.error, AssociationReleased)
        self.assertEqual(len(self.server.requests), 1)
        self.assert_nothing_left()

    def test_no_words_for_nobody(self) -> None:
        """An end that nobody waits for is told to who releases, and only then."""
        for end in ENDS:
            self.establish(Peer(releases=False), timeouts=SECONDS)
            end.act(self)
            self.flush()
            self.endpoint.advance(100)
            self.assert_nothing_left()
            released = Waiter(self.peer.release())
            if end.kind is AssociationReleased or end.name == "aborted by us":
                self.assertIsNone(released.result)
            else:
                self.assertIs(type(released.error), end.kind, end.name)
            self.assertIsNone(Waiter(self.peer.release()).result)

    @requirement("H10")
    def test_send_timer(self) -> None:
        """A peer that takes nothing is dropped, also if an A-ABORT has no way to it."""
        self.establish(timeouts=SECONDS)
        self.endpoint.connections[0].server_transport.pauseProducing()
        waiters = [self.store(Source([DATA] * 20)), self.echo()]
        self.endpoint.advance(5.1)
        for waiter in waiters:
            self.assertEqual((waiter.error.timer, waiter.error.state), ("send", "Sta6"))
        self.endpoint.connections[0].server_transport.resumeProducing()
        self.endpoint.advance(100)
        self.assert_nothing_left()


class ReleaseTests(RequestorCase):
    """An orderly end."""

    @requirement("H4")
    def test_ours(self) -> None:
        """Who asks for release closes when it is confirmed."""
        self.establish()
        released = Waiter(self.peer.release())
        self.assertTrue(self.peer.is_over)
        self.assertEqual(released.results, [])
        self.flush()
        self.assertIsNone(released.result)
        self.assertEqual(self.server.pdu_types, [1, RELEASE_RQ])
        self.assertTrue(self.server.is_lost)
        self.assert_nothing_left()

    @requirement("H3", "H4")
    def test_peers(self) -> None:
        """The peer's wish is answered at once; then nothing more is sent, and it closes."""
        self.establish()
        self.server.silent = True
        self.server.say(release_rq(), echo_rq(), echo_rsp())
        self.flush()
        self.assertTrue(self.peer.is_over)
        self.assertEqual(self.server.pdu_types, [1, RELEASE_RP])
        self.assertFalse(self.server.is_lost)
        self.server.wire.loseConnection()
        self.flush()
        self.assert_nothing_left()

    @requirement("H4")
    def test_peer_that_does_not_close(self) -> None:
        """A peer that does not close then is closed, after the ARTIM time."""
        self.establish(timeouts=SECONDS)
        self.server.silent = True
        self.server.say(release_rq())
        self.endpoint.advance(0.9)
        self.assertFalse(self.server.is_lost)
        self.endpoint.advance(0.2)
        self.assertTrue(self.server.is_lost)
        self.assert_nothing_left()

    @requirement("H3")
    def test_in_the_middle(self) -> None:
        """A peer that releases in the middle of our data set gets its answer, and no more data."""
        self.establish(Peer(releases=False))
        second: Deferred[bytes] = Deferred()
        source = Source([b"11", lambda: second], length=4)
        waiter = self.store(source)
        self.server.association.release()
        self.flush()
        self.assertIsInstance(waiter.error, AssociationReleased)
        self.assertEqual(source.closed, 1)
        self.assertEqual(self.server.pdu_types, [1, 4, 4, RELEASE_RP])
        self.assert_nothing_left()

    @requirement("H3")
    def test_in_the_middle_of_congestion(self) -> None:
        """The same while it takes nothing: the answer comes behind what had gone before."""
        self.establish(capacity=1000, buffer_size=1000)
        server = self.endpoint.connections[0].server_transport
        server.pauseProducing()
        source = Source([DATA] * 10)
        waiter = self.store(source)
        self.server.association.release()
        self.flush()
        self.assertIsInstance(waiter.error, AssociationReleased)
        self.assertEqual(source.closed, 1)
        reads = source.reads
        server.resumeProducing()
        self.flush()
        self.assertEqual(self.server.pdu_types[-1], RELEASE_RP)
        self.assertEqual(self.server.pdu_types.count(RELEASE_RP), 1)
        self.assertEqual(source.reads, reads)

    @requirement("H5")
    def test_collision(self) -> None:
        """Two releases that cross end in order on both sides."""
        self.establish()
        waiter = self.echo()
        released = Waiter(self.peer.release())
        self.server.association.release()
        self.flush()
        self.assertIsNone(released.result)
        self.assertIsInstance(waiter.error, AssociationReleased)
        self.assertIs(self.server.user.ending and self.server.user.ending.outcome, Outcome.RELEASED)
        self.assertEqual(self.server.pdu_types[-2:], [RELEASE_RQ, RELEASE_RP])
        self.assert_nothing_left()

    def test_collision_without_confirmation(self) -> None:
        """A peer that stops in the middle of it is aborted by the ACSE timer."""
        self.establish(Peer(releases=False), timeouts=SECONDS)
        released = Waiter(self.peer.release())
        self.endpoint.advance(1)
        self.server.silent = True
        self.server.say(release_rq())
        self.endpoint.advance(1.9)
        self.assertEqual(released.results, [])
        self.endpoint.advance(0.2)
        self.assertEqual((released.error.timer, released.error.state), ("acse", "Sta11"))
        self.endpoint.advance(100)
        self.assert_nothing_left()

    @requirement("H1")
    def test_responses_are_taken(self) -> None:
        """After asking for release, a response that comes is still a response."""
        self.establish(Peer(releases=False))
        first, second = self.echo(), self.echo()
        released = Waiter(self.peer.release())
        self.flush()
        self.server.respond(0)
        self.flush()
        self.assertEqual(first.result.status, 0)
        self.assertEqual(second.results, [])
        self.server.association.respond_release()
        self.flush()
        self.assertIsNone(released.result)
        self.assertIsInstance(second.error, AssociationReleased)
        self.assertEqual(self.server.pdu_types, [1, 4, RELEASE_RQ])

    @requirement("H1")
    def test_requests_are_not_answered(self) -> None:
        """After asking for release nothing is sent: a request of the peer's has no answer."""
        self.establish(Peer(releases=False))
        released = Waiter(self.peer.release())
        self.flush()
        self.server.association.send(1, CEchoRQ(1))
        self.flush()
        self.assertFalse(self.peer._association.is_over)
        self.server.association.respond_release()
        self.flush()
        self.assertIsNone(released.result)
        self.assertEqual(self.server.pdu_types, [1, RELEASE_RQ])
        self.assert_nothing_left()

    @requirement("H1")
    def test_nothing_new(self) -> None:
        """What is asked after asking for release is not sent, and fails as released."""
        self.establish(Peer(releases=False))
        released = Waiter(self.peer.release())
        waiters = [self.echo(), self.store()]
        again = Waiter(self.peer.release())
        self.flush()
        self.server.association.respond_release()
        self.flush()
        for waiter in waiters:
            self.assertIsInstance(waiter.error, AssociationReleased)
        self.assertIsNone(released.result)
        self.assertIsNone(again.result)
        self.assertEqual(self.server.pdu_types, [1, RELEASE_RQ])

    def test_data_set_in_the_way(self) -> None:
        """In the middle of a data set there is no orderly end: it is an abort, and told so."""
        self.establish()
        waiter = self.store(Source([b"11", lambda: Deferred()], length=4))
        released = Waiter(self.peer.release())
        self.flush()
        for each in waiter, released:
            self.assertIsInstance(each.error, AssociationAborted)
            self.assertFalse(each.error.by_peer)
        self.assertEqual(self.server.pdu_types[-1], A_ABORT)
        self.endpoint.advance(100)
        self.assert_nothing_left()

    def test_twice(self) -> None:
        """Everybody who waits for the release is told when it fails."""
        self.establish(Peer(releases=False))
        waiters = [Waiter(self.peer.release()), Waiter(self.peer.release()), self.echo()]
        self.flush()
        self.server.say(abort())
        self.flush()
        for waiter in waiters:
            self.assertIsInstance(waiter.error, AssociationAborted)

    def test_aborted_while_releasing(self) -> None:
        """Who does not want to wait for the release aborts."""
        self.establish(Peer(releases=False))
        released = Waiter(self.peer.release())
        self.flush()
        self.peer.abort()
        self.flush()
        self.assertIsInstance(released.error, AssociationAborted)
        self.assertEqual(self.server.pdu_types, [1, RELEASE_RQ, A_ABORT])
        self.endpoint.advance(100)
        self.assert_nothing_left()

    def test_cancelled(self) -> None:
        """Who cancels the release waits no more; it takes its course."""
        self.establish()
        released = Waiter(self.peer.release())
        released.deferred.cancel()
        self.assertEqual(len(released.results), 1)
        self.flush()
        self.assertEqual(len(released.results), 1)
        self.assert_nothing_left()


class AbortTests(RequestorCase):
    """An abort from either side, wherever we are."""

    def states(self) -> dict[str, Callable[[], Any]]:
        """Return how each state in which a requestor has a connection is reached."""

        def associating() -> Deferred[RequestorAssociation]:
            asked = self.ask(Peer(silent=True))
            self.flush()
            return asked

        def releasing(*pdus: Any) -> Deferred[None]:
            self.establish(Peer(releases=False))
            released = self.peer.release()
            self.flush()
            self.server.silent = True
            self.server.say(*pdus)
            self.flush()
            return released

        return {
            "Sta5": associating,
            "Sta6": lambda: self.establish(Peer()).echo(),
            "Sta7": releasing,
            "Sta11": lambda: releasing(release_rq()),
        }

    def arrive(self, state: str) -> tuple[Any, Waiter]:
        """Return a protocol in a state, and who waits for something."""
        waiter = Waiter(self.states()[state]())
        self.flush()
        protocol: Any = self.endpoint.connections[0].client
        self.assertEqual(protocol.association.state.name, state)
        return protocol, waiter

    @requirement("H6")
    def test_ours(self) -> None:
        """An A-ABORT 0/0, and a wait for the peer to close; the waiter is told."""
        for state in self.states():
            protocol, waiter = self.arrive(state)
            protocol.association.abort()
            self.flush()
            self.assertEqual(split_pdus(bytes(self.server.data))[-1], ABORT, state)
            self.assertIsInstance(waiter.error, AssociationAborted, state)
            self.assertEqual((waiter.error.state, waiter.error.by_peer), (state, False))
            self.endpoint.advance(100)
            self.assert_nothing_left()
            self.__dict__.pop("peer", None)

    @requirement("H7")
    def test_peers(self) -> None:
        """The waiter is told by whom and why; the connection is closed and nothing answered."""
        for state in self.states():
            for source, reason in ((0, 0), (2, 2), (2, 6)):
                _, waiter = self.arrive(state)
                sent = len(self.server.data)
                self.server.say(abort(source=source, reason=reason))
                self.flush()
                self.assertEqual(len(self.server.data), sent, state)
                self.assertIsInstance(waiter.error, AssociationAborted, state)
                self.assertEqual(
                    (waiter.error.source, waiter.error.reason, waiter.error.state),
                    (source, reason, state),
                )
                self.assertTrue(self.server.is_lost)
                self.assert_nothing_left()
                self.__dict__.pop("peer", None)

    def test_both(self) -> None:
        """Two aborts that cross."""
        for state in self.states():
            protocol, waiter = self.arrive(state)
            protocol.association.abort()
            self.server.say(abort())
            self.flush()
            self.assertFalse(waiter.error.by_peer)
            self.assertTrue(self.server.is_lost)
            self.assert_nothing_left()
            self.__dict__.pop("peer", None)

    @requirement("A9")
    def test_lost(self) -> None:
        """The same for a connection that breaks."""
        for state in self.states():
            _, waiter = self.arrive(state)
            self.endpoint.lose()
            self.assertIsInstance(waiter.error, AssociationLost)
            self.assertEqual(waiter.error.state, state)
            self.assert_nothing_left()
            self.__dict__.pop("peer", None)

    @requirement("H8")
    def test_protocol_errors(self) -> None:
        """The same for a PDU that no state allows: the peer is told, and so is the waiter."""
        for state in self.states():
            _, waiter = self.arrive(state)
            self.server.say(b"\x05\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00")
            self.flush()
            self.assertIsInstance(waiter.error, InvalidPDU)
            self.assertEqual(waiter.error.state, state)
            self.assertEqual(
                split_pdus(bytes(self.server.data))[-1], abort(source=2, reason=6).encode()
            )
            self.endpoint.advance(100)
            self.assert_nothing_left()
            self.__dict__.pop("peer", None)

    def test_peer_that_does_not_listen(self) -> None:
        """After an abort a peer that goes on is closed by ARTIM, and dropped if need be."""
        self.establish(Peer(), timeouts=SECONDS)
        self.store(Source([DATA] * 30))
        self.endpoint.connections[0].server_transport.pauseProducing()
        self.peer.abort()
        self.endpoint.advance(7)
        self.assert_gone()

    def assert_gone(self) -> None:
        """Assert that our end is gone."""
        self.assertTrue(self.endpoint.connections[0].client_transport.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class UnaskedTests(RequestorCase):
    """A peer that asks us for something."""

    def test_request(self) -> None:
        """A request is refused as unrecognized; ours go on."""
        self.establish()
        waiter = self.echo()
        self.server.say(echo_rq(77))
        self.flush()
        self.assertEqual(
            self.server.responses,
            [CEchoRSP(77, Status.UNRECOGNIZED_OPERATION, CEchoRQ(77).affected_sop_class_uid)],
        )
        self.server.respond()
        self.flush()
        self.assertEqual(waiter.result.status, 0)

    def test_store(self) -> None:
        """A data set that comes with it is read and forgotten."""
        self.establish()
        self.server.association.send(3, CStoreRQ(5, CT, INSTANCE), DATA)
        self.flush()
        (response,) = self.server.responses
        self.assertEqual(response.status, Status.UNRECOGNIZED_OPERATION)
        self.assert_released()

    def test_in_the_middle(self) -> None:
        """While our data set is on its way the answer waits for its end."""
        self.establish()
        second: Deferred[bytes] = Deferred()
        waiter = self.store(Source([b"11", lambda: second], length=4))
        self.server.say(echo_rq(77))
        self.flush()
        self.assertEqual(self.server.responses, [])
        second.callback(b"22")
        self.flush()
        self.assertEqual(len(self.server.responses), 1)
        self.server.respond()
        self.flush()
        self.assertEqual(waiter.result.status, 0)
        self.assertEqual(self.server.data_sets, [b"1122"])

    def test_flood(self) -> None:
        """A peer that asks and asks and takes no answer is aborted: memory is bounded."""
        for congest in (True, False):
            self.establish()
            waiter = self.store(Source([b"11", lambda: Deferred()], length=4))
            if congest:
                self.endpoint.connections[0].server_transport.pauseProducing()
            for _ in range(1000):
                self.server.say(message_pdus(CEchoRQ(1)))
            self.flush()
            self.assertIsInstance(waiter.error, ProtocolError)
            self.assertLess(self.peer.bytes_sent, 100_000)

    def test_many(self) -> None:
        """A peer that asks much and takes the answers gets them all."""
        self.establish()
        for number in range(1000):
            self.server.say(echo_rq(number % 100))
            if number % 10 == 9:
                self.flush()
        self.flush()
        self.assertEqual(len(self.server.responses), 1000)
        self.assert_released()

    def test_many_while_sending(self) -> None:
        """Those that came during data sets before this one are answered, and wait no more."""
        self.establish()
        for number in range(200):
            piece: Deferred[bytes] = Deferred()
            self.store(Source([b"11", lambda piece=piece: piece], length=4))
            self.server.say(echo_rq(1))
            self.flush()
            piece.callback(b"22")
            self.flush()
            self.server.respond()
            self.flush()
            self.assertEqual(len(self.server.responses), number + 1)
        self.assert_released()

    def test_cancel(self) -> None:
        """A C-CANCEL-RQ means nothing to us."""
        self.establish()
        self.server.say(message_pdus(CCancelRQ(1)))
        self.flush()
        self.assert_released()


class ContextManagerTests(RequestorCase):
    """`async with`."""

    def run_block(self, block: Callable[[RequestorAssociation], Any], **options: Any) -> Waiter:
        """Run a block with an association."""

        async def run() -> str:
            async with await self.ask(self.server, **options) as peer:
                self.peer = peer
                await block(peer)
            return "done"

        waiter = Waiter(Deferred.fromCoroutine(run()))
        self.flush()
        return waiter

    def test_clean(self) -> None:
        """A block that ends well releases."""

        async def block(peer: RequestorAssociation) -> None:
            self.assertEqual((await peer.echo()).status, 0)

        self.server = Peer(status=Status.SUCCESS)
        self.assertEqual(self.run_block(block).result, "done")
        self.assertEqual(self.server.pdu_types, [1, 4, RELEASE_RQ])
        self.assert_nothing_left()

    def test_exception(self) -> None:
        """A block that fails aborts, and its exception comes through."""

        async def block(peer: RequestorAssociation) -> None:
            raise Trouble("in the block")

        self.server = Peer()
        self.assertIsInstance(self.run_block(block).error, Trouble)
        self.assertEqual(self.server.pdu_types, [1, A_ABORT])
        self.endpoint.advance(100)
        self.assert_nothing_left()

    def test_over_and_told(self) -> None:
        """An association that failed under a request, which was seen to, ends without more."""

        async def block(peer: RequestorAssociation) -> None:
            try:
                await peer.echo()
            except AssociationEnded:
                return
            raise Trouble("no error")

        self.server = Peer()
        waiter = self.run_block(block)
        self.server.say(abort())
        self.flush()
        self.assertEqual(waiter.result, "done")
        self.assert_nothing_left()

    def test_over_and_told_nobody(self) -> None:
        """One that failed while nobody asked for anything fails the block at its end."""
        step: Deferred[None] = Deferred()

        async def block(peer: RequestorAssociation) -> None:
            await step

        self.server = Peer()
        waiter = self.run_block(block)
        self.server.say(abort(source=2, reason=0))
        self.flush()
        self.assertEqual(waiter.results, [])
        step.callback(None)
        self.assertIsInstance(waiter.error, AssociationAborted)
        self.assert_nothing_left()

    def test_over_and_told_who_does_not_listen(self) -> None:
        """A request that was cancelled before has told nobody."""
        step: Deferred[None] = Deferred()

        async def block(peer: RequestorAssociation) -> None:
            Waiter(peer.echo()).deferred.cancel()
            await step

        self.server = Peer()
        waiter = self.run_block(block)
        self.server.say(abort(source=2, reason=0))
        self.flush()
        step.callback(None)
        self.assertIsInstance(waiter.error, AssociationAborted)

    def test_released_by_the_peer(self) -> None:
        """One that the peer has released meanwhile is over in order."""
        step: Deferred[None] = Deferred()

        async def block(peer: RequestorAssociation) -> None:
            await step

        self.server = Peer()
        waiter = self.run_block(block)
        self.server.association.release()
        self.flush()
        step.callback(None)
        self.flush()
        self.assertEqual(waiter.result, "done")
        self.assert_nothing_left()

    def test_aborted_inside(self) -> None:
        """Who aborts inside the block wants no error at its end."""

        async def block(peer: RequestorAssociation) -> None:
            peer.abort()

        self.server = Peer()
        self.assertEqual(self.run_block(block).result, "done")

    def test_release_fails(self) -> None:
        """A peer that does not let us go fails the block."""

        async def block(peer: RequestorAssociation) -> None:
            pass

        self.server = Peer(releases=False)
        waiter = self.run_block(block, timeouts=Timeouts(acse=3))
        self.endpoint.advance(3.1)
        self.assertEqual(waiter.error.timer, "acse")


class RestTests(RequestorCase):
    """An association of ours may rest."""

    def test_idle(self) -> None:
        """Nobody ends it because nothing happens."""
        self.establish(timeouts=Timeouts(idle=3))
        self.endpoint.advance(1e6)
        self.assertFalse(self.peer.is_over)
        self.assert_released()

    def test_log(self) -> None:
        """At info there is a line when it begins and one at the end, whatever was sent."""
        self.establish(Peer(status=Status.SUCCESS))
        for _ in range(10):
            self.echo()
        self.assert_released()
        self.assertEqual(len(self.lines()), 2)
        self.assertEqual(self.lines(LogLevel.warn), [])
