"""
A server's end of TCP connections without a network: Twisted's own transport on a socket of memory.

What is tested is the code that runs in production, `twisted.internet.tcp.Connection` with its
buffers and producers, under a virtual clock. Only the socket below it is made up: it holds what
the peer sends and takes as much as the peer reads.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from struct import pack, unpack_from
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.net import AcceptorFactory, ApplicationEntity, Limits, Timeouts
from pacs_twisted.net.acceptor import AcceptorProtocol
from pacs_twisted.services import Verification
from tests.bytes_of import (
    APPLICATION_CONTEXT_ITEM,
    C_ECHO_RQ,
    IMPLEMENTATION_CLASS_ITEM,
    VERIFICATION_CONTEXT,
    associate_body,
    item,
    p_data_tf,
    pdu,
    pdv,
)

WITHOUT_END: Final = 1 << 62

AC: Final = 0x02
RJ: Final = 0x03
P_DATA: Final = 0x04
RELEASE_RQ: Final = bytes.fromhex("0500 00000004 00000000")
RELEASE_RP: Final = bytes.fromhex("0600 00000004 00000000")
ABORT: Final = bytes.fromhex("0700 00000004 00000000")
"""An A-ABORT by the service-user, ours or the peer's."""


def abort_by_provider(reason: int) -> bytes:
    """Return the A-ABORT by the service-provider."""
    return pdu(0x07, bytes((0, 0, 2, reason)))


def reject(result: int, source: int, reason: int) -> bytes:
    """Return the A-ASSOCIATE-RJ."""
    return pdu(0x03, bytes((0, result, source, reason)))


def associate_rq(
    calling: bytes = b"ECHOSCU",
    called: bytes = b"ANY-SCP",
    *,
    maximum_length: int | None = 16384,
    version: int = 1,
    application_context: bytes = APPLICATION_CONTEXT_ITEM,
    contexts: bytes = VERIFICATION_CONTEXT,
    user_items: bytes = b"",
) -> bytes:
    """Return an A-ASSOCIATE-RQ."""
    titles = called.ljust(16) + calling.ljust(16) + bytes(32)
    maximum = b"" if maximum_length is None else item(0x51, pack(">L", maximum_length))
    information = item(0x50, maximum + IMPLEMENTATION_CLASS_ITEM + user_items)
    body = associate_body(
        application_context, contexts, information, titles=titles, version=version
    )
    return pdu(0x01, body)


def window(invoked: int, performed: int = 1) -> bytes:
    """Return an asynchronous operations window sub-item."""
    return item(0x53, pack(">HH", invoked, performed))


def command(*elements: tuple[int, bytes]) -> bytes:
    """Return a command set of these elements of group 0000."""
    return b"".join(pack("<HHL", 0, element, len(value)) + value for element, value in elements)


def echo_command(message_id: int, *, sop_class: bytes = b"1.2.840.10008.1.1\x00") -> bytes:
    """Return the command set of a C-ECHO-RQ."""
    return command(
        (0x0002, sop_class),
        (0x0100, pack("<H", 0x0030)),
        (0x0110, pack("<H", message_id)),
        (0x0800, pack("<H", 0x0101)),
    )


def message(command_set: bytes, context_id: int = 1) -> bytes:
    """Return a command set as one P-DATA-TF."""
    return p_data_tf(pdv(context_id, 0x03, command_set))


def echo_rq(message_id: int = 1) -> bytes:
    """Return a C-ECHO-RQ as one P-DATA-TF, as nearly every peer sends it."""
    fragment = bytearray(C_ECHO_RQ)
    offset = C_ECHO_RQ.index(b"\x10\x01\x02\x00\x00\x00") + 6
    fragment[offset : offset + 2] = pack("<H", message_id)
    return message(bytes(fragment))


def cancel_rq(message_id: int) -> bytes:
    """Return a C-CANCEL-RQ."""
    return message(
        command(
            (0x0100, pack("<H", 0x0FFF)),
            (0x0120, pack("<H", message_id)),
            (0x0800, pack("<H", 0x0101)),
        )
    )


def split_pdus(data: bytes) -> list[bytes]:
    """Cut bytes into PDUs; what is left over comes last."""
    pdus = []
    offset = 0
    while offset < len(data):
        whole = len(data) - offset >= 6
        length = 6 + int(unpack_from(">L", data, offset + 2)[0]) if whole else len(data)
        pdus.append(data[offset : offset + length])
        offset += length
    return pdus


def read_responses(pdus: Iterable[bytes]) -> list[tuple[int, int]]:
    """Return message ID and status of the responses in P-DATA-TFs with one fragment each."""
    responses = []
    command_set = b""
    for each in pdus:
        command_set += each[12:]
        if not each[11] & 0x02:
            continue
        elements: dict[int, bytes] = {}
        offset = 0
        while offset < len(command_set):
            element, length = unpack_from("<HL", command_set, offset + 2)
            elements[element] = command_set[offset + 8 : offset + 8 + length]
            offset += 8 + length
        command_set = b""
        responses.append(
            (
                int.from_bytes(elements[0x0120], "little"),
                int.from_bytes(elements[0x0900], "little"),
            )
        )
    return responses


class MemorySocket:
    """
    The socket of an accepted connection.

    Args:
        number: its descriptor.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.arrived = bytearray()  # what the server has not read yet
        self.sent = bytearray()  # what the server has sent
        self.room = WITHOUT_END  # how much more the peer takes
        self.most_at_once = WITHOUT_END  # how much one call takes
        self.finished = False  # the peer has closed
        self.broken = False  # the peer has reset the connection
        self.closed = False  # by the server
        self.was_reset = False  # by the server
        self.reads: list[int] = []

    def setblocking(self, flag: bool) -> None: ...

    def setsockopt(self, level: int, option: int, value: object) -> None:
        if isinstance(value, bytes):  # SO_LINGER: what a reset is made of
            self.was_reset = True

    def getsockopt(self, level: int, option: int) -> int:
        return 0

    def fileno(self) -> int:
        return -1 if self.closed else self.number

    def shutdown(self, how: int) -> None: ...

    def close(self) -> None:
        self.closed = True

    def recv(self, size: int) -> bytes:
        self.reads.append(size)
        if self.broken:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        if not self.arrived and not self.finished:
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing there")
        data = bytes(self.arrived[:size])
        del self.arrived[:size]
        return data

    def send(self, data: bytes | memoryview) -> int:
        if self.broken:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        taken = min(len(data), self.room, self.most_at_once)
        if data and not taken:
            raise BlockingIOError(errno.EWOULDBLOCK, "no room")
        self.sent += data[:taken]
        self.room -= taken
        return taken

    def sendmsg(self, parts: Sequence[bytes | memoryview]) -> int:
        if len(parts) > 1024:
            raise OSError(errno.EMSGSIZE, "too many parts")
        return self.send(b"".join(parts))


class MemoryReactor(Clock):
    """A clock, and the part of a reactor that carries bytes between sockets of memory."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: dict[Any, None] = {}
        self.writers: dict[Any, None] = {}

    def addReader(self, selectable: Any) -> None:  # noqa: N802
        self.readers[selectable] = None

    def removeReader(self, selectable: Any) -> None:  # noqa: N802
        self.readers.pop(selectable, None)

    def addWriter(self, selectable: Any) -> None:  # noqa: N802
        self.writers[selectable] = None

    def removeWriter(self, selectable: Any) -> None:  # noqa: N802
        self.writers.pop(selectable, None)

    def turn(self) -> bool:
        """Go round once, as a reactor does; return whether anything happened."""
        due = any(call.getTime() <= self.seconds() for call in self.getDelayedCalls())
        self.advance(0)
        happened = due
        for selectable in list(self.readers):
            socket = selectable.socket
            if socket.arrived or socket.finished or socket.broken:
                happened = True
                self._did(selectable, selectable.doRead())
        for selectable in list(self.writers):
            if selectable in self.writers and (
                selectable.socket.room or selectable.socket.broken or not selectable.has_data()
            ):
                happened = True
                self._did(selectable, selectable.doWrite())
        return happened

    def _did(self, selectable: Any, why: Exception | None) -> None:
        if why is None:
            return
        self.removeReader(selectable)
        self.removeWriter(selectable)
        selectable.connectionLost(Failure(why))

    def run(self) -> None:
        """Go round until nothing more happens."""
        for _ in range(100_000):
            if not self.turn():
                return
        raise AssertionError("the server finds no rest")

    def wait(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass."""
        end = self.seconds() + seconds
        while self.seconds() < end:
            self.advance(min(step, end - self.seconds()))
            self.run()


class MemoryTransport(Connection):
    """Twisted's transport on a socket of memory."""

    def __init__(
        self,
        socket: MemorySocket,
        protocol: Any,
        peer: IPv4Address | IPv6Address,
        reactor: MemoryReactor,
    ) -> None:
        super().__init__(socket, protocol, reactor)  # type: ignore[arg-type]
        self._peer = peer
        self.connected = 1
        self.startReading()

    def has_data(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self.dataBuffer or self._tempDataBuffer)

    def getPeer(self) -> IPv4Address | IPv6Address:
        return self._peer


class Peer:
    """
    A peer of a server in memory; what it does is carried to the server at once.

    Args:
        case: the test, whose reactor carries the bytes.
        host: where it connects from.
        wrapped: whether the server sees a transport that is not Twisted's own for TCP.
    """

    def __init__(self, case: ServerCase, host: str = "127.0.0.1", *, wrapped: bool = False) -> None:
        self.case = case
        case.peers_made += 1
        port = 40_000 + case.peers_made
        address_type = IPv6Address if ":" in host else IPv4Address
        address = address_type("TCP", host, port)
        self.socket = MemorySocket(100 + case.peers_made)
        self._read = 0
        factory: Any = WrappingFactory(case.factory) if wrapped else case.factory
        protocol = factory.buildProtocol(address)
        inner: Any = protocol.wrappedProtocol if isinstance(protocol, ProtocolWrapper) else protocol
        self.connection: AcceptorProtocol = inner  # or Refused
        self.transport = MemoryTransport(self.socket, protocol, address, case.reactor)
        protocol.makeConnection(self.transport)
        case.reactor.run()

    def send(self, *data: bytes) -> None:
        """Send, and let the server do what it does then."""
        self.socket.arrived += b"".join(data)
        self.case.reactor.run()

    def drip(self, data: bytes, pause: float = 0.0) -> None:
        """Send byte by byte."""
        for byte in data:
            self.send(bytes((byte,)))
            if pause:
                self.case.reactor.wait(pause)

    def take(self) -> bytes:
        """Return what has come since the last time."""
        data = bytes(self.socket.sent[self._read :])
        self._read = len(self.socket.sent)
        return data

    def pdus(self) -> list[bytes]:
        """Return the PDUs that have come since the last time; half of one is left for later."""
        pdus = split_pdus(self.take())
        if pdus and (len(pdus[-1]) < 6 or len(pdus[-1]) < 6 + unpack_from(">L", pdus[-1], 2)[0]):
            self._read -= len(pdus.pop())
        return pdus

    def responses(self) -> list[tuple[int, int]]:
        """Return message ID and status of the responses that have come since the last time."""
        return read_responses(self.pdus())

    def associate(self, rq: bytes = b"") -> bytes:
        """Ask for an association and return the answer."""
        self.send(rq or associate_rq())
        return self.take()

    def echo(self, message_id: int = 1) -> list[tuple[int, int]]:
        """Send a C-ECHO-RQ and return the responses."""
        self.send(echo_rq(message_id))
        return self.responses()

    def stop_reading(self) -> None:
        """Take nothing more."""
        self.socket.room = 0

    def read(self, count: int = WITHOUT_END) -> None:
        """Take so many more bytes."""
        self.socket.room = count
        self.case.reactor.run()

    def close(self) -> None:
        """Close the connection: the server sees the end of the file."""
        self.socket.finished = True
        self.case.reactor.run()

    def reset(self) -> None:
        """Reset the connection."""
        self.socket.broken = True
        self.case.reactor.run()

    @property
    def is_closed(self) -> bool:
        """Whether the server has closed the connection."""
        return self.socket.closed

    @property
    def state(self) -> str:
        """The state of the server's end."""
        return self.connection.association.state.name


class ServerCase(SynchronousTestCase):
    """A test with a factory under a virtual clock, and its log."""

    timeouts = Timeouts()
    limits = Limits()

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.peers_made = 0
        self.log: list[LogEvent] = []
        observer: Any = self.log.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.factory = self.make_factory()

    def make_factory(self, **options: Any) -> AcceptorFactory:
        """Make another server and let peers connect to it from now on."""
        if hasattr(self, "factory"):
            self.factory.doStop()
        options.setdefault("timeouts", self.timeouts)
        services = options.pop("services", [Verification()])
        factory = AcceptorFactory(
            ApplicationEntity("PACS_ECHO", services), reactor=self.reactor, **options
        )
        factory.doStart()
        self.factory = factory
        return factory

    def connect(self, host: str = "127.0.0.1", *, wrapped: bool = False) -> Peer:
        """Let a peer connect."""
        return Peer(self, host, wrapped=wrapped)

    def associated(self, rq: bytes = b"", *, wrapped: bool = False) -> Peer:
        """Let a peer connect and associate."""
        peer = self.connect(wrapped=wrapped)
        self.assertEqual(peer.associate(rq)[:1], bytes((AC,)))
        return peer

    def events(self, name: str | None = None) -> list[LogEvent]:
        """Return the events of the log that are ours, or those with this name."""
        return [
            event
            for event in self.log
            if event["log_namespace"] == "pacs_twisted.net"
            and (name is None or event.get("event") == name)
        ]

    def lines(self, level: LogLevel = LogLevel.info) -> list[str]:
        """Return the lines of the log from this level on."""
        return [formatEvent(event) for event in self.events() if event["log_level"] >= level]

    def forget_log(self) -> None:
        """Begin the log anew."""
        self.log.clear()

    def assert_nothing_left(self) -> None:
        """Assert that the server has given back everything that it took for its peers."""
        factory: Any = self.factory
        self.assertEqual(factory.connections, [])
        self.assertEqual(factory.association_count, 0)
        self.assertEqual(dict(factory.associations), {})
        self.assertEqual(dict(factory._hosts), {})
        self.assertEqual(factory._held, {})
        self.assertEqual(factory._held_in_all, 0)
        self.assertEqual(self.reactor.readers, {})
        self.assertEqual(self.reactor.writers, {})
        factory.doStop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        factory.doStart()

    def assert_over(self, *peers: Peer) -> None:
        """Assert that nothing is left, descriptors of these peers neither."""
        for peer in peers:
            self.assertTrue(peer.is_closed)
        self.assert_nothing_left()
