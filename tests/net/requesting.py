"""A requestor in memory and a peer that does what a test wants: what the tests of both share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.association import Association, Bounds
from pacs_twisted.dimse import Command, CStoreRQ, Request, Response, Status
from pacs_twisted.net import RequestorAssociation, Timeouts, associate
from pacs_twisted.pdu import (
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AsynchronousOperationsWindow,
    UserInformation,
)
from pacs_twisted.testing import MemoryEndpoint, RecordingTimer, ScriptedUser, associate_ac
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from tests.net.memory import split_pdus

CT = "1.2.840.10008.5.1.4.1.1.2"
INSTANCE = "2.25.1"
CONTEXTS = (VERIFICATION, (CT, [IMPLICIT_VR_LITTLE_ENDIAN]))  # 1 and 3
DATA = bytes(range(256)) * 512  # 128 KiB


class Trouble(Exception):
    """What fails in these tests."""


class Peer(Protocol):
    """
    The other end: an acceptor that accepts, lets go, and answers what a test tells it to.

    Args:
        answer: to the A-ASSOCIATE-RQ; None accepts all.
        window: of operations, in the A-ASSOCIATE-AC; None says nothing of it.
        status: what every request gets; None leaves them to the test.
        releases: whether it answers an A-RELEASE-RQ.
        silent: it only reads: what it says, a test writes by `say`.
        maximum_length: what it takes at most, in bytes.
    """

    def __init__(
        self,
        *,
        answer: AAssociateAC | AAssociateRJ | None = None,
        window: int | None = None,
        status: Status | None = None,
        releases: bool = True,
        silent: bool = False,
        maximum_length: int = 16384,
    ) -> None:
        self.user = _User(answer, window, status, releases, maximum_length)
        self.artim = RecordingTimer()
        self.association = Association(self, self.artim, self.user, bounds=Bounds(maximum_length))
        self.user.association = self.association
        self.silent = silent
        self.data = bytearray()
        self.is_lost = False

    # The association's transport

    def connect(self) -> None:
        """There is a connection already."""

    def send_parts(self, parts: list[bytes | memoryview]) -> None:
        self.send(b"".join(parts))

    def send(self, data: bytes) -> None:
        self.wire.write(data)

    def close(self) -> None:
        self.wire.loseConnection()

    @property
    def wire(self) -> ITransport:
        """The transport."""
        transport: Any = self.transport
        return transport  # type: ignore[no-any-return]

    def connectionMade(self) -> None:
        if not self.silent:
            self.association.connection_made()

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if not self.silent:
            self.association.receive_bytes(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_lost = True
        if not self.silent:
            self.association.connection_lost()

    # What a test looks at

    @property
    def requests(self) -> list[Any]:
        """The requests that came whole."""
        return [command for command in self.user.commands if isinstance(command, Request)]

    @property
    def responses(self) -> list[Any]:
        """The responses that came whole."""
        return [command for command in self.user.commands if isinstance(command, Response)]

    @property
    def data_sets(self) -> list[bytes]:
        """The data sets, those that were cut off too."""
        return [bytes(sink.data) for sink in self.user.sinks]

    @property
    def pdu_types(self) -> list[int]:
        """The types of the PDUs that came."""
        return [pdu[0] for pdu in split_pdus(bytes(self.data))]

    # What a test does

    def say(self, *pdus: Any) -> None:
        """Write PDUs, or bytes."""
        for pdu in pdus:
            self.wire.write(pdu if isinstance(pdu, bytes) else pdu.encode())

    def respond(
        self, request: Request[Any] | int = -1, status: int = Status.SUCCESS, **fields: Any
    ) -> None:
        """Answer a request, or the one with this number in the order of their coming."""
        asked = self.requests[request] if isinstance(request, int) else request
        self.tell(asked.respond(Status(status), **fields))

    def tell(self, command: Command, context_id: int | None = None) -> None:
        """Send a message, by default in the context where it belongs."""
        if context_id is None:
            context_id = 3 if getattr(command, "affected_sop_class_uid", None) == CT else 1
        self.association.send(context_id, command)


class _User(ScriptedUser):
    """Accepts with a window and a maximum length."""

    def __init__(
        self,
        answer: AAssociateAC | AAssociateRJ | None,
        window: int | None,
        status: Status | None,
        releases: bool,
        maximum_length: int,
    ) -> None:
        super().__init__(answer=answer, status=status, releases=releases)
        self._information = UserInformation(
            maximum_length,
            "1.2.3.4",
            asynchronous_operations_window=None
            if window is None
            else AsynchronousOperationsWindow(window, 1),
        )
        self._maximum_length = maximum_length

    def associate_requested(self, rq: AAssociateRQ) -> None:
        if self.answer is None:
            self.answer = associate_ac(
                rq, maximum_length=self._maximum_length, user_information=self._information
            )
        super().associate_requested(rq)


class Source:
    """
    A data set that comes in pieces.

    Args:
        pieces: what `read` returns, one after the other; an exception is raised.
        length: what it says its length is; that of the pieces unless given.
    """

    def __init__(self, pieces: Iterable[Any] = (DATA,), length: int | None = None) -> None:
        self.pieces = list(pieces)
        self.length = sum(map(len, self.pieces)) if length is None else length
        self.closed = 0
        self.reads = 0

    def read(self) -> Any:
        self.reads += 1
        piece = self.pieces.pop(0) if self.pieces else Trouble("read beyond the end")
        if isinstance(piece, Exception):
            raise piece
        return piece() if callable(piece) else piece

    def close(self) -> None:
        self.closed += 1


class Waiter:
    """Somebody who waits for a `Deferred` and notes each time that it fires."""

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred
        self.results: list[Any] = []
        deferred.addBoth(self.results.append)

    @property
    def error(self) -> Any:
        """The one error that it got."""
        (failure,) = self.results
        if not isinstance(failure, Failure):
            raise AssertionError(f"no error but {failure!r}")
        return failure.value

    @property
    def result(self) -> Any:
        """The one result that it got."""
        (result,) = self.results
        if isinstance(result, Failure):
            result.raiseException()
        return result


class RequestorCase(SynchronousTestCase):
    """A test with a client endpoint under a virtual clock, and its log."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.log: list[LogEvent] = []
        observer: Any = self.log.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def ask(self, server: Any = None, **options: Any) -> Deferred[RequestorAssociation]:
        """Ask a server for an association; nothing is carried yet."""
        self.server = Peer() if server is None else server
        endpoint = {
            name: options.pop(name)
            for name in ("error", "delay", "capacity", "buffer_size", "chunk_size", "address")
            if name in options
        }
        self.endpoint = MemoryEndpoint(self.server, self.clock, **endpoint)
        return associate(
            self.endpoint, **{"called": "PEER", "contexts": CONTEXTS, **options}, reactor=self.clock
        )

    def establish(self, server: Any = None, **options: Any) -> RequestorAssociation:
        """Get an association."""
        deferred = self.ask(server, **options)
        self.endpoint.flush()
        self.peer = self.successResultOf(deferred)
        return self.peer

    def flush(self) -> None:
        """Carry what there is to carry."""
        self.endpoint.flush()

    def store(self, source: Any = DATA, **options: Any) -> Waiter:
        """Send an instance."""
        waiter = Waiter(self.peer.store(CT, INSTANCE, source, **options))
        self.flush()
        return waiter

    def echo(self) -> Waiter:
        """Send an echo."""
        waiter = Waiter(self.peer.echo())
        self.flush()
        return waiter

    def events(self, name: str) -> list[LogEvent]:
        """Return the events of the log with this name."""
        return [event for event in self.log if event.get("event") == name]

    def lines(self, level: LogLevel = LogLevel.info) -> list[str]:
        """Return the lines of the log from this level on."""
        return [
            formatEvent(event)
            for event in self.log
            if event["log_namespace"] == "pacs_twisted.net" and event["log_level"] >= level
        ]

    def assert_nothing_left(self) -> None:
        """Assert that all connections are gone, and nothing waits for anything."""
        for connection in self.endpoint.connections:
            self.assertTrue(connection.client_transport.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        if hasattr(self, "peer"):
            self.assertEqual(self.peer.outstanding, 0)
            self.assertTrue(self.peer.is_over)
        self.assertEqual(self.events("internal-error"), [])

    def assert_released(self) -> None:
        """Release, and assert that all went well up to here."""
        released = Waiter(self.peer.release())
        self.flush()
        self.assertIsNone(released.result)
        self.assert_nothing_left()


def store_rq(message_id: int = 1) -> CStoreRQ:
    """Return the request that `RequestorCase.store` makes."""
    return CStoreRQ(message_id, CT, INSTANCE)


SECONDS = Timeouts(artim=1, acse=2, idle=3, pdu=4, send=5, connect=6, dimse=7)
"""Timers, each of its own length."""
