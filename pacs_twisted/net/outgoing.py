"""
Bytes on their way to the peer: sent at once where that is possible, and never without bound.

While bytes wait for a peer that takes none, nothing more is read from it: whoever owns the
connection is told when that begins and when it is over.

`ITransport.write` queues and wakes the reactor, several system calls for an answer of a hundred
bytes. On plain TCP and UNIX transports of Twisted bytes go straight into the socket instead
(`getHandle`), as long as nothing is queued; this is the one module that knows how.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Protocol

from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.tcp import Connection as TCPTransport
from zope.interface import implementer

_PIECE = 65536
_MOST_PARTS = 512  # that one call hands to the kernel, which takes 1,024


class Owner(Protocol):
    """Who is told when the peer takes no more, and when it has taken all."""

    def congested(self) -> None:
        """Bytes wait: nothing more should be read, or asked to be sent, for now."""

    def relieved(self) -> None:
        """All bytes have gone."""


class Outgoing:
    """
    What is on its way out of one connection.

    Args:
        transport: the transport.
        clock: returns the time in seconds.
        owner: who is told.
    """

    __slots__ = ("_clock", "_closing", "_owner", "_transport", "bytes_sent", "progress", "waiting")

    def __init__(self, transport: Any, clock: Callable[[], float], owner: Owner) -> None:
        self._transport = transport
        self._clock = clock
        self._owner = owner
        self._closing = False
        self.waiting = False
        self.progress = 0.0
        """When the peer was last seen to take something, in seconds, while bytes wait."""
        self.bytes_sent = 0

    def write(self, data: bytes) -> None:
        """Send, at once or as soon as what waits has gone."""
        raise NotImplementedError

    def write_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        """Send many bytes, which do not change until they have gone."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection when everything has gone."""
        self._closing = True
        if not self.waiting:
            self._finish()

    def lost(self) -> None:
        """The connection is gone: what is written from now on goes nowhere, like what waits."""

    def _begin_waiting(self) -> None:
        self.waiting = True
        self.progress = self._clock()
        self._owner.congested()

    def _end_waiting(self) -> None:
        self.waiting = False
        if self._closing:
            self._finish()
        self._owner.relieved()

    def _finish(self) -> None:
        self._transport.loseConnection()


@implementer(IPushProducer)
class BufferedOutgoing(Outgoing):
    """
    For any transport: it buffers, and says when its buffer is full and when it is empty.

    It is handed one piece after the other, each when its buffer is empty again, so that the peer's
    progress can be seen.
    """

    __slots__ = ("_paused", "_pieces")

    def __init__(self, transport: Any, clock: Callable[[], float], owner: Owner) -> None:
        super().__init__(transport, clock, owner)
        self._pieces: deque[memoryview] = deque()
        self._paused = False
        transport.registerProducer(self, True)

    def write(self, data: bytes) -> None:
        """Hand the bytes to the transport, or keep what is too much for its buffer."""
        self.bytes_sent += len(data)
        if not self.waiting and len(data) <= _PIECE:
            self._transport.write(data)
            return
        self._pieces.append(memoryview(data))
        if not self.waiting:
            self._write_pieces()

    def write_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        """Hand the bytes to the transport, or keep what is too much for its buffer."""
        self.write(b"".join(parts))

    def lost(self) -> None:
        """The connection is gone."""
        self._pieces.clear()
        self.waiting = self._paused = False

    def pauseProducing(self) -> None:
        """Twisted: the transport's buffer is full."""
        self._paused = True
        if not self.waiting:
            self._begin_waiting()

    def resumeProducing(self) -> None:
        """Twisted: the transport's buffer is empty."""
        self._paused = False
        self.progress = self._clock()
        self._write_pieces()
        if self.waiting and not self._paused:
            self._end_waiting()

    def stopProducing(self) -> None:
        """Twisted: the connection is gone."""
        self._pieces.clear()

    def _write_pieces(self) -> None:
        while self._pieces and not self._paused:
            self._transport.write(_next_piece(self._pieces))

    def _finish(self) -> None:
        self._transport.unregisterProducer()  # a TLS transport closes only without one
        super()._finish()


@implementer(IPullProducer)
class ImmediateOutgoing(Outgoing):
    """
    For Twisted's TCP and UNIX transports: straight into the socket.

    What the kernel does not take is handed to the transport piece by piece, each when the one
    before has gone, so that the peer's progress can be seen.
    """

    __slots__ = ("_pieces", "_registering", "_send", "_send_parts")

    def __init__(self, transport: Any, clock: Callable[[], float], owner: Owner) -> None:
        super().__init__(transport, clock, owner)
        handle = transport.getHandle()
        self._send: Callable[[bytes], int] = handle.send
        self._send_parts: Callable[[list[memoryview]], int] = handle.sendmsg
        self._pieces: deque[memoryview] = deque()
        self._registering = False

    def write(self, data: bytes) -> None:
        """Send into the socket, or keep what it does not take."""
        length = len(data)
        self.bytes_sent += length
        if self.waiting:
            self._pieces.append(memoryview(data))
            return
        try:
            taken = self._send(data)
        except OSError:  # full, or an error that the transport will find for itself
            taken = 0
        if taken != length:
            self._pieces.append(memoryview(data)[taken:])
            self._wait()

    def write_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        """Send into the socket, or keep what it does not take."""
        pieces = [memoryview(part) for part in parts]
        self.bytes_sent += sum(map(len, pieces))
        self._pieces += pieces
        if not (self.waiting or self._send_pieces()):
            self._wait()

    def lost(self) -> None:
        """The socket is gone, and must not be asked any more."""
        self._pieces.clear()
        self.waiting = False
        self._send = len
        self._send_parts = _forget

    def resumeProducing(self) -> None:
        """Twisted: the transport has sent all that it had."""
        if self._registering:
            return
        self.progress = self._clock()
        if self._send_pieces():
            self._transport.unregisterProducer()
            self._end_waiting()
        else:
            self._write_piece()

    def stopProducing(self) -> None:
        """Twisted: the connection is gone."""
        self._pieces.clear()

    def _send_pieces(self) -> bool:
        """Send into the socket what it takes of what waits; return whether that was all."""
        pieces = self._pieces
        while pieces:
            batch = list(islice(pieces, _MOST_PARTS))
            try:
                taken = self._send_parts(batch)
            except OSError:
                return False
            for piece in batch:
                if taken < len(piece):
                    pieces[0] = piece[taken:]
                    return False
                taken -= len(piece)
                pieces.popleft()
        return True

    def _wait(self) -> None:
        """Let the transport say when the socket takes more."""
        # Registering asks for bytes at once; the same call comes when the transport is empty.
        self._registering = True
        self._transport.registerProducer(self, False)
        self._registering = False
        self._write_piece()
        self._begin_waiting()

    def _write_piece(self) -> None:
        self._transport.write(_next_piece(self._pieces))


def _forget(pieces: Sequence[memoryview]) -> int:
    return sum(map(len, pieces))


def _next_piece(pieces: deque[memoryview]) -> bytes:
    """Take the next bytes that wait, not too many at a time."""
    piece = pieces.popleft()
    if len(piece) > _PIECE:
        pieces.appendleft(piece[_PIECE:])
        piece = piece[:_PIECE]
    return bytes(piece)


def outgoing_for(transport: Any, clock: Callable[[], float], owner: Owner) -> Outgoing:
    """Return the way out that suits the transport."""
    immediate = isinstance(transport, TCPTransport) and not transport.TLS
    return (ImmediateOutgoing if immediate else BufferedOutgoing)(transport, clock, owner)
