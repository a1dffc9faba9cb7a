"""Two associations joined in memory, without Twisted: the pure core and nothing else."""

from __future__ import annotations

from pacs_twisted.association import Association, Bounds
from pacs_twisted.pdu import AAssociateRQ
from pacs_twisted.testing.fakes import (
    RecordingObserver,
    RecordingTimer,
    RecordingTransport,
    RecordingUser,
    ScriptedUser,
)
from pacs_twisted.testing.pdus import associate_rq

_BOUNDS = Bounds()
_MOST_ROUNDS = 100_000


class AssociationEnd:
    """
    An association with recording stand-ins around it.

    Args:
        user: who uses it; a `RecordingUser` unless given.
        requestor: whether it asks for the association.
        bounds: what it takes at most.
    """

    def __init__(
        self,
        user: RecordingUser | None = None,
        *,
        requestor: bool = False,
        bounds: Bounds = _BOUNDS,
    ) -> None:
        self.transport = RecordingTransport()
        self.artim = RecordingTimer()
        self.user = RecordingUser() if user is None else user
        self.observer = RecordingObserver()
        self.association = Association(
            self.transport, self.artim, self.user, requestor=requestor, bounds=bounds
        )
        self.association.add_observer(self.observer)
        self.user.association = self.association
        self.connected = False
        """Whether the connection is open."""

    def connect(self) -> None:
        """The connection is there."""
        self.connected = True
        self.association.connection_made()

    def disconnect(self) -> None:
        """The connection is gone, if it was there."""
        if self.connected:
            self.connected = False
            self.association.connection_lost()


class AssociationPair:
    """
    A requestor and an acceptor, and what carries bytes between them when asked to.

    Args:
        requestor: the user of the requestor's end; a `RecordingUser` unless given.
        acceptor: the user of the acceptor's end; a `ScriptedUser` unless given, which accepts,
            answers with success and releases.
        chunk_size: how many bytes are delivered at a time; all that there are if None.
        bounds: what both ends take at most.
    """

    def __init__(
        self,
        requestor: RecordingUser | None = None,
        acceptor: RecordingUser | None = None,
        *,
        chunk_size: int | None = None,
        bounds: Bounds = _BOUNDS,
    ) -> None:
        self.chunk_size = chunk_size
        self.requestor = AssociationEnd(requestor, requestor=True, bounds=bounds)
        self.acceptor = AssociationEnd(acceptor or ScriptedUser(), bounds=bounds)

    def associate(self, rq: AAssociateRQ | None = None) -> None:
        """Ask for an association, connect, and carry until both ends are silent."""
        self.requestor.association.associate(associate_rq() if rq is None else rq)
        self.acceptor.connect()
        self.requestor.connect()
        self.carry()

    def carry(self) -> None:
        """
        Carry bytes both ways until both ends are silent, and close what is to be closed.

        Bytes to an end whose connection is gone vanish.

        Raises:
            AssertionError: the ends never fall silent.
        """
        for _ in range(_MOST_ROUNDS):
            moved = [
                self._carry(self.requestor, self.acceptor),
                self._carry(self.acceptor, self.requestor),
            ]
            if not any(moved):
                return
        raise AssertionError("the two associations never fall silent")

    def lose(self) -> None:
        """Break the connection: whatever is under way is lost."""
        for end in self.requestor, self.acceptor:
            end.transport.take()
            end.disconnect()

    def _carry(self, sender: AssociationEnd, receiver: AssociationEnd) -> bool:
        if not sender.connected:
            return False
        data = sender.transport.take()
        size = self.chunk_size or len(data) or 1
        for offset in range(0, len(data), size):
            if receiver.connected:
                receiver.association.receive_bytes(data[offset : offset + size])
        if sender.transport.closing:
            sender.disconnect()
            receiver.disconnect()
            return True
        return bool(data)
