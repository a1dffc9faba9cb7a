"""Requests over Twisted's own TCP transport, on a socket of memory."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from pacs_twisted.dimse import CEchoRQ, Status
from pacs_twisted.net import RequestorAssociation, Timeouts, associate
from pacs_twisted.net.outgoing import ImmediateOutgoing
from pacs_twisted.pdu import (
    AAssociateAC,
    AsynchronousOperationsWindow,
    ContextResult,
    UserInformation,
)
from pacs_twisted.testing import message_pdus
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN
from tests.net.memory import (
    P_DATA,
    WITHOUT_END,
    MemoryReactor,
    MemorySocket,
    MemoryTransport,
    split_pdus,
)
from tests.net.requesting import CONTEXTS, CT, DATA, INSTANCE, Source, Waiter, store_rq
from tests.requirements import requirement

INFORMATION = UserInformation(
    131072, "1.2.3", asynchronous_operations_window=AsynchronousOperationsWindow(0, 1)
)


@implementer(IStreamClientEndpoint)
class SocketEndpoint:
    """Connects to nobody, over a socket of memory."""

    def __init__(self, reactor: MemoryReactor) -> None:
        self.reactor = reactor
        self.socket = MemorySocket(7)

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # noqa: N803
        address = IPv4Address("TCP", "127.0.0.1", 104)
        protocol = protocolFactory.buildProtocol(address)
        protocol.makeConnection(MemoryTransport(self.socket, protocol, address, self.reactor))
        return succeed(protocol)


class SocketTests(SynchronousTestCase):
    """An association whose peer is the test, byte by byte."""

    def establish(self, **options: Any) -> RequestorAssociation:
        """Get an association with an unlimited window."""
        self.reactor = MemoryReactor()
        endpoint = SocketEndpoint(self.reactor)
        self.socket = endpoint.socket
        asked = associate(
            endpoint,
            called="PEER",
            contexts=CONTEXTS,
            maximum_operations=0,
            reactor=self.reactor,
            **options,
        )
        self.socket.sent.clear()
        results = tuple(ContextResult(number, 0, IMPLICIT_VR_LITTLE_ENDIAN) for number in (1, 3))
        self.hear(AAssociateAC(results, INFORMATION).encode())
        peer: RequestorAssociation = self.successResultOf(asked)
        self.assertIsInstance(peer._protocol.outgoing, ImmediateOutgoing)
        return peer

    def hear(self, data: bytes) -> None:
        """Let the peer say something."""
        self.socket.arrived += data
        self.reactor.run()

    def sent_data(self) -> bytes:
        """The data set that was sent, without the command set before it."""
        pdus = [pdu for pdu in split_pdus(bytes(self.socket.sent)) if pdu[0] == P_DATA]
        return b"".join(pdu[12:] for pdu in pdus if not pdu[11] & 1)

    @requirement("G11", "G13")
    def test_congested(self) -> None:
        """A peer that takes nothing and says much: what it says is read, the source is not."""
        peer = self.establish()
        echo = Waiter(peer.echo())
        self.socket.room = 10_000
        source = Source([DATA] * 50)
        store = Waiter(peer.store(CT, INSTANCE, source))
        late = Waiter(peer.echo())
        self.reactor.run()
        reads = source.reads
        self.assertLess(reads, 5)
        self.hear(message_pdus(CEchoRQ(1).respond(Status.SUCCESS)))
        self.assertEqual(echo.result.status, 0)
        self.assertEqual((source.reads, store.results), (reads, []))
        self.socket.room = WITHOUT_END
        self.reactor.run()
        self.assertEqual(self.sent_data(), DATA * 50)
        self.hear(message_pdus(CEchoRQ(3).respond(Status.SUCCESS)))
        self.hear(message_pdus(store_rq(2).respond(Status.SUCCESS), context_id=3))
        self.assertEqual((late.result.status, store.result.status), (0, 0))

    def test_slow(self) -> None:
        """A peer that takes a little all the time is not dropped; one that stops is."""
        peer = self.establish(timeouts=Timeouts(send=5, dimse=0))
        self.socket.room = 0
        waiter = Waiter(peer.store(CT, INSTANCE, Source([DATA * 8] * 2)))
        for _ in range(10):
            self.reactor.wait(4)
            self.socket.room = 70_000
            self.reactor.run()
        self.assertEqual(waiter.results, [])
        self.reactor.wait(6)
        self.assertEqual(waiter.error.timer, "send")
        self.assertTrue(self.socket.closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    @settings(max_examples=30)
    @given(
        st.lists(st.integers(1, 30_000).map(lambda half: 2 * half), min_size=1, max_size=8),
        st.lists(st.integers(0, 50_000), max_size=20),
        st.integers(1, 20_000),
    )
    def test_any_pace(self, lengths: list[int], rooms: list[int], most: int) -> None:
        """Whatever the socket takes at a time, what was read of the source arrives, in order."""
        peer = self.establish()
        whole = b"".join(bytes([number]) * length for number, length in enumerate(lengths))
        pieces = [bytes([number]) * length for number, length in enumerate(lengths)]
        self.socket.most_at_once = most
        self.socket.room = 0
        waiter = Waiter(peer.store(CT, INSTANCE, Source(pieces)))
        for room in rooms:
            self.socket.room = room
            self.reactor.run()
        self.socket.room = WITHOUT_END
        self.reactor.run()
        self.assertEqual(self.sent_data(), whole)
        self.hear(message_pdus(store_rq(1).respond(Status.SUCCESS), context_id=3))
        self.assertEqual(waiter.result.status, 0)

    def test_turns(self) -> None:
        """A peer that takes all and a source that is always ready leave others their turn."""
        peer = self.establish()
        source = Source([DATA] * 1000)  # 125 MiB, the same bytes again and again
        self.socket.send = len  # type: ignore[method-assign, assignment]
        self.socket.sendmsg = lambda parts: sum(map(len, parts))  # type: ignore[method-assign]
        seen = []
        peer._protocol.outgoing = ImmediateOutgoing(
            peer._protocol.transport, self.reactor.seconds, peer._protocol
        )
        peer.store(CT, INSTANCE, source)
        self.reactor.callLater(0, lambda: seen.append(source.reads))
        self.reactor.run()
        self.assertEqual(source.reads, 1000)
        self.assertLess(seen[0], 100)

    def test_turns_of_many(self) -> None:
        """So do many small requests that waited for the peer to take something."""
        peer = self.establish()
        self.socket.room = 0
        waiters = [Waiter(peer.echo()) for _ in range(5000)]
        seen: list[int] = []
        self.socket.room = WITHOUT_END
        self.reactor.turn()
        self.reactor.callLater(0, lambda: seen.append(len(self.socket.sent)))
        self.reactor.run()
        sent = [pdu for pdu in split_pdus(bytes(self.socket.sent)) if pdu[0] == P_DATA]
        self.assertEqual(len(sent), len(waiters))
        self.assertLess(seen[0], len(self.socket.sent) // 2)

    def test_broken(self) -> None:
        """A connection that breaks while bytes wait fails the request once; all is closed."""
        peer = self.establish()
        self.socket.room = 0
        source = Source([DATA] * 50)
        waiter = Waiter(peer.store(CT, INSTANCE, source))
        self.reactor.run()
        self.socket.broken = True
        self.reactor.run()
        self.assertIn("broken off", str(waiter.error))
        self.assertEqual(source.closed, 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.writers, {})
