"""A requestor in memory, for tests of services and of servers."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pacs_twisted.association import Association, Bounds, Ending, Outcome
from pacs_twisted.dimse import CEchoRQ, Command, Response
from pacs_twisted.errors import AssociationAborted, AssociationLost
from pacs_twisted.pdu import AAbort, AAssociateAC, AAssociateRJ, AAssociateRQ
from pacs_twisted.testing.fakes import RecordingTimer, RecordingUser
from pacs_twisted.testing.network import Pump, connect
from pacs_twisted.testing.pdus import associate_rq
from pacs_twisted.uids import VERIFICATION

_BOUNDS = Bounds()


class NoAnswer(AssertionError):
    """
    Nothing was answered, and both sides are silent.

    A service that takes its time answers after `advance`.
    """


class _Wire:
    """The association's transport: what it sends goes to the protocol's."""

    def __init__(self, protocol: ScriptedRequestor) -> None:
        self._protocol = protocol

    def connect(self) -> None:
        """The connection is there already."""

    def send(self, data: bytes) -> None:
        self._protocol.pump.client_transport.write(data)

    def send_parts(self, parts: list[bytes | memoryview]) -> None:
        self.send(b"".join(parts))

    def close(self) -> None:
        self._protocol.pump.client_transport.loseConnection()


class ScriptedRequestor(Protocol):
    """
    A requestor of one association with a server in memory, for tests.

    Each method carries bytes until both sides are silent, and returns what was answered.

    Args:
        factory: the server, such as an `AcceptorFactory`.
        clock: the time; give the same one to the factory.
        address: where it seems to connect from, IPv4 or IPv6.
        chunk_size: how many bytes each side reads at a time; all that there are if None.
        bounds: what it takes at most.
    """

    def __init__(
        self,
        factory: IProtocolFactory,
        clock: Clock | None = None,
        *,
        address: str = "127.0.0.1",
        chunk_size: int | None = None,
        bounds: Bounds = _BOUNDS,
    ) -> None:
        self.user = RecordingUser()
        """What the requestor was told: messages with their data sets among it."""
        self.artim = RecordingTimer()
        """Its ARTIM timer, which never runs out: the server's is the one that is tested."""
        self.association = Association(
            _Wire(self), self.artim, self.user, requestor=True, bounds=bounds
        )
        self.user.association = self.association
        self.pump: Pump = connect(factory, self, clock, address=address, chunk_size=chunk_size)
        """The connection: its transports, and the time."""
        self._message_id = 0

    # Twisted calls these

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes came."""
        self.association.receive_bytes(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is gone."""
        self.association.connection_lost()

    # What a test asks for

    @property
    def ending(self) -> Ending | None:
        """How the association ended; None while it has not."""
        return self.user.ending

    @property
    def responses(self) -> list[Command]:
        """All that was answered so far."""
        return self.user.commands

    def associate(self, rq: AAssociateRQ | None = None) -> AAssociateAC | AAssociateRJ:
        """
        Ask for an association.

        Args:
            rq: the request; `associate_rq()` unless given.

        Raises:
            NoAnswer: the server has not decided.
            AssociationAborted: the server answered with an A-ABORT.
            AssociationLost: the connection closed.
        """
        self.pump.flush()  # the server may have refused the connection
        self.association.associate(associate_rq() if rq is None else rq)
        if self.pump.client_transport.disconnected:
            self.association.connection_lost()
        else:
            self.association.connection_made()
        self.pump.flush()
        if not self.user.answers:
            raise self._why_nothing()
        return self.user.answers[0]

    def echo(self, context_id: int | None = None) -> Response:
        """
        Send a C-ECHO-RQ and return the response; raises what `request` does.

        Args:
            context_id: the first accepted context for Verification unless given.
        """
        return self.request(CEchoRQ(self.next_message_id(), VERIFICATION), context_id=context_id)

    def request(
        self, command: Command, data_set: bytes | None = None, *, context_id: int | None = None
    ) -> Response:
        """
        Send a request and return the response to it, the last one if there are several.

        Args:
            command: the request.
            data_set: the encoded data set that follows it, if the command says that one does.
            context_id: the first accepted context for the request's SOP class unless given.

        Raises:
            NoAnswer: there is none yet.
            AssociationAborted: the server aborted.
            AssociationLost: the connection closed.
            ProtocolError: the server broke the protocol.
            NoPresentationContext: the context was not accepted.
            OutOfSequence: there is no association.
        """
        before = len(self.responses)
        self.send(command, data_set, context_id=context_id)
        self.pump.flush()
        message_id = getattr(command, "message_id", None)
        for response in reversed(self.responses[before:]):
            if (
                isinstance(response, Response)
                and response.message_id_being_responded_to == message_id
            ):
                return response
        raise self._why_nothing()

    def send(
        self, command: Command, data_set: bytes | None = None, *, context_id: int | None = None
    ) -> None:
        """Send a message and do not carry it yet: several can be under way."""
        if context_id is None:
            context_id = self._find_context(command)
        self.association.send(context_id, command, data_set)

    def release(self) -> Ending:
        """
        End the association in order.

        Raises:
            NoAnswer: the server has not agreed yet.
            OutOfSequence: there is no association.
        """
        self.association.release()
        self.pump.flush()
        if self.ending is None:
            raise self._why_nothing()
        return self.ending

    def abort(self) -> Ending:
        """End the association at once."""
        self.association.abort()
        self.pump.flush()
        if self.ending is None:
            raise self._why_nothing()
        return self.ending

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.pump.advance(seconds)

    def next_message_id(self) -> int:
        """Return a message ID that was not used before: 1, 2, 3 ..."""
        self._message_id += 1
        return self._message_id

    def _find_context(self, command: Command) -> int:
        sop_class: Any = getattr(command, "affected_sop_class_uid", None) or getattr(
            command, "requested_sop_class_uid", None
        )
        for context in self.association.contexts.values():
            if context.abstract_syntax == sop_class:
                return context.context_id
        return 0  # none was accepted: the association says so

    def _why_nothing(self) -> Exception:
        ending = self.ending
        if ending is None:
            return NoAnswer(
                f"no answer in {self.association.state.name}, and both sides are silent"
            )
        if ending.outcome is Outcome.ABORTED_BY_PEER and isinstance(ending.cause, AAbort):
            return AssociationAborted(ending.cause.source, ending.cause.reason)
        if isinstance(ending.cause, Exception):
            return ending.cause
        return AssociationLost(f"association ended: {ending.outcome.value}")
