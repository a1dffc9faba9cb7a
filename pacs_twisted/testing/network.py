"""
Two Twisted protocols joined in memory, with the manners of TCP.

What a protocol writes waits in its transport's buffer, then it is under way, then the other
protocol reads it. So a reader that pauses makes the writer's buffer fill, and the writer's
producer is paused, as it is over a real connection. Nothing happens by itself: `Pump` does it.
"""

# Many methods have Twisted's names, which are camelCase.
# ruff: noqa: N802

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

TCPAddress = IPv4Address | IPv6Address

_CLIENT = IPv4Address("TCP", "127.0.0.1", 50000)
_SERVER = IPv4Address("TCP", "127.0.0.1", 11112)

BUFFER_SIZE = 65536
"""Bytes in a transport's buffer from which on its producer is paused, as in Twisted's own."""

CAPACITY = 262144
"""Bytes that can be under way in one direction, as in the buffers of two kernels."""

_MOST_ROUNDS = 1_000_000


@implementer(ITCPTransport, IConsumer, IPushProducer)
class MemoryTransport:
    """
    One end of a connection in memory; `Pump` makes both.

    Args:
        host: our address.
        peer: the other end's address.
        buffer_size: bytes in our buffer from which on our producer is paused.
        capacity: bytes that can be under way to the other end.
    """

    def __init__(
        self,
        host: TCPAddress,
        peer: TCPAddress,
        *,
        buffer_size: int = BUFFER_SIZE,
        capacity: int = CAPACITY,
    ) -> None:
        self.buffer_size = buffer_size
        self.capacity = capacity
        self.disconnecting = False
        """Whether the connection closes as soon as all is sent."""
        self.disconnected = False
        """Whether the connection is gone, and our protocol was told."""
        self.reading = True
        """Whether our protocol takes bytes: it has not paused the transport."""
        self.no_delay = self.keep_alive = False
        self.producer: Any = None
        self._host = host
        self._peer = peer
        self._protocol: Any = None
        self._streaming = False
        self._producer_paused = False
        self._buffer = bytearray()
        self._under_way = bytearray()
        self._finished = False  # nothing follows what is under way
        self._aborting = False
        self._reset = False  # the other end does not want to hear from us any more

    @property
    def buffered(self) -> int:
        """How many bytes wait to be sent, because too many are under way already."""
        return len(self._buffer)

    @property
    def under_way(self) -> int:
        """How many bytes are sent, and not read by the other end."""
        return len(self._under_way)

    # ITransport and ITCPTransport

    def write(self, data: bytes) -> None:
        """Keep the bytes until the pump takes them; when there are too many, say so."""
        if self.disconnected or self._aborting or not data:
            return
        self._buffer += data
        if self._streaming and not self._producer_paused and self.buffered > self.buffer_size:
            self._producer_paused = True
            self.producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write all of them."""
        self.write(b"".join(iovec))

    def loseConnection(self, *_: Any) -> None:
        """Close when all is sent and no producer is registered."""
        self.disconnecting = True

    def abortConnection(self) -> None:
        """Close at the next turn, with a reset; what is not read yet is lost."""
        if not self.disconnected:
            self.disconnecting = self._aborting = True
            self.reading = False

    def loseWriteConnection(self) -> None:
        """Close: protocols that go on with one half are not supported."""
        self.loseConnection()

    def getPeer(self) -> TCPAddress:
        """Return the other end's address."""
        return self._peer

    def getHost(self) -> TCPAddress:
        """Return our address."""
        return self._host

    def getTcpNoDelay(self) -> bool:
        """Return what was set; it has no effect."""
        return self.no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Take note."""
        self.no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Return what was set; it has no effect."""
        return self.keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Take note."""
        self.keep_alive = bool(enabled)

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let a producer be paused and resumed as our buffer fills and empties.

        Raises:
            RuntimeError: there is one already.
        """
        if self.producer is not None:
            raise RuntimeError("a producer is registered already")
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self.producer = None
        self._streaming = False

    # IPushProducer: our protocol reads or does not

    def pauseProducing(self) -> None:
        """Deliver nothing to our protocol for now, not even the end of the connection."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Deliver again."""
        if not (self.disconnected or self._aborting):
            self.reading = True

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # The pump's side

    def _open(self, protocol: IProtocol) -> None:
        self._protocol = protocol
        protocol.makeConnection(self)

    def _turn(self, other: MemoryTransport) -> bool:
        """Send what there is room for, resume the producer, close; return whether it did any."""
        if self.disconnected:
            return False
        if self._aborting:
            self._under_way.clear()
            other._under_way.clear()
            other._reset = True
            self._lose(ConnectionAborted())
            return True
        if self._reset and (self.reading or self._buffer):
            self._lose(ConnectionLost())
            return True
        room = self.capacity - self.under_way
        part = self._buffer[:room]
        del self._buffer[:room]
        self._under_way += part
        if self._buffer:
            return bool(part)
        producer = self.producer
        if producer is not None and (self._producer_paused or not self._streaming):
            self._producer_paused = False
            producer.resumeProducing()
            return bool(part or self._buffer) or producer is not self.producer
        if self.disconnecting and producer is None:
            self._finished = True
            self._lose(ConnectionDone())
            return True
        return bool(part)

    def _deliver(self, other: MemoryTransport, most: int | None) -> bool:
        """Let our protocol read what is under way from the other end."""
        if self.disconnected:
            moved = other.under_way > 0
            other._under_way.clear()
            other._reset = other._reset or moved  # our kernel answers with a reset
            if moved:
                self._under_way.clear()
            return moved
        if not self.reading:
            return False
        if other._under_way:
            size = other.under_way if most is None else most
            data = bytes(other._under_way[:size])
            del other._under_way[:size]
            self._protocol.dataReceived(data)
            return True
        if other._finished:
            self._lose(ConnectionDone())
            return True
        return False

    def _lose(self, error: Exception) -> None:
        """Tell our protocol, once, that the connection is gone."""
        if self.disconnected:
            return
        self.disconnected = True
        self.reading = False
        self._buffer.clear()
        producer = self.producer
        self.unregisterProducer()
        if producer is not None:
            producer.stopProducing()
        self._protocol.connectionLost(Failure(error))


class Pump:
    """
    A connection in memory between two protocols, and the time.

    An exception that a protocol raises comes out of the pump, so that it fails the test.

    Args:
        client: who connects.
        server: who was connected to.
        clock: the time; it moves when `advance` is called only. Give the same one to whatever
            wants a reactor.
        chunk_size: how many bytes a protocol reads at a time; all that there are if None.
        client_address: where the client connects from.
        server_address: where it connects to.
        buffer_size: bytes in a transport's buffer from which on its producer is paused.
        capacity: bytes that can be under way in one direction.
    """

    def __init__(
        self,
        client: IProtocol,
        server: IProtocol,
        clock: Clock | None = None,
        *,
        chunk_size: int | None = None,
        client_address: TCPAddress = _CLIENT,
        server_address: TCPAddress = _SERVER,
        buffer_size: int = BUFFER_SIZE,
        capacity: int = CAPACITY,
    ) -> None:
        self.client = client
        self.server = server
        self.clock = Clock() if clock is None else clock
        self.chunk_size = chunk_size
        self.client_transport = MemoryTransport(
            client_address, server_address, buffer_size=buffer_size, capacity=capacity
        )
        self.server_transport = MemoryTransport(
            server_address, client_address, buffer_size=buffer_size, capacity=capacity
        )
        self.server_transport._open(server)
        self.client_transport._open(client)

    def step(self, most: int | None = None) -> bool:
        """
        Do one round: what is due now, what can be sent, one read on each side.

        Args:
            most: how many bytes each side reads; the chunk size if None. So half a PDU can be
                delivered.

        Returns:
            Whether anything has moved.
        """
        self.clock.advance(0)
        client, server = self.client_transport, self.server_transport
        size = self.chunk_size if most is None else most
        moved = [
            client._turn(server),
            server._turn(client),
            server._deliver(client, size),
            client._deliver(server, size),
        ]
        return any(moved)

    def flush(self) -> None:
        """
        Carry bytes both ways until both sides are silent; no time passes.

        Raises:
            AssertionError: they never are.
        """
        for _ in range(_MOST_ROUNDS):
            if not self.step():
                return
        raise AssertionError("the two protocols never fall silent")

    def advance(self, seconds: float) -> None:
        """Let time pass: what becomes due is called in order, and bytes are carried each time."""
        advance(self.clock, seconds, self.flush)

    def lose(self) -> None:
        """Break the connection: what is under way is lost, and both sides are told."""
        for transport in self.client_transport, self.server_transport:
            transport._under_way.clear()
        for transport in self.client_transport, self.server_transport:
            transport._lose(ConnectionLost())


def advance(clock: Clock, seconds: float, flush: Callable[[], None]) -> None:
    """
    Let time pass.

    Args:
        clock: whose time.
        seconds: how much of it.
        flush: carries bytes until all is silent; called before, after, and whenever something was
            due in between.
    """
    flush()
    end = clock.seconds() + seconds
    while True:
        due = min((call.getTime() for call in clock.getDelayedCalls()), default=end)
        now = clock.seconds()
        if due >= end:
            break
        clock.advance(max(0.0, due - now))
        flush()
    clock.advance(end - now)
    flush()


def connect(
    factory: IProtocolFactory,
    client: IProtocol,
    clock: Clock | None = None,
    *,
    address: str = "127.0.0.1",
    port: int = 50000,
    **pump: Any,
) -> Pump:
    """
    Connect a protocol to a server's factory, such as an `AcceptorFactory`.

    Args:
        factory: makes the server's protocol; one that it refuses to make closes the connection.
        client: who connects.
        clock: the time; see `Pump`.
        address: where the client seems to come from, IPv4 or IPv6.
        port: likewise.
        pump: further arguments of `Pump`.

    Returns:
        The connection, open; nothing is carried yet.
    """
    kind = IPv6Address if ":" in address else IPv4Address
    client_address = kind("TCP", address, port)
    server = factory.buildProtocol(client_address)
    made = Pump(client, server or Protocol(), clock, client_address=client_address, **pump)
    if server is None:
        made.server_transport.loseConnection()
    return made
