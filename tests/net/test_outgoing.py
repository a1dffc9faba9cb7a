"""Bytes on their way out: at once where that is possible, and never without bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from pacs_twisted.net.outgoing import (
    BufferedOutgoing,
    ImmediateOutgoing,
    Outgoing,
    outgoing_for,
)
from tests.net.memory import WITHOUT_END, MemoryReactor, MemorySocket, MemoryTransport

BURST = bytes(range(256)) * 1024  # 256 KiB: more than a transport's buffer or one piece


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.when_relieved: Callable[[], None] = lambda: None

    def congested(self) -> None:
        self.told.append("congested")

    def relieved(self) -> None:
        self.told.append("relieved")
        self.when_relieved()


class Receiver(Protocol):
    """Notes the end of its connection."""

    lost: Any = None

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason


class OutgoingCase(SynchronousTestCase):
    """A way out of a transport on a socket of memory."""

    kind: type[Outgoing]

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.socket = MemorySocket(7)
        self.protocol = Receiver()
        self.transport: Any = MemoryTransport(
            self.socket, self.protocol, IPv4Address("TCP", "127.0.0.1", 1), self.reactor
        )
        self.owner = Owner()
        self.outgoing = self.kind(self.transport, self.reactor.seconds, self.owner)

    def read(self, count: int = WITHOUT_END) -> None:
        """Let the peer take so many bytes more."""
        self.socket.room = count
        self.reactor.run()

    def assert_arrives(self, writes: list[int], reads: list[int]) -> None:
        """Write so much each time, while the peer reads so much, and see that all arrives."""
        self.socket.room = 0
        sent = b""
        for number, length in enumerate(writes):
            data = bytes((number,)) * length
            sent += data
            if number % 2:
                self.outgoing.write_parts([data[:7], memoryview(data)[7:100], data[100:]])
            else:
                self.outgoing.write(data)
            if reads:
                self.read(reads.pop())
        self.read()
        self.assertEqual(self.socket.sent, sent)
        self.assertFalse(self.outgoing.waiting)
        self.assertEqual(self.owner.told.count("congested"), self.owner.told.count("relieved"))


class BothTests:
    """What holds on either way out."""

    reactor: MemoryReactor
    socket: MemorySocket
    protocol: Receiver
    owner: Owner
    outgoing: Outgoing
    read: Callable[..., None]
    assertEqual: Callable[..., None]  # noqa: N815
    assertTrue: Callable[..., None]  # noqa: N815
    assertFalse: Callable[..., None]  # noqa: N815
    assertIsNone: Callable[..., None]  # noqa: N815

    def test_free(self) -> None:
        """What the peer takes goes out, in order, and nobody is told anything."""
        for number in range(10):
            self.outgoing.write(bytes((number,)) * 10)
        self.reactor.run()
        self.assertEqual(self.socket.sent, b"".join(bytes((n,)) * 10 for n in range(10)))
        self.assertEqual(self.owner.told, [])
        self.assertFalse(self.outgoing.waiting)
        self.assertEqual(self.outgoing.bytes_sent, 100)

    def test_congested(self) -> None:
        """A peer that takes nothing: its owner is told once, and told again when all has gone."""
        self.socket.room = 1000
        self.outgoing.write(BURST)
        self.reactor.run()
        self.assertTrue(self.outgoing.waiting)
        self.outgoing.write(b"more")
        self.outgoing.write(b"and more")
        self.reactor.run()
        self.assertEqual(self.owner.told, ["congested"])
        self.read(100_000)
        self.assertEqual(self.owner.told, ["congested"])
        self.read()
        self.assertEqual(self.owner.told, ["congested", "relieved"])
        self.assertFalse(self.outgoing.waiting)
        self.assertEqual(self.socket.sent, BURST + b"moreand more")
        self.assertEqual(self.outgoing.bytes_sent, len(BURST) + 12)

    def test_again_and_again(self) -> None:
        """Congestion may come and go."""
        for count in range(1, 4):
            self.socket.room = 10
            self.outgoing.write(BURST)
            self.reactor.run()
            self.read()
            self.assertEqual(self.owner.told, ["congested", "relieved"] * count)
        self.assertEqual(self.socket.sent, BURST * 3)

    def test_congested_when_relieved(self) -> None:
        """Who is told that all has gone may write at once what does not fit again."""

        def go_on() -> None:
            self.owner.when_relieved = lambda: None
            self.socket.room = 10
            self.outgoing.write(BURST)

        self.owner.when_relieved = go_on
        self.socket.room = 10
        self.outgoing.write(BURST)
        self.reactor.run()
        self.read()
        self.assertEqual(self.owner.told, ["congested", "relieved", "congested"])
        self.assertTrue(self.outgoing.waiting)
        self.read()
        self.assertEqual(self.owner.told, ["congested", "relieved"] * 2)
        self.assertEqual(self.socket.sent, BURST * 2)

    def test_close(self) -> None:
        """Closed while nothing waits: at once."""
        self.outgoing.write(b"last words")
        self.outgoing.close()
        self.reactor.run()
        self.assertTrue(self.socket.closed)
        self.assertEqual(self.socket.sent, b"last words")

    def test_close_while_bytes_wait(self) -> None:
        """Closed while bytes wait: when the peer has taken all of them."""
        self.socket.room = 10
        self.outgoing.write(BURST)
        self.outgoing.write(b"last words")
        self.reactor.run()
        self.outgoing.close()
        self.reactor.run()
        self.assertFalse(self.socket.closed)
        self.read()
        self.assertTrue(self.socket.closed)
        self.assertFalse(self.socket.was_reset)
        self.assertEqual(self.socket.sent, BURST + b"last words")

    def test_lost_while_bytes_wait(self) -> None:
        """A connection that is lost while bytes wait is lost, and nobody is told relief."""
        self.socket.room = 10
        self.outgoing.write(BURST)
        self.reactor.run()
        self.socket.broken = True
        self.reactor.run()
        self.assertTrue(self.protocol.lost is not None)
        self.assertEqual(self.owner.told, ["congested"])
        self.assertEqual(self.reactor.writers, {})

    def test_written_on_a_broken_connection(self) -> None:
        """What is written on a connection that has just broken ends it, without an error."""
        self.socket.broken = True
        self.outgoing.write(b"too late")
        self.outgoing.write(b"later")
        self.reactor.run()
        self.assertTrue(self.protocol.lost is not None)
        self.assertEqual(self.socket.sent, b"")


class ImmediateTests(OutgoingCase, BothTests):
    """Straight into the socket."""

    kind = ImmediateOutgoing

    def test_at_once(self) -> None:
        """What the socket takes is sent before `write` returns, without the reactor's help."""
        self.outgoing.write(b"response")
        self.assertEqual(self.socket.sent, b"response")
        self.assertEqual(self.reactor.writers, {})

    def test_part(self) -> None:
        """What the socket takes only in part goes out in order."""
        self.socket.room = 3
        self.outgoing.write(b"response")
        self.assertEqual(self.socket.sent, b"res")
        self.assertTrue(self.outgoing.waiting)
        self.socket.room = WITHOUT_END
        self.outgoing.write(b", next")  # there would be room, but it is not its turn
        self.assertEqual(self.socket.sent, b"res")
        self.reactor.run()
        self.assertEqual(self.socket.sent, b"response, next")
        self.assertEqual(self.owner.told, ["congested", "relieved"])

    def test_nothing(self) -> None:
        """A socket that takes nothing at all, for now."""
        self.socket.room = 0
        self.outgoing.write(b"response")
        self.assertEqual((self.socket.sent, self.owner.told), (b"", ["congested"]))
        self.read()
        self.assertEqual((self.socket.sent, self.owner.told[1:]), (b"response", ["relieved"]))

    def test_a_byte_at_a_time(self) -> None:
        """A socket that takes a byte a call."""
        self.socket.most_at_once = 1
        self.outgoing.write(b"response")
        self.outgoing.write(b"another")
        self.reactor.run()
        self.assertEqual(self.socket.sent, b"responseanother")

    def test_error(self) -> None:
        """Whatever the socket says that is no count, nothing is lost and nothing raised."""

        class Broken:
            def __init__(self, error: OSError) -> None:
                self.error = error

            def send(self, data: bytes) -> int:
                raise self.error

            def sendmsg(self, parts: Sequence[memoryview]) -> int:
                raise self.error

        for error in (BlockingIOError(), ConnectionResetError(), BrokenPipeError(), OSError(9)):
            self.setUp()
            transport: Any = StringTransport()
            transport.getHandle = lambda error=error: Broken(error)
            outgoing = ImmediateOutgoing(transport, self.reactor.seconds, self.owner)
            outgoing.write(b"response")
            self.assertEqual(transport.value(), b"response")
            outgoing.resumeProducing()
            self.assertEqual(self.owner.told, ["congested", "relieved"])

    def test_after_the_end(self) -> None:
        """Written after the connection was lost: nothing happens."""
        self.socket.room = 0
        self.outgoing.write(b"waits")
        self.transport.connectionLost(Failure(ConnectionDone()))
        self.outgoing.lost()
        self.outgoing.write(b"too late")
        self.reactor.run()
        self.assertEqual(self.socket.sent, b"")
        self.assertEqual(self.owner.told, ["congested"])

    def test_progress(self) -> None:
        """While bytes wait, it is known when the peer took some."""
        self.socket.room = 0
        self.reactor.advance(5)
        self.outgoing.write(BURST)
        self.assertEqual(self.outgoing.progress, 5)
        self.reactor.advance(5)
        self.reactor.run()
        self.assertEqual(self.outgoing.progress, 5)
        self.reactor.advance(5)
        self.read(70_000)
        self.assertEqual(self.outgoing.progress, 15)

    def test_many_parts(self) -> None:
        """More parts than the kernel takes by one call go by several, each as it is."""
        parts: list[bytes | memoryview] = [bytes((number % 256,)) * 3 for number in range(2000)]
        self.outgoing.write_parts(parts)
        self.reactor.run()
        self.assertEqual(self.socket.sent, b"".join(parts))
        self.assertFalse(self.outgoing.waiting)

    def test_parts_after_the_end(self) -> None:
        """Parts written after the connection was lost go nowhere."""
        self.outgoing.lost()
        self.outgoing.write_parts([b"too", b"late"])
        self.assertEqual((self.socket.sent, self.owner.told), (b"", []))

    def test_memory(self) -> None:
        """The transport's own buffer holds one piece, not all that waits."""
        self.socket.room = 0
        self.outgoing.write(BURST)
        held = len(self.transport.dataBuffer) + self.transport._tempDataLen
        self.assertLessEqual(held, 65536)

    @given(
        st.lists(st.integers(1, 5000), min_size=1, max_size=20),
        st.lists(st.integers(0, 4000), max_size=20),
        st.integers(1, 3000),
    )
    def test_any_pace(self, writes: list[int], reads: list[int], most: int) -> None:
        """Whatever is written while the peer reads at any pace, it arrives in order, once."""
        self.setUp()
        self.socket.most_at_once = most
        self.assert_arrives(writes, reads)

    def test_interface(self) -> None:
        """It is what Twisted takes it for."""
        self.assertTrue(verifyObject(IPullProducer, self.outgoing))


class BufferedTests(OutgoingCase, BothTests):
    """Through the transport's buffer, as behind TLS or a wrapper."""

    kind = BufferedOutgoing

    def test_interface(self) -> None:
        """It is what Twisted takes it for."""
        self.assertTrue(verifyObject(IPushProducer, self.outgoing))

    def test_progress(self) -> None:
        """A peer that takes a burst slowly is seen to take some, again and again."""
        self.socket.room = 0
        self.outgoing.write(BURST)
        self.reactor.run()
        self.assertEqual(self.outgoing.progress, 0)
        for moment in (10, 20):
            self.reactor.advance(10)
            self.read(131072)
            self.assertEqual(self.outgoing.progress, moment)
        self.assertEqual(self.socket.sent, BURST)

    def test_many_parts(self) -> None:
        """More parts than the kernel takes by one call go by several, each as it is."""
        parts: list[bytes | memoryview] = [bytes((number % 256,)) * 3 for number in range(2000)]
        self.outgoing.write_parts(parts)
        self.reactor.run()
        self.assertEqual(self.socket.sent, b"".join(parts))
        self.assertFalse(self.outgoing.waiting)

    def test_parts_after_the_end(self) -> None:
        """Parts written after the connection was lost go nowhere."""
        self.outgoing.lost()
        self.outgoing.write_parts([b"too", b"late"])
        self.assertEqual((self.socket.sent, self.owner.told), (b"", []))

    def test_memory(self) -> None:
        """The transport's own buffer holds a piece or two, not all that waits."""
        self.socket.room = 0
        self.outgoing.write(BURST)
        self.outgoing.write(BURST)
        held = len(self.transport.dataBuffer) + self.transport._tempDataLen
        self.assertLessEqual(held, 131072)

    def test_after_the_end(self) -> None:
        """Written after the connection was lost: nothing happens."""
        self.socket.room = 0
        self.outgoing.write(BURST)
        self.transport.connectionLost(Failure(ConnectionDone()))
        self.outgoing.lost()
        self.outgoing.write(b"too late")
        self.reactor.run()
        self.assertEqual(self.socket.sent, b"")
        self.assertEqual(self.owner.told, ["congested"])

    @given(
        st.lists(st.integers(1, 200_000), min_size=1, max_size=8),
        st.lists(st.integers(0, 150_000), max_size=12),
    )
    def test_any_pace(self, writes: list[int], reads: list[int]) -> None:
        """Whatever is written while the peer reads at any pace, it arrives in order, once."""
        self.setUp()
        self.assert_arrives(writes, reads)

    def test_close_frees_the_transport(self) -> None:
        """A transport that closes only without a producer has none when it is closed."""
        self.outgoing.close()
        self.assertIsNone(self.transport.producer)


class ChoiceTests(SynchronousTestCase):
    """Which way out a transport gets."""

    def test_tcp(self) -> None:
        """Twisted's TCP transport: immediate; the same with TLS on it, and any other: buffered."""
        reactor = MemoryReactor()
        transport: Any = MemoryTransport(
            MemorySocket(7), Receiver(), IPv4Address("TCP", "127.0.0.1", 1), reactor
        )
        self.assertIsInstance(outgoing_for(transport, reactor.seconds, Owner()), ImmediateOutgoing)
        transport.TLS = True
        transport.registerProducer = lambda *_: None
        self.assertIsInstance(outgoing_for(transport, reactor.seconds, Owner()), BufferedOutgoing)
        other = StringTransport()
        self.assertIsInstance(outgoing_for(other, reactor.seconds, Owner()), BufferedOutgoing)
